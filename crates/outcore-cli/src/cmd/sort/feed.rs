//! The first half of the work: every thread reads chunks of the input and gives their records to a
//! writer of the sorter.

use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use outcore::external::{Sorter, SorterWriter};

use crate::cmd::sort::args::SortArgs;
use crate::cmd::sort::long::Longs;
use crate::cmd::sort::plan::Plan;
use crate::cmd::sort::recipe::{Made, Recipe};
use crate::cmd::sort::shape::Shape;
use crate::failure::{Failure, Result};
use crate::front::work;
use crate::front::work::{Read, Reading};
use crate::input::list::Inputs;
use crate::input::reader::{Long, Reader};
use crate::record::blocks::Block;
use crate::record::chunk::Chunk;
use crate::record::csv_source::CsvSource;
use crate::record::key::Bad;
use crate::record::source::{Source, buffer_len};
use crate::scratch::Scratch;
use crate::size::format_bytes;
use crate::threads;

/// Bits of a place that number records within their chunk.
const INDEX_BITS: u32 = 24;

/// Bytes that the sorter adds to a record.
const HEAD_BYTES: usize = 8;

/// What threads share while they read.
pub(crate) struct Feed<'a> {
    plan: &'a Plan,
    shape: &'a Shape,
    recipe: &'a Recipe,
    inputs: &'a Inputs,
    longs: &'a Longs<'a>,
    bar: &'a ProgressBar,
    skip_bad: bool,
    /// Whether chunks are so small that a test has asked for it.
    record_max: Option<u64>,
    reading: Reading,
    /// Held while a long record is in memory.
    whole: Mutex<()>,
}

/// What a thread has.
struct Hand {
    writer: SorterWriter,
    made: Made,
    record_max: usize,
    records: u64,
    skipped: u64,
}

impl<'a> Feed<'a> {
    pub(crate) fn new(
        args: &SortArgs,
        plan: &'a Plan,
        shape: &'a Shape,
        recipe: &'a Recipe,
        inputs: &'a Inputs,
        longs: &'a Longs<'a>,
        bar: &'a ProgressBar,
    ) -> Self {
        Self {
            plan,
            shape,
            recipe,
            inputs,
            longs,
            bar,
            skip_bad: args.skip_bad,
            record_max: args.test_record,
            reading: Reading::default(),
            whole: Mutex::new(()),
        }
    }

    /// Reads everything.
    ///
    /// # Errors
    ///
    /// Whatever ends the run early.
    pub(crate) fn run(
        self,
        sorter: &Sorter,
        csv: Option<&CsvSource<'_>>,
        scratch: &Scratch,
    ) -> Result<Read> {
        let source = Source::new(
            self.inputs,
            scratch,
            self.plan.ending(),
            self.shape.cell_len,
        )
        .counting_lines(self.recipe.has_keys());
        threads::run_or_stop(
            self.shape.threads,
            || self.reading.stop.set(),
            || self.work(sorter, csv, &source),
        )?;
        Ok(self.reading.done())
    }

    fn work(
        &self,
        sorter: &Sorter,
        csv: Option<&CsvSource<'_>>,
        source: &Source<'a>,
    ) -> Result<()> {
        let record_max = self
            .record_max
            .map(|max| usize::try_from(max).unwrap_or(usize::MAX));
        // The line is part of the key.
        let key_max = sorter.key_bytes_max().saturating_add(HEAD_BYTES);
        let mut sorter_max = sorter.record_bytes_max().min(key_max);
        if self.recipe.is_unique {
            // All writers may join records at the same time, which takes some times their length.
            sorter_max /= 4 * self.shape.threads;
        }
        let record_max = record_max.unwrap_or(usize::MAX).min(sorter_max);
        let mut hand = Hand {
            writer: sorter.writer()?,
            made: Made::default(),
            record_max: record_max.saturating_sub(HEAD_BYTES),
            records: 0,
            skipped: 0,
        };
        match csv {
            Some(csv) => self.work_on_csv(csv, &mut hand)?,
            None => self.work_on_lines(source, &mut hand)?,
        }
        self.reading.count_records(hand.records, hand.skipped);
        Ok(hand.writer.finish()?)
    }

    fn work_on_lines(&self, source: &Source<'a>, hand: &mut Hand) -> Result<()> {
        let mut chunk = Chunk::new(buffer_len(self.shape.cell_len));
        let mut reader = Reader::new(self.inputs, self.shape.cell_len);
        let separator = self.plan.ending();
        while !self.reading.stop.is_set() && source.next(&mut chunk, &mut reader)? {
            let place = chunk.number << INDEX_BITS;
            let text = chunk.text();
            let mut start = 0;
            let mut index = 0;
            let mut bad = None;
            let ends = memchr::memchr_iter(separator, text);
            // The last line may lack its end.
            let rest = (!text.is_empty() && text.last() != Some(&separator)).then_some(text.len());
            for end in ends.chain(rest) {
                if let Some(reason) = self.push(&text[start..end], place + index, hand)? {
                    bad = Some((start, index, reason));
                    break;
                }
                start = end + 1;
                index += 1;
            }
            if let Some((before, index, reason)) = bad {
                let index = usize::try_from(index).unwrap_or(0);
                let place = chunk.place_of(before, index, &mut reader, separator)?;
                return Err(work::no_key(self.inputs, place, &reason));
            }
            if let Some(long) = chunk.long.take() {
                if let Some(reason) = self.push_long(long, place + index, &mut reader, hand)? {
                    let place = chunk.place_of(
                        chunk.text().len(),
                        usize::try_from(index).unwrap_or(0),
                        &mut reader,
                        separator,
                    )?;
                    return Err(work::no_key(self.inputs, place, &reason));
                }
            }
            self.reading.count_bytes(chunk.read_bytes, self.bar);
        }
        Ok(())
    }

    fn work_on_csv(&self, csv: &CsvSource<'_>, hand: &mut Hand) -> Result<()> {
        let mut block = Block::default();
        while !self.reading.stop.is_set() {
            let Some(number) = csv.next(&mut block)? else {
                break;
            };
            let place = number << INDEX_BITS;
            for (index, record) in (0..).zip(block.records()) {
                if let Some(reason) = self.push(record, place + index, hand)? {
                    let index = usize::try_from(index).unwrap_or(0);
                    return Err(work::no_key(self.inputs, block.place_of(index), &reason));
                }
            }
            self.reading.count_bytes(block.read_bytes, self.bar);
        }
        Ok(())
    }

    /// Adds a record; returns why it has no key, if that is a mistake.
    #[inline]
    fn push(&self, record: &[u8], place: u64, hand: &mut Hand) -> Result<Option<Bad>> {
        let compared = self.plan.compared(record);
        match self.recipe.make(record, compared, place, &mut hand.made) {
            Ok((key, value)) if key.len() + value.len() <= hand.record_max => {
                hand.writer.push(key, value)?;
            }
            Ok(_) => self.set_aside(record, compared, place, &mut hand.made)?,
            Err(_) if self.skip_bad => {
                hand.skipped += 1;
                return Ok(None);
            }
            Err(reason) => return Ok(Some(reason)),
        }
        hand.records += 1;
        Ok(None)
    }

    /// Keeps a record for later that is in memory and too long for the sorter.
    #[cold]
    fn set_aside(&self, record: &[u8], compared: &[u8], place: u64, made: &mut Made) -> Result<()> {
        let stored = self.longs.store(record)?;
        let key = if self.recipe.has_keys() {
            let mut key = Vec::new();
            if self.recipe.push_key(compared, &mut key, made).is_err() {
                return Err(Failure::new("a record has lost its key"));
            }
            Some(self.longs.store(&key)?)
        } else {
            None
        };
        self.longs.add(stored, key, place)
    }

    /// Adds a record that is read in pieces.
    fn push_long(
        &self,
        long: Long,
        place: u64,
        reader: &mut Reader<'_>,
        hand: &mut Hand,
    ) -> Result<Option<Bad>> {
        if !self.recipe.has_keys() {
            hand.records += 1;
            self.longs.add(long, None, place)?;
            return Ok(None);
        }
        let _whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let len = usize::try_from(long.len).unwrap_or(usize::MAX);
        if len > self.shape.whole_max {
            return Ok(Some(Bad::unknown(format!(
                "has {}; with keys, a line may have {} here; give more --memory",
                format_bytes(long.len),
                format_bytes(self.shape.whole_max as u64)
            ))));
        }
        let mut record = Vec::with_capacity(len);
        reader.pieces(&long, |piece| {
            record.extend_from_slice(piece);
            Ok(())
        })?;
        let mut key = Vec::new();
        let made = self
            .recipe
            .push_key(self.plan.compared(&record), &mut key, &mut hand.made);
        match made {
            Ok(()) => {
                hand.records += 1;
                let key = self.longs.store(&key)?;
                self.longs.add(long, Some(key), place)?;
                Ok(None)
            }
            Err(_) if self.skip_bad => {
                hand.skipped += 1;
                Ok(None)
            }
            Err(reason) => Ok(Some(reason)),
        }
    }
}
