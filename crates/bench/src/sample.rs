//! What runs produce, and how runs are compared: medians and spreads, ratios within a round. No
//! means: one bad run must not move a number.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Skip};

/// One number that a run produced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub metric: String,
    pub value: f64,
    pub unit: String,
}

/// Everything that one run produced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The numbers, each metric once.
    pub readings: Vec<Reading>,
    /// The checksum of what the candidate read back, which proves that it did its work.
    pub checksum: u64,
}

impl Sample {
    pub fn add(&mut self, metric: &str, value: f64, unit: &str) {
        self.readings.push(Reading {
            metric: metric.to_owned(),
            value,
            unit: unit.to_owned(),
        });
    }

    /// The same, as a part of an expression.
    #[must_use]
    pub fn with(mut self, metric: &str, value: f64, unit: &str) -> Self {
        self.add(metric, value, unit);
        self
    }

    pub fn get(&self, metric: &str) -> Option<f64> {
        let found = self.readings.iter().find(|found| found.metric == metric);
        found.map(|reading| reading.value)
    }

    pub fn seconds(&self) -> f64 {
        self.get("seconds").unwrap_or(f64::NAN)
    }

    /// Adds the time of one of `count` operations.
    pub fn add_time(&mut self, metric: &str, count: u64) {
        self.add(metric, self.seconds() * 1e9 / count as f64, "ns");
    }

    /// Adds the rate of `len` bytes.
    pub fn add_rate(&mut self, len: u64) {
        let gib = len as f64 / f64::from(1 << 30);
        self.add("rate", gib / self.seconds(), "GiB/s");
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    Measured(Sample),
    /// With an error or a wrong checksum.
    Failed(String),
    /// By a signal, such as that of the OOM killer.
    Killed(String),
    /// Before it began: the machine lacks what it needs.
    Skipped(String),
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        let text = format!("{error:#}");
        if error.is::<Skip>() {
            Self::Skipped(text)
        } else {
            Self::Failed(text)
        }
    }
}

impl Outcome {
    /// Says why there is no result; `None` if there is one.
    pub fn why(&self) -> Option<String> {
        match self {
            Self::Measured(_) => None,
            Self::Failed(why) => Some(format!("FAILED: {why}")),
            Self::Killed(why) => Some(format!("killed: {why}")),
            Self::Skipped(why) => Some(format!("skipped: {why}")),
        }
    }
}

/// One run of one candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub candidate: String,
    /// Round 0 is the one that is thrown away.
    pub round: u32,
    pub outcome: Outcome,
}

impl Run {
    pub fn new(candidate: &str, round: u32, outcome: Outcome) -> Self {
        let candidate = candidate.to_owned();
        Self {
            candidate,
            round,
            outcome,
        }
    }
}

/// The number that decides a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headline {
    pub metric: &'static str,
    pub unit: &'static str,
    /// Whether more is better (a rate) or less (a time).
    pub higher_is_better: bool,
}

impl Headline {
    pub const fn less(metric: &'static str, unit: &'static str) -> Self {
        Self {
            metric,
            unit,
            higher_is_better: false,
        }
    }

    pub const fn more(metric: &'static str, unit: &'static str) -> Self {
        Self {
            higher_is_better: true,
            ..Self::less(metric, unit)
        }
    }

    /// Returns how many times as good a value is as another.
    pub fn ratio(self, own: f64, other: f64) -> f64 {
        let over = own / other;
        if self.higher_is_better {
            over
        } else {
            over.recip()
        }
    }
}

/// The middle and the ends of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle value; of an even count the mean of the two in the middle.
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub count: usize,
}

impl Spread {
    /// Summarises `values`; `None` if there are none, or one is not a number.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let below = values[(values.len() - 1) / 2];
        let is_sound = !min.is_nan() && !max.is_nan();
        is_sound.then(|| Self {
            median: f64::midpoint(below, values[middle]),
            min,
            max,
            count: values.len(),
        })
    }
}

/// The runs of one workload, with the names and notes of its candidates in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    pub candidates: Vec<(String, String)>,
    /// Every run, those of round 0 too.
    pub runs: Vec<Run>,
}

impl Results {
    /// Returns the samples of the rounds that count.
    pub fn samples(&self, candidate: &str) -> impl Iterator<Item = (u32, &Sample)> {
        let counted = self.runs.iter().filter(|run| run.round > 0);
        let own = counted.filter(move |run| run.candidate == candidate);
        own.filter_map(|run| match &run.outcome {
            Outcome::Measured(sample) => Some((run.round, sample)),
            Outcome::Failed(_) | Outcome::Killed(_) | Outcome::Skipped(_) => None,
        })
    }

    /// Returns the values of a metric, with their rounds.
    pub fn values(&self, candidate: &str, metric: &str) -> Vec<(u32, f64)> {
        let samples = self.samples(candidate);
        samples
            .filter_map(|(round, sample)| Some((round, sample.get(metric)?)))
            .collect()
    }

    pub fn spread(&self, candidate: &str, metric: &str) -> Option<Spread> {
        let values = self.values(candidate, metric).into_iter();
        Spread::of(values.map(|(_, value)| value).collect())
    }

    pub fn median(&self, candidate: &str, metric: &str) -> Option<f64> {
        Some(self.spread(candidate, metric)?.median)
    }

    /// Returns how many times as fast as `baseline` the candidate was, round by round.
    ///
    /// On a machine that others use too, values of two rounds cannot be compared; ratios within a
    /// round can.
    pub fn speed(&self, headline: Headline, candidate: &str, baseline: &str) -> Option<Spread> {
        let others = self.values(baseline, headline.metric);
        let own = self.values(candidate, headline.metric).into_iter();
        let ratios = own.filter_map(|(round, own)| {
            let (_, other) = others.iter().find(|(found, _)| *found == round)?;
            Some(headline.ratio(own, *other))
        });
        Spread::of(ratios.collect())
    }

    /// Returns how a candidate ended, if it has no result.
    pub fn ended(&self, candidate: &str) -> Option<String> {
        let mut own = self.runs.iter().filter(|run| run.candidate == candidate);
        own.find_map(|run| run.outcome.why())
    }

    pub fn is_killed(&self, candidate: &str) -> bool {
        self.ended(candidate)
            .is_some_and(|why| why.starts_with("killed"))
    }

    /// Tells whether a candidate failed. Being killed is a result.
    pub fn has_failures(&self) -> bool {
        let failed = |run: &Run| matches!(run.outcome, Outcome::Failed(_));
        self.runs.iter().any(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_middle_two() {
        let odd = Spread::of(vec![9.0, 1.0, 2.0]).unwrap();
        let found = (odd.median, odd.min, odd.max, odd.count);
        assert_eq!(found, (2.0, 1.0, 9.0, 3));
        let even = Spread::of(vec![4.0, 1.0, 2.0, 100.0]).unwrap();
        assert!((even.median - 3.0).abs() < 1e-12);
        assert_eq!(Spread::of(vec![]), None);
        assert_eq!(Spread::of(vec![1.0, f64::NAN]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_round_0_does_not_count() {
        // The machine became ten times slower in round 2: the ratio does not change.
        let rounds = [(0, 9.0, 1.0), (1, 2.0, 1.0), (2, 20.0, 10.0), (3, 2.0, 1.0)];
        let mut results = Results::default();
        for (round, own, other) in rounds {
            for (candidate, value) in [("own", own), ("other", other)] {
                let sample = Sample::default().with("seconds", value, "s");
                let run = Run::new(candidate, round, Outcome::Measured(sample));
                results.runs.push(run);
            }
        }
        let speed = |headline| results.speed(headline, "own", "other").unwrap();
        let rate = speed(Headline::more("seconds", ""));
        assert_eq!((rate.min, rate.max, rate.count), (2.0, 2.0, 3));
        assert!((speed(Headline::less("seconds", "")).median - 0.5).abs() < 1e-12);
    }
}
