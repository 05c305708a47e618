//! The sorted records of a sorter in parts that threads take: ranges of keys, each with the records
//! of all chunks in that range.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::budget::Array;
use crate::error::Result;
use crate::external::records::Shared;
use crate::external::records::chunk::Chunk;
use crate::external::records::merge::{Input, Merger};
use crate::external::records::sorted::{Pending, Sorted};
use crate::external::sampling;
use crate::external::workers::on_threads;

/// Keys that are looked at for each part: more make parts that are more alike.
const SAMPLES_PER_PART: usize = 16;

/// The records of a [`Sorter`](super::Sorter) in order, in parts; made by
/// [`Sorter::sorted_parts`](super::Sorter::sorted_parts).
///
/// Threads can take parts at the same time, each the next one. The records of all parts in the order
/// of their [numbers](SortedPart::number) are all records in order.
pub struct SortedParts {
    shared: Arc<Shared>,
    /// What is taken at once: all of it where something is on disk.
    whole: Mutex<Option<Sorted>>,
    chunks: Vec<Arc<Chunk>>,
    /// For each part but the first, where it starts in each chunk.
    starts: Array<u32>,
    count: usize,
    next: AtomicUsize,
}

/// Records in order that follow on those of other parts; made by [`SortedParts::next_part`].
///
/// It lends one record at a time, so it is no [`Iterator`].
#[derive(Debug)]
pub struct SortedPart {
    number: u64,
    sorted: Sorted,
}

impl SortedPart {
    /// Returns how many parts come before this one.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the next record of the part, key and value, or `None` at its end.
    ///
    /// # Errors
    ///
    /// Those of [`Sorted::next`].
    ///
    /// # Panics
    ///
    /// If a function of the sorter panics.
    #[expect(
        clippy::should_implement_trait,
        reason = "what it returns is lent, which an iterator cannot"
    )]
    pub fn next(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        self.sorted.next()
    }
}

impl fmt::Debug for SortedParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SortedParts")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl SortedParts {
    pub(super) fn new(shared: &Arc<Shared>, part_bytes: usize) -> Result<Self> {
        let pending = Sorted::pending(shared)?;
        let bytes = pending.iter().map(Pending::bytes).sum::<u64>();
        let wanted = bytes.div_ceil(part_bytes.max(1) as u64);
        let count = usize::try_from(wanted).unwrap_or(usize::MAX).max(1);
        // A value that was put aside needs room, which there may be only once.
        let is_divided = count > 1 && shared.long_bytes.load(Relaxed) == 0;
        let chunks: Option<Vec<_>> = pending
            .iter()
            .map(|input| match input {
                Pending::Chunk(chunk) if is_divided => Some(Arc::clone(chunk)),
                Pending::Chunk(_) | Pending::Run(_) => None,
            })
            .collect();
        let divided = match chunks {
            Some(chunks) if !chunks.is_empty() => starts(shared, &chunks, count)
                .ok()
                .filter(|_starts| can_join(shared))
                .map(|starts| (chunks, starts)),
            _ => None,
        };
        let (whole, chunks, starts, count) = if let Some((chunks, starts)) = divided {
            (None, chunks, starts, count)
        } else {
            let none = Array::new(shared.budget(), 0, "merge records")?;
            (Some(Sorted::of(shared, pending)?), Vec::new(), none, 1)
        };
        Ok(Self {
            shared: Arc::clone(shared),
            whole: Mutex::new(whole),
            chunks,
            starts,
            count,
            next: AtomicUsize::new(0),
        })
    }

    /// Returns how many parts there are, those that were taken included.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the next part, or `None` if all were taken. A part may have no records.
    ///
    /// # Errors
    ///
    /// [`OverBudget`](crate::ErrorKind::OverBudget): other operations have taken all memory, or more
    /// parts are kept than there are [threads](crate::external::Options::threads): where records are
    /// joined, each part that is read needs memory for the longest ones.
    pub fn next_part(&self) -> Result<Option<SortedPart>> {
        let number = self.next.fetch_add(1, Relaxed);
        if number >= self.count {
            // It never comes near to being zero again.
            self.next.fetch_sub(1, Relaxed);
            return Ok(None);
        }
        let whole = self.whole.lock();
        let whole = whole.unwrap_or_else(PoisonError::into_inner).take();
        let sorted = match whole {
            Some(sorted) => sorted,
            None => self.merge(number)?,
        };
        Ok(Some(SortedPart {
            number: number as u64,
            sorted,
        }))
    }

    /// Merges what the chunks have of a part.
    fn merge(&self, number: usize) -> Result<Sorted> {
        let row = |number: usize| {
            let before = number.checked_sub(1)?;
            self.starts.chunks_exact(self.chunks.len()).nth(before)
        };
        let (from, to) = (row(number), row(number.saturating_add(1)));
        let at = |row: Option<&[u32]>, chunk: usize| {
            let at = row.and_then(|row| row.get(chunk));
            at.and_then(|at| usize::try_from(*at).ok())
        };
        let inputs = self.chunks.iter().enumerate().filter_map(|(place, chunk)| {
            let start = at(from, place).unwrap_or(0);
            let end = at(to, place).unwrap_or(chunk.count());
            (start < end).then(|| Input::Chunk(Arc::clone(chunk), start..end))
        });
        let shared = &self.shared;
        let (budget, max) = (shared.budget(), shared.short_bytes_max);
        let merger = Merger::new(inputs.collect(), &shared.rules, budget, max, None)?;
        Sorted::of_merger(shared, merger, 0)
    }
}

/// Returns whether each thread has memory to join records of its part.
fn can_join(shared: &Shared) -> bool {
    let threads = shared.options.threads_for(usize::MAX);
    shared.joining_bytes().saturating_mul(threads) <= shared.budget().free()
}

/// Returns where the second part and those behind it start in each chunk.
fn starts(shared: &Shared, chunks: &[Arc<Chunk>], count: usize) -> Result<Array<u32>> {
    const ACTION: &str = "divide records";
    let order = &shared.rules.order;
    let budget = shared.budget();
    let key = |(chunk, at): (u32, u32)| {
        let chunk = chunks.get(chunk as usize);
        let found = chunk.and_then(|chunk| chunk.get(at as usize));
        found.map_or(&[][..], |(record, _stored)| record.key)
    };
    let wanted = count.saturating_mul(SAMPLES_PER_PART);
    let each = wanted.div_ceil(chunks.len());
    let mut samples = Array::<(u32, u32)>::new(budget, each.saturating_mul(chunks.len()), ACTION)?;
    for ((number, chunk), samples) in (0_u32..).zip(chunks).zip(samples.chunks_exact_mut(each)) {
        let places = sampling::places(number as usize, chunk.count(), each);
        for (sample, at) in samples.iter_mut().zip(places) {
            *sample = (number, u32::try_from(at).unwrap_or(u32::MAX));
        }
    }
    samples.sort_unstable_by(|a, b| order.compare(key(*a), key(*b)));
    let rows = count.saturating_sub(1);
    let mut starts = Array::<u32>::new(budget, rows.saturating_mul(chunks.len()), ACTION)?;
    let left = Mutex::new((1..).zip(starts.chunks_exact_mut(chunks.len())));
    let threads = shared.options.threads_for(usize::MAX).min(rows);
    on_threads(threads, &|_number, stop| {
        while !stop.is_set() {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((part, row)) = next else {
                break;
            };
            let part: usize = part;
            let sample = samples.len().saturating_mul(part).checked_div(count);
            let least = sample.and_then(|at| samples.get(at)).map(|at| key(*at));
            let Some(least) = least else {
                continue;
            };
            for (start, chunk) in row.iter_mut().zip(chunks) {
                let at = chunk.partition_point(|key| order.compare(key, least).is_lt());
                *start = u32::try_from(at).unwrap_or(u32::MAX);
            }
        }
        Ok(())
    })?;
    Ok(starts)
}
