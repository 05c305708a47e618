//! Records by the upper bits of their chance: blocks in memory, and chains of full ones on disk.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::budget::{Array, MemoryBudget};
use crate::bug::bug;
use crate::error::{Error, ErrorKind, Result};
use crate::exact::narrow;
use crate::external::shuffle::Shared;
use crate::io::checksum::checksum;
use crate::io::extents::ExtentFile;

/// Bytes before the content of a block: checksum, link to the block before, length of the content.
pub(super) const BLOCK_HEAD_BYTES: usize = 24;

/// Bytes before a record: its chance, and its length.
pub(super) const RECORD_HEAD_BYTES: usize = 12;

/// Blocks start at multiples of this.
const ALIGN: u64 = 4096;

/// Space that is claimed at once.
const STRETCH_BYTES: u64 = 4 << 20;

/// A block on disk. One without bytes is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) at: u64,
    /// With the head.
    pub(super) bytes: u32,
}

/// What one writer has of one bucket on disk: blocks, each of which knows the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain {
    pub(super) last: Link,
    /// Of all blocks, with their heads.
    pub(super) bytes: u64,
    pub(super) records: u64,
    /// Of the longest block.
    pub(super) block_bytes_max: u32,
}

/// The blocks of all buckets of a writer.
#[derive(Debug)]
pub(super) struct Blocks {
    buffer: Array<u8>,
    /// How much of each block is used; nothing, or a head and records.
    fills: Array<u32>,
    /// Records in each block.
    counts: Array<u32>,
    chains: Vec<Chain>,
    block_bytes: usize,
    /// Upper bits that all chances have in common.
    depth: u32,
    /// Claimed space that is left.
    stretch: Range<u64>,
}

impl Blocks {
    /// Makes `buckets` blocks, a power of two, of so many bytes.
    pub(super) fn new(
        budget: &MemoryBudget,
        buckets: usize,
        block_bytes: usize,
        depth: u32,
    ) -> Result<Self> {
        const ACTION: &str = "collect records";
        Ok(Self {
            buffer: Array::new(budget, buckets.saturating_mul(block_bytes), ACTION)?,
            fills: Array::new(budget, buckets, ACTION)?,
            counts: Array::new(budget, buckets, ACTION)?,
            chains: vec![Chain::default(); buckets],
            block_bytes,
            depth,
            stretch: 0..0,
        })
    }

    /// Returns the bits by which the buckets differ.
    pub(super) fn bits(&self) -> u32 {
        self.chains.len().trailing_zeros()
    }

    /// Adds a record. After an error it is not added.
    pub(super) fn push(&mut self, shared: &Shared, chance: u64, record: &[u8]) -> Result<()> {
        let upper = chance.checked_shl(self.depth).unwrap_or(0);
        let upper = upper.checked_shr(u64::BITS.saturating_sub(self.bits()));
        let bucket = usize::try_from(upper.unwrap_or(0)).unwrap_or(0);
        let len = record.len().saturating_add(RECORD_HEAD_BYTES);
        if len > self.block_bytes.saturating_sub(BLOCK_HEAD_BYTES) {
            return self.write_alone(shared, bucket, chance, record);
        }
        let mut fill = self.fills[bucket] as usize;
        if fill.saturating_add(len) > self.block_bytes {
            self.write(shared, bucket)?;
            fill = 0;
        }
        let fill = fill.max(BLOCK_HEAD_BYTES);
        let start = bucket.saturating_mul(self.block_bytes).saturating_add(fill);
        let target = self.buffer.get_mut(start..start.saturating_add(len));
        let Some((head, content)) =
            target.and_then(|target| target.split_first_chunk_mut::<RECORD_HEAD_BYTES>())
        else {
            bug!("a block of bucket {bucket} has no room for {len} bytes at {fill}");
        };
        *head = record_head(chance, record);
        content.copy_from_slice(record);
        self.fills[bucket] = narrow(fill.saturating_add(len));
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        Ok(())
    }

    /// Writes a block of a bucket, if it has records. After an error it still has them.
    fn write(&mut self, shared: &Shared, bucket: usize) -> Result<()> {
        let fill = self.fills[bucket] as usize;
        if fill == 0 {
            return Ok(());
        }
        shared.options.progress_handle().add(0)?;
        let at = self.claim(&shared.spool, fill)?;
        let start = bucket.saturating_mul(self.block_bytes);
        let Some(block) = self.buffer.get_mut(start..start.saturating_add(fill)) else {
            bug!("{fill} bytes in the block of bucket {bucket}");
        };
        seal(block, at, self.chains[bucket].last);
        shared.spool.write(block, at)?;
        let records = self.counts[bucket];
        self.append(bucket, at, fill, u64::from(records));
        (self.fills[bucket], self.counts[bucket]) = (0, 0);
        shared.options.progress_handle().add(fill)
    }

    /// Writes a record that is longer than a block as one of its own.
    fn write_alone(
        &mut self,
        shared: &Shared,
        bucket: usize,
        chance: u64,
        record: &[u8],
    ) -> Result<()> {
        let len = record.len().saturating_add(RECORD_HEAD_BYTES);
        let bytes = len.saturating_add(BLOCK_HEAD_BYTES);
        shared.options.progress_handle().add(0)?;
        let at = self.claim(&shared.spool, bytes)?;
        let head = head(self.chains[bucket].last, len);
        let first = record_head(chance, record);
        let sum = sum(at, &head, &first, record);
        let mut start = Vec::with_capacity(BLOCK_HEAD_BYTES.saturating_add(RECORD_HEAD_BYTES));
        start.extend_from_slice(&sum.to_le_bytes());
        start.extend_from_slice(&head);
        start.extend_from_slice(&first);
        shared.spool.write(&start, at)?;
        let rest = at.saturating_add(start.len() as u64);
        shared.spool.write(record, rest)?;
        self.append(bucket, at, bytes, 1);
        shared.options.progress_handle().add(bytes)
    }

    /// Takes a block that is on disk into the chain of its bucket.
    fn append(&mut self, bucket: usize, at: u64, bytes: usize, records: u64) {
        let used = (bytes as u64).checked_next_multiple_of(ALIGN);
        self.stretch.start = at.saturating_add(used.unwrap_or(u64::MAX));
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let chain = &mut self.chains[bucket];
        chain.last = Link { at, bytes };
        chain.bytes = chain.bytes.saturating_add(u64::from(bytes));
        chain.records = chain.records.saturating_add(records);
        chain.block_bytes_max = chain.block_bytes_max.max(bytes);
    }

    /// Returns where there is space for so many bytes.
    fn claim(&mut self, spool: &ExtentFile, bytes: usize) -> Result<u64> {
        let bytes = bytes as u64;
        if self.stretch.end.saturating_sub(self.stretch.start) < bytes {
            let stretch = if self.is_on_disk() { STRETCH_BYTES } else { 0 };
            self.stretch = spool.claim(bytes.max(stretch))?;
        }
        Ok(self.stretch.start)
    }

    /// Returns whether there is a block on disk.
    pub(super) fn is_on_disk(&self) -> bool {
        !self.stretch.is_empty() || self.chains.iter().any(|chain| chain.records > 0)
    }

    /// Writes everything, and returns the chains of all buckets.
    pub(super) fn flush(&mut self, shared: &Shared) -> Result<&[Chain]> {
        for bucket in 0..self.chains.len() {
            self.write(shared, bucket)?;
        }
        Ok(&self.chains)
    }

    /// Returns what is in memory of a bucket, without a head, and how many records that is.
    pub(super) fn content(&self, bucket: usize) -> (&[u8], u64) {
        let fill = self.fills[bucket] as usize;
        let start = bucket.saturating_mul(self.block_bytes);
        let content = start.saturating_add(BLOCK_HEAD_BYTES)..start.saturating_add(fill);
        let Some(content) = self.buffer.get(content) else {
            // Not even a head.
            return (&[], 0);
        };
        (content, u64::from(self.counts[bucket]))
    }
}

/// Returns what stands before a record.
#[expect(
    clippy::cast_possible_truncation,
    reason = "records have at most half of what 32 bits can say"
)]
fn record_head(chance: u64, record: &[u8]) -> [u8; RECORD_HEAD_BYTES] {
    let mut head = [0; RECORD_HEAD_BYTES];
    let (first, last) = head.split_at_mut(8);
    first.copy_from_slice(&chance.to_le_bytes());
    last.copy_from_slice(&(record.len() as u32).to_le_bytes());
    head
}

/// Returns the head of a block without its checksum.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a block is a buffer, or a record with its head"
)]
fn head(before: Link, content: usize) -> [u8; 16] {
    let mut head = [0; 16];
    let (at, lengths) = head.split_at_mut(8);
    at.copy_from_slice(&before.at.to_le_bytes());
    let (bytes, len) = lengths.split_at_mut(4);
    bytes.copy_from_slice(&before.bytes.to_le_bytes());
    len.copy_from_slice(&(content as u32).to_le_bytes());
    head
}

/// Returns the checksum of a block at a place: of its head, the head of its first record, and all
/// that follows.
fn sum(at: u64, head: &[u8], first: &[u8], rest: &[u8]) -> u64 {
    checksum(checksum(checksum(at, head), first), rest)
}

/// Writes the head of a block, whose records are there.
fn seal(block: &mut [u8], at: u64, before: Link) {
    let Some((start, content)) = block.split_at_mut_checked(BLOCK_HEAD_BYTES) else {
        return;
    };
    let head = head(before, content.len());
    let (first, rest) = content.split_at(RECORD_HEAD_BYTES.min(content.len()));
    let sum = sum(at, &head, first, rest);
    let (target, rest) = start.split_at_mut(8);
    target.copy_from_slice(&sum.to_le_bytes());
    rest.copy_from_slice(&head);
}

/// Reads the last block of a chain into `block`, which is as long, and takes it off.
pub(super) fn read_block(spool: &ExtentFile, chain: &mut Chain, block: &mut [u8]) -> Result<()> {
    let at = chain.last.at;
    spool.read(block, at)?;
    let damaged = || spool.damaged("a block of records");
    let (start, content) = block
        .split_at_checked(BLOCK_HEAD_BYTES)
        .ok_or_else(damaged)?;
    let (found, head) = start.split_at(8);
    let (first, rest) = content
        .split_at_checked(RECORD_HEAD_BYTES)
        .ok_or_else(damaged)?;
    if found != sum(at, head, first, rest).to_le_bytes() {
        return Err(damaged());
    }
    let word = |start: usize| {
        let bytes = head.get(start..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let before = head.first_chunk().map_or(0, |at| u64::from_le_bytes(*at));
    chain.last = Link {
        at: before,
        bytes: word(8),
    };
    let left = chain.bytes.checked_sub(block.len() as u64);
    chain.bytes = left
        .filter(|left| *left >= u64::from(chain.last.bytes))
        .ok_or_else(damaged)?;
    if chain.last.bytes > 0 {
        let end = chain.last.at.saturating_add(u64::from(chain.last.bytes));
        spool.will_need(chain.last.at..end);
    }
    Ok(())
}

/// Passes on where the records of a block start, their chances and their bytes.
pub(super) fn each_record<'b>(
    content: &'b [u8],
    mut each: impl FnMut(usize, u64, &'b [u8]) -> Result<()>,
) -> Result<()> {
    let mut at = 0;
    while let Some((chance, record)) = record_at(content, at) {
        each(at, chance, record)?;
        at = at
            .saturating_add(RECORD_HEAD_BYTES)
            .saturating_add(record.len());
    }
    Ok(())
}

/// Returns the chance and the bytes of the record that starts there, if one does.
#[inline]
pub(super) fn record_at(bytes: &[u8], at: usize) -> Option<(u64, &[u8])> {
    let (chance, rest) = bytes.get(at..)?.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    Some((u64::from_le_bytes(*chance), rest.get(..len)?))
}

/// Adds records to a [`Shuffler`](super::Shuffler); made by [`Shuffler::writer`](super::Shuffler::writer).
///
/// One that is dropped before it is [finished](Self::finish) takes its records with it.
pub struct ShuffleWriter {
    shared: Arc<Shared>,
    blocks: Blocks,
}

impl fmt::Debug for ShuffleWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShuffleWriter").finish_non_exhaustive()
    }
}

impl ShuffleWriter {
    pub(super) fn new(shared: &Arc<Shared>) -> Result<Self> {
        let blocks = Blocks::new(shared.budget(), shared.buckets, shared.block_bytes, 0)?;
        Ok(Self {
            shared: Arc::clone(shared),
            blocks,
        })
    }

    /// Adds a record with its number. No two records should have the same: which of them comes first
    /// could depend on the memory.
    ///
    /// # Errors
    ///
    /// The record is not added after any of them, and all before it are still there.
    ///
    /// * [`ItemTooLarge`](ErrorKind::ItemTooLarge): it is longer than
    ///   [`record_bytes_max`](super::Shuffler::record_bytes_max).
    /// * [`StorageFull`](ErrorKind::StorageFull), [`FileTooLarge`](ErrorKind::FileTooLarge),
    ///   [`Io`](ErrorKind::Io), [`Forked`](ErrorKind::Forked): a block cannot be written. Free space
    ///   and push again.
    /// * [`Cancelled`](ErrorKind::Cancelled): the progress of the options was cancelled.
    ///
    /// # Cost
    ///
    /// A copy; for each full block a write.
    pub fn push(&mut self, number: u64, record: impl AsRef<[u8]>) -> Result<()> {
        self.push_record(number, record.as_ref())
    }

    fn push_record(&mut self, number: u64, record: &[u8]) -> Result<()> {
        let shared = &self.shared;
        if record.len() > shared.record_bytes_max {
            let reason = format!(
                "it has {} bytes; with this budget it may have {}",
                record.len(),
                shared.record_bytes_max
            );
            return Err(Error::refused(
                ErrorKind::ItemTooLarge,
                "shuffle a record",
                reason,
            ));
        }
        let chance = shared.order.chance(number);
        self.blocks.push(shared, chance, record)
    }

    /// Hands all records over to the shuffler.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](ErrorKind::Cancelled): the shuffler has shuffled its records already; those of
    /// this writer are dropped.
    pub fn finish(self) -> Result<()> {
        let mut state = self.shared.lock();
        if state.is_shuffled {
            let reason = "the shuffler has shuffled its records already";
            return Err(Error::refused(
                ErrorKind::Cancelled,
                "finish a writer",
                reason,
            ));
        }
        state.finished.push(self.blocks);
        Ok(())
    }
}
