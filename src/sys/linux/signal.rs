//! Calls that may exceed `RLIMIT_FSIZE`, without the signal that the kernel sends for it.
//!
//! The kernel sends `SIGXFSZ` to the thread that makes the call, and the call fails with `EFBIG`
//! (linux-facts L3). Checking the limit before is not enough: another thread, or another process by
//! `prlimit`, may lower it between check and call. So the thread blocks the signal during the call,
//! and removes it from the pending signals when the call has failed.
#![expect(
    unsafe_code,
    reason = "calls the C library's functions for signals; see docs/safety.md"
)]

use std::ffi::{c_int, c_ulong, c_void};
use std::io;
use std::ptr;

use rustix::process::Signal;

/// A set of signals: 1024 bits, as many as the largest C library on Linux has.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct SignalSet([c_ulong; 1024 / c_ulong::BITS as usize]);

/// The value for [`pthread_sigmask`] that blocks signals: a number of the C library.
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
    // From the C library, which std links to.
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

/// Makes a call that may exceed the limit of file size. If it does, it fails with `EFBIG`, and no
/// signal is left or delivered for that. A signal that was pending before stays so. Allocates
/// nothing.
pub(super) fn without_file_size_signal<R>(call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    let mut blocked = SignalSet::EMPTY;
    // SAFETY: both pointers lead to live sets.
    let refused = unsafe { pthread_sigmask(SIG_BLOCK, &raw const FILE_SIZE, &raw mut blocked) };
    if refused != 0 {
        // No kernel refuses that; if one does, the call must not be made.
        return Err(io::Error::from_raw_os_error(refused));
    }
    let was_blocked = blocked.has_file_size();
    // A signal that is not blocked is never pending for long.
    let was_pending = was_blocked && is_pending();
    let answer = call();
    if answer.is_err() && !was_pending {
        let now = [0; 2];
        // SAFETY: the set and the time, which is zero in any layout, are live, and no information
        // is requested. If no signal is pending, this returns at once.
        unsafe { sigtimedwait(&raw const FILE_SIZE, ptr::null_mut(), &raw const now) };
    }
    if !was_blocked {
        // SAFETY: the pointer leads to a live set, and the old set is not requested.
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
