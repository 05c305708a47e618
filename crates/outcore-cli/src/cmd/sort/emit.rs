//! The second half of the work: records in order go to the output. Where all are in memory, threads
//! merge and write part by part; otherwise one merges while another writes.

use indicatif::ProgressBar;
use outcore::external::{SortedPart, SortedParts, Sorter};

use crate::cmd::sort::long::{Longs, SortedLongs};
use crate::cmd::sort::recipe::Recipe;
use crate::cmd::sort::shape::Shape;
use crate::failure::Result;
use crate::output::sequence::Sequence;
use crate::output::writing;
use crate::output::writing::Filling;
use crate::threads;
use crate::threads::turn::{Stop, Turn};

/// Bytes after which the bar moves.
const STEP: usize = 1 << 20;

/// Where records go.
pub(crate) struct Emit<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) recipe: &'a Recipe,
    pub(crate) output: &'a Sequence,
    pub(crate) bar: &'a ProgressBar,
    /// Ends a record.
    pub(crate) end: u8,
}

/// Records of a part that are not written yet.
struct Pen<'a> {
    emit: &'a Emit<'a>,
    turn: &'a Turn,
    stop: &'a Stop,
    out: Vec<u8>,
    records: u64,
    /// Whether all parts before this one have their place in the output.
    has_turn: bool,
}

impl Emit<'_> {
    /// Writes a header, if there is one, and all records in order.
    ///
    /// # Errors
    ///
    /// Whatever ends the run early.
    pub(crate) fn all(
        &self,
        header: Option<&[u8]>,
        sorter: Sorter,
        longs: Longs<'_>,
    ) -> Result<()> {
        if let Some(header) = header.filter(|header| !header.is_empty()) {
            let header = [header, b"\n"].concat();
            let offset = self.output.reserve(header.len() as u64, 0);
            self.output.output().write_at(&header, offset)?;
        }
        let mut longs = longs.sorted()?;
        let divides = longs.is_empty() && self.shape.threads > 1;
        let part_len = if divides {
            self.shape.part_len
        } else {
            usize::MAX
        };
        let parts = sorter.sorted_parts(part_len)?;
        self.bar.set_message("writing");
        if parts.count() > 1 {
            return self.parts(&parts);
        }
        writing::fill(self.output, self.shape.out_len, |filling| {
            while let Some(mut part) = parts.next_part()? {
                self.fill(&mut part, &mut longs, filling)?;
            }
            longs.write_rest(self.end, filling)
        })
    }

    /// Writes a part, with the long records that come between its records.
    fn fill(
        &self,
        part: &mut SortedPart,
        longs: &mut SortedLongs<'_>,
        filling: &mut Filling<'_>,
    ) -> Result<()> {
        let mut spare = Vec::new();
        let mut bytes = 0;
        while let Some((key, value)) = part.next()? {
            if !longs.is_empty() && longs.write_before((key, value), self.end, filling)? {
                continue;
            }
            let record = self.recipe.record(key, value, &mut spare);
            filling.push_record(record, self.end)?;
            bytes += record.len() + 1;
            if bytes >= STEP {
                self.bar.inc(bytes as u64);
                bytes = 0;
            }
        }
        Ok(())
    }

    /// Writes all parts, several at a time.
    fn parts(&self, parts: &SortedParts) -> Result<()> {
        let (turn, stop) = (Turn::default(), Stop::default());
        let give_up = || {
            stop.set();
            turn.wake();
        };
        threads::run_or_stop(self.shape.threads, give_up, || {
            self.work(parts, &turn, &stop)
        })
    }

    fn work(&self, parts: &SortedParts, turn: &Turn, stop: &Stop) -> Result<()> {
        let mut pen = Pen {
            emit: self,
            turn,
            stop,
            out: Vec::with_capacity(self.shape.part_out_len()),
            records: 0,
            has_turn: false,
        };
        let mut spare = Vec::new();
        while !stop.is_set() {
            let Some(mut part) = parts.next_part()? else {
                break;
            };
            let number = part.number();
            while let Some((key, value)) = part.next()? {
                pen.push(self.recipe.record(key, value, &mut spare), number)?;
            }
            pen.end(number)?;
        }
        Ok(())
    }
}

impl Pen<'_> {
    /// Appends a record to a part.
    #[inline]
    fn push(&mut self, record: &[u8], part: u64) -> Result<()> {
        self.records += 1;
        if record.len() >= self.out.capacity() - self.out.len() && self.make_room(record, part)? {
            return Ok(());
        }
        self.out.extend_from_slice(record);
        self.out.push(self.emit.end);
        Ok(())
    }

    /// Writes what there is of a part that is longer than expected, in its turn; and the record too if
    /// the buffer has no room for it. Returns whether it did.
    #[cold]
    fn make_room(&mut self, record: &[u8], part: u64) -> Result<bool> {
        if !self.has_turn {
            self.turn.wait(part, self.stop)?;
            self.has_turn = true;
        }
        let offset = self.place();
        self.write(offset)?;
        if record.len() < self.out.capacity() {
            return Ok(false);
        }
        let output = self.emit.output;
        for bytes in [record, &[self.emit.end]] {
            let offset = output.reserve(bytes.len() as u64, 0);
            output.output().write_at(bytes, offset)?;
        }
        Ok(true)
    }

    /// Ends a part. The next one can have its place before this one is written, unless bytes have to
    /// be written in order.
    fn end(&mut self, part: u64) -> Result<()> {
        if !self.has_turn {
            self.turn.wait(part, self.stop)?;
        }
        self.has_turn = false;
        let offset = self.place();
        let is_ordered = self.emit.output.output().is_ordered();
        if !is_ordered {
            self.turn.pass();
        }
        self.write(offset)?;
        if is_ordered {
            self.turn.pass();
        }
        Ok(())
    }

    /// Returns where the output goes on.
    fn place(&mut self) -> u64 {
        let records = std::mem::take(&mut self.records);
        let len = self.out.len() as u64;
        self.emit.output.reserve(len, records)
    }

    fn write(&mut self, offset: u64) -> Result<()> {
        if !self.out.is_empty() {
            self.emit.output.output().write_at(&self.out, offset)?;
            self.emit.bar.inc(self.out.len() as u64);
        }
        self.out.clear();
        Ok(())
    }
}
