//! Groups of keys that are plain data.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "sizes of memory, which the budget bounds"
)]

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::{Lease, MIN, MemoryBudget};
use crate::error::Result;
use crate::external::groups::joined::Groups;
use crate::external::groups::partitions::{Blocks, Chain, ChainWriter, Collector};
use crate::external::groups::table::{SLOTS_MIN, Secret, Slot, Table};
use crate::external::options::Options;
use crate::io::extents::ExtentFile;

/// The number of partitions, for a small budget and for others.
const PARTITIONS_FEW: usize = if cfg!(test) { 4 } else { 64 };
const PARTITIONS: usize = 256;
const PARTITIONS_FROM: usize = 64 << 20;

/// The longest block of a partition.
const BLOCK_BYTES_MAX: usize = 128 << 10;

/// The bytes of a table that is to hold only the most frequent keys: the size of a cache.
const SMALL_BYTES: usize = 1 << 20;

/// How many values for each slot of the table go to their partitions without it, before the table is
/// tried again: keys may come more often then.
const PASSED_FOR_EACH: usize = 16;

/// A key and its combined value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<K, V> {
    pub(super) key: K,
    pub(super) value: V,
}

pub(super) type Combine<V> = dyn Fn(&mut V, V) + Send + Sync;

/// Combines values of equal keys, for keys and values that are plain data, within a budget of
/// memory.
///
/// Groups are in a hash table while it fits. When it does not, its content goes to disk in
/// partitions by the hash of keys, which are combined one after the other at the end. The
/// distribution of values over keys does not matter: one key may have all of them, or each its own.
///
/// # Examples
///
/// ```
/// use outcore::MemoryBudget;
/// use outcore::external::Aggregator;
///
/// let budget = MemoryBudget::new(8 << 20);
/// let mut sums = Aggregator::new(&budget, |sum: &mut u64, more: u64| *sum += more);
/// for n in 0..1_000_000_u64 {
///     sums.add(n % 1000, n)?;
/// }
/// let mut count = 0;
/// for group in sums.finish()? {
///     let (key, sum): (u64, u64) = group?;
///     assert_eq!(sum, 499_500_000 + 1000 * key);
///     count += 1;
/// }
/// assert_eq!(count, 1000);
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Memory layout
///
/// Keys and values are stored on disk as in memory, so they should be small. Like the elements of a
/// [`DiskVec`](crate::DiskVec), they have no checksum there.
pub struct Aggregator<K: Copy, V: Copy> {
    shared: Arc<Shared<K, V>>,
    /// The adder of [`add`](Self::add), once it is needed.
    own: Option<Adder<K, V>>,
}

pub(super) struct Shared<K: Copy, V: Copy> {
    pub(super) options: Options,
    pub(super) combine: Box<Combine<V>>,
    pub(super) secret: Secret,
    pub(super) spool: Arc<ExtentFile>,
    pub(super) blocks: Blocks<Entry<K, V>>,
    pub(super) partitions: usize,
    pub(super) adders: AtomicUsize,
    pub(super) finished: Mutex<Finished<K, V>>,
}

/// What adders left.
pub(super) struct Finished<K, V> {
    pub(super) left: Vec<Left<K, V>>,
    /// The memory of the collector of one of them, which combining groups takes. It is never free in
    /// between, when others could take it.
    pub(super) reserve: Option<Lease>,
}

/// What an adder left: a table, or chains on disk.
pub(super) enum Left<K, V> {
    Table(Table<Entry<K, V>>),
    Chains(Vec<Chain>),
}

impl<K: Copy, V: Copy> Shared<K, V> {
    pub(super) fn budget(&self) -> &MemoryBudget {
        self.options.budget()
    }

    fn lock(&self) -> MutexGuard<'_, Finished<K, V>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash, V: Copy> Aggregator<K, V> {
    /// Creates an aggregator; `combine` changes the first of two values by the second. The result
    /// should not depend on the order of values, nor on how they are grouped.
    pub fn new(
        options: impl Into<Options>,
        combine: impl Fn(&mut V, V) + Send + Sync + 'static,
    ) -> Self {
        let options = options.into();
        let limit = options.budget().limit();
        let partitions = if limit < PARTITIONS_FROM {
            PARTITIONS_FEW
        } else {
            PARTITIONS
        };
        let block = (limit / 16 / partitions).min(BLOCK_BYTES_MAX);
        let spool = Arc::new(ExtentFile::new(options.scratch_dir().cloned()));
        Self {
            shared: Arc::new(Shared {
                options,
                combine: Box::new(combine),
                secret: Secret::new(),
                spool,
                blocks: Blocks::new(block),
                partitions,
                adders: AtomicUsize::new(0),
                finished: Mutex::new(Finished {
                    left: Vec::new(),
                    reserve: None,
                }),
            }),
            own: None,
        }
    }

    /// Adds a value to the group of a key.
    ///
    /// # Errors
    ///
    /// The value is not added after any of them, and all before it are still there.
    ///
    /// * [`OverBudget`](crate::ErrorKind::OverBudget): at the first value, the budget has less than
    ///   [`MIN_BYTES`](MemoryBudget::MIN_BYTES) left, or too little for keys and values of this
    ///   size.
    /// * [`StorageFull`](crate::ErrorKind::StorageFull), [`FileTooLarge`](crate::ErrorKind::FileTooLarge),
    ///   [`Io`](crate::ErrorKind::Io), [`Forked`](crate::ErrorKind::Forked): groups cannot be written to disk.
    /// * [`Cancelled`](crate::ErrorKind::Cancelled): the progress of the options was cancelled.
    ///
    /// # Panics
    ///
    /// If a method of the key or `combine` panics. No group is lost; that of the key has the value
    /// or, if `combine` did not end, what it left.
    #[inline]
    pub fn add(&mut self, key: K, value: V) -> Result<()> {
        match &mut self.own {
            Some(own) => own.add(key, value),
            none => none.insert(Adder::new(&self.shared)?).add(key, value),
        }
    }

    /// Creates an adder for another thread. Its groups belong to the aggregator when it is
    /// [finished](Adder::finish).
    ///
    /// # Errors
    ///
    /// [`OverBudget`](crate::ErrorKind::OverBudget): there is no memory left for another.
    pub fn adder(&self) -> Result<Adder<K, V>> {
        Adder::new(&self.shared)
    }

    /// Returns all groups in an unspecified order, except those of adders that are not finished.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add), except [`OverBudget`](crate::ErrorKind::OverBudget).
    pub fn finish(mut self) -> Result<Groups<K, V>> {
        if let Some(own) = self.own.take() {
            own.finish()?;
        }
        let mut finished = self.shared.lock();
        let (left, reserve) = (std::mem::take(&mut finished.left), finished.reserve.take());
        drop(finished);
        Groups::new(Arc::clone(&self.shared), left, reserve)
    }
}

impl<K: Copy, V: Copy> fmt::Debug for Aggregator<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aggregator")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

/// Adds to an [`Aggregator`] from another thread; made by [`Aggregator::adder`].
///
/// The groups of an adder that is dropped before it is [finished](Self::finish) are lost.
pub struct Adder<K: Copy, V: Copy> {
    seat: Seat<K, V>,
    table: Table<Entry<K, V>>,
    /// The groups on disk, and the buffers for writing them. Their memory is taken at the start, so
    /// that it is there when the table is full.
    collector: Collector<Entry<K, V>>,
    writer: ChainWriter<Entry<K, V>>,
    /// Values added since the table was empty.
    added: usize,
    /// So many values go to their partitions without a look at the table.
    passing: usize,
}

/// Counts an adder as long as there is one.
struct Seat<K: Copy, V: Copy>(Arc<Shared<K, V>>);

impl<K: Copy, V: Copy> Drop for Seat<K, V> {
    fn drop(&mut self) {
        self.0.adders.fetch_sub(1, Relaxed);
    }
}

impl<K: Copy + Eq + Hash, V: Copy> Adder<K, V> {
    fn new(shared: &Arc<Shared<K, V>>) -> Result<Self> {
        const ACTION: &str = "group values";
        let budget = shared.budget();
        let table = Table::<Entry<K, V>>::bytes(SLOTS_MIN);
        let collector = Collector::bytes(shared.partitions, shared.blocks);
        let least = collector.saturating_add(table.saturating_mul(3));
        let is_first = shared.adders.load(Relaxed) == 0;
        let least = if is_first { least.max(MIN) } else { least };
        if budget.free() < least {
            return Err(budget.refusal(least, ACTION));
        }
        let collector = Collector::new(budget, shared.partitions, shared.blocks)?;
        let table = Table::new(budget, SLOTS_MIN)?;
        shared.adders.fetch_add(1, Relaxed);
        Ok(Self {
            seat: Seat(Arc::clone(shared)),
            table,
            collector,
            writer: ChainWriter::new(&shared.spool, shared.blocks),
            added: 0,
            passing: 0,
        })
    }

    /// Adds a value to the group of a key.
    ///
    /// # Errors
    ///
    /// Those of [`Aggregator::add`].
    #[inline]
    pub fn add(&mut self, key: K, value: V) -> Result<()> {
        let shared = &*self.seat.0;
        let hash = shared.secret.hash_one(key);
        if self.passing > 0 {
            self.collector
                .add(hash, Entry { key, value }, &mut self.writer)?;
            self.passing -= 1;
            return Ok(());
        }
        let mut slot = self.table.find(hash, |entry| entry.key == key);
        if let Slot::Free(_) = slot {
            if self.table.is_full() {
                self.make_room()?;
                slot = self.table.find(hash, |entry| entry.key == key);
            }
        }
        self.added = self.added.wrapping_add(1);
        match slot {
            Slot::Taken(slot) => {
                if let Some(entry) = self.table.get_mut(slot) {
                    (self.seat.0.combine)(&mut entry.value, value);
                }
            }
            Slot::Free(slot) => self.table.insert(slot, hash, Entry { key, value }),
        }
        Ok(())
    }

    /// Makes the table larger, or writes its groups to disk.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self) -> Result<()> {
        let shared = &*self.seat.0;
        shared.options.progress_handle().add(0)?;
        let budget = shared.budget();
        let larger = Table::<Entry<K, V>>::bytes(self.table.slots() * 2);
        let adders = shared.adders.load(Relaxed).max(1);
        // The old table exists until all groups have moved.
        let share = budget.limit() / adders / 3 * 2;
        if self.collector.is_empty() && larger <= share && self.table.grow(budget).is_ok() {
            return Ok(());
        }
        self.put_aside()
    }

    /// Moves all groups of the table to their partitions.
    fn put_aside(&mut self) -> Result<()> {
        // Each group is in one place only, the table or the collector, also after an error. Then a
        // look-up in the table may miss some of the remaining groups, and a key may get a second
        // group, until all are combined.
        let groups = self.table.len();
        for slot in 0..self.table.slots() {
            if let Some((hash, entry)) = self.table.get(slot) {
                self.collector.add(hash, entry, &mut self.writer)?;
                self.table.remove(slot);
            }
        }
        self.table.clear_for(usize::MAX);
        // If most keys are new, a large table only makes each of them wait for memory.
        let is_useless = self.added < groups.saturating_mul(2);
        let small = (SMALL_BYTES / Table::<Entry<K, V>>::bytes(1)).max(SLOTS_MIN);
        let small = (small + 1).next_power_of_two() / 2;
        if is_useless && self.table.slots() > small {
            if let Ok(table) = Table::new(self.seat.0.budget(), small) {
                self.table = table;
            }
        }
        // If nearly all are, so does any table.
        if self.added - groups < groups / 8 {
            self.passing = self.table.slots() * PASSED_FOR_EACH;
        }
        self.added = 0;
        Ok(())
    }

    /// Hands all groups over to the aggregator.
    ///
    /// # Errors
    ///
    /// Those of [`Aggregator::add`]; the groups of this adder are dropped.
    pub fn finish(mut self) -> Result<()> {
        let is_in_memory = self.collector.is_empty();
        if !is_in_memory {
            self.put_aside()?;
            self.collector.finish(&mut self.writer)?;
        }
        let mut finished = self.seat.0.lock();
        finished.left.push(if is_in_memory {
            Left::Table(self.table)
        } else {
            Left::Chains(std::mem::take(&mut self.collector.chains))
        });
        let reserve = self.collector.into_lease();
        finished.reserve.get_or_insert(reserve);
        Ok(())
    }
}

impl<K: Copy, V: Copy> fmt::Debug for Adder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adder")
            .field("groups_in_memory", &self.table.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::AtomicBool;

    use super::*;

    const BUDGET: u64 = 1 << 20;
    const VALUES: u64 = if cfg!(miri) { 2000 } else { 30_000 };

    /// Adds values by two threads, and returns the sums.
    fn sums(budget: &MemoryBudget, between: &mut dyn FnMut()) -> Result<HashMap<u64, u64>> {
        let sums = Aggregator::new(budget, |sum: &mut u64, more: u64| *sum += more);
        let adders = [sums.adder()?, sums.adder()?];
        between();
        std::thread::scope(|scope| {
            let threads = [0, 1].into_iter().zip(adders).map(|(first, mut adder)| {
                scope.spawn(move || {
                    for value in (first..VALUES).step_by(2) {
                        adder.add(value * 7 % (VALUES / 2), value)?;
                    }
                    adder.finish()
                })
            });
            let threads: Vec<_> = threads.collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap())
        })?;
        between();
        sums.finish()?.collect()
    }

    fn expected() -> HashMap<u64, u64> {
        let mut sums = HashMap::new();
        for value in 0..VALUES {
            *sums.entry(value * 7 % (VALUES / 2)).or_default() += value;
        }
        sums
    }

    /// An adder freed its reserve and then took memory for its buffers, and the end took the memory that
    /// adders had freed. Another operation that took it in between ended the work half way.
    #[test]
    fn memory_that_others_take_ends_no_work_half_way() {
        let budget = MemoryBudget::new(BUDGET);
        let mut others = Vec::new();
        let found = sums(&budget, &mut || {
            others.extend(budget.take_between(1, usize::MAX));
        });
        assert_eq!(found.unwrap(), expected());
        assert!(!others.is_empty());
        drop(others);
        assert_eq!(budget.used_bytes(), 0);

        for _ in 0..if cfg!(miri) { 1 } else { 10 } {
            let budget = MemoryBudget::new(BUDGET);
            let (has_begun, is_done) = (AtomicBool::new(false), AtomicBool::new(false));
            let found = std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !is_done.load(Relaxed) {
                        if has_begun.load(Relaxed) {
                            drop(budget.take_between(1, usize::MAX));
                        }
                        std::thread::yield_now();
                    }
                });
                let found = sums(&budget, &mut || has_begun.store(true, Relaxed));
                is_done.store(true, Relaxed);
                found
            });
            assert_eq!(found.unwrap(), expected());
            assert!(budget.peak_bytes() <= BUDGET);
        }
    }
}
