//! mmap-vec, as its README uses it, but for the folder: its files have names and stay behind when
//! the process is killed, so they go to a folder that the parent removes.

use std::fs::OpenOptions;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mmap_vec::{DefaultSegmentBuilder, MmapVec, SegmentBuilder};

use outcore_bench::prelude::*;
use outcore_bench::process;
use outcore_bench::scenario::past::{self, PastJob};
use outcore_bench::scenario::store::{Job, STORE, Store, number_of, row};
use outcore_bench::scenario::vec_push::{EACH, MMAP_VEC, VecJob, number, sum_of};
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

type Numbers = MmapVec<u64, InFolder>;

/// Makes an empty vector whose files go to a folder in `dir`.
fn numbers(dir: &Path) -> Result<Numbers> {
    let folder = process::named_folder(dir, parent_id());
    let builder = FOLDER.get_or_init(|| DefaultSegmentBuilder::with_path(folder));
    builder.create_dir_all()?;
    Ok(Numbers::new())
}

fn filled(count: u64, dir: &Path) -> Result<Numbers> {
    let mut vec = numbers(dir)?;
    for index in 0..count {
        vec.push(number(index))?;
    }
    Ok(vec)
}

pub(super) fn pusher() -> Row<VecJob> {
    let run = |job: &VecJob| {
        let make = || numbers(&job.dir);
        let push = |vec: &mut Numbers, number| vec.push(number).map_err(Error::from);
        job.measure(make, push, |vec| &vec[..])
    };
    Row::new(MMAP_VEC, SPARSE, run).with(EACH)
}

pub(super) fn collector() -> Row<VecJob> {
    Row::new(MMAP_VEC, SPARSE, |job: &VecJob| {
        let make = || numbers(&job.dir);
        job.collect(make, Numbers::push, |vec| Ok(sum_of(&vec)))
    })
}

/// Returns the vector for the sum in memory.
pub(super) fn sums(job: &VecJob) -> Result<Vec<Candidate<'static>>> {
    if ABORTS {
        return Ok(Vec::new());
    }
    let vec = filled(job.count, &job.dir)?;
    let job = job.clone();
    let run = move || job.sum(|| Ok(sum_of(&vec)));
    Ok(vec![Candidate::new(MMAP_VEC, "memory of its own", run)])
}

/// Returns the vector for updates. Its pages stay mapped, so that the harness cannot take them out
/// of the cache: it is not cold.
pub(super) fn updates(job: &UpdateJob) -> Result<Vec<Candidate<'static>>> {
    if ABORTS {
        return Ok(Vec::new());
    }
    let job = job.clone();
    let note = "not cold: its mapping cannot be dropped; synced by the harness";
    let mut vec = filled(job.count, &job.dir)?;
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

pub(super) fn past() -> Row<PastJob> {
    Row::new(MMAP_VEC, SPARSE, |job| {
        let push = |vec: &mut Numbers, word| Ok(vec.push(word)?);
        past::numbers(job, || numbers(&job.dir), push, |vec, at| vec[at])
    })
}

pub(super) fn store() -> Row<Job> {
    row::<OfMmapVec>(MMAP_VEC, SPARSE, STORE)
}

struct OfMmapVec(Numbers);

impl Store for OfMmapVec {
    type Key = u64;

    const NUMBERS: bool = true;

    fn create(job: &Job) -> Result<Self> {
        numbers(&job.dir).map(Self)
    }

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    #[inline]
    fn put(&mut self, index: u64, item: &[u8]) -> Result<u64> {
        self.0.push(number_of(item)?)?;
        Ok(index)
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.extend_from_slice(&self.0[index(key)].to_le_bytes());
        Ok(())
    }
}
