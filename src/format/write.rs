//! Writing a sealed file: in order, once, and under its name when all of it is on the device.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::arrow::{self, Layout};
use crate::format::description::{DATA_ALIGN, DESCRIPTION_BYTES, Description};
use crate::format::sums::{FileId, PAGE_SUMS, Part, SUM_BYTES, sum_of};
use crate::format::{DATA_START, PAGE_BYTES};
use crate::io::atomic_file::AtomicFile;
use crate::sys;

/// The length of blocks that this library writes. A longer one makes a cold read of few bytes take
/// longer, a shorter one the table: it has a page of 4 KiB for each 8 MiB.
pub(crate) const BLOCK_BYTES: u32 = 16 << 10;

/// The bytes of one write.
const WRITE_BYTES: usize = 1 << 20;

/// What the caller knows about the data when all are written.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    pub(crate) kind: u32,
    pub(crate) elements: u64,
    pub(crate) element_bytes: u64,
    pub(crate) element_align: u32,
    pub(crate) details: [u64; 4],
    pub(crate) type_name: String,
    /// How Arrow reads the data, if it can.
    pub(crate) arrow: Option<Layout>,
}

/// A sealed file that is written.
#[derive(Debug)]
pub(crate) struct Writer {
    file: AtomicFile,
    replaces: bool,
    id: FileId,
    /// Bytes that were not written: less than [`WRITE_BYTES`], or the end.
    buffer: Vec<u8>,
    /// Bytes of data that are written.
    written: u64,
    /// The checksums of the blocks that are written, as they will be in the file.
    table: Vec<u8>,
}

impl Writer {
    /// Starts a file that will be at `path`, in place of another one only if `replaces` says so.
    pub(crate) fn create(path: &Path, replaces: bool) -> Result<Self> {
        Self::with_id(path, replaces, new_id(path)?)
    }

    /// Does the same with a certain id: for tests, where the bytes of files are compared.
    pub(crate) fn with_id(path: &Path, replaces: bool, id: FileId) -> Result<Self> {
        let file = AtomicFile::create(path)?;
        if file.replaces() && !replaces {
            let taken = std::io::ErrorKind::AlreadyExists;
            return Err(Error::io(SEAL, taken.into()).at(path));
        }
        let mut buffer = Vec::new();
        if buffer.try_reserve_exact(WRITE_BYTES).is_err() {
            return Err(no_memory(path));
        }
        Ok(Self {
            file,
            replaces,
            id,
            buffer,
            written: 0,
            table: Vec::new(),
        })
    }

    /// Appends bytes of data.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            // Whole pieces need no copy.
            if self.buffer.is_empty() && bytes.len() >= WRITE_BYTES {
                let (piece, rest) = bytes.split_at(WRITE_BYTES);
                self.write(piece)?;
                bytes = rest;
                continue;
            }
            let room = WRITE_BYTES.saturating_sub(self.buffer.len());
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(piece);
            bytes = rest;
            if self.buffer.len() >= WRITE_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Returns the bytes that the blocks will cover if these are all: with zeros behind the data.
    pub(crate) fn covered_bytes(&self) -> u64 {
        let bytes = self.written.saturating_add(self.buffer.len() as u64);
        bytes.next_multiple_of(DATA_ALIGN)
    }

    fn flush(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        written
    }

    /// Writes whole blocks, or the end.
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let block = usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX);
        let sum_len = size_of::<u64>();
        let more = bytes.len().div_ceil(block).saturating_mul(sum_len);
        if self.table.try_reserve(more).is_err() {
            return Err(no_memory(self.file.path()));
        }
        let first = self.table.len().checked_div(sum_len).unwrap_or(0) as u64;
        for (number, bytes) in (first..).zip(bytes.chunks(block)) {
            let sum = sum_of(&self.id, Part::Block, number, bytes);
            self.table.extend_from_slice(&sum.to_le_bytes());
        }
        self.file
            .write_all_at(bytes, DATA_START.saturating_add(self.written))?;
        self.written = self.written.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Writes what is around the data, and gives the file its name, once all is on the device.
    pub(crate) fn finish(mut self, contents: Contents) -> Result<()> {
        let data_bytes = self.written.saturating_add(self.buffer.len() as u64);
        let mut description = Description {
            kind: contents.kind,
            id: self.id,
            elements: contents.elements,
            element_bytes: contents.element_bytes,
            element_align: contents.element_align,
            block_bytes: BLOCK_BYTES,
            data_bytes,
            details: contents.details,
            index_sum: 0,
            head_sum: 0,
            tail_sum: 0,
            type_name: contents.type_name,
        };
        let zeros = description.covered_bytes().saturating_sub(data_bytes);
        let end = self
            .buffer
            .len()
            .saturating_add(usize::try_from(zeros).unwrap_or(0));
        self.buffer.resize(end, 0);
        self.flush()?;
        let table = std::mem::take(&mut self.table);
        let page = usize::try_from(PAGE_SUMS.saturating_mul(SUM_BYTES)).unwrap_or(usize::MAX);
        let pages = (0..).zip(table.chunks(page));
        let index = pages.map(|(number, page)| sum_of(&self.id, Part::TablePage, number, page));
        let index: Vec<u8> = index.flat_map(u64::to_le_bytes).collect();
        description.index_sum = sum_of(&self.id, Part::Index, 0, &index);
        self.file.write_all_at(&table, description.table().start)?;
        self.file.write_all_at(&index, description.index().start)?;

        let page = usize::try_from(PAGE_BYTES).unwrap_or(0);
        let rest = page.saturating_sub(DESCRIPTION_BYTES);
        let (mut head, tail) = match &contents.arrow {
            Some(layout) => (layout.head(), layout.tail(rest)),
            None => (arrow::no_head(), arrow::no_tail(rest)),
        };
        description.head_sum = sum_of(&self.id, Part::Head, 0, &head);
        description.tail_sum = sum_of(&self.id, Part::Tail, 0, &tail);
        let encoded = description.encode();
        let mut last = encoded.to_vec();
        last.extend(&tail);
        self.file.write_all_at(&last, description.index().end)?;
        head.extend(&encoded);
        self.file.write_all_at(&head, 0)?;
        if self.replaces {
            self.file.publish()
        } else {
            self.file.publish_new()
        }
    }
}

/// How it is named in errors.
const SEAL: &str = "seal";

#[cold]
fn no_memory(path: &Path) -> Error {
    let reason = "there is no memory for its checksums";
    Error::refused(ErrorKind::OutOfMemory, SEAL, reason).at(path)
}

/// Returns 128 random bits.
fn new_id(path: &Path) -> Result<FileId> {
    let name =
        sys::retry(sys::unguessable_name).map_err(|answer| Error::io(SEAL, answer).at(path))?;
    let name = name.as_encoded_bytes();
    let low = sum_of(&[0; 16], Part::Description, 1, name).to_le_bytes();
    let high = sum_of(&[0; 16], Part::Description, 2, name).to_le_bytes();
    let mut id = [0; 16];
    for (target, byte) in id.iter_mut().zip(low.iter().chain(&high)) {
        *target = *byte;
    }
    Ok(id)
}
