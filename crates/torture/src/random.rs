//! Random numbers that a seed determines, and bytes that a number determines.

pub(crate) use testkit::{Random, assert_item, item};

/// Narrows a number that fits.
pub(crate) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
