//! The calls of the global allocator's trait: which allocator gets a request, and how a block moves
//! from one to the other.
#![expect(
    unsafe_code,
    reason = "implements the global allocator's trait; see docs/safety.md"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::Relaxed;

use crate::containers::spill::{Inside, SpillAlloc};
use crate::heap::Blocks;

// SAFETY: each block is handed out by the file or by the inner allocator, both of which keep the
// contract, and is returned to the allocator that it came from, which its size and address
// identify.
//
// Small requests are recognized by one comparison and passed on at once. Everything else is out of
// line, so that these functions need no registers of their own: programs that never spill call them
// all the time.
unsafe impl<A: GlobalAlloc> GlobalAlloc for SpillAlloc<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.is_small(layout.size()) {
            // SAFETY: the caller keeps the contract.
            return unsafe { self.inner.alloc(layout) };
        }
        // SAFETY: as above.
        unsafe { self.alloc_big(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if self.is_small(layout.size()) {
            // SAFETY: the caller keeps the contract.
            return unsafe { self.inner.alloc_zeroed(layout) };
        }
        // SAFETY: as above.
        unsafe { self.alloc_zeroed_big(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.is_small(layout.size()) {
            // SAFETY: no block in the file has so few bytes, so this one came from the inner
            // allocator, with this layout.
            return unsafe { self.inner.dealloc(block, layout) };
        }
        // SAFETY: the caller keeps the contract.
        unsafe { self.dealloc_big(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if self.is_small(layout.size()) && self.is_small(new_size) {
            // SAFETY: as in `dealloc`.
            return unsafe { self.inner.realloc(block, layout, new_size) };
        }
        // SAFETY: the caller keeps the contract.
        unsafe { self.realloc_big(block, layout, new_size) }
    }
}

impl<A> SpillAlloc<A> {
    /// Takes a block from the file; returns null on failure.
    fn spill(&self, layout: Layout, zeroed: bool) -> *mut u8 {
        let Some(_inside) = Inside::enter() else {
            return ptr::null_mut();
        };
        let Some(blocks) = self.make_blocks() else {
            // While another thread creates the file, this is no failure. This thread does not wait
            // for it either: in a child forked meanwhile, that thread does not exist.
            if self.is_without_file() {
                self.failures.fetch_add(1, Relaxed);
            }
            return ptr::null_mut();
        };
        if !blocks.is_owner() {
            // A forked child uses the inner allocator for new blocks.
            return ptr::null_mut();
        }
        let block = blocks.allocate(layout, zeroed);
        self.note_peak();
        block.map_or_else(
            || {
                self.failures.fetch_add(1, Relaxed);
                ptr::null_mut()
            },
            NonNull::as_ptr,
        )
    }

    /// Gives a block back to the file.
    ///
    /// # Safety
    ///
    /// The block came from the file, and nothing uses it any more.
    unsafe fn unspill(&self, block: *mut u8) {
        let _inside = Inside::enter();
        if let (Some(blocks), Some(block)) = (self.blocks(), NonNull::new(block)) {
            // SAFETY: the caller keeps the contract.
            unsafe { blocks.deallocate(block) };
        }
    }
}

impl<A: GlobalAlloc> SpillAlloc<A> {
    /// # Safety
    ///
    /// The duties of the caller are those of [`GlobalAlloc::alloc`].
    #[cold]
    unsafe fn alloc_big(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= self.threshold() {
            let block = self.spill(layout, false);
            if !block.is_null() {
                return block;
            }
        }
        // SAFETY: the caller keeps the contract.
        unsafe { self.inner.alloc(layout) }
    }

    /// # Safety
    ///
    /// The duties of the caller are those of [`GlobalAlloc::alloc_zeroed`].
    #[cold]
    unsafe fn alloc_zeroed_big(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= self.threshold() {
            let block = self.spill(layout, true);
            if !block.is_null() {
                return block;
            }
        }
        // SAFETY: the caller keeps the contract.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    /// # Safety
    ///
    /// The duties of the caller are those of [`GlobalAlloc::dealloc`].
    #[cold]
    unsafe fn dealloc_big(&self, block: *mut u8, layout: Layout) {
        if self.is_ours(block) {
            // SAFETY: the block came from the file, and the caller gives it up.
            unsafe { self.unspill(block) };
        } else {
            // SAFETY: the block came from the inner allocator, with this layout.
            unsafe { self.inner.dealloc(block, layout) };
        }
    }

    /// # Safety
    ///
    /// The duties of the caller are those of [`GlobalAlloc::realloc`].
    #[cold]
    unsafe fn realloc_big(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !self.is_ours(block) && new_size < self.threshold() {
            // SAFETY: the block came from the inner allocator, with this layout.
            return unsafe { self.inner.realloc(block, layout, new_size) };
        }
        // SAFETY: the caller keeps the contract.
        unsafe { self.realloc_across(block, layout, new_size) }
    }

    /// Changes the size of a block that is in the file, or will be.
    ///
    /// # Safety
    ///
    /// The duties of the caller are those of [`GlobalAlloc::realloc`].
    unsafe fn realloc_across(&self, block: *mut u8, old: Layout, new_size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(new_size, old.align()) else {
            return ptr::null_mut();
        };
        let ours = self.is_ours(block);
        if ours && self.blocks().is_some_and(Blocks::is_cleared) {
            // A forked child has the address of its parent's block, and not its bytes. Keeping a
            // block that is too long is allowed; moving it is impossible.
            if new_size > old.size() {
                return ptr::null_mut();
            }
            self.smallest.fetch_min(new_size, Relaxed);
            return block;
        }
        if ours && new_size >= self.threshold() {
            // SAFETY: the caller keeps the contract.
            if let Some(resized) = unsafe { self.resize_spilled(block, old, new) } {
                return resized.as_ptr();
            }
        }
        // From one allocator to the other, or out of a file that is full.
        let mut moved = ptr::null_mut();
        if !ours {
            moved = self.spill(new, false);
        }
        if moved.is_null() {
            if !ours {
                // SAFETY: the block came from the inner allocator, with this layout.
                return unsafe { self.inner.realloc(block, old, new_size) };
            }
            if new_size >= self.threshold() {
                self.failures.fetch_add(1, Relaxed);
            }
            // SAFETY: the size is not zero (duty of the caller).
            moved = unsafe { self.inner.alloc(new) };
        }
        if moved.is_null() {
            return moved;
        }
        let kept = old.size().min(new_size);
        // SAFETY: both blocks have that many bytes, and lie apart.
        unsafe { ptr::copy_nonoverlapping(block, moved, kept) };
        // SAFETY: the block has this layout, and the caller gives it up.
        unsafe { self.dealloc_big(block, old) };
        moved
    }

    /// Changes the size of a block in the file.
    ///
    /// # Safety
    ///
    /// The duties of the caller are those of [`GlobalAlloc::realloc`]; the block is in the file.
    unsafe fn resize_spilled(
        &self,
        block: *mut u8,
        old: Layout,
        new: Layout,
    ) -> Option<NonNull<u8>> {
        let _inside = Inside::enter();
        let (blocks, block) = (self.blocks()?, NonNull::new(block)?);
        // SAFETY: the caller keeps the contract.
        let resized = unsafe { blocks.resize(block, old, new, false) };
        self.note_peak();
        resized
    }
}
