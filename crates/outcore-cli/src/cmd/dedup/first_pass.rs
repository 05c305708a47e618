//! The first pass: every record meets the shard of its key, in the order of the input.
//!
//! Threads have a chunk each. A chunk passes the shards one after the other, and every
//! shard is passed by the chunks in order, so that while one chunk is at the tenth shard
//! the next one can be at the ninth: which record is the first is never a question of
//! luck. As long as all shards decide at once, chunks are written as they pass. From the
//! first chunk with an open question on, they are deferred.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Mutex, PoisonError};

use outcore::{Arena, DiskVec};

use crate::cmd::dedup::deferred::{Deferred, Deferrer};
use crate::cmd::dedup::job::Job;
use crate::cmd::dedup::known::{Known, Place};
use crate::cmd::dedup::shard::{Entry, Pair, Shard, Shared};
use crate::cmd::dedup::verify::Verifier;
use crate::cmd::dedup::writer::Writer;
use crate::failure::{Failure, Result};
use crate::input::reader::Reader;
use crate::record::chunk::{Chunk, Origin};
use crate::record::fate::Fate;
use crate::record::long;
use crate::record::source::Source;
use crate::threads;
use crate::threads::turn::{Stop, Turn};

/// A shard, and whose turn it is.
struct Counter<V> {
    turn: Turn,
    shard: Mutex<Shard<V>>,
}

/// What the first pass leaves to be done.
pub(crate) struct Rest {
    pub(crate) arena: Arena,
    pub(crate) chunks: DiskVec<Deferred>,
    /// The number of the first of them.
    pub(crate) first: u64,
}

pub(crate) struct FirstPass<'a, V> {
    job: &'a Job<'a>,
    source: &'a Source<'a>,
    shared: &'a Shared<'a>,
    counters: Vec<Counter<V>>,
    /// From which chunk on they are deferred.
    deferred_from: AtomicU64,
    rest: Mutex<Option<Rest>>,
    out: Turn,
    stop: Stop,
    bad_records: AtomicU64,
    records: AtomicU64,
    read_bytes: AtomicU64,
}

/// What the first pass has found.
pub(crate) struct Found<V> {
    pub(crate) shards: Vec<Shard<V>>,
    pub(crate) rest: Option<Rest>,
    pub(crate) records: u64,
    pub(crate) bad_records: u64,
    pub(crate) read_bytes: u64,
}

impl<'a, V: Known> FirstPass<'a, V> {
    pub(crate) fn new(
        job: &'a Job<'a>,
        source: &'a Source<'a>,
        shared: &'a Shared<'a>,
        shards: Vec<Shard<V>>,
    ) -> Self {
        let counters = shards.into_iter().map(|shard| Counter {
            turn: Turn::default(),
            shard: Mutex::new(shard),
        });
        Self {
            job,
            source,
            shared,
            counters: counters.collect(),
            deferred_from: AtomicU64::new(if job.outputs.counts { 0 } else { u64::MAX }),
            rest: Mutex::default(),
            out: Turn::default(),
            stop: Stop::default(),
            bad_records: AtomicU64::new(0),
            records: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
        }
    }

    /// Reads everything.
    ///
    /// # Errors
    ///
    /// Whatever ends the run early.
    pub(crate) fn run(self) -> Result<Found<V>> {
        let give_up = || {
            self.stop.set();
            self.out.wake();
            self.counters.iter().for_each(|counter| counter.turn.wake());
        };
        threads::run_or_stop(self.job.threads, give_up, || self.work())?;
        let shards = self.counters.into_iter().map(|counter| {
            let shard = counter.shard.into_inner();
            shard.unwrap_or_else(PoisonError::into_inner)
        });
        Ok(Found {
            shards: shards.collect(),
            rest: self
                .rest
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
            records: self.records.into_inner(),
            bad_records: self.bad_records.into_inner(),
            read_bytes: self.read_bytes.into_inner(),
        })
    }

    /// What each thread does.
    fn work(&self) -> Result<()> {
        let job = self.job;
        let mut chunk = Chunk::new(crate::record::source::buffer_len(job.cell_len));
        let mut reader = Reader::new(job.inputs, job.cell_len);
        let mut writer = Writer::new(job.outputs, job.separator);
        let mut sieve = Sieve::new(self.counters.len());
        let mut deferrer = None;
        let mut verifier = job.verify.then(|| Verifier::new(job));
        while self.source.next(&mut chunk, &mut reader)? {
            let read_bytes = chunk.read_bytes;
            self.read_bytes.fetch_add(read_bytes, Relaxed);
            self.make_keys(&mut chunk, &mut reader)?;
            self.sift(&mut chunk, &mut sieve)?;
            if let Some(verifier) = &mut verifier {
                verifier.check(&mut sieve.pairs)?;
            }
            if self.deferred_from.load(SeqCst) <= chunk.number {
                self.defer(&chunk, &mut reader, &mut deferrer)?;
            } else {
                self.check_bad(&chunk, &mut reader)?;
                let turn = (&self.out, chunk.number, &self.stop);
                writer.write(&mut chunk, &mut reader, turn, |_| 1)?;
            }
            job.bar.inc(read_bytes);
        }
        deferrer.map_or(Ok(()), Deferrer::finish)
    }

    fn make_keys(&self, chunk: &mut Chunk, reader: &mut Reader<'_>) -> Result<()> {
        let job = self.job;
        if let Origin::Paths { first, .. } = chunk.origin {
            for (record, input) in chunk.records.iter_mut().zip(first..) {
                record.key = long::key_of_file(reader, input, job.keyer)?;
            }
        } else {
            chunk.split_into_keys(job.separator, job.keyer, job.skip_bad);
            chunk.push_long(job.skip_bad, |long| job.long_key(long, reader))?;
        }
        Ok(())
    }

    /// Takes a chunk past all shards.
    fn sift(&self, chunk: &mut Chunk, sieve: &mut Sieve) -> Result<()> {
        sieve.sort(chunk);
        if V::RICH {
            sieve.find_offsets(chunk, self.job);
        }
        let Chunk {
            number,
            records,
            fates,
            ..
        } = chunk;
        let bad = records.len() - sieve.order.len();
        self.records.fetch_add(sieve.order.len() as u64, Relaxed);
        self.bad_records.fetch_add(bad as u64, Relaxed);
        let mut start = 0;
        for (counter, &end) in self.counters.iter().zip(&sieve.ends) {
            counter.turn.wait(*number, &self.stop)?;
            let end = end as usize;
            if start < end {
                let entries = sieve.order[start..end].iter().map(|&index| {
                    let index = index as usize;
                    let place = Place::new(*number, index);
                    let offset = sieve.offsets.get(index).copied().unwrap_or(0);
                    Entry {
                        key: records[index].key,
                        place,
                        known: V::first(place, offset),
                    }
                });
                let mut pending = false;
                let decided = |entry: Entry<V>, fate| {
                    pending |= fate == Fate::Pending;
                    fates[entry.place.index()] = fate;
                };
                let shard = counter.shard.lock();
                let mut shard = shard.unwrap_or_else(PoisonError::into_inner);
                shard.sift(entries, self.shared, decided, |pair| sieve.pairs.push(pair))?;
                drop(shard);
                if pending {
                    // Before the next chunk comes here: it will know.
                    self.deferred_from.fetch_min(*number, SeqCst);
                }
            }
            counter.turn.pass();
            start = end;
        }
        Ok(())
    }

    /// Reports the first record without a key, in the order of the input.
    fn check_bad(&self, chunk: &Chunk, reader: &mut Reader<'_>) -> Result<()> {
        let Some((index, reason)) = &chunk.bad else {
            return Ok(());
        };
        self.out.wait(chunk.number, &self.stop)?;
        let (input, line) = chunk.place(*index, reader, self.job.separator)?;
        let name = self.job.inputs.name(input);
        let remedy = if reason.is_known {
            "; --skip-bad leaves such lines out"
        } else {
            ""
        };
        Err(Failure::new(format!(
            "{name}: line {line} {reason}{remedy}"
        )))
    }

    /// Takes note of a chunk whose fate is open, or comes after such a one.
    fn defer(
        &self,
        chunk: &Chunk,
        reader: &mut Reader<'_>,
        deferrer: &mut Option<Deferrer>,
    ) -> Result<()> {
        self.check_bad(chunk, reader)?;
        if deferrer.is_none() {
            *deferrer = Some(Deferrer::new(&self.rest_arena()?)?);
        }
        let Some(deferrer) = deferrer else {
            return Ok(());
        };
        let noted = deferrer.defer(chunk, reader)?;
        self.out.wait(chunk.number, &self.stop)?;
        if let Some(rest) = &mut *self.rest.lock().unwrap_or_else(PoisonError::into_inner) {
            if rest.chunks.is_empty() {
                rest.first = chunk.number;
            }
            rest.chunks.push(noted)?;
        }
        self.out.pass();
        Ok(())
    }

    fn rest_arena(&self) -> Result<Arena> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rest) = &*rest {
            return Ok(rest.arena.clone());
        }
        let scratch = self.shared.scratch;
        let arena = scratch.arena()?;
        *rest = Some(Rest {
            arena: arena.clone(),
            chunks: scratch.list()?,
            first: 0,
        });
        Ok(arena)
    }
}

/// The records of a chunk, in the order of the shards.
struct Sieve {
    /// Numbers of records.
    order: Vec<u32>,
    /// Where each shard's part of the order ends.
    ends: Vec<u32>,
    /// Where each record is in all files together, if that matters.
    offsets: Vec<u64>,
    pairs: Vec<Pair>,
}

impl Sieve {
    fn new(shards: usize) -> Self {
        Self {
            order: Vec::new(),
            ends: vec![0; shards],
            offsets: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// Sorts the records by shard, those of a shard in the order of the input.
    fn sort(&mut self, chunk: &Chunk) {
        let mask = self.ends.len() - 1;
        self.ends.fill(0);
        let mut good = 0;
        for (record, fate) in chunk.records.iter().zip(&chunk.fates) {
            if *fate != Fate::Bad {
                self.ends[shard_of(record.key.low, mask)] += 1;
                good += 1;
            }
        }
        let mut sum = 0;
        for end in &mut self.ends {
            let count = *end;
            // For now it is where the part starts.
            *end = sum;
            sum += count;
        }
        self.order.clear();
        self.order.resize(good, 0);
        for (index, (record, fate)) in (0..).zip(chunk.records.iter().zip(&chunk.fates)) {
            if *fate != Fate::Bad {
                let at = &mut self.ends[shard_of(record.key.low, mask)];
                self.order[*at as usize] = index;
                *at += 1;
            }
        }
    }

    fn find_offsets(&mut self, chunk: &Chunk, job: &Job<'_>) {
        self.offsets.clear();
        match chunk.origin {
            Origin::File { input, start } => {
                let base = job.inputs.offset(input, start);
                let text = chunk.text.start;
                let starts = chunk
                    .ranges()
                    .map(|range| base + (range.start - text) as u64);
                self.offsets.extend(starts);
            }
            Origin::Files { first, .. } => {
                let mut file = 0;
                let mut start = 0;
                for range in chunk.ranges() {
                    while chunk.file_ends[file] <= range.start {
                        start = chunk.file_ends[file];
                        file += 1;
                    }
                    let offset = (range.start - start) as u64;
                    self.offsets.push(job.inputs.offset(first + file, offset));
                }
            }
            Origin::Paths { first, count } => {
                self.offsets
                    .extend((first..first + count).map(|input| input as u64));
            }
            Origin::Stream { .. } => {}
        }
    }
}

/// Returns the shard of a key, by bits that nothing else uses.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
fn shard_of(low: u64, mask: usize) -> usize {
    low as usize & mask
}
