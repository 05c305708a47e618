//! Iteration: by reference through the slice, by value with [`IntoIter`].
#![expect(unsafe_code, reason = "moves elements out; see docs/safety.md")]

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;
use std::slice;

use crate::containers::vec::DiskVec;

/// The elements of a [`DiskVec`] by value.
pub struct IntoIter<T> {
    /// # Invariants
    ///
    /// 1. The vector's length is 0, and its elements `left` are initialized and owned by this
    ///    iterator.
    vec: DiskVec<T>,
    left: Range<usize>,
}

impl<T> IntoIter<T> {
    /// Returns the elements that are left.
    pub fn as_slice(&self) -> &[T] {
        let first = self.vec.as_ptr().wrapping_add(self.left.start);
        // SAFETY: these elements are initialized and ours (invariant 1).
        unsafe { slice::from_raw_parts(first, self.left.len()) }
    }

    /// Moves out an element that the caller has just removed from `left`.
    fn read(&self, index: usize) -> T {
        // SAFETY: the element is initialized, and no longer in `left` (invariant 1).
        unsafe { self.vec.as_ptr().wrapping_add(index).read() }
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let index = self.left.next()?;
        Some(self.read(index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl<T> DoubleEndedIterator for IntoIter<T> {
    fn next_back(&mut self) -> Option<T> {
        let index = self.left.next_back()?;
        Some(self.read(index))
    }
}

impl<T> ExactSizeIterator for IntoIter<T> {}
impl<T> FusedIterator for IntoIter<T> {}

impl<T> Drop for IntoIter<T> {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.left);
        // SAFETY: the elements are initialized, and nothing owns them any more (invariant 1).
        unsafe { self.vec.drop_elements(left) };
    }
}

impl<T: fmt::Debug> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IntoIter").field(&self.as_slice()).finish()
    }
}

impl<T> IntoIterator for DiskVec<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(mut self) -> IntoIter<T> {
        let left = 0..self.len;
        self.len = 0;
        IntoIter { vec: self, left }
    }
}

impl<'a, T> IntoIterator for &'a DiskVec<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;

    fn into_iter(self) -> slice::Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut DiskVec<T> {
    type Item = &'a mut T;
    type IntoIter = slice::IterMut<'a, T>;

    fn into_iter(self) -> slice::IterMut<'a, T> {
        self.iter_mut()
    }
}
