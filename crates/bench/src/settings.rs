//! The command line of both measuring programs.

use std::path::PathBuf;
use std::time::Duration;

use crate::failure::{Context, Failure, Result};

/// How long `--quick` takes.
const QUICK_MINUTES: f64 = 5.0;

/// The longest name of a record, without its date.
const NAME_MAX: usize = 100;

/// The help text.
pub const HELP: &str = "\
Measures outcore and what it is compared with, in turns, and prints tables.

  --quick           small sizes, about 5 minutes (the default)
  --full            the sizes of the goals, without hurry
  --minutes N       fewer rounds if all of them would take longer; if one of each is
                    too much, what matters least is left out (--quick has 5 minutes,
                    --full has no end)
  --only NAME       only workloads whose name contains NAME; may be given again
  --goals           print what was asked and what the records say, and write the tables
                    and pictures of README.md and docs/performance.md out of the records
                    anew; measures nothing
  --again FILE.csv  make the report and the pictures of a record once more
  --list            print the names of workloads and candidates and the time that they
                    would take, and stop
  --rounds N        rounds that count (one more is thrown away)
  --size BYTES      data of each workload, such as 256MiB
  --seed N          seed of the bytes, of the offsets and of the order of candidates
  --dir DIR         where files go; otherwise where outcore puts them
  --record DIR      where the record goes: DIR/MACHINE/DATE-NAME.csv
  --no-record       write no record
  --machine NAME    the MACHINE in the path of the record
  --help            print this, and stop
";

/// What the command line asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The sizes of the goals instead of small ones.
    pub full: bool,
    /// Parts of names; empty for all workloads.
    pub only: Vec<String>,
    /// What to do.
    pub task: Task,
    /// Rounds that count, if not those of the workload.
    pub rounds: Option<u32>,
    /// How long all of it may take, if not as long as it takes.
    pub minutes: Option<f64>,
    /// As a child: how long the rounds may take.
    pub millis: Option<u64>,
    /// Bytes of data, if not those of the workload.
    pub size: Option<u64>,
    /// The seed of everything.
    pub seed: u64,
    /// Where files go.
    pub dir: Option<PathBuf>,
    /// Where the record goes.
    pub record: Option<PathBuf>,
    /// Make the report of this record once more.
    pub again: Option<PathBuf>,
    /// Write no record.
    pub no_record: bool,
    /// The name of the machine.
    pub machine: Option<String>,
    /// Be a child: do one run of this workload and this candidate.
    pub child: Option<(String, String)>,
    /// As a child: enter this memory group first.
    pub group: Option<PathBuf>,
    /// As a child: limit private memory first.
    pub data_limit: Option<u64>,
}

/// What a call of the program is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// Measure and print.
    #[default]
    Measure,
    /// Print names only.
    List,
    /// Print what was asked and reached.
    Goals,
    /// Print help only.
    Help,
}

impl Settings {
    /// Reads the arguments, without the name of the program.
    ///
    /// # Errors
    ///
    /// An option that does not exist, or whose value is missing or makes no sense.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut settings = Self {
            seed: 1,
            ..Self::default()
        };
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            let mut value = || {
                let found = rest.next().cloned();
                found.ok_or_else(|| Failure::new(format!("{option} wants a value")))
            };
            match option.as_str() {
                "--quick" => settings.full = false,
                "--full" => settings.full = true,
                "--only" => settings.only.push(value()?),
                "--list" => settings.task = Task::List,
                "--goals" => settings.task = Task::Goals,
                "--again" => settings.again = Some(value()?.into()),
                "--help" | "-h" => settings.task = Task::Help,
                "--rounds" => settings.rounds = Some(value()?.parse().context(option)?),
                "--size" => settings.size = Some(bytes(&value()?).context(option)?),
                "--minutes" => settings.minutes = Some(value()?.parse().context(option)?),
                "--millis" => settings.millis = Some(value()?.parse().context(option)?),
                "--seed" => settings.seed = value()?.parse().context(option)?,
                "--dir" => settings.dir = Some(value()?.into()),
                "--record" => settings.record = Some(value()?.into()),
                "--no-record" => settings.no_record = true,
                "--machine" => settings.machine = Some(value()?),
                "--child" => settings.child = Some((value()?, value()?)),
                "--group" => settings.group = Some(value()?.into()),
                "--data-limit" => settings.data_limit = Some(bytes(&value()?).context(option)?),
                other => return Err(Failure::new(format!("no such option: {other}"))),
            }
        }
        Ok(settings)
    }

    /// Tells whether a workload of this name is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }

    /// Returns the bytes of data of a workload: those given, or one of two.
    pub fn bytes(&self, quick: u64, full: u64) -> u64 {
        let usual = if self.full { full } else { quick };
        self.size.unwrap_or(usual)
    }

    /// Returns the rounds of a workload: those given, or one of two.
    pub fn rounds(&self, quick: u32, full: u32) -> u32 {
        let usual = if self.full { full } else { quick };
        self.rounds.unwrap_or(usual)
    }

    /// Returns how long all workloads may take; `None` for as long as they take.
    pub fn time(&self) -> Option<Duration> {
        let usual = (!self.full).then_some(QUICK_MINUTES);
        let minutes = self.minutes.or(usual)?;
        Duration::try_from_secs_f64(60.0 * minutes).ok()
    }

    /// Returns the name of the record: what was run.
    pub fn name(&self) -> String {
        let mut name = if self.full { "full" } else { "quick" }.to_owned();
        for part in &self.only {
            name.push('-');
            name.push_str(&part.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_"));
        }
        // All of them may be more than a file may be called.
        if let Some((end, _)) = name.char_indices().nth(NAME_MAX) {
            name.truncate(end);
            name.push_str("-and-more");
        }
        if self.size.is_some() || self.rounds.is_some() {
            name.push_str("-trial");
        }
        name
    }
}

/// Returns the arguments for the record: without paths of this machine.
pub fn without_paths(arguments: &[String]) -> String {
    let mut shown: Vec<&str> = Vec::new();
    for argument in arguments {
        let is_path = matches!(
            shown.last(),
            Some(&("--dir" | "--record" | "--group" | "--again"))
        );
        let is_path = is_path || argument.starts_with('/');
        shown.push(if is_path { "DIR" } else { argument });
    }
    shown.join(" ")
}

/// Reads a number of bytes with an optional unit.
fn bytes(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        other => return Err(Failure::new(format!("no such unit: {other}"))),
    };
    let number: u64 = digits.parse().context(text)?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| Failure::new(format!("{text} is too much")))
}

/// Returns the cap on the memory of rows under a limit: a sixteenth of the data, and at
/// least 64 MiB, below which the kernel kills whoever has pages under way to the device.
pub fn limit_for(data_bytes: u64) -> u64 {
    (data_bytes / 16).max(64 << 20)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings> {
        let arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Settings::parse(&arguments)
    }

    #[test]
    fn options_are_understood() {
        let settings = parse("--full --only push --only get --rounds 3 --size 256MiB").unwrap();
        assert!(settings.full && settings.wants("push_256/4GiB") && !settings.wants("scan"));
        assert_eq!(
            (settings.rounds(5, 7), settings.bytes(1, 2)),
            (3, 256 << 20)
        );
        assert_eq!(settings.name(), "full-push-get-trial");
        assert_eq!(parse("").unwrap().name(), "quick");
        let many = parse(&"--only push_u64 ".repeat(60)).unwrap().name();
        assert!(many.len() < 120 && many.ends_with("-and-more"), "{many}");
        let child = parse("--child push raw --group some/where").unwrap();
        assert_eq!(child.child, Some(("push".to_owned(), "raw".to_owned())));
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in [
            "--rounds",
            "--rounds x",
            "--size 5parsec",
            "--unknown",
            "--size 99999999999GiB",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_written_and_read() {
        for text in ["4GiB", "256MiB", "12KiB", "7B"] {
            assert_eq!(text_of_bytes(bytes(text).unwrap()), text);
        }
        assert_eq!(bytes("512"), Ok(512));
    }

    #[test]
    fn paths_stay_out_of_the_record() {
        let arguments = ["--full", "--only", "a/b", "--dir", "x", "--record", "y/z"];
        let arguments = arguments.map(str::to_owned);
        let shown = without_paths(&arguments);
        assert_eq!(shown, "--full --only a/b --dir DIR --record DIR");
    }
}
