//! A space that is one zeroed heap block.
#![expect(unsafe_code, reason = "allocates and frees the stand-in for a mapping")]

use std::alloc::{self, Layout};
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};

use crate::sys::contract::SpaceCalls;
use crate::sys::memory::file::{Content, File};
use crate::sys::page_size;
use crate::sys::{Access, Hint};

/// The longest space: small, so that the containers run out of it and have to move.
const LEN_MAX: usize = if cfg!(miri) { 1 << 20 } else { 64 << 20 };

/// Zeroed heap memory that stands in for a range of addresses.
#[derive(Debug)]
pub(crate) struct Space {
    /// # Invariants
    ///
    /// 1. `base` is a live allocation of `layout`, made by `alloc_zeroed`, that no other value
    ///    frees.
    /// 2. `shown` names every file that has a window in the block.
    base: NonNull<u8>,
    layout: Layout,
    shown: Mutex<Vec<Arc<Mutex<Content>>>>,
}

// SAFETY: the allocation belongs to this value alone (invariant 1), and the global allocator frees
// it from any thread.
unsafe impl Send for Space {}
// SAFETY: `&Space` hands out an address, never a reference, and what changes bytes is `unsafe`.
unsafe impl Sync for Space {}

impl SpaceCalls for Space {
    type File = File;

    fn reserve(len: usize, align: usize) -> io::Result<Self> {
        if len > LEN_MAX {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let layout = Layout::from_size_align(len.max(1), align.max(page_size()))
            .map_err(|_overflow| io::ErrorKind::OutOfMemory)?;
        let len = layout.size().next_multiple_of(page_size());
        let layout = Layout::from_size_align(len, layout.align())
            .map_err(|_overflow| io::ErrorKind::OutOfMemory)?;
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc::alloc_zeroed(layout) };
        Ok(Self {
            base: NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?,
            layout,
            shown: Mutex::new(Vec::new()),
        })
    }

    fn base(&self) -> NonNull<u8> {
        self.base
    }

    fn len(&self) -> usize {
        self.layout.size()
    }

    fn clear_in_children(&self) -> bool {
        true
    }

    fn is_cleared(&self) -> bool {
        false
    }

    unsafe fn commit(&self, range: Range<usize>) -> io::Result<()> {
        let (at, len) = self.part(&range);
        self.hide(at, len);
        // SAFETY: the range lies in the allocation (invariant 1), and the caller gives up its
        // content.
        unsafe { ptr::write_bytes(at, 0, len) };
        Ok(())
    }

    fn keep_from_children(&self, range: Range<usize>) -> io::Result<()> {
        let _checked = self.part(&range);
        Ok(())
    }

    unsafe fn open(&self, range: Range<usize>) -> io::Result<()> {
        // SAFETY: reserved pages have no content.
        unsafe { self.commit(range) }
    }

    unsafe fn show_all(&self, file: &File, access: Access) -> io::Result<()> {
        // SAFETY: the caller keeps the contract.
        unsafe { self.show(0..self.len(), file, 0, access) }
    }

    unsafe fn show(
        &self,
        range: Range<usize>,
        file: &File,
        offset: u64,
        access: Access,
    ) -> io::Result<()> {
        let (at, len) = self.part(&range);
        // SAFETY: the caller gives up the range.
        unsafe { self.commit(range) }?;
        let offset = usize::try_from(offset).map_err(|_overflow| io::ErrorKind::OutOfMemory)?;
        let content = file.shared_content();
        content
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add_window(at, len, offset, access != Access::Read);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if !shown.iter().any(|known| Arc::ptr_eq(known, content)) {
            shown.push(Arc::clone(content));
        }
        Ok(())
    }

    unsafe fn slide(&self, from: Range<usize>, by: usize) -> io::Result<()> {
        debug_assert!(by >= from.len());
        let to = from.start.saturating_add(by)..from.end.saturating_add(by);
        let (old, len) = self.part(&from);
        let (new, _len) = self.part(&to);
        self.hide(new, len);
        // SAFETY: both ranges lie in the allocation (invariant 1) and do not overlap.
        unsafe { ptr::copy_nonoverlapping(old, new, len) };
        // SAFETY: as above.
        unsafe { ptr::write_bytes(old, 0, len) };
        Ok(())
    }

    unsafe fn release(&self, range: Range<usize>) -> io::Result<()> {
        // SAFETY: the caller gives up the range.
        unsafe { self.commit(range) }
    }

    unsafe fn allow(&self, range: Range<usize>, _allowed: bool) -> io::Result<()> {
        let _checked = self.part(&range);
        Ok(())
    }

    fn advise(&self, _range: Range<usize>, _hint: Hint) -> io::Result<()> {
        Ok(())
    }

    fn fold(&self, _range: Range<usize>, _folded: bool) -> io::Result<()> {
        Ok(())
    }

    unsafe fn unmap_pages(&self, _range: Range<usize>) -> io::Result<()> {
        Ok(())
    }

    unsafe fn sync(&self, _range: Range<usize>) -> io::Result<()> {
        Ok(())
    }

    fn resident_bytes(&self, range: Range<usize>) -> io::Result<u64> {
        Ok(self.part(&range).1 as u64)
    }
}

impl Space {
    /// Removes the bytes from the windows of every file.
    fn hide(&self, at: *mut u8, len: usize) {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for content in shown.iter() {
            content
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove_windows(at, len);
        }
    }

    /// Returns address and length of a range that lies inside of the block.
    fn part(&self, range: &Range<usize>) -> (*mut u8, usize) {
        assert!(range.start <= range.end && range.end <= self.layout.size());
        let at = self.base.as_ptr().wrapping_add(range.start);
        (at, range.end.saturating_sub(range.start))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.hide(self.base.as_ptr(), self.layout.size());
        // SAFETY: `base` is live and has this very layout (invariant 1).
        unsafe { alloc::dealloc(self.base.as_ptr(), self.layout) };
    }
}
