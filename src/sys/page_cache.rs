//! The contract of the system: what is asked of the page cache for parts of a file.

#![expect(
    clippy::same_name_method,
    reason = "the functions of a type are those of its trait"
)]

use std::fmt::Debug;
use std::io;

use crate::sys::File;
use crate::sys::contract::{contract, forward};
#[cfg(test)]
use crate::sys::plan::{Transfer, check, transfer};

contract! {
    /// What the page cache has of a file. None of these changes a byte of it.
    trait PageCacheCalls for File {
        /// Writes once, as `write_at` does; the kernel then writes the bytes to the device and drops
        /// their pages, unless they were in the cache before. `Unsupported`, `InvalidInput` or `ENOSYS`
        /// where the kernel or the file system has no such writes.
        fn write_uncached(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

        /// Has the kernel write the dirty pages of `len` bytes from `offset` to the device, and waits
        /// for that if `wait`. No promise about power cuts. With `wait` it may fail because a page was
        /// lost earlier, and no later sync is told of that page.
        fn write_back(&self, offset: u64, len: u64, wait: bool) -> io::Result<()>;

        /// Returns how many of `len` bytes from `offset` are in the page cache. Both are whole pages,
        /// at most [`PAGES_ASKED_MAX`](crate::sys::PAGES_ASKED_MAX) of them. Where the process may not
        /// know, all are.
        fn cached_bytes(&self, offset: u64, len: u64) -> io::Result<u64>;
    }
}

/// With faults.
#[cfg(test)]
impl PageCacheCalls for File {
    fn write_uncached(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match transfer(bytes.len(), true)? {
            Transfer::Do(len) => self.inner.write_uncached(&bytes[..len], offset),
            Transfer::Say(len) => Ok(len),
        }
    }

    fn write_back(&self, offset: u64, len: u64, wait: bool) -> io::Result<()> {
        check()?;
        self.inner.write_back(offset, len, wait)
    }

    fn cached_bytes(&self, offset: u64, len: u64) -> io::Result<u64> {
        check()?;
        self.inner.cached_bytes(offset, len)
    }
}
