//! Counts durations by size: cheap enough to take every single one of billions.

use std::time::Duration;

use crate::measure::Sample;

/// The quantiles that are reported, by the names of their metrics.
pub const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p999", 0.999),
    ("p9999", 0.9999),
];

/// Bits of a value that tell buckets of one power of two apart: a bucket is 6 % wide.
const FINE_BITS: u32 = 4;

/// How many buckets a power of two has.
const FINE: usize = 1 << FINE_BITS;

/// Counters of durations in nanoseconds, by powers of two, each in 16 parts.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    longest: u64,
    total: u64,
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; 64 * FINE],
            longest: 0,
            total: 0,
            sum: 0,
        }
    }
}

impl Histogram {
    /// Counts a duration.
    #[inline]
    pub fn add(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.longest = self.longest.max(nanos);
        self.total += 1;
        self.sum = self.sum.saturating_add(nanos);
    }

    /// Adds the usual quantiles to a sample, as `p50_NAME`, `p90_NAME`, ... and
    /// `longest_NAME`, in nanoseconds.
    pub fn report(&self, name: &str, sample: &mut Sample) {
        for (label, share) in QUANTILES {
            sample.add(&format!("{label}_{name}"), self.quantile(share), "ns");
        }
        sample.add(&format!("longest_{name}"), self.longest as f64, "ns");
    }

    /// Returns the mean, exactly, in nanoseconds.
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.total.max(1) as f64
    }

    /// Returns the longest duration, exactly, in nanoseconds.
    pub fn longest(&self) -> u64 {
        self.longest
    }

    /// Returns a duration in nanoseconds that a share of `share` does not exceed: the upper
    /// end of its bucket, so at most 7 % too much.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = share * self.total as f64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen as f64 >= wanted {
                return upper_end(index).min(self.longest as f64);
            }
        }
        self.longest as f64
    }
}

/// Small values have a bucket each; larger ones share with those that begin with the same
/// bits.
fn bucket(nanos: u64) -> usize {
    let bits = u64::BITS - nanos.leading_zeros();
    let shift = bits.saturating_sub(FINE_BITS + 1);
    let fine = usize::try_from(nanos >> shift).unwrap_or(0);
    shift as usize * FINE + fine
}

fn upper_end(bucket: usize) -> f64 {
    let shift = (bucket / FINE).saturating_sub(1);
    let fine = bucket - shift * FINE;
    ((fine + 1) as f64) * 2f64.powi(i32::try_from(shift).unwrap_or(0)) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_ascend_without_a_gap() {
        let mut last = 0;
        for nanos in 0..100_000 {
            let bucket = bucket(nanos);
            assert!(bucket == last || bucket == last + 1, "{nanos}");
            last = bucket;
            let end = upper_end(bucket);
            assert!(
                end >= nanos as f64 && end <= nanos as f64 * 1.07 + 1.0,
                "{nanos}"
            );
        }
        assert!(bucket(u64::MAX) < 64 * FINE);
    }

    #[test]
    fn quantiles_are_near_the_truth() {
        let mut histogram = Histogram::default();
        for nanos in 1..=10_000 {
            histogram.add(Duration::from_nanos(nanos));
        }
        histogram.add(Duration::from_millis(7));
        assert_eq!(histogram.longest(), 7_000_000);
        let median = histogram.quantile(0.5);
        assert!((5000.0..5400.0).contains(&median), "{median}");
        assert!(histogram.quantile(0.9999) <= 10_700.0);
        assert!((histogram.quantile(1.0) - 7e6).abs() < 1.0);
    }
}
