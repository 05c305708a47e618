//! An output that threads write to in the order of the input.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::failure::Result;
use crate::output::Output;

/// An output, and how much of it is reserved.
#[derive(Debug)]
pub(crate) struct Sequence {
    output: Output,
    /// Changed in turn only.
    bytes: AtomicU64,
    records: AtomicU64,
}

impl Sequence {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            bytes: AtomicU64::new(0),
            records: AtomicU64::new(0),
        }
    }

    pub(crate) fn output(&self) -> &Output {
        &self.output
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn records(&self) -> u64 {
        self.records.load(Relaxed)
    }

    /// Reserves the next `len` bytes for `records`; returns where they start. Called in the order of
    /// the input.
    pub(crate) fn reserve(&self, len: u64, records: u64) -> u64 {
        self.records.fetch_add(records, Relaxed);
        self.bytes.fetch_add(len, Relaxed)
    }

    /// Puts a file in its place.
    ///
    /// # Errors
    ///
    /// It cannot take its place; what was there stays.
    pub(crate) fn finish(self) -> Result<()> {
        self.output.finish()
    }
}
