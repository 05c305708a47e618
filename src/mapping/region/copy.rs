//! A second region with the same bytes.
#![expect(
    unsafe_code,
    reason = "copies bytes of one region to another; see docs/safety.md"
)]

use std::ptr;

use crate::error::Result;
use crate::io::file::COPY_BYTES;
use crate::mapping::advice::Advice;
use crate::mapping::growth::page_up;
use crate::mapping::region::{Region, addressable};
use crate::sys;

impl Region {
    /// Makes a region of the same kind with the same first `used` bytes, all claimed.
    ///
    /// What is in the file is read and written, and not shared, so that both own their space.
    pub(crate) fn try_copy(&self, used: usize) -> Result<Self> {
        let mut copy = self.empty_like();
        let in_file = used.min(self.filed);
        let (Some(source), true) = (&self.file, self.front < in_file) else {
            copy.advance(used)?;
            self.copy_memory(&copy, self.front.min(used), used)?;
            return Ok(copy);
        };
        self.check_owner()?;
        let len = addressable(used)?;
        copy.claim(len, len as u64)?;
        copy.ensure_addresses(len)?;
        let Some(target) = &copy.file else {
            return Ok(copy);
        };
        let padded = page_up(in_file, sys::page_size()).unwrap_or(in_file);
        let piece = match self.advice {
            // As in `write_window`.
            Advice::Random => sys::page_size(),
            _ => COPY_BYTES,
        };
        target.copy_from(source, self.front as u64..padded as u64, piece)?;
        // SAFETY: the copy's addresses are in use by nobody, and its file is its own.
        unsafe { copy.show(0..padded) }?;
        (copy.filed, copy.end) = (padded, padded);
        copy.advance(used)?;
        self.copy_memory(&copy, padded.min(used), used)?;
        Ok(copy)
    }

    /// Copies the bytes `from..to` to where they are in `copy`.
    fn copy_memory(&self, copy: &Self, from: usize, to: usize) -> Result<()> {
        if from < to {
            let source = self.space()?.base().as_ptr().wrapping_add(from);
            let target = copy.space()?.base().as_ptr().wrapping_add(from);
            // SAFETY: both regions have accessible bytes there, and lie apart.
            unsafe { ptr::copy_nonoverlapping(source, target, to.saturating_sub(from)) };
        }
        Ok(())
    }
}
