//! All that was asked for beside what the records say, as one table.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Context, Result};
use crate::record::Record;
use crate::table::{Align, Table};
use crate::workload::Workload;

/// Where the table stands in a document: everything between these two lines is replaced.
pub const BEGIN: &str =
    "<!-- goals: written by `cargo run --release -p bench-compare -- --goals` -->";
/// The end of the table in a document.
pub const END: &str = "<!-- end of goals -->";

/// A part of the library, and what was asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The part.
    pub title: &'static str,
    /// How the names of its workloads begin.
    pub prefixes: &'static [&'static str],
    /// What was asked, in words, for as long as there is no workload with a goal.
    pub asked: &'static [&'static str],
}

/// A record and where it is.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The file, below the folder of all records.
    pub path: PathBuf,
    /// What is in it.
    pub record: Record,
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

/// Returns the table: what was asked of each workload, and the record that says most about it:
/// the newest of the full size, or else the newest of another size. `link` stands before the
/// path of a record.
pub fn table(workloads: &[Workload], sections: &[Section], kept: &[Kept], link: &str) -> String {
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
    for section in sections {
        let of_section = |workload: &&Workload| {
            let mut prefixes = section.prefixes.iter();
            !workload.goals.is_empty() && prefixes.any(|prefix| workload.name.starts_with(prefix))
        };
        let own: Vec<&Workload> = workloads.iter().filter(of_section).collect();
        table.push([format!("**{}**", section.title)]);
        if own.is_empty() {
            for asked in section.asked {
                let (unknown, why) = ("-".to_owned(), "not measured".to_owned());
                let cells = [String::new(), String::new(), (*asked).to_owned()];
                table.push(cells.into_iter().chain([unknown.clone(), unknown, why]));
            }
        }
        for workload in own {
            for row in rows(workload, kept, link) {
                table.push(row);
            }
        }
    }
    table.render()
}

fn rows(workload: &Workload, kept: &[Kept], link: &str) -> Vec<[String; 7]> {
    let pattern = pattern(&workload.name);
    let exact = kept.iter().map(|one| (one, workload.name.clone()));
    let similar = kept.iter().flat_map(|one| {
        let names = one.record.workloads().into_iter();
        names.map(move |name| (one, name))
    });
    let similar = similar.filter(|(_, name)| self::pattern(name) == pattern);
    let candidates: Vec<(&Kept, String)> = exact.chain(similar).collect();
    let row = |goal: &crate::goal::Goal| {
        let judged = candidates.iter().find_map(|(kept, name)| {
            let results = kept.record.results(name);
            let verdict = goal.judge(&results.runs, workload.headline);
            (verdict.measured != "-").then_some((kept, name.clone(), verdict))
        });
        let who = goal.candidate.to_owned();
        let (name, verdict, record) = if let Some((kept, name, verdict)) = judged {
            (name, verdict, link_to(kept, link))
        } else {
            let verdict = goal.judge(&[], workload.headline);
            (workload.name.clone(), verdict, String::new())
        };
        [
            name,
            who,
            verdict.asked,
            verdict.measured,
            verdict.spread,
            verdict.reached,
            record,
        ]
    };
    workload.goals.iter().map(row).collect()
}

fn link_to(kept: &Kept, link: &str) -> String {
    let stem = kept.path.file_stem().unwrap_or_default();
    let path = kept.path.display();
    format!("[{}]({link}{path})", stem.to_string_lossy())
}

/// The name of a workload without its sizes.
fn pattern(name: &str) -> String {
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

/// Puts the table into a document, between the two lines that mark its place. Returns the
/// document as it was if it has no such place.
pub fn put_into(document: &str, table: &str) -> String {
    let place = document
        .find(BEGIN)
        .zip(document.find(END))
        .filter(|(begin, end)| begin < end);
    match place {
        Some((begin, end)) => {
            let (before, after) = (&document[..begin], &document[end..]);
            format!("{before}{BEGIN}\n\n{table}\n\n{after}")
        }
        None => document.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goal::{Asked, Goal};
    use crate::measure::{Outcome, Run, Sample};
    use crate::report::Results;
    use crate::workload::{Deferred, Kind, RATE};

    const SECTIONS: &[Section] = &[
        Section {
            title: "Arena",
            prefixes: &["push_256/"],
            asked: &[],
        },
        Section {
            title: "Ranges",
            prefixes: &["ranges/"],
            asked: &["twice a file with a lock"],
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

    #[test]
    fn the_full_size_counts_before_a_newer_small_one() {
        let all = [
            kept("2026-03", "push_256/1GiB", 9.0),
            kept("2026-02", "push_256/4GiB", 1.5),
            kept("2026-01", "push_256/4GiB", 7.0),
        ];
        let text = table(&[workload()], SECTIONS, &all, "record/");
        let line = text.lines().find(|line| line.contains("ours")).unwrap();
        assert!(line.contains("1.50") && line.contains("NO"), "{line}");
        assert!(line.contains("[2026-02](record/vm/2026-02.csv)"), "{line}");
        let text = table(&[workload()], SECTIONS, &all[..1], "record/");
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

    #[test]
    fn the_table_goes_between_its_marks() {
        let document = format!("one\n{BEGIN}\nold\n{END}\ntwo\n");
        let put = put_into(&document, "new");
        assert_eq!(put, format!("one\n{BEGIN}\n\nnew\n\n{END}\ntwo\n"));
        assert_eq!(put_into(&put, "new"), put);
        assert_eq!(put_into("without", "new"), "without");
    }
}
