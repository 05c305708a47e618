//! Strings in a file that was sealed: byte strings, each of which is checked to be UTF-8.

use std::cmp::Ordering;
use std::fmt;
use std::ops::RangeBounds;
use std::path::Path;
use std::str;

use crate::composites::strings::sealed::bytes::SealedBytesVec;
use crate::composites::strings::sealed::items::Strings;
use crate::composites::strings::str_vec::StrVec;
use crate::error::{Error, ErrorKind, Result};
use crate::format::ranges::ReadRanges;

/// Strings in a file that [`StrVec::seal`] has written.
///
/// It opens with a few reads, however long it is, and reads through system calls. A block of the file
/// is verified before its first byte is returned, once: a byte that changed on the device is an error
/// that names the block, and never a wrong string. Any number of processes and threads can read the
/// file at a time.
///
/// # Examples
///
/// ```
/// use outcore::{ErrorKind, ScratchDir, SealedStrVec, StrVec};
///
/// # let name = format!("sealed-text-example-{}", std::process::id());
/// # let path = ScratchDir::from_env()?.path().join(name);
/// let mut names = StrVec::new();
/// names.try_extend((10_000..20_000).map(|n| format!("name {n}")))?;
/// names.seal(&path)?;
///
/// let names = SealedStrVec::open(&path)?;
/// assert_eq!((names.len(), names.get(9_999)?.as_str()), (10_000, "name 19999"));
/// assert_eq!(names.read(5..7)?, ["name 10005", "name 10006"]);
/// assert_eq!(names.gather(&[9_999, 0])?, ["name 19999", "name 10000"]);
/// assert_eq!(names.binary_search("name 12345")?, Ok(2345));
/// assert_eq!(names.get(10_000).unwrap_err().kind(), ErrorKind::OutOfBounds);
/// names.verify()?;
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # UTF-8
///
/// Checksums do not prove that a file has UTF-8: its author computes them too. So the bytes of
/// each string are checked when they arrive in memory, a whole chunk or batch at once, and not again
/// while they stay there. A string that is not UTF-8 is an error of the kind
/// [`InvalidUtf8`](ErrorKind::InvalidUtf8); [`as_bytes`](Self::as_bytes) reads it.
///
/// # What is not detected
///
/// The checksums are for devices, file systems and programs that lose or mix up bytes. They are no
/// protection against an adversary, who can compute them too. Such a file has other strings than
/// expected, or returns errors, and nothing worse. A block that was verified and changes afterwards,
/// while the file is open, is not noticed.
///
/// # Memory
///
/// For each block of 16 KiB a bit, and 8 bytes once its part of the table was read.
pub struct SealedStrVec {
    items: SealedBytesVec,
}

impl SealedStrVec {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// * [`WrongType`](ErrorKind::WrongType): the file holds no strings. If it holds byte strings,
    ///   [`SealedBytesVec`] opens it.
    /// * Otherwise those of [`SealedBytesVec::open`].
    ///
    /// # Cost
    ///
    /// Four system calls, one of which reads 32 KiB.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::of(SealedBytesVec::open(path)?)
    }

    /// Opens a file that comes from somewhere else, such as an object store.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and those of the source.
    pub fn open_from(source: impl ReadRanges + 'static) -> Result<Self> {
        Self::of(SealedBytesVec::open_from(source)?)
    }

    fn of(items: SealedBytesVec) -> Result<Self> {
        if !items.is_text() {
            let reason = "it holds byte strings, which may be no text: open it as SealedBytesVec";
            return Err(items.sealed().refused(ErrorKind::WrongType, reason));
        }
        Ok(Self { items })
    }

    /// Returns the strings as byte strings.
    pub fn as_bytes(&self) -> &SealedBytesVec {
        &self.items
    }

    /// Returns a copy of a string.
    ///
    /// # Errors
    ///
    /// * [`OutOfBounds`](ErrorKind::OutOfBounds): the index is not below the length.
    /// * [`Corrupt`](ErrorKind::Corrupt): its block is damaged. Strings of other blocks can be read.
    /// * [`InvalidUtf8`](ErrorKind::InvalidUtf8): it is not UTF-8, since another program wrote it so.
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): there is no memory for the copy.
    /// * [`Io`](ErrorKind::Io): the system failed to read.
    ///
    /// # Cost
    ///
    /// That of [`SealedBytesVec::get`], and the check of its bytes.
    pub fn get(&self, index: usize) -> Result<String> {
        let item = self.items.get(index)?;
        String::from_utf8(item).map_err(|_wrong| self.not_utf8(index))
    }

    /// Returns copies of a range of strings.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    ///
    /// # Cost
    ///
    /// That of [`SealedBytesVec::read`], and one check of all bytes.
    pub fn read(&self, range: impl RangeBounds<usize>) -> Result<Strings> {
        let range = self.items.sealed().range_within(range, self.len())?;
        let strings = Strings::of(self.items.read(range.clone())?);
        strings.map_err(|place| self.not_utf8(range.start.saturating_add(place)))
    }

    /// Returns copies of the strings at `indices`, in their order. Many reads are in flight at a time.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    ///
    /// # Cost
    ///
    /// That of [`SealedBytesVec::gather`], and one check of all bytes.
    pub fn gather(&self, indices: &[usize]) -> Result<Strings> {
        let strings = Strings::of(self.items.gather(indices)?);
        strings.map_err(|place| self.not_utf8(indices.get(place).copied().unwrap_or(0)))
    }

    /// Searches the strings, which are sorted, for one: `Ok` with the index of the first that is
    /// equal, or `Err` with the index at which it could be inserted.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get). What is compared are bytes, whose order is that of the strings, so
    /// none of them is [`InvalidUtf8`](ErrorKind::InvalidUtf8).
    ///
    /// # Cost
    ///
    /// Reads one string for each halving of the length.
    pub fn binary_search(&self, string: impl AsRef<str>) -> Result<Result<usize, usize>> {
        self.items.binary_search(string.as_ref())
    }

    /// Does the same with a function that says how a string compares to what is searched.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub fn binary_search_by(
        &self,
        mut compare: impl FnMut(&str) -> Ordering,
    ) -> Result<Result<usize, usize>> {
        self.items
            .search_by(|index, item| match str::from_utf8(item) {
                Ok(string) => Ok(compare(string)),
                Err(_wrong) => Err(self.not_utf8(index)),
            })
    }

    /// Copies the strings into a [`StrVec`], to go on working with them.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get) and of [`StrVec::push`].
    pub fn to_str_vec(&self) -> Result<StrVec> {
        let mut strings = StrVec::new();
        strings.reserve(self.len(), self.len_bytes())?;
        for chunk in self.scan() {
            strings.try_extend(chunk?.iter())?;
        }
        Ok(strings)
    }

    /// Returns the number of strings.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether there are no strings.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the number of bytes of all strings together.
    pub fn len_bytes(&self) -> usize {
        self.items.len_bytes()
    }

    /// Verifies every byte of the file, also those that were verified before.
    ///
    /// # Errors
    ///
    /// * [`Corrupt`](ErrorKind::Corrupt): the message names the first damaged part. Strings of other
    ///   blocks can be read.
    /// * [`Io`](ErrorKind::Io): the system failed to read.
    ///
    /// # Cost
    ///
    /// Reads the whole file, 8 MiB at a time.
    pub fn verify(&self) -> Result<()> {
        self.items.verify()
    }

    #[cold]
    pub(super) fn not_utf8(&self, index: usize) -> Error {
        self.items
            .sealed()
            .refused(ErrorKind::InvalidUtf8, not_utf8(index))
    }
}

/// Says that a string is none.
#[cold]
pub(super) fn not_utf8(index: usize) -> String {
    format!("string {index} is not UTF-8, although the file says so; read it as bytes")
}

impl fmt::Debug for SealedStrVec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStrVec")
            .field("items", &self.items)
            .finish()
    }
}
