//! A second mapped region with the same bytes.
#![expect(
    unsafe_code,
    reason = "copies bytes of one region to another; see docs/safety.md"
)]

use std::ops::Range;
use std::ptr;

use crate::error::Result;
use crate::io::file::COPY_BYTES;
use crate::io::refusal::Refusal;
use crate::mapping::advice::Advice;
use crate::mapping::growth::{cache_piece, page_down, page_up};
use crate::mapping::region::mapped::Mapped;
use crate::sys;

impl Mapped {
    /// Makes one of the same kind with the bytes `used` at the same offsets, all claimed, of which
    /// some are in the file.
    ///
    /// They are read and written, and not shared, so that both own their space; what is in the window
    /// is copied here.
    pub(super) fn try_copy(&self, used: Range<usize>) -> Result<Self, Refusal> {
        self.check_owner()?;
        let page = sys::page_size();
        let source = self.file();
        let front = page_down(used.start, page).max(self.front);
        let shown_end = page_up(used.end, page).unwrap_or(used.end).min(self.filed);
        let mut copy = Self::new(self.kind.clone());
        // The file has a hole in front, where nothing is shown, as that of this one has.
        copy.holes = page_down(front, cache_piece(page));
        copy.file_len = copy.holes;
        (copy.origin, copy.front) = (copy.origin_of(front), front);
        (copy.filed, copy.end) = (front, front);
        let len = copy.addressable(used.end)?;
        copy.claim([len])?;
        copy.ensure_addresses(len)?;
        let target = copy.file();
        let piece = match self.kind.advice {
            // As in `write_window`.
            Advice::Random => page,
            _ => COPY_BYTES,
        };
        target.copy_from(source, front as u64..shown_end as u64, piece)?;
        // SAFETY: the copy's addresses are in use by nothing, and its file is its own.
        unsafe { copy.show(front..shown_end) }?;
        (copy.filed, copy.end) = (shown_end, shown_end);
        copy.advance(used.end)?;
        self.copy_memory(&copy, shown_end..used.end);
        Ok(copy)
    }

    /// Copies the bytes `range` to where they are in `copy`.
    fn copy_memory(&self, copy: &Self, range: Range<usize>) {
        if !range.is_empty() {
            let (source, target) = (self.place(range.start), copy.place(range.start));
            // SAFETY: both have accessible bytes there, and lie apart.
            unsafe { ptr::copy_nonoverlapping(source.as_ptr(), target.as_ptr(), range.len()) };
        }
    }
}
