//! A file that is written in full and then takes its place under a name at once.

// Permissions of files are those of Unix there.
#[cfg(test)]
#[cfg(all(unix, not(any(miri, memory_backend, loom, shuttle))))]
mod faults;

#[cfg(feature = "sealed")]
pub(crate) mod given;
mod target;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::atomic_file::target::{advise, examine, keep_permissions, resolve};
use crate::io::cache::CachePolicy;
use crate::io::file::OwnedFile;
use crate::io::place::{Linked, PUBLISH, Place};
use crate::io::refusal::{self, Op, Refusal};

/// A file that is written in full and then replaces another, or takes a new name, in one step.
///
/// Until [`publish`](Self::publish), whatever has the name keeps it. At every moment the name leads
/// to the old file or to the complete new one, and never to a part of it: also if the process is
/// killed, panics or drops the value.
///
/// A [`RangeFile`](crate::RangeFile) makes the same promise for a file whose length is known before
/// it is written, and lends ranges of it as memory. This one has the length that the writes give it,
/// and keeps the permissions of the file that it replaces.
///
/// # Examples
///
/// ```
/// use std::fs;
/// use std::io::Write;
///
/// use outcore::{AtomicFile, ScratchDir};
///
/// # let name = format!("atomic-example-{}", std::process::id());
/// # let path = ScratchDir::from_env()?.path().join(name);
/// fs::write(&path, "old")?;
/// let mut file = AtomicFile::create(&path)?;
/// file.write_all(b"new and ")?;
/// file.write_all(b"complete")?;
/// # #[cfg(not(any(miri, memory_backend)))]
/// assert_eq!(fs::read(&path)?, b"old");
/// file.publish()?;
/// # #[cfg(not(any(miri, memory_backend)))]
/// assert_eq!(fs::read(&path)?, b"new and complete");
/// # fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # What is kept of the replaced file
///
/// * The permission bits, without set-user-ID, set-group-ID and sticky. A new file gets those of any
///   new file.
/// * The owner and the group, as far as the process may set them. Only root may give files away; for
///   others the file becomes theirs. Where the group cannot be kept, the new group gets only what all
///   users may do.
/// * A symbolic link at the path stays: the file that it leads to is replaced, or made where it leads
///   to nothing.
///
/// Access control lists and extended attributes are not kept. Other hard links lead to the old bytes.
///
/// # After a kill and a power cut
///
/// On Linux the file has no name until it is published, so a killed process leaves nothing. To
/// replace another file it has a temporary name for a moment; a process that is killed then leaves the
/// complete file under a name that starts with `.outcore-publish-`, until the next file replaces the
/// same one.
///
/// Some file systems keep no files without names (`O_TMPFILE`; NFS and FAT, for example), and some
/// systems do not mount `/proc`, by which a name is given. There the file has a temporary name in the
/// same directory, which starts with `.outcore-` and is removed on drop. A killed process leaves it:
/// see [`temporary_path`](Self::temporary_path).
///
/// After a power cut the name leads to the old file or to the complete new one, and once
/// [`publish`](Self::publish) has returned `Ok`, to the new one.
///
/// # Fork
///
/// The file belongs to the process that created it. In a forked child, writes and `publish` return
/// [`Forked`](crate::ErrorKind::Forked), and drop removes no name.
#[derive(Debug)]
pub struct AtomicFile {
    file: OwnedFile,
    place: Place,
    /// The name that the file has meanwhile, if it has one.
    aside: Option<OsString>,
    replaces: bool,
    /// Where the next bytes of [`Write`] go.
    position: u64,
}

impl AtomicFile {
    /// Starts a file that will be at `path`.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io), or [`StorageFull`](crate::ErrorKind::StorageFull) where the directory cannot
    /// hold another name. Nothing was made, and what is at `path` is as it was:
    ///
    /// * `path` leads to something that is no regular file, or does not end with a file name;
    /// * this process may not write to the file there, although it could replace it;
    /// * the directory does not exist, cannot be read, or takes no new files.
    ///
    /// # Cost
    ///
    /// About ten system calls, and one for each part of the path of a file that exists. None waits
    /// until the device has written.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::start(path.as_ref(), true)
    }

    fn start(path: &Path, without_name: bool) -> Result<Self> {
        let target = resolve(path)?;
        let made = Self::start_at(&target, without_name);
        made.map_err(|refused| advise(refused, &target))
    }

    fn start_at(target: &Path, without_name: bool) -> Result<Self> {
        let (place, replaced) = examine(target)?;
        let unnamed = if without_name {
            create_unnamed(&place)?
        } else {
            None
        };
        let (file, aside) = if let Some(file) = unnamed {
            (file, None)
        } else {
            let (file, name) = place.create_aside(replaced.is_some())?;
            (file, Some(name))
        };
        let made = Self {
            file,
            place,
            aside,
            replaces: replaced.is_some(),
            position: 0,
        };
        if let Some(replaced) = replaced {
            keep_permissions(&made.file, replaced, target)?;
        }
        Ok(made)
    }

    /// Returns the path that the file will have, with links resolved.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Returns whether there was a file to replace when this one was created.
    pub fn replaces(&self) -> bool {
        self.replaces
    }

    /// Returns the name that the file has until it is published, on file systems that keep no file
    /// without one. A process that ends without dropping the value should remove it.
    pub fn temporary_path(&self) -> Option<PathBuf> {
        let aside = self.aside.as_ref()?;
        Some(self.path().with_file_name(aside))
    }

    /// Returns the numbers of the device and of the file on it, which no other file has while this
    /// one exists: those of [`MetadataExt`](std::os::unix::fs::MetadataExt), by which a program finds
    /// out whether a path leads to this file.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system's refusal. Nothing has changed.
    ///
    /// # Cost
    ///
    /// One `fstat`.
    pub fn identity(&self) -> Result<(u64, u64)> {
        self.retry("identify", || self.file.sys().identity())
    }

    /// Writes all of `bytes` at `offset`. Threads may write at the same time. What is never written
    /// before the last byte reads as zero.
    ///
    /// # Errors
    ///
    /// Some of the bytes may be written; to write them again mends that. What is at the path is as it
    /// was.
    ///
    /// * [`StorageFull`](crate::ErrorKind::StorageFull): the disk or a disk quota is full.
    /// * [`FileTooLarge`](crate::ErrorKind::FileTooLarge): the file would pass `RLIMIT_FSIZE` or what the
    ///   file system can hold. No signal is raised.
    /// * [`Forked`](crate::ErrorKind::Forked): the file belongs to the parent of this process.
    /// * [`Io`](crate::ErrorKind::Io): any other refusal.
    ///
    /// # Cost
    ///
    /// One `pwrite`, and another where the system takes fewer bytes than asked. Nothing is buffered:
    /// write pieces of 64 KiB and more, or wrap the file in a [`BufWriter`](io::BufWriter).
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|refused| self.error("write", refused))
    }

    /// Sets what stays in the page cache of what is written from now on; [`CachePolicy::Auto`] if this
    /// is not called.
    pub fn set_cache_policy(&self, policy: CachePolicy) {
        self.file.cache().set_policy(policy);
    }

    /// Waits until the bytes that were written are on the device, so that
    /// [`publish`](Self::publish) has little to wait for.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) or [`StorageFull`](crate::ErrorKind::StorageFull): bytes may be lost. Every
    /// later sync is refused, and so is the publication. What is at the path is as it was.
    ///
    /// # Cost
    ///
    /// One `fsync`, which waits for the device.
    pub fn sync(&self) -> Result<()> {
        let synced = self.file.sync_all();
        synced.map_err(|refused| self.error("sync", refused))
    }

    /// Gives the file its name, in place of what has it now.
    ///
    /// When it returns `Ok`, the bytes and the name are on the device.
    ///
    /// # Errors
    ///
    /// The new file is gone, and the name leads to what it led to before:
    ///
    /// * [`Io`](crate::ErrorKind::Io) or [`StorageFull`](crate::ErrorKind::StorageFull): a sync failed, now or
    ///   earlier; or the name cannot be had, since a directory has it by now, or the directory was
    ///   removed or takes no new files.
    /// * [`Forked`](crate::ErrorKind::Forked): the file belongs to the parent of this process.
    ///
    /// There is one exception. Where only the last sync fails, that of the directory, the name leads
    /// to the new file, and a power cut may bring the old one back. A few file systems, mostly in
    /// user space, can never sync a directory; use
    /// [`publish_without_sync`](Self::publish_without_sync) after [`sync`](Self::sync) there.
    ///
    /// # Cost
    ///
    /// Two `fsync`, of the file and of the directory, and one `linkat`. To replace another file takes
    /// a `rename`, an `unlink` and two `flock` more.
    pub fn publish(mut self) -> Result<()> {
        self.sync()?;
        self.name()?;
        self.sync_name()
    }

    /// Gives the file its name, if nothing has it.
    ///
    /// # Errors
    ///
    /// Those of [`publish`](Self::publish). If something has the name, [`Io`](crate::ErrorKind::Io) with
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists); it stays as it is, and the new file is gone.
    ///
    /// # Cost
    ///
    /// Two `fsync`, of the file and of the directory, and one `linkat`.
    pub fn publish_new(self) -> Result<()> {
        if self.replaces {
            return Err(self.taken());
        }
        self.sync()?;
        let checked = self.file.check_owner(Op::Sync);
        checked.map_err(|refused| self.error(PUBLISH, refused))?;
        // A name that the file has meanwhile goes when the value is dropped.
        match self.place.link(&self.file)? {
            Linked::Done => self.sync_name(),
            Linked::Taken => Err(self.taken()),
            Linked::Astray => Err(self.place.astray()),
        }
    }

    #[cold]
    fn taken(&self) -> Error {
        Error::io(PUBLISH, io::ErrorKind::AlreadyExists.into()).at(self.path())
    }

    /// Waits until the name is on the device.
    fn sync_name(&self) -> Result<()> {
        let synced = self.file.sync_by(|| self.place.sync());
        synced.map_err(|refused| self.error(PUBLISH, refused))
    }

    /// The same, and waits for no device.
    ///
    /// If the process is killed, the name leads to the old file or to the complete new one. After a
    /// power cut it may lead to a file whose bytes are missing, unless [`sync`](Self::sync) was called
    /// after the last write; the name may be lost in any case. For a new file that can be made again.
    ///
    /// # Errors
    ///
    /// As of [`publish`](Self::publish), without the exception.
    ///
    /// # Cost
    ///
    /// As of [`publish`](Self::publish), without the `fsync`.
    pub fn publish_without_sync(mut self) -> Result<()> {
        // It is refused after a sync that failed.
        let synced = self.file.sync_by(|| Ok(()));
        synced.map_err(|refused| self.error(PUBLISH, refused))?;
        self.name()
    }

    /// Makes a call, again for as long as a signal interrupts it.
    fn retry<R>(&self, action: &'static str, call: impl FnMut() -> io::Result<R>) -> Result<R> {
        let made = refusal::retry(Op::Create, call);
        made.map_err(|refused| self.error(action, refused))
    }

    #[cold]
    fn error(&self, action: &'static str, refused: Refusal) -> Error {
        refused.of_file(action, self.path())
    }

    /// Gives the file its name.
    fn name(&mut self) -> Result<()> {
        let checked = self.file.check_owner(Op::Sync);
        checked.map_err(|refused| self.error(PUBLISH, refused))?;
        let aside = if let Some(aside) = self.aside.take() {
            aside
        } else {
            // Without a name in between, a kill can leave nothing.
            if !self.replaces {
                match self.place.link(&self.file)? {
                    Linked::Done => return Ok(()),
                    Linked::Astray => return Err(self.place.astray()),
                    Linked::Taken => {}
                }
            }
            self.place.link_aside(&self.file)?
        };
        // If the rename fails, drop takes this name away.
        let aside = self.aside.insert(aside);
        self.place.replace(aside)?;
        self.aside = None;
        Ok(())
    }
}

impl Write for AtomicFile {
    /// Writes all of `bytes` behind those of the last call, as
    /// [`write_all_at`](AtomicFile::write_all_at) does.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.position.checked_add(bytes.len() as u64);
        let end = end.ok_or(io::ErrorKind::FileTooLarge)?;
        self.write_all_at(bytes, self.position)?;
        self.position = end;
        Ok(bytes.len())
    }

    /// Does nothing: no byte is buffered.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(aside) = self.aside.take().filter(|_aside| self.file.is_owner()) {
            self.place.remove_aside(&aside);
        }
    }
}

/// Creates a file without a name; `None` where that, or naming it later, cannot be done.
fn create_unnamed(place: &Place) -> Result<Option<OwnedFile>> {
    use io::ErrorKind::{InvalidInput, IsADirectory, NotFound, Unsupported};
    let file = match place.create_linkable() {
        Ok(file) => file,
        Err(refused) => {
            let kind = refused.io_error().map(io::Error::kind);
            // The answers of file systems and kernels that do not know the flag.
            let unknown = [InvalidInput, IsADirectory, NotFound, Unsupported];
            let is_unknown = kind.is_some_and(|kind| unknown.contains(&kind));
            return if is_unknown { Ok(None) } else { Err(refused) };
        }
    };
    Ok(place.is_linkable(&file)?.then_some(file))
}
