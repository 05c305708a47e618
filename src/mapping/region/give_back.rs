//! How a mapped region gives back disk space and memory, at its end and at its front.
#![expect(
    unsafe_code,
    reason = "takes pages away that are not in use; see docs/safety.md"
)]

use crate::error::Result;
use crate::io::refusal::Refusal;
use crate::mapping::growth::{cache_piece, page_down, page_up};
use crate::mapping::region::mapped::Mapped;
use crate::mapping::region::{out_of_memory, too_large};
use crate::sys;

impl Mapped {
    /// Gives back disk space, memory and claims behind the offset `used`. The bytes do not move.
    ///
    /// On failure the bytes before are as they were, and it stays usable.
    pub(super) fn shrink(&mut self, used: usize) -> Result<(), Refusal> {
        self.check_owner()?;
        let page = sys::page_size();
        let keep = page_up(used, page).ok_or_else(too_large)?.max(self.front);
        self.close_behind(keep)?;
        self.shrink_lease();
        if let Some(file) = &self.file {
            let len = self.end;
            if len < self.file_len {
                match file.shrink(self.file_len as u64, len as u64) {
                    Ok(()) => self.file_len = len,
                    // Windows: the space stays claimed, and is used again.
                    Err(refused) if refused.is_of_shown_file() => {}
                    Err(refused) => return Err(refused),
                }
            }
        }
        Ok(())
    }

    /// Takes the pages behind `keep`, in which nothing is in use, out of use.
    fn close_behind(&mut self, keep: usize) -> Result<(), Refusal> {
        if keep < self.end {
            let space = self.space();
            // SAFETY: nothing is in use there, as the caller says.
            let released = sys::retry(|| unsafe { space.release(self.part(keep..self.end)) });
            released.map_err(|answer| out_of_memory(&answer))?;
            self.end = keep;
            self.filed = self.filed.min(keep);
        }
        Ok(())
    }

    /// Gives back the whole pages before the offset `unused`, as far as they are in the file: they
    /// may not be touched again. The disk gets them back in whole pieces of the page cache.
    ///
    /// A refusal is not reported: the space is then given back by a later call, or when the region is
    /// dropped.
    pub(super) fn discard_front(&mut self, unused: usize) {
        let page = sys::page_size();
        let to = page_down(unused, page).min(self.filed);
        let range = self.front..to;
        let (Some(file), Some(space)) = (&self.file, &self.space) else {
            return;
        };
        if range.start >= range.end || self.check_owner().is_err() {
            return;
        }
        // SAFETY: nothing is in use in the range, as the caller says.
        if unsafe { space.release(self.part(range)) }.is_ok() {
            self.front = to;
            let holes = page_down(to, cache_piece(page));
            let more = holes.saturating_sub(self.holes) as u64;
            if more > 0 && file.give_back_part(self.holes as u64, more) {
                self.holes = holes;
            }
        }
    }
}
