//! What happens on the machine besides us: the device, stolen time, the cores.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::CpuSet;

use crate::failure::{Context, Failure, Result};
use crate::guard::Guard;

/// How long [`settle`] waits at most for an idle device.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// The same where the time of the whole call is limited: one part in so many of it.
const SETTLE_PART: u32 = 100;

/// How long it is in this process, in milliseconds; 0 for [`SETTLE_MAX`].
static SETTLE_MILLIS: AtomicU64 = AtomicU64::new(0);

/// How long the device has to be idle.
const IDLE: Duration = Duration::from_millis(50);

/// The block device under a directory, where there is one.
#[derive(Clone, Debug)]
pub struct Device {
    folder: PathBuf,
}

impl Device {
    /// Finds the device; `None` on file systems without one of their own, such as
    /// overlayfs or btrfs.
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
        let sectors: u64 = self.stat()?.get(6).copied()?;
        Some(sectors * 512)
    }

    /// Sectors read and written, and requests that are under way.
    fn activity(&self) -> Option<[u64; 3]> {
        let stat = self.stat()?;
        Some([*stat.get(2)?, *stat.get(6)?, *stat.get(8)?])
    }

    fn stat(&self) -> Option<Vec<u64>> {
        let text = fs::read_to_string(self.folder.join("stat")).ok()?;
        text.split_whitespace()
            .map(|number| number.parse().ok())
            .collect()
    }
}

/// Writes everything back and waits until the device has nothing to do, so that the dirty
/// pages of one candidate do not slow down the next one.
///
/// Gives up waiting after half a minute, or after a hundredth of the time that
/// [`limit_settling`] was told: others may be using the device.
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
    while started.elapsed() < most {
        let before = device.activity();
        thread::sleep(IDLE);
        let after = device.activity();
        if before == after && after.is_none_or(|activity| activity[2] == 0) {
            return;
        }
    }
    eprintln!("the device is not idle: someone else uses it, or it is slow to write back");
}

/// Lets [`settle`] wait for a hundredth of `time` at most, which is that of the whole call.
pub fn limit_settling(time: Duration) {
    let most = (time / SETTLE_PART).min(SETTLE_MAX).as_millis();
    let most = u64::try_from(most).unwrap_or(u64::MAX).max(1);
    SETTLE_MILLIS.store(most, Ordering::Relaxed);
}

/// Another read-ahead of the device under a directory, until dropped. If the program ends
/// before that, the guard puts the old value back.
#[derive(Debug)]
pub struct ReadAhead {
    file: PathBuf,
    before: String,
}

impl ReadAhead {
    /// Sets the read-ahead to `kb` KiB, or does nothing if that is what it is.
    ///
    /// # Errors
    ///
    /// A skip where there is no device, or where we may not set it: that takes root.
    pub fn set(dir: &Path, kb: u32, guard: &mut Guard) -> Result<Self> {
        let lacking = |why| Failure::skip(format!("the read-ahead cannot be set: {why}"));
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
        let is_changed = fs::read_to_string(&self.file).is_ok_and(|now| now != self.before);
        if !is_changed {
            return;
        }
        if let Err(error) = fs::write(&self.file, &self.before) {
            let before = self.before.trim();
            eprintln!("the read-ahead of the device was {before} and is not any more: {error}");
        }
    }
}

/// Returns the load average of the last minute.
pub fn load_average() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Returns the time that the hypervisor gave to others, in hundredths of a second.
pub fn stolen_ticks() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().next()?.split_whitespace().nth(8)?.parse().ok()
}

/// Keeps the calling thread on one core until dropped; threads that it starts meanwhile
/// stay there too.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
}

impl Pinned {
    /// Moves to the last core that this thread may use: interrupts prefer the first.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
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
