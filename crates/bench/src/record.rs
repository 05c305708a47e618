//! The record of a measurement: every run, and the machine it ran on, as one CSV file.
//!
//! One line for each number: `workload,candidate,round,metric,value,unit`. Round 0 is the
//! one that is thrown away. The machine is a workload called `environment`, notes are a
//! metric called `note`, and a run without numbers has a metric `failed`,
//! `killed` or `skipped`.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::csv;
use crate::failure::{Context, Failure, Result};
use crate::measure::{Outcome, Run, Sample};
use crate::report::Results;

/// The titles of the columns.
const COLUMNS: [&str; 6] = ["workload", "candidate", "round", "metric", "value", "unit"];

/// The workload under which facts of the machine stand.
const ENVIRONMENT: &str = "environment";

/// Unit of values that are text.
const TEXT: &str = "text";

/// One line of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name of the workload.
    pub workload: String,
    /// The name of the candidate; empty for facts of the machine.
    pub candidate: String,
    /// The round; 0 for what belongs to none, and for the one that is thrown away.
    pub round: u32,
    /// What was measured.
    pub metric: String,
    /// How much, as text: exact.
    pub value: String,
    /// Of what.
    pub unit: String,
}

/// Everything that was measured in one call of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The lines.
    pub rows: Vec<Row>,
}

impl Record {
    /// Starts a record with the facts of the machine.
    pub fn new(facts: &[(String, String)]) -> Self {
        let mut record = Self::default();
        for (name, value) in facts {
            record.add_fact(name, value);
        }
        record
    }

    /// Adds a fact of the machine or of the call.
    pub fn add_fact(&mut self, name: &str, value: &str) {
        self.push(ENVIRONMENT, "", 0, [name, value, TEXT]);
    }

    /// Adds the runs of a workload, and the notes of its candidates.
    pub fn add(&mut self, workload: &str, results: &Results) {
        for (candidate, note) in &results.candidates {
            // Empty ones too: they keep the candidates in order.
            self.push(workload, candidate, 0, ["note", note, TEXT]);
        }
        for run in &results.runs {
            self.add_run(workload, run);
        }
    }

    fn add_run(&mut self, workload: &str, run: &Run) {
        let (candidate, round) = (&run.candidate, run.round);
        match &run.outcome {
            Outcome::Measured(sample) => {
                for reading in &sample.readings {
                    let value = reading.value.to_string();
                    let fields = [&reading.metric, &value, &reading.unit];
                    self.push(workload, candidate, round, fields.map(String::as_str));
                }
            }
            Outcome::Failed(why) => self.push(workload, candidate, round, ["failed", why, TEXT]),
            Outcome::Killed(why) => self.push(workload, candidate, round, ["killed", why, TEXT]),
            Outcome::Skipped(why) => self.push(workload, candidate, round, ["skipped", why, TEXT]),
        }
    }

    /// Returns a fact of the machine.
    pub fn fact(&self, name: &str) -> Option<String> {
        let mut facts = self.facts().into_iter();
        facts
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }

    /// Returns all facts of the machine.
    pub fn facts(&self) -> Vec<(String, String)> {
        let facts = self.rows.iter().filter(|row| row.workload == ENVIRONMENT);
        let facts = facts.map(|row| (row.metric.clone(), row.value.clone()));
        facts.collect()
    }

    /// Returns the names of the workloads, in their order.
    pub fn workloads(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for row in &self.rows {
            if row.workload != ENVIRONMENT && names.last() != Some(&row.workload) {
                names.push(row.workload.clone());
            }
        }
        names
    }

    /// Returns the runs of a workload, as they were added.
    pub fn results(&self, workload: &str) -> Results {
        let mut results = Results {
            runs: Vec::new(),
            candidates: Vec::new(),
        };
        for row in self.rows.iter().filter(|row| row.workload == workload) {
            let known = results
                .candidates
                .iter()
                .any(|(name, _)| *name == row.candidate);
            let is_note = row.metric == "note";
            if !known {
                let note = if is_note {
                    row.value.clone()
                } else {
                    String::new()
                };
                results.candidates.push((row.candidate.clone(), note));
            }
            if !is_note {
                add_row(&mut results.runs, row);
            }
        }
        results
    }

    fn push(&mut self, workload: &str, candidate: &str, round: u32, fields: [&str; 3]) {
        let [metric, value, unit] = fields.map(str::to_owned);
        self.rows.push(Row {
            workload: workload.to_owned(),
            candidate: candidate.to_owned(),
            round,
            metric,
            value,
            unit,
        });
    }

    /// Returns the record as CSV.
    pub fn to_csv(&self) -> String {
        let mut text = String::new();
        csv::write_line(&mut text, &COLUMNS);
        for row in &self.rows {
            let round = row.round.to_string();
            let (workload, candidate) = (&row.workload, &row.candidate);
            let fields = [
                workload,
                candidate,
                &round,
                &row.metric,
                &row.value,
                &row.unit,
            ];
            csv::write_line(&mut text, &fields.map(String::as_str));
        }
        text
    }

    /// Reads a record.
    ///
    /// # Errors
    ///
    /// Text that is no record.
    pub fn from_csv(text: &str) -> Result<Self> {
        let mut lines = csv::parse(text)?.into_iter();
        let titles = lines.next().unwrap_or_default();
        if titles != COLUMNS {
            return Err(Failure::new("not a record: other columns"));
        }
        let mut record = Self::default();
        for (number, line) in (2..).zip(lines) {
            let fields: [String; 6] = line.try_into().map_err(|_line: Vec<String>| {
                Failure::new(format!("row {number}: not six fields"))
            })?;
            let [workload, candidate, round, metric, value, unit] = fields;
            let round = round.parse().context(format!("row {number}"))?;
            record.rows.push(Row {
                workload,
                candidate,
                round,
                metric,
                value,
                unit,
            });
        }
        Ok(record)
    }

    /// Writes the record as `DIR/MACHINE/NAME.csv`, and never over another one: a second
    /// record of a day is `NAME-2`. Returns where it is.
    ///
    /// # Errors
    ///
    /// The folder or the file cannot be made.
    pub fn save(&self, dir: &Path, machine: &str, name: &str) -> Result<PathBuf> {
        let folder = dir.join(machine);
        fs::create_dir_all(&folder).context(folder.display())?;
        for attempt in 1..1000 {
            let suffix = if attempt == 1 {
                String::new()
            } else {
                format!("-{attempt}")
            };
            let path = folder.join(format!("{name}{suffix}.csv"));
            let created = OpenOptions::new().write(true).create_new(true).open(&path);
            match created {
                Ok(mut file) => {
                    let written = file.write_all(self.to_csv().as_bytes());
                    written.context(path.display())?;
                    return Ok(path);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).context(path.display()),
            }
        }
        Err(Failure::new("a thousand records of one day"))
    }
}

/// Adds a line to the run that it belongs to. Lines of a run stand together.
fn add_row(runs: &mut Vec<Run>, row: &Row) {
    let why = row.value.clone();
    let outcome = match row.metric.as_str() {
        "failed" => Outcome::Failed(why),
        "killed" => Outcome::Killed(why),
        "skipped" => Outcome::Skipped(why),
        metric => {
            let value = row.value.parse().unwrap_or(f64::NAN);
            let is_same = |run: &&mut Run| run.candidate == row.candidate && run.round == row.round;
            if let Some(run) = runs.last_mut().filter(is_same) {
                if let Outcome::Measured(sample) = &mut run.outcome {
                    sample.add(metric, value, &row.unit);
                    return;
                }
            }
            let mut sample = Sample::new();
            sample.add(metric, value, &row.unit);
            Outcome::Measured(sample)
        }
    };
    runs.push(Run {
        candidate: row.candidate.clone(),
        round: row.round,
        outcome,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let mut sample = Sample::new();
        sample.add("seconds", 0.1 + 0.2, "s");
        let run = |outcome| Run {
            candidate: "ours".to_owned(),
            round: 3,
            outcome,
        };
        Results {
            runs: vec![
                run(Outcome::Measured(sample)),
                run(Outcome::Failed("says \"no\", twice".to_owned())),
                run(Outcome::Killed("signal 9".to_owned())),
            ],
            candidates: vec![("ours".to_owned(), "never syncs, as documented".to_owned())],
        }
    }

    fn record() -> Record {
        let facts = [("cpu".to_owned(), "Some, CPU".to_owned())];
        let mut record = Record::new(&facts);
        record.add("push/1GiB", &results());
        record
    }

    #[test]
    fn runs_come_back_out_of_a_record() {
        let record = record();
        let (found, added) = (record.results("push/1GiB"), results());
        assert_eq!(found.runs, added.runs);
        assert_eq!(found.candidates, added.candidates);
        assert_eq!(record.workloads(), ["push/1GiB"]);
        assert_eq!(record.fact("cpu").as_deref(), Some("Some, CPU"));
    }

    #[test]
    fn a_record_comes_back_from_its_file() {
        let record = record();
        assert_eq!(record.rows.len(), 5);
        assert_eq!(Record::from_csv(&record.to_csv()), Ok(record.clone()));
        let seconds = record.rows.iter().find(|row| row.metric == "seconds");
        let seconds: f64 = seconds.unwrap().value.parse().unwrap();
        assert_eq!(seconds.to_bits(), (0.1_f64 + 0.2).to_bits());
    }

    #[test]
    fn a_record_is_never_overwritten() {
        let name = format!("record-test-{}", std::process::id());
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../target")
            .join(name);
        let first = record().save(&dir, "vm", "day-quick").unwrap();
        let second = Record::default().save(&dir, "vm", "day-quick").unwrap();
        assert!(second.ends_with("vm/day-quick-2.csv"));
        let text = fs::read_to_string(first).unwrap();
        assert_eq!(Record::from_csv(&text), Ok(record()));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn other_files_are_refused() {
        assert!(Record::from_csv("a,b\n").is_err());
        assert!(Record::from_csv("").is_err());
        let short = format!("{}x,y\n", Record::default().to_csv());
        assert!(Record::from_csv(&short).is_err());
    }
}
