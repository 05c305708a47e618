//! The space of blocks: claimed on disk before it is used, and open for access while it is.
#![expect(unsafe_code, reason = "opens and closes addresses; see docs/safety.md")]

use std::ops::Range;

use crate::heap::arithmetic::{start_of_unit, sum};
use crate::heap::{Blocks, Units};
use crate::sys;

impl Blocks {
    /// Claims space for a range of the addresses that the caller has, and lets them be used.
    pub(super) fn claim(&self, range: Range<usize>) -> bool {
        let mut at = range.start;
        while at < range.end {
            let (offset, len) = self.shown(at..range.end);
            if !self.file.claim_part(offset, len as u64) {
                self.take_claim_back(range.start..at);
                return false;
            }
            at = sum(at, len);
        }
        if !self.allow(&range, true) {
            self.take_claim_back(range);
            return false;
        }
        true
    }

    /// Takes the claim of a range back that nothing was stored to. What the disk does not take back
    /// is out of the books all the same, and zero: the next claim of it enters it again.
    pub(super) fn take_claim_back(&self, range: Range<usize>) {
        let _done = self.each_part(range.clone(), |offset, len| {
            let _undone = self.file.punch(offset, len);
            true
        });
        self.file.give_back(range.len() as u64);
    }

    /// Gives space back, after which it reads as zero. Where that fails, all of it stays in the
    /// books, and some of it may be missing: before it is used again, it has to be
    /// [mended](Self::mend).
    pub(super) fn unclaim(&self, range: Range<usize>) -> bool {
        let emptied = self.each_part(range.clone(), |offset, len| {
            self.file.empty_part(offset, len)
        });
        if emptied {
            self.file.give_back(range.len() as u64);
            // What stays open is a hole in no block.
            let _closed = self.allow(&range, false);
        }
        emptied
    }

    /// Claims what is missing of a range that is in the books; its bytes may be any.
    pub(super) fn mend(&self, range: Range<usize>) -> bool {
        self.each_part(range, |offset, len| self.file.claim_again(offset, len))
    }

    /// Does something with each part of the file that a range shows, until it says no; says whether
    /// it never did.
    pub(super) fn each_part(&self, range: Range<usize>, part: impl Fn(u64, u64) -> bool) -> bool {
        let mut at = range.start;
        while at < range.end {
            let (offset, len) = self.shown(at..range.end);
            if !part(offset, len as u64) {
                return false;
            }
            at = sum(at, len);
        }
        true
    }

    /// Returns which byte of the file is shown at the start of a range that is not empty, and for
    /// how many bytes of it that goes on.
    pub(super) fn shown(&self, range: Range<usize>) -> (u64, usize) {
        let Some(at) = self.in_zone_b(range.start) else {
            return (range.start as u64, range.len());
        };
        let (from, len) = self.slots.shown(at, range.len());
        (self.offset_of(from) as u64, len)
    }

    /// Lets all units be used that the buddy system has opened; says whether they can. What was never
    /// opened is closed, so that it is not read into memory by `mlockall`, and costs no page tables.
    pub(super) fn open_units(&self, units: &mut Units) -> bool {
        let (from, to) = (units.usable, units.buddy.opened());
        let pages = start_of_unit(from)..start_of_unit(to);
        // SAFETY: all of zone A shows the file (invariant 1).
        let opens = || sys::retry(|| unsafe { self.space.allow(pages.clone(), true) }).is_ok();
        if from < to && !opens() {
            return false;
        }
        units.usable = to;
        true
    }

    /// Lets a range of zone B, which is in no block yet or no more, be used or not; says whether the
    /// system did. Zone A is opened as a whole.
    fn allow(&self, range: &Range<usize>, allowed: bool) -> bool {
        if range.is_empty() || range.start < self.zone_b {
            return true;
        }
        // SAFETY: all of zone B shows the file (invariant 1), and nothing uses the range.
        sys::retry(|| unsafe { self.space.allow(range.clone(), allowed) }).is_ok()
    }
}
