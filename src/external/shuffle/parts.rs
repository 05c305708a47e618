//! Shuffled records: buckets that are read and put in order in memory, one after the other.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::budget::Array;
use crate::error::{Error, ErrorKind, Result};
use crate::external::shuffle::Shared;
use crate::external::shuffle::blocks::{
    BLOCK_HEAD_BYTES, Blocks, Chain, each_record, read_block, record_at,
};

/// Bits of a chance in an entry of an index; the others say where the record is.
const CHANCE_BITS: u32 = 32;

/// The records of a [`Shuffler`](super::Shuffler) in their new order, in parts; made by
/// [`Shuffler::shuffled`](super::Shuffler::shuffled).
///
/// Threads can take parts at the same time, each the next one. The records of all parts in the order
/// of their [numbers](ShuffledPart::number) are all records.
pub struct Shuffled {
    shared: Arc<Shared>,
    /// What writers left, if nothing is on disk.
    blocks: Vec<Blocks>,
    /// What is on disk.
    buckets: Vec<Bucket>,
    next: Mutex<usize>,
    pool: Arc<Pool>,
}

/// A part as it is on disk.
#[derive(Debug, Default)]
struct Bucket {
    chains: Vec<Chain>,
    /// Upper bits that all chances have in common.
    depth: u32,
}

impl Bucket {
    fn bytes(&self) -> u64 {
        self.chains.iter().map(|chain| chain.bytes).sum()
    }

    fn records(&self) -> u64 {
        self.chains.iter().map(|chain| chain.records).sum()
    }

    /// Returns what its records and their index take in memory.
    fn memory(&self) -> u64 {
        let index = self.records().saturating_mul(size_of::<u64>() as u64);
        self.bytes().saturating_add(index)
    }
}

/// Buffers of parts, each large enough for any.
struct Pool {
    bytes: usize,
    records: usize,
    free: Mutex<Vec<Buffers>>,
}

#[derive(Debug)]
struct Buffers {
    bytes: Array<u8>,
    index: Array<u64>,
}

impl Pool {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Buffers>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, shared: &Shared) -> Result<Buffers> {
        const ACTION: &str = "read shuffled records";
        if let Some(buffers) = self.lock().pop() {
            return Ok(buffers);
        }
        Ok(Buffers {
            bytes: Array::new(shared.budget(), self.bytes, ACTION)?,
            index: Array::new(shared.budget(), self.records, ACTION)?,
        })
    }
}

/// Some records in a row, in memory; made by [`Shuffled::next_part`].
pub struct ShuffledPart {
    number: u64,
    /// `None` at the end only.
    buffers: Option<Buffers>,
    records: usize,
    /// Of all records together.
    content: u64,
    pool: Arc<Pool>,
}

impl Drop for ShuffledPart {
    fn drop(&mut self) {
        self.pool.lock().extend(self.buffers.take());
    }
}

impl fmt::Debug for ShuffledPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShuffledPart")
            .field("number", &self.number)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

impl ShuffledPart {
    /// Returns how many parts come before this one.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns how many bytes the records have together.
    pub fn bytes(&self) -> u64 {
        self.content
    }

    /// Returns the records in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let (bytes, index) = match &self.buffers {
            Some(Buffers { bytes, index }) => {
                (&**bytes, index.get(..self.records).unwrap_or_default())
            }
            None => (&[][..], &[][..]),
        };
        index.iter().map(|entry| {
            let record = record_at(bytes, place(*entry));
            record.map_or(&[][..], |(_chance, record)| record)
        })
    }
}

impl Shuffled {
    pub(super) fn new(shared: &Arc<Shared>) -> Result<Self> {
        let mut state = shared.lock();
        state.is_shuffled = true;
        let mut blocks = std::mem::take(&mut state.finished);
        let reserve = state.reserve.take();
        drop(state);
        let mut buckets = Vec::new();
        if blocks.iter().any(Blocks::is_on_disk) {
            let mut undivided: Vec<_> = (0..shared.buckets).map(|_| Bucket::default()).collect();
            for mut blocks in blocks.drain(..) {
                let depth = blocks.bits();
                let chains = blocks.flush(shared)?;
                for (bucket, chain) in undivided.iter_mut().zip(chains) {
                    bucket.depth = depth;
                    bucket
                        .chains
                        .extend(Some(*chain).filter(|chain| chain.records > 0));
                }
            }
            drop(reserve);
            let room = shared.budget().free().div_euclid(shared.parts);
            let room = (room as u64).min(u64::from(u32::MAX));
            for bucket in undivided {
                divide(shared, bucket, room, &mut buckets)?;
            }
        }
        let pool = Pool {
            bytes: most(
                &buckets,
                &blocks,
                shared,
                Bucket::bytes,
                |blocks, number| blocks.content(number).0.len() as u64,
            ),
            records: most(
                &buckets,
                &blocks,
                shared,
                Bucket::records,
                |blocks, number| blocks.content(number).1,
            ),
            free: Mutex::new(Vec::new()),
        };
        Ok(Self {
            shared: Arc::clone(shared),
            blocks,
            buckets,
            next: Mutex::new(0),
            pool: Arc::new(pool),
        })
    }

    /// Returns the next part, or `None` at the end. A part may have no records.
    ///
    /// # Errors
    ///
    /// Whatever it is, this is the end: the records of the part are lost.
    ///
    /// * [`OverBudget`](ErrorKind::OverBudget): more parts are kept than the options have threads, or
    ///   others have taken the memory.
    /// * [`Io`](ErrorKind::Io): the scratch file cannot be read, or is not what was written.
    /// * [`Cancelled`](ErrorKind::Cancelled): the progress of the options was cancelled.
    ///
    /// # Cost
    ///
    /// Reads the records of the part, and sorts their chances. The memory of a part that is dropped
    /// is used for the next one.
    pub fn next_part(&self) -> Result<Option<ShuffledPart>> {
        let count = match self.blocks.first() {
            Some(_) => self.shared.buckets,
            None => self.buckets.len(),
        };
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *next;
        if number >= count {
            return Ok(None);
        }
        *next = number.saturating_add(1);
        drop(next);
        let buffers = self.pool.take(&self.shared)?;
        let mut part = ShuffledPart {
            number: number as u64,
            buffers: Some(buffers),
            records: 0,
            content: 0,
            pool: Arc::clone(&self.pool),
        };
        let Some(buffers) = &mut part.buffers else {
            return Ok(None);
        };
        let filled = match self.buckets.get(number) {
            Some(bucket) => fill_from_disk(&self.shared, bucket, buffers)?,
            None => fill_from_memory(&self.shared, &self.blocks, number, buffers)?,
        };
        (part.records, part.content) = (filled.records, filled.bytes);
        Ok(Some(part))
    }
}

impl fmt::Debug for Shuffled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shuffled")
            .field("buckets", &self.buckets.len())
            .finish_non_exhaustive()
    }
}

/// Returns the most that a part has of something.
fn most(
    buckets: &[Bucket],
    blocks: &[Blocks],
    shared: &Shared,
    on_disk: impl Fn(&Bucket) -> u64,
    in_memory: impl Fn(&Blocks, usize) -> u64,
) -> usize {
    let disk = buckets.iter().map(on_disk);
    let memory = (0..shared.buckets)
        .map(|number| blocks.iter().map(|blocks| in_memory(blocks, number)).sum());
    let most: u64 = disk.chain(memory).max().unwrap_or(0);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// What has come into the buffers of a part.
#[derive(Clone, Copy, Debug, Default)]
struct Filled {
    records: usize,
    bytes: u64,
}

/// Reads a bucket, and puts its records in order.
fn fill_from_disk(shared: &Shared, bucket: &Bucket, buffers: &mut Buffers) -> Result<Filled> {
    let Buffers { bytes, index } = buffers;
    let (mut end, mut filled) = (0_usize, Filled::default());
    for mut chain in bucket.chains.iter().copied() {
        while chain.last.bytes > 0 {
            let len = usize::try_from(chain.last.bytes).unwrap_or(usize::MAX);
            let block = bytes.get_mut(end..end.saturating_add(len));
            let block = block.ok_or_else(|| shared.spool.damaged("a chain of blocks"))?;
            read_block(&shared.spool, &mut chain, block)?;
            let start = end.saturating_add(BLOCK_HEAD_BYTES);
            let content = block.get(BLOCK_HEAD_BYTES..).unwrap_or_default();
            enter(shared, content, start, bucket.depth, index, &mut filled)?;
            end = end.saturating_add(len);
            shared.options.progress_handle().add(len)?;
        }
    }
    if filled.records as u64 != bucket.records() {
        return Err(shared.spool.damaged("a chain of blocks"));
    }
    sort(bytes, index.get_mut(..filled.records).unwrap_or_default());
    Ok(filled)
}

/// Takes a bucket from the blocks of writers, and puts its records in order.
fn fill_from_memory(
    shared: &Shared,
    blocks: &[Blocks],
    number: usize,
    buffers: &mut Buffers,
) -> Result<Filled> {
    let Buffers { bytes, index } = buffers;
    let (mut end, mut filled) = (0_usize, Filled::default());
    for blocks in blocks {
        let (content, _records) = blocks.content(number);
        let start = end;
        end = end.saturating_add(content.len());
        if let Some(target) = bytes.get_mut(start..end) {
            target.copy_from_slice(content);
        }
        enter(shared, content, start, blocks.bits(), index, &mut filled)?;
    }
    shared.options.progress_handle().add(end)?;
    sort(bytes, index.get_mut(..filled.records).unwrap_or_default());
    Ok(filled)
}

/// Enters the records of a content, which is at `start` of all, into the index.
fn enter(
    shared: &Shared,
    content: &[u8],
    start: usize,
    depth: u32,
    index: &mut [u64],
    filled: &mut Filled,
) -> Result<()> {
    each_record(content, |at, chance, record| {
        let entry = index.get_mut(filled.records);
        let entry = entry.ok_or_else(|| shared.spool.damaged("a chain of blocks"))?;
        let upper = chance.checked_shl(depth).unwrap_or(0);
        let upper = upper & (u64::MAX << CHANCE_BITS);
        *entry = upper | start.saturating_add(at) as u64;
        filled.records = filled.records.saturating_add(1);
        filled.bytes = filled.bytes.saturating_add(record.len() as u64);
        Ok(())
    })
}

/// Returns where the record of an entry is.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower bits are the place, and a part has no more bytes than they can say"
)]
fn place(entry: u64) -> usize {
    entry as u32 as usize
}

/// Puts entries in the order of the chances of their records.
fn sort(bytes: &[u8], index: &mut [u64]) {
    index.sort_unstable();
    // Few have the same upper bits.
    for same in index.chunk_by_mut(|a, b| a >> CHANCE_BITS == b >> CHANCE_BITS) {
        if same.len() > 1 {
            same.sort_by_key(|entry| record_at(bytes, place(*entry)).map(|(chance, _)| chance));
        }
    }
}

/// Divides a bucket until all parts of it fit into `room` bytes of memory.
fn divide(shared: &Shared, bucket: Bucket, room: u64, parts: &mut Vec<Bucket>) -> Result<()> {
    if bucket.records() == 0 {
        return Ok(());
    }
    if bucket.memory() <= room {
        parts.push(bucket);
        return Ok(());
    }
    if bucket.depth >= u64::BITS {
        let reason = "more records than memory can hold have the same number";
        return Err(Error::refused(
            ErrorKind::OverBudget,
            "shuffle records",
            reason,
        ));
    }
    let (budget, buckets) = (shared.budget(), shared.buckets);
    let depth = bucket.depth;
    let mut blocks = Blocks::new(budget, buckets, shared.block_bytes, depth)?;
    let longest = bucket.chains.iter().map(|chain| chain.block_bytes_max);
    let longest = usize::try_from(longest.max().unwrap_or(0)).unwrap_or(usize::MAX);
    let mut buffer = Array::new(budget, longest, "divide records")?;
    for mut chain in bucket.chains {
        while chain.last.bytes > 0 {
            let len = usize::try_from(chain.last.bytes).unwrap_or(usize::MAX);
            let block = buffer.get_mut(..len);
            let block = block.ok_or_else(|| shared.spool.damaged("a chain of blocks"))?;
            read_block(&shared.spool, &mut chain, block)?;
            let content = block.get(BLOCK_HEAD_BYTES..).unwrap_or_default();
            each_record(content, |_at, chance, record| {
                blocks.push(shared, chance, record)
            })?;
        }
    }
    drop(buffer);
    let chains = blocks.flush(shared)?.to_vec();
    let depth = depth.saturating_add(blocks.bits());
    drop(blocks);
    for chain in chains {
        let chains = vec![chain];
        divide(shared, Bucket { chains, depth }, room, parts)?;
    }
    Ok(())
}
