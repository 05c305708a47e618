//! mmap-vec, as its README uses it, but for the folder: its files have names and stay behind when
//! the process is killed, so they go to a folder that the parent removes.

use std::fs::OpenOptions;
use std::os::unix::process::parent_id;
use std::sync::OnceLock;

use mmap_vec::{DefaultSegmentBuilder, MmapVec, SegmentBuilder};

use outcore_bench::prelude::*;
use outcore_bench::scenario::past::{self, PastJob};
use outcore_bench::scenario::store::{Job, OfVec, STORE, row};
use outcore_bench::scenario::vec_push::{EACH, MMAP_VEC, Numbers, VecJob};
use outcore_bench::scenario::vec_read;
use outcore_bench::scenario::vec_update::UpdateJob;

/// A full disk is a signal.
const SPARSE: &str = "never allocates blocks ahead: a full disk is a signal";

/// mmap-vec makes a slice of a null pointer when it is empty, and the checks of a debug build end
/// the process.
const ABORTS: bool = cfg!(debug_assertions);

/// Where files go in this process; set once.
static FOLDER: OnceLock<DefaultSegmentBuilder> = OnceLock::new();

/// Puts segments into the folder of this process.
#[derive(Default)]
struct InFolder;

impl SegmentBuilder for InFolder {
    fn new_segment_path(&self) -> PathBuf {
        let usual = DefaultSegmentBuilder::default;
        FOLDER.get_or_init(usual).new_segment_path()
    }
}

struct InFile(MmapVec<u64, InFolder>);

impl Numbers for InFile {
    fn make(dir: &Path) -> Result<Self> {
        let folder = process::named_folder(dir, parent_id());
        let builder = FOLDER.get_or_init(|| DefaultSegmentBuilder::with_path(folder));
        builder.create_dir_all()?;
        Ok(Self(MmapVec::new()))
    }

    #[inline]
    fn add(&mut self, number: u64) -> Result<()> {
        Ok(self.0.push(number)?)
    }

    fn all(&self) -> &[u64] {
        &self.0
    }
}

pub(super) fn pusher() -> Row<VecJob> {
    Row::new(MMAP_VEC, SPARSE, VecJob::push::<InFile>).with(EACH)
}

pub(super) fn collector() -> Row<VecJob> {
    Row::new(MMAP_VEC, SPARSE, VecJob::collect_in::<InFile>)
}

pub(super) fn past() -> Row<PastJob> {
    Row::new(MMAP_VEC, SPARSE, past::numbers::<InFile>)
}

pub(super) fn store() -> Row<Job> {
    row::<OfVec<InFile>>(MMAP_VEC, SPARSE, STORE)
}

/// Returns the vector for the sum in memory.
pub(super) fn sums(job: &VecJob) -> Result<Vec<Candidate<'static>>> {
    if ABORTS {
        return Ok(Vec::new());
    }
    Ok(vec![vec_read::sum_in::<InFile>(MMAP_VEC, *job)?])
}

/// Returns the vector for updates. Its pages stay mapped, so that the harness cannot take them out
/// of the cache: it is not cold.
pub(super) fn updates(job: &UpdateJob) -> Result<Vec<Candidate<'static>>> {
    if ABORTS {
        return Ok(Vec::new());
    }
    let job = job.clone();
    let note = "not cold: its mapping cannot be dropped; synced by the harness";
    let InFile(mut vec) = job.numbers.filled()?;
    let file = OpenOptions::new().read(true).write(true).open(vec.path());
    let file = file.context("open a segment")?;
    Ok(vec![Candidate::new(MMAP_VEC, note, move || {
        cache::drop_file(&file)?;
        job.measure(&file, |at, value| {
            vec[index(at)] = value;
            Ok(())
        })
    })])
}
