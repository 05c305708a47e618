//! A hash table of entries that are plain data, in memory of a budget.
#![expect(
    unsafe_code,
    reason = "reads entries of slots that have one; see docs/safety.md"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "numbers of slots, checked when they are used"
)]

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::budget::{Array, MemoryBudget, Slots};
use crate::error::Result;

/// The fewest slots of a table.
pub(super) const SLOTS_MIN: usize = if cfg!(test) { 1 << 8 } else { 1 << 10 };

/// Open addressing: an entry is in the first free slot from that of its hash on.
#[derive(Debug)]
pub(super) struct Table<E> {
    /// # Invariants
    ///
    /// 1. A slot whose hash is not zero has an entry. There are as many of both, a power of two at
    ///    most, of which the first `used` are in use: a power of two.
    /// 2. At least one slot in use has no entry.
    hashes: Array<u64>,
    entries: Slots<E>,
    used: usize,
    len: usize,
}

/// Where an entry is, or would be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Taken(usize),
    Free(usize),
}

impl<E: Copy> Table<E> {
    /// Returns how much memory a table of `slots` slots takes.
    pub(super) fn bytes(slots: usize) -> usize {
        slots.saturating_mul(size_of::<E>() + size_of::<u64>())
    }

    /// Makes a table of `slots` slots, a power of two.
    pub(super) fn new(budget: &MemoryBudget, slots: usize) -> Result<Self> {
        const ACTION: &str = "keep groups in memory";
        debug_assert!(slots.is_power_of_two());
        Ok(Self {
            hashes: Array::new(budget, slots, ACTION)?,
            entries: Slots::new(budget, slots, ACTION)?,
            used: slots,
            len: 0,
        })
    }

    /// Returns how many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.hashes.len()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no room for another entry.
    pub(super) fn is_full(&self) -> bool {
        self.len >= self.used - self.used / 8 - 1
    }

    /// Empties the table, and continues with as many slots as `count` entries need, at most all.
    pub(super) fn clear_for(&mut self, count: usize) {
        let wanted = (count.saturating_mul(4) / 3 + 2).next_power_of_two();
        let wanted = wanted.clamp(2, self.hashes.len());
        let touched = self.used.max(wanted);
        self.hashes.get_mut(..touched).unwrap_or_default().fill(0);
        (self.used, self.len) = (wanted, 0);
    }

    /// Looks for the entry of a hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(&E) -> bool) -> Slot {
        let hash = hash.max(1);
        let mask = self.used - 1;
        let mut slot = slot_of(hash, mask);
        loop {
            match self.hashes[slot] {
                0 => return Slot::Free(slot),
                other if other == hash && self.is_at(slot, &mut is_it) => return Slot::Taken(slot),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    /// Looks at the slots of some hashes, so that they come into the cache at the same time and not
    /// one after the other.
    #[inline]
    pub(super) fn look(&self, hashes: &[u64]) {
        let mask = self.used - 1;
        let slots = hashes
            .iter()
            .map(|hash| self.hashes[slot_of((*hash).max(1), mask)]);
        std::hint::black_box(slots.fold(0, |all, hash| all ^ hash));
    }

    /// Returns whether `is_it` holds for the entry of a slot that has one.
    #[inline]
    fn is_at(&self, slot: usize, is_it: &mut impl FnMut(&E) -> bool) -> bool {
        // SAFETY: a slot with a hash has an entry (invariant 1).
        self.hashes[slot] != 0 && is_it(unsafe { self.entries[slot].assume_init_ref() })
    }

    /// Returns the entry of a slot.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut E> {
        if *self.hashes.get(slot)? == 0 {
            return None;
        }
        let entry = self.entries.get_mut(slot)?;
        // SAFETY: a slot with a hash has an entry (invariant 1).
        Some(unsafe { entry.assume_init_mut() })
    }

    /// Puts an entry into the free slot that `find` returned for its hash. The table must not be
    /// full.
    #[inline]
    pub(super) fn insert(&mut self, slot: usize, hash: u64, entry: E) {
        debug_assert!(!self.is_full() && self.hashes[slot] == 0);
        self.entries[slot].write(entry);
        self.hashes[slot] = hash.max(1);
        self.len += 1;
    }

    /// Returns a copy of the entry of a slot, if it has one, and its hash.
    pub(super) fn get(&self, slot: usize) -> Option<(u64, E)> {
        let hash = *self.hashes.get(slot)?;
        if hash == 0 {
            return None;
        }
        // SAFETY: a slot with a hash has an entry (invariant 1).
        Some((hash, unsafe { self.entries.get(slot)?.assume_init() }))
    }

    /// Removes the entry of a slot. A look-up may miss entries that were placed behind it.
    pub(super) fn remove(&mut self, slot: usize) {
        if let Some(hash @ 1..) = self.hashes.get_mut(slot) {
            *hash = 0;
            self.len -= 1;
        }
    }

    /// Returns all entries and their hashes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, E)> {
        (0..self.hashes.len()).filter_map(|slot| self.get(slot))
    }

    /// Moves all entries to a table with twice the slots, if `budget` has memory for it.
    pub(super) fn grow(&mut self, budget: &MemoryBudget) -> Result<()> {
        let mut larger = Self::new(budget, self.slots() * 2)?;
        for (hash, entry) in self.iter() {
            if let Slot::Free(slot) = larger.find(hash, |_other| false) {
                larger.insert(slot, hash, entry);
            }
        }
        *self = larger;
        Ok(())
    }

    /// Moves all entries to the first slots, where they can be sorted, and returns them. The table
    /// has to be cleared before further look-ups.
    pub(super) fn compact(&mut self) -> &mut [E] {
        let mut count = 0;
        for slot in 0..self.hashes.len() {
            if let Some((hash, entry)) = self.get(slot) {
                self.hashes[slot] = 0;
                self.entries[count].write(entry);
                self.hashes[count] = hash;
                count += 1;
            }
        }
        self.len = count;
        let first = self.entries.as_mut_ptr().cast::<E>();
        // SAFETY: the first `count` slots have entries: they were written above.
        unsafe { std::slice::from_raw_parts_mut(first, count) }
    }
}

/// Returns the slot of a hash: by its lower bits, since the upper ones choose partitions.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower bits are meant")]
fn slot_of(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}

/// Hashes keys: fast, and with a secret, so that no input can be constructed whose keys collide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret(u64);

impl Secret {
    pub(super) fn new() -> Self {
        Self(RandomState::new().hash_one(0_u8))
    }

    #[inline]
    pub(super) fn hash_bytes(self, bytes: &[u8]) -> u64 {
        let mut hasher = self.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

impl BuildHasher for Secret {
    type Hasher = Mixer;

    #[inline]
    fn build_hasher(&self) -> Mixer {
        Mixer(self.0)
    }
}

/// The hasher of [`Secret`]: a multiplication to twice the bits for each word.
#[derive(Debug)]
pub(super) struct Mixer(u64);

/// An odd number without a pattern.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

impl Mixer {
    #[inline]
    fn word(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word, FACTOR);
    }
}

/// Multiplies, and folds the upper half of the product onto the lower.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are meant")]
fn fold(number: u64, factor: u64) -> u64 {
    let product = u128::from(number).wrapping_mul(u128::from(factor));
    (product >> 64) as u64 ^ product as u64
}

impl Hasher for Mixer {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.word(
                word.first_chunk()
                    .map_or(0, |word| u64::from_le_bytes(*word)),
            );
        }
        let mut last = [0; 8];
        for (target, byte) in last.iter_mut().zip(words.remainder()) {
            *target = *byte;
        }
        self.word(u64::from_le_bytes(last) ^ (bytes.len() as u64).rotate_left(56));
    }

    #[inline]
    fn write_u8(&mut self, number: u8) {
        self.word(u64::from(number));
    }

    #[inline]
    fn write_u16(&mut self, number: u16) {
        self.word(u64::from(number));
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.word(u64::from(number));
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.word(number);
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.word(number as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        let mixed = fold(self.0 ^ 0xD6E8_FEB8_6659_FD93, 0xA076_1D64_78BD_642F);
        fold(mixed ^ FACTOR, 0xE703_7ED1_A0B4_28DB)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_table_is_a_map_also_where_hashes_meet() {
        let budget = MemoryBudget::new(1 << 20);
        for bits in [0, 3, 64] {
            let secret = Secret::new();
            let hash =
                |key: u64| secret.hash_one(key) & u64::MAX.checked_shr(64 - bits).unwrap_or(0);
            let mut table = Table::<(u64, u32)>::new(&budget, 4).unwrap();
            let mut model = HashMap::new();
            for n in 0..if cfg!(miri) { 100 } else { 1000_u32 } {
                let key = u64::from(n * 7 % 400);
                match table.find(hash(key), |entry| entry.0 == key) {
                    Slot::Taken(slot) => table.get_mut(slot).unwrap().1 += n,
                    Slot::Free(_) if table.is_full() => {
                        table.grow(&budget).unwrap();
                        let Slot::Free(slot) = table.find(hash(key), |entry| entry.0 == key) else {
                            panic!("it was not there before");
                        };
                        table.insert(slot, hash(key), (key, n));
                    }
                    Slot::Free(slot) => table.insert(slot, hash(key), (key, n)),
                }
                *model.entry(key).or_insert(0) += n;
            }
            let found: HashMap<_, _> = table.iter().map(|(_hash, entry)| entry).collect();
            assert_eq!(found, model, "{bits} bits");
            assert_eq!(table.len(), model.len());
            let mut compact = table.compact().to_vec();
            compact.sort_unstable();
            let mut expected: Vec<_> = model.into_iter().collect();
            expected.sort_unstable();
            assert_eq!(compact, expected);
            table.clear_for(3);
            assert!(table.iter().next().is_none() && table.len() == 0);
        }
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn hashes_of_few_bits_use_all_slots() {
        let secret = Secret::new();
        let mut low = [0_u32; 256];
        let mut high = [0_u32; 256];
        for n in 0..65_536_u64 {
            let hash = secret.hash_one(n << 20);
            low[usize::from(hash.to_le_bytes()[0])] += 1;
            high[usize::from(hash.to_be_bytes()[0])] += 1;
        }
        assert!(
            low.iter()
                .chain(&high)
                .all(|count| (128..512).contains(count)),
            "{low:?}, {high:?}"
        );
        let texts = (0..1000).map(|n| secret.hash_bytes(&vec![0; n]));
        assert_eq!(texts.collect::<std::collections::HashSet<_>>().len(), 1000);
    }
}
