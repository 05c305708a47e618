//! Many items of 512 bytes that are not in memory, in one call, beside the physical limit: an
//! `io_uring` that reads whole blocks past the page cache.

use std::path::Path;
use std::rc::Rc;

use outcore::{Arena, Location, ReadOptions};
use rustix::fs::OFlags;

use crate::failure::{Failure, Result};
use crate::goal::{Asked, Goal};
use crate::pool;
use crate::scenario::get::measured;
use crate::scenario::get_job::{GetJob, Getter, ITEM_LEN, Prepare, Shape, Way};
use crate::scenario::raw_ring;
use crate::scenario::shared_file::OpenFiles;
use crate::scenario::vec_read::reopened;
use crate::settings::{Settings, limit_for, text_of_bytes};
use crate::workload::{CPU, Deferred, Kind, PEAK, Shared, TIME_PER_READ, Workload};

/// The batch.
pub const MANY: &str = "outcore_get_many";

/// The batch by threads.
const MANY_THREADS: &str = "outcore_get_many_threads";

/// Rows of the limit, by reads at a time.
const RAW: [(&str, usize); 3] = [
    ("raw_ring_direct_64", 64),
    ("raw_ring_direct_128", 128),
    ("raw_ring_direct_256", 256),
];

const RAW_NAMES: &[&str] = &[RAW[0].0, RAW[1].0, RAW[2].0];

/// Reads at a time in the picture.
const DEPTHS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 192];

/// Returns the workloads, with the candidates of the caller behind our own.
pub fn workloads(settings: &Settings, dir: &Path, others: &[Prepare]) -> Vec<Workload> {
    let len = settings.bytes(512 << 20, 4 << 30);
    let reads = if settings.full { 100_000 } else { 8_000 };
    let shape = |reads, way| Shape {
        len,
        reads,
        seed: settings.seed,
        way,
        warm: false,
    };
    let mut all: Vec<Workload> = [128, 8192]
        .into_iter()
        .map(|kb| {
            let name = format!("get_many_512/{}", cold_name(len, kb));
            let others = others.to_vec();
            let shape = shape(reads, Way::Random);
            Workload {
                goals: goals(),
                columns: vec![CPU[0], CPU[1], PEAK],
                baselines: RAW.map(|(name, _)| name).to_vec(),
                rounds: settings.rounds(5, 5),
                ..workload(name, TITLE, dir, shape, kb, move |job| {
                    let mut getters = batch_getters(job)?;
                    for prepare in &others {
                        getters.extend(prepare(job)?);
                    }
                    Ok(getters)
                })
            }
        })
        .collect();
    let name = format!("reads_by_depth_512/{}", cold_name(len, 128));
    all.push(Workload {
        rounds: settings.rounds(3, 5),
        columns: CPU.to_vec(),
        ..workload(
            name,
            TITLE_DEPTH,
            dir,
            shape(reads / 4, Way::Random),
            128,
            depth_getters,
        )
    });
    all
}

fn cold_name(len: u64, read_ahead_kb: u32) -> String {
    let (len, limit) = (text_of_bytes(len), text_of_bytes(limit_for(len)));
    format!("{len}/limit_{limit}/cold/read_ahead_{read_ahead_kb}")
}

fn workload(
    name: String,
    title: &'static str,
    dir: &Path,
    shape: Shape,
    read_ahead_kb: u32,
    getters: impl Fn(&GetJob) -> Result<Vec<Getter>> + 'static,
) -> Workload {
    let job = {
        let dir = dir.to_owned();
        move || GetJob::new(&dir, shape)
    };
    let expected = Deferred::new({
        let job = job.clone();
        move || job().expected()
    });
    Workload {
        name,
        title,
        headline: TIME_PER_READ,
        columns: Vec::new(),
        baselines: Vec::new(),
        goals: Vec::new(),
        rounds: 1,
        expected,
        kind: Kind::Shared(Shared {
            memory_limit: Some(limit_for(shape.len)),
            read_ahead_kb: Some(read_ahead_kb),
            prepare: Deferred::new(move || {
                let job = job();
                let getters = getters(&job)?.into_iter();
                Ok(getters.map(|getter| measured(&job, getter)).collect())
            }),
        }),
    }
}

/// An arena with all items, and its file.
struct Filled {
    arena: Arena,
    locations: Rc<[Location]>,
    file: Rc<std::fs::File>,
    sorted: Rc<[u64]>,
}

impl Filled {
    fn new(job: &GetJob) -> Result<Self> {
        let before = OpenFiles::now()?;
        let arena = Arena::new()?;
        let mut writer = arena.writer()?;
        let locations = job.fill(|item| writer.push(item))?.into();
        writer.finish()?;
        let file = before.find(job.len(), |file| job.is_stream(file))?;
        let file = file.ok_or_else(|| Failure::new("the arena's file is not as expected"))?;
        let offsets = job.sequence.iter().map(|index| index * ITEM_LEN as u64);
        let mut sorted: Vec<u64> = offsets.collect();
        sorted.sort_unstable();
        Ok(Self {
            arena,
            locations,
            file: Rc::new(file),
            sorted: sorted.into(),
        })
    }

    /// Reads everything in one call.
    fn many(&self, name: &'static str, note: &'static str, options: ReadOptions) -> Getter {
        let (arena, locations) = (self.arena.clone(), Rc::clone(&self.locations));
        let mut getter = Getter::new(name, move || {
            let mut sum = 0u64;
            arena.get_many_with(&options, &locations, |_index, bytes| {
                sum = sum.wrapping_add(pool::sum_words(bytes));
            })?;
            Ok(sum)
        });
        getter.note = note;
        getter
    }

    fn raw(&self, name: &'static str, depth: usize, direct: bool) -> Result<Getter> {
        let file = if direct {
            Rc::new(reopened(&self.file, OFlags::DIRECT)?)
        } else {
            Rc::clone(&self.file)
        };
        let sorted = Rc::clone(&self.sorted);
        Ok(Getter::new(name, move || {
            raw_ring::sum(&file, &sorted, ITEM_LEN, depth, direct)
        }))
    }
}

fn batch_getters(job: &GetJob) -> Result<Vec<Getter>> {
    let filled = Filled::new(job)?;
    let plain = ReadOptions::new();
    let mut getters = vec![
        filled.many(MANY, "", plain.clone()),
        filled.many(MANY_THREADS, "no io_uring", plain.clone().threads(true)),
        filled.many("outcore_get_many_direct", "O_DIRECT", plain.direct(true)),
        filled.raw("raw_ring_128", 128, false)?,
    ];
    for (name, depth) in RAW {
        getters.push(filled.raw(name, depth, true)?);
    }
    let (arena, locations) = (filled.arena.clone(), Rc::clone(&filled.locations));
    let single = GetJob::one_by_one(locations, move |location, buffer| {
        arena.get_into(location, buffer)
    });
    getters.push(Getter::new("outcore_get_into", single));
    Ok(getters)
}

/// Every way at every number of reads at a time.
fn depth_getters(job: &GetJob) -> Result<Vec<Getter>> {
    let filled = Filled::new(job)?;
    let mut getters = Vec::new();
    for depth in DEPTHS {
        // As many as there are rows, for as long as the process lives.
        let name = |way: &str| -> &'static str { format!("{way}_{depth}").leak() };
        let plain = ReadOptions::new().in_flight(depth);
        let threads = plain.clone().threads(true);
        getters.push(filled.many(name("outcore_ring"), "", plain));
        getters.push(filled.many(name("outcore_threads"), "", threads));
        getters.push(filled.raw(name("raw_ring_direct"), depth, true)?);
    }
    Ok(getters)
}

/// What is asked of outcore against the limit.
fn goals() -> Vec<Goal> {
    let mut goals = Vec::new();
    for (candidate, factor) in [(MANY, 0.9), (MANY_THREADS, 0.8)] {
        let asked = Asked::FasterThanBest {
            baselines: RAW_NAMES,
            text: "raw_ring_direct at its best depth",
            factor,
        };
        goals.push(Goal::new(candidate, asked));
        goals.push(Goal::new(
            candidate,
            Asked::AtMost {
                metric: "peak_above_start",
                limit: f64::from(16 << 20),
                text: "16 MiB",
                scale: f64::from(1 << 20),
            },
        ));
    }
    goals
}

const TITLE: &str = "\
Items of 512 bytes at random from an arena sixteen times as large as the memory group it lives\n\
in, all in one call by one thread; the cache is empty at the start (cachestat says 0 pages), the\n\
read-ahead of the device as the name says. The raw rings read the same file by 4 KiB, sorted.";

const TITLE_DEPTH: &str = "\
The same with so many reads at a time as the row says.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_to_the_expected_sum() {
        let shape = Shape {
            len: 4 << 20,
            reads: 3000,
            seed: 1,
            way: Way::Random,
            warm: false,
        };
        let job = GetJob::new(Path::new(env!("CARGO_MANIFEST_DIR")), shape);
        let mut getters = batch_getters(&job).unwrap();
        getters.extend(depth_getters(&job).unwrap());
        for getter in &mut getters {
            match (getter.read)() {
                Ok(sum) => assert_eq!(sum, job.expected(), "{}", getter.name),
                // The container this runs in may refuse rings.
                Err(refused) if getter.name.starts_with("raw_ring") => {
                    eprintln!("skipped: {}: {refused}", getter.name);
                }
                Err(refused) => panic!("{}: {refused}", getter.name),
            }
        }
    }
}
