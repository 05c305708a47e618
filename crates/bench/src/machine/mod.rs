//! The machine: its device, its cores, its memory, and the way back to how it was.

pub mod cache;
pub mod guard;
pub mod limit;
pub mod memory;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use procfs::{Current, CurrentSI};
use rustix::thread::CpuSet;

use crate::error::{Context, Result, anyhow, skip};
use guard::Guard;

/// How long [`settle`] waits at most for an idle device.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// The same for this process, in milliseconds; 0 for [`SETTLE_MAX`].
static SETTLE_MILLIS: AtomicU64 = AtomicU64::new(0);

/// How long the device has to be idle.
const IDLE: Duration = Duration::from_millis(50);

/// The block device under a directory, where there is one.
#[derive(Clone, Debug)]
pub struct Device {
    folder: PathBuf,
}

impl Device {
    /// Finds the device; `None` on file systems without one of their own, such as overlayfs or
    /// btrfs.
    pub fn of(dir: &Path) -> Option<Self> {
        let number = fs::metadata(dir).ok()?.dev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let folder = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
        Some(Self { folder })
    }

    /// Returns the name, such as `vda`.
    pub fn name(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Reads a setting of the queue, such as `read_ahead_kb`.
    pub fn queue(&self, setting: &str) -> Option<String> {
        let text = fs::read_to_string(self.queue_file(setting)).ok()?;
        Some(text.trim().to_owned())
    }

    /// Returns the file of a setting; a partition has those of its disk.
    fn queue_file(&self, setting: &str) -> PathBuf {
        let own = self.folder.join("queue").join(setting);
        if own.exists() {
            return own;
        }
        self.folder.join("../queue").join(setting)
    }

    /// Returns the bytes that went to the device since the machine started.
    pub fn written_bytes(&self) -> Option<u64> {
        Some(*self.counters()?.get(6)? * 512)
    }

    /// Tells whether nothing was read, written or under way for a moment.
    fn is_idle(&self) -> bool {
        let before = self.counters();
        thread::sleep(IDLE);
        let after = self.counters();
        let under_way = after.as_ref().and_then(|after| after.get(8).copied());
        // The times in the rest of the line go on.
        let moved = |counters: Option<Vec<u64>>| counters.map(|all| (all[2], all[6]));
        moved(before) == moved(after) && under_way.unwrap_or(0) == 0
    }

    fn counters(&self) -> Option<Vec<u64>> {
        let text = fs::read_to_string(self.folder.join("stat")).ok()?;
        let numbers = text.split_whitespace().map(|number| number.parse().ok());
        numbers
            .collect::<Option<Vec<u64>>>()
            .filter(|all| all.len() > 8)
    }
}

/// Writes everything back and waits until the device has nothing to do, so that the dirty pages of
/// one candidate do not slow down the next one. Gives up after a while: others may be using the
/// device.
pub fn settle(dir: &Path) {
    rustix::fs::sync();
    let Some(device) = Device::of(dir) else {
        return;
    };
    let started = Instant::now();
    let most = match SETTLE_MILLIS.load(Ordering::Relaxed) {
        0 => SETTLE_MAX,
        millis => Duration::from_millis(millis),
    };
    while !device.is_idle() {
        if started.elapsed() > most {
            eprintln!("the device is not idle: another process uses it, or it writes back slowly");
            return;
        }
    }
}

/// Lets [`settle`] wait for a hundredth of `time` at most, which is that of the whole call.
pub fn limit_settling(time: Duration) {
    let most = (time / 100).min(SETTLE_MAX).as_millis();
    let most = u64::try_from(most).unwrap_or(u64::MAX).max(1);
    SETTLE_MILLIS.store(most, Ordering::Relaxed);
}

/// Another read-ahead of the device under a directory, until dropped. If the program ends before
/// that, the guard puts the old value back.
pub struct ReadAhead {
    file: PathBuf,
    before: String,
}

impl ReadAhead {
    /// Sets the read-ahead to `kb` KiB, or does nothing if that is what it is. Skips where there is
    /// no device, or where this takes root.
    pub fn set(dir: &Path, kb: u32, guard: &mut Guard) -> Result<Self> {
        let lacking = |why: String| skip(format!("the read-ahead cannot be set: {why}"));
        let device = Device::of(dir).ok_or_else(|| lacking("no device".to_owned()))?;
        let file = device.queue_file("read_ahead_kb");
        let before = fs::read_to_string(&file).map_err(|error| lacking(error.to_string()))?;
        if before.trim() != kb.to_string() {
            guard.write_back(&file, &before)?;
            fs::write(&file, kb.to_string()).map_err(|error| lacking(error.to_string()))?;
        }
        Ok(Self { file, before })
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.file, &self.before) {
            let before = self.before.trim();
            eprintln!("the read-ahead of the device stays changed, it was {before}: {error}");
        }
    }
}

/// Returns the load average of the last minute.
pub fn load_average() -> f32 {
    procfs::LoadAverage::current().map_or(0.0, |load| load.one)
}

/// Returns the time that the hypervisor gave to others.
pub fn stolen_seconds() -> f64 {
    let stat = procfs::KernelStats::current().ok();
    let stolen = stat.and_then(|stat| stat.total.steal_duration());
    stolen.unwrap_or_default().as_secs_f64()
}

pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Runs `work` on every item, each in a thread of its own; returns the first error.
pub fn on_threads<T: Send>(
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let work = &work;
    thread::scope(|scope| {
        let start = |item| scope.spawn(move || work(item));
        let threads: Vec<_> = items.into_iter().map(start).collect();
        threads.into_iter().try_for_each(|thread| {
            let joined = thread.join();
            joined.unwrap_or_else(|_panic| Err(anyhow!("a thread panicked")))
        })
    })
}

/// Keeps the calling thread on one core until dropped; threads that it starts meanwhile stay there
/// too.
pub struct Pinned {
    before: CpuSet,
}

impl Pinned {
    /// Moves to the last core that this thread may use: interrupts prefer the first.
    pub fn to_last_core() -> Result<Self> {
        let before = rustix::thread::sched_getaffinity(None).context("read the cores")?;
        let mut last = CpuSet::new();
        if let Some(core) = (0..CpuSet::MAX_CPU).rev().find(|core| before.is_set(*core)) {
            last.set(core);
        }
        rustix::thread::sched_setaffinity(None, &last).context("stay on a core")?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Err(error) = rustix::thread::sched_setaffinity(None, &self.before) {
            eprintln!("the thread stays on its core: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinning_ends_with_the_value() {
        let before = rustix::thread::sched_getaffinity(None).unwrap();
        let pinned = Pinned::to_last_core().unwrap();
        let during = rustix::thread::sched_getaffinity(None).unwrap();
        assert_eq!(during.count(), 1);
        drop(pinned);
        let after = rustix::thread::sched_getaffinity(None).unwrap();
        assert_eq!(after, before);
    }
}
