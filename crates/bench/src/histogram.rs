//! Durations by size: cheap enough to take every single one of billions.

use std::time::Duration;

use crate::sample::Sample;

/// The quantiles that are reported, by the beginnings of their metrics.
const QUANTILES: [(&str, f64); 6] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p999", 0.999),
    ("p9999", 0.9999),
    ("longest", 1.0),
];

/// Durations in nanoseconds, each at most 0.1 % too large.
pub struct Histogram(hdrhistogram::Histogram<u64>);

impl Default for Histogram {
    fn default() -> Self {
        let hour = 3_600_000_000_000;
        let counts = hdrhistogram::Histogram::new_with_max(hour, 3);
        Self(counts.unwrap_or_else(|error| unreachable!("{error}")))
    }
}

impl Histogram {
    #[inline]
    pub fn add(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos);
    }

    /// Adds the quantiles to a sample, as `p50_NAME`, `p90_NAME`, ... and `longest_NAME`, in ns.
    pub fn report(&self, name: &str, sample: &mut Sample) {
        for (label, share) in QUANTILES {
            sample.add(&format!("{label}_{name}"), self.quantile(share), "ns");
        }
    }

    /// Returns the mean in nanoseconds.
    pub fn mean(&self) -> f64 {
        self.0.mean()
    }

    /// Returns the duration in nanoseconds that a share of `share` does not exceed.
    pub fn quantile(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64
    }
}
