//! What a region gives back: at its end, and at its front.
#![expect(
    unsafe_code,
    reason = "takes pages away that are not in use; see docs/safety.md"
)]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::slice;

use crate::error::Result;
use crate::mapping::growth::{WINDOW_BYTES_MIN, cache_piece, page_down, page_up};
use crate::mapping::region::{Region, out_of_memory, too_large};
use crate::sys;

impl Region {
    /// Gives back disk space, memory and claims behind the first `used` bytes. The bytes do not
    /// move.
    ///
    /// On failure the first `used` bytes are as before, and the region stays usable.
    pub(crate) fn shrink(&mut self, used: usize) -> Result<()> {
        self.check_owner()?;
        let page = sys::page_size();
        let keep = page_up(used, page).ok_or_else(too_large)?.max(self.front);
        self.close_behind(keep)?;
        if self.front == 0 && keep <= WINDOW_BYTES_MIN {
            return self.shrink_into_memory(used, keep);
        }
        if let Some(file) = &self.file {
            let len = self.end;
            if len < self.file_len {
                file.shrink(self.file_len as u64, len as u64)?;
                self.file_len = len;
            }
        }
        Ok(())
    }

    /// Takes the pages behind `keep`, in which nothing is in use, out of use.
    fn close_behind(&mut self, keep: usize) -> Result<()> {
        if keep < self.end {
            let space = self.space()?;
            // SAFETY: nothing is in use there, as the caller says.
            let released = sys::retry(|| unsafe { space.release(keep..self.end) });
            released.map_err(out_of_memory)?;
            self.end = keep;
            self.filed = self.filed.min(keep);
        }
        Ok(())
    }

    /// Puts the few bytes that are left, and nothing behind them, into memory and lets go of the
    /// file.
    fn shrink_into_memory(&mut self, used: usize, keep: usize) -> Result<()> {
        if self.filed > 0 {
            let base = self.space()?.base().as_ptr();
            // SAFETY: the first `used` bytes are accessible, and `&mut self` excludes writers.
            // Some may have no defined value, which is none to `MaybeUninit`.
            let kept = unsafe { slice::from_raw_parts(base.cast::<MaybeUninit<u8>>(), used) };
            let mut bytes = Vec::new();
            let reserved = bytes.try_reserve_exact(used);
            reserved.map_err(|_full| out_of_memory(io::ErrorKind::OutOfMemory.into()))?;
            bytes.extend_from_slice(kept);
            let space = self.space()?;
            // SAFETY: the caller has `&mut self`, so no reference leads into the range, and its
            // bytes are kept above.
            let committed = sys::retry(|| unsafe { space.commit(0..keep) });
            committed.map_err(out_of_memory)?;
            // SAFETY: `used <= keep`, and both are ours alone.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), base.cast(), used) };
            self.filed = 0;
        }
        (self.file, self.file_len) = (None, 0);
        Ok(())
    }

    /// Gives back the whole pages of the first `unused` bytes, as far as they are in the file:
    /// they may not be touched again. The disk gets them back in whole pieces of the page cache.
    ///
    /// A refusal is not reported: what could not be given back is given back later, or with the
    /// region.
    pub(crate) fn discard_front(&mut self, unused: usize) {
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
        if unsafe { space.release(range) }.is_ok() {
            self.front = to;
            let holes = page_down(to, cache_piece(page));
            let more = holes.saturating_sub(self.holes) as u64;
            if more > 0 && file.give_back_part(self.holes as u64, more) {
                self.holes = holes;
            }
        }
    }
}
