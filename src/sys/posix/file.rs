//! A file descriptor, and the POSIX functions on it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
use rustix::fs::OFlags;
use rustix::fs::{self, FileType, FlockOperation, Gid, Mode, RawMode, Uid};

use crate::sys::Facts;

/// An open file, closed when its last handle is dropped.
///
/// Sharing it allocates memory, which a global allocator must not do.
#[derive(Debug)]
pub(crate) enum Descriptor {
    Alone(OwnedFd),
    Shared(Arc<OwnedFd>),
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Alone(fd) => fd.as_fd(),
            Self::Shared(fd) => fd.as_fd(),
        }
    }
}

impl Descriptor {
    /// Makes [`share`](Self::share) work without a system call.
    pub(crate) fn shared(self) -> Self {
        match self {
            Self::Alone(fd) => Self::Shared(Arc::new(fd)),
            Self::Shared(fd) => Self::Shared(fd),
        }
    }

    /// Returns another handle of the same open file, which keeps it open.
    pub(crate) fn share(&self) -> io::Result<Self> {
        Ok(Self::Shared(match self {
            Self::Alone(fd) => Arc::new(fd.try_clone()?),
            Self::Shared(fd) => Arc::clone(fd),
        }))
    }

    pub(crate) fn facts(&self) -> io::Result<Facts> {
        Ok(facts_of(&fs::fstat(self)?))
    }

    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        // The type has 16 bits on other systems.
        let mode = RawMode::try_from(mode).map_err(|_long| io::ErrorKind::InvalidInput)?;
        Ok(fs::fchmod(self, Mode::from_raw_mode(mode))?)
    }

    pub(crate) fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
        Ok(fs::fchown(self, user, group)?)
    }

    /// Returns whether all writes go to the end of the file.
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn appends(&self) -> io::Result<bool> {
        Ok(fs::fcntl_getfl(self)?.contains(OFlags::APPEND))
    }

    pub(crate) fn read_at(&self, buffer: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<usize> {
        let (filled, _rest) = rustix::io::pread(self, buffer, offset)?;
        Ok(filled.len())
    }

    pub(crate) fn read_over(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(self, buffer, offset)?)
    }

    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwrite(self, bytes, offset)?)
    }

    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        Ok(fs::ftruncate(self, len)?)
    }

    /// Takes the lock of `flock`, which all supported POSIX systems have.
    pub(crate) fn try_lock(&self) -> io::Result<()> {
        let operation = FlockOperation::NonBlockingLockExclusive;
        Ok(fs::flock(self, operation)?)
    }

    pub(crate) fn unlock(&self) -> io::Result<()> {
        Ok(fs::flock(self, FlockOperation::Unlock)?)
    }

    /// Returns the length of a file in bytes; `None` for a directory, a device or a pipe.
    pub(crate) fn regular_len(&self) -> io::Result<Option<u64>> {
        let facts = fs::fstat(self)?;
        let is_regular = FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile;
        Ok(is_regular.then(|| u64::try_from(facts.st_size).unwrap_or(0)))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(fs::fstat(self)?.st_size).unwrap_or(0))
    }

    #[cfg(test)]
    pub(crate) fn disk_bytes(&self) -> io::Result<u64> {
        let blocks = u64::try_from(fs::fstat(self)?.st_blocks).unwrap_or(0);
        Ok(blocks.saturating_mul(512))
    }
}

/// Returns how many bytes to preallocate behind those that a file of `len` bytes has on disk, so that it
/// can have `end` bytes, which are more; `None` if it has holes, since it is unknown what is behind them.
/// macOS counts from the end on disk, and not from the end of the file.
#[cfg(any(test, target_os = "macos"))]
pub(crate) fn missing_bytes(len: u64, on_disk: u64, end: u64) -> Option<u64> {
    (on_disk >= len).then(|| end.saturating_sub(on_disk))
}

/// Returns the metadata in a result of `fstat`, independent of the system.
pub(crate) fn facts_of(facts: &fs::Stat) -> Facts {
    #[cfg_attr(
        target_os = "linux",
        expect(
            clippy::useless_conversion,
            reason = "the type has 16 bits on other systems"
        )
    )]
    let mode = u32::from(Mode::from_raw_mode(facts.st_mode).as_raw_mode());
    Facts {
        is_regular: FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile,
        mode,
        user: facts.st_uid,
        group: facts.st_gid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a growth asked for was the whole new length, so that a file that grew often took several
    /// times its bytes on disk (rustix does so up to 1.1.6).
    #[test]
    fn a_file_grows_by_what_is_missing_on_disk() {
        const MIB: u64 = 1 << 20;
        assert_eq!(missing_bytes(0, 0, MIB), Some(MIB));
        assert_eq!(missing_bytes(MIB, MIB, 3 * MIB), Some(2 * MIB));
        assert_eq!(missing_bytes(100, 4096, 4097), Some(1));
        // The rest of a block, or of an earlier preallocation.
        assert_eq!(missing_bytes(100, 4096, 4096), Some(0));
        assert_eq!(missing_bytes(100, 3 * MIB, MIB), Some(0));
        assert_eq!(missing_bytes(2 * MIB, MIB, 3 * MIB), None);
    }
}
