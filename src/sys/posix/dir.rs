//! A directory, and the POSIX functions on the names in it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, Access, AtFlags, FlockOperation, Mode, OFlags};
use rustix::path::Arg;

use crate::sys;
use crate::sys::Facts;
use crate::sys::posix::file::facts_of;

/// The permissions of a new file, before the process's mask.
pub(crate) const NEW: Mode = Mode::RUSR
    .union(Mode::WUSR)
    .union(Mode::RGRP)
    .union(Mode::WGRP)
    .union(Mode::ROTH)
    .union(Mode::WOTH);

/// The permissions of a file for its owner only.
pub(crate) const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory(OwnedFd);

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Directory {
    /// Opens a directory. Allocates nothing for a `CStr`.
    pub(crate) fn open(path: impl Arg) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(fs::open(path, flags, Mode::empty())?))
    }

    /// Returns whether the directory was removed, so that its path now leads to another one.
    pub(crate) fn is_removed(&self) -> io::Result<bool> {
        Ok(fs::fstat(&self.0)?.st_nlink == 0)
    }

    /// Creates an empty file with a name that no file has yet.
    pub(crate) fn create(&self, name: impl Arg, mode: Mode) -> io::Result<OwnedFd> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
        Ok(fs::openat(&self.0, name, flags, mode)?)
    }

    pub(crate) fn facts(&self, name: &OsStr) -> io::Result<Facts> {
        let facts = fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(facts_of(&facts))
    }

    pub(crate) fn check_writable(&self, name: &OsStr) -> io::Result<()> {
        Ok(fs::accessat(
            &self.0,
            name,
            Access::WRITE_OK,
            AtFlags::empty(),
        )?)
    }

    /// Opens the file with a name, for reading and writing. If it is a pipe, does not wait for
    /// another process to open the other end.
    pub(crate) fn open_named(&self, name: &OsStr, access: sys::Access) -> io::Result<OwnedFd> {
        let way = match access {
            sys::Access::ReadWrite => OFlags::RDWR,
            sys::Access::Read | sys::Access::Nothing => OFlags::RDONLY,
        };
        let flags = way | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(fs::openat(&self.0, name, flags, Mode::empty())?)
    }

    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(fs::renameat(&self.0, from, &self.0, to)?)
    }

    pub(crate) fn unlink(&self, name: impl Arg) -> io::Result<()> {
        Ok(fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.0)?)
    }

    pub(crate) fn try_lock(&self) -> io::Result<()> {
        let operation = FlockOperation::NonBlockingLockExclusive;
        Ok(fs::flock(&self.0, operation)?)
    }

    pub(crate) fn unlock(&self) -> io::Result<()> {
        Ok(fs::flock(&self.0, FlockOperation::Unlock)?)
    }
}
