//! The page cache of a file, of which the system tells nothing and takes no orders.

use std::io;

use crate::sys::page_cache::PageCacheCalls;
use crate::sys::windows::File;

impl PageCacheCalls for File {
    /// Writes past the page cache have to be aligned, and so has the memory.
    fn write_uncached(&self, _bytes: &[u8], _offset: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The system writes the whole file back, or nothing.
    fn write_back(&self, _offset: u64, _len: u64, _wait: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// All of it may be there.
    fn cached_bytes(&self, _offset: u64, len: u64) -> io::Result<u64> {
        Ok(len)
    }
}
