//! The page cache of a file: how much of it is there, and away with it.
#![expect(unsafe_code, reason = "cachestat has no safe wrapper")]

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::Advice;

use crate::failure::{Context, Failure, Result};

/// The number of the system call, the same on every architecture. Linux 6.5.
const CACHESTAT: libc::c_long = 451;

/// The last argument of the system call: there are no flags yet.
const NO_FLAGS: libc::c_uint = 0;

/// How often a file is dropped again if pages stay, and the pause before.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(4);

/// So many pages may stay: the kernel was seen to keep a few dozen of a gigabyte, whatever
/// one tries, if reclaim had to do with them.
const STUBBORN: u64 = 64;

/// What the last [`expect_cold`] has found.
static AT_START: AtomicU64 = AtomicU64::new(UNKNOWN);
const UNKNOWN: u64 = u64::MAX;

/// What the kernel says about the cached pages of a file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheState {
    /// Pages in memory.
    pub cached: u64,
    /// Pages that the device does not have yet.
    pub dirty: u64,
    /// Pages on their way to the device.
    pub writeback: u64,
    /// Pages that were in memory once.
    pub evicted: u64,
    /// Pages that left memory a short time ago.
    pub recently_evicted: u64,
}

/// The argument of the system call; a length of 0 means up to the end.
#[repr(C)]
#[derive(Default)]
struct Range {
    offset: u64,
    len: u64,
}

/// Asks for the cached pages of the whole file.
///
/// # Errors
///
/// `ENOSYS` before Linux 6.5.
pub fn state(file: impl AsFd) -> io::Result<CacheState> {
    let range = Range::default();
    let mut state = CacheState::default();
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the kernel reads a `Range` and writes a `CacheState`, both laid out as in
    // its header; both live until the call returns, and the descriptor is open.
    let answer =
        unsafe { libc::syscall(CACHESTAT, fd, &raw const range, &raw mut state, NO_FLAGS) };
    if answer == 0 {
        Ok(state)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Writes the file back and drops it from memory; returns what is cached afterwards.
///
/// Pages that a process has mapped stay (linux-facts S3). A page that the kernel is busy
/// with stays as well, so this tries again for a while.
///
/// # Errors
///
/// Those of `fdatasync`, `posix_fadvise` and `cachestat`.
pub fn drop_file(file: impl AsFd) -> io::Result<CacheState> {
    let mut attempts = 0;
    loop {
        rustix::fs::fdatasync(&file)?;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
        let left = state(&file)?;
        attempts += 1;
        if left.cached == 0 || attempts == ATTEMPTS {
            return Ok(left);
        }
        thread::sleep(PAUSE);
    }
}

/// Drops every regular file that this process has open on the file system of `dir`, but
/// the three standard ones; returns how many pages are cached afterwards, which should be 0.
///
/// Reaches unnamed files inside of libraries, by the names that the kernel gives open
/// descriptors.
///
/// # Errors
///
/// A file that cannot be opened a second time, synced or dropped.
pub fn drop_open_files(dir: &Path) -> Result<u64> {
    let device = fs::metadata(dir).context("look at the directory")?.dev();
    let mut left = 0;
    for entry in fs::read_dir("/proc/self/fd").context("list descriptors")? {
        let entry = entry.context("list descriptors")?;
        if matches!(entry.file_name().as_bytes(), b"0" | b"1" | b"2") {
            continue;
        }
        let path = entry.path();
        // The descriptor of this very listing is gone when it is looked at.
        let Ok(facts) = fs::metadata(&path) else {
            continue;
        };
        if !facts.is_file() || facts.dev() != device {
            continue;
        }
        let file = OpenOptions::new().read(true).open(&path);
        let file = file.context("open a descriptor again")?;
        left += drop_file(&file).context("drop a file from memory")?.cached;
    }
    Ok(left)
}

/// Fails if `left` pages are more than a few: a run that is not cold is not recorded. The
/// next [`Stage`](crate::stage::Stage) records how many there were.
///
/// # Errors
///
/// Says how many pages there were.
pub fn expect_cold(left: u64) -> Result<()> {
    AT_START.store(left, Ordering::Relaxed);
    if left <= STUBBORN {
        return Ok(());
    }
    Err(Failure::new(format!("{left} pages are still cached")))
}

/// Takes the number of pages that the last [`expect_cold`] has found, if nobody took it.
pub(crate) fn take_at_start() -> Option<u64> {
    let found = AT_START.swap(UNKNOWN, Ordering::Relaxed);
    (found != UNKNOWN).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_dropped_file_has_no_cached_pages() {
        let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let fd = rustix::fs::open(env!("CARGO_MANIFEST_DIR"), flags, mode).unwrap();
        let mut file = fs::File::from(fd);
        file.write_all(&vec![7; 100_000]).unwrap();
        let Ok(warm) = state(&file) else {
            return; // an older kernel
        };
        assert_eq!((warm.cached, warm.dirty), (25, 25));
        let cold = drop_file(&file).unwrap();
        assert_eq!((cold.cached, cold.dirty), (0, 0));
    }
}
