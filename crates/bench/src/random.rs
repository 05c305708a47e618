//! Random numbers that are the same on every machine: `SplitMix64`.

/// A seeded generator.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Starts the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// Returns a number below `limit`, which is not 0.
    ///
    /// The bias is below `limit / 2^64`: nothing that a benchmark could see.
    pub fn below(&mut self, limit: u64) -> u64 {
        let product = u128::from(self.next_u64()) * u128::from(limit);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let chosen = self.below(end as u64 + 1);
            items.swap(end, usize::try_from(chosen).unwrap_or(0));
        }
    }

    /// Fills `bytes`, whose length is a multiple of 8.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&self.next_u64().to_le_bytes());
        }
    }
}

/// Numbers from 0 on, of which number `n` is drawn in proportion to `1 / (n + 1) ^ 0.99`.
///
/// Draws by the integral of that curve instead of its sum: the shares of the first few numbers are
/// off by some percent, which is the same for all who read what was drawn.
#[derive(Clone, Copy, Debug)]
pub struct Zipf {
    count: u64,
    area: f64,
}

/// What the exponent lacks to 1: the exponent of the integral.
const FLATNESS: f64 = 1.0 - 0.99;

impl Zipf {
    /// Draws from `count` numbers, at least one.
    pub fn new(count: u64) -> Self {
        let count = count.max(1);
        let area = ((count + 1) as f64).powf(FLATNESS) - 1.0;
        Self { count, area }
    }

    /// Draws a number.
    pub fn draw(&self, random: &mut Random) -> u64 {
        let even = random.below(1 << 53) as f64 / 2f64.powi(53);
        let drawn = (1.0 + even * self.area).powf(FLATNESS.recip()) - 1.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the count"
        )]
        let drawn = drawn as u64;
        drawn.min(self.count - 1)
    }
}

/// Spreads the bits of `word` over all 64; no two words collide.
pub fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_published_generator() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
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
    fn a_few_numbers_are_drawn_again_and_again() {
        let (zipf, mut random) = (Zipf::new(1_000_000), Random::new(5));
        let mut drawn: Vec<u64> = (0..100_000).map(|_| zipf.draw(&mut random)).collect();
        drawn.sort_unstable();
        assert!(drawn.iter().all(|number| *number < 1_000_000));
        let below = |limit: u64| drawn.partition_point(|number| *number < limit) as f64 / 1e5;
        // Of an exponent near 1, each power of ten gets about as much as any other.
        assert!((0.13..0.23).contains(&below(9)), "{}", below(9));
        assert!((0.45..0.60).contains(&below(999)), "{}", below(999));
        assert!(below(1_000_000) > 0.99);
    }

    #[test]
    fn numbers_stay_below_the_limit_and_reach_every_value() {
        let mut random = Random::new(3);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[usize::try_from(random.below(7)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 7]);
    }
}
