//! Traits of std for a vector: conversion, comparison, hashing, formatting.

use std::borrow::{Borrow, BorrowMut};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use crate::containers::vec::DiskVec;
use crate::error::{Error, Result};

impl<T: fmt::Debug> fmt::Debug for DiskVec<T> {
    /// Formats all elements, as a slice does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

impl<T: Hash> Hash for DiskVec<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl<T: Eq> Eq for DiskVec<T> {}

impl<T: PartialOrd> PartialOrd for DiskVec<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.as_slice().partial_cmp(other.as_slice())
    }
}

impl<T: Ord> Ord for DiskVec<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl<T: PartialEq<U>, U> PartialEq<DiskVec<U>> for DiskVec<T> {
    fn eq(&self, other: &DiskVec<U>) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: PartialEq<U>, U> PartialEq<[U]> for DiskVec<T> {
    fn eq(&self, other: &[U]) -> bool {
        self.as_slice() == other
    }
}

impl<T: PartialEq<U>, U> PartialEq<&[U]> for DiskVec<T> {
    fn eq(&self, other: &&[U]) -> bool {
        self.as_slice() == *other
    }
}

impl<T: PartialEq<U>, U> PartialEq<&mut [U]> for DiskVec<T> {
    fn eq(&self, other: &&mut [U]) -> bool {
        self.as_slice() == *other
    }
}

impl<T: PartialEq<U>, U, const N: usize> PartialEq<[U; N]> for DiskVec<T> {
    fn eq(&self, other: &[U; N]) -> bool {
        self.as_slice() == other
    }
}

impl<T: PartialEq<U>, U, const N: usize> PartialEq<&[U; N]> for DiskVec<T> {
    fn eq(&self, other: &&[U; N]) -> bool {
        self.as_slice() == *other
    }
}

impl<T: PartialEq<U>, U> PartialEq<Vec<U>> for DiskVec<T> {
    fn eq(&self, other: &Vec<U>) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: PartialEq<U>, U> PartialEq<DiskVec<U>> for Vec<T> {
    fn eq(&self, other: &DiskVec<U>) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: PartialEq<U>, U> PartialEq<DiskVec<U>> for [T] {
    fn eq(&self, other: &DiskVec<U>) -> bool {
        self == other.as_slice()
    }
}

impl<T: PartialEq<U>, U, const N: usize> PartialEq<DiskVec<U>> for [T; N] {
    fn eq(&self, other: &DiskVec<U>) -> bool {
        self == other.as_slice()
    }
}

impl<T> AsRef<[T]> for DiskVec<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> AsMut<[T]> for DiskVec<T> {
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T> Borrow<[T]> for DiskVec<T> {
    fn borrow(&self) -> &[T] {
        self
    }
}

impl<T> BorrowMut<[T]> for DiskVec<T> {
    fn borrow_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T> TryFrom<Vec<T>> for DiskVec<T> {
    type Error = Error;

    /// Moves the elements to disk.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](DiskVec::reserve); the elements are dropped.
    fn try_from(elements: Vec<T>) -> Result<Self> {
        let mut vec = Self::with_capacity(elements.len())?;
        vec.try_extend(elements)?;
        Ok(vec)
    }
}

impl<T: Clone> TryFrom<&[T]> for DiskVec<T> {
    type Error = Error;

    /// Clones the elements to disk.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](DiskVec::reserve).
    fn try_from(elements: &[T]) -> Result<Self> {
        let mut vec = Self::new();
        vec.extend_from_slice(elements)?;
        Ok(vec)
    }
}

impl<T, const N: usize> TryFrom<[T; N]> for DiskVec<T> {
    type Error = Error;

    /// Moves the elements to disk.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](DiskVec::reserve); the elements are dropped.
    fn try_from(elements: [T; N]) -> Result<Self> {
        let mut vec = Self::with_capacity(N)?;
        vec.try_extend(elements)?;
        Ok(vec)
    }
}
