//! The closing words on standard error.

use std::fmt;
use std::time::Duration;

use crate::size::format_count;

/// What a run did.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Lines, or files.
    pub(crate) records: u64,
    pub(crate) kept: u64,
    /// What was skipped, if that was allowed.
    pub(crate) bad_records: Option<u64>,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    /// On disk, between the passes.
    pub(crate) scratch_bytes: u64,
    pub(crate) elapsed: Duration,
    pub(crate) peak_resident_bytes: Option<u64>,
}

impl Summary {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let seconds = self.elapsed.as_secs_f64();
        let mut rows = vec![
            ("lines", format_count(self.records)),
            ("kept", format_count(self.kept)),
        ];
        if let Some(bad) = self.bad_records {
            rows.push(("skipped", format_count(bad)));
        }
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
    pub(crate) fn to_json(&self) -> String {
        let object = serde_json::json!({
            "lines": self.records,
            "kept": self.kept,
            "skipped": self.bad_records.unwrap_or(0),
            "bytes_read": self.read_bytes,
            "bytes_written": self.written_bytes,
            "bytes_of_scratch": self.scratch_bytes,
            "seconds": self.elapsed.as_secs_f64(),
            "mib_per_second": self.rate(),
            "peak_resident_bytes": self.peak_resident_bytes,
        });
        format!("{object}\n")
    }
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

    #[test]
    fn numbers_stand_flush_right() {
        let summary = Summary {
            records: 1_234_567,
            kept: 89,
            bad_records: None,
            read_bytes: 64 << 20,
            written_bytes: 0,
            scratch_bytes: 0,
            elapsed: Duration::from_millis(500),
            peak_resident_bytes: Some(3 << 19),
        };
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
    fn nothing_in_no_time_is_no_nonsense() {
        let summary = Summary {
            records: 0,
            kept: 0,
            bad_records: None,
            read_bytes: 0,
            written_bytes: 0,
            scratch_bytes: 0,
            elapsed: Duration::ZERO,
            peak_resident_bytes: None,
        };
        let text = summary.to_string();
        assert!(text.contains("MiB/s                0.0\n"), "{text}");
        assert!(text.contains("peak resident MiB    n/a\n"), "{text}");
    }
}
