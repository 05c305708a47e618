//! Strings that are mostly not in memory: many at random in one call, all in order, and what the
//! kernel is told.
#![expect(
    unsafe_code,
    reason = "lends bytes as text that was checked on the way in; see docs/safety.md"
)]

use std::ops::RangeBounds;

use crate::composites::strings::str_vec::{StrScan, StrVec, text};
use crate::error::Result;
use crate::mapping::advice::Advice;

impl StrVec {
    /// Passes the strings at `indices` to `deliver`, each with its place in `indices`, in any order.
    ///
    /// For strings that are mostly not in memory: many reads are under way at a time, where indexing
    /// waits for each. Strings that are in memory are faster indexed.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut names = outcore::StrVec::new();
    /// names.try_extend((0..100_000).map(|n| format!("name {n}")))?;
    /// let wanted = [99_999, 5, 5, 4711];
    /// names.get_many(&wanted, |at, name| assert_eq!(name, format!("name {}", wanted[at])))?;
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`BytesVec::get_many`](crate::BytesVec::get_many); some strings may have been delivered.
    ///
    /// # Panics
    ///
    /// If an index is not below the length, before anything is delivered; and as `deliver` does.
    ///
    /// # Cost
    ///
    /// That of [`BytesVec::get_many`](crate::BytesVec::get_many).
    #[track_caller]
    pub fn get_many(&self, indices: &[usize], mut deliver: impl FnMut(usize, &str)) -> Result<()> {
        self.items.get_many(indices, |place, item| {
            // SAFETY: it is an item of this vector, or was read from the file that has its bytes.
            deliver(place, unsafe { text(item) });
        })
    }

    /// Returns copies of the strings at `indices`, in their order.
    ///
    /// # Errors
    ///
    /// Those of [`BytesVec::get_many`](crate::BytesVec::get_many).
    ///
    /// # Panics
    ///
    /// If an index is not below the length.
    ///
    /// # Cost
    ///
    /// That of [`get_many`](Self::get_many), and an allocation for each string.
    #[track_caller]
    pub fn gather(&self, indices: &[usize]) -> Result<Vec<String>> {
        let copies = self.items.gather(indices)?.into_iter();
        // SAFETY: they are copies of items of this vector.
        Ok(copies
            .map(|item| unsafe { String::from_utf8_unchecked(item) })
            .collect())
    }

    /// Returns an iterator over all strings that has the kernel read ahead and lets go of what was
    /// read: a scan of any length keeps a few MiB mapped.
    ///
    /// # Cost
    ///
    /// That of [`BytesVec::scan`](crate::BytesVec::scan).
    pub fn scan(&self) -> StrScan<'_> {
        StrScan(self.items.scan())
    }

    /// Tells the kernel in which order strings will be accessed, now and as the vector grows.
    ///
    /// # Errors
    ///
    /// Those of [`DiskVec::advise`](crate::DiskVec::advise). Part of the vector may have the advice
    /// then.
    pub fn advise(&mut self, advice: Advice) -> Result<()> {
        self.items.advise(advice)
    }

    /// Starts to read strings from disk, and does not wait for them.
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
        self.items.prefetch(range)
    }

    /// Writes strings back to disk and takes them out of memory, as far as they are in the files.
    ///
    /// # Errors
    ///
    /// Those of [`DiskVec::evict`](crate::DiskVec::evict).
    ///
    /// # Panics
    ///
    /// If the range starts after its end, or ends after the length.
    #[track_caller]
    pub fn evict(&self, range: impl RangeBounds<usize>) -> Result<()> {
        self.items.evict(range)
    }

    /// Returns how many bytes of the vector are in memory and mapped by this process.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): `/proc/thread-self/pagemap` cannot be read.
    pub fn resident_bytes(&self) -> Result<u64> {
        self.items.resident_bytes()
    }
}
