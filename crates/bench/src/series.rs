//! Resident memory over time: what a picture is made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::measure::Sample;
use crate::memory;

/// The beginning of the metrics: the rest is the time in milliseconds.
pub const RESIDENT_AT: &str = "resident_at_ms_";

/// How often the counters are looked at.
const INTERVAL: Duration = Duration::from_millis(5);

/// So many points stay, evenly spread.
const POINTS: usize = 48;

/// Looks at the resident memory of this process until stopped.
#[derive(Debug)]
pub struct Series {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(u128, u64)>>,
}

impl Series {
    /// Starts a thread.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let started = Instant::now();
            let mut points = Vec::new();
            loop {
                let is_last = asked.load(Ordering::Relaxed);
                if let Ok(now) = memory::resident() {
                    points.push((started.elapsed().as_millis(), now.total));
                }
                if is_last {
                    return points;
                }
                thread::park_timeout(INTERVAL);
            }
        });
        Self { stop, thread }
    }

    /// Looks once more, stops, and adds the points to `sample`.
    ///
    /// # Errors
    ///
    /// The thread panicked.
    pub fn stop(self, sample: &mut Sample) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let joined = self.thread.join();
        let points = joined.map_err(|_panic| Failure::new("the series panicked"))?;
        let step = points.len().div_ceil(POINTS).max(1);
        let last = points.len().saturating_sub(1);
        for (index, (millis, bytes)) in points.into_iter().enumerate() {
            let metric = format!("{RESIDENT_AT}{millis}");
            if (index % step == 0 || index == last) && sample.get(&metric).is_none() {
                sample.add(&metric, bytes as f64, "bytes");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_came_meanwhile_is_in_the_last_point() {
        let alone = memory::TEST.lock();
        let series = Series::start();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let mut sample = Sample::new();
        series.stop(&mut sample).unwrap();
        drop((block, alone));
        assert!(!sample.readings.is_empty() && sample.readings.len() <= POINTS + 1);
        let values = sample.readings.iter().map(|one| one.value);
        assert!(values.fold(0.0, f64::max) >= f64::from(60 << 20));
    }
}
