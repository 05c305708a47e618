//! Writing a sealed file: in order, once, and under its name when all of it is on the device.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::arrow::{self, Layout};
use crate::format::blocks::{BlockSums, NoMemory};
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
    /// Bytes that were not written: less than [`WRITE_BYTES`], or the end.
    buffer: Vec<u8>,
    /// Of the bytes of data that are written.
    sums: BlockSums,
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
            buffer,
            sums: BlockSums::new(id),
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
        let bytes = self.sums.bytes().saturating_add(self.buffer.len() as u64);
        bytes.next_multiple_of(DATA_ALIGN)
    }

    fn flush(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        written
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let offset = DATA_START.saturating_add(self.sums.bytes());
        let taken = self.sums.push(bytes);
        taken.map_err(|NoMemory| no_memory(self.file.path()))?;
        self.file.write_all_at(bytes, offset)
    }

    /// Writes what is around the data, and gives the file its name, once all is on the device.
    pub(crate) fn finish(mut self, contents: Contents) -> Result<()> {
        self.flush()?;
        let path = self.file.path().to_owned();
        enclose(&mut self.sums, contents, &path, &mut |bytes, offset| {
            self.file.write_all_at(bytes, offset)
        })?;
        if self.replaces {
            self.file.publish()
        } else {
            self.file.publish_new()
        }
    }
}

/// Writes what is around data that are in a file already, by `write`, which takes bytes and where they
/// go. Returns the length of the file.
pub(crate) fn enclose(
    sums: &mut BlockSums,
    contents: Contents,
    path: &Path,
    write: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<u64> {
    let id = sums.id;
    let mut description = Description {
        kind: contents.kind,
        id,
        elements: contents.elements,
        element_bytes: contents.element_bytes,
        element_align: contents.element_align,
        block_bytes: BLOCK_BYTES,
        data_bytes: sums.bytes(),
        details: contents.details,
        index_sum: 0,
        head_sum: 0,
        tail_sum: 0,
        type_name: contents.type_name,
    };
    let end = description.data_bytes;
    let zeros = description.covered_bytes().saturating_sub(end);
    let zeros = vec![0; usize::try_from(zeros).unwrap_or(0)];
    sums.push(&zeros).map_err(|NoMemory| no_memory(path))?;
    write(&zeros, DATA_START.saturating_add(end))?;
    let table = sums.finish().map_err(|NoMemory| no_memory(path))?;
    let page = usize::try_from(PAGE_SUMS.saturating_mul(SUM_BYTES)).unwrap_or(usize::MAX);
    let pages = (0..).zip(table.chunks(page));
    let index = pages.map(|(number, page)| sum_of(&id, Part::TablePage, number, page));
    let index: Vec<u8> = index.flat_map(u64::to_le_bytes).collect();
    description.index_sum = sum_of(&id, Part::Index, 0, &index);
    write(table, description.table().start)?;
    write(&index, description.index().start)?;

    let page = usize::try_from(PAGE_BYTES).unwrap_or(0);
    let rest = page.saturating_sub(DESCRIPTION_BYTES);
    let (mut head, tail) = match &contents.arrow {
        Some(layout) => (layout.head(), layout.tail(rest)),
        None => (arrow::no_head(), arrow::no_tail(rest)),
    };
    description.head_sum = sum_of(&id, Part::Head, 0, &head);
    description.tail_sum = sum_of(&id, Part::Tail, 0, &tail);
    let encoded = description.encode();
    let mut last = encoded.to_vec();
    last.extend(&tail);
    write(&last, description.index().end)?;
    head.extend(&encoded);
    write(&head, 0)?;
    Ok(description.file_bytes())
}

/// How it is named in errors.
const SEAL: &str = "seal";

#[cold]
pub(crate) fn no_memory(path: &Path) -> Error {
    let reason = "there is no memory for its checksums";
    Error::refused(ErrorKind::OutOfMemory, SEAL, reason).at(path)
}

/// Returns 128 random bits; `path` is for errors.
pub(crate) fn new_id(path: &Path) -> Result<FileId> {
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
