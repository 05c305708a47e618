//! What std's traits ask of both vectors: conversion, comparison, formatting.

use std::fmt;

use crate::composites::strings::bytes_vec::BytesVec;
use crate::composites::strings::str_vec::StrVec;
use crate::error::{Error, Result};

impl fmt::Debug for BytesVec {
    /// Formats the items as a list: all of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl fmt::Debug for StrVec {
    /// Formats the strings as a list: all of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl PartialEq for BytesVec {
    fn eq(&self, other: &Self) -> bool {
        // Two vectors of as many items are equal if their bytes are, and the places of items.
        self.len() == other.len()
            && self.bytes == other.bytes
            && (self.is_empty() || self.offsets == other.offsets)
    }
}

impl Eq for BytesVec {}

impl PartialEq for StrVec {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes_vec() == other.as_bytes_vec()
    }
}

impl Eq for StrVec {}

/// Comparison with lists of std, and conversion from them.
macro_rules! lists {
    ($($vec:ident of $item:ty;)*) => {$(
        impl<S: AsRef<$item>> PartialEq<[S]> for $vec {
            fn eq(&self, other: &[S]) -> bool {
                self.len() == other.len() && self.iter().zip(other).all(|(item, other)| item == other.as_ref())
            }
        }

        impl<S: AsRef<$item>> PartialEq<&[S]> for $vec {
            fn eq(&self, other: &&[S]) -> bool {
                *self == **other
            }
        }

        impl<S: AsRef<$item>, const N: usize> PartialEq<[S; N]> for $vec {
            fn eq(&self, other: &[S; N]) -> bool {
                *self == other[..]
            }
        }

        impl<S: AsRef<$item>> PartialEq<Vec<S>> for $vec {
            fn eq(&self, other: &Vec<S>) -> bool {
                *self == other[..]
            }
        }

        impl<S: AsRef<$item>> TryFrom<&[S]> for $vec {
            type Error = Error;

            /// Copies the items to disk.
            ///
            /// # Errors
            ///
            /// Those of `push`.
            fn try_from(items: &[S]) -> Result<Self> {
                let mut vec = Self::new();
                vec.extend_from_slice(items)?;
                Ok(vec)
            }
        }

        impl<S: AsRef<$item>> TryFrom<Vec<S>> for $vec {
            type Error = Error;

            /// Copies the items to disk.
            ///
            /// # Errors
            ///
            /// Those of `push`; the items are dropped.
            fn try_from(items: Vec<S>) -> Result<Self> {
                Self::try_from(items.as_slice())
            }
        }

        impl<S: AsRef<$item>, const N: usize> TryFrom<[S; N]> for $vec {
            type Error = Error;

            /// Copies the items to disk.
            ///
            /// # Errors
            ///
            /// Those of `push`; the items are dropped.
            fn try_from(items: [S; N]) -> Result<Self> {
                Self::try_from(items.as_slice())
            }
        }
    )*};
}

lists! {
    BytesVec of [u8];
    StrVec of str;
}
