//! Reading a vector: adding it up in memory, scanning what is larger than memory, and
//! reaching into it at random.
//!
//! The vectors are filled once, in the process that all candidates share; where a limit is
//! named, that process lives inside of it from the start.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use outcore::{Advice, DiskVec};
use rustix::fs::OFlags;

use crate::cache;
use crate::failure::{Context, Failure, Result};
use crate::goal::{Asked, Goal};
use crate::measure::{Candidate, Sample};
use crate::pool;
use crate::random::Random;
use crate::scenario::raw;
use crate::scenario::shared_file::OpenFiles;
use crate::scenario::vec_push::number;
use crate::settings::{Settings, limit_for, text_of_bytes};
use crate::stage::Stage;
use crate::workload::{
    Column, Deferred, FAULTS, Kind, PEAK, RATE, Shared, TIME_PER_READ, Workload,
};

/// Bytes at the end of a vector that may not be in its file yet.
const WINDOW: u64 = 16 << 20;

/// An element of 64 bytes.
type Wide = [u64; 8];

/// Makes candidates for the sum of `count` numbers in memory.
pub type PrepareSum = fn(count: u64, dir: &Path) -> Result<Vec<Candidate<'static>>>;

/// Returns the workloads, with the candidates of the caller for the sum behind our own.
pub fn workloads(settings: &Settings, dir: &Path, sums: &[PrepareSum]) -> Vec<Workload> {
    let sum = settings.bytes(128 << 20, 1 << 30);
    let large = settings.bytes(256 << 20, 4 << 30);
    let mut all = vec![
        sum_workload(settings, dir, sum, sums),
        scan_workload(settings, dir, large),
    ];
    let read_aheads = [128, 8192];
    let random = read_aheads.map(|kb| random_workload(settings, dir, large, kb));
    all.extend(random);
    all
}

/// Runs `sum` with the clock on, and returns a sample with a rate of `len` bytes.
///
/// # Errors
///
/// That of `sum`.
pub fn timed_sum(len: u64, sum: impl FnOnce() -> Result<u64>) -> Result<Sample> {
    let stage = Stage::start()?;
    let sum = sum()?;
    let mut sample = stage.stop()?;
    let seconds = sample.get("seconds").unwrap_or(f64::NAN);
    sample.add("rate", len as f64 / f64::from(1 << 30) / seconds, "GiB/s");
    sample.checksum = sum;
    Ok(sample)
}

/// Adds up numbers, each of them looked at.
#[inline(never)]
pub fn sum_of(numbers: &[u64]) -> u64 {
    std::hint::black_box(numbers)
        .iter()
        .fold(0u64, |sum, number| sum.wrapping_add(*number))
}

fn expected_sum(count: u64) -> u64 {
    (0..count).fold(0u64, |sum, index| sum.wrapping_add(number(index)))
}

fn filled(count: u64) -> Result<DiskVec<u64>> {
    let mut vec = DiskVec::new();
    vec.try_extend((0..count).map(number))?;
    Ok(vec)
}

fn sum_workload(settings: &Settings, dir: &Path, len: u64, sums: &[PrepareSum]) -> Workload {
    let count = len / 8;
    let (dir, sums) = (dir.to_owned(), sums.to_vec());
    let within = |baseline| {
        let factor = 1.02;
        Goal::new("outcore", Asked::TimeWithin { baseline, factor })
    };
    Workload {
        name: format!("sum_u64/{}/warm", text_of_bytes(len)),
        title: TITLE_SUM,
        headline: RATE,
        columns: vec![FAULTS],
        baselines: vec!["slice_of_outcore", "std_vec"],
        goals: vec![within("slice_of_outcore"), within("std_vec")],
        rounds: settings.rounds(9, 31),
        expected: Deferred::new(move || expected_sum(count)),
        kind: Kind::Shared(Shared {
            memory_limit: None,
            read_ahead_kb: None,
            prepare: Deferred::new(move || {
                let mut candidates = sum_candidates(count)?;
                for prepare in &sums {
                    candidates.extend(prepare(count, &dir)?);
                }
                Ok(candidates)
            }),
        }),
    }
}

fn sum_candidates(count: u64) -> Result<Vec<Candidate<'static>>> {
    // The process ends with the workload: nobody needs to free these.
    let vec: &'static DiskVec<u64> = Box::leak(Box::new(filled(count)?));
    let slice: &'static [u64] = vec;
    let plain: Vec<u64> = (0..count).map(number).collect();
    let len = count * 8;
    Ok(vec![
        Candidate::new("outcore", "", move || timed_sum(len, || Ok(sum_of(vec)))),
        Candidate::new("slice_of_outcore", "the same memory", move || {
            timed_sum(len, || Ok(sum_of(slice)))
        }),
        Candidate::new("std_vec", "memory of its own", move || {
            timed_sum(len, || Ok(sum_of(&plain)))
        }),
    ])
}

fn scan_workload(settings: &Settings, dir: &Path, len: u64) -> Workload {
    let count = len / 8;
    let limit = limit_for(len);
    let dir = dir.to_owned();
    let factor = 0.9;
    let baseline = "cat";
    Workload {
        name: format!(
            "scan_u64/{}/limit_{}/cold",
            text_of_bytes(len),
            text_of_bytes(limit)
        ),
        title: TITLE_SCAN,
        headline: RATE,
        columns: vec![FAULTS, PEAK],
        baselines: vec![baseline],
        goals: vec![Goal::new(
            "outcore_scan",
            Asked::Faster { baseline, factor },
        )],
        rounds: settings.rounds(5, 5),
        expected: Deferred::new(move || expected_sum(count)),
        kind: Kind::Shared(Shared {
            memory_limit: Some(limit),
            read_ahead_kb: None,
            prepare: Deferred::new(move || scan_candidates(count, &dir)),
        }),
    }
}

fn scan_candidates(count: u64, dir: &Path) -> Result<Vec<Candidate<'static>>> {
    let before = OpenFiles::now()?;
    let vec: &'static DiskVec<u64> = Box::leak(Box::new(filled(count)?));
    let file = file_of(&before, count * 8, |index| number(index).to_le_bytes())?;
    let cold = {
        let dir = dir.to_owned();
        move || make_cold(vec, &dir)
    };
    let expected = expected_sum(count);
    let cold_too = cold.clone();
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let len = file.metadata()?.len();
    let note = "does not look at the bytes it reads; includes the start of a process";
    Ok(vec![
        Candidate::new("cat", note, move || {
            // The path is good as long as the file is open.
            let _open = &file;
            cold()?;
            timed_sum(len, || {
                let mut cat = Command::new("cat");
                let status = cat.arg(&path).stdout(Stdio::null()).status()?;
                let failed = || Failure::new(format!("cat: {status}"));
                status.success().then_some(expected).ok_or_else(failed)
            })
        }),
        Candidate::new("outcore_scan", "", move || {
            cold_too()?;
            timed_sum(count * 8, || {
                let sums = vec.scan().map(sum_of);
                Ok(sums.fold(0u64, u64::wrapping_add))
            })
        }),
    ])
}

/// Takes a vector out of memory, and fails if that does not work.
fn make_cold<T>(vec: &DiskVec<T>, dir: &Path) -> Result<()> {
    // A page that the kernel is still busy with stays mapped, and so it stays in memory.
    for _ in 0..10 {
        vec.evict(..)?;
        if cache::drop_open_files(dir)? == 0 {
            return Ok(());
        }
    }
    cache::expect_cold(cache::drop_open_files(dir)?)
}

/// Finds the file that appeared since and holds elements in order from its first byte on.
fn file_of<const N: usize>(
    before: &OpenFiles,
    len: u64,
    element: impl Fn(u64) -> [u8; N],
) -> Result<File> {
    let in_file = len.saturating_sub(WINDOW);
    let found = before.find(in_file, |file| {
        let step = pool::index((in_file / N as u64 / 100).max(1));
        (0..in_file / N as u64).step_by(step).all(|index| {
            let mut buffer = [0; N];
            let read = raw::read_exact(file, &mut buffer, index * N as u64);
            read.is_ok() && buffer == element(index)
        })
    })?;
    found.ok_or_else(|| Failure::new("the file of the vector is not as expected"))
}

fn random_workload(settings: &Settings, dir: &Path, len: u64, read_ahead_kb: u32) -> Workload {
    let limit = limit_for(len);
    let reads = if settings.full { 10_000 } else { 3000 };
    let mut random = Random::new(settings.seed ^ 0x64);
    let in_file = len.saturating_sub(WINDOW).max(64) / 64;
    let sequence: Vec<u64> = (0..reads).map(|_| random.below(in_file)).collect();
    let sum = sequence
        .iter()
        .flat_map(|index| wide(*index))
        .fold(0u64, u64::wrapping_add);
    let dir = dir.to_owned();
    let within = Asked::TimeWithin {
        baseline: DIRECT,
        factor: 1.15,
    };
    Workload {
        name: format!(
            "random_64/{}/limit_{}/cold/read_ahead_{read_ahead_kb}",
            text_of_bytes(len),
            text_of_bytes(limit)
        ),
        title: TITLE_RANDOM,
        headline: TIME_PER_READ,
        columns: vec![MAJOR_FAULTS],
        baselines: vec![DIRECT],
        goals: vec![
            Goal::new("outcore_random", within),
            Goal::new(
                "outcore_gather",
                Asked::Faster {
                    baseline: "outcore_random",
                    factor: 4.0,
                },
            ),
        ],
        rounds: settings.rounds(5, 5),
        expected: Deferred::new(move || sum),
        kind: Kind::Shared(Shared {
            memory_limit: Some(limit),
            read_ahead_kb: Some(read_ahead_kb),
            prepare: Deferred::new(move || random_candidates(len, &dir, &sequence)),
        }),
    }
}

/// The row of reads past the page cache.
const DIRECT: &str = "raw_direct_pread_4KiB";

fn wide(index: u64) -> Wide {
    [number(index), index, 2, 3, 4, 5, 6, 7]
}

fn random_candidates(len: u64, dir: &Path, sequence: &[u64]) -> Result<Vec<Candidate<'static>>> {
    let before = OpenFiles::now()?;
    let mut vec = DiskVec::new();
    vec.try_extend((0..len / 64).map(wide))?;
    vec.advise(Advice::Random)?;
    let vec: &'static DiskVec<Wide> = Box::leak(Box::new(vec));
    let bytes = |index| {
        let mut bytes = [0; 64];
        for (target, word) in bytes.chunks_exact_mut(8).zip(wide(index)) {
            target.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    };
    let file = file_of(&before, len, bytes)?;
    let cold = {
        let dir: PathBuf = dir.to_owned();
        move || make_cold(vec, &dir)
    };
    let reads = sequence.len() as f64;
    let finish = move |sample: Sample| {
        let mut sample = sample;
        let seconds = sample.get("seconds").unwrap_or(f64::NAN);
        sample.add("time_per_read", seconds * 1e9 / reads, "ns");
        sample
    };
    let [direct, buffered, mapped] = [sequence.to_vec(), sequence.to_vec(), sequence.to_vec()];
    let direct_file = reopened(&file, OFlags::DIRECT)?;
    let (cold_direct, cold_buffered) = (cold.clone(), cold.clone());
    let (cold_gather, cold_ahead) = (cold.clone(), cold.clone());
    let indices: Vec<usize> = sequence.iter().map(|index| pool::index(*index)).collect();
    let ahead = indices.clone();
    Ok(vec![
        Candidate::new("outcore_gather", "all of them in one call", move || {
            cold_gather()?;
            timed_sum(0, || {
                let elements = vec.gather(&indices)?;
                Ok(elements.into_iter().flatten().fold(0u64, u64::wrapping_add))
            })
            .map(finish)
        }),
        Candidate::new("outcore_prefetch_many", "told 128 at a time", move || {
            cold_ahead()?;
            timed_sum(0, || {
                let mut sum = 0u64;
                for few in ahead.chunks(128) {
                    vec.prefetch_many(few)?;
                    let elements = few.iter().flat_map(|index| vec[*index]);
                    sum = elements.fold(sum, u64::wrapping_add);
                }
                Ok(sum)
            })
            .map(finish)
        }),
        Candidate::new(DIRECT, "bypasses the page cache", move || {
            cold_direct()?;
            timed_sum(0, || sum_direct(&direct_file, &direct)).map(finish)
        }),
        Candidate::new("raw_pread_64B", "", move || {
            cold_buffered()?;
            timed_sum(0, || sum_buffered(&file, &buffered)).map(finish)
        }),
        Candidate::new("outcore_random", "Advice::Random", move || {
            cold()?;
            let elements = mapped.iter().map(|index| vec[pool::index(*index)]);
            let sum = || elements.flatten().fold(0u64, u64::wrapping_add);
            timed_sum(0, || Ok(sum())).map(finish)
        }),
    ])
}

fn sum_buffered(file: &File, sequence: &[u64]) -> Result<u64> {
    let mut sum = 0u64;
    let mut buffer = [0; 64];
    for index in sequence {
        raw::read_exact(file, &mut buffer, index * 64)?;
        sum = sum.wrapping_add(pool::sum_words(&buffer));
    }
    Ok(sum)
}

fn sum_direct(file: &File, sequence: &[u64]) -> Result<u64> {
    const BLOCK: usize = 4096;
    let mut memory = vec![0; 2 * BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    let block = &mut memory[start..start + BLOCK];
    let mut sum = 0u64;
    for index in sequence {
        let offset = index * 64;
        let inside = pool::index(offset % BLOCK as u64);
        raw::read_exact(file, block, offset - inside as u64)?;
        sum = sum.wrapping_add(pool::sum_words(&block[inside..inside + 64]));
    }
    Ok(sum)
}

/// Opens a file once more, with other flags.
pub(crate) fn reopened(file: &File, flags: OFlags) -> Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = flags | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    Ok(File::from(fd.context("open a file again")?))
}

const TITLE_SUM: &str = "\
All numbers of a vector that is in memory, added up by the same function.";

const TITLE_SCAN: &str = "\
A vector sixteen times as large as the memory group it lives in, added up from first to last;\n\
the cache is empty at the start (cachestat says 0 pages).";

const TITLE_RANDOM: &str = "\
Elements of 64 bytes at random from a vector sixteen times as large as the memory group it\n\
lives in; the cache is empty at the start, the read-ahead of the device as the name says.";

const MAJOR_FAULTS: Column = Column::new("major faults", "major_faults", 1.0, 0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Outcome;

    fn checksums(candidates: Vec<Candidate<'static>>) -> Vec<(&'static str, u64)> {
        let run = |mut one: Candidate<'static>| match (one.run)() {
            Outcome::Measured(sample) => (one.name, sample.checksum),
            other => panic!("{}: {other:?}", one.name),
        };
        candidates.into_iter().map(run).collect()
    }

    #[test]
    fn every_sum_is_the_expected_one() {
        let expected = expected_sum(100_000);
        for (name, sum) in checksums(sum_candidates(100_000).unwrap()) {
            assert_eq!(sum, expected, "{name}");
        }
    }
}
