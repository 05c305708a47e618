//! Where bytes come from: files, patterns, directories, standard input, a sample.

mod facts;
pub(crate) mod list;
mod packed;
pub(crate) mod reader;
pub(crate) mod sample;
