//! Remapping large blocks: they move without being copied, since other addresses show their part of
//! the file.
//!
//! The slots of the block and the new slots exchange what they show, so that each slot still shows
//! a part of the file that no other slot shows. Preallocated space stays preallocated, and pages
//! stay in the page cache; only the page tables are filled again, by minor faults.
#![expect(
    unsafe_code,
    reason = "changes what addresses show; see docs/safety.md"
)]

use std::ops::Range;

use crate::exact::{difference, range, sum};
use crate::heap::Blocks;
use crate::heap::arithmetic::ZoneByte;
use crate::sys;
use crate::sys::{Access, Hint};

/// The outcome of moving a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// The block starts there now.
    To(ZoneByte),
    /// The disk is full. The block is unchanged.
    Refused,
    /// There are no free slots, or the system refuses. The block is unchanged.
    Stays,
}

impl Blocks {
    /// Moves the block at `at` to slots that have room for `bytes`, which is more than its present
    /// room, and preallocates the rest of them. The caller owns the block, and nothing uses it.
    pub(super) fn move_to_room(&self, at: ZoneByte, bytes: usize) -> Moved {
        let room = self.slots.room(at);
        let (preallocated, _torn) = self.slots.preallocated(at);
        let Some(to) = self.slots.take(bytes) else {
            return Moved::Stays;
        };
        let (old, new) = (self.offset_of(at), self.offset_of(to));
        let old_row = range(old, room);
        let new_row = range(new, room);
        // All slots of the block move. Behind them, the new slots already show the right parts.
        let inside = sum(old, preallocated)..old_row.end;
        let behind = new_row.end..sum(new, bytes);
        if !self.preallocate(inside.clone()) {
            self.slots.give_back(to);
            return Moved::Refused;
        }
        if !self.preallocate(behind.clone()) {
            self.free_end(at, inside);
            self.slots.give_back(to);
            return Moved::Refused;
        }
        // SAFETY: the new slots were taken for this block, and nothing else knows of them yet.
        if !unsafe { self.show_row(old_row.clone(), new, Access::ReadWrite) } {
            self.free_end(at, inside);
            // SAFETY: as above.
            let as_before = unsafe { self.show_row(new_row, new, Access::Nothing) };
            // Slots that cannot be restored are given up: they are never used again.
            if self.free_space(behind) && as_before {
                self.slots.give_back(to);
            }
            return Moved::Stays;
        }
        self.slots.exchange(at, to);
        // SAFETY: the block is at its new addresses, and nothing uses the old ones (duty of the
        // caller).
        if unsafe { self.show_row(old_row, old, Access::Nothing) } {
            self.slots.give_back(at);
        }
        Moved::To(to)
    }

    /// Frees what was preallocated behind the end of a block, up to the end of its room.
    fn free_end(&self, at: ZoneByte, range: Range<usize>) {
        if !self.free_space(range) {
            self.slots.set_torn(at, true);
            self.slots.set_preallocated(at, self.slots.room(at));
        }
    }

    /// Makes the addresses from `to` on show what belongs to a row of slots; returns whether they
    /// do. On failure they may show parts of it.
    ///
    /// # Safety
    ///
    /// Nothing uses as many bytes from `to` on as the row has, and these are slots of the caller.
    unsafe fn show_row(&self, row: Range<usize>, to: usize, access: Access) -> bool {
        let mut at = row.start;
        while at < row.end {
            let (offset, len) = self.shown(at..row.end);
            let start = sum(to, difference(at, row.start));
            let target = range(start, len);
            let file = self.file.sys();
            let shown = sys::retry(|| {
                // SAFETY: nothing uses the target (duty of the caller); the file lives as long as
                // the space.
                unsafe { self.space.show(target.clone(), file, offset, access) }
            });
            // Advice belongs to a mapping (linux-facts V7), and without it stores here are not safe
            // (invariant 4).
            let advised =
                shown.and_then(|()| sys::retry(|| self.space.advise(target.clone(), Hint::Random)));
            if advised.is_err() {
                return false;
            }
            at = sum(at, len);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::Layout;
    use std::ptr::NonNull;

    use super::*;
    use crate::heap::{ALIGN_MAX, SHARES};
    use crate::io::dir::ScratchDir;
    use crate::io::scratch::ScratchFile;
    use crate::mapping::addresses::Addresses;
    use crate::sys::fault::{Fault, Outcome, arm, disarm};

    const MIB: usize = 1 << 20;

    /// Blocks with limited addresses, half of them for large blocks.
    fn blocks(dir: &ScratchDir, len: usize) -> Blocks {
        let file = ScratchFile::create(dir).unwrap();
        let space = Addresses::exactly(len, SHARES, ALIGN_MAX).unwrap();
        file.set_sparse_len(len as u64).unwrap();
        Blocks::shown_in(space, file).unwrap()
    }

    fn dir() -> ScratchDir {
        let dir = ScratchDir::builder(env!("CARGO_MANIFEST_DIR")).build();
        dir.unwrap()
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, 8).unwrap()
    }

    /// A block, its length, and the byte that it is filled with.
    struct Held {
        at: NonNull<u8>,
        len: usize,
        byte: u8,
    }

    impl Held {
        fn new(blocks: &Blocks, len: usize, byte: u8) -> Self {
            let at = blocks.allocate(layout(len), true).unwrap();
            let held = Self { at, len, byte };
            assert!(is_all(held.bytes(), 0), "not zero");
            // SAFETY: the block has that many bytes.
            unsafe { at.write_bytes(byte, len) };
            held
        }

        fn bytes(&self) -> &[u8] {
            // SAFETY: the block has that many bytes, all of them written or zero.
            unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
        }

        /// Grows to `len` bytes, of which the new ones are zero; returns whether it could.
        fn grow(&mut self, blocks: &Blocks, len: usize) -> bool {
            // SAFETY: the block has this layout, and is used at its new address from now on.
            let grown = unsafe { blocks.resize(self.at, layout(self.len), layout(len), true) };
            if let Some(at) = grown {
                let old = self.len;
                (self.at, self.len) = (at, len);
                let (kept, new) = self.bytes().split_at(old);
                assert!(is_all(kept, self.byte), "other bytes");
                assert!(is_all(new, 0), "not zero");
                // SAFETY: the block has that many bytes.
                unsafe { at.write_bytes(self.byte, len) };
            }
            grown.is_some()
        }

        fn check(&self) {
            assert!(is_all(self.bytes(), self.byte), "other bytes");
        }

        fn free(self, blocks: &Blocks) {
            // SAFETY: the block is not used any more.
            unsafe { blocks.deallocate(self.at) };
        }
    }

    fn is_all(bytes: &[u8], byte: u8) -> bool {
        let page = [byte; 4096];
        bytes
            .chunks(page.len())
            .all(|piece| piece == &page[..piece.len()])
    }

    /// Three blocks of one slot each among 16 slots: at the start, before the middle and behind it.
    /// The first has room for 4 slots, and behind the last there are 7.
    fn neighbours(blocks: &Blocks) -> [Held; 3] {
        let held = [1, 2, 3].map(|byte| Held::new(blocks, 3 * MIB / 2, byte));
        let slots = held.each_ref().map(|held| {
            let at = blocks.offset(held.at) - blocks.zone_b;
            at / (2 * MIB)
        });
        assert_eq!(slots, [0, 8, 4]);
        held
    }

    /// A vector that reached its neighbour was copied: all of it at each doubling, and during the
    /// copy it was on disk twice.
    #[test]
    #[cfg(not(any(miri, memory_backend)))]
    fn a_block_of_gibibytes_that_meets_its_neighbour_is_not_copied() {
        const GIB: usize = 1 << 30;
        // One page of each piece is written.
        const PIECE: usize = 4 * MIB;
        let dir = dir();
        if dir.report().unwrap().free_bytes < 12 * GIB as u64 {
            eprintln!("skipped: less than 12 GiB are free");
            return;
        }
        let blocks = blocks(&dir, 32 * GIB);
        let (mut at, mut len) = (blocks.allocate(layout(2 * MIB), false).unwrap(), 2 * MIB);
        let others = [(); 3].map(|()| blocks.allocate(layout(2 * MIB), false).unwrap());
        // The second is at 8 GiB, the third at 4 and the last at 12. Without the second there is
        // more room behind the third than in front of it.
        // SAFETY: the block is not used any more.
        unsafe { blocks.deallocate(others[0]) };
        let mut moved = 0;
        let stamp = |at: NonNull<u8>, from: usize, to: usize| {
            for piece in (from..to).step_by(PIECE) {
                let piece_at = at.cast::<usize>().as_ptr().wrapping_byte_add(piece);
                // SAFETY: the block has that byte, and pieces start at multiples of a page.
                unsafe { piece_at.write(piece) };
            }
        };
        stamp(at, 0, len);
        while len < 6 * GIB {
            let more = (len * 2).min(6 * GIB);
            // SAFETY: the block has this layout, and is used at its new address from now on.
            let grown = unsafe { blocks.resize(at, layout(len), layout(more), false) };
            let grown = grown.unwrap();
            moved += usize::from(grown != at);
            at = grown;
            stamp(at, len.next_multiple_of(PIECE), more);
            len = more;
            for piece in (0..len).step_by(PIECE) {
                let piece_at = at.cast::<usize>().as_ptr().wrapping_byte_add(piece);
                // SAFETY: as above; the bytes were written.
                assert_eq!(unsafe { piece_at.read() }, piece);
            }
            // A copy would have brought every page into memory.
            let start = blocks.offset(at);
            let resident = blocks.space.resident_bytes(start..start + len).unwrap();
            let touched = (len / PIECE + 1) * sys::page_size();
            assert!(resident <= 2 * touched as u64, "{resident} of {len}");
            let preallocated = blocks.claimed_bytes();
            assert!(
                preallocated <= (len + 8 * MIB) as u64,
                "{preallocated} for {len}"
            );
        }
        assert!(moved > 0, "it never met its neighbour");
        for block in [at, others[1], others[2]] {
            // SAFETY: the block is not used any more.
            unsafe { blocks.deallocate(block) };
        }
        assert_eq!((blocks.claimed_bytes(), dir.used_bytes()), (0, 0));
    }

    #[test]
    #[cfg_attr(miri, ignore = "too few addresses")]
    fn blocks_that_moved_many_times_keep_their_bytes_and_leave_nothing() {
        let dir = dir();
        let blocks = blocks(&dir, 64 * MIB);
        let mut held: Vec<Held> = neighbours(&blocks).into();
        let mut moved = 0;
        for round in 0..60_u8 {
            let index = usize::from(round) % held.len();
            let (mut block, len) = (held.swap_remove(index), held.len());
            let (before, wanted) = (block.at, block.len + 2 * MIB + usize::from(round) * 5000);
            if wanted < 14 * MIB && block.grow(&blocks, wanted) {
                moved += usize::from(block.at != before);
                held.push(block);
            } else {
                block.free(&blocks);
                held.push(Held::new(&blocks, 3 * MIB / 2, round + 10));
            }
            assert_eq!(held.len(), len + 1);
            held.iter().for_each(Held::check);
        }
        assert!(moved > 5, "{moved} moves");
        held.drain(..).for_each(|block| block.free(&blocks));
        assert_eq!((blocks.claimed_bytes(), dir.used_bytes()), (0, 0));
    }

    /// A block that happened to be aligned to 4 MiB was grown for a layout of that alignment,
    /// reached its neighbour, and was moved to an address that was aligned to 2 MiB only.
    #[test]
    #[cfg_attr(miri, ignore = "too few addresses")]
    fn a_block_is_not_grown_for_an_alignment_that_a_move_would_lose() {
        let dir = dir();
        let mut kept = Vec::new();
        for n in 0..40 {
            // One slot more or less, so that bases of both kinds occur.
            let pad = Addresses::exactly((1 + n % 2) * 2 * MIB, 1, ALIGN_MAX).unwrap();
            let blocks = blocks(&dir, 64 * MIB);
            let [first, ..] = neighbours(&blocks);
            let found = first.at.addr().get() % (4 * MIB) == 0;
            if found {
                let new = Layout::from_size_align(11 * MIB, 4 * MIB).unwrap();
                // SAFETY: the block has this layout, and is not used again at its old address.
                let grown = unsafe { blocks.resize(first.at, layout(first.len), new, false) };
                assert_eq!(grown, None);
                first.check();
                return;
            }
            kept.push((pad, blocks));
        }
        panic!("no block is aligned to 4 MiB");
    }

    /// A moved block consists of several parts of the file. When the second part could not be freed
    /// or preallocated, the count had a number that did not match the first part.
    #[test]
    #[cfg_attr(miri, ignore = "too few addresses")]
    fn the_books_have_all_parts_of_a_block_or_none() {
        let (mut torn, mut refused) = (0, 0);
        for after in 0..6 {
            for sticky in [false, true] {
                let dir = dir();
                let blocks = blocks(&dir, 64 * MIB);
                let [mut first, second, third] = neighbours(&blocks);
                assert!(first.grow(&blocks, 9 * MIB), "{after}");
                let others = second.len + third.len;
                let preallocated = || {
                    assert_eq!(blocks.claimed_bytes(), dir.used_bytes());
                    usize::try_from(dir.used_bytes()).unwrap() - others
                };
                assert_eq!(preallocated(), 9 * MIB);
                let fault = |outcome| Fault {
                    after,
                    sticky,
                    outcome,
                };
                arm(fault(Outcome::Errno(5)));
                let (old, new) = (layout(first.len), layout(5 * MIB));
                // SAFETY: the block has this layout.
                let shrunk = unsafe { blocks.resize(first.at, old, new, false) };
                let met = disarm().1;
                assert_eq!(shrunk, Some(first.at));
                first.len = 5 * MIB;
                if preallocated() != first.len {
                    assert_eq!((preallocated(), met > 0), (9 * MIB, true));
                    torn += 1;
                }
                arm(fault(Outcome::Errno(28)));
                let grown = first.grow(&blocks, 11 * MIB);
                let met = disarm().1;
                if !grown {
                    assert!(met > 0, "refused without a fault");
                    refused += 1;
                    assert!(
                        [5 * MIB, 9 * MIB].contains(&preallocated()),
                        "{}",
                        preallocated()
                    );
                    assert!(first.grow(&blocks, 11 * MIB), "{after}");
                }
                assert_eq!(preallocated(), 11 * MIB);
                for held in [first, second, third] {
                    held.check();
                    held.free(&blocks);
                }
                assert_eq!((blocks.claimed_bytes(), dir.used_bytes()), (0, 0));
            }
        }
        assert!(torn > 0 && refused > 0, "{torn}, {refused}");
    }

    /// Whatever call of a move fails, the block is at its old or its new place with all its bytes,
    /// and newly allocated blocks are zero and overlap nothing.
    #[test]
    #[cfg_attr(miri, ignore = "too few addresses")]
    fn a_move_that_fails_leaves_every_block_as_it_was() {
        let (mut calls_most, mut refused, mut given_up) = (0, 0, 0);
        let outcomes = [
            Outcome::Errno(28),
            Outcome::Errno(12),
            Outcome::HalfThenErrno(28),
            Outcome::Errno(4),
        ];
        // The heap backend copies in each round what it would map, which takes seconds.
        let outcomes = &outcomes[..if cfg!(memory_backend) { 1 } else { 4 }];
        for (outcome, sticky) in outcomes
            .iter()
            .flat_map(|outcome| [(*outcome, false), (*outcome, true)])
        {
            // A call that is interrupted every time never ends, by the contract of `retry`.
            for after in 0..if outcome == Outcome::Errno(4) && sticky {
                0
            } else {
                12
            } {
                let dir = dir();
                let blocks = blocks(&dir, 64 * MIB);
                let [mut first, second, third] = neighbours(&blocks);
                assert!(first.grow(&blocks, 5 * MIB + 100), "where it is");
                let (before, other) = (first.at, first.len);
                arm(Fault {
                    after,
                    sticky,
                    outcome,
                });
                let grown = first.grow(&blocks, 9 * MIB);
                let (calls, met) = disarm();
                if !grown {
                    refused += 1;
                    assert!(met > 0, "refused without a fault");
                    assert_eq!((first.at, first.len), (before, other));
                    first.check();
                    assert_eq!(dir.used_bytes(), blocks.claimed_bytes());
                    assert!(first.grow(&blocks, 9 * MIB), "{outcome:?}, {after}");
                }
                assert!(first.at != before, "there was no room");
                if met == 0 {
                    calls_most = calls_most.max(calls);
                }
                // All slots that are left, each once.
                let mut rest = Vec::new();
                loop {
                    let held = Held::new(&blocks, 3 * MIB / 2, 100);
                    let is_large = blocks.offset(held.at) >= blocks.zone_b;
                    rest.push(held);
                    if !is_large {
                        break;
                    }
                }
                // The three blocks have seven of the 16.
                given_up += 10 - rest.len();
                for held in [&first, &second, &third].into_iter().chain(&rest) {
                    held.check();
                }
                for held in [first, second, third].into_iter().chain(rest) {
                    held.free(&blocks);
                }
                drop(blocks);
                assert_eq!(dir.used_bytes(), 0, "{outcome:?}, {after}");
            }
        }
        assert!((6..12).contains(&calls_most), "{calls_most} calls");
        assert!(refused > 0 && given_up > 0, "{refused}, {given_up}");
    }
}
