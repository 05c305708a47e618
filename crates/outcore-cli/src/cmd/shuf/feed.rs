//! The first pass: lines get their numbers, in the order of the input, and go to the shuffler, or into
//! a sample as long as memory holds it.

use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use outcore::external::{ShuffleWriter, Shuffler};

use crate::cmd::shuf::longs::Longs;
use crate::cmd::shuf::sample::{Full, Sample};
use crate::cmd::shuf::shape::Shape;
use crate::failure::Result;
use crate::front::work::{Read, Reading};
use crate::input::list::Inputs;
use crate::input::reader::Reader;
use crate::record::blocks::Block;
use crate::record::chunk::Chunk;
use crate::record::csv_source::CsvSource;
use crate::record::source::{Source, buffer_len};
use crate::threads;
use crate::threads::turn::Turn;

/// What threads share while they read.
pub(crate) struct Feed<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) shape: &'a Shape,
    pub(crate) longs: &'a Longs<'a>,
    pub(crate) shuffler: &'a Shuffler,
    pub(crate) bar: &'a ProgressBar,
    pub(crate) separator: u8,
    /// Lines that are wanted, if not all are.
    pub(crate) wanted: Option<u64>,
    pub(crate) state: State,
}

/// How far it is.
#[derive(Default)]
pub(crate) struct State {
    turn: Turn,
    lines: AtomicU64,
    reading: Reading,
    /// The chance above which no line is in the sample.
    limit: AtomicU64,
    /// Whether a thread had no room for its part of the sample.
    is_spilled: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

/// What has been read.
#[derive(Debug)]
pub(crate) struct Fed {
    pub(crate) read: Read,
    /// The sample, in parts, if it is in memory; otherwise the shuffler has it.
    pub(crate) samples: Option<Vec<Sample>>,
}

/// What a thread has.
struct Hand<'f, 'a> {
    feed: &'f Feed<'a>,
    writer: Option<ShuffleWriter>,
    sample: Option<Sample>,
}

impl<'a> Feed<'a> {
    /// Reads everything.
    ///
    /// # Errors
    ///
    /// Whatever ends the run early.
    pub(crate) fn run(self, source: &Source<'a>, csv: Option<&CsvSource<'_>>) -> Result<Fed> {
        self.state.limit.store(u64::MAX, SeqCst);
        let give_up = || {
            self.state.reading.stop.set();
            self.state.turn.wake();
        };
        threads::run_or_stop(self.shape.threads, give_up, || self.work(source, csv))?;
        let samples = self.state.samples.lock();
        let samples = std::mem::take(&mut *samples.unwrap_or_else(PoisonError::into_inner));
        let is_spilled = self.state.is_spilled.load(SeqCst);
        if is_spilled && !samples.is_empty() {
            // As many writers as threads have memory, and these had none.
            let mut writer = self.shuffler.writer()?;
            for sample in &samples {
                self.push_sample(sample, &mut writer)?;
            }
            writer.finish()?;
        }
        let samples = (self.wanted.is_some() && !is_spilled).then_some(samples);
        let lines = self.state.lines.load(SeqCst);
        self.state.reading.count_records(lines, 0);
        Ok(Fed {
            read: self.state.reading.done(),
            samples,
        })
    }

    fn work(&self, source: &Source<'a>, csv: Option<&CsvSource<'_>>) -> Result<()> {
        let sample = self.wanted;
        let mut hand = Hand {
            feed: self,
            writer: None,
            sample: sample.map(|count| Sample::new(count, self.shape.sample_bytes)),
        };
        match csv {
            Some(csv) => self.work_on_csv(csv, &mut hand)?,
            None => self.work_on_lines(source, &mut hand)?,
        }
        if let Some(writer) = hand.writer {
            writer.finish()?;
        }
        let samples = self.state.samples.lock();
        samples
            .unwrap_or_else(PoisonError::into_inner)
            .extend(hand.sample);
        Ok(())
    }

    /// Returns the number of the first line of a chunk, which is passed on to the next chunk.
    fn first_number(&self, chunk: u64, lines: usize) -> Result<u64> {
        let state = &self.state;
        state.turn.wait(chunk, &state.reading.stop)?;
        let first = state.lines.fetch_add(lines as u64, Relaxed);
        state.turn.pass();
        Ok(first)
    }

    fn work_on_lines(&self, source: &Source<'a>, hand: &mut Hand<'_, '_>) -> Result<()> {
        let mut chunk = Chunk::new(buffer_len(self.shape.cell_len));
        let mut reader = Reader::new(self.inputs, self.shape.cell_len);
        let mut ends = Vec::new();
        let mut whole = Vec::new();
        while !self.state.reading.stop.is_set() && source.next(&mut chunk, &mut reader)? {
            let text = chunk.text();
            ends.clear();
            let found = memchr::memchr_iter(self.separator, text);
            ends.extend(found.map(|at| u32::try_from(at + 1).unwrap_or(u32::MAX)));
            let complete = ends.last().map_or(0, |&end| end as usize);
            let rest = &text[complete..];
            let lines = ends.len() + usize::from(!rest.is_empty());
            let lines = lines + usize::from(chunk.long.is_some());
            let mut number = self.first_number(chunk.number, lines)?;
            let mut start = 0;
            for &end in &ends {
                hand.push(number, &text[start..end as usize])?;
                start = end as usize;
                number += 1;
            }
            if !rest.is_empty() {
                whole.clear();
                whole.extend_from_slice(rest);
                whole.push(self.separator);
                hand.push(number, &whole)?;
                number += 1;
            }
            if let Some(long) = chunk.long.take() {
                hand.push(number, &self.longs.add(long)?)?;
            }
            self.state.reading.count_bytes(chunk.read_bytes, self.bar);
        }
        Ok(())
    }

    fn work_on_csv(&self, csv: &CsvSource<'_>, hand: &mut Hand<'_, '_>) -> Result<()> {
        let mut block = Block::default();
        let mut whole = Vec::new();
        while !self.state.reading.stop.is_set() {
            let Some(chunk) = csv.next(&mut block)? else {
                break;
            };
            let records = block.records().count();
            let first = self.first_number(chunk, records)?;
            for (number, record) in (first..).zip(block.records()) {
                whole.clear();
                whole.extend_from_slice(record);
                whole.push(self.separator);
                hand.push(number, &whole)?;
            }
            self.state.reading.count_bytes(block.read_bytes, self.bar);
        }
        Ok(())
    }

    fn push_sample(&self, sample: &Sample, writer: &mut ShuffleWriter) -> Result<()> {
        let limit = self.state.limit.load(SeqCst);
        for (number, chance, line) in sample.lines() {
            if chance < limit {
                writer.push(number, line)?;
            }
        }
        Ok(())
    }
}

impl Hand<'_, '_> {
    /// Takes a line, with its end.
    #[inline]
    fn push(&mut self, number: u64, line: &[u8]) -> Result<()> {
        let (feed, state) = (self.feed, &self.feed.state);
        if feed.wanted.is_some() {
            let chance = feed.shuffler.chance(number);
            if chance >= state.limit.load(Relaxed) {
                return Ok(());
            }
            if let Some(sample) = &mut self.sample {
                match sample.offer((number, chance), line, &state.limit) {
                    Ok(()) => return Ok(()),
                    Err(Full) => self.spill()?,
                }
            }
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(feed.shuffler.writer()?),
        };
        Ok(writer.push(number, line)?)
    }

    /// Gives the sample to the shuffler, and all that could be in it from now on.
    #[cold]
    fn spill(&mut self) -> Result<()> {
        self.feed.state.is_spilled.store(true, SeqCst);
        let mut writer = self.feed.shuffler.writer()?;
        if let Some(sample) = self.sample.take() {
            self.feed.push_sample(&sample, &mut writer)?;
        }
        self.writer = Some(writer);
        Ok(())
    }
}
