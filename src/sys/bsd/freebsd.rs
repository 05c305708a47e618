//! What FreeBSD 14 has of its own: preallocation as in POSIX, holes, and hints.
#![expect(
    unsafe_code,
    reason = "one call of the C library for which rustix has no function; see docs/safety.md"
)]

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{self, Advice, FallocateFlags, Stat, StatFs};
use rustix::io::Errno;

use crate::sys::Hint;

/// `Unsupported` where the file system cannot, as ZFS.
pub(super) fn allocate(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    match fs::fallocate(file, FallocateFlags::empty(), offset, len) {
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NODEV) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        answer => Ok(answer?),
    }
}

/// `Unsupported` where the system stops before the end, which it may do at any point.
pub(super) fn punch(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    let too_far = |_long| io::ErrorKind::InvalidInput;
    let request = libc::spacectl_range {
        r_offset: i64::try_from(offset).map_err(too_far)?,
        r_len: i64::try_from(len).map_err(too_far)?,
    };
    let mut left = libc::spacectl_range {
        r_offset: 0,
        r_len: 0,
    };
    // SAFETY: the kernel reads the first range and writes the second, during the call only.
    let answer = unsafe {
        libc::fspacectl(
            file.as_raw_fd(),
            libc::SPACECTL_DEALLOC,
            &raw const request,
            0,
            &raw mut left,
        )
    };
    match (answer, left.r_len) {
        (0, 0) => Ok(()),
        (0, _) => Err(io::ErrorKind::Unsupported.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(super) fn sync_data(file: impl AsFd) -> io::Result<()> {
    Ok(fs::fdatasync(file)?)
}

pub(super) fn sync_all(file: impl AsFd) -> io::Result<()> {
    Ok(fs::fsync(file)?)
}

pub(super) fn advise(file: BorrowedFd<'_>, offset: u64, len: u64, hint: Hint) -> io::Result<()> {
    let advice = match hint {
        Hint::Normal => Advice::Normal,
        Hint::Sequential => Advice::Sequential,
        Hint::Random => Advice::Random,
        Hint::WillNeed => Advice::WillNeed,
        Hint::DontNeed => Advice::DontNeed,
    };
    Ok(fs::fadvise(file, offset, NonZeroU64::new(len), advice)?)
}

/// Returns the number of the device that a file is on.
pub(super) fn device(facts: &Stat) -> u64 {
    facts.st_dev
}

/// Returns the bytes of a block, and the number of blocks that the user may have.
pub(super) fn blocks(facts: &StatFs) -> (u64, u64) {
    (facts.f_bsize, u64::try_from(facts.f_bavail).unwrap_or(0))
}

/// Returns whether the file system is on this machine.
pub(super) fn is_local(facts: &StatFs) -> bool {
    facts.f_flags & libc::MNT_LOCAL != 0
}

/// For `minherit`: children do not get the pages.
pub(super) const NOT_INHERITED: libc::c_int = libc::INHERIT_NONE;
