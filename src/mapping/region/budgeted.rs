//! How a plain region becomes a mapped one. With a budget of memory, the window grows as long as the
//! budget allows; then the region gets a file.
//!
//! The window opens in place, so no byte moves while it grows. When the budget refuses, the whole
//! window goes to a file, as any other full window does, and the lease ends.
#![expect(
    unsafe_code,
    reason = "copies bytes of a region to another; see docs/safety.md"
)]

use std::ptr::{self, NonNull};
use std::slice;

use crate::budget::{Lease, MemoryBudget};
use crate::exact::difference;
use crate::io::refusal::Refusal;
use crate::mapping::growth::{WINDOW_BYTES_MIN, page_up};
use crate::mapping::region::mapped::Mapped;
use crate::mapping::region::{Kind, Need, Region, State};
use crate::sys;

/// The most that a window grows ahead of its use.
const AHEAD_BYTES_MAX: usize = 32 << 20;

impl Region {
    /// Makes the region, which has no bytes yet, stay in memory as long as the budget allows.
    pub(crate) fn in_budget(mut self, budget: &MemoryBudget) -> Self {
        debug_assert!(self.accessible() == 0);
        if let State::Plain(plain) = &mut self.state {
            plain.kind.budget = Some(budget.clone());
        }
        self
    }

    /// Makes the region a mapped one, with a file of its own or in the budget, from wherever its bytes are.
    ///
    /// On failure nothing has changed.
    pub(super) fn file(&mut self, used: usize, need: usize, kind: Need) -> Result<(), Refusal> {
        let mapped = match self.first() {
            Some(first) if used > 0 && self.kind().budget.is_some() => {
                let of = self.kind().clone();
                // SAFETY: the bytes are accessible, and `&mut self` excludes writers.
                unsafe { Mapped::in_budget(of, first, used, need, kind) }?
            }
            Some(first) if used > 0 => {
                // SAFETY: as above. An element with padding may have left bytes without a defined
                // value; nothing but the kernel, to which the slice goes, looks at them.
                let bytes = unsafe { slice::from_raw_parts(first.as_ptr(), used) };
                let mut mapped = Mapped::with_bytes(self.kind().clone(), bytes)?;
                mapped.grow(need, kind)?;
                mapped
            }
            _ => {
                let mut mapped = Mapped::new(self.kind().clone());
                mapped.grow(need, kind)?;
                mapped
            }
        };
        self.state = State::Mapped(Box::new(mapped));
        self.head = 0;
        Ok(())
    }
}

impl Mapped {
    /// Makes one of `used` bytes from `first`, in memory if the budget has any, with room for `need`.
    ///
    /// # Safety
    ///
    /// The bytes are accessible, and nothing writes to them.
    pub(super) unsafe fn in_budget(
        kind: Kind,
        first: NonNull<u8>,
        used: usize,
        need: usize,
        more: Need,
    ) -> Result<Self, Refusal> {
        let mut mapped = Self::new(kind);
        mapped.advance(used)?;
        mapped.grow(need, more)?;
        let target = mapped.place(0).as_ptr();
        // SAFETY: the caller vouches for the source; the target is as long, accessible since
        // `advance`, and new.
        unsafe { ptr::copy_nonoverlapping(first.as_ptr(), target, used) };
        Ok(mapped)
    }

    /// Returns whether the first `need` bytes can stay in memory, as far as can be known.
    pub(super) fn can_stay(&self, need: usize) -> bool {
        let leased = self.lease.as_ref().map_or(0, Lease::bytes);
        let free = |budget: &MemoryBudget| need.saturating_sub(leased) <= budget.free();
        self.file.is_none() && self.kind.budget.as_ref().is_some_and(free)
    }

    /// Lengthens the window to `padded` bytes and some more, if there is no file yet and the budget
    /// has as much; returns whether it did.
    pub(super) fn open_in_budget(&mut self, padded: usize) -> Result<bool, Refusal> {
        let (None, Some(budget)) = (&self.file, &self.kind.budget) else {
            return Ok(false);
        };
        let ahead = (self.end / 2).clamp(WINDOW_BYTES_MIN, AHEAD_BYTES_MAX);
        let ample = page_up(self.end.saturating_add(ahead), sys::page_size());
        let ample = ample.unwrap_or(padded).max(padded);
        let short = padded.saturating_add(WINDOW_BYTES_MIN).min(ample);
        for end in [ample, short, padded] {
            let leased = self.lease.as_ref().map_or(0, Lease::bytes);
            let more = end.saturating_sub(leased);
            let taken = match &mut self.lease {
                Some(lease) => lease.grow(more),
                none => {
                    *none = budget.take(more);
                    none.is_some()
                }
            };
            if !taken {
                continue;
            }
            let room = self.ensure_addresses(end);
            let opened = room.and_then(|()| self.open_window(difference(end, self.end)));
            opened.inspect_err(|_refused| self.shrink_lease())?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Gives the budget back what the window does not have, or everything if it is in a file.
    pub(super) fn shrink_lease(&mut self) {
        if self.file.is_some() {
            self.lease = None;
        }
        if let Some(lease) = &mut self.lease {
            lease.shrink_to(self.end);
        }
    }
}
