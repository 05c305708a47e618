//! An arena in a file that lasts: where the items of its locations are in the data.
//!
//! ```text
//! items    the runs of bytes that were final, in the order of their positions
//! zeros    up to a multiple of 8
//! runs     for each run: its position in the arena (8 bytes), its length (8 bytes)
//! ```

use std::mem;
use std::ops::Range;
use std::path::Path;

use crate::containers::arena::Location;
use crate::containers::arena::location::{OFFSET_BITS, POSITION_BITS};
use crate::error::{Error, ErrorKind, Result};
use crate::format::description::{KIND_ARENA, RUN_BYTES};
use crate::format::ranges::LocalFile;
use crate::format::read::Sealed;
use crate::read::ReadOptions;

/// Final bytes of an arena that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// As in a location: the number of the file, and the offset in it.
    pub(crate) position: u64,
    pub(crate) len: u64,
}

/// An open file with the items of an arena.
#[derive(Debug)]
pub(crate) struct Archive {
    sealed: Sealed,
    tag: u16,
    /// Ascending; with each, where it begins in the data.
    runs: Vec<(Run, u64)>,
}

/// The bytes of one read of the runs.
const PIECE_BYTES: u64 = 1 << 20;

/// The bytes of an entry, as a length.
const ENTRY_BYTES: usize = 16;

const _: () = assert!(RUN_BYTES == ENTRY_BYTES as u64);

impl Archive {
    /// Reads and checks the runs of an open file.
    pub(crate) fn of(sealed: Sealed) -> Result<Self> {
        let file = sealed.description();
        if file.kind != KIND_ARENA {
            let reason = format!("it holds no arena, but what has the kind {}", file.kind);
            return Err(sealed.refused(ErrorKind::WrongType, reason));
        }
        let [tag, count, ..] = file.details;
        let start = file
            .data_bytes
            .saturating_sub(count.saturating_mul(RUN_BYTES));
        let (end, item_bytes) = (file.data_bytes, file.elements);
        let mut runs = Vec::new();
        let mut place = Place::default();
        let mut is_sound = true;
        let mut at = start;
        while at < end {
            // Piece by piece: no memory is taken for runs that are not there.
            let piece = at..at.saturating_add(PIECE_BYTES).min(end);
            at = piece.end;
            let mut bytes = Vec::new();
            sealed.append(piece, &mut bytes)?;
            let entries = bytes.chunks_exact(ENTRY_BYTES);
            if runs.try_reserve(entries.len()).is_err() {
                let reason = "there is no memory for the runs of its items";
                return Err(sealed.refused(ErrorKind::OutOfMemory, reason));
            }
            // Piece by piece as well: what a hostile file says to have may be a hole.
            for run in entries.map(Run::decode) {
                let Some(start) = place.next(run).filter(|_start| place.start <= item_bytes) else {
                    is_sound = false;
                    break;
                };
                runs.push((run, start));
            }
            if !is_sound {
                break;
            }
        }
        is_sound &= place.start == item_bytes;
        let (Ok(tag), true) = (u16::try_from(tag), is_sound) else {
            let reason = "the runs of its items contradict each other";
            return Err(sealed.refused(ErrorKind::Corrupt, reason));
        };
        Ok(Self { sealed, tag, runs })
    }

    pub(crate) fn tag(&self) -> u16 {
        self.tag
    }

    /// Returns the path of the file, if it is one of this machine.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.sealed.local().map(LocalFile::path)
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> {
        self.runs.iter().map(|(run, _start)| *run)
    }

    /// Returns the number of bytes of items.
    pub(crate) fn item_bytes(&self) -> u64 {
        self.sealed.description().elements
    }

    /// Returns the length of the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.sealed.description().file_bytes()
    }

    #[cold]
    pub(crate) fn refused(&self, kind: ErrorKind, reason: &'static str) -> Error {
        self.sealed.refused(kind, reason)
    }

    /// Returns where an item is in the data; `None` for an empty one.
    fn find(&self, location: Location) -> Result<Option<Range<u64>>> {
        if location == Location::default() {
            return Ok(None);
        }
        if location.tag() != self.tag {
            let reason = "the location belongs to another arena";
            return Err(self.refused(ErrorKind::ForeignLocation, reason));
        }
        if location.is_empty() {
            return Ok(None);
        }
        let position = location.position();
        let behind = self
            .runs
            .partition_point(|(run, _start)| run.position <= position);
        let found = behind.checked_sub(1).and_then(|at| self.runs.get(at));
        let place = found.and_then(|(run, start)| {
            let ahead = position.checked_sub(run.position)?;
            let end = ahead.checked_add(u64::from(location.len()))?;
            let is_in = end <= run.len;
            is_in.then_some(start.saturating_add(ahead)..start.saturating_add(end))
        });
        if place.is_none() {
            let reason = "no such item is in the file: it was not flushed before the arena was \
                          sealed, or the location is none of this arena's";
            return Err(self.refused(ErrorKind::OutOfBounds, reason));
        }
        Ok(place)
    }

    /// Appends an item to `target`. On failure `target` is unchanged but for its capacity.
    pub(crate) fn get_into(&self, location: Location, target: &mut Vec<u8>) -> Result<()> {
        match self.find(location)? {
            Some(place) => self.sealed.append(place, target),
            None => Ok(()),
        }
    }

    /// Passes items to `deliver`, with their index in `locations`, in any order. All locations are
    /// checked first.
    pub(crate) fn get_many(
        &self,
        options: &ReadOptions,
        locations: &[Location],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<()> {
        let mut order: Vec<(Range<u64>, usize)> = Vec::new();
        if order.try_reserve_exact(locations.len()).is_err() {
            return Err(self.refused(ErrorKind::OutOfMemory, "there is no memory for the batch"));
        }
        for (index, location) in locations.iter().enumerate() {
            // An empty item is nowhere.
            let place = self.find(*location)?;
            order.push((place.unwrap_or_default(), index));
        }
        order.sort_unstable_by_key(|(place, _index)| place.start);
        let (empty, order): (Vec<_>, Vec<_>) = order
            .into_iter()
            .partition(|(place, _index)| place.is_empty());
        for (_place, index) in empty {
            deliver(index, &[]);
        }
        for order in order.chunks(self.sealed.ranges_at_once()) {
            let places: Vec<_> = order.iter().map(|(place, _index)| place.clone()).collect();
            self.sealed
                .read_with(options, &places, &mut |number, bytes| {
                    if let Some((_place, index)) = order.get(number) {
                        deliver(*index, bytes);
                    }
                })?;
        }
        Ok(())
    }

    /// Returns the items at `locations`, or why each cannot be read.
    pub(crate) fn get_each(
        &self,
        options: &ReadOptions,
        locations: &[Location],
    ) -> Vec<Result<Vec<u8>>> {
        let mut items: Vec<Option<Vec<u8>>> = vec![None; locations.len()];
        let read = self.get_many(options, locations, &mut |index, bytes| {
            let mut item = Vec::new();
            if item.try_reserve_exact(bytes.len()).is_ok() {
                item.extend_from_slice(bytes);
                if let Some(place) = items.get_mut(index) {
                    *place = Some(item);
                }
            }
        });
        let again = |location: &Location| {
            let mut item = Vec::new();
            self.get_into(*location, &mut item).map(|()| item)
        };
        // What one bad item kept from being delivered is read alone.
        drop(read);
        let items = locations.iter().zip(items);
        items
            .map(|(location, item)| item.map_or_else(|| again(location), Ok))
            .collect()
    }

    /// Passes the bytes of all items to `take` in order, in pieces of 1 MiB.
    pub(crate) fn each_piece(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut piece = Vec::new();
        let mut at = 0;
        while at < self.item_bytes() {
            let end = at.saturating_add(PIECE_BYTES).min(self.item_bytes());
            piece.clear();
            self.sealed.append(at..end, &mut piece)?;
            take(&piece)?;
            at = end;
        }
        Ok(())
    }
}

impl Run {
    /// Returns the bytes of an entry.
    pub(crate) fn encode(self) -> [u8; 16] {
        let words = [self.position, self.len].map(u64::to_le_bytes);
        let mut entry = [0; 16];
        for (target, word) in entry.chunks_exact_mut(8).zip(words) {
            target.copy_from_slice(&word);
        }
        entry
    }

    fn decode(entry: &[u8]) -> Self {
        let word = |at: usize| {
            let bytes = entry.get(at..).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        Self {
            position: word(0),
            len: word(8),
        }
    }

    /// Returns where the run ends; `None` if it is empty or leaves its file.
    fn end(self) -> Option<u64> {
        let end = self.position.checked_add(self.len)?;
        let last = end.checked_sub(1)?;
        let is_in_file = last >> OFFSET_BITS == self.position >> OFFSET_BITS;
        (self.len > 0 && is_in_file && last >> POSITION_BITS == 0).then_some(end)
    }
}

/// Where the next run may be.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The position behind the runs before it.
    behind: u64,
    /// Where its bytes begin in the data.
    start: u64,
}

impl Place {
    /// Returns where a run begins in the data; `None` if it is empty, leaves its file, or does not
    /// follow on those before it.
    fn next(&mut self, run: Run) -> Option<u64> {
        let end = run.end().filter(|_end| run.position >= self.behind)?;
        let next = self.start.checked_add(run.len)?;
        self.behind = end;
        Some(mem::replace(&mut self.start, next))
    }
}
