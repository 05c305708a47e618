//! The records seen so far, as 128-bit keys in one table that grows in place.
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
//! the slots are all there is: no second table while growing, and what is
//! resident is the length of the table to the page. The address space for the largest
//! table that its share allows is reserved at the start.

use std::hint::black_box;

use crate::memory;
use crate::memory::budget::Budget;
use crate::record::key::Key;

/// Marks a free slot. Larger than every key, so that one comparison ends a search.
const FREE: Key = Key {
    high: u64::MAX,
    low: u64::MAX,
};

/// Slots right of the last home, where the last keys go when their homes are taken.
/// At the highest load a run of this length has a chance below 10^-15.
const SPILL_SLOTS: usize = 4096;

/// Homes of the table at the start.
const HOMES_MIN: usize = 1 << 10;

/// A step of growth below one sixteenth is not worth its sweeps.
const STEP_DIVISOR_MAX: usize = 16;

/// Slots to a cache line, if they hold nothing but keys.
const LINE_SLOTS: usize = 4;

impl Key {
    fn is_free(self) -> bool {
        self.high == u64::MAX
    }
}

/// A key met no free slot, and the share allows no more of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A key and what is known about its first record.
#[derive(Clone, Copy, Debug)]
struct Slot<V> {
    key: Key,
    value: V,
}

/// A map of keys that says of each whether it is new.
#[derive(Debug)]
pub(crate) struct Index<V> {
    /// # Invariants
    ///
    /// 1. Keys that are not free are distinct and ascend.
    /// 2. No key stands left of its home, and no slot between the two is free.
    /// 3. `slots` never exceeds the capacity it got at the start, so it never moves.
    slots: Vec<Slot<V>>,
    /// Slots that are the home of a key.
    homes: usize,
    /// Keys in the table.
    count: usize,
    /// Keys at which the table grows.
    count_max: usize,
    /// Slots that are charged to the budget: the most there ever were.
    charged: usize,
}

impl<V: Copy + Default> Index<V> {
    /// Bytes of a slot.
    const SLOT_BYTES: usize = size_of::<Slot<V>>();

    /// Bytes of the smallest table.
    pub(crate) const BYTES_MIN: usize = (HOMES_MIN + SPILL_SLOTS) * Self::SLOT_BYTES;

    /// Makes an empty index that can grow to about `share_bytes`, which `budget` pays
    /// for as it grows.
    ///
    /// # Errors
    ///
    /// [`Full`]: the budget, or the system, does not even hold the smallest table.
    pub(crate) fn new(share_bytes: u64, budget: &Budget) -> Result<Self, Full> {
        let len = HOMES_MIN + SPILL_SLOTS;
        let share = usize::try_from(share_bytes).unwrap_or(usize::MAX);
        let len_max = (share / Self::SLOT_BYTES).max(len);
        if !budget.charge(len * Self::SLOT_BYTES) {
            return Err(Full);
        }
        let Some(slots) = reserve(len, len_max) else {
            budget.release(len * Self::SLOT_BYTES);
            return Err(Full);
        };
        let mut index = Self {
            slots,
            homes: 0,
            count: 0,
            count_max: 0,
            charged: len,
        };
        index.clear();
        Ok(index)
    }

    /// Forgets everything. What is charged stays charged.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.slots.resize(HOMES_MIN + SPILL_SLOTS, Self::free());
        self.count = 0;
        self.set_homes();
    }

    /// Gives back what the table was charged for.
    pub(crate) fn dissolve(self, budget: &Budget) {
        budget.release(self.charged * Self::SLOT_BYTES);
    }

    fn free() -> Slot<V> {
        Slot {
            key: FREE,
            value: V::default(),
        }
    }

    /// Returns the number of keys.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Returns what is known about each key, in no order that means anything.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        let taken = self.slots.iter().filter(|slot| !slot.key.is_free());
        taken.map(|slot| &slot.value)
    }

    /// Loads the slots that looking for `keys` will touch.
    ///
    /// The loads do not wait for each other, which searches one after another do:
    /// on a large table this is most of the time.
    pub(crate) fn prefetch(&self, keys: impl Iterator<Item = Key>) {
        let mut sum = 0;
        for key in keys {
            let home = self.home(key);
            sum ^= self.slots[home].key.low ^ self.slots[home + LINE_SLOTS].key.low;
        }
        black_box(sum);
    }

    /// Adds a key; returns what is known about it if it is not new.
    ///
    /// # Errors
    ///
    /// [`Full`]: there is no room, and share or budget allow no more. The index is as
    /// it was.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        key: Key,
        value: V,
        budget: &Budget,
    ) -> Result<Option<&mut V>, Full> {
        let mut at = self.place_of(key);
        if self.slots[at].key == key {
            return Ok(Some(&mut self.slots[at].value));
        }
        if self.count == self.count_max {
            self.grow(budget)?;
            at = self.place_of(key);
        }
        // The keys from here to the next free slot move by one.
        let run = self.slots[at..].iter().position(|slot| slot.key.is_free());
        let free = at + run.ok_or(Full)?;
        // The last slot stays free: it ends every search.
        if free + 1 >= self.slots.len() {
            return Err(Full);
        }
        self.slots.copy_within(at..free, at + 1);
        self.slots[at] = Slot { key, value };
        self.count += 1;
        Ok(None)
    }

    /// Returns what is known about a key.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut V> {
        let at = self.place_of(key);
        let slot = &mut self.slots[at];
        (slot.key == key).then_some(&mut slot.value)
    }

    /// Returns the slot where a key stands or would stand.
    #[inline]
    fn place_of(&self, key: Key) -> usize {
        let home = self.home(key);
        let rest = self.slots[home..].iter();
        // The last slot is always free, and free is not smaller than any key.
        home + rest.take_while(|slot| slot.key < key).count()
    }

    /// Returns the slot where a key belongs.
    #[inline]
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

    /// Makes the table half as long again, or by what share and budget have left.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, budget: &Budget) -> Result<(), Full> {
        let len = self.slots.len();
        let spare = self.slots.capacity() - len;
        let bytes = usize::try_from(budget.available_bytes()).unwrap_or(usize::MAX);
        let affordable = bytes / Self::SLOT_BYTES + (self.charged - len);
        let additional = (len / 2).min(affordable).min(spare);
        if additional < len / STEP_DIVISOR_MAX {
            return Err(Full);
        }
        let uncharged = (len + additional).saturating_sub(self.charged);
        if !budget.charge(uncharged * Self::SLOT_BYTES) {
            return Err(Full);
        }
        self.charged += uncharged;
        self.slots.resize(len + additional, Self::free());
        self.set_homes();
        self.spread(len);
        Ok(())
    }

    /// Moves the keys among the first `old_len` slots to the homes of today.
    fn spread(&mut self, old_len: usize) {
        let mut end = self.slots.len();
        for from in (0..old_len).rev() {
            let slot = self.slots[from];
            if !slot.key.is_free() {
                end -= 1;
                self.slots[from] = Self::free();
                self.slots[end] = slot;
            }
        }
        let mut next = 0;
        for from in end..self.slots.len() {
            let slot = std::mem::replace(&mut self.slots[from], Self::free());
            // There is room: the spill slots are beyond all homes, and the table was full
            // to seven eighths before it grew.
            let to = self.home(slot.key).max(next);
            assert!(to <= from, "keys of one home, by a chance below 10^-15");
            self.slots[to] = slot;
            next = to + 1;
        }
    }
}

/// Reserves address space for `len_max` slots, or for half as many as often as the system
/// refuses; at least for `len`. Where the process has a limit on addresses, half of what is left
/// stays for others: an allocation of theirs that fails ends the process.
fn reserve<T>(len: usize, len_max: usize) -> Option<Vec<T>> {
    let left = memory::mappable_bytes().map_or(u64::MAX, |bytes| bytes / 2);
    let left = usize::try_from(left).unwrap_or(usize::MAX) / size_of::<T>();
    let mut capacity = len_max.min(left.max(len));
    while capacity >= len {
        let mut slots = Vec::new();
        if slots.try_reserve_exact(capacity).is_ok() {
            return Some(slots);
        }
        capacity /= 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::random::Random;

    fn check_invariants(index: &Index<u32>) {
        let mut last = None;
        let mut free = None;
        let mut count = 0;
        for (at, slot) in index.slots.iter().enumerate() {
            let key = slot.key;
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
        assert_eq!(index.values().count(), count);
    }

    /// Inserts keys made by `bits` into an index and into std's map.
    fn run(seed: u64, bits: impl Fn(&mut Random) -> u128) {
        let budget = Budget::with_available(1 << 30);
        let mut index = Index::new(1 << 26, &budget).unwrap();
        let mut model: HashMap<Key, u32> = HashMap::new();
        let mut random = Random::new(seed);
        for step in 0..20_000 {
            let key = Key::new(bits(&mut random));
            assert_eq!(
                index.get_mut(key).copied(),
                model.get(&key).copied(),
                "seed {seed} step {step}"
            );
            let found = index.insert(key, 1, &budget).unwrap();
            let count = model.entry(key).or_insert(0);
            *count += 1;
            if let Some(value) = found {
                *value += 1;
                assert_eq!(*value, *count, "seed {seed} step {step}");
            } else {
                assert_eq!(*count, 1, "seed {seed} step {step}");
            }
            if step % 7_000 == 0 {
                check_invariants(&index);
            }
        }
        check_invariants(&index);
        let charged = (1 << 30) - budget.available_bytes();
        assert_eq!(charged, (index.slots.len() * size_of::<Slot<u32>>()) as u64);
        index.dissolve(&budget);
        assert_eq!(budget.available_bytes(), 1 << 30);
    }

    #[test]
    fn an_index_knows_what_a_map_knows() {
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
    fn the_table_never_moves_and_fills_its_share() {
        assert_eq!(Index::<()>::SLOT_BYTES, 16);
        let bytes = 1 << 21;
        for (share, available) in [(bytes, 1 << 30), (1 << 30, bytes)] {
            let budget = Budget::with_available(available);
            let mut index: Index<()> = Index::new(share, &budget).unwrap();
            let address = index.slots.as_ptr();
            for round in 0..2 {
                let mut random = Random::new(round);
                let mut keys = Vec::new();
                loop {
                    let key = Key::new(u128::from(random.next()) << 64);
                    match index.insert(key, (), &budget) {
                        Ok(known) => assert!(known.is_none()),
                        Err(Full) => break,
                    }
                    keys.push(key);
                    assert_eq!(index.slots.as_ptr(), address);
                }
                let slots_max = usize::try_from(bytes).unwrap() / 16 - SPILL_SLOTS;
                assert!(keys.len() <= slots_max * 7 / 8 + 1);
                assert!(keys.len() > slots_max * 7 / 9, "{} keys", keys.len());
                // What is known stays known when nothing can be added.
                for &key in &keys {
                    assert!(index.insert(key, (), &budget).unwrap().is_some());
                }
                index.clear();
                assert!(keys.iter().all(|&key| index.get_mut(key).is_none()));
            }
        }
    }

    #[test]
    fn keys_of_one_home_end_in_full_not_in_a_panic() {
        let budget = Budget::with_available(1 << 24);
        let mut index: Index<()> = Index::new(1 << 24, &budget).unwrap();
        let home = u128::from(u64::MAX);
        let mut insert = |low| index.insert(Key::new(home << 64 | low), (), &budget).err();
        let refused = (1..4_200).filter_map(&mut insert).count();
        assert_eq!(refused, 4_199 - SPILL_SLOTS);
    }

    #[test]
    fn a_budget_without_room_is_refused() {
        let budget = Budget::with_available(1000);
        assert!(Index::<()>::new(1 << 20, &budget).is_err());
        assert_eq!(budget.available_bytes(), 1000);
    }
}
