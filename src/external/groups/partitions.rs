//! Entries on disk, by parts of their hash: each partition is a chain of blocks.
#![expect(
    unsafe_code,
    reason = "writes entries as bytes, and reads them back; see docs/safety.md"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions within blocks, checked when they are used"
)]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::slice;
use std::sync::Arc;

use crate::budget::{Array, Lease, MemoryBudget, Slots};
use crate::error::Result;
use crate::exact::narrow;
use crate::io::extents::ExtentFile;

/// Bytes of the spool that are preallocated at once.
const CLAIM_BYTES: u64 = 1 << 20;

/// No block.
const NONE: u64 = u64::MAX;

/// The number of blocks that the kernel is asked for in advance: one read of a device may take as
/// long as the work on several blocks.
const AHEAD: usize = 8;

/// A chain of blocks, from the last to the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    /// Where the last blocks are, the very last first.
    last: [u64; AHEAD],
    /// Entries in all blocks.
    pub(super) count: u64,
}

impl Chain {
    pub(super) const EMPTY: Self = Self {
        last: [NONE; AHEAD],
        count: 0,
    };
}

/// The layout of blocks: the positions of the previous blocks, as in a chain, and the number of
/// entries, then the entries, then padding to whole pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks<E> {
    /// Bytes of a block.
    bytes: usize,
    kind: PhantomData<fn() -> E>,
}

/// Bytes before the entries.
const HEAD_BYTES: usize = 8 * (AHEAD + 1);

impl<E: Copy> Blocks<E> {
    /// Plans blocks of about `bytes` bytes, in whole pages.
    pub(super) fn new(bytes: usize) -> Self {
        let page = crate::sys::page_size();
        let least = HEAD_BYTES + size_of::<E>();
        Self {
            bytes: (bytes / page * page).max(least.next_multiple_of(page)),
            kind: PhantomData,
        }
    }

    /// Returns how many entries a block has room for.
    pub(super) fn entries(self) -> usize {
        (self.bytes - HEAD_BYTES) / size_of::<E>().max(1)
    }
}

/// Writes chains of blocks.
#[derive(Debug)]
pub(super) struct ChainWriter<E> {
    spool: Arc<ExtentFile>,
    blocks: Blocks<E>,
    /// The range that is preallocated and not written.
    from: u64,
    to: u64,
}

impl<E: Copy> ChainWriter<E> {
    pub(super) fn new(spool: &Arc<ExtentFile>, blocks: Blocks<E>) -> Self {
        Self {
            spool: Arc::clone(spool),
            blocks,
            from: 0,
            to: 0,
        }
    }

    /// Appends a block of entries to a chain. All of them are initialized.
    pub(super) fn write(&mut self, chain: &mut Chain, entries: &[MaybeUninit<E>]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        debug_assert!(entries.len() <= self.blocks.entries());
        let len = self.blocks.bytes as u64;
        if self.to - self.from < len {
            // The rest is less than a block, and is freed with the file.
            let claimed = self.spool.claim(CLAIM_BYTES.max(len))?;
            (self.from, self.to) = (claimed.start, claimed.end);
        }
        let mut head = [0; HEAD_BYTES];
        let numbers = chain.last.into_iter().chain([entries.len() as u64]);
        for (place, number) in head.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let bytes = size_of_val(entries);
        // SAFETY: the bytes of the entries. Padding may have no defined value; only the kernel, to
        // which the slice goes, reads them.
        let content = unsafe { slice::from_raw_parts(entries.as_ptr().cast::<u8>(), bytes) };
        self.spool.write(&head, self.from)?;
        self.spool.write(content, self.from + HEAD_BYTES as u64)?;
        chain.last.rotate_right(1);
        chain.last[0] = self.from;
        chain.count += entries.len() as u64;
        self.from += len;
        Ok(())
    }
}

/// Reads a chain. Blocks are not freed one by one: punching a hole of a few pages takes longer than
/// reading them. They are freed with the file.
#[derive(Debug)]
pub(super) struct ChainReader<E> {
    spool: Arc<ExtentFile>,
    blocks: Blocks<E>,
    buffer: Slots<E>,
}

impl<E: Copy> ChainReader<E> {
    pub(super) fn new(
        spool: &Arc<ExtentFile>,
        blocks: Blocks<E>,
        budget: &MemoryBudget,
    ) -> Result<Self> {
        Ok(Self {
            spool: Arc::clone(spool),
            blocks,
            buffer: Slots::new(budget, blocks.entries(), "read groups")?,
        })
    }

    /// Has the kernel read the last blocks of a chain. Reading these asks for those before them.
    pub(super) fn will_need(&self, chain: &Chain) {
        chain.last.iter().for_each(|at| self.block_needed(*at));
    }

    fn block_needed(&self, at: u64) {
        if at != NONE {
            self.spool
                .will_need(at..at.saturating_add(self.blocks.bytes as u64));
        }
    }

    /// Removes the last block from a chain and returns its entries; `None` at the end.
    pub(super) fn read(&mut self, chain: &mut Chain) -> Result<Option<&[E]>> {
        let [at, ..] = chain.last;
        // Each block has at least one entry, so that a chain ends whatever is read.
        if (at == NONE) != (chain.count == 0) {
            return Err(self.spool.damaged("a chain of blocks of groups"));
        }
        if at == NONE {
            return Ok(None);
        }
        let mut head = [0; HEAD_BYTES];
        self.spool.read(&mut head, at)?;
        let mut numbers = head.chunks_exact(8).map(|number| {
            let number = number.first_chunk();
            number.map_or(0, |number| u64::from_le_bytes(*number))
        });
        let mut last = [NONE; AHEAD];
        for (place, number) in last.iter_mut().zip(&mut numbers) {
            *place = number;
        }
        let count = usize::try_from(numbers.next().unwrap_or(0)).unwrap_or(usize::MAX);
        if count == 0 || count > self.buffer.len() || count as u64 > chain.count {
            return Err(self.spool.damaged("the head of a block of groups"));
        }
        let [.., first] = last;
        self.block_needed(first);
        let content = &mut self.buffer[..count];
        let (first, bytes) = (
            content.as_mut_ptr().cast::<MaybeUninit<u8>>(),
            size_of_val(content),
        );
        // SAFETY: the bytes of entries that need no value.
        let content = unsafe { slice::from_raw_parts_mut(first, bytes) };
        self.spool.read_uninit(content, at + HEAD_BYTES as u64)?;
        chain.last = last;
        chain.count -= count as u64;
        let first = self.buffer.as_ptr().cast::<E>();
        // SAFETY: the first `count` entries were read, whole, from where a block of entries of this
        // type was written, by this process to a file that no other process knows; they are plain data.
        Ok(Some(unsafe { slice::from_raw_parts(first, count) }))
    }
}

/// The buffers in which entries are collected by their partition.
#[derive(Debug)]
pub(super) struct Collector<E> {
    buffers: Slots<E>,
    fills: Array<u32>,
    pub(super) chains: Vec<Chain>,
    block: usize,
    /// How far a hash is shifted to be the number of a partition.
    shift: u32,
}

impl<E: Copy> Collector<E> {
    /// Returns how much memory a collector takes.
    pub(super) fn bytes(partitions: usize, blocks: Blocks<E>) -> usize {
        partitions * (blocks.entries() * size_of::<E>() + size_of::<u32>())
    }

    pub(super) fn new(budget: &MemoryBudget, partitions: usize, blocks: Blocks<E>) -> Result<Self> {
        const ACTION: &str = "put groups aside";
        let block = blocks.entries();
        Ok(Self {
            buffers: Slots::new(budget, partitions * block, ACTION)?,
            fills: Array::new(budget, partitions, ACTION)?,
            chains: vec![Chain::EMPTY; partitions],
            block,
            shift: u64::BITS - partitions.trailing_zeros(),
        })
    }

    /// Returns whether nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.fills.iter().all(|fill| *fill == 0) && self.chains.iter().all(|chain| chain.count == 0)
    }

    /// Adds an entry by its hash. After an error it is not added.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, entry: E, writer: &mut ChainWriter<E>) -> Result<()> {
        // By the upper bits: the lower ones choose slots of tables.
        let partition: usize = narrow(hash >> self.shift);
        if self.fills[partition] as usize == self.block {
            self.write(partition, writer)?;
        }
        let fill = self.fills[partition] as usize;
        self.buffers[partition * self.block + fill].write(entry);
        self.fills[partition] += 1;
        Ok(())
    }

    #[cold]
    fn write(&mut self, partition: usize, writer: &mut ChainWriter<E>) -> Result<()> {
        let fill = self.fills[partition] as usize;
        let first = partition * self.block;
        let entries = &self.buffers[first..first + fill];
        writer.write(&mut self.chains[partition], entries)?;
        self.fills[partition] = 0;
        Ok(())
    }

    /// Writes everything that is in buffers.
    pub(super) fn finish(&mut self, writer: &mut ChainWriter<E>) -> Result<()> {
        (0..self.chains.len()).try_for_each(|partition| self.write(partition, writer))
    }

    /// Frees the memory, but keeps it charged to the budget.
    pub(super) fn into_lease(self) -> Lease {
        let mut lease = self.buffers.into_lease();
        lease.join(self.fills.into_lease());
        lease
    }
}
