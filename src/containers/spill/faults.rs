//! Fault injection in the global allocator: whatever call fails, the file or the inner allocator
//! serves a request, our code allocates nothing, and nothing panics.
// The heap back end allocates.
#![cfg(not(any(miri, memory_backend)))]
#![expect(unsafe_code, reason = "calls an allocator by its trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

use crate::containers::spill::tests::ASKED;
use crate::containers::spill::{FAILED, READY, SpillAlloc};
use crate::testing::{Campaign, Life};

const ALIGN: usize = 64;

/// When memory and disk were both full, the error that reported it was itself allocated, and the
/// program was aborted where it should have received a null pointer.
#[test]
fn requests_are_served_from_somewhere_and_nothing_is_allocated_whatever_call_fails() {
    Campaign::new("spill", 30, live)
        .plants("another byte", "other bytes")
        .plants("an allocation", "our own allocates")
        .run();
}

thread_local! {
    /// Whether memory is full too.
    static FULL: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, which can be made full.
struct Inner;

// SAFETY: all calls are passed on to the system's allocator, or refused.
unsafe impl GlobalAlloc for Inner {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if FULL.get() {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(block, layout) };
    }
}

/// A block, and the byte that fills it.
struct Held {
    at: *mut u8,
    layout: Layout,
    byte: u8,
}

struct Run<'life> {
    life: &'life mut Life,
    spill: SpillAlloc<Inner>,
    held: Vec<Held>,
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).unwrap()
}

fn live(life: &mut Life) {
    FULL.set(false);
    let spill = SpillAlloc::with_inner(64 << 10, Inner);
    let held = Vec::new();
    let mut run = Run { life, spill, held };
    run.live();
    run.check();
    for held in std::mem::take(&mut run.held) {
        // SAFETY: the block has this layout, and nothing uses it any more.
        run.quietly(|spill| unsafe { spill.dealloc(held.at, held.layout) });
    }
    run.life.disarm();
    assert_eq!(
        run.spill.failures() > 0,
        run.life.errors().count() > 0 || run.spill.failures() > 0
    );
    if run.spill.state.swap(FAILED, Relaxed) == READY {
        let name = run.life.name();
        // SAFETY: no other code uses it.
        let blocks = unsafe { &mut *run.spill.blocks.get() };
        // SAFETY: it was made (invariant 1 of `SpillAlloc`).
        let left = unsafe { blocks.assume_init_ref() }.claimed_bytes();
        assert!(
            left == 0 || !run.life.is_single(),
            "{name}: {left} bytes are left"
        );
        // SAFETY: as above, and it is never asked for again.
        unsafe { blocks.assume_init_drop() };
    }
}

impl Run<'_> {
    /// Calls the allocator, which allocates nothing.
    fn quietly<R>(&self, call: impl FnOnce(&SpillAlloc<Inner>) -> R) -> R {
        let before = ASKED.get();
        let result = call(&self.spill);
        let asked = ASKED.get() - before + usize::from(self.life.is_planted("an allocation"));
        assert_eq!(asked, 0, "{}: what is our own allocates", self.life.name());
        result
    }

    fn live(&mut self) {
        for (size, zeroed) in [
            (100, false),
            (100 << 10, true),
            (64 << 10, false),
            (3 << 20, true),
        ] {
            assert!(self.take(size, zeroed), "{}: null", self.life.name());
        }
        self.check();
        // Both ways across the threshold, in place and elsewhere.
        for (index, size) in [
            (0, 200 << 10),
            (1, 110 << 10),
            (1, 5 << 20),
            (1, 1 << 20),
            (2, 10),
            (2, 70 << 10),
            (3, 6 << 20),
            (3, 100),
            (0, 300),
        ] {
            assert!(self.resize(index, size), "{}: null", self.life.name());
        }
        self.check();
        if let Err(refused) = self.spill.evict() {
            let later = refused.to_string().contains("earlier sync");
            assert!(!later, "{}: {refused}", self.life.name());
            self.life.explain(&refused);
        }
        self.check();
        // Freed space is zero when it is allocated again.
        self.free(1);
        assert!(self.take(1 << 20, true), "{}: null", self.life.name());
        self.free(0);
        assert!(self.take(100 << 10, true), "{}: null", self.life.name());
        // Memory is full: a request may fail, and then the block is unchanged.
        FULL.set(true);
        let whole = self.life.is_whole();
        for size in [80 << 10, 2 << 20] {
            assert!(
                self.take(size, true) || !whole,
                "{}: null",
                self.life.name()
            );
        }
        for index in 0..self.held.len() {
            for size in [1 << 20, 3 << 20, 500 << 10] {
                let (was, resized) = (self.held[index].layout.size(), self.resize(index, size));
                let from_memory = was < 64 << 10;
                assert!(
                    resized || !whole || from_memory,
                    "{}: null",
                    self.life.name()
                );
                self.check();
            }
        }
        FULL.set(false);
    }

    fn take(&mut self, size: usize, zeroed: bool) -> bool {
        let layout = layout(size);
        let at = if zeroed {
            // SAFETY: the size is not zero.
            self.quietly(|spill| unsafe { spill.alloc_zeroed(layout) })
        } else {
            // SAFETY: the size is not zero.
            self.quietly(|spill| unsafe { spill.alloc(layout) })
        };
        if at.is_null() {
            return false;
        }
        assert_eq!(at.addr() % ALIGN, 0, "{}", self.life.name());
        let byte = u8::try_from(self.held.len() + 1).unwrap();
        if zeroed {
            let found = Held {
                at,
                layout,
                byte: 0,
            };
            self.expect(&found, size, 0);
        }
        // SAFETY: the block has that many bytes.
        unsafe { at.write_bytes(byte, size) };
        self.held.push(Held { at, layout, byte });
        true
    }

    fn resize(&mut self, index: usize, size: usize) -> bool {
        let Held {
            at,
            layout: old,
            byte,
        } = self.held[index];
        // SAFETY: the block has this layout, and the size is not zero.
        let resized = self.quietly(|spill| unsafe { spill.realloc(at, old, size) });
        if resized.is_null() {
            return false;
        }
        self.held[index].at = resized;
        self.held[index].layout = layout(size);
        self.expect(&self.held[index], old.size().min(size), byte);
        // SAFETY: the block has that many bytes.
        unsafe { resized.write_bytes(byte, size) };
        true
    }

    fn free(&mut self, index: usize) {
        let held = self.held.remove(index);
        // SAFETY: the block has this layout, and nothing uses it any more.
        self.quietly(|spill| unsafe { spill.dealloc(held.at, held.layout) });
    }

    fn check(&self) {
        let planted = u8::from(self.life.is_planted("another byte"));
        for held in &self.held {
            self.expect(held, held.layout.size(), held.byte ^ planted);
        }
    }

    fn expect(&self, held: &Held, len: usize, byte: u8) {
        // SAFETY: the block has at least that many bytes, which were written or are zero.
        let bytes = unsafe { std::slice::from_raw_parts(held.at, len) };
        let same = bytes == vec![byte; len];
        assert!(same, "{}: {:?}: other bytes", self.life.name(), held.layout);
    }
}
