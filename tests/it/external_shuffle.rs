//! Vectors that are shuffled within a budget: permutations, all equally likely, and the same for
//! the same seed.

use std::collections::HashMap;

use outcore::MemoryBudget;
use outcore::external::Options;

use crate::external_vec::{MIN, SCALE, check_budget, vec_of};

#[test]
fn a_shuffle_is_the_same_for_every_budget_and_every_number_of_threads() {
    for count in [0, 1, 2, 256, 257, 70_000, 700_000 / SCALE] {
        let mut shuffled = Vec::new();
        for (bytes, threads) in [(MIN, 1), (MIN, 3), (64 << 20, 1)] {
            let budget = MemoryBudget::new(bytes);
            let mut vec = vec_of(count, |n| n as u64);
            vec.shuffle_external(Options::from(&budget).threads(threads), 42)
                .unwrap();
            check_budget(&budget);
            let mut sorted = vec.to_vec();
            shuffled.push(vec);
            sorted.sort_unstable();
            assert!(
                sorted.into_iter().eq(0..count as u64),
                "no permutation of {count}"
            );
        }
        assert!(
            shuffled.windows(2).all(|pair| pair[0] == pair[1]),
            "{count}"
        );
        let mut other = vec_of(count, |n| n as u64);
        other.shuffle_external(&MemoryBudget::new(MIN), 43).unwrap();
        assert!(
            count < 3 || other != shuffled[0],
            "{count}: another seed, the same order"
        );
    }
}

/// The permutation of a seed is a promise: here for ten elements, and for the first of many.
#[test]
fn a_seed_stands_for_the_same_order_in_every_version() {
    let mut few = vec_of(10, |n| n);
    few.shuffle_external(&MemoryBudget::new(MIN), 42).unwrap();
    let mut many = vec_of(300_000, |n| n);
    many.shuffle_external(&MemoryBudget::new(MIN), 42).unwrap();
    assert_eq!(
        (few.to_vec(), many[..5].to_vec()),
        (FEW.to_vec(), MANY.to_vec())
    );
}

const FEW: [usize; 10] = [4, 0, 1, 7, 2, 8, 5, 6, 9, 3];
const MANY: [usize; 5] = [134_271, 200_492, 254_676, 231_535, 42_578];

/// Every element is equally often at every position, within five standard deviations.
#[test]
fn all_places_are_as_likely() {
    const COUNT: usize = 8;
    let rounds: u32 = if cfg!(miri) { 100 } else { 20_000 };
    let mut seen = [[0_u32; COUNT]; COUNT];
    let mut orders: HashMap<Vec<usize>, u32> = HashMap::new();
    let budget = MemoryBudget::new(MIN);
    let mut vec = vec_of(COUNT, |n| n);
    for seed in 0..rounds {
        for (n, place) in vec.iter_mut().enumerate() {
            *place = n;
        }
        vec.shuffle_external(&budget, u64::from(seed)).unwrap();
        for (place, n) in vec.iter().enumerate() {
            seen[*n][place] += 1;
        }
        *orders.entry(vec[..4].to_vec()).or_default() += 1;
    }
    let expected = f64::from(rounds) / 8.0;
    for count in seen.as_flattened() {
        let off = (f64::from(*count) - expected).abs() / expected.sqrt();
        assert!(off < 5.0, "{seen:?}");
    }
    assert!(
        orders.len() > if cfg!(miri) { 80 } else { 1600 },
        "{} of 1680 orders",
        orders.len()
    );
}
