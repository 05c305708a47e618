//! Chunks whose fate is decided later: where their text is, and what is known already.

use outcore::{Arena, ArenaWriter, Location};

use crate::failure::{Failure, Result};
use crate::input::reader::{At, Long, Reader};
use crate::record::chunk::{Chunk, Origin};
use crate::record::fate::Fate;
use crate::record::key::Key;
use crate::record::source::{fill_with_files, fill_with_paths};

/// Bytes of a location.
const LOCATION_BYTES: usize = 12;

/// A chunk, in a few words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deferred {
    text: Text,
    /// Bytes of the text as it is found again.
    text_len: u32,
    /// Whether a separator is added to it.
    added: bool,
    pub(crate) records: u32,
    /// Two bits for each record.
    fates: Location,
    sum: u64,
    long: Option<DeferredLong>,
}

#[derive(Clone, Copy, Debug)]
enum Text {
    File { input: usize, start: u64 },
    Files { first: usize, count: usize },
    Scratch(Location),
    Paths { first: usize, count: usize },
}

#[derive(Clone, Copy, Debug)]
struct DeferredLong {
    at: DeferredAt,
    len: u64,
    separated: bool,
    sum: u64,
}

#[derive(Clone, Copy, Debug)]
enum DeferredAt {
    File {
        input: usize,
        start: u64,
    },
    /// The arena has the pieces, and a list of them here.
    Scratch(Location),
}

impl Deferred {
    /// Returns how many bytes are read to see it again.
    pub(crate) fn len_bytes(&self) -> u64 {
        u64::from(self.text_len) + self.long.map_or(0, |long| long.len)
    }
}

/// Writes down what is needed to see a chunk again.
pub(crate) struct Deferrer {
    writer: ArenaWriter,
    packed: Vec<u8>,
}

impl Deferrer {
    /// Makes one that keeps things in `arena`.
    ///
    /// # Errors
    ///
    /// The directory cannot be used.
    pub(crate) fn new(arena: &Arena) -> Result<Self> {
        Ok(Self {
            writer: arena.writer()?,
            packed: Vec::new(),
        })
    }

    /// Writes down a chunk.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails; or the long record cannot be read.
    pub(crate) fn defer(&mut self, chunk: &Chunk, reader: &mut Reader<'_>) -> Result<Deferred> {
        self.packed.clear();
        for four in chunk.fates.chunks(4) {
            let bits = four.iter().rev();
            self.packed
                .push(bits.fold(0, |byte, &fate| byte << 2 | fate as u8));
        }
        let fates = self.writer.push(&self.packed)?;
        let mut text_len = chunk.text.len();
        let text = match chunk.origin {
            Origin::File { input, start } => {
                text_len -= usize::from(chunk.added);
                Text::File { input, start }
            }
            Origin::Files { first, count } => Text::Files { first, count },
            Origin::Stream { .. } => Text::Scratch(self.writer.push(chunk.text())?),
            Origin::Paths { first, count } => Text::Paths { first, count },
        };
        let long = match &chunk.long {
            Some(long) => Some(self.defer_long(long, reader)?),
            None => None,
        };
        Ok(Deferred {
            text,
            text_len: u32::try_from(text_len).unwrap_or(u32::MAX),
            added: chunk.added,
            records: u32::try_from(chunk.fates.len()).unwrap_or(u32::MAX),
            fates,
            sum: chunk.sum(),
            long,
        })
    }

    fn defer_long(&mut self, long: &Long, reader: &mut Reader<'_>) -> Result<DeferredLong> {
        let at = match &long.at {
            At::File { input, start } => DeferredAt::File {
                input: *input,
                start: *start,
            },
            At::Scratch { pieces, .. } => {
                let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_bytes()).collect();
                DeferredAt::Scratch(self.writer.push(bytes)?)
            }
        };
        Ok(DeferredLong {
            at,
            len: long.len,
            separated: long.separated,
            sum: reader.sum(long)?,
        })
    }

    /// Ends the writing.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails.
    pub(crate) fn finish(self) -> Result<()> {
        Ok(self.writer.finish().map_err(outcore::Error::from)?)
    }
}

/// Where deferred chunks are found again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) arena: &'a Arena,
    /// Where long records of streams are.
    pub(crate) spool: Option<&'a Arena>,
    pub(crate) separator: u8,
}

impl Kept<'_> {
    /// Fills a chunk as it was when it was deferred, but for the keys.
    ///
    /// # Errors
    ///
    /// The input cannot be read, or has changed.
    pub(crate) fn restore(
        &self,
        deferred: &Deferred,
        chunk: &mut Chunk,
        reader: &mut Reader<'_>,
    ) -> Result<()> {
        chunk.clear();
        let len = usize::try_from(deferred.text_len).unwrap_or(usize::MAX);
        let mut input = None;
        match deferred.text {
            Text::File { input: from, start } => {
                chunk.origin = Origin::File { input: from, start };
                reader.read(from, &mut chunk.buffer[..len], start)?;
                chunk.text = 0..len;
                if deferred.added {
                    chunk.push_separator(self.separator);
                }
                input = Some(from);
            }
            Text::Files { first, count } => {
                fill_with_files(chunk, reader, first, count, self.separator)?;
                input = Some(first);
            }
            Text::Scratch(location) => {
                let capacity = chunk.buffer.len();
                chunk.buffer.clear();
                self.arena.get_into(location, &mut chunk.buffer)?;
                chunk.text = 0..chunk.buffer.len();
                chunk.buffer.resize(capacity, 0);
            }
            Text::Paths { first, count } => {
                fill_with_paths(chunk, reader.inputs(), first, count, self.separator);
            }
        }
        chunk.read_bytes = chunk.text.len() as u64;
        if chunk.sum() != deferred.sum {
            return Err(match (input, deferred.text) {
                (_, Text::Files { first, count }) => reader.inputs().some_changed(first, count),
                (Some(input), _) => reader.inputs().changed(input),
                (None, _) => Failure::new("a scratch file has changed"),
            });
        }
        if let Some(long) = &deferred.long {
            let (long, sum) = (self.restore_long(long)?, long.sum);
            if let At::File { input: from, .. } = long.at {
                input = Some(from);
            }
            if reader.sum(&long)? != sum {
                return Err(reader.inputs().changed(input.unwrap_or(0)));
            }
            chunk.read_bytes += long.len;
            chunk.long = Some(long);
        }
        if !matches!(chunk.origin, Origin::Paths { .. }) {
            chunk.split(self.separator);
        }
        chunk.push_long(false, |_long| Ok(Ok(Key { high: 0, low: 0 })))?;
        self.restore_fates(deferred, chunk)
    }

    fn restore_fates(&self, deferred: &Deferred, chunk: &mut Chunk) -> Result<()> {
        let packed = self.arena.get(deferred.fates)?;
        let mut fates = packed.iter().flat_map(|byte| {
            [0, 2, 4, 6].map(|shift| match byte >> shift & 3 {
                0 => Fate::Drop,
                1 => Fate::Keep,
                2 => Fate::Pending,
                _ => Fate::Bad,
            })
        });
        for fate in &mut chunk.fates {
            *fate = fates.next().unwrap_or(Fate::Drop);
        }
        Ok(())
    }

    fn restore_long(&self, long: &DeferredLong) -> Result<Long> {
        let at = match long.at {
            DeferredAt::File { input, start } => At::File { input, start },
            DeferredAt::Scratch(list) => {
                let list = self.arena.get(list)?;
                let pieces = list.chunks_exact(LOCATION_BYTES).map(|bytes| {
                    let mut location = [0; LOCATION_BYTES];
                    location.copy_from_slice(bytes);
                    Location::from_bytes(location)
                });
                At::Scratch {
                    arena: self.spool.unwrap_or(self.arena).clone(),
                    pieces: pieces.collect(),
                }
            }
        };
        Ok(Long {
            at,
            len: long.len,
            separated: long.separated,
        })
    }
}
