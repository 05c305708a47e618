//! A directory, its file system, and names.
#![expect(
    unsafe_code,
    reason = "one call of the C library for which rustix has no function; see docs/safety.md"
)]

use std::ffi::{CStr, OsStr, OsString, c_void};
use std::io;
use std::path::Path;

use rustix::fs::{self, StatFs};

use crate::sys::bsd::file::File;
use crate::sys::bsd::own;
use crate::sys::contract::DirCalls;
use crate::sys::posix::dir::{Directory, NEW, PRIVATE, temporary_name};
use crate::sys::{Access, Facts, FileSystem};

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir(Directory);

impl DirCalls for Dir {
    type File = File;

    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Directory::open(path)?))
    }

    fn open_c(path: &CStr) -> io::Result<Self> {
        Ok(Self(Directory::open(path)?))
    }

    fn is_ram_backed(&self) -> io::Result<bool> {
        Ok(is_ram_backed(name_of(&fs::fstatfs(&self.0)?).as_ref()))
    }

    fn is_removed(&self) -> io::Result<bool> {
        self.0.is_removed()
    }

    fn device(&self) -> io::Result<u64> {
        Ok(own::device(&fs::fstat(&self.0)?))
    }

    fn file_system(&self) -> io::Result<FileSystem> {
        let facts = fs::fstatfs(&self.0)?;
        let name = name_of(&facts);
        let (block_bytes, available) = own::blocks(&facts);
        Ok(FileSystem {
            ram_backed: is_ram_backed(&name),
            name: String::from_utf8_lossy(&name).into_owned().into(),
            network: !own::is_local(&facts),
            free_bytes: available.saturating_mul(block_bytes),
            total_bytes: facts.f_blocks.saturating_mul(block_bytes),
        })
    }

    /// The file has a random name between two calls.
    fn create_unnamed(&self) -> io::Result<File> {
        let made = self.0.create_and_unlink(random_bits()?);
        made.map(File::from_fd)
    }

    /// There are no such files.
    fn create_linkable(&self) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn create_named(&self, name: &OsStr) -> io::Result<File> {
        self.0.create(name, NEW).map(File::from_fd)
    }

    fn create_private(&self, name: &OsStr) -> io::Result<File> {
        self.0.create(name, PRIVATE).map(File::from_fd)
    }

    fn facts(&self, name: &OsStr) -> io::Result<Facts> {
        self.0.facts(name)
    }

    fn check_writable(&self, name: &OsStr) -> io::Result<()> {
        self.0.check_writable(name)
    }

    fn open_named(&self, name: &OsStr, access: Access) -> io::Result<File> {
        self.0.open_named(name, access).map(File::from_fd)
    }

    fn is_linkable(&self, _file: &File) -> io::Result<bool> {
        Ok(false)
    }

    /// No call names a file by its descriptor; FreeBSD's needs a privilege.
    fn link(&self, _file: &File, _name: &OsStr) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn unlink(&self, name: &OsStr) -> io::Result<()> {
        self.0.unlink(name)
    }

    fn sync(&self) -> io::Result<()> {
        own::sync_all(&self.0)
    }

    fn try_lock(&self) -> io::Result<()> {
        self.0.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.0.unlock()
    }
}

/// Returns a name for a file that no other process can guess.
pub(super) fn unguessable_name() -> io::Result<OsString> {
    Ok(temporary_name(random_bits()?))
}

fn random_bits() -> io::Result<[u8; 16]> {
    let mut bits = [0_u8; 16];
    // SAFETY: the kernel writes as many bytes as the array has.
    let refused = unsafe { libc::getentropy(bits.as_mut_ptr().cast::<c_void>(), bits.len()) };
    if refused != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(bits)
}

/// Returns the name of the type of a file system. Allocates nothing.
fn name_of(facts: &StatFs) -> [u8; 16] {
    facts.f_fstypename.map(|byte| byte.to_ne_bytes()[0])
}

/// Returns whether a file system of this type lives in memory. One on a disk that is itself in memory
/// (`md` of FreeBSD, `hdiutil` of macOS) cannot be told.
fn is_ram_backed(name: &[u8]) -> bool {
    name.starts_with(b"tmpfs\0")
}
