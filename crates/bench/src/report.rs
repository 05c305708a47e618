//! Turns runs into what a person reads: a table for each workload.

use comfy_table::{CellAlignment, Table};

use crate::process::BEFORE;
use crate::record::Record;
use crate::sample::Results;
use crate::workload::{Column, Workload};

/// What the machine can do at all: the row that was measured, and its number in the unit of the
/// headline.
pub type Physical = (String, f64);

/// Finds the limit of the machine that a workload cannot pass, in its own record.
pub fn physical_of(workload: &Workload, record: &Record) -> Option<Physical> {
    let (prefix, rows) = workload.physical?;
    let suffix = workload.memory.suffix();
    let mut all = record.workloads().into_iter();
    let found = all.find(|name| name.starts_with(prefix) && name.ends_with(suffix));
    let results = record.results(found?);
    let is_more = workload.headline.higher_is_better;
    let metric = if is_more { "rate" } else { "time_per_read" };
    let named = results.candidates.iter().map(|(name, _)| name);
    let named = named.filter(|name| name.starts_with(rows));
    let medians = named.filter_map(|name| Some((name.clone(), results.median(name, metric)?)));
    medians.reduce(|best, other| {
        let is_better = (other.1 > best.1) == is_more;
        if is_better { other } else { best }
    })
}

/// The document that says what each workload times.
const README: &str = include_str!("../../bench-compare/README.md");

/// Finds what a workload times: in the table of the README, where names have capital letters in the
/// place of sizes and the like.
pub fn timed(workload: &str) -> Option<&'static str> {
    let fits = |pattern: &&str| {
        let mut parts = workload.split('/');
        pattern.split('/').all(|fixed| {
            let part = parts.next().unwrap_or_default();
            match fixed.find(|letter: char| letter.is_ascii_uppercase()) {
                Some(end) => part.starts_with(&fixed[..end]),
                None => part == fixed,
            }
        })
    };
    let rows = README.lines().filter_map(|line| line.strip_prefix("| `"));
    let fitting = rows.filter_map(|row| {
        let (names, rest) = row.split_once(" | ")?;
        let names = names.split([',', ' ', '`']).filter(|name| !name.is_empty());
        // Of several rows, the one that says most counts.
        let len = names.filter(fits).map(str::len).max()?;
        Some((len, rest.split(" | ").next()?))
    });
    let (_, found) = fitting.max_by_key(|(len, _)| *len)?;
    Some(found)
}

/// Returns the report of a workload as text, with a column for the limit of the machine if it is
/// known, and one for an earlier build if that was measured too.
pub fn report(workload: &Workload, results: &Results, physical: Option<&Physical>) -> String {
    let mut text = format!("## {}\n\n", workload.name);
    if let Some(timed) = timed(&workload.name) {
        text.extend(["Timed: ", timed, ".\n\n"]);
    }
    if let Some((name, value)) = physical {
        let (digits, unit) = (digits(*value), workload.headline.unit);
        text.extend([format!("The machine, {name}: {value:.digits$} {unit}.\n\n")]);
    }
    text.extend([
        table(workload, results, physical).to_string(),
        "\n".to_owned(),
    ]);
    for (name, note) in results
        .candidates
        .iter()
        .filter(|(_, note)| !note.is_empty())
    {
        text.extend([format!("\n- {name}: {note}")]);
    }
    text
}

fn table(workload: &Workload, results: &Results, physical: Option<&Physical>) -> Table {
    let headline = workload.headline;
    let names: Vec<&str> = results
        .candidates
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let baselines = workload.baselines.iter().copied();
    let baselines: Vec<&str> = baselines.filter(|name| names.contains(name)).collect();
    let has_before = names.iter().any(|name| name.ends_with(BEFORE));
    let speed = |name: &str| format!("speed / {name}");
    let mut titles = ["candidate", headline.unit, "min..max", "runs"]
        .map(str::to_owned)
        .to_vec();
    titles.extend(baselines.iter().map(|name| speed(name)));
    titles.extend(has_before.then(|| speed("before")));
    titles.extend(
        workload
            .columns
            .iter()
            .map(|column| column.title.to_owned()),
    );
    titles.extend(physical.map(|_limit| speed("limit")));
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(titles);
    for name in names {
        let spread = results.spread(name, headline.metric);
        let (Some(spread), None) = (spread, results.ended(name)) else {
            let why = results.ended(name).unwrap_or_else(|| "no runs".to_owned());
            table.add_row([name.to_owned(), why]);
            continue;
        };
        let digits = digits(spread.median);
        let mut cells = vec![
            name.to_owned(),
            format!("{:.digits$}", spread.median),
            format!("{:.digits$}..{:.digits$}", spread.min, spread.max),
            spread.count.to_string(),
        ];
        let before = has_before.then(|| format!("{name}{BEFORE}"));
        for baseline in baselines.iter().copied().chain(before.as_deref()) {
            let ratio = results.speed(headline, name, baseline);
            cells.push(ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median)));
        }
        cells.extend(
            workload
                .columns
                .iter()
                .map(|column| cell(column, results, name)),
        );
        let limited = physical.map(|(_, limit)| headline.ratio(spread.median, *limit));
        cells.extend(limited.map(|ratio| format!("{ratio:.2}")));
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cell(column: &Column, results: &Results, name: &str) -> String {
    results
        .spread(name, column.metric)
        .map_or_else(String::new, |spread| {
            let value = if column.is_peak {
                spread.max
            } else {
                spread.median
            };
            format!("{:.*}", column.digits, value / column.scale)
        })
}

/// Returns how many digits behind the point a number has: three significant digits are more than a
/// shared machine gives.
pub fn digits(value: f64) -> usize {
    match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Outcome, Run, Sample};
    use crate::workload::{PEAK, RATE, Row};

    #[test]
    fn a_report_shows_ratios_columns_notes_failures_and_the_limit_of_the_machine() {
        let row = Row::<()>::new("ours", "", |()| Ok(Sample::default()));
        let workload = Workload {
            columns: vec![PEAK],
            baselines: vec!["raw"],
            physical: Some(("physical_write/", "pwrite")),
            ..Workload::isolated("push/1GiB".into(), RATE, &[row], || (), |()| 0)
        };
        let measured = |rate| {
            let sample = Sample::default().with("rate", rate, "GiB/s");
            Outcome::Measured(sample.with("peak_above_start", 3e6, "bytes"))
        };
        let results = |runs: &[(&str, Outcome)]| Results {
            candidates: runs
                .iter()
                .map(|(name, _)| (name.to_string(), "a note".to_owned()))
                .collect(),
            runs: runs
                .iter()
                .map(|(name, outcome)| Run::new(name, 1, outcome.clone()))
                .collect(),
        };
        let found = results(&[
            ("ours", measured(3.0)),
            ("ours_before", measured(4.0)),
            ("raw", measured(2.0)),
            ("liar", Outcome::Failed("read back".to_owned())),
        ]);
        let mut record = Record::default();
        let limits = [
            ("pwrite_1MiB", measured(6.0)),
            ("pwrite_slow", measured(1.0)),
        ];
        record.add("physical_write/4GiB", &results(&limits));
        let physical = physical_of(&workload, &record).unwrap();
        assert_eq!(physical, ("pwrite_1MiB".to_owned(), 6.0));
        let text = report(&workload, &found, Some(&physical));
        let line = |name: &str| {
            let start = format!("| {name} ");
            let line = text.lines().find(|line| line.starts_with(&start));
            let cells = line.unwrap().split('|').map(str::trim);
            cells.filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
        };
        let ours = [
            "ours",
            "3.00",
            "3.00..3.00",
            "1",
            "1.50",
            "0.75",
            "2.9",
            "0.50",
        ];
        assert_eq!(line("ours"), ours, "{text}");
        assert_eq!(line("liar")[1], "FAILED: read back", "{text}");
        assert!(text.contains("- ours: a note"), "{text}");
    }
}
