//! Random numbers that a seed repeats.

/// `SplitMix64`: small, seedable, and the same on every machine.
#[derive(Debug)]
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

    /// Returns a number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// Returns one of `choices`.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Returns the seeds to run: the one in `$OUTCORE_SEED`, or the first `count`.
pub(crate) fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("OUTCORE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..count).collect(),
    }
}

/// Returns the seeds of a comparison with a model: as [`seeds`], but 2,000 where
/// `$OUTCORE_CAMPAIGN` is `long`.
pub(crate) fn cases(count: u64) -> Vec<u64> {
    let long = std::env::var("OUTCORE_CAMPAIGN").is_ok_and(|tier| tier == "long");
    seeds(if long { 2000 } else { count })
}
