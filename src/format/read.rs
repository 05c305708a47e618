//! Checked reads: a block is verified before its first byte is handed out.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use crate::error::{Error, ErrorKind, Result};
use crate::format::blocks::NoMemory;
use crate::format::description::{Description, IN_HEAD, Misread};
use crate::format::known::Known;
use crate::format::ranges::{LocalFile, ReadRanges};
use crate::format::source::Source;
use crate::format::sums::{PAGE_SUMS, Part, SUM_BYTES, sum_of, words};
use crate::format::{DATA_START, PAGE_BYTES};
use crate::io::file::OwnedFile;
use crate::read::ReadOptions;

/// The bytes that opening reads from the end: the tail, and the index of files up to 28 GiB.
const TAIL_BYTES: usize = 32 << 10;

/// Blocks that are closer together than this become one read.
const GAP_BYTES: u64 = 4096;

/// The longest read that several ranges are joined to.
const JOINED_BYTES_MAX: u64 = 1 << 20;

/// An open sealed file.
pub(crate) struct Sealed {
    source: Source,
    pub(super) description: Description,
    /// The checksums of the pages of the table, once they were read and verified.
    index: OnceLock<Vec<u64>>,
    /// The pages of the table that were read and verified, and the blocks that were.
    pub(super) known: Known,
}

impl Sealed {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::from_source(Source::Local(LocalFile::open(path)?))
    }

    /// Opens a file that is open already, and has this length; the path is for errors.
    pub(crate) fn of_file(file: OwnedFile, path: &Path, len: u64) -> Result<Self> {
        Self::from_source(Source::Local(LocalFile::of(file, path, len)))
    }

    pub(crate) fn open_from(source: Box<dyn ReadRanges>) -> Result<Self> {
        Self::from_source(Source::Other(source))
    }

    fn from_source(source: Source) -> Result<Self> {
        let (file_bytes, tail) = source.ranges().read_tail(TAIL_BYTES).map_err(Error::from)?;
        let tail_start = file_bytes.checked_sub(tail.len() as u64);
        let page = usize::try_from(PAGE_BYTES).ok();
        let at = page.and_then(|page| tail.len().checked_sub(page));
        let (Some(tail_start), Some(at)) = (tail_start, at) else {
            return Err(source.corrupt("it is too short for a sealed file"));
        };
        let parsed = Description::parse(tail.get(at..).unwrap_or_default(), file_bytes);
        let description = match parsed {
            Ok(description) => description,
            // The same is in the head.
            Err(Misread::Damaged) => {
                let bytes = source.read(IN_HEAD..PAGE_BYTES)?;
                let parsed = Description::parse(&bytes, file_bytes);
                parsed.map_err(|misread| {
                    source.forget(IN_HEAD..PAGE_BYTES);
                    source.misread(misread)
                })?
            }
            Err(misread) => return Err(source.misread(misread)),
        };
        let known = Known::new(description.table_pages());
        let known = known.map_err(|NoMemory| source.no_memory())?;
        let index = description.index();
        let sealed = Self {
            source,
            description,
            index: OnceLock::new(),
            known,
        };
        let in_tail = |byte: u64| usize::try_from(byte.checked_sub(tail_start)?).ok();
        if let (Some(start), Some(end)) = (in_tail(index.start), in_tail(index.end)) {
            // What is wrong is reported when it is needed.
            let _known = sealed.take_index(tail.get(start..end).unwrap_or_default());
        }
        Ok(sealed)
    }

    /// Returns the file, if it is one of this machine.
    pub(crate) fn local(&self) -> Option<&LocalFile> {
        match &self.source {
            Source::Local(file) => Some(file),
            Source::Other(_) => None,
        }
    }

    /// Returns how many ranges to read by one call. They take memory, and each call to a source that is
    /// elsewhere waits for its answers.
    pub(crate) fn ranges_at_once(&self) -> usize {
        if self.local().is_some() {
            1 << 12
        } else {
            1 << 16
        }
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    #[cold]
    pub(crate) fn refused(&self, kind: ErrorKind, reason: impl Into<String>) -> Error {
        self.source.refused(kind, reason)
    }

    /// Passes ranges of the data to `deliver`, each with its place in `ranges`, in any order. Their
    /// starts ascend, and none is empty.
    ///
    /// Each is read in one piece: split long ones.
    pub(crate) fn read(
        &self,
        ranges: &[Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<()> {
        self.read_with(&ReadOptions::new(), ranges, deliver)
    }

    /// Does the same, in the way that `options` say if the file is one of this machine.
    pub(crate) fn read_with(
        &self,
        options: &ReadOptions,
        ranges: &[Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<()> {
        if ranges
            .iter()
            .any(|range| range.end > self.description.data_bytes)
        {
            return Err(self.refused(ErrorKind::OutOfBounds, "the range is past the end"));
        }
        self.read_covered(options, ranges, deliver)
    }

    /// Appends a range of the data to `target`. On failure `target` is unchanged but for its capacity.
    pub(crate) fn append(&self, range: Range<u64>, target: &mut Vec<u8>) -> Result<()> {
        let len = self.len_within(&range)?;
        if target.try_reserve(len).is_err() {
            return Err(self.refused(ErrorKind::OutOfMemory, "there is no memory for it"));
        }
        if let Some(local) = self.local_if_verified(&range) {
            let start = DATA_START.saturating_add(range.start);
            let read = local.file().read_to_end_of(target, len, start);
            return read.map_err(|refused| refused.of_file("read", local.path()));
        }
        let before = target.len();
        let read = self.read(&[range], &mut |_number, bytes| {
            target.extend_from_slice(bytes);
        });
        if read.is_err() {
            target.truncate(before);
        }
        read
    }

    /// Reads a range of the data into memory that has room for exactly it by one system call, if its
    /// blocks were verified and the file is one of this machine; returns whether that was so.
    pub(crate) fn read_verified(&self, range: &Range<u64>, target: &mut [u8]) -> Result<bool> {
        let len = self.len_within(range)?;
        let Some(local) = self
            .local_if_verified(range)
            .filter(|_| target.len() == len)
        else {
            return Ok(false);
        };
        let start = DATA_START.saturating_add(range.start);
        let read = local.file().read_over(target, start);
        read.map_err(|refused| refused.of_file("read", local.path()))?;
        Ok(true)
    }

    /// Returns the length of a range of the data.
    fn len_within(&self, range: &Range<u64>) -> Result<usize> {
        if range.end > self.description.data_bytes {
            return Err(self.refused(ErrorKind::OutOfBounds, "the range is past the end"));
        }
        usize::try_from(range.end.saturating_sub(range.start))
            .map_err(|_long| self.refused(ErrorKind::OutOfMemory, "there is no memory for it"))
    }

    fn local_if_verified(&self, range: &Range<u64>) -> Option<&LocalFile> {
        self.local().filter(|_local| self.are_verified(range))
    }

    /// Does the same for ranges of what the blocks cover, within it.
    pub(super) fn read_covered(
        &self,
        options: &ReadOptions,
        ranges: &[Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<()> {
        let requests = self.requests(ranges);
        self.load_pages(&requests)?;
        let mut reads = Vec::new();
        for request in &requests {
            let place = |byte: u64| DATA_START.saturating_add(byte);
            reads.push(place(request.bytes.start)..place(request.bytes.end));
        }
        self.source.read_all(options, &reads, &mut |number, bytes| {
            let Some(request) = requests.get(number) else {
                return Ok(());
            };
            if request.is_whole {
                self.verify_blocks(request.bytes.start, bytes)?;
            }
            for (index, range) in ranges.iter().enumerate().skip(request.ranges.start) {
                if index >= request.ranges.end {
                    break;
                }
                let start = range.start.saturating_sub(request.bytes.start);
                let end = range.end.saturating_sub(request.bytes.start);
                let place = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX);
                deliver(
                    index,
                    bytes.get(place(start)..place(end)).unwrap_or_default(),
                );
            }
            Ok(())
        })
    }

    /// Returns the reads that ranges need: they themselves where their blocks were verified, and
    /// whole blocks otherwise; those that are close together joined.
    fn requests(&self, ranges: &[Range<u64>]) -> Vec<Request> {
        let mut requests: Vec<Request> = Vec::new();
        for (index, range) in ranges.iter().enumerate() {
            let is_whole = !self.are_verified(range);
            let bytes = if is_whole {
                self.blocks_around(range)
            } else {
                range.clone()
            };
            let next = Request {
                bytes,
                ranges: index..index.saturating_add(1),
                is_whole,
            };
            let is_joined = match requests.last_mut() {
                Some(last) if last.overlaps(&next) => {
                    // They share bytes, which are read once.
                    last.bytes.end = last.bytes.end.max(next.bytes.end);
                    last.ranges.end = next.ranges.end;
                    if last.is_whole || next.is_whole {
                        last.is_whole = true;
                        last.bytes = self.blocks_around(&last.bytes);
                    }
                    true
                }
                Some(last) => last.joins(&next),
                None => false,
            };
            if !is_joined {
                requests.push(next);
            }
        }
        requests
    }

    /// Returns the bytes of the blocks that a range touches.
    fn blocks_around(&self, range: &Range<u64>) -> Range<u64> {
        let block = u64::from(self.description.block_bytes);
        let start = range.start & !block.saturating_sub(1);
        let end = range.end.next_multiple_of(block);
        start..end.min(self.description.covered_bytes())
    }

    /// Returns the numbers of the blocks that a range touches.
    fn numbers(&self, range: &Range<u64>) -> Range<u64> {
        let log2 = self.description.block_bytes.trailing_zeros();
        let end = range.end.saturating_sub(1) >> log2;
        range.start >> log2..end.saturating_add(1)
    }

    fn are_verified(&self, range: &Range<u64>) -> bool {
        self.numbers(range).all(|number| {
            let page = self.known.page(number / PAGE_SUMS);
            page.is_some_and(|page| page.is_verified(number))
        })
    }

    /// Verifies the blocks that `bytes` of the data from `start` are, which is where one begins.
    fn verify_blocks(&self, start: u64, bytes: &[u8]) -> Result<()> {
        let block = usize::try_from(self.description.block_bytes).unwrap_or(usize::MAX);
        let first = self.numbers(&(start..start.saturating_add(1))).start;
        for (number, bytes) in (first..).zip(bytes.chunks(block)) {
            let page = self.known.page(number / PAGE_SUMS);
            if page.is_some_and(|page| page.is_verified(number)) {
                continue;
            }
            let sum = sum_of(&self.description.id, Part::Block, number, bytes);
            let Some(page) = page.filter(|page| page.sum(number) == Some(sum)) else {
                let start = number
                    .saturating_mul(block as u64)
                    .saturating_add(DATA_START);
                let len = bytes.len() as u64;
                self.source.forget(start..start.saturating_add(len));
                let reason = format!(
                    "block {number} of {} is damaged: its {len} bytes from {start} do not match \
                     their checksum",
                    self.description.blocks(),
                );
                return Err(self.refused(ErrorKind::Corrupt, reason));
            };
            // What a source delivers the next time may be another object.
            if self.local().is_some() {
                page.set_verified(number);
            }
        }
        Ok(())
    }

    /// Reads and verifies the pages of the table for blocks that will be verified.
    fn load_pages(&self, requests: &[Request]) -> Result<()> {
        let mut missing: Vec<u64> = Vec::new();
        for request in requests.iter().filter(|request| request.is_whole) {
            let blocks = self.numbers(&request.bytes);
            for page in blocks.start / PAGE_SUMS..=blocks.end.saturating_sub(1) / PAGE_SUMS {
                let is_known = self.known.page(page).is_some();
                if !is_known && missing.last() != Some(&page) {
                    missing.push(page);
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.load_index()?;
        let reads: Vec<_> = missing.iter().map(|page| self.page_range(*page)).collect();
        let options = ReadOptions::new();
        self.source.read_all(&options, &reads, &mut |place, bytes| {
            let Some(number) = missing.get(place) else {
                return Ok(());
            };
            self.take_page(*number, bytes)
        })
    }

    /// Returns where a page of the table is.
    fn page_range(&self, number: u64) -> Range<u64> {
        let table = self.description.table();
        let page_bytes = PAGE_SUMS.saturating_mul(SUM_BYTES);
        let start = table
            .start
            .saturating_add(number.saturating_mul(page_bytes));
        start..start.saturating_add(page_bytes).min(table.end)
    }

    /// Verifies and keeps a page of the table.
    pub(super) fn take_page(&self, number: u64, bytes: &[u8]) -> Result<()> {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        let expected = self.index.get().and_then(|index| index.get(place));
        let sum = sum_of(&self.description.id, Part::TablePage, number, bytes);
        if expected != Some(&sum) {
            self.source.forget(self.page_range(number));
            let reason = format!("page {number} of its table of checksums is damaged");
            return Err(self.refused(ErrorKind::Corrupt, reason));
        }
        let kept = self.known.take(number, bytes);
        kept.map_err(|NoMemory| self.source.no_memory())
    }

    /// Reads and verifies the index, if that was not done.
    pub(super) fn load_index(&self) -> Result<()> {
        if self.index.get().is_some() {
            return Ok(());
        }
        let bytes = self.source.read(self.description.index())?;
        self.take_index(&bytes)
    }

    /// Verifies and keeps the index.
    pub(super) fn take_index(&self, bytes: &[u8]) -> Result<()> {
        let sum = sum_of(&self.description.id, Part::Index, 0, bytes);
        if sum != self.description.index_sum {
            self.source.forget(self.description.index());
            let reason = "the index of its checksums is damaged";
            return Err(self.refused(ErrorKind::Corrupt, reason));
        }
        self.index.get_or_init(|| words(bytes).collect());
        Ok(())
    }

    /// Tells the source that bytes which [`read_raw`](Self::read_raw) returned are wrong.
    pub(super) fn forget(&self, range: Range<u64>) {
        self.source.forget(range);
    }

    /// Returns some bytes of the file as they are.
    pub(super) fn read_raw(&self, range: Range<u64>) -> Result<Vec<u8>> {
        self.source.read(range)
    }
}

/// A read, and which of the ranges asked for are in it.
struct Request {
    bytes: Range<u64>,
    ranges: Range<usize>,
    /// Whether it consists of whole blocks, some of which are to be verified.
    is_whole: bool,
}

impl Request {
    /// Returns whether this read and the next one share bytes, and are short together.
    fn overlaps(&self, next: &Self) -> bool {
        let end = self.bytes.end.max(next.bytes.end);
        let is_short = end.saturating_sub(self.bytes.start) <= JOINED_BYTES_MAX;
        next.bytes.start < self.bytes.end && (is_short || end == self.bytes.end)
    }

    /// Makes this read cover the next one too, if they are of one kind and close together.
    fn joins(&mut self, next: &Self) -> bool {
        let gap = if self.is_whole { 0 } else { GAP_BYTES };
        let is_near = next.bytes.start <= self.bytes.end.saturating_add(gap);
        let end = self.bytes.end.max(next.bytes.end);
        let is_short =
            end.saturating_sub(self.bytes.start) <= JOINED_BYTES_MAX || end == self.bytes.end;
        if self.is_whole != next.is_whole || !is_near || !is_short {
            return false;
        }
        self.bytes.end = end;
        self.ranges.end = next.ranges.end;
        true
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("path", &self.local().map(LocalFile::path))
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}
