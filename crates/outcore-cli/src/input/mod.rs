//! Where bytes come from: files, patterns, directories, standard input, a sample.

mod facts;
mod last;
pub(crate) mod list;
mod open;
mod packed;
pub(crate) mod reader;
pub(crate) mod sample;
mod stdin;
