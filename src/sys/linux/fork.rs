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

/// Makes every child forked from now on map nothing of its own into a range that it does not
/// inherit; returns whether that succeeded. Allocates nothing.
///
/// Children made without the C library's `fork` are not covered; [`is_cleared`] tells them.
pub(super) fn clear_in_children(base: *mut c_void, len: usize) -> bool {
    static ASKED: Once = Once::new();
    static ANSWERED: AtomicBool = AtomicBool::new(false);
    ASKED.call_once(|| {
        // SAFETY: `clear` makes only calls that are allowed in a forked child.
        let answer = unsafe { pthread_atfork(None, None, Some(clear)) };
        ANSWERED.store(answer == 0, Relaxed);
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
pub(super) fn forget(base: *mut c_void) {
    let known = |range: &&Range| range.base.load(Acquire) == base;
    if let Some(range) = RANGES.iter().find(known) {
        range.len.store(0, Release);
        range.base.store(ptr::null_mut(), Release);
    }
}

/// Returns whether this process is a forked child in which the range that starts at `base` is
/// empty, and will stay so.
pub(super) fn is_cleared(base: *mut c_void) -> bool {
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
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
        // SAFETY: with FIXED_NOREPLACE no existing mapping changes; kernels before 4.17, which do
        // not know it, pick a free range.
        let mapped = unsafe { mm::mmap_anonymous(base, len, ProtFlags::empty(), flags) };
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
