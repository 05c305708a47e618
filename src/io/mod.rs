//! The floor of files: a scratch directory and its disk budget, files that are preallocated before
//! they are used, syncs, and names of files. It knows bytes, and no addresses.

pub(crate) mod account;
pub(crate) mod atomic_file;
pub(crate) mod budget;
pub(crate) mod cache;
pub(crate) mod checksum;
pub(crate) mod dir;
pub(crate) mod extents;
pub(crate) mod file;
pub(crate) mod input_file;
#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
pub(crate) mod lent;
pub(crate) mod place;
pub(crate) mod preallocated;
pub(crate) mod refusal;
pub(crate) mod scratch;
pub(crate) mod search;
pub(crate) mod stats;
pub(crate) mod syncs;
