//! Turns runs into what a person reads: a table of candidates, and one of goals.

use crate::goal;
use crate::measure::{self, Run};
use crate::reasons::{self, Reason};
use crate::stats::Spread;
use crate::table::{Align, Table};
use crate::workload::{Column, Workload};

/// The runs of one workload, with the names and notes of its candidates in their order.
#[derive(Clone, Debug)]
pub struct Results {
    /// Every run, those of round 0 too.
    pub runs: Vec<Run>,
    /// Name and note of each candidate.
    pub candidates: Vec<(String, String)>,
}

impl Results {
    /// Tells whether a candidate failed. Being killed is a result.
    pub fn has_failures(&self) -> bool {
        let failed = |run: &Run| matches!(run.outcome, measure::Outcome::Failed(_));
        self.runs.iter().any(failed)
    }
}

/// What the machine can do at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The row that was measured.
    pub name: String,
    /// Its number, in the unit of the headline.
    pub value: f64,
}

/// Returns the report of a workload as text, with a column for the limit if there is one.
pub fn report(
    workload: &Workload,
    results: &Results,
    limit: Option<&Limit>,
    reasons: &[Reason],
) -> String {
    let mut text = format!("## {}\n\n{}\n", workload.name, workload.title);
    if let Some(Limit { name, value }) = limit {
        let (digits, unit) = (digits(*value), workload.headline.unit);
        text.extend([format!("The machine, {name}: {value:.digits$} {unit}.\n")]);
    }
    text.push('\n');
    text.push_str(&candidates(workload, results, limit).render());
    text.push('\n');
    if !workload.goals.is_empty() {
        text.push('\n');
        text.push_str(&goals(workload, results).render());
        text.push('\n');
    }
    let behind = reasons::sentence(&workload.name, workload.headline, results, reasons);
    text.extend(behind.map(|told| format!("\n{told}\n")));
    let notes = results.candidates.iter();
    let notes = notes.filter(|(_, note)| !note.is_empty());
    let notes: Vec<String> = notes
        .map(|(name, note)| format!("- {name}: {note}\n"))
        .collect();
    if !notes.is_empty() {
        text.push_str("\nNot equal, and why:\n");
        text.push_str(&notes.concat());
    }
    text
}

fn candidates(workload: &Workload, results: &Results, limit: Option<&Limit>) -> Table {
    let right = |title: &str| (title.to_owned(), Align::Right);
    let mut titles = vec![
        ("candidate".to_owned(), Align::Left),
        right(workload.headline.unit),
        right("min..max"),
        right("runs"),
    ];
    let versus = workload.baselines.iter();
    titles.extend(versus.map(|baseline| right(&format!("speed / {baseline}"))));
    titles.extend(workload.columns.iter().map(|column| right(column.title)));
    titles.extend(limit.map(|_limit| right("speed / limit")));
    let mut table = Table::new(titles);
    for (name, _) in &results.candidates {
        table.push(row(workload, results, name, limit));
    }
    table
}

fn row(workload: &Workload, results: &Results, name: &str, limit: Option<&Limit>) -> Vec<String> {
    let runs = &results.runs;
    let headline = workload.headline;
    if let Some(why) = measure::ended(runs, name) {
        return vec![name.to_owned(), why];
    }
    let values = measure::values(runs, name, headline.metric);
    let Some(spread) = Spread::of(&goal::without_rounds(&values)) else {
        return vec![name.to_owned(), "no runs".to_owned()];
    };
    let digits = digits(spread.median);
    let mut cells = vec![
        name.to_owned(),
        format!("{:.digits$}", spread.median),
        format!("{:.digits$}..{:.digits$}", spread.min, spread.max),
        spread.count.to_string(),
    ];
    for baseline in &workload.baselines {
        let ratio = goal::speed(runs, headline, name, baseline);
        cells.push(ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median)));
    }
    for column in &workload.columns {
        cells.push(cell(column, runs, name));
    }
    if let Some(Limit { value, .. }) = limit {
        let ratio = if headline.higher_is_better {
            spread.median / value
        } else {
            value / spread.median
        };
        cells.push(format!("{ratio:.2}"));
    }
    cells
}

fn cell(column: &Column, runs: &[Run], name: &str) -> String {
    let values = measure::values(runs, name, column.metric);
    let Some(spread) = Spread::of(&goal::without_rounds(&values)) else {
        return String::new();
    };
    let value = if column.is_peak {
        spread.max
    } else {
        spread.median
    };
    let digits = column.digits;
    format!("{:.digits$}", value / column.scale)
}

fn goals(workload: &Workload, results: &Results) -> Table {
    let mut table = Table::new([
        ("candidate".to_owned(), Align::Left),
        ("asked".to_owned(), Align::Left),
        ("measured".to_owned(), Align::Right),
        ("min..max".to_owned(), Align::Right),
        ("reached".to_owned(), Align::Left),
    ]);
    for goal in &workload.goals {
        let verdict = goal.judge(&results.runs, workload.headline);
        table.push([
            goal.candidate.to_owned(),
            verdict.asked,
            verdict.measured,
            verdict.spread,
            verdict.reached,
        ]);
    }
    table
}

/// Three significant digits are more than a shared machine gives.
pub fn digits(value: f64) -> usize {
    if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goal::{Asked, Goal};
    use crate::measure::{Candidate, Plan, Sample, interleave};
    use crate::workload::{Deferred, Kind, RATE};

    fn workload() -> Workload {
        Workload {
            name: "push/test".to_owned(),
            title: "Pushes.",
            headline: RATE,
            columns: vec![],
            baselines: vec!["raw"],
            goals: vec![Goal::new(
                "ours",
                Asked::Faster {
                    baseline: "raw",
                    factor: 2.0,
                },
            )],
            rounds: 3,
            expected: Deferred::new(|| 0),
            kind: Kind::Isolated(vec![]),
        }
    }

    fn results() -> Results {
        let rate = |rate, checksum| {
            move || {
                let mut sample = Sample::new();
                sample.add("rate", rate, "GiB/s");
                sample.checksum = checksum;
                Ok(sample)
            }
        };
        let mut candidates = [
            Candidate::new("raw", "", rate(2.0, 0)),
            Candidate::new("ours", "never syncs", rate(5.0, 0)),
            Candidate::new("liar", "", rate(900.0, 1)),
        ];
        let names = candidates.iter();
        let names = names.map(|one| (one.name.to_owned(), one.note.to_owned()));
        let names = names.collect();
        let plan = Plan {
            rounds: 3,
            keeps_first: false,
            until: None,
            seed: 9,
            expected: 0,
        };
        Results {
            runs: interleave(&mut candidates, plan, &mut |_run| {}),
            candidates: names,
        }
    }

    #[test]
    fn the_report_shows_ratios_goals_notes_and_failures() {
        let limit = Limit {
            name: "disk".to_owned(),
            value: 10.0,
        };
        let text = report(&workload(), &results(), Some(&limit), &[]);
        let line = |start: &str| {
            let found = text.lines().find(|line| line.starts_with(start));
            found.unwrap_or_else(|| panic!("no {start} in\n{text}"))
        };
        assert!(line("| ours").contains("5.00"));
        assert!(line("| ours").contains("2.50"));
        assert!(line("| ours").ends_with("0.50 |"));
        assert!(line("| liar").contains("FAILED: read back the wrong bytes"));
        assert!(!text.contains("900"));
        assert!(text.contains(">= 2 x speed of raw"));
        assert!(text.contains("- ours: never syncs"));
        assert!(results().has_failures());
    }
}
