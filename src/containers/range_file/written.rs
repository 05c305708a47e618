//! The record of what is written: data, and no key to anything.

use std::fmt;
use std::ops::Range;

use crate::containers::range_file::spans::Spans;

/// A record of ranges that are written: made by [`RangeFile::written`](crate::RangeFile::written),
/// kept by the program, and asked after a restart for what is missing.
///
/// It is plain data. Whoever makes one up, by hand or by deserializing it, gets no range by that:
/// only [`RangeFile::claim`](crate::RangeFile::claim) gives them out. With the feature `serde` it is
/// a sequence of pairs, start and end.
///
/// # Examples
///
/// ```
/// use outcore::range_file::ALIGNMENT;
/// use outcore::{RangeFile, Written};
///
/// let path = std::env::temp_dir().join(format!("outcore-doc-written-{}", std::process::id()));
/// // SAFETY: nobody else knows the name.
/// let file = unsafe { RangeFile::create_in_place(&path, 4 * ALIGNMENT) }?;
/// file.claim(0..100)?.freeze();
/// file.claim(8192..9000)?.freeze();
/// let mut done: Written = file.written();
/// file.sync_all()?; // now all that `done` names is on the device
/// drop(file); // and the process may die here
///
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
    spans: Spans,
}

impl Written {
    /// Makes an empty record.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn of(spans: Spans) -> Self {
        Self { spans }
    }

    /// Adds a range.
    pub fn insert(&mut self, range: Range<u64>) {
        self.spans.insert(range);
    }

    /// Adds all that another record holds.
    pub fn merge(&mut self, other: &Self) {
        for span in other.spans() {
            self.insert(span);
        }
    }

    /// Returns the ranges in ascending order; those that touch are one.
    pub fn spans(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.spans.iter()
    }

    /// Returns what is missing of a file of `len` bytes, in ascending order.
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

    /// Returns how many bytes are in the record.
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
        /// Takes pairs in any order. One that ends before it starts is an error.
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
