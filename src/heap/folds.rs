//! Folds: parts of large blocks that are loaded in huge pages.
//!
//! A block that grows in place is usually filled in order. With small pages, each page costs a
//! fault; with huge pages of 2 MiB, one fault loads 512 of them (linux-facts F4).
//!
//! A huge page starts at a multiple of its length, and a fold consists of whole multiples of 2 MiB,
//! so that no huge page reaches out of a fold. All of a fold is preallocated while it may contain
//! huge pages: when a block shrinks, the fold is removed first, and the freed range starts at such
//! a multiple, so that no huge page is cut in two.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
use crate::error::Result;
use crate::exact::{difference, sum};
use crate::heap::Blocks;
use crate::heap::arithmetic::ZoneByte;
#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
use crate::io::refusal::Refusal;
#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
use crate::mapping::advice::Advice;
use crate::mapping::growth::{page_down, page_up};
use crate::sys;
use crate::sys::FOLD_BYTES;

/// Shorter blocks are not folded: they would keep up to 2 MiB too much on disk. Unit tests fold
/// short ones too, so that the fault campaign reaches the code.
const FOLDED_BYTES_MIN: usize = if cfg!(test) { 1 << 20 } else { 16 << 20 };

impl Blocks {
    /// Sets whether blocks that grow from now on are folded.
    #[cfg(any(test, feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn set_folds(&self, folds: bool) {
        self.folds.store(folds, Relaxed);
    }

    /// Takes advice on the order in which blocks will be accessed.
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn advise(&self, advice: Advice) -> Result<(), Refusal> {
        self.set_folds(advice != Advice::Random);
        self.folds_new.store(advice == Advice::Sequential, Relaxed);
        if advice == Advice::Random {
            // The blocks stay marked: huge pages that cannot be dropped may still be in memory. A
            // kernel that refuses has no folds, or keeps them, which costs only time.
            let _hint = sys::retry(|| self.space.fold(0..self.space.len(), false));
            return self.evict();
        }
        Ok(())
    }

    /// Folds the block at `at`, which occupies `range` and is preallocated.
    pub(super) fn fold(&self, at: ZoneByte, range: Range<usize>) {
        // The length of a huge page is what one page of the page tables maps: 2 MiB with 4 KiB
        // pages.
        let page = sys::page_size();
        let fits = page.checked_mul(page / 8) == Some(FOLD_BYTES);
        if !fits || range.len() < FOLDED_BYTES_MIN || !self.folds.load(Relaxed) {
            return;
        }
        let end = page_down(range.end, FOLD_BYTES);
        let start = page_up(range.start, FOLD_BYTES).filter(|start| *start < end);
        let Some(start) = start else { return };
        // Set before the first huge page can be loaded.
        let was_folded = self.slots.is_folded(at);
        self.slots.set_folded(at, true);
        let folded = sys::retry(|| self.space.fold(start..end, true));
        if folded.is_err_and(|answer| answer.kind() == io::ErrorKind::InvalidInput) {
            // This kernel has no folds, so there is none to remove.
            self.slots.set_folded(at, was_folded);
        }
    }

    /// Removes the folds of a block within `range`; returns whether none is left there.
    pub(super) fn unfold(&self, at: ZoneByte, range: Range<usize>) -> bool {
        let folded = self.slots.is_folded(at);
        !folded || range.is_empty() || sys::retry(|| self.space.fold(range.clone(), false)).is_ok()
    }

    /// Returns how many bytes of a block with `preallocated` preallocated bytes must stay preallocated
    /// so that `bytes` of it can be used. That is more than `bytes` if the block is folded and
    /// shrinks, since the space of a huge page is freed as a whole. The part behind the result is
    /// no longer folded.
    pub(super) fn fold_end(&self, at: ZoneByte, preallocated: usize, bytes: usize) -> usize {
        if bytes >= preallocated || !self.slots.is_folded(at) {
            return bytes;
        }
        let offset = self.offset_of(at);
        let end = page_up(sum(offset, bytes), FOLD_BYTES);
        let kept = end.map_or(preallocated, |end| {
            difference(end, offset).min(preallocated)
        });
        let rest = sum(offset, kept)..sum(offset, preallocated);
        if self.unfold(at, rest) {
            kept
        } else {
            preallocated
        }
    }
}
