//! Bytes of the space, and of zone B.

use crate::exact::product;
use crate::heap::table::UNIT_BYTES;

/// Where a large block is: the byte of zone B at which it starts. Bytes of the space are plain numbers,
/// so that neither is taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ZoneByte(pub(super) usize);

/// Returns where a unit starts in the space.
#[inline]
pub(super) fn start_of_unit(number: usize) -> usize {
    product(number, UNIT_BYTES)
}
