//! Lines that are longer than a chunk: they stay where they are, and something short stands for each.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::failure::Result;
use crate::front::work;
use crate::input::reader::Long;
use crate::memory::budget::Budget;

/// Bytes that stand for a long line: its number, and one that no line ends with.
const REFERENCE_BYTES: usize = 9;

/// What a long line takes in memory, beside the list of its pieces.
const ENTRY_BYTES: usize = 128;

/// All long lines.
#[derive(Debug)]
pub(crate) struct Longs<'a> {
    separator: u8,
    budget: &'a Budget,
    list: Mutex<Vec<Long>>,
}

impl<'a> Longs<'a> {
    pub(crate) fn new(separator: u8, budget: &'a Budget) -> Self {
        let list = Mutex::new(Vec::new());
        Self {
            separator,
            budget,
            list,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Long>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a line, and returns what stands for it.
    ///
    /// # Errors
    ///
    /// There are more than memory has room for.
    pub(crate) fn add(&self, long: Long) -> Result<[u8; REFERENCE_BYTES]> {
        work::charge_long(self.budget, &long, ENTRY_BYTES)?;
        let mut list = self.lock();
        let mut reference = [!self.separator; REFERENCE_BYTES];
        reference[..8].copy_from_slice(&(list.len() as u64).to_le_bytes());
        list.push(long);
        Ok(reference)
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Returns the line that a record stands for, if it does.
    #[inline]
    pub(crate) fn of(&self, record: &[u8]) -> Option<Long> {
        if record.last() == Some(&self.separator) {
            return None;
        }
        let number = record
            .first_chunk()
            .map(|number| u64::from_le_bytes(*number))?;
        let mut long = self.lock().get(usize::try_from(number).ok()?)?.clone();
        // Also the last one gets its end.
        long.separated = true;
        Some(long)
    }
}
