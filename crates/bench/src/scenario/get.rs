//! Reading items of 512 bytes that were pushed before: one by one or in batches, from the
//! cache or from the device.
//!
//! All candidates of a workload share a process. Each has its own file with the same
//! items, reads the same items in the same order into a buffer that has room, and adds up
//! the words of what it got, so that nobody gets away without touching the bytes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use outcore::Arena;

use crate::cache;
use crate::failure::{Failure, Result};
use crate::goal::{Asked, Goal};
use crate::machine::Pinned;
use crate::measure::{Candidate, Sample};
use crate::pool::{self, Pool};
use crate::random::Random;
use crate::scenario::raw;
use crate::scenario::shared_file::OpenFiles;
use crate::settings::{Settings, text_of_bytes};
use crate::stage::Stage;
use crate::workload::{Column, Deferred, FAULTS, Kind, Shared, TIME_PER_READ, Workload};

/// The length of an item.
pub(super) const ITEM_LEN: usize = 512;

/// The locations of one call of `get_many`.
const BATCH: usize = 1024;

/// The raw loop that the others are compared with.
pub const RAW: &str = "raw_pread";

/// What is to be read, and from where.
#[derive(Debug)]
pub struct GetJob {
    /// The directory for files.
    pub dir: PathBuf,
    /// The bytes.
    pub pool: Pool,
    /// How many items there are.
    pub item_count: u64,
    /// The indices of the items to read, in order.
    pub sequence: Vec<u64>,
    /// How the reads go.
    pub way: Way,
    /// Whether the bytes are in the page cache.
    pub warm: bool,
    /// The file of outcore's arena, if it holds nothing but the items in order.
    pub arena_file: Option<File>,
}

/// How the reads go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One by one, in random order.
    Single,
    /// In batches, in random order.
    Random,
    /// In batches, in ascending order.
    Sorted,
    /// In batches, one behind the other without a gap.
    Adjacent,
    /// In batches, each of neighbours without a gap, in random order.
    Dense,
}

/// A way to read items, ready to go.
pub struct Getter {
    /// The name in tables and records.
    pub name: &'static str,
    /// What is not equal to the other candidates; empty if nothing.
    pub note: &'static str,
    /// Reads the whole sequence and returns the sum of all words.
    pub read: Box<dyn FnMut() -> Result<u64>>,
}

/// Fills a store of its own, and returns the ways to read it.
pub type Prepare = fn(&GetJob) -> Result<Vec<Getter>>;

impl Getter {
    /// Makes a way to read that is equal to the others.
    pub fn new(name: &'static str, read: impl FnMut() -> Result<u64> + 'static) -> Self {
        let (note, read) = ("", Box::new(read));
        Self { name, note, read }
    }
}

impl std::fmt::Debug for Getter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("Getter");
        fields.field("name", &self.name).finish_non_exhaustive()
    }
}

impl GetJob {
    pub(super) fn new(dir: &Path, shape: Shape) -> Self {
        let item_count = shape.len / ITEM_LEN as u64;
        let mut random = Random::new(shape.seed ^ 0x5EED);
        let count = shape.reads as u64;
        let sequence = match shape.way {
            Way::Adjacent => {
                let first = random.below(item_count.saturating_sub(count) + 1);
                (first..(first + count).min(item_count)).collect()
            }
            Way::Dense => {
                let first = random.below(item_count.saturating_sub(count) + 1);
                let mut drawn: Vec<u64> = (first..(first + count).min(item_count)).collect();
                for batch in drawn.chunks_mut(BATCH) {
                    for at in (1..batch.len()).rev() {
                        batch.swap(at, pool::index(random.below(at as u64 + 1)));
                    }
                }
                drawn
            }
            Way::Single | Way::Random => (0..count).map(|_| random.below(item_count)).collect(),
            Way::Sorted => {
                let mut drawn: Vec<u64> = (0..count).map(|_| random.below(item_count)).collect();
                drawn.sort_unstable();
                drawn
            }
        };
        Self {
            dir: dir.to_owned(),
            pool: Pool::new(ITEM_LEN, shape.seed),
            item_count,
            sequence,
            way: shape.way,
            warm: shape.warm,
            arena_file: None,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.item_count * ITEM_LEN as u64
    }

    /// Looks whether a file holds the items in order from its first byte on: a thousand of
    /// them. The checksum of every run looks at more.
    pub(super) fn is_stream(&self, file: &File) -> bool {
        let mut buffer = vec![0; ITEM_LEN];
        let step = pool::index((self.item_count / 1000).max(1));
        (0..self.item_count).step_by(step).all(|index| {
            let read = raw::read_exact(file, &mut buffer, index * ITEM_LEN as u64);
            read.is_ok() && buffer == self.pool.item(index)
        })
    }

    /// Tells whether mapped loops take part: single reads of what is in memory. The pages
    /// of a mapping cannot be dropped for a cold run while it lives.
    pub fn wants_maps(&self) -> bool {
        self.warm && self.way == Way::Single
    }

    /// Pushes all items, and returns the locations in the order of the sequence.
    ///
    /// # Errors
    ///
    /// The first one of `push`.
    pub fn fill<L: Copy, E: Into<Failure>>(
        &self,
        mut push: impl FnMut(&[u8]) -> Result<L, E>,
    ) -> Result<Vec<L>> {
        let mut all = Vec::new();
        for (_, item) in (0..self.item_count).zip(self.pool.items_from(0)) {
            all.push(push(item).map_err(Into::into)?);
        }
        let index = |index: &u64| usize::try_from(*index).unwrap_or(usize::MAX);
        Ok(self.sequence.iter().map(|i| all[index(i)]).collect())
    }

    /// Returns a loop that reads `locations` one by one with `get`, which appends to an
    /// empty buffer.
    pub fn one_by_one<L: Copy + 'static, E: Into<Failure>>(
        locations: Rc<[L]>,
        mut get: impl FnMut(L, &mut Vec<u8>) -> Result<(), E> + 'static,
    ) -> impl FnMut() -> Result<u64> + 'static {
        let mut buffer = Vec::with_capacity(ITEM_LEN);
        move || {
            let mut sum = 0u64;
            for location in &*locations {
                buffer.clear();
                get(*location, &mut buffer).map_err(Into::into)?;
                sum = sum.wrapping_add(pool::sum_words(&buffer));
            }
            Ok(sum)
        }
    }

    /// Returns the sum that every loop has to come to.
    pub(super) fn expected(&self) -> u64 {
        self.sequence.iter().fold(0u64, |sum, index| {
            sum.wrapping_add(pool::sum_words(self.pool.item(*index)))
        })
    }
}

/// Makes a file with all items, for loops of plain system calls.
///
/// # Errors
///
/// A full disk.
pub fn raw_file(job: &GetJob) -> Result<File> {
    let file = raw::create(&job.dir)?;
    let len = job.len();
    raw::preallocate(&file, len)?;
    raw::write_stream(&file, &job.pool, 0, len, 0)?;
    Ok(file)
}

/// Returns the offsets of the sequence in [`raw_file`].
pub fn raw_offsets(job: &GetJob) -> Vec<u64> {
    let offsets = job.sequence.iter().map(|index| index * ITEM_LEN as u64);
    offsets.collect()
}

/// Plain reads of the arena's own file, so that nothing differs but the library; and of a
/// file that was written by 1 MiB, which shows how much the file itself makes out.
fn raw_getters(job: &GetJob) -> Result<Vec<Getter>> {
    let other = raw_file(job)?;
    let Some(file) = &job.arena_file else {
        let mut only = raw_getter(job, RAW, other);
        only.note = "reads a file of its own: the layout of the arena's is unknown";
        return Ok(vec![only]);
    };
    let same = raw_getter(job, RAW, file.try_clone()?);
    let mut other = raw_getter(job, "raw_pread_other_file", other);
    other.note = "another file with the same items, written by 1 MiB";
    Ok(vec![same, other])
}

fn raw_getter(job: &GetJob, name: &'static str, file: File) -> Getter {
    let offsets = raw_offsets(job);
    let mut buffer = vec![0; ITEM_LEN];
    Getter::new(name, move || {
        let mut sum = 0u64;
        for offset in &offsets {
            raw::read_exact(&file, &mut buffer, *offset)?;
            sum = sum.wrapping_add(pool::sum_words(&buffer));
        }
        Ok(sum)
    })
}

/// Fills an arena; leaves its file in the job.
fn outcore_getters(job: &mut GetJob) -> Result<Vec<Getter>> {
    let before = OpenFiles::now()?;
    let arena = Arena::new()?;
    let mut writer = arena.writer()?;
    let locations: Rc<[_]> = job.fill(|item| writer.push(item))?.into();
    writer.finish()?;
    job.arena_file = before.find(job.len(), |file| job.is_stream(file))?;
    let single = {
        let arena = arena.clone();
        GetJob::one_by_one(Rc::clone(&locations), move |location, buffer| {
            arena.get_into(location, buffer)
        })
    };
    let mut getters = vec![Getter::new("outcore_get_into", single)];
    if job.wants_maps() {
        let map = arena.map()?;
        let locations = Rc::clone(&locations);
        getters.push(Getter::new("outcore_map_get", move || {
            let mut sum = 0u64;
            for location in &*locations {
                sum = sum.wrapping_add(pool::sum_words(map.get(*location)?));
            }
            Ok(sum)
        }));
    }
    if job.way != Way::Single {
        getters.push(Getter::new("outcore_get_many", move || {
            let mut sum = 0u64;
            for batch in locations.chunks(BATCH) {
                arena.get_many(batch, |_index, bytes| {
                    sum = sum.wrapping_add(pool::sum_words(bytes));
                })?;
            }
            Ok(sum)
        }));
    }
    Ok(getters)
}

/// How large, how many, how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) len: u64,
    pub(super) reads: usize,
    pub(super) seed: u64,
    pub(super) way: Way,
    pub(super) warm: bool,
}

/// Returns the workloads, with the candidates of the caller behind our own.
///
/// # Errors
///
/// A size without an item.
pub fn workloads(settings: &Settings, dir: &Path, others: &[Prepare]) -> Result<Vec<Workload>> {
    let shape = |len, reads, way, warm| {
        let seed = settings.seed;
        Shape {
            len,
            reads,
            seed,
            way,
            warm,
        }
    };
    let warm = settings.bytes(256 << 20, 1 << 30);
    let cold = settings.bytes(512 << 20, 4 << 30);
    if warm < ITEM_LEN as u64 {
        return Err(Failure::new("--size: at least one item, please"));
    }
    let many = if settings.full { 400_000 } else { 100_000 };
    let few = if settings.full { 16_384 } else { 4096 };
    let rounds = settings.rounds(7, 31);
    let all = [
        ("get_512", shape(warm, many, Way::Single, true)),
        ("get_many_512/random", shape(warm, many, Way::Random, true)),
        ("get_many_512/sorted", shape(warm, many, Way::Sorted, true)),
        (
            "get_many_512/adjacent",
            shape(warm, many, Way::Adjacent, true),
        ),
        ("get_many_512/dense", shape(warm, many, Way::Dense, true)),
        ("get_many_512/random", shape(cold, few, Way::Random, false)),
    ];
    let workloads = all.map(|(name, shape)| workload(name, dir, shape, others, rounds));
    Ok(workloads.into())
}

fn workload(name: &str, dir: &Path, shape: Shape, others: &[Prepare], rounds: u32) -> Workload {
    let state = if shape.warm { "warm" } else { "cold" };
    let is_single = shape.way == Way::Single;
    let job = {
        let dir = dir.to_owned();
        move || GetJob::new(&dir, shape)
    };
    let expected = Deferred::new({
        let job = job.clone();
        move || job().expected()
    });
    let others = others.to_vec();
    Workload {
        name: format!("{name}/{}/{state}", text_of_bytes(shape.len)),
        title: if is_single { TITLE } else { TITLE_MANY },
        headline: TIME_PER_READ,
        columns: COLUMNS.to_vec(),
        baselines: vec![RAW],
        goals: goals(shape),
        rounds,
        expected,
        kind: Kind::Shared(Shared {
            memory_limit: None,
            read_ahead_kb: None,
            prepare: Deferred::new(move || candidates(job(), &others)),
        }),
    }
}

fn candidates(mut job: GetJob, others: &[Prepare]) -> Result<Vec<Candidate<'static>>> {
    let outcore = outcore_getters(&mut job)?;
    let mut getters = raw_getters(&job)?;
    getters.extend(outcore);
    for prepare in others {
        getters.extend(prepare(&job)?);
    }
    let getters = getters.into_iter();
    Ok(getters.map(|getter| measured(&job, getter)).collect())
}

/// Makes a candidate of a way to read: cold where it has to be, with the clock on.
pub(super) fn measured(job: &GetJob, getter: Getter) -> Candidate<'static> {
    let reads = job.sequence.len() as f64;
    let (warm, is_single) = (job.warm, job.way == Way::Single);
    let dir = job.dir.clone();
    let Getter {
        name,
        note,
        mut read,
    } = getter;
    Candidate::new(name, note, move || {
        if !warm {
            cache::expect_cold(cache::drop_open_files(&dir)?)?;
        }
        // Where the library may use threads of its own, they need the other cores.
        let pinned = is_single.then(Pinned::to_last_core).transpose()?;
        let stage = Stage::start()?;
        let sum = read()?;
        let mut sample = stage.stop()?;
        drop(pinned);
        finish(&mut sample, sum, reads);
        Ok(sample)
    })
}

fn finish(sample: &mut Sample, sum: u64, reads: f64) {
    let seconds = sample.get("seconds").unwrap_or(f64::NAN);
    sample.add("reads", reads, "count");
    sample.add("time_per_read", seconds * 1e9 / reads, "ns");
    sample.checksum = sum;
}

/// What is asked of outcore against the raw loop, and of batches against its own loop.
fn goals(shape: Shape) -> Vec<Goal> {
    const SINGLE: &str = "outcore_get_into";
    const MANY: &str = "outcore_get_many";
    let faster = |factor| {
        let baseline = SINGLE;
        vec![Goal::new(MANY, Asked::Faster { baseline, factor })]
    };
    match shape.way {
        Way::Single => vec![
            Goal::new(
                SINGLE,
                Asked::TimeWithin {
                    baseline: RAW,
                    factor: 1.05,
                },
            ),
            Goal::new(
                SINGLE,
                Asked::AtMost {
                    metric: "allocations",
                    limit: 0.0,
                    text: "0",
                    scale: 1.0,
                },
            ),
        ],
        Way::Random if shape.warm => faster(1.0),
        Way::Dense => faster(1.3),
        Way::Random | Way::Sorted | Way::Adjacent => Vec::new(),
    }
}

const TITLE: &str = "\
Items of 512 bytes read one by one in the same random order, everything in the page cache,\n\
one thread on one core. Every byte is added up.";

const TITLE_MANY: &str = "\
Items of 512 bytes read in the order and the state of the cache that the name says;\n\
get_many gets 1,024 locations a call. Every byte is added up.";

const COLUMNS: &[Column] = &[
    Column::new("allocations", "allocations", 1.0, 0).peak(),
    FAULTS,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn job(way: Way, warm: bool) -> GetJob {
        let shape = Shape {
            len: 4 << 20,
            reads: 3000,
            seed: 1,
            way,
            warm,
        };
        GetJob::new(Path::new(env!("CARGO_MANIFEST_DIR")), shape)
    }

    #[test]
    fn every_way_to_read_comes_to_the_expected_sum() {
        for way in [
            Way::Single,
            Way::Random,
            Way::Sorted,
            Way::Adjacent,
            Way::Dense,
        ] {
            let mut job = job(way, true);
            assert_eq!(job.sequence.len(), 3000);
            let mut getters = outcore_getters(&mut job).unwrap();
            let outcore_count = getters.len();
            getters.extend(raw_getters(&job).unwrap());
            assert_eq!(
                getters.len(),
                outcore_count + 2,
                "the arena's file was not found"
            );
            for getter in &mut getters {
                assert_eq!((getter.read)(), Ok(job.expected()), "{}", getter.name);
            }
        }
    }

    #[test]
    fn the_order_is_what_its_name_says() {
        let sorted = job(Way::Sorted, true).sequence;
        assert!(sorted.is_sorted());
        let adjacent = job(Way::Adjacent, true).sequence;
        assert!(adjacent.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        let random = job(Way::Random, true).sequence;
        assert!(!random.is_sorted());
        assert_eq!(random, job(Way::Single, true).sequence);
    }
}
