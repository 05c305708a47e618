//! The bytes of a small region: a block of plain memory, as `Vec` has it.
#![expect(
    unsafe_code,
    reason = "allocates and frees a block; see docs/safety.md"
)]

use std::alloc::{self, Layout};
use std::io;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use crate::bug::bug;
use crate::error::Result;
use crate::exact::sum;
use crate::io::refusal::Refusal;
use crate::mapping::growth::WINDOW_BYTES_MIN;
use crate::mapping::region::{Kind, out_of_memory};

/// The first block: four elements of eight bytes, as `Vec` makes it.
const BLOCK_BYTES_MIN: usize = 32;

/// A block of memory.
#[derive(Debug)]
pub(super) struct Plain {
    /// # Invariants
    ///
    /// 1. Unless `len` is 0, `start` is an allocation of the global allocator, of `len` bytes at the
    ///    alignment of `kind`, and nothing else frees it.
    start: NonNull<u8>,
    len: usize,
    pub(super) kind: Kind,
}

// SAFETY: the block belongs to this value alone (invariant 1), and the global allocator frees it from
// any thread.
unsafe impl Send for Plain {}
// SAFETY: `&Plain` hands out an address, never a reference.
unsafe impl Sync for Plain {}

impl Plain {
    /// Makes one without a block.
    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            start: NonNull::dangling(),
            len: 0,
            kind,
        }
    }

    /// Makes one of these bytes, and no others.
    pub(super) fn with_bytes(kind: Kind, bytes: &[MaybeUninit<u8>]) -> Result<Self, Refusal> {
        let mut plain = Self::new(kind);
        if !bytes.is_empty() {
            plain.resize(bytes.len())?;
            let to = plain.start.as_ptr().cast();
            // SAFETY: the block is that long, and new.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        }
        Ok(plain)
    }

    /// Returns the address of the first byte, or `None` while there is no block.
    pub(super) fn start(&self) -> Option<NonNull<u8>> {
        (self.len > 0).then_some(self.start)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns whether `need` bytes, at most a window, should stay here, of which `used` from `head`
    /// are in use: not a queue that would move in a full block for each few bytes.
    pub(super) fn can_hold(&self, head: usize, used: usize) -> bool {
        head == 0 || used <= head || self.len < WINDOW_BYTES_MIN
    }

    /// Makes room for `need` bytes, of which `used` from `head` are in use; those are at the start
    /// afterwards, also after a failure. They move.
    ///
    /// The block gets twice as long but no longer than a window, or just long enough if `exact`.
    pub(super) fn grow(
        &mut self,
        head: usize,
        used: usize,
        need: usize,
        exact: bool,
    ) -> Result<(), Refusal> {
        debug_assert!(sum(head, used) <= self.len);
        if head > 0 {
            let from = self.start.as_ptr().wrapping_add(head);
            // SAFETY: both are parts of the block.
            unsafe { ptr::copy(from, self.start.as_ptr(), used) };
        }
        // As many bytes were skipped as have moved, so they move once for each that is added.
        if need <= self.len && used <= head {
            return Ok(());
        }
        let twice = self.len.saturating_mul(2).max(BLOCK_BYTES_MIN);
        let ample = if exact {
            0
        } else {
            twice.min(WINDOW_BYTES_MIN)
        };
        self.resize(ample.max(need).max(self.len))
    }

    /// Gives the block this length, which is not 0. The bytes that fit into it stay as they are, at
    /// another address; after a failure all do.
    fn resize(&mut self, len: usize) -> Result<(), Refusal> {
        debug_assert!(len > 0);
        let new = self.layout(len);
        let made = if self.len == 0 {
            // SAFETY: the length is not 0.
            unsafe { alloc::alloc(new) }
        } else {
            let old = self.layout(self.len);
            // SAFETY: the block has this layout (invariant 1), and the new length is one of a layout.
            unsafe { alloc::realloc(self.start.as_ptr(), old, len) }
        };
        let refused = || out_of_memory(&io::ErrorKind::OutOfMemory.into());
        self.start = NonNull::new(made).ok_or_else(refused)?;
        self.len = len;
        Ok(())
    }

    /// Returns the layout of a block, which is at most a window long, or as long as one that there is.
    fn layout(&self, len: usize) -> Layout {
        let layout = Layout::from_size_align(len, self.kind.align());
        layout.unwrap_or_else(|_long| bug!("a block of {len} bytes"))
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        if let Some(start) = self.start() {
            // SAFETY: the block has this layout, and nothing else frees it (invariant 1).
            unsafe { alloc::dealloc(start.as_ptr(), self.layout(self.len)) };
        }
    }
}
