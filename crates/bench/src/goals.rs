//! All that was asked for beside what the records say, as one table for each part of the library.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Context, Result};
use crate::goal::Goal;
use crate::reasons::{self, Reason};
use crate::record::Record;
use crate::table::{Align, Table};
use crate::workload::Workload;

/// Where the records are, from the root of the repository.
pub const RECORDS: &str = "crates/bench-compare/record";

/// Reads records of another kind, below the root of the repository.
pub type More = fn(&Path) -> Result<Vec<Line>>;

/// A part of the library, and what was asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The part.
    pub title: &'static str,
    /// How the names of its workloads begin.
    pub prefixes: &'static [&'static str],
    /// What was asked, in words, for as long as there is no workload with a goal.
    pub asked: &'static [&'static str],
    /// What records of another kind say, below the root of the repository.
    pub more: Option<More>,
}

/// A record and where it is.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The file, below the folder of all records.
    pub path: PathBuf,
    /// What is in it.
    pub record: Record,
}

/// A line of the table: what was asked, and what was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The workload.
    pub workload: String,
    /// Who has to reach it.
    pub who: String,
    /// The number asked for.
    pub asked: String,
    /// The number measured.
    pub measured: String,
    /// The smallest and the largest.
    pub spread: String,
    /// `yes`, `no`, or why neither.
    pub so: String,
    /// The file of the record, from the root of the repository; empty if there is none.
    pub record: String,
}

impl Line {
    fn is_missed(&self) -> bool {
        self.so.starts_with("NO")
    }

    /// Tells whether there are numbers.
    pub fn is_measured(&self) -> bool {
        !self.record.is_empty()
    }
}

/// Reads all records below a folder, the newest first, by their names.
///
/// # Errors
///
/// A folder that cannot be read; files that are no records are passed over.
pub fn all_below(folder: &Path) -> Result<Vec<Kept>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).context(next.display())? {
            let path = entry.context(next.display())?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "csv") {
                let text = fs::read_to_string(&path).context(path.display())?;
                if let Ok(record) = Record::from_csv(&text) {
                    let path = path.strip_prefix(folder).unwrap_or(&path).to_owned();
                    found.push(Kept { path, record });
                }
            }
        }
    }
    found.sort_by_key(|kept| std::cmp::Reverse(kept.record.fact("date").unwrap_or_default()));
    Ok(found)
}

/// Everything that the tables are made of.
#[derive(Clone, Copy, Debug)]
pub struct Goals<'a> {
    /// All workloads, at the sizes that were asked for.
    pub workloads: &'a [Workload],
    /// What was asked for.
    pub sections: &'static [Section],
    /// All records, the newest first.
    pub kept: &'a [Kept],
    /// Why some goals are missed.
    pub reasons: &'static [Reason],
    /// The root of the repository.
    pub root: &'a Path,
}

impl Goals<'_> {
    /// Returns the lines of a section: of each goal the record that says most about it, which is
    /// the newest of the full size, or else the newest of another size.
    ///
    /// # Errors
    ///
    /// A record of another kind that cannot be read.
    pub fn lines(&self, section: &Section) -> Result<Vec<Line>> {
        let of_section = |workload: &&Workload| {
            let mut prefixes = section.prefixes.iter();
            prefixes.any(|prefix| workload.name.starts_with(prefix))
        };
        let own = self.workloads.iter().filter(of_section);
        let mut lines: Vec<Line> = own
            .flat_map(|workload| {
                let line = |goal| line(workload, goal, self.kept);
                workload.goals.iter().map(line)
            })
            .collect();
        if let Some(more) = section.more {
            lines.extend(more(self.root)?);
        }
        if lines.is_empty() {
            lines.extend(section.asked.iter().map(|asked| Line {
                asked: (*asked).to_owned(),
                measured: "-".to_owned(),
                so: "not measured".to_owned(),
                ..Line::default()
            }));
        }
        Ok(lines)
    }

    /// Returns all tables. `up` leads from the document to the root of the repository.
    ///
    /// # Errors
    ///
    /// As [`lines`](Self::lines).
    pub fn tables(&self, up: &str) -> Result<String> {
        let mut text = String::new();
        for section in self.sections {
            let lines = self.lines(section)?;
            text.extend([format!("### {}\n\n", section.title)]);
            text.push_str(&table(&lines, up));
            text.push_str("\n\n");
            let mut told: Vec<&str> = Vec::new();
            for line in lines.iter().filter(|line| line.is_missed()) {
                let why = reasons::why(self.reasons, &line.workload, &line.who);
                if let Some(why) = why.filter(|why| !told.contains(why)) {
                    told.push(why);
                    text.extend([format!("- `{}`, {}: {why}\n", line.workload, line.who)]);
                }
            }
            if !told.is_empty() {
                text.push('\n');
            }
        }
        Ok(text.trim_end().to_owned())
    }

    /// Names the workloads that no record has at the size that was asked for.
    pub fn unmeasured(&self) -> Vec<&str> {
        let names = self.workloads.iter().map(|workload| workload.name.as_str());
        let is_missing = |name: &&str| {
            let mut records = self.kept.iter();
            !records.any(|kept| is_measured(&kept.record, name))
        };
        names.filter(is_missing).collect()
    }
}

/// Tells whether a record has numbers of a workload.
fn is_measured(record: &Record, workload: &str) -> bool {
    let mut rows = record.rows.iter();
    rows.any(|row| row.workload == workload && row.unit != "text")
}

fn table(lines: &[Line], up: &str) -> String {
    let left = |title: &str| (title.to_owned(), Align::Left);
    let right = |title: &str| (title.to_owned(), Align::Right);
    let mut table = Table::new([
        left("workload"),
        left("who"),
        left("asked"),
        right("reached"),
        right("min..max"),
        left("so"),
        left("record"),
    ]);
    let mut last = "";
    for line in lines {
        let is_new = line.workload != last;
        last = &line.workload;
        let record = if line.record.is_empty() {
            String::new()
        } else {
            link(&line.record, up)
        };
        let so = if line.is_missed() {
            format!("**{}**", line.so)
        } else {
            line.so.clone()
        };
        table.push([
            if is_new {
                line.workload.clone()
            } else {
                String::new()
            },
            line.who.clone(),
            line.asked.clone(),
            line.measured.clone(),
            line.spread.clone(),
            so,
            record,
        ]);
    }
    table.render_compact()
}

/// Returns a link to a file of the repository, with its date as the text if it has one.
pub fn link(file: &str, up: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or_default();
    let date = name.get(..10).filter(|date| date.starts_with("20"));
    format!("[{}]({up}{file})", date.unwrap_or("record"))
}

/// Finds the records that have a workload, or one that differs in size only: those of the same
/// size first, each the newest first. Returns the names of the workload there as well.
pub fn records_of<'a>(workload: &str, kept: &'a [Kept]) -> Vec<(&'a Kept, String)> {
    let pattern = pattern(workload);
    let mut all: Vec<(&Kept, String)> = Vec::new();
    for one in kept {
        let names = one.record.workloads().into_iter();
        let alike = names.filter(|name| self::pattern(name) == pattern);
        all.extend(alike.map(|name| (one, name)));
    }
    all.sort_by_key(|(_, name)| name != workload);
    all
}

fn line(workload: &Workload, goal: &Goal, kept: &[Kept]) -> Line {
    let records = records_of(&workload.name, kept).into_iter();
    let judged = records.map(|(kept, name)| {
        let results = kept.record.results(&name);
        (kept, name, goal.judge(&results.runs, workload.headline))
    });
    let mut measured = judged.filter(|(_, _, verdict)| verdict.measured != "-");
    let (record, name, verdict) = match measured.next() {
        Some((kept, name, verdict)) => (kept.file(), name, verdict),
        None => (
            String::new(),
            workload.name.clone(),
            goal.judge(&[], workload.headline),
        ),
    };
    Line {
        workload: name,
        who: goal.candidate.to_owned(),
        asked: verdict.asked,
        measured: verdict.measured,
        spread: verdict.spread,
        so: verdict.reached,
        record,
    }
}

impl Kept {
    /// Returns the file of the record, from the root of the repository.
    pub fn file(&self) -> String {
        format!("{RECORDS}/{}", self.path.display())
    }
}

/// The name of a workload without its sizes.
pub fn pattern(name: &str) -> String {
    let is_size = |part: &str| {
        let digits = part.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = &part[digits.len()..];
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number && matches!(unit, "B" | "KiB" | "MiB" | "GiB")
    };
    let parts = name.split('/').map(|part| {
        let rest = part.strip_prefix("limit_");
        match rest {
            Some(rest) if is_size(rest) => "limit_*",
            None if is_size(part) => "*",
            _ => part,
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goal::Asked;
    use crate::measure::{Outcome, Run, Sample};
    use crate::report::Results;
    use crate::workload::{Deferred, Kind, RATE};

    const SECTIONS: &[Section] = &[
        Section {
            title: "Arena",
            prefixes: &["push_256/"],
            asked: &[],
            more: None,
        },
        Section {
            title: "Ranges",
            prefixes: &["ranges/"],
            asked: &["twice a file with a lock"],
            more: None,
        },
    ];

    fn workload() -> Workload {
        let (baseline, factor) = ("raw", 2.0);
        Workload {
            name: "push_256/4GiB".to_owned(),
            title: "",
            headline: RATE,
            columns: vec![],
            baselines: vec![],
            goals: vec![Goal::new("ours", Asked::Faster { baseline, factor })],
            rounds: 1,
            expected: Deferred::new(|| 0),
            kind: Kind::Isolated(vec![]),
        }
    }

    fn kept(date: &str, workload: &str, rate: f64) -> Kept {
        let run = |candidate: &str, rate| {
            let mut sample = Sample::new();
            sample.add("rate", rate, "GiB/s");
            Run {
                candidate: candidate.to_owned(),
                round: 1,
                outcome: Outcome::Measured(sample),
            }
        };
        let results = Results {
            runs: vec![run("ours", rate), run("raw", 1.0)],
            candidates: vec![],
        };
        let mut record = Record::new(&[("date".to_owned(), date.to_owned())]);
        record.add(workload, &results);
        let path = PathBuf::from(format!("vm/{date}.csv"));
        Kept { path, record }
    }

    const REASONS: &[Reason] = &[Reason {
        workload: "push_256/",
        who: "",
        why: "the kernel's copy",
    }];

    fn tables(kept: &[Kept]) -> String {
        let goals = Goals {
            workloads: &[workload()],
            sections: SECTIONS,
            kept,
            reasons: REASONS,
            root: Path::new("."),
        };
        goals.tables("").unwrap()
    }

    #[test]
    fn the_full_size_counts_before_a_newer_small_one() {
        let all = [
            kept("2026-03", "push_256/1GiB", 9.0),
            kept("2026-02", "push_256/4GiB", 1.5),
            kept("2026-01", "push_256/4GiB", 7.0),
        ];
        let text = tables(&all);
        let line = text.lines().find(|line| line.contains("ours")).unwrap();
        assert!(line.contains("1.50") && line.contains("**NO**"), "{line}");
        let target = format!("]({RECORDS}/vm/2026-02.csv)");
        assert!(line.contains(&target), "{line}");
        assert!(
            text.contains("- `push_256/4GiB`, ours: the kernel's copy"),
            "{text}"
        );
        let text = tables(&all[..1]);
        assert!(!text.contains("the kernel's copy"));
        assert!(text.contains("9.00") && text.contains("push_256/1GiB"));
        assert!(text.contains("twice a file with a lock"));
    }

    #[test]
    fn other_limits_are_the_same_workload_and_other_caches_are_not() {
        let of = pattern;
        assert_eq!(of("push/1GiB/limit_64MiB"), of("push/4GiB/limit_256MiB"));
        assert_ne!(of("get/1GiB/warm"), of("get/1GiB/cold"));
        assert_ne!(of("push/1GiB"), of("push/1GiB/limit_64MiB"));
    }
}
