//! A file that appears under its name when it is complete, and not before.
//!
//! That is what a `RangeFile` is for, and this one is not one, for what the output of `dedup` needs
//! beside:
//!
//! * Its length is known at the end. A range file has the length that was claimed for it, so all of
//!   the input's would have to be claimed, or grown into, and cut off when it is published; there is
//!   no such cut. Who says `--no-space-check` has no room for the claim.
//! * It takes over owner and mode of the file that it replaces before it has a name, so that nobody
//!   reads meanwhile what he may not. A published file has those of a new one.
//! * It is written on file systems that keep no files without names, too. There a range file is
//!   `unsafe`, since it is mapped and others could cut it off.
//! * A new file waits for no disk, as those of other programs do not; publishing always syncs.
//!
//! Nothing of it is ever mapped or read, so none of that is dangerous here. Threads write by
//! `pwrite` at offsets that `Sequence` hands out in turn, each to one chunk.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::signals;

/// Names that are tried before giving up; a second one is needed hardly ever.
const NAMES_MAX: u32 = 8;

/// A file on its way to a name.
///
/// On Linux it has no name until [`publish`](Self::publish), so that nothing is left of
/// it even if the process is killed. Where the file system cannot do that, it has a
/// name of its own in the same directory, which `Drop` removes.
#[derive(Debug)]
pub(crate) struct Unpublished {
    file: File,
    /// The name of its own, once there is one.
    own: Option<OwnName>,
    target: PathBuf,
    /// Whether something is lost if the new bytes are.
    replaces: bool,
}

/// A name in the directory, removed on drop.
#[derive(Debug)]
struct OwnName(PathBuf);

impl Drop for OwnName {
    fn drop(&mut self) {
        // Nothing to be done about a failure here, and worse is being reported.
        fs::remove_file(&self.0).ok();
    }
}

impl Unpublished {
    /// Starts a file for `target`, with owner and mode of the file that it replaces.
    ///
    /// # Errors
    ///
    /// The directory of `target` takes no new files.
    pub(crate) fn create(target: PathBuf, replaced: Option<&Metadata>) -> io::Result<Self> {
        match create_nameless(directory(&target)) {
            Some(file) => Self::with(file?, None, target, replaced),
            None => Self::create_named(target, replaced),
        }
    }

    fn create_named(target: PathBuf, replaced: Option<&Metadata>) -> io::Result<Self> {
        let (file, name) = signals::undisturbed(|names| {
            let made = try_names(directory(&target), |name| {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).open(name)
            })?;
            names.push(made.1.clone());
            io::Result::Ok(made)
        })?;
        Self::with(file, Some(OwnName(name)), target, replaced)
    }

    fn with(
        file: File,
        own: Option<OwnName>,
        target: PathBuf,
        replaced: Option<&Metadata>,
    ) -> io::Result<Self> {
        if let Some(replaced) = replaced {
            take_over(&file, replaced)?;
        }
        Ok(Self {
            file,
            own,
            target,
            replaces: replaced.is_some(),
        })
    }

    /// Returns the name that it will have.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the directory that it will be in.
    pub(crate) fn directory(&self) -> &Path {
        directory(&self.target)
    }

    /// Writes all of `bytes` at `offset`. Threads may write at the same time.
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Gives the file the name it was made for, in place of what has it now.
    ///
    /// # Errors
    ///
    /// What has the name keeps it, and this file is gone.
    pub(crate) fn publish(self) -> io::Result<()> {
        if self.replaces {
            // The old bytes may be all that the user has. They go when the new ones
            // are safe from a power cut.
            self.file.sync_all()?;
        }
        signals::undisturbed(|_names| {
            let own = match self.own {
                Some(own) => own,
                // Without a name between, there is nothing that a kill could leave.
                None if !self.replaces && link_as(&self.file, &self.target).is_ok() => {
                    return Ok(());
                }
                None => link(&self.file, directory(&self.target))?,
            };
            // After the rename the own name is nobody's, and its removal finds nothing.
            fs::rename(&own.0, &self.target)
        })
    }
}

/// Returns the directory that holds `target`.
fn directory(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Calls `make` with names nobody has until one is free; returns that one.
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

/// Gives a file without a name one of its own.
#[cfg(target_os = "linux")]
fn link(file: &File, directory: &Path) -> io::Result<OwnName> {
    let ((), name) = try_names(directory, |name| link_as(file, name))?;
    Ok(OwnName(name))
}

/// Gives a file without a name this one, which nobody may have yet.
#[cfg(target_os = "linux")]
fn link_as(file: &File, name: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};

    let old = descriptor_path(file);
    Ok(linkat(CWD, old, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path) -> io::Result<OwnName> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn link_as(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Creates a file without a name; `None` where that, or naming it later, cannot be done.
#[cfg(target_os = "linux")]
fn create_nameless(directory: &Path) -> Option<io::Result<File>> {
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
        // The three answers of file systems and kernels that do not know the flag.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => None,
        Err(answer) => Some(Err(answer.into())),
    }
}

#[cfg(not(target_os = "linux"))]
fn create_nameless(_: &Path) -> Option<io::Result<File>> {
    None
}

#[cfg(target_os = "linux")]
fn descriptor_path(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;

    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Gives `file` the owner and the mode of the file that it will replace.
#[cfg(unix)]
fn take_over(file: &File, replaced: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (replaced.uid(), replaced.gid()) {
        // Only root may give files away. For others the file becomes theirs, as it does
        // with every program that replaces files.
        fchown(file, Some(replaced.uid()), Some(replaced.gid())).ok();
    }
    file.set_permissions(Permissions::from_mode(replaced.mode() & 0o777))
}

#[cfg(not(unix))]
fn take_over(file: &File, replaced: &Metadata) -> io::Result<()> {
    file.set_permissions(replaced.permissions())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own for each test, beside the test binary.
    fn test_dir(name: &str) -> PathBuf {
        let binary = std::env::current_exe().unwrap();
        let dir = format!("publish-{name}-{}", std::process::id());
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

    type Create = fn(PathBuf, Option<&Metadata>) -> io::Result<Unpublished>;

    const WAYS: [(&str, Create); 2] = [
        ("nameless", Unpublished::create),
        ("named", Unpublished::create_named),
    ];

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        for (way, create) in WAYS {
            let dir = test_dir(way);
            let target = dir.join("out");
            let file = create(target.clone(), None).unwrap();
            file.write_all_at(b"half", 0).unwrap();
            assert!(!target.exists());
            drop(file);
            assert!(names(&dir).is_empty(), "{way}: {:?}", names(&dir));

            let file = create(target.clone(), None).unwrap();
            file.write_all_at(b"whole", 0).unwrap();
            file.publish().unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"whole");
            assert_eq!(names(&dir), ["out"], "{way}");
            fs::remove_dir_all(dir).unwrap();
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_replaced_file_keeps_its_mode_and_stays_until_the_end() {
        use std::os::unix::fs::PermissionsExt;

        for (way, create) in WAYS {
            let dir = test_dir(&format!("replace-{way}"));
            let target = dir.join("out");
            fs::write(&target, b"old").unwrap();
            fs::set_permissions(&target, Permissions::from_mode(0o640)).unwrap();
            let replaced = fs::metadata(&target).unwrap();
            let file = create(target.clone(), Some(&replaced)).unwrap();
            file.write_all_at(b"new", 0).unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"old");
            file.publish().unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"new");
            let mode = fs::metadata(&target).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o640, "{way}");
            fs::remove_dir_all(dir).unwrap();
        }
    }
}
