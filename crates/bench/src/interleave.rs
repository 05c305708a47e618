//! Runs candidates in turns: A B C, B A C, ... never one candidate's runs in a block.

use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use crate::error::{Result, anyhow};
use crate::machine;
use crate::random::Random;
use crate::sample::{Outcome, Run, Sample};

/// Something that can be measured: a name, and a function that does one run.
pub struct Candidate<'a> {
    /// The name in tables and records.
    pub name: String,
    /// What is not equal to the other candidates; empty if nothing.
    pub note: &'static str,
    /// Does one run, and times itself: set-up, checks and clean-up stay outside.
    pub run: Box<dyn FnMut() -> Outcome + 'a>,
}

impl<'a> Candidate<'a> {
    /// Makes a candidate of a function that runs in this process; its panics are failures.
    pub fn new(
        name: impl Into<String>,
        note: &'static str,
        mut run: impl FnMut() -> Result<Sample> + 'a,
    ) -> Self {
        let run = move || {
            let caught = panic::catch_unwind(AssertUnwindSafe(&mut run));
            let sample = match caught.unwrap_or_else(|_panic| Err(anyhow!("panicked"))) {
                Ok(sample) => sample,
                Err(error) => return error.into(),
            };
            let broken = sample.readings.iter().find(|one| !one.value.is_finite());
            match broken {
                Some(reading) => Outcome::Failed(format!("{} is not a number", reading.metric)),
                None => Outcome::Measured(sample),
            }
        };
        Self {
            name: name.into(),
            note,
            run: Box::new(run),
        }
    }
}

/// How often, in which order, and against what.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The rounds that count; one more comes before them and is thrown away.
    pub rounds: u32,
    /// Whether no round is thrown away: the result is not a time, or a round takes very long.
    pub keeps_first: bool,
    /// No round begins that would end after this, by the time of the last one. One round always
    /// counts.
    pub until: Option<Instant>,
    /// Decides the order within each round.
    pub seed: u64,
    /// The checksum that every run has to return.
    pub expected: u64,
}

/// Runs all candidates `plan.rounds + 1` times in turns (see [`Plan`]), and returns every run,
/// those of the first round too.
///
/// A candidate that fails or is killed is not run again. `seen` gets each run as it ends, and is
/// the place to let the machine settle.
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
        if is_late && round > 1 {
            break;
        }
        random.shuffle(&mut order);
        let mut ended = Vec::new();
        for index in &order {
            let candidate = &mut candidates[*index];
            let stolen = machine::stolen_seconds();
            let mut outcome = checked((candidate.run)(), plan.expected);
            if let Outcome::Measured(sample) = &mut outcome {
                sample.add("stolen", (machine::stolen_seconds() - stolen).max(0.0), "s");
            } else {
                ended.push(*index);
            }
            let run = Run::new(&candidate.name, round, outcome);
            seen(&run);
            runs.push(run);
        }
        order.retain(|index| !ended.contains(index));
        last_round = began.elapsed();
    }
    runs
}

/// Fails a run whose checksum is wrong.
fn checked(outcome: Outcome, expected: u64) -> Outcome {
    match outcome {
        Outcome::Measured(sample) if sample.checksum != expected => Outcome::Failed(format!(
            "read back the wrong bytes: checksum {:016x}, not {expected:016x}",
            sample.checksum
        )),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::skip;
    use crate::sample::Results;

    const PLAN: Plan = Plan {
        rounds: 5,
        keeps_first: false,
        until: None,
        seed: 1,
        expected: 42,
    };

    fn sample(seconds: f64, checksum: u64) -> Sample {
        Sample {
            checksum,
            ..Sample::default().with("seconds", seconds, "s")
        }
    }

    fn run(candidates: &mut [Candidate<'_>], plan: Plan) -> Results {
        Results {
            runs: interleave(candidates, plan, &mut |_run| {}),
            candidates: Vec::new(),
        }
    }

    #[test]
    fn candidates_take_turns_and_the_first_round_does_not_count() {
        let mut candidates = [
            Candidate::new("a", "", || Ok(sample(1.0, 42))),
            Candidate::new("b", "", || Ok(sample(2.0, 42))),
        ];
        let results = run(&mut candidates, PLAN);
        let runs = &results.runs;
        assert_eq!(runs.len(), 12);
        for (index, pair) in runs.chunks(2).enumerate() {
            assert_ne!(pair[0].candidate, pair[1].candidate);
            assert!(pair.iter().all(|run| run.round as usize == index));
        }
        let mut firsts = runs.chunks(2).map(|pair| pair[0].candidate.as_str());
        assert!(firsts.clone().any(|first| first == "a") && firsts.any(|first| first == "b"));
        let counted = results.values("b", "seconds");
        assert_eq!(counted, [(1, 2.0), (2, 2.0), (3, 2.0), (4, 2.0), (5, 2.0)]);
    }

    /// The canary: if checksums were not compared, a candidate that does nothing would win.
    #[test]
    fn a_wrong_checksum_is_a_failure_and_not_a_result() {
        let mut candidates = [
            Candidate::new("honest", "", || Ok(sample(1.0, 42))),
            Candidate::new("liar", "", || Ok(sample(0.001, 43))),
        ];
        let results = run(&mut candidates, PLAN);
        assert!(results.values("liar", "seconds").is_empty());
        let why = results.ended("liar").unwrap();
        assert!(why.contains("wrong bytes"), "{why}");
        let mut tried = results.runs.iter().filter(|run| run.candidate == "liar");
        assert!(
            tried.next().is_some() && tried.next().is_none(),
            "run again"
        );
        assert_eq!(results.ended("honest"), None);
        assert_eq!(results.values("honest", "seconds").len(), 5);
    }

    #[test]
    fn one_round_counts_even_if_there_is_no_time() {
        let mut candidates = [Candidate::new("a", "", || Ok(sample(1.0, 42)))];
        let until = Some(Instant::now());
        let results = run(&mut candidates, Plan { until, ..PLAN });
        assert_eq!(results.values("a", "seconds").len(), 1);
        let keeps_first = true;
        let plan = Plan {
            rounds: 1,
            keeps_first,
            ..PLAN
        };
        let results = run(&mut candidates, plan);
        let found = (results.runs.len(), results.values("a", "seconds").len());
        assert_eq!(found, (1, 1));
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
        let results = run(&mut candidates, Plan { until, ..PLAN });
        assert_eq!(results.runs.len(), 2);
    }

    #[test]
    fn a_panic_an_error_and_a_bad_number_are_failures_and_a_skip_is_none() {
        let mut candidates = [
            Candidate::new("panics", "", || panic!("on purpose")),
            Candidate::new("errs", "", || Err(anyhow!("no disk"))),
            Candidate::new("infinite", "", || Ok(sample(f64::INFINITY, 42))),
            Candidate::new("lacks", "", || Err(skip("no nightly compiler"))),
        ];
        let quiet = panic::take_hook();
        panic::set_hook(Box::new(|_info| {}));
        let results = run(&mut candidates, PLAN);
        panic::set_hook(quiet);
        let ended = |name| results.ended(name).unwrap();
        assert_eq!(ended("panics"), "FAILED: panicked");
        assert_eq!(ended("errs"), "FAILED: no disk");
        assert_eq!(ended("infinite"), "FAILED: seconds is not a number");
        assert_eq!(ended("lacks"), "skipped: no nightly compiler");
        assert_eq!(results.runs.len(), 4, "run again");
    }
}
