//! The floor of storage: directories, files, growth, and addresses that show files. It knows
//! bytes and pages, and no element type.

pub(crate) mod addresses;
pub(crate) mod advice;
pub(crate) mod blocks;
#[cfg(test)]
pub(crate) mod campaign;
pub(crate) mod dir;
pub(crate) mod file;
pub(crate) mod growth;
pub(crate) mod place;
pub(crate) mod quiet;
pub(crate) mod reads;
pub(crate) mod region;
pub(crate) mod scratch;
pub(crate) mod stats;
pub(crate) mod sync;
pub(crate) mod syncs;
pub(crate) mod view;
