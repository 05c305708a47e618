//! The items that stores take: the same bytes for all.

use std::sync::OnceLock;

use rand_distr::{Distribution, LogNormal};

use crate::prelude::*;
use crate::random::Source;

/// The shortest and the longest item of mixed length.
const SHORTEST: f64 = 16.0;
const LONGEST: f64 = 65_536.0;

/// So many lengths repeat. A prime, as everything that repeats here.
const LENGTHS: u64 = 1021;

/// Items by their index.
#[derive(Clone, Debug)]
pub struct Items {
    /// Made when the first item is needed: a process has many workloads and runs one.
    pool: OnceLock<Pool>,
    seed: u64,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    /// All have this length.
    Fixed(usize),
    /// Lengths that repeat, and the sum of those before each; the last sum is that of all.
    Mixed(Vec<usize>, Vec<u64>),
}

impl Items {
    fn new(shape: Shape, seed: u64) -> Self {
        let pool = OnceLock::new();
        Self { pool, seed, shape }
    }

    /// Makes items of `len` bytes, a multiple of 8 and at most 1 MiB.
    pub fn of_len(len: usize, seed: u64) -> Self {
        Self::new(Shape::Fixed(len), seed)
    }

    /// Makes items of mixed length: 16 B to 64 KiB, half of them below 512 bytes.
    pub fn mixed(seed: u64) -> Self {
        // The parameters are finite, and the spread is positive.
        let lens = LogNormal::new(512_f64.ln(), 1.5).unwrap_or_else(|_bad| unreachable!());
        let drawn = lens.sample_iter(Source(Random::new(seed ^ 0x10C)));
        let words = |len: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between the shortest and the longest"
            )]
            let words = (len.clamp(SHORTEST, LONGEST) / 8.0) as usize;
            words * 8
        };
        let lens: Vec<usize> = drawn.take(index(LENGTHS)).map(words).collect();
        let mut sums = vec![0];
        for len in &lens {
            sums.push(sums[sums.len() - 1] + *len as u64);
        }
        Self::new(Shape::Mixed(lens, sums), seed)
    }

    pub fn pool(&self) -> &Pool {
        self.pool.get_or_init(|| Pool::new(8, self.seed))
    }

    /// Returns an item.
    #[inline]
    pub fn get(&self, number: u64) -> &[u8] {
        match &self.shape {
            Shape::Fixed(len) => &self.pool().chunk(number * *len as u64)[..*len],
            Shape::Mixed(lens, sums) => {
                let place = index(number % LENGTHS);
                let offset = number / LENGTHS * sums[lens.len()] + sums[place];
                &self.pool().chunk(offset)[..lens[place]]
            }
        }
    }

    /// Returns the bytes of the first `count` items.
    pub fn total(&self, count: u64) -> u64 {
        match &self.shape {
            Shape::Fixed(len) => count * *len as u64,
            Shape::Mixed(lens, sums) => {
                count / LENGTHS * sums[lens.len()] + sums[index(count % LENGTHS)]
            }
        }
    }

    /// Returns how many items have about `total` bytes together.
    pub fn count_for(&self, total: u64) -> u64 {
        match &self.shape {
            Shape::Fixed(len) => total / *len as u64,
            Shape::Mixed(lens, sums) => total * LENGTHS / sums[lens.len()].max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_items_have_the_lengths_that_they_should() {
        let items = Items::mixed(1);
        let lens: Vec<usize> = (0..LENGTHS).map(|index| items.get(index).len()).collect();
        let short = lens.iter().filter(|len| **len <= 512).count();
        assert!((400..620).contains(&short), "{short}");
        assert!(lens.iter().all(|len| (16..=65_536).contains(len)));
        let sum: usize = lens.iter().sum();
        assert_eq!(items.total(LENGTHS), sum as u64);
        let more = items.total(2 * LENGTHS + 1);
        assert_eq!(more, 2 * sum as u64 + lens[0] as u64);
        assert_ne!(items.get(0), &items.get(LENGTHS)[..lens[0]]);
    }

    #[test]
    fn items_of_one_length_do_not_repeat_soon() {
        let items = Items::of_len(1 << 20, 1);
        let firsts: std::collections::HashSet<&[u8]> =
            (0..100).map(|index| &items.get(index)[..16]).collect();
        assert_eq!(firsts.len(), 100);
        assert_eq!(items.count_for(10 << 20), 10);
    }
}
