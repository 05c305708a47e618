//! Iteration over items, in memory as it is or past memory by a scan.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;

use crate::bug::bug;
use crate::composites::strings::bytes_vec::BytesVec;

/// Returns the bytes of an item.
#[inline]
pub(super) fn item(bytes: &[u8], start: u64, end: u64) -> &[u8] {
    let place = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let item = place.and_then(|(start, end)| bytes.get(start..end));
    item.unwrap_or_else(|| no_item(start, end, bytes.len()))
}

#[cold]
fn no_item(start: u64, end: u64, len: usize) -> ! {
    bug!("an item is at {start}..{end} of {len} bytes")
}

/// The items of a [`BytesVec`] in order; made by [`BytesVec::iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    /// Of the items that are left: where the first begins, and where each ends.
    offsets: &'a [u64],
}

impl<'a> Iter<'a> {
    pub(super) fn new(bytes: &'a [u8], offsets: &'a [u64]) -> Self {
        Self { bytes, offsets }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (start, rest) = self.offsets.split_first()?;
        let end = rest.first()?;
        self.offsets = rest;
        Some(item(self.bytes, *start, *end))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.offsets.len().saturating_sub(1);
        (left, Some(left))
    }

    fn nth(&mut self, skipped: usize) -> Option<&'a [u8]> {
        self.offsets = self.offsets.get(skipped..).unwrap_or_default();
        self.next()
    }
}

impl<'a> DoubleEndedIterator for Iter<'a> {
    #[inline]
    fn next_back(&mut self) -> Option<&'a [u8]> {
        let (end, rest) = self.offsets.split_last()?;
        let start = rest.last()?;
        self.offsets = rest;
        Some(item(self.bytes, *start, *end))
    }

    fn nth_back(&mut self, skipped: usize) -> Option<&'a [u8]> {
        let left = self.offsets.len().checked_sub(skipped);
        self.offsets = left
            .and_then(|left| self.offsets.get(..left))
            .unwrap_or_default();
        self.next_back()
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

impl fmt::Debug for Iter<'_> {
    /// Formats the items that are left.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'a> IntoIterator for &'a BytesVec {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Bytes after which a scan lets go of what was read.
const SCAN_BYTES: usize = if cfg!(any(miri, memory_backend)) {
    8 << 10
} else {
    2 << 20
};

/// The items of a [`BytesVec`] in order, for vectors larger than memory; made by
/// [`BytesVec::scan`].
///
/// An item can be kept for as long as the vector is borrowed: letting go of it means that its pages
/// may have to be read again.
pub struct Scan<'a> {
    items: &'a BytesVec,
    left: Iter<'a>,
    /// Which items were returned and not let go, and where their bytes are.
    read: Range<usize>,
    read_bytes: Range<usize>,
}

impl<'a> Scan<'a> {
    /// Begins to read the items of a range, which is within the vector.
    pub(super) fn new(items: &'a BytesVec, range: Range<usize>) -> Self {
        items.bytes.expect_scan(true);
        items.offsets.expect_scan(true);
        let start = if items.is_empty() {
            0
        } else {
            items.end_of(range.start)
        };
        Self {
            items,
            read: range.start..range.start,
            read_bytes: start..start,
            left: items.range(range),
        }
    }

    /// Lets go of what was returned.
    #[cold]
    fn let_go(&mut self) {
        self.items.offsets.let_go(self.read.clone());
        self.items.bytes.let_go(self.read_bytes.clone());
        self.read.start = self.read.end;
        self.read_bytes.start = self.read_bytes.end;
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let places = self.read.len().saturating_mul(size_of::<u64>());
        if self.read_bytes.len().max(places) >= SCAN_BYTES {
            self.let_go();
        }
        let item = self.left.next()?;
        self.read.end = self.read.end.saturating_add(1);
        self.read_bytes.end = self.read_bytes.end.saturating_add(item.len());
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl ExactSizeIterator for Scan<'_> {}
impl FusedIterator for Scan<'_> {}

impl Drop for Scan<'_> {
    fn drop(&mut self) {
        self.let_go();
        self.items.bytes.expect_scan(false);
        self.items.offsets.expect_scan(false);
    }
}

impl fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("left", &self.left.len())
            .field("len", &self.items.len())
            .finish_non_exhaustive()
    }
}
