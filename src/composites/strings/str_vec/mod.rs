//! The vector of strings: a vector of byte strings, each of which is UTF-8.
//!
//! `read` has what is for strings that are not in memory, `from_utf8` the check of others' items.
#![expect(
    unsafe_code,
    reason = "lends bytes as text that was checked on the way in; see docs/safety.md"
)]

mod from_utf8;
mod iter;
mod read;

pub use self::from_utf8::FromUtf8Error;
pub use self::iter::{StrIter, StrScan};

use std::ops::{Index, RangeBounds};
use std::str;

use crate::budget::MemoryBudget;
use crate::composites::strings::bytes_vec::{BytesVec, past_end};
use crate::error::Result;
use crate::io::dir::ScratchDir;

/// A `Vec<String>` whose strings live on disk with their text.
///
/// Strings have any length; neither one nor all together are limited to 4 GiB. A string takes its
/// bytes and 8 more, and borrowing it copies nothing: UTF-8 is checked on the way in and never again.
/// Strings are appended at the end and never changed in place. Methods that may need space return a
/// [`Result`]; a full disk is an error, never a signal.
///
/// Several threads can read a vector at the same time: a `&StrVec` is an indexed view that is
/// [`Sync`]. With rayon: `(0..names.len()).into_par_iter().map(|n| &names[n])`.
///
/// # Examples
///
/// ```
/// use outcore::{MemoryBudget, StrVec};
///
/// let mut names = StrVec::new();
/// names.push("Grace")?;
/// names.try_extend(["Ada", "Alan"])?;
/// assert_eq!(&names[1], "Ada");
/// assert_eq!(names.pop().as_deref(), Some("Alan"));
/// names.try_extend((0..10_000).map(|n| format!("name {n}")))?;
///
/// names.sort_external(&MemoryBudget::new(8 << 20))?;
/// assert_eq!(names.binary_search("Grace"), Ok(1));
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Larger than memory
///
/// A string that is not in memory costs two reads of the device: one for its place, one for its
/// bytes. Read many strings by one call of [`get_many`](Self::get_many), go through all of them by
/// [`scan`](Self::scan), and sort them by [`sort_external`](Self::sort_external).
///
/// # Memory layout
///
/// That of [`BytesVec`]: the text of all strings in one [`DiskVec`](crate::DiskVec), and where each
/// ends, as a number of 64 bits, in another.
#[derive(Default)]
pub struct StrVec {
    /// # Invariants
    ///
    /// 1. Each item is UTF-8: it was pushed from a `str`, or checked.
    items: BytesVec,
}

/// Returns an item as text.
///
/// # Safety
///
/// It is an item of a [`StrVec`].
#[inline]
pub(crate) unsafe fn text(item: &[u8]) -> &str {
    debug_assert!(str::from_utf8(item).is_ok());
    // SAFETY: the items of such a vector are UTF-8 (invariant 1), as the caller vouches.
    unsafe { str::from_utf8_unchecked(item) }
}

impl StrVec {
    /// Makes an empty vector. Its files will be in the directory of [`ScratchDir::from_env`], which
    /// is asked when they are needed.
    ///
    /// # Cost
    ///
    /// None: no file, no memory and no addresses before the first string.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            items: BytesVec::new(),
        }
    }

    /// Makes an empty vector whose files will be in `dir`.
    #[must_use]
    pub fn new_in(dir: &ScratchDir) -> Self {
        Self {
            items: BytesVec::new_in(dir),
        }
    }

    /// Makes an empty vector whose strings stay in memory, without files, as long as the budget has
    /// memory for them; see [`DiskVec::with_budget`](crate::DiskVec::with_budget).
    #[must_use]
    pub fn with_budget(budget: &MemoryBudget) -> Self {
        Self {
            items: BytesVec::with_budget(budget),
        }
    }

    /// Makes an empty vector as [`with_budget`](Self::with_budget), whose files will be in `dir`.
    #[must_use]
    pub fn with_budget_in(budget: &MemoryBudget, dir: &ScratchDir) -> Self {
        Self {
            items: BytesVec::with_budget_in(budget, dir),
        }
    }

    /// Makes an empty vector that has space for `count` strings of `bytes` bytes in all.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve).
    pub fn with_capacity(count: usize, bytes: usize) -> Result<Self> {
        let items = BytesVec::with_capacity(count, bytes)?;
        Ok(Self { items })
    }

    /// Makes an empty vector in `dir` that has space for `count` strings of `bytes` bytes in all.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve).
    pub fn with_capacity_in(count: usize, bytes: usize, dir: &ScratchDir) -> Result<Self> {
        let items = BytesVec::with_capacity_in(count, bytes, dir)?;
        Ok(Self { items })
    }

    /// Returns the strings as byte strings.
    pub fn into_bytes_vec(self) -> BytesVec {
        self.items
    }

    /// Returns the strings as byte strings.
    #[inline]
    pub fn as_bytes_vec(&self) -> &BytesVec {
        &self.items
    }

    /// Returns the strings as byte strings that can be moved, copied and removed.
    ///
    /// # Safety
    ///
    /// Whatever is done, each item is UTF-8 afterwards.
    pub(crate) unsafe fn as_mut_bytes_vec(&mut self) -> &mut BytesVec {
        &mut self.items
    }

    /// Appends a string.
    ///
    /// # Errors
    ///
    /// Those of [`DiskVec::push`](crate::DiskVec::push); the vector is unchanged.
    ///
    /// # Panics
    ///
    /// As `as_ref` does; the vector is unchanged.
    ///
    /// # Cost
    ///
    /// A copy of the text. Windows of both parts are written as by
    /// [`DiskVec::push`](crate::DiskVec::push).
    #[inline]
    pub fn push(&mut self, string: impl AsRef<str>) -> Result<()> {
        self.items.push_slice(string.as_ref().as_bytes())
    }

    /// Removes the last string and returns a copy of it, or `None` if there is none.
    pub fn pop(&mut self) -> Option<String> {
        let string = self.last()?.to_owned();
        self.truncate(self.len().saturating_sub(1));
        Some(string)
    }

    /// Removes all strings behind the first `len`. Does nothing if there are none.
    ///
    /// The space stays preallocated; [`shrink_to_fit`](Self::shrink_to_fit) gives it back.
    pub fn truncate(&mut self, len: usize) {
        self.items.truncate(len);
    }

    /// Removes all strings. The space stays preallocated.
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// Appends the strings of an iterator.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push). What was appended before stays; the string that found no space
    /// is dropped, and the iterator is not asked for more.
    pub fn try_extend(&mut self, strings: impl IntoIterator<Item: AsRef<str>>) -> Result<()> {
        strings.into_iter().try_for_each(|string| self.push(string))
    }

    /// Appends copies of all strings of a slice.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push). The vector is unchanged: nothing of the slice is appended. That
    /// also holds when an `as_ref` panics.
    pub fn extend_from_slice(&mut self, strings: &[impl AsRef<str>]) -> Result<()> {
        self.items.extend_all(strings.len(), || {
            strings.iter().map(|string| string.as_ref().as_bytes())
        })
    }

    /// Moves all strings of another vector to the end of this one.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve) and [`push`](Self::push); the strings of both vectors are
    /// unchanged.
    ///
    /// # Cost
    ///
    /// A copy of all strings.
    pub fn append(&mut self, other: &mut Self) -> Result<()> {
        self.items.append(&mut other.items)
    }

    /// Appends copies of all strings of another vector.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve) and [`push`](Self::push); the strings are unchanged.
    pub fn extend_from_vec(&mut self, other: &Self) -> Result<()> {
        self.items.extend_from_vec(&other.items)
    }

    /// Preallocates space for at least `count` more strings of `bytes` bytes in all, and some more.
    ///
    /// # Errors
    ///
    /// Those of [`DiskVec::reserve`](crate::DiskVec::reserve). The strings are unchanged; part of the
    /// space may be preallocated.
    pub fn reserve(&mut self, count: usize, bytes: usize) -> Result<()> {
        self.items.reserve(count, bytes)
    }

    /// Gives space that is not used back to the disk, up to whole pages.
    ///
    /// # Errors
    ///
    /// Those of [`DiskVec::shrink_to_fit`](crate::DiskVec::shrink_to_fit): the strings are unchanged,
    /// and part of the space may have been given back.
    pub fn shrink_to_fit(&mut self) -> Result<()> {
        self.items.shrink_to_fit()
    }

    /// Returns the number of strings.
    #[inline]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether there are no strings.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the number of bytes of all strings together.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        self.items.len_bytes()
    }

    /// Returns how many bytes the vector has preallocated on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.items.disk_bytes()
    }

    /// Returns a string, or `None` past the end.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&str> {
        let item = self.items.get(index)?;
        // SAFETY: it is an item of this vector.
        Some(unsafe { text(item) })
    }

    /// Returns the first string, or `None` if there is none.
    pub fn first(&self) -> Option<&str> {
        self.get(0)
    }

    /// Returns the last string, or `None` if there is none.
    pub fn last(&self) -> Option<&str> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Returns an iterator over all strings.
    pub fn iter(&self) -> StrIter<'_> {
        StrIter(self.items.iter())
    }

    /// Returns an iterator over the strings of a range.
    ///
    /// # Panics
    ///
    /// If the range starts after its end, or ends after the length.
    #[track_caller]
    pub fn range(&self, range: impl RangeBounds<usize>) -> StrIter<'_> {
        StrIter(self.items.range(range))
    }

    /// Searches the strings, which are sorted, for one that is equal to `string`.
    ///
    /// # Errors
    ///
    /// The index at which `string` could be inserted, if there is none.
    pub fn binary_search(&self, string: impl AsRef<str>) -> Result<usize, usize> {
        self.items.binary_search(string.as_ref())
    }

    /// Returns the index of the first string for which `is_before` is false, of strings for which it
    /// is true first and false then.
    pub fn partition_point(&self, mut is_before: impl FnMut(&str) -> bool) -> usize {
        self.items.partition_point(|item| {
            // SAFETY: it is an item of this vector.
            is_before(unsafe { text(item) })
        })
    }

    /// Makes a copy of the vector, in the same directory.
    ///
    /// # Errors
    ///
    /// Those of [`DiskVec::try_copy`](crate::DiskVec::try_copy).
    pub fn try_clone(&self) -> Result<Self> {
        let items = self.items.try_clone()?;
        Ok(Self { items })
    }
}

impl Index<usize> for StrVec {
    type Output = str;

    #[inline]
    #[track_caller]
    fn index(&self, index: usize) -> &str {
        match self.get(index) {
            Some(string) => string,
            None => past_end(index, self.len()),
        }
    }
}
