//! The contract of [`super`] with faults: in a unit test, the n-th call of the thread fails, is
//! short, or is interrupted.
//!
//! A test [`arm`]s a [`Fault`], runs the code, and checks what [`disarm`] returns: whether the
//! fault was met. All other calls go to the real implementation. The plan belongs to a thread, so
//! tests run side by side.

use std::collections::VecDeque;
use std::ffi::{CStr, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;

use crate::sys::backend;
use crate::sys::contract::{DirCalls, FileCalls, RingCalls, SpaceCalls};
use crate::sys::plan::{Counted, Transfer, answer, check, next, transfer, whole};
pub(crate) use crate::sys::plan::{Fault, Outcome, arm, disarm};
use crate::sys::ring;
use crate::sys::{Access, Alignment, Facts, FileSystem, Finished, Hint, Read, Shared};

/// A directory whose calls can fail.
#[derive(Debug)]
pub(crate) struct Dir {
    inner: Counted<backend::Dir>,
}

impl DirCalls for Dir {
    type File = File;

    fn open(path: &Path) -> io::Result<Self> {
        check()?;
        let inner = Counted::file(backend::Dir::open(path)?);
        Ok(Self { inner })
    }

    fn open_c(path: &CStr) -> io::Result<Self> {
        check()?;
        backend::Dir::open_c(path).map(|dir| Self {
            inner: Counted::file(dir),
        })
    }

    fn is_ram_backed(&self) -> io::Result<bool> {
        check()?;
        self.inner.is_ram_backed()
    }

    fn is_removed(&self) -> io::Result<bool> {
        check()?;
        self.inner.is_removed()
    }

    fn device(&self) -> io::Result<u64> {
        check()?;
        self.inner.device()
    }

    fn file_system(&self) -> io::Result<FileSystem> {
        check()?;
        self.inner.file_system()
    }

    fn create_unnamed(&self) -> io::Result<File> {
        check()?;
        self.inner.create_unnamed().map(File::of)
    }

    fn create_linkable(&self) -> io::Result<File> {
        check()?;
        self.inner.create_linkable().map(File::of)
    }

    fn create_named(&self, name: &OsStr) -> io::Result<File> {
        check()?;
        self.inner.create_named(name).map(File::of)
    }

    fn create_private(&self, name: &OsStr) -> io::Result<File> {
        check()?;
        self.inner.create_private(name).map(File::of)
    }

    fn facts(&self, name: &OsStr) -> io::Result<Facts> {
        check()?;
        self.inner.facts(name)
    }

    fn check_writable(&self, name: &OsStr) -> io::Result<()> {
        check()?;
        self.inner.check_writable(name)
    }

    fn is_linkable(&self, file: &File) -> io::Result<bool> {
        check()?;
        self.inner.is_linkable(&file.inner)
    }

    fn open_named(&self, name: &OsStr, access: Access) -> io::Result<File> {
        check()?;
        self.inner.open_named(name, access).map(File::of)
    }

    fn link(&self, file: &File, name: &OsStr) -> io::Result<bool> {
        match next(false) {
            Some(Outcome::Errno(errno) | Outcome::HalfThenErrno(errno)) => Err(answer(errno)),
            Some(Outcome::Astray) => {
                let stranger = self.inner.create_linkable()?;
                self.inner.link(&stranger, name)?;
                Ok(false)
            }
            Some(Outcome::Short | Outcome::Zero | Outcome::Lie) | None => {
                self.inner.link(&file.inner, name)
            }
        }
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        check()?;
        self.inner.rename(from, to)
    }

    fn unlink(&self, name: &OsStr) -> io::Result<()> {
        check()?;
        self.inner.unlink(name)
    }

    fn sync(&self) -> io::Result<()> {
        check()?;
        self.inner.sync()
    }

    fn try_lock(&self) -> io::Result<()> {
        check()?;
        self.inner.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        check()?;
        self.inner.unlock()
    }
}

/// A file whose calls can fail.
#[derive(Debug)]
pub(crate) struct File {
    pub(super) inner: Counted<backend::File>,
}

impl File {
    fn of(file: backend::File) -> Self {
        let inner = Counted::file(file);
        Self { inner }
    }
}

impl FileCalls for File {
    fn shared(self) -> Self {
        let inner = self.inner.map(backend::File::shared);
        Self { inner }
    }

    fn share(&self) -> io::Result<Self> {
        let shared = self.inner.share()?;
        let inner = self.inner.beside(shared);
        Ok(Self { inner })
    }

    fn from_std(file: std::fs::File) -> Self {
        Self::of(backend::File::from_std(file))
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        check()?;
        self.inner.identity()
    }

    fn facts(&self) -> io::Result<Facts> {
        check()?;
        self.inner.facts()
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        check()?;
        self.inner.set_mode(mode)
    }

    fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
        check()?;
        self.inner.set_owner(user, group)
    }

    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    fn appends(&self) -> io::Result<bool> {
        check()?;
        self.inner.appends()
    }

    fn read_at(&self, buffer: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<usize> {
        match transfer(buffer.len(), false)? {
            Transfer::Do(len) => self.inner.read_at(&mut buffer[..len], offset),
            Transfer::Say(len) => Ok(len),
        }
    }

    fn read_over(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match transfer(buffer.len(), true)? {
            Transfer::Do(len) => self.inner.read_over(&mut buffer[..len], offset),
            Transfer::Say(len) => Ok(len),
        }
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match transfer(buffer.len(), true)? {
            Transfer::Do(len) => self.inner.read_cached(&mut buffer[..len], offset),
            Transfer::Say(len) => Ok(len),
        }
    }

    fn open_direct(&self) -> io::Result<(Self, Alignment)> {
        check()?;
        let (file, alignment) = self.inner.open_direct()?;
        let inner = self.inner.beside(file);
        Ok((Self { inner }, alignment))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match transfer(bytes.len(), true)? {
            Transfer::Do(len) => self.inner.write_at(&bytes[..len], offset),
            Transfer::Say(len) => Ok(len),
        }
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        match next(false) {
            Some(Outcome::Errno(errno)) => Err(answer(errno)),
            Some(Outcome::HalfThenErrno(errno)) => {
                self.inner.allocate(offset, (len / 2).max(1))?;
                Err(answer(errno))
            }
            Some(Outcome::Short | Outcome::Zero | Outcome::Astray | Outcome::Lie) | None => {
                self.inner.allocate(offset, len)
            }
        }
    }

    fn unshare(&self, offset: u64, len: u64) -> io::Result<()> {
        check()?;
        self.inner.unshare(offset, len)
    }

    /// Reports the first half as shared where a transfer would be short.
    fn find_shared(&self, range: Range<u64>) -> io::Result<Shared> {
        let len = range.end.saturating_sub(range.start);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        match transfer(len, false)? {
            Transfer::Do(half) if half < len => {
                let end = range.start.saturating_add(half as u64);
                let shared = Some(range.start..end);
                Ok(Shared { shared, asked: end })
            }
            Transfer::Do(_) | Transfer::Say(_) => self.inner.find_shared(range),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        check()?;
        self.inner.set_len(len)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        if !whole(true)? {
            return Ok(());
        }
        self.inner.punch(offset, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        check()?;
        self.inner.sync_data()
    }

    fn advise(&self, offset: u64, len: u64, hint: Hint) -> io::Result<()> {
        check()?;
        self.inner.advise(offset, len, hint)
    }

    fn sync_all(&self) -> io::Result<()> {
        check()?;
        self.inner.sync_all()
    }

    fn try_lock(&self) -> io::Result<()> {
        check()?;
        self.inner.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        check()?;
        self.inner.unlock()
    }

    fn regular_len(&self) -> io::Result<Option<u64>> {
        check()?;
        self.inner.regular_len()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn disk_bytes(&self) -> io::Result<u64> {
        self.inner.disk_bytes()
    }
}

/// A ring that can be refused, and whose reads can fail or be short.
#[derive(Debug)]
pub(crate) struct Ring {
    inner: ring::Ring,
    /// Reads that failed without reaching the kernel.
    failed: VecDeque<Finished>,
}

impl RingCalls for Ring {
    type File = File;

    fn new(depth: usize) -> io::Result<Self> {
        check()?;
        let inner = ring::Ring::new(depth)?;
        let failed = VecDeque::new();
        Ok(Self { inner, failed })
    }

    fn push(&mut self, file: &File, mut read: Read) -> Result<(), Read> {
        let result = match transfer(read.len, true) {
            Ok(Transfer::Do(len)) => {
                read.len = len;
                return self.inner.push(&file.inner, read);
            }
            Ok(Transfer::Say(len)) => Ok(len),
            Err(refused) => Err(refused),
        };
        self.failed.push_back(Finished { read, result });
        Ok(())
    }

    fn enter(&mut self, wait: usize) -> io::Result<()> {
        check()?;
        self.inner.enter(wait.saturating_sub(self.failed.len()))
    }

    fn take_back(&mut self) -> Option<Read> {
        self.inner.take_back()
    }

    fn is_idle(&self) -> bool {
        self.failed.is_empty() && self.inner.is_idle()
    }

    fn take(&mut self) -> Option<Finished> {
        let failed = self.failed.pop_front();
        failed.or_else(|| self.inner.take())
    }
}

/// A range of addresses whose calls can fail.
#[derive(Debug)]
pub(crate) struct Space {
    inner: Counted<backend::Space>,
}

#[expect(
    unsafe_code,
    reason = "passes calls on; the contracts are those of the callee"
)]
impl SpaceCalls for Space {
    type File = File;

    fn reserve(len: usize, align: usize) -> io::Result<Self> {
        check()?;
        backend::Space::reserve(len, align).map(|space| Self {
            inner: Counted::space(space),
        })
    }

    fn base(&self) -> NonNull<u8> {
        self.inner.base()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn clear_in_children(&self) -> bool {
        check().is_ok() && self.inner.clear_in_children()
    }

    fn is_cleared(&self) -> bool {
        self.inner.is_cleared()
    }

    unsafe fn commit(&self, range: Range<usize>) -> io::Result<()> {
        check()?;
        // SAFETY: the caller keeps the callee's contract.
        unsafe { self.inner.commit(range) }
    }

    unsafe fn open(&self, range: Range<usize>) -> io::Result<()> {
        check()?;
        // SAFETY: the caller keeps the callee's contract.
        unsafe { self.inner.open(range) }
    }

    unsafe fn show_all(&self, file: &File, access: Access) -> io::Result<()> {
        check()?;
        // SAFETY: the caller keeps the callee's contract.
        unsafe { self.inner.show_all(&file.inner, access) }
    }

    unsafe fn show(
        &self,
        range: Range<usize>,
        file: &File,
        offset: u64,
        access: Access,
    ) -> io::Result<()> {
        check()?;
        // SAFETY: the caller keeps the callee's contract.
        unsafe { self.inner.show(range, &file.inner, offset, access) }
    }

    unsafe fn slide(&self, from: Range<usize>, by: usize) -> io::Result<()> {
        check()?;
        // SAFETY: the caller keeps the callee's contract.
        unsafe { self.inner.slide(from, by) }
    }

    unsafe fn release(&self, range: Range<usize>) -> io::Result<()> {
        check()?;
        // SAFETY: the caller keeps the callee's contract.
        unsafe { self.inner.release(range) }
    }

    unsafe fn allow(&self, range: Range<usize>, allowed: bool) -> io::Result<()> {
        check()?;
        // SAFETY: the caller keeps the callee's contract.
        unsafe { self.inner.allow(range, allowed) }
    }

    fn keep_from_children(&self, range: Range<usize>) -> io::Result<()> {
        check()?;
        self.inner.keep_from_children(range)
    }

    fn advise(&self, range: Range<usize>, hint: Hint) -> io::Result<()> {
        check()?;
        self.inner.advise(range, hint)
    }

    fn fold(&self, range: Range<usize>, folded: bool) -> io::Result<()> {
        check()?;
        self.inner.fold(range, folded)
    }

    unsafe fn unmap_pages(&self, range: Range<usize>) -> io::Result<()> {
        check()?;
        // SAFETY: the caller keeps the callee's contract.
        unsafe { self.inner.unmap_pages(range) }
    }

    unsafe fn sync(&self, range: Range<usize>) -> io::Result<()> {
        check()?;
        // SAFETY: the caller keeps the callee's contract.
        unsafe { self.inner.sync(range) }
    }

    fn resident_bytes(&self, range: Range<usize>) -> io::Result<u64> {
        check()?;
        self.inner.resident_bytes(range)
    }
}
