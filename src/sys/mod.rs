//! Every system call that the crate makes, one call a function.
//!
//! One small contract, three implementations. `linux` asks the kernel. `memory` keeps files and
//! mappings in heap blocks, where `AddressSanitizer`, valgrind and Miri see every access; ask for
//! it with `--cfg memory_backend`. `fault` stands before either of them in the unit tests and makes
//! the n-th call fail, come back short, or be interrupted.
//!
//! The contract is in [`contract`], as traits: what a backend has to have and what the fault layer has
//! to pass on. `posix` has what POSIX systems have in common, for the backends of such systems.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

#[cfg(not(any(target_os = "linux", miri, memory_backend)))]
compile_error!(
    "outcore needs Linux: it claims space with fallocate, keeps files without names, and moves \
     mapped pages, for which other systems have no equal"
);

#[cfg(not(any(miri, memory_backend)))]
mod linux;
#[cfg(any(miri, memory_backend))]
mod memory;
#[cfg(not(any(miri, memory_backend)))]
mod posix;

#[cfg(not(any(miri, memory_backend)))]
use self::linux as backend;
#[cfg(any(miri, memory_backend))]
use self::memory as backend;

#[cfg(not(all(feature = "io-uring", not(any(miri, memory_backend)))))]
mod no_ring;
#[cfg(all(feature = "io-uring", not(any(miri, memory_backend))))]
use self::linux::ring;
#[cfg(not(all(feature = "io-uring", not(any(miri, memory_backend)))))]
use self::no_ring as ring;

pub(crate) mod buffer;
mod contract;

#[cfg(test)]
pub(crate) mod fault;
#[cfg(test)]
pub(crate) mod plan;

#[cfg(not(test))]
pub(crate) use self::backend::{Dir, File, Space};
pub(crate) use self::contract::{
    address_limit, file_size_limit, initial_variable, is_out_of_files, open_file_limit, page_size,
    process, reached_mapping_limit, unguessable_name,
};
#[cfg(test)]
pub(crate) use self::fault::{Dir, File, Ring, Space};
#[cfg(not(test))]
pub(crate) use self::ring::Ring;

use crate::sys::buffer::Buffer;

/// Makes a call again for as long as a signal interrupts it.
pub(crate) fn retry<R>(mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match call() {
            Err(answer) if answer.kind() == io::ErrorKind::Interrupted => {}
            answer => return answer,
        }
    }
}

/// What a file system says about itself.
#[derive(Clone, Debug)]
pub(crate) struct FileSystem {
    /// The usual name, or the type's number in hexadecimal where we know no name.
    pub(crate) name: Cow<'static, str>,
    pub(crate) ram_backed: bool,
    pub(crate) network: bool,
    pub(crate) free_bytes: u64,
    pub(crate) total_bytes: u64,
}

/// What the system notes about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether it is a file: no directory, link, device or pipe.
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
    /// Up to where the answer goes: past the start of the range, unless that is empty.
    pub(crate) asked: u64,
}

/// A read that is done while its owner does something else.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) offset: u64,
    /// How many bytes at the start of the buffer are asked for.
    pub(crate) len: usize,
    pub(crate) buffer: Buffer,
    /// What the owner calls it.
    pub(crate) token: usize,
}

/// A read that is complete, and how many bytes it brought: fewer than asked, like `read_at`.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) read: Read,
    pub(crate) result: io::Result<usize>,
}

/// What reads past the page cache have to be multiples of, in bytes; powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alignment {
    /// The address.
    pub(crate) memory: usize,
    /// Offset and length.
    pub(crate) offset: u64,
}

/// What to expect of the pages of a file or of a mapping.
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

/// The pieces in which folded parts of a [`Space`] come into memory: a multiple of each, at most.
pub(crate) const FOLD_BYTES: usize = 2 << 20;

/// What a mapping of a file may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// For nothing, until `allow` of the space.
    Nothing,
    Read,
    ReadWrite,
}
