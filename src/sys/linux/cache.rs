//! The page cache of a file: writes that leave nothing in it, write-back, and what is in it.
#![expect(
    unsafe_code,
    reason = "two calls of the C library for which rustix has no function; see docs/safety.md"
)]

use std::ffi::{c_int, c_uint, c_void};
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use rustix::io::ReadWriteFlags;
use rustix::mm::{self, MapFlags, ProtFlags};

use crate::sys::PAGES_ASKED_MAX;
use crate::sys::linux::File;
use crate::sys::linux::signal::without_file_size_signal;
use crate::sys::page_cache::PageCacheCalls;
use crate::sys::posix::kernel_page_size;

/// `RWF_DONTCACHE` of Linux 6.14. Older kernels refuse flags that they do not know.
const DONT_CACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// The most pages of one question. Unit tests may take up to 16 of the kernel's pages for one.
const PAGES_MAX: usize = PAGES_ASKED_MAX * if cfg!(test) { 16 } else { 1 };

/// What [`sync_file_range`] does: the same numbers on every architecture.
const WAIT_BEFORE: c_uint = 1;
const WRITE: c_uint = 2;
const WAIT_AFTER: c_uint = 4;

unsafe extern "C" {
    // Of the C library, which std links to. Offsets have 64 bits on every architecture.
    fn sync_file_range(fd: c_int, offset: i64, len: i64, flags: c_uint) -> c_int;
    fn mincore(at: *mut c_void, len: usize, pages: *mut u8) -> c_int;
}

impl PageCacheCalls for File {
    fn write_uncached(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let slices = [io::IoSlice::new(bytes)];
        without_file_size_signal(|| {
            Ok(rustix::io::pwritev2(
                self.as_fd(),
                &slices,
                offset,
                DONT_CACHE,
            )?)
        })
    }

    fn write_back(&self, offset: u64, len: u64, wait: bool) -> io::Result<()> {
        let flags = if wait {
            WAIT_BEFORE | WRITE | WAIT_AFTER
        } else {
            WRITE
        };
        let too_far = |_overflow| io::ErrorKind::InvalidInput;
        let (offset, len) = (i64::try_from(offset), i64::try_from(len));
        let (offset, len) = (offset.map_err(too_far)?, len.map_err(too_far)?);
        // A length of zero would mean "to the end of the file".
        if len == 0 {
            return Ok(());
        }
        // SAFETY: numbers alone, and the descriptor is open for as long as `self` is borrowed.
        match unsafe { sync_file_range(self.as_fd().as_raw_fd(), offset, len, flags) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn cached_bytes(&self, offset: u64, len: u64) -> io::Result<u64> {
        let page = kernel_page_size();
        let len = usize::try_from(len).map_err(|_long| io::ErrorKind::InvalidInput)?;
        let count = len.div_ceil(page);
        if count == 0 {
            return Ok(0);
        }
        let mut pages = [0; PAGES_MAX];
        if count > pages.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // For no access: a process that locks its memory would have to read all of it.
        let (access, flags) = (ProtFlags::empty(), MapFlags::SHARED);
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let at = unsafe { mm::mmap(ptr::null_mut(), len, access, flags, self.as_fd(), offset) }?;
        // SAFETY: the range is mapped, and there is a byte for each of its pages.
        let refused = unsafe { mincore(at, len, pages.as_mut_ptr()) };
        let answer = io::Error::last_os_error();
        // SAFETY: the mapping is the one above, to which nothing else has the address.
        unsafe { mm::munmap(at, len) }?;
        if refused != 0 {
            return Err(answer);
        }
        let cached = pages.iter().filter(|page| **page & 1 != 0).count();
        Ok((cached as u64).saturating_mul(page as u64))
    }
}
