//! What all parts of a run share.

use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;

use crate::cmd::dedup::writer::Outputs;
use crate::failure::Result;
use crate::input::list::Inputs;
use crate::input::reader::{Long, Reader};
use crate::memory::budget::Budget;
use crate::record::key::Key;
use crate::record::key::{Bad, Keyer};
use crate::record::long;
use crate::scratch::Scratch;
use crate::size::format_bytes;

/// A run.
pub(crate) struct Job<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) outputs: &'a Outputs,
    pub(crate) keyer: &'a Keyer,
    pub(crate) scratch: &'a Scratch,
    pub(crate) budget: &'a Budget,
    pub(crate) bar: &'a ProgressBar,
    pub(crate) separator: u8,
    /// Bytes of a cell of a file.
    pub(crate) cell_len: usize,
    pub(crate) threads: usize,
    /// Whether records are whole files.
    pub(crate) files: bool,
    pub(crate) skip_bad: bool,
    pub(crate) verify: bool,
    /// Held while a long line is read as JSON: the longest that memory is kept for.
    pub(crate) json_len_max: Mutex<u64>,
}

impl Job<'_> {
    /// Returns the key of a long record.
    ///
    /// # Errors
    ///
    /// It cannot be read; or, inside, it has none, or is too long for what that is made of.
    pub(crate) fn long_key(
        &self,
        long: &Long,
        reader: &mut Reader<'_>,
    ) -> Result<Result<Key, Bad>> {
        if !self.keyer.needs_whole() {
            return long::key(reader, long, self.keyer);
        }
        let len_max = self.json_len_max.lock();
        let len_max = len_max.unwrap_or_else(PoisonError::into_inner);
        if long.len > *len_max {
            return Ok(Err(Bad::unknown(format!(
                "has {} and is too long to be read as JSON; with --memory {} a line may have {}",
                format_bytes(long.len),
                format_bytes(self.budget.limit_bytes()),
                format_bytes(*len_max)
            ))));
        }
        long::key(reader, long, self.keyer)
    }
}
