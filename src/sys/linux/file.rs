//! A file of ours: one system call a function.

use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    self, Advice, AtFlags, FallocateFlags, FileType, FlockOperation, Mode, OFlags, StatxFlags,
};
use rustix::io::ReadWriteFlags;

use crate::sys::linux::extents;
use crate::sys::linux::signal::without_file_size_signal;
use crate::sys::{Alignment, Hint, Shared};

/// What direct reads are aligned to where the kernel does not say: no device asks for more.
const DIRECT_ALIGNMENT: Alignment = Alignment {
    memory: 4096,
    offset: 4096,
};

/// An open file, closed when the last of those who share it is dropped.
#[derive(Debug)]
pub(crate) struct File {
    fd: Descriptor,
}

/// Who owns the descriptor. To share one takes an allocation, which a global allocator must not make.
#[derive(Debug)]
enum Descriptor {
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

impl File {
    pub(super) fn from_fd(fd: OwnedFd) -> Self {
        let fd = Descriptor::Alone(fd);
        Self { fd }
    }

    /// Lets [`share`](Self::share) do without a system call.
    pub(crate) fn shared(self) -> Self {
        let fd = match self.fd {
            Descriptor::Alone(fd) => Arc::new(fd),
            Descriptor::Shared(fd) => fd,
        };
        let fd = Descriptor::Shared(fd);
        Self { fd }
    }

    /// Returns the same open file once more, which stays open on its own.
    pub(crate) fn share(&self) -> io::Result<Self> {
        let fd = match &self.fd {
            Descriptor::Alone(fd) => Arc::new(fd.try_clone()?),
            Descriptor::Shared(fd) => Arc::clone(fd),
        };
        let fd = Descriptor::Shared(fd);
        Ok(Self { fd })
    }

    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn from_std(file: std::fs::File) -> Self {
        Self::from_fd(file.into())
    }

    /// Returns device and number of the file, which no other file has at the same time.
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn identity(&self) -> io::Result<(u64, u64)> {
        let facts = fs::fstat(&self.fd)?;
        Ok((facts.st_dev, facts.st_ino))
    }

    /// Returns whether all writes go to the end of the file.
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn appends(&self) -> io::Result<bool> {
        Ok(fs::fcntl_getfl(&self.fd)?.contains(OFlags::APPEND))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns a path that leads to the open file, where `/proc` shows what it should.
    ///
    /// `/proc/self` would be wrong: it shows the descriptors of the first thread of the process, and
    /// a thread can have others, or outlive that one (linux-facts O4).
    pub(super) fn own_path(&self) -> String {
        format!("/proc/thread-self/fd/{}", self.fd.as_fd().as_raw_fd())
    }

    /// Reads once and returns how many bytes of `buffer` are now filled; 0 at the end of the file.
    pub(crate) fn read_at(&self, buffer: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<usize> {
        let (filled, _rest) = rustix::io::pread(&self.fd, buffer, offset)?;
        Ok(filled.len())
    }

    /// Reads once and returns how many bytes of `buffer` were read; 0 at the end of the file.
    pub(crate) fn read_over(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pread(&self.fd, buffer, offset)?)
    }

    /// Reads once what is in the page cache; `WouldBlock` where the device would have to be asked,
    /// fewer bytes where some are not there.
    pub(crate) fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut slices = [io::IoSliceMut::new(buffer)];
        let flags = ReadWriteFlags::NOWAIT;
        Ok(rustix::io::preadv2(&self.fd, &mut slices, offset, flags)?)
    }

    /// Opens the file again, for reads that go past the page cache.
    pub(crate) fn open_direct(&self) -> io::Result<(Self, Alignment)> {
        let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
        let file = self.opened_again(&self.own_path(), flags)?;
        let asked = StatxFlags::DIOALIGN;
        let facts = fs::statx(&file.fd, c"", AtFlags::EMPTY_PATH, asked);
        let Some(facts) = facts
            .ok()
            .filter(|facts| facts.stx_mask & asked.bits() != 0)
        else {
            return Ok((file, DIRECT_ALIGNMENT));
        };
        let (memory, offset) = (facts.stx_dio_mem_align, facts.stx_dio_offset_align);
        // Zero: this file cannot be read so, although it could be opened.
        if !memory.is_power_of_two() || !offset.is_power_of_two() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let alignment = Alignment {
            memory: usize::try_from(memory).map_err(|_huge| io::ErrorKind::Unsupported)?,
            offset: u64::from(offset),
        };
        Ok((file, alignment))
    }

    /// Opens a path that should lead to this very file, and refuses any other: what is mounted at
    /// `/proc` may be something else.
    fn opened_again(&self, path: &str, flags: OFlags) -> io::Result<Self> {
        let again = Self::from_fd(fs::open(path, flags, Mode::empty())?);
        if is_same(&fs::fstat(&self.fd)?, &fs::fstat(&again.fd)?) {
            return Ok(again);
        }
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Writes once and returns how many bytes of `bytes` were taken.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        without_file_size_signal(|| Ok(rustix::io::pwrite(&self.fd, bytes, offset)?))
    }

    /// Claims zeroed space on disk for `len` bytes from `offset`, growing the file if need be.
    pub(crate) fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::empty();
        without_file_size_signal(|| Ok(fs::fallocate(&self.fd, flags, offset, len)?))
    }

    /// Gives the file blocks of its own for those of `len` bytes from `offset` that other files share,
    /// and waits until its bytes are in them. Changes no byte. When it fails, some may still be shared.
    pub(crate) fn unshare(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::UNSHARE_RANGE;
        Ok(fs::fallocate(&self.fd, flags, offset, len)?)
    }

    /// Asks which bytes of a range are in blocks that other files share. `Unsupported` where the file
    /// system does not tell.
    pub(crate) fn find_shared(&self, range: Range<u64>) -> io::Result<Shared> {
        extents::shared(self.fd.as_fd(), range)
    }

    /// Cuts the file off at `len`, or extends it by a hole.
    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        without_file_size_signal(|| Ok(fs::ftruncate(&self.fd, len)?))
    }

    /// Gives the space of `len` bytes from `offset` back to the disk; they read as zero.
    pub(crate) fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fs::fallocate(&self.fd, flags, offset, len)?)
    }

    /// Waits until the file's data is on the device.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        Ok(fs::fdatasync(&self.fd)?)
    }

    /// Waits until the file's data and all that the system notes about it are on the device.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.fd)?)
    }

    /// Takes the lock of the file, for those who ask for it; fails with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) while another opener has it. Closing gives it back.
    pub(crate) fn try_lock(&self) -> io::Result<()> {
        let operation = FlockOperation::NonBlockingLockExclusive;
        Ok(fs::flock(&self.fd, operation)?)
    }

    /// Gives the lock back, also where a forked child has the file open.
    pub(crate) fn unlock(&self) -> io::Result<()> {
        Ok(fs::flock(&self.fd, FlockOperation::Unlock)?)
    }

    /// Returns the length in bytes of what was opened by a name; `None` of a directory, a device or
    /// a pipe.
    pub(crate) fn regular_len(&self) -> io::Result<Option<u64>> {
        let facts = fs::fstat(&self.fd)?;
        let is_regular = FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile;
        Ok(is_regular.then(|| u64::try_from(facts.st_size).unwrap_or(0)))
    }

    /// Tells the page cache what to expect of `len` bytes from `offset`.
    pub(crate) fn advise(&self, offset: u64, len: u64, hint: Hint) -> io::Result<()> {
        let advice = match hint {
            Hint::Normal => Advice::Normal,
            Hint::Sequential => Advice::Sequential,
            Hint::Random => Advice::Random,
            Hint::WillNeed => Advice::WillNeed,
            Hint::DontNeed => Advice::DontNeed,
        };
        // A length of zero would mean "to the end of the file".
        match std::num::NonZeroU64::new(len) {
            Some(len) => Ok(fs::fadvise(&self.fd, offset, Some(len), advice)?),
            None => Ok(()),
        }
    }

    /// Returns the length of the file in bytes.
    #[cfg(test)]
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(fs::fstat(&self.fd)?.st_size).unwrap_or(0))
    }

    /// Returns the bytes that the file takes on disk.
    #[cfg(test)]
    pub(crate) fn disk_bytes(&self) -> io::Result<u64> {
        let blocks = u64::try_from(fs::fstat(&self.fd)?.st_blocks).unwrap_or(0);
        Ok(blocks.saturating_mul(512))
    }
}

/// Returns whether two answers are about one file.
pub(super) fn is_same(one: &fs::Stat, other: &fs::Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that was opened by its path in `/proc` was taken for the same without a look. Where
    /// something else is mounted there, direct reads would have brought bytes of a stranger.
    #[test]
    fn another_file_is_not_taken_for_this_one() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let opened = fs::open(manifest, OFlags::RDONLY, Mode::empty());
        let file = File::from_fd(opened.unwrap());
        assert!(file.opened_again(manifest, OFlags::RDONLY).is_ok());
        let refused = file.opened_again(readme, OFlags::RDONLY).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    }
}
