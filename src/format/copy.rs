//! Copies of ranges of a sealed file's data: what every kind of reader needs.

use std::ops::{Bound, Range, RangeBounds};

use crate::error::{Error, ErrorKind, Result};
use crate::format::read::Sealed;

/// The most bytes for which it does not pay to have several reads in flight.
const AT_ONCE_BYTES: usize = 64 << 10;

/// The bytes of one read: longer ranges are cut at multiples of it.
const PIECE_BYTES: u64 = 1 << 20;

impl Sealed {
    /// Reads a range of the data into memory that has room for exactly that. Long ranges are many
    /// reads, in flight at the same time.
    pub(crate) fn read_over(&self, range: Range<u64>, target: &mut [u8]) -> Result<()> {
        if target.is_empty() {
            return Ok(());
        }
        if target.len() <= AT_ONCE_BYTES && self.read_verified(&range, target)? {
            return Ok(());
        }
        let start = range.start;
        let pieces: Vec<_> = pieces_of(range).collect();
        let place = |byte: u64| usize::try_from(byte.saturating_sub(start));
        self.read(&pieces, &mut |number, bytes| {
            let Some(piece) = pieces.get(number) else {
                return;
            };
            if let (Ok(start), Ok(end)) = (place(piece.start), place(piece.end)) {
                copy(bytes, target.get_mut(start..end).unwrap_or_default());
            }
        })
    }

    /// Returns which of `len` elements a range means.
    pub(crate) fn range_within(
        &self,
        range: impl RangeBounds<usize>,
        len: usize,
    ) -> Result<Range<usize>> {
        let start = match range.start_bound() {
            Bound::Included(start) => Some(*start),
            Bound::Excluded(before) => before.checked_add(1),
            Bound::Unbounded => Some(0),
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.checked_add(1),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => Some(len),
        };
        match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= len => Ok(start..end),
            _ => {
                let reason = format!("the range is not within the {len} elements");
                Err(self.refused(ErrorKind::OutOfBounds, reason))
            }
        }
    }

    /// The error for an index that is not below the length.
    #[cold]
    pub(crate) fn out_of_bounds(&self, index: usize, len: usize) -> Error {
        let reason = format!("the len is {len} but the index is {index}");
        self.refused(ErrorKind::OutOfBounds, reason)
    }

    /// Makes a list with room for `count` elements.
    pub(crate) fn room_for<E>(&self, count: usize) -> Result<Vec<E>> {
        let mut list = Vec::new();
        if list.try_reserve_exact(count).is_err() {
            let reason = "there is no memory for that many elements";
            return Err(self.refused(ErrorKind::OutOfMemory, reason));
        }
        Ok(list)
    }

    /// Makes a list of `count` equal elements.
    pub(crate) fn list_of<E: Clone>(&self, element: E, count: usize) -> Result<Vec<E>> {
        let mut list = self.room_for(count)?;
        list.resize(count, element);
        Ok(list)
    }
}

/// Cuts a range of the data into pieces, each of which one read takes.
pub(crate) fn pieces_of(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        if at >= range.end {
            return None;
        }
        let start = at;
        at = at.saturating_add(PIECE_BYTES) & !PIECE_BYTES.saturating_sub(1);
        at = at.min(range.end);
        Some(start..at)
    })
}

/// Copies bytes of the same number.
pub(crate) fn copy(source: &[u8], target: &mut [u8]) {
    if source.len() == target.len() {
        target.copy_from_slice(source);
    }
}
