//! A file of this library: what Linux adds to POSIX.

use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, Advice, AtFlags, FallocateFlags, Mode, OFlags, StatxFlags};
use rustix::io::ReadWriteFlags;

use crate::sys::contract::FileCalls;
use crate::sys::linux::extents;
use crate::sys::linux::signal::without_file_size_signal;
use crate::sys::posix::file::Descriptor;
use crate::sys::{Alignment, Facts, Hint, Shared};

/// The alignment of direct reads if the kernel does not report it: no device needs more.
const DIRECT_ALIGNMENT: Alignment = Alignment {
    memory: 4096,
    offset: 4096,
};

/// An open file, closed when its last handle is dropped.
#[derive(Debug)]
pub(crate) struct File {
    fd: Descriptor,
}

impl File {
    pub(super) fn from_fd(fd: OwnedFd) -> Self {
        let fd = Descriptor::Alone(fd);
        Self { fd }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns a path that leads to the open file, if `/proc` is the real one.
    ///
    /// `/proc/self` would be wrong: it shows the descriptors of the first thread of the process,
    /// and a thread can have others, or outlive that one (linux-facts O4).
    pub(super) fn own_path(&self) -> String {
        format!("/proc/thread-self/fd/{}", self.as_fd().as_raw_fd())
    }

    /// Opens a path that should lead to this very file, and refuses any other: another file system
    /// may be mounted at `/proc`.
    fn opened_again(&self, path: &str, flags: OFlags) -> io::Result<Self> {
        let again = Self::from_fd(fs::open(path, flags, Mode::empty())?);
        if is_same(&fs::fstat(&self.fd)?, &fs::fstat(&again.fd)?) {
            return Ok(again);
        }
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Returns whether two results of `fstat` are about one file.
pub(super) fn is_same(one: &fs::Stat, other: &fs::Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

impl FileCalls for File {
    fn shared(self) -> Self {
        let fd = self.fd.shared();
        Self { fd }
    }

    fn share(&self) -> io::Result<Self> {
        let fd = self.fd.share()?;
        Ok(Self { fd })
    }

    fn from_std(file: std::fs::File) -> Self {
        Self::from_fd(file.into())
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        let facts = fs::fstat(&self.fd)?;
        Ok((facts.st_dev, facts.st_ino))
    }

    fn facts(&self) -> io::Result<Facts> {
        self.fd.facts()
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.fd.set_mode(mode)
    }

    fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        self.fd.set_owner(user, group)
    }

    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    fn appends(&self) -> io::Result<bool> {
        self.fd.appends()
    }

    #[inline]
    fn read_at(&self, buffer: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<usize> {
        self.fd.read_at(buffer, offset)
    }

    #[inline]
    fn read_over(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fd.read_over(buffer, offset)
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut slices = [io::IoSliceMut::new(buffer)];
        let flags = ReadWriteFlags::NOWAIT;
        Ok(rustix::io::preadv2(&self.fd, &mut slices, offset, flags)?)
    }

    fn open_direct(&self) -> io::Result<(Self, Alignment)> {
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
        // Zero: direct reads of this file do not work, although it could be opened.
        if !memory.is_power_of_two() || !offset.is_power_of_two() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let alignment = Alignment {
            memory: usize::try_from(memory).map_err(|_huge| io::ErrorKind::Unsupported)?,
            offset: u64::from(offset),
        };
        Ok((file, alignment))
    }

    #[inline]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        without_file_size_signal(|| self.fd.write_at(bytes, offset))
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::empty();
        without_file_size_signal(|| Ok(fs::fallocate(&self.fd, flags, offset, len)?))
    }

    fn unshare(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::UNSHARE_RANGE;
        Ok(fs::fallocate(&self.fd, flags, offset, len)?)
    }

    fn find_shared(&self, range: Range<u64>) -> io::Result<Shared> {
        extents::shared(self.fd.as_fd(), range)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        without_file_size_signal(|| self.fd.set_len(len))
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fs::fallocate(&self.fd, flags, offset, len)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(fs::fdatasync(&self.fd)?)
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.fd)?)
    }

    fn advise(&self, offset: u64, len: u64, hint: Hint) -> io::Result<()> {
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

    fn try_lock(&self) -> io::Result<()> {
        self.fd.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.fd.unlock()
    }

    fn regular_len(&self) -> io::Result<Option<u64>> {
        self.fd.regular_len()
    }

    #[cfg(test)]
    fn len(&self) -> io::Result<u64> {
        self.fd.len()
    }

    #[cfg(test)]
    fn disk_bytes(&self) -> io::Result<u64> {
        self.fd.disk_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that was opened by its path in `/proc` was taken for the same file without a check.
    /// If something else is mounted there, direct reads would have returned bytes of another file.
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
