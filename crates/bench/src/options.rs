//! The command line of both measuring programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;

use crate::error::{Context, Result, bail};

/// How long `--quick` takes.
const QUICK_MINUTES: f64 = 5.0;

/// The longest name of a record, without its date.
const NAME_MAX: usize = 100;

/// Measures outcore and what it is compared with, in turns, and prints tables.
#[derive(Clone, Debug, Parser)]
#[command(args_override_self = true)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the options of a command line"
)]
pub struct Options {
    /// Measure small sizes, about 5 minutes (the default)
    #[arg(long)]
    quick: bool,
    /// Measure the published sizes, without a limit of time
    #[arg(long, conflicts_with = "quick")]
    pub full: bool,
    /// Measure fewer rounds if all would take longer; workloads that find no time left are named
    #[arg(long, value_name = "N")]
    pub minutes: Option<f64>,
    /// Measure only workloads whose name contains NAME; may be given again
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Measure only candidates whose name contains NAME; may be given again
    #[arg(long, value_name = "NAME")]
    pub row: Vec<String>,
    /// Print the names of workloads and candidates, and stop
    #[arg(long)]
    pub list: bool,
    /// Write the tables and pictures of README.md and docs/performance.md from the records, and
    /// stop
    #[arg(long)]
    pub documents: bool,
    /// Print the report of a record, and stop
    #[arg(long, value_name = "FILE.csv")]
    pub report: Option<PathBuf>,
    /// Count so many rounds (one more is thrown away)
    #[arg(long, value_name = "N")]
    pub rounds: Option<u32>,
    /// Use so much data in each workload, such as 256MiB
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub size: Option<u64>,
    /// Seed the bytes, the offsets and the order of candidates
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Put files into DIR; otherwise where outcore puts them
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Write the record to DIR/MACHINE/DATE-NAME.csv
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Measure PROGRAM too, an earlier build of this program, in the same rounds; its rows are called
    /// `NAME_before`
    #[arg(long, value_name = "PROGRAM")]
    pub before: Option<PathBuf>,
    /// Write no record
    #[arg(long)]
    pub no_record: bool,

    /// As a child: do one run of this workload and this candidate.
    #[arg(long, hide = true, num_args = 2)]
    pub child: Vec<String>,
    /// As a child: how long the rounds may take.
    #[arg(long, hide = true)]
    pub millis: Option<u64>,
    /// As a child: enter this memory group first.
    #[arg(long, hide = true)]
    pub group: Option<PathBuf>,
}

impl Options {
    /// Keeps the options for as long as the program runs: all workloads look into them.
    pub fn kept(self) -> &'static Self {
        Box::leak(Box::new(self))
    }

    /// Returns the directory for all files.
    pub fn dir(&self) -> &Path {
        self.dir.as_deref().unwrap_or(Path::new("."))
    }

    /// Tells whether a workload of this name is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }

    /// Tells whether a candidate of this name is to be measured.
    pub fn wants_row(&self, name: &str) -> bool {
        self.row.is_empty() || self.row.iter().any(|part| name.contains(part.as_str()))
    }

    /// Returns the first value for a quick call, and the second for a full one.
    pub fn either<T>(&self, quick: T, full: T) -> T {
        if self.full { full } else { quick }
    }

    /// Returns the bytes of data of a workload: those given, or one of two.
    pub fn bytes(&self, quick: u64, full: u64) -> u64 {
        self.size.unwrap_or(self.either(quick, full))
    }

    /// Returns the rounds of a workload: those given, or one of two.
    pub fn rounds(&self, quick: u32, full: u32) -> u32 {
        self.rounds.unwrap_or(self.either(quick, full))
    }

    /// Returns how long all workloads may take; `None` for as long as they take.
    pub fn time(&self) -> Option<Duration> {
        let usual = (!self.full).then_some(QUICK_MINUTES);
        let minutes = self.minutes.or(usual)?;
        Duration::try_from_secs_f64(60.0 * minutes).ok()
    }

    /// Returns the name of the record: what was run.
    pub fn name(&self) -> String {
        let mut name = self.either("quick", "full").to_owned();
        for part in &self.only {
            name.push('-');
            name.push_str(&part.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_"));
        }
        if let Some((end, _)) = name.char_indices().nth(NAME_MAX) {
            name.truncate(end);
            name.push_str("-and-more");
        }
        if self.size.is_some() || self.rounds.is_some() || !self.row.is_empty() {
            name.push_str("-trial");
        }
        name
    }
}

/// Returns the arguments for the record: without paths of this machine.
pub fn without_paths(arguments: &[String]) -> String {
    let mut shown: Vec<&str> = Vec::new();
    for argument in arguments {
        let is_path = matches!(shown.last(), Some(&("--dir" | "--record" | "--before")));
        shown.push(if is_path || argument.starts_with('/') {
            "DIR"
        } else {
            argument
        });
    }
    shown.join(" ")
}

/// Returns the arguments but for that of an earlier build.
pub fn without_before(arguments: &[String]) -> Vec<String> {
    let mut all = arguments.iter();
    let mut kept = Vec::new();
    while let Some(argument) = all.next() {
        match argument.as_str() {
            "--before" => drop(all.next()),
            other if other.starts_with("--before=") => {}
            other => kept.push(other.to_owned()),
        }
    }
    kept
}

/// Reads a number of bytes with an optional unit, such as `4KiB`.
pub fn bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        other => bail!("no such unit: {other}"),
    };
    let number: u64 = digits.parse().context("not a number of bytes")?;
    number.checked_mul(1 << shift).context("too many bytes")
}

/// Writes a number of bytes with the largest unit that divides it.
pub fn text_of_bytes(bytes: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes > 0 && bytes % (1 << shift) == 0 {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// Returns the name of a workload with this size of its data.
pub fn sized(name: &str, data_bytes: u64) -> String {
    format!("{name}/{}", text_of_bytes(data_bytes))
}

/// Returns the cap on the memory of rows under a limit: a sixteenth of the data, and at least 64
/// MiB, below which the kernel kills processes that have pages under way to the device.
pub fn limit_for(data_bytes: u64) -> u64 {
    (data_bytes / 16).max(64 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_understood_and_later_ones_win() {
        let parse = |words: &str| Options::try_parse_from(words.split_whitespace());
        let options = parse("bench --full --only get --only push --size 2GiB --rounds 3").unwrap();
        assert!(options.full && options.wants("push_256/1GiB") && !options.wants("scan"));
        assert_eq!((options.bytes(1, 2), options.rounds(5, 5)), (2 << 30, 3));
        assert_eq!(options.name(), "full-get-push-trial");
        assert_eq!(options.time(), None);
        let child = parse("bench --rounds 3 --child push raw --rounds 2").unwrap();
        assert_eq!((child.child.len(), child.rounds), (2, Some(2)));
        assert_eq!(child.time(), Some(Duration::from_secs(300)));
        assert!(parse("bench --size 7parsecs").is_err() && parse("bench --fast").is_err());
    }

    #[test]
    fn bytes_are_written_and_read_and_paths_stay_out_of_the_record() {
        for text in ["4GiB", "1536MiB", "3KiB", "1000B"] {
            assert_eq!(text_of_bytes(bytes(text).unwrap()), text);
        }
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let shown = without_paths(&words("--full --dir home --only push_256/4GiB /home"));
        assert_eq!(shown, "--full --dir DIR --only push_256/4GiB DIR");
        let kept = without_before(&words("--before old --full --before=older --rounds 3"));
        assert_eq!(kept, words("--full --rounds 3"));
    }
}
