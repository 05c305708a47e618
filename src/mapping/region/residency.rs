//! Which pages of a mapped region are in memory, and the advice that the kernel gets.
#![expect(
    unsafe_code,
    reason = "takes pages out of a mapping; see docs/safety.md"
)]

use std::ops::Range;

use crate::error::Result;
use crate::io::refusal::{Op, Refusal, retry};
use crate::mapping::advice::Advice;
use crate::mapping::growth::{page_down, page_up};
use crate::mapping::region::mapped::Mapped;
use crate::sys;
use crate::sys::Hint;

impl Mapped {
    /// Sets the advice for all bytes in the file, now and later.
    pub(super) fn advise(&mut self, advice: Advice) -> Result<(), Refusal> {
        self.check_owner()?;
        if let (Some(file), Some(space)) = (&self.file, &self.space) {
            let range = self.front..self.filed;
            if !range.is_empty() {
                if advice == Advice::Random {
                    // Pages that came in by large writes sit in large folios, of which one stored
                    // byte dirties all. Only pages that are read after the advice come alone
                    // (linux-facts F1, F3).
                    self.evict(range.clone())?;
                }
                retry(Op::Advise, || {
                    space.advise(self.part(range.clone()), Hint::from(advice))
                })?;
            }
            let len = range.len() as u64;
            file.advise(range.start as u64, len, Hint::from(advice))?;
        }
        self.kind.advice = advice;
        Ok(())
    }

    /// Tells the kernel in which order all bytes in the file will be read for a while, through the
    /// mapping and by calls; `None` ends that. Only a hint: the advice stays what it is.
    pub(super) fn expect(&self, order: Option<Advice>) {
        let hint = Hint::from(order.unwrap_or(self.kind.advice));
        if let (Some(range), Some(space)) = (self.in_file(self.front..self.filed), &self.space) {
            let _refused = sys::retry(|| space.advise(self.part(range.clone()), hint));
            if let Some(file) = &self.file {
                let _refused = file.advise(range.start as u64, range.len() as u64, hint);
            }
        }
    }

    /// Starts to read the pages of `range` that are in the file.
    pub(super) fn prefetch(&self, range: Range<usize>) -> Result<(), Refusal> {
        match (self.in_file(range), &self.file) {
            (Some(range), Some(file)) => {
                file.advise(range.start as u64, range.len() as u64, Hint::WillNeed)
            }
            _ => Ok(()),
        }
    }

    /// Writes the pages of `range` that are in the file back and takes them out of memory.
    pub(super) fn evict(&self, range: Range<usize>) -> Result<(), Refusal> {
        let (Some(range), Some(file)) = (self.in_file(range), &self.file) else {
            return Ok(());
        };
        // Dirty pages cannot be dropped (linux-facts S1), nor pages that are mapped (S3).
        file.sync_data()?;
        let space = self.space();
        retry(Op::Evict, || {
            space.advise(self.part(range.clone()), Hint::DontNeed)
        })?;
        file.advise(range.start as u64, range.len() as u64, Hint::DontNeed)
    }

    /// Takes the pages of `range` that are in the file out of the mapping, and leaves it to the
    /// kernel how long they stay in the page cache.
    pub(super) fn let_go(&self, range: Range<usize>) -> Result<(), Refusal> {
        let Some(range) = self.in_file(range) else {
            return Ok(());
        };
        let space = self.space();
        // SAFETY: all pages that `in_file` returns show the file (invariant 1).
        retry(Op::LetGo, || unsafe {
            space.unmap_pages(self.part(range.clone()))
        })
    }

    /// Returns how many bytes of the region are in memory and mapped.
    pub(super) fn resident_bytes(&self) -> Result<u64, Refusal> {
        self.check_owner()?;
        let Some(space) = self.space.as_ref().filter(|_space| self.front < self.end) else {
            return Ok(0);
        };
        let resident = sys::retry(|| space.resident_bytes(self.part(self.front..self.end)));
        resident.map_err(|answer| Refusal::answered(Op::AskResidency, &answer))
    }

    /// Returns the whole pages that `range` touches and that show the file, if there are any. In a
    /// forked child there are none.
    fn in_file(&self, range: Range<usize>) -> Option<Range<usize>> {
        self.check_owner().ok()?;
        let page = sys::page_size();
        let end = page_up(range.end, page)?.min(self.filed);
        let start = page_down(range.start, page).max(self.front);
        (start < end).then_some(start..end)
    }
}
