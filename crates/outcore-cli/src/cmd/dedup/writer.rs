//! The way out: what is kept of a chunk moves to its front, gets its place in the output
//! in turn, and is written while others are.

use std::ops::Range;

use crate::failure::Result;
use crate::input::reader::{Long, Reader};
use crate::output::Output;
use crate::output::sequence::Sequence;
use crate::record::chunk::Chunk;
use crate::record::fate::Fate;
use crate::threads::turn::{Stop, Turn};

/// Where everything goes.
#[derive(Debug)]
pub(crate) struct Outputs {
    pub(crate) kept: Sequence,
    pub(crate) duplicates: Option<Sequence>,
    /// Whether each record comes with its count.
    pub(crate) counts: bool,
}

/// What of a chunk goes to one output.
#[derive(Debug, Default)]
struct Part {
    /// Where the bytes are in the chunk's buffer; they are in `bytes` otherwise.
    front: Option<Range<usize>>,
    bytes: Vec<u8>,
    /// Whether the long record follows.
    long: bool,
    records: u64,
}

impl Part {
    fn clear(&mut self) {
        self.front = None;
        self.bytes.clear();
        self.long = false;
        self.records = 0;
    }

    fn bytes<'a>(&'a self, chunk: &'a Chunk) -> &'a [u8] {
        match &self.front {
            Some(range) => &chunk.buffer[range.clone()],
            None => &self.bytes,
        }
    }
}

/// One thread's way out.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    outputs: &'a Outputs,
    separator: u8,
    kept: Part,
    duplicates: Part,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(outputs: &'a Outputs, separator: u8) -> Self {
        Self {
            outputs,
            separator,
            kept: Part::default(),
            duplicates: Part::default(),
        }
    }

    /// Writes what is kept of a chunk, all of whose fates are known, and what is not.
    /// `count_of` tells how often a kept record is there.
    ///
    /// # Errors
    ///
    /// An output cannot be written, or another thread gave up.
    pub(crate) fn write(
        &mut self,
        chunk: &mut Chunk,
        reader: &mut Reader<'_>,
        (turn, number, stop): (&Turn, u64, &Stop),
        count_of: impl Fn(usize) -> u64,
    ) -> Result<()> {
        self.gather(chunk, count_of);
        let kept = (&self.outputs.kept, &self.kept);
        let duplicates = self.outputs.duplicates.as_ref();
        let parts = [Some(kept), duplicates.map(|to| (to, &self.duplicates))];
        turn.wait(number, stop)?;
        let mut later = [None, None];
        for (part, later) in parts.into_iter().zip(&mut later) {
            let Some((to, part)) = part else { continue };
            let long = chunk.long.as_ref().filter(|_| part.long);
            let bytes = part.bytes(chunk);
            let len = bytes.len() as u64 + long.map_or(0, Long::written_len);
            let offset = to.reserve(len, part.records);
            if len == 0 {
                continue;
            }
            if to.output().is_ordered() {
                write_part(to.output(), bytes, long, offset, reader, self.separator)?;
            } else {
                *later = Some((to, bytes, long, offset));
            }
        }
        turn.pass();
        for (to, bytes, long, offset) in later.into_iter().flatten() {
            write_part(to.output(), bytes, long, offset, reader, self.separator)?;
        }
        Ok(())
    }

    /// Moves what is kept to the front, and copies what is not.
    fn gather(&mut self, chunk: &mut Chunk, count_of: impl Fn(usize) -> u64) {
        self.kept.clear();
        self.duplicates.clear();
        let in_text = chunk.fates.len() - usize::from(chunk.long.is_some());
        if self.outputs.duplicates.is_some() {
            self.gather_duplicates(chunk, in_text);
        }
        let kept = &mut self.kept;
        let is_kept = |fate: &&Fate| **fate == Fate::Keep;
        kept.records = chunk.fates.iter().filter(is_kept).count() as u64;
        let long = chunk.fates.get(in_text);
        kept.long = long == Some(&Fate::Keep);
        if self.outputs.counts {
            for (index, range) in chunk.ranges().take(in_text).enumerate() {
                if chunk.fates[index] == Fate::Keep {
                    push_count(&mut kept.bytes, count_of(index));
                    kept.bytes.extend_from_slice(&chunk.buffer[range]);
                }
            }
            if kept.long {
                push_count(&mut kept.bytes, count_of(in_text));
            }
            return;
        }
        let start = chunk.text.start;
        let mut end = start;
        let mut run = start..start;
        let mut at = start;
        for (record, fate) in chunk.records.iter().zip(&chunk.fates).take(in_text) {
            let record_end = start + record.end as usize;
            if *fate == Fate::Keep {
                if at != run.end {
                    end = move_run(&mut chunk.buffer, &run, end);
                    run.start = at;
                }
                run.end = record_end;
            }
            at = record_end;
        }
        end = move_run(&mut chunk.buffer, &run, end);
        kept.front = Some(start..end);
    }

    fn gather_duplicates(&mut self, chunk: &Chunk, in_text: usize) {
        let part = &mut self.duplicates;
        for (fate, range) in chunk.fates.iter().zip(chunk.ranges()).take(in_text) {
            if *fate == Fate::Drop {
                part.bytes.extend_from_slice(&chunk.buffer[range]);
                part.records += 1;
            }
        }
        part.long = chunk.fates.get(in_text) == Some(&Fate::Drop);
        part.records += u64::from(part.long);
    }
}

/// Moves a run of kept records to where the ones before end; returns where it ends.
fn move_run(buffer: &mut [u8], run: &Range<usize>, to: usize) -> usize {
    if run.start != to {
        buffer.copy_within(run.clone(), to);
    }
    to + run.len()
}

/// Appends a count as `uniq -c` writes it.
fn push_count(bytes: &mut Vec<u8>, count: u64) {
    bytes.extend_from_slice(format!("{count:>7} ").as_bytes());
}

fn write_part(
    to: &Output,
    bytes: &[u8],
    long: Option<&Long>,
    mut offset: u64,
    reader: &mut Reader<'_>,
    separator: u8,
) -> Result<()> {
    if !bytes.is_empty() {
        to.write_at(bytes, offset)?;
        offset += bytes.len() as u64;
    }
    let Some(long) = long else { return Ok(()) };
    reader.pieces(long, |piece| {
        to.write_at(piece, offset)?;
        offset += piece.len() as u64;
        Ok(())
    })?;
    if long.separated {
        to.write_at(&[separator], offset)?;
    }
    Ok(())
}
