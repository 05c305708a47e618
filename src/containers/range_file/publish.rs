//! How a file gets its name: whole, on the device, in one step.

use std::fmt;
use std::io;

use crate::containers::range_file::RangeFile;
use crate::containers::range_file::file_state::FileState;
use crate::error::{Error, ErrorKind, Result};
use crate::io::place::{Linked, PUBLISH};

impl RangeFile {
    /// Makes the file visible under its path, in place of whatever was there, and closes it.
    ///
    /// All bytes are on the device before, and the name after. At every moment, the path leads to
    /// what was there before or to the whole file, also after a power cut.
    ///
    /// All ranges have to be back, frozen ones too, and all clones of the handle: what others can
    /// reach by a name is not mapped here any more. Bytes that were never written are zero.
    ///
    /// The file gets the permissions of any new file. A symbolic link at the path is replaced, not
    /// followed. Of a file that has its name since it was opened, this is just the last sync.
    ///
    /// # Errors
    ///
    /// The error holds the file: [`PublishError::into_file`] gives it back, to try again. As an
    /// [`Error`] it lets go of it, and of all that is in it.
    ///
    /// * [`RangesInUse`](ErrorKind::RangesInUse): a range or another handle lives. Nothing has
    ///   changed.
    /// * [`Io`](ErrorKind::Io): the file cannot get the name; or a sync failed, now or earlier, and
    ///   what the file holds cannot be trusted. What was at the path is still there, unless it was
    ///   the directory that could not be synced: then the file is there, and only a power cut may
    ///   take its name again. A few file systems, mostly in user space, can never sync a directory,
    ///   and say [`InvalidInput`](io::ErrorKind::InvalidInput) each time.
    ///
    ///   Where `/proc` is not what it should be, the name may be given to another file (the kernel is
    ///   asked to go through it before Linux 6.10, without `CAP_DAC_READ_SEARCH`). That is noticed,
    ///   the name is left alone, and no ranges are given out any more.
    ///
    ///   Whether the name can be had shows only here: one that is too long, that a directory has, or
    ///   that is in a directory which was removed or may not be written to.
    /// * [`Forked`](ErrorKind::Forked): the file belongs to the parent of this process.
    ///
    /// Once an attempt to replace another file has failed, no ranges are given out any more: the
    /// file has a name for the time between, which others could find. If that name is deleted, the file is gone: every attempt after that ends with [`NotFound`](io::ErrorKind::NotFound).
    ///
    /// # Cost
    ///
    /// Two `fsync` and one `linkat`. To replace another file takes one `linkat` and one `rename`
    /// more; a process that is killed between these two leaves the whole file under a name that
    /// starts with `.outcore-publish-`, until the next file is published in place of the same one.
    /// Where another process publishes to the same directory at that time, or what was left there
    /// cannot be removed, the name is a random one, and such a file stays until somebody deletes it.
    pub fn publish(mut self) -> Result<(), PublishError> {
        match self.try_publish(true) {
            Ok(()) => Ok(()),
            Err(error) => Err(PublishError { error, file: self }),
        }
    }

    /// The same, but refused where something has the name.
    ///
    /// # Errors
    ///
    /// Those of [`publish`](Self::publish). Where something has the name,
    /// [`Io`](ErrorKind::Io) with [`AlreadyExists`](io::ErrorKind::AlreadyExists); nothing has
    /// changed.
    pub fn publish_new(mut self) -> Result<(), PublishError> {
        match self.try_publish(false) {
            Ok(()) => Ok(()),
            Err(error) => Err(PublishError { error, file: self }),
        }
    }

    fn try_publish(&mut self, replaces: bool) -> Result<()> {
        let path = self.handle.file_state().path().to_owned();
        let file_state = self
            .handle
            .exclusive()
            .map_err(|reason| Error::refused(ErrorKind::RangesInUse, PUBLISH, reason).at(&path))?;
        file_state
            .publish(replaces)
            .map_err(|refused| refused.about(PUBLISH, &path))
    }
}

impl FileState {
    fn publish(&mut self, replaces: bool) -> Result<()> {
        self.check_owner(PUBLISH)?;
        self.cut_off(PUBLISH)?;
        self.file.sync_all()?;
        if !self.is_named {
            self.name(replaces)?;
        }
        self.file.sync_by(|| self.place.sync())
    }

    /// Gives the file its name.
    fn name(&mut self, replaces: bool) -> Result<()> {
        // With a second name, to take the place of what has the name is all that is left to do.
        if self.aside.is_none() || !replaces {
            match self.place.link(&self.file)? {
                Linked::Done => {
                    self.has_name();
                    self.remove_aside();
                    return Ok(());
                }
                Linked::Astray => {
                    // The file may have a name that others can find.
                    self.allocator.seal();
                    return Err(self.place.astray());
                }
                Linked::Taken if !replaces => {
                    let taken = io::ErrorKind::AlreadyExists;
                    return Err(Error::io(PUBLISH, taken.into()));
                }
                Linked::Taken => {}
            }
        }
        // From here on it has a name that others can find, also where that fails.
        self.allocator.seal();
        let aside = match self.aside.take() {
            Some(aside) => aside,
            None => self.place.link_aside(&self.file)?,
        };
        if let Err(refused) = self.place.replace(&aside) {
            self.aside = Some(aside);
            return Err(refused);
        }
        self.has_name();
        Ok(())
    }

    fn has_name(&mut self) {
        self.allocator.seal();
        self.is_named = true;
    }
}

/// The error of [`RangeFile::publish`]: why, and the file with all that it holds.
#[derive(Debug)]
pub struct PublishError {
    error: Error,
    file: RangeFile,
}

impl PublishError {
    /// Returns why the file could not be published.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the file, so that nothing that was written is lost.
    pub fn into_file(self) -> RangeFile {
        self.file
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for PublishError {}

impl From<PublishError> for Error {
    fn from(failed: PublishError) -> Self {
        failed.error
    }
}

impl From<PublishError> for io::Error {
    fn from(failed: PublishError) -> Self {
        failed.error.into()
    }
}
