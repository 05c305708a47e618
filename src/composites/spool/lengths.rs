//! The lengths of values in a block: seven bits a byte, as many bytes as there are.

use std::ops::Range;

/// The most bytes that the length of a value takes.
pub(super) const LEN_BYTES_MAX: usize = 10;

/// Returns the part of a block that a value has at `at`, behind its length.
#[inline]
pub(super) fn value_at(block: &[u8], at: usize) -> Option<Range<usize>> {
    match *block.get(at)? {
        len @ 0..0x80 => {
            let start = at.saturating_add(1);
            let end = start.saturating_add(usize::from(len));
            (end <= block.len()).then_some(start..end)
        }
        _ => long_value_at(block, at),
    }
}

/// As [`value_at`], for a length of any number of bytes.
#[inline(never)]
fn long_value_at(block: &[u8], at: usize) -> Option<Range<usize>> {
    let mut len = 0_u64;
    let mut bytes = block.get(at..)?.iter().zip(1_usize..);
    let (mut shift, mut start) = (0_u32, at);
    loop {
        let (byte, count) = bytes.next()?;
        let digit = u64::from(byte & 0x7F);
        let shifted = digit.checked_shl(shift)?;
        if shifted.checked_shr(shift)? != digit {
            return None;
        }
        len |= shifted;
        shift = shift.checked_add(7)?;
        start = at.checked_add(count).unwrap_or(start);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    (end <= block.len()).then_some(start..end)
}

/// Returns how many bytes of seven bits a length takes.
pub(super) fn width_of(len: usize) -> usize {
    let bits = usize::BITS.saturating_sub(len.leading_zeros()).max(1);
    usize::try_from(bits.div_ceil(7)).unwrap_or(LEN_BYTES_MAX)
}

/// Writes a length in as many bytes as `head` has, which are enough.
pub(super) fn put_len(head: &mut [u8], mut len: usize) {
    let last = head.len().saturating_sub(1);
    for (byte, place) in head.iter_mut().zip(0..) {
        let digit = u8::try_from(len & 0x7F).unwrap_or(0);
        *byte = if place < last { digit | 0x80 } else { digit };
        len >>= 7;
    }
    debug_assert!(len == 0, "the length does not fit");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lead_out_of_the_block_are_no_values() {
        assert_eq!(value_at(&[2, 5, 6], 0), Some(1..3));
        assert_eq!(value_at(&[0x82, 0, 5, 6], 0), Some(2..4));
        assert_eq!(value_at(&[0], 0), Some(1..1));
        for block in [
            &[3, 5, 6][..],
            &[0x82],
            &[],
            &[0xFF; 20],
            &[0x82, 0x80, 0x80],
        ] {
            assert_eq!(value_at(block, 0), None, "{block:?}");
        }
        assert_eq!(value_at(&[1, 2], 3), None);
    }

    #[test]
    fn lengths_come_back_however_wide_they_are_written() {
        for len in [0, 1, 127, 128, 300, 16_383, 16_384, 1 << 20] {
            for width in width_of(len)..=LEN_BYTES_MAX {
                let mut block = vec![0; width];
                put_len(&mut block, len);
                block.resize(width + len, 7);
                assert_eq!(
                    value_at(&block, 0),
                    Some(width..width + len),
                    "{len}, {width}"
                );
            }
        }
        assert!(width_of(usize::MAX) <= LEN_BYTES_MAX);
    }
}
