//! Mappings in POSIX: reserved addresses, memory, and windows on files.
#![expect(unsafe_code, reason = "calls mmap and its kin; see docs/safety.md")]

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};

use rustix::mm::{self, MapFlags, MprotectFlags, MsyncFlags, ProtFlags};

use crate::sys::Access;
use crate::sys::posix::{kernel_page_size, page_size};

/// FreeBSD sets nothing aside before it is used, and has no flag for that.
#[cfg(target_os = "freebsd")]
const NO_RESERVE: MapFlags = MapFlags::empty();
#[cfg(not(target_os = "freebsd"))]
const NO_RESERVE: MapFlags = MapFlags::NORESERVE;

/// Flags of memory that the system need not set aside before it is used, and of reserved addresses.
pub(crate) const RESERVED: MapFlags = MapFlags::PRIVATE.union(NO_RESERVE);

/// Flags of windows on a file.
const WINDOW: MapFlags = MapFlags::SHARED.union(NO_RESERVE);

/// Reserves `len` bytes of addresses, rounded up to whole pages, that start at a multiple of
/// `align`, a power of two. Returns the address and the length, which is at most `isize::MAX`. No
/// page of them may be accessed, and no other mapping is changed.
pub(crate) fn reserve(len: usize, align: usize) -> io::Result<(NonNull<u8>, usize)> {
    debug_assert!(align.is_power_of_two());
    let page = page_size();
    let len = round_up(len.max(1), page)?;
    let slack = align.max(page).saturating_sub(kernel_page_size());
    let asked = len.checked_add(slack).ok_or(io::ErrorKind::OutOfMemory)?;
    if isize::try_from(asked).is_err() {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    // SAFETY: the kernel picks a free range, so no existing mapping changes.
    let start =
        unsafe { mm::mmap_anonymous(ptr::null_mut(), asked, ProtFlags::empty(), RESERVED) }?;
    // SAFETY: it was mapped above.
    unsafe { unlock(start, asked) };
    let start = start.cast::<u8>();
    let skipped = start.align_offset(align.max(page));
    debug_assert!(skipped <= slack);
    let base = start.wrapping_add(skipped);
    let end = base.wrapping_add(len);
    let behind = slack.saturating_sub(skipped);
    for (piece, piece_len) in [(start, skipped), (end, behind)] {
        if piece_len > 0 {
            // SAFETY: the piece was mapped above, is outside of `base..base + len`, and no other
            // code knows its address. If this is refused it stays reserved, which is harmless.
            let _trimmed = unsafe { mm::munmap(piece.cast::<c_void>(), piece_len) };
        }
    }
    let base = NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?;
    Ok((base, len))
}

/// Maps `len` bytes of zeroed memory at an address that the kernel chooses. No other mapping is
/// changed.
pub(crate) fn map_memory(len: usize) -> io::Result<*mut c_void> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel picks a free range, so no existing mapping changes.
    let made = unsafe { mm::mmap_anonymous(ptr::null_mut(), len, access, RESERVED) }?;
    // SAFETY: it was mapped above.
    unsafe { unlock(made, len) };
    Ok(made)
}

/// Maps `len` bytes of a file from `offset`, at an address that the kernel chooses. No other
/// mapping is changed.
///
/// A window that may be larger than memory is mapped without access, and then passed to
/// [`unlock_and_allow`].
///
/// # Safety
///
/// The file's bytes are changed or cut off only in agreement with those that use the mapping.
pub(crate) unsafe fn map_window(
    len: usize,
    file: impl AsFd,
    offset: u64,
    access: Access,
) -> io::Result<*mut c_void> {
    let access = protection(access);
    // SAFETY: the kernel chooses a free range, so no existing mapping changes; the caller vouches
    // for the file.
    Ok(unsafe { mm::mmap(ptr::null_mut(), len, access, WINDOW, file, offset) }?)
}

/// Maps a file from `offset` in place of what is at `at`, without access until
/// [`unlock_and_allow`]. On failure, there may be a hole.
///
/// # Safety
///
/// The range belongs to the caller, and nothing uses it. The file's bytes are changed or cut off only
/// in agreement with those that use the mapping.
pub(crate) unsafe fn map_window_at(
    at: *mut c_void,
    len: usize,
    file: impl AsFd,
    offset: u64,
) -> io::Result<()> {
    let (access, flags) = (ProtFlags::empty(), WINDOW | MapFlags::FIXED);
    // SAFETY: the caller gives up what is there. MAP_FIXED replaces it in one step, so it is never
    // unmapped.
    unsafe { mm::mmap(at, len, access, flags, file, offset) }?;
    Ok(())
}

/// Puts reserved pages in place of what is at `at`.
///
/// # Safety
///
/// The range belongs to the caller, and nothing uses it.
pub(crate) unsafe fn release(at: *mut c_void, len: usize) -> io::Result<()> {
    let flags = RESERVED | MapFlags::FIXED;
    // SAFETY: the caller gives up what is there.
    unsafe { mm::mmap_anonymous(at, len, ProtFlags::empty(), flags) }?;
    // SAFETY: it was mapped above.
    unsafe { unlock(at, len) };
    Ok(())
}

/// Makes reserved pages accessible as zeroed memory. On failure they are unchanged.
///
/// # Safety
///
/// The range belongs to the caller, and its pages are reserved.
pub(crate) unsafe fn open(at: *mut c_void, len: usize) -> io::Result<()> {
    // SAFETY: the caller's pages have no content.
    unsafe { mm::mprotect(at, len, MprotectFlags::READ | MprotectFlags::WRITE) }?;
    Ok(())
}

/// Makes the pages of a window accessible or inaccessible.
///
/// # Safety
///
/// The range is the caller's window on a file. If it becomes inaccessible, nothing uses it.
pub(crate) unsafe fn allow(at: *mut c_void, len: usize, access: Access) -> io::Result<()> {
    let access = match access {
        Access::Nothing => MprotectFlags::empty(),
        Access::Read => MprotectFlags::READ,
        Access::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
    };
    // SAFETY: no byte of the range changes; nothing uses what becomes inaccessible (duty of the
    // caller).
    unsafe { mm::mprotect(at, len, access) }?;
    Ok(())
}

/// Removes a mapping from `mlockall(MCL_FUTURE)`: windows on files larger than memory cannot be
/// kept there, nor reserved addresses.
///
/// # Safety
///
/// The range is a mapping of the caller.
unsafe fn unlock(at: *mut c_void, len: usize) {
    // If this is refused the mapping stays locked, which changes no byte.
    // SAFETY: the range is mapped, and no byte of it changes.
    let _unlocked = unsafe { mm::munlock(at, len) };
}

/// Does the same for a window that was mapped without access, and then permits its access. In this
/// order, since the kernel at once reads a mapping that is accessible and locked (linux-facts L4).
///
/// # Safety
///
/// The range is the caller's window on a file, which nothing uses yet.
pub(crate) unsafe fn unlock_and_allow(
    at: *mut c_void,
    len: usize,
    access: Access,
) -> io::Result<()> {
    // SAFETY: the range is the caller's.
    unsafe { unlock(at, len) };
    if access == Access::Nothing {
        return Ok(());
    }
    // SAFETY: as above; nothing uses it.
    unsafe { allow(at, len, access) }
}

/// Waits until the bytes that were stored to a window are on the device.
///
/// # Safety
///
/// The range belongs to the caller.
pub(crate) unsafe fn sync(at: *mut c_void, len: usize) -> io::Result<()> {
    // SAFETY: writing pages back changes no byte.
    unsafe { mm::msync(at, len, MsyncFlags::SYNC) }?;
    Ok(())
}

/// Unmaps a range.
///
/// # Safety
///
/// The range is one that the caller has mapped, and nothing uses it any more.
pub(crate) unsafe fn unmap(at: *mut c_void, len: usize) -> io::Result<()> {
    // SAFETY: the caller gives the range up.
    unsafe { mm::munmap(at, len) }?;
    Ok(())
}

/// Returns address and length of a range that lies inside of the `len` bytes at `base`.
pub(crate) fn part(base: NonNull<u8>, len: usize, range: &Range<usize>) -> (*mut c_void, usize) {
    debug_assert!(range.start < range.end && range.end <= len);
    let page = page_size();
    debug_assert!(range.start & page.wrapping_sub(1) == 0);
    debug_assert!(range.end & page.wrapping_sub(1) == 0);
    assert!(range.start <= range.end && range.end <= len);
    let at = base.as_ptr().wrapping_add(range.start);
    (at.cast::<c_void>(), range.end.saturating_sub(range.start))
}

fn protection(access: Access) -> ProtFlags {
    match access {
        Access::Nothing => ProtFlags::empty(),
        Access::Read => ProtFlags::READ,
        Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
    }
}

/// Rounds up to a multiple of `page`; the result fits into an `isize`.
fn round_up(len: usize, page: usize) -> io::Result<usize> {
    len.checked_next_multiple_of(page)
        .filter(|rounded| isize::try_from(*rounded).is_ok())
        .ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}
