//! What a child says to its parent on its standard output, a line at a time.
//!
//! ```text
//! candidate NAME NOTE         before the first run
//! start NAME                  a run begins
//! reading METRIC VALUE UNIT   a number of this run
//! checksum HEX                the checksum of this run
//! run NAME ROUND              the run is over, its numbers stand above
//! failed NAME ROUND WHY       the run is over, without numbers
//! skipped NAME ROUND WHY      there was no run: the machine lacks something
//! ```
//!
//! The fields are separated by tabs.

use crate::failure::{Context, Failure, Result};
use crate::measure::{Candidate, Outcome, Run, Sample};

/// What the parent learns from a line, if the line completes something.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// There is a candidate of this name, with this note.
    Candidate(String, String),
    /// A run is over.
    Ended(Run),
}

/// Puts lines together.
#[derive(Debug, Default)]
pub struct Reader {
    sample: Sample,
    has_checksum: bool,
    /// The candidate whose run began and did not end.
    pub under_way: Option<String>,
}

impl Reader {
    /// Takes the next line.
    ///
    /// # Errors
    ///
    /// A line that is none of the protocol, or at the wrong place.
    pub fn line(&mut self, line: &str) -> Result<Option<Event>> {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields.as_slice() {
            ["candidate", name, note] => {
                let event = Event::Candidate((*name).to_owned(), (*note).to_owned());
                return Ok(Some(event));
            }
            ["start", name] => {
                *self = Self::default();
                self.under_way = Some((*name).to_owned());
            }
            ["reading", metric, value, unit] => {
                let value = value.parse().context("a child's number")?;
                self.sample.add(metric, value, unit);
            }
            ["checksum", digits] => {
                let checksum = u64::from_str_radix(digits, 16);
                self.sample.checksum = checksum.context("a child's checksum")?;
                self.has_checksum = true;
            }
            ["run", name, round] if self.has_checksum => {
                let sample = std::mem::take(&mut self.sample);
                return self.ended(name, round, Outcome::Measured(sample)).map(Some);
            }
            ["skipped", name, round, why] => {
                let outcome = Outcome::Skipped((*why).to_owned());
                return self.ended(name, round, outcome).map(Some);
            }
            ["failed", name, round, why] => {
                let outcome = Outcome::Failed((*why).to_owned());
                return self.ended(name, round, outcome).map(Some);
            }
            _ => return Err(Failure::new(format!("the child said: {line}"))),
        }
        Ok(None)
    }

    fn ended(&mut self, name: &str, round: &str, outcome: Outcome) -> Result<Event> {
        let round = round.parse().context("a child's round")?;
        *self = Self::default();
        Ok(Event::Ended(Run {
            candidate: name.to_owned(),
            round,
            outcome,
        }))
    }
}

/// Prints the candidates.
pub fn print_candidates(candidates: &[Candidate<'_>]) {
    for candidate in candidates {
        println!("candidate\t{}\t{}", candidate.name, candidate.note);
    }
}

/// Prints that a run begins.
pub fn print_start(name: &str) {
    println!("start\t{name}");
}

/// Prints a run that is over.
pub fn print_run(run: &Run) {
    print!("{}", text_of(run));
}

fn text_of(run: &Run) -> String {
    let (name, round) = (&run.candidate, run.round);
    let (how, why) = match &run.outcome {
        Outcome::Measured(sample) => return text_of_sample(name, round, sample),
        Outcome::Failed(why) | Outcome::Killed(why) => ("failed", why),
        Outcome::Skipped(why) => ("skipped", why),
    };
    let why = why.replace(['\n', '\t'], " ");
    format!("{how}\t{name}\t{round}\t{why}\n")
}

fn text_of_sample(name: &str, round: u32, sample: &Sample) -> String {
    let mut lines: Vec<String> = sample
        .readings
        .iter()
        .map(|one| format!("reading\t{}\t{}\t{}\n", one.metric, one.value, one.unit))
        .collect();
    lines.push(format!("checksum\t{:016x}\n", sample.checksum));
    lines.push(format!("run\t{name}\t{round}\n"));
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(outcome: Outcome) -> Run {
        Run {
            candidate: "ours".to_owned(),
            round: 3,
            outcome,
        }
    }

    fn measured() -> Run {
        let mut sample = Sample::new();
        sample.add("seconds", 0.1 + 0.2, "s");
        sample.add("allocations", 0.0, "count");
        sample.checksum = u64::MAX - 1;
        run(Outcome::Measured(sample))
    }

    fn read(text: &str) -> Result<Vec<Event>> {
        let mut reader = Reader::default();
        let events = text.lines().map(|line| reader.line(line));
        events.filter_map(Result::transpose).collect()
    }

    #[test]
    fn runs_come_through_unchanged() {
        let failed = run(Outcome::Failed("no disk".to_owned()));
        let skipped = run(Outcome::Skipped("no compiler".to_owned()));
        let text = format!(
            "candidate\tours\tnever syncs\nstart\tours\n{}start\tours\n{}{}",
            text_of(&measured()),
            text_of(&failed),
            text_of(&skipped)
        );
        let named = Event::Candidate("ours".to_owned(), "never syncs".to_owned());
        let ended = [measured(), failed, skipped].map(Event::Ended);
        let expected: Vec<Event> = [named].into_iter().chain(ended).collect();
        assert_eq!(read(&text), Ok(expected));
    }

    #[test]
    fn a_run_without_its_end_is_no_result() {
        let whole = text_of(&measured());
        let (half, _) = whole.split_once("run\t").unwrap();
        assert_eq!(read(half), Ok(vec![]));
        let without_checksum = whole.replace("checksum", "start");
        assert!(read(&without_checksum).is_err());
        let mut reader = Reader::default();
        assert_eq!(reader.line("start\tours"), Ok(None));
        assert_eq!(reader.under_way.as_deref(), Some("ours"));
    }

    #[test]
    fn anything_else_is_an_error() {
        assert!(read("hello\n").is_err());
        assert!(read("reading\tseconds\tmany\ts\n").is_err());
    }
}
