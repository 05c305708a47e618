//! The workplace of a worker: a directory of its own on a disk, and small file systems.

use std::env;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rustix::fs::statvfs;

/// Set in a process with private mounts: `root`, or `user` if it is root only in a user namespace.
const MOUNTS: &str = "OUTCORE_TORTURE_MOUNTS";

/// Starts this program again with private mounts, which vanish with it, if possible. Returns `None`
/// if it is not possible, and in the program that was started.
pub(crate) fn hide_mounts() -> Option<ExitCode> {
    if env::var_os(MOUNTS).is_some() {
        return None;
    }
    let ways = [("root", "-m"), ("user", "-rm")];
    let works = |flags: &&(&str, &str)| {
        let mut probe = Command::new("unshare");
        probe.args([flags.1, "true"]);
        succeeds(probe)
    };
    let (name, flags) = ways.iter().find(works)?;
    let mut again = Command::new("unshare");
    again.arg(flags).arg(crate::job::exe());
    again.args(env::args_os().skip(1)).env(MOUNTS, name);
    let refused = again.exec();
    crate::say(format_args!("unshare: {refused}"));
    Some(ExitCode::from(2))
}

/// Runs a command without output, and returns whether it succeeded.
pub(crate) fn succeeds(mut command: Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Returns whether a program is installed.
pub(crate) fn has_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(name).exists())
}

/// The workplace of a worker.
#[derive(Debug)]
pub(crate) struct Room {
    path: PathBuf,
}

impl Room {
    /// Makes an empty workplace under a directory on a disk.
    pub(crate) fn new(base: &Path, number: usize) -> std::io::Result<Self> {
        let name = format!("outcore-torture-{}-{number}", std::process::id());
        let path = base.join(name);
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    /// Returns a new and empty directory on the disk.
    pub(crate) fn fresh(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        // A failed case may have left one.
        drop(fs::remove_dir_all(&path));
        fs::create_dir(&path).unwrap();
        path
    }

    /// Returns the directory of this worker.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Mounts a tmpfs of this many bytes.
    pub(crate) fn tmpfs(&self, bytes: u64) -> Result<Mounted, String> {
        let target = self.path.join(format!("tmpfs-{bytes}"));
        let mut mount = Command::new("mount");
        mount.args([
            "-t",
            "tmpfs",
            "-o",
            &format!("size={bytes},mode=0777"),
            "none",
        ]);
        mount.arg(&target);
        Mounted::by(mount, target, None).ok_or_else(|| "this user may not mount a tmpfs".to_owned())
    }

    /// Makes an ext4 of this many bytes in a file, and mounts it.
    pub(crate) fn ext4(&self, bytes: u64) -> Result<Mounted, String> {
        self.in_file("ext4", &["-q", "-F", "-b", "4096", "-m", "0"], bytes)
    }

    /// Makes an XFS of this many bytes in a file, on which files can share blocks, and mounts it.
    pub(crate) fn xfs(&self, bytes: u64) -> Result<Mounted, String> {
        self.in_file("xfs", &["-q", "-f", "-m", "reflink=1"], bytes)
    }

    fn in_file(&self, kind: &str, options: &[&str], bytes: u64) -> Result<Mounted, String> {
        let target = self.path.join(format!("{kind}-{bytes}"));
        let image = self.path.join(format!("{kind}-{bytes}.img"));
        let no = |why: &str| format!("no {kind} in a file: {why}");
        #[expect(clippy::disallowed_methods, reason = "not a file of the library")]
        let file = File::create(&image).map_err(|refused| no(&refused.to_string()))?;
        file.set_len(bytes)
            .map_err(|refused| no(&refused.to_string()))?;
        let program = format!("mkfs.{kind}");
        let mut make = Command::new(&program);
        make.args(options).arg(&image);
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).args([&image, &target]);
        if !succeeds(make) {
            return Err(no(&format!("no {program}")));
        }
        Mounted::by(mount, target, Some(image)).ok_or_else(|| no("this user may not mount one"))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Err(left) = fs::remove_dir_all(&self.path) {
            crate::say(format_args!(
                "{} is left behind: {left}",
                self.path.display()
            ));
        }
    }
}

/// A small file system, mounted until it is dropped.
#[derive(Debug)]
pub(crate) struct Mounted {
    target: PathBuf,
    image: Option<PathBuf>,
}

impl Mounted {
    fn by(mount: Command, target: PathBuf, image: Option<PathBuf>) -> Option<Self> {
        env::var_os(MOUNTS)?;
        fs::create_dir_all(&target).ok()?;
        let mounted = Self { target, image };
        if !succeeds(mount) {
            drop(fs::remove_dir(&mounted.target));
            return None;
        }
        Some(mounted)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.target
    }

    /// Unmounts a file system in a file, and mounts it again.
    pub(crate) fn mount_again(&self) -> Result<(), String> {
        let Some(image) = &self.image else {
            return Err("it is in memory".to_owned());
        };
        if !self.unmount() {
            return Err("it cannot be unmounted".to_owned());
        }
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).args([image, &self.target]);
        if succeeds(mount) {
            Ok(())
        } else {
            Err("it cannot be mounted again".to_owned())
        }
    }

    /// Unmounts it. The files of a killed process may be closed a moment later.
    fn unmount(&self) -> bool {
        for _attempt in 0..100 {
            let mut unmount = Command::new("umount");
            unmount.arg(&self.target);
            if succeeds(unmount) {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.unmount();
        if fs::remove_dir(&self.target).is_err() {
            let mut unmount = Command::new("umount");
            unmount.arg("-l").arg(&self.target);
            succeeds(unmount);
            drop(fs::remove_dir(&self.target));
        }
        if let Some(image) = &self.image {
            drop(fs::remove_file(image));
        }
    }
}

/// Returns how many bytes of the file system are free for this user.
pub(crate) fn free_bytes(path: &Path) -> u64 {
    let facts = statvfs(path).unwrap();
    facts.f_bavail * facts.f_frsize
}

/// Returns the names in a directory, without those that ext4 creates.
pub(crate) fn names_in(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy().into_owned()
    };
    entries
        .map(name)
        .filter(|name| name != "lost+found")
        .collect()
}
