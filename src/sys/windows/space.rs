//! A range of addresses: reserved at once, filled with memory and with windows on files.
#![expect(
    unsafe_code,
    reason = "calls that change or ask what addresses show; see docs/safety.md"
)]

use std::ffi::c_void;
use std::fs;
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{
    AtomicPtr, AtomicUsize,
    Ordering::{Acquire, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use windows_sys::Win32::Foundation::ERROR_NOT_LOCKED;
use windows_sys::Win32::System::Memory::{
    FlushViewOfFile, PrefetchVirtualMemory, VirtualUnlock, WIN32_MEMORY_RANGE_ENTRY,
};
use windows_sys::Win32::System::ProcessStatus::{
    PSAPI_WORKING_SET_EX_BLOCK, PSAPI_WORKING_SET_EX_INFORMATION, QueryWorkingSetEx,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use crate::bug::bug;
use crate::sys::contract::SpaceCalls;
use crate::sys::windows::file::File;
use crate::sys::windows::parts::{Parts, Window};
use crate::sys::windows::process::{granularity, kernel_page_size};
use crate::sys::windows::{answered, is};
use crate::sys::{Access, Hint};

/// Addresses of this value. Dropping it frees all of them.
#[derive(Debug)]
pub(crate) struct Space {
    /// # Invariants
    ///
    /// 1. `base..base + len` are the addresses of `parts`, or the bytes of a file in them.
    /// 2. `len` is at most `isize::MAX`.
    /// 3. `base`, `len` and the addresses of `parts` change in `show_all` only, when no thread uses the
    ///    space (duty of its caller).
    base: AtomicPtr<u8>,
    len: AtomicUsize,
    parts: Mutex<Parts>,
    /// The file that all of the space shows for writing, for a sync that reaches the device.
    shown: OnceLock<Arc<fs::File>>,
}

impl SpaceCalls for Space {
    type File = File;

    fn reserve(len: usize, align: usize) -> io::Result<Self> {
        let rounded = len.max(1).checked_next_multiple_of(granularity());
        let len = rounded.filter(|len| isize::try_from(*len).is_ok());
        let len = len.ok_or(io::ErrorKind::OutOfMemory)?;
        let parts = Parts::reserve(len, align)?;
        Ok(Self {
            base: AtomicPtr::new(parts.base().as_ptr()),
            len: AtomicUsize::new(len),
            parts: Mutex::new(parts),
            shown: OnceLock::new(),
        })
    }

    #[inline]
    fn base(&self) -> NonNull<u8> {
        let base = NonNull::new(self.base.load(Acquire));
        base.unwrap_or_else(|| bug!("a space at no address"))
    }

    #[inline]
    fn len(&self) -> usize {
        self.len.load(Acquire)
    }

    /// There are no such children.
    fn clear_in_children(&self) -> bool {
        true
    }

    fn is_cleared(&self) -> bool {
        false
    }

    unsafe fn commit(&self, range: Range<usize>) -> io::Result<()> {
        self.check(&range);
        let mut parts = self.parts();
        // SAFETY: the caller keeps the contract.
        unsafe { parts.clear(&range) }?;
        parts.open(&range)
    }

    /// What a release that was refused has left there is taken away first.
    unsafe fn open(&self, range: Range<usize>) -> io::Result<()> {
        self.check(&range);
        let mut parts = self.parts();
        // SAFETY: nothing uses the range, which the caller has given up.
        unsafe { parts.clear(&range) }?;
        parts.open(&range)
    }

    /// At other addresses: a view of all of a file that ends within a page fills no placeholder.
    unsafe fn show_all(&self, file: &File, access: Access) -> io::Result<()> {
        let file = file.kept();
        let len = usize::try_from(file.metadata()?.len());
        let len = len.map_err(|_long| io::ErrorKind::OutOfMemory)?;
        let len = len.min(self.len());
        if len == 0 {
            // The system shows no file without bytes.
            self.len.store(0, Release);
            return Ok(());
        }
        let window = Window::on(&file, 0, access)?;
        // SAFETY: the caller vouches for the file.
        let shown = unsafe { Parts::showing(window, len) }?;
        let mut parts = self.parts();
        self.base.store(shown.base().as_ptr(), Release);
        self.len.store(len, Release);
        // No thread uses the old addresses (duty of the caller).
        *parts = shown;
        if access == Access::ReadWrite {
            let _first = self.shown.set(file);
        }
        Ok(())
    }

    unsafe fn show(
        &self,
        range: Range<usize>,
        file: &File,
        offset: u64,
        access: Access,
    ) -> io::Result<()> {
        self.check(&range);
        let window = Window::on(&file.kept(), offset, access)?;
        // SAFETY: the caller keeps the contract.
        unsafe { self.parts().show(&range, window) }
    }

    /// No call moves pages.
    unsafe fn slide(&self, _from: Range<usize>, _by: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    unsafe fn release(&self, range: Range<usize>) -> io::Result<()> {
        self.check(&range);
        // SAFETY: the caller keeps the contract.
        unsafe { self.parts().clear(&range) }
    }

    /// Only allocators ask, and there are none.
    unsafe fn allow(&self, _range: Range<usize>, _allowed: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn keep_from_children(&self, _range: Range<usize>) -> io::Result<()> {
        Ok(())
    }

    /// There is one hint: that bytes are needed soon.
    fn advise(&self, range: Range<usize>, hint: Hint) -> io::Result<()> {
        if hint != Hint::WillNeed {
            return Ok(());
        }
        let entry = WIN32_MEMORY_RANGE_ENTRY {
            VirtualAddress: self.at(&range),
            NumberOfBytes: range.len(),
        };
        // SAFETY: the handle of this process needs no closing.
        let process = unsafe { GetCurrentProcess() };
        // SAFETY: no hint changes a byte of the range, and the system reads one entry.
        answered(unsafe { PrefetchVirtualMemory(process, 1, &raw const entry, 0) })
    }

    /// The system chooses itself.
    fn fold(&self, _range: Range<usize>, _folded: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Pages that were never locked leave the working set when they are unlocked.
    unsafe fn unmap_pages(&self, range: Range<usize>) -> io::Result<()> {
        // SAFETY: the pages of a view are loaded from the page cache again.
        let done = answered(unsafe { VirtualUnlock(self.at(&range), range.len()) });
        match done {
            Err(answer) if is(&answer, ERROR_NOT_LOCKED) => Ok(()),
            done => done,
        }
    }

    unsafe fn sync(&self, range: Range<usize>) -> io::Result<()> {
        let end = range.end.min(self.len());
        let len = end.saturating_sub(range.start);
        // SAFETY: the range is shown; to write it back changes no byte.
        answered(unsafe { FlushViewOfFile(self.at(&range), len) })?;
        // That does not wait for the device.
        match self.shown.get() {
            Some(file) => file.sync_data(),
            None => Ok(()),
        }
    }

    fn resident_bytes(&self, range: Range<usize>) -> io::Result<u64> {
        const ENTRY_BYTES: usize = size_of::<PSAPI_WORKING_SET_EX_INFORMATION>();
        let page = kernel_page_size();
        // SAFETY: the handle of this process needs no closing.
        let process = unsafe { GetCurrentProcess() };
        let mut pages = [PSAPI_WORKING_SET_EX_INFORMATION {
            VirtualAddress: ptr::null_mut(),
            VirtualAttributes: PSAPI_WORKING_SET_EX_BLOCK { Flags: 0 },
        }; 256];
        let (first, mut resident) = (self.at(&range), 0_u64);
        let mut offsets = (0..range.len()).step_by(page).peekable();
        while offsets.peek().is_some() {
            let mut asked: usize = 0;
            for (entry, offset) in pages.iter_mut().zip(&mut offsets) {
                entry.VirtualAddress = first.wrapping_byte_add(offset);
                asked = asked.saturating_add(1);
            }
            let bytes = u32::try_from(asked.saturating_mul(ENTRY_BYTES));
            let bytes = bytes.map_err(|_long| io::ErrorKind::InvalidInput)?;
            // SAFETY: the system reads and writes as many entries as were filled.
            answered(unsafe {
                QueryWorkingSetEx(process, pages.as_mut_ptr().cast::<c_void>(), bytes)
            })?;
            for entry in pages.iter().take(asked) {
                // SAFETY: every value of the union is a number.
                let flags = unsafe { entry.VirtualAttributes.Flags };
                resident = resident.saturating_add(u64::try_from(flags & 1).unwrap_or(0));
            }
        }
        Ok(resident.saturating_mul(page as u64))
    }
}

impl Space {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        // A panic in between ends the process.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the address of the first byte of a range.
    fn at(&self, range: &Range<usize>) -> *mut c_void {
        assert!(range.start <= range.end && range.start <= self.len());
        let at = self.base().as_ptr().wrapping_add(range.start);
        at.cast::<c_void>()
    }

    /// Refuses a range that is not whole pages of the space.
    fn check(&self, range: &Range<usize>) {
        let page = granularity();
        let is_whole = |at: usize| at & page.wrapping_sub(1) == 0;
        assert!(range.start < range.end && range.end <= self.len());
        assert!(is_whole(range.start) && is_whole(range.end));
    }
}
