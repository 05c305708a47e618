//! A range of addresses: reserved at once, filled with memory and with windows on files.
#![expect(unsafe_code, reason = "calls mmap and its kin; see docs/safety.md")]

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
#[cfg(target_os = "macos")]
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
#[cfg(target_os = "macos")]
use std::sync::OnceLock;

use rustix::mm::{self, Advice};

use crate::bug::{bug, without_unwinding};
use crate::sys::bsd::file::File;
use crate::sys::bsd::own;
use crate::sys::contract::SpaceCalls;
use crate::sys::posix::process::process;
use crate::sys::posix::{fork, kernel_page_size, memory};
use crate::sys::{Access, Hint};

/// Addresses of this value. Dropping it unmaps all of them.
#[derive(Debug)]
pub(crate) struct Space {
    /// # Invariants
    ///
    /// 1. In the process `owner`, every page of `base..base + len` is mapped, by this value and for
    ///    this value alone: no page of it is ever unmapped before drop, so no other mapping can be
    ///    in it. In a forked child, pages that show a file for writing or are kept from children
    ///    are missing, and other mappings may have taken their place: there, a caller with such
    ///    pages does nothing to the space, and neither does its drop.
    /// 2. `len` is a multiple of the page size, not zero, and at most `isize::MAX`.
    base: NonNull<u8>,
    len: usize,
    owner: u64,
    /// The file that all of the space shows, for a sync that reaches the device.
    #[cfg(target_os = "macos")]
    shown: OnceLock<OwnedFd>,
}

// SAFETY: the range belongs to this value alone (invariant 1), and the kernel lets any thread of
// the process use, change or unmap it.
unsafe impl Send for Space {}
// SAFETY: `&Space` hands out an address, never a reference, and functions that change pages are
// `unsafe`: the callers of both prevent races.
unsafe impl Sync for Space {}

impl SpaceCalls for Space {
    type File = File;

    fn reserve(len: usize, align: usize) -> io::Result<Self> {
        let (base, len) = memory::reserve(len, align)?;
        Ok(Self {
            base,
            len,
            owner: process(),
            #[cfg(target_os = "macos")]
            shown: OnceLock::new(),
        })
    }

    #[inline]
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    #[inline]
    fn len(&self) -> usize {
        self.len
    }

    fn clear_in_children(&self) -> bool {
        fork::clear_in_children(self.base.as_ptr().cast::<c_void>(), self.len)
    }

    fn is_cleared(&self) -> bool {
        fork::is_cleared(self.base.as_ptr().cast::<c_void>())
    }

    unsafe fn commit(&self, range: Range<usize>) -> io::Result<()> {
        let (at, len) = self.part(&range);
        let probe = memory::map_memory(len)?;
        // SAFETY: the memory was mapped above, and no other code knows its address.
        unsafe { memory::unmap(probe, len) }?;
        // SAFETY: the range belongs to this value alone (invariant 1), and the caller gives it up.
        in_place(unsafe { memory::release(at, len) });
        // SAFETY: as above; the pages have no content.
        unsafe { memory::open(at, len) }
    }

    unsafe fn open(&self, range: Range<usize>) -> io::Result<()> {
        let (at, len) = self.part(&range);
        // SAFETY: the range belongs to this value alone (invariant 1), and its pages are reserved
        // (duty of the caller).
        unsafe { memory::open(at, len) }
    }

    unsafe fn show_all(&self, file: &File, access: Access) -> io::Result<()> {
        let fd = file.as_fd();
        #[cfg(target_os = "macos")]
        if access == Access::ReadWrite {
            let _first = self.shown.set(fd.try_clone_to_owned()?);
        }
        let (at, len) = self.part(&(0..self.len));
        // SAFETY: the range belongs to this value alone (invariant 1), and nothing uses it; the
        // caller vouches for the file.
        unsafe { show(at, len, fd, 0, access) }
    }

    unsafe fn show(
        &self,
        range: Range<usize>,
        file: &File,
        offset: u64,
        access: Access,
    ) -> io::Result<()> {
        let (at, len) = self.part(&range);
        // SAFETY: the range belongs to this value alone (invariant 1), and the caller gives it up and
        // vouches for the file.
        unsafe { show(at, len, file.as_fd(), offset, access) }
    }

    /// No call moves pages and leaves others behind.
    unsafe fn slide(&self, _from: Range<usize>, _by: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    unsafe fn release(&self, range: Range<usize>) -> io::Result<()> {
        let (at, len) = self.part(&range);
        let probe = memory::map_memory(len)?;
        // SAFETY: the memory was mapped above, and no other code knows its address.
        unsafe { memory::unmap(probe, len) }?;
        // SAFETY: the range belongs to this value alone (invariant 1), and the caller gives it up.
        in_place(unsafe { memory::release(at, len) });
        Ok(())
    }

    unsafe fn allow(&self, range: Range<usize>, allowed: bool) -> io::Result<()> {
        let (at, len) = self.part(&range);
        let access = if allowed {
            Access::ReadWrite
        } else {
            Access::Nothing
        };
        // SAFETY: the range belongs to this value alone (invariant 1), and nothing uses what
        // becomes inaccessible (duty of the caller).
        unsafe { memory::allow(at, len, access) }
    }

    fn keep_from_children(&self, range: Range<usize>) -> io::Result<()> {
        let (at, len) = self.part(&range);
        // SAFETY: the range belongs to this value alone (invariant 1).
        unsafe { keep_from_children(at, len) }
    }

    fn advise(&self, range: Range<usize>, hint: Hint) -> io::Result<()> {
        let (at, len) = self.part(&range);
        let advice = match hint {
            Hint::Normal => Advice::Normal,
            Hint::Sequential => Advice::Sequential,
            Hint::Random => Advice::Random,
            Hint::WillNeed => Advice::WillNeed,
            // On these systems it frees no memory whose only copy is in the mapping.
            Hint::DontNeed => Advice::DontNeed,
        };
        // SAFETY: no hint changes a byte of the range.
        unsafe { mm::madvise(at, len, advice) }?;
        Ok(())
    }

    /// The systems choose themselves.
    fn fold(&self, _range: Range<usize>, _folded: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    unsafe fn unmap_pages(&self, range: Range<usize>) -> io::Result<()> {
        self.advise(range, Hint::DontNeed)
    }

    unsafe fn sync(&self, range: Range<usize>) -> io::Result<()> {
        let (at, len) = self.part(&range);
        // SAFETY: the range belongs to this value (invariant 1).
        unsafe { memory::sync(at, len) }?;
        // `msync` leaves the bytes in the device's own memory.
        #[cfg(target_os = "macos")]
        if let Some(file) = self.shown.get() {
            own::sync_data(file)?;
        }
        Ok(())
    }

    /// Counts what is in memory, whether or not it is mapped: the system tells no more.
    fn resident_bytes(&self, range: Range<usize>) -> io::Result<u64> {
        let page = kernel_page_size();
        let (mut at, mut left) = self.part(&range);
        let mut pages: [libc::c_char; 4096] = [0; 4096];
        let mut resident: u64 = 0;
        while left > 0 {
            let len = left.min(page.saturating_mul(pages.len()));
            // SAFETY: the pages are mapped (invariant 1), and there is a byte for each.
            let refused = unsafe { libc::mincore(at, len, pages.as_mut_ptr()) };
            if refused != 0 {
                return Err(io::Error::last_os_error());
            }
            let asked = pages.iter().take(len.div_ceil(page));
            let found = asked.filter(|bits| libc::c_int::from(**bits) & libc::MINCORE_INCORE != 0);
            resident = resident.saturating_add(found.count() as u64);
            at = at.wrapping_byte_add(len);
            left = left.saturating_sub(len);
        }
        Ok(resident.saturating_mul(page as u64))
    }
}

impl Space {
    /// Returns address and length of a range that lies inside of the space.
    fn part(&self, range: &Range<usize>) -> (*mut c_void, usize) {
        memory::part(self.base, self.len, range)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if process() != self.owner {
            return;
        }
        fork::forget(self.base.as_ptr().cast::<c_void>());
        // SAFETY: this value owns exactly this range (invariant 1), and nothing can use it after
        // drop.
        let _unmapped = unsafe { memory::unmap(self.base.as_ptr().cast::<c_void>(), self.len) };
    }
}

/// Shows a file in place of what is at `at`. On failure nothing has changed.
///
/// No call moves a mapping into place, so it is made elsewhere first to learn whether the kernel
/// refuses: the file, its kind, or the addresses.
///
/// # Safety
///
/// The range belongs to a space of the caller, and nothing uses it. The file's bytes are changed or cut
/// off only in agreement with those that use the mapping.
unsafe fn show(
    at: *mut c_void,
    len: usize,
    file: BorrowedFd<'_>,
    offset: u64,
    access: Access,
) -> io::Result<()> {
    let may_be = if access == Access::Read {
        Access::Read
    } else {
        Access::ReadWrite
    };
    // SAFETY: nothing uses the window.
    let probe = unsafe { memory::map_window(len, file, offset, may_be) }?;
    // SAFETY: it was mapped above, and no other code knows its address.
    unsafe { memory::unmap(probe, len) }?;
    // SAFETY: the caller gives up what is there and vouches for the file.
    in_place(unsafe { memory::map_window_at(at, len, file, offset) });
    if access != Access::Read {
        // SAFETY: the range belongs to the caller.
        in_place(unsafe { keep_from_children(at, len) });
    }
    // SAFETY: as above; nothing uses it yet.
    in_place(unsafe { memory::unlock_and_allow(at, len, access) });
    Ok(())
}

/// Ends the process if a call was refused that has succeeded elsewhere with the same arguments: it is
/// unknown what is at its addresses now, and a mapping of another thread may be.
fn in_place(called: io::Result<()>) {
    if let Err(refused) = called {
        without_unwinding(|| bug!("a mapping was refused in place: {refused}"));
    }
}

/// Keeps a mapping of a file out of forked children, which must not write into their parent's data.
///
/// # Safety
///
/// The range belongs to the caller.
unsafe fn keep_from_children(at: *mut c_void, len: usize) -> io::Result<()> {
    // SAFETY: the inheritance of a mapping changes no content.
    match unsafe { libc::minherit(at, len, own::NOT_INHERITED) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
