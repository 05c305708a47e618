//! Random numbers that a seed repeats, and bytes that follow from a number.

/// `SplitMix64`: small, seedable, and the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`; 0 where that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        size(self.next() % (bound as u64).max(1))
    }

    /// Returns one of `choices`.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns true once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Returns a length: mostly short, at times as long as `longest`.
    pub(crate) fn len(&mut self, longest: usize) -> usize {
        let bits = usize::BITS - longest.leading_zeros();
        let below = 1_usize << self.below(size(u64::from(bits)) + 1);
        self.below(below + 1).min(longest)
    }
}

/// Narrows a number that fits.
pub(crate) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Returns `len` bytes that no other `id` has.
pub(crate) fn item(id: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    let mut word = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while bytes.len() < len {
        bytes.extend_from_slice(&word.to_le_bytes());
        word = word.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(id);
    }
    bytes.truncate(len);
    bytes
}

/// Panics unless `found` is the item; names the first byte that differs, not all of them.
#[track_caller]
pub(crate) fn assert_item(found: &[u8], id: u64, len: usize, what: &str) {
    let expected = item(id, len);
    if found != expected {
        let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
        panic!(
            "{what}: item {id}: {} bytes instead of {len}, the first difference at {differs:?}",
            found.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [(); 5].map(|()| random.next())
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }

    #[test]
    fn lengths_are_short_and_long_and_never_too_long() {
        let mut random = Random::new(1);
        let lens: Vec<usize> = (0..10_000).map(|_| random.len(1000)).collect();
        assert!(lens.contains(&0) && lens.iter().all(|len| *len <= 1000));
        assert!(lens.iter().any(|len| *len > 900));
    }

    #[test]
    #[should_panic(expected = "first difference at Some(9)")]
    fn a_wrong_byte_of_an_item_is_found() {
        let mut bytes = item(1, 20);
        bytes[9] ^= 1;
        assert_item(&bytes, 1, 20, "planted");
    }
}
