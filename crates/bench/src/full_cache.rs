//! Fills the page cache with the pages of a file that nobody needs, as on a machine that
//! has been up for a while.
//!
//! A virtual machine whose kernel reports free memory to the host ("free page reporting")
//! loses it within a second, and every page of it costs a fault in the host when it is
//! used again: the same raw loop was seen to write 0.3 and 6 GiB/s in turns. Memory that
//! holds pages of files is not free, so the host leaves it alone, and the kernel takes it
//! back for a new file without writing anything, since those pages are clean. The price is that
//! every candidate pays for this reclaim, as it does on every machine that is in use.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::failure::{Context, Result};
use crate::scenario::raw;

/// The length of the file, all of it a hole: no disk space, and no end of fresh pages.
const LEN: u64 = 4 << 40;

/// One read.
const PIECE: usize = 1 << 20;

/// How many pieces are read between two looks at the amount of free memory: 256 MiB.
const STEP: u64 = 256;

/// How many steps are read after the amount of free memory stops falling. The kernel keeps
/// more than a GiB free at times; this much reading moves those pages through its hands.
const STEPS_AFTER: u32 = 8;

/// The same where runs are short and their data small.
const STEPS_AFTER_QUICK: u32 = 1;

/// Of a call whose time is limited, one part in so many is for this, and a quarter of that for one
/// time: a host was seen to take memory back as fast as it was filled.
const PART_OF_TIME: u32 = 10;

/// How long filling takes before it is worth a word.
const SLOW: Duration = Duration::from_secs(2);

/// The file, and how far it was read.
#[derive(Debug)]
pub struct FullCache {
    file: File,
    offset: u64,
    steps_after: u32,
    time: Option<Duration>,
    spent: Duration,
}

impl FullCache {
    /// Makes the file for a call that may take so long; `None` where free memory stays with the machine, so that nothing
    /// has to be done.
    ///
    /// # Errors
    ///
    /// No file can be made in `dir`.
    pub fn where_needed(dir: &Path, is_full: bool, time: Option<Duration>) -> Result<Option<Self>> {
        if !host_takes_free_memory() {
            return Ok(None);
        }
        let file = raw::create(dir)?;
        file.set_len(LEN).context("make a sparse file")?;
        let steps_after = if is_full {
            STEPS_AFTER
        } else {
            STEPS_AFTER_QUICK
        };
        Ok(Some(Self {
            file,
            offset: 0,
            steps_after,
            time: time.map(|time| time / PART_OF_TIME),
            spent: Duration::ZERO,
        }))
    }

    /// Returns how long filling took until now.
    pub fn spent(&self) -> Duration {
        self.spent
    }

    /// Reads on until the cache is full, so that the kernel takes a page back for each page
    /// that it hands out. Says whether it is, or whether there was no time for all of it.
    ///
    /// # Errors
    ///
    /// A failed read.
    pub fn fill(&mut self) -> Result<bool> {
        let started = Instant::now();
        let mut buffer = vec![0; PIECE];
        // If others free memory all the time, twice the memory is enough.
        let mut steps_left = 2 * memory("MemTotal:").unwrap_or(0) / (STEP * PIECE as u64);
        let mut steps_full = 0;
        let most = self
            .time
            .map(|time| (time / 4).min(time.saturating_sub(self.spent)));
        while steps_full < self.steps_after && steps_left > 0 {
            if most.is_some_and(|most| started.elapsed() >= most) {
                break;
            }
            let before = memory("MemFree:").unwrap_or(0);
            for _ in 0..STEP {
                self.file.read_exact_at(&mut buffer, self.offset)?;
                self.offset = (self.offset + PIECE as u64) % LEN;
            }
            let taken = before.saturating_sub(memory("MemFree:").unwrap_or(0));
            if taken < STEP * PIECE as u64 / 2 {
                steps_full += 1;
            }
            steps_left -= 1;
        }
        let took = started.elapsed();
        self.spent += took;
        if took > SLOW {
            let (seconds, free) = (took.as_secs(), memory("MemFree:").unwrap_or(0) >> 20);
            eprintln!("filling the page cache took {seconds} s; {free} MiB are free");
        }
        Ok(steps_full >= self.steps_after)
    }
}

/// Tells whether this machine reports free memory to its host.
pub fn host_takes_free_memory() -> bool {
    Path::new("/sys/module/page_reporting").exists()
}

/// Returns an entry of the memory table in bytes.
fn memory(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_table_is_read() {
        assert!(memory("MemTotal:").unwrap() > memory("MemFree:").unwrap());
        assert_eq!(memory("NoSuchEntry:"), None);
    }
}
