//! A sorted run on disk: blocks of whole records, each with a checksum that covers run and
//! position.

use std::ops::Range;
use std::sync::Arc;

use crate::budget::{Array, MemoryBudget};
use crate::error::{Error, ErrorKind, Result};
use crate::external::records::chunk::{KeyOrder, Record};
use crate::io::checksum::checksum;
use crate::io::extents::{Extent, ExtentFile};

/// Bytes before the records of a block: checksum, length, number of records.
pub(super) const BLOCK_HEAD_BYTES: usize = 16;

/// Consumed bytes that are freed at once.
const GIVE_BACK_BYTES: u64 = 1 << 20;

/// A run that is complete.
#[derive(Debug)]
pub(in crate::external) struct Run {
    spool: Arc<ExtentFile>,
    /// The part that is not consumed, and preallocated.
    extent: Extent,
    /// A number that no other run has.
    number: u64,
    blocks: u64,
    /// Bytes of the longest block without its head.
    block_bytes_max: usize,
    /// The position of the next block.
    at: u64,
}

impl Run {
    /// Returns how many bytes are not consumed.
    pub(super) fn bytes(&self) -> u64 {
        self.extent.end.saturating_sub(self.at)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.spool.give_back(self.extent.clone());
    }
}

/// A run that is being written.
#[derive(Debug)]
pub(in crate::external) struct RunWriter<'b> {
    run: Run,
    /// A head, and the records of a block.
    buffer: &'b mut [u8],
    fill: usize,
    records: u32,
}

/// Returns the space of records of `bytes` bytes in blocks of `buffer` bytes.
pub(super) fn space_for(bytes: u64, chunks: usize, buffer: usize) -> u64 {
    // Two consecutive blocks have more than one block could.
    let block = buffer.saturating_sub(BLOCK_HEAD_BYTES).max(1) as u64;
    let blocks = bytes
        .div_ceil(block)
        .saturating_mul(2)
        .saturating_add((chunks as u64).saturating_add(2));
    bytes.saturating_add(blocks.saturating_mul(BLOCK_HEAD_BYTES as u64))
}

impl<'b> RunWriter<'b> {
    /// Begins a run in `space` bytes, with a buffer of one block.
    pub(super) fn new(
        spool: &Arc<ExtentFile>,
        number: u64,
        space: u64,
        buffer: &'b mut [u8],
    ) -> Result<Self> {
        let extent = spool.claim(space)?;
        Ok(Self {
            run: Run {
                spool: Arc::clone(spool),
                number,
                blocks: 0,
                block_bytes_max: 0,
                at: extent.start,
                extent,
            },
            buffer,
            fill: BLOCK_HEAD_BYTES,
            records: 0,
        })
    }

    /// Appends a record as it is stored.
    pub(super) fn push(&mut self, stored: &[u8]) -> Result<()> {
        if self.fill.saturating_add(stored.len()) > self.buffer.len() {
            self.write_block()?;
            if stored.len() > self.buffer.len().saturating_sub(BLOCK_HEAD_BYTES) {
                return self.write_alone(stored);
            }
        }
        let end = self.fill.saturating_add(stored.len());
        if let Some(target) = self.buffer.get_mut(self.fill..end) {
            target.copy_from_slice(stored);
        }
        self.fill = end;
        self.records = self.records.saturating_add(1);
        Ok(())
    }

    /// Appends a record that is not longer than a block.
    pub(in crate::external) fn push_record(&mut self, record: Record<'_>) -> Result<()> {
        let len = record.len();
        if self.fill.saturating_add(len) > self.buffer.len() {
            self.write_block()?;
        }
        let target = self.buffer.get_mut(self.fill..).unwrap_or_default();
        record.store(target).ok_or_else(|| {
            let reason = format!("it has {len} bytes, more than a block");
            Error::refused(ErrorKind::ItemTooLarge, "write a record", reason)
        })?;
        self.fill = self.fill.saturating_add(len);
        self.records = self.records.saturating_add(1);
        Ok(())
    }

    /// Writes a record that is longer than the buffer as a separate block.
    fn write_alone(&mut self, stored: &[u8]) -> Result<()> {
        let head = self.head(1, stored)?;
        self.run.spool.write(&head, self.run.at)?;
        let content = self.run.at.saturating_add(BLOCK_HEAD_BYTES as u64);
        self.run.spool.write(stored, content)?;
        self.next_block(stored.len());
        Ok(())
    }

    fn write_block(&mut self) -> Result<()> {
        if self.records == 0 {
            return Ok(());
        }
        let content = self
            .buffer
            .get(BLOCK_HEAD_BYTES..self.fill)
            .unwrap_or_default();
        let len = content.len();
        let head = self.head(self.records, content)?;
        if let Some(target) = self.buffer.first_chunk_mut() {
            *target = head;
        }
        let block = self.buffer.get(..self.fill).unwrap_or_default();
        self.run.spool.write(block, self.run.at)?;
        self.next_block(len);
        (self.fill, self.records) = (BLOCK_HEAD_BYTES, 0);
        Ok(())
    }

    fn next_block(&mut self, len: usize) {
        let run = &mut self.run;
        run.at = run
            .at
            .saturating_add((len as u64).saturating_add(BLOCK_HEAD_BYTES as u64));
        run.blocks = run.blocks.saturating_add(1);
        run.block_bytes_max = run.block_bytes_max.max(len);
    }

    fn head(&self, records: u32, content: &[u8]) -> Result<[u8; BLOCK_HEAD_BYTES]> {
        let len = u32::try_from(content.len()).map_err(|_long| {
            Error::refused(
                ErrorKind::ItemTooLarge,
                "write a record",
                "it has 4 GiB or more",
            )
        })?;
        let space = self.run.extent.end.saturating_sub(self.run.at);
        if space < u64::from(len).saturating_add(BLOCK_HEAD_BYTES as u64) {
            debug_assert!(false, "a run is longer than was planned");
            let reason = "the plan of its space does not add up";
            return Err(Error::refused(
                ErrorKind::Io,
                "write a run of records",
                reason,
            ));
        }
        Ok(head_of(
            self.run.number,
            self.run.blocks,
            len,
            records,
            content,
        ))
    }

    /// Completes the run, and frees space that it did not need.
    pub(in crate::external) fn finish(mut self) -> Result<Run> {
        self.write_block()?;
        let mut run = self.run;
        let page = crate::sys::page_size() as u64;
        let end = run
            .at
            .next_multiple_of(page)
            .max(run.extent.start.saturating_add(page));
        let rest = end..run.extent.end;
        if rest.start < rest.end {
            run.spool.give_back(rest);
            run.extent.end = end;
        }
        run.at = run.extent.start;
        Ok(run)
    }
}

fn head_of(run: u64, block: u64, len: u32, records: u32, content: &[u8]) -> [u8; BLOCK_HEAD_BYTES] {
    let mut head = [0; BLOCK_HEAD_BYTES];
    let [_, _, _, _, _, _, _, _, rest @ ..] = &mut head;
    if let Some((len_bytes, records_bytes)) = rest.split_first_chunk_mut::<4>() {
        *len_bytes = len.to_le_bytes();
        records_bytes.copy_from_slice(&records.to_le_bytes());
    }
    let seed = checksum(run.rotate_left(32) ^ block, rest);
    let sum = checksum(seed, content).to_le_bytes();
    if let Some(target) = head.first_chunk_mut() {
        *target = sum;
    }
    head
}

/// A run that is being read, record after record.
#[derive(Debug)]
pub(super) struct RunReader {
    run: Run,
    buffer: Array<u8>,
    /// The end of the block in the buffer, and the number of records in it behind the current one.
    end: usize,
    records: u32,
    blocks: u64,
    /// The current record in the buffer, and the prefix of its key.
    record: Range<usize>,
    prefix: u64,
}

impl RunReader {
    /// Returns how much memory the reader of a run takes.
    pub(super) fn bytes(run: &Run) -> usize {
        run.block_bytes_max
    }

    /// Starts reading, and advances to the first record.
    pub(super) fn new(run: Run, budget: &MemoryBudget, order: &KeyOrder) -> Result<Self> {
        let buffer = Array::new(budget, run.block_bytes_max, "read a run of records")?;
        let mut reader = Self {
            run,
            buffer,
            end: 0,
            records: 0,
            blocks: 0,
            record: 0..0,
            prefix: 0,
        };
        reader.will_need();
        reader.advance(order)?;
        Ok(reader)
    }

    /// Returns the current record, its prefix, and its bytes as stored; `None` at the end.
    pub(super) fn get(&self) -> Option<(Record<'_>, u64, &[u8])> {
        let stored = self
            .buffer
            .get(self.record.clone())
            .filter(|stored| !stored.is_empty())?;
        let (record, _len) = Record::parse(stored)?;
        Some((record, self.prefix, stored))
    }

    /// Advances to the next record.
    pub(super) fn advance(&mut self, order: &KeyOrder) -> Result<()> {
        if self.records == 0 {
            if self.blocks == self.run.blocks {
                self.record = 0..0;
                return Ok(());
            }
            self.read_block()?;
        }
        let start = self.record.end;
        let parsed = Record::parse(self.buffer.get(start..self.end).unwrap_or_default());
        let Some((record, len)) = parsed else {
            return Err(self.run.spool.damaged("a record"));
        };
        self.prefix = order.prefix(record.key);
        self.record = start..start.saturating_add(len);
        self.records = self.records.saturating_sub(1);
        Ok(())
    }

    /// Reads the next block, before its first record.
    fn read_block(&mut self) -> Result<()> {
        let at = self.run.at;
        let mut head = [0; BLOCK_HEAD_BYTES];
        self.run.spool.read(&mut head, at)?;
        let [len, records] = [8, 12].map(|start| {
            let number = head.get(start..).and_then(<[u8]>::first_chunk);
            number.map_or(0, |number| u32::from_le_bytes(*number))
        });
        let target = usize::try_from(len)
            .ok()
            .and_then(|len| self.buffer.get_mut(..len));
        let Some(target) = target.filter(|_| records > 0) else {
            return Err(self.run.spool.damaged("the head of a block of records"));
        };
        let end = target.len();
        let content = at.saturating_add(BLOCK_HEAD_BYTES as u64);
        self.run.spool.read(target, content)?;
        if head != head_of(self.run.number, self.blocks, len, records, target) {
            return Err(self.run.spool.damaged("a block of records"));
        }
        self.run.at = content.saturating_add(u64::from(len));
        self.blocks = self.blocks.saturating_add(1);
        (self.end, self.records, self.record) = (end, records, 0..0);
        self.will_need();
        self.give_back();
        Ok(())
    }

    /// Makes the kernel read ahead.
    fn will_need(&self) {
        let end = self.run.at.saturating_add(self.buffer.len() as u64);
        self.run
            .spool
            .will_need(self.run.at..end.min(self.run.extent.end));
    }

    /// Frees consumed bytes.
    fn give_back(&mut self) {
        let consumed = self.run.at.saturating_sub(self.run.extent.start);
        let pieces = consumed.div_euclid(GIVE_BACK_BYTES);
        if pieces > 0 {
            let start = self.run.extent.start;
            let end = start.saturating_add(pieces.saturating_mul(GIVE_BACK_BYTES));
            self.run.spool.give_back(start..end);
            self.run.extent.start = end;
        }
    }
}
