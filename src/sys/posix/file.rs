//! A file descriptor, and the POSIX functions on it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
use rustix::fs::OFlags;
use rustix::fs::{self, FileType, FlockOperation, Gid, Mode, Uid};

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

    /// Returns the number of the descriptor.
    pub(crate) fn number(&self) -> i32 {
        self.as_fd().as_raw_fd()
    }

    pub(crate) fn facts(&self) -> io::Result<Facts> {
        Ok(facts_of(&fs::fstat(self)?))
    }

    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
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

    pub(crate) fn sync_all(&self) -> io::Result<()> {
        Ok(fs::fsync(self)?)
    }

    /// Takes the lock of `flock`, which all supported POSIX systems have.
    pub(crate) fn try_lock(&self) -> io::Result<()> {
        let operation = FlockOperation::NonBlockingLockExclusive;
        Ok(fs::flock(self, operation)?)
    }

    pub(crate) fn unlock(&self) -> io::Result<()> {
        Ok(fs::flock(self, FlockOperation::Unlock)?)
    }

    /// Returns whether both are the same file.
    pub(crate) fn is_same_file(&self, other: &Self) -> io::Result<bool> {
        Ok(is_same(&fs::fstat(self)?, &fs::fstat(other)?))
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

/// Returns whether two results of `fstat` are about one file.
pub(crate) fn is_same(one: &fs::Stat, other: &fs::Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Returns the metadata in a result of `fstat`, independent of the system.
pub(crate) fn facts_of(facts: &fs::Stat) -> Facts {
    Facts {
        is_regular: FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile,
        mode: Mode::from_raw_mode(facts.st_mode).as_raw_mode(),
        user: facts.st_uid,
        group: facts.st_gid,
    }
}
