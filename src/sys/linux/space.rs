//! A range of addresses: reserved at once, filled with memory and with windows on files.
#![expect(unsafe_code, reason = "calls mmap and its kin; see docs/safety.md")]

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use rustix::fs::{self, Mode, OFlags};
use rustix::io::retry_on_intr;
use rustix::mm::{self, Advice, MremapFlags};
use rustix::process::{Resource, getrlimit};

use crate::sys::contract::SpaceCalls;
use crate::sys::linux::file::File;
use crate::sys::posix::process::process;
use crate::sys::posix::{fork, kernel_page_size, memory, page_size};
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
    ///    pages does nothing to the space, and neither does its drop. The same holds once
    ///    `is_lost`.
    /// 2. `len` is a multiple of the page size, not zero, and at most `isize::MAX`.
    base: NonNull<u8>,
    len: usize,
    owner: u64,
    /// Whether the kernel may have unmapped the range and put nothing in its place.
    is_lost: AtomicBool,
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
            is_lost: AtomicBool::new(false),
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
        // Created elsewhere first: in place, some kernels unmap the range before they refuse.
        let made = memory::map_memory(len)?;
        // SAFETY: the mapping was created above, and no other code knows its address; the caller
        // gives up the range's content.
        unsafe { put(made, len, at) }
    }

    unsafe fn open(&self, range: Range<usize>) -> io::Result<()> {
        let (at, len) = self.part(&range);
        // SAFETY: the range belongs to this value alone (invariant 1), and its pages are reserved
        // (duty of the caller).
        unsafe { memory::open(at, len) }
    }

    unsafe fn show_all(&self, file: &File, access: Access) -> io::Result<()> {
        let (at, len) = self.part(&(0..self.len));
        let (page, fd) = (page_size(), file.as_fd());
        let may_be = if access == Access::Read {
            Access::Read
        } else {
            Access::ReadWrite
        };
        if self.is_lost.load(Relaxed) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        // Some files refuse to be mapped (those of /proc and /sys, some of FUSE and 9p), and the
        // kernel asks them after it has unmapped the range, which leaves a hole (Linux 6.18). So a
        // page is mapped elsewhere first.
        // SAFETY: nothing uses the window.
        let probe = unsafe { memory::map_window(page, fd, 0, may_be) }?;
        // SAFETY: the page was mapped above, and no other code knows its address.
        unsafe { memory::unmap(probe, page) }?;
        // SAFETY: the range belongs to this value alone (invariant 1), and nothing uses it; the
        // caller vouches for the file.
        let shown = unsafe { memory::map_window_at(at, len, fd, 0) };
        if let Err(refused) = shown {
            // There may be a hole nevertheless, and a mapping of another thread may be in it by
            // now: unmapping or replacing it would destroy that mapping.
            self.is_lost.store(true, Relaxed);
            return Err(refused);
        }
        // SAFETY: as above.
        unsafe { memory::unlock_and_allow(at, len, access) }?;
        if access == Access::Read {
            // A child that reads does no harm.
            return Ok(());
        }
        // SAFETY: as above.
        unsafe { keep_from_children(at, len) }
    }

    unsafe fn show(
        &self,
        range: Range<usize>,
        file: &File,
        offset: u64,
        access: Access,
    ) -> io::Result<()> {
        let (at, len) = self.part(&range);
        // Created elsewhere first, since several calls are needed: if it were created in place and
        // a later call refused, the range would show a file while its owner takes it for memory.
        // SAFETY: the caller vouches for the file.
        let made = unsafe { memory::map_window(len, file.as_fd(), offset, Access::Nothing) }?;
        // SAFETY: the mapping was created above, and no other code knows its address.
        let allowed = unsafe { memory::unlock_and_allow(made, len, access) };
        // SAFETY: as above.
        let kept = allowed.and_then(|()| unsafe { keep_from_children(made, len) });
        if let Err(refused) = kept {
            // SAFETY: as above.
            let _unmapped = unsafe { memory::unmap(made, len) };
            return Err(refused);
        }
        // SAFETY: as above; the caller gives up the range's content.
        unsafe { put(made, len, at) }
    }

    unsafe fn slide(&self, from: Range<usize>, by: usize) -> io::Result<()> {
        debug_assert!(by >= from.len());
        // The kernel counts the pages twice for a moment. If it counts them at all it may refuse,
        // and only after it has unmapped the target, which leaves a hole.
        let limited = |resource| getrlimit(resource).current.is_some();
        if limited(Resource::As) || limited(Resource::Data) || commits_strictly() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let to = from.start.saturating_add(by)..from.end.saturating_add(by);
        let (old, len) = self.part(&from);
        let (new, _len) = self.part(&to);
        // Without DONTUNMAP the kernel would leave a hole where the pages were, into which the
        // mmap of another thread can fall (linux-facts V8).
        let flags = MremapFlags::MAYMOVE | DONT_UNMAP;
        // SAFETY: both ranges belong to this value alone (invariant 1), are whole and do not
        // overlap; the caller gives up their addresses during the call.
        unsafe { mm::mremap_fixed(old, len, len, flags, new) }?;
        Ok(())
    }

    unsafe fn release(&self, range: Range<usize>) -> io::Result<()> {
        let (at, len) = self.part(&range);
        // SAFETY: the range belongs to this value alone (invariant 1), and the caller gives it up.
        unsafe { memory::release(at, len) }
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

    fn advise(&self, range: Range<usize>, hint: Hint) -> io::Result<()> {
        let (at, len) = self.part(&range);
        let advice = match hint {
            Hint::Normal => Advice::Normal,
            Hint::Sequential => Advice::Sequential,
            Hint::Random => Advice::Random,
            Hint::WillNeed => Advice::WillNeed,
            // Unlike MADV_DONTNEED, this frees no memory whose only copy is in the mapping.
            Hint::DontNeed => Advice::LinuxPageOut,
        };
        // SAFETY: no hint changes a byte of the range.
        unsafe { mm::madvise(at, len, advice) }?;
        Ok(())
    }

    fn keep_from_children(&self, range: Range<usize>) -> io::Result<()> {
        let (at, len) = self.part(&range);
        // SAFETY: the range belongs to this value alone (invariant 1).
        unsafe { keep_from_children(at, len) }
    }

    fn fold(&self, range: Range<usize>, folded: bool) -> io::Result<()> {
        let (at, len) = self.part(&range);
        let advice = if folded {
            Advice::LinuxHugepage
        } else {
            Advice::LinuxNoHugepage
        };
        // SAFETY: this advice changes no byte of the range.
        unsafe { mm::madvise(at, len, advice) }?;
        Ok(())
    }

    unsafe fn unmap_pages(&self, range: Range<usize>) -> io::Result<()> {
        let (at, len) = self.part(&range);
        // SAFETY: the pages of a shared mapping of a file are loaded from the page cache again.
        unsafe { mm::madvise(at, len, Advice::LinuxDontNeed) }?;
        Ok(())
    }

    unsafe fn sync(&self, range: Range<usize>) -> io::Result<()> {
        let (at, len) = self.part(&range);
        // SAFETY: the range belongs to this value (invariant 1).
        unsafe { memory::sync(at, len) }
    }

    /// Reads eight bytes for each page from `/proc/thread-self/pagemap`: `/proc/self` is the first
    /// thread, which has no such file after it has ended.
    fn resident_bytes(&self, range: Range<usize>) -> io::Result<u64> {
        const PRESENT: u64 = 1 << 63;
        let page = kernel_page_size();
        let (at, len) = self.part(&range);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let pagemap =
            retry_on_intr(|| fs::open("/proc/thread-self/pagemap", flags, Mode::empty()))?;
        let page_number = at.addr().checked_div(page).unwrap_or(0);
        let mut offset = page_number.saturating_mul(8) as u64;
        let mut pages_left = len.checked_div(page).unwrap_or(0);
        let mut pages_present: u64 = 0;
        let mut entries = [0_u8; 8 << 10];
        while pages_left > 0 {
            let wanted = pages_left.saturating_mul(8).min(entries.len());
            let read = retry_on_intr(|| {
                rustix::io::pread(
                    &pagemap,
                    entries.get_mut(..wanted).unwrap_or_default(),
                    offset,
                )
            })?;
            let whole = entries.get(..read).unwrap_or_default().chunks_exact(8);
            let pages = whole.len();
            if pages == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            for entry in whole {
                let bits = entry.try_into().map_or(0, u64::from_ne_bytes);
                pages_present = pages_present.saturating_add(u64::from(bits & PRESENT != 0));
            }
            pages_left = pages_left.saturating_sub(pages);
            offset = offset.saturating_add((pages as u64).saturating_mul(8));
        }
        Ok(pages_present.saturating_mul(page as u64))
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
        if process() != self.owner || self.is_lost.load(Relaxed) {
            return;
        }
        fork::forget(self.base.as_ptr().cast::<c_void>());
        // SAFETY: this value owns exactly this range (invariant 1), and nothing can use it after
        // drop.
        let _unmapped = unsafe { memory::unmap(self.base.as_ptr().cast::<c_void>(), self.len) };
    }
}

/// Moves a mapping that was created elsewhere to `at`, in place of what is there. On failure it is
/// unmapped, and `at` is unchanged.
///
/// # Safety
///
/// `made` is a mapping of `len` bytes of the caller; `at..at + len` belongs to a space of the
/// caller, and nothing uses it.
unsafe fn put(made: *mut c_void, len: usize, at: *mut c_void) -> io::Result<()> {
    // SAFETY: the caller keeps the contract. The move takes no memory that could be refused late.
    let placed = unsafe { mm::mremap_fixed(made, len, len, MremapFlags::MAYMOVE, at) };
    if let Err(refused) = placed {
        // SAFETY: the mapping is still where it was created.
        let _unmapped = unsafe { memory::unmap(made, len) };
        return Err(refused.into());
    }
    Ok(())
}

/// Returns whether the system lets processes have only as much memory as it can back
/// (`vm.overcommit_memory` is 2), or does not report that.
fn commits_strictly() -> bool {
    const UNASKED: u8 = 0;
    const LENIENT: u8 = 1;
    const STRICT: u8 = 2;
    static ANSWER: AtomicU8 = AtomicU8::new(UNASKED);
    if ANSWER.load(Relaxed) == UNASKED {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let setting = fs::open("/proc/sys/vm/overcommit_memory", flags, Mode::empty());
        let mut mode = [b'2'];
        let read = setting.and_then(|file| rustix::io::read(file, &mut mode));
        let lenient = read.is_ok() && mode != *b"2";
        ANSWER.store(if lenient { LENIENT } else { STRICT }, Relaxed);
    }
    ANSWER.load(Relaxed) == STRICT
}

/// Keeps a mapping of a file out of forked children, which must not write into their parent's data
/// (linux-facts K1). The advice belongs to the mapping, so each new one needs it (linux-facts V7).
///
/// # Safety
///
/// The range belongs to the caller.
unsafe fn keep_from_children(at: *mut c_void, len: usize) -> io::Result<()> {
    // SAFETY: this advice changes no content.
    unsafe { mm::madvise(at, len, Advice::LinuxDontFork) }.map_err(io::Error::from)
}

/// `MREMAP_DONTUNMAP` of Linux 5.7, by number, since rustix names it for only one of its backends.
const DONT_UNMAP: MremapFlags = MremapFlags::from_bits_retain(4);

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether each page of a range is mapped.
    fn is_mapped(start: usize, len: usize) -> bool {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let ranges = maps.lines().map(|line| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            [from, to].map(|at| usize::from_str_radix(at, 16).unwrap())
        });
        let end = start.checked_add(len).unwrap();
        ranges.fold(
            start,
            |at, [from, to]| if from <= at { at.max(to) } else { at },
        ) >= end
    }

    /// The kernel unmapped the space, and the file refused to take its place. A mapping of another
    /// thread in the hole was unmapped with the space.
    #[test]
    fn a_file_that_refuses_to_be_mapped_leaves_no_hole() {
        let file = std::fs::OpenOptions::new().read(true).open("/proc/meminfo");
        let file = file.unwrap();
        let file = File::from_fd(file.into());
        let space = Space::reserve(1 << 30, page_size()).unwrap();
        let start = space.base().addr().get();
        // SAFETY: nothing uses the space.
        unsafe { space.show_all(&file, Access::Read) }.unwrap_err();
        assert!(is_mapped(start, space.len()));
    }
}
