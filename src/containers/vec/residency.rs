//! Which part of a vector is in memory, and advice to the kernel.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Range, RangeBounds};

use crate::containers::vec::DiskVec;
use crate::containers::vec::remove::checked_range;
use crate::error::Result;
use crate::io::cache::pass::Pass;
use crate::mapping::advice::Advice;

/// Bytes of one chunk of a scan.
const CHUNK_BYTES: usize = 2 << 20;

impl<T> DiskVec<T> {
    /// Sets the expected order of accesses, for now and as the vector grows.
    ///
    /// With [`Advice::Random`], a page that is not in memory is read alone, and one stored element
    /// dirties one page. Elements in memory are written back and released first: otherwise pages
    /// that were written in bulk stay parts of larger folios.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system refuses, or fails to write back, as for
    /// [`evict`](Self::evict).
    ///
    /// # Cost
    ///
    /// One `madvise` and one `fadvise`; for [`Advice::Random`] also that of
    /// [`evict(..)`](Self::evict), and from then on one `pwrite` for each appended page instead of
    /// one for each MiB.
    pub fn advise(&mut self, advice: Advice) -> Result<()> {
        let advised = self.region.advise(advice);
        advised.map_err(|refused| self.region.error(refused))
    }

    /// Returns the last advice.
    pub fn advice(&self) -> Advice {
        self.region.advice()
    }

    /// Starts to read elements from disk, and does not wait for them.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system refuses.
    ///
    /// # Panics
    ///
    /// If the range starts after its end, or ends after the length.
    #[track_caller]
    pub fn prefetch(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let started = self.region.prefetch(self.bytes_of(range));
        started.map_err(|refused| self.region.error(refused))
    }

    /// Writes elements back to disk and releases them from memory, as far as they are in the file;
    /// the window at the end, of at most 1 MiB, stays.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system fails to write back. The elements stay in memory,
    /// and as the kernel reports lost pages only once, every later call fails too, so that memory
    /// that may be the only copy is not released.
    ///
    /// # Panics
    ///
    /// If the range starts after its end, or ends after the length.
    ///
    /// # Cost
    ///
    /// One `fdatasync` of the whole file, one `madvise` and one `fadvise`.
    #[track_caller]
    pub fn evict(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let evicted = self.region.evict(self.bytes_of(range));
        evicted.map_err(|refused| self.region.error(refused))
    }

    /// Returns the number of bytes of the elements that are in memory and mapped by this process.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): `/proc/thread-self/pagemap` cannot be read.
    ///
    /// # Cost
    ///
    /// Reads eight bytes for each page of the vector.
    pub fn resident_bytes(&self) -> Result<u64> {
        let resident = self.region.resident_bytes();
        resident.map_err(|refused| self.region.error(refused))
    }

    /// Returns an iterator over all elements in chunks of about 2 MiB, which makes the kernel read
    /// ahead and releases chunks after they were read: a scan of any length keeps a few MiB mapped.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut numbers = outcore::DiskVec::new();
    /// numbers.try_extend(0..1_000_000_u64)?;
    /// let sum: u64 = numbers.scan().map(|chunk| chunk.iter().sum::<u64>()).sum();
    /// assert_eq!(sum, 499_999_500_000);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// One `madvise` for each chunk, and two for the whole; for each 2 MiB, calls that find out whether
    /// they were in the page cache before, and one that drops them if not, if they have no place in
    /// the share that [`CachePolicy::Auto`](crate::CachePolicy::Auto) explains. The kernel reads ahead
    /// as much as `read_ahead_kb` of the device permits.
    pub fn scan(&self) -> Scan<'_, T> {
        self.region.expect(Some(Advice::Sequential));
        Scan {
            vec: self,
            pass: self.region.start_pass(),
            chunk_len: CHUNK_BYTES
                .checked_div(size_of::<T>())
                .unwrap_or(usize::MAX)
                .max(1),
            next: 0,
        }
    }

    /// Tells the kernel that all elements will be read in order, or no more; a hint.
    pub(crate) fn expect_scan(&self, expected: bool) {
        self.region.expect(expected.then_some(Advice::Sequential));
    }

    /// Takes elements out of the mapping that were read; a hint.
    pub(crate) fn let_go(&self, range: Range<usize>) {
        let _hint = self.region.let_go(self.bytes_of(range));
    }

    /// Returns the bytes of a range of elements in the region.
    #[track_caller]
    fn bytes_of(&self, range: impl RangeBounds<usize>) -> Range<usize> {
        let range = checked_range(range, self.len);
        let byte = |index: usize| index.saturating_mul(size_of::<T>());
        byte(range.start)..byte(range.end)
    }
}

/// The chunks of a vector in order; made by [`DiskVec::scan`].
///
/// A chunk can be used for as long as the vector is borrowed: after its release, its pages may have
/// to be read again.
pub struct Scan<'a, T> {
    vec: &'a DiskVec<T>,
    pass: Pass,
    chunk_len: usize,
    next: usize,
}

impl<'a, T> Iterator for Scan<'a, T> {
    type Item = &'a [T];

    fn next(&mut self) -> Option<&'a [T]> {
        let len = self.vec.len();
        let start = self.next;
        if start >= len {
            return None;
        }
        let end = start.saturating_add(self.chunk_len).min(len);
        // Refused hints cost speed only.
        if start > 0 {
            let last = start.saturating_sub(self.chunk_len)..start;
            let bytes = self.vec.bytes_of(last);
            let _hint = self.vec.region.let_go(bytes.clone());
            self.vec.region.reach(&mut self.pass, bytes.end);
        }
        self.next = end;
        self.vec.get(start..end)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.vec.len().saturating_sub(self.next);
        let chunks = left.div_ceil(self.chunk_len);
        (chunks, Some(chunks))
    }
}

impl<T> ExactSizeIterator for Scan<'_, T> {}
impl<T> FusedIterator for Scan<'_, T> {}

impl<T> Drop for Scan<'_, T> {
    fn drop(&mut self) {
        let read = self.next.saturating_sub(self.chunk_len)..self.next;
        let bytes = self.vec.bytes_of(read);
        let _hint = self.vec.region.let_go(bytes.clone());
        self.vec.region.reach(&mut self.pass, bytes.end);
        self.vec.region.expect(None);
    }
}

impl<T> fmt::Debug for Scan<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("next", &self.next)
            .field("len", &self.vec.len())
            .finish_non_exhaustive()
    }
}
