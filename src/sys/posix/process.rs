//! The identity of this process, distinguished from its parent and children at the cost of a load.
#![expect(
    unsafe_code,
    reason = "maps a page that forked children find empty; see docs/safety.md"
)]

#[cfg(not(target_os = "macos"))]
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{
    AtomicPtr, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

#[cfg(target_os = "linux")]
use rustix::mm::Advice;
#[cfg(not(target_os = "macos"))]
use rustix::mm::{self, MapFlags, ProtFlags};

#[cfg(target_os = "macos")]
use crate::sys::posix::fork::call_in_children;
#[cfg(not(target_os = "macos"))]
use crate::sys::posix::page_size;

/// A page that the system empties in every forked child, with the number of this process; null before
/// the first request.
static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// The value of [`PAGE`] if there is no such page: then the process id is used. For good, since
/// objects created under one number would be taken for a parent's under the other.
static NO_PAGE: AtomicU64 = AtomicU64::new(0);

/// The number for the next process that has none. A child continues from its parent's.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Returns a number that no parent and no child of this process has.
///
/// Unlike the process id, it is not the same in another PID namespace, and is not given again.
pub(crate) fn process() -> u64 {
    let page = match PAGE.load(Acquire) {
        page if page.is_null() => make_page(),
        page => page,
    };
    if ptr::eq(page, &raw const NO_PAGE) {
        return u64::from(std::process::id()) | 1 << 63;
    }
    // SAFETY: the pointer leads to a page that is never unmapped, or to a static; zero bytes are a
    // valid `AtomicU64`.
    let number = unsafe { &*page };
    match number.load(Relaxed) {
        0 => {
            let new = NEXT.fetch_add(1, Relaxed);
            let known = number.compare_exchange(0, new, Relaxed, Relaxed);
            known.map_or_else(|known| known, |_zero| new)
        }
        known => known,
    }
}

/// Maps the page, unless another thread was faster, and returns the content of [`PAGE`].
#[cold]
fn make_page() -> *mut AtomicU64 {
    let mapped = map_page();
    let ours = mapped.unwrap_or_else(|| (&raw const NO_PAGE).cast_mut());
    let placed = PAGE.compare_exchange(ptr::null_mut(), ours, AcqRel, Acquire);
    if let (Err(_), Some(page)) = (placed, mapped) {
        // SAFETY: the page was mapped above, and nothing else knows it.
        unsafe { unmap_page(page) };
    }
    PAGE.load(Acquire)
}

/// Maps a page that is empty in children; returns `None` if the system refuses.
#[cfg(not(target_os = "macos"))]
fn map_page() -> Option<*mut AtomicU64> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel picks a free range, so no existing mapping changes.
    let mapped =
        unsafe { mm::mmap_anonymous(ptr::null_mut(), page_size(), access, MapFlags::PRIVATE) };
    let page = mapped.ok()?;
    // SAFETY: the page was mapped above.
    let wiped = unsafe { wipe_in_children(page) };
    let page = page.cast::<AtomicU64>();
    if !wiped {
        // SAFETY: the page was mapped above, and nothing else knows it.
        unsafe { unmap_page(page) };
        return None;
    }
    Some(page)
}

/// # Safety
///
/// The page was mapped by [`map_page`], and nothing uses it.
#[cfg(not(target_os = "macos"))]
unsafe fn unmap_page(page: *mut AtomicU64) {
    // SAFETY: the caller gives the page up.
    let _unmapped = unsafe { mm::munmap(page.cast::<c_void>(), page_size()) };
}

/// Has the kernel empty a page in children (`MADV_WIPEONFORK`, Linux 4.14); returns whether it will.
///
/// # Safety
///
/// The page was mapped by the caller.
#[cfg(target_os = "linux")]
unsafe fn wipe_in_children(page: *mut c_void) -> bool {
    // SAFETY: no byte of this process changes.
    unsafe { mm::madvise(page, page_size(), Advice::LinuxWipeOnFork) }.is_ok()
}

/// Has the kernel empty a page in children (`INHERIT_ZERO`, FreeBSD 12); returns whether it will.
///
/// # Safety
///
/// The page was mapped by the caller.
#[cfg(target_os = "freebsd")]
unsafe fn wipe_in_children(page: *mut c_void) -> bool {
    // SAFETY: no byte of this process changes.
    let refused = unsafe { libc::minherit(page, page_size(), libc::INHERIT_ZERO) };
    refused == 0
}

/// Returns a number that the C library's `fork` empties in children: macOS has no such pages, and no
/// other way to fork.
#[cfg(target_os = "macos")]
fn map_page() -> Option<*mut AtomicU64> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    unsafe extern "C" fn wipe() {
        NUMBER.store(0, Relaxed);
    }
    // SAFETY: a store into a static is allowed in a forked child.
    let asked = unsafe { call_in_children(wipe) };
    asked.then(|| (&raw const NUMBER).cast_mut())
}

/// Does nothing: all threads get the same static.
#[cfg(target_os = "macos")]
unsafe fn unmap_page(_page: *mut AtomicU64) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_stays_the_same_on_all_threads() {
        let here = process();
        assert_ne!(here, 0);
        assert!(ptr::eq(PAGE.load(Acquire), &raw const NO_PAGE) || here < 1 << 63);
        assert_eq!(std::thread::spawn(process).join().unwrap(), here);
    }
}
