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
use crate::error::{Error, ErrorKind, Result};
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
    pub(super) finished: Mutex<Vec<Left<K, V>>>,
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

    fn lock(&self) -> MutexGuard<'_, Vec<Left<K, V>>> {
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
                finished: Mutex::new(Vec::new()),
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
    /// * [`OverBudget`](ErrorKind::OverBudget): at the first value, the budget has less than
    ///   [`MIN_BYTES`](MemoryBudget::MIN_BYTES) left, or too little for keys and values of this
    ///   size.
    /// * [`StorageFull`](ErrorKind::StorageFull), [`FileTooLarge`](ErrorKind::FileTooLarge),
    ///   [`Io`](ErrorKind::Io), [`Forked`](ErrorKind::Forked): groups cannot be written to disk.
    /// * [`Cancelled`](ErrorKind::Cancelled): the progress of the options was cancelled.
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
    /// [`OverBudget`](ErrorKind::OverBudget): there is no memory left for another.
    pub fn adder(&self) -> Result<Adder<K, V>> {
        Adder::new(&self.shared)
    }

    /// Returns all groups in an unspecified order, except those of adders that are not finished.
    ///
    /// # Errors
    ///
    /// * Those of [`add`](Self::add).
    /// * [`OverBudget`](ErrorKind::OverBudget): other operations have taken the memory that
    ///   combining groups needs.
    pub fn finish(mut self) -> Result<Groups<K, V>> {
        if let Some(own) = self.own.take() {
            own.finish()?;
        }
        let left = std::mem::take(&mut *self.shared.lock());
        Groups::new(Arc::clone(&self.shared), left)
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
    shared: Arc<Shared<K, V>>,
    table: Table<Entry<K, V>>,
    /// Reserved for the collector.
    reserve: Option<Lease>,
    aside: Option<Aside<K, V>>,
    /// Values added since the table was empty.
    added: usize,
}

/// The groups on disk, and the buffers for writing them.
struct Aside<K: Copy, V: Copy> {
    collector: Collector<Entry<K, V>>,
    writer: ChainWriter<Entry<K, V>>,
}

impl<K: Copy, V: Copy> Drop for Adder<K, V> {
    fn drop(&mut self) {
        self.shared.adders.fetch_sub(1, Relaxed);
    }
}

impl<K: Copy + Eq + Hash, V: Copy> Adder<K, V> {
    fn new(shared: &Arc<Shared<K, V>>) -> Result<Self> {
        let budget = shared.budget();
        let collector = Collector::bytes(shared.partitions, shared.blocks);
        let table = Table::<Entry<K, V>>::bytes(SLOTS_MIN);
        let least = collector.saturating_add(table.saturating_mul(3));
        let is_first = shared.adders.load(Relaxed) == 0;
        let least = if is_first { least.max(MIN) } else { least };
        let reserve = budget
            .take(collector)
            .filter(|_| budget.free().saturating_add(collector) >= least);
        let Some(reserve) = reserve else {
            let reason = format!(
                "{least} bytes of memory are needed at least, and of the budget's {} bytes {} are \
                 not taken",
                budget.limit(),
                budget.free()
            );
            return Err(Error::refused(
                ErrorKind::OverBudget,
                "group values",
                reason,
            ));
        };
        let table = Table::new(budget, SLOTS_MIN)?;
        shared.adders.fetch_add(1, Relaxed);
        Ok(Self {
            shared: Arc::clone(shared),
            table,
            reserve: Some(reserve),
            aside: None,
            added: 0,
        })
    }

    /// Adds a value to the group of a key.
    ///
    /// # Errors
    ///
    /// Those of [`Aggregator::add`].
    #[inline]
    pub fn add(&mut self, key: K, value: V) -> Result<()> {
        let hash = self.shared.secret.hash_one(key);
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
                    (self.shared.combine)(&mut entry.value, value);
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
        let shared = Arc::clone(&self.shared);
        shared.options.progress_handle().add(0)?;
        let budget = shared.budget();
        let larger = Table::<Entry<K, V>>::bytes(self.table.slots() * 2);
        let adders = shared.adders.load(Relaxed).max(1);
        // The old table exists until all groups have moved.
        let share = budget.limit() / adders / 3 * 2;
        if self.aside.is_none() && larger <= share && self.table.grow(budget).is_ok() {
            return Ok(());
        }
        self.put_aside()
    }

    /// Moves all groups of the table to their partitions.
    fn put_aside(&mut self) -> Result<()> {
        let shared = &self.shared;
        let aside = match &mut self.aside {
            Some(aside) => aside,
            none => {
                drop(self.reserve.take());
                none.insert(Aside {
                    collector: Collector::new(shared.budget(), shared.partitions, shared.blocks)?,
                    writer: ChainWriter::new(&shared.spool, shared.blocks),
                })
            }
        };
        // Each group is in one place only, the table or the collector, also after an error. Then a
        // look-up in the table may miss some of the remaining groups, and a key may get a second
        // group, until all are combined.
        let groups = self.table.len();
        for slot in 0..self.table.slots() {
            if let Some((hash, entry)) = self.table.get(slot) {
                aside.collector.add(hash, entry, &mut aside.writer)?;
                self.table.remove(slot);
            }
        }
        self.table.clear_for(usize::MAX);
        // If most keys are new, a large table only makes each of them wait for memory.
        let is_useless = self.added < groups.saturating_mul(2);
        let small = (SMALL_BYTES / Table::<Entry<K, V>>::bytes(1)).max(SLOTS_MIN);
        let small = (small + 1).next_power_of_two() / 2;
        if is_useless && self.table.slots() > small {
            if let Ok(table) = Table::new(shared.budget(), small) {
                self.table = table;
            }
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
        let left = if self.aside.is_some() {
            self.put_aside()?;
            let Some(mut aside) = self.aside.take() else {
                return Ok(());
            };
            aside.collector.finish(&mut aside.writer)?;
            Left::Chains(std::mem::take(&mut aside.collector.chains))
        } else {
            let empty = Table::new(self.shared.budget(), 2)?;
            Left::Table(std::mem::replace(&mut self.table, empty))
        };
        self.shared.lock().push(left);
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
