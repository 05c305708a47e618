//! Ranges whose bytes come in several answers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::ops::Range;

use crate::plan::Request;

/// The ranges of which some bytes have come, by their numbers.
pub(crate) struct Pieces(HashMap<usize, Begun>);

struct Begun {
    bytes: Vec<u8>,
    /// How many bytes are still to come.
    missing: usize,
}

impl Pieces {
    pub(crate) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Takes what an answer has of a range, and passes the range to `deliver` when it is whole. Requests do
    /// not overlap, and may have none of its bytes.
    pub(crate) fn add(
        &mut self,
        number: usize,
        range: &Range<u64>,
        request: &Request,
        answer: &[u8],
        deliver: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        let start = range.start.max(request.bytes.start);
        let end = range.end.min(request.bytes.end);
        if start >= end {
            return Ok(());
        }
        let came = place(request.bytes.start, start)..place(request.bytes.start, end);
        let came = answer
            .get(came)
            .ok_or_else(|| io::Error::other("an answer does not have the bytes of its request"))?;
        let len = place(range.start, range.end);
        if came.len() == len {
            deliver(came);
            return Ok(());
        }
        let begun = match self.0.entry(number) {
            Entry::Occupied(begun) => begun.into_mut(),
            Entry::Vacant(place) => place.insert(Begun::of(len)?),
        };
        let at = place(range.start, start);
        let target = begun.bytes.get_mut(at..at.saturating_add(came.len()));
        if let Some(target) = target {
            target.copy_from_slice(came);
            begun.missing = begun.missing.saturating_sub(came.len());
        }
        if begun.missing == 0
            && let Some(whole) = self.0.remove(&number)
        {
            deliver(&whole.bytes);
        }
        Ok(())
    }
}

impl Begun {
    fn of(len: usize) -> io::Result<Self> {
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(len).is_err() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        bytes.resize(len, 0);
        Ok(Self {
            bytes,
            missing: len,
        })
    }
}

/// Returns how far a byte is behind another, as a place in memory.
fn place(start: u64, byte: u64) -> usize {
    usize::try_from(byte.saturating_sub(start)).unwrap_or(usize::MAX)
}
