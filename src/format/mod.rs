//! The floor of file formats: what a sealed file is, byte for byte. docs/format.md draws it.
//!
//! `sums` has the checksums, `description` the fixed part that says what a file holds, `arrow` what
//! makes the file one that Arrow reads, `blocks` the checksums of data as they arrive, `write` the way
//! into a file, `ranges` and `source` where the bytes come from, `read` the checked way out, `known` what it
//! remembers, `copy` what every reader needs, `map` the data in memory, and `verify` the check of all bytes. `strings` says
//! where byte strings are in the data. Nothing read from a file is trusted.

pub(crate) mod arrow;
pub(crate) mod blocks;
pub(crate) mod copy;
pub(crate) mod description;
mod known;
pub(crate) mod map;
pub(crate) mod ranges;
pub(crate) mod read;
mod source;
pub(crate) mod strings;
mod sums;
#[cfg(test)]
#[cfg(not(any(miri, memory_backend, loom, shuttle)))]
mod tests;
mod verify;
pub(crate) mod write;

/// The length of the first and of the last part of a file: the head and the tail.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// Where the data begin.
pub(crate) const DATA_START: u64 = PAGE_BYTES;
