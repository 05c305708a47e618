//! How a run divides its memory: among threads, shards and indexes.

use crate::cmd::dedup::args::DedupArgs;
use crate::cmd::dedup::index::{Full, Index};
use crate::cmd::dedup::known::{CHUNK_RECORDS_MAX, Known};
use crate::cmd::dedup::shard::{Entry, Shard};
use crate::failure::{Failure, Result};
use crate::memory;
use crate::memory::budget::Budget;
use crate::scratch::APPENDER_BYTES;
use crate::size::format_bytes;

/// What the smallest buffers and the smallest index take, with room to spare.
pub(crate) const NEEDED_BYTES: u64 = 6 << 20;

/// Bytes of a cell: a chunk should stay in the cache of a core while it is worked on.
const CELL_LEN_MAX: u64 = 256 << 10;
const CELL_LEN_MIN: u64 = 16 << 10;

/// What a chunk takes for each byte of its cell, if every byte is a record: buffers, keys,
/// places and fates, and some for what is added behind the cell.
const CHUNK_FACTOR: u64 = 40;

/// A thread's buffers for what is deferred and spooled.
const THREAD_BYTES: u64 = 2 * (256 << 10);

/// Of the memory, chunks take at most one part of this many, and so do the buffers of
/// what is spilled.
const DIVISOR: u64 = 8;

/// What a line takes that is read as JSON piece by piece, if all of it is the field: the text while
/// it grows, the text, and the text as it is compared.
const JSON_FACTOR: u64 = 5;

const SHARDS_MIN: u64 = 4;
const SHARDS_MAX: u64 = 64;

/// Inputs below this need no more than a few shards.
const SMALL_BYTES: u64 = 32 << 20;
const SHARDS_SMALL: u64 = 8;

/// Of the memory, recently spilled records take one part of this many.
const RECENT_DIVISOR: u64 = 64;

/// The numbers of a run.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) threads: usize,
    pub(crate) cell_len: usize,
    shards: usize,
    recent_len: usize,
    /// What an index may take.
    index_bytes: u64,
    /// The most that a thread's index may take between the passes.
    pub(crate) resolve_bytes: u64,
    /// What the notes on a part of the input may take.
    pub(crate) part_bytes: u64,
    /// The longest line that may be read as JSON if it does not fit a buffer.
    pub(crate) json_len_max: u64,
    /// Charged for what the first pass needs only.
    spill_bytes: usize,
}

impl Shape {
    /// Divides what the budget has, and charges it for everything but indexes.
    ///
    /// # Errors
    ///
    /// It is too little.
    pub(crate) fn new(args: &DedupArgs, len_bytes: Option<u64>, budget: &Budget) -> Result<Self> {
        let available = budget.available_bytes();
        let part = available / DIVISOR;
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let wanted = args
            .threads
            .map_or(cores, u64::from)
            .min(memory::threads_max());
        // Rather fewer threads than tiny chunks.
        let least = CELL_LEN_MIN * 2 * CHUNK_FACTOR + THREAD_BYTES;
        let threads = wanted.min(part / least).max(1);
        let per_thread = (part / threads).saturating_sub(THREAD_BYTES);
        let cell_len = (per_thread / CHUNK_FACTOR).clamp(CELL_LEN_MIN, CELL_LEN_MAX);
        let cell_len = args.test_chunk.unwrap_or(cell_len & !0xfff).max(2);
        let cell_len = cell_len.min(CHUNK_RECORDS_MAX as u64 / 4);
        let mut shards = (part / APPENDER_BYTES as u64).clamp(SHARDS_MIN, SHARDS_MAX);
        if len_bytes.is_some_and(|len| len < SMALL_BYTES) {
            shards = shards.min(SHARDS_SMALL);
        }
        let shards = 1 << shards.ilog2();
        let recent_bytes = size_of::<Option<Entry<()>>>() as u64;
        let recent_len = available / RECENT_DIVISOR / recent_bytes / shards;
        let buffers = threads * (cell_len * CHUNK_FACTOR + THREAD_BYTES);
        let spill_bytes = shards * (APPENDER_BYTES as u64 + recent_len * recent_bytes);
        // With --field, memory is kept for one long line at a time.
        let json_bytes = args.field.as_ref().map_or(0, |_| available / DIVISOR);
        let charge = |bytes: u64| budget.charge(usize::try_from(bytes).unwrap_or(usize::MAX));
        if !charge(buffers) || !charge(spill_bytes) || !charge(json_bytes) {
            return Err(too_little(budget));
        }
        let index_bytes = budget.available_bytes();
        let index_bytes = args.test_index.unwrap_or(index_bytes).min(index_bytes);
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Ok(Self {
            threads: number(threads),
            cell_len: number(cell_len),
            shards: number(shards),
            recent_len: number(recent_len),
            index_bytes,
            resolve_bytes: args.test_index.unwrap_or(u64::MAX),
            part_bytes: args.test_index.unwrap_or(available / 2),
            json_len_max: json_bytes / JSON_FACTOR,
            spill_bytes: number(spill_bytes),
        })
    }

    /// Makes the shards.
    ///
    /// # Errors
    ///
    /// There is no memory for them.
    pub(crate) fn shards<V: Known>(&self, budget: &Budget) -> Result<Vec<Shard<V>>> {
        // Some get a few more keys than others.
        let share = self.index_bytes / self.shards as u64;
        let share = (share + share / 8).max(Index::<V>::BYTES_MIN as u64);
        let shards = (0..self.shards).map(|_| Shard::new(share, self.recent_len, budget));
        let shards: Result<Vec<_>, Full> = shards.collect();
        shards.map_err(|Full| too_little(budget))
    }

    /// Returns how many distinct records the indexes hold.
    pub(crate) fn capacity(&self) -> u64 {
        // Sixteen bytes at seven eighths.
        self.index_bytes / 19
    }

    /// Gives back what only the first pass needs.
    pub(crate) fn end_first_pass(&self, budget: &Budget) {
        budget.release(self.spill_bytes);
    }
}

fn too_little(budget: &Budget) -> Failure {
    Failure::new(format!(
        "--memory {} is too little for an index; give more, or unlimit the address space (ulimit -v)",
        format_bytes(budget.limit_bytes())
    ))
}
