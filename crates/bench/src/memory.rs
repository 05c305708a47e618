//! Resident memory of this process, as the kernel counts it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::failure::{Context, Failure, Result};

/// What `/proc/self/status` says, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// All resident pages.
    pub total: u64,
    /// Pages that are this process's alone.
    pub anonymous: u64,
    /// Mapped pages of files; the kernel may take them at any time.
    pub file: u64,
    /// The most that `total` ever was, or was since [`reset_peak`].
    pub peak: u64,
}

/// Reads the counters. They may be some 100 KiB off: the kernel counts in batches.
///
/// # Errors
///
/// A kernel that does not show them.
pub fn resident() -> Result<Resident> {
    parse(&fs::read_to_string("/proc/self/status").context("read the memory counters")?)
}

fn parse(status: &str) -> Result<Resident> {
    let read = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
        let kib: Option<u64> = number.and_then(|number| number.parse().ok());
        kib.map(|kib| kib << 10)
            .ok_or_else(|| Failure::new(format!("no {name} in the memory counters")))
    };
    Ok(Resident {
        total: read("VmRSS")?,
        anonymous: read("RssAnon")?,
        file: read("RssFile")?,
        peak: read("VmHWM")?,
    })
}

/// Sets the peak to what is resident now.
///
/// # Errors
///
/// A kernel without `clear_refs`.
pub fn reset_peak() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("reset the peak of resident memory")
}

/// Looks at the counters every now and then, and keeps the largest of each.
///
/// For what the kernel keeps no peak of: anonymous and mapped pages apart.
#[derive(Debug)]
pub struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Resident>,
}

impl Sampler {
    /// Starts a thread that looks every `interval`.
    pub fn start(interval: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut most = Resident::default();
            loop {
                if let Ok(now) = resident() {
                    most.total = most.total.max(now.total);
                    most.anonymous = most.anonymous.max(now.anonymous);
                    most.file = most.file.max(now.file);
                    most.peak = most.peak.max(now.peak);
                }
                if asked.load(Ordering::Relaxed) {
                    return most;
                }
                thread::park_timeout(interval);
            }
        });
        Self { stop, thread }
    }

    /// Looks once more, stops, and returns the largest values seen.
    ///
    /// # Errors
    ///
    /// The thread panicked.
    pub fn stop(self) -> Result<Resident> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let joined = self.thread.join();
        joined.map_err(|_panic| Failure::new("the memory sampler panicked"))
    }
}

/// Held by tests that watch the memory of the whole process.
#[cfg(test)]
pub(crate) static TEST: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_of_a_status_are_found() {
        let status =
            "VmHWM:\t    2000 kB\nVmRSS:\t    1500 kB\nRssAnon:\t  500 kB\nRssFile:\t 1000 kB\n";
        let expected = Resident {
            total: 1500 << 10,
            anonymous: 500 << 10,
            file: 1000 << 10,
            peak: 2000 << 10,
        };
        assert_eq!(parse(status), Ok(expected));
        assert!(parse("VmRSS: 1 kB").is_err());
    }

    #[test]
    fn the_sampler_sees_memory_that_is_gone_at_the_end() {
        let alone = TEST.lock();
        let before = resident().unwrap();
        let sampler = Sampler::start(Duration::from_millis(1));
        let block = std::hint::black_box(vec![1u8; 128 << 20]);
        thread::sleep(Duration::from_millis(50));
        drop(block);
        let most = sampler.stop().unwrap();
        drop(alone);
        assert!(most.anonymous >= before.anonymous + (48 << 20));
    }
}
