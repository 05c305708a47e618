//! How a key compares with the one before it in a sorted input, as a number: an offset-value code.
//!
//! A key is read as words of eight bytes, the last of them filled up with zeros, and its length behind
//! them, which is less than any word. The code of a key relative to one that is not greater is the
//! number of words at the begin that both have, and the first one that only the greater has. Of two keys
//! with codes relative to the same key, the one with more words in common is less, or else the one with
//! the lesser word, and the code of the other stays right relative to that one. So a merge compares
//! numbers, and looks at keys only where codes are equal, behind what the codes say.

use std::cmp::Ordering;

/// The lesser code is that of the lesser key.
pub(super) type Code = u128;

/// The code of a key that is equal to the other one.
pub(super) const EQUAL: Code = 0;

/// What an input has at its end.
pub(super) const ENDED: Code = u128::MAX;

/// The code of a key that was not compared.
pub(super) const UNKNOWN: Code = u128::MAX - 1;

/// More than the words that a key can have.
const DEPTH_MAX: u128 = 1 << 40;

/// The bits of a word, and of whether it is one and not a length.
const WORD_BITS: u32 = 65;

/// A word of a key, or what is behind its last one.
fn symbol(key: &[u8], depth: usize) -> u128 {
    const IS_WORD: u128 = 1 << 64;
    let rest = depth.checked_mul(8).and_then(|start| key.get(start..));
    match rest {
        Some([]) | None => key.len() as u128,
        Some(rest) => {
            let mut word = [0; 8];
            if let Some(whole) = rest.first_chunk::<8>() {
                word = *whole;
            } else {
                for (target, byte) in word.iter_mut().zip(rest) {
                    *target = *byte;
                }
            }
            IS_WORD | u128::from(u64::from_be_bytes(word))
        }
    }
}

fn pack(depth: usize, symbol: u128) -> Code {
    let left = DEPTH_MAX.saturating_sub(depth as u128);
    left << WORD_BITS | symbol
}

/// Returns the code of the first key of an input.
pub(super) fn first_code(key: &[u8]) -> Code {
    pack(0, symbol(key, 0))
}

/// Compares two keys, and returns the code of the greater one relative to the other.
pub(super) fn compare(key: &[u8], other: &[u8]) -> (Ordering, Code) {
    compare_from(key, other, 0)
}

/// Compares two keys that have the same code, which neither of the constants is, relative to the same
/// key.
pub(super) fn compare_behind(code: Code, key: &[u8], other: &[u8]) -> (Ordering, Code) {
    let is_word = code >> 64 & 1 == 1;
    if !is_word {
        return (Ordering::Equal, EQUAL);
    }
    let depth = DEPTH_MAX.saturating_sub(code >> WORD_BITS);
    let depth = usize::try_from(depth).unwrap_or(usize::MAX);
    compare_from(key, other, depth.saturating_add(1))
}

fn compare_from(key: &[u8], other: &[u8], mut depth: usize) -> (Ordering, Code) {
    depth = depth.saturating_add(whole_words_in_common(key, other, depth));
    loop {
        let (first, second) = (symbol(key, depth), symbol(other, depth));
        if first != second {
            return (first.cmp(&second), pack(depth, first.max(second)));
        }
        if first >> 64 == 0 {
            return (Ordering::Equal, EQUAL);
        }
        depth = depth.saturating_add(1);
    }
}

/// Returns how many words from one on are the same and filled by both keys, at least.
#[inline]
fn whole_words_in_common(key: &[u8], other: &[u8], depth: usize) -> usize {
    let Some(start) = depth.checked_mul(8) else {
        return 0;
    };
    let (Some(mut key), Some(mut other)) = (key.get(start..), other.get(start..)) else {
        return 0;
    };
    let mut count = 0_usize;
    while let (Some((word, rest)), Some((other_word, other_rest))) =
        (key.split_first_chunk::<8>(), other.split_first_chunk::<8>())
    {
        if word != other_word {
            break;
        }
        (key, other, count) = (rest, other_rest, count.saturating_add(1));
    }
    count
}

/// A code in twelve bytes, of which four can be those of something else.
pub(super) fn to_parts(code: Code) -> (u64, u32) {
    const WORD: u128 = u64::MAX as u128;
    if code == EQUAL {
        return (0, u32::MAX);
    }
    let word = u64::try_from(code & WORD).unwrap_or(0);
    let depth = DEPTH_MAX.saturating_sub(code >> WORD_BITS);
    let is_word = u32::from(code >> 64 & 1 == 1);
    let depth = u32::try_from(depth).unwrap_or(u32::MAX >> 1);
    (word, depth << 1 | is_word)
}

/// Makes a code again.
#[inline]
pub(super) fn from_parts((word, depth): (u64, u32)) -> Code {
    if depth == u32::MAX {
        return EQUAL;
    }
    let left = DEPTH_MAX.saturating_sub(u128::from(depth >> 1));
    left << WORD_BITS | u128::from(depth & 1) << 64 | u128::from(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short keys over few bytes, so that many have words in common.
    fn keys() -> Vec<Vec<u8>> {
        let mut keys = vec![Vec::new()];
        let mut state = 7_u64;
        for _ in 0..400 {
            let mut key = Vec::new();
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let len = (state >> 33) % 26;
            for _ in 0..len {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                key.push([0, 0, 0, 0, 0, 0, 1, 255][(state >> 33) as usize % 8]);
            }
            keys.push(key);
        }
        keys.sort();
        keys
    }

    #[test]
    fn codes_relative_to_one_key_are_in_the_order_of_keys() {
        let keys = keys();
        for (at, base) in keys.iter().enumerate().step_by(7) {
            for (number, key) in keys.iter().enumerate().skip(at) {
                let (order, code) = compare(base, key);
                assert_eq!(order, base.cmp(key), "{base:?} {key:?}");
                assert_eq!(from_parts(to_parts(code)), code);
                for other in keys.iter().skip(number) {
                    let (_, other_code) = compare(base, other);
                    assert!(code <= other_code, "{base:?} {key:?} {other:?}");
                    let expected = compare(key, other);
                    if code == EQUAL && other_code == EQUAL {
                        assert_eq!(key, other);
                    } else if code == other_code {
                        assert_eq!(compare_behind(code, key, other), expected);
                    } else {
                        // The code of the greater one stays right.
                        assert_eq!(other_code, expected.1, "{base:?} {key:?} {other:?}");
                    }
                }
            }
        }
    }
}
