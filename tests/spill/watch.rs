//! Wrappers: above the allocator under test, and beneath it.
#![expect(unsafe_code, reason = "allocators that pass every call on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use outcore::SpillAlloc;

/// Requests during another request on the same thread: the allocator's own.
static OWN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The number of active requests on this thread.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Requests of this thread that reached the inner allocator.
    static PASSED_ON: Cell<u64> = const { Cell::new(0) };
    /// Whether the next request on this thread waits, so that another thread can act in between.
    static LINGERS: Cell<bool> = const { Cell::new(false) };
}

/// Set when a request begins to wait, for good: a thread that looks late must not miss it.
pub(crate) static LINGERING: AtomicBool = AtomicBool::new(false);

/// Makes the next request on this thread wait a while.
pub(crate) fn linger() {
    LINGERS.set(true);
}

/// Returns how many requests the allocator has made of itself.
pub(crate) fn own_requests() -> u64 {
    OWN.load(SeqCst)
}

/// Returns how many requests of this thread reached the inner allocator.
pub(crate) fn passed_on() -> u64 {
    PASSED_ON.get()
}

/// Wraps the allocator under test.
pub(crate) struct Watch(pub(crate) SpillAlloc<Inner>);

/// Serves one request, and records whether it is nested in another one.
fn served<R>(serve: impl FnOnce() -> R) -> R {
    let depth = DEPTH.with(|depth| depth.replace(depth.get() + 1));
    if depth > 0 {
        OWN.fetch_add(1, SeqCst);
    } else if LINGERS.take() {
        LINGERING.store(true, SeqCst);
        std::thread::sleep(Duration::from_millis(300));
    }
    let served = serve();
    DEPTH.with(|depth| depth.set(depth.get() - 1));
    served
}

// SAFETY: every call goes to the allocator under test unchanged.
unsafe impl GlobalAlloc for Watch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of the same function.
        served(|| unsafe { self.0.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        served(|| unsafe { self.0.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        served(|| unsafe { self.0.realloc(block, layout, new_size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        served(|| unsafe { self.0.dealloc(block, layout) });
    }
}

/// The inner allocator of the one under test.
pub(crate) struct Inner;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Inner {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PASSED_ON.set(PASSED_ON.get() + 1);
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        PASSED_ON.set(PASSED_ON.get() + 1);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        PASSED_ON.set(PASSED_ON.get() + 1);
        // SAFETY: as in `alloc`.
        unsafe { System.realloc(block, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(block, layout) };
    }
}
