//! Counted heap memory: the allocations of the code under test, for each thread.
#![expect(
    unsafe_code,
    reason = "an allocator that passes every call on and counts"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The heap requests of one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heap {
    /// Calls that got memory or changed its size.
    pub(crate) calls: u64,
    /// Allocated bytes minus freed bytes; negative if the thread frees blocks of others.
    pub(crate) live_bytes: i64,
    /// The maximum of `live_bytes` since the last [`counted`] began.
    pub(crate) peak_bytes: i64,
}

thread_local! {
    static HEAP: Cell<Heap> = const {
        Cell::new(Heap { calls: 0, live_bytes: 0, peak_bytes: 0 })
    };
}

/// Returns the heap requests of this thread so far.
pub(crate) fn heap() -> Heap {
    HEAP.get()
}

/// Runs `work` and returns how many requests it made, and how many bytes it had at most.
pub(crate) fn counted<R>(work: impl FnOnce() -> R) -> (u64, i64, R) {
    let before = heap();
    HEAP.set(Heap {
        peak_bytes: before.live_bytes,
        ..before
    });
    let result = work();
    let after = heap();
    let peak = after.peak_bytes - before.live_bytes;
    (after.calls - before.calls, peak, result)
}

fn count(got: usize, given_back: usize) {
    // While a thread ends, its counters are gone.
    let _ended = HEAP.try_with(|heap| {
        let mut now = heap.get();
        now.calls += u64::from(got > 0);
        let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        now.live_bytes += signed(got) - signed(given_back);
        now.peak_bytes = now.peak_bytes.max(now.live_bytes);
        heap.set(now);
    });
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged, and counting neither allocates nor
// panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size, layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[test]
fn allocations_are_counted() {
    let (calls, peak, bytes) = counted(|| {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(1000)));
        Vec::<u8>::with_capacity(10)
    });
    assert_eq!((calls, peak, bytes.capacity()), (2, 1000, 10));
}
