//! Ranges of addresses that stay empty in forked children: without the memory that a child does not
//! inherit, and without later mappings of the child.
#![expect(
    unsafe_code,
    reason = "has a function called in forked children, which maps there; see docs/safety.md"
)]

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use rustix::mm::{self, MapFlags, ProtFlags};

use crate::sys::posix::memory::RESERVED;

/// Flags of a mapping that replaces no other.
#[cfg(target_os = "linux")]
const HERE_OR_NOWHERE: MapFlags = RESERVED.union(MapFlags::FIXED_NOREPLACE);
#[cfg(not(target_os = "linux"))]
const HERE_OR_NOWHERE: MapFlags = RESERVED;

/// A range, and whether this process is a child in which it was cleared.
#[derive(Debug)]
struct Range {
    base: AtomicPtr<c_void>,
    /// 0 until the range is complete.
    len: AtomicUsize,
    cleared: AtomicBool,
}

/// How many ranges there can be: one for each global allocator of the process.
const RANGES_MAX: usize = 16;

static RANGES: [Range; RANGES_MAX] = [const {
    Range {
        base: AtomicPtr::new(ptr::null_mut()),
        len: AtomicUsize::new(0),
        cleared: AtomicBool::new(false),
    }
}; RANGES_MAX];

unsafe extern "C" {
    /// From the C library, which std links to.
    fn pthread_atfork(
        prepare: Option<unsafe extern "C" fn()>,
        parent: Option<unsafe extern "C" fn()>,
        child: Option<unsafe extern "C" fn()>,
    ) -> c_int;
}

/// Has every child that is forked from now on call a function before `fork` returns there; returns
/// whether it will. Allocates nothing of ours.
///
/// # Safety
///
/// The function may be called in a forked child, whose other threads are gone: it takes no lock.
pub(crate) unsafe fn call_in_children(function: unsafe extern "C" fn()) -> bool {
    // SAFETY: the caller vouches for the function, which is never unloaded.
    unsafe { pthread_atfork(None, None, Some(function)) == 0 }
}

/// Makes every child forked from now on map nothing of its own into a range that it does not
/// inherit; returns whether that succeeded. Allocates nothing.
///
/// Children made without the C library's `fork` are not covered; [`is_cleared`] tells them.
pub(crate) fn clear_in_children(base: *mut c_void, len: usize) -> bool {
    static ASKED: Once = Once::new();
    static ANSWERED: AtomicBool = AtomicBool::new(false);
    ASKED.call_once(|| {
        // SAFETY: `clear` makes only calls that are allowed in a forked child.
        ANSWERED.store(unsafe { call_in_children(clear) }, Relaxed);
    });
    if !ANSWERED.load(Relaxed) {
        return false;
    }
    let free = |range: &&Range| {
        let taken = range
            .base
            .compare_exchange(ptr::null_mut(), base, AcqRel, Relaxed);
        taken.is_ok()
    };
    let Some(range) = RANGES.iter().find(free) else {
        return false;
    };
    range.len.store(len, Release);
    true
}

/// Removes a range before it is unmapped.
pub(crate) fn forget(base: *mut c_void) {
    let known = |range: &&Range| range.base.load(Acquire) == base;
    if let Some(range) = RANGES.iter().find(known) {
        range.len.store(0, Release);
        range.base.store(ptr::null_mut(), Release);
    }
}

/// Returns whether this process is a forked child in which the range that starts at `base` is
/// empty, and will stay so.
pub(crate) fn is_cleared(base: *mut c_void) -> bool {
    let mut ranges = RANGES.iter();
    let range = ranges.find(|range| range.base.load(Acquire) == base);
    range.is_some_and(|range| range.cleared.load(Relaxed))
}

/// Called in a forked child, by its only thread, before `fork` returns: fills the holes that the
/// ranges have left with inaccessible pages.
unsafe extern "C" fn clear() {
    for range in &RANGES {
        let (base, len) = (range.base.load(Acquire), range.len.load(Acquire));
        if len == 0 || range.cleared.load(Relaxed) {
            // A child of a child has inherited the filled hole.
            continue;
        }
        // SAFETY: no existing mapping changes. Where there is no such flag, or the kernel does not know
        // it (Linux before 4.17), the address is a hint, and the kernel picks a free range.
        let mapped = unsafe { mm::mmap_anonymous(base, len, ProtFlags::empty(), HERE_OR_NOWHERE) };
        match mapped {
            Ok(at) if at == base => range.cleared.store(true, Relaxed),
            Ok(elsewhere) => {
                // SAFETY: it was mapped above, and nothing else knows it.
                let _unmapped = unsafe { mm::munmap(elsewhere, len) };
            }
            // Something is there already; `is_cleared` reports that.
            Err(_refused) => {}
        }
    }
}
