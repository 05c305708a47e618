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

use crate::error::{Error, ErrorKind, Result};

/// Bytes of a block. Every writer owns whole blocks, so a block is also the least space of an arena
/// on disk.
pub(crate) const BLOCK: u64 = 256 << 10;

/// Blocks of the first segment; each later one doubles the total.
const FIRST: usize = 1 << 10;

/// Enough for the 2^26 blocks of 16 TiB.
const SEGMENTS: usize = 17;

/// One number for each block. Grows without moving, so that readers need no lock.
#[derive(Debug)]
pub(crate) struct Marks {
    segments: [OnceLock<Box<[AtomicU32]>>; SEGMENTS],
}

impl Marks {
    pub(crate) fn new() -> Self {
        Self {
            segments: [const { OnceLock::new() }; SEGMENTS],
        }
    }

    /// Makes room for the watermarks of the first `len` bytes of the file.
    pub(crate) fn reserve(&self, len: u64) -> Result<()> {
        let Some(last) = usize::try_from(len.saturating_sub(1) / BLOCK).ok() else {
            return Err(no_memory());
        };
        let (last_segment, _) = place(last);
        for (number, segment) in self
            .segments
            .iter()
            .enumerate()
            .take(last_segment.saturating_add(1))
        {
            if segment.get().is_some() {
                continue;
            }
            let count = FIRST << number.saturating_sub(1);
            let mut marks = Vec::new();
            marks
                .try_reserve_exact(count)
                .map_err(|_full| no_memory())?;
            marks.resize_with(count, AtomicU32::default);
            // If another thread came first, it stored the same zeros.
            segment.get_or_init(|| marks.into_boxed_slice());
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
            let block_start = block.saturating_mul(BLOCK);
            let end = to.min(block_start.saturating_add(BLOCK));
            let filled = u32::try_from(end.saturating_sub(block_start)).unwrap_or(0);
            if let Some(mark) = self.mark(block) {
                debug_assert!(mark.load(Acquire) <= filled, "a mark only advances");
                mark.store(filled, Release);
            }
            at = end;
        }
    }

    /// Returns whether all bytes of `from..to` are final.
    pub(crate) fn covers(&self, from: u64, to: u64) -> bool {
        let mut at = from;
        while at < to {
            let block = at / BLOCK;
            let block_start = block.saturating_mul(BLOCK);
            let filled = self.mark(block).map_or(0, |mark| mark.load(Acquire));
            let end = to.min(block_start.saturating_add(BLOCK));
            if block_start.saturating_add(u64::from(filled)) < end {
                return false;
            }
            at = end;
        }
        true
    }

    fn mark(&self, block: u64) -> Option<&AtomicU32> {
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
    let reason = "there is no memory for the marks of its blocks";
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
        let marks = Marks::new();
        marks.reserve(4 * BLOCK).unwrap();
        marks.advance(0, 100);
        assert!(marks.covers(0, 100) && marks.covers(99, 100));
        assert!(!marks.covers(0, 101) && !marks.covers(100, 101));
        marks.advance(100, 2 * BLOCK + 7);
        assert!(marks.covers(50, 2 * BLOCK + 7));
        assert!(!marks.covers(50, 2 * BLOCK + 8));
        marks.advance(3 * BLOCK, 3 * BLOCK + 5);
        assert!(marks.covers(3 * BLOCK, 3 * BLOCK + 5));
        assert!(!marks.covers(2 * BLOCK, 3 * BLOCK + 5), "a gap");
        assert!(!marks.covers(1 << 40, (1 << 40) + 1), "never reserved");
    }
}
