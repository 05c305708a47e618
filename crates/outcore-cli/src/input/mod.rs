//! Where bytes come from: files, patterns, directories, standard input, a sample.

pub(crate) mod list;
pub(crate) mod reader;
pub(crate) mod sample;
