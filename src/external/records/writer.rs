//! A writer of a sorter: chunks in memory, and the runs that were written from them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::budget::Array;
use crate::bug::bug;
use crate::error::{Error, ErrorKind, Result};
use crate::external::records::chunk::{Chunk, ENTRY_BYTES, HEAD_BYTES, Layout, Record};
use crate::external::records::long::Long;
use crate::external::records::merge::{Input, Merger, too_long};
use crate::external::records::reserve::Reserve;
use crate::external::records::run::{Run, RunWriter};
use crate::external::records::sorted::REPORT_BYTES;
use crate::external::records::{CHUNK_BYTES_MAX, Part, Shared};

/// The assumed length of records before there is one.
const RECORD_BYTES: usize = 64;

/// Adds records to a [`Sorter`](super::Sorter); made by [`Sorter::writer`](super::Sorter::writer).
///
/// The records of a writer that is dropped before it is [finished](Self::finish) are lost.
#[derive(Debug)]
pub struct SorterWriter {
    shared: Arc<Shared>,
    /// Sorted.
    chunks: Vec<Arc<Chunk>>,
    /// The one that records are added to, behind the others.
    open: Option<Chunk>,
    /// Empty ones, for reuse.
    spare: Vec<Chunk>,
    runs: Vec<Run>,
    /// What records of a chunk are put in order in, if there is memory for that.
    other: Option<Array<u8>>,
    /// A block of a run.
    buffer: Array<u8>,
    records: u64,
    bytes: u64,
}

impl SorterWriter {
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self> {
        let layout = Layout::new(shared.chunk_bytes, RECORD_BYTES);
        let first = Chunk::new(shared.budget(), layout)?;
        let buffer = Array::new(
            shared.budget(),
            shared.block_bytes,
            "keep records in memory",
        )?;
        shared.writers.fetch_add(1, Relaxed);
        Ok(Self {
            shared,
            chunks: Vec::new(),
            open: None,
            spare: vec![first],
            runs: Vec::new(),
            other: None,
            buffer,
            records: 0,
            bytes: 0,
        })
    }

    /// Adds a record.
    ///
    /// # Errors
    ///
    /// The record is not added after any of them, and all before it are still there.
    ///
    /// * [`ItemTooLarge`](ErrorKind::ItemTooLarge): it is longer than
    ///   [`record_bytes_max`](super::Sorter::record_bytes_max), or its key than
    ///   [`key_bytes_max`](super::Sorter::key_bytes_max). Nothing has been written.
    /// * [`StorageFull`](ErrorKind::StorageFull), [`FileTooLarge`](ErrorKind::FileTooLarge),
    ///   [`Io`](ErrorKind::Io), [`Forked`](ErrorKind::Forked): a run cannot be written. Free space
    ///   and push again.
    /// * [`OverBudget`](ErrorKind::OverBudget): joining needs more memory than is reserved for it,
    ///   as where `combine` reserves it.
    /// * [`Cancelled`](ErrorKind::Cancelled): the progress of the options was cancelled, or the
    ///   records were sorted already.
    ///
    /// # Panics
    ///
    /// If a function of the sorter panics. Only this record is lost.
    ///
    /// # Cost
    ///
    /// A copy; for each chunk a sort of its keys, and a run when memory is used up. The value of a
    /// record longer than a 32nd of the budget is written at once; what a writer that is dropped has
    /// written of them is given back with the sorter.
    pub fn push(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let record = Record {
            key: key.as_ref(),
            value: value.as_ref(),
            is_long: false,
        };
        if record.len() > self.shared.short_bytes_max {
            return self.push_long(record);
        }
        self.push_record(record)
    }

    /// Adds a record whose value is put aside.
    #[cold]
    fn push_long(&mut self, record: Record<'_>) -> Result<()> {
        let (len, max) = (record.len(), self.shared.record_bytes_max);
        if len > max {
            return Err(too_long("it", len, max));
        }
        let (len, max) = (record.key.len(), self.shared.key_bytes_max());
        if len > max {
            return Err(too_long("its key", len, max));
        }
        self.check_open()?;
        let shared = Arc::clone(&self.shared);
        let long = Long::write(&shared.spool, record.value)?;
        shared.long_bytes.fetch_max(long.len(), Relaxed);
        let pushed = self.push_record(Record {
            key: record.key,
            value: &long.to_bytes(),
            is_long: true,
        });
        if pushed.is_err() {
            long.give_back(&shared.spool);
        }
        pushed
    }

    /// Sees to it that records can still be added.
    fn check_open(&self) -> Result<()> {
        self.shared.options.progress_handle().add(0)?;
        if self.shared.lock().is_sorted {
            let reason = "the sorter has sorted its records already";
            return Err(Error::refused(ErrorKind::Cancelled, "add a record", reason));
        }
        Ok(())
    }

    fn push_record(&mut self, record: Record<'_>) -> Result<()> {
        let len = record.len();
        if let Some(chunk) = &mut self.open {
            if chunk.push(record).is_some() {
                self.records = self.records.saturating_add(1);
                self.bytes = self.bytes.saturating_add(len as u64);
                return Ok(());
            }
        }
        self.check_open()?;
        if !self.open_chunk(len)? {
            return self.write_record(record);
        }
        let chunk = self.open.as_mut();
        let pushed = chunk.and_then(|chunk| chunk.push(record));
        if pushed.is_none() {
            bug!("a new chunk has no room for {len} bytes");
        }
        self.records = self.records.saturating_add(1);
        self.bytes = self.bytes.saturating_add(len as u64);
        Ok(())
    }

    /// Sorts the open chunk, and puts it among the others. If a comparison panics, it stays open.
    fn close_chunk(&mut self) {
        if let Some(chunk) = &mut self.open {
            chunk.sort(&self.shared.rules.order);
        }
        let Some(mut chunk) = self.open.take() else {
            return;
        };
        // Of small chunks all that a merge reads is in the caches of the processor.
        if chunk.total() >= CHUNK_BYTES_MAX {
            let has_room = |other: &Array<u8>| other.len() >= chunk.room();
            if !self.other.as_ref().is_some_and(has_room) {
                self.other = None;
                let other = Array::new(self.shared.budget(), chunk.room(), "sort records");
                self.other = other.ok();
            }
            if let Some(other) = &mut self.other {
                chunk.rearrange(other);
            }
        }
        self.chunks.push(Arc::new(chunk));
    }

    /// Closes the open chunk, and opens another with room for a record of `len` bytes. Returns
    /// whether there is memory for it; if not, all chunks are on disk.
    fn open_chunk(&mut self, len: usize) -> Result<bool> {
        self.close_chunk();
        let fits = |chunk: &Chunk| chunk.room() >= len;
        if let Some(at) = self.spare.iter().rposition(fits) {
            self.open = Some(self.spare.swap_remove(at));
            return Ok(true);
        }
        let layout = self.layout(len);
        let taken = self.memory().saturating_add(layout.total());
        let left = self.shared.budget().free().saturating_sub(layout.total());
        if taken <= self.shared.share() && left >= self.shared.joining_bytes() {
            if let Ok(chunk) = Chunk::new(self.shared.budget(), layout) {
                self.open = Some(chunk);
                return Ok(true);
            }
        }
        self.write_run()?;
        if let Some(at) = self.spare.iter().rposition(fits) {
            self.open = Some(self.spare.swap_remove(at));
            return Ok(true);
        }
        // Too long for any chunk: gets the memory of several. The last is for later records.
        let mut chunk = Chunk::new(self.shared.budget(), layout);
        while chunk.is_err() && self.spare.len() > 1 {
            self.spare.pop();
            chunk = Chunk::new(self.shared.budget(), layout);
        }
        let Ok(chunk) = chunk else {
            return Ok(false);
        };
        self.open = Some(chunk);
        Ok(true)
    }

    /// Writes a record as a run of its own, with memory of the reserve.
    #[cold]
    fn write_record(&mut self, record: Record<'_>) -> Result<()> {
        let (shared, len) = (&self.shared, record.len());
        let _loan = shared.reserve.borrow()?;
        let mut stored = Vec::new();
        stored.try_reserve_exact(len).map_err(|_full| {
            let reason = format!("there is no memory for {len} bytes");
            Error::refused(ErrorKind::OutOfMemory, "sort a record", reason)
        })?;
        stored.resize(len, 0);
        record
            .store(&mut stored)
            .ok_or_else(|| too_long("it", len, u32::MAX as usize))?;
        let (number, packs, buffer) = (shared.new_run(), shared.rules.packs, &mut self.buffer);
        let mut run = RunWriter::new(&shared.spool, number, (len as u64, 1), buffer, packs)?;
        run.push(&stored)?;
        self.runs.push(run.finish()?);
        self.records = self.records.saturating_add(1);
        self.bytes = self.bytes.saturating_add(len as u64);
        Ok(())
    }

    /// Divides the memory of a chunk for records of the length seen so far, and for one of `len`
    /// bytes.
    fn layout(&self, len: usize) -> Layout {
        let usual = self.bytes.checked_div(self.records);
        let usual = usual
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(RECORD_BYTES);
        let total = self.shared.chunk_bytes;
        if len.saturating_add(ENTRY_BYTES) > total {
            return Layout {
                bytes: len,
                records: 1,
            };
        }
        let layout = Layout::new(total, usual.clamp(HEAD_BYTES, total));
        if layout.bytes >= len {
            layout
        } else {
            Layout::new(total, len)
        }
    }

    /// Returns the memory that the writer has.
    fn memory(&self) -> usize {
        let chunks = self.chunks.iter().map(AsRef::as_ref);
        let chunks = chunks.chain(&self.open).chain(&self.spare);
        let chunks = chunks.fold(0_usize, |sum, chunk| sum.saturating_add(chunk.total()));
        let other = self.other.as_deref().map_or(0, <[u8]>::len);
        chunks
            .saturating_add(self.buffer.len())
            .saturating_add(other)
    }

    /// Merges all chunks to a run on disk. After an error they are as they were.
    fn write_run(&mut self) -> Result<()> {
        if self.chunks.is_empty() {
            return Ok(());
        }
        let (shared, buffer) = (&self.shared, &mut self.buffer);
        let reserve = Some(&shared.reserve);
        let run = write_chunks(shared, &self.chunks, buffer, reserve)?;
        self.runs.push(run);
        for chunk in self.chunks.drain(..) {
            if let Some(mut chunk) = Arc::into_inner(chunk) {
                chunk.clear();
                self.spare.push(chunk);
            }
        }
        Ok(())
    }

    /// Hands all records over to the sorter.
    ///
    /// # Errors
    ///
    /// [`Cancelled`](ErrorKind::Cancelled): the sorter has sorted its records already; those of this
    /// writer are dropped.
    ///
    /// # Cost
    ///
    /// Sorts what is in the last chunk of memory. Nothing is written.
    pub fn finish(mut self) -> Result<()> {
        self.close_chunk();
        let mut state = self.shared.lock();
        if state.is_sorted {
            let reason = "the sorter has sorted its records already";
            return Err(Error::refused(
                ErrorKind::Cancelled,
                "finish a writer",
                reason,
            ));
        }
        state.finished.push(Part {
            runs: std::mem::take(&mut self.runs),
            chunks: std::mem::take(&mut self.chunks),
        });
        drop(state);
        Ok(())
    }
}

impl Drop for SorterWriter {
    fn drop(&mut self) {
        self.shared.writers.fetch_sub(1, Relaxed);
    }
}

/// Merges sorted chunks to a run on disk.
pub(super) fn write_chunks(
    shared: &Shared,
    chunks: &[Arc<Chunk>],
    buffer: &mut [u8],
    reserve: Option<&Arc<Reserve>>,
) -> Result<Run> {
    let bytes = chunks.iter().map(|chunk| chunk.used() as u64).sum();
    let inputs = chunks.iter().map(|chunk| Input::all(Arc::clone(chunk)));
    write_inputs(shared, inputs.collect(), bytes, buffer, reserve)
}

/// Merges inputs, which have records of `bytes` bytes in all, to a run on disk.
pub(super) fn write_inputs(
    shared: &Shared,
    inputs: Vec<Input>,
    bytes: u64,
    buffer: &mut [u8],
    reserve: Option<&Arc<Reserve>>,
) -> Result<Run> {
    let (budget, max) = (shared.budget(), shared.short_bytes_max);
    let plan = (bytes, inputs.len());
    let mut merger = Merger::new(inputs, &shared.rules, budget, max, reserve)?;
    let (number, packs) = (shared.new_run(), shared.rules.packs);
    let mut run = RunWriter::new(&shared.spool, number, plan, buffer, packs)?;
    let progress = shared.options.progress_handle();
    let mut unreported = 0_usize;
    while let Some((_record, stored)) = merger.next()? {
        run.push(stored)?;
        unreported = unreported.saturating_add(stored.len());
        if unreported >= REPORT_BYTES {
            progress.add(std::mem::take(&mut unreported))?;
        }
    }
    progress.add(unreported)?;
    run.finish()
}
