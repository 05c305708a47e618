//! Arithmetic that is exact, or a bug of ours: for offsets and lengths of what exists.
//!
//! Numbers of callers are checked where they come in, and estimates may saturate: neither is for
//! these functions.

use std::fmt::Display;
use std::ops::Range;

use crate::bug::bug;

/// An unsigned integer.
pub(crate) trait Number: Copy + Display {
    fn added(self, more: Self) -> Option<Self>;
    fn lessened(self, less: Self) -> Option<Self>;
    fn multiplied(self, times: Self) -> Option<Self>;
}

macro_rules! numbers {
    ($($int:ty),*) => {
        $(
            impl Number for $int {
                #[inline]
                fn added(self, more: Self) -> Option<Self> {
                    self.checked_add(more)
                }

                #[inline]
                fn lessened(self, less: Self) -> Option<Self> {
                    self.checked_sub(less)
                }

                #[inline]
                fn multiplied(self, times: Self) -> Option<Self> {
                    self.checked_mul(times)
                }
            }
        )*
    };
}

numbers!(u16, u32, u64, usize);

#[inline]
#[track_caller]
pub(crate) fn sum<N: Number>(number: N, more: N) -> N {
    match number.added(more) {
        Some(sum) => sum,
        None => bug!("{number} and {more} more"),
    }
}

#[inline]
#[track_caller]
pub(crate) fn difference<N: Number>(number: N, less: N) -> N {
    match number.lessened(less) {
        Some(rest) => rest,
        None => bug!("{number} without {less}"),
    }
}

#[inline]
#[track_caller]
pub(crate) fn product<N: Number>(number: N, times: N) -> N {
    match number.multiplied(times) {
        Some(product) => product,
        None => bug!("{times} times {number}"),
    }
}

/// Returns `len` bytes from `start` on.
#[inline]
#[track_caller]
pub(crate) fn range<N: Number>(start: N, len: N) -> Range<N> {
    start..sum(start, len)
}

/// Returns a range, none of which is before `origin`, as counted from there.
#[inline]
#[track_caller]
pub(crate) fn range_from<N: Number>(origin: N, range: &Range<N>) -> Range<N> {
    difference(range.start, origin)..difference(range.end, origin)
}

/// Returns a number as one of another width, which is wide enough.
#[inline]
#[track_caller]
pub(crate) fn narrow<A: Copy + Display, B: TryFrom<A>>(number: A) -> B {
    match B::try_from(number) {
        Ok(number) => number,
        Err(_wide) => bug!("{number} is too wide"),
    }
}

/// Returns the first `len` items of at least as many.
#[inline]
#[track_caller]
pub(crate) fn first<T>(items: &[T], len: usize) -> &[T] {
    match items.get(..len) {
        Some(first) => first,
        None => bug!("{len} of {}", items.len()),
    }
}

/// Returns what follows the first `len` items.
#[inline]
#[track_caller]
pub(crate) fn rest<T>(items: &[T], len: usize) -> &[T] {
    match items.get(len..) {
        Some(rest) => rest,
        None => bug!("{len} of {}", items.len()),
    }
}

/// Returns what follows the first `len` items.
#[inline]
#[track_caller]
pub(crate) fn rest_mut<T>(items: &mut [T], len: usize) -> &mut [T] {
    match items.split_at_mut_checked(len) {
        Some((_first, rest)) => rest,
        None => bug!("the rest after {len} of fewer items"),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{UnwindSafe, catch_unwind};

    use super::*;

    fn is_bug<R>(work: impl FnOnce() -> R + UnwindSafe) -> bool {
        let Err(panic) = catch_unwind(work) else {
            return false;
        };
        let message = panic.downcast::<String>().unwrap();
        message.starts_with("bug in outcore: ")
    }

    /// Each saturated once, so that an impossible offset became the first byte or the last.
    #[test]
    fn what_is_not_exact_is_a_bug() {
        assert_eq!(sum(1_u64, 2), 3);
        assert!(is_bug(|| sum(u64::MAX, 1)));
        assert_eq!(difference(3_usize, 2), 1);
        assert!(is_bug(|| difference(2_usize, 3)));
        assert_eq!(product(3_u16, 2), 6);
        assert!(is_bug(|| product(u16::MAX, 2)));
        assert_eq!(range(3_u32, 2), 3..5);
        assert_eq!(range_from(3_u64, &(4..6)), 1..3);
        assert!(is_bug(|| range_from(3_u64, &(2..6))));
        assert_eq!(narrow::<u64, u8>(255), 255);
        assert!(is_bug(|| narrow::<u64, u8>(256)));
    }

    #[test]
    fn a_part_of_fewer_items_is_a_bug() {
        assert_eq!(first(b"abc", 1), b"a");
        assert_eq!(rest(b"abc", 1), b"bc");
        assert_eq!(rest_mut(&mut [1, 2, 3], 1), [2, 3]);
        assert!(is_bug(|| first(b"abc", 4)));
        assert!(is_bug(|| rest(b"abc", 4)));
        assert!(is_bug(|| rest_mut(&mut [1], 2).len()));
    }
}
