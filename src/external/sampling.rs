//! Where sorted inputs are sampled to divide what they have among threads.

/// 2^32 divided by the golden ratio: the fractions of its multiples are spread evenly.
const GOLDEN: u32 = 0x9e37_79b9;

/// Returns `count` places of an input of `len` elements, in ascending order: one in each of as many
/// equal stretches. Where in its stretch depends on the `number` of the input, since the inputs of a
/// merge are alike: the same places in all of them would have nearly the same few elements.
pub(super) fn places(
    number: usize,
    len: usize,
    count: usize,
) -> impl Iterator<Item = usize> + use<> {
    // The lowest bits are those that matter here.
    #[expect(clippy::cast_possible_truncation, reason = "as said above")]
    let phase = u128::from((number as u32).wrapping_mul(GOLDEN));
    let (len, stretches) = (len as u128, (count as u128) << 32);
    (0..count as u128).map(move |nth| {
        let at = (nth << 32 | phase).saturating_mul(len);
        let at = at.checked_div(stretches).unwrap_or(0);
        usize::try_from(at).unwrap_or(usize::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_one_in_each_stretch() {
        for (len, count) in [(0, 0), (5, 0), (1, 1), (10, 3), (1000, 7), (7, 7)] {
            for number in [0, 1, 2, 77, usize::MAX] {
                let places: Vec<_> = places(number, len, count).collect();
                assert_eq!(places.len(), count);
                for (nth, at) in places.into_iter().enumerate() {
                    let (from, to) = (nth * len / count, ((nth + 1) * len).div_ceil(count));
                    assert!((from..to).contains(&at), "{nth} of {count}: {at} of {len}");
                }
            }
        }
    }

    /// All inputs were sampled at the same places. Of inputs with the same distribution, as chunks of
    /// records are, the samples had a few values only, and of the parts between them some were a
    /// hundred times as long as others: one thread merged, and the others waited.
    #[test]
    fn inputs_that_are_alike_are_sampled_everywhere() {
        let (inputs, count, len) = (300, 5, 10_000);
        let mut all: Vec<_> = (0..inputs)
            .flat_map(|number| places(number, len, count))
            .collect();
        all.sort_unstable();
        let gaps = all.windows(2).map(|pair| pair[1] - pair[0]);
        let usual = len / (inputs * count);
        let longest = gaps.max().unwrap();
        assert!(longest <= 4 * usual, "{longest}, and {usual} usually");
    }
}
