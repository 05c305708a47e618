//! The closing words on standard error.

use std::fmt;
use std::time::Duration;

use crate::size::format_count;

/// What a run did.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) lines: u64,
    pub(crate) kept: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) elapsed: Duration,
    pub(crate) peak_resident_bytes: Option<u64>,
}

impl Summary {
    fn rows(&self) -> [(&'static str, String); 7] {
        let seconds = self.elapsed.as_secs_f64();
        // The least time that the clock could show keeps the quotient finite.
        let rate = mib(self.read_bytes) / seconds.max(1e-9);
        let peak = self.peak_resident_bytes;
        [
            ("lines", format_count(self.lines)),
            ("kept", format_count(self.kept)),
            ("bytes read", format_count(self.read_bytes)),
            ("bytes written", format_count(self.written_bytes)),
            ("seconds", format!("{seconds:.3}")),
            ("MiB/s", format!("{rate:.1}")),
            (
                "peak resident MiB",
                peak.map_or("n/a".to_owned(), |bytes| format!("{:.1}", mib(bytes))),
            ),
        ]
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
            lines: 1_234_567,
            kept: 89,
            read_bytes: 64 << 20,
            written_bytes: 0,
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
            lines: 0,
            kept: 0,
            read_bytes: 0,
            written_bytes: 0,
            elapsed: Duration::ZERO,
            peak_resident_bytes: None,
        };
        let text = summary.to_string();
        assert!(text.contains("MiB/s                0.0\n"), "{text}");
        assert!(text.contains("peak resident MiB    n/a\n"), "{text}");
    }
}
