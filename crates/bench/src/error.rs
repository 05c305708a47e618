//! Errors of the harness: those of `anyhow`, and what the machine lacks.

use std::fmt;

pub use anyhow::{Context, Error, Result, anyhow, bail, ensure};

/// What this machine lacks. A row or a workload that fails with this is reported as skipped, and is
/// no failure of the program.
#[derive(Debug)]
pub struct Skip(String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

pub fn skip(what_is_missing: impl Into<String>) -> Error {
    Error::new(Skip(what_is_missing.into()))
}
