//! Arithmetic on bytes, units and slots of the space: what passes its end is a bug of ours.

use std::ops::Range;

use crate::bug::bug;
use crate::heap::table::UNIT_BYTES;

/// Where a large block is: the byte of zone B at which it starts. Bytes of the space are plain numbers,
/// so that neither is taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ZoneByte(pub(super) usize);

/// Returns `len` bytes from `start` on.
#[inline]
pub(super) fn range(start: usize, len: usize) -> Range<usize> {
    start..sum(start, len)
}

#[inline]
pub(super) fn sum(number: usize, more: usize) -> usize {
    let sum = number.checked_add(more);
    sum.unwrap_or_else(|| bug!("{number} and {more} more"))
}

#[inline]
pub(super) fn difference(number: usize, less: usize) -> usize {
    let rest = number.checked_sub(less);
    rest.unwrap_or_else(|| bug!("{number} without {less}"))
}

#[inline]
pub(super) fn product(number: usize, times: usize) -> usize {
    let product = number.checked_mul(times);
    product.unwrap_or_else(|| bug!("{times} times {number}"))
}

/// Returns where a unit starts in the space.
#[inline]
pub(super) fn start_of_unit(number: usize) -> usize {
    product(number, UNIT_BYTES)
}

/// Returns a number as one of another width, which is wide enough.
#[inline]
pub(super) fn narrow<A: Copy + std::fmt::Display, B: TryFrom<A>>(number: A) -> B {
    B::try_from(number).unwrap_or_else(|_wide| bug!("{number} is too wide"))
}
