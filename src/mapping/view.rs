//! A read-only mapping of a file of ours, larger than the file, so that it also shows what is
//! appended later.
#![expect(
    unsafe_code,
    reason = "turns a mapping into slices; see docs/safety.md"
)]

use std::slice;

use crate::error::{ErrorKind, Result};
use crate::io::file::OwnedFile;
use crate::io::refusal::{Op, Refusal, retry};
use crate::mapping::addresses::Addresses;
use crate::mapping::advice::Advice;
use crate::sys;
use crate::sys::{Access, Hint};

/// Addresses that map a file for reading.
#[derive(Debug)]
pub(crate) struct View {
    /// # Invariants
    ///
    /// 1. All of `space` maps one file from its first byte, for reading, as long as the view lives.
    space: Addresses,
}

/// How many shares of the addresses a view takes. On the heap backend, where a share is small,
/// these are enough for what tests push later.
const SHARES: usize = if cfg!(any(miri, memory_backend)) {
    64
} else {
    1
};

impl View {
    /// Maps `file`, of which at least `len_min` bytes have to be visible.
    ///
    /// Reserves far more addresses, 1 TiB while few are reserved, so that later growth is visible
    /// too.
    pub(crate) fn new(file: &OwnedFile, len_min: usize) -> Result<Self, Refusal> {
        let refused = |answer| Refusal::failed(Op::Map, &answer);
        let reserved = Addresses::reserve(len_min, SHARES, sys::page_size());
        let space = reserved.map_err(refused)?;
        // SAFETY: no other code has the addresses yet. The file's bytes are only handed out when
        // they do not change any more: the callers of `bytes` must ensure that.
        let shown = sys::retry(|| unsafe { space.show_all(file.sys(), Access::Read) });
        shown.map_err(refused)?;
        Ok(Self { space })
    }

    /// Returns how many bytes of the file the view can show once they exist.
    pub(crate) fn len(&self) -> usize {
        self.space.len()
    }

    /// Returns `len` bytes of the file from `offset`, or `None` where they are past the view.
    ///
    /// # Safety
    ///
    /// The bytes are in the file, and as long as the slice lives no code changes or truncates them.
    pub(crate) unsafe fn bytes(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(len)?;
        if end > self.space.len() {
            return None;
        }
        // SAFETY: `start` lies in the reserved range, checked above.
        let start = unsafe { self.space.base().add(start) };
        // SAFETY: the addresses map the file (invariant 1), and the caller vouches for its bytes.
        Some(unsafe { slice::from_raw_parts(start.as_ptr(), len) })
    }

    /// Tells the kernel in which order the mapped file will be read.
    pub(crate) fn advise(&self, advice: Advice) -> Result<(), Refusal> {
        let all = 0..self.space.len();
        retry(Op::Advise, || {
            self.space.advise(all.clone(), Hint::from(advice))
        })
    }

    /// The error for bytes that are past the view.
    #[cold]
    pub(crate) fn too_small() -> Refusal {
        Refusal::ours(
            Op::MapItem,
            ErrorKind::OutOfMemory,
            "it was pushed after the map was made, past the addresses that could be reserved; \
             make a new map",
        )
    }
}
