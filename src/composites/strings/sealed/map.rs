//! The items of a sealed file in memory, without a copy.
#![expect(
    unsafe_code,
    reason = "lends bytes of a mapped file as text after a check; see docs/safety.md"
)]

use std::fmt;
use std::path::PathBuf;
use std::str;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::composites::strings::sealed::bytes::{SealedBytesVec, contradiction, pair};
use crate::composites::strings::sealed::text::{SealedStrVec, not_utf8};
use crate::error::{Error, ErrorKind, Result};
use crate::format::map::MappedData;
use crate::format::ranges::LocalFile;
use crate::format::strings::StringsLayout;

/// The items of a sealed file, without a copy; made by [`SealedBytesVec::map`].
pub struct SealedBytesMap {
    data: MappedData,
    layout: StringsLayout,
    len: usize,
    path: PathBuf,
}

/// The strings of a sealed file, without a copy; made by [`SealedStrVec::map`].
pub struct SealedStrMap {
    /// # Invariants
    ///
    /// 1. What an index leads to stays the same as long as the map lives: the same bytes, or an error.
    items: SealedBytesMap,
    /// # Invariants
    ///
    /// 2. True only if every item was found to be UTF-8.
    is_checked: AtomicBool,
}

impl SealedBytesVec {
    /// Maps the file, and lends its items.
    ///
    /// Nothing is verified: call [`verify`](Self::verify) before, if the file may be damaged. Wrong
    /// bytes are wrong items or errors, and nothing worse.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{BytesVec, ScratchDir, SealedBytesVec};
    ///
    /// # let name = format!("map-bytes-example-{}", std::process::id());
    /// # let path = ScratchDir::from_env()?.path().join(name);
    /// let mut blobs = BytesVec::new();
    /// blobs.try_extend([b"one", b"two"])?;
    /// blobs.seal(&path)?;
    /// let blobs = SealedBytesVec::open(&path)?;
    /// // SAFETY: the file was just made, and no other program knows of it.
    /// let map = unsafe { blobs.map()? };
    /// assert_eq!(map.get(1)?, b"two");
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Safety
    ///
    /// While the map lives, no process writes to the file or shortens it. (To replace it by another
    /// file of the same name, and to remove the name, is allowed.)
    ///
    /// # Errors
    ///
    /// * [`Io`](ErrorKind::Io): the items come from another source than a file of this machine, or the
    ///   system refuses the mapping.
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): no addresses are left.
    ///
    /// # Cost
    ///
    /// One `mmap`. A page that the device cannot deliver kills the process with `SIGBUS` when it is
    /// accessed, as with every mapped file.
    pub unsafe fn map(&self) -> Result<SealedBytesMap> {
        // SAFETY: the caller vouches for the file.
        let data = unsafe { self.sealed().map()? };
        let path = self.sealed().local().map(LocalFile::path);
        Ok(SealedBytesMap {
            data,
            layout: *self.layout(),
            len: self.len(),
            path: path.map_or_else(PathBuf::new, PathBuf::from),
        })
    }
}

impl SealedBytesMap {
    /// Returns an item.
    ///
    /// # Errors
    ///
    /// * [`OutOfBounds`](ErrorKind::OutOfBounds): the index is not below the length.
    /// * [`Corrupt`](ErrorKind::Corrupt): the place that the file names for it cannot be.
    pub fn get(&self, index: usize) -> Result<&[u8]> {
        let end = index.checked_add(1).filter(|end| *end <= self.len);
        let Some(end) = end else {
            let reason = format!("the len is {} but the index is {index}", self.len);
            return Err(self.refused(ErrorKind::OutOfBounds, reason));
        };
        let place = self.layout.offsets_of(index..end);
        let (start, end) = self.part(place.start, place.end).map_or((1, 0), pair);
        let is_item = end <= self.layout.text_bytes();
        let item = self.part(start, end).filter(|_| is_item);
        item.ok_or_else(|| self.refused(ErrorKind::Corrupt, contradiction(index)))
    }

    /// Returns an iterator over all items, with the errors of [`get`](Self::get).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<&[u8]>> {
        (0..self.len).map(|index| self.get(index))
    }

    /// Returns the bytes of all items, one after another.
    pub fn as_bytes(&self) -> &[u8] {
        self.part(0, self.layout.text_bytes()).unwrap_or_default()
    }

    /// Returns the number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns some bytes of the data, if they are there.
    fn part(&self, start: u64, end: u64) -> Option<&[u8]> {
        let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
        self.data.bytes().get(start..end)
    }

    #[cold]
    fn refused(&self, kind: ErrorKind, reason: String) -> Error {
        Error::refused(kind, "read", reason).at(&self.path)
    }
}

impl SealedStrVec {
    /// Maps the file, and lends its strings.
    ///
    /// No checksum is verified: call [`verify`](Self::verify) before, if the file may be damaged.
    /// Whether a string is UTF-8 is checked each time, until [`SealedStrMap::check`] has checked all.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{ScratchDir, SealedStrVec, StrVec};
    ///
    /// # let name = format!("map-text-example-{}", std::process::id());
    /// # let path = ScratchDir::from_env()?.path().join(name);
    /// let mut names = StrVec::new();
    /// names.try_extend(["Ada", "Grace"])?;
    /// names.seal(&path)?;
    /// let names = SealedStrVec::open(&path)?;
    /// // SAFETY: the file was just made, and no other program knows of it.
    /// let map = unsafe { names.map()? };
    /// map.check()?;
    /// assert_eq!(map.get(1)?, "Grace");
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Safety
    ///
    /// While the map lives, no process writes to the file or shortens it. (To replace it by another
    /// file of the same name, and to remove the name, is allowed.)
    ///
    /// # Errors
    ///
    /// Those of [`SealedBytesVec::map`].
    ///
    /// # Cost
    ///
    /// That of [`SealedBytesVec::map`].
    pub unsafe fn map(&self) -> Result<SealedStrMap> {
        // SAFETY: the caller vouches for the file.
        let items = unsafe { self.as_bytes().map()? };
        Ok(SealedStrMap {
            items,
            is_checked: AtomicBool::new(false),
        })
    }
}

impl SealedStrMap {
    /// Returns a string.
    ///
    /// # Errors
    ///
    /// * [`OutOfBounds`](ErrorKind::OutOfBounds): the index is not below the length.
    /// * [`Corrupt`](ErrorKind::Corrupt): the place that the file names for it cannot be.
    /// * [`InvalidUtf8`](ErrorKind::InvalidUtf8): it is not UTF-8.
    ///
    /// # Cost
    ///
    /// A check of its bytes, until [`check`](Self::check) has succeeded.
    pub fn get(&self, index: usize) -> Result<&str> {
        let item = self.items.get(index)?;
        // No other data are published by the flag: the file is what was checked.
        if self.is_checked.load(Relaxed) {
            debug_assert!(str::from_utf8(item).is_ok());
            // SAFETY: each item was found to be UTF-8 (invariant 2), and this one is still the same
            // (invariant 1).
            return Ok(unsafe { str::from_utf8_unchecked(item) });
        }
        self.checked(index, item)
    }

    fn checked<'a>(&self, index: usize, item: &'a [u8]) -> Result<&'a str> {
        let string = str::from_utf8(item);
        string.map_err(|_wrong| self.items.refused(ErrorKind::InvalidUtf8, not_utf8(index)))
    }

    /// Checks that all strings are UTF-8, so that none is checked again.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), for the first string that has one.
    ///
    /// # Cost
    ///
    /// Reads all strings in order, once.
    pub fn check(&self) -> Result<()> {
        if self.is_checked.load(Relaxed) {
            return Ok(());
        }
        for (index, item) in self.items.iter().enumerate() {
            self.checked(index, item?)?;
        }
        self.is_checked.store(true, Relaxed);
        Ok(())
    }

    /// Returns an iterator over all strings, with the errors of [`get`](Self::get).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<&str>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Returns the number of strings.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether there are no strings.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl fmt::Debug for SealedBytesMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedBytesMap")
            .field("len", &self.len)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SealedStrMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStrMap")
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}
