//! The state of the machine's memory before a run: a first-class part of every workload.
//!
//! A virtual machine whose kernel reports free memory to the host ("free page reporting") loses it
//! within seconds, and every page of it costs a fault in the host when it is used again: the same
//! raw loop wrote 0.3 and 6 GiB/s in turns. Memory that holds pages of files is not free, so the
//! host leaves it alone, and the kernel takes it back for a new file without writing anything,
//! since those pages are clean. Which of these states a program meets is not in its hands, so both
//! are measured, and data that passes memory as a third.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use procfs::{Current, Meminfo};

use crate::error::{Context, Result, bail, skip};
use crate::raw;

/// The state of memory before a process is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// The page cache is full of another file, as on a machine that has been up for a while. Where
    /// free memory stays with the machine nothing is done for that.
    Reused,
    /// Nothing is cached, and all free memory was given back to the host.
    Free,
    /// So many bytes of data are larger than memory, and fill it themselves.
    Past(u64),
}

impl Memory {
    /// All states, with the length of the data there.
    pub fn states(len: u64) -> [(Self, u64); 3] {
        let total = Meminfo::current().map_or(u64::MAX / 4, |memory| memory.mem_total);
        let past = (total / 4 * 5).next_multiple_of(1 << 30);
        [
            (Self::Reused, len),
            (Self::Free, len),
            (Self::Past(past), past),
        ]
    }

    /// Returns how the names of workloads end that begin in this state.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Reused => "",
            Self::Free => "/free_memory",
            Self::Past(_) => "/past_memory",
        }
    }
}

/// The length of the file that fills the cache: a hole, with no disk space and no end of fresh
/// pages.
const LEN: u64 = 4 << 40;

/// One read.
const PIECE: usize = 1 << 20;

/// How much is read between two looks at the amount of free memory.
const STEP: u64 = 256 << 20;

/// How many steps are read after the amount of free memory stops falling. The kernel keeps more
/// than a GiB free at times; this much reading moves those pages through its hands. In a quick call
/// runs are short and their data small.
const STEPS_AFTER: [u32; 2] = [1, 8];

/// How long filling takes before it is worth a message.
const SLOW: Duration = Duration::from_secs(2);

/// How long the kernel waits with the report of free memory to the host, and then some.
const REPORTED: Duration = Duration::from_secs(4);

/// Brings memory into a state.
pub struct Bringer {
    file: File,
    offset: u64,
    is_full_call: bool,
    /// How long filling may take in all, if there is an end.
    allowed: Option<Duration>,
    spent: Duration,
}

impl Bringer {
    /// Gets ready for a quick or full call that may take so long.
    ///
    /// A quick call spends a tenth of its time on filling, and a quarter of that for one time: a
    /// host was seen to take memory back as fast as it was filled. A full call fills the cache
    /// however long that takes, and has fewer rounds: a round without a full cache says nothing.
    pub fn new(dir: &Path, is_full_call: bool, time: Option<Duration>) -> Result<Self> {
        let file = raw::create(dir)?;
        file.set_len(LEN).context("make a sparse file")?;
        Ok(Self {
            file,
            offset: 0,
            is_full_call,
            allowed: time.filter(|_time| !is_full_call).map(|time| time / 10),
            spent: Duration::ZERO,
        })
    }

    /// Brings memory into the state. Returns whether it is; `None` where nothing had to be done.
    pub fn bring(&mut self, state: Memory, dir: &Path) -> Result<Option<bool>> {
        match state {
            Memory::Reused if host_takes_free_memory() => self.fill().map(Some),
            Memory::Reused => Ok(None),
            Memory::Free => free().map(|()| Some(true)),
            Memory::Past(len) => room_for(dir, len).map(|()| None),
        }
    }

    fn allowance(&self) -> Option<Duration> {
        let next = |total: Duration| (total / 4).min(total.saturating_sub(self.spent));
        self.allowed.map(next)
    }

    /// Reads on until the cache is full, so that the kernel takes a page back for each page that it
    /// hands out. Returns whether it is, or whether there was no time for all of it.
    fn fill(&mut self) -> Result<bool> {
        let started = Instant::now();
        let steps_after = STEPS_AFTER[usize::from(self.is_full_call)];
        let most = self.allowance();
        let mut buffer = vec![0; PIECE];
        // If others free memory all the time, twice the memory is enough.
        let mut steps_left = 2 * Meminfo::current()?.mem_total / STEP;
        let mut steps_full = 0;
        while steps_full < steps_after && steps_left > 0 {
            if most.is_some_and(|most| started.elapsed() >= most) {
                break;
            }
            let before = Meminfo::current()?.mem_free;
            for _ in 0..STEP / PIECE as u64 {
                self.file.read_exact_at(&mut buffer, self.offset)?;
                self.offset = (self.offset + PIECE as u64) % LEN;
            }
            let taken = before.saturating_sub(Meminfo::current()?.mem_free);
            steps_full += u32::from(taken < STEP / 2);
            steps_left -= 1;
        }
        let took = started.elapsed();
        self.spent += took;
        if took > SLOW {
            let (seconds, free) = (took.as_secs(), Meminfo::current()?.mem_free >> 20);
            eprintln!("filling the page cache took {seconds} s; {free} MiB are free");
        }
        Ok(steps_full >= steps_after)
    }
}

/// Drops all caches, joins free pages into the long stretches that are reported, and waits for
/// that.
fn free() -> Result<()> {
    rustix::fs::sync();
    for (file, text) in [("drop_caches", "3"), ("compact_memory", "1")] {
        let written = fs::write(format!("/proc/sys/vm/{file}"), text);
        written.map_err(|error| skip(format!("memory cannot be freed: {file}: {error}")))?;
    }
    if host_takes_free_memory() {
        thread::sleep(REPORTED);
    }
    let memory = Meminfo::current()?;
    if memory.cached > memory.mem_total / 4 {
        bail!("{} MiB are still cached", memory.cached >> 20);
    }
    Ok(())
}

/// Skips unless the disk has room for the data, and for a quarter as much again.
fn room_for(dir: &Path, len: u64) -> Result<()> {
    let disk = rustix::fs::statvfs(dir).context("look at the disk")?;
    let free = disk.f_bavail * disk.f_frsize;
    let wanted = len.saturating_add(len / 4);
    if free < wanted {
        let (free, wanted) = (free >> 30, wanted >> 30);
        return Err(skip(format!("{free} GiB are free on disk, not {wanted}")));
    }
    Ok(())
}

/// Tells whether this machine reports free memory to its host.
pub fn host_takes_free_memory() -> bool {
    Path::new("/sys/module/page_reporting").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bringer(is_full_call: bool, seconds: u64) -> Bringer {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        Bringer::new(dir, is_full_call, Some(Duration::from_secs(seconds))).unwrap()
    }

    /// Records were made in which only the first round had a full cache: `--full --minutes` had run
    /// out of time for filling it, and went on without.
    #[test]
    fn a_full_call_whose_time_is_limited_fills_the_cache_in_every_round() {
        let mut full = bringer(true, 60);
        full.spent = Duration::from_secs(3600);
        assert_eq!(full.allowance(), None);
    }

    #[test]
    fn a_quick_call_fills_the_cache_in_a_tenth_of_its_time() {
        let mut quick = bringer(false, 400);
        for (spent, next) in [(0, 10), (35, 5), (41, 0)] {
            quick.spent = Duration::from_secs(spent);
            assert_eq!(quick.allowance(), Some(Duration::from_secs(next)));
        }
    }

    #[test]
    fn the_cache_is_filled_with_pages_of_the_file_where_there_is_time() {
        let mut quick = bringer(false, 0);
        assert!(!quick.fill().unwrap(), "there was no time");
        assert_eq!(quick.offset, 0);
        quick.allowed = Some(Duration::from_secs(1));
        quick.fill().unwrap();
        assert!(quick.offset >= STEP, "nothing was read");
    }

    #[test]
    fn data_past_memory_are_larger_than_it_and_need_a_disk() {
        let [.., (state, len)] = Memory::states(1 << 30);
        assert!(state == Memory::Past(len) && len > Meminfo::current().unwrap().mem_total);
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(room_for(dir, 1).is_ok() && room_for(dir, u64::MAX).is_err());
    }
}
