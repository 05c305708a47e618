//! Ranges: those that one owner writes, and those that are written.

use std::fmt;
use std::io;
use std::ops::{Bound, Deref, DerefMut, RangeBounds};
use std::sync::Arc;

use crate::bug::bug;
use crate::containers::range_file::align::{align_down, align_up};
use crate::containers::range_file::owned_range::{FrozenRange, OwnedRange};
use crate::error::Result;
use crate::exact::{difference, first, narrow, sum};

/// A range of a [`RangeFile`](crate::RangeFile) that no other code can read or write.
///
/// It is a `&mut [u8]` into the file: stored bytes are in the file, with no copy and no system
/// call. It holds its file open, cannot be copied, and moves into threads and tasks.
///
/// [`freeze`](Self::freeze) ends writing. Dropping the range instead gives it back: it can be
/// allocated and claimed again, with the bytes that were stored in it.
///
/// # Examples
///
/// ```
/// use outcore::range_file::ALIGNMENT;
/// use outcore::RangeFile;
///
/// # let dir = std::env::temp_dir();
/// let file = RangeFile::create(dir.join("outcore-doc-range"), 4 * ALIGNMENT)?;
/// let mut range = file.allocate(2 * ALIGNMENT).expect("there is room");
/// range[..5].copy_from_slice(b"hello"); // small: through the slice
/// range.write_all_at(&[7; 4000], 5)?; // by a system call
/// let written = range.freeze();
/// assert_eq!((written[0], written[4004]), (b'h', 7));
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// A range that was split or frozen cannot be used any more:
///
/// ```compile_fail,E0382
/// # let file = outcore::RangeFile::create("unused", 8192).unwrap();
/// let mut range = file.allocate(8192).unwrap();
/// let (low, high) = range.split_at(4096);
/// range[0] = 1; // both halves could be written elsewhere
/// ```
///
/// ```compile_fail,E0382
/// # let file = outcore::RangeFile::create("unused", 8192).unwrap();
/// let mut range = file.allocate(8192).unwrap();
/// let written = range.freeze();
/// range[0] = 1; // others may be reading it
/// ```
///
/// ```compile_fail,E0599
/// # let file = outcore::RangeFile::create("unused", 8192).unwrap();
/// let range = file.allocate(8192).unwrap();
/// let same: outcore::FileRangeMut = range.clone();
/// ```
///
/// # Which way to write
///
/// Write buffers of 64 KiB and more by [`write_all_at`](Self::write_all_at) or [`io::Write`]: one
/// system call each, and no page fault. Use the slice for what is shorter, is made in place, or
/// overwrites bytes in memory: the kernel locks the file for each write, so that the system calls
/// of several threads wait for each other, while a page fault loads many pages at once when a file
/// is filled in order. From two threads in pieces of 4 KiB, the slice is nearly twice as fast
/// (docs/performance.md). Both ways see each other's bytes at once.
#[must_use = "a range that is dropped is given back to its file"]
pub struct FileRangeMut {
    owned: OwnedRange,
    /// The position of `io::Write` in the file.
    position: u64,
}

impl FileRangeMut {
    #[inline]
    pub(super) fn of(owned: OwnedRange) -> Self {
        let position = owned.start();
        Self { owned, position }
    }

    /// Returns the offset of the first byte in the file.
    pub fn start(&self) -> u64 {
        self.owned.start()
    }

    /// Returns the offset in the file behind the last byte.
    pub fn end(&self) -> u64 {
        self.owned.end()
    }

    /// Writes all of `bytes` at `offset`, counted from the start of the range, by a system call.
    ///
    /// For buffers of 64 KiB and more; shorter ones are faster through the slice, unless they are
    /// far from everything else that is written.
    ///
    /// # Errors
    ///
    /// * [`OutOfBounds`](crate::ErrorKind::OutOfBounds): they do not fit into the range; none was
    ///   written.
    /// * [`Io`](crate::ErrorKind::Io): some of them may have been written; write all of them again.
    /// * [`FileTooLarge`](crate::ErrorKind::FileTooLarge): the limit of file size (`RLIMIT_FSIZE`)
    ///   was lowered after the file was created. Some may have been written, up to the limit.
    ///   Stores through the slice are not limited. No signal is sent.
    /// * [`Forked`](crate::ErrorKind::Forked): the range belongs to the parent of this process.
    ///
    /// # Cost
    ///
    /// One `pwrite`, as a rule.
    pub fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let at = self.start().saturating_add(offset);
        self.owned.write_all_at(bytes, at)
    }

    /// Splits the range `middle` bytes behind its start, which may be any byte.
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = std::env::temp_dir().join("outcore-doc-split");
    /// let file = outcore::RangeFile::create(path, 8192)?;
    /// let (mut low, mut high) = file.allocate(8192).expect("there is room").split_at(100);
    /// assert_eq!((low.len(), high.start()), (100, 100));
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| low.fill(1));
    ///     scope.spawn(|| high.fill(2));
    /// });
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `middle` is more than the length.
    #[track_caller]
    pub fn split_at(self, middle: u64) -> (Self, Self) {
        let (start, end) = (self.start(), self.end());
        let len = difference(end, start);
        assert!(middle <= len, "cannot split {len} bytes at {middle}");
        self.split_in_file(sum(start, middle))
    }

    /// Splits the range at the first multiple of [`ALIGNMENT`](crate::range_file::ALIGNMENT) in the
    /// file from `middle` on; at its end, if the range contains none.
    ///
    /// # Panics
    ///
    /// If `middle` is more than the length.
    #[track_caller]
    pub fn split_at_aligned_up(self, middle: u64) -> (Self, Self) {
        let (start, end) = (self.start(), self.end());
        let len = difference(end, start);
        assert!(middle <= len, "cannot split {len} bytes at {middle}");
        self.split_in_file(align_up(sum(start, middle)).min(end))
    }

    /// Splits the range at the last multiple of [`ALIGNMENT`](crate::range_file::ALIGNMENT) in the
    /// file up to `middle`; at its start, if the range contains none.
    ///
    /// # Panics
    ///
    /// If `middle` is more than the length.
    #[track_caller]
    pub fn split_at_aligned_down(self, middle: u64) -> (Self, Self) {
        let (start, end) = (self.start(), self.end());
        let len = difference(end, start);
        assert!(middle <= len, "cannot split {len} bytes at {middle}");
        self.split_in_file(align_down(sum(start, middle)).max(start))
    }

    /// Splits at an offset of the file, which was checked.
    fn split_in_file(self, at: u64) -> (Self, Self) {
        let Self { owned, position } = self;
        let (low, high) = owned.split_at(at);
        let range = |owned, position| Self { owned, position };
        (range(low, position.min(at)), range(high, position.max(at)))
    }

    /// Ends writing: from now on the range can be read, shared and flushed, and never be written
    /// again.
    ///
    /// [`RangeFile::written`](crate::RangeFile::written) records the range.
    ///
    /// # Cost
    ///
    /// No system call; one small allocation.
    pub fn freeze(self) -> FileRange {
        let (start, end) = (self.start(), self.end());
        let frozen = Arc::new(self.owned.freeze());
        FileRange { frozen, start, end }
    }
}

impl Deref for FileRangeMut {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.owned.bytes()
    }
}

impl DerefMut for FileRangeMut {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.owned.bytes_mut()
    }
}

impl AsRef<[u8]> for FileRangeMut {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for FileRangeMut {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl io::Write for FileRangeMut {
    /// Writes by a system call, from the start of the range on; at its end, writes nothing more.
    ///
    /// After an error, writing continues at the same position: some of `bytes` may be in the file,
    /// and are written again.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = difference(self.end(), self.position);
        let len = narrow::<_, usize>(room).min(bytes.len());
        let offset = difference(self.position, self.start());
        self.write_all_at(first(bytes, len), offset)?;
        self.position = sum(self.position, len as u64);
        Ok(len)
    }

    /// Does nothing: written bytes are in the file. See [`FileRange::flush`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for FileRangeMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileRangeMut({}..{})", self.start(), self.end())
    }
}

/// A range of a [`RangeFile`](crate::RangeFile) that was written, and never changes again.
///
/// It is a `&[u8]` into the file. Clones are cheap and share the range; the file stays open until
/// the last one is dropped. (An empty range does not hold the file.)
///
/// Only [`FileRangeMut::freeze`] creates one, so a range that was not written cannot be flushed:
///
/// ```compile_fail,E0599
/// # let file = outcore::RangeFile::create("unused", 4096).unwrap();
/// let range = file.allocate(4096).unwrap();
/// range.flush()?;
/// # Ok::<(), outcore::Error>(())
/// ```
#[derive(Clone)]
pub struct FileRange {
    /// The frozen range of the file that this range is, or is a part of.
    frozen: Arc<FrozenRange>,
    start: u64,
    end: u64,
}

impl FileRange {
    /// Returns the offset of the first byte in the file.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Returns the offset in the file behind the last byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Returns some of the bytes of this range as a separate range; `range` counts from its start.
    ///
    /// # Panics
    ///
    /// If `range` is not in this one.
    #[track_caller]
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<u64>) -> Self {
        let len = difference(self.end, self.start);
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => len,
        };
        assert!(
            start <= end && end <= len,
            "{start}..{end} is no range of {len} bytes"
        );
        Self {
            frozen: Arc::clone(&self.frozen),
            start: sum(self.start, start),
            end: sum(self.start, end),
        }
    }

    /// Waits until the bytes of the range are on the device, no matter how they were written.
    ///
    /// If the file is not [published](crate::RangeFile::publish) yet, a power cut deletes it
    /// nevertheless: it has no name.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the bytes may be lost. From then on every sync of the file
    /// fails, since the system reports lost pages only once; write the content to another file.
    /// [`Forked`](crate::ErrorKind::Forked): the file belongs to the parent of this process.
    ///
    /// # Cost
    ///
    /// One `msync`, which writes the pages of the range that were changed, and waits.
    pub fn flush(&self) -> Result<()> {
        self.frozen.sync(&(self.start..self.end))
    }
}

impl Deref for FileRange {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let first = self.frozen.start();
        let offset = |at: u64| narrow::<_, usize>(difference(at, first));
        let bytes = self.frozen.bytes();
        let part = bytes.get(offset(self.start)..offset(self.end));
        part.unwrap_or_else(|| bug!("{}..{} of {} bytes", self.start, self.end, bytes.len()))
    }
}

impl AsRef<[u8]> for FileRange {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for FileRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileRange({}..{})", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cross_threads() {
        fn crosses<T: Send + Sync + 'static>() {}
        crosses::<FileRangeMut>();
        crosses::<FileRange>();
    }
}
