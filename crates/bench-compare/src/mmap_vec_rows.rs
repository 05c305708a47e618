//! mmap-vec, as its README uses it, but for the folder: its files have names and stay
//! behind when the process is killed, so they go to a folder that the parent removes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::sync::OnceLock;

use mmap_vec::{DefaultSegmentBuilder, MmapVec, SegmentBuilder};

use outcore_bench::cache;
use outcore_bench::child;
use outcore_bench::failure::{Context, Result};
use outcore_bench::measure::Candidate;
use outcore_bench::pool;
use outcore_bench::scenario::vec_push::{VecPusher, number};
use outcore_bench::scenario::vec_read::{sum_of, timed_sum};
use outcore_bench::scenario::vec_update::UpdateJob;

/// The row of pushes that outcore is compared with.
pub(crate) const PUSH: &str = "mmap_vec";

/// Where files go in this process; set once.
static FOLDER: OnceLock<DefaultSegmentBuilder> = OnceLock::new();

/// Puts segments into the folder of this process.
#[derive(Default)]
pub(crate) struct InFolder;

impl SegmentBuilder for InFolder {
    fn new_segment_path(&self) -> std::path::PathBuf {
        let usual = DefaultSegmentBuilder::default;
        FOLDER.get_or_init(usual).new_segment_path()
    }
}

/// The vector of the rows.
type Numbers = MmapVec<u64, InFolder>;

pub(crate) fn use_folder_in(dir: &Path) -> io::Result<()> {
    let folder = child::named_folder(dir, parent_id());
    FOLDER
        .get_or_init(|| DefaultSegmentBuilder::with_path(folder))
        .create_dir_all()
}

/// Returns the vector for pushes.
pub(crate) fn pushers() -> Vec<VecPusher> {
    vec![VecPusher {
        name: PUSH,
        note: "never allocates blocks ahead: a full disk is a signal",
        timed_too: true,
        run: |job| {
            use_folder_in(&job.dir)?;
            let make = || Ok::<_, io::Error>(Numbers::new());
            job.measure(make, Numbers::push, |vec| &vec[..])
        },
    }]
}

fn filled(count: u64, dir: &Path) -> Result<Numbers> {
    use_folder_in(dir)?;
    let mut vec = Numbers::new();
    for index in 0..count {
        vec.push(number(index))?;
    }
    Ok(vec)
}

/// Returns the vector for the sum in memory.
pub(crate) fn sums(count: u64, dir: &Path) -> Result<Vec<Candidate<'static>>> {
    let vec = filled(count, dir)?;
    let run = move || timed_sum(count * 8, || Ok(sum_of(&vec)));
    Ok(vec![Candidate::new(PUSH, "memory of its own", run)])
}

/// Returns the vector for updates. Its pages stay mapped, so that the harness cannot take
/// them out of the cache: it is not cold.
pub(crate) fn updates(job: &UpdateJob) -> Result<Vec<Candidate<'static>>> {
    let job = job.clone();
    let note = "not cold: its mapping cannot be dropped; synced by the harness";
    let mut vec = filled(job.count, &job.dir)?;
    let file = open(&vec.path())?;
    Ok(vec![Candidate::new(PUSH, note, move || {
        cache::drop_file(&file)?;
        job.measure(&file, |index, value| {
            vec[pool::index(index)] = value;
            Ok(())
        })
    })])
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.context("open a segment")
}

#[cfg(test)]
mod tests {
    use super::*;
    use outcore_bench::scenario::vec_push::VecJob;

    /// In a release build only: mmap-vec makes a slice of a null pointer when it is empty,
    /// and the checks of a debug build end the process.
    #[test]
    #[cfg_attr(debug_assertions, ignore = "mmap-vec aborts in debug builds")]
    fn the_vector_comes_to_the_checksum_of_std() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let job = VecJob {
            dir: dir.clone(),
            count: 200_000,
            times_each: false,
        };
        let sample = (pushers()[0].run)(&job).unwrap();
        let push = |vec: &mut Vec<u64>, number| {
            vec.push(number);
            Ok::<(), io::Error>(())
        };
        let plain = job.measure(|| Ok(Vec::new()), push, Vec::as_slice);
        assert_eq!(sample.checksum, plain.unwrap().checksum);
        std::fs::remove_dir_all(child::named_folder(&dir, parent_id())).unwrap();
    }
}
