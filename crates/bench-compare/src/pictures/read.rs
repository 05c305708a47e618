//! Finds in a record what a picture shows.

use outcore_bench::measure::{self, Outcome};
use outcore_bench::record::Record;
use outcore_bench::report::Results;
use outcore_bench::series::RESIDENT_AT;
use outcore_bench::stats::Spread;

/// Returns the workloads whose names begin so, with their runs, if they have any.
pub(super) fn workloads(record: &Record, prefix: &str) -> Vec<(String, Results)> {
    let names = record.workloads().into_iter();
    let names = names.filter(|name| name.starts_with(prefix));
    names
        .map(|name| {
            let results = record.results(&name);
            (name, results)
        })
        .filter(|(_, results)| {
            let mut runs = results.runs.iter();
            runs.any(|run| !matches!(run.outcome, Outcome::Skipped(_)))
        })
        .collect()
}

/// Returns the median of a metric over the rounds that count.
pub(super) fn median(results: &Results, candidate: &str, metric: &str) -> Option<f64> {
    let values = measure::values(&results.runs, candidate, metric);
    let values: Vec<f64> = values.into_iter().map(|(_, value)| value).collect();
    Spread::of(&values).map(|spread| spread.median)
}

/// Tells whether a candidate was killed.
pub(super) fn is_killed(results: &Results, candidate: &str) -> bool {
    let mut own = results.runs.iter().filter(|run| run.candidate == candidate);
    own.any(|run| matches!(run.outcome, Outcome::Killed(_)))
}

/// Returns the names of all candidates, each once, in their order.
pub(super) fn candidates(all: &[(String, Results)]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in all.iter().flat_map(|(_, results)| &results.candidates) {
        if name != "*" && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Returns the resident memory over time of the run whose time is the median: seconds and MiB.
pub(super) fn resident(results: &Results, candidate: &str) -> Vec<(f64, f64)> {
    let mut runs: Vec<_> = results
        .runs
        .iter()
        .filter(|run| run.candidate == candidate && run.round > 0)
        .filter_map(|run| match &run.outcome {
            Outcome::Measured(sample) => Some((sample.get("seconds")?, sample)),
            _ => None,
        })
        .collect();
    runs.sort_by(|one, other| one.0.total_cmp(&other.0));
    let Some((_, sample)) = runs.get(runs.len() / 2) else {
        return Vec::new();
    };
    let points = sample.readings.iter().filter_map(|reading| {
        let millis: f64 = reading.metric.strip_prefix(RESIDENT_AT)?.parse().ok()?;
        Some((millis / 1e3, reading.value / 1_048_576.0))
    });
    points.collect()
}

/// Reads a length such as `4KiB`.
pub(super) fn bytes(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: f64 = digits.parse().ok()?;
    let unit = match &text[digits.len()..] {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        _ => return None,
    };
    Some(number * unit)
}
