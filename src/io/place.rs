//! A name in a directory: where a file with a name is, or will be.

use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::io::file::OwnedFile;
use crate::io::stats;
use crate::sys;
use crate::sys::{Access, Facts};

/// A name in a directory that stays the same one whatever happens to its path.
#[derive(Debug)]
pub(crate) struct Place {
    dir: sys::Dir,
    /// The path that the user gave, for errors.
    path: PathBuf,
    /// Its last part.
    name: OsString,
}

/// The result of giving a file a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linked {
    /// The file has the name.
    Done,
    /// Something else had it already, and keeps it.
    Taken,
    /// The name was given to another file, or may have been. It is left alone, and the file may have
    /// another name.
    Astray,
}

/// How a file is made, in errors.
pub(crate) const CREATE: &str = "create";

/// How a name is given, in errors.
pub(crate) const PUBLISH: &str = "publish";

impl Place {
    /// Opens the directory that `path` is in; `action` names what it is for.
    pub(crate) fn new(action: &'static str, path: &Path) -> Result<Self> {
        let Some(name) = path.file_name() else {
            let reason = "the path does not end with the name of a file";
            return Err(Error::refused(ErrorKind::Io, action, reason).at(path));
        };
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let opened = sys::retry(|| sys::Dir::open(parent.unwrap_or(Path::new("."))));
        Ok(Self {
            dir: opened.map_err(|answer| failed(action, answer, path))?,
            path: path.to_owned(),
            name: name.to_owned(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates an empty file without a name, to which [`link`](Self::link) can give one.
    pub(crate) fn create_linkable(&self) -> Result<OwnedFile> {
        let created = self.retry(CREATE, || self.dir.create_linkable())?;
        Ok(OwnedFile::new(created.shared()))
    }

    /// Opens and locks the file that has the name, and returns its length.
    pub(crate) fn open(&self) -> Result<(OwnedFile, u64)> {
        const ACTION: &str = "open";
        let file = self.retry(ACTION, || {
            self.dir.open_named(&self.name, Access::ReadWrite)
        })?;
        let file = OwnedFile::new(file.shared());
        self.lock(&file)?;
        // After the lock: the process that had it before may have changed the length.
        let Some(len) = self.retry(ACTION, || file.sys().regular_len())? else {
            let reason = "it is no regular file";
            return Err(Error::refused(ErrorKind::Io, ACTION, reason).at(&self.path));
        };
        Ok((file, len))
    }

    /// Opens the file that has the name for reading, also while others have it open, and returns its
    /// length.
    #[cfg(feature = "sealed")]
    pub(crate) fn open_to_read(&self) -> Result<(OwnedFile, u64)> {
        const ACTION: &str = "open";
        let file = self.retry(ACTION, || self.dir.open_named(&self.name, Access::Read))?;
        let file = OwnedFile::new(file);
        let Some(len) = self.retry(ACTION, || file.sys().regular_len())? else {
            let reason = "it is no regular file";
            return Err(Error::refused(ErrorKind::Io, ACTION, reason).at(&self.path));
        };
        Ok((file, len))
    }

    /// Creates an empty file with the name and locks it. Fails if a file has the name already.
    /// After a failure no file is left.
    pub(crate) fn create_named(&self) -> Result<OwnedFile> {
        let created = self.retry(CREATE, || self.dir.create_named(&self.name))?;
        let file = OwnedFile::new(created.shared());
        let locked = self.lock(&file);
        locked.inspect_err(|_refused| drop(self.remove(None)))?;
        Ok(file)
    }

    /// Creates an empty file with a name in the directory that cannot be guessed, for its owner only or
    /// with the permissions of any new file: for file systems that keep no files without a name. The name has to be
    /// [moved](Self::replace) or [removed](Self::remove_aside).
    ///
    /// It is never the usual one of [`link_aside`](Self::link_aside): the file is not complete for
    /// long, and on a network another machine, whose locks are its own, would move it.
    pub(crate) fn create_aside(&self, is_private: bool) -> Result<(OwnedFile, OsString)> {
        let name = self.retry(CREATE, sys::unguessable_name)?;
        let created = if is_private {
            self.retry(CREATE, || self.dir.create_private(&name))
        } else {
            self.retry(CREATE, || self.dir.create_named(&name))
        }?;
        Ok((OwnedFile::new(created.shared()), name))
    }

    /// Returns what the system notes about the name; `None` if nothing has it.
    pub(crate) fn facts(&self) -> Result<Option<Facts>> {
        match sys::retry(|| self.dir.facts(&self.name)) {
            Err(answer) if answer.kind() == io::ErrorKind::NotFound => Ok(None),
            answer => Ok(Some(
                answer.map_err(|answer| failed(CREATE, answer, &self.path))?,
            )),
        }
    }

    /// Refuses a file that this process may not write to.
    pub(crate) fn check_writable(&self, action: &'static str) -> Result<()> {
        self.retry(action, || self.dir.check_writable(&self.name))
    }

    /// Returns whether a file of [`create_linkable`](Self::create_linkable) can get a name later.
    pub(crate) fn is_linkable(&self, file: &OwnedFile) -> Result<bool> {
        self.retry(CREATE, || self.dir.is_linkable(file.sys()))
    }

    /// Returns whether a file is on the device of the directory, without which it cannot get a name
    /// there.
    #[cfg(feature = "sealed")]
    pub(crate) fn shares_device(&self, file: &OwnedFile) -> Result<bool> {
        let here = self.retry(CREATE, || self.dir.device())?;
        let (there, _number) = self.retry(CREATE, || file.sys().identity())?;
        Ok(here == there)
    }

    /// Takes the lock of a file, for as long as it is open.
    fn lock(&self, file: &OwnedFile) -> Result<()> {
        const ACTION: &str = "lock";
        match sys::retry(|| file.sys().try_lock()) {
            Err(answer) if answer.kind() == io::ErrorKind::WouldBlock => {
                let reason = "it is open already, here or in another process";
                Err(Error::refused(ErrorKind::AlreadyOpen, ACTION, reason).at(&self.path))
            }
            answer => answer.map_err(|answer| failed(ACTION, answer, &self.path)),
        }
    }

    /// Gives a file of [`create_linkable`](Self::create_linkable) the name, if nothing has it.
    pub(crate) fn link(&self, file: &OwnedFile) -> Result<Linked> {
        match sys::retry(|| self.dir.link(file.sys(), &self.name)) {
            Ok(true) => Ok(Linked::Done),
            Ok(false) => Ok(Linked::Astray),
            Err(answer) if answer.kind() == io::ErrorKind::AlreadyExists => Ok(Linked::Taken),
            Err(answer) => Err(failed(PUBLISH, answer, &self.path)),
        }
    }

    /// Returns the error for a name that was given to another file.
    #[cold]
    pub(crate) fn astray(&self) -> Error {
        stats::failed();
        let reason =
            "the name was given to another file, which is left there: /proc leads elsewhere";
        Error::refused(ErrorKind::Io, PUBLISH, reason).at(&self.path)
    }

    /// Gives such a file a temporary name in the directory, which has to be [moved](Self::replace) or
    /// [removed](Self::remove).
    ///
    /// It is usually the same name for each file of this place, so that the next call removes the
    /// file that a crash has left. The name is used under the lock of the directory. A call that does
    /// not get the lock uses a random name, and a crash then leaves the file for good.
    pub(crate) fn link_aside(&self, file: &OwnedFile) -> Result<OsString> {
        let link = |name: &OsStr| sys::retry(|| self.dir.link(file.sys(), name));
        if sys::retry(|| self.dir.try_lock()).is_ok() {
            let usual = self.usual_aside();
            match self.clear(&usual).and_then(|()| link(&usual)) {
                Ok(true) => return Ok(usual),
                Ok(false) => {
                    self.unlock();
                    return Err(self.astray());
                }
                Err(_refused) => {}
            }
            // What has the name cannot be removed: it is a directory, or belongs to another user in
            // a directory with the sticky bit. That must not prevent the call, so it uses another name.
            self.unlock();
        }
        let name = self.retry(PUBLISH, sys::unguessable_name)?;
        match link(&name) {
            Ok(true) => Ok(name),
            Ok(false) => Err(self.astray()),
            Err(answer) => Err(failed(PUBLISH, answer, &self.path)),
        }
    }

    /// Moves the file of the name `aside` here, in place of what has the name.
    ///
    /// When it fails, the file keeps the other name, and the directory its lock.
    pub(crate) fn replace(&self, aside: &OsStr) -> Result<()> {
        self.retry(PUBLISH, || self.dir.rename(aside, &self.name))?;
        self.unlock();
        Ok(())
    }

    /// Removes what a crash has left.
    fn clear(&self, aside: &OsStr) -> io::Result<()> {
        match sys::retry(|| self.dir.unlink(aside)) {
            Err(answer) if answer.kind() == io::ErrorKind::NotFound => Ok(()),
            answer => answer,
        }
    }

    /// Takes the name of [`link_aside`](Self::link_aside) away again.
    pub(crate) fn remove_aside(&self, aside: &OsStr) {
        let _removed = self.remove(Some(aside));
        self.unlock();
    }

    fn unlock(&self) {
        // Closing does the same.
        let _unlocked = sys::retry(|| self.dir.unlock());
    }

    fn usual_aside(&self) -> OsString {
        let mut hasher = DefaultHasher::new();
        self.name.hash(&mut hasher);
        format!(".outcore-publish-{:016x}", hasher.finish()).into()
    }

    /// Takes away the name `aside`, or the name of the place.
    pub(crate) fn remove(&self, aside: Option<&OsStr>) -> Result<()> {
        let name = aside.unwrap_or(&self.name);
        self.retry("remove", || self.dir.unlink(name))
    }

    /// Waits until the names in the directory are on the device.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.dir.sync()
    }

    fn retry<R>(&self, action: &'static str, call: impl FnMut() -> io::Result<R>) -> Result<R> {
        sys::retry(call).map_err(|answer| failed(action, answer, &self.path))
    }
}

#[cold]
fn failed(action: &'static str, answer: io::Error, path: &Path) -> Error {
    stats::failed();
    Error::io(action, answer).at(path)
}
