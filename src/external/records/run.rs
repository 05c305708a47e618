//! A sorted run on disk: blocks of whole records, each with a checksum that covers run and
//! position.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::budget::{Array, MemoryBudget};
use crate::bug::bug;
use crate::error::{Error, ErrorKind, Result};
use crate::external::records::chunk::{HEAD_BYTES, KeyOrder, Record};
use crate::external::records::code;
use crate::external::records::code::{Code, ENDED, UNKNOWN};
use crate::external::records::pack::{block_len, pack, unpack};
use crate::io::checksum::checksum;
use crate::io::extents::{Extent, ExtentFile};

/// Bytes before the records of a block: checksum, length, number of records.
const BLOCK_HEAD_BYTES: usize = 16;

/// The bit of a block's length that says that it is packed.
const IS_PACKED: u32 = 1 << 31;

/// Bytes that are claimed where a run gets longer than planned.
const MORE_BYTES: u64 = if cfg!(test) { 16 << 10 } else { 1 << 20 };

/// Consumed bytes that are freed at once.
const GIVE_BACK_BYTES: u64 = 1 << 20;

/// A run that is complete.
#[derive(Debug)]
pub(in crate::external) struct Run {
    spool: Arc<ExtentFile>,
    /// What is not consumed. One extent is enough, unless joined values are longer than what they
    /// were joined from.
    parts: VecDeque<Part>,
    /// A number that no other run has.
    number: u64,
    blocks: u64,
    /// Bytes of the longest block without its head, as it is and as it is packed.
    block_bytes_max: usize,
    packed_bytes_max: usize,
    /// Bytes of the longest record, and of all.
    longest: usize,
    bytes: u64,
    /// Where the next block is.
    at: u64,
}

/// Blocks that follow each other.
#[derive(Debug)]
struct Part {
    extent: Extent,
    /// Where the last block ends, within the extent.
    end: u64,
}

impl Part {
    fn new(extent: Extent) -> Self {
        let end = extent.start;
        Self { extent, end }
    }

    /// Gives back what is behind the last block.
    fn trim(&mut self, spool: &ExtentFile) {
        let page = crate::sys::page_size() as u64;
        let least = self.extent.start.saturating_add(page);
        let end = self.end.next_multiple_of(page).max(least);
        if end < self.extent.end {
            spool.give_back(end..self.extent.end);
            self.extent.end = end;
        }
    }
}

impl Run {
    /// Returns how many bytes the records had when they were written.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the length of the longest record.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Returns where the blocks behind the next one's start end.
    fn end(&self) -> u64 {
        self.parts.front().map_or(self.at, |part| part.end)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        for part in self.parts.drain(..) {
            self.spool.give_back(part.extent);
        }
    }
}

/// A run that is being written.
#[derive(Debug)]
pub(in crate::external) struct RunWriter<'b> {
    run: Run,
    /// A head, and the records of a block.
    buffer: &'b mut [u8],
    /// Room for what the block is packed into, if it is to be.
    packed: &'b mut [u8],
    fill: usize,
    records: u32,
}

/// Returns the space of records of `bytes` bytes in blocks of `buffer` bytes.
fn space_for(bytes: u64, chunks: usize, buffer: usize) -> u64 {
    // Two consecutive blocks have more than one block could.
    let block = buffer.saturating_sub(BLOCK_HEAD_BYTES).max(1) as u64;
    let blocks = bytes
        .div_ceil(block)
        .saturating_mul(2)
        .saturating_add((chunks as u64).saturating_add(2));
    bytes.saturating_add(blocks.saturating_mul(BLOCK_HEAD_BYTES as u64))
}

impl<'b> RunWriter<'b> {
    /// Begins a run for records of `bytes` bytes in all, with a buffer of one block, or of one that
    /// is to be packed. What one of `chunks` inputs has need not fill a block.
    pub(super) fn new(
        spool: &Arc<ExtentFile>,
        number: u64,
        (bytes, chunks): (u64, usize),
        buffer: &'b mut [u8],
        packs: bool,
    ) -> Result<Self> {
        let block = if packs {
            block_len(buffer.len())
        } else {
            buffer.len()
        };
        let (buffer, packed) = buffer.split_at_mut(block);
        let extent = spool.claim(space_for(bytes, chunks, buffer.len()))?;
        Ok(Self {
            run: Run {
                spool: Arc::clone(spool),
                number,
                blocks: 0,
                block_bytes_max: 0,
                packed_bytes_max: 0,
                longest: 0,
                bytes: 0,
                at: extent.start,
                parts: VecDeque::from([Part::new(extent)]),
            },
            buffer,
            packed,
            fill: BLOCK_HEAD_BYTES,
            records: 0,
        })
    }

    /// Appends a record as it is stored.
    pub(super) fn push(&mut self, stored: &[u8]) -> Result<()> {
        self.run.longest = self.run.longest.max(stored.len());
        if self.fill.saturating_add(stored.len()) > self.buffer.len() {
            self.write_block()?;
            if stored.len() > self.buffer.len().saturating_sub(BLOCK_HEAD_BYTES) {
                return self.write_alone(stored);
            }
        }
        let end = self.fill.saturating_add(stored.len());
        let Some(target) = self.buffer.get_mut(self.fill..end) else {
            bug!("no room for a record at {}..{end}", self.fill);
        };
        target.copy_from_slice(stored);
        self.fill = end;
        self.records = self.records.saturating_add(1);
        Ok(())
    }

    /// Appends a record that is not longer than a block.
    pub(in crate::external) fn push_record(&mut self, record: Record<'_>) -> Result<()> {
        let len = record.len();
        self.run.longest = self.run.longest.max(len);
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
        self.find_space(stored.len())?;
        let len = len_of(stored)?;
        let head = head_of(self.run.number, self.run.blocks, len, 1, stored);
        self.run.spool.write(&head, self.run.at)?;
        let content = self.run.at.saturating_add(BLOCK_HEAD_BYTES as u64);
        self.run.spool.write(stored, content)?;
        self.next_block(stored.len(), stored.len());
        Ok(())
    }

    fn write_block(&mut self) -> Result<()> {
        if self.records == 0 {
            return Ok(());
        }
        let Some(content) = self.buffer.get(BLOCK_HEAD_BYTES..self.fill) else {
            bug!("{} bytes in a block", self.fill);
        };
        let len = content.len();
        let packed = match self.packed.split_at_mut_checked(BLOCK_HEAD_BYTES) {
            Some((_head, target)) => pack(content, target),
            None => None,
        };
        self.find_space(packed.unwrap_or(len))?;
        let (block, stored, flag) = match packed {
            Some(packed) => (&mut *self.packed, packed, IS_PACKED),
            None => (&mut *self.buffer, len, 0),
        };
        let Some(block) = block.get_mut(..BLOCK_HEAD_BYTES.saturating_add(stored)) else {
            bug!("{stored} bytes in a block");
        };
        if let Some((head, content)) = block.split_first_chunk_mut() {
            let len = len_of(content)? | flag;
            *head = head_of(self.run.number, self.run.blocks, len, self.records, content);
        }
        self.run.spool.write(block, self.run.at)?;
        self.next_block(len, stored);
        (self.fill, self.records) = (BLOCK_HEAD_BYTES, 0);
        Ok(())
    }

    /// Claims more space where a block of `len` bytes does not fit into what is left.
    fn find_space(&mut self, len: usize) -> Result<()> {
        let need = (len as u64).saturating_add(BLOCK_HEAD_BYTES as u64);
        let Some(last) = self.run.parts.back_mut() else {
            bug!("a run without parts");
        };
        if last.extent.end.saturating_sub(self.run.at) < need {
            let extent = self.run.spool.claim(need.max(MORE_BYTES))?;
            last.trim(&self.run.spool);
            self.run.at = extent.start;
            self.run.parts.push_back(Part::new(extent));
        }
        Ok(())
    }

    /// Goes to where the next block will be, behind one that has `len` bytes, of which `stored` were
    /// written.
    fn next_block(&mut self, len: usize, stored: usize) {
        let run = &mut self.run;
        let stored_end = (stored as u64).saturating_add(BLOCK_HEAD_BYTES as u64);
        run.at = run.at.saturating_add(stored_end);
        if let Some(last) = run.parts.back_mut() {
            last.end = run.at;
        }
        run.blocks = run.blocks.saturating_add(1);
        run.bytes = run.bytes.saturating_add(len as u64);
        run.block_bytes_max = run.block_bytes_max.max(len);
        if stored < len {
            run.packed_bytes_max = run.packed_bytes_max.max(stored);
        }
    }

    /// Completes the run, and frees space that it did not need.
    pub(in crate::external) fn finish(mut self) -> Result<Run> {
        self.write_block()?;
        let mut run = self.run;
        if let Some(last) = run.parts.back_mut() {
            last.trim(&run.spool);
        }
        run.at = run.parts.front().map_or(0, |part| part.extent.start);
        Ok(run)
    }
}

/// Returns the length of a block as it is stored.
fn len_of(content: &[u8]) -> Result<u32> {
    let len = u32::try_from(content.len()).ok();
    len.filter(|len| len & IS_PACKED == 0).ok_or_else(|| {
        let reason = "it has 2 GiB or more";
        Error::refused(ErrorKind::ItemTooLarge, "write a record", reason)
    })
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
    /// A block, and what it is packed into.
    buffer: Array<u8>,
    /// The end of the block in the buffer, and the number of records in it behind the current one.
    end: usize,
    records: u32,
    blocks: u64,
    /// The current record in the buffer, its key, and the code of that relative to the one before.
    record: Range<usize>,
    key: Range<usize>,
    code: Code,
}

impl RunReader {
    /// Returns how much memory the reader of a run takes.
    pub(super) fn bytes(run: &Run) -> usize {
        run.block_bytes_max.saturating_add(run.packed_bytes_max)
    }

    /// Returns how many bytes the records have.
    pub(super) fn weight(&self) -> u64 {
        self.run.bytes
    }

    /// Starts reading, and advances to the first record.
    pub(super) fn new(run: Run, budget: &MemoryBudget, order: &KeyOrder) -> Result<Self> {
        let buffer = Array::new(budget, Self::bytes(&run), "read a run of records")?;
        let mut reader = Self {
            run,
            buffer,
            end: 0,
            records: 0,
            blocks: 0,
            record: 0..0,
            key: 0..0,
            code: ENDED,
        };
        reader.will_need();
        reader.advance(order)?;
        Ok(reader)
    }

    /// Returns the current record, and its bytes as stored; `None` at the end.
    pub(super) fn get(&self) -> Option<(Record<'_>, &[u8])> {
        let stored = self
            .buffer
            .get(self.record.clone())
            .filter(|stored| !stored.is_empty())?;
        let (record, _len) = Record::parse(stored)?;
        Some((record, stored))
    }

    /// Returns the code of the current record relative to the one before.
    pub(super) fn code(&self) -> Code {
        self.code
    }

    /// Advances to the next record.
    pub(super) fn advance(&mut self, order: &KeyOrder) -> Result<()> {
        if self.records == 0 {
            if self.blocks == self.run.blocks {
                (self.record, self.code) = (0..0, ENDED);
                return Ok(());
            }
            self.read_block()?;
        }
        let start = self.record.end;
        let parsed = Record::parse(self.buffer.get(start..self.end).unwrap_or_default());
        let Some((record, len)) = parsed else {
            return Err(self.run.spool.damaged("a record"));
        };
        // The last record of the block before is not there any more.
        let has_code = order.has_codes() && !self.record.is_empty();
        let before = self.buffer.get(self.key.clone()).filter(|_| has_code);
        let code = before.map(|before| code::compare(before, record.key).1);
        let key = start.saturating_add(HEAD_BYTES);
        self.key = key..key.saturating_add(record.key.len());
        self.record = start..start.saturating_add(len);
        self.code = code.unwrap_or(UNKNOWN);
        self.records = self.records.saturating_sub(1);
        Ok(())
    }

    /// Reads the next block, before its first record.
    fn read_block(&mut self) -> Result<()> {
        self.next_part();
        let at = self.run.at;
        let mut head = [0; BLOCK_HEAD_BYTES];
        self.run.spool.read(&mut head, at)?;
        let [len, records] = [8, 12].map(|start| {
            let number = head.get(start..).and_then(<[u8]>::first_chunk);
            number.map_or(0, |number| u32::from_le_bytes(*number))
        });
        let (is_packed, stored) = (len & IS_PACKED != 0, len & !IS_PACKED);
        let spool = &self.run.spool;
        let block = self.run.block_bytes_max;
        let (buffer, packed) = self.buffer.split_at_mut(block);
        let source = if is_packed { packed } else { &mut *buffer };
        let target = usize::try_from(stored)
            .ok()
            .and_then(|len| source.get_mut(..len));
        let Some(target) = target.filter(|_| records > 0) else {
            return Err(spool.damaged("the head of a block of records"));
        };
        let content = at.saturating_add(BLOCK_HEAD_BYTES as u64);
        spool.read(target, content)?;
        if head != head_of(self.run.number, self.blocks, len, records, target) {
            return Err(spool.damaged("a block of records"));
        }
        let mut end = target.len();
        if is_packed {
            let (buffer, packed) = self.buffer.split_at_mut(block);
            let packed = packed.get(..end).unwrap_or_default();
            end = unpack(packed, buffer).ok_or_else(|| spool.damaged("a packed block"))?;
        }
        self.run.at = content.saturating_add(u64::from(stored));
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
            .will_need(self.run.at..end.min(self.run.end()));
    }

    /// Goes to the next part of the run where this one is at its end.
    fn next_part(&mut self) {
        if self.run.at < self.run.end() || self.run.parts.len() < 2 {
            return;
        }
        if let Some(consumed) = self.run.parts.pop_front() {
            self.run.spool.give_back(consumed.extent);
        }
        if let Some(next) = self.run.parts.front() {
            self.run.at = next.extent.start;
        }
    }

    /// Frees consumed bytes.
    fn give_back(&mut self) {
        let Some(part) = self.run.parts.front_mut() else {
            return;
        };
        let start = part.extent.start;
        let consumed = self.run.at.saturating_sub(start);
        let pieces = consumed.div_euclid(GIVE_BACK_BYTES);
        if pieces > 0 {
            let end = start.saturating_add(pieces.saturating_mul(GIVE_BACK_BYTES));
            self.run.spool.give_back(start..end);
            part.extent.start = end;
        }
    }
}
