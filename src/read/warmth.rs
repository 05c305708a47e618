//! Whether it pays to look for a piece in memory first, and whether to look at all.

use std::time::{Duration, Instant};

use crate::read::ReadOptions;

/// Pieces that are not further apart than this many bytes are one read while they are found in
/// memory: to copy so many bytes takes about as long as to enter the kernel once more.
const WARM_GAP_BYTES_MAX: u64 = 4 << 10;

/// The same while they are not: a device takes hardly longer for so many bytes more.
pub(crate) const COLD_GAP_BYTES_MAX: u64 = 12 << 10;

/// The most pieces in a row of which it is not asked whether they are in memory.
const UNASKED_MAX: u32 = 31;

/// Pieces in a row that have to be found in memory before the next are read without asking.
const TRUSTED_AFTER: u32 = 128;

/// Pieces that are read without asking between two looks at the clock.
const TRUSTED_AT_ONCE: u32 = 8;

/// How long those may take. A piece that had to come from a device takes longer alone; a caller who
/// takes longer to work on them will not notice what asking costs.
const TRUSTED_TIME_MAX: Duration = Duration::from_micros(20);

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

/// Whether pieces are taken to be in memory without asking: a plain read is faster than one that
/// must not wait (R10), and waits where it was wrong to trust.
///
/// So it takes many that were found in a row, the clock shows when one was not there after all, and
/// each time that this happens it takes twice as many.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Pieces in a row that were found.
    found: u32,
    /// How many it takes.
    enough: u32,
    /// Pieces until the next look at the clock.
    left: u32,
    /// The last look.
    looked: Option<Instant>,
}

impl Trust {
    pub(crate) fn new() -> Self {
        Self {
            found: 0,
            enough: TRUSTED_AFTER,
            left: 0,
            looked: None,
        }
    }

    /// Returns whether the next piece is read without asking.
    pub(crate) fn holds(&mut self, clock: impl FnOnce() -> Instant) -> bool {
        if self.found < self.enough {
            return false;
        }
        if self.left == 0 {
            let now = clock();
            let before = self.looked.replace(now).unwrap_or(now);
            if now.saturating_duration_since(before) > TRUSTED_TIME_MAX {
                self.enough = self.enough.saturating_mul(2);
                self.answered(false);
                return false;
            }
            self.left = TRUSTED_AT_ONCE;
        }
        self.left = self.left.saturating_sub(1);
        true
    }

    /// Notes whether a piece was found, by asking or not.
    pub(crate) fn answered(&mut self, found: bool) {
        if found {
            self.found = self.found.saturating_add(1);
            return;
        }
        (self.found, self.left, self.looked) = (0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many pieces are read without asking, of those that follow `asked` that were
    /// found, when each look at the clock finds it `step` later.
    fn trusted(trust: &mut Trust, asked: u32, step: Duration) -> u32 {
        for _ in 0..asked {
            assert!(!trust.holds(|| unreachable!("nobody looks at the clock")));
            trust.answered(true);
        }
        let mut now = Instant::now();
        for count in 0..1000 {
            now += step;
            if !trust.holds(|| now) {
                return count;
            }
            trust.answered(true);
        }
        1000
    }

    #[test]
    fn what_was_found_often_enough_is_trusted_until_it_takes_too_long() {
        let mut trust = Trust::new();
        let fast = TRUSTED_TIME_MAX / TRUSTED_AT_ONCE / 2;
        assert_eq!(trusted(&mut trust, TRUSTED_AFTER, fast), 1000);
        trust.answered(false);
        let slow = TRUSTED_TIME_MAX;
        let count = trusted(&mut trust, TRUSTED_AFTER, slow);
        assert_eq!(
            count, TRUSTED_AT_ONCE,
            "the clock is looked at every so often"
        );
        let count = trusted(&mut trust, TRUSTED_AFTER * 2, slow);
        assert_eq!(count, TRUSTED_AT_ONCE, "and then it takes twice as many");
    }
}
