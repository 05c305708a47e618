//! Sorting in memory by words: split by their leading digits until a few are left.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions within slices, each of which is checked when it is used"
)]

use crate::external::key::Word;

/// As few are left to the sort of std, which is fastest then.
const FEW: usize = 48;

/// The most bits of a digit: as many counters fit into the first-level cache, and as many streams
/// are written at a time.
const DIGIT_BITS_MAX: u32 = 10;

/// Something in the order of its word.
pub(super) trait Item: Copy + Ord {
    type Word: Word;

    fn word(&self) -> Self::Word;
}

impl Item for u64 {
    type Word = Self;

    fn word(&self) -> Self {
        *self
    }
}

impl Item for u128 {
    type Word = Self;

    fn word(&self) -> Self {
        *self
    }
}

/// A word and a number that tells equal ones apart.
impl<W: Word> Item for (W, u32) {
    type Word = W;

    fn word(&self) -> W {
        self.0
    }
}

/// Sorts `items`, by means of as much memory once more. Equal ones are equal in every bit, so that
/// their order is no question.
pub(super) fn sort<I: Item>(items: &mut [I], spare: &mut [I]) {
    debug_assert_eq!(items.len(), spare.len());
    split(items, spare, true);
}

/// Sorts `from`, and leaves the result there or in `to`.
fn split<I: Item>(from: &mut [I], to: &mut [I], stay: bool) {
    if from.len() <= FEW {
        from.sort_unstable();
        if !stay {
            to.copy_from_slice(from);
        }
        return;
    }
    let Some((least, most, is_sorted)) = spread(from) else {
        return;
    };
    if is_sorted {
        if !stay {
            to.copy_from_slice(from);
        }
        return;
    }
    // Equal words are not in order by their numbers only.
    let bits = most.bits_above(least);
    if bits == 0 {
        from.sort_unstable();
        if !stay {
            to.copy_from_slice(from);
        }
        return;
    }
    let digit_bits = (from.len().ilog2() - 3).clamp(2, DIGIT_BITS_MAX).min(bits);
    let shift = bits - digit_bits;
    let mut ends = [0_usize; (1 << DIGIT_BITS_MAX) + 1];
    let ends = &mut ends[..=1 << digit_bits];
    for item in &*from {
        ends[item.word().digit(least, shift) + 1] += 1;
    }
    let mut sum = 0;
    for end in &mut *ends {
        sum += *end;
        *end = sum;
    }
    // From the start of each part to its end.
    for item in &*from {
        let place = &mut ends[item.word().digit(least, shift)];
        to[*place] = *item;
        *place += 1;
    }
    let mut start = 0;
    for end in &ends[..1 << digit_bits] {
        let part = start..*end;
        start = *end;
        if part.len() > 1 {
            split(&mut to[part.clone()], &mut from[part], !stay);
        } else if stay && !part.is_empty() {
            from[part.start] = to[part.start];
        }
    }
}

/// Returns the least and the greatest word, and whether the items are in order.
fn spread<I: Item>(items: &[I]) -> Option<(I::Word, I::Word, bool)> {
    let first = items.first()?;
    let (mut least, mut most) = (first.word(), first.word());
    for item in items {
        least = least.min(item.word());
        most = most.max(item.word());
    }
    Some((least, most, items.is_sorted()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<I: Item + std::fmt::Debug>(items: &[I]) {
        let mut expected = items.to_vec();
        expected.sort_unstable();
        let (mut sorted, mut spare) = (items.to_vec(), items.to_vec());
        sort(&mut sorted, &mut spare);
        assert_eq!(sorted, expected);
    }

    #[test]
    fn words_of_every_spread_are_sorted() {
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(0x1405_7B7E_F767_814F);
            state ^ (state >> 29)
        };
        let lens = if cfg!(miri) {
            vec![0, 1, 60, 300]
        } else {
            vec![0, 1, 2, 48, 49, 1000, 70_000]
        };
        for len in lens {
            for bits in [0, 1, 5, 17, 40, 64] {
                let mask = u64::MAX.checked_shr(64 - bits).unwrap_or(0);
                let words: Vec<u64> = (0..len).map(|_| random() & mask).collect();
                check(&words);
                check(
                    &words
                        .iter()
                        .map(|word| u128::from(*word) << 60)
                        .collect::<Vec<_>>(),
                );
                check(
                    &words
                        .iter()
                        .copied()
                        .zip((0..).map(|n: u32| n.reverse_bits()))
                        .collect::<Vec<_>>(),
                );
                let mut sorted = words.clone();
                sorted.sort_unstable();
                check(&sorted);
                sorted.reverse();
                check(&sorted);
            }
            // Each is twice the one before: no digit splits them evenly.
            check(&(0..len).map(|n| 1_u64 << (n % 64)).collect::<Vec<_>>());
        }
    }
}
