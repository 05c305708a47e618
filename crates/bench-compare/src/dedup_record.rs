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

/// One measurement: a kind, a size, and lines of a name and seconds.
#[derive(Debug)]
struct Measured {
    file: String,
    kind: String,
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

/// Reads the lines that say how long a program took, by their beginnings: `NAME  1.23 s`. Those of
/// programs that failed or were killed say so at their ends, and are left out.
fn parse(file: &str, text: &str) -> Option<Measured> {
    let mut head = text.lines().next()?.strip_prefix("# ")?.split_whitespace();
    let kind = head.nth(1)?.to_owned();
    let bytes = head.nth(1)?.parse().ok()?;
    let line = |line: &str| {
        let (name, rest) = line.split_once("  ")?;
        let seconds = rest.trim_start().split(" s").next()?;
        let failed = line.contains("  exit ");
        Some((name.to_owned(), seconds.parse().ok()?)).filter(|_| !failed)
    };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Some(Measured {
        file: file.to_owned(),
        kind,
        bytes,
        lines: lines.filter_map(line).collect(),
    })
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
            workload: format!("dedup {} {}", self.kind, in_gib(self.bytes)),
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
    let kind = |kind: &'static str| all.iter().filter(move |one| one.kind == kind);
    let roomy = |own: &'static str, factor: f64| {
        let line = move |one: &Measured| {
            let peers = ["awk", "huniq", "sort -u"].into_iter();
            let known = peers.filter_map(|peer| Some((one.median(peer)?, peer)));
            let (seconds, fastest) = known.min_by(|one, other| one.0.total_cmp(&other.0))?;
            let asked = format!(">= {factor} x speed of the fastest of awk, huniq and sort -u");
            let mut line = one.line(own, seconds, asked, factor)?;
            line.so.extend([", that was ", fastest]);
            Some(line)
        };
        // All three first, the largest first.
        let mut some: Vec<&Measured> = kind("roomy").collect();
        some.sort_by_key(|one| std::cmp::Reverse((one.median("sort -u").is_some(), one.bytes)));
        some.into_iter().find_map(line)
    };
    let tight = |line: &dyn Fn(&Measured) -> Option<Line>| {
        let mut some: Vec<&Measured> = kind("tight").collect();
        some.sort_by_key(|one| one.bytes >> 30 != LARGE >> 30);
        some.into_iter().find_map(line)
    };
    let sorted = tight(&|one| {
        let seconds = one.median("sort -u")?;
        let asked = ">= 4 x speed of sort -u -S 400M --parallel=2, in 512 MiB".to_owned();
        one.line("outcore -m 384M", seconds, asked, 4.0)
    });
    let disk = tight(&|one| {
        let seconds = 2.0 * one.median("read once")? + one.median("write the output once")?;
        let asked = ">= 1/3 x speed of reading twice and writing once, in 512 MiB".to_owned();
        one.line("outcore -m 384M", seconds, asked, 1.0 / 3.0)
    });
    let lines = [
        roomy("outcore, 1 thread", 0.9),
        roomy("outcore", 1.5),
        sorted,
        disk,
    ];
    lines.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMY: &str = "\
# 2026-11-21 roomy 1G: 1073783006 bytes
# seconds, user and system seconds, most resident KiB
outcore, 1 thread                  3.00 s  2.02 u  0.89 s  135796 KiB
outcore                            1.50 s  1.98 u  0.64 s  136360 KiB
huniq                              6.00 s  3.09 u  4.15 s  113144 KiB
awk                                38.46 s  34.28 u  3.64 s  1115524 KiB
sort -u                            1.00 s  11.83 u  5.79 s  1910220 KiB  exit 2
";

    const TIGHT: &str = "\
# 2026-11-21 tight 8G: 8590268991 bytes
read once                          7.00 s  0.01 u  2.54 s  2820 KiB
write the output once              4.00 s  0.00 u  1.34 s  2908 KiB
outcore -m 384M                    27.00 s  24.96 u  9.60 s  368484 KiB
";

    #[test]
    fn goals_are_judged_by_what_the_records_say() {
        let all = [parse("a/2026-11-21-roomy.txt", ROOMY), parse("b", TIGHT)];
        let lines = of(&all.map(Option::unwrap));
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
        assert!(parse("a", "hello\n").is_none());
    }
}
