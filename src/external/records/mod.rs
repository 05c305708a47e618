//! Sorting records: a key and a value of bytes each, of any length, from any number of writers.
//!
//! A writer collects records in `chunk`s, and sorts each when it is full. When its memory is used
//! up, it merges its chunks into a sorted `run` on disk and continues. At the end `merge` merges
//! runs and chunks, once or, if there are more than memory has buffers for, several times. Values
//! that take too much memory for that are written at once, by `long`. A `code` says how a key compares
//! with the one before it, so that merges compare numbers. Threads take what is in memory in `parts`;
//! `streams` come from threads that each merge a share of what is on disk.

mod chunk;
mod code;
#[cfg(test)]
mod faults;
mod long;
mod merge;
mod pack;
mod parts;
mod reserve;
mod run;
mod sorted;
mod streams;
pub(super) mod words;
mod writer;

pub(super) use self::chunk::Record;
pub use self::parts::{SortedPart, SortedParts};
pub(super) use self::run::Run;
pub use self::sorted::Sorted;
pub use self::writer::SorterWriter;

use std::cmp::Ordering;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::{MIN as MEMORY_MIN, MemoryBudget};
use crate::error::Result;
use crate::external::options::Options;
use crate::external::records::chunk::{Chunk, HEAD_BYTES, KeyOrder};
use crate::external::records::long::STUB_BYTES;
use crate::external::records::merge::Rules;
use crate::external::records::reserve::Reserve;
use crate::external::records::run::RunWriter;
use crate::io::extents::ExtentFile;

/// The longest and the shortest block of a run.
const BLOCK_BYTES_MAX: usize = 256 << 10;
const BLOCK_BYTES_MIN: usize = if cfg!(test) { 4 << 10 } else { 16 << 10 };

/// The longest chunk: about what the second-level cache of a core holds.
const CHUNK_BYTES_MAX: usize = 2 << 20;

/// Sorts records, each a key and a value of bytes, within a budget of memory.
///
/// Any number of [writers](Self::writer) add records, from as many threads. Records of equal keys
/// of one writer are returned in the order in which they were added; those of different writers in
/// an unspecified order.
///
/// # Examples
///
/// ```
/// use outcore::MemoryBudget;
/// use outcore::external::Sorter;
///
/// let sorter = Sorter::new(&MemoryBudget::new(8 << 20))?;
/// let mut writer = sorter.writer()?;
/// for n in 0..100_000_u32 {
///     let key = n.reverse_bits().to_be_bytes();
///     writer.push(key, format!("value {n}"))?;
/// }
/// writer.finish()?;
///
/// let mut sorted = sorter.sorted()?;
/// let mut last = Vec::new();
/// while let Some((key, value)) = sorted.next()? {
///     assert!(last.as_slice() < key && value.starts_with(b"value "));
///     last = key.to_vec();
/// }
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Memory layout
///
/// Records are stored as they are, with 8 bytes for their lengths, and 16 bytes of an index while
/// they are in memory. Runs are extents of one scratch file, in blocks of at most 256 KiB. The
/// checksum of a block covers its run and position, so data that a device loses or mixes up are an
/// error. Runs are freed while they are read. The value of a record that is longer than a 32nd of
/// the budget is not merged: it is written to the file at once, and read when its record is returned.
#[derive(Debug)]
pub struct Sorter {
    shared: Arc<Shared>,
}

/// The options of a [`Sorter`]: made by [`Sorter::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct SorterBuilder {
    options: Options,
    rules: Rules,
}

/// The state that a sorter and its writers share.
struct Shared {
    options: Options,
    rules: Rules,
    spool: Arc<ExtentFile>,
    block_bytes: usize,
    chunk_bytes: usize,
    /// The longest record that is merged as it is: the value of a longer one is put aside.
    short_bytes_max: usize,
    /// The longest record.
    record_bytes_max: usize,
    /// The longest value so far that was put aside.
    long_bytes: AtomicUsize,
    /// Writers that have memory.
    writers: AtomicUsize,
    /// The number of the next run.
    next_run: AtomicU64,
    /// Reserved for the merge at the end, however much memory writers take.
    reserve_bytes: usize,
    reserve: Arc<Reserve>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The part of each finished writer, in order.
    finished: Vec<Part>,
    is_sorted: bool,
}

/// The part of a writer: its runs, and the chunks that follow them.
#[derive(Debug, Default)]
struct Part {
    runs: Vec<Run>,
    chunks: Vec<Arc<Chunk>>,
}

impl Shared {
    fn budget(&self) -> &MemoryBudget {
        self.options.budget()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_run(&self) -> u64 {
        self.next_run.fetch_add(1, Relaxed)
    }

    /// Returns the memory that joining records may need while a run is written. The reserve has it
    /// for one writer at a time.
    fn joining_bytes(&self) -> usize {
        let buffers = match (&self.rules.combine, self.rules.is_unique) {
            (Some(_), _) => 3,
            (None, true) => 1,
            (None, false) => 0,
        };
        self.short_bytes_max.saturating_mul(buffers)
    }

    fn key_bytes_max(&self) -> usize {
        let besides = HEAD_BYTES.saturating_add(STUB_BYTES);
        self.short_bytes_max.saturating_sub(besides)
    }

    /// Returns the memory that each writer can have.
    fn share(&self) -> usize {
        let all = self.budget().limit().saturating_sub(self.reserve_bytes);
        all.div_euclid(self.writers.load(Relaxed).max(1))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .field("writers", &self.writers)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SorterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SorterBuilder")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Sorter {
    /// Creates a sorter that sorts by the bytes of keys, and keeps all records.
    ///
    /// # Errors
    ///
    /// Those of [`SorterBuilder::build`].
    pub fn new(options: impl Into<Options>) -> Result<Self> {
        Self::builder(options).build()
    }

    /// Returns a builder for a sorter with another order, or one that joins equal keys.
    pub fn builder(options: impl Into<Options>) -> SorterBuilder {
        SorterBuilder {
            options: options.into(),
            rules: Rules::default(),
        }
    }

    /// Creates a writer. Its records belong to the sorter when it is
    /// [finished](SorterWriter::finish).
    ///
    /// # Errors
    ///
    /// [`OverBudget`](crate::ErrorKind::OverBudget): there is no memory left for its first records.
    pub fn writer(&self) -> Result<SorterWriter> {
        SorterWriter::new(Arc::clone(&self.shared))
    }

    /// Returns the records in order, except those of writers that are not finished; these cannot
    /// add records any more.
    ///
    /// # Errors
    ///
    /// * [`OverBudget`](crate::ErrorKind::OverBudget): other operations have taken the memory for
    ///   merging.
    /// * [`StorageFull`](crate::ErrorKind::StorageFull),
    ///   [`FileTooLarge`](crate::ErrorKind::FileTooLarge), [`Io`](crate::ErrorKind::Io): where runs
    ///   have to be merged more than once.
    /// * [`Cancelled`](crate::ErrorKind::Cancelled): the progress of the options was cancelled.
    ///
    /// # Cost
    ///
    /// Records in memory are merged directly. If there are more runs than memory has buffers for,
    /// some are merged to longer ones first.
    ///
    /// Where records are on disk and have 16 MiB or more in all, up to four threads each merge a share
    /// of them, and end with the result: one for each core, or one less than
    /// [`Options::threads`] says, as far as the budget has memory. Each copies its records once more, into
    /// three batches of at most 128 KiB, or of a 256th of the budget, or of the longest record. Functions
    /// of the sorter are called in those threads too.
    pub fn sorted(self) -> Result<Sorted> {
        Sorted::new(&self.shared)
    }

    /// Returns the records in order as [`sorted`](Self::sorted) does, but in parts of about
    /// `part_bytes` bytes, which threads can take at the same time. There is one part only where
    /// records are on disk.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::MemoryBudget;
    /// use outcore::external::Sorter;
    ///
    /// let sorter = Sorter::new(&MemoryBudget::new(64 << 20))?;
    /// let mut writer = sorter.writer()?;
    /// for n in 0..100_000_u32 {
    ///     writer.push(n.reverse_bits().to_be_bytes(), [])?;
    /// }
    /// writer.finish()?;
    ///
    /// let parts = sorter.sorted_parts(256 << 10)?;
    /// let mut least = Vec::new();
    /// while let Some(mut part) = parts.next_part()? {
    ///     // Other threads might have taken the parts before this one.
    ///     if let Some((key, _value)) = part.next()? {
    ///         least.push(key.to_vec());
    ///     }
    /// }
    /// assert!(least.len() > 3 && least.is_sorted());
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`sorted`](Self::sorted).
    ///
    /// # Cost
    ///
    /// As [`sorted`](Self::sorted). Besides, a search in each chunk in memory for each part, and 4
    /// bytes of the budget.
    pub fn sorted_parts(self, part_bytes: usize) -> Result<SortedParts> {
        SortedParts::new(&self.shared, part_bytes)
    }

    /// Returns how long a record can be, key and value together, with 8 bytes for their lengths:
    /// three quarters of the budget; where values are [combined](SorterBuilder::combine), a 32nd of
    /// it.
    pub fn record_bytes_max(&self) -> usize {
        self.shared.record_bytes_max
    }

    /// Returns how long a key can be: about a 32nd of the budget, since a merge holds many.
    pub fn key_bytes_max(&self) -> usize {
        self.shared.key_bytes_max()
    }
}

/// Functions for groups of byte strings.
impl Sorter {
    /// Returns another handle of the same sorter.
    pub(in crate::external) fn share(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Returns the length of a block of a run.
    pub(in crate::external) fn block_bytes(&self) -> usize {
        self.shared.block_bytes
    }

    /// Returns the memory that is not reserved for merging.
    pub(in crate::external) fn memory(&self) -> usize {
        let kept = self.shared.reserve_bytes;
        self.shared.budget().limit().saturating_sub(kept)
    }

    /// Begins a run for records of `bytes` bytes in all.
    pub(in crate::external) fn begin_run<'b>(
        &self,
        bytes: u64,
        buffer: &'b mut [u8],
    ) -> Result<RunWriter<'b>> {
        let (number, packs) = (self.shared.new_run(), self.shared.rules.packs);
        RunWriter::new(&self.shared.spool, number, (bytes, 0), buffer, packs)
    }

    /// Returns whether there are any runs.
    pub(in crate::external) fn has_runs(&self) -> bool {
        !self.shared.lock().finished.is_empty()
    }

    /// Adds runs.
    pub(in crate::external) fn add_runs(&self, runs: Vec<Run>) {
        let chunks = Vec::new();
        self.shared.lock().finished.push(Part { runs, chunks });
    }
}

impl SorterBuilder {
    /// Sets another order of keys than that of their bytes.
    pub fn compare(
        mut self,
        compare: impl Fn(&[u8], &[u8]) -> Ordering + Send + Sync + 'static,
    ) -> Self {
        self.rules.order = KeyOrder {
            compare: Some(Arc::new(compare)),
        };
        self
    }

    /// Keeps one record of each key: of the records of one writer, the first.
    pub fn unique(mut self) -> Self {
        self.rules.is_unique = true;
        self
    }

    /// Joins records of equal keys: `combine` changes the value of the first by that of the second.
    ///
    /// `combine` is called as runs are written and merged, in an unspecified order, so the result
    /// should not depend on how values are grouped. It must not wait for another writer of the
    /// sorter. A joined record must not be longer than a record can be.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::MemoryBudget;
    /// use outcore::external::Sorter;
    ///
    /// let sorter = Sorter::builder(&MemoryBudget::new(8 << 20));
    /// let sorter = sorter.combine(|value, more| value.extend_from_slice(more)).build()?;
    /// let mut writer = sorter.writer()?;
    /// for (key, value) in [("b", "1"), ("a", "2"), ("b", "3")] {
    ///     writer.push(key, value)?;
    /// }
    /// writer.finish()?;
    /// let mut sorted = sorter.sorted()?;
    /// assert_eq!(sorted.next()?, Some((&b"a"[..], &b"2"[..])));
    /// assert_eq!(sorted.next()?, Some((&b"b"[..], &b"13"[..])));
    /// assert_eq!(sorted.next()?, None);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    pub fn combine(
        mut self,
        combine: impl Fn(&mut Vec<u8>, &[u8]) + Send + Sync + 'static,
    ) -> Self {
        self.rules.combine = Some(Arc::new(combine));
        self
    }

    /// Packs what is put on disk by LZ4, block by block, where that makes it shorter. Reading and
    /// writing costs processor time for less traffic: of use where records look alike and the disk is
    /// slow or small.
    #[cfg(feature = "lz4")]
    #[cfg_attr(docsrs, doc(cfg(feature = "lz4")))]
    pub fn lz4(mut self) -> Self {
        self.rules.packs = true;
        self
    }

    /// Creates the sorter.
    ///
    /// # Errors
    ///
    /// [`OverBudget`](crate::ErrorKind::OverBudget): the budget has less than
    /// [`MIN_BYTES`](MemoryBudget::MIN_BYTES) left.
    pub fn build(self) -> Result<Sorter> {
        let budget = self.options.budget();
        let limit = budget.limit();
        let reserve_bytes = (limit / 4).max(MEMORY_MIN / 4);
        let least = MEMORY_MIN;
        let reserve = budget
            .take(reserve_bytes)
            .filter(|_| budget.free().saturating_add(reserve_bytes) >= least);
        let Some(reserve) = reserve else {
            return Err(budget.refusal(least, "sort records"));
        };
        let chunk_bytes = (limit / 64).clamp(BLOCK_BYTES_MIN, CHUNK_BYTES_MAX);
        // The reserve has room for two of them, for what they become, which may be kept with twice
        // its length for a while, and for a block.
        let short_bytes_max = (limit / 32).min(u32::MAX as usize / 4);
        let record_bytes_max = if self.rules.combine.is_some() {
            short_bytes_max
        } else {
            // The rest is for a merge of two runs, and for joining keys.
            limit.saturating_sub(limit / 4)
        };
        let spool = Arc::new(ExtentFile::new(self.options.scratch_dir().cloned()));
        Ok(Sorter {
            shared: Arc::new(Shared {
                rules: self.rules,
                spool,
                block_bytes: (limit / 64).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX),
                chunk_bytes,
                short_bytes_max,
                record_bytes_max,
                long_bytes: AtomicUsize::new(0),
                writers: AtomicUsize::new(0),
                next_run: AtomicU64::new(1),
                reserve_bytes,
                reserve: Reserve::new(reserve),
                state: Mutex::new(State::default()),
                options: self.options,
            }),
        })
    }
}
