//! Tables and pictures of the documents, written from the records: no number in them is typed by
//! hand.
//!
//! What stands in a document says what is shown. Between `<!-- results` and `-->` each line is a
//! line of the table: the words, the workload, the candidate of outcore (with `: METRIC` if not
//! what the workload is about), and the candidates beside it as `NAME = WORDS`. `<!-- picture NAME
//! -->` is a picture. What follows, up to `<!-- end -->`, is written anew. A line takes the newest
//! record that has its numbers.

use std::fs;
use std::path::Path;

use outcore_bench::error::{Context, Result, bail};
use outcore_bench::report::digits;
use outcore_bench::sample::{Headline, Results, Spread};

use crate::kept::{self, Kept};
use crate::pictures;

/// The documents, and the way from each of them to the root.
const DOCUMENTS: [(&str, &str); 2] = [("README.md", ""), ("docs/performance.md", "../")];

const PICTURES: &str = "docs/pictures";

/// Where documents show pictures from: other sites show README.md too, without the files beside it.
const ORIGIN: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/raw/HEAD");
const END: &str = "<!-- end -->";

/// Writes all documents anew. `records` is the folder of all records.
pub(crate) fn write(records: &Path) -> Result<()> {
    let root = records.join("../../..");
    let kept = kept::all(&root)?;
    for (name, up) in DOCUMENTS {
        let file = root.join(name);
        let before = fs::read_to_string(&file).with_context(|| name.to_owned())?;
        let mut text = String::new();
        let mut rest = before.as_str();
        while let Some((kind, at)) = next_mark(rest) {
            let (head, body) = rest[at..].split_once("-->").context("a mark is open")?;
            let (_old, after) = body.split_once(END).context("a mark without its end")?;
            let made = match kind {
                "results" => table(head, &kept, up),
                _ => picture(head, &kept, up, &root),
            };
            let made = made.with_context(|| format!("{name}: {head}"))?;
            text.extend([&rest[..at], head, "-->\n\n", &made, "\n\n", END]);
            rest = after;
        }
        text.push_str(rest);
        if text != before {
            fs::write(&file, text)?;
            eprintln!("{name} is new");
        }
    }
    Ok(())
}

fn next_mark(text: &str) -> Option<(&'static str, usize)> {
    let marks = ["results", "picture"].into_iter();
    let found = marks.filter_map(|kind| Some((kind, text.find(&format!("<!-- {kind}"))?)));
    found.min_by_key(|(_, at)| *at)
}

fn table(head: &str, kept: &[Kept], up: &str) -> Result<String> {
    let titles = "| workload | outcore | min..max | rounds | beside (times as fast as that, min..max) | record |";
    let mut lines = vec![titles.to_owned(), "|---|---:|---:|---:|---|---|".to_owned()];
    for line in head.lines().filter(|line| line.contains(" | ")) {
        lines.push(row(line, kept, up).with_context(|| line.to_owned())?);
    }
    Ok(lines.join("\n"))
}

fn row(line: &str, kept: &[Kept], up: &str) -> Result<String> {
    let fields: Vec<&str> = line.split('|').map(str::trim).collect();
    let [words, workload, own, beside] = fields.as_slice() else {
        bail!("not four fields");
    };
    let (own, metric) = own.split_once(" : ").unwrap_or((own, ""));
    let mut found = kept.iter().filter_map(|kept| {
        let results = kept.record.results(workload);
        let (_, sample) = results.samples(own).next()?;
        // The number that a workload is about is the first one behind the counters of the process.
        let is_it = |name: &str| match metric {
            "" => [
                "rate",
                "time_per_",
                "device_bytes_per_",
                "growth",
                "longest_push",
                "stored",
                "seconds",
            ]
            .iter()
            .any(|start| name.starts_with(start)),
            metric => name == metric,
        };
        // A rate of 0 says nothing: a read of a few bytes has only a time.
        let readings = sample.readings.iter().filter(|one| one.value > 0.0);
        let readings = readings.filter(|one| is_it(&one.metric));
        let chosen = readings.min_by_key(|one| one.metric == "seconds")?;
        let chosen = (chosen.metric.clone(), chosen.unit.clone());
        Some((kept, results, chosen))
    });
    let (kept, results, (metric, unit)) = found.next().context("no record has that")?;
    let spread = results
        .spread(own, &metric)
        .context("no counted round has that")?;
    let number = |results: &Results, name| {
        let median = results.median(name, &metric)?;
        Some(in_words(median, &unit))
    };
    let beside = beside.split(", ").filter(|one| !one.is_empty()).map(|one| {
        let (name, words) = one.split_once(" = ").unwrap_or((one, one));
        if results.is_killed(name) {
            return Ok(format!("{words} is killed"));
        }
        let other = number(&results, name).with_context(|| format!("no {name}"))?;
        let ratio = headline_of(&metric, &unit);
        let ratio = ratio.and_then(|headline| results.speed(headline, own, name));
        let ratio = ratio.map(
            |Spread {
                 median, min, max, ..
             }| { format!(" (**{median:.2}**, {min:.2}..{max:.2})") },
        );
        Ok(format!("{words} {other}{}", ratio.unwrap_or_default()))
    });
    let beside = beside.collect::<Result<Vec<String>>>()?.join("; ");
    let [own, min, max] = [spread.median, spread.min, spread.max].map(|one| in_words(one, &unit));
    let (rounds, source) = (spread.count, kept.link(up));
    Ok(format!(
        "| {words} | {own} | {min}..{max} | {rounds} | {beside} | {source} |"
    ))
}

/// Returns how two values are compared; amounts of memory and of bytes at a device are not.
fn headline_of(metric: &str, unit: &str) -> Option<Headline> {
    // A record lives as long as the program that compares it.
    let metric: &'static str = metric.to_owned().leak();
    match unit {
        "GiB/s" => Some(Headline::more(metric, "GiB/s")),
        "s" | "ms" | "us" | "ns" => Some(Headline::less(metric, "")),
        _ => None,
    }
}

/// Writes a number with a unit that suits it.
fn in_words(value: f64, unit: &str) -> String {
    let steps: &[(&str, f64)] = match unit {
        "ns" => &[("s", 1e9), ("ms", 1e6), ("us", 1e3)],
        "us" => &[("s", 1e6), ("ms", 1e3)],
        "ms" => &[("s", 1e3)],
        "bytes" => &[
            ("GiB", 1_073_741_824.0),
            ("MiB", 1_048_576.0),
            ("KiB", 1024.0),
        ],
        _ => &[],
    };
    let step = steps.iter().find(|(_, size)| value >= *size);
    let (unit, value) = step.map_or((unit, value), |(unit, size)| (*unit, value / size));
    format!("{value:.*} {unit}", digits(value))
}

/// Draws a picture of the newest record that has all its numbers.
fn picture(head: &str, kept: &[Kept], up: &str, root: &Path) -> Result<String> {
    let name = head.trim_start_matches("<!-- picture").trim();
    let mut drawn = Vec::new();
    for kept in kept {
        drawn.extend(pictures::of(name, &kept.record)?.map(|picture| (kept, picture)));
    }
    let most = drawn.iter().map(|(_, picture)| picture.values).max();
    let best = drawn
        .into_iter()
        .find(|(_, picture)| Some(picture.values) == most);
    let (kept, picture) = best.context("no record has the numbers of this picture")?;
    let file = root.join(PICTURES).join(name).with_extension("svg");
    if fs::read_to_string(&file).is_ok_and(|before| before != picture.svg) || !file.exists() {
        fs::write(&file, &picture.svg).with_context(|| file.display().to_string())?;
        eprintln!("{PICTURES}/{name}.svg is new");
    }
    let (title, link) = (picture.title, kept.link(up));
    Ok(format!(
        "![{title}]({ORIGIN}/{PICTURES}/{name}.svg)\n\n{title} {link}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use outcore_bench::record::{Record, Row};

    fn record(file: &str, rows: &[(&str, u32, &str, &str, &str)]) -> Kept {
        let row = |(candidate, round, metric, value, unit): &(&str, u32, &str, &str, &str)| Row {
            workload: "push/1GiB".to_owned(),
            candidate: (*candidate).to_owned(),
            round: *round,
            metric: (*metric).to_owned(),
            value: (*value).to_owned(),
            unit: (*unit).to_owned(),
        };
        let rows = rows.iter().map(row).collect();
        let (file, record) = (file.to_owned(), Record { rows });
        Kept { file, record }
    }

    #[test]
    fn a_line_shows_the_newest_record_that_has_its_numbers() {
        let kept = [
            record(
                "r/2026-03-03.csv",
                &[("raw", 1, "time_per_push", "1", "ns")],
            ),
            record(
                "r/2026-02-02.csv",
                &[
                    ("own", 0, "time_per_push", "900", "ns"),
                    ("own", 1, "seconds", "7", "s"),
                    ("own", 1, "rate", "0", "GiB/s"),
                    ("own", 1, "peak_above_start", "2097152", "bytes"),
                    ("own", 1, "time_per_push", "2000", "ns"),
                    ("own", 2, "time_per_push", "4000", "ns"),
                    ("raw", 1, "time_per_push", "4000", "ns"),
                    ("raw", 2, "time_per_push", "6000", "ns"),
                    ("std", 1, "killed", "signal 9", "text"),
                ],
            ),
            record(
                "r/2026-01-01.csv",
                &[("own", 1, "time_per_push", "1", "ns")],
            ),
        ];
        let line = "a push | push/1GiB | own | raw = a loop, std = `Vec`";
        let expected = "| a push | 3.00 us | 2.00 us..4.00 us | 2 | a loop 5.00 us (**1.75**, 1.50..2.00); \
                        `Vec` is killed | [2026-02-02](../r/2026-02-02.csv) |";
        assert_eq!(row(line, &kept, "../").unwrap(), expected);
        let memory = row("it | push/1GiB | own : peak_above_start |", &kept, "").unwrap();
        assert!(memory.contains("| 2.00 MiB |"), "{memory}");
        // A renamed workload or candidate must not leave its line empty.
        for wrong in [
            "a | push/2GiB | own | raw = x",
            "a | push/1GiB | own | other = x",
        ] {
            assert!(row(wrong, &kept, "").is_err(), "{wrong}");
        }
    }
}
