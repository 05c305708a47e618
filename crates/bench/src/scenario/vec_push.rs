//! Pushing 8-byte numbers into a vector until gigabytes are there: how fast, in how much memory,
//! and how long the slowest single push takes; and collecting numbers to go through them once.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use outcore::DiskVec;

use crate::histogram::Histogram;
use crate::machine::limit;
use crate::pool::fingerprint;
use crate::prelude::*;

/// The row of std's vector.
const STD: &str = "std_vec";
/// The row of mmap-vec, where it takes part.
pub const MMAP_VEC: &str = "mmap_vec";

/// Takes part where every push is timed, with more data than memory.
pub const EACH: u16 = 1;
/// Takes part under a memory limit only.
const LIMITED: u16 = 2;

/// One number in so many is read back. A prime, larger than a page.
const CHECK: usize = 65_521;

const TIME_PER_PUSH: Headline = Headline::less("time_per_push", "ns");

/// How many numbers are to be pushed.
#[derive(Clone)]
pub struct VecJob {
    pub dir: PathBuf,
    pub count: u64,
    /// Whether every single push is timed.
    pub times_each: bool,
}

/// Returns number `index`.
#[inline]
pub fn number(index: u64) -> u64 {
    index ^ 0x5DEE_CE66_D1CE_4E5B
}

impl VecJob {
    pub(super) fn new(dir: &Path, len: u64, times_each: bool) -> impl Fn() -> Self + Clone + use<> {
        let job = Self {
            dir: dir.to_owned(),
            count: len / 8,
            times_each,
        };
        move || job.clone()
    }

    /// Pushes all numbers into what `make` returns, reads some back through `slice`, and drops it.
    #[inline]
    pub fn measure<V, E: Into<Error>>(
        &self,
        make: impl FnOnce() -> Result<V, E>,
        mut push: impl FnMut(&mut V, u64) -> Result<(), E>,
        slice: impl FnOnce(&V) -> &[u64],
    ) -> Result<Sample> {
        let mut times = Histogram::default();
        let stage = Stage::start()?;
        let mut vec = make().map_err(Into::into)?;
        if self.times_each {
            let mut before = Instant::now();
            for index in 0..self.count {
                push(&mut vec, number(index)).map_err(Into::into)?;
                let now = Instant::now();
                times.add(now.duration_since(before));
                before = now;
            }
        } else {
            for index in 0..self.count {
                push(&mut vec, number(index)).map_err(Into::into)?;
            }
        }
        black_box(&mut vec);
        let mut sample = stage.stop()?;
        sample.checksum = self.checksum(slice(&vec));
        sample.add_time("time_per_push", self.count);
        if self.times_each {
            sample.add("longest_push", times.quantile(1.0) / 1e6, "ms");
            sample.add("p9999_push", times.quantile(0.9999) / 1e3, "us");
            sample.add("p50_push", times.quantile(0.5), "ns");
            times.report("single_push", &mut sample);
        }
        timed_drop(vec, &mut sample);
        Ok(sample)
    }

    /// Pushes all numbers into what `make` returns, and adds them up by `sum`.
    #[inline]
    pub fn collect<V, E: Into<Error>>(
        &self,
        make: impl FnOnce() -> Result<V>,
        mut push: impl FnMut(&mut V, u64) -> Result<(), E>,
        sum: impl FnOnce(V) -> Result<u64>,
    ) -> Result<Sample> {
        let mut sample = timed(|| {
            let mut all = make()?;
            for index in 0..self.count {
                push(&mut all, number(index)).map_err(Into::into)?;
            }
            sum(all)
        })?;
        sample.add_time("time_per_item", self.count);
        Ok(sample)
    }

    /// Runs `sum` of all numbers with the clock on.
    pub fn sum(&self, sum: impl FnOnce() -> Result<u64>) -> Result<Sample> {
        let mut sample = timed(sum)?;
        sample.add_rate(self.count * 8);
        Ok(sample)
    }

    /// Returns the sum of all numbers.
    pub(super) fn expected_sum(&self) -> u64 {
        pool::sum((0..self.count).map(number))
    }

    fn checksum(&self, numbers: &[u64]) -> u64 {
        if numbers.len() as u64 != self.count {
            return 0;
        }
        let some = (0..).zip(numbers).step_by(CHECK);
        pool::sum(some.map(|(index, number)| fingerprint(index, &number.to_le_bytes())))
    }

    /// Returns the checksum that every run has to return.
    pub fn expected(&self) -> u64 {
        let some = (0..self.count).step_by(CHECK);
        pool::sum(some.map(|index| fingerprint(index, &number(index).to_le_bytes())))
    }
}

/// std's vector, in memory.
pub(super) fn push_std(job: &VecJob) -> Result<Sample> {
    let push = |vec: &mut Vec<u64>, number| {
        vec.push(number);
        Ok::<(), Error>(())
    };
    job.measure(|| Ok(Vec::new()), push, Vec::as_slice)
}

fn own() -> Vec<Row<VecJob>> {
    let swaps = "in memory, and in swap when the group is full";
    vec![
        Row::new(STD, "in memory only", push_std),
        Row::new("outcore", "", |job: &VecJob| {
            let make = || Ok::<_, outcore::Error>(DiskVec::new());
            job.measure(make, DiskVec::push, DiskVec::as_slice)
        })
        .with(EACH),
        Row::new("std_vec_with_swap", swaps, |job: &VecJob| {
            limit::expect_swap()?;
            push_std(job)
        })
        .with(LIMITED),
    ]
}

fn rows(others: &[Row<VecJob>], takes_part: impl Fn(&Row<VecJob>) -> bool) -> Vec<Row<VecJob>> {
    let all = own().into_iter().chain(others.iter().copied());
    all.filter(takes_part).collect()
}

/// Returns the workloads of pushes, with the vectors of others behind our own.
pub(super) fn workloads(options: &Options, dir: &Path, others: &[Row<VecJob>]) -> Vec<Workload> {
    let pushing = |name: String, title, rows: &[Row<VecJob>], len| Workload {
        columns: USAGE.to_vec(),
        baselines: vec![STD, MMAP_VEC],
        ..Workload::isolated(
            name,
            (title, TIME_PER_PUSH),
            rows,
            VecJob::new(dir, len, false),
            VecJob::expected,
        )
    };
    let free = rows(others, |row| !row.has(LIMITED));
    let disk = rows(others, |row| row.has(EACH));
    let mut all = Vec::new();
    for (state, suffix, len) in Memory::states(options.bytes(128 << 20, 1 << 30)) {
        let is_past = matches!(state, Memory::Past(_));
        let name = format!("push_u64/{}{suffix}", text_of_bytes(len));
        all.push(Workload {
            rounds: options.rounds(5, 7),
            memory: state,
            is_slow: state != Memory::Reused,
            ..pushing(name, TITLE, if is_past { &disk } else { &free }, len)
        });
    }
    let len = options.bytes(256 << 20, 4 << 30);
    let limit = limit_for(len);
    let [size, limited] = [len, limit].map(text_of_bytes);
    let name = format!("push_u64/{size}/limit_{limited}");
    all.push(Workload {
        rounds: options.rounds(5, 5),
        columns: [&USAGE[..], &[GROUP_PEAK]].concat(),
        memory_limit: Some(limit),
        ..pushing(name, TITLE_LIMITED, &rows(others, |_row| true), len)
    });
    all
}

/// Returns the workload of single pushes.
pub(super) fn pushing_each(options: &Options, dir: &Path, others: &[Row<VecJob>]) -> Workload {
    let len = options.bytes(128 << 20, 16 << 30);
    let times = [
        Column::new("p99.99 us", "p9999_push", 1.0, 1),
        Column::new("p50 ns", "p50_push", 1.0, 0),
        Column::new("total s", "seconds", 1.0, 1),
    ];
    Workload {
        columns: [&times[..], &USAGE].concat(),
        // The worst of all pushes counts, and there are two thousand million of them.
        rounds: options.rounds(5, 1),
        ..Workload::isolated(
            format!("push_u64_each/{}", text_of_bytes(len)),
            (TITLE_EACH, Headline::less("longest_push", "ms")),
            &rows(others, |row| row.has(EACH)),
            VecJob::new(dir, len, true),
            VecJob::expected,
        )
    }
}

/// Adds up numbers, each of them looked at.
#[inline(never)]
pub fn sum_of(numbers: &[u64]) -> u64 {
    pool::sum(black_box(numbers).iter().copied())
}

/// Returns the workload of collecting: what containers that only go forward can do too.
pub(super) fn collecting(options: &Options, dir: &Path, others: &[Row<VecJob>]) -> Workload {
    let len = options.bytes(64 << 20, 1 << 30);
    let own = [
        Row::new(STD, "in memory only", |job: &VecJob| {
            let push = |vec: &mut Vec<u64>, number| {
                vec.push(number);
                Ok::<(), Error>(())
            };
            job.collect(|| Ok(Vec::new()), push, |vec| Ok(sum_of(&vec)))
        }),
        Row::new("outcore_scan", "", |job: &VecJob| {
            let sum = |vec: DiskVec<u64>| Ok(pool::sum(vec.scan().map(sum_of)));
            job.collect(|| Ok(DiskVec::new()), DiskVec::push, sum)
        }),
    ];
    Workload {
        columns: vec![PEAK, CPU[0], CPU[1]],
        baselines: vec![STD, "outcore_scan"],
        rounds: options.rounds(5, 5),
        ..Workload::isolated(
            format!("collect_u64/{}", text_of_bytes(len)),
            (TITLE_COLLECT, Headline::less("time_per_item", "ns an item")),
            &[&own, others].concat(),
            VecJob::new(dir, len, false),
            VecJob::expected_sum,
        )
    }
}

const TITLE: &str = "\
Numbers of 8 bytes pushed one by one into an empty vector, a process for each run. The time of\n\
one push, growth included.";

const TITLE_LIMITED: &str = "\
The same inside a memory group of a sixteenth of the data, page cache included.";

const TITLE_EACH: &str = "\
The longest of all pushes of 8 bytes, each timed by itself; reading the clock is included.";

const TITLE_COLLECT: &str = "\
Numbers of 8 bytes pushed one by one, then all of them added up once from first to last.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_or_wrong_number_changes_the_checksum() {
        let job = VecJob::new(Path::new("."), 800_000, false)();
        let mut numbers: Vec<u64> = (0..job.count).map(number).collect();
        assert_eq!(job.checksum(&numbers), job.expected());
        numbers[CHECK] += 1;
        assert_ne!(job.checksum(&numbers), job.expected());
        numbers[CHECK] -= 1;
        numbers.pop();
        assert_ne!(job.checksum(&numbers), job.expected());
    }
}
