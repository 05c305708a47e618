//! Runs candidates in turns: A B C, B A C, ... never one candidate's runs in a block.

use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::machine;
use crate::random::Random;
use crate::stats::Rounded;

/// One number that a run produced.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What was measured.
    pub metric: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: String,
}

/// Everything that one run produced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The numbers, each metric once.
    pub readings: Vec<Reading>,
    /// The checksum of what the candidate read back, which proves that it did its work.
    pub checksum: u64,
}

impl Sample {
    /// Makes a sample without readings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a reading.
    pub fn add(&mut self, metric: &str, value: f64, unit: &str) {
        self.readings.push(Reading {
            metric: metric.to_owned(),
            value,
            unit: unit.to_owned(),
        });
    }

    /// Returns the value of a metric.
    pub fn get(&self, metric: &str) -> Option<f64> {
        let found = self.readings.iter().find(|found| found.metric == metric);
        found.map(|reading| reading.value)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With numbers, and a checksum that was right.
    Measured(Sample),
    /// With an error or a wrong checksum.
    Failed(String),
    /// By a signal, such as that of the OOM killer.
    Killed(String),
    /// Before it began: the machine lacks what it needs.
    Skipped(String),
}

impl From<Failure> for Outcome {
    fn from(error: Failure) -> Self {
        if error.is_skip() {
            Self::Skipped(error.to_string())
        } else {
            Self::Failed(error.to_string())
        }
    }
}

/// One run of one candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The name of the candidate.
    pub candidate: String,
    /// The round; 0 is the one that is thrown away.
    pub round: u32,
    /// What came out.
    pub outcome: Outcome,
}

/// Something that can be measured: a name, and a function that does one run.
pub struct Candidate<'a> {
    /// The name in tables and records.
    pub name: &'static str,
    /// What is not equal to the other candidates; empty if nothing.
    pub note: &'static str,
    /// Does one run, and times itself: set-up, checks and clean-up stay outside.
    pub run: Box<dyn FnMut() -> Outcome + 'a>,
}

impl<'a> Candidate<'a> {
    /// Makes a candidate of a function that runs in this process; its panics are failures.
    pub fn new(
        name: &'static str,
        note: &'static str,
        mut run: impl FnMut() -> Result<Sample> + 'a,
    ) -> Self {
        let run = move || {
            let caught = panic::catch_unwind(AssertUnwindSafe(&mut run));
            match caught.unwrap_or_else(|_panic| Err(Failure::new("panicked"))) {
                Ok(sample) => Outcome::Measured(sample),
                Err(error) => error.into(),
            }
        };
        Self {
            name,
            note,
            run: Box::new(run),
        }
    }
}

impl std::fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("Candidate");
        fields.field("name", &self.name).finish_non_exhaustive()
    }
}

/// The rounds that count even if there is no time for them.
pub const ROUNDS_MIN: u32 = 1;

/// How often, in which order, and against what.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The rounds that count; one more comes before them and is thrown away.
    pub rounds: u32,
    /// Whether no round is thrown away: what is looked at is no time, or takes very long.
    pub keeps_first: bool,
    /// No round begins that would end after this, by the time that the last one took, if
    /// [`ROUNDS_MIN`] of them are done.
    pub until: Option<Instant>,
    /// Decides the order within each round.
    pub seed: u64,
    /// The checksum that every run has to come back with.
    pub expected: u64,
}

/// Runs all candidates `plan.rounds + 1` times in turns (see [`Plan`]), and returns every run, those of
/// the first round too.
///
/// A candidate that fails or is killed is not run again. `seen` gets each run as it ends,
/// and is the place to let the machine calm down.
pub fn interleave(
    candidates: &mut [Candidate<'_>],
    plan: Plan,
    seen: &mut dyn FnMut(&Run),
) -> Vec<Run> {
    let mut random = Random::new(plan.seed);
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let mut runs = Vec::new();
    let mut last_round = Duration::ZERO;
    for round in u32::from(plan.keeps_first)..=plan.rounds {
        let began = Instant::now();
        let is_late = plan.until.is_some_and(|until| began + last_round > until);
        if is_late && round > ROUNDS_MIN {
            break;
        }
        random.shuffle(&mut order);
        let mut ended = Vec::new();
        for index in &order {
            let candidate = &mut candidates[*index];
            let stolen = machine::stolen_ticks();
            let mut outcome = judged((candidate.run)(), plan.expected);
            if let Outcome::Measured(sample) = &mut outcome {
                let passed = machine::stolen_ticks().zip(stolen);
                let passed = passed.map_or(0, |(after, before)| after.saturating_sub(before));
                sample.add("stolen", passed as f64 / 100.0, "s");
            } else {
                ended.push(*index);
            }
            let run = Run {
                candidate: candidate.name.to_owned(),
                round,
                outcome,
            };
            seen(&run);
            runs.push(run);
        }
        order.retain(|index| !ended.contains(index));
        last_round = began.elapsed();
    }
    runs
}

/// Fails a run whose checksum is wrong, or whose numbers are none.
fn judged(outcome: Outcome, expected: u64) -> Outcome {
    let Outcome::Measured(sample) = &outcome else {
        return outcome;
    };
    if sample.checksum != expected {
        let found = sample.checksum;
        return Outcome::Failed(format!(
            "read back the wrong bytes: checksum {found:016x}, not {expected:016x}"
        ));
    }
    let broken = sample.readings.iter().find(|one| !one.value.is_finite());
    match broken {
        Some(reading) => Outcome::Failed(format!("{} is not a number", reading.metric)),
        None => outcome,
    }
}

/// Returns the values of a metric in the rounds that count.
pub fn values(runs: &[Run], candidate: &str, metric: &str) -> Vec<Rounded> {
    let kept = runs
        .iter()
        .filter(|run| run.round > 0 && run.candidate == candidate);
    kept.filter_map(|run| match &run.outcome {
        Outcome::Measured(sample) => sample.get(metric).map(|value| (run.round, value)),
        Outcome::Failed(_) | Outcome::Killed(_) | Outcome::Skipped(_) => None,
    })
    .collect()
}

/// Returns why a candidate has no result, if it has none.
pub fn ended(runs: &[Run], candidate: &str) -> Option<String> {
    let mut own = runs.iter().filter(|run| run.candidate == candidate);
    own.find_map(|run| match &run.outcome {
        Outcome::Measured(_) => None,
        Outcome::Failed(why) => Some(format!("FAILED: {why}")),
        Outcome::Killed(why) => Some(format!("killed: {why}")),
        Outcome::Skipped(why) => Some(format!("skipped: {why}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: f64, checksum: u64) -> Sample {
        let mut sample = Sample::new();
        sample.add("seconds", seconds, "s");
        sample.checksum = checksum;
        sample
    }

    const PLAN: Plan = Plan {
        rounds: 5,
        keeps_first: false,
        until: None,
        seed: 1,
        expected: 42,
    };

    #[test]
    fn candidates_take_turns_and_the_first_round_does_not_count() {
        let mut candidates = [
            Candidate::new("a", "", || Ok(sample(1.0, 42))),
            Candidate::new("b", "", || Ok(sample(2.0, 42))),
        ];
        let runs = interleave(&mut candidates, PLAN, &mut |_run| {});
        assert_eq!(runs.len(), 12);
        for (index, pair) in runs.chunks(2).enumerate() {
            assert_ne!(pair[0].candidate, pair[1].candidate);
            assert!(pair.iter().all(|run| run.round as usize == index));
        }
        let first: Vec<&str> = runs.iter().map(|run| run.candidate.as_str()).collect();
        assert!(first.chunks(2).any(|pair| pair[0] == "a"));
        assert!(first.chunks(2).any(|pair| pair[0] == "b"));
        let counted = values(&runs, "b", "seconds");
        assert_eq!(counted, [(1, 2.0), (2, 2.0), (3, 2.0), (4, 2.0), (5, 2.0)]);
    }

    /// The canary: were checksums not compared, a candidate that does nothing would win.
    #[test]
    fn a_wrong_checksum_is_a_failure_and_not_a_result() {
        let mut candidates = [
            Candidate::new("honest", "", || Ok(sample(1.0, 42))),
            Candidate::new("liar", "", || Ok(sample(0.001, 43))),
        ];
        let runs = interleave(&mut candidates, PLAN, &mut |_run| {});
        assert!(values(&runs, "liar", "seconds").is_empty());
        let why = ended(&runs, "liar").unwrap();
        assert!(why.contains("wrong bytes"), "{why}");
        let tried = runs.iter().filter(|run| run.candidate == "liar").count();
        assert_eq!(tried, 1, "a failed candidate is not run again");
        assert_eq!(ended(&runs, "honest"), None);
        assert_eq!(values(&runs, "honest", "seconds").len(), 5);
    }

    #[test]
    fn one_round_counts_even_if_there_is_no_time() {
        let mut candidates = [Candidate::new("a", "", || Ok(sample(1.0, 42)))];
        let until = Some(Instant::now());
        let runs = interleave(&mut candidates, Plan { until, ..PLAN }, &mut |_run| {});
        assert_eq!(values(&runs, "a", "seconds").len(), 1);
    }

    #[test]
    fn a_single_round_counts_where_none_is_thrown_away() {
        let mut candidates = [Candidate::new("a", "", || Ok(sample(1.0, 42)))];
        let plan = Plan {
            rounds: 1,
            keeps_first: true,
            ..PLAN
        };
        let runs = interleave(&mut candidates, plan, &mut |_run| {});
        assert_eq!((runs.len(), values(&runs, "a", "seconds").len()), (1, 1));
    }

    #[test]
    fn no_round_begins_that_would_end_too_late() {
        let slow = || {
            std::thread::sleep(Duration::from_millis(40));
            Ok(sample(1.0, 42))
        };
        let mut candidates = [Candidate::new("a", "", slow)];
        // The third round would end after 120 ms at the earliest.
        let until = Some(Instant::now() + Duration::from_millis(110));
        let runs = interleave(&mut candidates, Plan { until, ..PLAN }, &mut |_run| {});
        assert_eq!(runs.len(), 2);
    }

    #[test]
    fn what_the_machine_lacks_is_skipped_and_no_failure() {
        let lacking = || Err(Failure::skip("no nightly compiler"));
        let mut candidates = [Candidate::new("a", "", lacking)];
        let runs = interleave(&mut candidates, PLAN, &mut |_run| {});
        assert_eq!(runs.len(), 1);
        let why = ended(&runs, "a").unwrap();
        assert_eq!(why, "skipped: no nightly compiler");
    }

    #[test]
    fn a_panic_an_error_and_a_bad_number_are_failures() {
        let mut candidates = [
            Candidate::new("panics", "", || panic!("on purpose")),
            Candidate::new("errs", "", || Err(Failure::new("no disk"))),
            Candidate::new("infinite", "", || Ok(sample(f64::INFINITY, 42))),
        ];
        let quiet = panic::take_hook();
        panic::set_hook(Box::new(|_info| {}));
        let runs = interleave(&mut candidates, PLAN, &mut |_run| {});
        panic::set_hook(quiet);
        assert!(ended(&runs, "panics").unwrap().contains("panicked"));
        assert!(ended(&runs, "errs").unwrap().contains("no disk"));
        assert!(ended(&runs, "infinite").unwrap().contains("not a number"));
    }
}
