//! Hands out the input in chunks, to many threads.
//!
//! A regular file is cut by a grid: a record belongs to the cell that it starts in, so
//! every thread finds the ends of its cell by itself. What comes from begin to end is
//! read by one thread at a time.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use outcore::{Arena, ArenaWriter, InputFile, Location};

use crate::failure::{Failure, Result};
use crate::input::list::{Inputs, Kind, Stream};
use crate::input::reader::{At, Long, Reader};
use crate::record::chunk::{Chunk, Origin};
use crate::scratch::Scratch;

/// Bytes read behind a cell in the hope of finding the end of its last record.
const TAIL_FIRST: usize = 4 << 10;
const TAIL_STEP: usize = 64 << 10;

/// Files whose paths make up a chunk: some, or fewer if they are long.
const CHUNK_PATHS_MAX: usize = 256;
const CHUNK_PATHS_BYTES: u64 = 1 << 20;

/// Small files that make up a chunk: a chunk for each would be mostly waiting for turns.
const CHUNK_FILES_MAX: usize = 1024;

/// The input, and how far it is handed out.
pub(crate) struct Source<'a> {
    inputs: &'a Inputs,
    scratch: &'a Scratch,
    /// Where long records of streams go.
    spool: OnceLock<Arena>,
    separator: u8,
    /// Whether records are files.
    files: bool,
    /// Whether lines of streams are counted.
    count_lines: bool,
    cell_len: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    number: u64,
    input: usize,
    offset: u64,
    file: Option<Arc<InputFile>>,
    stream: Option<Reading>,
}

/// A stream at hand.
struct Reading {
    stream: Stream,
    /// The begin of a record.
    carry: Vec<u8>,
    line: u64,
    spool: Option<ArenaWriter>,
}

/// Returns the length of the buffer that chunks of cells of this length need.
pub(crate) fn buffer_len(cell_len: usize) -> usize {
    // The byte before, and a separator that is added.
    2 * cell_len + 2
}

impl<'a> Source<'a> {
    pub(crate) fn new(
        inputs: &'a Inputs,
        scratch: &'a Scratch,
        separator: u8,
        cell_len: usize,
    ) -> Self {
        Self {
            inputs,
            scratch,
            spool: OnceLock::new(),
            separator,
            files: false,
            count_lines: false,
            cell_len,
            state: Mutex::default(),
        }
    }

    /// Makes whole files the records, which are written as their paths.
    pub(crate) fn of_files(mut self, yes: bool) -> Self {
        self.files = yes;
        self
    }

    /// Counts the lines of streams.
    pub(crate) fn counting_lines(mut self, yes: bool) -> Self {
        self.count_lines = yes;
        self
    }

    /// Fills `chunk` with the next records, not split yet. Returns whether there were
    /// any more chunks; a chunk may have no records.
    ///
    /// # Errors
    ///
    /// An input cannot be read.
    pub(crate) fn next(&self, chunk: &mut Chunk, reader: &mut Reader<'a>) -> Result<bool> {
        chunk.clear();
        let mut locked = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *locked;
        loop {
            if state.input >= self.inputs.count() {
                return Ok(false);
            }
            chunk.number = state.number;
            if self.files {
                self.take_paths(state, chunk);
                return Ok(true);
            }
            if let Kind::File(facts) = self.inputs.kind(state.input) {
                let input = state.input;
                let count = self.small_files(state);
                if count > 1 {
                    state.input += count;
                    state.number += 1;
                    drop(locked);
                    fill_with_files(chunk, reader, input, count, self.separator)?;
                    return Ok(true);
                }
                let file = match &state.file {
                    Some(file) => Arc::clone(file),
                    None => self.inputs.open_file(input)?,
                };
                reader.remember(input, &file);
                let start = state.offset;
                let end = facts.len().min(start + self.cell_len as u64);
                if end == facts.len() {
                    (state.input, state.offset, state.file) = (input + 1, 0, None);
                } else {
                    (state.offset, state.file) = (end, Some(file));
                }
                state.number += 1;
                drop(locked);
                self.read_cell(chunk, reader, input, start..end, facts.len())?;
                return Ok(true);
            }
            let reading = match state.stream.take() {
                Some(reading) => reading,
                None => Reading {
                    stream: self.inputs.open_stream(state.input)?,
                    carry: Vec::new(),
                    line: 1,
                    spool: None,
                },
            };
            state.stream = self.read_stream(chunk, reading, state.input)?;
            if state.stream.is_none() {
                state.input += 1;
            }
            if chunk.read_bytes > 0 || !chunk.text.is_empty() {
                state.number += 1;
                return Ok(true);
            }
        }
    }

    /// Returns how many of the next files make up a chunk together.
    fn small_files(&self, state: &State) -> usize {
        let mut count = 0;
        let mut bytes = 0;
        while state.offset == 0 && count < CHUNK_FILES_MAX {
            let Kind::File(facts) = self.inputs.kind(state.input + count) else {
                break;
            };
            // With a separator that may be missing.
            bytes += facts.len() + 1;
            if bytes > self.cell_len as u64 {
                break;
            }
            count += 1;
        }
        count
    }

    /// Returns whether a separator is added to an input that ends without one.
    fn is_followed(&self, input: usize) -> bool {
        input + 1 < self.inputs.count()
    }

    fn take_paths(&self, state: &mut State, chunk: &mut Chunk) {
        let first = state.input;
        let mut bytes = 0;
        let mut count = 0;
        while first + count < self.inputs.count()
            && count < CHUNK_PATHS_MAX
            && bytes < CHUNK_PATHS_BYTES
        {
            if let Kind::File(facts) = self.inputs.kind(first + count) {
                bytes += facts.len();
            }
            count += 1;
        }
        fill_with_paths(chunk, self.inputs, first, count, self.separator);
        chunk.read_bytes = bytes;
        state.input += count;
        state.number += 1;
    }

    /// Reads the records that start in a cell of a file.
    fn read_cell(
        &self,
        chunk: &mut Chunk,
        reader: &mut Reader<'a>,
        input: usize,
        cell: std::ops::Range<u64>,
        file_len: u64,
    ) -> Result<()> {
        chunk.read_bytes = cell.end - cell.start;
        // A record starts here if the byte before is a separator.
        let from = cell.start.saturating_sub(1);
        let until = |end: u64| usize::try_from(end - from).unwrap_or(usize::MAX);
        let cell_end = until(cell.end);
        let file_end = until(file_len);
        let buffer_end = chunk.buffer.len() - 1;
        let mut end = file_end.min(cell_end + TAIL_FIRST).min(buffer_end);
        reader.read(input, &mut chunk.buffer[..end], from)?;
        let mut start = 0;
        if cell.start > 0 {
            // The last byte of the cell may be a separator, but what follows is not ours.
            let found = memchr::memchr(self.separator, &chunk.buffer[..cell_end - 1]);
            let Some(before) = found else {
                return Ok(());
            };
            start = before + 1;
        }
        chunk.origin = Origin::File {
            input,
            start: from + start as u64,
        };
        let mut searched = cell_end - 1;
        loop {
            let found = memchr::memchr(self.separator, &chunk.buffer[searched..end]);
            if let Some(at) = found {
                chunk.text = start..searched + at + 1;
                return Ok(());
            }
            if end == file_end {
                chunk.text = start..end;
                if self.is_followed(input) {
                    chunk.push_separator(self.separator);
                }
                return Ok(());
            }
            if end == buffer_end {
                break;
            }
            searched = end;
            end = file_end.min(end + TAIL_STEP).min(buffer_end);
            reader.read(
                input,
                &mut chunk.buffer[searched..end],
                from + searched as u64,
            )?;
        }
        // The last record is a long one.
        let last = memchr::memrchr(self.separator, &chunk.buffer[start..cell_end - 1]);
        let last = last.map_or(start, |at| start + at + 1);
        chunk.text = start..last;
        let long_start = from + last as u64;
        let (len, ended) = reader.find(input, self.separator, long_start, file_len)?;
        chunk.long = Some(Long {
            at: At::File {
                input,
                start: long_start,
            },
            len,
            separated: ended || self.is_followed(input),
        });
        Ok(())
    }

    /// Reads until some records are complete; returns the stream unless it has ended.
    fn read_stream(
        &self,
        chunk: &mut Chunk,
        mut reading: Reading,
        input: usize,
    ) -> Result<Option<Reading>> {
        let line = reading.line;
        chunk.origin = Origin::Stream { input, line };
        let mut end = reading.carry.len();
        chunk.buffer[..end].copy_from_slice(&reading.carry);
        reading.carry.clear();
        // What followed a long record may hold whole records.
        if let Some(at) = memchr::memrchr(self.separator, &chunk.buffer[..end]) {
            chunk.text = 0..at + 1;
            reading.carry.extend_from_slice(&chunk.buffer[at + 1..end]);
            self.count_lines(chunk, &mut reading);
            return Ok(Some(reading));
        }
        let mut pieces = Vec::new();
        let mut long_len = 0;
        loop {
            if end >= chunk.buffer.len() - 1 {
                // No separator in all of it: a long record.
                self.spool(&mut reading, &chunk.buffer[..end], &mut pieces)?;
                long_len += end as u64;
                end = 0;
            }
            let limit = if end < self.cell_len {
                self.cell_len
            } else {
                chunk.buffer.len() - 1
            };
            let len = match reading.stream.read(&mut chunk.buffer[end..limit]) {
                Ok(len) => len,
                Err(answer) if answer.kind() == io::ErrorKind::Interrupted => continue,
                Err(answer) => return Err(Failure::read(&self.inputs.name(input), &answer)),
            };
            if len > 0 && self.inputs.kind(input) == Kind::Empty {
                return Err(self.inputs.changed(input));
            }
            chunk.read_bytes += len as u64;
            let fresh = end..end + len;
            end = fresh.end;
            let is_long = !pieces.is_empty();
            let found = if is_long {
                memchr::memchr(self.separator, &chunk.buffer[fresh.clone()])
            } else {
                memchr::memrchr(self.separator, &chunk.buffer[fresh.clone()])
            };
            if found.is_none() && len > 0 {
                continue;
            }
            let end_of = found.map(|at| fresh.start + at);
            let text_end = end_of.unwrap_or(end);
            let separated = end_of.is_some() || self.is_followed(input);
            if is_long {
                self.spool(&mut reading, &chunk.buffer[..text_end], &mut pieces)?;
                long_len += text_end as u64;
                chunk.long = Some(self.end_long(&mut reading, pieces, long_len, separated)?);
            } else {
                chunk.text = 0..text_end;
                if end_of.is_some() {
                    chunk.text.end += 1;
                } else if separated && text_end > 0 {
                    chunk.push_separator(self.separator);
                }
                self.count_lines(chunk, &mut reading);
            }
            if end_of.is_none() {
                return Ok(None);
            }
            let rest = text_end + 1;
            reading.carry.extend_from_slice(&chunk.buffer[rest..end]);
            return Ok(Some(reading));
        }
    }

    /// Describes a long record that has been spooled.
    fn end_long(
        &self,
        reading: &mut Reading,
        pieces: Vec<Location>,
        len: u64,
        separated: bool,
    ) -> Result<Long> {
        if let Some(spool) = &mut reading.spool {
            spool.flush()?;
        }
        reading.line += 1;
        let arena = self.spool_arena()?.clone();
        let at = At::Scratch { arena, pieces };
        Ok(Long { at, len, separated })
    }

    /// Returns the arena that long records of streams are in, if there were any.
    pub(crate) fn spooled(&self) -> Option<&Arena> {
        self.spool.get()
    }

    fn count_lines(&self, chunk: &Chunk, reading: &mut Reading) {
        if self.count_lines {
            let lines = memchr::memchr_iter(self.separator, chunk.text());
            reading.line += lines.count() as u64;
        }
    }

    fn spool_arena(&self) -> Result<&Arena> {
        if let Some(arena) = self.spool.get() {
            return Ok(arena);
        }
        let arena = self.scratch.arena()?;
        Ok(self.spool.get_or_init(|| arena))
    }

    fn spool(&self, reading: &mut Reading, bytes: &[u8], pieces: &mut Vec<Location>) -> Result<()> {
        if reading.spool.is_none() {
            reading.spool = Some(self.spool_arena()?.writer()?);
        }
        if let Some(spool) = &mut reading.spool {
            pieces.push(spool.push(bytes)?);
        }
        Ok(())
    }
}

/// Makes some files the text of a chunk.
///
/// # Errors
///
/// One cannot be read, or has changed.
pub(crate) fn fill_with_files(
    chunk: &mut Chunk,
    reader: &mut Reader<'_>,
    first: usize,
    count: usize,
    separator: u8,
) -> Result<()> {
    let inputs = reader.inputs();
    let mut end = 0;
    for input in first..first + count {
        let Kind::File(facts) = inputs.kind(input) else {
            continue;
        };
        let start = end;
        end += usize::try_from(facts.len()).unwrap_or(usize::MAX);
        reader.read(input, &mut chunk.buffer[start..end], 0)?;
        chunk.read_bytes += facts.len();
        let is_followed = input + 1 < inputs.count();
        if is_followed && chunk.buffer[start..end].last() != Some(&separator) {
            chunk.buffer[end] = separator;
            end += 1;
        }
        chunk.file_ends.push(end);
    }
    chunk.text = 0..end;
    chunk.origin = Origin::Files { first, count };
    Ok(())
}

/// Makes the paths of some inputs the text and the records of a chunk. The text is never split: a
/// path may hold the separator.
pub(crate) fn fill_with_paths(
    chunk: &mut Chunk,
    inputs: &Inputs,
    first: usize,
    count: usize,
    separator: u8,
) {
    let capacity = chunk.buffer.len();
    chunk.buffer.clear();
    for input in first..first + count {
        chunk.buffer.extend_from_slice(inputs.path_bytes(input));
        chunk.buffer.push(separator);
        chunk.push_record(chunk.buffer.len());
    }
    chunk.text = 0..chunk.buffer.len();
    let len = chunk.buffer.len().max(capacity);
    chunk.buffer.resize(len, 0);
    chunk.origin = Origin::Paths { first, count };
}
