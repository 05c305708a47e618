//! Reading items of 512 bytes that were pushed before: one by one or in batches, from the
//! cache or from the device.
//!
//! All candidates of a workload share a process. Each has its own file with the same
//! items, reads the same items in the same order into a buffer that has room, and adds up
//! the words of what it got, so that nobody gets away without touching the bytes.

use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use outcore::Arena;

use crate::cache;
use crate::failure::{Failure, Result};
use crate::goal::{Asked, Goal};
use crate::machine::Pinned;
use crate::measure::{Candidate, Sample};
use crate::pool;
use crate::scenario::get_job::{BATCH, ITEM_LEN, Shape};
use crate::scenario::raw;
use crate::scenario::shared_file::OpenFiles;
use crate::settings::{Settings, text_of_bytes};
use crate::stage::Stage;
use crate::workload::{Column, Deferred, FAULTS, Kind, Shared, TIME_PER_READ, Workload};

pub use crate::scenario::get_job::{GetJob, Getter, Prepare, Way};

/// The raw loop that the others are compared with.
pub const RAW: &str = "raw_pread";

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
    let warm = settings.bytes(128 << 20, 1 << 30);
    let cold = settings.bytes(256 << 20, 4 << 30);
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
        Way::Random => vec![Goal::new(
            SINGLE,
            Asked::TimeWithin {
                baseline: RAW,
                factor: 1.05,
            },
        )],
        Way::Dense => faster(1.3),
        Way::Sorted | Way::Adjacent | Way::Zipf => Vec::new(),
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
}
