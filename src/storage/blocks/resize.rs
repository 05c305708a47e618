//! Changing the size of a block: in its place if that can be, so that nothing is copied.
#![expect(unsafe_code, reason = "zeroes and copies blocks; see docs/safety.md")]

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use crate::storage::blocks::classes::class_of;
use crate::storage::blocks::table::{Kind, UNIT_BYTES};
use crate::storage::blocks::{Blocks, Place, WHOLE_BYTES_MAX, claimed_of, set_claimed_pages};
use crate::storage::growth::page_up;
use crate::sys;

/// How giving up or claiming the end of a block went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reclaimed {
    Done,
    /// What was to be given back could not be: it may be half gone, and the rest not zero.
    Torn,
    /// There is no space on disk.
    Refused,
}

impl Blocks {
    /// Changes the size of a block, where it is if that can be, and returns where it is then. On
    /// failure the block is as it was.
    ///
    /// The bytes up to the smaller of both sizes are kept; with `zeroed`, those behind the old size
    /// are zero.
    ///
    /// # Safety
    ///
    /// The block was handed out by this for `old` and not taken back since; nobody uses it during
    /// the call, or uses its old address afterwards. The new size is not zero.
    pub(crate) unsafe fn resize(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
        zeroed: bool,
    ) -> Option<NonNull<u8>> {
        if !self.is_owner() {
            return None;
        }
        let aligned = block.addr().get() & new.align().wrapping_sub(1) == 0;
        let resized = aligned.then(|| self.resize_in_place(block, new)).flatten();
        if let Some(used_before) = resized {
            if zeroed && old.size() < new.size() {
                let dirty = used_before.min(new.size()).saturating_sub(old.size());
                let rest = block.as_ptr().wrapping_add(old.size());
                // SAFETY: the bytes lie in the block, which the caller lets us use.
                unsafe { rest.write_bytes(0, dirty) };
            }
            return Some(block);
        }
        let Some(moved) = self.allocate(new, zeroed) else {
            // To keep a longer block is no failure.
            return (aligned && new.size() <= old.size()).then_some(block);
        };
        let kept = old.size().min(new.size());
        // SAFETY: both blocks have at least `kept` bytes and lie apart.
        unsafe { ptr::copy_nonoverlapping(block.as_ptr(), moved.as_ptr(), kept) };
        // SAFETY: the caller gives the old block up.
        unsafe { self.deallocate(block) };
        Some(moved)
    }

    /// Changes the size of a block without moving it, if that can be done. Returns how many bytes
    /// from its start may have been used before; those behind are zero.
    ///
    /// The caller has the block, so nobody else changes what is known of it.
    fn resize_in_place(&self, block: NonNull<u8>, new: Layout) -> Option<usize> {
        let offset = self.offset(block);
        let bytes = page_up(new.size(), sys::page_size())?;
        let small = class_of(new);
        match self.place(offset)? {
            Place::Small(_, unit) => (small? == usize::from(unit.order())).then_some(usize::MAX),
            Place::Whole(_, unit) => {
                if small.is_some() || bytes > UNIT_BYTES << unit.order() {
                    return None;
                }
                let claimed = claimed_of(unit);
                match self.reclaim(offset, claimed, bytes) {
                    Reclaimed::Refused => return None,
                    Reclaimed::Torn => unit.set_kind(Kind::Torn),
                    Reclaimed::Done => {}
                }
                set_claimed_pages(unit, bytes);
                let torn = unit.kind() == Kind::Torn;
                Some(if torn { usize::MAX } else { claimed })
            }
            Place::Large(at) => {
                if bytes <= WHOLE_BYTES_MAX {
                    return None;
                }
                let mut ranges = self.lock();
                let (claimed, mut torn) = ranges.slots.claimed(at);
                if !ranges.slots.make_room(at, bytes) {
                    return None;
                }
                drop(ranges);
                let bytes = self.fold_end(at, offset, claimed, bytes);
                match self.reclaim(offset, claimed, bytes) {
                    Reclaimed::Refused => return None,
                    Reclaimed::Torn => {
                        torn = true;
                        self.lock().slots.set_torn(at);
                    }
                    Reclaimed::Done => {}
                }
                self.lock().slots.set_claimed(at, bytes);
                if bytes > claimed {
                    self.fold(at, offset..offset.saturating_add(bytes));
                }
                Some(if torn { usize::MAX } else { claimed })
            }
        }
    }

    /// Claims or gives back what a block of `from` bytes at `offset` needs to have `to`.
    fn reclaim(&self, offset: usize, from: usize, to: usize) -> Reclaimed {
        let (old_end, new_end) = (offset.saturating_add(from), offset.saturating_add(to));
        if old_end < new_end {
            if self.claim(old_end..new_end) {
                Reclaimed::Done
            } else {
                Reclaimed::Refused
            }
        } else if self.unclaim(new_end..old_end) {
            Reclaimed::Done
        } else {
            Reclaimed::Torn
        }
    }
}
