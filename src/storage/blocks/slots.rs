//! The slots of zone B: a large block has one, or several in a row, and grows inside of it.

use std::ops::Range;

/// How many slots there are.
pub(crate) const SLOTS: usize = 1024;

/// Who has which slot. Pure arithmetic.
#[derive(Debug)]
pub(crate) struct Slots {
    /// For the first slot of a block: how many slots it has. 0 for a slot that is free or not the
    /// first.
    counts: [u16; SLOTS],
    /// Bytes claimed on disk for the block that starts at a slot.
    claimed_bytes: [usize; SLOTS],
    taken: [bool; SLOTS],
    /// Whether bytes may be left behind the block that starts at a slot, that are not zero.
    torn: [bool; SLOTS],
    /// Whether parts of the block that starts at a slot may come into memory in large pieces.
    folded: [bool; SLOTS],
    /// Bytes of a slot.
    slot_bytes: usize,
}

impl Slots {
    pub(crate) const fn new(slot_bytes: usize) -> Self {
        Self {
            counts: [0; SLOTS],
            claimed_bytes: [0; SLOTS],
            taken: [false; SLOTS],
            torn: [false; SLOTS],
            folded: [false; SLOTS],
            slot_bytes,
        }
    }

    /// Takes as many slots in a row as `bytes` need, and returns the first byte of them.
    ///
    /// They are taken in the middle of the widest gap, so that the block before it and the new one
    /// can both grow for a long time.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<usize> {
        let count = bytes.div_ceil(self.slot_bytes).max(1);
        let gap = self.widest_gap();
        let spare = gap.len().checked_sub(count)?;
        let before = if gap.start == 0 { 0 } else { spare / 2 };
        let start = gap.start.checked_add(before)?;
        let end = start.checked_add(count)?;
        self.taken.get_mut(start..end)?.fill(true);
        *self.counts.get_mut(start)? = u16::try_from(count).ok()?;
        start.checked_mul(self.slot_bytes)
    }

    fn widest_gap(&self) -> Range<usize> {
        let (mut widest, mut start) = (0..0, 0);
        for row in self.taken.chunk_by(|left, right| left == right) {
            let end = row.len().saturating_add(start);
            if row.first() == Some(&false) && row.len() > widest.len() {
                widest = start..end;
            }
            start = end;
        }
        widest
    }

    /// Frees the slots of the block that starts at byte `at`.
    pub(crate) fn give_back(&mut self, at: usize) {
        let start = self.slot(at);
        let count = self.counts.get_mut(start).map_or(0, std::mem::take);
        let end = start.saturating_add(usize::from(count));
        if let Some(row) = self.taken.get_mut(start..end) {
            row.fill(false);
        }
        self.set_claimed(at, 0);
        self.set_folded(at, false);
    }

    /// Sees to it that the block at byte `at` has room for `bytes`, taking the slots behind it if
    /// they are free; says whether it has.
    pub(crate) fn make_room(&mut self, at: usize, bytes: usize) -> bool {
        let start = self.slot(at);
        let count = bytes.div_ceil(self.slot_bytes).max(1);
        let Some(has) = self.counts.get_mut(start) else {
            return false;
        };
        let had = usize::from(*has);
        if count <= had {
            return true;
        }
        let more = start.saturating_add(had)..start.saturating_add(count);
        let Some(row) = self.taken.get_mut(more).filter(|row| !row.contains(&true)) else {
            return false;
        };
        row.fill(true);
        *has = u16::try_from(count).unwrap_or(u16::MAX);
        true
    }

    /// Returns how many bytes of the block at byte `at` are claimed, and whether it is torn: then
    /// there may be bytes behind it that are not zero.
    pub(crate) fn claimed(&self, at: usize) -> (usize, bool) {
        let slot = self.slot(at);
        let claimed = self.claimed_bytes.get(slot).copied().unwrap_or(0);
        (claimed, self.torn.get(slot).copied().unwrap_or(false))
    }

    pub(crate) fn set_torn(&mut self, at: usize) {
        let slot = self.slot(at);
        if let Some(torn) = self.torn.get_mut(slot) {
            *torn = true;
        }
    }

    pub(crate) fn is_folded(&self, at: usize) -> bool {
        self.folded.get(self.slot(at)).copied().unwrap_or(false)
    }

    pub(crate) fn set_folded(&mut self, at: usize, folded: bool) {
        let slot = self.slot(at);
        if let Some(known) = self.folded.get_mut(slot) {
            *known = folded;
        }
    }

    pub(crate) fn set_claimed(&mut self, at: usize, bytes: usize) {
        let slot = self.slot(at);
        if let Some(claimed) = self.claimed_bytes.get_mut(slot) {
            *claimed = bytes;
        }
    }

    fn slot(&self, at: usize) -> usize {
        at.checked_div(self.slot_bytes).unwrap_or(SLOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_get_rows_of_free_slots_and_grow_into_free_ones() {
        let mut slots = Slots::new(100);
        let (a, b) = (slots.take(1).unwrap(), slots.take(250).unwrap());
        assert_eq!((a, b), (0, (1 + (SLOTS - 1 - 3) / 2) * 100));
        assert!(slots.make_room(a, b), "up to the next block it is free");
        assert!(!slots.make_room(a, b + 1));
        assert!(slots.make_room(b, 100 * SLOTS - b), "to the end");
        assert!(!slots.make_room(b, 100 * SLOTS - b + 1));
        assert_eq!(slots.take(1), None);
        slots.give_back(a);
        assert_eq!(slots.take(b + 1), None);
        assert_eq!(slots.take(b), Some(0));
    }

    /// Two vectors that grew side by side were copied as soon as one filled its slot.
    #[test]
    fn many_blocks_have_room_to_grow() {
        let mut slots = Slots::new(100);
        let blocks: Vec<_> = (0..64).map(|_| slots.take(100).unwrap()).collect();
        for at in blocks {
            assert!(slots.make_room(at, 100 * (SLOTS / 64 / 2)), "{at}");
        }
    }

    #[test]
    fn what_passes_the_zone_is_refused() {
        let mut slots = Slots::new(100);
        assert_eq!(slots.take(100 * SLOTS + 1), None);
        assert_eq!(slots.take(usize::MAX), None);
        assert_eq!(slots.take(100 * SLOTS), Some(0));
        assert_eq!(slots.take(1), None);
    }
}
