//! What macOS has of its own: preallocation, holes, and syncs that reach the device.
#![expect(
    unsafe_code,
    reason = "calls fcntl with requests that rustix does not have; see docs/safety.md"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{self, SeekFrom, Stat, StatFs};
use rustix::io::Errno;

use crate::sys::Hint;
use crate::sys::posix::file::missing_bytes;

/// Preallocates what is missing up to `offset + len`, and lengthens the file. `Unsupported` where a hole
/// is in the way: the system preallocates behind the end only.
pub(super) fn allocate(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    let facts = fs::fstat(file)?;
    let end = offset.saturating_add(len);
    let has = u64::try_from(facts.st_size).unwrap_or(0);
    if offset < has {
        // The number of blocks does not tell: some may be behind the end. Nothing uses the cursor.
        let hole = fs::seek(file, SeekFrom::Hole(offset));
        if !hole.is_ok_and(|hole| hole >= has.min(end)) {
            return Err(io::ErrorKind::Unsupported.into());
        }
    }
    if end <= has {
        return Ok(());
    }
    let on_disk = u64::try_from(facts.st_blocks)
        .unwrap_or(0)
        .saturating_mul(512);
    let missing = missing_bytes(has, on_disk, end).ok_or(io::ErrorKind::Unsupported)?;
    if missing > 0 {
        preallocate(file, missing)?;
    }
    Ok(fs::ftruncate(file, end)?)
}

/// Preallocates bytes behind those that the file has on disk. The system may take fewer and report no
/// failure; that is one here.
fn preallocate(file: BorrowedFd<'_>, missing: u64) -> io::Result<()> {
    let wanted = i64::try_from(missing).map_err(|_long| Errno::FBIG)?;
    let mut request = libc::fstore_t {
        fst_flags: libc::F_ALLOCATEALL,
        fst_posmode: libc::F_PEOFPOSMODE,
        fst_offset: 0,
        fst_length: wanted,
        fst_bytesalloc: 0,
    };
    // SAFETY: this request takes an `fstore_t`, which the kernel reads and writes during the call only.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PREALLOCATE, &raw mut request) };
    match (answer, request.fst_bytesalloc < wanted) {
        (-1, _) => Err(match Errno::from_io_error(&io::Error::last_os_error()) {
            Some(Errno::NOTSUP | Errno::OPNOTSUPP) => io::ErrorKind::Unsupported.into(),
            Some(refused) => refused.into(),
            None => io::ErrorKind::Other.into(),
        }),
        (_, true) => Err(Errno::NOSPC.into()),
        (_, false) => Ok(()),
    }
}

/// Refused for parts that are no whole blocks of the file system.
pub(super) fn punch(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    let too_far = |_long| io::ErrorKind::InvalidInput;
    let request = libc::fpunchhole_t {
        fp_flags: 0,
        reserved: 0,
        fp_offset: i64::try_from(offset).map_err(too_far)?,
        fp_length: i64::try_from(len).map_err(too_far)?,
    };
    // SAFETY: this request takes an `fpunchhole_t`, which the kernel reads during the call only.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PUNCHHOLE, &raw const request) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Not `fsync`, which leaves the bytes in the device's own memory.
pub(super) fn sync_data(file: impl AsFd) -> io::Result<()> {
    Ok(fs::fcntl_fullfsync(file)?)
}

pub(super) fn sync_all(file: impl AsFd) -> io::Result<()> {
    Ok(fs::fcntl_fullfsync(file)?)
}

/// There is one hint: that bytes are needed soon.
pub(super) fn advise(file: BorrowedFd<'_>, offset: u64, len: u64, hint: Hint) -> io::Result<()> {
    match hint {
        Hint::WillNeed => Ok(fs::fcntl_rdadvise(file, offset, len)?),
        Hint::Normal | Hint::Sequential | Hint::Random | Hint::DontNeed => Ok(()),
    }
}

/// Returns the number of the device that a file is on.
pub(super) fn device(facts: &Stat) -> u64 {
    u64::from(u32::from_ne_bytes(facts.st_dev.to_ne_bytes()))
}

/// Returns the bytes of a block, and the number of blocks that the user may have.
pub(super) fn blocks(facts: &StatFs) -> (u64, u64) {
    (u64::from(facts.f_bsize), facts.f_bavail)
}

/// Returns whether the file system is on this machine.
pub(super) fn is_local(facts: &StatFs) -> bool {
    const LOCAL: u32 = u32::from_ne_bytes(libc::MNT_LOCAL.to_ne_bytes());
    facts.f_flags & LOCAL != 0
}

/// For `minherit`: children do not get the pages.
pub(super) const NOT_INHERITED: libc::c_int = libc::VM_INHERIT_NONE;
