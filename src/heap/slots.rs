//! The slots of zone B: a large block has one, or several in a row, and grows inside them.
//!
//! Each slot of addresses shows a slot of the file, at first the one with the same number. A block
//! that reaches its neighbour is remapped to other slots, and the two rows exchange what they show:
//! the bytes stay where they are in the file, and nothing is copied. [`Slots::shown`] returns what
//! an address shows.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bug::bug;
use crate::exact::{difference, narrow, product, range, sum};
use crate::heap::arithmetic::ZoneByte;
use crate::heap::table::{Slot, Table};
use crate::sys::FOLD_BYTES;

/// The largest number of slots. Shorter zones have fewer, of 2 MiB each, so that the distance
/// between two rows that exchange what they show is still a multiple of a fold.
const SLOTS_MAX: usize = 8192;

/// Where slots are longer than this, the second half of them is reserved for blocks longer than
/// this. Otherwise thousands of blocks that hardly grow could leave no slot for one that does.
const SPARED_BYTES: usize = 32 << 20;

/// Bits of a word.
const WORD_BITS: usize = 64;

/// Which slots are taken, and the state of each. Makes no system calls.
///
/// The entry of a taken slot belongs to the owner of the block there: only the owner reads or
/// changes it, without the lock. A slot changes its owner by [`give_back`](Self::give_back) and
/// then [`take`](Self::take) or [`make_room`](Self::make_room), which take the lock, so the next
/// owner sees what the last one wrote.
#[derive(Debug)]
pub(super) struct Slots {
    /// One entry for each slot, all usable.
    table: Table<Slot>,
    taken: Mutex<Taken>,
    count: usize,
    /// Bytes of a slot.
    slot_bytes: usize,
    /// Whether some slot may show a part of the file with another number.
    is_mixed: AtomicBool,
}

/// Which slots are taken.
#[derive(Debug)]
struct Taken {
    /// A bit for each slot.
    bits: [u64; SLOTS_MAX / WORD_BITS],
    /// How many of them are set.
    count: usize,
    /// How many slots there are.
    slots: usize,
}

/// Flag of a block: some preallocated bytes may be missing, behind the bytes in use.
const TORN: u8 = 1;

/// Flag of a block: parts of it may be loaded in huge pages.
const FOLDED: u8 = 2;

impl Taken {
    fn widest_gap(&self) -> Range<usize> {
        let (mut widest, mut at) = (0..0, 0);
        while at < self.slots {
            let start = self.next(at, false);
            at = self.next(start, true);
            if difference(at, start) > widest.len() {
                widest = start..at;
            }
        }
        widest
    }

    /// Returns the first slot from `at` on that is taken (or free, for `taken` = false).
    fn next(&self, mut at: usize, taken: bool) -> usize {
        while let Some(word) = self.bits.get(at / WORD_BITS) {
            let rest = if taken { *word } else { !*word } >> (at % WORD_BITS);
            if rest != 0 {
                return sum(at, narrow(rest.trailing_zeros())).min(self.slots);
            }
            at = product(sum(at / WORD_BITS, 1), WORD_BITS);
        }
        self.slots
    }

    /// Marks slots as taken or as free; they were the other before.
    fn mark(&mut self, row: Range<usize>, taken: bool) {
        let len = row.len();
        for slot in row {
            let Some(word) = self.bits.get_mut(slot / WORD_BITS) else {
                bug!("slot {slot} of {}", self.slots);
            };
            let bit = 1 << (slot % WORD_BITS);
            *word = if taken { *word | bit } else { *word & !bit };
        }
        self.count = if taken {
            sum(self.count, len)
        } else {
            difference(self.count, len)
        };
    }
}

impl Slots {
    /// Creates the slots of a zone of `zone_bytes`, a power of two and at least 2 MiB.
    pub(super) fn over(zone_bytes: usize) -> io::Result<Self> {
        let slot_bytes = (zone_bytes / SLOTS_MAX).max(FOLD_BYTES);
        let count = zone_bytes.checked_div(slot_bytes);
        let count = count.unwrap_or_else(|| bug!("slots without bytes"));
        let table = Table::reserve(count)?;
        table.grow(count)?;
        Ok(Self {
            table,
            taken: Mutex::new(Taken {
                bits: [0; SLOTS_MAX / WORD_BITS],
                count: 0,
                slots: count,
            }),
            count,
            slot_bytes,
            is_mixed: AtomicBool::new(false),
        })
    }

    /// Takes as many adjacent slots as `bytes` need, and returns the first byte of them. Returns
    /// `None` if there are not enough, or they are reserved for longer blocks.
    ///
    /// Takes the middle of the widest gap, so that the block before it and the new one can both
    /// grow for a long time.
    pub(super) fn take(&self, bytes: usize) -> Option<ZoneByte> {
        let count = self.count_for(bytes);
        let short_count = u16::try_from(count).ok()?;
        let mut taken = self.lock();
        let is_spared = taken.count >= self.count / 2 && self.slot_bytes > SPARED_BYTES;
        if is_spared && bytes <= SPARED_BYTES {
            return None;
        }
        let gap = taken.widest_gap();
        let spare = gap.len().checked_sub(count)?;
        let before = if gap.start == 0 { 0 } else { spare / 2 };
        let start = sum(gap.start, before);
        taken.mark(range(start, count), true);
        drop(taken);
        self.slot(start).set_count(short_count);
        Some(ZoneByte(product(start, self.slot_bytes)))
    }

    /// Frees the slots of the block that starts at byte `at`, none of whose bytes is preallocated.
    pub(super) fn give_back(&self, at: ZoneByte) {
        let start = self.number(at);
        let slot = self.slot(start);
        let count = usize::from(slot.count());
        slot.set_count(0);
        slot.set_preallocated(0);
        slot.set_flags(0);
        self.lock().mark(range(start, count), false);
    }

    /// Extends the room of the block at byte `at` to `bytes`, by taking the slots behind it if they
    /// are free; returns whether the block has the room.
    pub(super) fn make_room(&self, at: ZoneByte, bytes: usize) -> bool {
        let start = self.number(at);
        let slot = self.slot(start);
        let (had, count) = (usize::from(slot.count()), self.count_for(bytes));
        if count <= had {
            return true;
        }
        let more = sum(start, had)..sum(start, count);
        let Ok(short_count) = u16::try_from(count) else {
            return false;
        };
        let mut taken = self.lock();
        if more.end > self.count || taken.next(more.start, true) < more.end {
            return false;
        }
        taken.mark(more, true);
        drop(taken);
        slot.set_count(short_count);
        true
    }

    /// Returns the room of the block at byte `at`, in bytes.
    pub(super) fn room(&self, at: ZoneByte) -> usize {
        let slot = self.slot(self.number(at));
        product(usize::from(slot.count()), self.slot_bytes)
    }

    /// Returns the byte of the file's zone B that is shown at byte `at`, and the number of bytes,
    /// up to `len`, that are shown without a break from there.
    pub(super) fn shown(&self, at: ZoneByte, len: usize) -> (ZoneByte, usize) {
        if !self.is_mixed.load(Relaxed) {
            return (at, len);
        }
        let first = self.number(at);
        let within = difference(at.0, product(first, self.slot_bytes));
        let home = self.home(first);
        let mut slots = 1_usize;
        let mut run = difference(self.slot_bytes, within);
        while run < len && self.home(sum(first, slots)) == sum(home, slots) {
            slots = sum(slots, 1);
            run = sum(run, self.slot_bytes);
        }
        let from = sum(product(home, self.slot_bytes), within);
        (ZoneByte(from), run.min(len))
    }

    /// Returns the slot of the file that a slot of addresses shows.
    fn home(&self, number: usize) -> usize {
        number ^ usize::from(self.slot(number).away())
    }

    /// Exchanges what the slots of the block at byte `from` show with what as many slots from byte
    /// `to` on show, and moves the state of the block to `to`, where room was taken for it.
    pub(super) fn exchange(&self, from: ZoneByte, to: ZoneByte) {
        let (left, right) = (self.number(from), self.number(to));
        self.is_mixed.store(true, Relaxed);
        let count = self.slot(left).count();
        for step in 0..usize::from(count) {
            let (left, right) = (sum(left, step), sum(right, step));
            let (at_left, at_right) = (self.home(left), self.home(right));
            for (number, home) in [(left, at_right), (right, at_left)] {
                self.slot(number).set_away(narrow(number ^ home));
            }
        }
        let (left, right) = (self.slot(left), self.slot(right));
        right.set_preallocated(left.preallocated());
        right.set_flags(left.flags());
        left.set_preallocated(0);
        left.set_flags(0);
    }

    /// Returns the number of preallocated bytes of the block at byte `at`, and whether it is torn:
    /// then some of them may be missing, behind the bytes in use.
    pub(super) fn preallocated(&self, at: ZoneByte) -> (usize, bool) {
        let slot = self.slot(self.number(at));
        (slot.preallocated(), slot.flags() & TORN != 0)
    }

    pub(super) fn set_preallocated(&self, at: ZoneByte, bytes: usize) {
        self.slot(self.number(at)).set_preallocated(bytes);
    }

    pub(super) fn set_torn(&self, at: ZoneByte, torn: bool) {
        self.set_flag(at, TORN, torn);
    }

    pub(super) fn is_folded(&self, at: ZoneByte) -> bool {
        self.slot(self.number(at)).flags() & FOLDED != 0
    }

    pub(super) fn set_folded(&self, at: ZoneByte, folded: bool) {
        self.set_flag(at, FOLDED, folded);
    }

    fn set_flag(&self, at: ZoneByte, flag: u8, is_set: bool) {
        let slot = self.slot(self.number(at));
        let others = slot.flags() & !flag;
        slot.set_flags(if is_set { others | flag } else { others });
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, number: usize) -> &Slot {
        let slot = self.table.entries().get(number);
        slot.unwrap_or_else(|| bug!("slot {number} of {}", self.count))
    }

    /// Returns the number of the slot of a byte.
    fn number(&self, at: ZoneByte) -> usize {
        let number = at.0.checked_div(self.slot_bytes);
        number.unwrap_or_else(|| bug!("slots without bytes"))
    }

    fn count_for(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.slot_bytes).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot of the largest zone.
    const LONG: usize = 512 << 20;

    #[test]
    fn blocks_get_rows_of_free_slots_and_grow_into_free_ones() {
        let slots = Slots::over(SLOTS_MAX * LONG).unwrap();
        let (a, b) = (
            slots.take(1).unwrap(),
            slots.take(2 * LONG + LONG / 2).unwrap(),
        );
        assert_eq!((a.0, b.0), (0, (1 + (SLOTS_MAX - 1 - 3) / 2) * LONG));
        assert!(slots.make_room(a, b.0), "up to the next block it is free");
        assert!(!slots.make_room(a, b.0 + 1));
        assert_eq!(slots.room(a), b.0);
        let end = SLOTS_MAX * LONG;
        assert!(slots.make_room(b, end - b.0), "to the end");
        assert!(!slots.make_room(b, end - b.0 + 1));
        assert_eq!(slots.take(LONG), None);
        slots.give_back(a);
        assert_eq!(slots.take(b.0 + 1), None);
        assert_eq!(slots.take(b.0), Some(ZoneByte(0)));
    }

    /// Two vectors that grew side by side were copied as soon as one filled its slot.
    #[test]
    fn many_blocks_have_room_to_grow() {
        let slots = Slots::over(SLOTS_MAX * LONG).unwrap();
        let blocks: Vec<_> = (0..64).map(|_| slots.take(LONG).unwrap()).collect();
        for at in blocks {
            assert!(slots.make_room(at, LONG * (SLOTS_MAX / 64 / 2)), "{at:?}");
        }
    }

    #[test]
    fn what_passes_the_zone_is_refused() {
        for slot in [LONG, FOLD_BYTES] {
            let slots = Slots::over(SLOTS_MAX * slot).unwrap();
            assert_eq!(slots.take(slot * SLOTS_MAX + 1), None);
            assert_eq!(slots.take(usize::MAX), None);
            let all = ZoneByte(0);
            assert_eq!(slots.take(slot * SLOTS_MAX), Some(all));
            assert!(!slots.make_room(all, slot * SLOTS_MAX + 1));
            assert!(!slots.make_room(all, usize::MAX));
            assert_eq!(slots.take(slot), None);
        }
        let few = Slots::over(5 * FOLD_BYTES).unwrap();
        let taken: Vec<_> = (0..6).filter_map(|_| few.take(1)).collect();
        assert_eq!(taken.len(), 5, "none behind the end");
    }

    /// A vector that grew was copied at each doubling, because thousands of buffers that did not
    /// grow had all the slots.
    #[test]
    fn blocks_that_need_little_room_leave_slots_for_others() {
        let slots = Slots::over(SLOTS_MAX * LONG).unwrap();
        let modest: Vec<_> = (0..SLOTS_MAX).filter_map(|_| slots.take(2 << 20)).collect();
        assert_eq!(modest.len(), SLOTS_MAX / 2);
        assert!(slots.take(SPARED_BYTES + 1).is_some());
        slots.give_back(modest[7]);
        assert_eq!(slots.take(2 << 20), None);
        slots.give_back(modest[8]);
        assert!(slots.take(2 << 20).is_some());
        // Short slots are not reserved.
        let slots = Slots::over(SLOTS_MAX * SPARED_BYTES).unwrap();
        let modest = (0..SLOTS_MAX).filter_map(|_| slots.take(2 << 20));
        assert_eq!(modest.count(), SLOTS_MAX);
    }

    /// Rows are shown in one piece, whether they moved or not.
    #[test]
    fn what_is_in_one_piece_is_shown_in_one() {
        let slot = FOLD_BYTES;
        let slots = Slots::over(64 * slot).unwrap();
        let [stays, moves, to] = [4, 2, 3].map(|count| slots.take(count * slot).unwrap());
        slots.exchange(moves, to);
        let behind = |at: ZoneByte, more| ZoneByte(at.0 + more);
        assert_eq!(slots.shown(stays, 4 * slot), (stays, 4 * slot));
        let within = behind(stays, 9);
        assert_eq!(slots.shown(within, slot), (within, slot));
        assert_eq!(slots.shown(to, 2 * slot), (moves, 2 * slot));
        let found = slots.shown(behind(to, 9), 3 * slot - 9);
        assert_eq!(found, (behind(moves, 9), 2 * slot - 9));
        assert_eq!(slots.shown(behind(to, slot), 1), (behind(moves, slot), 1));
    }

    /// The flags for torn and folded do not affect each other, move with the block, and end with
    /// it.
    #[test]
    fn marks_are_those_of_the_block() {
        let slots = Slots::over(64 * FOLD_BYTES).unwrap();
        let (at, to) = (slots.take(1).unwrap(), slots.take(1).unwrap());
        let flags = |slots: &Slots, at: ZoneByte| (slots.preallocated(at).1, slots.is_folded(at));
        let both = [false, true];
        for (torn, folded) in both
            .iter()
            .flat_map(|torn| both.map(|folded| (*torn, folded)))
        {
            for _twice in 0..2 {
                slots.set_torn(at, torn);
                slots.set_folded(at, folded);
                assert_eq!(flags(&slots, at), (torn, folded));
            }
            slots.set_torn(at, !torn);
            assert_eq!(flags(&slots, at), (!torn, folded));
            slots.set_torn(at, true);
            assert_eq!(flags(&slots, at), (true, folded));
            assert_eq!(flags(&slots, to), (false, false));
        }
        slots.exchange(at, to);
        assert_eq!(flags(&slots, at), (false, false));
        assert_eq!(flags(&slots, to), (true, true));
        slots.give_back(to);
        assert_eq!(flags(&slots, to), (false, false));
    }

    /// However often rows exchange what they show, every byte of the file is shown once, and each
    /// block shows its own bytes.
    #[test]
    fn rows_that_exchange_what_they_show_keep_their_blocks() {
        let slot = FOLD_BYTES;
        let count = 100;
        let slots = Slots::over(count * slot).unwrap();
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(state >> 33).unwrap() % below
        };
        // The position of each block, and what it shows.
        let mut live: Vec<(ZoneByte, Vec<usize>)> = Vec::new();
        let homes = |slots: &Slots, at: ZoneByte| -> Vec<usize> {
            let numbers = at.0 / slot..(at.0 + slots.room(at)) / slot;
            numbers.map(|number| slots.home(number)).collect()
        };
        let mut exchanged = 0;
        for _ in 0..5000 {
            match random(3) {
                0 => {
                    if let Some(at) = slots.take((1 + random(4)) * slot) {
                        live.push((at, homes(&slots, at)));
                    }
                }
                1 if !live.is_empty() => {
                    let (at, _shown) = live.swap_remove(random(live.len()));
                    slots.give_back(at);
                }
                _ if !live.is_empty() => {
                    let chosen = random(live.len());
                    let (at, shown) = &mut live[chosen];
                    let had = slots.room(*at);
                    let Some(to) = slots.take(had + slot) else {
                        continue;
                    };
                    slots.set_preallocated(*at, 4096 * chosen);
                    slots.set_torn(*at, true);
                    slots.exchange(*at, to);
                    assert_eq!(slots.preallocated(to), (4096 * chosen, true));
                    assert_eq!(slots.preallocated(*at), (0, false));
                    slots.give_back(*at);
                    exchanged += 1;
                    let now = homes(&slots, to);
                    assert_eq!(now[..shown.len()], shown[..]);
                    (*at, *shown) = (to, now);
                }
                _ => {}
            }
            let mut seen = vec![false; count];
            for number in 0..count {
                assert!(!std::mem::replace(&mut seen[slots.home(number)], true));
            }
        }
        assert!(exchanged > 100, "{exchanged}");
        for (at, shown) in live {
            // A lookup byte by byte finds the same as a lookup piece by piece.
            let mut done = 0;
            while done < slots.room(at) {
                let (from, len) = slots.shown(ZoneByte(at.0 + done), slots.room(at) - done);
                for byte in (done..done + len).step_by(4096 * 7) {
                    assert_eq!(
                        from.0 + byte - done,
                        shown[byte / slot] * slot + byte % slot
                    );
                }
                done += len;
            }
            assert_eq!(done, slots.room(at));
        }
    }
}
