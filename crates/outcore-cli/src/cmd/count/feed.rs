//! The first half of the work: every thread reads records and adds their keys to groups.

use indicatif::ProgressBar;
use outcore::external::{BytesAdder, BytesAggregator};

use crate::cmd::count::keys::{Keys, Made};
use crate::cmd::count::longs::Longs;
use crate::cmd::count::shape::Shape;
use crate::cmd::count::tally::Tally;
use crate::failure::Result;
use crate::front::work;
use crate::front::work::{Read, Reading};
use crate::input::list::Inputs;
use crate::input::reader::{Long, Reader};
use crate::record::blocks::Block;
use crate::record::chunk::Chunk;
use crate::record::csv_source::CsvSource;
use crate::record::key::Bad;
use crate::record::source::{Source, buffer_len};
use crate::size::format_bytes;
use crate::threads;

/// What threads share while they read.
pub(crate) struct Feed<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) shape: &'a Shape,
    pub(crate) keys: &'a Keys,
    pub(crate) longs: &'a Longs<'a>,
    pub(crate) bar: &'a ProgressBar,
    pub(crate) separator: u8,
    pub(crate) skip_bad: bool,
    pub(crate) reading: Reading,
}

/// What a thread has.
struct Hand<'f, V: Tally> {
    groups: &'f BytesAggregator<V>,
    /// Made for the first record: what one thread adds needs no merge.
    adder: Option<BytesAdder<V>>,
    made: Made,
    records: u64,
    skipped: u64,
}

impl<'a> Feed<'a> {
    /// Reads everything.
    ///
    /// # Errors
    ///
    /// Whatever ends the run early.
    pub(crate) fn run<V: Tally>(
        self,
        groups: &BytesAggregator<V>,
        source: &Source<'a>,
        csv: Option<&CsvSource<'_>>,
    ) -> Result<Read> {
        threads::run_or_stop(
            self.shape.threads,
            || self.reading.stop.set(),
            || self.work(groups, source, csv),
        )?;
        Ok(self.reading.done())
    }

    fn work<V: Tally>(
        &self,
        groups: &BytesAggregator<V>,
        source: &Source<'a>,
        csv: Option<&CsvSource<'_>>,
    ) -> Result<()> {
        let mut hand = Hand {
            groups,
            adder: None,
            made: Made::default(),
            records: 0,
            skipped: 0,
        };
        match csv {
            Some(csv) => self.work_on_csv(csv, &mut hand)?,
            None => self.work_on_lines(source, &mut hand)?,
        }
        self.reading.count_records(hand.records, hand.skipped);
        if let Some(adder) = hand.adder {
            adder.finish()?;
        }
        Ok(())
    }

    fn work_on_lines<V: Tally>(&self, source: &Source<'a>, hand: &mut Hand<'_, V>) -> Result<()> {
        let mut chunk = Chunk::new(buffer_len(self.shape.cell_len));
        let mut reader = Reader::new(self.inputs, self.shape.cell_len);
        while !self.reading.stop.is_set() && source.next(&mut chunk, &mut reader)? {
            let text = chunk.text();
            // The last line may lack its end.
            let has_rest = text.last().is_some_and(|last| *last != self.separator);
            let rest = has_rest.then_some(text.len());
            let (mut start, mut index) = (0, 0);
            let mut bad = None;
            for end in memchr::memchr_iter(self.separator, text).chain(rest) {
                if let Some(reason) = self.push(&text[start..end], hand)? {
                    bad = Some((start, reason));
                    break;
                }
                start = end + 1;
                index += 1;
            }
            if let (None, Some(long)) = (&bad, chunk.long.take()) {
                let reason = self.push_long(long, &mut reader, hand)?;
                bad = reason.map(|reason| (chunk.text().len(), reason));
            }
            if let Some((before, reason)) = bad {
                let place = chunk.place_of(before, index, &mut reader, self.separator)?;
                return Err(work::no_key(self.inputs, place, &reason));
            }
            self.reading.count_bytes(chunk.read_bytes, self.bar);
        }
        Ok(())
    }

    fn work_on_csv<V: Tally>(&self, csv: &CsvSource<'_>, hand: &mut Hand<'_, V>) -> Result<()> {
        let mut block = Block::default();
        while !self.reading.stop.is_set() {
            if csv.next(&mut block)?.is_none() {
                break;
            }
            for (number, record) in block.records().enumerate() {
                if let Some(reason) = self.push(record, hand)? {
                    return Err(work::no_key(self.inputs, block.place_of(number), &reason));
                }
            }
            self.reading.count_bytes(block.read_bytes, self.bar);
        }
        Ok(())
    }

    /// Adds a record; returns why it has no key, if that is a mistake.
    #[inline]
    fn push<V: Tally>(&self, record: &[u8], hand: &mut Hand<'_, V>) -> Result<Option<Bad>> {
        match self.keys.make(record, &mut hand.made) {
            Ok((key, number)) => {
                let adder = match &mut hand.adder {
                    Some(adder) => adder,
                    none => none.insert(hand.groups.adder()?),
                };
                adder.add(key, V::of(number))?;
                hand.records += 1;
                Ok(None)
            }
            Err(reason) if self.skip_bad && reason.is_known => {
                hand.skipped += 1;
                Ok(None)
            }
            Err(reason) => Ok(Some(reason)),
        }
    }

    /// Adds a record that is behind its chunk. Where a cell ends decides on that for some lengths, so
    /// one that a chunk has room for becomes what it would be there.
    fn push_long<V: Tally>(
        &self,
        long: Long,
        reader: &mut Reader<'_>,
        hand: &mut Hand<'_, V>,
    ) -> Result<Option<Bad>> {
        let len_max = buffer_len(self.shape.cell_len);
        let len = usize::try_from(long.len).unwrap_or(usize::MAX);
        if len > len_max && !self.keys.needs_whole() {
            hand.records += 1;
            self.longs.add(long)?;
            return Ok(None);
        }
        if len > len_max {
            return Ok(Some(Bad::unknown(format!(
                "has {}; with keys, a line may have {} here; give more --memory",
                format_bytes(long.len),
                format_bytes(len_max as u64)
            ))));
        }
        let mut record = Vec::with_capacity(len);
        reader.pieces(&long, |piece| {
            record.extend_from_slice(piece);
            Ok(())
        })?;
        self.push(&record, hand)
    }
}
