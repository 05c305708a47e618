//! The contract of [`super`] on the heap, for `AddressSanitizer`, valgrind and Miri.
//!
//! A file is a vector of bytes; a space is one zeroed block. A window that shows a file is a copy
//! that is kept equal in both directions.

mod cache;
mod file;
mod names;
mod space;

pub(crate) use self::file::File;
pub(crate) use self::names::Dir;
pub(crate) use self::space::Space;

use std::ffi::OsString;
use std::io;

use crate::sys::system::SystemCalls;

/// The system as a whole.
#[derive(Debug)]
pub(crate) enum System {}

impl SystemCalls for System {
    /// Returns the usual size of pages.
    fn page_size() -> usize {
        4096
    }

    fn file_size_limit() -> Option<u64> {
        None
    }

    fn address_limit() -> Option<u64> {
        None
    }

    /// There is no such limit here.
    fn open_file_limit() -> Option<u64> {
        None
    }

    fn is_out_of_files(_answer: &io::Error) -> bool {
        false
    }

    /// There is no such limit here.
    fn reached_mapping_limit() -> Option<u64> {
        None
    }

    fn replaces_parts() -> bool {
        true
    }

    fn process() -> u64 {
        u64::from(std::process::id())
    }

    fn unguessable_name() -> io::Result<OsString> {
        Ok(names::next_name())
    }

    fn initial_variable<'value>(name: &[u8], value: &'value mut [u8]) -> Option<&'value [u8]> {
        let found = std::env::var(std::str::from_utf8(name).ok()?).ok()?;
        let value = value.get_mut(..found.len())?;
        value.copy_from_slice(found.as_bytes());
        Some(value)
    }
}
