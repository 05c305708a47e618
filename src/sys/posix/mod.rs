//! The common part of POSIX systems, for the backends of such systems: one system call for each
//! function.
//!
//! A backend adds the rest: how to preallocate space, create files without names, move pages, and
//! keep mappings from forked children.

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

/// Returns `RLIMIT_FSIZE` in bytes, or `None` if there is no limit.
///
/// A call that would exceed it raises `SIGXFSZ`, which kills the process unless it is ignored or
/// blocked.
pub(super) fn file_size_limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Returns `RLIMIT_AS` in bytes, or `None` if there is no limit.
pub(super) fn address_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Returns `RLIMIT_NOFILE`, or `None` if there is no limit.
pub(super) fn open_file_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Returns whether an error says that this process has as many open files as it may have.
pub(super) fn is_out_of_files(answer: &io::Error) -> bool {
    answer.raw_os_error() == Some(Errno::MFILE.raw_os_error())
}
