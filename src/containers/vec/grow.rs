//! The methods that add elements; those that can add all or none of them.
#![expect(unsafe_code, reason = "moves and writes elements; see docs/safety.md")]

use std::ptr;

use crate::containers::vec::DiskVec;
use crate::error::Result;
use crate::io::dir::ScratchDir;
use crate::mapping::region::Region;

/// Truncates a vector to its old length on drop, unless it is told not to: undoes an extension that
/// failed or panicked halfway.
struct Undo<'a, T> {
    vec: &'a mut DiskVec<T>,
    len: usize,
}

impl<T> Drop for Undo<'_, T> {
    fn drop(&mut self) {
        self.vec.truncate(self.len);
    }
}

impl<T> DiskVec<T> {
    /// Appends clones of all elements of a slice.
    ///
    /// # Errors
    ///
    /// Those of [`push`](DiskVec::push). The vector is unchanged: no element of the slice is
    /// appended. That also holds when a `clone` panics.
    pub fn extend_from_slice(&mut self, slice: &[T]) -> Result<()>
    where
        T: Clone,
    {
        self.reserve(slice.len())?;
        self.extend_or_undo(slice.iter().cloned())
    }

    /// Appends copies of all elements of a slice, which are plain data, with one or two copies of
    /// bytes.
    ///
    /// # Errors
    ///
    /// Those of [`push`](DiskVec::push); the vector is unchanged.
    #[inline]
    pub(crate) fn extend_copied(&mut self, slice: &[T]) -> Result<()>
    where
        T: Copy,
    {
        let room = self.room();
        if slice.len() > room {
            return self.extend_past_limit(slice, room);
        }
        // SAFETY: as many elements are accessible behind the last one.
        unsafe { self.copy_unchecked(slice) };
        Ok(())
    }

    /// Returns how many elements can be appended without a call.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.limit.wrapping_sub(self.len)
    }

    /// Fills the `room` elements that are accessible, so that the window is written whole, then
    /// makes the rest accessible.
    #[cold]
    #[inline(never)]
    fn extend_past_limit(&mut self, slice: &[T], room: usize) -> Result<()>
    where
        T: Copy,
    {
        let len = self.len;
        let (first, rest) = slice.split_at(room.min(slice.len()));
        // SAFETY: `room` elements are accessible behind the last one.
        unsafe { self.copy_unchecked(first) };
        if let Err(refused) = self.make_accessible(rest.len()) {
            self.len = len;
            return Err(refused);
        }
        // SAFETY: they have just been made accessible.
        unsafe { self.copy_unchecked(rest) };
        Ok(())
    }

    /// Copies elements behind the last one.
    ///
    /// # Safety
    ///
    /// `slice.len() <= limit - len`.
    #[inline]
    unsafe fn copy_unchecked(&mut self, slice: &[T])
    where
        T: Copy,
    {
        debug_assert!(slice.len() <= self.room());
        let end = self.as_mut_ptr().wrapping_add(self.len);
        // SAFETY: as many elements are accessible from `end`, as the caller vouches; they hold no
        // values, and the slice is no part of this vector, which is borrowed exclusively.
        unsafe { copy_apart(slice, end) };
        self.len = self.len.wrapping_add(slice.len());
    }

    /// Appends the elements of an iterator.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut squares = outcore::DiskVec::new();
    /// squares.try_extend((0..10_u64).map(|n| n * n))?;
    /// assert_eq!(squares[9], 81);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`push`](DiskVec::push). Elements appended before stay; the element for which there
    /// was no space is dropped, and the iterator is not advanced further.
    pub fn try_extend(&mut self, elements: impl IntoIterator<Item = T>) -> Result<()> {
        let mut elements = elements.into_iter();
        loop {
            // As many as are accessible, without a check for each; then one that makes room.
            while self.len < self.limit {
                let Some(element) = elements.next() else {
                    return Ok(());
                };
                // SAFETY: `len < limit`.
                unsafe { self.push_unchecked(element) };
            }
            match elements.next() {
                Some(element) => self.push(element)?,
                None => return Ok(()),
            }
        }
    }

    /// Appends all elements, or none of them.
    fn extend_or_undo(&mut self, elements: impl Iterator<Item = T>) -> Result<()> {
        let len = self.len;
        let undo = Undo { vec: self, len };
        undo.vec.try_extend(elements)?;
        let _extended = std::mem::ManuallyDrop::new(undo);
        Ok(())
    }

    /// Changes the length to `len`: clones of `value` are appended, or elements at the end dropped.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](DiskVec::reserve); the vector is unchanged.
    pub fn resize(&mut self, len: usize, value: T) -> Result<()>
    where
        T: Clone,
    {
        let Some(missing) = len.checked_sub(self.len).filter(|missing| *missing > 0) else {
            self.truncate(len);
            return Ok(());
        };
        self.reserve(missing)?;
        self.extend_or_undo(std::iter::repeat_n(value, missing))
    }

    /// Changes the length to `len`: results of `make` are appended, or elements at the end dropped.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](DiskVec::reserve); the vector is unchanged.
    pub fn resize_with(&mut self, len: usize, make: impl FnMut() -> T) -> Result<()> {
        let Some(missing) = len.checked_sub(self.len).filter(|missing| *missing > 0) else {
            self.truncate(len);
            return Ok(());
        };
        self.reserve(missing)?;
        self.extend_or_undo(std::iter::repeat_with(make).take(missing))
    }

    /// Inserts an element at `index`, moving all elements behind it by one.
    ///
    /// # Errors
    ///
    /// Those of [`push`](DiskVec::push); the vector is unchanged and `value` dropped.
    ///
    /// # Panics
    ///
    /// If `index > len`.
    ///
    /// # Cost
    ///
    /// Linear in the elements behind `index`, which are read and written.
    #[track_caller]
    #[expect(
        clippy::panic_in_result_fn,
        reason = "an index past the end is a mistake of the program, as in std"
    )]
    pub fn insert(&mut self, index: usize, value: T) -> Result<()> {
        let len = self.len;
        assert!(
            index <= len,
            "insertion index {index} is past the length {len}"
        );
        if index < self.missing() {
            self.check_owner()?;
        }
        if len == self.limit {
            self.make_accessible(1)?;
        }
        let at = self.as_mut_ptr().wrapping_add(index);
        // SAFETY: the elements behind `index` and the free one behind them are accessible, since
        // `index <= len < limit`.
        unsafe { ptr::copy(at, at.wrapping_add(1), len.wrapping_sub(index)) };
        // SAFETY: the value that was here was moved.
        unsafe { at.write(value) };
        self.len = len.wrapping_add(1);
        Ok(())
    }

    /// Moves all elements of another vector to the end of this one.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](DiskVec::reserve); both vectors are unchanged.
    pub fn append(&mut self, other: &mut Self) -> Result<()> {
        let count = other.len;
        other.check_inherited()?;
        self.reserve(count)?;
        let start = self.len;
        if start.wrapping_add(count) > self.limit {
            self.make_accessible(count)?;
        }
        let end = self.as_mut_ptr().wrapping_add(start);
        // SAFETY: `count` elements behind the last one are accessible, the two vectors lie apart,
        // and `other` disowns its elements in the next line.
        unsafe { ptr::copy_nonoverlapping(other.as_ptr(), end, count) };
        other.len = 0;
        self.len = start.wrapping_add(count);
        Ok(())
    }

    /// Creates a vector of clones of the elements, in the same directory.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](DiskVec::reserve).
    ///
    /// # Cost
    ///
    /// Linear: every element is cloned.
    pub fn try_clone(&self) -> Result<Self>
    where
        T: Clone,
    {
        self.check_inherited()?;
        let mut clone = self.empty_beside();
        clone.reserve_exact(self.len)?;
        clone.try_extend(self.iter().cloned())?;
        Ok(clone)
    }

    /// Creates a vector of copies of the elements, in the same directory: like
    /// [`try_clone`](DiskVec::try_clone), for elements that are plain data.
    ///
    /// # Examples
    ///
    /// ```
    /// let original = outcore::DiskVec::try_from(vec![1_u64; 100_000])?;
    /// let mut copy = original.try_copy()?;
    /// copy[0] = 2;
    /// assert_eq!((original[0], copy[0], copy[99_999]), (1, 2, 1));
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](DiskVec::reserve).
    ///
    /// # Cost
    ///
    /// One `pread` and one `pwrite` for each MiB in the file, and a buffer of 1 MiB. Blocks are not
    /// shared, even where the file system could: a vector that shares blocks would not own the
    /// space of its elements.
    pub fn try_copy(&self) -> Result<Self>
    where
        T: Copy,
    {
        let mut copy = self.empty_beside();
        if !Self::ZERO_SIZED && self.len > 0 {
            let copied = self.region.try_copy(self.bytes_for(0)?);
            copy.region = copied.map_err(|refused| self.region.error(refused))?;
            copy.refresh();
        }
        copy.len = self.len;
        Ok(copy)
    }

    /// Creates an empty vector in the same directory.
    pub(crate) fn empty_beside(&self) -> Self {
        Self::with_region(Region::new(self.region.dir().cloned(), align_of::<T>()))
    }
    /// Returns the directory of the file, if it is known.
    pub(crate) fn dir(&self) -> Option<&ScratchDir> {
        self.region.dir()
    }
}

/// Copies a slice to where there is room for it. For a few bytes, a call takes longer than the copy, and
/// branches for each length are predicted wrongly where lengths differ; so a few pieces are copied that
/// overlap.
///
/// # Safety
///
/// `target` is valid for writes of the slice, and no part of it.
#[inline]
unsafe fn copy_apart<T: Copy>(slice: &[T], target: *mut T) {
    let count = slice.len();
    if size_of::<T>() == 1 && (8..=32).contains(&count) {
        let last = count.wrapping_sub(8);
        for start in [0, 8, 16, 24].map(|start| last.min(start)) {
            let from = slice.as_ptr().wrapping_add(start);
            // SAFETY: the 8 elements of one byte from `start <= count - 8` are in the slice, and there
            // is room for them at the same place of the target.
            unsafe { ptr::copy_nonoverlapping(from, target.wrapping_add(start), 8) };
        }
    } else {
        // SAFETY: the caller vouches for it.
        unsafe { ptr::copy_nonoverlapping(slice.as_ptr(), target, count) };
    }
}
