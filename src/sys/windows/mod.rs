//! The contract of [`super`], implemented by Windows 10 1803 and newer on 64-bit processors.
//!
//! A page is here what the system calls the allocation granularity, 64 KiB: files are shown at
//! multiples of it only.
//!
//! What Windows lacks, and what is done instead:
//!
//! * Processes do not fork, so nothing has to be kept from children.
//! * A file shows no bytes that it does not have yet, so a space that shows all of a file is as long as
//!   the file was. No file becomes shorter while it is shown (`ResourceBusy`).
//! * What one call has shown can only be replaced as a whole, so the rest of it is gone for a moment
//!   ([`SystemCalls::replaces_parts`]). Allocators cannot live with that.
//! * Space in the middle of a file can be given back only if the file is sparse, and then none of it
//!   is claimed; so it is not given back (`punch`).
//! * Files without names, names that are given later, reads that do not wait for the device, writes that
//!   leave nothing in the page cache, and moving pages. Each of these is refused, and the floors above
//!   have another way.

mod cache;
mod dir;
mod file;
mod parts;
mod process;
mod space;

pub(crate) use self::dir::Dir;
pub(crate) use self::file::File;
pub(crate) use self::space::Space;

use std::ffi::OsString;
use std::io;

use windows_sys::Win32::Foundation::{
    ERROR_COMMITMENT_LIMIT, ERROR_TOO_MANY_OPEN_FILES, ERROR_USER_MAPPED_FILE,
};

use crate::sys::system::SystemCalls;

/// The system as a whole.
#[derive(Debug)]
pub(crate) enum System {}

impl SystemCalls for System {
    fn page_size() -> usize {
        process::granularity()
    }

    /// There is no such limit.
    fn file_size_limit() -> Option<u64> {
        None
    }

    /// There is no such limit.
    fn address_limit() -> Option<u64> {
        None
    }

    /// There is none that the system would tell.
    fn open_file_limit() -> Option<u64> {
        None
    }

    fn is_out_of_files(answer: &io::Error) -> bool {
        is(answer, ERROR_TOO_MANY_OPEN_FILES)
    }

    /// There is no such limit.
    fn reached_mapping_limit() -> Option<u64> {
        None
    }

    fn replaces_parts() -> bool {
        false
    }

    /// Always the same: no process is forked.
    fn process() -> u64 {
        1
    }

    fn unguessable_name() -> io::Result<OsString> {
        let bits = u128::from_ne_bytes(process::random_bits()?);
        Ok(format!(".outcore-{bits:032x}").into())
    }

    /// Finds none: only allocators ask, and there are none.
    fn initial_variable<'value>(_name: &[u8], _value: &'value mut [u8]) -> Option<&'value [u8]> {
        None
    }
}

/// Returns whether an answer of the system is this one.
fn is(answer: &io::Error, code: u32) -> bool {
    answer
        .raw_os_error()
        .and_then(|known| u32::try_from(known).ok())
        == Some(code)
}

/// Gives those answers their kind for which std has none.
fn with_kind(answer: io::Error) -> io::Error {
    if is(&answer, ERROR_COMMITMENT_LIMIT) {
        return io::ErrorKind::OutOfMemory.into();
    }
    if is(&answer, ERROR_USER_MAPPED_FILE) {
        return io::ErrorKind::ResourceBusy.into();
    }
    answer
}

/// Returns the answer to the call that this thread has made last.
fn last_answer() -> io::Error {
    with_kind(io::Error::last_os_error())
}

/// Turns the result of a call into an answer.
fn answered(result: i32) -> io::Result<()> {
    match result {
        0 => Err(last_answer()),
        _ => Ok(()),
    }
}
