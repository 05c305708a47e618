//! The elements of a sealed vector in order.

use std::iter::FusedIterator;

use bytemuck::Pod;

use crate::composites::sealed::vec::SealedVec;
use crate::error::Result;

/// The chunks of a sealed vector in order, of about 1 MiB; made by [`SealedVec::scan`].
#[derive(Debug)]
pub struct Scan<'a, T> {
    vec: &'a SealedVec<T>,
    next: usize,
}

/// The bytes of a chunk.
const CHUNK_BYTES: usize = 1 << 20;

impl<T: Pod> SealedVec<T> {
    /// Returns an iterator over all elements in chunks of about 1 MiB, each verified before it is
    /// returned. It ends after the first error.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{DiskVec, ScratchDir, SealedVec};
    ///
    /// # let name = format!("scan-example-{}", std::process::id());
    /// # let path = ScratchDir::from_env()?.path().join(name);
    /// let mut numbers = DiskVec::new();
    /// numbers.try_extend(0..1_000_000_u64)?;
    /// numbers.seal(&path)?;
    /// let mut sum = 0;
    /// for chunk in SealedVec::<u64>::open(&path)?.scan() {
    ///     sum += chunk?.iter().sum::<u64>();
    /// }
    /// assert_eq!(sum, 499_999_500_000);
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), outcore::Error>(())
    /// ```
    pub fn scan(&self) -> Scan<'_, T> {
        Scan { vec: self, next: 0 }
    }
}

impl<T: Pod> Iterator for Scan<'_, T> {
    type Item = Result<Vec<T>>;

    fn next(&mut self) -> Option<Result<Vec<T>>> {
        let len = self.vec.len();
        if self.next >= len {
            return None;
        }
        let chunk = CHUNK_BYTES.checked_div(size_of::<T>()).unwrap_or(1 << 20);
        let end = self.next.saturating_add(chunk.max(1)).min(len);
        let read = self.vec.read(self.next..end);
        self.next = if read.is_ok() { end } else { len };
        Some(read)
    }
}

impl<T: Pod> FusedIterator for Scan<'_, T> {}
