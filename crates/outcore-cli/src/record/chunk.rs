//! A chunk of the input: some records in a row, with their keys and what becomes of
//! them. Every thread has one, and fills it again and again.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use crate::failure::Result;
use crate::input::reader::{Long, Reader};
use crate::record::fate::Fate;
use crate::record::key::Key;
use crate::record::key::{Bad, Keyer};

/// Where the text of a chunk comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A regular file, from a byte on.
    File { input: usize, start: u64 },
    /// Some regular files in a row, which are all there.
    Files { first: usize, count: usize },
    /// Something that is read once, from a line on if lines are counted.
    Stream { input: usize, line: u64 },
    /// The paths of some files, which are the records themselves.
    Paths { first: usize, count: usize },
}

/// A record of the chunk at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) key: Key,
    /// Where it ends in the text, its separator included. It starts where the one before
    /// ends.
    pub(crate) end: u32,
}

/// Some records in a row.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// In the order of the input.
    pub(crate) number: u64,
    pub(crate) origin: Origin,
    /// Holds the text; longer than that.
    pub(crate) buffer: Vec<u8>,
    /// Where in the buffer the records are.
    pub(crate) text: Range<usize>,
    pub(crate) records: Vec<Record>,
    pub(crate) fates: Vec<Fate>,
    /// Where each file ends in the text, if there are several.
    pub(crate) file_ends: Vec<usize>,
    /// Whether the last byte of the text is a separator that the input lacks.
    pub(crate) added: bool,
    /// A record after those in the text that is too long for the buffer.
    pub(crate) long: Option<Long>,
    /// The first record without a key, if that is a mistake.
    pub(crate) bad: Option<(usize, Bad)>,
    /// Bytes of the input that were read for this chunk.
    pub(crate) read_bytes: u64,
    spare: Vec<u8>,
}

impl Chunk {
    pub(crate) fn new(buffer_len: usize) -> Self {
        Self {
            number: 0,
            origin: Origin::Stream { input: 0, line: 0 },
            buffer: vec![0; buffer_len],
            text: 0..0,
            records: Vec::new(),
            fates: Vec::new(),
            file_ends: Vec::new(),
            added: false,
            long: None,
            bad: None,
            read_bytes: 0,
            spare: Vec::new(),
        }
    }

    /// Forgets what is in it, and where it was.
    pub(crate) fn clear(&mut self) {
        self.origin = Origin::Stream { input: 0, line: 0 };
        self.text = 0..0;
        self.records.clear();
        self.fates.clear();
        self.file_ends.clear();
        self.added = false;
        self.long = None;
        self.bad = None;
        self.read_bytes = 0;
    }

    /// Returns the text.
    pub(crate) fn text(&self) -> &[u8] {
        &self.buffer[self.text.clone()]
    }

    /// Returns a sum by which a change of the text is found.
    pub(crate) fn sum(&self) -> u64 {
        xxh3_64(self.text())
    }

    /// Adds the separator that the last record lacks.
    pub(crate) fn push_separator(&mut self, separator: u8) {
        if self.buffer.len() == self.text.end {
            self.buffer.push(separator);
        } else {
            self.buffer[self.text.end] = separator;
        }
        self.text.end += 1;
        self.added = true;
    }

    /// Returns where the records are in the buffer, separators included.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let base = self.text.start;
        self.records.iter().scan(base, move |start, record| {
            let end = base + record.end as usize;
            Some(std::mem::replace(start, end)..end)
        })
    }

    /// Returns the input that has a record, and the number of its line there.
    ///
    /// # Errors
    ///
    /// The input cannot be read to count lines.
    pub(crate) fn place(
        &self,
        record: usize,
        reader: &mut Reader<'_>,
        separator: u8,
    ) -> Result<(usize, u64)> {
        let before = self.ranges().take(record).last();
        let before = before.map_or(0, |range| range.end);
        self.place_of(
            before.saturating_sub(self.text.start),
            record,
            reader,
            separator,
        )
    }

    /// Returns the same for a record that has `before` bytes and so many records before it.
    ///
    /// # Errors
    ///
    /// Those of [`place`](Self::place).
    pub(crate) fn place_of(
        &self,
        before: usize,
        records: usize,
        reader: &mut Reader<'_>,
        separator: u8,
    ) -> Result<(usize, u64)> {
        Ok(match self.origin {
            Origin::Files { first, .. } => {
                let file = self.file_ends.partition_point(|&end| end <= before);
                let start = file.checked_sub(1).map_or(0, |file| self.file_ends[file]);
                let lines = memchr::memchr_iter(separator, &self.text()[start..before]);
                (first + file, lines.count() as u64 + 1)
            }
            Origin::File { input, start } => {
                let lines = reader.count(input, separator, start + before as u64)?;
                (input, lines + 1)
            }
            Origin::Stream { input, line } => (input, line + records as u64),
            Origin::Paths { first, .. } => (first, 0),
        })
    }

    /// Makes all text after the last record a record without a key.
    pub(crate) fn push_record(&mut self, text_end: usize) {
        let key = Key { high: 0, low: 0 };
        let end = word(text_end);
        self.records.push(Record { key, end });
        self.fates.push(Fate::Pending);
    }

    /// Splits the text into records without keys.
    pub(crate) fn split(&mut self, separator: u8) {
        let key = Key { high: 0, low: 0 };
        self.split_with(separator, |_record| key);
    }

    /// Splits the text into records and gives each its key.
    ///
    /// Records without a key go nowhere if `skip_bad`; otherwise the first is a mistake.
    pub(crate) fn split_into_keys(&mut self, separator: u8, keyer: &Keyer, skip_bad: bool) {
        if keyer.is_plain() {
            self.split_with(separator, |record| keyer.plain(record));
            return;
        }
        let mut spare = std::mem::take(&mut self.spare);
        let mut bad = None;
        let mut skipped = Vec::new();
        let mut index = 0;
        self.split_with(separator, |record| {
            let key = keyer.key(record, &mut spare).unwrap_or_else(|reason| {
                if skip_bad {
                    skipped.push(index);
                } else {
                    bad.get_or_insert((index, reason));
                }
                Key { high: 0, low: 0 }
            });
            index += 1;
            key
        });
        self.spare = spare;
        self.bad = bad;
        for index in skipped {
            self.fates[index] = Fate::Bad;
        }
    }

    #[inline]
    fn split_with(&mut self, separator: u8, mut key: impl FnMut(&[u8]) -> Key) {
        let text = &self.buffer[self.text.clone()];
        let mut start = 0;
        for at in memchr::memchr_iter(separator, text) {
            let end = at + 1;
            self.records.push(Record {
                key: key(&text[start..at]),
                end: word(end),
            });
            start = end;
        }
        if start < text.len() {
            self.records.push(Record {
                key: key(&text[start..]),
                end: word(text.len()),
            });
        }
        self.fates.resize(self.records.len(), Fate::Pending);
    }

    /// Adds the long record to the others, as one without text. Without a key it goes nowhere if
    /// `skip_bad`; otherwise that is a mistake.
    ///
    /// # Errors
    ///
    /// Those of `key`.
    pub(crate) fn push_long(
        &mut self,
        skip_bad: bool,
        key: impl FnOnce(&Long) -> Result<Result<Key, Bad>>,
    ) -> Result<()> {
        let Some(long) = &self.long else {
            return Ok(());
        };
        let mut fate = Fate::Pending;
        let key = key(long)?.unwrap_or_else(|reason| {
            if skip_bad && reason.is_known {
                fate = Fate::Bad;
            } else {
                self.bad.get_or_insert((self.records.len(), reason));
            }
            Key { high: 0, low: 0 }
        });
        let end = word(self.text.len());
        self.records.push(Record { key, end });
        self.fates.push(fate);
        Ok(())
    }
}

/// A length in a chunk, which is far below 4 GiB.
fn word(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
