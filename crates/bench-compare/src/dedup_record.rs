//! What the records of `outcore dedup` say about its goals. They are made by the script beside
//! them, since the programs that they compare are no crates.

use std::fs;
use std::path::Path;

use outcore_bench::failure::{Context, Result};
use outcore_bench::goals::Line;
use outcore_bench::stats::Spread;

/// Where they are, from the root of the repository.
const FOLDER: &str = "crates/outcore-cli/record";

/// The memory group that the second goal is about, and its input.
const LARGE: u64 = 8 << 30;

/// One part of a record: programs that had the same input.
#[derive(Debug)]
struct Measured {
    file: String,
    part: String,
    bytes: u64,
    lines: Vec<(String, f64)>,
}

/// Returns the lines of the table.
///
/// # Errors
///
/// A file that cannot be read.
pub(crate) fn lines(root: &Path) -> Result<Vec<Line>> {
    let folder = root.join(FOLDER);
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).context(folder.display())? {
        let name = entry.context(folder.display())?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    // The newest first, by their names.
    names.sort_unstable_by(|one, other| other.cmp(one));
    let mut all = Vec::new();
    for name in &names {
        let file = folder.join(name);
        let text = fs::read_to_string(&file).context(file.display())?;
        all.extend(parse(&format!("{FOLDER}/{name}"), &text));
    }
    Ok(of(&all))
}

/// Reads the rows of a record, by the names of their columns. What failed, was killed or was skipped
/// has another outcome than `ok`, and is left out.
fn parse(file: &str, text: &str) -> Vec<Measured> {
    let mut rows = text.lines().filter(|line| !line.starts_with('#'));
    let names: Vec<&str> = rows.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| names.iter().position(|found| *found == name);
    let mut found: Vec<Measured> = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.split(',').collect();
        let cell = |name: &str| cells.get(column(name)?).copied();
        let numbers = || {
            let seconds = cell("seconds")?.parse().ok()?;
            Some((cell("input_bytes")?.parse().ok()?, seconds))
        };
        let (Some("ok"), Some(part), Some(program), Some((bytes, seconds))) =
            (cell("outcome"), cell("part"), cell("program"), numbers())
        else {
            continue;
        };
        let line = (program.to_owned(), seconds);
        let is_own = |one: &&mut Measured| one.part == part && one.bytes == bytes;
        match found.iter_mut().find(is_own) {
            Some(one) => one.lines.push(line),
            None => found.push(Measured {
                file: file.to_owned(),
                part: part.to_owned(),
                bytes,
                lines: vec![line],
            }),
        }
    }
    found
}

impl Measured {
    /// Returns the seconds of a program: of the name, or, if no line has it, of those that begin so.
    fn seconds(&self, name: &str) -> Vec<f64> {
        let of = |is_own: &dyn Fn(&str) -> bool| -> Vec<f64> {
            let own = self.lines.iter().filter(|(found, _)| is_own(found));
            own.map(|(_, seconds)| *seconds).collect()
        };
        let exact = of(&|found| found == name);
        if exact.is_empty() {
            return of(&|found| found.starts_with(name));
        }
        exact
    }

    fn median(&self, name: &str) -> Option<f64> {
        Spread::of(&self.seconds(name)).map(|spread| spread.median)
    }

    /// How many times as fast `own` was, by the medians, with the fastest and the slowest of its
    /// runs.
    fn line(&self, own: &str, seconds: f64, asked: String, factor: f64) -> Option<Line> {
        let spread = Spread::of(&self.seconds(own))?;
        let ratio = |own: f64| seconds / own;
        let reached = ratio(spread.median) >= factor;
        Some(Line {
            workload: format!("dedup {} {}", self.part, in_gib(self.bytes)),
            who: own.to_owned(),
            asked,
            measured: format!("{:.2}", ratio(spread.median)),
            spread: format!("{:.2}..{:.2}", ratio(spread.max), ratio(spread.min)),
            so: if reached { "yes" } else { "NO" }.to_owned(),
            record: self.file.clone(),
        })
    }
}

fn in_gib(bytes: u64) -> String {
    format!("{}GiB", bytes >> 30)
}

/// Judges the newest measurement that has the numbers of each goal; of the large input first.
fn of(all: &[Measured]) -> Vec<Line> {
    let part = |part: &'static str| all.iter().filter(move |one| one.part == part);
    let roomy = |own: &'static str, factor: f64| {
        let line = move |one: &Measured| {
            let peers = ["mawk", "gawk", "huniq", "sort -u"].into_iter();
            let known = peers.filter_map(|peer| Some((one.median(peer)?, peer)));
            let (seconds, fastest) = known.min_by(|one, other| one.0.total_cmp(&other.0))?;
            let asked = format!(">= {factor} x speed of the fastest of awk, huniq and sort -u");
            let mut line = one.line(own, seconds, asked, factor)?;
            line.so.extend([", that was ", fastest]);
            Some(line)
        };
        // All three first, the largest first.
        let mut some: Vec<&Measured> = part("roomy").collect();
        some.sort_by_key(|one| std::cmp::Reverse((one.median("sort -u").is_some(), one.bytes)));
        some.into_iter().find_map(line)
    };
    let tight = |line: &dyn Fn(&Measured) -> Option<Line>| {
        let mut some: Vec<&Measured> = part("tight").collect();
        some.sort_by_key(|one| one.bytes >> 30 != LARGE >> 30);
        some.into_iter().find_map(line)
    };
    let sorted = tight(&|one| {
        let seconds = one.median("sort -u")?;
        let asked = ">= 4 x speed of sort -u -S 400M --parallel=2, in 512 MiB".to_owned();
        one.line("outcore -m", seconds, asked, 4.0)
    });
    let disk = tight(&|one| {
        let seconds = 2.0 * one.median("read once")? + one.median("write once")?;
        let asked = ">= 1/3 x speed of reading twice and writing once, in 512 MiB".to_owned();
        one.line("outcore -m", seconds, asked, 1.0 / 3.0)
    });
    let lines = [
        roomy("outcore -j1", 0.9),
        roomy("outcore", 1.5),
        sorted,
        disk,
    ];
    lines.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "\
# a day, a machine
part,input_bytes,group_bytes,program,round,seconds,user_seconds,outcome
roomy,1073783006,,outcore -j1,1,3.00,2.02,ok
roomy,1073783006,,outcore,1,1.50,1.98,ok
roomy,1073783006,,huniq,1,6.00,3.09,ok
roomy,1073783006,,mawk,1,38.46,34.28,ok
roomy,1073783006,,sort -u -S 8G --parallel=2,1,1.00,0.10,exit 2
roomy,1073783006,,gawk,1,,,skipped: no gawk here
tight,8590268991,536870912,read once,1,7.00,0.01,ok
tight,8590268991,536870912,write once,1,4.00,0.00,ok
tight,8590268991,536870912,outcore -m 384M,1,27.00,24.96,ok
";

    #[test]
    fn goals_are_judged_by_what_the_records_say() {
        let lines = of(&parse("a", RECORD));
        let said: Vec<(&str, &str)> = lines
            .iter()
            .map(|line| (line.measured.as_str(), line.so.as_str()))
            .collect();
        let fast = "yes, that was huniq";
        // Reading twice and writing once took 18 seconds, two thirds of 27.
        assert_eq!(said, [("2.00", fast), ("4.00", fast), ("0.67", "yes")]);
        assert_eq!(lines[0].workload, "dedup roomy 1GiB");
        assert_eq!(lines[1].who, "outcore");
    }

    #[test]
    fn other_files_are_none() {
        assert!(parse("a", "hello\n").is_empty());
    }
}
