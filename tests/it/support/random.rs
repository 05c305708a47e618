//! Random numbers that a seed repeats.

pub(crate) use testkit::Random;

/// Returns the seeds to run: the one in `$OUTCORE_SEED`, or the first `count`.
pub(crate) fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("OUTCORE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..count).collect(),
    }
}

/// A comparison with a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    /// Whether it is one of many: fewer steps, and less data.
    pub(crate) small: bool,
}

impl Case {
    /// The one that is played with a planted bug.
    pub(crate) const PLANTED: Self = Self {
        seed: 0,
        small: false,
    };

    /// Returns what is right for a case of this size.
    pub(crate) fn either<T>(self, large: T, small: T) -> T {
        if self.small { small } else { large }
    }
}

/// Returns the comparisons with a model: the one that `$OUTCORE_SEED` names, or the first `large`,
/// or 2,000 where `$OUTCORE_CAMPAIGN` is `long`. The number decides about the size, so that one case
/// is the same in both tiers, and alone: the first `large` are, all others are small.
pub(crate) fn cases(large: u64) -> Vec<Case> {
    let long = std::env::var("OUTCORE_CAMPAIGN").is_ok_and(|tier| tier == "long");
    let sized = |seed| Case {
        seed,
        small: seed >= large,
    };
    let seeds = seeds(if long { 2000 } else { large });
    seeds.into_iter().map(sized).collect()
}
