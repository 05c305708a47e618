//! Folds: parts of large blocks that come into memory in large pieces.
//!
//! A block that grows in place is one that is filled in order. Page by page, each of its pages
//! costs a fault; in pieces of 2 MiB, one fault serves 512 of them (linux-facts F4).
//!
//! A piece lies at a multiple of its length, so none reaches out of a fold, which consists of whole
//! multiples of 2 MiB. And all of a fold is claimed as long as pieces may be in it: where a block
//! gets shorter, the fold is taken back first, and what is given back begins at such a multiple, so
//! that no piece is cut in two.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
use crate::error::Result;
use crate::heap::Blocks;
use crate::heap::arithmetic::{ZoneByte, difference, sum};
#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
use crate::mapping::advice::Advice;
use crate::mapping::growth::{page_down, page_up};
use crate::sys;
use crate::sys::FOLD_BYTES;

/// Shorter blocks are not folded: they would keep up to 2 MiB too much on disk. In unit tests even
/// short ones are, so that the fault campaign meets them.
const FOLDED_BYTES_MIN: usize = if cfg!(test) { 1 << 20 } else { 16 << 20 };

impl Blocks {
    /// Says whether blocks that grow from now on are folded.
    #[cfg(any(test, feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn set_folds(&self, folds: bool) {
        self.folds.store(folds, Relaxed);
    }

    /// Takes advice on the order in which blocks will be accessed.
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn advise(&self, advice: Advice) -> Result<()> {
        self.set_folds(advice != Advice::Random);
        self.folds_new.store(advice == Advice::Sequential, Relaxed);
        if advice == Advice::Random {
            // The blocks stay marked: pieces that cannot be dropped may still be in memory. A
            // kernel that refuses has no folds, or keeps them, which costs only time.
            let _hint = sys::retry(|| self.space.fold(0..self.space.len(), false));
            return self.evict();
        }
        Ok(())
    }

    /// Folds the block at `at`, which is `range` now and is claimed.
    pub(super) fn fold(&self, at: ZoneByte, range: Range<usize>) {
        // The kernel's pieces are as long as a page of its tables shows: with 4 KiB pages, 2 MiB.
        let page = sys::page_size();
        let fits = page.checked_mul(page / 8) == Some(FOLD_BYTES);
        if !fits || range.len() < FOLDED_BYTES_MIN || !self.folds.load(Relaxed) {
            return;
        }
        let end = page_down(range.end, FOLD_BYTES);
        let start = page_up(range.start, FOLD_BYTES).filter(|start| *start < end);
        let Some(start) = start else { return };
        // Before the first piece can be there.
        let was_folded = self.slots.is_folded(at);
        self.slots.set_folded(at, true);
        let folded = sys::retry(|| self.space.fold(start..end, true));
        if folded.is_err_and(|answer| answer.kind() == io::ErrorKind::InvalidInput) {
            // This kernel has no folds, so none has to be taken back.
            self.slots.set_folded(at, was_folded);
        }
    }

    /// Takes the folds of a block back that lie in `range`; says whether none is left there.
    pub(super) fn unfold(&self, at: ZoneByte, range: Range<usize>) -> bool {
        let folded = self.slots.is_folded(at);
        !folded || range.is_empty() || sys::retry(|| self.space.fold(range.clone(), false)).is_ok()
    }

    /// Returns how many bytes a block of `claimed` bytes has to keep claimed so that
    /// `bytes` of it can be used: more than these if it is folded and gets shorter, since the space
    /// of a piece is given back as a whole. What is behind them is not folded any more.
    pub(super) fn fold_end(&self, at: ZoneByte, claimed: usize, bytes: usize) -> usize {
        if bytes >= claimed || !self.slots.is_folded(at) {
            return bytes;
        }
        let offset = self.offset_of(at);
        let end = page_up(sum(offset, bytes), FOLD_BYTES);
        let kept = end.map_or(claimed, |end| difference(end, offset).min(claimed));
        let rest = sum(offset, kept)..sum(offset, claimed);
        if self.unfold(at, rest) { kept } else { claimed }
    }
}
