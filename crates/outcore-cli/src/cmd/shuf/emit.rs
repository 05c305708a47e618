//! The second pass: parts in their new order go to the output, which several threads write at a time
//! where it is a file.

use indicatif::ProgressBar;
use outcore::external::{Shuffled, ShuffledPart};

use crate::cmd::shuf::longs::Longs;
use crate::cmd::shuf::sample::Sample;
use crate::cmd::shuf::shape::Shape;
use crate::failure::Result;
use crate::input::list::Inputs;
use crate::input::reader::{Long, Reader};
use crate::output::sequence::Sequence;
use crate::threads;
use crate::threads::turn::{Stop, Turn};

/// Where lines go.
pub(crate) struct Emit<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) shape: &'a Shape,
    pub(crate) longs: &'a Longs<'a>,
    pub(crate) output: &'a Sequence,
    pub(crate) bar: &'a ProgressBar,
    pub(crate) separator: u8,
    pub(crate) wanted: Option<u64>,
}

/// What a thread has.
struct Pen<'a> {
    out: Vec<u8>,
    reader: Reader<'a>,
}

impl<'a> Emit<'a> {
    fn pen(&self) -> Pen<'a> {
        Pen {
            out: Vec::with_capacity(self.shape.out_len),
            reader: Reader::new(self.inputs, self.shape.cell_len),
        }
    }

    /// Writes all parts.
    ///
    /// # Errors
    ///
    /// Whatever ends the run early.
    pub(crate) fn parts(&self, parts: &Shuffled) -> Result<()> {
        let (turn, stop) = (Turn::default(), Stop::default());
        let give_up = || {
            stop.set();
            turn.wake();
        };
        threads::run_or_stop(self.shape.threads, give_up, || {
            self.work(parts, &turn, &stop)
        })
    }

    fn work(&self, parts: &Shuffled, turn: &Turn, stop: &Stop) -> Result<()> {
        let mut pen = self.pen();
        while let Some(part) = parts.next_part()? {
            let all = part.records().len();
            let len = if self.longs.is_empty() {
                part.bytes()
            } else {
                self.len_of(&part, all)
            };
            turn.wait(part.number(), stop)?;
            let left = self.wanted.unwrap_or(u64::MAX);
            let left = left.saturating_sub(self.output.records());
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(all);
            let len = if count < all {
                self.len_of(&part, count)
            } else {
                len
            };
            let offset = self.output.reserve(len, count as u64);
            let is_ordered = self.output.output().is_ordered();
            if !is_ordered {
                turn.pass();
            }
            self.write(part.records().take(count), offset, &mut pen)?;
            if is_ordered {
                turn.pass();
            }
            self.bar.inc(len);
        }
        Ok(())
    }

    /// Returns how long the first lines of a part are.
    fn len_of(&self, part: &ShuffledPart, count: usize) -> u64 {
        let lens = part
            .records()
            .take(count)
            .map(|record| self.written_len(record));
        lens.sum()
    }

    fn written_len(&self, record: &[u8]) -> u64 {
        let long = self.longs.of(record);
        long.map_or(record.len() as u64, |long| long.written_len())
    }

    /// Writes records one after the other, from a place of the output on.
    fn write<'r>(
        &self,
        records: impl Iterator<Item = &'r [u8]>,
        mut offset: u64,
        pen: &mut Pen<'_>,
    ) -> Result<()> {
        for record in records {
            let long = self.longs.of(record);
            if long.is_some() || pen.out.len() + record.len() > self.shape.out_len {
                offset = self.flush(offset, &mut pen.out)?;
            }
            match long {
                None => pen.out.extend_from_slice(record),
                Some(long) => offset = self.write_long(&long, offset, &mut pen.reader)?,
            }
        }
        self.flush(offset, &mut pen.out)?;
        Ok(())
    }

    fn flush(&self, offset: u64, out: &mut Vec<u8>) -> Result<u64> {
        if !out.is_empty() {
            self.output.output().write_at(out, offset)?;
        }
        let end = offset + out.len() as u64;
        out.clear();
        Ok(end)
    }

    fn write_long(&self, long: &Long, mut offset: u64, reader: &mut Reader<'_>) -> Result<u64> {
        let output = self.output.output();
        reader.pieces(long, |piece| {
            output.write_at(piece, offset)?;
            offset += piece.len() as u64;
            Ok(())
        })?;
        output.write_at(&[self.separator], offset)?;
        Ok(offset + 1)
    }

    /// Writes a sample that is in memory.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    pub(crate) fn samples(&self, samples: &[Sample]) -> Result<()> {
        let lines = samples.iter().flat_map(Sample::lines);
        let mut lines: Vec<_> = lines.map(|(_, chance, line)| (chance, line)).collect();
        lines.sort_unstable_by_key(|(chance, _)| *chance);
        let wanted = usize::try_from(self.wanted.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        lines.truncate(wanted);
        let len = lines.iter().map(|(_, line)| self.written_len(line)).sum();
        let offset = self.output.reserve(len, lines.len() as u64);
        let lines = lines.into_iter().map(|(_, line)| line);
        self.write(lines, offset, &mut self.pen())
    }
}
