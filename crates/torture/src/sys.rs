//! Calls that std lacks: forks, alarms, and the naive mappings of planted bugs.
#![expect(
    unsafe_code,
    reason = "calls the C library; the planted bugs are bugs of this kind"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::ptr;

use outcore::RangeFile;

/// Arranges that `SIGALRM` ends this process after this many seconds: a case that hangs has failed.
pub(crate) fn alarm(seconds: u32) {
    // SAFETY: takes a number.
    unsafe { libc::alarm(seconds) };
}

/// Runs `work` in a forked child, waits for it, and returns how it ended: with 0, with 101 after a
/// panic, or by a signal. Call it only while no other thread runs.
pub(crate) fn in_forked_child(work: impl FnOnce()) -> ExitStatus {
    // SAFETY: the process has one thread, so all locks are free in the child.
    let child = unsafe { libc::fork() };
    assert_ne!(child, -1, "fork: {}", io::Error::last_os_error());
    if child == 0 {
        alarm(60);
        let worked = catch_unwind(AssertUnwindSafe(work));
        // SAFETY: ends the process.
        unsafe { libc::_exit(if worked.is_ok() { 0 } else { 101 }) };
    }
    let mut status = 0;
    // SAFETY: the pointer leads to a live integer.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child, "waitpid: {}", io::Error::last_os_error());
    ExitStatus::from_raw(status)
}

/// Shuts down the file system of an open directory, as `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN` do,
/// which are one call: what is not on the device will never be. The log may be flushed before.
pub(crate) fn shut_down(root: &File, flushes_log: bool) -> io::Result<()> {
    const GOING_DOWN: libc::Ioctl = 0x8004_587D;
    let how: u32 = if flushes_log { 1 } else { 2 };
    // SAFETY: the call reads one number, which lives until it returns.
    let answer = unsafe { libc::ioctl(root.as_raw_fd(), GOING_DOWN, &raw const how) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Gives this thread a private descriptor table.
pub(crate) fn make_descriptors_private() {
    // SAFETY: the thread closes only descriptors that it opened itself, and does not use those that
    // other threads open.
    let answer = unsafe { libc::unshare(libc::CLONE_FILES) };
    assert_eq!(answer, 0, "unshare: {}", io::Error::last_os_error());
}

/// Returns the flag that creates a file without a name.
pub(crate) fn tmpfile_flag() -> i32 {
    libc::O_TMPFILE
}

/// Makes std use `fork`, instead of `posix_spawn`.
pub(crate) fn let_std_fork(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: the function does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
}

/// Opens a range file that only this program uses.
pub(crate) fn open_ranged(path: &Path) -> outcore::Result<RangeFile> {
    // SAFETY: all other users of the file are cases of this program, which only try to open it.
    unsafe { RangeFile::open(path) }
}

/// Makes a range file with a name, which only this program uses.
pub(crate) fn create_ranged_in_place(path: &Path, len: u64) -> outcore::Result<RangeFile> {
    // SAFETY: as in `open_ranged`.
    unsafe { RangeFile::create_in_place(path, len) }
}

/// Locks all memory that is mapped from now on.
pub(crate) fn lock_future_memory() {
    // SAFETY: takes a number.
    let locked = unsafe { libc::mlockall(libc::MCL_FUTURE) };
    assert_eq!(locked, 0, "mlockall: {}", io::Error::last_os_error());
}

/// Returns whether this process may lock any amount of memory.
pub(crate) fn can_lock_memory() -> bool {
    // SAFETY: takes nothing.
    unsafe { libc::geteuid() == 0 }
}

/// Maps a file for writing as a naive program does: without preallocation, and shared with
/// children.
pub(crate) fn naive_map(file: &File, len: usize) -> io::Result<&'static mut [u8]> {
    // SAFETY: a new mapping, which changes no other.
    let base = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is never removed. A page without a block raises a signal, which is the
    // planted bug.
    Ok(unsafe { std::slice::from_raw_parts_mut(base.cast(), len) })
}

/// Makes mappings until the kernel allows only `left` more. They stay.
pub(crate) fn use_up_mappings(left: usize) {
    const PAGE: usize = 4096;
    let mut made = Vec::with_capacity(1 << 20);
    // The kernel does not join neighbours with different rights.
    for n in 0_usize.. {
        let rights = if n % 2 == 0 {
            libc::PROT_READ
        } else {
            libc::PROT_NONE
        };
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, which changes no other.
        let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, rights, kind, -1, 0) };
        if page == libc::MAP_FAILED || made.len() == made.capacity() {
            break;
        }
        made.push(page);
    }
    // The kernel puts each mapping below the previous one, so the last ones have no neighbour on
    // one side.
    for page in made.drain(made.len().saturating_sub(left)..) {
        // SAFETY: a page of our own, which no code uses.
        unsafe { libc::munmap(page, PAGE) };
    }
}
