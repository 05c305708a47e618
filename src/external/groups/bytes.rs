//! Groups of keys that are byte strings.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "sizes of memory, which the budget bounds"
)]

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::Array;
use crate::error::{Error, ErrorKind, Result};
use crate::external::groups::keys::{Group, Keys, Left, VALUE_BYTES_MAX, write_run};
use crate::external::groups::ordered::BytesGroups;
use crate::external::groups::table::{SLOTS_MIN, Secret, Slot, Table};
use crate::external::groups::value::GroupValue;
use crate::external::options::Options;
use crate::external::records::{Run, Sorter};

/// The longest piece of memory for keys.
const CHUNK_BYTES_MAX: usize = 1 << 20;

pub(super) type Combine<V> = dyn Fn(&mut V, V) + Send + Sync;

/// Combines values of equal keys, for keys of bytes of any length, within a budget of memory.
///
/// Groups are in a hash table for each adder while they fit. When they do not, the content of a table
/// goes to disk as a sorted run. Tables, or runs, are merged at the end, so groups are returned in the
/// order of their keys.
///
/// # Examples
///
/// ```
/// use outcore::MemoryBudget;
/// use outcore::external::BytesAggregator;
///
/// let text = "the quick brown fox jumps over the lazy dog the end";
/// let budget = MemoryBudget::new(8 << 20);
/// let mut counts = BytesAggregator::new(&budget, |count: &mut u64, more: u64| *count += more);
/// for word in text.split(' ') {
///     counts.add(word, 1)?;
/// }
/// let mut groups = counts.finish()?;
/// assert_eq!(groups.next()?, Some((&b"brown"[..], 1)));
/// let mut last = Vec::new();
/// while let Some((word, count)) = groups.next()? {
///     last = [word, count.to_string().as_bytes()].concat();
/// }
/// assert_eq!(last, b"the3");
/// # Ok::<(), outcore::Error>(())
/// ```
pub struct BytesAggregator<V: GroupValue> {
    shared: Arc<Shared<V>>,
    own: Option<BytesAdder<V>>,
}

struct Shared<V: GroupValue> {
    options: Options,
    combine: Arc<Combine<V>>,
    secret: Secret,
    /// Created with the first value.
    sorter: Mutex<Option<Sorter>>,
    adders: AtomicUsize,
    finished: Mutex<Vec<Left<V>>>,
}

impl<V: GroupValue + 'static> Shared<V> {
    fn finished(&self) -> MutexGuard<'_, Vec<Left<V>>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the sorter, and creates it if there is none.
    fn sorter(&self) -> Result<Sorter> {
        let mut sorter = self.sorter.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sorter) = &*sorter {
            return Ok(sorter.share());
        }
        let combine = Arc::clone(&self.combine);
        let made = Sorter::builder(&self.options).combine(move |value, more| {
            let (mut first, mut second) = (value.as_slice(), more);
            let mut combined = V::take_from(&mut first);
            combine(&mut combined, V::take_from(&mut second));
            value.clear();
            combined.append_to(value);
        });
        Ok(sorter.insert(made.build()?).share())
    }
}

impl<V: GroupValue + 'static> BytesAggregator<V> {
    /// Creates an aggregator; `combine` changes the first of two values by the second. The result
    /// should not depend on the order of values, nor on how they are grouped.
    pub fn new(
        options: impl Into<Options>,
        combine: impl Fn(&mut V, V) + Send + Sync + 'static,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                options: options.into(),
                combine: Arc::new(combine),
                secret: Secret::new(),
                sorter: Mutex::new(None),
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
    /// * [`ItemTooLarge`](ErrorKind::ItemTooLarge): the key is longer than about a 64th of the
    ///   budget, or the value has more than 1 KiB.
    /// * [`OverBudget`](ErrorKind::OverBudget): at the first value, the budget has less than
    ///   [`MIN_BYTES`](crate::MemoryBudget::MIN_BYTES) left.
    /// * [`StorageFull`](ErrorKind::StorageFull), [`FileTooLarge`](ErrorKind::FileTooLarge),
    ///   [`Io`](ErrorKind::Io), [`Forked`](ErrorKind::Forked): groups cannot be written to disk.
    /// * [`Cancelled`](ErrorKind::Cancelled): the progress of the options was cancelled.
    ///
    /// # Panics
    ///
    /// If `combine` panics. No group is lost; that of the key has the value or what `combine` left.
    pub fn add(&mut self, key: impl AsRef<[u8]>, value: V) -> Result<()> {
        match &mut self.own {
            Some(own) => own.add(key, value),
            none => none.insert(BytesAdder::new(&self.shared)?).add(key, value),
        }
    }

    /// Creates an adder for another thread. Its groups belong to the aggregator when it is
    /// [finished](BytesAdder::finish).
    ///
    /// # Errors
    ///
    /// [`OverBudget`](ErrorKind::OverBudget): there is no memory left for another.
    pub fn adder(&self) -> Result<BytesAdder<V>> {
        BytesAdder::new(&self.shared)
    }

    /// Returns all groups in the order of their keys, except those of adders that are not finished.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add), and of [`Sorter::sorted`].
    ///
    /// # Cost
    ///
    /// Sorts what the adder of the aggregator itself has, and writes it if anything was written before.
    /// What is on disk is merged by threads as [`Sorter::sorted`] says, which call `combine` too.
    pub fn finish(mut self) -> Result<BytesGroups<V>> {
        if let Some(own) = self.own.take() {
            own.finish()?;
        }
        let shared = &self.shared;
        let mut left = std::mem::take(&mut *shared.finished());
        let sorter = shared
            .sorter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(sorter) = sorter else {
            return Ok(BytesGroups::empty(&shared.combine));
        };
        if !sorter.has_runs() {
            return Ok(BytesGroups::in_memory(left, &shared.combine));
        }
        for left in &mut left {
            let run = write_run(&sorter, left)?;
            sorter.add_runs(run.into_iter().collect());
        }
        drop(left);
        Ok(BytesGroups::on_disk(sorter.sorted()?, &shared.combine))
    }
}

impl<V: GroupValue> fmt::Debug for BytesAggregator<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BytesAggregator")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

/// Adds to a [`BytesAggregator`] from another thread; made by [`BytesAggregator::adder`].
///
/// The groups of an adder that is dropped before it is [finished](Self::finish) are lost.
pub struct BytesAdder<V: GroupValue> {
    shared: Arc<Shared<V>>,
    /// `None` only at the end.
    left: Option<Left<V>>,
    runs: Vec<Run>,
    /// The memory that a single adder can have.
    memory: usize,
    /// Memory that is used again for the bytes of each value.
    spare: Vec<u8>,
}

impl<V: GroupValue> Drop for BytesAdder<V> {
    fn drop(&mut self) {
        self.shared.adders.fetch_sub(1, Relaxed);
    }
}

impl<V: GroupValue> fmt::Debug for BytesAdder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BytesAdder")
            .field("runs", &self.runs.len())
            .finish_non_exhaustive()
    }
}

impl<V: GroupValue + 'static> BytesAdder<V> {
    fn new(shared: &Arc<Shared<V>>) -> Result<Self> {
        const ACTION: &str = "group values";
        let sorter = shared.sorter()?;
        let (memory, block) = (sorter.memory(), sorter.block_bytes());
        let budget = shared.options.budget();
        let keys = Array::new(budget, block, ACTION)?;
        let left = Left {
            table: Table::new(budget, SLOTS_MIN)?,
            keys: Keys::new(keys),
            buffer: Array::new(budget, block, ACTION)?,
            is_sorted: false,
        };
        shared.adders.fetch_add(1, Relaxed);
        Ok(Self {
            shared: Arc::clone(shared),
            left: Some(left),
            runs: Vec::new(),
            spare: Vec::new(),
            memory,
        })
    }

    /// Adds a value to the group of a key.
    ///
    /// # Errors
    ///
    /// Those of [`BytesAggregator::add`].
    pub fn add(&mut self, key: impl AsRef<[u8]>, value: V) -> Result<()> {
        self.add_bytes(key.as_ref(), value)
    }

    fn add_bytes(&mut self, key: &[u8], value: V) -> Result<()> {
        let hash = self.shared.secret.hash_bytes(key);
        loop {
            let Some(left) = &mut self.left else {
                return Ok(());
            };
            let keys = &left.keys;
            let is_it = |group: &Group<V>| group.len as usize == key.len() && keys.of(group) == key;
            let found = left.table.find(hash, is_it);
            if matches!(found, Slot::Free(_)) {
                check_lens(key, value, left.buffer.len(), &mut self.spare)?;
            }
            match found {
                Slot::Taken(slot) => {
                    if let Some(group) = left.table.get_mut(slot) {
                        (self.shared.combine)(&mut group.value, value);
                    }
                    return Ok(());
                }
                Slot::Free(slot) if !left.table.is_full() => {
                    if let Some((chunk, at, len)) = left.keys.push(key) {
                        left.table.insert(
                            slot,
                            hash,
                            Group {
                                word: 0,
                                chunk,
                                at,
                                len,
                                value,
                            },
                        );
                        return Ok(());
                    }
                    self.more_keys()?;
                }
                Slot::Free(_) => self.larger_table()?,
            }
        }
    }

    /// Returns whether the adder can have `bytes` more of memory.
    fn may_grow(&self, bytes: usize) -> bool {
        let Some(left) = &self.left else { return false };
        let has = Table::<Group<V>>::bytes(left.table.slots())
            .saturating_add(left.keys.memory())
            .saturating_add(left.buffer.len());
        let adders = self.shared.adders.load(Relaxed).max(1);
        has.saturating_add(bytes) <= self.memory / adders
    }

    /// Makes room for a key that is shorter than a block.
    #[cold]
    fn more_keys(&mut self) -> Result<()> {
        let block = self.left.as_ref().map_or(0, |left| left.buffer.len());
        let chunk = (self.memory / 32).clamp(block, CHUNK_BYTES_MAX.max(block));
        let budget = self.shared.options.budget();
        if self.may_grow(chunk) {
            if let (Ok(chunk), Some(left)) = (
                Array::new(budget, chunk, "keep keys in memory"),
                &mut self.left,
            ) {
                left.keys.chunks.push(chunk);
                return Ok(());
            }
        }
        self.put_aside()
    }

    /// Makes the table larger, or writes its groups to disk.
    #[cold]
    fn larger_table(&mut self) -> Result<()> {
        let slots = self.left.as_ref().map_or(0, |left| left.table.slots());
        // The old table exists until all groups have moved.
        if self.may_grow(Table::<Group<V>>::bytes(slots * 2)) {
            if let Some(left) = &mut self.left {
                if left.table.grow(self.shared.options.budget()).is_ok() {
                    return Ok(());
                }
            }
        }
        self.put_aside()
    }

    /// Writes all groups to a run. After an error all of them are still in memory, but a look-up
    /// may miss some; then a key can have two groups until all are merged.
    fn put_aside(&mut self) -> Result<()> {
        self.shared.options.progress_handle().add(0)?;
        let Some(left) = &mut self.left else {
            return Ok(());
        };
        let sorter = self.shared.sorter()?;
        let run = write_run(&sorter, left)?;
        self.runs.extend(run);
        left.table.clear_for(usize::MAX);
        left.keys.clear();
        Ok(())
    }

    /// Hands all groups over to the aggregator.
    ///
    /// # Errors
    ///
    /// Those of [`BytesAggregator::add`]; the groups of this adder are dropped.
    ///
    /// # Cost
    ///
    /// Sorts the groups that are in memory, and writes them if others were written before: what several
    /// threads do at the same time if each finishes its own adder.
    pub fn finish(mut self) -> Result<()> {
        if !self.runs.is_empty() {
            self.put_aside()?;
            let runs = std::mem::take(&mut self.runs);
            self.shared.sorter()?.add_runs(runs);
        } else if let Some(mut left) = self.left.take() {
            left.sort();
            self.shared.finished().push(left);
        }
        Ok(())
    }
}

/// Checks that a new group fits into a block, in which it is written to disk.
fn check_lens<V: GroupValue>(
    key: &[u8],
    value: V,
    block: usize,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let most = block.saturating_sub(VALUE_BYTES_MAX + 64);
    bytes.clear();
    value.append_to(bytes);
    if key.len() <= most && bytes.len() <= VALUE_BYTES_MAX {
        return Ok(());
    }
    let reason = format!(
        "the key has {} bytes, the value {}; with this budget they may have {most} and \
         {VALUE_BYTES_MAX}",
        key.len(),
        bytes.len()
    );
    Err(Error::refused(
        ErrorKind::ItemTooLarge,
        "group a value",
        reason,
    ))
}
