//! Directories, and the names of files that are heap blocks: one table for the process.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sys::contract::{DirCalls, FileCalls};
use crate::sys::memory::file::{Content, File};
use crate::sys::{Access, Facts, FileSystem};

/// The content of every file that has a name, by directory and name.
static NAMES: Mutex<BTreeMap<PathBuf, Arc<Mutex<Content>>>> = Mutex::new(BTreeMap::new());

fn names() -> MutexGuard<'static, BTreeMap<PathBuf, Arc<Mutex<Content>>>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stands in for a directory, which only has to exist.
#[derive(Debug)]
pub(crate) struct Dir {
    path: PathBuf,
}

impl DirCalls for Dir {
    type File = File;

    fn open(path: &Path) -> io::Result<Self> {
        let path_of = || path.to_owned();
        if cfg!(miri) || path.is_dir() {
            return Ok(Self { path: path_of() });
        }
        std::fs::read_dir(path).map(|_entries| Self { path: path_of() })
    }

    fn open_c(path: &CStr) -> io::Result<Self> {
        let path = path.to_str().map_err(|_no_text| io::ErrorKind::NotFound)?;
        Self::open(Path::new(path))
    }

    fn is_ram_backed(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn is_removed(&self) -> io::Result<bool> {
        Ok(!cfg!(miri) && !self.path.is_dir())
    }

    fn device(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn file_system(&self) -> io::Result<FileSystem> {
        Ok(FileSystem {
            name: "heap".into(),
            ram_backed: false,
            network: false,
            free_bytes: 1 << 40,
            total_bytes: 1 << 40,
        })
    }

    fn create_unnamed(&self) -> io::Result<File> {
        Ok(File::of(Arc::default()))
    }

    fn create_linkable(&self) -> io::Result<File> {
        self.create_unnamed()
    }

    fn create_named(&self, name: &OsStr) -> io::Result<File> {
        let file = self.create_unnamed()?;
        self.link(&file, name)?;
        Ok(file)
    }

    fn create_private(&self, name: &OsStr) -> io::Result<File> {
        self.create_named(name)
    }

    fn facts(&self, name: &OsStr) -> io::Result<Facts> {
        FileCalls::facts(&self.open_named(name, Access::Read)?)
    }

    fn check_writable(&self, name: &OsStr) -> io::Result<()> {
        self.open_named(name, Access::ReadWrite).map(drop)
    }

    fn is_linkable(&self, _file: &File) -> io::Result<bool> {
        Ok(true)
    }

    fn open_named(&self, name: &OsStr, _access: Access) -> io::Result<File> {
        let found = names().get(&self.path.join(name)).map(Arc::clone);
        Ok(File::of(found.ok_or(io::ErrorKind::NotFound)?))
    }

    fn link(&self, file: &File, name: &OsStr) -> io::Result<bool> {
        let mut names = names();
        let path = self.path.join(name);
        if names.contains_key(&path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        names.insert(path, Arc::clone(file.shared_content()));
        Ok(true)
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let mut names = names();
        let found = names.remove(&self.path.join(from));
        let found = found.ok_or(io::ErrorKind::NotFound)?;
        names.insert(self.path.join(to), found);
        Ok(())
    }

    fn unlink(&self, name: &OsStr) -> io::Result<()> {
        let found = names().remove(&self.path.join(name));
        found.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<()> {
        Ok(())
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a name that no file has.
pub(super) fn next_name() -> OsString {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Relaxed);
    format!(".outcore-{number:032x}").into()
}
