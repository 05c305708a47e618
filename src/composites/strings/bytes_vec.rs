//! The vector of byte strings: what one item at a time needs.

use std::ops::{Index, Range, RangeBounds};

use crate::budget::MemoryBudget;
use crate::bug::bug;
use crate::composites::strings::iter::{Iter, item};
use crate::containers::vec::{DiskVec, checked_range};
use crate::error::Result;
use crate::io::dir::ScratchDir;
use crate::mapping::advice::Advice;

/// A `Vec<Vec<u8>>` whose items live on disk with their bytes.
///
/// Items have any length; neither one nor all together are limited to 4 GiB. An item takes its bytes
/// and 8 more, and borrowing it copies nothing. Items are appended at the end and never changed in
/// place. Methods that may need space return a [`Result`]; a full disk is an error, never a signal.
///
/// Several threads can read a vector at the same time: a `&BytesVec` is an indexed view that is
/// [`Sync`]. For text there is [`StrVec`](crate::StrVec).
///
/// # Examples
///
/// ```
/// use outcore::BytesVec;
///
/// let mut blobs = BytesVec::new();
/// blobs.push([0xFF, 0])?;
/// blobs.push("text")?;
/// assert_eq!(&blobs[0], [0xFF, 0]);
/// assert_eq!(blobs.get(1), Some(&b"text"[..]));
/// assert_eq!((blobs.len(), blobs.len_bytes()), (2, 6));
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Larger than memory
///
/// An item that is not in memory costs two reads of the device: one for its place, one for its bytes.
/// Read many items by one call of [`get_many`](Self::get_many), go through all of them by
/// [`scan`](Self::scan), and sort them by [`sort_external`](Self::sort_external).
///
/// # Memory layout
///
/// Two [`DiskVec`]s: the bytes of all items one after another, and for each item where it ends, as a
/// number of 64 bits. Up to 64 KiB of each stay in memory. What `DiskVec` says about files, addresses,
/// windows, forked children and failing devices holds for both; a child can drop and clear a vector
/// of its parent, and must not read its items.
pub struct BytesVec {
    /// # Invariants
    ///
    /// 1. `offsets` is empty and so are `bytes`, or `offsets` begins with 0, ascends, and ends with
    ///    the length of `bytes`. Item `i` is the bytes from `offsets[i]` to `offsets[i + 1]`.
    pub(crate) bytes: DiskVec<u8>,
    pub(crate) offsets: DiskVec<u64>,
}

impl BytesVec {
    /// Makes an empty vector. Its files will be in the directory of [`ScratchDir::from_env`], which
    /// is asked when they are needed.
    ///
    /// # Cost
    ///
    /// None: no file, no memory and no addresses before the first item.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: DiskVec::new(),
            offsets: DiskVec::new(),
        }
    }

    /// Makes an empty vector whose files will be in `dir`.
    #[must_use]
    pub fn new_in(dir: &ScratchDir) -> Self {
        Self {
            bytes: DiskVec::new_in(dir),
            offsets: DiskVec::new_in(dir),
        }
    }

    /// Makes an empty vector whose items stay in memory, without files, as long as the budget has
    /// memory for them; see [`DiskVec::with_budget`].
    #[must_use]
    pub fn with_budget(budget: &MemoryBudget) -> Self {
        Self {
            bytes: DiskVec::with_budget(budget),
            offsets: DiskVec::with_budget(budget),
        }
    }

    /// Makes an empty vector as [`with_budget`](Self::with_budget), whose files will be in `dir`.
    #[must_use]
    pub fn with_budget_in(budget: &MemoryBudget, dir: &ScratchDir) -> Self {
        Self {
            bytes: DiskVec::with_budget_in(budget, dir),
            offsets: DiskVec::with_budget_in(budget, dir),
        }
    }

    /// Makes an empty vector that has space for `count` items of `bytes` bytes in all.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve).
    pub fn with_capacity(count: usize, bytes: usize) -> Result<Self> {
        let mut items = Self::new();
        items.reserve(count, bytes)?;
        Ok(items)
    }

    /// Makes an empty vector in `dir` that has space for `count` items of `bytes` bytes in all.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve).
    pub fn with_capacity_in(count: usize, bytes: usize, dir: &ScratchDir) -> Result<Self> {
        let mut items = Self::new_in(dir);
        items.reserve(count, bytes)?;
        Ok(items)
    }

    /// Appends an item.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut items = outcore::BytesVec::new();
    /// items.push(b"one")?;
    /// items.push(vec![2; 100_000])?;
    /// assert_eq!(items[1].len(), 100_000);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`DiskVec::push`]; the vector is unchanged.
    ///
    /// # Panics
    ///
    /// As `as_ref` does; the vector is unchanged.
    ///
    /// # Cost
    ///
    /// A copy of the bytes. Windows of both parts are written as by [`DiskVec::push`].
    #[inline]
    pub fn push(&mut self, item: impl AsRef<[u8]>) -> Result<()> {
        self.push_slice(item.as_ref())
    }

    #[inline]
    pub(super) fn push_slice(&mut self, item: &[u8]) -> Result<()> {
        let has_room = item.len() <= self.bytes.room() && self.offsets.room() > 0;
        if !has_room || self.offsets.is_empty() {
            return self.push_past_room(item);
        }
        self.bytes.extend_copied(item)?;
        self.offsets.push(self.bytes.len() as u64)
    }

    /// Appends an item for which a part may have to grow, or the first one.
    #[cold]
    #[inline(never)]
    fn push_past_room(&mut self, item: &[u8]) -> Result<()> {
        if self.offsets.is_empty() {
            self.offsets.push(0)?;
        }
        let len = self.bytes.len();
        self.extend_bytes(item)?;
        let end = self.bytes.len() as u64;
        let pushed = self.offsets.push(end);
        if pushed.is_err() {
            self.bytes.truncate(len);
        }
        pushed
    }

    /// Removes the last item and returns a copy of it, or `None` if there is none.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        let item = self.last()?.to_vec();
        self.truncate(self.len().saturating_sub(1));
        Some(item)
    }

    /// Removes all items behind the first `len`. Does nothing if there are none.
    ///
    /// The space stays preallocated; [`shrink_to_fit`](Self::shrink_to_fit) gives it back.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            let end = self.end_of(len);
            self.offsets.truncate(len.saturating_add(1));
            self.bytes.truncate(end);
        }
    }

    /// Removes all items. The space stays preallocated.
    pub fn clear(&mut self) {
        self.offsets.clear();
        self.bytes.clear();
    }

    /// Preallocates space for at least `count` more items of `bytes` bytes in all, and some more.
    ///
    /// # Errors
    ///
    /// Those of [`DiskVec::reserve`]. The items are unchanged; part of the space may be preallocated.
    ///
    /// # Cost
    ///
    /// One `fallocate` for each of the two parts.
    pub fn reserve(&mut self, count: usize, bytes: usize) -> Result<()> {
        let first = usize::from(self.offsets.is_empty());
        self.offsets.reserve(count.saturating_add(first))?;
        self.bytes.reserve(bytes)
    }

    /// Gives space that is not used back to the disk, up to whole pages.
    ///
    /// # Errors
    ///
    /// Those of [`DiskVec::shrink_to_fit`]: the items are unchanged, and part of the space may have
    /// been given back.
    pub fn shrink_to_fit(&mut self) -> Result<()> {
        self.offsets.shrink_to_fit()?;
        self.bytes.shrink_to_fit()
    }

    /// Returns the number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Returns whether there are no items.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.offsets.len() < 2
    }

    /// Returns the number of bytes of all items together.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns how many bytes the vector has preallocated on disk.
    pub fn disk_bytes(&self) -> u64 {
        let offsets = self.offsets.disk_bytes();
        self.bytes.disk_bytes().saturating_add(offsets)
    }

    /// Returns an item, or `None` past the end.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        match self.offsets.get(index..)? {
            [start, end, ..] => Some(item(&self.bytes, *start, *end)),
            _ => None,
        }
    }

    /// Returns the first item, or `None` if there is none.
    pub fn first(&self) -> Option<&[u8]> {
        self.get(0)
    }

    /// Returns the last item, or `None` if there is none.
    pub fn last(&self) -> Option<&[u8]> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Returns an iterator over all items.
    pub fn iter(&self) -> Iter<'_> {
        Iter::new(&self.bytes, &self.offsets)
    }

    /// Returns an iterator over the items of a range.
    ///
    /// # Panics
    ///
    /// If the range starts after its end, or ends after the length.
    #[track_caller]
    pub fn range(&self, range: impl RangeBounds<usize>) -> Iter<'_> {
        let range = checked_range(range, self.len());
        let offsets = range.start..range.end.saturating_add(1);
        Iter::new(&self.bytes, self.offsets.get(offsets).unwrap_or_default())
    }

    /// Returns the bytes of all items, which follow each other without gaps, and the offsets: item `i`
    /// is the bytes from `offsets[i]` to `offsets[i + 1]`.
    ///
    /// The offsets begin with 0, ascend, and end with the length of the bytes; an empty vector may have
    /// none. Unsafe code may rely on that. In a [`StrVec`](crate::StrVec) each item is UTF-8, too.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut items = outcore::BytesVec::new();
    /// items.try_extend(["one", "", "two"])?;
    /// assert_eq!(items.as_parts(), (&b"onetwo"[..], &[0, 3, 3, 6][..]));
    /// # Ok::<(), outcore::Error>(())
    /// ```
    pub fn as_parts(&self) -> (&[u8], &[u64]) {
        (&self.bytes, &self.offsets)
    }

    /// Searches the items, which are sorted, for one that is equal to `item`.
    ///
    /// # Errors
    ///
    /// The index at which `item` could be inserted, if there is none.
    pub fn binary_search(&self, item: impl AsRef<[u8]>) -> Result<usize, usize> {
        let item = item.as_ref();
        let index = self.partition_point(|other| other < item);
        if self.get(index) == Some(item) {
            Ok(index)
        } else {
            Err(index)
        }
    }

    /// Returns the index of the first item for which `is_before` is false, of items for which it is
    /// true first and false then.
    pub fn partition_point(&self, mut is_before: impl FnMut(&[u8]) -> bool) -> usize {
        let mut range = 0..self.len();
        while range.start < range.end {
            let middle = range.start.midpoint(range.end);
            if is_before(&self[middle]) {
                range.start = middle.saturating_add(1);
            } else {
                range.end = middle;
            }
        }
        range.start
    }

    /// Makes a copy of the vector, in the same directory.
    ///
    /// # Errors
    ///
    /// Those of [`DiskVec::try_copy`].
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Self {
            bytes: self.bytes.try_copy()?,
            offsets: self.offsets.try_copy()?,
        })
    }

    /// Tells the kernel in which order items will be accessed, now and as the vector grows.
    ///
    /// # Errors
    ///
    /// Those of [`DiskVec::advise`]. Part of the vector may have the advice then.
    pub fn advise(&mut self, advice: Advice) -> Result<()> {
        self.bytes.advise(advice)?;
        self.offsets.advise(advice)
    }

    /// Starts to read items from disk, and does not wait for them.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system refuses.
    ///
    /// # Panics
    ///
    /// If the range starts after its end, or ends after the length.
    ///
    /// # Cost
    ///
    /// Waits for the places of the first and the last item.
    #[track_caller]
    pub fn prefetch(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let (bytes, offsets) = self.parts_of(range);
        self.offsets.prefetch(offsets)?;
        self.bytes.prefetch(bytes)
    }

    /// Writes items back to disk and takes them out of memory, as far as they are in the files.
    ///
    /// # Errors
    ///
    /// Those of [`DiskVec::evict`].
    ///
    /// # Panics
    ///
    /// If the range starts after its end, or ends after the length.
    ///
    /// # Cost
    ///
    /// That of [`DiskVec::evict`], for both parts.
    #[track_caller]
    pub fn evict(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let (bytes, offsets) = self.parts_of(range);
        self.bytes.evict(bytes)?;
        self.offsets.evict(offsets)
    }

    /// Returns how many bytes of the vector are in memory and mapped by this process.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): `/proc/thread-self/pagemap` cannot be read.
    pub fn resident_bytes(&self) -> Result<u64> {
        let bytes = self.bytes.resident_bytes()?;
        Ok(bytes.saturating_add(self.offsets.resident_bytes()?))
    }

    /// Makes an empty vector in the same directory.
    pub(crate) fn empty_beside(&self) -> Self {
        Self {
            bytes: self.bytes.empty_beside(),
            offsets: self.offsets.empty_beside(),
        }
    }

    /// Returns the directory of the files, if it is known.
    pub(crate) fn dir(&self) -> Option<&ScratchDir> {
        self.bytes.dir().or(self.offsets.dir())
    }

    /// Refuses to work with items in a forked child that does not have all of them.
    pub(crate) fn check_inherited(&self) -> Result<()> {
        self.bytes.check_inherited()?;
        self.offsets.check_inherited()
    }

    /// Returns which bytes and which offsets a range of items takes.
    #[track_caller]
    fn parts_of(&self, range: impl RangeBounds<usize>) -> (Range<usize>, Range<usize>) {
        let range = checked_range(range, self.len());
        if range.is_empty() {
            return (0..0, 0..0);
        }
        let bytes = self.end_of(range.start)..self.end_of(range.end);
        (bytes, range.start..range.end.saturating_add(1))
    }

    /// Returns how many bytes the first `count` items have, of which there are as many.
    pub(super) fn end_of(&self, count: usize) -> usize {
        let end = self.offsets.get(count).copied();
        let end = end.and_then(|end| usize::try_from(end).ok());
        end.unwrap_or_else(|| bug!("item {count} of {} has no place", self.len()))
    }
}

impl Index<usize> for BytesVec {
    type Output = [u8];

    #[inline]
    #[track_caller]
    fn index(&self, index: usize) -> &[u8] {
        match self.get(index) {
            Some(item) => item,
            None => past_end(index, self.len()),
        }
    }
}

#[cold]
#[track_caller]
pub(super) fn past_end(index: usize, len: usize) -> ! {
    panic!("index out of bounds: the len is {len} but the index is {index}")
}

impl Default for BytesVec {
    fn default() -> Self {
        Self::new()
    }
}
