//! Small disks: a tmpfs in a private mount namespace, so that nothing is left on the machine.

use std::env;
use std::fs::{self, OpenOptions};
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use outcore::ScratchDir;

use crate::support::libc::{is_root, make_mounts_private, mount_tmpfs, unmount};
use crate::support::process::prepare;
use crate::support::{new_dir, skipped};

/// Set in a process that was started for one test with mounts.
const INSIDE: &str = "OUTCORE_TEST_MOUNTS";

/// Runs `work` with private mounts, in a separate process: a file that a test closes is closed, and
/// not held by a process that another test is starting. If this user may not mount, the process has
/// a user namespace; if that is forbidden too, the test is skipped.
pub(crate) fn with_private_mounts(test: &str, work: impl FnOnce() + Send) {
    if env::var_os(INSIDE).is_some_and(|inside| inside == test) {
        return work_inside(test, work);
    }
    let exe = env::current_exe().unwrap();
    let mut command = Command::new(&exe);
    if !is_root() {
        if !user_namespaces_work() {
            return skipped(
                test,
                "this user may neither mount nor make a user namespace",
            );
        }
        command = Command::new("unshare");
        command.arg("-rm").arg(&exe);
    }
    prepare(&mut command, test);
    let output = command.env(INSIDE, test).output().unwrap();
    let [printed, errors] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "{printed}\n{errors}"
    );
    let note = format!("skipped: {test}: ");
    for reason in errors.lines().filter_map(|line| line.strip_prefix(&note)) {
        skipped(test, reason);
    }
}

/// Runs `work` in a thread whose mounts vanish with it, in every case.
fn work_inside(test: &str, work: impl FnOnce() + Send) {
    let work = || {
        make_mounts_private()?;
        work();
        std::io::Result::Ok(())
    };
    let done = thread::scope(|scope| scope.spawn(work).join());
    if let Err(refused) = done.unwrap_or_else(|panic| resume_unwind(panic)) {
        skipped(test, format_args!("no private mounts: {refused}"));
    }
}

fn user_namespaces_work() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["-rm", "true"]).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

/// Runs `work` with an empty tmpfs of `bytes`.
pub(crate) fn on_tmpfs(test: &str, bytes: u64, work: impl FnOnce(&Path) + Send) {
    with_private_mounts(test, || {
        let path = new_dir();
        mount_tmpfs(&path, bytes).unwrap();
        work(&path);
        unmount(&path);
        fs::remove_dir(&path).unwrap();
    });
}

/// Opens a directory in memory.
pub(crate) fn ram(path: &Path) -> ScratchDir {
    ScratchDir::builder(path).allow_ram(true).build().unwrap()
}

/// Returns how many bytes of its file system are free.
pub(crate) fn free_bytes(path: &Path) -> u64 {
    ram(path).report().unwrap().free_bytes
}

/// Runs `work` with an empty ext4 of `bytes` in a file; skipped if that is not possible.
pub(crate) fn on_ext4(test: &str, bytes: u64, work: impl FnOnce(&Path) + Send) {
    on_image(test, &["mkfs.ext4", "-q", "-F", "-b", "4096"], bytes, work);
}

/// The smallest XFS has 300 MiB; the image takes as much space as is written to it.
const COPY_ON_WRITE_BYTES: u64 = 320 << 20;

/// Runs `work` with an empty XFS in a file, on which files can share blocks.
pub(crate) fn on_xfs(test: &str, work: impl FnOnce(&Path) + Send) {
    on_image(
        test,
        &["mkfs.xfs", "-q", "-m", "reflink=1"],
        COPY_ON_WRITE_BYTES,
        work,
    );
}

/// Runs `work` with an empty btrfs in a file.
pub(crate) fn on_btrfs(test: &str, work: impl FnOnce(&Path) + Send) {
    on_image(test, &["mkfs.btrfs", "-q"], COPY_ON_WRITE_BYTES, work);
}

/// Runs `work` on a mounted file system that `make` created in a file.
fn on_image(test: &str, make: &[&str], bytes: u64, work: impl FnOnce(&Path) + Send) {
    with_private_mounts(test, || {
        let path = new_dir();
        let image = path.with_extension("img");
        let file = OpenOptions::new().write(true).create_new(true).open(&image);
        file.unwrap().set_len(bytes).unwrap();
        let run = |command: &mut Command| {
            let done = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            done.is_ok_and(|status| status.success())
        };
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).args([&image, &path]);
        if !run(Command::new(make[0]).args(&make[1..]).arg(&image)) {
            skipped(test, format_args!("no {}", make[0]));
        } else if run(&mut mount) {
            work(&path);
            unmount(&path);
        } else {
            skipped(test, "no such file system, or no loop device for this user");
        }
        fs::remove_dir(&path).unwrap();
        fs::remove_file(&image).unwrap();
    });
}
