//! The sorted records of a sorter.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::budget::Array;
use crate::error::Result;
use crate::external::records::chunk::Chunk;
use crate::external::records::long::Long;
use crate::external::records::merge::{Input, Merger, too_little};
use crate::external::records::run::{Run, RunReader};
use crate::external::records::streams;
use crate::external::records::streams::{batch_bytes, stream_bytes};
use crate::external::records::writer::{write_chunks, write_inputs};
use crate::external::records::{Part, Shared};

/// The records of a [`Sorter`](super::Sorter) in order; made by
/// [`Sorter::sorted`](super::Sorter::sorted).
///
/// It lends one record at a time, so it is no [`Iterator`].
#[derive(Debug)]
pub struct Sorted {
    merger: Merger,
    shared: Arc<Shared>,
    /// Room for the longest value that was put aside.
    long: Array<u8>,
    /// Bytes that were returned and not reported yet.
    unreported: usize,
}

/// Bytes after which progress is reported: threads that did so for each record would wait for each
/// other.
pub(super) const REPORT_BYTES: usize = 64 << 10;

/// What a merge has in all, at least, for threads to take part in it.
const DIVIDED_BYTES_MIN: u64 = if cfg!(test) { 64 << 10 } else { 16 << 20 };

/// Threads that take part in a merge besides that of the caller, at most: it would not keep up with
/// more.
const HELPERS_MAX: usize = 4;

/// Bytes of a batch of records, at most, and which part of the budget they are.
const BATCH_BYTES_MAX: usize = 128 << 10;
const BATCHES_DIVISOR: usize = 256;

/// The inputs of the merge, in order: for each writer the runs, and then the chunks.
#[derive(Debug)]
pub(super) enum Pending {
    Chunk(Arc<Chunk>),
    Run(Run),
}

impl Pending {
    /// Returns the memory that reading it needs.
    fn reading_bytes(&self) -> usize {
        match self {
            Self::Chunk(_) => 0,
            Self::Run(run) => RunReader::bytes(run),
        }
    }

    /// Returns the length of the longest record.
    fn longest(&self) -> usize {
        match self {
            Self::Chunk(chunk) => chunk.longest(),
            Self::Run(run) => run.longest(),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Chunk(chunk) => chunk.used() as u64,
            Self::Run(run) => run.bytes(),
        }
    }

    fn open(self, shared: &Shared) -> Result<Input> {
        Ok(match self {
            Self::Chunk(chunk) => Input::all(chunk),
            Self::Run(run) => {
                Input::Run(RunReader::new(run, shared.budget(), &shared.rules.order)?)
            }
        })
    }
}

impl Sorted {
    pub(super) fn new(shared: &Arc<Shared>) -> Result<Self> {
        let pending = Self::pending(shared)?;
        Self::of(shared, pending)
    }

    /// Takes what writers have left, merged until it can be read at the same time.
    pub(super) fn pending(shared: &Arc<Shared>) -> Result<Vec<Pending>> {
        let mut state = shared.lock();
        state.is_sorted = true;
        let parts = std::mem::take(&mut state.finished);
        drop(state);
        shared.reserve.free();
        merge_until_it_fits(shared, parts)
    }

    pub(super) fn of(shared: &Arc<Shared>, pending: Vec<Pending>) -> Result<Self> {
        let division = Division::of(shared, &pending);
        let inputs = match division {
            Some(division) => division.open(shared, pending)?,
            None => open_all(shared, pending)?,
        };
        let (budget, max) = (shared.budget(), shared.short_bytes_max);
        let merger = Merger::new(inputs, &shared.rules, budget, max, None)?;
        Self::of_merger(shared, merger, shared.long_bytes.load(Relaxed))
    }

    /// Returns what is merged, with room for a value of `long` bytes that was put aside.
    pub(super) fn of_merger(shared: &Arc<Shared>, merger: Merger, long: usize) -> Result<Self> {
        Ok(Self {
            merger,
            shared: Arc::clone(shared),
            long: Array::new(shared.budget(), long, "merge records")?,
            unreported: 0,
        })
    }

    /// Returns how many threads help.
    #[cfg(test)]
    pub(super) fn streams(&self) -> usize {
        self.merger.streams().count()
    }

    /// Returns how many of them are not told to end.
    #[cfg(test)]
    pub(super) fn streams_at_work(&self) -> usize {
        let streams = self.merger.streams();
        streams.filter(|stream| stream.is_at_work()).count()
    }

    /// Returns the next record, key and value, or `None` at the end.
    ///
    /// # Errors
    ///
    /// Any error is final: later calls may omit records, or fail.
    ///
    /// * [`Io`](crate::ErrorKind::Io): the scratch file cannot be read, or its content has changed.
    /// * [`ItemTooLarge`](crate::ErrorKind::ItemTooLarge): joined values are longer than
    ///   [`record_bytes_max`](super::Sorter::record_bytes_max).
    /// * [`OverBudget`](crate::ErrorKind::OverBudget): other operations have taken the memory for
    ///   joining.
    /// * [`Forked`](crate::ErrorKind::Forked): this is a copy of the process that has the threads that
    ///   merge.
    /// * [`Cancelled`](crate::ErrorKind::Cancelled): the progress of the options was cancelled, or an
    ///   error or a panic has ended the merge before.
    ///
    /// # Panics
    ///
    /// If a function of the sorter panics, also in a thread that helps: the panic is the same.
    #[expect(
        clippy::should_implement_trait,
        reason = "what it returns is lent, which an iterator cannot"
    )]
    pub fn next(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        let Some((record, stored)) = self.merger.next()? else {
            let left = std::mem::take(&mut self.unreported);
            self.shared.options.progress_handle().add(left)?;
            return Ok(None);
        };
        let progress = self.shared.options.progress_handle();
        progress.check()?;
        self.unreported = self.unreported.saturating_add(stored.len());
        if self.unreported >= REPORT_BYTES {
            progress.add(std::mem::take(&mut self.unreported))?;
        }
        if !record.is_long {
            return Ok(Some((record.key, record.value)));
        }
        let spool = &self.shared.spool;
        let long = Long::from_bytes(record.value);
        let long = long.ok_or_else(|| spool.damaged("the place of a value"))?;
        let value = long.take(spool, &mut self.long)?;
        self.shared.options.progress_handle().add(value.len())?;
        Ok(Some((record.key, value)))
    }
}

fn open_all(shared: &Shared, pending: Vec<Pending>) -> Result<Vec<Input>> {
    let inputs = pending.into_iter().map(|input| input.open(shared));
    inputs.collect()
}

/// How a merge is divided among threads.
struct Division {
    /// Threads besides that of the caller.
    helpers: usize,
    batch_bytes: usize,
    /// Bytes of all inputs.
    bytes: u64,
}

impl Division {
    /// Returns how to divide a merge, if that is worth it: with less than [`DIVIDED_BYTES_MIN`], or where
    /// nothing is on disk, threads gain nothing. Records that are joined need memory in each thread.
    fn of(shared: &Shared, pending: &[Pending]) -> Option<Self> {
        let bytes = pending.iter().map(Pending::bytes).sum::<u64>();
        let is_run = |input: &Pending| matches!(input, Pending::Run(_));
        if bytes < DIVIDED_BYTES_MIN || !pending.iter().any(is_run) {
            return None;
        }
        let (budget, long) = (shared.budget(), shared.long_bytes.load(Relaxed));
        let reading = pending.iter().map(Pending::reading_bytes);
        let taken = reading.fold(long, usize::saturating_add);
        let left = budget.free().saturating_sub(taken);
        let longest = pending.iter().map(Pending::longest).max().unwrap_or(0);
        let usual = budget.limit().div_euclid(BATCHES_DIVISOR);
        let batch_bytes = batch_bytes(usual.min(BATCH_BYTES_MAX), longest);
        let most = shared.options.helpers().min(HELPERS_MAX);
        let fits = |helpers: &usize| {
            let joining = shared
                .joining_bytes()
                .saturating_mul(helpers.saturating_add(1));
            let batches = stream_bytes(batch_bytes).saturating_mul(*helpers);
            batches <= left.saturating_sub(joining).div_euclid(2)
        };
        let helpers = (1..=most.min(pending.len().div_euclid(2)))
            .rev()
            .find(fits)?;
        Some(Self {
            helpers,
            batch_bytes,
            bytes,
        })
    }

    /// Opens all inputs: neighbours that threads merge as streams, and what the caller's thread has to
    /// merge with those.
    fn open(&self, shared: &Arc<Shared>, pending: Vec<Pending>) -> Result<Vec<Input>> {
        // The caller's thread merges the streams, so it takes no share of the runs, or a smaller one.
        let parts = if self.helpers == 1 { 3 } else { self.helpers };
        let each = self.bytes.div_ceil(parts as u64).max(1);
        let mut helped = Vec::<(Vec<Input>, u64)>::new();
        let mut own = Vec::new();
        let mut before = 0_u64;
        for input in pending {
            let bytes = input.bytes();
            let middle = before.saturating_add(bytes.div_euclid(2));
            before = before.saturating_add(bytes);
            let share = usize::try_from(middle.div_euclid(each)).unwrap_or(usize::MAX);
            let share = if self.helpers == 1 {
                share.div_euclid(2)
            } else {
                share
            };
            let input = input.open(shared)?;
            if share >= self.helpers {
                own.push(input);
                continue;
            }
            if helped.len() <= share {
                helped.resize_with(share.saturating_add(1), Default::default);
            }
            if let Some((inputs, weight)) = helped.get_mut(share) {
                inputs.push(input);
                *weight = weight.saturating_add(bytes);
            }
        }
        helped.retain(|(inputs, _weight)| !inputs.is_empty());
        let mut inputs = streams::start(shared, helped, self.batch_bytes)?;
        inputs.extend(own);
        Ok(inputs)
    }
}

/// Merges runs until all that are left can be read at the same time.
fn merge_until_it_fits(shared: &Shared, parts: Vec<Part>) -> Result<Vec<Pending>> {
    let budget = shared.budget();
    let joining = shared.joining_bytes();
    let long = shared.long_bytes.load(Relaxed);
    let fits = |pending: &[Pending]| {
        let reading = pending.iter().map(Pending::reading_bytes);
        let reading = reading.fold(joining.saturating_add(long), usize::saturating_add);
        reading <= budget.free()
    };
    let mut pending = in_order(parts);
    if !fits(&pending) {
        // Chunks in memory make room for the buffers of runs.
        pending = write_out(shared, pending)?;
    }
    while !fits(&pending) {
        pending = merge_groups(shared, pending, joining, long)?;
    }
    Ok(pending)
}

/// Merges neighbours, as many at a time as there is memory to read, until all that are left can be
/// read, with a value that was put aside, or each has been merged once.
fn merge_groups(
    shared: &Shared,
    pending: Vec<Pending>,
    joining: usize,
    long: usize,
) -> Result<Vec<Pending>> {
    let budget = shared.budget();
    let mut buffer = Array::<u8>::new(budget, shared.block_bytes, "merge records")?;
    let mut left = VecDeque::from(pending);
    let mut merged = Vec::new();
    let mut is_shorter = false;
    while !left.is_empty() {
        let free = budget.free().saturating_sub(joining);
        let all = merged.iter().chain(&left).map(Pending::reading_bytes);
        // The buffer is free then.
        if all.fold(long, usize::saturating_add) <= free.saturating_add(buffer.len()) {
            break;
        }
        let mut free = free;
        let mut count = 0_usize;
        while let Some(rest) = left
            .get(count)
            .and_then(|next| free.checked_sub(next.reading_bytes()))
        {
            free = rest;
            count = count.saturating_add(1);
        }
        let group: Vec<_> = left.drain(..count.max(1)).collect();
        if count < 2 {
            merged.extend(group);
            continue;
        }
        let bytes = group.iter().map(Pending::bytes).sum::<u64>();
        let inputs: Result<Vec<_>> = group.into_iter().map(|input| input.open(shared)).collect();
        merged.push(Pending::Run(write_inputs(
            shared,
            inputs?,
            bytes,
            &mut buffer,
            None,
        )?));
        is_shorter = true;
    }
    merged.extend(left);
    if is_shorter {
        Ok(merged)
    } else {
        Err(too_little())
    }
}

fn in_order(parts: Vec<Part>) -> Vec<Pending> {
    let mut pending = Vec::new();
    for part in parts {
        pending.extend(part.runs.into_iter().map(Pending::Run));
        pending.extend(part.chunks.into_iter().map(Pending::Chunk));
    }
    pending
}

/// Writes chunks in memory to disk, each sequence of chunks as a run.
fn write_out(shared: &Shared, pending: Vec<Pending>) -> Result<Vec<Pending>> {
    let budget = shared.budget();
    let mut buffer = Array::<u8>::new(budget, shared.block_bytes, "merge records")?;
    let mut written = Vec::new();
    let mut chunks = Vec::new();
    let mut flush = |chunks: &mut Vec<Arc<Chunk>>, written: &mut Vec<Pending>| -> Result<()> {
        if !chunks.is_empty() {
            written.push(Pending::Run(write_chunks(
                shared,
                chunks,
                &mut buffer,
                None,
            )?));
            chunks.clear();
        }
        Ok(())
    };
    for input in pending {
        match input {
            Pending::Chunk(chunk) => chunks.push(chunk),
            run @ Pending::Run(_) => {
                flush(&mut chunks, &mut written)?;
                written.push(run);
            }
        }
    }
    flush(&mut chunks, &mut written)?;
    Ok(written)
}
