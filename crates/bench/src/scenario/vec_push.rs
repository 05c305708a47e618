//! Pushing 8-byte numbers into a vector until gigabytes are there: how fast, in how much memory,
//! and how long the slowest single push takes; and collecting numbers to go through them once.

use outcore::{Advice, DiskVec};

use crate::machine::limit;
use crate::prelude::*;
use crate::scenario::scratch;

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

pub(super) const TIME_PER_PUSH: Headline = Headline::less("time_per_push", "ns");

/// A vector of numbers.
pub trait Numbers: Sized + 'static {
    /// Makes an empty one, with its files in `dir` if it has any.
    fn make(dir: &Path) -> Result<Self>;

    fn add(&mut self, number: u64) -> Result<()>;

    fn all(&self) -> &[u64];

    /// Says that reads will be at random, where that can be said.
    fn advise_random(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Numbers for Vec<u64> {
    fn make(_dir: &Path) -> Result<Self> {
        Ok(Self::new())
    }

    #[inline]
    fn add(&mut self, number: u64) -> Result<()> {
        self.push(number);
        Ok(())
    }

    fn all(&self) -> &[u64] {
        self
    }
}

impl Numbers for DiskVec<u64> {
    fn make(dir: &Path) -> Result<Self> {
        Ok(Self::new_in(&scratch(dir)?))
    }

    #[inline]
    fn add(&mut self, number: u64) -> Result<()> {
        Ok(self.push(number)?)
    }

    fn all(&self) -> &[u64] {
        self
    }

    fn advise_random(&mut self) -> Result<()> {
        Ok(self.advise(Advice::Random)?)
    }
}

/// How many numbers are to be pushed.
#[derive(Clone, Copy)]
pub struct VecJob {
    pub dir: &'static Path,
    pub count: u64,
    /// Whether every single push is timed.
    pub times_each: bool,
}

/// Returns number `index`.
#[inline]
pub fn number(index: u64) -> u64 {
    index ^ 0x5DEE_CE66_D1CE_4E5B
}

/// Returns the sum of all numbers of a vector, each of them looked at.
#[inline(never)]
pub fn sum_of(numbers: &[u64]) -> u64 {
    pool::sum(black_box(numbers).iter().copied())
}

impl VecJob {
    pub(super) fn new(options: &'static Options, len: u64) -> Self {
        Self {
            dir: options.dir(),
            count: len / 8,
            times_each: false,
        }
    }

    /// Returns a vector with all numbers.
    pub fn filled<V: Numbers>(self) -> Result<V> {
        let mut vec = V::make(self.dir)?;
        (0..self.count).try_for_each(|index| vec.add(number(index)))?;
        Ok(vec)
    }

    /// Pushes all numbers into an empty vector.
    pub fn push<V: Numbers>(&self) -> Result<Sample> {
        self.measure(|| V::make(self.dir), V::add, V::all)
    }

    /// Pushes all numbers into what `make` returns, reads some back through `slice`, and drops it.
    #[inline]
    pub fn measure<V>(
        &self,
        make: impl FnOnce() -> Result<V>,
        mut push: impl FnMut(&mut V, u64) -> Result<()>,
        slice: impl FnOnce(&V) -> &[u64],
    ) -> Result<Sample> {
        let mut times = Histogram::default();
        let stage = Stage::start()?;
        let mut vec = make()?;
        if self.times_each {
            let mut before = Instant::now();
            for index in 0..self.count {
                push(&mut vec, number(index))?;
                let now = Instant::now();
                times.add(now.duration_since(before));
                before = now;
            }
        } else {
            for index in 0..self.count {
                push(&mut vec, number(index))?;
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
    pub fn collect<V>(
        &self,
        make: impl FnOnce() -> Result<V>,
        mut push: impl FnMut(&mut V, u64) -> Result<()>,
        sum: impl FnOnce(V) -> Result<u64>,
    ) -> Result<Sample> {
        let mut sample = timed(|| {
            let mut all = make()?;
            for index in 0..self.count {
                push(&mut all, number(index))?;
            }
            sum(all)
        })?;
        sample.add_time("time_per_item", self.count);
        Ok(sample)
    }

    /// The same with a vector whose numbers are added up where they are.
    pub fn collect_in<V: Numbers>(&self) -> Result<Sample> {
        self.collect(|| V::make(self.dir), V::add, |vec| Ok(sum_of(vec.all())))
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

fn own() -> Vec<Row<VecJob>> {
    let swaps = "in memory, and in swap when the group is full";
    vec![
        Row::new(STD, "in memory only", VecJob::push::<Vec<u64>>),
        Row::new("outcore", "", VecJob::push::<DiskVec<u64>>).with(EACH),
        Row::new("std_vec_with_swap", swaps, |job: &VecJob| {
            limit::expect_swap()?;
            job.push::<Vec<u64>>()
        })
        .with(LIMITED),
    ]
}

fn rows(others: &[Row<VecJob>], takes_part: impl Fn(&Row<VecJob>) -> bool) -> Vec<Row<VecJob>> {
    let mut all = [&own(), others].concat();
    all.retain(takes_part);
    all
}

/// Returns the workloads of pushes, with the vectors of others behind our own.
pub(super) fn workloads(options: &'static Options, others: &[Row<VecJob>]) -> Vec<Workload> {
    let pushing = |rows: &[Row<VecJob>], len| Workload {
        columns: USAGE.to_vec(),
        baselines: vec![STD, MMAP_VEC],
        ..Workload::isolated(
            sized("push_u64", len),
            TIME_PER_PUSH,
            rows,
            move || VecJob::new(options, len),
            VecJob::expected,
        )
    };
    let free = rows(others, |row| !row.has(LIMITED));
    let disk = rows(others, |row| row.has(EACH));
    let states = Memory::states(options.bytes(128 << 20, 1 << 30));
    let in_states = states.map(|(state, len)| {
        let is_past = matches!(state, Memory::Past(_));
        let rows = if is_past { &disk } else { &free };
        Workload {
            rounds: options.rounds(5, 7),
            ..pushing(rows, len).in_state(state)
        }
    });
    let len = options.bytes(256 << 20, 4 << 30);
    let limited = Workload {
        rounds: options.rounds(5, 5),
        columns: [&USAGE[..], &[GROUP_PEAK]].concat(),
        ..pushing(&rows(others, |_row| true), len).in_group(limit_for(len))
    };
    in_states.into_iter().chain([limited]).collect()
}

/// Returns the workload of single pushes.
pub(super) fn pushing_each(options: &'static Options, others: &[Row<VecJob>]) -> Workload {
    let len = options.bytes(128 << 20, 16 << 30);
    let times = [
        Column::new("p99.99 us", "p9999_push", 1.0, 1),
        Column::new("p50 ns", "p50_push", 1.0, 0),
        Column::new("total s", "seconds", 1.0, 1),
    ];
    let job = VecJob {
        times_each: true,
        ..VecJob::new(options, len)
    };
    Workload {
        columns: [&times[..], &USAGE].concat(),
        // The worst of all pushes counts, and there are two thousand million of them.
        rounds: options.rounds(5, 1),
        ..Workload::isolated(
            sized("push_u64_each", len),
            Headline::less("longest_push", "ms"),
            &rows(others, |row| row.has(EACH)),
            move || job,
            VecJob::expected,
        )
    }
}

/// Returns the workload of collecting: what containers that only go forward can do too.
pub(super) fn collecting(options: &'static Options, others: &[Row<VecJob>]) -> Workload {
    let len = options.bytes(64 << 20, 1 << 30);
    let own = [
        Row::new(STD, "in memory only", VecJob::collect_in::<Vec<u64>>),
        Row::new("outcore_scan", "", |job: &VecJob| {
            let sum = |vec: DiskVec<u64>| Ok(pool::sum(vec.scan().map(sum_of)));
            job.collect(|| DiskVec::make(job.dir), DiskVec::add, sum)
        }),
    ];
    Workload {
        columns: vec![PEAK, CPU[0], CPU[1]],
        baselines: vec![STD, "outcore_scan"],
        rounds: options.rounds(5, 5),
        ..Workload::isolated(
            sized("collect_u64", len),
            Headline::less("time_per_item", "ns an item"),
            &[&own, others].concat(),
            move || VecJob::new(options, len),
            VecJob::expected_sum,
        )
    }
}
