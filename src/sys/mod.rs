//! Every system call of the crate, one call for each function.
//!
//! One small contract, and its implementations. `linux` calls the kernel, and so do `bsd` on macOS
//! and FreeBSD, and `windows`. `memory` keeps files and mappings in heap blocks, where `AddressSanitizer`, valgrind
//! and Miri see every access; `--cfg memory_backend` selects it. `fault` wraps one of them in the unit
//! tests and makes the n-th call fail, be short, or be interrupted.
//!
//! The contract is in [`contract`], [`page_cache`] and [`system`], as traits: what a backend has to
//! provide and what the fault layer has to pass on. `posix` has what POSIX systems have in common, for the backends of such
//! systems.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

#[cfg(not(any(
    target_os = "linux",
    target_os = "macos",
    target_os = "freebsd",
    all(windows, target_pointer_width = "64"),
    miri,
    memory_backend
)))]
compile_error!(
    "outcore has no backend for this system: the documentation's table of platforms says where it \
     runs, and docs/architecture.md what a new backend takes"
);

#[cfg(all(
    any(target_os = "macos", target_os = "freebsd"),
    not(any(miri, memory_backend))
))]
mod bsd;
#[cfg(all(target_os = "linux", not(any(miri, memory_backend))))]
mod linux;
#[cfg(any(miri, memory_backend))]
mod memory;
#[cfg(all(unix, not(any(miri, memory_backend))))]
mod posix;
#[cfg(all(windows, not(any(miri, memory_backend))))]
mod windows;

#[cfg(all(
    any(target_os = "macos", target_os = "freebsd"),
    not(any(miri, memory_backend))
))]
use self::bsd as backend;
#[cfg(all(target_os = "linux", not(any(miri, memory_backend))))]
use self::linux as backend;
#[cfg(any(miri, memory_backend))]
use self::memory as backend;
#[cfg(all(windows, not(any(miri, memory_backend))))]
use self::windows as backend;

pub(crate) mod prefetch;

// The processors for which the crate `io-uring` knows the kernel's structures.
#[cfg(not(all(
    feature = "io-uring",
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "loongarch64",
        target_arch = "powerpc64"
    ),
    not(any(miri, memory_backend))
)))]
mod no_ring;
#[cfg(all(
    feature = "io-uring",
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "loongarch64",
        target_arch = "powerpc64"
    ),
    not(any(miri, memory_backend))
))]
use self::linux::ring;
#[cfg(not(all(
    feature = "io-uring",
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64",
        target_arch = "loongarch64",
        target_arch = "powerpc64"
    ),
    not(any(miri, memory_backend))
)))]
use self::no_ring as ring;

pub(crate) mod buffer;
mod contract;
mod page_cache;
mod system;

#[cfg(test)]
pub(crate) mod fault;
#[cfg(test)]
pub(crate) mod plan;

#[cfg(not(test))]
pub(crate) use self::backend::{Dir, File, Space};
#[cfg(test)]
pub(crate) use self::fault::{Dir, File, Ring, Space};
#[cfg(not(test))]
pub(crate) use self::ring::Ring;
pub(crate) use self::system::{
    address_limit, file_size_limit, initial_variable, is_out_of_files, open_file_limit, page_size,
    process, reached_mapping_limit, replaces_parts, unguessable_name,
};

use crate::sys::buffer::Buffer;

/// Repeats a call for as long as a signal interrupts it.
pub(crate) fn retry<R>(mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match call() {
            Err(answer) if answer.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// The properties of a file system.
#[derive(Clone, Debug)]
pub(crate) struct FileSystem {
    /// The usual name, or the type's number in hexadecimal if the name is unknown.
    pub(crate) name: Cow<'static, str>,
    pub(crate) ram_backed: bool,
    pub(crate) network: bool,
    pub(crate) free_bytes: u64,
    pub(crate) total_bytes: u64,
}

/// The metadata of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether it is a file, and not a directory, link, device or pipe.
    pub(crate) is_regular: bool,
    /// The permission bits, with set-user-ID, set-group-ID and sticky.
    pub(crate) mode: u32,
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// Which bytes of a range are in blocks that other files share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// The first of them.
    pub(crate) shared: Option<Range<u64>>,
    /// The end of the answer: past the start of the range, unless that is empty.
    pub(crate) asked: u64,
}

/// A read that is done while its owner does other work.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) offset: u64,
    /// The number of requested bytes at the start of the buffer.
    pub(crate) len: usize,
    pub(crate) buffer: Buffer,
    /// The owner's number of the read.
    pub(crate) token: usize,
}

/// A completed read, and the number of bytes read: it may be short, like `read_at`.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) read: Read,
    pub(crate) result: io::Result<usize>,
}

/// The alignment of direct reads, in bytes; powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alignment {
    /// The address.
    pub(crate) memory: usize,
    /// Offset and length.
    pub(crate) offset: u64,
}

/// Of how many pages of a file one call asks whether they are in the page cache.
pub(crate) const PAGES_ASKED_MAX: usize = 512;

/// The expected use of the pages of a file or of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// No particular order: the kernel's own guess.
    Normal,
    /// In ascending order, each once.
    Sequential,
    /// At random: read nothing ahead.
    Random,
    /// Soon: start reading now.
    WillNeed,
    /// Not soon: drop what is clean.
    DontNeed,
}

/// The largest length of the huge pages in folded parts of a [`Space`]; the actual length divides
/// it.
pub(crate) const FOLD_BYTES: usize = 2 << 20;

/// What a mapping of a file may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// For nothing, until `allow` of the space.
    Nothing,
    Read,
    ReadWrite,
}
