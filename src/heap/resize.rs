//! Changing the size of a block: in place where possible, so that nothing is copied.
//!
//! Copied are a small block that gets another size class, and a block that outgrows its place in
//! zone A. That is at most 1 MiB, except where thousands of large blocks leave no slots for more.
#![expect(unsafe_code, reason = "zeroes and copies blocks; see docs/safety.md")]

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use crate::bug::without_unwinding;
use crate::exact::{range, sum};
use crate::heap::arithmetic::ZoneByte;
use crate::heap::classes::class_of;
use crate::heap::remap::Moved;
use crate::heap::table::{Kind, UNIT_BYTES};
use crate::heap::{
    ALIGN_MAX, Blocks, Place, WHOLE_BYTES_MAX, preallocated_of, set_preallocated_pages,
};
use crate::mapping::growth::page_up;
use crate::sys;

/// The outcome of changing the size of a block without copying it.
#[derive(Clone, Copy, Debug)]
enum Resized {
    /// The block starts there. The given number of bytes from its start may have been used before;
    /// those behind are zero.
    At(NonNull<u8>, usize),
    /// The disk is full.
    Refused,
    /// The block has to be copied.
    Copied,
}

/// The outcome of freeing or preallocating the end of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SpaceChange {
    Done,
    /// The end could not be freed: it may be partly missing, and the rest not zero. All of it stays
    /// counted.
    Torn,
    /// The disk is full.
    Refused,
}

impl Blocks {
    /// Changes the size of a block, in place if possible, and returns its address. On failure the
    /// block is unchanged.
    ///
    /// The bytes up to the smaller of both sizes are kept; with `zeroed`, those behind the old size
    /// are zero.
    ///
    /// # Safety
    ///
    /// The block was handed out by this object for `old` and not freed since; nothing uses it
    /// during the call, or uses its old address afterwards. The new size is not zero.
    pub(crate) unsafe fn resize(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
        zeroed: bool,
    ) -> Option<NonNull<u8>> {
        // SAFETY: the caller keeps the same contract.
        without_unwinding(|| unsafe { self.resize_block(block, old, new, zeroed) })
    }

    /// # Safety
    ///
    /// The duties of the caller are those of [`resize`](Self::resize).
    unsafe fn resize_block(
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
        // A block that moves is aligned as slots are, and no further.
        let resized = if aligned && new.align() <= ALIGN_MAX {
            self.resize_in_file(block, old, new)
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
            // Keeping a longer block is no failure.
            return (aligned && new.size() <= old.size()).then_some(block);
        };
        let kept = old.size().min(new.size());
        // SAFETY: both blocks have at least `kept` bytes and lie apart.
        unsafe { ptr::copy_nonoverlapping(block.as_ptr(), moved.as_ptr(), kept) };
        // SAFETY: the caller gives the old block up.
        unsafe { self.deallocate(block) };
        Some(moved)
    }

    /// Changes the size of a block, if that is possible without a copy.
    ///
    /// The caller owns the block, so no other thread changes its state, and nothing uses it.
    fn resize_in_file(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Resized {
        let offset = self.offset(block);
        let (Some(bytes), Some(place)) =
            (page_up(new.size(), sys::page_size()), self.place(offset))
        else {
            return Resized::Copied;
        };
        let small = class_of(new);
        let grows = old.size() < new.size();
        match place {
            Place::Small(_, unit) if small == Some(usize::from(unit.order())) => {
                Resized::At(block, usize::MAX)
            }
            Place::Whole(_, unit) if small.is_none() && bytes <= UNIT_BYTES << unit.order() => {
                let preallocated = preallocated_of(unit);
                if grows && unit.kind() == Kind::Torn {
                    if !self.preallocate_again(range(offset, preallocated)) {
                        return Resized::Refused;
                    }
                    unit.set_kind(Kind::Whole);
                }
                match self.change_space(offset, preallocated, bytes) {
                    SpaceChange::Refused => return Resized::Refused,
                    SpaceChange::Torn => unit.set_kind(Kind::Torn),
                    SpaceChange::Done => set_preallocated_pages(unit, bytes),
                }
                Resized::At(block, preallocated)
            }
            Place::Large(at) if bytes > WHOLE_BYTES_MAX => self.resize_large(at, bytes, grows),
            Place::Small(..) | Place::Whole(..) | Place::Large(_) => Resized::Copied,
        }
    }

    fn resize_large(&self, mut at: ZoneByte, bytes: usize, grows: bool) -> Resized {
        let (preallocated, torn) = self.slots.preallocated(at);
        let offset = self.offset_of(at);
        if grows && torn {
            if !self.preallocate_again(range(offset, preallocated)) {
                return Resized::Refused;
            }
            self.slots.set_torn(at, false);
        }
        let has_room = self.slots.make_room(at, bytes);
        let mut kept = bytes;
        if has_room {
            kept = self.fold_end(at, preallocated, bytes);
            match self.change_space(offset, preallocated, kept) {
                SpaceChange::Refused => return Resized::Refused,
                SpaceChange::Torn => {
                    self.slots.set_torn(at, true);
                    kept = preallocated;
                }
                SpaceChange::Done => {}
            }
        } else {
            match self.move_to_room(at, bytes) {
                Moved::To(elsewhere) => at = elsewhere,
                Moved::Refused => return Resized::Refused,
                Moved::Stays => return Resized::Copied,
            }
        }
        let offset = self.offset_of(at);
        self.slots.set_preallocated(at, kept);
        if kept > preallocated {
            self.fold(at, range(offset, kept));
        }
        Resized::At(self.address(offset), preallocated)
    }

    /// Preallocates or frees the end of a block of `from` bytes at `offset`, so that it has `to`.
    fn change_space(&self, offset: usize, from: usize, to: usize) -> SpaceChange {
        let (old_end, new_end) = (sum(offset, from), sum(offset, to));
        if old_end < new_end {
            if self.preallocate(old_end..new_end) {
                SpaceChange::Done
            } else {
                SpaceChange::Refused
            }
        } else if self.free_space(new_end..old_end) {
            SpaceChange::Done
        } else {
            SpaceChange::Torn
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::dir::ScratchDir;
    use crate::io::scratch::ScratchFile;
    use crate::sys::fault::{Fault, Outcome, arm, disarm};

    const EIO: i32 = 5;

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, 8).unwrap()
    }

    /// An end that could not be freed was counted a second time when the block grew again, and
    /// freed only once with the block: the budget of the directory was smaller for as long as the
    /// file existed.
    #[test]
    fn a_block_whose_end_could_not_be_given_back_is_preallocated_once() {
        const MIB: usize = 1 << 20;
        let sizes = [
            [200 << 10, 100 << 10, 180 << 10],
            [200 << 10, 100 << 10, 252 << 10],
            [3 * MIB, 3 * MIB / 2, 2 * MIB],
            [3 * MIB, 3 * MIB / 2, 4 * MIB],
        ];
        for [long, short, longer] in sizes {
            let dir = ScratchDir::new(env!("CARGO_MANIFEST_DIR")).unwrap();
            let blocks = Blocks::over(ScratchFile::create(&dir).unwrap()).unwrap();
            // Whole pages are preallocated.
            let claim = |bytes: usize| bytes.next_multiple_of(sys::page_size()) as u64;
            let preallocated = || {
                assert_eq!(blocks.claimed_bytes(), dir.used_bytes());
                blocks.claimed_bytes()
            };
            let at = blocks.allocate(layout(long), false).unwrap();
            // SAFETY: the block has that many bytes.
            unsafe { at.write_bytes(7, long) };
            arm(Fault {
                after: 0,
                sticky: true,
                outcome: Outcome::Errno(EIO),
            });
            // SAFETY: the block has this layout, and keeps its address.
            let shrunk = unsafe { blocks.resize(at, layout(long), layout(short), false) };
            assert!(disarm().1 > 0, "no fault was met");
            assert_eq!((shrunk, preallocated()), (Some(at), claim(long)));
            // SAFETY: as above.
            let grown = unsafe { blocks.resize(at, layout(short), layout(longer), true) };
            assert_eq!((grown, preallocated()), (Some(at), claim(longer)));
            // SAFETY: the block has that many bytes, all of them written or zero.
            let bytes = unsafe { std::slice::from_raw_parts(at.as_ptr(), longer) };
            let (kept, new) = bytes.split_at(short);
            assert!(kept.iter().all(|byte| *byte == 7), "other bytes");
            assert!(new.iter().all(|byte| *byte == 0), "not zero");
            let on_disk = blocks.file.sys().disk_bytes().unwrap();
            assert!(on_disk >= longer as u64, "a hole is left");
            // SAFETY: the block is not used any more.
            unsafe { blocks.deallocate(at) };
            assert_eq!(preallocated(), 0);
            assert_eq!(blocks.allocate(layout(long), false), Some(at), "out of use");
        }
    }
}
