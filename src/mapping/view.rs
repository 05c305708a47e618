//! A read-only window on a file of ours, larger than the file, so that it need not follow its
//! growth.
#![expect(
    unsafe_code,
    reason = "turns a mapping into slices; see docs/safety.md"
)]

use std::slice;

use crate::error::{Error, ErrorKind, Result};
use crate::io::file::OwnedFile;
use crate::mapping::addresses::Addresses;
use crate::mapping::advice::Advice;
use crate::sys;
use crate::sys::{Access, Hint};

/// Addresses that show a file for reading.
#[derive(Debug)]
pub(crate) struct View {
    /// # Invariants
    ///
    /// 1. All of `space` shows one file from its first byte, for reading, as long as the view
    ///    lives.
    space: Addresses,
}

/// How many shares of the addresses a view takes: on the heap, where one is small, enough for what
/// tests push later.
const SHARES: usize = if cfg!(any(miri, memory_backend)) {
    64
} else {
    1
};

impl View {
    /// Shows `file`, of which at least `len_min` bytes have to be seen.
    ///
    /// Reserves far more addresses, 1 TiB while few are taken, so that later growth is seen too.
    pub(crate) fn new(file: &OwnedFile, len_min: usize) -> Result<Self> {
        let refused = |answer| file.error("map a file in", answer);
        let reserved = Addresses::reserve(len_min, SHARES, sys::page_size());
        let space = reserved.map_err(refused)?;
        // SAFETY: nobody knows the addresses yet. The file's bytes are only handed out when they
        // do not change any more: that is what the callers of `bytes` owe.
        let shown = sys::retry(|| unsafe { space.show_all(file.sys(), Access::Read) });
        shown.map_err(refused)?;
        Ok(Self { space })
    }

    /// Returns the number of bytes of the file that can be seen once they exist.
    pub(crate) fn len(&self) -> usize {
        self.space.len()
    }

    /// Returns `len` bytes of the file from `offset`, or `None` where they are past the view.
    ///
    /// # Safety
    ///
    /// The bytes are in the file, and as long as the slice lives nobody changes them or cuts them
    /// off.
    pub(crate) unsafe fn bytes(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(len)?;
        if end > self.space.len() {
            return None;
        }
        // SAFETY: `start` lies in the reserved range, checked above.
        let start = unsafe { self.space.base().add(start) };
        // SAFETY: the addresses show the file (invariant 1), and the caller vouches for its bytes.
        Some(unsafe { slice::from_raw_parts(start.as_ptr(), len) })
    }

    /// Tells the kernel in which order `file`, the one that is shown, will be read.
    pub(crate) fn advise(&self, file: &OwnedFile, advice: Advice) -> Result<()> {
        let all = 0..self.space.len();
        file.retry("give advice on a file in", || {
            self.space.advise(all.clone(), Hint::from(advice))
        })
    }

    /// The refusal for bytes that are past the view.
    #[cold]
    pub(crate) fn too_small() -> Error {
        Error::refused(
            ErrorKind::OutOfMemory,
            "map an item",
            "it was pushed after the map was made, past the addresses that could be reserved; \
             make a new map",
        )
    }
}
