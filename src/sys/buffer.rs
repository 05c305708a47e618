//! Memory into which the kernel, or another thread, reads while its owner does other work.
#![expect(
    unsafe_code,
    reason = "turns parts of a range of addresses into slices; see docs/safety.md"
)]

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use crate::bug::bug;
use crate::sys::{FOLD_BYTES, Space, page_size};

/// Bytes that belong to this value. They start at a page, and keep their address until the value is
/// dropped, wherever it is moved.
pub(crate) struct Buffer {
    /// # Invariants
    ///
    /// 1. `at..at + len` lies in `space` and is open memory, which lives as long as the space. No
    ///    other buffer has a byte of it, and nothing else knows the space.
    /// 2. All bytes are initialized: the memory was zeroed at first, and only bytes are written.
    space: Arc<Space>,
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: the bytes belong to this value alone (invariant 1), and any thread may use them.
unsafe impl Send for Buffer {}
// SAFETY: `&Buffer` lends the bytes for reading only.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Creates `count` buffers of `len` bytes each, rounded up to whole pages. They are one
    /// mapping, and take memory as they are used.
    ///
    /// Forked children have them only if they are `inherited`: for those that are not, a device can
    /// write while the process forks (`man 2 open`, on `O_DIRECT`). A child must not access the
    /// latter.
    pub(crate) fn several(count: usize, len: usize, inherited: bool) -> io::Result<Vec<Self>> {
        Self::aligned(count, len, inherited, page_size())
    }

    /// Makes one buffer that comes into memory in pieces of [`FOLD_BYTES`], where the system has such:
    /// one fault serves as many pages, and addresses all over it fit into the tables of a core.
    pub(crate) fn folded(len: usize) -> io::Result<Self> {
        let mut buffers = Self::aligned(1, len, true, FOLD_BYTES)?;
        let buffer = buffers.pop();
        let buffer = buffer.unwrap_or_else(|| bug!("no buffer of one"));
        let _hint = buffer.space.fold(0..buffer.space.len(), true);
        Ok(buffer)
    }

    fn aligned(count: usize, len: usize, inherited: bool, align: usize) -> io::Result<Vec<Self>> {
        let no_memory = || io::Error::from(io::ErrorKind::OutOfMemory);
        let len = len.max(1).checked_next_multiple_of(page_size());
        let len = len.ok_or_else(no_memory)?;
        let total = len.checked_mul(count.max(1)).ok_or_else(no_memory)?;
        let space = Space::reserve(total, align)?;
        // SAFETY: the pages were reserved just now.
        unsafe { space.open(0..space.len()) }?;
        if !inherited {
            space.keep_from_children(0..space.len())?;
        }
        let space = Arc::new(space);
        let mut buffers = Vec::new();
        buffers
            .try_reserve_exact(count)
            .map_err(|_full| no_memory())?;
        for number in 0..count {
            let start = number.saturating_mul(len);
            debug_assert!(start.saturating_add(len) <= space.len());
            buffers.push(Self {
                // SAFETY: `start` is inside the space, of which `count * len` bytes were reserved.
                at: unsafe { space.base().add(start) },
                space: Arc::clone(&space),
                len,
            });
        }
        Ok(buffers)
    }

    /// Returns the address, for the kernel to write to while nothing uses the buffer.
    #[cfg(all(
        feature = "io-uring",
        target_os = "linux",
        any(
            target_arch = "x86_64",
            target_arch = "aarch64",
            target_arch = "riscv64",
            target_arch = "loongarch64",
            target_arch = "powerpc64"
        ),
        not(any(miri, memory_backend))
    ))]
    pub(crate) fn address(&mut self) -> NonNull<u8> {
        self.at
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are initialized and belong to this value (invariants 1 and 2).
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, with `&mut self` excluding every other access.
        unsafe { slice::from_raw_parts_mut(self.at.as_ptr(), self.len) }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Buffer");
        fields.field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_apart_zeroed_and_outlive_each_other() {
        let mut buffers = Buffer::several(3, 5000, false).unwrap();
        for (number, buffer) in (1..).zip(&mut buffers) {
            assert!(buffer.len() >= 5000 && buffer.iter().all(|byte| *byte == 0));
            assert!(buffer.as_ptr().addr() % page_size() == 0);
            buffer.fill(number);
        }
        let last = buffers.pop().unwrap();
        assert!(buffers[1].iter().all(|byte| *byte == 2));
        drop(buffers);
        assert!(last.iter().all(|byte| *byte == 3));
    }

    #[test]
    fn what_cannot_be_addressed_is_refused() {
        assert!(Buffer::several(usize::MAX, 4096, true).is_err());
        assert!(Buffer::several(1, usize::MAX, true).is_err());
    }
}
