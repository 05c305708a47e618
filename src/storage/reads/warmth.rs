//! Whether it pays to look for a piece in memory first.

use crate::storage::reads::ReadOptions;

/// Pieces that are not further apart than this many bytes are one read while they are found in
/// memory: to copy so many bytes takes about as long as to enter the kernel once more.
const WARM_GAP_BYTES_MAX: u64 = 4 << 10;

/// The same while they are not: a device takes hardly longer for so many bytes more.
pub(crate) const COLD_GAP_BYTES_MAX: u64 = 12 << 10;

/// The most pieces in a row of which it is not asked whether they are in memory.
const UNASKED_MAX: u32 = 31;

/// Whether pieces are worth a look into memory before an engine is asked: as long as they are
/// found there, and now and then afterwards.
#[derive(Debug)]
pub(crate) struct Warmth {
    /// Pieces until the next question.
    unasked: u32,
    /// How many there were before the last one.
    pause: u32,
    never: bool,
}

impl Warmth {
    pub(crate) fn new(options: &ReadOptions) -> Self {
        Self {
            unasked: 0,
            pause: 0,
            // The question itself would bring the piece into the page cache.
            never: options.is_direct(),
        }
    }

    pub(crate) fn asks(&mut self) -> bool {
        let now = self.unasked == 0 && !self.never;
        self.unasked = self.unasked.saturating_sub(1);
        now
    }

    pub(crate) fn answered(&mut self, found: bool) {
        let longer = self.pause.saturating_mul(2).saturating_add(1);
        self.pause = if found { 0 } else { longer.min(UNASKED_MAX) };
        self.unasked = self.pause;
    }

    /// Returns how far pieces may be apart to be one read.
    pub(crate) fn gap(&self) -> u64 {
        if self.pause == 0 && !self.never {
            WARM_GAP_BYTES_MAX
        } else {
            COLD_GAP_BYTES_MAX
        }
    }
}
