//! Pictures of lines.

use outcore_bench::failure::Result;
use outcore_bench::page::Picture;
use outcore_bench::record::Record;
use outcore_bench::report::Results;
use outcore_bench::scenario::physical;

use super::canvas::{Canvas, Panel, Scale, Side, short};
use super::read::{bytes, candidates, is_killed, median, resident as memory_of, workloads};
use super::style::{INK, Look, SOFT, label_of, look_of};

/// Points of one row: where on the level axis, and how much.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    /// Where it was killed.
    pub(super) ends: Vec<f64>,
}

/// Draws lines, those of outcore last, so that they lie on top.
pub(super) fn draw(canvas: &Canvas<'_>, panel: &Panel, lines: &[Line]) -> Result<()> {
    let mut order: Vec<&Line> = lines.iter().collect();
    order.sort_by_key(|line| line.name.starts_with("outcore"));
    let mut crosses = 0;
    for line in order {
        let look = look_of(&line.name);
        let points: Vec<_> = line.points.iter().map(|(x, y)| panel.at(*x, *y)).collect();
        canvas.path(points.clone(), look.colour, look.width)?;
        if points.len() <= 10 {
            for point in &points {
                canvas.mark(*point, look)?;
            }
        }
        for x in &line.ends {
            let (x, _) = panel.at(*x, 1.0);
            canvas.cross((x, panel.bottom - 14 - 20 * crosses), look.colour)?;
        }
        crosses += i32::from(!line.ends.is_empty());
    }
    Ok(())
}

pub(super) fn legend_of(lines: &[Line]) -> Vec<(String, Look)> {
    let labelled = lines
        .iter()
        .filter(|line| !line.points.is_empty() || !line.ends.is_empty());
    let rows = labelled.map(|line| (label_of(&line.name), look_of(&line.name)));
    rows.collect()
}

/// Numbers the columns from 0.
pub(super) fn columns(labels: impl Iterator<Item = String>) -> Vec<(f64, String)> {
    (0u32..).map(f64::from).zip(labels).collect()
}

pub(super) fn column_scale(count: usize) -> Scale {
    let last = u32::try_from(count).unwrap_or(1).max(2) - 1;
    Scale::Linear {
        from: -0.2,
        to: f64::from(last) + 0.2,
    }
}

/// GiB/s of appending, by the length of items.
pub(super) fn throughput(record: &Record) -> Result<Option<Picture>> {
    let mut all = workloads(record, "append/");
    all.retain(|(name, _)| !name.contains("/threads_"));
    let item_of = |name: &str| {
        name.split('/')
            .nth(1)
            .map(str::to_owned)
            .unwrap_or_default()
    };
    all.sort_by(|one, other| {
        let len = |name: &str| bytes(&item_of(name)).unwrap_or(f64::MAX);
        len(&one.0).total_cmp(&len(&other.0))
    });
    if all.len() < 2 {
        return Ok(None);
    }
    let lines = lines_of(&all, |results, name| median(results, name, "rate"));
    let limit = workloads(record, physical::WRITE.0);
    let limit = limit
        .iter()
        .find_map(|(_, results)| median(results, physical::WRITE.1, "rate"));
    let values = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|(_, y)| *y));
    let panel = Panel {
        left: 80,
        top: 92,
        right: 640,
        bottom: 470,
        x: column_scale(all.len()),
        y: Scale::decades(values.chain(limit)),
    };
    let title = "Appending, by the length of items: GiB/s, log scale, more is better.";
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, (900, 560), "Appending, by the length of items")?;
    let columns = columns(all.iter().map(|(name, _)| in_words(&item_of(name))));
    panel.frame(
        &canvas,
        ("length of an item", "GiB/s into the page cache (log)"),
        &columns,
        short,
    )?;
    if let Some(limit) = limit {
        let (_, y) = panel.at(0.0, limit);
        canvas.dashes(y, panel.left, panel.right, SOFT)?;
        canvas.dashes(panel.bottom - 28, 664, 692, SOFT)?;
        let place = (702, panel.bottom - 28);
        canvas.words("the machine:", place, 15, INK, Side::Right, false)?;
        let place = (702, panel.bottom - 8);
        canvas.words("pwrite of 1 MiB", place, 15, INK, Side::Right, false)?;
    }
    draw(&canvas, &panel, &lines)?;
    canvas.legend((664, 110), &legend_of(&lines))?;
    canvas.finish()?;
    Ok(Some(Picture {
        name: "throughput",
        title,
        values: lines.iter().map(|line| line.points.len()).sum(),
        svg,
    }))
}

/// Writes `4KiB` as `4 KiB`.
fn in_words(len: &str) -> String {
    let digits = len.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    format!("{digits} {}", &len[digits.len()..])
        .trim()
        .to_owned()
}

/// Returns how many candidates all workloads have together.
fn count(all: &[(String, Results)]) -> usize {
    all.iter()
        .map(|(_, results)| results.candidates.len())
        .sum()
}

/// A line for each candidate, with the workloads as columns.
fn lines_of(all: &[(String, Results)], value: impl Fn(&Results, &str) -> Option<f64>) -> Vec<Line> {
    let line = |name: String| {
        let numbered = (0u32..).map(f64::from).zip(all);
        let points = numbered
            .clone()
            .filter_map(|(x, (_, results))| Some((x, value(results, &name)?)));
        let ends = numbered.filter(|(_, (_, results))| is_killed(results, &name));
        Line {
            points: points.collect(),
            ends: ends.map(|(x, _)| x).collect(),
            name,
        }
    };
    candidates(all).into_iter().map(line).collect()
}

/// Data of half to four times the memory limit: filling and reading, of numbers and of items.
pub(super) fn past_limit(record: &Record) -> Result<Option<Picture>> {
    let kinds = [
        ("past_limit_u64/", "vectors of 8-byte numbers"),
        ("past_limit_512/", "items of 512 bytes"),
    ];
    let all = kinds.map(|(prefix, kind)| (workloads(record, prefix), kind));
    if all.iter().any(|(all, _)| all.len() < 2) {
        return Ok(None);
    }
    let title = "Data that pass the memory limit: filling and then reading at random, from half \
                 to four times the limit. A cross: killed there.";
    let mut svg = String::new();
    let heading = "Data that pass the memory limit";
    let canvas = Canvas::new(&mut svg, (1240, 900), heading)?;
    for (row, (all, kind)) in (0..).zip(&all) {
        let (top, bottom) = (110 + 410 * row, 400 + 410 * row);
        let columns = columns(all.iter().map(|(name, _)| {
            let factor = name.split('/').nth(1).unwrap_or_default();
            factor.replace('x', " x")
        }));
        let fill = lines_of(all, |results, name| median(results, name, "rate"));
        let read = lines_of(all, |results, name| {
            let nanos = median(results, name, "time_per_read")?;
            Some(nanos / 1e3)
        });
        let parts = [
            (90, 460, fill, format!("{kind}: put in, GiB/s (log)")),
            (
                570,
                940,
                read,
                format!("{kind}: a read at random, us (log)"),
            ),
        ];
        for (left, right, lines, what) in parts {
            let values = lines
                .iter()
                .flat_map(|line| line.points.iter().map(|(_, y)| *y));
            let panel = Panel {
                left,
                top,
                right,
                bottom,
                x: column_scale(all.len()),
                y: Scale::decades(values),
            };
            let titles = ("data, in memory limits", what.as_str());
            panel.frame(&canvas, titles, &columns, short)?;
            draw(&canvas, &panel, &lines)?;
            if left > 500 {
                canvas.legend((975, top + 10), &legend_of(&lines))?;
                let place = (982, bottom - 10);
                canvas.cross(place, SOFT)?;
                let place = (1000, bottom - 10);
                canvas.words("killed by the limit", place, 14, SOFT, Side::Right, false)?;
            }
        }
    }
    canvas.finish()?;
    Ok(Some(Picture {
        name: "past-limit",
        title,
        values: all.iter().map(|(all, _)| count(all)).sum(),
        svg,
    }))
}

/// Percentiles of single pushes and of single cold reads.
pub(super) fn latency(record: &Record) -> Result<Option<Picture>> {
    let kinds = [
        (
            "push_u64_each/",
            "single_push",
            "a push of 8 bytes, growth included",
        ),
        ("blobs_512/", "cold_read", "a cold read of 512 bytes"),
    ];
    let quantiles = ["p50", "p90", "p99", "p999", "p9999", "longest"];
    let labels = ["50", "90", "99", "99.9", "99.99", "max"];
    let all = kinds.map(|(prefix, metric, what)| (workloads(record, prefix), metric, what));
    if all.iter().any(|(all, ..)| all.is_empty()) {
        return Ok(None);
    }
    let title = "How long single operations take, by percentile: microseconds, log scale, less \
                 is better.";
    let mut svg = String::new();
    let heading = "How long single operations take";
    let canvas = Canvas::new(&mut svg, (1240, 560), heading)?;
    for (column, (all, metric, what)) in (0..).zip(&all) {
        let results = &all[0].1;
        let mut lines = Vec::new();
        for name in candidates(all) {
            let points = (0u32..).map(f64::from).zip(quantiles);
            let points = points.filter_map(|(x, quantile)| {
                let nanos = median(results, &name, &format!("{quantile}_{metric}"))?;
                Some((x, nanos / 1e3))
            });
            lines.push(Line {
                points: points.collect(),
                ends: Vec::new(),
                name,
            });
        }
        let values = lines
            .iter()
            .flat_map(|line| line.points.iter().map(|(_, y)| *y));
        let panel = Panel {
            left: 90 + 620 * column,
            top: 100,
            right: 430 + 620 * column,
            bottom: 470,
            x: column_scale(labels.len()),
            y: Scale::decades(values),
        };
        let heading = format!("{what}, us (log)");
        let columns = columns(labels.iter().map(|label| (*label).to_owned()));
        panel.frame(&canvas, ("percentile", &heading), &columns, short)?;
        draw(&canvas, &panel, &lines)?;
        canvas.legend((panel.right + 18, 120), &legend_of(&lines))?;
    }
    canvas.finish()?;
    Ok(Some(Picture {
        name: "latency",
        title,
        values: all.iter().map(|(all, ..)| count(all)).sum(),
        svg,
    }))
}

/// Resident memory while four times the limit is put in.
pub(super) fn resident(record: &Record) -> Result<Option<Picture>> {
    let kinds = [
        ("past_limit_u64/4x/", "vectors of 8-byte numbers"),
        ("past_limit_512/4x/", "items of 512 bytes"),
    ];
    let all = kinds.map(|(prefix, what)| (workloads(record, prefix), what));
    if all.iter().any(|(all, _)| all.is_empty()) {
        return Ok(None);
    }
    let title = "Resident memory while four times the memory limit is put in: MiB over seconds, \
                 until everything is in.";
    let mut svg = String::new();
    let heading = "Resident memory while four times the limit is put in";
    let canvas = Canvas::new(&mut svg, (1240, 580), heading)?;
    for (column, (all, what)) in (0..).zip(&all) {
        let (workload, results) = &all[0];
        let limit = workload
            .rsplit("limit_")
            .next()
            .and_then(bytes)
            .unwrap_or(0.0)
            / 1_048_576.0;
        let line = |name: String| Line {
            points: memory_of(results, &name),
            ends: Vec::new(),
            name,
        };
        let lines: Vec<Line> = candidates(all).into_iter().map(line).collect();
        let points = || lines.iter().flat_map(|line| line.points.iter());
        let panel = Panel {
            left: 90 + 620 * column,
            top: 100,
            right: 430 + 620 * column,
            bottom: 480,
            x: Scale::from_zero(points().map(|(x, _)| *x)),
            y: Scale::from_zero(points().map(|(_, y)| *y).chain([limit * 1.05])),
        };
        let ticks = panel.x.ticks().into_iter();
        let columns: Vec<_> = ticks.map(|tick| (tick, decimal(tick))).collect();
        panel.frame(
            &canvas,
            ("seconds", &format!("{what}: MiB")),
            &columns,
            short,
        )?;
        let (_, y) = panel.at(0.0, limit);
        canvas.dashes(y, panel.left, panel.right, SOFT)?;
        let place = (panel.left + 6, y - 11);
        let words = format!("the limit: {limit:.0} MiB");
        canvas.words(&words, place, 13, SOFT, Side::Right, false)?;
        draw(&canvas, &panel, &lines)?;
        for line in lines.iter().filter(|line| !line.points.is_empty()) {
            if let Some((x, y)) = line.points.last() {
                canvas.mark(panel.at(*x, *y), look_of(&line.name))?;
            }
        }
        canvas.legend((panel.right + 18, 120), &legend_of(&lines))?;
        let killed = lines.iter().filter(|line| is_killed(results, &line.name));
        for (number, line) in (0..).zip(killed) {
            let place = (panel.right + 18, 460 - 24 * number);
            let words = format!("{}: killed", label_of(&line.name));
            canvas.words(&words, place, 15, INK, Side::Right, false)?;
        }
    }
    canvas.finish()?;
    Ok(Some(Picture {
        name: "resident",
        title,
        values: all.iter().map(|(all, _)| count(all)).sum(),
        svg,
    }))
}

/// Writes seconds without digits that say nothing.
fn decimal(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
