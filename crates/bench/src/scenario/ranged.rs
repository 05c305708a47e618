//! One file, several threads, each in ranges of its own: filling a fresh file, overwriting a warm
//! one.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use outcore::{FileRangeMut, RangeFile};

use crate::child;
use crate::failure::{Context, Failure, Result};
use crate::goal::{Asked, Goal};
use crate::machine;
use crate::measure::{Candidate, Sample};
use crate::pool::{self, Pool};
use crate::random::Random;
use crate::scenario::raw;
use crate::settings::{Settings, text_of_bytes};
use crate::stage::Stage;
use crate::workload::{CPU, Deferred, FAULTS, Headline, Isolated, Kind, RATE, Shared, Workload};

/// The row of system calls.
pub const RAW: &str = "raw_pwrite_prealloc";

/// The row of outcore.
pub const OUTCORE: &str = "outcore";

/// The row of outcore that writes through the mapping.
const SLICE: &str = "outcore_slice";

/// Returns the row of the way to write that the documentation names for pieces of this length.
pub fn way_for(piece: usize) -> &'static str {
    if piece == BLOCK { SLICE } else { OUTCORE }
}

/// The row of warm overwrites by system calls.
pub const RAW_WARM: &str = "raw_pwrite_4KiB";

/// The row of warm overwrites of what is in no file.
const MEMORY: &str = "memory";

/// The length of what is allocated and overwritten.
pub const BLOCK: usize = 4096;

/// One block in so many is read back.
const CHECK: usize = 61;

/// Threads that fill a file.
const FILLERS: usize = 2;

/// What is to be filled.
#[derive(Clone, Debug)]
pub struct FillJob {
    /// The path that the file may have.
    pub path: PathBuf,
    /// Its length.
    pub len: u64,
    /// The length of one range.
    pub piece: usize,
    /// How many bytes are filled while the clock runs: the length, or less where a way is so slow
    /// that the rest is not worth the wait.
    pub timed: u64,
    pool: Arc<Pool>,
}

/// A way to fill a file.
#[derive(Clone, Copy, Debug)]
pub struct Filler {
    /// The name in tables and records.
    pub name: &'static str,
    /// What is not equal to the other candidates; empty if nothing.
    pub note: &'static str,
    /// Does one run.
    pub run: fn(&FillJob) -> Result<Sample>,
}

impl FillJob {
    /// Describes a file of `len` bytes in `dir`, filled in ranges of `piece`.
    pub fn new(dir: &Path, len: u64, piece: usize, seed: u64) -> Self {
        let len = len - len % piece as u64;
        Self {
            path: child::named_folder(dir, parent_id()).join("filled"),
            len,
            piece,
            timed: len,
            pool: Arc::new(Pool::new(BLOCK, seed)),
        }
    }

    /// Returns the bytes of the range at `offset`.
    #[inline]
    pub fn source(&self, offset: u64) -> &[u8] {
        &self.pool.chunk(offset)[..self.piece]
    }

    /// Makes a file, lets the threads fill it, and reads some back from what `end` returns, which
    /// is not timed.
    ///
    /// # Errors
    ///
    /// The first one of the functions.
    pub fn measure<F: Sync>(
        &self,
        make: impl FnOnce() -> Result<F>,
        work: impl Fn(&F) -> Result<()> + Sync,
        end: impl FnOnce(F) -> Result<File>,
    ) -> Result<Sample> {
        let folder = self.path.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder).context("make a folder")?;
        drop(fs::remove_file(&self.path));
        let stage = Stage::start()?;
        let file = make()?;
        on_threads(FILLERS, |_| work(&file))?;
        let mut sample = stage.stop()?;
        let seconds = sample.get("seconds").unwrap_or(f64::NAN);
        let rate = self.timed as f64 / seconds / f64::from(1 << 30);
        sample.add("rate", rate, "GiB/s");
        let file = end(file)?;
        sample.checksum = self.checksum(|offset, block| Ok(file.read_exact_at(block, offset)?))?;
        drop(fs::remove_file(&self.path));
        Ok(sample)
    }

    fn checksum(&self, mut read: impl FnMut(u64, &mut [u8]) -> Result<()>) -> Result<u64> {
        let mut block = vec![0; BLOCK];
        let mut sum = 0u64;
        for offset in (0..self.len).step_by(BLOCK * CHECK) {
            read(offset, &mut block)?;
            sum = sum.wrapping_add(pool::fingerprint(offset, &block));
        }
        Ok(sum)
    }

    fn expected(&self) -> Result<u64> {
        self.checksum(|offset, block| {
            let piece = offset - offset % self.piece as u64;
            let within = pool::index(offset - piece);
            block.copy_from_slice(&self.source(piece)[within..within + BLOCK]);
            Ok(())
        })
    }

    /// Opens the file that has the path now.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn published(&self) -> Result<File> {
        let file = OpenOptions::new().read(true).open(&self.path);
        file.context("open what was filled")
    }
}

/// Runs `work` on so many threads; returns the first error.
///
/// # Errors
///
/// Those of `work`.
pub fn on_threads(count: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        let mut answers = threads.into_iter().map(thread::ScopedJoinHandle::join);
        answers.try_for_each(|answer| {
            answer.unwrap_or_else(|_panic| Err(Failure::new("a thread panicked")))
        })
    })
}

fn fillers() -> Vec<Filler> {
    vec![
        Filler {
            name: RAW,
            note: "fallocate, then pwrite; offsets from fetch_add",
            run: |job| {
                let next = AtomicU64::new(0);
                let make = || {
                    let dir = job.path.parent().unwrap_or(&job.path);
                    let file = raw::create(dir)?;
                    raw::preallocate(&file, job.len)?;
                    Ok(file)
                };
                let fill = |file: &File| {
                    loop {
                        let offset = next.fetch_add(job.piece as u64, Relaxed);
                        if offset >= job.len {
                            return Ok(());
                        }
                        file.write_all_at(job.source(offset), offset)?;
                    }
                };
                job.measure(make, fill, Ok)
            },
        },
        Filler {
            name: OUTCORE,
            note: "write_all_at; published after the clock has stopped",
            run: |job| {
                fill_ranges(job, |range, source| {
                    range.write_all_at(source, 0)?;
                    Ok(())
                })
            },
        },
        Filler {
            name: SLICE,
            note: "through the slice",
            run: |job| {
                fill_ranges(job, |range, source| {
                    range.copy_from_slice(source);
                    Ok(())
                })
            },
        },
    ]
}

fn fill_ranges(
    job: &FillJob,
    write: impl Fn(&mut FileRangeMut, &[u8]) -> Result<()> + Sync,
) -> Result<Sample> {
    let make = || Ok(RangeFile::create(&job.path, job.len)?);
    let fill = |file: &RangeFile| {
        while let Some(mut range) = file.allocate(job.piece as u64) {
            let source = job.source(range.start());
            write(&mut range, source)?;
            range.freeze();
        }
        Ok(())
    };
    let end = |file: RangeFile| {
        file.publish().map_err(outcore::Error::from)?;
        job.published()
    };
    job.measure(make, fill, end)
}

/// A warm file that is overwritten.
#[derive(Clone, Debug)]
pub struct OverwriteJob {
    /// What the file is filled with before.
    pub fill: FillJob,
    /// The numbers of all blocks, in the order in which they are overwritten.
    order: Arc<Vec<u64>>,
}

/// Fills a file of its own, and returns the way to overwrite it.
pub type Prepare = fn(&OverwriteJob) -> Result<Candidate<'static>>;

impl OverwriteJob {
    /// Returns the bytes that block `number` gets.
    #[inline]
    fn source(&self, number: u64) -> &[u8] {
        self.fill.source((number + 7) * BLOCK as u64)
    }

    /// Overwrites every block once, then reads some back. Nothing is being written back when the clock
    /// starts: whichever candidate met what the one before had left was twice as slow.
    ///
    /// # Errors
    ///
    /// The first one of the functions.
    pub fn measure(
        &self,
        mut write: impl FnMut(u64, &[u8]) -> Result<()>,
        read: impl FnMut(u64, &mut [u8]) -> Result<()>,
    ) -> Result<Sample> {
        machine::settle(self.fill.path.parent().unwrap_or(&self.fill.path));
        let stage = Stage::start()?;
        for number in self.order.iter() {
            write(*number, self.source(*number))?;
        }
        let mut sample = stage.stop()?;
        let seconds = sample.get("seconds").unwrap_or(f64::NAN);
        let time = seconds * 1e9 / self.order.len() as f64;
        sample.add("time_per_write", time, "ns");
        sample.checksum = self.fill.checksum(read)?;
        Ok(sample)
    }

    fn expected(&self) -> Result<u64> {
        self.fill.checksum(|offset, block| {
            block.copy_from_slice(self.source(offset / BLOCK as u64));
            Ok(())
        })
    }
}

fn overwriters(job: &OverwriteJob) -> Result<Vec<Candidate<'static>>> {
    let dir = job.fill.path.parent().unwrap_or(&job.fill.path);
    fs::create_dir_all(dir).context("make a folder")?;
    let file = raw::create(dir)?;
    raw::preallocate(&file, job.fill.len)?;
    for offset in (0..job.fill.len).step_by(BLOCK) {
        file.write_all_at(job.fill.source(offset), offset)?;
    }
    let own = job.clone();
    let calls = Candidate::new(RAW_WARM, "", move || {
        own.measure(
            |number, source| Ok(file.write_all_at(source, number * BLOCK as u64)?),
            |offset, block| Ok(file.read_exact_at(block, offset)?),
        )
    });

    let file = RangeFile::create(dir.join("warm"), job.fill.len)?;
    let mut ranges: Vec<FileRangeMut> = Vec::new();
    while let Some(mut range) = file.allocate(BLOCK as u64) {
        let source = job.fill.source(range.start());
        range.copy_from_slice(source);
        ranges.push(range);
    }
    let own = job.clone();
    let slices = Candidate::new(OUTCORE, "through the slice", move || {
        let shared = std::cell::RefCell::new(&mut ranges);
        own.measure(
            |number, source| {
                shared.borrow_mut()[pool::index(number)].copy_from_slice(source);
                Ok(())
            },
            |offset, block| {
                block.copy_from_slice(&shared.borrow()[pool::index(offset) / BLOCK]);
                Ok(())
            },
        )
    });

    let len = pool::index(job.fill.len);
    // Every page has been touched before the clock starts.
    let memory = std::cell::RefCell::new(vec![1u8; len]);
    let own = job.clone();
    let copies = Candidate::new(MEMORY, "anonymous memory, as `Vec` has it", move || {
        own.measure(
            |number, source| {
                let first = pool::index(number) * BLOCK;
                memory.borrow_mut()[first..first + BLOCK].copy_from_slice(source);
                Ok(())
            },
            |offset, block| {
                let first = pool::index(offset);
                block.copy_from_slice(&memory.borrow()[first..first + BLOCK]);
                Ok(())
            },
        )
    });
    Ok(vec![calls, slices, copies])
}

/// Returns the workloads, with the candidates of the caller behind our own.
pub fn workloads(
    settings: &Settings,
    dir: &Path,
    others: &[Filler],
    overwrite: &[Prepare],
) -> Vec<Workload> {
    let mut all = Vec::new();
    let len = settings.bytes(256 << 20, 4 << 30);
    for piece in [4 << 10, 64 << 10, 1 << 20] {
        let job = FillJob::new(dir, len, piece, settings.seed);
        all.push(filling(settings, &job, others));
    }
    let len = settings.bytes(128 << 20, 1 << 30);
    let fill = FillJob::new(dir, len, BLOCK, settings.seed);
    all.push(overwriting(settings, fill, overwrite));
    all
}

fn filling(settings: &Settings, job: &FillJob, others: &[Filler]) -> Workload {
    let isolated = |filler: &Filler| {
        let (job, run) = (job.clone(), filler.run);
        Isolated {
            name: filler.name,
            note: filler.note,
            memory_limit: None,
            run: Box::new(move || run(&job)),
        }
    };
    let candidates = fillers().into_iter().chain(others.iter().copied());
    let factor = if job.piece == BLOCK { 1.0 } else { 0.9 };
    let own = job.clone();
    Workload {
        name: format!(
            "fill_{}/{}/2_threads",
            text_of_bytes(job.piece as u64),
            text_of_bytes(job.len)
        ),
        title: "\
One fresh file filled by two threads in ranges of one length, a process for each run. Timed\n\
from before the file exists until all bytes are in the page cache.",
        headline: RATE,
        columns: vec![CPU[0], CPU[1], FAULTS],
        baselines: vec![RAW],
        goals: vec![Goal::new(
            way_for(job.piece),
            Asked::Faster {
                baseline: RAW,
                factor,
            },
        )],
        rounds: settings.rounds(3, 7),
        expected: Deferred::new(move || own.expected().unwrap_or(0)),
        kind: Kind::Isolated(candidates.map(|filler| isolated(&filler)).collect()),
    }
}

fn overwriting(settings: &Settings, fill: FillJob, others: &[Prepare]) -> Workload {
    let mut order: Vec<u64> = (0..fill.len / BLOCK as u64).collect();
    Random::new(settings.seed).shuffle(&mut order);
    let job = OverwriteJob {
        fill,
        order: Arc::new(order),
    };
    let own = job.clone();
    let others = others.to_vec();
    Workload {
        name: format!("overwrite_4KiB/{}/warm", text_of_bytes(job.fill.len)),
        title: "\
Every block of a file in memory overwritten once, in scattered order, by one thread.",
        headline: Headline {
            metric: "time_per_write",
            unit: "ns",
            higher_is_better: false,
        },
        columns: vec![FAULTS],
        baselines: vec![RAW_WARM, MEMORY],
        goals: vec![Goal::new(
            OUTCORE,
            Asked::Faster {
                baseline: RAW_WARM,
                factor: 3.0,
            },
        )],
        rounds: settings.rounds(5, 9),
        expected: Deferred::new(move || own.expected().unwrap_or(0)),
        kind: Kind::Shared(Shared {
            memory_limit: None,
            read_ahead_kb: None,
            prepare: Deferred::new(move || {
                let mut candidates = overwriters(&job)?;
                for prepare in &others {
                    candidates.push(prepare(&job)?);
                }
                Ok(candidates)
            }),
        }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measure::Outcome;

    pub(crate) fn fill(len: u64, piece: usize) -> FillJob {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let mut job = FillJob::new(&target, len, piece, 3);
        let name = format!("filled-{}-{piece}", std::process::id());
        job.path = job.path.with_file_name(name);
        fs::create_dir_all(job.path.parent().unwrap()).unwrap();
        job
    }

    #[test]
    fn every_filler_comes_to_the_expected_checksum() {
        for piece in [4 << 10, 64 << 10, 1 << 20] {
            let job = fill(3 << 20, piece);
            for filler in fillers() {
                let sample = (filler.run)(&job).unwrap();
                assert_eq!(sample.checksum, job.expected().unwrap(), "{}", filler.name);
            }
        }
    }

    pub(crate) fn run(mut candidate: Candidate<'static>) -> u64 {
        let Outcome::Measured(sample) = (candidate.run)() else {
            panic!("{}: no sample", candidate.name);
        };
        sample.checksum
    }

    #[test]
    fn every_overwriter_comes_to_the_expected_checksum() {
        let job = OverwriteJob {
            fill: fill(1 << 20, BLOCK),
            order: Arc::new((0..256).rev().collect()),
        };
        for candidate in overwriters(&job).unwrap() {
            assert_eq!(run(candidate), job.expected().unwrap());
        }
    }
}
