//! A directory, and the POSIX functions on the names in it.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

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

    /// Creates a file for its owner only, under a name of these random bits, and removes the name.
    pub(crate) fn create_and_unlink(&self, bits: [u8; 16]) -> io::Result<OwnedFd> {
        let name = random_name(bits);
        let name =
            CStr::from_bytes_until_nul(&name).map_err(|_no_end| io::ErrorKind::InvalidData)?;
        let fd = self.create(name, PRIVATE)?;
        sys::retry(|| self.unlink(name))?;
        Ok(fd)
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

    pub(crate) fn try_lock(&self) -> io::Result<()> {
        let operation = FlockOperation::NonBlockingLockExclusive;
        Ok(fs::flock(&self.0, operation)?)
    }

    pub(crate) fn unlock(&self) -> io::Result<()> {
        Ok(fs::flock(&self.0, FlockOperation::Unlock)?)
    }
}

/// The start of temporary names.
const PREFIX: &[u8] = b".outcore-";

/// Returns a name for a file, as hard to guess as the random bits.
pub(crate) fn temporary_name(bits: [u8; 16]) -> OsString {
    let mut name = random_name(bits).to_vec();
    name.retain(|byte| *byte != 0);
    OsString::from_vec(name)
}

/// Returns `.outcore-`, the bits in hexadecimal, and a zero. Allocates nothing.
fn random_name(bits: [u8; 16]) -> [u8; 42] {
    let digit = |nibble: u8| {
        *b"0123456789abcdef"
            .get(usize::from(nibble))
            .unwrap_or(&b'0')
    };
    let digits = bits
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    let mut name = [0; 42];
    for (place, byte) in name.iter_mut().zip(PREFIX.iter().copied().chain(digits)) {
        *place = byte;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_name_has_all_bits_and_ends_with_a_zero() {
        let mut bits = [0; 16];
        (bits[0], bits[15]) = (0x1f, 0xa0);
        let name = random_name(bits);
        assert_eq!(&name, b".outcore-1f0000000000000000000000000000a0\0");
        assert_eq!(temporary_name(bits).as_encoded_bytes(), &name[..41]);
    }
}
