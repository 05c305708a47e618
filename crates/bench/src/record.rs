//! The record of a measurement: every run, and the machine it ran on, as one CSV file.
//!
//! One line for each number: `workload,candidate,round,metric,value,unit`. Round 0 is the one that
//! is thrown away. The machine is a workload called `environment`, notes are a metric called
//! `note`, and a run without numbers has a metric `failed`, `killed` or `skipped`.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::environment::Facts;
use crate::error::{Context, Result, bail};
use crate::sample::{Outcome, Results, Run, Sample};

/// The workload of the facts about the machine.
const ENVIRONMENT: &str = "environment";

/// Unit of values that are text.
const TEXT: &str = "text";

/// One line of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub workload: String,
    /// The name of the candidate; empty for facts of the machine.
    pub candidate: String,
    /// The round; 0 for what belongs to none, and for the one that is thrown away.
    pub round: u32,
    pub metric: String,
    /// How much, as text: exact.
    pub value: String,
    pub unit: String,
}

/// Everything that was measured in one call of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub rows: Vec<Row>,
}

impl Record {
    /// Starts a record with the facts of the machine.
    pub fn new(facts: &Facts) -> Self {
        let mut record = Self::default();
        for (name, value) in facts {
            record.push(ENVIRONMENT, "", 0, [name, value, TEXT]);
        }
        record
    }

    /// Adds the runs of a workload, and the notes of its candidates.
    pub fn add(&mut self, workload: &str, results: &Results) {
        for (candidate, note) in &results.candidates {
            // Empty ones too: they keep the candidates in order.
            self.push(workload, candidate, 0, ["note", note, TEXT]);
        }
        for run in &results.runs {
            let (candidate, round) = (&run.candidate, run.round);
            let mut text = |metric, why| self.push(workload, candidate, round, [metric, why, TEXT]);
            match &run.outcome {
                Outcome::Failed(why) => text("failed", why),
                Outcome::Killed(why) => text("killed", why),
                Outcome::Skipped(why) => text("skipped", why),
                Outcome::Measured(sample) => {
                    for one in &sample.readings {
                        let fields = [&one.metric, &one.value.to_string(), &one.unit];
                        self.push(workload, candidate, round, fields.map(String::as_str));
                    }
                }
            }
        }
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

    /// Returns a fact of the machine.
    pub fn fact(&self, name: &str) -> &str {
        let mut facts = self.facts();
        let found = facts.find(|(found, _)| *found == name);
        found.map_or("", |(_, value)| value)
    }

    /// Returns all facts of the machine.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        let facts = self.rows.iter().filter(|row| row.workload == ENVIRONMENT);
        facts.map(|row| (row.metric.as_str(), row.value.as_str()))
    }

    /// Returns the names of the workloads, in their order.
    pub fn workloads(&self) -> Vec<&str> {
        let names = self.rows.iter().map(|row| row.workload.as_str());
        let mut names: Vec<&str> = names.filter(|name| *name != ENVIRONMENT).collect();
        names.dedup();
        names
    }

    /// Returns the runs of a workload, as they were added.
    pub fn results(&self, workload: &str) -> Results {
        let mut results = Results::default();
        for row in self.rows.iter().filter(|row| row.workload == workload) {
            let mut known = results.candidates.iter();
            let is_note = row.metric == "note";
            if !known.any(|(name, _)| *name == row.candidate) {
                let note = if is_note { row.value.as_str() } else { "" };
                let candidate = (row.candidate.clone(), note.to_owned());
                results.candidates.push(candidate);
            }
            if !is_note {
                add_row(&mut results.runs, row);
            }
        }
        results
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let mut writer = csv::Writer::from_path(path)?;
        for row in &self.rows {
            writer.serialize(row)?;
        }
        Ok(writer.flush()?)
    }

    /// Reads a record.
    pub fn read(path: &Path) -> Result<Self> {
        let read = || {
            let mut reader = csv::Reader::from_path(path)?;
            let rows = reader.deserialize().collect::<Result<_, csv::Error>>()?;
            Ok::<_, csv::Error>(Self { rows })
        };
        read().with_context(|| path.display().to_string())
    }

    /// Makes the file `DIR/MACHINE/NAME.csv`, and never over another one: a second record of a day
    /// is `NAME-2`. Returns where it is.
    pub fn save(&self, dir: &Path, machine: &str, name: &str) -> Result<PathBuf> {
        let folder = dir.join(machine);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        for attempt in 1..1000 {
            let suffix = match attempt {
                1 => String::new(),
                more => format!("-{more}"),
            };
            let path = folder.join(format!("{name}{suffix}.csv"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_file) => return self.write(&path).map(|()| path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
        bail!("a thousand records of one day")
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
            let last = runs.last_mut().filter(is_same).map(|run| &mut run.outcome);
            if let Some(Outcome::Measured(sample)) = last {
                sample.add(metric, value, &row.unit);
                return;
            }
            Outcome::Measured(Sample::default().with(metric, value, &row.unit))
        }
    };
    runs.push(Run::new(&row.candidate, row.round, outcome));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let sample = Sample::default().with("seconds", 0.1 + 0.2, "s");
        let run = |round, outcome| Run::new("ours", round, outcome);
        Results {
            runs: vec![
                run(2, Outcome::Measured(sample)),
                run(3, Outcome::Failed("says \"no\", twice".to_owned())),
                run(3, Outcome::Killed("signal 9".to_owned())),
            ],
            candidates: vec![("ours".to_owned(), "never syncs, as documented".to_owned())],
        }
    }

    #[test]
    fn a_record_comes_back_from_its_file_and_is_never_overwritten() {
        let mut record = Record::new(&vec![("cpu".to_owned(), "Some, CPU".to_owned())]);
        record.add("push/1GiB", &results());
        let name = format!("record-test-{}", std::process::id());
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let dir = target.join(name);
        let first = record.save(&dir, "vm", "day-quick").unwrap();
        let second = Record::default().save(&dir, "vm", "day-quick").unwrap();
        assert!(second.ends_with("vm/day-quick-2.csv"));
        let read = Record::read(&first).unwrap();
        assert_eq!(read, record);
        // All digits too.
        assert_eq!(read.results("push/1GiB"), results());
        assert_eq!(read.workloads(), ["push/1GiB"]);
        assert_eq!(read.fact("cpu"), "Some, CPU");
        for other in ["a,b\n1,2\n", "workload,candidate\nx,y\n"] {
            fs::write(&first, other).unwrap();
            assert!(Record::read(&first).is_err(), "{other}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
