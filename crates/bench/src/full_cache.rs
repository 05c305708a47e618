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

/// Of a quick call, one part in so many is for this, and a quarter of that for one time: a host was
/// seen to take memory back as fast as it was filled. A full call saves rounds instead.
const PART_OF_TIME: u32 = 10;

/// How long filling takes before it is worth a word.
const SLOW: Duration = Duration::from_secs(2);

/// The file, and how far it was read.
#[derive(Debug)]
pub struct FullCache {
    file: File,
    offset: u64,
    steps_after: u32,
    allowance: Allowance,
}

/// How long filling may take, and took.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    /// All of it, if there is an end.
    total: Option<Duration>,
    spent: Duration,
}

impl Allowance {
    /// A full call fills the cache however long that takes, and has fewer rounds if its time is
    /// limited: a round without a full cache says nothing.
    fn of(is_full: bool, time: Option<Duration>) -> Self {
        let total = time.filter(|_time| !is_full);
        Self {
            total: total.map(|time| time / PART_OF_TIME),
            spent: Duration::ZERO,
        }
    }

    /// Returns how long the next time may take.
    fn next(&self) -> Option<Duration> {
        let next = |total: Duration| (total / 4).min(total.saturating_sub(self.spent));
        self.total.map(next)
    }
}

impl FullCache {
    /// Makes the file for a quick or full call that may take so long; `None` where free memory stays
    /// with the machine, so that nothing has to be done.
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
            allowance: Allowance::of(is_full, time),
        }))
    }

    /// Returns how long filling took until now.
    pub fn spent(&self) -> Duration {
        self.allowance.spent
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
        let most = self.allowance.next();
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
        self.allowance.spent += took;
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

    /// Records were made in which only the first round had a full cache: `--full --minutes` had run out
    /// of time for filling it, and went on without.
    #[test]
    fn a_full_call_whose_time_is_limited_fills_the_cache_in_every_round() {
        let mut full = Allowance::of(true, Some(Duration::from_secs(60)));
        full.spent = Duration::from_secs(3600);
        assert_eq!(full.next(), None);
    }

    #[test]
    fn a_quick_call_fills_the_cache_in_a_tenth_of_its_time() {
        let mut quick = Allowance::of(false, Some(Duration::from_secs(400)));
        let next = |quick: &Allowance| quick.next().map(|next| next.as_secs());
        assert_eq!(next(&quick), Some(10));
        quick.spent = Duration::from_secs(35);
        assert_eq!(next(&quick), Some(5));
        quick.spent = Duration::from_secs(41);
        assert_eq!(next(&quick), Some(0));
        assert_eq!(Allowance::of(false, None).next(), None);
    }

    #[test]
    fn the_memory_table_is_read() {
        assert!(memory("MemTotal:").unwrap() > memory("MemFree:").unwrap());
        assert_eq!(memory("NoSuchEntry:"), None);
    }
}
