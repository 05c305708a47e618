//! The items of a sealed file in order.

use std::iter::FusedIterator;

use crate::composites::strings::sealed::bytes::SealedBytesVec;
use crate::composites::strings::sealed::items::{ByteStrings, Strings};
use crate::composites::strings::sealed::text::SealedStrVec;
use crate::error::Result;

/// The items of a file in order, in chunks of about 1 MiB; made by [`SealedBytesVec::scan`].
#[derive(Debug)]
pub struct ScanBytes<'a> {
    items: &'a SealedBytesVec,
    next: usize,
    /// The offsets of the items from `next`, of as many as were read; none before the first.
    offsets: Vec<u64>,
    /// How many of them are of items that were returned.
    used: usize,
}

/// The strings of a file in order, in chunks of about 1 MiB; made by [`SealedStrVec::scan`].
#[derive(Debug)]
pub struct ScanStrings<'a> {
    strings: &'a SealedStrVec,
    chunks: ScanBytes<'a>,
}

/// The bytes of a chunk, if no item alone is longer.
const CHUNK_BYTES: u64 = 1 << 20;

/// The items whose offsets are read at a time.
const OFFSETS: usize = 128 << 10;

impl SealedBytesVec {
    /// Returns an iterator over all items in chunks of about 1 MiB, each verified before it is
    /// returned. It ends after the first error.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{BytesVec, ScratchDir, SealedBytesVec};
    ///
    /// # let name = format!("scan-bytes-example-{}", std::process::id());
    /// # let path = ScratchDir::from_env()?.path().join(name);
    /// let mut blobs = BytesVec::new();
    /// blobs.try_extend((0..100_000).map(|n| vec![7; n % 50]))?;
    /// blobs.seal(&path)?;
    /// let mut bytes = 0;
    /// for chunk in SealedBytesVec::open(&path)?.scan() {
    ///     bytes += chunk?.iter().map(<[u8]>::len).sum::<usize>();
    /// }
    /// assert_eq!(bytes, blobs.len_bytes());
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), outcore::Error>(())
    /// ```
    pub fn scan(&self) -> ScanBytes<'_> {
        ScanBytes {
            items: self,
            next: 0,
            offsets: Vec::new(),
            used: 0,
        }
    }
}

impl SealedStrVec {
    /// Returns an iterator over all strings in chunks of about 1 MiB, each verified and found to be
    /// UTF-8 before it is returned. It ends after the first error.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{ScratchDir, SealedStrVec, StrVec};
    ///
    /// # let name = format!("scan-text-example-{}", std::process::id());
    /// # let path = ScratchDir::from_env()?.path().join(name);
    /// let mut names = StrVec::new();
    /// names.try_extend((0..100_000).map(|n| format!("name {n}")))?;
    /// names.seal(&path)?;
    /// let mut longest = 0;
    /// for chunk in SealedStrVec::open(&path)?.scan() {
    ///     longest = chunk?.iter().map(str::len).fold(longest, usize::max);
    /// }
    /// assert_eq!(longest, "name 99999".len());
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), outcore::Error>(())
    /// ```
    pub fn scan(&self) -> ScanStrings<'_> {
        ScanStrings {
            strings: self,
            chunks: self.as_bytes().scan(),
        }
    }
}

impl ScanBytes<'_> {
    fn read_next(&mut self) -> Result<ByteStrings> {
        let len = self.items.len();
        if self.used.saturating_add(1) >= self.offsets.len() {
            let end = self.next.saturating_add(OFFSETS).min(len);
            self.offsets = self.items.offsets(self.next..end)?;
            self.used = 0;
        }
        let offsets = self.offsets.get(self.used..).unwrap_or_default();
        let end = offsets
            .first()
            .map_or(0, |start| start.saturating_add(CHUNK_BYTES));
        // One item at least, of which there are two offsets.
        let count = offsets.partition_point(|offset| *offset <= end).max(2);
        let items = self
            .items
            .read_parts(self.next, offsets.get(..count).unwrap_or_default())?;
        let count = count.saturating_sub(1);
        self.used = self.used.saturating_add(count);
        self.next = self.next.saturating_add(count);
        Ok(items)
    }
}

impl Iterator for ScanBytes<'_> {
    type Item = Result<ByteStrings>;

    fn next(&mut self) -> Option<Result<ByteStrings>> {
        if self.next >= self.items.len() {
            return None;
        }
        let read = self.read_next();
        if read.is_err() {
            self.next = self.items.len();
        }
        Some(read)
    }
}

impl Iterator for ScanStrings<'_> {
    type Item = Result<Strings>;

    fn next(&mut self) -> Option<Result<Strings>> {
        let first = self.chunks.next;
        let chunk = self.chunks.next()?;
        let read = chunk.and_then(|items| {
            let strings = Strings::of(items);
            strings.map_err(|place| self.strings.not_utf8(first.saturating_add(place)))
        });
        if read.is_err() {
            self.chunks.next = self.strings.len();
        }
        Some(read)
    }
}

impl FusedIterator for ScanBytes<'_> {}
impl FusedIterator for ScanStrings<'_> {}
