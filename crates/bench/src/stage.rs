//! The timed part of a run, and everything that is counted during it.

use std::fs;
use std::time::Instant;

use crate::alloc;
use crate::cache;
use crate::failure::{Failure, Result};
use crate::measure::Sample;
use crate::memory;

/// Counters at the start of the timed part.
#[derive(Debug)]
pub struct Stage {
    usage: Usage,
    resident: u64,
    allocations: u64,
    cached: Option<u64>,
    started: Instant,
}

/// What the kernel charges to this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    minor_faults: u64,
    major_faults: u64,
    user_ticks: u64,
    system_ticks: u64,
}

/// How many ticks a second has, for every Linux program.
const TICKS: f64 = 100.0;

impl Stage {
    /// Resets the peak of resident memory, reads the counters, starts the clock.
    ///
    /// # Errors
    ///
    /// A kernel that does not show its counters.
    pub fn start() -> Result<Self> {
        memory::reset_peak()?;
        let resident = memory::resident()?.total;
        Ok(Self {
            usage: Usage::now()?,
            resident,
            allocations: alloc::allocations(),
            cached: cache::take_at_start(),
            started: Instant::now(),
        })
    }

    /// Stops the clock, reads the counters, and returns the differences.
    ///
    /// # Errors
    ///
    /// As at the start.
    pub fn stop(self) -> Result<Sample> {
        let seconds = self.started.elapsed().as_secs_f64();
        let allocations = alloc::allocations() - self.allocations;
        let usage = Usage::now()?;
        let after = memory::resident()?;
        let mut sample = Sample::new();
        sample.add("seconds", seconds, "s");
        let above = |value: u64| value.saturating_sub(self.resident) as f64;
        sample.add("peak_above_start", above(after.peak), "bytes");
        sample.add("resident_above_start", above(after.total), "bytes");
        let passed = |after: u64, before: u64| after.saturating_sub(before) as f64;
        let faults = passed(usage.minor_faults, self.usage.minor_faults);
        sample.add("minor_faults", faults, "count");
        let faults = passed(usage.major_faults, self.usage.major_faults);
        sample.add("major_faults", faults, "count");
        let ticks = passed(usage.user_ticks, self.usage.user_ticks);
        sample.add("cpu_user", ticks / TICKS, "s");
        let ticks = passed(usage.system_ticks, self.usage.system_ticks);
        sample.add("cpu_system", ticks / TICKS, "s");
        sample.add("allocations", allocations as f64, "count");
        if let Some(cached) = self.cached {
            sample.add("cached_at_start", cached as f64, "pages");
        }
        Ok(sample)
    }
}

impl Usage {
    fn now() -> Result<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat")?)
            .ok_or_else(|| Failure::new("the process counters are not as expected"))
    }

    /// Reads fields 10, 12, 14 and 15; the program's name before them may hold blanks.
    fn parse(stat: &str) -> Option<Self> {
        let (_, behind_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self {
            minor_faults: field(10)?,
            major_faults: field(12)?,
            user_ticks: field(14)?,
            system_ticks: field(15)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_stand_behind_any_name() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 100 101 200 201 300 400 0 0 20";
        let expected = Usage {
            minor_faults: 100,
            major_faults: 200,
            user_ticks: 300,
            system_ticks: 400,
        };
        assert_eq!(Usage::parse(stat), Some(expected));
    }

    #[test]
    fn a_stage_counts_faults_and_memory() {
        let alone = memory::TEST.lock();
        let stage = Stage::start().unwrap();
        let block = std::hint::black_box(vec![1u8; 128 << 20]);
        let sample = stage.stop().unwrap();
        drop((block, alone));
        // Other tests free memory meanwhile, but not that much.
        assert!(sample.get("peak_above_start").unwrap() >= f64::from(64 << 20));
        assert!(sample.get("minor_faults").unwrap() > 10.0);
        assert!(sample.get("seconds").unwrap() > 0.0);
    }
}
