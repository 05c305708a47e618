//! The whole report of a record as one Markdown file: the machine, pictures, what the machine
//! can do, and a table for each workload. Made from the record alone, so that it can be made
//! again.

use crate::goal;
use crate::measure;
use crate::reasons::Reason;
use crate::record::Record;
use crate::report;
use crate::scenario::physical;
use crate::stats::Spread;
use crate::table::{Align, Table};
use crate::workload::Workload;

/// A picture of a record.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The name of its file, without an ending.
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub title: &'static str,
    /// How many values are in it: of two records, the one with more says more.
    pub values: usize,
    /// The file.
    pub svg: String,
}

/// Facts of the machine that stand at the top; all others are in the CSV file.
const FACTS: [&str; 18] = [
    "date",
    "command",
    "git_commit",
    "rustc",
    "cpu",
    "cores",
    "virtual_machine",
    "memory_total",
    "swap_total",
    "kernel",
    "transparent_huge_pages",
    "memory_limited_by",
    "file_system",
    "mount_options",
    "device",
    "device_read_ahead_kb",
    "device_scheduler",
    "load_average_at_start",
];

/// Returns the report. The pictures are in a folder of its name beside it.
pub fn page(
    name: &str,
    record: &Record,
    workloads: &[Workload],
    pictures: &[Picture],
    reasons: &[Reason],
) -> String {
    let mut text = format!("# {name}\n\n{INTRODUCTION}\n\n");
    text.extend([format!("Every single run: [{name}.csv]({name}.csv).\n\n")]);
    for picture in pictures {
        let (title, file) = (picture.title, picture.name);
        text.extend([format!("{title}\n\n![{title}]({name}/{file}.svg)\n\n")]);
    }
    let measured = record.workloads();
    let known = |name: &&String| workloads.iter().find(|one| one.name == **name);
    let (physical, others): (Vec<&String>, Vec<&String>) = measured
        .iter()
        .partition(|name| name.starts_with(physical::PREFIX));
    for name in physical.iter().chain(&others) {
        if let Some(workload) = known(name) {
            let limit = limit_of(workload, record);
            let results = record.results(name);
            text.push_str(&report::report(workload, &results, limit.as_ref(), reasons));
        } else {
            let gone = "No longer measured: see the CSV file.";
            text.extend([format!("## {name}\n\n{gone}\n")]);
        }
        text.push('\n');
    }
    text.push_str("## The machine\n\n");
    text.push_str(&machine(record));
    text.push('\n');
    text
}

fn machine(record: &Record) -> String {
    let left = |title: &str| (title.to_owned(), Align::Left);
    let mut table = Table::new([left("fact"), left("value")]);
    let versions = record.facts().into_iter();
    let versions = versions.filter(|(name, _)| name.starts_with("version_"));
    let versions: Vec<String> = versions
        .map(|(name, version)| format!("{} {version}", name.trim_start_matches("version_")))
        .collect();
    for name in FACTS {
        let value = record.fact(name).unwrap_or_default();
        table.push([name.replace('_', " "), value]);
    }
    table.push(["versions".to_owned(), versions.join(", ")]);
    table.render()
}

/// Finds the limit of the machine that a workload cannot pass, in its own record.
pub fn limit_of(workload: &Workload, record: &Record) -> Option<report::Limit> {
    let (prefix, names) = physical::limit_for(workload)?;
    let mut own = record.workloads().into_iter();
    let found = own.rfind(|name| name.starts_with(prefix))?;
    let runs = record.results(&found);
    let metric = if workload.headline.higher_is_better {
        "rate"
    } else {
        "time_per_read"
    };
    let medians = runs.candidates.iter().filter_map(|(candidate, _)| {
        if !candidate.starts_with(names) {
            return None;
        }
        let values = measure::values(&runs.runs, candidate, metric);
        let median = Spread::of(&goal::without_rounds(&values))?.median;
        Some((candidate.clone(), median))
    });
    // The best of the rows whose names begin so.
    let best = medians.reduce(|best, other| {
        let is_better = (other.1 > best.1) == workload.headline.higher_is_better;
        if is_better { other } else { best }
    })?;
    Some(report::Limit {
        name: best.0,
        value: best.1,
    })
}

const INTRODUCTION: &str = "\
Medians of the rounds that count, beside the smallest and the largest. `speed / X` is the median\n\
of the ratios within each round: 2.00 is twice as fast. The last column compares the medians with\n\
what the machine can do at all, measured in the same run. Rows that were killed or failed, and\n\
those where outcore is behind, are in the same tables.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Outcome, Run, Sample};
    use crate::report::Results;
    use crate::workload::{Deferred, Kind, RATE};

    fn results(rows: &[(&str, f64)]) -> Results {
        let run = |(candidate, rate): &(&str, f64)| {
            let mut sample = Sample::new();
            sample.add("rate", *rate, "GiB/s");
            Run {
                candidate: (*candidate).to_owned(),
                round: 1,
                outcome: Outcome::Measured(sample),
            }
        };
        Results {
            runs: rows.iter().map(run).collect(),
            candidates: rows
                .iter()
                .map(|(name, _)| ((*name).to_owned(), String::new()))
                .collect(),
        }
    }

    #[test]
    fn a_page_shows_the_share_of_the_physical_limit() {
        let mut record = Record::new(&[("cpu".to_owned(), "Some CPU".to_owned())]);
        record.add("push_256/1GiB", &results(&[("outcore", 2.0)]));
        let limits = [("pwrite_1MiB", 9.0), ("pwrite_1MiB_prealloc", 4.0)];
        record.add("physical_write/1GiB", &results(&limits));
        let workload = Workload {
            name: "push_256/1GiB".to_owned(),
            title: "Pushes.",
            headline: RATE,
            columns: vec![],
            baselines: vec![],
            goals: vec![],
            rounds: 1,
            expected: Deferred::new(|| 0),
            kind: Kind::Isolated(vec![]),
        };
        let text = page("day", &record, &[workload], &[], &[]);
        let line = text.lines().find(|line| line.starts_with("| outcore"));
        assert!(line.unwrap().contains("0.50"), "{text}");
        assert!(text.contains("pwrite_1MiB_prealloc: 4.00 GiB/s"), "{text}");
        assert!(text.contains("Some CPU") && text.contains("## physical_write/1GiB"));
    }
}
