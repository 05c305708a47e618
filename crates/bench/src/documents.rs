//! Tables and pictures that stand in documents and are made of records: nothing in them is typed
//! by hand.

use std::fs;

use crate::failure::{Context, Failure, Result};
use crate::goal;
use crate::goals::{self, Goals, Kept};
use crate::measure::{self, Outcome};
use crate::page::Picture;
use crate::reasons;
use crate::record::Record;
use crate::report::{self, Results};
use crate::stats::Spread;
use crate::table::{Align, Table};
use crate::workload::Workload;

/// The folder of pictures that documents show, from the root of the repository.
const PICTURES: &str = "docs/pictures";

/// Where pictures are shown from: other sites show README.md too, without the files beside it.
const ORIGIN: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/raw/HEAD/");

/// The documents, and the way from each of them to the root.
const DOCUMENTS: [(&str, &str); 2] = [("README.md", ""), ("docs/performance.md", "../")];

/// What stands where there is no number.
const UNKNOWN: &str = "-";

/// A table of a document.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Its name in the marks.
    pub name: &'static str,
    /// Its lines.
    pub lines: &'static [Line],
    /// Whether lines that no record has the numbers of are shown too.
    pub with_gaps: bool,
}

/// A line: outcore beside others, in one workload.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// What is done, in words.
    pub what: &'static str,
    /// The workload, as [`goals::pattern`] writes it.
    pub workload: &'static str,
    /// What is shown, if not the headline.
    pub metric: Option<&'static str>,
    /// The row of outcore.
    pub own: &'static str,
    /// The rows beside it, and what they are called in the document.
    pub beside: &'static [(&'static str, &'static str)],
}

/// What all documents are made of.
#[derive(Clone, Copy, Debug)]
pub struct Documents<'a> {
    /// What was asked, what there is, and where.
    pub goals: Goals<'a>,
    /// The tables.
    pub blocks: &'static [Block],
    /// Draws what a record shows.
    pub pictures: fn(&Record) -> Result<Vec<Picture>>,
    /// The pictures that the first document shows.
    pub shown: &'static [&'static str],
}

/// Where something stands in a document: everything between these two lines is replaced.
fn marks(name: &str) -> [String; 2] {
    let command = "cargo run --release -p bench-compare -- --goals";
    [
        format!("<!-- {name}: written by `{command}` -->"),
        format!("<!-- end of {name} -->"),
    ]
}

/// Puts text into a document, between the two lines that mark its place. Returns the document as
/// it was if it has no such place.
fn put_into(document: &str, name: &str, text: &str) -> String {
    let [begin, end] = marks(name);
    let place = document.find(&begin).zip(document.find(&end));
    match place.filter(|(begin, end)| begin < end) {
        Some((first, last)) => {
            let (before, after) = (&document[..first], &document[last..]);
            let text = if text.is_empty() {
                String::new()
            } else {
                format!("\n{text}\n\n")
            };
            format!("{before}{begin}\n{text}{after}")
        }
        None => document.to_owned(),
    }
}

impl Documents<'_> {
    /// Writes all documents anew. Returns the names of those that changed.
    ///
    /// # Errors
    ///
    /// A document that is not there, or cannot be written.
    pub fn write(&self) -> Result<Vec<String>> {
        let mut changed = self.write_pictures()?;
        for (name, up) in DOCUMENTS {
            let file = self.goals.root.join(name);
            let before = fs::read_to_string(&file).context(file.display())?;
            let after = self.filled(&before, up)?;
            if after != before {
                fs::write(&file, after).context(file.display())?;
                changed.push(name.to_owned());
            }
        }
        Ok(changed)
    }

    fn filled(&self, document: &str, up: &str) -> Result<String> {
        let mut text = put_into(document, "goals", &self.goals.tables(up)?);
        text = put_into(&text, "unmeasured", &self.unmeasured());
        text = put_into(&text, "behind", &self.behind(up));
        text = put_into(&text, "pictures", &self.shown(up));
        for block in self.blocks {
            text = put_into(&text, block.name, &self.block(block, up)?);
        }
        Ok(text)
    }

    fn block(&self, block: &Block, up: &str) -> Result<String> {
        let left = |title: &str| (title.to_owned(), Align::Left);
        let mut table = Table::new([
            left("workload"),
            ("outcore".to_owned(), Align::Right),
            left("beside"),
            left("record"),
        ]);
        for line in block.lines {
            let cells = self.line(line, up)?;
            if cells[1] != UNKNOWN || block.with_gaps {
                table.push(cells);
            }
        }
        Ok(table.render_compact())
    }

    /// Finds the workload that a line is about.
    ///
    /// # Errors
    ///
    /// There is none: a workload was renamed.
    fn workload_of(&self, line: &Line) -> Result<&Workload> {
        let mut all = self.goals.workloads.iter();
        let found = all.find(|one| goals::pattern(&one.name) == line.workload);
        found.ok_or_else(|| Failure::new(format!("no workload {}", line.workload)))
    }

    fn line(&self, line: &Line, up: &str) -> Result<[String; 4]> {
        let workload = self.workload_of(line)?;
        let headline = workload.headline;
        let metric = line.metric.unwrap_or(headline.metric);
        let records = goals::records_of(&workload.name, self.goals.kept).into_iter();
        let mut found = records.filter_map(|(kept, name)| {
            let results = kept.record.results(&name);
            let own = number(&results, line.own, metric)?;
            Some((kept, name, results, own))
        });
        let Some((kept, name, results, own)) = found.next() else {
            let cells = [line.what, UNKNOWN, UNKNOWN, "not measured"];
            return Ok(cells.map(str::to_owned));
        };
        let beside = line.beside.iter().map(|(row, words)| {
            if is_killed(&results, row) {
                return format!("{words} is killed");
            }
            let Some(other) = number(&results, row, metric) else {
                return format!("{words} -");
            };
            let ratio = line.metric.is_none();
            let ratio = ratio.then(|| goal::speed(&results.runs, headline, line.own, row));
            let ratio = ratio
                .flatten()
                .map(|ratio| format!(" ({:.2})", ratio.median));
            format!("{words} {other}{}", ratio.unwrap_or_default())
        });
        let beside = beside.collect::<Vec<_>>().join(", ");
        let mut what = line.what.to_owned();
        if name != workload.name {
            what.extend([format!(" (`{name}`)")]);
        }
        Ok([what, own, beside, goals::link(&kept.file(), up)])
    }

    /// Names what is not in any record at the size of the goals.
    fn unmeasured(&self) -> String {
        let names = self.goals.unmeasured();
        if names.is_empty() {
            return "Every workload is in a record at the size that was asked for.".to_owned();
        }
        let names: Vec<String> = names.iter().map(|name| format!("- `{name}`")).collect();
        format!(
            "Not in any record at the size that was asked for:\n\n{}",
            names.join("\n")
        )
    }

    /// Lists the workloads of which outcore is not the first, with the reasons.
    fn behind(&self, up: &str) -> String {
        let mut text = String::new();
        let (mut judged, mut behind) = (0, 0);
        for workload in self.goals.workloads {
            let records = goals::records_of(&workload.name, self.goals.kept).into_iter();
            let mut found = records.map(|(kept, name)| (kept, kept.record.results(&name), name));
            let found = found.find(|(_, results, _)| reasons::takes_part(results));
            let Some((kept, results, name)) = found else {
                continue;
            };
            judged += 1;
            let reasons = self.goals.reasons;
            let told = reasons::sentence(&name, workload.headline, &results, reasons);
            if let Some(told) = told {
                behind += 1;
                let link = goals::link(&kept.file(), up);
                text.extend([format!("- `{name}`: {told} {link}\n")]);
            }
        }
        let head = format!(
            "Of {judged} workloads in which outcore takes part, it is behind somebody in all \
             rounds in {behind}."
        );
        format!("{head}\n\n{text}").trim_end().to_owned()
    }

    fn shown(&self, up: &str) -> String {
        let mut text = String::new();
        for name in self.shown {
            if let Some((picture, kept)) = self.fullest(name) {
                let title = picture.title;
                let link = goals::link(&kept.file(), up);
                text.extend([format!(
                    "![{title}]({ORIGIN}{PICTURES}/{name}.svg)\n\n{title} {link}\n\n"
                )]);
            }
        }
        text.trim_end().to_owned()
    }

    /// Draws a picture of the record that has most of the numbers, one of the full size first, and the
    /// newest of several.
    fn fullest(&self, name: &str) -> Option<(Picture, &Kept)> {
        let is_quick = |kept: &&Kept| {
            let command = kept.record.fact("command").unwrap_or_default();
            !command.contains("--full")
        };
        let (quick, full): (Vec<&Kept>, Vec<&Kept>) = self.goals.kept.iter().partition(is_quick);
        let draw = |kept| {
            let kept: &Kept = kept;
            let pictures = (self.pictures)(&kept.record).ok()?.into_iter();
            let mut named = pictures.filter(|picture| picture.name == name);
            named.next().map(|picture| (picture, kept))
        };
        [full, quick].into_iter().find_map(|kept| {
            // The last of those that are alike is the newest.
            let drawn = kept.into_iter().rev().filter_map(draw);
            drawn.max_by_key(|(picture, _)| picture.values)
        })
    }

    fn write_pictures(&self) -> Result<Vec<String>> {
        let mut changed = Vec::new();
        let folder = self.goals.root.join(PICTURES);
        for name in self.shown {
            let Some((picture, _)) = self.fullest(name) else {
                continue;
            };
            let file = folder.join(name).with_extension("svg");
            if fs::read_to_string(&file).is_ok_and(|before| before == picture.svg) {
                continue;
            }
            fs::create_dir_all(&folder).context(folder.display())?;
            fs::write(&file, &picture.svg).context(file.display())?;
            changed.push(format!("{PICTURES}/{name}.svg"));
        }
        Ok(changed)
    }
}

fn is_killed(results: &Results, row: &str) -> bool {
    let mut own = results.runs.iter().filter(|run| run.candidate == row);
    own.any(|run| matches!(run.outcome, Outcome::Killed(_)))
}

/// Returns the median of a metric with its unit, in words.
fn number(results: &Results, row: &str, metric: &str) -> Option<String> {
    let values = measure::values(&results.runs, row, metric);
    let median = Spread::of(&goal::without_rounds(&values))?.median;
    let mut samples = results.runs.iter().filter_map(|run| match &run.outcome {
        Outcome::Measured(sample) if run.candidate == row => Some(sample),
        _ => None,
    });
    let unit = samples.find_map(|sample| {
        let mut readings = sample.readings.iter();
        readings
            .find(|one| one.metric == metric)
            .map(|one| one.unit.clone())
    });
    Some(in_words(median, &unit.unwrap_or_default()))
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
    let digits = report::digits(value);
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn text_goes_between_its_marks() {
        let [begin, end] = marks("goals");
        let document = format!("one\n{begin}\nold\n{end}\ntwo\n");
        let put = put_into(&document, "goals", "new");
        assert_eq!(put, format!("one\n{begin}\n\nnew\n\n{end}\ntwo\n"));
        assert_eq!(put_into(&put, "goals", "new"), put);
        assert_eq!(put_into(&put, "other", "new"), put);
        assert_eq!(put_into("without", "goals", "new"), "without");
    }

    /// A record of two workloads of many, made to mend their numbers, once took the place of the whole
    /// picture.
    #[test]
    fn of_several_records_the_one_with_most_values_is_shown() {
        let kept = |path: &str, values: &str| {
            let facts = [("command", "--full"), ("values", values)];
            Kept {
                path: path.into(),
                record: Record::new(&facts.map(|(key, value)| (key.to_owned(), value.to_owned()))),
            }
        };
        let kept = [
            kept("newest", "3"),
            kept("newer", "12"),
            kept("oldest", "12"),
        ];
        let documents = Documents {
            goals: Goals {
                workloads: &[],
                sections: &[],
                kept: &kept,
                reasons: &[],
                root: Path::new(""),
            },
            blocks: &[],
            pictures: |record| {
                Ok(vec![Picture {
                    name: "some",
                    title: "",
                    values: record.fact("values").unwrap().parse().unwrap(),
                    svg: String::new(),
                }])
            },
            shown: &["some"],
        };
        let (_, shown) = documents.fullest("some").unwrap();
        assert_eq!(shown.path, Path::new("newer"));
    }

    #[test]
    fn numbers_get_units_that_suit_them() {
        assert_eq!(in_words(4.25, "ns"), "4.25 ns");
        assert_eq!(in_words(87_000.0, "ns"), "87.0 us");
        assert_eq!(in_words(1_100_000.0, "bytes"), "1.05 MiB");
        assert_eq!(in_words(3.2, "GiB/s"), "3.20 GiB/s");
        assert_eq!(in_words(1500.0, "ms"), "1.50 s");
    }
}
