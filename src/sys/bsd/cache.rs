//! The page cache of a file, of which these systems tell nothing and take no orders.

use std::io;

use crate::sys::bsd::File;
use crate::sys::page_cache::PageCacheCalls;

impl PageCacheCalls for File {
    fn write_uncached(&self, _bytes: &[u8], _offset: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write_back(&self, _offset: u64, _len: u64, _wait: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// All of it may be there.
    fn cached_bytes(&self, _offset: u64, len: u64) -> io::Result<u64> {
        Ok(len)
    }
}
