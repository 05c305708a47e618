//! Whether to look for a piece in memory before an engine is asked, and whether to look at all.

use std::time::{Duration, Instant};

use crate::read::ReadOptions;

/// While pieces are found in memory, pieces that are not further apart than this are one read: to
/// copy so many bytes takes about as long as one system call.
const WARM_GAP_BYTES_MAX: u64 = 4 << 10;

/// The same while they are not found: a device takes hardly longer for so many more bytes.
pub(crate) const COLD_GAP_BYTES_MAX: u64 = 12 << 10;

/// The largest number of pieces in a row that are read without asking whether they are in memory.
const UNASKED_MAX: u32 = 31;

/// After this many pieces in a row were found in memory, the next are read without asking.
const TRUSTED_AFTER: u32 = 128;

/// The number of pieces that are read without asking between two looks at the clock.
const TRUSTED_AT_ONCE: u32 = 8;

/// The time that those may take. A piece that had to come from a device takes longer alone. If the
/// caller itself takes longer to process them, it will not notice the cost of asking.
const TRUSTED_TIME_MAX: Duration = Duration::from_micros(20);

/// Whether to look for pieces in memory before an engine is asked: as long as they are found there,
/// and now and then afterwards.
#[derive(Debug)]
pub(crate) struct Residency {
    /// Pieces until the next question.
    unasked: u32,
    /// The number of pieces before the last question.
    pause: u32,
    never: bool,
}

impl Residency {
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

    /// Returns how far apart pieces may be to become one read.
    pub(crate) fn gap(&self) -> u64 {
        if self.pause == 0 && !self.never {
            WARM_GAP_BYTES_MAX
        } else {
            COLD_GAP_BYTES_MAX
        }
    }
}

/// Whether pieces are assumed to be in memory without asking: a plain read is faster than one that
/// must not wait (R10), and waits if the assumption was wrong.
///
/// The assumption needs many pieces in a row that were found. The clock reveals a piece that was
/// not in memory, and each time that this happens the number of pieces needed doubles.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Pieces in a row that were found.
    found: u32,
    /// The number that is needed.
    enough: u32,
    /// Pieces until the next look at the clock.
    left: u32,
    /// The time of the last look.
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

    /// Records whether a piece was found, by asking or not.
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

    /// Returns how many pieces are read without asking, of those after the `asked` pieces that were
    /// found, if the clock advances by `step` between two looks.
    fn trusted(trust: &mut Trust, asked: u32, step: Duration) -> u32 {
        for _ in 0..asked {
            assert!(!trust.holds(|| unreachable!("the clock is not read")));
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
