//! The space of blocks: preallocated before a block uses it, and accessible while a block has it.
#![expect(unsafe_code, reason = "opens and closes addresses; see docs/safety.md")]

use std::ops::Range;

use crate::exact::sum;
use crate::heap::arithmetic::start_of_unit;
use crate::heap::{Blocks, Units};
use crate::sys;

impl Blocks {
    /// Preallocates the file space of a range that the caller has, and makes the range accessible.
    /// Returns whether both succeeded.
    pub(super) fn preallocate(&self, range: Range<usize>) -> bool {
        let mut at = range.start;
        while at < range.end {
            let (offset, len) = self.shown(at..range.end);
            if self.file.claim_part(offset, len as u64).is_err() {
                self.undo_preallocation(range.start..at);
                return false;
            }
            at = sum(at, len);
        }
        if !self.allow(&range, true) {
            self.undo_preallocation(range);
            return false;
        }
        true
    }

    /// Undoes the preallocation of a range to which nothing was written. Also where the disk does
    /// not take the space back, it is no longer counted, and reads as zero: the next preallocation
    /// counts it again.
    pub(super) fn undo_preallocation(&self, range: Range<usize>) {
        let _done = self.each_part(range.clone(), |offset, len| {
            let _undone = self.file.punch(offset, len);
            true
        });
        self.file.give_back(range.len() as u64);
    }

    /// Frees the file space of a range, which reads as zero afterwards. On failure all of it stays
    /// counted, and some of it may be missing: before it is used again, it has to be [preallocated
    /// again](Self::preallocate_again).
    pub(super) fn free_space(&self, range: Range<usize>) -> bool {
        let emptied = self.each_part(range.clone(), |offset, len| {
            self.file.empty_part(offset, len)
        });
        if emptied {
            self.file.give_back(range.len() as u64);
            // Addresses that stay accessible belong to no block.
            let _closed = self.allow(&range, false);
        }
        emptied
    }

    /// Preallocates what is missing of a range that is counted already; its bytes may be any.
    pub(super) fn preallocate_again(&self, range: Range<usize>) -> bool {
        self.each_part(range, |offset, len| self.file.claim_again(offset, len))
    }

    /// Calls `part` for each part of the file that a range shows, until it returns `false`. Returns
    /// whether it never did.
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

    /// Returns the byte of the file that is shown at the start of a range, which is not empty, and
    /// the length of the part that is shown without a break from there.
    pub(super) fn shown(&self, range: Range<usize>) -> (u64, usize) {
        let Some(at) = self.in_zone_b(range.start) else {
            return (range.start as u64, range.len());
        };
        let (from, len) = self.slots.shown(at, range.len());
        (self.offset_of(from) as u64, len)
    }

    /// Makes all units accessible that the buddy system has opened; returns whether that succeeded.
    /// Units that were never opened stay inaccessible, so that `mlockall` does not read them into
    /// memory and they need no page tables.
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

    /// Makes a range of zone B, which no block has at this time, accessible or inaccessible;
    /// returns whether that succeeded. Zone A is opened as a whole.
    fn allow(&self, range: &Range<usize>, allowed: bool) -> bool {
        if range.is_empty() || range.start < self.zone_b {
            return true;
        }
        // SAFETY: all of zone B shows the file (invariant 1), and nothing uses the range.
        sys::retry(|| unsafe { self.space.allow(range.clone(), allowed) }).is_ok()
    }
}
