//! Notes on deferred records: which of them are repeats, and how often others are
//! there. They are written down by parts of the input, so that those of one part fit
//! into memory.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use outcore::{Arena, ArenaWriter, Location};

use crate::cmd::dedup::deferred::Deferred;
use crate::cmd::dedup::job::Job;
use crate::cmd::dedup::known::Place;
use crate::failure::Result;
use crate::scratch::{PIECE_BYTES, read_words};
use crate::threads;

/// Deferred chunks in a row whose notes fit into memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// Numbers of chunks, counted from the first deferred one.
    pub(crate) start: usize,
    pub(crate) end: usize,
    records: u64,
    pieces: Vec<Location>,
}

/// All parts of the deferred input.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The number of the first deferred chunk.
    first: u64,
    rich: bool,
    pub(crate) list: Vec<Part>,
}

/// Bytes of a note that tells a count, in memory.
const COUNT_BYTES: u64 = 16;
/// Bytes of memory for a chunk of a part.
const CHUNK_BYTES: u64 = 8;

/// Chunks of a part: what is known of them is mapped while the part is worked on.
const PART_CHUNKS_MAX: usize = 1 << 15;

impl Parts {
    /// Divides chunks so that the notes on a part take about `part_bytes`.
    pub(crate) fn new<'a>(
        chunks: impl Iterator<Item = &'a Deferred>,
        first: u64,
        rich: bool,
        part_bytes: u64,
    ) -> Self {
        let mut list = Vec::new();
        let mut part = Part::default();
        let mut bytes = 0;
        for chunk in chunks {
            let records = u64::from(chunk.records);
            let need = CHUNK_BYTES
                + if rich {
                    records * COUNT_BYTES
                } else {
                    records.div_ceil(8)
                };
            let chunks = part.end - part.start;
            if chunks == PART_CHUNKS_MAX || chunks > 0 && bytes + need > part_bytes {
                let next = part.end;
                list.push(std::mem::take(&mut part));
                (part.start, part.end) = (next, next);
                bytes = 0;
            }
            bytes += need;
            part.records += records;
            part.end += 1;
        }
        list.push(part);
        Self { first, rich, list }
    }

    /// Returns how many bytes a thread stages for each part.
    fn staged_max(&self) -> usize {
        (PIECE_BYTES * 8 / self.list.len().max(1)).clamp(1 << 10, PIECE_BYTES)
    }

    /// Returns what a [`NoteWriter`] takes of memory.
    pub(crate) fn writer_bytes(&self) -> usize {
        self.staged_max() * self.list.len() + (256 << 10)
    }

    /// Starts to write notes.
    ///
    /// # Errors
    ///
    /// The directory cannot be used.
    pub(crate) fn writer(&self, arena: &Arena) -> Result<NoteWriter> {
        Ok(NoteWriter {
            first: self.first,
            rich: self.rich,
            starts: self.list.iter().map(|part| part.start as u64).collect(),
            staged: vec![Vec::new(); self.list.len()],
            staged_max: self.staged_max(),
            pieces: vec![Vec::new(); self.list.len()],
            writer: arena.writer()?,
        })
    }

    /// Takes over what a writer has written.
    pub(crate) fn add(&mut self, pieces: Vec<Vec<Location>>) {
        for (part, pieces) in self.list.iter_mut().zip(pieces) {
            part.pieces.extend(pieces);
        }
    }
}

/// Writes notes; every thread has one.
#[derive(Debug)]
pub(crate) struct NoteWriter {
    first: u64,
    rich: bool,
    starts: Vec<u64>,
    staged: Vec<Vec<u8>>,
    staged_max: usize,
    pieces: Vec<Vec<Location>>,
    writer: ArenaWriter,
}

impl NoteWriter {
    /// Notes that a record is a repeat.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails.
    pub(crate) fn repeat(&mut self, place: Place) -> Result<()> {
        self.push(place, 0)
    }

    /// Notes how often a record is there.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails.
    pub(crate) fn count(&mut self, place: Place, count: u64) -> Result<()> {
        self.push(place, count)
    }

    fn push(&mut self, place: Place, count: u64) -> Result<()> {
        let chunk = place.chunk().saturating_sub(self.first);
        let after = self.starts.partition_point(|&start| start <= chunk);
        let part = after.saturating_sub(1);
        let Some(staged) = self.staged.get_mut(part) else {
            return Ok(());
        };
        staged.extend_from_slice(&place.word().to_le_bytes());
        if self.rich {
            staged.extend_from_slice(&count.to_le_bytes());
        }
        if staged.len() >= self.staged_max {
            self.pieces[part].push(self.writer.push(&*staged)?);
            staged.clear();
        }
        Ok(())
    }

    /// Ends the writing; returns the pieces for [`Parts::add`].
    ///
    /// # Errors
    ///
    /// The disk is full, or fails.
    pub(crate) fn finish(mut self) -> Result<Vec<Vec<Location>>> {
        for (staged, pieces) in self.staged.iter().zip(&mut self.pieces) {
            if !staged.is_empty() {
                pieces.push(self.writer.push(staged)?);
            }
        }
        self.writer.finish().map_err(outcore::Error::from)?;
        Ok(self.pieces)
    }
}

/// The notes on a part, in memory.
#[derive(Debug)]
pub(crate) struct Notes {
    first: u64,
    start: usize,
    /// For each chunk of the part, the records before it.
    bases: Vec<u64>,
    repeats: Vec<AtomicU64>,
    /// In the order of the input; 0 for repeats.
    counts: Option<Vec<(Place, u64)>>,
}

impl Notes {
    /// Reads the notes on a part.
    ///
    /// # Errors
    ///
    /// The disk fails.
    pub(crate) fn read(
        parts: &Parts,
        part: &Part,
        chunks: &[Deferred],
        arena: &Arena,
        job: &Job<'_>,
    ) -> Result<Self> {
        let mut bases = Vec::with_capacity(chunks.len());
        let mut sum = 0;
        for chunk in chunks {
            bases.push(sum);
            sum += u64::from(chunk.records);
        }
        let mut notes = Self {
            first: parts.first,
            start: part.start,
            bases,
            repeats: Vec::new(),
            counts: None,
        };
        if parts.rich {
            let bytes: usize = part.pieces.iter().map(|piece| piece.len() as usize).sum();
            let mut counts = Vec::with_capacity(bytes / 16);
            read_words(arena, &part.pieces, |[place, count]: [u64; 2]| {
                counts.push((Place::from_word(place), count));
                Ok(())
            })?;
            counts.sort_unstable();
            notes.counts = Some(counts);
            return Ok(notes);
        }
        let words = usize::try_from(part.records.div_ceil(64)).unwrap_or(usize::MAX);
        notes.repeats.resize_with(words, AtomicU64::default);
        let next = AtomicUsize::new(0);
        threads::run(job.threads, || {
            while let Some(piece) = part.pieces.get(next.fetch_add(1, Relaxed)) {
                read_words(arena, std::slice::from_ref(piece), |[place]: [u64; 1]| {
                    notes.mark(Place::from_word(place));
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        Ok(notes)
    }

    fn mark(&self, place: Place) {
        let (word, bit) = self.bit(place);
        if let Some(word) = self.repeats.get(word) {
            word.fetch_or(1 << bit, Relaxed);
        }
    }

    fn bit(&self, place: Place) -> (usize, u64) {
        let chunk = usize::try_from(place.chunk().saturating_sub(self.first));
        let chunk = chunk.unwrap_or(usize::MAX).saturating_sub(self.start);
        let base = self.bases.get(chunk).copied().unwrap_or(u64::MAX / 2);
        let at = base + place.index() as u64;
        (usize::try_from(at / 64).unwrap_or(usize::MAX), at % 64)
    }

    /// Returns how often a record is there; 0 says that it is a repeat.
    pub(crate) fn count_of(&self, place: Place) -> u64 {
        let Some(counts) = &self.counts else {
            let (word, bit) = self.bit(place);
            let word = self.repeats.get(word).map_or(0, |word| word.load(Relaxed));
            return u64::from(word >> bit & 1 == 0);
        };
        match counts.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(at) => counts[at].1,
            Err(_) => 1,
        }
    }
}
