//! What tests, campaigns and measurements share: random numbers that a seed repeats, and items
//! whose bytes follow from a number.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "for tests: an overflow is a failed test"
)]

/// Random numbers (`SplitMix64`): small, seedable, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts the sequence of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "the sequence has no end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Returns a number below `bound`, nearly uniform; 0 where `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = self.below_u64(bound as u64);
        // It is below a number of this type.
        usize::try_from(number).unwrap_or_else(|_too_large| unreachable!())
    }

    /// The same for any number of 64 bits.
    pub fn below_u64(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Returns one of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns true once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Returns a length: mostly short, at times as long as `longest`.
    pub fn len(&mut self, longest: usize) -> usize {
        let bits = u64::from(usize::BITS - longest.leading_zeros());
        let below = 1_usize << self.below_u64(bits + 1);
        self.below(below + 1).min(longest)
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }

    /// Fills `bytes`, whose length is a multiple of 8.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&self.next().to_le_bytes());
        }
    }
}

/// Spreads the bits of `word` over all 64; no two words give the same.
pub const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// Returns `len` bytes that no other `id` has; from eight bytes on they differ from the first.
pub fn item(id: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    let mut word = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while bytes.len() < len {
        bytes.extend_from_slice(&word.to_le_bytes());
        word = word.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(id);
    }
    bytes.truncate(len);
    bytes
}

/// Compares bytes with an item.
///
/// # Panics
///
/// They differ; the message names the first byte that does, not all of them.
#[track_caller]
pub fn assert_item(found: &[u8], id: u64, len: usize, what: &str) {
    let expected = item(id, len);
    assert_bytes(found, &expected, &format!("{what}: item {id}"));
}

/// Compares bytes.
///
/// # Panics
///
/// They differ; the message names the first byte that does, not all of them.
#[track_caller]
pub fn assert_bytes(found: &[u8], expected: &[u8], what: &str) {
    if found == expected {
        return;
    }
    let differs = found.iter().zip(expected).position(|(a, b)| a != b);
    panic!(
        "{what}: {} bytes instead of {}, the first difference at {differs:?}",
        found.len(),
        expected.len()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_published_generator() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
        assert_eq!(Random::new(0).next(), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_every_value() {
        let mut random = Random::new(3);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[random.below(seen.len())] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn lengths_are_short_and_long_and_never_too_long() {
        let mut random = Random::new(1);
        let lens: Vec<usize> = (0..10_000).map(|_| random.len(1000)).collect();
        assert!(lens.contains(&0) && lens.iter().all(|len| *len <= 1000));
        assert!(lens.iter().any(|len| *len > 900));
    }

    #[test]
    fn shuffling_keeps_every_item_and_repeats_with_the_seed() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..100).collect();
            Random::new(seed).shuffle(&mut items);
            items
        };
        let mut sorted = shuffled(7);
        assert_eq!(shuffled(7), sorted);
        assert_ne!(shuffled(8), sorted);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    #[should_panic(expected = "first difference at Some(9)")]
    fn a_wrong_byte_of_an_item_is_found() {
        let mut bytes = item(1, 20);
        bytes[9] ^= 1;
        assert_item(&bytes, 1, 20, "planted");
    }
}
