//! Pushing items of 256 bytes until gigabytes are there.
//!
//! Each run is a process of its own with fresh files. Timed is everything from before the
//! first file exists (after preallocation, for the raw rows that say so) until all bytes
//! have left the writers' buffers for the page cache. Nobody syncs.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use outcore::Arena;

use crate::failure::{Failure, Result};
use crate::goal::{Asked, Goal, Provided};
use crate::measure::Sample;
use crate::pool::{self, Pool};
use crate::scenario::raw;
use crate::settings::{Settings, limit_for, text_of_bytes};
use crate::stage::Stage;
use crate::workload::{
    CPU, Column, DROP, Deferred, FAULTS, Isolated, Kind, MIB, PEAK, RATE, Workload,
};

/// The length of an item.
const ITEM_LEN: usize = 256;

/// One location in so many is kept, for reading back.
const KEEP: u64 = 64;

/// The raw loop that the others are compared with.
pub const RAW: &str = "raw_pwrite_1MiB_prealloc";

/// The writer that claims all space before the clock starts, as the raw loop does.
pub const RESERVED: &str = "outcore_reserved";

/// A way to push items.
#[derive(Clone, Copy, Debug)]
pub struct Pusher {
    /// The name in tables and records.
    pub name: &'static str,
    /// What is not equal to the other candidates; empty if nothing.
    pub note: &'static str,
    /// Whether it also runs under a memory limit.
    pub limited_too: bool,
    /// Does one run.
    pub run: fn(&PushJob) -> Result<Sample>,
}

/// What is to be pushed, and where to.
#[derive(Debug)]
pub struct PushJob {
    /// The directory for files.
    pub dir: PathBuf,
    /// The bytes.
    pub pool: Pool,
    /// How many items.
    pub item_count: u64,
}

/// A part of the items, and places for the locations that are kept.
#[derive(Debug)]
pub struct Part<L> {
    /// The indices of its items.
    pub items: Range<u64>,
    /// Which part it is.
    pub number: u16,
    /// The locations of every 64th item; memory for them is there from the start.
    kept: Vec<L>,
}

impl PushJob {
    /// Makes the bytes for `len` bytes of items in `dir`.
    pub fn new(dir: &Path, len: u64, seed: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            pool: Pool::new(ITEM_LEN, seed),
            item_count: len / ITEM_LEN as u64,
        }
    }

    /// Returns the bytes of all items.
    pub fn len(&self) -> u64 {
        self.item_count * ITEM_LEN as u64
    }

    /// Tells whether there is nothing to push.
    pub fn is_empty(&self) -> bool {
        self.item_count == 0
    }

    /// Divides the items into `count` parts of equal length.
    pub fn parts<L: Clone + Default>(&self, count: u16) -> Vec<Part<L>> {
        let share = self.item_count / u64::from(count);
        let part = |number: u16| {
            let first = share * u64::from(number);
            // Written once, so that this memory is resident before the measurement.
            let mut kept = vec![L::default(); usize::try_from(share / KEEP).unwrap_or(0) + 1];
            std::hint::black_box(&mut kept).clear();
            Part {
                items: first..first + share,
                number,
                kept,
            }
        };
        (0..count).map(part).collect()
    }

    /// Pushes every item of a part in order.
    ///
    /// # Errors
    ///
    /// The first one of `push`.
    #[inline]
    pub fn push_all<L: Copy, E: Into<Failure>>(
        &self,
        part: &mut Part<L>,
        mut push: impl FnMut(&[u8]) -> Result<L, E>,
    ) -> Result<()> {
        for (index, item) in part
            .items
            .clone()
            .zip(self.pool.items_from(part.items.start))
        {
            let location = std::hint::black_box(push(item).map_err(Into::into)?);
            if index % KEEP == 0 {
                part.kept.push(location);
            }
        }
        Ok(())
    }

    /// Reads back what was kept, and returns its checksum.
    ///
    /// `get` appends the bytes of a location to an empty buffer.
    ///
    /// # Errors
    ///
    /// The first one of `get`.
    pub fn verify<L: Copy, E: Into<Failure>>(
        &self,
        parts: &[Part<L>],
        mut get: impl FnMut(u16, L, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<u64> {
        let mut sum = 0u64;
        let mut buffer = Vec::with_capacity(ITEM_LEN);
        for part in parts {
            let indices = part.items.clone().filter(|index| index % KEEP == 0);
            for (index, location) in indices.zip(&part.kept) {
                buffer.clear();
                get(part.number, *location, &mut buffer).map_err(Into::into)?;
                sum = sum.wrapping_add(pool::fingerprint(index, &buffer));
            }
        }
        Ok(sum)
    }

    /// Returns the checksum that `verify` returns if every byte is right.
    pub fn expected(&self) -> u64 {
        let step = usize::try_from(KEEP).unwrap_or(1);
        let indices = (0..self.item_count).step_by(step);
        indices.fold(0u64, |sum, index| {
            sum.wrapping_add(pool::fingerprint(index, self.pool.item(index)))
        })
    }

    /// Finishes a sample: the rate, the checksum, and the time that dropping `store` takes.
    pub fn finish<S>(&self, mut sample: Sample, checksum: u64, store: S) -> Sample {
        let seconds = sample.get("seconds").unwrap_or(f64::NAN);
        let gib = self.len() as f64 / f64::from(1 << 30);
        sample.add("rate", gib / seconds, "GiB/s");
        let started = Instant::now();
        drop(store);
        sample.add("drop", started.elapsed().as_secs_f64(), "s");
        sample.checksum = checksum;
        sample
    }
}

/// Runs `work` on every part, each in a thread of its own; a single part in this thread.
///
/// # Errors
///
/// The first one of `work`.
pub fn on_threads<L: Send>(
    parts: &mut [Part<L>],
    work: impl Fn(&mut Part<L>) -> Result<()> + Sync,
) -> Result<()> {
    if let [only] = parts {
        return work(only);
    }
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = parts
            .iter_mut()
            .map(|part| scope.spawn(move || work(part)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            let joined = thread.join();
            joined.unwrap_or_else(|_panic| Err(Failure::new("a thread panicked")))
        })
    })
}

/// Returns the raw loops and outcore.
fn own() -> Vec<Pusher> {
    let pusher = |name, note, limited_too, run| Pusher {
        name,
        note,
        limited_too,
        run,
    };
    let reserved = "space for all claimed before the clock starts, as for the raw loop";
    let whole = "writes whole MiB from the pool: no items, no locations";
    vec![
        pusher(RAW, whole, true, |job| raw_writes(job, 1, 1, false)),
        pusher("raw_pwrite_1MiB_with_fallocate", whole, false, |job| {
            raw_writes(job, 1, 1, true)
        }),
        pusher("raw_2_threads_1_file", whole, false, |job| {
            raw_writes(job, 2, 1, false)
        }),
        pusher("raw_2_threads_2_files", whole, false, |job| {
            raw_writes(job, 2, 2, false)
        }),
        pusher("outcore", "", true, |job| outcore_writers(job, 1, false)),
        pusher(RESERVED, reserved, false, |job| {
            outcore_writers(job, 1, true)
        }),
        pusher("outcore_2_writers", "", false, |job| {
            outcore_writers(job, 2, false)
        }),
    ]
}

/// Preallocates (timed or not), then writes the stream.
fn raw_writes(job: &PushJob, threads: u16, files: u16, timed_allocation: bool) -> Result<Sample> {
    let mut parts: Vec<Part<u64>> = job.parts(threads);
    let share = job.len() / u64::from(files);
    let create = || -> Result<Vec<File>> {
        let files = (0..files).map(|_| raw::create(&job.dir));
        files.collect()
    };
    let preallocate = |files: &[File]| -> Result<()> {
        files
            .iter()
            .try_for_each(|file| raw::preallocate(file, share))
    };
    let files = create()?;
    if !timed_allocation {
        preallocate(&files)?;
    }
    let stage = Stage::start()?;
    if timed_allocation {
        preallocate(&files)?;
    }
    let of_part = |number: u16| {
        let index = usize::from(number).min(files.len() - 1);
        (&files[index], index as u64 * share)
    };
    on_threads(&mut parts, |part| {
        let (file, base) = of_part(part.number);
        let [from, to] = [part.items.start, part.items.end].map(|item| item * ITEM_LEN as u64);
        raw::write_stream(file, &job.pool, from, to, base)
    })?;
    let sample = stage.stop()?;
    for part in &mut parts {
        let kept = part.items.clone().filter(|index| index % KEEP == 0);
        part.kept.extend(kept);
    }
    let checksum = job.verify(&parts, |number, index, buffer: &mut Vec<u8>| {
        buffer.resize(ITEM_LEN, 0);
        let (file, base) = of_part(number);
        raw::read_exact(file, buffer, index * ITEM_LEN as u64 - base)
    })?;
    Ok(job.finish(sample, checksum, files))
}

fn outcore_writers(job: &PushJob, writers: u16, is_reserved: bool) -> Result<Sample> {
    let mut parts = job.parts(writers);
    let mut stage = Stage::start()?;
    let arena = Arena::new()?;
    let mut ready = Vec::new();
    if is_reserved {
        for part in &parts {
            let mut writer = arena.writer()?;
            writer.reserve((part.items.end - part.items.start) * ITEM_LEN as u64)?;
            ready.push(writer);
        }
        stage = Stage::start()?;
    }
    let ready = Mutex::new(ready);
    on_threads(&mut parts, |part| {
        let taken = ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut writer = match taken {
            Some(writer) => writer,
            None => arena.writer()?,
        };
        job.push_all(part, |item| writer.push(item))?;
        writer.finish()?;
        Ok(())
    })?;
    let mut sample = stage.stop()?;
    sample.add("disk_used", arena.disk_bytes() as f64, "bytes");
    let get = |_, location, buffer: &mut Vec<u8>| arena.get_into(location, buffer);
    let checksum = job.verify(&parts, get)?;
    Ok(job.finish(sample, checksum, arena))
}

/// Returns the workloads, with the candidates of the caller behind our own.
///
/// # Errors
///
/// A size that does not divide into two parts of whole MiB.
pub fn workloads(settings: &Settings, dir: &Path, others: &[Pusher]) -> Result<Vec<Workload>> {
    let len = settings.bytes(128 << 20, 4 << 30);
    if len == 0 || len % (2 << 20) != 0 {
        return Err(Failure::new("--size: a multiple of 2MiB, please"));
    }
    let pushers: Vec<Pusher> = own().into_iter().chain(others.iter().copied()).collect();
    let limited: Vec<Pusher> = pushers
        .iter()
        .copied()
        .filter(|one| one.limited_too)
        .collect();
    let name = format!("push_{ITEM_LEN}/{}", text_of_bytes(len));
    let limit = limit_for(len);
    let limited_name = format!("{name}/limit_{}", text_of_bytes(limit));
    let seed = settings.seed;
    let workload = |name, title, limit, pushers: &[Pusher], rounds| {
        let job = {
            let dir = dir.to_owned();
            move || PushJob::new(&dir, len, seed)
        };
        let isolated =
            |one: &Pusher| Isolated::of_job((one.name, one.note), limit, job.clone(), one.run);
        let all = pushers.iter().map(isolated).collect();
        Workload {
            name,
            title,
            headline: RATE,
            columns: COLUMNS.to_vec(),
            baselines: vec![RAW],
            goals: Vec::new(),
            rounds,
            expected: Deferred::new(move || job().expected()),
            kind: Kind::Isolated(all),
        }
    };
    let mut free = workload(name, TITLE, None, &pushers, settings.rounds(5, 5));
    free.goals = goals();
    let mut tight = workload(
        limited_name,
        TITLE_LIMITED,
        Some(limit),
        &limited,
        settings.rounds(5, 5),
    );
    let group_peak = Column::new("group peak MiB", "group_peak", MIB, 0);
    tight.columns.push(group_peak.peak());
    Ok(vec![free, tight])
}

/// What is asked of outcore against the raw loops.
fn goals() -> Vec<Goal> {
    let mut scaling = Goal::new(
        "outcore_2_writers",
        Asked::Faster {
            baseline: "outcore",
            factor: 1.5,
        },
    );
    scaling.provided = Some(Provided {
        pairs: &[
            ("raw_2_threads_1_file", RAW),
            ("raw_2_threads_2_files", RAW),
        ],
        factor: 1.5,
    });
    let peak = |candidate, mib, text| {
        let metric = "peak_above_start";
        let (limit, scale) = (mib * MIB, MIB);
        let asked = Asked::AtMost {
            metric,
            limit,
            text,
            scale,
        };
        Goal::new(candidate, asked)
    };
    let of_raw = |candidate| {
        let asked = Asked::Faster {
            baseline: RAW,
            factor: 0.8,
        };
        Goal::new(candidate, asked)
    };
    vec![
        of_raw("outcore"),
        of_raw(RESERVED),
        scaling,
        peak("outcore", 8.0, "8 MiB"),
        peak("outcore_2_writers", 16.0, "16 MiB (8 a writer)"),
    ]
}

const TITLE: &str = "\
Items of 256 bytes pushed one by one into fresh files, a process for each run. Timed until\n\
all bytes have left the writers' buffers for the page cache; nobody syncs.";

const TITLE_LIMITED: &str = "\
The same inside a memory group of a sixteenth of the data, page cache included.";

const COLUMNS: &[Column] = &[PEAK, CPU[0], CPU[1], FAULTS, DROP];

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> PushJob {
        PushJob::new(Path::new(env!("CARGO_MANIFEST_DIR")), 8 << 20, 1)
    }

    /// Keeps the items in memory: what a correct candidate does.
    fn in_memory(job: &PushJob, threads: u16, spoil: fn(&mut [u8])) -> Result<u64> {
        let mut parts: Vec<Part<[u8; ITEM_LEN]>> = Vec::new();
        for part in job.parts::<u8>(threads) {
            parts.push(Part {
                items: part.items,
                number: part.number,
                kept: Vec::new(),
            });
        }
        on_threads(&mut parts, |part| {
            job.push_all(part, |item| {
                let mut item: [u8; ITEM_LEN] = item.try_into().unwrap();
                spoil(&mut item);
                Ok::<_, Failure>(item)
            })
        })?;
        job.verify(&parts, |_, item, buffer: &mut Vec<u8>| {
            buffer.extend_from_slice(&item);
            Ok::<_, Failure>(())
        })
    }

    #[test]
    fn the_checksum_is_the_same_for_any_number_of_threads() {
        let job = job();
        assert_eq!(in_memory(&job, 1, |_item| {}), Ok(job.expected()));
        assert_eq!(in_memory(&job, 2, |_item| {}), Ok(job.expected()));
    }

    #[test]
    fn a_flipped_bit_changes_the_checksum() {
        let job = job();
        let spoilt = in_memory(&job, 1, |item| item[255] ^= 1);
        assert_ne!(spoilt, Ok(job.expected()));
    }

    #[test]
    fn raw_writes_come_back() {
        let job = job();
        for (threads, files) in [(1, 1), (2, 1), (2, 2)] {
            let sample = raw_writes(&job, threads, files, threads == 1).unwrap();
            assert_eq!(sample.checksum, job.expected());
            assert!(sample.get("rate").unwrap() > 0.0);
        }
    }

    #[test]
    fn outcore_writers_come_back() {
        let job = job();
        for writers in [1, 2] {
            for is_reserved in [false, true] {
                let sample = outcore_writers(&job, writers, is_reserved).unwrap();
                assert_eq!(sample.checksum, job.expected());
            }
        }
    }
}
