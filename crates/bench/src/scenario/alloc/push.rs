//! A vector of 8-byte numbers that grows: the time of a push, and the time inside of growth.

use std::path::Path;
use std::time::{Duration, Instant};

use allocator_api2::alloc::{Allocator, System};
use allocator_api2::vec::Vec as Vector;

use crate::failure::{Failure, Result};
use crate::goal::{Asked, Goal};
use crate::measure::Sample;
use crate::scenario::alloc::mapped::Mapped;
use crate::scenario::alloc::{COLUMNS, OUTCORE, SYSTEM, disk};
use crate::scenario::vec_push::{STD, VecJob, VecPusher};
use crate::settings::{Settings, text_of_bytes};
use crate::workload::{Column, Deferred, Headline, Isolated, Kind, Workload};

/// The row of a mapped file whose pages come in pieces of 2 MiB, as those of `DiskAlloc` do.
const RAW_PIECES: &str = "raw_mapped_2MiB";

/// The row of a mapped file whose pages come one by one.
const RAW_PAGES: &str = "raw_mapped_pages";

/// Returns the workloads of vectors; `others` are only pushed to.
///
/// # Errors
///
/// A size without a number.
pub(super) fn workloads(
    settings: &Settings,
    dir: &Path,
    others: &[VecPusher],
) -> Result<Vec<Workload>> {
    let pushed = settings.bytes(256 << 20, 1 << 30);
    let grown = settings.bytes(256 << 20, 4 << 30);
    if pushed < 8 {
        return Err(Failure::new("--size: at least one number, please"));
    }
    let mut push_rows = [
        row(STD, push_std),
        row(SYSTEM, push_system),
        row(OUTCORE, push_disk),
        VecPusher {
            note: "by hand: no allocator, the same calls",
            ..row(RAW_PIECES, |job| push_mapped(job, true))
        },
        VecPusher {
            note: "by hand, a fault for each page",
            ..row(RAW_PAGES, |job| push_mapped(job, false))
        },
    ]
    .to_vec();
    push_rows.extend(others);
    let mut push = workload("alloc_push_u64", pushed, dir, &push_rows);
    push.title = "\
Numbers of 8 bytes pushed one by one into an empty vector, a process for each run. The time\n\
of one push, growth included. Both other rows are the vector of allocator-api2.";
    push.headline = Headline {
        metric: "time_per_push",
        unit: "ns",
        higher_is_better: false,
    };
    let (baseline, factor) = (STD, 1.2);
    let asked = Asked::TimeWithin { baseline, factor };
    push.goals = vec![Goal::new(OUTCORE, asked)];
    push.rounds = settings.rounds(5, 7);
    let grow_rows = [row(SYSTEM, grow_system), row(OUTCORE, grow_disk)];
    let mut grow = workload("alloc_grow_u64", grown, dir, &grow_rows);
    grow.title = "\
The same; the time of all pushes together that found the vector full, and made it grow.";
    grow.headline = Headline {
        metric: "growth",
        unit: "ms",
        higher_is_better: false,
    };
    let least = Asked::AtMost {
        metric: "growth",
        limit: 50.0,
        text: "50 ms",
        scale: 1.0,
    };
    grow.columns.push(Column::new("times", "growths", 1.0, 0));
    grow.goals = vec![Goal::new(OUTCORE, least)];
    grow.rounds = settings.rounds(3, 5);
    Ok(vec![push, grow])
}

fn row(name: &'static str, run: fn(&VecJob) -> Result<Sample>) -> VecPusher {
    VecPusher {
        name,
        note: "",
        timed_too: false,
        run,
    }
}

fn workload(name: &str, len: u64, dir: &Path, rows: &[VecPusher]) -> Workload {
    let job = {
        let dir = dir.to_owned();
        move || VecJob {
            dir: dir.clone(),
            count: len / 8,
            times_each: false,
        }
    };
    let isolated = |row: &VecPusher| {
        let (job, run) = (job.clone(), row.run);
        Isolated {
            name: row.name,
            note: row.note,
            memory_limit: None,
            run: Box::new(move || run(&job())),
        }
    };
    let baseline = rows.first().map(|row| row.name);
    Workload {
        name: format!("{name}/{}", text_of_bytes(len)),
        title: "",
        headline: Headline {
            metric: "seconds",
            unit: "s",
            higher_is_better: false,
        },
        columns: COLUMNS.to_vec(),
        baselines: baseline.into_iter().collect(),
        goals: Vec::new(),
        rounds: 0,
        kind: Kind::Isolated(rows.iter().map(isolated).collect()),
        expected: Deferred::new(move || job().expected()),
    }
}

fn push_std(job: &VecJob) -> Result<Sample> {
    let push = |vec: &mut Vec<u64>, number| {
        vec.push(number);
        Ok::<(), Failure>(())
    };
    job.measure(|| Ok(Vec::new()), push, Vec::as_slice)
}

fn push_system(job: &VecJob) -> Result<Sample> {
    push(job, || Ok(System))
}

fn push_disk(job: &VecJob) -> Result<Sample> {
    push(job, || disk(&job.dir))
}

fn push<A: Allocator>(job: &VecJob, alloc: impl FnOnce() -> Result<A>) -> Result<Sample> {
    let push = |vec: &mut Vector<u64, A>, number| {
        vec.push(number);
        Ok::<(), Failure>(())
    };
    let make = || alloc().map(Vector::new_in);
    job.measure(make, push, Vector::as_slice)
}

fn push_mapped(job: &VecJob, in_pieces: bool) -> Result<Sample> {
    let make = || Mapped::new(&job.dir, job.count, in_pieces);
    job.measure(make, Mapped::push, Mapped::as_slice)
}

fn grow_system(job: &VecJob) -> Result<Sample> {
    grow(job, || Ok(System))
}

fn grow_disk(job: &VecJob) -> Result<Sample> {
    grow(job, || disk(&job.dir))
}

fn grow<A: Allocator>(job: &VecJob, alloc: impl FnOnce() -> Result<A>) -> Result<Sample> {
    let (mut growth, mut times) = (Duration::ZERO, 0_u32);
    let push = |vec: &mut Vector<u64, A>, number| {
        if vec.len() == vec.capacity() {
            let started = Instant::now();
            vec.reserve(1);
            growth += started.elapsed();
            times += 1;
        }
        vec.push(number);
        Ok::<(), Failure>(())
    };
    let make = || alloc().map(Vector::new_in);
    let mut sample = job.measure(make, push, Vector::as_slice)?;
    sample.add("growth", growth.as_secs_f64() * 1e3, "ms");
    sample.add("growths", f64::from(times), "count");
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_to_the_expected_checksum() {
        let mut job = VecJob {
            dir: env!("CARGO_MANIFEST_DIR").into(),
            count: 300_000,
            times_each: false,
        };
        for run in [push_std, push_system, push_disk, grow_system, grow_disk] {
            assert_eq!(run(&job).unwrap().checksum, job.expected());
        }
        // More than one growth, and in pieces.
        job.count = 3 << 20;
        for in_pieces in [false, true] {
            let sample = push_mapped(&job, in_pieces).unwrap();
            assert_eq!(sample.checksum, job.expected());
        }
    }
}
