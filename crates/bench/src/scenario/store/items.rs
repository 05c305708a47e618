//! The items that stores take: the same bytes for all.

use std::sync::OnceLock;

use crate::pool::{self, Pool};
use crate::random::Random;

/// The shortest and the longest item of mixed length.
const SHORTEST: f64 = 16.0;
const LONGEST: f64 = 65_536.0;

/// So many lengths repeat. A prime, as everything that repeats here.
const LENGTHS: u64 = 1021;

/// Items by their index.
#[derive(Clone, Debug)]
pub struct Items {
    /// Made when the first item is wanted: a process has many workloads and runs one.
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
    /// Makes items of `len` bytes, a multiple of 8 and at most 1 MiB.
    pub fn of_len(len: usize, seed: u64) -> Self {
        Self {
            pool: OnceLock::new(),
            seed,
            shape: Shape::Fixed(len),
        }
    }

    /// Makes items of mixed length: 16 B to 64 KiB, half of them below 512 bytes.
    pub fn mixed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x10C);
        let mut lens = Vec::new();
        let mut sums = vec![0];
        let mut sum = 0;
        for _ in 0..LENGTHS {
            // The sum of twelve even numbers is normal enough.
            let even = |random: &mut Random| random.below(1 << 32) as f64 / 2f64.powi(32);
            let normal: f64 = (0..12).map(|_| even(&mut random)).sum::<f64>() - 6.0;
            let len = (512.0 * (1.5 * normal).exp()).clamp(SHORTEST, LONGEST);
            let len = (8..=LONGEST_USIZE)
                .rev()
                .step_by(8)
                .find(|one| *one as f64 <= len);
            let len = len.unwrap_or(8);
            lens.push(len);
            sum += len as u64;
            sums.push(sum);
        }
        Self {
            pool: OnceLock::new(),
            seed,
            shape: Shape::Mixed(lens, sums),
        }
    }

    /// Returns an item.
    #[inline]
    pub fn get(&self, index: u64) -> &[u8] {
        let pool = self.pool.get_or_init(|| Pool::new(8, self.seed));
        match &self.shape {
            Shape::Fixed(len) => &pool.chunk(index * *len as u64)[..*len],
            Shape::Mixed(lens, sums) => {
                let place = pool::index(index % LENGTHS);
                let offset = index / LENGTHS * sums[lens.len()] + sums[place];
                &pool.chunk(offset)[..lens[place]]
            }
        }
    }

    /// Returns the number that an item of a vector is.
    #[inline]
    pub fn number(index: u64) -> u64 {
        index ^ 0x5DEE_CE66_D1CE_4E5B
    }

    /// Returns the bytes of the first `count` items.
    pub fn total(&self, count: u64) -> u64 {
        match &self.shape {
            Shape::Fixed(len) => count * *len as u64,
            Shape::Mixed(lens, sums) => {
                count / LENGTHS * sums[lens.len()] + sums[pool::index(count % LENGTHS)]
            }
        }
    }

    /// Returns how many items come to about `total` bytes.
    pub fn count_for(&self, total: u64) -> u64 {
        match &self.shape {
            Shape::Fixed(len) => total / *len as u64,
            Shape::Mixed(lens, sums) => total * LENGTHS / sums[lens.len()].max(1),
        }
    }
}

const LONGEST_USIZE: usize = 65_536;

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
        assert_eq!(
            items.total(2 * LENGTHS + 1),
            2 * sum as u64 + lens[0] as u64
        );
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
