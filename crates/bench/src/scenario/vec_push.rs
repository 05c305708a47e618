//! Pushing 8-byte numbers into a vector until gigabytes are there: how fast, in how much
//! memory, and how long the slowest single push takes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use outcore::DiskVec;

use crate::failure::{Failure, Result};
use crate::goal::{Asked, Goal};
use crate::histogram::Histogram;
use crate::limit;
use crate::measure::Sample;
use crate::pool;
use crate::settings::{Settings, limit_for, text_of_bytes};
use crate::stage::Stage;
use crate::workload::{
    CPU, Column, DROP, Deferred, FAULTS, Headline, Isolated, Kind, MIB, PEAK, Workload,
};

/// The row of std's vector.
pub const STD: &str = "std_vec";

/// The row of outcore's vector.
pub const OUTCORE: &str = "outcore";

/// One number in so many is read back. A prime, larger than a page.
const CHECK: usize = 65_521;

/// A way to push numbers.
#[derive(Clone, Copy, Debug)]
pub struct VecPusher {
    /// The name in tables and records.
    pub name: &'static str,
    /// What is not equal to the other candidates; empty if nothing.
    pub note: &'static str,
    /// Whether it also takes part where every push is timed, with more data than memory.
    pub timed_too: bool,
    /// Does one run.
    pub run: fn(&VecJob) -> Result<Sample>,
}

/// How many numbers are to be pushed.
#[derive(Debug)]
pub struct VecJob {
    /// The directory for files.
    pub dir: PathBuf,
    /// How many numbers.
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
    /// Pushes all numbers into what `make` returns, reads some back through `slice`, and
    /// drops it.
    ///
    /// # Errors
    ///
    /// The first one of `make` or `push`.
    #[inline]
    pub fn measure<V, E: Into<Failure>>(
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
        std::hint::black_box(&mut vec);
        let mut sample = stage.stop()?;
        sample.checksum = self.checksum(slice(&vec));
        let seconds = sample.get("seconds").unwrap_or(f64::NAN);
        sample.add("time_per_push", seconds * 1e9 / self.count as f64, "ns");
        if self.times_each {
            sample.add("longest_push", times.longest() as f64 / 1e6, "ms");
            sample.add("p9999_push", times.quantile(0.9999) / 1e3, "us");
            sample.add("p50_push", times.quantile(0.5), "ns");
            times.report("single_push", &mut sample);
        }
        let started = Instant::now();
        drop(vec);
        sample.add("drop", started.elapsed().as_secs_f64(), "s");
        Ok(sample)
    }

    fn checksum(&self, numbers: &[u64]) -> u64 {
        if numbers.len() as u64 != self.count {
            return 0;
        }
        let some = (0..).zip(numbers).step_by(CHECK);
        some.fold(0u64, |sum, (index, number)| {
            sum.wrapping_add(pool::fingerprint(index, &number.to_le_bytes()))
        })
    }

    /// Returns the checksum that every run has to come back with.
    pub fn expected(&self) -> u64 {
        let some = (0..self.count).step_by(CHECK);
        some.fold(0u64, |sum, index| {
            sum.wrapping_add(pool::fingerprint(index, &number(index).to_le_bytes()))
        })
    }
}

/// std's vector in a memory group that may swap.
fn swapping() -> VecPusher {
    VecPusher {
        name: "std_vec_with_swap",
        note: "in memory, and in swap when the group is full",
        timed_too: false,
        run: |job| {
            limit::expect_swap()?;
            push_std(job)
        },
    }
}

fn push_std(job: &VecJob) -> Result<Sample> {
    let push = |vec: &mut Vec<u64>, number| {
        vec.push(number);
        Ok::<(), Failure>(())
    };
    job.measure(|| Ok(Vec::new()), push, Vec::as_slice)
}

fn own() -> Vec<VecPusher> {
    vec![
        VecPusher {
            name: STD,
            note: "in memory only",
            timed_too: false,
            run: push_std,
        },
        VecPusher {
            name: OUTCORE,
            note: "",
            timed_too: true,
            run: |job| {
                let make = || Ok::<_, outcore::Error>(DiskVec::new());
                job.measure(make, DiskVec::push, DiskVec::as_slice)
            },
        },
    ]
}

/// Returns the workloads, with the candidates of the caller behind our own.
///
/// # Errors
///
/// A size without a number.
pub fn workloads(settings: &Settings, dir: &Path, others: &[VecPusher]) -> Result<Vec<Workload>> {
    let pushers: Vec<VecPusher> = own().into_iter().chain(others.iter().copied()).collect();
    let timed = pushers.iter().copied().filter(|one| one.timed_too);
    let timed: Vec<VecPusher> = timed.collect();
    let free = settings.bytes(128 << 20, 1 << 30);
    let tight = settings.bytes(256 << 20, 4 << 30);
    let long = settings.bytes(128 << 20, 16 << 30);
    if free < 8 {
        return Err(Failure::new("--size: at least one number, please"));
    }
    let limit = limit_for(tight);
    let names = [
        format!("push_u64/{}", text_of_bytes(free)),
        format!(
            "push_u64/{}/limit_{}",
            text_of_bytes(tight),
            text_of_bytes(limit)
        ),
        format!("push_u64_each/{}", text_of_bytes(long)),
    ];
    let [free_name, tight_name, long_name] = names;
    let mut each = workload(long_name, &timed, dir, long, None, true);
    each.title = TITLE_EACH;
    each.headline = LONGEST;
    each.columns.splice(0..0, TIMES.iter().copied());
    each.goals = goals_each();
    // The worst of all pushes counts, and there are two thousand million of them.
    each.rounds = settings.rounds(5, 1);
    let limited: Vec<VecPusher> = pushers.iter().copied().chain([swapping()]).collect();
    let mut tight = workload(tight_name, &limited, dir, tight, Some(limit), false);
    tight.title = TITLE_LIMITED;
    tight.rounds = settings.rounds(5, 5);
    let mut free = workload(free_name, &pushers, dir, free, None, false);
    free.goals = goals();
    free.rounds = settings.rounds(5, 7);
    Ok(vec![free, tight, each])
}

fn workload(
    name: String,
    pushers: &[VecPusher],
    dir: &Path,
    len: u64,
    memory_limit: Option<u64>,
    times_each: bool,
) -> Workload {
    let job = {
        let dir = dir.to_owned();
        move || VecJob {
            dir: dir.clone(),
            count: len / 8,
            times_each,
        }
    };
    let isolated = |one: &VecPusher| {
        Isolated::of_job((one.name, one.note), memory_limit, job.clone(), one.run)
    };
    Workload {
        name,
        title: TITLE,
        headline: TIME_PER_PUSH,
        columns: COLUMNS.to_vec(),
        baselines: if times_each { vec![] } else { vec![STD] },
        goals: Vec::new(),
        rounds: 0,
        kind: Kind::Isolated(pushers.iter().map(isolated).collect()),
        expected: Deferred::new(move || job().expected()),
    }
}

/// What is asked of outcore against std.
fn goals() -> Vec<Goal> {
    let faster = Asked::Faster {
        baseline: STD,
        factor: 1.3,
    };
    let small = Asked::AtMost {
        metric: "peak_above_start",
        limit: 16.0 * MIB,
        text: "16 MiB",
        scale: MIB,
    };
    vec![Goal::new(OUTCORE, faster), Goal::new(OUTCORE, small)]
}

/// What is asked of single pushes.
fn goals_each() -> Vec<Goal> {
    let longest = Asked::AtMost {
        metric: "longest_push",
        limit: 20.0,
        text: "20 ms",
        scale: 1.0,
    };
    let most = Asked::AtMost {
        metric: "p9999_push",
        limit: 1000.0,
        text: "1000 us",
        scale: 1.0,
    };
    vec![Goal::new(OUTCORE, longest), Goal::new(OUTCORE, most)]
}

const TIME_PER_PUSH: Headline = Headline {
    metric: "time_per_push",
    unit: "ns",
    higher_is_better: false,
};

const LONGEST: Headline = Headline {
    metric: "longest_push",
    unit: "ms",
    higher_is_better: false,
};

const TITLE: &str = "\
Numbers of 8 bytes pushed one by one into an empty vector, a process for each run. The time\n\
of one push, growth included.";

const TITLE_LIMITED: &str = "\
The same inside a memory group of a sixteenth of the data, page cache included.";

const TITLE_EACH: &str = "\
The longest of all pushes of 8 bytes, each timed by itself; reading the clock is included.";

const TIMES: &[Column] = &[
    Column::new("p99.99 us", "p9999_push", 1.0, 1),
    Column::new("p50 ns", "p50_push", 1.0, 0),
    Column::new("total s", "seconds", 1.0, 1),
];

const COLUMNS: &[Column] = &[PEAK, CPU[0], CPU[1], FAULTS, DROP];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_comes_to_the_expected_checksum() {
        for times_each in [false, true] {
            let job = VecJob {
                dir: PathBuf::new(),
                count: 300_000,
                times_each,
            };
            for pusher in own() {
                let sample = (pusher.run)(&job).unwrap();
                assert_eq!(sample.checksum, job.expected(), "{}", pusher.name);
                assert_eq!(sample.get("longest_push").is_some(), times_each);
            }
        }
    }

    #[test]
    fn a_lost_number_changes_the_checksum() {
        let job = VecJob {
            dir: PathBuf::new(),
            count: 100_000,
            times_each: false,
        };
        let mut numbers: Vec<u64> = (0..job.count).map(number).collect();
        assert_eq!(job.checksum(&numbers), job.expected());
        numbers[CHECK] += 1;
        assert_ne!(job.checksum(&numbers), job.expected());
        numbers[CHECK] -= 1;
        numbers.pop();
        assert_ne!(job.checksum(&numbers), job.expected());
    }
}
