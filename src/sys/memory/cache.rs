//! The page cache of a file that is in memory anyhow: all of it, always.

use std::io;

use crate::sys::contract::FileCalls;
use crate::sys::memory::File;
use crate::sys::page_cache::PageCacheCalls;

impl PageCacheCalls for File {
    fn write_uncached(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileCalls::write_at(self, bytes, offset)
    }

    fn write_back(&self, _offset: u64, _len: u64, _wait: bool) -> io::Result<()> {
        Ok(())
    }

    fn cached_bytes(&self, _offset: u64, len: u64) -> io::Result<u64> {
        Ok(len)
    }
}
