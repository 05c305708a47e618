//! The few calls of the C library that fixtures need and std lacks.
#![expect(
    unsafe_code,
    reason = "declares the C library's functions and calls them"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitStatus;

#[repr(C)]
struct Limit {
    current: c_ulong,
    maximum: c_ulong,
}

// The signatures are those of the C library on Linux, whose `rlim_t` is an `unsigned long` there.
// The functions that are called safe take no pointers.
unsafe extern "C" {
    fn fork() -> c_int;
    fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn getrlimit(resource: c_int, limit: *mut Limit) -> c_int;
    fn setrlimit(resource: c_int, limit: *const Limit) -> c_int;
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
    fn umount2(target: *const c_char, flags: c_int) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn pthread_sigmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    fn sigpending(set: *mut SignalSet) -> c_int;
    #[cfg(feature = "allocator-api2")]
    safe fn mlockall(flags: c_int) -> c_int;
    fn mmap(
        at: *mut c_void,
        len: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn munmap(at: *mut c_void, len: usize) -> c_int;
    fn mincore(at: *mut c_void, len: usize, pages: *mut u8) -> c_int;
    safe fn unshare(flags: c_int) -> c_int;
    safe fn umask(mask: c_uint) -> c_uint;
    safe fn geteuid() -> c_uint;
    safe fn alarm(seconds: c_uint) -> c_uint;
    fn syscall(number: c_long, ...) -> c_long;
    safe fn _exit(status: c_int) -> !;
}

fn checked(answer: c_int) -> io::Result<c_int> {
    match answer {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

/// A limit on what the process may use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resource {
    /// Bytes of the longest file.
    FileSize = 1,
    /// Bytes of private memory.
    Data = 2,
    /// Open files.
    OpenFiles = 7,
    /// Bytes of addresses.
    AddressSpace = 9,
}

/// Sets a limit of this process; the hard limit stays, so that the limit can be raised again.
pub(crate) fn set_limit(resource: Resource, value: u64) {
    let mut limit = Limit {
        current: 0,
        maximum: 0,
    };
    // SAFETY: the pointer leads to a live structure.
    checked(unsafe { getrlimit(resource as c_int, &raw mut limit) }).unwrap();
    limit.current = c_ulong::try_from(value)
        .unwrap_or(c_ulong::MAX)
        .min(limit.maximum);
    // SAFETY: the pointer leads to a live structure.
    checked(unsafe { setrlimit(resource as c_int, &raw const limit) }).unwrap();
}

/// A set of signals, as large as that of any C library.
#[repr(C)]
struct SignalSet([u64; 16]);

/// The set of `SIGXFSZ` alone.
static FILE_SIZE_SIGNAL: SignalSet = {
    let mut words = [0; 16];
    words[0] = 1 << 24;
    SignalSet(words)
};

/// Keeps `SIGXFSZ` pending in this thread.
pub(crate) fn block_file_size_signal() {
    const SIG_BLOCK: c_int = 0;
    // SAFETY: the pointer leads to a live set, and the other may be null.
    let refused =
        unsafe { pthread_sigmask(SIG_BLOCK, &raw const FILE_SIZE_SIGNAL, std::ptr::null_mut()) };
    assert_eq!(refused, 0);
}

/// Returns whether `SIGXFSZ` is pending.
pub(crate) fn file_size_signal_is_pending() -> bool {
    let mut pending = SignalSet([0; 16]);
    // SAFETY: the pointer leads to a live set.
    checked(unsafe { sigpending(&raw mut pending) }).unwrap();
    pending.0[0] & FILE_SIZE_SIGNAL.0[0] != 0
}

/// Which memory is locked.
#[cfg(feature = "allocator-api2")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lock {
    /// All that is mapped now.
    Current = 1,
    /// All that is mapped later.
    Future = 2,
}

/// Locks memory of the process.
#[cfg(feature = "allocator-api2")]
pub(crate) fn lock_memory(which: Lock) {
    checked(mlockall(which as c_int)).unwrap();
}

/// Sets the permissions that new files do not get.
pub(crate) fn set_umask(mask: u32) {
    umask(mask);
}

/// One instruction of a filter, and a filter.
#[repr(C)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

#[repr(C)]
struct Filter {
    len: u16,
    instructions: *const Instruction,
}

/// Makes a system call fail from now on, in this thread and those that it starts, as the filters of
/// container runtimes do.
pub(crate) fn forbid_system_call(number: u32, errno: u32) -> io::Result<()> {
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FAIL: u32 = 0x0005_0000;
    const ALLOW: u32 = 0x7FFF_0000;
    const SET_SECCOMP: c_int = 22;
    const MODE_FILTER: c_ulong = 2;
    const NO_NEW_PRIVILEGES: c_int = 38;
    let instruction = |code, if_false, value| Instruction {
        code,
        if_true: 0,
        if_false,
        value,
    };
    let instructions = [
        instruction(LOAD, 0, 0),
        instruction(JUMP_IF_EQUAL, 1, number),
        instruction(RETURN, 0, FAIL | errno),
        instruction(RETURN, 0, ALLOW),
    ];
    let filter = Filter {
        len: 4,
        instructions: instructions.as_ptr(),
    };
    let (yes, no): (c_ulong, c_ulong) = (1, 0);
    // SAFETY: this option takes numbers only.
    checked(unsafe { prctl(NO_NEW_PRIVILEGES, yes, no, no, no) })?;
    // SAFETY: the pointers lead to a live filter of four instructions, which the kernel copies.
    checked(unsafe { prctl(SET_SECCOMP, MODE_FILTER, &raw const filter) })?;
    Ok(())
}

/// Returns whether permissions do not restrict this process.
pub(crate) fn is_root() -> bool {
    geteuid() == 0
}

/// Runs `work` in a forked child, waits for it, and returns how it ended: with 0, with 101 after a
/// panic, or by a signal: `SIGALRM` if it takes a minute.
///
/// Call it in a process that runs one test, where `work` cannot wait for another thread.
pub(crate) fn in_forked_child(work: impl FnOnce()) -> ExitStatus {
    // SAFETY: the process runs one test, and the thread that waits for it holds no lock. Some tests
    // run other threads on purpose: a lock that such a thread holds stays locked in the child, and
    // the alarm ends a child that waits for it.
    let child = checked(unsafe { fork() }).unwrap();
    if child == 0 {
        alarm(60);
        let worked = catch_unwind(AssertUnwindSafe(work));
        _exit(if worked.is_ok() { 0 } else { 101 });
    }
    let mut status = 0;
    // SAFETY: the pointer leads to a live integer.
    checked(unsafe { waitpid(child, &raw mut status, 0) }).unwrap();
    ExitStatus::from_raw(status)
}

/// Gives this thread, and those that it starts, a private descriptor table: files that are opened
/// from now on are open on one side only.
pub(crate) fn make_descriptors_private() {
    const CLONE_FILES: c_int = 0x400;
    checked(unshare(CLONE_FILES)).unwrap();
}

/// Ends only the calling thread, even if it is the first one of the process.
pub(crate) fn end_this_thread() -> ! {
    const SYS_EXIT: c_long = if cfg!(target_arch = "x86_64") { 60 } else { 93 };
    // SAFETY: takes a number. No other thread uses the stack of this one.
    unsafe { syscall(SYS_EXIT, 0) };
    _exit(102)
}

/// Gives this thread, and those that it starts, private mounts that vanish with them.
pub(crate) fn make_mounts_private() -> io::Result<()> {
    const CLONE_NEWNS: c_int = 0x0002_0000;
    const MS_REC_PRIVATE: c_ulong = 0x4000 | 0x4_0000;
    checked(unshare(CLONE_NEWNS))?;
    mount_raw(c"none", Path::new("/"), MS_REC_PRIVATE, c"")
}

/// Mounts a tmpfs of this many bytes on a directory.
pub(crate) fn mount_tmpfs(target: &Path, bytes: u64) -> io::Result<()> {
    let options = CString::new(format!("size={bytes},mode=0777"))?;
    mount_raw(c"tmpfs", target, 0, &options)
}

/// Changes how many bytes a tmpfs can hold.
pub(crate) fn resize_tmpfs(target: &Path, bytes: u64) {
    const MS_REMOUNT: c_ulong = 32;
    let options = CString::new(format!("size={bytes}")).unwrap();
    mount_raw(c"tmpfs", target, MS_REMOUNT, &options).unwrap();
}

/// Removes a mount; files that are still open live on until they are closed.
pub(crate) fn unmount(target: &Path) {
    const MNT_DETACH: c_int = 2;
    let target = CString::new(target.as_os_str().as_bytes()).unwrap();
    // SAFETY: the pointer leads to a live C string.
    checked(unsafe { umount2(target.as_ptr(), MNT_DETACH) }).unwrap();
}

fn mount_raw(kind: &CStr, target: &Path, flags: c_ulong, options: &CStr) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    // SAFETY: all pointers lead to live C strings.
    let answer = unsafe {
        mount(
            c"none".as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    checked(answer).map(|_zero| ())
}

/// Makes mappings until the kernel allows no more. They stay.
pub(crate) fn use_up_mappings() {
    const PAGE: usize = 4096;
    const PROT_READ: c_int = 1;
    const PRIVATE_ANONYMOUS: c_int = 0x22;
    // Neighbours with different rights are never joined.
    for number in 0.. {
        // SAFETY: a new mapping, which changes no other.
        let made = unsafe {
            let rights = if number % 2 == 0 { PROT_READ } else { 0 };
            mmap(std::ptr::null_mut(), PAGE, rights, PRIVATE_ANONYMOUS, -1, 0)
        };
        if made.addr() == usize::MAX {
            return;
        }
    }
}

/// Returns how many bytes of a file that this user may write to are in the page cache.
pub(crate) fn cached_bytes(file: &File) -> u64 {
    let pages = cached_pages(file);
    let cached = pages.iter().filter(|is_cached| **is_cached).count();
    u64::try_from(cached).unwrap() * 4096
}

/// Returns which pages of a file that this user may write to are in the page cache.
pub(crate) fn cached_pages(file: &File) -> Vec<bool> {
    const PAGE: usize = 4096;
    const SHARED: c_int = 1;
    let len = usize::try_from(file.metadata().unwrap().len()).unwrap();
    if len == 0 {
        return Vec::new();
    }
    let mut pages = vec![0; len.div_ceil(PAGE)];
    // SAFETY: a new mapping, which changes no other.
    let at = unsafe { mmap(std::ptr::null_mut(), len, 0, SHARED, file.as_raw_fd(), 0) };
    assert_ne!(at.addr(), usize::MAX);
    // SAFETY: the range is mapped, and there is a byte for each of its pages.
    checked(unsafe { mincore(at, len, pages.as_mut_ptr()) }).unwrap();
    // SAFETY: the mapping is that of above, which nothing else uses.
    checked(unsafe { munmap(at, len) }).unwrap();
    pages.iter().map(|page| page & 1 != 0).collect()
}
