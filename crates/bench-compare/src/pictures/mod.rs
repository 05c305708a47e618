//! Pictures of a record, each drawn from the record alone.

mod canvas;
mod style;

use outcore_bench::error::{Result, bail};
use outcore_bench::options::bytes;
use outcore_bench::record::Record;
use outcore_bench::sample::{Outcome, Results};
use outcore_bench::scenario::physical;

use canvas::{Line, Panel, draw};

/// A picture of a record.
pub(crate) struct Picture {
    /// What it shows, in a sentence.
    pub(crate) title: &'static str,
    /// How many values are in it: of two records, the one with more says more.
    pub(crate) values: usize,
    pub(crate) svg: String,
}

/// Workloads with their runs.
type Found = Vec<(String, Results)>;

/// Draws a picture; `None` if the record lacks its workloads.
pub(crate) fn of(name: &str, record: &Record) -> Result<Option<Picture>> {
    let (title, panels) = match name {
        "throughput" => (
            "Appending, by the length of items: GiB/s, log scale, more is better.",
            throughput(record),
        ),
        "past-limit" => (
            "Data that pass the memory limit: filling and then reading at random, from half to four times the \
             limit. A cross: killed there.",
            past_limit(record),
        ),
        "latency" => (
            "How long single operations take, by percentile: microseconds, log scale, less is better.",
            latency(record),
        ),
        "reads-by-depth" => (
            "Cold items of 512 bytes at random: items per second, by how many reads are under way. Log scale, more \
             is better.",
            by_depth(record),
        ),
        "past-memory" => (
            "Writing more data than the machine has memory: GiB/s, and how many cores the kernel keeps busy for it.",
            past_memory(record),
        ),
        "external-sort" => (
            "Sorting numbers of 8 bytes in a memory group: GiB/s by data over budget, log scale, more is better.",
            external_sort(record),
        ),
        other => bail!("no picture {other}"),
    };
    let Some(panels) = panels else {
        return Ok(None);
    };
    let values = panels.iter().flat_map(|panel| &panel.lines);
    let values = values.map(|line| line.points.len() + line.ends.len()).sum();
    let svg = draw(&panels)?;
    Ok(Some(Picture { title, values, svg }))
}

/// Returns the workloads whose names begin so, with their runs, if they have any.
fn workloads(record: &Record, prefix: &str) -> Found {
    let mut all = record.workloads();
    all.retain(|name| name.starts_with(prefix));
    let found = all
        .into_iter()
        .map(|name| (name.to_owned(), record.results(name)));
    let has_runs = |results: &Results| {
        let mut runs = results.runs.iter();
        runs.any(|run| !matches!(run.outcome, Outcome::Skipped(_)))
    };
    found.filter(|(_, results)| has_runs(results)).collect()
}

/// Returns the names of all candidates, each once, in their order.
fn candidates(all: &Found) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in all.iter().flat_map(|(_, results)| &results.candidates) {
        if name != "*" && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Numbers columns from 0.
fn numbered<T>(all: impl IntoIterator<Item = T>) -> impl Iterator<Item = (f64, T)> {
    (0u32..).map(f64::from).zip(all)
}

/// Returns a part of a workload's name.
fn part(name: &str, number: usize) -> &str {
    name.split('/').nth(number).unwrap_or_default()
}

/// Returns a column for each workload, named after a part of its name.
fn columns_of(all: &Found, name: impl Fn(&str) -> String) -> Vec<String> {
    all.iter().map(|(all, _)| name(part(all, 1))).collect()
}

/// A line for each candidate, with the workloads as columns.
fn lines_of(all: &Found, value: impl Fn(&Results, &str) -> Option<f64>) -> Vec<Line> {
    let line = |name: String| {
        let value =
            |(x, (_, results)): (f64, &(String, Results))| Some((x, value(results, &name)?));
        let killed = numbered(all).filter(|(_, (_, results))| results.is_killed(&name));
        Line {
            points: numbered(all).filter_map(value).collect(),
            ends: killed.map(|(x, _)| x).collect(),
            name,
        }
    };
    candidates(all).into_iter().map(line).collect()
}

/// A line for each candidate of one workload, whose points are as `points` says.
fn lines_by<P: Iterator<Item = (f64, f64)>>(all: &Found, points: impl Fn(&str) -> P) -> Vec<Line> {
    let line = |name: String| Line {
        points: points(&name).collect(),
        ends: Vec::new(),
        name,
    };
    candidates(all).into_iter().map(line).collect()
}

/// GiB/s of appending, by the length of items.
fn throughput(record: &Record) -> Option<Vec<Panel>> {
    let mut all = workloads(record, "append/");
    all.retain(|(name, _)| !name.contains("/threads_"));
    all.sort_by_key(|(name, _)| bytes(part(name, 1)).unwrap_or(u64::MAX));
    let limits = workloads(record, physical::WRITE.0);
    let limit = limits.first()?.1.median(physical::WRITE.1, "rate");
    let label = |size: &str| {
        let apart = size.replace('B', " B");
        apart.replace("Ki B", " KiB").replace("Mi B", " MiB")
    };
    (all.len() > 1).then(|| {
        vec![Panel {
            title: "GiB/s into the page cache (log)".to_owned(),
            x: "length of an item",
            columns: columns_of(&all, label),
            lines: lines_of(&all, |results, name| results.median(name, "rate")),
            limit: limit.map(|limit| (limit, "the machine: pwrite of 1 MiB".to_owned())),
            is_log: true,
        }]
    })
}

/// Data of half to four times the memory limit: filling and reading, of numbers and of items.
fn past_limit(record: &Record) -> Option<Vec<Panel>> {
    let mut panels = Vec::new();
    for (prefix, kind) in [
        ("past_limit_u64/", "vectors of 8-byte numbers"),
        ("past_limit_512/", "items of 512 bytes"),
    ] {
        let all = workloads(record, prefix);
        if all.len() < 2 {
            return None;
        }
        let panel = |what: &str, metric, scale: f64| Panel {
            title: format!("{kind}: {what}"),
            x: "data, in memory limits",
            columns: columns_of(&all, |factor| factor.replace('x', " x")),
            lines: lines_of(&all, |results, name| {
                Some(results.median(name, metric)? / scale)
            }),
            limit: None,
            is_log: true,
        };
        panels.push(panel("put in, GiB/s (log)", "rate", 1.0));
        panels.push(panel("a read at random, us (log)", "time_per_read", 1e3));
    }
    Some(panels)
}

/// Sorting, by data over budget.
fn external_sort(record: &Record) -> Option<Vec<Panel>> {
    let mut all = workloads(record, "ext_sort_u64/");
    all.retain(|(name, _)| part(name, 1).ends_with('x'));
    (all.len() > 1).then(|| {
        vec![Panel {
            title: "GiB/s sorted (log)".to_owned(),
            x: "data over budget",
            columns: columns_of(&all, str::to_owned),
            lines: lines_of(&all, |results, name| results.median(name, "rate")),
            limit: None,
            is_log: true,
        }]
    })
}

/// Speed and time in the kernel while data are written that are larger than memory.
fn past_memory(record: &Record) -> Option<Vec<Panel>> {
    let mut all = workloads(record, "past_steps/");
    all.first_mut()?.1.candidates.retain(|(name, _)| {
        let is_raw = name.starts_with("raw_");
        !is_raw || ["raw_pwrite_256KiB", "raw_dontcache_256KiB"].contains(&name.as_str())
    });
    let (name, results) = all.first()?;
    let gib = bytes(part(name, 1)).ok()? as f64 / f64::from(1 << 30);
    let panel = |metric, title: &str| Panel {
        title: title.to_owned(),
        x: "GiB written",
        columns: Vec::new(),
        lines: lines_by(&all, |name| {
            let median = |step| results.median(name, &format!("step_{step}_{metric}"));
            let medians: Vec<f64> = (0..).map_while(median).collect();
            let step = gib / medians.len() as f64;
            numbered(medians).map(move |(place, median)| (step * (place + 0.5), median))
        }),
        limit: None,
        is_log: false,
    };
    Some(vec![
        panel("rate", "GiB/s"),
        panel("system", "cores busy in the kernel"),
    ])
}

/// Percentiles of single pushes and of single cold reads.
fn latency(record: &Record) -> Option<Vec<Panel>> {
    let quantiles = ["p50", "p90", "p99", "p999", "p9999", "longest"];
    let labels = ["50", "90", "99", "99.9", "99.99", "max"];
    let panel = |prefix, metric: &str, what| {
        let all = workloads(record, prefix);
        let results = &all.first()?.1;
        let quantile = |name: &str, quantile| {
            Some(results.median(name, &format!("{quantile}_{metric}"))? / 1e3)
        };
        Some(Panel {
            title: format!("{what}, us (log)"),
            x: "percentile",
            columns: labels.map(str::to_owned).into(),
            lines: lines_by(&all, |name| {
                let values = quantiles.map(|one| quantile(name, one));
                numbered(values).filter_map(|(x, value)| Some((x, value?)))
            }),
            limit: None,
            is_log: true,
        })
    };
    let push = "a push of 8 bytes, growth included";
    let read = "a cold read of 512 bytes";
    Some(vec![
        panel("push_u64_each/", "single_push", push)?,
        panel("blobs_512/", "cold_read", read)?,
    ])
}

/// Items per second against the number of reads under way, a line for each way to read.
fn by_depth(record: &Record) -> Option<Vec<Panel>> {
    let all = workloads(record, "reads_by_depth_512/");
    let results = &all.first()?.1;
    // A row such as `outcore_ring_64` is a way and a number.
    let (mut depths, mut ways): (Vec<u32>, Vec<&str>) = (Vec::new(), Vec::new());
    let rows = candidates(&all);
    for (way, depth) in rows.iter().filter_map(|row| row.rsplit_once('_')) {
        depths.extend(depth.parse::<u32>().ok());
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    depths.sort_unstable();
    depths.dedup();
    let line = |way: &&str| {
        let points = numbered(&depths).filter_map(|(x, depth)| {
            let nanos = results.median(&format!("{way}_{depth}"), "time_per_read")?;
            Some((x, 1e9 / nanos))
        });
        Line {
            name: (*way).to_owned(),
            points: points.collect(),
            ends: Vec::new(),
        }
    };
    (depths.len() > 1).then(|| {
        vec![Panel {
            title: "items per second (log)".to_owned(),
            x: "reads under way",
            columns: depths.iter().map(ToString::to_string).collect(),
            lines: ways.iter().map(line).collect(),
            limit: None,
            is_log: true,
        }]
    })
}
