//! Files that are heap blocks.
#![expect(
    unsafe_code,
    reason = "copies between a file's bytes and the windows on it"
)]

use std::io::{self, Read, Seek};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sys::contract::FileCalls;
use crate::sys::{Alignment, Facts, Hint, Shared};

/// Stands in for a file.
#[derive(Debug)]
pub(crate) struct File {
    content: Arc<Mutex<Content>>,
    /// Whether this opener has the lock of the file.
    locks: AtomicBool,
}

impl Drop for File {
    fn drop(&mut self) {
        self.content().is_locked &= !self.locks.load(Relaxed);
    }
}

/// The bytes of a file, and the windows that show them.
#[derive(Debug, Default)]
pub(super) struct Content {
    bytes: Vec<u8>,
    windows: Vec<Window>,
    is_locked: bool,
}

/// Memory of a space that shows part of a file.
#[derive(Debug)]
pub(super) struct Window {
    /// # Invariants
    ///
    /// 1. `at..at + len` is memory of a live `Space`, which removes the window before it uses the
    ///    memory otherwise or frees it.
    at: *mut u8,
    len: usize,
    offset: usize,
    writable: bool,
}

// SAFETY: a window is only used under the lock of its file, and its memory may be used from any
// thread (invariant 1).
unsafe impl Send for Window {}

impl Window {
    /// Returns the part of `range` of the file that lies in this window, if any: the address, and
    /// the part of the file.
    fn part(&self, range: &Range<usize>) -> Option<(*mut u8, Range<usize>)> {
        let end = self.offset.saturating_add(self.len);
        let part = range.start.max(self.offset)..range.end.min(end);
        (part.start < part.end).then(|| {
            let skipped = part.start.saturating_sub(self.offset);
            (self.at.wrapping_add(skipped), part)
        })
    }
}

impl Content {
    /// Copies bytes that were stored through writable windows on `range` into the file.
    fn gather(&mut self, range: &Range<usize>) {
        for window in self.windows.iter().filter(|window| window.writable) {
            let Some((at, part)) = window.part(&(range.start..range.end.min(self.bytes.len())))
            else {
                continue;
            };
            let target = &mut self.bytes[part];
            // SAFETY: the window's memory is live (invariant 1) and holds as many bytes.
            unsafe { ptr::copy_nonoverlapping(at, target.as_mut_ptr(), target.len()) };
        }
    }

    /// Copies `range` of the file into all windows on it.
    fn spread(&self, range: &Range<usize>) {
        for window in &self.windows {
            let Some((at, part)) = window.part(&(range.start..range.end.min(self.bytes.len())))
            else {
                continue;
            };
            let source = &self.bytes[part];
            // SAFETY: the window's memory is live (invariant 1) and has room for as many bytes.
            unsafe { ptr::copy_nonoverlapping(source.as_ptr(), at, source.len()) };
        }
    }

    /// Adds a window and fills it.
    pub(super) fn add_window(&mut self, at: *mut u8, len: usize, offset: usize, writable: bool) {
        let range = offset..offset.saturating_add(len);
        self.gather(&range);
        self.windows.push(Window {
            at,
            len,
            offset,
            writable,
        });
        self.spread(&range);
    }

    /// Removes `len` bytes from `at` from all windows, keeping the stored bytes.
    pub(super) fn remove_windows(&mut self, at: *mut u8, len: usize) {
        let taken = at.addr()..at.addr().saturating_add(len);
        let touched = |window: &&Window| {
            let end = window.at.addr().saturating_add(window.len);
            window.at.addr() < taken.end && taken.start < end
        };
        let touched = self.windows.iter().filter(touched);
        let ranges: Vec<_> = touched
            .map(|window| window.offset..window.offset.saturating_add(window.len))
            .collect();
        for range in ranges {
            self.gather(&range);
        }
        let mut kept = Vec::new();
        for window in self.windows.drain(..) {
            let end = window.at.addr().saturating_add(window.len);
            for piece in [
                window.at.addr()..taken.start.min(end),
                taken.end.max(window.at.addr())..end,
            ] {
                if piece.start < piece.end {
                    let skipped = piece.start.saturating_sub(window.at.addr());
                    kept.push(Window {
                        at: window.at.wrapping_add(skipped),
                        len: piece.end.saturating_sub(piece.start),
                        offset: window.offset.saturating_add(skipped),
                        writable: window.writable,
                    });
                }
            }
        }
        self.windows = kept;
    }
}

impl File {
    /// Opens the file of this content.
    pub(super) fn of(content: Arc<Mutex<Content>>) -> Self {
        let locks = AtomicBool::new(false);
        Self { content, locks }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shared_content(&self) -> &Arc<Mutex<Content>> {
        &self.content
    }
}

impl FileCalls for File {
    fn shared(self) -> Self {
        self
    }

    /// Creates a handle for reading; the lock stays with the first handle.
    fn share(&self) -> io::Result<Self> {
        Ok(Self {
            content: Arc::clone(&self.content),
            locks: AtomicBool::new(false),
        })
    }

    /// Stands in for the file, by a copy of its bytes if they can be read. Nothing is locked.
    fn from_std(mut file: std::fs::File) -> Self {
        let mut bytes = Vec::new();
        let _read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
        let content = Content {
            bytes,
            ..Content::default()
        };
        Self::of(Arc::new(Mutex::new(content)))
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        Ok((0, Arc::as_ptr(&self.content).addr() as u64))
    }

    fn facts(&self) -> io::Result<Facts> {
        Ok(Facts {
            is_regular: true,
            mode: 0o644,
            user: 0,
            group: 0,
        })
    }

    /// Files have no permissions here.
    fn set_mode(&self, _mode: u32) -> io::Result<()> {
        Ok(())
    }

    fn set_owner(&self, _user: Option<u32>, _group: Option<u32>) -> io::Result<()> {
        Ok(())
    }

    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    fn appends(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn read_at(&self, buffer: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<usize> {
        let mut content = self.content();
        let start = to_usize(offset)?.min(content.bytes.len());
        let len = buffer.len().min(content.bytes.len().saturating_sub(start));
        let range = start..start.saturating_add(len);
        content.gather(&range);
        for (target, source) in buffer.iter_mut().zip(&content.bytes[range]) {
            target.write(*source);
        }
        Ok(len)
    }

    fn read_over(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut content = self.content();
        let start = to_usize(offset)?.min(content.bytes.len());
        let len = buffer.len().min(content.bytes.len().saturating_sub(start));
        let range = start..start.saturating_add(len);
        content.gather(&range);
        buffer[..len].copy_from_slice(&content.bytes[range]);
        Ok(len)
    }

    /// All bytes are in memory.
    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_over(buffer, offset)
    }

    fn open_direct(&self) -> io::Result<(Self, Alignment)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = self.content();
        let start = to_usize(offset)?;
        let end = start
            .checked_add(bytes.len())
            .ok_or(io::ErrorKind::FileTooLarge)?;
        if content.bytes.len() < end {
            content.bytes.resize(end, 0);
        }
        content.bytes[start..end].copy_from_slice(bytes);
        content.spread(&(start..end));
        Ok(bytes.len())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = offset.checked_add(len).ok_or(io::ErrorKind::FileTooLarge)?;
        let old = self.content().bytes.len();
        if to_usize(end)? > old {
            self.set_len(end)?;
        }
        Ok(())
    }

    /// As on most file systems, where files share no blocks.
    fn unshare(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn find_shared(&self, range: Range<u64>) -> io::Result<Shared> {
        let asked = range.end;
        Ok(Shared {
            shared: None,
            asked,
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = self.content();
        let (old, new) = (content.bytes.len(), to_usize(len)?);
        content.bytes.resize(new, 0);
        content.spread(&(old..new));
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut content = self.content();
        let start = to_usize(offset)?.min(content.bytes.len());
        let end = to_usize(offset.saturating_add(len))?.min(content.bytes.len());
        content.bytes[start..end].fill(0);
        content.spread(&(start..end));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn advise(&self, _offset: u64, _len: u64, _hint: Hint) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<()> {
        let mut content = self.content();
        if content.is_locked && !self.locks.load(Relaxed) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        content.is_locked = true;
        self.locks.store(true, Relaxed);
        Ok(())
    }

    fn unlock(&self) -> io::Result<()> {
        self.content().is_locked &= !self.locks.swap(false, Relaxed);
        Ok(())
    }

    fn regular_len(&self) -> io::Result<Option<u64>> {
        Ok(Some(self.content().bytes.len() as u64))
    }

    #[cfg(test)]
    fn len(&self) -> io::Result<u64> {
        Ok(self.content().bytes.len() as u64)
    }

    #[cfg(test)]
    fn disk_bytes(&self) -> io::Result<u64> {
        self.len()
    }
}

fn to_usize(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_overflow| io::ErrorKind::FileTooLarge.into())
}
