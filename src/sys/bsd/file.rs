//! A file of this library: what macOS and FreeBSD add to POSIX, or lack.

use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs;
use rustix::io::Errno;

use crate::sys::bsd::own;
use crate::sys::contract::FileCalls;
use crate::sys::posix;
use crate::sys::posix::file::Descriptor;
use crate::sys::{Alignment, Facts, Hint, Shared};

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
        Ok((own::device(&facts), facts.st_ino))
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

    /// No call tells whether the device would have to be read.
    fn read_cached(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// A file without a name cannot be opened again.
    fn open_direct(&self) -> io::Result<(Self, Alignment)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[inline]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        check_size(offset, bytes.len() as u64)?;
        self.fd.write_at(bytes, offset)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        check_size(offset, len)?;
        own::allocate(self.as_fd(), offset, len)
    }

    /// Copies on APFS share blocks until they are written, and no call separates them.
    fn unshare(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn find_shared(&self, _range: Range<u64>) -> io::Result<Shared> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        check_size(len, 0)?;
        self.fd.set_len(len)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        own::punch(self.as_fd(), offset, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        own::sync_data(&self.fd)
    }

    fn sync_all(&self) -> io::Result<()> {
        own::sync_all(&self.fd)
    }

    fn advise(&self, offset: u64, len: u64, hint: Hint) -> io::Result<()> {
        // A length of zero would mean "to the end of the file".
        if len == 0 {
            return Ok(());
        }
        own::advise(self.as_fd(), offset, len, hint)
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

/// Fails where a file of `offset + len` bytes would exceed the limit of file size: the call would
/// raise `SIGXFSZ`.
///
/// These systems send the signal to the process, not to the thread, so it cannot be caught around the
/// call as on Linux. A thread that lowers the limit between this and the call lets it pass.
fn check_size(offset: u64, len: u64) -> io::Result<()> {
    let end = offset.saturating_add(len);
    match posix::file_size_limit() {
        Some(limit) if end > limit => Err(Errno::FBIG.into()),
        _ => Ok(()),
    }
}
