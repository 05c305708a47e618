//! The common part of POSIX systems, for the backends of such systems: one system call for each
//! function.
//!
//! A backend adds the rest: how to preallocate space, create files without names, move pages, and
//! keep mappings from forked children. Where the systems differ in a name or a number only, the
//! difference is here.

pub(super) mod dir;
pub(super) mod file;
pub(super) mod fork;
pub(super) mod memory;
pub(super) mod process;

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Returns the size of a page of memory in bytes, a power of two.
///
/// In unit tests it can be several pages of the kernel, which is what a kernel with larger pages looks
/// like from here: `OUTCORE_PAGE_BYTES=65536`.
pub(super) fn page_size() -> usize {
    #[cfg(test)]
    if let Some(larger) = larger_page() {
        return larger;
    }
    kernel_page_size()
}

/// Returns the same where the kernel counts in its own pages.
pub(super) fn kernel_page_size() -> usize {
    rustix::param::page_size()
}

#[cfg(test)]
fn larger_page() -> Option<usize> {
    static ASKED: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    *ASKED.get_or_init(|| {
        let asked = std::env::var("OUTCORE_PAGE_BYTES").ok()?.parse().ok();
        asked.filter(|page: &usize| page.is_power_of_two() && *page >= kernel_page_size())
    })
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
