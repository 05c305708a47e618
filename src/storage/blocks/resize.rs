//! Changing the size of a block: in its place if that can be, so that nothing is copied.
//!
//! Copied is what gets another size of a small block, or grows out of its place in zone A. That is
//! at most 1 MiB, but where there are thousands of large blocks and no slots for more.
#![expect(unsafe_code, reason = "zeroes and copies blocks; see docs/safety.md")]

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use crate::storage::blocks::classes::class_of;
use crate::storage::blocks::moves::Moved;
use crate::storage::blocks::table::{Kind, UNIT_BYTES};
use crate::storage::blocks::{
    ALIGN_MAX, Blocks, Place, WHOLE_BYTES_MAX, claimed_of, set_claimed_pages,
};
use crate::storage::growth::page_up;
use crate::sys;

/// How changing the size of a block without copying it went.
#[derive(Clone, Copy, Debug)]
enum Resized {
    /// It starts there. This many bytes from its start may have been used before; those behind are
    /// zero.
    At(NonNull<u8>, usize),
    /// There is no space on disk.
    Refused,
    /// It has to be copied.
    Copied,
}

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
        // A block that moves is aligned as slots are, and no more.
        let resized = if aligned && new.align() <= ALIGN_MAX {
            self.resize_in_file(block, new)
        } else {
            Resized::Copied
        };
        match resized {
            Resized::At(block, used_before) => {
                if zeroed && old.size() < new.size() {
                    let dirty = used_before.min(new.size()).saturating_sub(old.size());
                    let rest = block.as_ptr().wrapping_add(old.size());
                    // SAFETY: the bytes lie in the block, which the caller lets us use.
                    unsafe { rest.write_bytes(0, dirty) };
                }
                return Some(block);
            }
            Resized::Refused => return None,
            Resized::Copied => {}
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

    /// Changes the size of a block, if that can be done without copying it.
    ///
    /// The caller has the block, so nobody else changes what is known of it, and nobody uses it.
    fn resize_in_file(&self, block: NonNull<u8>, new: Layout) -> Resized {
        let offset = self.offset(block);
        let (Some(bytes), Some(place)) =
            (page_up(new.size(), sys::page_size()), self.place(offset))
        else {
            return Resized::Copied;
        };
        let small = class_of(new);
        match place {
            Place::Small(_, unit) if small == Some(usize::from(unit.order())) => {
                Resized::At(block, usize::MAX)
            }
            Place::Whole(_, unit) if small.is_none() && bytes <= UNIT_BYTES << unit.order() => {
                let claimed = claimed_of(unit);
                match self.reclaim(offset, claimed, bytes) {
                    Reclaimed::Refused => return Resized::Refused,
                    Reclaimed::Torn => unit.set_kind(Kind::Torn),
                    Reclaimed::Done => {}
                }
                set_claimed_pages(unit, bytes);
                let torn = unit.kind() == Kind::Torn;
                Resized::At(block, if torn { usize::MAX } else { claimed })
            }
            Place::Large(at) if bytes > WHOLE_BYTES_MAX => self.resize_large(at, bytes),
            Place::Small(..) | Place::Whole(..) | Place::Large(_) => Resized::Copied,
        }
    }

    fn resize_large(&self, mut at: usize, bytes: usize) -> Resized {
        let mut ranges = self.lock();
        let (claimed, mut torn) = ranges.slots.claimed(at);
        let has_room = ranges.slots.make_room(at, bytes);
        drop(ranges);
        let mut kept = bytes;
        if has_room {
            let offset = self.zone_b.saturating_add(at);
            kept = self.fold_end(at, offset, claimed, bytes);
            match self.reclaim(offset, claimed, kept) {
                Reclaimed::Refused => return Resized::Refused,
                Reclaimed::Torn => {
                    torn = true;
                    self.lock().slots.set_torn(at);
                }
                Reclaimed::Done => {}
            }
        } else {
            match self.move_to_room(at, bytes) {
                Moved::To(elsewhere) => at = elsewhere,
                Moved::Refused => return Resized::Refused,
                Moved::Stays => return Resized::Copied,
            }
        }
        let offset = self.zone_b.saturating_add(at);
        self.lock().slots.set_claimed(at, kept);
        if kept > claimed {
            self.fold(at, offset..offset.saturating_add(kept));
        }
        Resized::At(
            self.address(offset),
            if torn { usize::MAX } else { claimed },
        )
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
