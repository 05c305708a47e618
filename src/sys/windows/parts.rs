//! What is at the addresses of a space: placeholders, memory, and windows on files.
//!
//! The system replaces one whole placeholder by one whole mapping, and back. So a range is first made a
//! placeholder of its own: what is in it is taken away, its placeholders are joined, and what they have
//! too much is split off. At no time are the addresses free for others.
#![expect(
    unsafe_code,
    reason = "changes what is mapped at addresses of its own; see docs/safety.md"
)]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, MEM_ADDRESS_REQUIREMENTS, MEM_COMMIT,
    MEM_EXTENDED_PARAMETER, MEM_EXTENDED_PARAMETER_0, MEM_EXTENDED_PARAMETER_1,
    MEM_PRESERVE_PLACEHOLDER, MEM_RELEASE, MEM_REPLACE_PLACEHOLDER, MEM_RESERVE,
    MEM_RESERVE_PLACEHOLDER, MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile, MapViewOfFile3,
    MemExtendedParameterAddressRequirements, PAGE_NOACCESS, PAGE_READONLY, PAGE_READWRITE,
    UnmapViewOfFile, UnmapViewOfFile2, VirtualAlloc2, VirtualFree,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use crate::bug::{bug, without_unwinding};
use crate::exact::{difference, range as range_of, sum};
use crate::sys::Access;
use crate::sys::windows::process::granularity;
use crate::sys::windows::{answered, last_answer};

/// Joins placeholders; by number, since the crate names it among those of another header.
const MEM_COALESCE_PLACEHOLDERS: u32 = 1;

/// The parts of a range of addresses. Dropping it frees all of them.
#[derive(Debug)]
pub(super) struct Parts {
    /// # Invariants
    ///
    /// 1. All of `base..base + len` belongs to this value alone, and `parts` tells what is there, by
    ///    offset: parts without a gap, each of them one placeholder, one block of memory, or one
    ///    window, as the system counts them. Only methods of this type change that.
    /// 2. Memory is a page long, so that a range of whole pages has all of a part or nothing.
    /// 3. `base` is a multiple of the granularity, and so are all offsets and lengths, except the
    ///    length of a space that shows a whole file.
    base: NonNull<u8>,
    parts: BTreeMap<usize, Part>,
}

// SAFETY: the addresses belong to this value alone (invariant 1), and the system lets any thread of the
// process change what is there.
unsafe impl Send for Parts {}

#[derive(Debug)]
struct Part {
    len: usize,
    content: Content,
}

/// What is at the addresses of a part.
#[derive(Debug)]
enum Content {
    Placeholder,
    Memory,
    Window(Window),
}

/// The part of a file that can be mapped, from `offset` on.
#[derive(Clone, Debug)]
pub(super) struct Window {
    section: Arc<OwnedHandle>,
    offset: u64,
    access: Access,
}

impl Window {
    /// Asks for all of a file, which may not be empty, to be mapped from `offset` on.
    pub(super) fn on(file: &fs::File, offset: u64, access: Access) -> io::Result<Self> {
        // SAFETY: the file is open while it is borrowed. Without a length, the section has that of the
        // file.
        let made = unsafe {
            CreateFileMappingW(
                file.as_raw_handle(),
                ptr::null(),
                protection(access)?,
                0,
                0,
                ptr::null(),
            )
        };
        if made.is_null() {
            return Err(last_answer());
        }
        // SAFETY: the handle was made above, and nothing else closes it.
        let section = Arc::new(unsafe { OwnedHandle::from_raw_handle(made) });
        Ok(Self {
            section,
            offset,
            access,
        })
    }

    /// Maps `len` bytes where the system likes, or all if `len` is 0.
    ///
    /// # Safety
    ///
    /// The file's bytes are changed only in agreement with those that use the mapping.
    unsafe fn map_anywhere(&self, len: usize) -> io::Result<NonNull<u8>> {
        let access = match self.access {
            Access::ReadWrite => FILE_MAP_READ | FILE_MAP_WRITE,
            Access::Read | Access::Nothing => FILE_MAP_READ,
        };
        let word = |at: u64| u32::try_from(at & 0xFFFF_FFFF).unwrap_or(0);
        let (high, low) = (word(self.offset >> 32), word(self.offset));
        // SAFETY: the system chooses free addresses, so no existing mapping changes; the caller vouches
        // for the file.
        let mapped = unsafe { MapViewOfFile(self.section.as_raw_handle(), access, high, low, len) };
        NonNull::new(mapped.Value.cast::<u8>()).ok_or_else(last_answer)
    }

    /// Finds out whether `len` bytes can be mapped.
    fn probe(&self, len: usize) -> io::Result<()> {
        // SAFETY: nothing uses the mapping.
        let probe = unsafe { self.map_anywhere(len) }?;
        // SAFETY: it was made above.
        unsafe { unmap(probe.as_ptr()) }
    }

    /// The window on what is `by` bytes further on.
    fn behind(&self, by: usize) -> Self {
        let mut behind = self.clone();
        behind.offset = sum(self.offset, by as u64);
        behind
    }
}

fn protection(access: Access) -> io::Result<u32> {
    match access {
        Access::Read => Ok(PAGE_READONLY),
        Access::ReadWrite => Ok(PAGE_READWRITE),
        // Only allocators ask, and there are none.
        Access::Nothing => Err(io::ErrorKind::Unsupported.into()),
    }
}

impl Parts {
    /// Reserves `len` bytes, a multiple of the granularity, from a multiple of `align` on.
    pub(super) fn reserve(len: usize, align: usize) -> io::Result<Self> {
        let mut wanted = MEM_ADDRESS_REQUIREMENTS {
            LowestStartingAddress: ptr::null_mut(),
            HighestEndingAddress: ptr::null_mut(),
            Alignment: if align > granularity() { align } else { 0 },
        };
        let kind = u64::try_from(MemExtendedParameterAddressRequirements).unwrap_or(0);
        let mut parameter = MEM_EXTENDED_PARAMETER {
            Anonymous1: MEM_EXTENDED_PARAMETER_0 { _bitfield: kind },
            Anonymous2: MEM_EXTENDED_PARAMETER_1 {
                Pointer: (&raw mut wanted).cast::<c_void>(),
            },
        };
        // SAFETY: the system chooses free addresses, so no existing mapping changes. It reads the
        // parameter, which leads to `wanted`, during the call only.
        let made = unsafe {
            VirtualAlloc2(
                ptr::null_mut(),
                ptr::null(),
                len,
                MEM_RESERVE | MEM_RESERVE_PLACEHOLDER,
                PAGE_NOACCESS,
                &raw mut parameter,
                1,
            )
        };
        let base = NonNull::new(made.cast::<u8>()).ok_or_else(last_answer)?;
        let content = Content::Placeholder;
        Ok(Self {
            base,
            parts: BTreeMap::from([(0, Part { len, content })]),
        })
    }

    /// Shows all of a window where the system likes, and `len` bytes of it are in the file.
    ///
    /// # Safety
    ///
    /// The file's bytes are changed only in agreement with those that use the addresses.
    pub(super) unsafe fn showing(window: Window, len: usize) -> io::Result<Self> {
        // SAFETY: the caller keeps the contract.
        let base = unsafe { window.map_anywhere(0) }?;
        let content = Content::Window(window);
        Ok(Self {
            base,
            parts: BTreeMap::from([(0, Part { len, content })]),
        })
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Takes away what is in a range, so that there are placeholders only. On failure nothing has
    /// changed.
    ///
    /// # Safety
    ///
    /// Nothing uses the range, nor the rest of a window that has part of it: that is gone for a moment.
    pub(super) unsafe fn clear(&mut self, range: &Range<usize>) -> io::Result<()> {
        let mut is_first = true;
        for start in self.filled(range) {
            // SAFETY: the caller keeps the contract.
            let cleared = unsafe { self.clear_part(start, range) };
            if is_first {
                cleared?;
            } else {
                in_place(cleared);
            }
            is_first = false;
        }
        Ok(())
    }

    /// Makes a range of placeholders zeroed memory. On failure nothing has changed.
    pub(super) fn open(&mut self, range: &Range<usize>) -> io::Result<()> {
        let page = granularity();
        for at in range.clone().step_by(page) {
            let opened = self.open_page(range_of(at, page));
            if let Err(refused) = opened {
                // SAFETY: the memory was made by this call.
                in_place(unsafe { self.clear(&(range.start..at)) });
                return Err(refused);
            }
        }
        Ok(())
    }

    /// Shows a window in a range, in place of what is there. On failure nothing has changed.
    ///
    /// # Safety
    ///
    /// As for [`clear`](Self::clear); and the file's bytes are changed only in agreement with those
    /// that use the range.
    pub(super) unsafe fn show(&mut self, range: &Range<usize>, window: Window) -> io::Result<()> {
        if self.filled(range).is_empty() {
            // SAFETY: the caller keeps the contract.
            return unsafe { self.show_in_placeholders(range, window) };
        }
        // What is there cannot be brought back, so a refusal has to come before.
        window.probe(range.len())?;
        // SAFETY: the caller keeps the contract.
        unsafe { self.clear(range) }?;
        // SAFETY: as above.
        in_place(unsafe { self.show_in_placeholders(range, window) });
        Ok(())
    }

    /// Returns where the parts start that have some of a range and are no placeholders.
    fn filled(&self, range: &Range<usize>) -> Vec<usize> {
        let touched = self.parts.range(self.start_of(range.start)..range.end);
        let filled = touched.filter(|(_, part)| !matches!(part.content, Content::Placeholder));
        filled.map(|(start, _)| *start).collect()
    }

    /// Returns where the part starts that has the byte `at`.
    fn start_of(&self, at: usize) -> usize {
        let mut before = self.parts.range(..=at);
        let found = before.next_back();
        found.map_or_else(|| bug!("no part has byte {at}"), |(start, _)| *start)
    }

    fn part(&self, start: usize) -> &Part {
        let part = self.parts.get(&start);
        part.unwrap_or_else(|| bug!("no part starts at byte {start}"))
    }

    fn set(&mut self, start: usize, len: usize, content: Content) {
        self.parts.insert(start, Part { len, content });
    }

    fn address(&self, at: usize) -> *mut c_void {
        self.base.as_ptr().wrapping_add(at).cast::<c_void>()
    }

    /// Makes a part a placeholder, and shows again what it has outside of a range.
    ///
    /// # Safety
    ///
    /// As for [`clear`](Self::clear).
    unsafe fn clear_part(&mut self, start: usize, range: &Range<usize>) -> io::Result<()> {
        let (at, part) = (self.address(start), self.part(start));
        let len = part.len;
        let window = match &part.content {
            Content::Placeholder => return Ok(()),
            Content::Memory => {
                // SAFETY: a part of ours (invariant 1), of which nothing uses a byte (invariant 2, duty
                // of the caller).
                unsafe { free(at, len, MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER) }?;
                None
            }
            Content::Window(window) => {
                let window = window.clone();
                let view = MEMORY_MAPPED_VIEW_ADDRESS { Value: at };
                // SAFETY: the handle of this process needs no closing.
                let process = unsafe { GetCurrentProcess() };
                // SAFETY: a part of ours (invariant 1), of which nothing uses a byte (duty of the
                // caller).
                answered(unsafe { UnmapViewOfFile2(process, view, MEM_PRESERVE_PLACEHOLDER) })?;
                Some(window)
            }
        };
        self.set(start, len, Content::Placeholder);
        if let Some(window) = window {
            let end = sum(start, len);
            for kept in [start..range.start.max(start), range.end.min(end)..end] {
                if !kept.is_empty() {
                    let window = window.behind(difference(kept.start, start));
                    // SAFETY: these bytes were shown before, to the same users.
                    in_place(unsafe { self.show_in_placeholders(&kept, window) });
                }
            }
        }
        Ok(())
    }

    fn open_page(&mut self, page: Range<usize>) -> io::Result<()> {
        self.join(&page)?;
        // SAFETY: the page is one placeholder of ours (invariant 1).
        let made = unsafe {
            VirtualAlloc2(
                ptr::null_mut(),
                self.address(page.start),
                page.len(),
                MEM_RESERVE | MEM_COMMIT | MEM_REPLACE_PLACEHOLDER,
                PAGE_READWRITE,
                ptr::null_mut(),
                0,
            )
        };
        if made.is_null() {
            return Err(last_answer());
        }
        self.set(page.start, page.len(), Content::Memory);
        Ok(())
    }

    /// Shows a window in a range of placeholders. On failure nothing has changed.
    ///
    /// # Safety
    ///
    /// The file's bytes are changed only in agreement with those that use the range.
    unsafe fn show_in_placeholders(
        &mut self,
        range: &Range<usize>,
        window: Window,
    ) -> io::Result<()> {
        let protection = protection(window.access)?;
        self.join(range)?;
        // SAFETY: the range is one placeholder of ours (invariant 1); the caller vouches for the file.
        let view = unsafe {
            MapViewOfFile3(
                window.section.as_raw_handle(),
                ptr::null_mut(),
                self.address(range.start),
                window.offset,
                range.len(),
                MEM_REPLACE_PLACEHOLDER,
                protection,
                ptr::null_mut(),
                0,
            )
        };
        if view.Value.is_null() {
            return Err(last_answer());
        }
        self.set(range.start, range.len(), Content::Window(window));
        Ok(())
    }

    /// Makes a range of placeholders one placeholder.
    fn join(&mut self, range: &Range<usize>) -> io::Result<()> {
        let first = self.start_of(range.start);
        let last = self.start_of(difference(range.end, 1));
        let end = sum(last, self.part(last).len);
        if !self.filled(range).is_empty() {
            bug!("bytes {}..{} are in use", range.start, range.end);
        }
        if first < last {
            let kind = MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS;
            // SAFETY: the parts of the range are placeholders of ours (invariant 1), without a byte
            // that could be lost.
            unsafe { free(self.address(first), difference(end, first), kind) }?;
            self.parts
                .retain(|start, _| *start < first || *start >= end);
            self.set(first, difference(end, first), Content::Placeholder);
        }
        if first < range.start || range.end < end {
            let kind = MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER;
            // SAFETY: as above.
            unsafe { free(self.address(range.start), range.len(), kind) }?;
            for piece in [first..range.start, range.clone(), range.end..end] {
                if !piece.is_empty() {
                    self.set(piece.start, piece.len(), Content::Placeholder);
                }
            }
        }
        Ok(())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for (start, part) in &self.parts {
            let at = self.address(*start);
            // No caller is left that could handle a refusal.
            let _freed = match part.content {
                // SAFETY: a part of ours (invariant 1), and nothing can use it after drop.
                Content::Window(_) => unsafe { unmap(at.cast::<u8>()) },
                // SAFETY: as above. Without a length, it is all of what was made at that address.
                Content::Placeholder | Content::Memory => unsafe { free(at, 0, MEM_RELEASE) },
            };
        }
    }
}

/// # Safety
///
/// The caller has mapped a view there, and gives it up.
unsafe fn unmap(at: *mut u8) -> io::Result<()> {
    let view = MEMORY_MAPPED_VIEW_ADDRESS {
        Value: at.cast::<c_void>(),
    };
    // SAFETY: the caller gives the view up.
    answered(unsafe { UnmapViewOfFile(view) })
}

/// # Safety
///
/// The addresses are the caller's, and it gives up what is there.
unsafe fn free(at: *mut c_void, len: usize, kind: u32) -> io::Result<()> {
    // SAFETY: the caller gives up what is there.
    answered(unsafe { VirtualFree(at, len, kind) })
}

/// Ends the process if a call was refused when what was there before is gone: others believe in it.
fn in_place(called: io::Result<()>) {
    if let Err(refused) = called {
        without_unwinding(|| bug!("a mapping was refused in place: {refused}"));
    }
}
