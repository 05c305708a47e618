//! The contract of [`super`], implemented by macOS and FreeBSD. Written against their manuals and
//! type-checked: no test of ours has run there.
//!
//! What they lack: files that get a name later, reads that do not wait for the device, writes that
//! leave nothing in the page cache, moving pages, and reads by the kernel in the background. Each of
//! these is refused, and the floors above have another way.

mod cache;
mod dir;
mod file;
#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(target_os = "macos")]
mod macos;
mod space;

pub(crate) use self::dir::Dir;
pub(crate) use self::file::File;
pub(crate) use self::space::Space;

#[cfg(target_os = "freebsd")]
use self::freebsd as own;
#[cfg(target_os = "macos")]
use self::macos as own;

use std::ffi::OsString;
use std::io;

use crate::sys::posix;
use crate::sys::system::SystemCalls;

/// The system as a whole.
#[derive(Debug)]
pub(crate) enum System {}

impl SystemCalls for System {
    fn page_size() -> usize {
        posix::page_size()
    }

    fn file_size_limit() -> Option<u64> {
        posix::file_size_limit()
    }

    fn address_limit() -> Option<u64> {
        posix::address_limit()
    }

    fn open_file_limit() -> Option<u64> {
        posix::open_file_limit()
    }

    fn is_out_of_files(answer: &io::Error) -> bool {
        posix::is_out_of_files(answer)
    }

    /// There is no such limit.
    fn reached_mapping_limit() -> Option<u64> {
        None
    }

    fn replaces_parts() -> bool {
        true
    }

    fn process() -> u64 {
        posix::process::process()
    }

    fn unguessable_name() -> io::Result<OsString> {
        dir::unguessable_name()
    }

    /// Finds none: no call gives one variable without a lock or memory.
    fn initial_variable<'value>(_name: &[u8], _value: &'value mut [u8]) -> Option<&'value [u8]> {
        None
    }
}
