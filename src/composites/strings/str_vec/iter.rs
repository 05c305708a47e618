//! Iteration over strings.
#![expect(
    unsafe_code,
    reason = "lends bytes as text that was checked on the way in; see docs/safety.md"
)]

use std::fmt;
use std::iter::FusedIterator;

use crate::composites::strings::iter::{Iter, Scan};
use crate::composites::strings::str_vec::{StrVec, text};

/// The strings of a [`StrVec`] in order; made by [`StrVec::iter`].
///
/// # Invariants
///
/// 1. The items are those of a [`StrVec`].
#[derive(Clone)]
pub struct StrIter<'a>(pub(super) Iter<'a>);

/// The strings of a [`StrVec`] in order, for vectors larger than memory; made by [`StrVec::scan`].
///
/// # Invariants
///
/// 1. The items are those of a [`StrVec`].
#[derive(Debug)]
pub struct StrScan<'a>(pub(super) Scan<'a>);

/// Iterators whose items are text.
macro_rules! texts {
    ($($iter:ident)*) => {$(
        impl<'a> Iterator for $iter<'a> {
            type Item = &'a str;

            #[inline]
            fn next(&mut self) -> Option<&'a str> {
                let item = self.0.next()?;
                // SAFETY: it is an item of such a vector (invariant 1).
                Some(unsafe { text(item) })
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }

            fn nth(&mut self, skipped: usize) -> Option<&'a str> {
                let item = self.0.nth(skipped)?;
                // SAFETY: as above.
                Some(unsafe { text(item) })
            }
        }

        impl ExactSizeIterator for $iter<'_> {}
        impl FusedIterator for $iter<'_> {}
    )*};
}

texts! { StrIter StrScan }

impl<'a> DoubleEndedIterator for StrIter<'a> {
    #[inline]
    fn next_back(&mut self) -> Option<&'a str> {
        let item = self.0.next_back()?;
        // SAFETY: it is an item of such a vector (invariant 1).
        Some(unsafe { text(item) })
    }
}

impl fmt::Debug for StrIter<'_> {
    /// Formats the strings that are left.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'a> IntoIterator for &'a StrVec {
    type Item = &'a str;
    type IntoIter = StrIter<'a>;

    fn into_iter(self) -> StrIter<'a> {
        self.iter()
    }
}
