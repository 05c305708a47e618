//! Sorting and shuffling vectors of strings: as records of a [`Sorter`], from a thread for each part
//! of the vector into a new vector, which then takes its place.
#![expect(
    unsafe_code,
    reason = "rearranges the items of a vector of strings; see docs/safety.md"
)]

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::composites::strings::{BytesVec, StrVec, text};
use crate::error::Result;
use crate::external::options::Options;
use crate::external::records::{Sorter, SorterWriter};
use crate::external::vec::mix;
use crate::external::workers::{Stop, on_threads};

/// Items after which a thread looks whether another has failed.
const LOOK_COUNT: usize = 4096;

/// Writes the key of an item, whose index is known too, to an empty buffer.
type Key<'k> = dyn Fn(usize, &[u8], &mut Vec<u8>) + Sync + 'k;

/// What a vector is rearranged by.
enum By<'k> {
    /// The items' own bytes; of items that are equal, one stays if `unique`.
    Bytes { unique: bool },
    /// The bytes of keys. Items with equal keys keep their order.
    Key(&'k Key<'k>),
}

impl BytesVec {
    /// Sorts the items by their bytes, within a budget of memory.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{BytesVec, MemoryBudget};
    ///
    /// let mut items = BytesVec::try_from([&[2, 0][..], &[1], &[2]])?;
    /// items.sort_external(&MemoryBudget::new(8 << 20))?;
    /// assert_eq!(items, [&[1][..], &[2], &[2, 0]]);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The vector is unchanged after each of them.
    ///
    /// * [`OverBudget`](crate::ErrorKind::OverBudget): the budget has less than
    ///   [`MIN_BYTES`](crate::MemoryBudget::MIN_BYTES) left.
    /// * [`ItemTooLarge`](crate::ErrorKind::ItemTooLarge): an item is longer than a 32nd of the
    ///   budget.
    /// * [`StorageFull`](crate::ErrorKind::StorageFull),
    ///   [`FileTooLarge`](crate::ErrorKind::FileTooLarge), [`Io`](crate::ErrorKind::Io): there is no
    ///   space for the sorted vector, or for what does not fit into memory.
    /// * [`Forked`](crate::ErrorKind::Forked): the vector was made before a `fork`, in the parent.
    /// * [`Cancelled`](crate::ErrorKind::Cancelled): the progress of the options was cancelled.
    ///
    /// # Cost
    ///
    /// Space for a second vector as long as this one, and for runs of the items that do not fit into
    /// memory. Items are read once and written once if all fit, and twice otherwise. A vector that
    /// is sorted is only read.
    pub fn sort_external(&mut self, options: impl Into<Options>) -> Result<()> {
        if is_sorted(self)? {
            options.into().progress_handle().end();
            return Ok(());
        }
        rearrange(self, &By::Bytes { unique: false }, options.into())
    }

    /// Sorts the items by their bytes and keeps one of those that are equal, within a budget of
    /// memory.
    ///
    /// # Errors
    ///
    /// Those of [`sort_external`](Self::sort_external).
    ///
    /// # Cost
    ///
    /// That of [`sort_external`](Self::sort_external). Repeats within the memory are removed before
    /// anything is written.
    pub fn sort_external_unique(&mut self, options: impl Into<Options>) -> Result<()> {
        rearrange(self, &By::Bytes { unique: true }, options.into())
    }

    /// Sorts the items by the bytes of keys, which `key` writes to an empty buffer, within a budget
    /// of memory. Items with equal keys keep their order. The function is called by several threads.
    ///
    /// # Errors
    ///
    /// Those of [`sort_external`](Self::sort_external); an item counts with its key.
    ///
    /// # Panics
    ///
    /// As `key` does; the vector is unchanged.
    ///
    /// # Cost
    ///
    /// That of [`sort_external`](Self::sort_external), with the keys. Each is made once.
    pub fn sort_external_by_key(
        &mut self,
        options: impl Into<Options>,
        key: impl Fn(&[u8], &mut Vec<u8>) + Sync,
    ) -> Result<()> {
        let key = |_index: usize, item: &[u8], target: &mut Vec<u8>| key(item, target);
        rearrange(self, &By::Key(&key), options.into())
    }

    /// Puts the items into a random order, within a budget of memory.
    ///
    /// The same seed puts as many items into the same order on every machine and with every budget.
    ///
    /// # Errors
    ///
    /// Those of [`sort_external`](Self::sort_external).
    ///
    /// # Cost
    ///
    /// That of [`sort_external`](Self::sort_external), with keys of 8 bytes.
    pub fn shuffle_external(&mut self, options: impl Into<Options>, seed: u64) -> Result<()> {
        let seed = mix(seed);
        let key = |index: usize, _item: &[u8], target: &mut Vec<u8>| {
            let chance = mix(seed ^ mix(index as u64));
            target.extend_from_slice(&chance.to_be_bytes());
        };
        rearrange(self, &By::Key(&key), options.into())
    }
}

impl StrVec {
    /// Sorts the strings by their bytes, which is the order of `str`, within a budget of memory.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{MemoryBudget, StrVec};
    ///
    /// let mut names = StrVec::try_from(["Grace", "Ada", "Alan"])?;
    /// names.sort_external(&MemoryBudget::new(8 << 20))?;
    /// assert_eq!(names, ["Ada", "Alan", "Grace"]);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`BytesVec::sort_external`]; the vector is unchanged.
    ///
    /// # Cost
    ///
    /// That of [`BytesVec::sort_external`].
    pub fn sort_external(&mut self, options: impl Into<Options>) -> Result<()> {
        self.items().sort_external(options)
    }

    /// Sorts the strings and keeps one of those that are equal, within a budget of memory.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{MemoryBudget, StrVec};
    ///
    /// let mut names = StrVec::try_from(["Grace", "Ada", "Grace"])?;
    /// names.sort_external_unique(&MemoryBudget::new(8 << 20))?;
    /// assert_eq!(names, ["Ada", "Grace"]);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`BytesVec::sort_external`]; the vector is unchanged.
    ///
    /// # Cost
    ///
    /// That of [`BytesVec::sort_external_unique`].
    pub fn sort_external_unique(&mut self, options: impl Into<Options>) -> Result<()> {
        self.items().sort_external_unique(options)
    }

    /// Sorts the strings by the bytes of keys, which `key` writes to an empty buffer, within a budget
    /// of memory. Strings with equal keys keep their order. The function is called by several
    /// threads.
    ///
    /// # Examples
    ///
    /// By the second field of a line, and by a number, whose bytes are in its order if the highest
    /// comes first:
    ///
    /// ```
    /// use outcore::{MemoryBudget, StrVec};
    ///
    /// let budget = MemoryBudget::new(8 << 20);
    /// let mut lines = StrVec::try_from(["1\tpear", "20\tapple", "3\tplum"])?;
    /// lines.sort_external_by_key(&budget, |line, key| {
    ///     key.extend_from_slice(line.split('\t').nth(1).unwrap_or("").as_bytes());
    /// })?;
    /// assert_eq!(lines, ["20\tapple", "1\tpear", "3\tplum"]);
    ///
    /// lines.sort_external_by_key(&budget, |line, key| {
    ///     let number: u32 = line.split('\t').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    ///     key.extend_from_slice(&number.to_be_bytes());
    /// })?;
    /// assert_eq!(lines, ["1\tpear", "3\tplum", "20\tapple"]);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`BytesVec::sort_external_by_key`]; the vector is unchanged.
    ///
    /// # Panics
    ///
    /// As `key` does; the vector is unchanged.
    ///
    /// # Cost
    ///
    /// That of [`BytesVec::sort_external_by_key`].
    pub fn sort_external_by_key(
        &mut self,
        options: impl Into<Options>,
        key: impl Fn(&str, &mut Vec<u8>) + Sync,
    ) -> Result<()> {
        let key = |_index: usize, item: &[u8], target: &mut Vec<u8>| {
            // SAFETY: `rearrange` passes items of this vector.
            key(unsafe { text(item) }, target);
        };
        rearrange(self.items(), &By::Key(&key), options.into())
    }

    /// Puts the strings into a random order, within a budget of memory.
    ///
    /// The same seed puts as many strings into the same order on every machine and with every budget.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{MemoryBudget, StrVec};
    ///
    /// let mut names = StrVec::new();
    /// names.try_extend((0..10_000).map(|n| format!("{n:05}")))?;
    /// names.shuffle_external(&MemoryBudget::new(8 << 20), 42)?;
    /// assert!(!names.iter().is_sorted());
    /// assert_eq!((names.len(), names.len_bytes()), (10_000, 50_000));
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`BytesVec::sort_external`]; the vector is unchanged.
    ///
    /// # Cost
    ///
    /// That of [`BytesVec::shuffle_external`].
    pub fn shuffle_external(&mut self, options: impl Into<Options>, seed: u64) -> Result<()> {
        self.items().shuffle_external(options, seed)
    }

    /// Returns the items, which are moved and removed here, and nothing else.
    fn items(&mut self) -> &mut BytesVec {
        // SAFETY: `rearrange` makes a vector of copies of items of this one, each of which is UTF-8,
        // and nothing else here changes the items.
        unsafe { self.as_mut_bytes_vec() }
    }
}

/// Returns whether the items are in the order of their bytes.
fn is_sorted(items: &BytesVec) -> Result<bool> {
    items.check_inherited()?;
    Ok(items.scan().is_sorted())
}

/// Moves all items to where `by` wants them.
fn rearrange(items: &mut BytesVec, by: &By<'_>, options: Options) -> Result<()> {
    let count = items.len();
    let progress = options.progress_handle().clone();
    if count < 2 {
        progress.begin(0);
        return Ok(());
    }
    items.check_inherited()?;
    // Each record is written to a run once, and read once, with its head.
    let bytes = (items.len_bytes() as u64).saturating_add((count as u64).saturating_mul(8));
    progress.begin(bytes.saturating_mul(2));
    let unique = matches!(by, By::Bytes { unique: true });
    let mut arranged = items.empty_beside();
    if !unique {
        // Preallocated before any work, so that a full disk is an error at once.
        arranged.reserve(count, items.len_bytes())?;
    }
    let options = match items.dir() {
        Some(dir) => options.dir(dir),
        None => options,
    };
    let threads = options.threads_for(options.budget().free());
    let sorter = Sorter::builder(options);
    let sorter = if unique { sorter.unique() } else { sorter }.build()?;
    push_all(items, by, &sorter, threads)?;
    let mut records = sorter.sorted()?;
    while let Some((key, value)) = records.next()? {
        arranged.push(match by {
            By::Bytes { .. } => key,
            By::Key(_) => value,
        })?;
    }
    drop(records);
    *items = arranged;
    progress.end();
    Ok(())
}

/// Adds all items to a sorter, in order, from several threads.
fn push_all(items: &BytesVec, by: &By<'_>, sorter: &Sorter, threads: usize) -> Result<()> {
    // Made before any of them works, so that each has its share of the memory.
    let writers: Result<Vec<_>> = (0..threads.max(1)).map(|_| sorter.writer()).collect();
    let writers: Vec<_> = writers?
        .into_iter()
        .map(|writer| Mutex::new(Some(writer)))
        .collect();
    let share = items.len().div_ceil(writers.len().max(1));
    let take = |number: usize| -> Option<SorterWriter> {
        let slot = writers.get(number)?;
        slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    };
    on_threads(writers.len(), &|number, stop| {
        let Some(mut writer) = take(number) else {
            return Ok(());
        };
        let start = number.saturating_mul(share).min(items.len());
        let part = start..start.saturating_add(share).min(items.len());
        push_part(items, by, &mut writer, part, stop)?;
        if let Some(slot) = writers.get(number) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        }
        Ok(())
    })?;
    // In the order of the parts: equal keys stay in the order of the items.
    (0..writers.len())
        .filter_map(take)
        .try_for_each(SorterWriter::finish)
}

fn push_part(
    items: &BytesVec,
    by: &By<'_>,
    writer: &mut SorterWriter,
    part: Range<usize>,
    stop: &Stop,
) -> Result<()> {
    let mut key = Vec::new();
    for (item, index) in items.scan_range(part.clone()).zip(part) {
        match by {
            By::Bytes { .. } => writer.push(item, [])?,
            By::Key(write) => {
                key.clear();
                write(index, item, &mut key);
                writer.push(&key, item)?;
            }
        }
        if index % LOOK_COUNT == 0 && stop.is_set() {
            break;
        }
    }
    Ok(())
}
