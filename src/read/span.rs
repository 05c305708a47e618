//! Bytes of a file: their start and number, and which of them become one read.

use crate::bug::bug;
use crate::read::PIECE_BYTES_MAX;

/// `len` bytes of a file from `start` on. The end of a span fits into a `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u64,
    len: usize,
}

impl Span {
    pub(crate) fn new(start: u64, len: usize) -> Self {
        if start.checked_add(len as u64).is_none() {
            bug!("{len} bytes from {start}");
        }
        Self { start, len }
    }

    pub(crate) fn start(self) -> u64 {
        self.start
    }

    pub(crate) fn len(self) -> usize {
        self.len
    }

    pub(crate) fn end(self) -> u64 {
        // `new` has checked it.
        self.start.wrapping_add(self.len as u64)
    }

    /// Returns one read that covers both spans; `None` if `next` starts before this span or more
    /// than `gap` bytes behind it, or if that read would be too long.
    pub(crate) fn joined(self, next: Self, gap: u64) -> Option<Self> {
        let ahead = next.start.checked_sub(self.start)?;
        let is_near = ahead <= gap.saturating_add(self.len as u64);
        let needed = ahead.checked_add(next.len as u64)?;
        let len = usize::try_from(needed).ok()?.max(self.len);
        (is_near && len <= PIECE_BYTES_MAX).then_some(Self { len, ..self })
    }

    /// Splits the span into parts of `most` bytes, of which the last may be shorter.
    pub(crate) fn parts(self, most: usize) -> impl Iterator<Item = Self> {
        let starts = (self.start..self.end()).step_by(most);
        starts.map(move |start| Self {
            start,
            len: usize::try_from(self.end().wrapping_sub(start)).map_or(most, |len| len.min(most)),
        })
    }

    /// Returns the position of `part` in this span.
    pub(crate) fn place_of(self, part: Self) -> std::ops::Range<usize> {
        let place = part.start.checked_sub(self.start).and_then(|at| {
            let at = usize::try_from(at).ok()?;
            let end = at.checked_add(part.len)?;
            (end <= self.len).then_some(at..end)
        });
        place.unwrap_or_else(|| bug!("{part:?} is not inside of {self:?}"))
    }

    /// Returns the bytes of `part`, given the bytes of this span.
    pub(crate) fn bytes_of(self, bytes: &[u8], part: Self) -> &[u8] {
        let place = self.place_of(part);
        let found = bytes.get(place);
        found.unwrap_or_else(|| bug!("{part:?} of {} bytes", bytes.len()))
    }

    /// Like [`bytes_of`](Self::bytes_of), for writing.
    pub(crate) fn bytes_of_mut(self, bytes: &mut [u8], part: Self) -> &mut [u8] {
        let (place, len) = (self.place_of(part), bytes.len());
        let found = bytes.get_mut(place);
        found.unwrap_or_else(|| bug!("{part:?} of {len} bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_spans_are_joined_and_others_are_not() {
        let first = Span::new(1000, 100);
        let join = |start, len| first.joined(Span::new(start, len), 50);
        assert_eq!(join(1150, 10), Some(Span::new(1000, 160)));
        assert_eq!(join(1151, 10), None, "too far");
        assert_eq!(join(999, 10), None, "before it");
        assert_eq!(join(1010, 10), Some(first), "inside");
        let longest = PIECE_BYTES_MAX - 100;
        assert_eq!(join(1100, longest), Some(Span::new(1000, PIECE_BYTES_MAX)));
        assert_eq!(join(1100, longest + 1), None, "too long");
    }

    #[test]
    fn parts_are_the_whole_span_in_order() {
        let span = Span::new(7, 25);
        let parts: Vec<_> = span.parts(10).collect();
        assert_eq!(
            parts,
            [(7, 10), (17, 10), (27, 5)].map(|(at, len)| Span::new(at, len))
        );
        assert_eq!(span.place_of(parts[2]), 20..25);
    }

    #[test]
    #[should_panic(expected = "bug in outcore")]
    fn a_part_outside_of_its_span_is_reported() {
        Span::new(7, 25).bytes_of(&[0; 25], Span::new(30, 3));
    }

    #[test]
    #[should_panic(expected = "bug in outcore")]
    fn a_span_that_passes_the_longest_file_is_reported() {
        Span::new(u64::MAX, 1);
    }
}
