//! A file that is written in full and then takes its place under a name at once.
//!
//! Until then whatever has the name keeps it, and there is never a part of the file under it, also
//! after a crash. A `RangeFile` makes the same promise for a file whose length is known before it is
//! written. This one:
//!
//! * has the length that it was given by the last write;
//! * has the mode and, as far as the process may, the owner of the file that it replaces, and has
//!   them before it has a name, so that nothing can read meanwhile what it may not;
//! * is made on file systems that keep no files without names, too;
//! * waits for the disk only if it replaces a file: a new one is lost with the name.
//!
//! It is never mapped or read. Access control lists and extended attributes of the replaced file
//! are not kept, and neither are its other hard links, which go on leading to the old bytes.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Names that are tried before giving up. A second one is hardly ever needed.
const NAMES_MAX: u32 = 8;

/// Permission bits of a file, without set-user-ID, set-group-ID and sticky.
const MODE_MASK: u32 = 0o777;

/// A file on its way to a name.
///
/// On Linux it has no name until [`publish`](Self::publish), so that nothing is left of it even if
/// the process is killed. Where the file system cannot do that, it has a temporary name in the same
/// directory, which `Drop` removes.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    file: File,
    temporary: Option<TemporaryName>,
    target: PathBuf,
    /// Whether the old bytes are lost if the new ones are.
    replaces: bool,
}

/// A name in the directory, removed on drop.
#[derive(Debug)]
struct TemporaryName(PathBuf);

impl Drop for TemporaryName {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and a worse one is being reported.
        fs::remove_file(&self.0).ok();
    }
}

impl AtomicFile {
    /// Starts a file that will be at `path`. If a regular file is there, or where links there lead,
    /// that one will be replaced; links stay.
    ///
    /// # Errors
    ///
    /// Nothing was made, and what is at `path` is as it was:
    ///
    /// * `path` leads to something that is no regular file, or ends without a file name;
    /// * the file there may not be written, although it could be replaced;
    /// * the directory takes no new files.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Self::start(path, true)
    }

    fn start(path: &Path, without_name: bool) -> io::Result<Self> {
        let (target, replaced) = match fs::metadata(path) {
            Ok(facts) if facts.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(facts) if !facts.is_file() => {
                let reason = "it is no regular file, so it cannot be replaced";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
            Ok(facts) => {
                // A rename would not ask whether the file may be written.
                drop(OpenOptions::new().write(true).open(path)?);
                (fs::canonicalize(path)?, Some(facts))
            }
            Err(answer) if answer.kind() == io::ErrorKind::NotFound && has_file_name(path) => {
                (path.to_owned(), None)
            }
            Err(answer) => return Err(answer),
        };
        let made = if without_name {
            create_without_name(directory(&target)).transpose()?
        } else {
            None
        };
        let (file, temporary) = if let Some(file) = made {
            (file, None)
        } else {
            let (file, name) = create_temporary(directory(&target), replaced.is_some())?;
            (file, Some(TemporaryName(name)))
        };
        if let Some(replaced) = &replaced {
            take_over(&file, replaced)?;
        }
        Ok(Self {
            file,
            temporary,
            target,
            replaces: replaced.is_some(),
        })
    }

    /// Returns the open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns the name that it will have, links resolved.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the directory that it will be in.
    pub(crate) fn directory(&self) -> &Path {
        directory(&self.target)
    }

    /// Returns the name that it has meanwhile, on file systems that keep no file without one. A
    /// process that ends without dropping the value should remove it.
    pub(crate) fn temporary_path(&self) -> Option<&Path> {
        self.temporary.as_ref().map(|name| name.0.as_path())
    }

    /// Writes all of `bytes` at `offset`. Threads may write at the same time.
    ///
    /// # Errors
    ///
    /// The system's; some of the bytes may be written.
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Waits, if this file replaces another, until its bytes are on the device. After that,
    /// [`publish`](Self::publish) has nothing to wait for.
    ///
    /// # Errors
    ///
    /// The device's; bytes may be lost, and the file should not be published.
    pub(crate) fn sync(&self) -> io::Result<()> {
        // The old bytes may be all that there is of them. They go when the new ones are safe from a
        // power cut.
        if self.replaces {
            self.file.sync_all()?;
        }
        Ok(())
    }

    /// Gives the file the name that it was made for, in place of what has it now.
    ///
    /// # Errors
    ///
    /// The name leads to what it led to before, and this file is gone.
    pub(crate) fn publish(self) -> io::Result<()> {
        self.sync()?;
        let temporary = match self.temporary {
            Some(name) => name,
            // Without a name in between, a kill can leave nothing.
            None if !self.replaces && link_as(&self.file, &self.target).is_ok() => return Ok(()),
            None => link(&self.file, directory(&self.target))?,
        };
        // After the rename the temporary name is free, and its removal finds nothing.
        fs::rename(&temporary.0, &self.target)
    }
}

/// Returns whether a path ends with the name of a file: not with a slash, nor with dots.
fn has_file_name(path: &Path) -> bool {
    let name = path.file_name();
    name.is_some_and(|name| path.as_os_str().as_bytes().ends_with(name.as_bytes()))
}

/// Returns the directory that holds `target`.
fn directory(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Calls `make` with random names until one is free; returns that one.
fn try_names<T>(
    directory: &Path,
    mut make: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<(T, PathBuf)> {
    let random = RandomState::new();
    let mut attempt = 0;
    loop {
        let name = directory.join(format!(".outcore-{:016x}.tmp", random.hash_one(attempt)));
        match make(&name) {
            Ok(value) => return Ok((value, name)),
            Err(answer) if answer.kind() == io::ErrorKind::AlreadyExists && attempt < NAMES_MAX => {
                attempt += 1;
            }
            Err(answer) => return Err(answer),
        }
    }
}

/// Creates a file with a temporary name. One that will replace another belongs to this user alone
/// until it has the mode of that one.
fn create_temporary(directory: &Path, replaces: bool) -> io::Result<(File, PathBuf)> {
    try_names(directory, |name| {
        let mode = if replaces { 0o600 } else { 0o666 };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode).open(name)
    })
}

/// Gives a file without a name a temporary one.
fn link(file: &File, directory: &Path) -> io::Result<TemporaryName> {
    let ((), name) = try_names(directory, |name| link_as(file, name))?;
    Ok(TemporaryName(name))
}

/// Gives a file without a name this one, which has to be free.
#[cfg(target_os = "linux")]
fn link_as(file: &File, name: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};

    let old = descriptor_path(file);
    linkat(CWD, old, CWD, name, AtFlags::SYMLINK_FOLLOW)?;
    let (ours, linked) = (file.metadata()?, fs::symlink_metadata(name)?);
    if (ours.dev(), ours.ino()) == (linked.dev(), linked.ino()) {
        return Ok(());
    }
    drop(TemporaryName(name.to_owned()));
    Err(io::Error::other("the name led to another file"))
}

#[cfg(not(target_os = "linux"))]
fn link_as(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Creates a file without a name; `None` where that, or naming it later, cannot be done.
#[cfg(target_os = "linux")]
fn create_without_name(directory: &Path) -> Option<io::Result<File>> {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::Errno;

    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match open(directory, flags, Mode::from_raw_mode(0o666)) {
        Ok(fd) => {
            let file = File::from(fd);
            // A name comes through /proc, which may not be mounted.
            let nameable = fs::symlink_metadata(descriptor_path(&file)).is_ok();
            nameable.then_some(Ok(file))
        }
        // The answers of file systems and kernels that do not know the flag.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => None,
        Err(answer) => Some(Err(answer.into())),
    }
}

#[cfg(not(target_os = "linux"))]
fn create_without_name(_: &Path) -> Option<io::Result<File>> {
    None
}

/// Returns a path that leads to the open file, in this thread: threads may have descriptor tables of
/// their own, and `/proc/self/fd` is that of the first one.
#[cfg(target_os = "linux")]
fn descriptor_path(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;

    PathBuf::from(format!("/proc/thread-self/fd/{}", file.as_raw_fd()))
}

/// Gives `file` the owner and the mode of the file that it will replace.
fn take_over(file: &File, replaced: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (replaced.uid(), replaced.gid()) {
        // Only root may give files away. For others the file becomes theirs, as it does with every
        // program that replaces files.
        fchown(file, Some(replaced.uid()), Some(replaced.gid())).ok();
    }
    file.set_permissions(Permissions::from_mode(replaced.mode() & MODE_MASK))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own for each test, beside the test binary.
    fn test_dir(name: &str) -> PathBuf {
        let binary = std::env::current_exe().unwrap();
        let dir = format!("atomic-{name}-{}", std::process::id());
        let dir = binary.parent().unwrap().join(dir);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Whether the file is made without a name, where that can be done.
    const WAYS: [(&str, bool); 2] = [("nameless", true), ("named", false)];

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        for (way, without_name) in WAYS {
            let dir = test_dir(way);
            let target = dir.join("out");
            let file = AtomicFile::start(&target, without_name).unwrap();
            file.write_all_at(b"half", 0).unwrap();
            assert!(!target.exists());
            drop(file);
            assert!(names(&dir).is_empty(), "{way}: {:?}", names(&dir));

            let file = AtomicFile::start(&target, without_name).unwrap();
            file.write_all_at(b"whole", 0).unwrap();
            assert_eq!(file.temporary_path().is_some(), names(&dir).len() == 1);
            file.publish().unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"whole");
            assert_eq!(names(&dir), ["out"], "{way}");
            fs::remove_dir_all(dir).unwrap();
        }
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_stays_until_the_end() {
        for (way, without_name) in WAYS {
            let dir = test_dir(&format!("replace-{way}"));
            let target = dir.join("out");
            fs::write(&target, b"old").unwrap();
            fs::set_permissions(&target, Permissions::from_mode(0o640)).unwrap();
            std::os::unix::fs::symlink("out", dir.join("link")).unwrap();
            let file = AtomicFile::start(&dir.join("link"), without_name).unwrap();
            file.write_all_at(b"new", 0).unwrap();
            let mode = file.file().metadata().unwrap().mode();
            assert_eq!(mode & MODE_MASK, 0o640, "{way}");
            assert_eq!(fs::read(&target).unwrap(), b"old");
            file.publish().unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"new");
            let mode = fs::metadata(&target).unwrap().mode();
            assert_eq!(mode & MODE_MASK, 0o640, "{way}");
            assert!(fs::symlink_metadata(dir.join("link")).unwrap().is_symlink());
            fs::remove_dir_all(dir).unwrap();
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = test_dir("refused");
        fs::write(dir.join("file"), b"").unwrap();
        for name in ["", "new/", "new/.", "new/..", ".", "..", "file/", "file/x"] {
            let refused = AtomicFile::create(&dir.join(name));
            assert!(refused.is_err(), "{name}");
        }
        assert!(AtomicFile::create(Path::new("/dev/null")).is_err());
        assert_eq!(names(&dir), ["file"]);
        fs::remove_dir_all(dir).unwrap();
    }

    /// `/proc/self/fd/N` in a thread with a descriptor table of its own is what the first thread has
    /// under the number: nothing, or a file that then got the name.
    #[test]
    #[cfg(target_os = "linux")]
    #[expect(
        deprecated,
        reason = "the safe form: this thread uses no descriptor of another"
    )]
    fn a_thread_with_descriptors_of_its_own_publishes_its_own_file() {
        use rustix::thread::{UnshareFlags, unshare};

        let dir = test_dir("unshared");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                unshare(UnshareFlags::FILES).unwrap();
                let file = AtomicFile::create(&dir.join("out")).unwrap();
                file.write_all_at(b"ours", 0).unwrap();
                file.publish().unwrap();
                assert_eq!(fs::read(dir.join("out")).unwrap(), b"ours");
            });
        });
        fs::remove_dir_all(dir).unwrap();
    }
}
