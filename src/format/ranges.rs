//! Where the bytes of a sealed file come from: a local file, or anything else that gives ranges.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::Result;
use crate::io::file::OwnedFile;
use crate::io::place::Place;
use crate::io::refusal::Refusal;
use crate::read::ReadOptions;
use crate::read::batch::{Piece, read_batch};
use crate::read::idle::Idle;
use crate::read::span::Span;

/// Bytes of one read that needs no allocation.
const SHORT_BYTES: usize = 4096;

/// A file, an object of a store or anything else that gives ranges of its bytes.
///
/// Sealed files are read through it: see [`SealedFile::open_from`](crate::sealed::SealedFile::open_from).
/// Nothing that it delivers is trusted: whole blocks are asked for, and each is checked against its
/// checksum every time, since an object may be replaced between two reads. Then that is an error, and so
/// are ranges of another length than asked for. Blocks of a file of this machine are checked once.
///
/// # Examples
///
/// ```
/// use std::io;
/// use std::ops::Range;
///
/// use outcore::sealed::ReadRanges;
///
/// struct Object(Vec<u8>);
///
/// impl ReadRanges for Object {
///     fn read_tail(&self, len: usize) -> io::Result<(u64, Vec<u8>)> {
///         let start = self.0.len().saturating_sub(len);
///         Ok((self.0.len() as u64, self.0[start..].to_vec()))
///     }
///
///     fn read_ranges(
///         &self,
///         ranges: &[Range<u64>],
///         deliver: &mut dyn FnMut(usize, &[u8]),
///     ) -> io::Result<()> {
///         for (number, range) in ranges.iter().enumerate() {
///             let bytes = self.0.get(range.start as usize..range.end as usize);
///             deliver(number, bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait ReadRanges: Send + Sync {
    /// Returns the length of the whole in bytes, and its last `len` bytes; all of them if there are
    /// fewer.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from that.
    fn read_tail(&self, len: usize) -> io::Result<(u64, Vec<u8>)>;

    /// Reads ranges of bytes, and passes each to `deliver` with its place in `ranges`, in any order.
    ///
    /// The ranges are not empty, and may overlap. Those that are close together were joined.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from that; some ranges may have been delivered.
    fn read_ranges(
        &self,
        ranges: &[Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> io::Result<()>;

    /// Is called when bytes that were delivered did not match their checksum, also from within
    /// `deliver`: a source that caches drops what it has of the range. The read returns an error.
    ///
    /// It does nothing by default.
    fn forget(&self, _range: Range<u64>) {}
}

/// A file of this machine, read by system calls.
#[derive(Debug)]
pub(crate) struct LocalFile {
    file: OwnedFile,
    path: PathBuf,
    len: u64,
    idle: Arc<Idle>,
}

impl LocalFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (file, len) = Place::new("open", path)?.open_to_read()?;
        Ok(Self::of(file, path, len))
    }

    /// Takes an open file of this length; the path is for errors.
    pub(crate) fn of(file: OwnedFile, path: &Path, len: u64) -> Self {
        Self {
            file,
            path: path.to_owned(),
            len,
            idle: Idle::shared(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &OwnedFile {
        &self.file
    }

    fn error(&self, refused: Refusal) -> io::Error {
        // Wrapped, so that the path arrives.
        io::Error::other(refused.of_file("read", &self.path))
    }

    /// Reads ranges as [`ReadRanges::read_ranges`] does, in the way that `options` say.
    pub(super) fn read_ranges_with(
        &self,
        options: &ReadOptions,
        ranges: &[Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> io::Result<()> {
        if let ([range], false) = (ranges, options.is_direct()) {
            return self.read_one(range, deliver);
        }
        for range in ranges {
            len_of_range(range)?;
        }
        let piece = |index: usize| {
            let range = ranges.get(index)?;
            let len = len_of_range(range).ok()?;
            Some(Piece {
                file: &self.file,
                span: Span::new(range.start, len),
                index,
            })
        };
        let read = read_batch(options, &self.idle, &piece, deliver);
        read.map_err(|refused| self.error(refused))
    }

    fn read_one(
        &self,
        range: &Range<u64>,
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> io::Result<()> {
        let len = len_of_range(range)?;
        let mut short = [0; SHORT_BYTES];
        if let Some(bytes) = short.get_mut(..len) {
            let read = self.file.read_over(bytes, range.start);
            read.map_err(|refused| self.error(refused))?;
            deliver(0, bytes);
            return Ok(());
        }
        let mut bytes = Vec::new();
        let read = self.file.read_to_end_of(&mut bytes, len, range.start);
        read.map_err(|refused| self.error(refused))?;
        deliver(0, &bytes);
        Ok(())
    }
}

impl ReadRanges for LocalFile {
    fn read_tail(&self, len: usize) -> io::Result<(u64, Vec<u8>)> {
        let start = self.len.saturating_sub(len as u64);
        let len = len_of_range(&(start..self.len))?;
        let mut bytes = Vec::new();
        let read = self.file.read_to_end_of(&mut bytes, len, start);
        read.map_err(|refused| self.error(refused))?;
        Ok((self.len, bytes))
    }

    fn read_ranges(
        &self,
        ranges: &[Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> io::Result<()> {
        self.read_ranges_with(&ReadOptions::new(), ranges, deliver)
    }
}

/// Returns the length of a range in memory.
fn len_of_range(range: &Range<u64>) -> io::Result<usize> {
    let len = range.end.saturating_sub(range.start);
    usize::try_from(len).map_err(|_long| io::ErrorKind::OutOfMemory.into())
}

/// Bytes in memory that count how they are read: for tests of what reads a sealed file, and of how
/// many requests that would be to an object store.
///
/// # Examples
///
/// ```
/// use outcore::sealed::{MemoryRanges, ReadRanges};
///
/// let bytes = MemoryRanges::new(b"some bytes".to_vec());
/// assert_eq!(bytes.read_tail(5)?, (10, b"bytes".to_vec()));
/// assert_eq!(bytes.requests(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryRanges {
    bytes: Arc<Vec<u8>>,
    requests: Arc<AtomicU64>,
}

impl MemoryRanges {
    /// Makes a source of these bytes. Clones share the bytes and the count.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Arc::new(bytes),
            requests: Arc::default(),
        }
    }

    /// Returns the number of tails and ranges that were read.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }
}

impl ReadRanges for MemoryRanges {
    fn read_tail(&self, len: usize) -> io::Result<(u64, Vec<u8>)> {
        self.requests.fetch_add(1, Relaxed);
        let start = self.bytes.len().saturating_sub(len);
        let tail = self.bytes.get(start..).unwrap_or_default();
        Ok((self.bytes.len() as u64, tail.to_vec()))
    }

    fn read_ranges(
        &self,
        ranges: &[Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> io::Result<()> {
        for (number, range) in ranges.iter().enumerate() {
            self.requests.fetch_add(1, Relaxed);
            let place = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX);
            let bytes = self.bytes.get(place(range.start)..place(range.end));
            deliver(number, bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        }
        Ok(())
    }
}

impl fmt::Debug for MemoryRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRanges")
            .field("len", &self.bytes.len())
            .field("requests", &self.requests())
            .finish_non_exhaustive()
    }
}
