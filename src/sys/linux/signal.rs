//! Calls that may pass `RLIMIT_FSIZE`, without the signal by which the kernel says so.
//!
//! The kernel sends `SIGXFSZ` to the thread that makes the call, and the call fails with `EFBIG`
//! (linux-facts L3). To ask for the limit before is not enough: another thread, or another process
//! by `prlimit`, may lower it between question and call. So the thread blocks the signal for the
//! time of the call, and takes it off its list when the call has failed.
#![expect(
    unsafe_code,
    reason = "calls the C library's functions for signals; see docs/safety.md"
)]

use std::ffi::{c_int, c_ulong, c_void};
use std::io;
use std::ptr;

use rustix::process::Signal;

/// A set of signals: 1024 bits, as many as the largest one of a C library on Linux has.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct SignalSet([c_ulong; 1024 / c_ulong::BITS as usize]);

/// How [`pthread_sigmask`] changes the set of blocked signals: these numbers are the C library's.
const SIG_BLOCK: c_int = if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
    1
} else {
    0
};
const SIG_UNBLOCK: c_int = if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
    2
} else {
    1
};

unsafe extern "C" {
    // Of the C library, which std links to.
    fn pthread_sigmask(how: c_int, set: *const SignalSet, old: *mut SignalSet) -> c_int;
    fn sigpending(set: *mut SignalSet) -> c_int;
    fn sigtimedwait(set: *const SignalSet, info: *mut c_void, timeout: *const [u64; 2]) -> c_int;
}

impl SignalSet {
    const EMPTY: Self = Self([0; 1024 / c_ulong::BITS as usize]);

    fn has_file_size(&self) -> bool {
        self.0[0] & FILE_SIZE.0[0] != 0
    }
}

/// `SIGXFSZ` alone: signal 25 or 31, by architecture, so it is a bit of the first word.
static FILE_SIZE: SignalSet = {
    let mut set = SignalSet::EMPTY;
    set.0[0] = 1 << (Signal::XFSZ.as_raw() - 1);
    set
};

/// Makes a call that may pass the limit of file size. Where it does, it fails with `EFBIG`, and no
/// signal is left or delivered for that. One that was pending before stays so. Allocates nothing.
pub(super) fn without_file_size_signal<R>(call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    let mut blocked = SignalSet::EMPTY;
    // SAFETY: both pointers lead to live sets.
    let refused = unsafe { pthread_sigmask(SIG_BLOCK, &raw const FILE_SIZE, &raw mut blocked) };
    if refused != 0 {
        // No kernel refuses that; then the call must not be made either.
        return Err(io::Error::from_raw_os_error(refused));
    }
    let was_blocked = blocked.has_file_size();
    // A signal that is not blocked is never pending for long.
    let was_pending = was_blocked && is_pending();
    let answer = call();
    if answer.is_err() && !was_pending {
        let now = [0; 2];
        // SAFETY: the set and the time, which is zero in any layout, are live, and no information
        // is asked for. Where no signal is pending, this returns at once.
        unsafe { sigtimedwait(&raw const FILE_SIZE, ptr::null_mut(), &raw const now) };
    }
    if !was_blocked {
        // SAFETY: the pointer leads to a live set, and the old one is not asked for.
        unsafe { pthread_sigmask(SIG_UNBLOCK, &raw const FILE_SIZE, ptr::null_mut()) };
    }
    answer
}

/// Returns whether the signal is pending for this thread or the process.
fn is_pending() -> bool {
    let mut pending = SignalSet::EMPTY;
    // SAFETY: the pointer leads to a live set.
    let asked = unsafe { sigpending(&raw mut pending) };
    asked == 0 && pending.has_file_size()
}
