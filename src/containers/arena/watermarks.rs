//! The watermark of each block of a file: how much of it is flushed. Readers check it before they
//! read.
//!
//! A file is divided into blocks. Each block is written by one writer at a time, from its start to
//! its end, so that one number for each block says which bytes are final. Readers take no lock.

use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Release},
};

use crate::bug::bug;
use crate::error::{Error, ErrorKind, Result};
use crate::exact::{difference, narrow, product, sum};

/// Bytes of a block. Every writer owns whole blocks, so a block is also the least space of an arena
/// on disk.
pub(crate) const BLOCK: u64 = 256 << 10;

/// Blocks of the first segment; each later one doubles the total.
const FIRST: usize = 1 << 10;

/// Enough for the 2^26 blocks of 16 TiB.
const SEGMENTS: usize = 17;

/// One number for each block. Grows without moving, so that readers need no lock.
#[derive(Debug)]
pub(crate) struct Watermarks {
    segments: [OnceLock<Box<[AtomicU32]>>; SEGMENTS],
}

impl Watermarks {
    pub(crate) fn new() -> Self {
        Self {
            segments: [const { OnceLock::new() }; SEGMENTS],
        }
    }

    /// Makes room for the watermarks of the first `len` bytes of the file.
    pub(crate) fn reserve(&self, len: u64) -> Result<()> {
        let (last_segment, _) = place(narrow(difference(len, 1) / BLOCK));
        for (number, segment) in self.segments.iter().enumerate().take(sum(last_segment, 1)) {
            if segment.get().is_some() {
                continue;
            }
            let count = FIRST << number.saturating_sub(1);
            let mut watermarks = Vec::new();
            watermarks
                .try_reserve_exact(count)
                .map_err(|_full| no_memory())?;
            watermarks.resize_with(count, AtomicU32::default);
            // If another thread came first, it stored the same zeros.
            segment.get_or_init(|| watermarks.into_boxed_slice());
        }
        Ok(())
    }

    /// Records that the bytes `from..to` are final. `from` is the watermark of its block.
    ///
    /// A reader that sees the bytes in [`covers`](Self::covers) also sees everything that the
    /// caller wrote before.
    pub(crate) fn advance(&self, from: u64, to: u64) {
        let mut at = from;
        while at < to {
            let block = at / BLOCK;
            let block_start = product(block, BLOCK);
            let end = to.min(sum(block_start, BLOCK));
            let filled = narrow(difference(end, block_start));
            let Some(watermark) = self.watermark(block) else {
                bug!("block {block} has no watermark");
            };
            debug_assert!(
                watermark.load(Acquire) <= filled,
                "a watermark only advances"
            );
            watermark.store(filled, Release);
            at = end;
        }
    }

    /// Returns how many bytes of a block are final.
    pub(crate) fn filled(&self, block: u64) -> u64 {
        self.watermark(block)
            .map_or(0, |watermark| u64::from(watermark.load(Acquire)))
    }

    /// Returns whether all bytes of `from..to` are final.
    pub(crate) fn covers(&self, from: u64, to: u64) -> bool {
        let mut at = from;
        while at < to {
            let block = at / BLOCK;
            let block_start = block.saturating_mul(BLOCK);
            let end = to.min(block_start.saturating_add(BLOCK));
            if block_start.saturating_add(self.filled(block)) < end {
                return false;
            }
            at = end;
        }
        true
    }

    fn watermark(&self, block: u64) -> Option<&AtomicU32> {
        let (segment, index) = place(usize::try_from(block).ok()?);
        self.segments.get(segment)?.get()?.get(index)
    }
}

/// Returns the segment of a block and its index in it.
fn place(block: usize) -> (usize, usize) {
    let doublings = (block / FIRST)
        .checked_ilog2()
        .map_or(0, |log| log.saturating_add(1));
    let before = if doublings == 0 {
        0
    } else {
        FIRST << doublings.saturating_sub(1)
    };
    let segment = usize::try_from(doublings).unwrap_or(SEGMENTS);
    (segment, block.saturating_sub(before))
}

#[cold]
fn no_memory() -> Error {
    let reason = "there is no memory for the watermarks of its blocks";
    Error::refused(ErrorKind::OutOfMemory, "grow an arena", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for block in 0..FIRST * 64 {
            assert_eq!(place(block), expected, "block {block}");
            expected.1 += 1;
            if expected.1 == FIRST << expected.0.max(1) >> 1 {
                expected = (expected.0 + 1, 0);
            }
        }
        let last = usize::try_from((1 << 44) / BLOCK).unwrap() - 1;
        assert_eq!(place(last).0, SEGMENTS - 1);
    }

    #[test]
    fn only_what_was_flushed_is_covered() {
        let watermarks = Watermarks::new();
        watermarks.reserve(4 * BLOCK).unwrap();
        watermarks.advance(0, 100);
        assert!(watermarks.covers(0, 100) && watermarks.covers(99, 100));
        assert!(!watermarks.covers(0, 101) && !watermarks.covers(100, 101));
        watermarks.advance(100, 2 * BLOCK + 7);
        assert!(watermarks.covers(50, 2 * BLOCK + 7));
        assert!(!watermarks.covers(50, 2 * BLOCK + 8));
        watermarks.advance(3 * BLOCK, 3 * BLOCK + 5);
        assert!(watermarks.covers(3 * BLOCK, 3 * BLOCK + 5));
        assert!(!watermarks.covers(2 * BLOCK, 3 * BLOCK + 5), "a gap");
        assert!(!watermarks.covers(1 << 40, (1 << 40) + 1), "never reserved");
    }
}
