//! Operations on vectors that are larger than memory: sorting and shuffling.
//!
//! Every operation has two passes. The first moves elements within the vector: to blocks of one
//! bucket (`partition`), or to sorted runs (`runs`). The second reads buckets or merges runs, and
//! writes the result to a second vector, which was reserved before anything moved. The two are
//! exchanged at the end. Until then the first holds all elements, in some order, whatever happens.
//!
//! Functions of the caller get elements in their places in the vector, or in a buffer whose content
//! goes back there, and never a copy beside the original: they may change the content of a cell,
//! and only one of two copies would have the change.
#![expect(
    unsafe_code,
    reason = "says which elements may be moved where; see docs/safety.md"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "sizes of what is in memory or on disk"
)]

mod by_word;
mod distribute;
#[cfg(test)]
mod faults;
mod merge;
mod partition;
mod runs;
mod shuffle;

pub(super) use self::distribute::mix;

use std::cmp::Ordering;
use std::marker::PhantomData;

use crate::budget::{Buf, MIN as MEMORY_MIN};
use crate::containers::vec::DiskVec;
use crate::containers::vec::places::Places;
use crate::error::Result;
use crate::external::key::{SortKey, Word};
use crate::external::options::Options;
use crate::external::vec::by_word::{ByWord, Keyed, Own, Words};
use crate::external::vec::distribute::{
    Path, Scheme, bytes_wanted, check_memory, distribute, fits,
};
use crate::external::vec::merge::{is_merged, merge, merge_bytes};
use crate::external::vec::partition::Source;
use crate::external::vec::runs::{ByKey, Compared, Natural, Order, run_bytes, run_len, sort_runs};
use crate::external::vec::shuffle::Shuffle;

/// The name of sorting in errors.
const SORT: &str = "sort a vector";

/// The memory that an operation may take besides that for its elements.
const MEMORY_MORE: usize = 1 << 20;

/// # Work on vectors larger than memory
///
/// These methods take a [`MemoryBudget`](crate::MemoryBudget), or [`Options`] with one, and need no
/// more memory than it has, besides what [it does not count](crate::MemoryBudget). Elements of any
/// type are moved as bytes, and dropped once.
///
/// On disk they take space for a second copy of the elements, which is reserved before the first of
/// them moves, and freed at the end. Elements that fit into the budget, with twice their size for
/// keys of at most 64 bits, are sorted without it.
impl<T: Send> DiskVec<T> {
    /// Sorts the elements, within a budget of memory. Equal elements keep their order.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{DiskVec, MemoryBudget};
    ///
    /// let mut numbers = DiskVec::new();
    /// numbers.try_extend((0..1_000_000_u64).map(|n| n * 7_919 % 1_000_003))?;
    /// numbers.sort_external(&MemoryBudget::new(4 << 20))?;
    /// assert!(numbers.is_sorted());
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The vector holds the same elements after each of them, in some order.
    ///
    /// * [`OverBudget`](crate::ErrorKind::OverBudget): the budget has less than
    ///   [`MIN_BYTES`](crate::MemoryBudget::MIN_BYTES) left, or too little for a few hundred
    ///   elements. Nothing has moved.
    /// * [`OutOfMemory`](crate::ErrorKind::OutOfMemory): the system does not have the memory that
    ///   the budget permits.
    /// * [`StorageFull`](crate::ErrorKind::StorageFull),
    ///   [`FileTooLarge`](crate::ErrorKind::FileTooLarge): there is no space for a second copy.
    ///   Nothing has moved.
    /// * [`Forked`](crate::ErrorKind::Forked): the vector was created before a `fork`, in the
    ///   parent.
    /// * [`Cancelled`](crate::ErrorKind::Cancelled): the [`Progress`](crate::external::Progress) of
    ///   the options was cancelled.
    /// * [`Io`](crate::ErrorKind::Io): the system failed to read or write.
    ///
    /// # Panics
    ///
    /// If a method of the key panics. The vector holds the same elements, in some order.
    ///
    /// # Cost
    ///
    /// Reads and writes the elements twice; a sorted vector is read once. Exact keys are not
    /// compared, but distributed by samples of them, and sorted by their digits; others are sorted
    /// in runs, which are merged. Elements move to other addresses.
    pub fn sort_external(&mut self, options: impl Into<Options>) -> Result<()>
    where
        T: SortKey,
    {
        let options = options.into();
        if !T::EXACT {
            self.sort_by_order(&Natural, &options)
        } else if T::PREFIX_BITS <= 64 {
            self.sort_by_word(Own::<u64>(PhantomData), &options)
        } else {
            self.sort_by_word(Own::<u128>(PhantomData), &options)
        }
    }

    /// Sorts the elements by a key, within a budget of memory. Elements of equal keys keep their
    /// order. `key` is called several times for each element, by several threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cmp::Reverse;
    /// use outcore::{DiskVec, MemoryBudget};
    ///
    /// let mut words = DiskVec::try_from(vec!["one", "three", "five", "eleven"])?;
    /// words.sort_external_by_key(&MemoryBudget::new(4 << 20), |word| Reverse(word.len()))?;
    /// assert_eq!(words, ["eleven", "three", "five", "one"]);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`sort_external`](Self::sort_external).
    ///
    /// # Panics
    ///
    /// If `key` panics. The vector holds the same elements, in some order.
    pub fn sort_external_by_key<K: SortKey>(
        &mut self,
        options: impl Into<Options>,
        key: impl Fn(&T) -> K + Sync,
    ) -> Result<()> {
        let options = options.into();
        if !K::EXACT {
            self.sort_by_order(&ByKey(key), &options)
        } else if K::PREFIX_BITS <= 64 {
            self.sort_by_word(Keyed::<_, u64>(&key, PhantomData), &options)
        } else {
            self.sort_by_word(Keyed::<_, u128>(&key, PhantomData), &options)
        }
    }

    /// Sorts the elements by a function that compares them, within a budget of memory. Equal
    /// elements keep their order. The function is called by several threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{DiskVec, MemoryBudget};
    ///
    /// let mut points = DiskVec::try_from(vec![(1, 9), (3, 2), (2, 2)])?;
    /// let budget = MemoryBudget::new(4 << 20);
    /// points.sort_external_by(&budget, |a, b| a.1.cmp(&b.1).then(a.0.cmp(&b.0)))?;
    /// assert_eq!(points, [(2, 2), (3, 2), (1, 9)]);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`sort_external`](Self::sort_external).
    ///
    /// # Panics
    ///
    /// If `compare` panics, and possibly if it is no total order. The vector holds the same
    /// elements, in some order.
    ///
    /// # Cost
    ///
    /// That of [`sort_external`](Self::sort_external). If there is a key, sorting by it is faster.
    pub fn sort_external_by(
        &mut self,
        options: impl Into<Options>,
        compare: impl Fn(&T, &T) -> Ordering + Sync,
    ) -> Result<()> {
        self.sort_by_order(&Compared(compare), &options.into())
    }

    /// Puts the elements into a random order, within a budget of memory.
    ///
    /// All orders are equally likely, as far as 64 bits of `seed` can choose. The same seed gives
    /// the same order for the same number of elements, on every machine and with every budget.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{DiskVec, MemoryBudget};
    ///
    /// let mut numbers = DiskVec::new();
    /// numbers.try_extend(0..1_000_000_u64)?;
    /// numbers.shuffle_external(&MemoryBudget::new(4 << 20), 42)?;
    /// assert!(!numbers.is_sorted());
    /// assert_eq!(numbers.iter().sum::<u64>(), 499_999_500_000);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`sort_external`](Self::sort_external).
    ///
    /// # Cost
    ///
    /// Reads and writes the elements twice.
    pub fn shuffle_external(&mut self, options: impl Into<Options>, seed: u64) -> Result<()> {
        let number = mix(seed);
        self.rearrange(&Shuffle, Path { depth: 0, number }, &options.into())
    }

    /// Sorts by comparisons.
    fn sort_by_order<O: Order<T>>(&mut self, order: &O, options: &Options) -> Result<()> {
        let count = self.len();
        let progress = options.progress_handle();
        if size_of::<T>() == 0 {
            self.sort_by(|element, other| order.compare(element, other));
        }
        if size_of::<T>() == 0 || count < 2 {
            progress.begin(0);
            return Ok(());
        }
        let all = count.saturating_mul(size_of::<T>());
        progress.begin((all as u64).saturating_mul(4));
        let most = run_bytes::<T, O>(count);
        let least = MEMORY_MIN.min(most);
        let budget = options.budget();
        let merging = merge_bytes::<T>(options.threads_for(budget.free()));
        // Taken first, so that no other operation has it after the runs are sorted; their memory is
        // freed then, since the kernel needs it more.
        let merging = Buf::new(
            budget,
            merge_bytes::<T>(1).min(least),
            merging.min(most),
            SORT,
        )?;
        let least = least.saturating_sub(merging.len());
        let mut buf = Buf::new(budget, least, most, SORT)?;
        // Preallocated before anything moves, so that a full disk is an error at once.
        let is_one = run_len::<T, O>(buf.len()) >= count;
        let sorted = if is_one {
            None
        } else {
            Some(self.with_places(count)?)
        };
        let places = self.places()?;
        // SAFETY: all places hold elements, and the vector is borrowed exclusively.
        let len = unsafe { sort_runs(&places, order, &mut buf, options) }?;
        // SAFETY: as above.
        let is_merged = unsafe { is_merged(&places, order, len) };
        drop(buf);
        if let (false, Some(mut sorted)) = (is_merged, sorted) {
            let mut buf = merging;
            let target = sorted.places_of(count)?;
            // SAFETY: as above; the target is as long and free.
            unsafe { merge(&places, &target, order, len, &mut buf, options) }?;
            drop((places, target));
            // SAFETY: every element was moved to a place of the target.
            unsafe { self.replace_by(sorted) };
        }
        progress.end();
        Ok(())
    }

    /// Sorts by words that are exact.
    fn sort_by_word<K: Words<T>>(&mut self, keys: K, options: &Options) -> Result<()> {
        // Elements without size may be as many as there are numbers.
        if self.len() > 1 && size_of::<T>() > 0 {
            let places = self.places()?;
            // SAFETY: all places hold elements, and the vector is borrowed exclusively.
            if unsafe { is_sorted(&places, &keys) } {
                options.progress_handle().end();
                return Ok(());
            }
        }
        self.rearrange(&ByWord(keys), Path::default(), options)
    }

    /// Moves all elements to the places that the scheme chooses.
    fn rearrange(&mut self, scheme: &impl Scheme<T>, path: Path, options: &Options) -> Result<()> {
        let count = self.len();
        let progress = options.progress_handle();
        if size_of::<T>() == 0 || count < 2 {
            progress.begin(0);
            return Ok(());
        }
        let all = count.saturating_mul(size_of::<T>());
        progress.begin((all as u64).saturating_mul(4));
        progress.add(0)?;
        let wanted = bytes_wanted(count, scheme);
        let most = wanted
            .saturating_add(MEMORY_MORE)
            .max(MEMORY_MIN.min(4 * wanted));
        let least = MEMORY_MIN.min(most);
        let mut buf = Buf::new(options.budget(), least, most, "rearrange a vector")?;
        let parts = [((0, count), 0)];
        let source = Source::new(&parts);
        if fits(buf.len(), count, scheme) {
            let threads = options.threads_for(buf.len());
            let places = self.places()?;
            // SAFETY: all places hold elements, the vector is borrowed exclusively, and the target
            // is the source.
            unsafe { scheme.arrange(buf.room(), &places, &places, &source, 0, path, threads) }?;
            progress.end();
            return Ok(());
        }
        check_memory(buf.len(), count, scheme, options)?;
        let mut sorted = self.with_places(count)?;
        let places = self.places()?;
        let target = sorted.places_of(count)?;
        // SAFETY: all places hold elements, the target is as long and empty, and both vectors are
        // borrowed exclusively.
        unsafe {
            distribute(
                &places,
                &target,
                &source,
                0,
                path,
                scheme,
                buf.room(),
                options,
            )
        }?;
        drop((places, target));
        // SAFETY: every element was moved to a place of the target.
        unsafe { self.replace_by(sorted) };
        progress.end();
        Ok(())
    }
}

/// Bytes of the elements that are checked at a time.
const LOOK_BYTES: usize = 1 << 20;

/// Returns whether elements are in the order of their words.
///
/// # Safety
///
/// All places hold elements, and nothing else uses them.
unsafe fn is_sorted<T, K: Words<T>>(places: &Places<'_, T>, keys: &K) -> bool {
    let step = (LOOK_BYTES / size_of::<T>().max(1)).max(1);
    let mut last = K::Word::from_prefix(0);
    let mut start = 0;
    while start < places.count() {
        let end = places.count().min(start + step);
        let next = places.count().min(end + 2 * step);
        places.will_need(end..next);
        // SAFETY: the caller keeps this contract.
        for element in unsafe { places.elements(start..end) } {
            let word = keys.word(element);
            if word < last {
                places.let_go(start..end);
                return false;
            }
            last = word;
        }
        places.let_go(start..end);
        start = end;
    }
    true
}
