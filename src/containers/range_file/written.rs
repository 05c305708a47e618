//! The record of written ranges: data, which gives no access.

use std::fmt;
use std::io;
use std::ops::Range;
use std::str::FromStr;

use crate::containers::range_file::range_set::RangeSet;
use crate::error::{Error, Result};

/// A record of written ranges: made by [`RangeFile::written`](crate::RangeFile::written), stored by
/// the program, and asked after a restart for what is missing.
///
/// It is plain data, and gives no access to a file: only
/// [`RangeFile::claim`](crate::RangeFile::claim) gives out ranges.
///
/// # Text
///
/// `to_string` writes a record as one line, such as `{0..100, 8192..9000}`, and `parse` reads that,
/// with or without white space around it. Everything else is an error: a truncated text, ranges
/// that are empty, out of order or touch each other, numbers with a sign or with leading zeros. So
/// each record has one text, and each text one record. With the feature `serde` it is a sequence of
/// pairs, start and end.
///
/// # Examples
///
/// ```
/// use outcore::range_file::ALIGNMENT;
/// use outcore::{RangeFile, Written};
///
/// let path = std::env::temp_dir().join(format!("outcore-doc-written-{}", std::process::id()));
/// // SAFETY: the name is known here only.
/// let file = unsafe { RangeFile::create_in_place(&path, 4 * ALIGNMENT) }?;
/// file.claim(0..100)?.freeze();
/// file.claim(8192..9000)?.freeze();
/// let done: Written = file.written();
/// file.sync_all()?; // now all that `done` names is on the device
/// let text = done.to_string(); // to be kept in a file of its own
/// drop(file); // and the process may die here
///
/// let mut done: Written = text.parse()?;
/// // SAFETY: as above.
/// let file = unsafe { RangeFile::open(&path) }?;
/// for missing in done.gaps(file.len()) {
///     file.claim(missing)?.freeze();
/// }
/// done.merge(&file.written());
/// assert!(done.contains(&(0..4 * ALIGNMENT)));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// Ranges cannot be deserialized:
///
/// ```compile_fail,E0277
/// let forged: outcore::FileRangeMut = serde_json::from_str("[0,4096]").unwrap();
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Written {
    spans: RangeSet,
}

impl Written {
    /// Creates an empty record.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn of(spans: RangeSet) -> Self {
        Self { spans }
    }

    /// Adds a range.
    pub fn insert(&mut self, range: Range<u64>) {
        self.spans.insert(range);
    }

    /// Adds all ranges of another record.
    pub fn merge(&mut self, other: &Self) {
        for span in other.spans() {
            self.insert(span);
        }
    }

    /// Returns the ranges in ascending order; those that touch are joined.
    pub fn spans(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.spans.iter()
    }

    /// Returns the missing ranges of a file of `len` bytes, in ascending order.
    pub fn gaps(&self, len: u64) -> impl Iterator<Item = Range<u64>> + '_ {
        let starts = std::iter::once(0).chain(self.spans.iter().map(|span| span.end));
        let ends = self.spans.iter().map(|span| span.start);
        starts
            .zip(ends.chain(std::iter::once(len)))
            .map(move |(start, end)| start..end.min(len))
            .filter(|gap| !gap.is_empty())
    }

    /// Returns whether all of `range` is in the record.
    pub fn contains(&self, range: &Range<u64>) -> bool {
        self.spans.contains(range)
    }

    /// Returns the number of bytes in the record.
    pub fn bytes(&self) -> u64 {
        self.spans.count_below(u64::MAX)
    }
}

impl Extend<Range<u64>> for Written {
    fn extend<I: IntoIterator<Item = Range<u64>>>(&mut self, ranges: I) {
        for range in ranges {
            self.insert(range);
        }
    }
}

impl FromIterator<Range<u64>> for Written {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut written = Self::new();
        written.extend(ranges);
        written
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.spans()).finish()
    }
}

impl fmt::Display for Written {
    /// Writes the record as one line without a line end, for [`from_str`](Self::from_str).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (number, span) in self.spans().enumerate() {
            let separator = if number == 0 { "" } else { SEPARATOR };
            write!(f, "{separator}{}..{}", span.start, span.end)?;
        }
        f.write_str("}")
    }
}

impl FromStr for Written {
    type Err = Error;

    /// Reads the text that [`to_string`](ToString::to_string) writes.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) with [`InvalidData`](io::ErrorKind::InvalidData): the text is
    /// not that of a record.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim_ascii();
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let inner = inner.ok_or_else(|| malformed("it is not between braces".to_owned()))?;
        let mut written = Self::new();
        let mut least = 0;
        let spans = inner.split(SEPARATOR).filter(|_span| !inner.is_empty());
        for (number, span) in spans.enumerate() {
            let ends = span.split_once("..");
            let range = ends.and_then(|(start, end)| Some(parse(start)?..parse(end)?));
            let range = range.filter(|range| least <= range.start && !range.is_empty());
            let range = range.ok_or_else(|| {
                malformed(format!(
                    "range {number} is none, or not behind the one before"
                ))
            })?;
            // Between two ranges there is at least one byte. Behind the last number there is none.
            least = range.end.saturating_add(1);
            written.insert(range);
        }
        Ok(written)
    }
}

/// The separator of two ranges.
const SEPARATOR: &str = ", ";

/// Reads a number as it is written: digits, and no leading zero.
fn parse(text: &str) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_padded = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_number| is_digits && !is_padded)
}

#[cold]
fn malformed(reason: String) -> Error {
    let answer = io::Error::new(io::ErrorKind::InvalidData, reason);
    Error::io("read a record of ranges", answer)
}

#[cfg(feature = "serde")]
mod serde {
    //! A record as a sequence of pairs.

    use std::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::containers::range_file::written::Written;

    impl Serialize for Written {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(self.spans().map(|span| (span.start, span.end)))
        }
    }

    impl<'de> Deserialize<'de> for Written {
        /// Accepts pairs in any order. A pair that ends before it starts is an error.
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_seq(Pairs)
        }
    }

    struct Pairs;

    impl<'de> Visitor<'de> for Pairs {
        type Value = Written;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a sequence of pairs of start and end")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Written, A::Error> {
            let mut written = Written::new();
            while let Some((start, end)) = pairs.next_element::<(u64, u64)>()? {
                if start > end {
                    return Err(A::Error::custom(format!("{start}..{end} ends too early")));
                }
                written.insert(start..end);
            }
            Ok(written)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_from_its_text_exactly() {
        let far = (u64::MAX - 7, u64::MAX);
        let records: [&[(u64, u64)]; 4] =
            [&[], &[(0, 1)], &[(0, 100), (8192, 9000)], &[(5, 6), far]];
        for pairs in records {
            let record: Written = pairs.iter().map(|(start, end)| *start..*end).collect();
            let text = record.to_string();
            assert_eq!(text, format!("{record:?}"));
            assert_eq!(text.parse::<Written>().unwrap(), record);
            assert_eq!(format!(" {text}\n").parse::<Written>().unwrap(), record);
        }
    }

    #[test]
    fn a_text_that_no_record_has_is_an_error() {
        let texts = [
            "",
            "{",
            "}",
            "0..1",
            "{ }",
            "{,}",
            "{, }",
            "{0..1, }",
            "{, 0..1}",
            "{0..1,2..3}",
            "{0..1 2..3}",
            "{0..1, 1..2}",
            "{0..1, 0..1}",
            "{4..5, 0..1}",
            "{1..1}",
            "{2..1}",
            "{..}",
            "{0..}",
            "{..1}",
            "{0...1}",
            "{0..=1}",
            "{+0..1}",
            "{-1..1}",
            "{00..1}",
            "{0..01}",
            "{0x0..1}",
            "{0..1}}",
            "{{0..1}",
            "{0..1}{}",
            "{ 0..1}",
            "{0..1 }",
            "{0..18446744073709551616}",
            "{0..1, 18446744073709551615..18446744073709551615}",
            "{\u{662}..\u{663}}",
            "{0..1\0}",
            "[[0,1]]",
        ];
        for text in texts {
            let refused = text.parse::<Written>().unwrap_err();
            let kind = refused.io_error().map(io::Error::kind);
            assert_eq!(kind, Some(io::ErrorKind::InvalidData), "{text}");
        }
    }

    /// A record that a crash has truncated names less than was written, or more: `{0..81`, from
    /// `{0..8192, ..`, is not accepted.
    #[test]
    fn no_part_of_a_text_is_a_record() {
        let record: Written = [0..8192, 10_000..20_000, 30_000..u64::MAX]
            .into_iter()
            .collect();
        let text = record.to_string();
        for end in 0..text.len() {
            assert!(text[..end].parse::<Written>().is_err(), "{}", &text[..end]);
        }
    }

    #[test]
    fn a_changed_byte_is_an_error_or_the_text_of_another_record() {
        let record: Written = [0..40, 50..600, 7000..80_000].into_iter().collect();
        let text = record.to_string();
        let mut read = 0;
        for at in 0..text.len() {
            for byte in 0..0x80 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = byte;
                let changed = String::from_utf8(bytes).unwrap();
                if let Ok(other) = changed.parse::<Written>() {
                    read += 1;
                    assert_eq!(other.to_string(), changed);
                }
            }
        }
        assert!(read > text.len(), "changed digits are other records");
    }
}
