//! Turns runs into what a person reads: a table for each workload.

use comfy_table::{CellAlignment, Table};

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

/// Returns the report of a workload as text, with a column for the limit of the machine if it is
/// known.
pub fn report(workload: &Workload, results: &Results, physical: Option<&Physical>) -> String {
    let mut text = format!("## {}\n\n{}\n\n", workload.name, workload.title);
    if let Some((name, value)) = physical {
        let (digits, unit) = (digits(*value), workload.headline.unit);
        text.extend([format!("The machine, {name}: {value:.digits$} {unit}.\n\n")]);
    }
    let titles = ["candidate", workload.headline.unit, "min..max", "runs"];
    let mut titles: Vec<String> = titles.map(str::to_owned).into();
    let took_part = |baseline: &&str| results.candidates.iter().any(|(name, _)| name == baseline);
    let baselines = workload.baselines.iter().copied();
    let baselines: Vec<&str> = baselines.filter(took_part).collect();
    titles.extend(baselines.iter().map(|name| format!("speed / {name}")));
    titles.extend(
        workload
            .columns
            .iter()
            .map(|column| column.title.to_owned()),
    );
    titles.extend(physical.map(|_limit| "speed / limit".to_owned()));
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(titles);
    for (name, _) in &results.candidates {
        table.add_row(row(workload, results, name, &baselines, physical));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    text.extend([table.to_string(), "\n".to_owned()]);
    for (name, note) in &results.candidates {
        if !note.is_empty() {
            text.extend([format!("\n- {name}: {note}")]);
        }
    }
    text
}

fn row(
    workload: &Workload,
    results: &Results,
    name: &str,
    baselines: &[&str],
    physical: Option<&Physical>,
) -> Vec<String> {
    let headline = workload.headline;
    if let Some(why) = results.ended(name) {
        return vec![name.to_owned(), why];
    }
    let Some(spread) = results.spread(name, headline.metric) else {
        return vec![name.to_owned(), "no runs".to_owned()];
    };
    let digits = digits(spread.median);
    let mut cells = vec![
        name.to_owned(),
        format!("{:.digits$}", spread.median),
        format!("{:.digits$}..{:.digits$}", spread.min, spread.max),
        spread.count.to_string(),
    ];
    for baseline in baselines {
        let ratio = results.speed(headline, name, baseline);
        cells.push(ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median)));
    }
    let columns = workload.columns.iter();
    cells.extend(columns.map(|column| cell(column, results, name)));
    if let Some((_, value)) = physical {
        let over = spread.median / value;
        let ratio = if headline.higher_is_better {
            over
        } else {
            over.recip()
        };
        cells.push(format!("{ratio:.2}"));
    }
    cells
}

fn cell(column: &Column, results: &Results, name: &str) -> String {
    let Some(spread) = results.spread(name, column.metric) else {
        return String::new();
    };
    let value = if column.is_peak {
        spread.max
    } else {
        spread.median
    };
    format!("{:.*}", column.digits, value / column.scale)
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
    use crate::interleave::{Candidate, Plan, interleave};
    use crate::sample::Sample;
    use crate::workload::{PEAK, RATE, Row};

    #[test]
    fn a_report_shows_ratios_columns_notes_failures_and_the_limit_of_the_machine() {
        let row = |name| Row::<()>::new(name, "", |_job| Ok(Sample::default()));
        let rows = [row("ours"), row("raw"), row("liar")];
        let workload = Workload {
            columns: vec![PEAK],
            baselines: vec!["raw"],
            physical: Some(("physical_write/", "pwrite")),
            ..Workload::isolated(
                "push/1GiB".into(),
                ("Pushes.", RATE),
                &rows,
                || (),
                |_job| 0,
            )
        };
        let sample = |rate: f64, checksum| {
            let mut sample = Sample::default();
            sample.add("rate", rate, "GiB/s");
            sample.add("peak_above_start", 3e6, "bytes");
            sample.checksum = checksum;
            Ok(sample)
        };
        let mut candidates = [
            Candidate::new("ours", "never syncs", || sample(3.0, 0)),
            Candidate::new("raw", "", || sample(2.0, 0)),
            Candidate::new("liar", "", || sample(9.0, 1)),
        ];
        let names = candidates.iter();
        let names = names.map(|one| (one.name.clone(), one.note.to_owned()));
        let names = names.collect();
        let plan = Plan {
            rounds: 3,
            keeps_first: false,
            until: None,
            seed: 1,
            expected: 0,
        };
        let runs = interleave(&mut candidates, plan, &mut |_run| {});
        let results = Results {
            candidates: names,
            runs,
        };
        let mut record = Record::default();
        record.add("physical_write/4GiB", &{
            let mut limit = results.clone();
            for name in limit.candidates.iter_mut().map(|(name, _)| name) {
                *name = name.replace("ours", "pwrite_1MiB");
            }
            for run in &mut limit.runs {
                run.candidate = run.candidate.replace("ours", "pwrite_1MiB");
            }
            limit
        });
        let physical = physical_of(&workload, &record).unwrap();
        assert_eq!(physical, ("pwrite_1MiB".to_owned(), 3.0));
        let text = report(&workload, &results, Some(&physical));
        let line = |name: &str| {
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("| {name} ")));
            let cells = line.unwrap().split('|').map(str::trim);
            cells.filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
        };
        let ours = ["ours", "3.00", "3.00..3.00", "3", "1.50", "2.9", "1.00"];
        assert_eq!(line("ours"), ours, "{text}");
        assert!(line("liar")[1].starts_with("FAILED: read back"), "{text}");
        assert!(text.contains("- ours: never syncs"), "{text}");
    }
}
