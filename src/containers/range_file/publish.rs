//! Publishing: a complete file, on the device, gets its name in one step.

use std::fmt;
use std::io;

use crate::containers::range_file::RangeFile;
use crate::containers::range_file::file_state::FileState;
use crate::error::{Error, ErrorKind, Result};
use crate::io::place::{Linked, PUBLISH};

impl RangeFile {
    /// Makes the file visible under its path, in place of whatever was there, and closes it.
    ///
    /// All bytes are on the device before, and the name is afterwards. At every moment, the path
    /// leads to the old file or to the complete new one, also after a power cut.
    ///
    /// All ranges have to be back, frozen ones too, and all clones of the handle: a file that
    /// others can reach by a name is no longer mapped here. Bytes that were never written are zero.
    ///
    /// The file gets the permissions of any new file. A symbolic link at the path is replaced, not
    /// followed. For a file that has had its name since it was opened, this is only the last sync.
    ///
    /// # Errors
    ///
    /// The error holds the file: [`PublishError::into_file`] returns it, to try again. Converted
    /// into an [`Error`], it drops the file with all its content.
    ///
    /// * [`RangesInUse`](ErrorKind::RangesInUse): a range or another handle lives. Nothing has
    ///   changed.
    /// * [`Io`](ErrorKind::Io): the file cannot get the name; or a sync failed, now or earlier, and
    ///   the content of the file cannot be trusted. The old file is still at the path, unless it
    ///   was the directory that could not be synced: then the new file is there, and only a power
    ///   cut can undo that. A few file systems, mostly in user space, can never sync a directory,
    ///   and return [`InvalidInput`](io::ErrorKind::InvalidInput) each time.
    ///
    ///   Where `/proc` is not the real one, the name may be given to another file (before Linux
    ///   6.10, and without `CAP_DAC_READ_SEARCH`, the kernel resolves the file through it). That is
    ///   detected, the name is left alone, and no more ranges are given out.
    ///
    ///   Only publishing shows whether the path can be used: its name may be too long or belong to
    ///   a directory, and its directory may have been removed or not be writable.
    /// * [`Forked`](ErrorKind::Forked): the file belongs to the parent of this process.
    ///
    /// Once an attempt to replace another file has failed, no more ranges are given out: the file
    /// has a temporary name, which others could find. If that name is deleted, the file is lost:
    /// every later attempt fails with [`NotFound`](io::ErrorKind::NotFound).
    ///
    /// # Cost
    ///
    /// Two `fsync` and one `linkat`. Replacing another file takes one `linkat` and one `rename`
    /// more; a process that is killed between these two leaves the complete file under a temporary
    /// name that starts with `.outcore-publish-`, until the next file is published in place of the
    /// same one. If another process publishes to the same directory at that time, or an old
    /// temporary name cannot be removed, the temporary name is a random one, and such a file stays
    /// until it is deleted by hand.
    pub fn publish(mut self) -> Result<(), PublishError> {
        match self.try_publish(true) {
            Ok(()) => Ok(()),
            Err(error) => Err(PublishError { error, file: self }),
        }
    }

    /// Does the same as [`publish`](Self::publish), but fails if a file has the name.
    ///
    /// # Errors
    ///
    /// Those of [`publish`](Self::publish). If a file has the name, [`Io`](ErrorKind::Io) with
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists); nothing has changed.
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
        file_state.publish(replaces)
    }
}

impl FileState {
    fn publish(&mut self, replaces: bool) -> Result<()> {
        self.check_owner(PUBLISH)?;
        self.cut_off(PUBLISH)?;
        let synced = self.file.sync_all();
        synced.map_err(|refused| self.error(PUBLISH, refused))?;
        if !self.is_named {
            self.name(replaces)?;
        }
        let synced = self.file.sync_by(|| self.place.sync());
        synced.map_err(|refused| self.error(PUBLISH, refused))
    }

    /// Gives the file its name.
    fn name(&mut self, replaces: bool) -> Result<()> {
        // With a temporary name, all that is left to do is to replace the file that has the name.
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
                    return Err(Error::io(PUBLISH, taken.into()).at(self.path()));
                }
                Linked::Taken => {}
            }
        }
        // From here on the file has a name that others can find, also if this fails.
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

/// The error of [`RangeFile::publish`]: the cause, and the file with all that it holds.
#[derive(Debug)]
pub struct PublishError {
    error: Error,
    file: RangeFile,
}

impl PublishError {
    /// Returns the cause.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the file, so that no written byte is lost.
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
