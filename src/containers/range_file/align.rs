//! Rounding to the alignment of ranges.

/// The alignment of ranges: every allocated range of a [`RangeFile`](crate::RangeFile) starts at a
/// multiple of it, and its length is one.
///
/// It is the page size of most machines. Where pages are larger, two ranges may share a page, which
/// is neither unsafe nor slow.
pub const ALIGNMENT: u64 = 4096;

/// Rounds up to a multiple of [`ALIGNMENT`].
///
/// If that overflows, the result is the largest multiple of a `u64`.
///
/// # Examples
///
/// ```
/// use outcore::range_file::{ALIGNMENT, align_up};
///
/// assert_eq!(align_up(1), ALIGNMENT);
/// assert_eq!(align_up(ALIGNMENT), ALIGNMENT);
/// assert_eq!(align_up(u64::MAX) % ALIGNMENT, 0);
/// ```
#[inline]
#[must_use]
pub const fn align_up(len: u64) -> u64 {
    align_down(len.saturating_add(ALIGNMENT.saturating_sub(1)))
}

/// Rounds down to a multiple of [`ALIGNMENT`].
///
/// # Examples
///
/// ```
/// use outcore::range_file::{ALIGNMENT, align_down};
///
/// assert_eq!(align_down(2 * ALIGNMENT - 1), ALIGNMENT);
/// assert_eq!(align_down(1), 0);
/// ```
#[inline]
#[must_use]
pub const fn align_down(len: u64) -> u64 {
    len & !ALIGNMENT.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_never_overflows_and_is_at_most_one_alignment_off() {
        for len in [0, 1, 4095, 4096, 4097, 1 << 63, u64::MAX - 4096, u64::MAX] {
            let (down, up) = (align_down(len), align_up(len));
            assert_eq!((down % ALIGNMENT, up % ALIGNMENT), (0, 0));
            assert!(down <= len && len - down < ALIGNMENT, "{len}");
            assert!(up >= len || len > u64::MAX - ALIGNMENT, "{len}");
            assert!(up.abs_diff(len) < ALIGNMENT, "{len}");
        }
    }
}
