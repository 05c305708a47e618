//! The page cache of a file: how much of it is there, and dropping it.
#![expect(
    unsafe_code,
    reason = "cachestat and sync_file_range have no safe wrapper"
)]

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::Advice;
use rustix::io::ReadWriteFlags;

use crate::error::{Context, Result, ensure, skip};
use crate::raw;

/// The number of the system call, the same on every architecture. Linux 6.5.
const CACHESTAT: libc::c_long = 451;
const NO_FLAGS: libc::c_uint = 0;

/// Linux 6.14.
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// How often a file is dropped again if pages stay, and the pause before.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(4);

/// So many pages may stay: the kernel keeps a few dozen of a gigabyte, whatever one tries, if
/// reclaim had to do with them.
const STUBBORN: u64 = 64;

/// What the last [`expect_cold`] has found.
static AT_START: AtomicU64 = AtomicU64::new(UNKNOWN);
const UNKNOWN: u64 = u64::MAX;

/// What the kernel says about the cached pages of a file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct CacheState {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Asks for the cached pages of the whole file. `ENOSYS` before Linux 6.5.
fn state(file: impl AsFd) -> io::Result<CacheState> {
    // Offset and length; a length of 0 means up to the end.
    let range = [0_u64; 2];
    let mut state = CacheState::default();
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the kernel reads the range and writes a `CacheState`, both laid out as in its header;
    // both live until the call returns, and the descriptor is open.
    let answer =
        unsafe { libc::syscall(CACHESTAT, fd, &raw const range, &raw mut state, NO_FLAGS) };
    if answer == 0 {
        Ok(state)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Returns how many pages of the file are in memory.
pub fn cached_pages(file: impl AsFd) -> Result<u64> {
    Ok(state(file).context("cachestat")?.cached)
}

/// Writes bytes that the kernel is to drop from memory as soon as they are written back, by one call
/// after another. Skips where the kernel or the file system cannot do that.
pub fn write_uncached(file: &File, mut bytes: &[u8], mut offset: u64) -> Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::pwritev2(file, &[IoSlice::new(bytes)], offset, DONTCACHE);
        let written = written.map_err(|error| match error {
            rustix::io::Errno::OPNOTSUPP => skip("RWF_DONTCACHE is refused"),
            other => other.into(),
        })?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Has the kernel write a range back, and waits for nothing.
pub fn start_writing_back(file: &File, offset: u64, len: u64) -> Result<()> {
    sync_range(file, offset, len, libc::SYNC_FILE_RANGE_WRITE)
}

/// Waits until a range is written back, and drops it from memory.
pub fn drop_written(file: &File, offset: u64, len: u64) -> Result<()> {
    let before = libc::SYNC_FILE_RANGE_WAIT_BEFORE;
    let after = libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, offset, len, before | after)?;
    Ok(rustix::fs::fadvise(
        file,
        offset,
        NonZeroU64::new(len),
        Advice::DontNeed,
    )?)
}

fn sync_range(file: &File, offset: u64, len: u64, flags: libc::c_uint) -> Result<()> {
    let (offset, len) = (offset.try_into()?, len.try_into()?);
    // SAFETY: the call changes no memory, and the descriptor is open.
    let answer = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) };
    ensure!(
        answer == 0,
        "sync_file_range: {}",
        io::Error::last_os_error()
    );
    Ok(())
}

/// Writes the file back and drops it from memory; returns how many pages are cached afterwards.
///
/// Pages that a process has mapped stay (linux-facts S3). A page that the kernel is busy with stays
/// as well, so this tries again for a while.
pub fn drop_file(file: impl AsFd) -> Result<u64> {
    let mut attempts = 0;
    loop {
        rustix::fs::fdatasync(&file)?;
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
        let left = state(&file).context("cachestat")?.cached;
        attempts += 1;
        if left == 0 || attempts == ATTEMPTS {
            return Ok(left);
        }
        thread::sleep(PAUSE);
    }
}

/// Drops a file, and fails if that does not work.
pub fn make_cold(file: impl AsFd) -> Result<()> {
    expect_cold(drop_file(file)?)
}

/// Drops every file of a folder, for stores that are closed meanwhile, and fails if that does not
/// work.
pub fn make_folder_cold(folder: &Path) -> Result<()> {
    fn left_of(folder: &Path) -> Result<u64> {
        let mut left = 0;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            left += if path.is_dir() {
                left_of(&path)?
            } else {
                drop_file(raw::open(&path)?)?
            };
        }
        Ok(left)
    }
    expect_cold(left_of(folder).context("drop a folder from memory")?)
}

/// Drops every file that this process has open on the file system of `dir`, but the three standard
/// ones; returns how many pages are cached afterwards, which should be 0.
pub fn drop_open_files(dir: &Path) -> Result<u64> {
    let device = fs::metadata(dir).context("look at the directory")?.dev();
    let mut left = 0;
    for (path, facts) in raw::open_files()? {
        let is_standard = ["0", "1", "2"].iter().any(|name| path.ends_with(name));
        if !is_standard && facts.dev() == device {
            left += drop_file(raw::open(&path)?)?;
        }
    }
    Ok(left)
}

/// Fails if `left` pages are more than a few: a run that is not cold is not recorded. The next
/// [`Stage`](crate::stage::Stage) records how many there were.
pub fn expect_cold(left: u64) -> Result<()> {
    AT_START.store(left, Ordering::Relaxed);
    ensure!(left <= STUBBORN, "{left} pages are still cached");
    Ok(())
}

/// Takes the number of pages that the last [`expect_cold`] has found, if it was not taken yet.
pub(crate) fn take_at_start() -> Option<u64> {
    let found = AT_START.swap(UNKNOWN, Ordering::Relaxed);
    (found != UNKNOWN).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    /// The workloads of another test have the kernel write back whatever is dirty, so it may be clean by
    /// the time that it is looked at.
    #[test]
    fn a_dropped_file_has_no_cached_pages_and_a_warm_one_is_not_cold() {
        let file = raw::create(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        if state(&file).is_err() {
            return; // an older kernel
        }
        let is_warm = (0..1000).any(|_| {
            file.write_all_at(&vec![7; 100_000], 0).unwrap();
            let warm = state(&file).unwrap();
            (warm.cached, warm.dirty) == (25, 25)
        });
        assert!(is_warm);
        make_cold(&file).unwrap();
        let cold = state(&file).unwrap();
        assert_eq!((cold.cached, cold.dirty), (0, 0));
        assert!(expect_cold(STUBBORN + 1).is_err());
    }
}
