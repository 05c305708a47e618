//! The timed part of a run, and everything that is counted during it.

use std::fs;
use std::time::Instant;

use procfs::process::Process;

use crate::alloc;
use crate::error::{Context, Result};
use crate::machine::cache;
use crate::sample::Sample;

/// Counters at the start of the timed part.
pub struct Stage {
    before: Counters,
    cached: Option<u64>,
    started: Instant,
}

/// How many ticks a second has, for every Linux program.
const TICKS: f64 = 100.0;

/// What the kernel charges to this process, in the order of [`METRICS`].
struct Counters {
    usage: [f64; 5],
    resident: f64,
    peak: f64,
}

const METRICS: [(&str, f64, &str); 5] = [
    ("minor_faults", 1.0, "count"),
    ("major_faults", 1.0, "count"),
    ("cpu_user", TICKS, "s"),
    ("cpu_system", TICKS, "s"),
    ("allocations", 1.0, "count"),
];

impl Counters {
    fn now() -> Result<Self> {
        let own = Process::myself()?;
        let (stat, status) = (own.stat()?, own.status()?);
        let all = [
            stat.minflt,
            stat.majflt,
            stat.utime,
            stat.stime,
            alloc::allocations(),
        ];
        let bytes = |kib: Option<u64>| kib.unwrap_or(0) as f64 * 1024.0;
        Ok(Self {
            usage: all.map(|count| count as f64),
            resident: bytes(status.vmrss),
            peak: bytes(status.vmhwm),
        })
    }
}

impl Stage {
    /// Resets the peak of resident memory, reads the counters, starts the clock.
    pub fn start() -> Result<Self> {
        fs::write("/proc/self/clear_refs", "5").context("reset the peak of resident memory")?;
        Ok(Self {
            before: Counters::now()?,
            cached: cache::take_at_start(),
            started: Instant::now(),
        })
    }

    /// Stops the clock, reads the counters, and returns the differences.
    pub fn stop(self) -> Result<Sample> {
        let seconds = self.started.elapsed().as_secs_f64();
        let (before, after) = (self.before, Counters::now()?);
        let mut sample = Sample::default();
        sample.add("seconds", seconds, "s");
        let above = |bytes: f64| (bytes - before.resident).max(0.0);
        sample.add("peak_above_start", above(after.peak), "bytes");
        sample.add("resident_above_start", above(after.resident), "bytes");
        for (at, (metric, scale, unit)) in METRICS.iter().enumerate() {
            let passed = (after.usage[at] - before.usage[at]).max(0.0);
            sample.add(metric, passed / scale, unit);
        }
        if let Some(cached) = self.cached {
            sample.add("cached_at_start", cached as f64, "pages");
        }
        Ok(sample)
    }
}

/// Returns how long the kernel has worked for this process.
pub fn system_seconds() -> Result<f64> {
    Ok(Process::myself()?.stat()?.stime as f64 / TICKS)
}

/// Runs `work` with the clock on, and returns a sample with its result as the checksum.
pub fn timed(work: impl FnOnce() -> Result<u64>) -> Result<Sample> {
    let stage = Stage::start()?;
    let checksum = work()?;
    let mut sample = stage.stop()?;
    sample.checksum = checksum;
    Ok(sample)
}

/// Drops something, and adds the time of it to a sample.
pub fn timed_drop<T>(value: T, sample: &mut Sample) {
    let started = Instant::now();
    drop(value);
    sample.add("drop", started.elapsed().as_secs_f64(), "s");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other tests free memory meanwhile, at times more than this one takes.
    #[test]
    fn a_stage_counts_faults_and_memory() {
        let counts = |_| {
            let stage = Stage::start().unwrap();
            let block = std::hint::black_box(vec![1u8; 128 << 20]);
            let sample = stage.stop().unwrap();
            drop(block);
            assert!(sample.get("minor_faults").unwrap() > 10.0);
            assert!(sample.seconds() > 0.0);
            sample.get("peak_above_start").unwrap() >= f64::from(64 << 20)
        };
        assert!((0..20).any(counts), "the peak does not count");
    }
}
