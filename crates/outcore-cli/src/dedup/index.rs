//! The lines seen so far, as 128-bit keys in one table that grows in place.
//!
//! Keys stand in ascending order with gaps between them. A key's home is the place
//! that its value has among all values, scaled to the table; it stands there or, if
//! others were first, a little to the right:
//!
//! ```text
//! homes     0    1    2    3    4    5    6    7
//! slots   [ .  | 19 | 1c | 2b | .  | 56 | .  | 7f | ... spill ]
//! ```
//!
//! A search walks from the home to the first key that is not smaller. Growth is two
//! sweeps in place: move all keys to the right end, then each to its new home. So
//! 16 bytes a slot are all there is: no second table while growing, and what is
//! resident is the length of the table to the page. The address space for the largest
//! table that the limit allows is reserved at the start.

use std::hint::black_box;
use std::mem::replace;

use crate::memory::budget::Budget;

/// Bytes of a slot.
const SLOT_BYTES: usize = size_of::<Key>();
const _: () = assert!(SLOT_BYTES == 16);

/// Marks a free slot. Larger than every key, so that one comparison ends a search.
const FREE: Key = Key {
    high: u64::MAX,
    low: u64::MAX,
};

/// What a key takes when the table is full: eight slots for seven keys, and some spill.
pub(crate) const KEY_BYTES_FULL: u64 = 20;

/// Slots right of the last home, where the last keys go when their homes are taken.
/// At the highest load a run of this length has a chance below 10^-15.
const SPILL_SLOTS: usize = 4096;

/// Slots of the table at the start; a megabyte.
const SLOTS_MIN: usize = 1 << 16;

/// Address space that the reservation leaves to the rest of the program, where there is a
/// limit on it.
const SPARE_BYTES: usize = 16 << 20;

/// A step of growth below one sixteenth is not worth its sweeps.
const STEP_DIVISOR_MAX: usize = 16;

/// Slots to a cache line.
const LINE_SLOTS: usize = 4;

/// What stands for a line: 128 bits of which each is as good as random.
///
/// Two words rather than a `u128`, which compilers move through memory in halves and
/// read back whole: that stalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    high: u64,
    low: u64,
}

impl Key {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves of the number"
    )]
    pub(crate) fn new(bits: u128) -> Self {
        Self {
            // The highest value marks free slots; its keys join the ones below.
            high: ((bits >> 64) as u64).min(u64::MAX - 1),
            low: bits as u64,
        }
    }

    fn is_free(self) -> bool {
        self.high == u64::MAX
    }
}

/// A key met no free slot, and the limit allows no more of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A set of keys that says of each whether it is new.
#[derive(Debug)]
pub(crate) struct Index {
    /// # Invariants
    ///
    /// 1. Keys that are not free are distinct and ascend.
    /// 2. No key stands left of its home, and no slot between the two is free.
    /// 3. `slots` never exceeds the capacity it got at the start, so it never moves.
    slots: Vec<Key>,
    /// Slots that are the home of a key.
    homes: usize,
    /// Keys in the table.
    count: usize,
    /// Keys at which the table grows.
    count_max: usize,
    /// Whether the system granted less address space than the budget would pay for.
    short: bool,
}

impl Index {
    /// Makes an empty index that can grow until `budget` is used up.
    ///
    /// # Errors
    ///
    /// [`Full`]: the budget does not even hold the smallest table.
    pub(crate) fn new(budget: &mut Budget) -> Result<Self, Full> {
        Self::with_slots(SLOTS_MIN, budget)
    }

    pub(crate) fn with_slots(len: usize, budget: &mut Budget) -> Result<Self, Full> {
        let len = len.max(SPILL_SLOTS + 1);
        let affordable = affordable_slots(budget);
        if affordable < len || !budget.charge(len * SLOT_BYTES) {
            return Err(Full);
        }
        let mut slots = reserve(len, affordable).ok_or(Full)?;
        let short = slots.capacity() < affordable;
        slots.resize(len, FREE);
        let mut index = Self {
            slots,
            homes: 0,
            count: 0,
            count_max: 0,
            short,
        };
        index.set_homes();
        Ok(index)
    }

    /// Returns the number of keys.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Returns whether the system granted less address space than the budget pays for.
    pub(crate) fn is_short(&self) -> bool {
        self.short
    }

    /// Loads the slots that inserting `keys` will look at.
    ///
    /// The loads do not wait for each other, which searches one after another do:
    /// on a large table this is most of the time.
    pub(crate) fn prefetch(&self, keys: impl Iterator<Item = Key>) {
        let mut sum = 0;
        for key in keys {
            let home = self.home(key);
            sum ^= self.slots[home].low ^ self.slots[home + LINE_SLOTS].low;
        }
        black_box(sum);
    }

    /// Adds a key; returns whether it is new.
    ///
    /// # Errors
    ///
    /// [`Full`]: there is no room, and the budget allows no more. Keys that are in the
    /// index are still found.
    #[inline]
    pub(crate) fn insert(&mut self, key: Key, budget: &mut Budget) -> Result<bool, Full> {
        if self.count == self.count_max {
            if self.contains(key) {
                return Ok(false);
            }
            self.grow(budget)?;
        }
        let home = self.home(key);
        let mut slots = self.slots[home..].iter_mut();
        let Some(slot) = slots.find(|slot| **slot >= key) else {
            return Err(Full);
        };
        if *slot == key {
            return Ok(false);
        }
        // The keys from here to the next free slot move by one.
        let mut carried = replace(slot, key);
        while !carried.is_free() {
            let slot = slots.next().ok_or(Full)?;
            carried = replace(slot, carried);
        }
        self.count += 1;
        Ok(true)
    }

    fn contains(&self, key: Key) -> bool {
        let mut slots = self.slots[self.home(key)..].iter();
        slots.find(|slot| **slot >= key) == Some(&key)
    }

    /// Returns the slot where a key belongs.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a product shifted by the width of its first factor is below the second, a usize"
    )]
    fn home(&self, key: Key) -> usize {
        ((u128::from(key.high) * self.homes as u128) >> 64) as usize
    }

    fn set_homes(&mut self) {
        self.homes = self.slots.len() - SPILL_SLOTS;
        // Seven of eight: above, runs get long quickly.
        self.count_max = self.homes - self.homes / 8;
    }

    /// Makes the table half as long again, or by what the budget has left.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, budget: &mut Budget) -> Result<(), Full> {
        let len = self.slots.len();
        let spare = self.slots.capacity() - len;
        let additional = (len / 2).min(affordable_slots(budget)).min(spare);
        if additional < len / STEP_DIVISOR_MAX || !budget.charge(additional * SLOT_BYTES) {
            return Err(Full);
        }
        self.slots.resize(len + additional, FREE);
        self.set_homes();
        self.spread(len)
    }

    /// Moves the keys among the first `old_len` slots to the homes of today.
    fn spread(&mut self, old_len: usize) -> Result<(), Full> {
        let mut end = self.slots.len();
        for from in (0..old_len).rev() {
            let key = replace(&mut self.slots[from], FREE);
            if !key.is_free() {
                end -= 1;
                self.slots[end] = key;
            }
        }
        let mut next = 0;
        for from in end..self.slots.len() {
            let key = replace(&mut self.slots[from], FREE);
            let to = self.home(key).max(next);
            // The keys from here on need more room than is left to their right.
            if to > from {
                return Err(Full);
            }
            self.slots[to] = key;
            next = to + 1;
        }
        Ok(())
    }
}

/// Returns how many more slots the budget pays for.
fn affordable_slots(budget: &Budget) -> usize {
    let bytes = usize::try_from(budget.available_bytes()).unwrap_or(usize::MAX);
    bytes / SLOT_BYTES
}

/// Reserves address space for `len_max` slots, or for half as many as often as the system
/// refuses; at least for `len`.
fn reserve(len: usize, len_max: usize) -> Option<Vec<Key>> {
    let mut capacity = len_max;
    while capacity >= len {
        let mut slots = Vec::new();
        let mut spare: Vec<u8> = Vec::new();
        let granted = slots.try_reserve_exact(capacity).is_ok();
        if granted && spare.try_reserve_exact(SPARE_BYTES).is_ok() {
            return Some(slots);
        }
        capacity /= 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::random::Random;

    fn check_invariants(index: &Index) {
        let mut last = None;
        let mut free = None;
        let mut count = 0;
        for (at, &key) in index.slots.iter().enumerate() {
            if key.is_free() {
                free = Some(at);
                continue;
            }
            assert!(last.is_none_or(|last| last < key), "slot {at} is misplaced");
            let home = index.home(key);
            assert!(home <= at, "slot {at} is left of its home");
            assert!(
                free.is_none_or(|free| free < home),
                "slot {at} is cut off from its home"
            );
            last = Some(key);
            count += 1;
        }
        assert_eq!(count, index.count);
    }

    /// Inserts keys made by `bits` into an index and into std's set.
    fn run(seed: u64, bits: impl Fn(&mut Random) -> u128) {
        let mut budget = Budget::with_available(1 << 30);
        let mut index = Index::with_slots(1, &mut budget).unwrap();
        let mut model = HashSet::new();
        let mut random = Random::new(seed);
        for step in 0..20_000 {
            let key = Key::new(bits(&mut random));
            let new = index.insert(key, &mut budget).unwrap();
            assert_eq!(new, model.insert(key), "seed {seed} step {step}");
            if step % 7_000 == 0 {
                check_invariants(&index);
            }
        }
        check_invariants(&index);
        let charged = (1 << 30) - budget.available_bytes();
        assert_eq!(charged, (index.slots.len() * SLOT_BYTES) as u64);
    }

    #[test]
    fn an_index_knows_what_a_set_knows() {
        for seed in 0..2 {
            run(seed, |random| {
                u128::from(random.next()) << 64 | u128::from(random.next())
            });
            // Every second key is a repeat.
            run(seed, |random| u128::from(random.next() % 30_000) << 112);
            // All homes at the two ends; the lowest and the highest key among them.
            run(seed, |random| {
                let low = u128::from(random.next() % 100);
                if low % 2 == 0 { low / 2 } else { !(low / 2) }
            });
        }
    }

    #[test]
    fn the_table_never_moves_and_fills_the_budget() {
        let bytes = 1 << 21;
        let mut budget = Budget::with_available(bytes);
        let mut index = Index::with_slots(1, &mut budget).unwrap();
        let address = index.slots.as_ptr();
        let mut random = Random::new(1);
        let mut keys = Vec::new();
        loop {
            let key = Key::new(u128::from(random.next()) << 64);
            match index.insert(key, &mut budget) {
                Ok(new) => assert!(new),
                Err(Full) => break,
            }
            keys.push(key);
            assert_eq!(index.slots.as_ptr(), address);
        }
        check_invariants(&index);
        let slots_max = usize::try_from(bytes).unwrap() / SLOT_BYTES - SPILL_SLOTS;
        assert!(keys.len() <= slots_max * 7 / 8 + 1);
        assert!(keys.len() > slots_max * 7 / 9, "{} keys", keys.len());
        // What is known stays known when nothing can be added.
        for key in keys {
            assert_eq!(index.insert(key, &mut budget), Ok(false));
        }
    }

    #[test]
    fn keys_of_one_home_end_in_full_not_in_a_panic() {
        for home in [0, u128::from(u64::MAX)] {
            let mut budget = Budget::with_available(1 << 24);
            let mut index = Index::with_slots(1, &mut budget).unwrap();
            let outcomes =
                (1..6_000).map(|low| index.insert(Key::new(home << 64 | low), &mut budget));
            let refused = outcomes.filter(Result::is_err).count();
            assert_eq!(refused > 0, home != 0);
        }
    }

    #[test]
    fn a_budget_without_room_is_refused() {
        let mut budget = Budget::with_available(1000);
        assert!(Index::new(&mut budget).is_err());
        assert_eq!(budget.available_bytes(), 1000);
    }
}
