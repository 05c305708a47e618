//! What POSIX systems have in common, for the backends of such systems: one system call a function.
//!
//! A backend adds what is its own: how it preallocates space, makes files without names, moves pages,
//! and keeps mappings from forked children.

pub(super) mod dir;
pub(super) mod file;
pub(super) mod memory;

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Returns the size of a page of memory in bytes, a power of two.
pub(super) fn page_size() -> usize {
    rustix::param::page_size()
}

/// Returns `RLIMIT_FSIZE` in bytes, or `None` where files may be of any length.
///
/// A call that would pass it raises `SIGXFSZ`, which kills the process unless it is ignored or blocked.
pub(super) fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Returns `RLIMIT_AS` in bytes, or `None` where the process may have all addresses.
pub(super) fn address_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Returns `RLIMIT_NOFILE`, or `None` where there may be any number of open files.
pub(super) fn open_file_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Returns whether an answer says that this process has as many open files as it may have.
pub(super) fn is_out_of_files(answer: &io::Error) -> bool {
    answer.raw_os_error() == Some(Errno::MFILE.raw_os_error())
}
