//! The closing words on standard error.

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::memory;
use crate::size::format_count;

/// How the closing summary is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Report {
    /// For people
    #[default]
    Text,
    /// One JSON object on a line of standard error
    Json,
}

/// What a run did.
#[derive(Debug)]
pub(crate) struct Summary {
    /// What was counted, with its label; in JSON, its words are joined by `_`.
    pub(crate) counts: Vec<(&'static str, u64)>,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    /// On disk, between the passes.
    pub(crate) scratch_bytes: u64,
    pub(crate) elapsed: Duration,
    pub(crate) peak_resident_bytes: Option<u64>,
}

impl Summary {
    /// Closes a run that has begun then.
    pub(crate) fn since(begin: Instant, counts: Vec<(&'static str, u64)>) -> Self {
        Self {
            counts,
            read_bytes: 0,
            written_bytes: 0,
            scratch_bytes: 0,
            elapsed: begin.elapsed(),
            peak_resident_bytes: memory::peak_resident_bytes(),
        }
    }

    /// Tells the user, if that is wanted: in the format that was asked for, or else unless nothing
    /// is to be said.
    pub(crate) fn tell(&self, report: Option<Report>, is_quiet: bool) {
        match report {
            Some(Report::Json) => tell(&self.to_json()),
            None if is_quiet => {}
            Some(Report::Text) | None => tell(&self.to_string()),
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let seconds = self.elapsed.as_secs_f64();
        let counts = self.counts.iter();
        let mut rows: Vec<_> = counts
            .map(|(label, count)| (*label, format_count(*count)))
            .collect();
        rows.push(("bytes read", format_count(self.read_bytes)));
        rows.push(("bytes written", format_count(self.written_bytes)));
        if self.scratch_bytes > 0 {
            rows.push(("bytes of scratch", format_count(self.scratch_bytes)));
        }
        rows.push(("seconds", format!("{seconds:.3}")));
        rows.push(("MiB/s", format!("{:.1}", self.rate())));
        let peak = self.peak_resident_bytes;
        let peak = peak.map_or("n/a".to_owned(), |bytes| format!("{:.1}", mib(bytes)));
        rows.push(("peak resident MiB", peak));
        rows
    }

    /// Returns MiB read in a second.
    fn rate(&self) -> f64 {
        // The least time that the clock could show keeps the quotient finite.
        mib(self.read_bytes) / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Returns the same as one JSON object on a line.
    fn to_json(&self) -> String {
        let counts = self.counts.iter();
        let counts = counts.map(|(label, count)| (label.replace(' ', "_"), Value::from(*count)));
        let mut object: Map<_, _> = counts.collect();
        let rest = [
            ("bytes_read", Value::from(self.read_bytes)),
            ("bytes_written", self.written_bytes.into()),
            ("bytes_of_scratch", self.scratch_bytes.into()),
            ("seconds", self.elapsed.as_secs_f64().into()),
            ("mib_per_second", self.rate().into()),
            ("peak_resident_bytes", self.peak_resident_bytes.into()),
        ];
        object.extend(rest.map(|(label, value)| (label.to_owned(), value)));
        format!("{}\n", Value::Object(object))
    }
}

/// Writes to standard error, if it is open.
pub(crate) fn tell(text: &str) {
    io::stderr().write_all(text.as_bytes()).ok();
}

#[expect(
    clippy::cast_precision_loss,
    reason = "shown with a digit behind the point"
)]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// One row a line, numbers flush right.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = rows.iter().map(|(_, value)| value.len()).max().unwrap_or(0);
        for (label, value) in rows {
            writeln!(f, "{label:<17}  {value:>width$}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(counts: Vec<(&'static str, u64)>) -> Summary {
        Summary {
            read_bytes: 64 << 20,
            elapsed: Duration::from_millis(500),
            peak_resident_bytes: Some(3 << 19),
            ..Summary::since(Instant::now(), counts)
        }
    }

    #[test]
    fn numbers_stand_flush_right() {
        let summary = summary(vec![("lines", 1_234_567), ("kept", 89)]);
        let expected = "\
lines               1,234,567
kept                       89
bytes read         67,108,864
bytes written               0
seconds                 0.500
MiB/s                   128.0
peak resident MiB         1.5
";
        assert_eq!(summary.to_string(), expected);
    }

    #[test]
    fn json_has_the_same_numbers() {
        let text = summary(vec![("distinct lines", 7)]).to_json();
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["distinct_lines"], 7);
        assert_eq!(object["bytes_read"], 64 << 20);
        assert_eq!(object["peak_resident_bytes"], 3 << 19);
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn nothing_in_no_time_is_no_nonsense() {
        let summary = Summary {
            read_bytes: 0,
            elapsed: Duration::ZERO,
            peak_resident_bytes: None,
            ..summary(vec![("lines", 0)])
        };
        let text = summary.to_string();
        assert!(text.contains("MiB/s                0.0\n"), "{text}");
        assert!(text.contains("peak resident MiB    n/a\n"), "{text}");
    }
}
