//! The long input that was opened last. Threads that read one file have it leave the page cache
//! together, so they share what was opened.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use outcore::{CachePolicy, InputFile};

use crate::failure::Result;

/// Shorter files are opened by each thread.
const SHARED_BYTES_MIN: u64 = 1 << 20;

/// What was opened last, by its number.
#[derive(Debug, Default)]
pub(super) struct Last {
    file: Mutex<(usize, Weak<InputFile>)>,
    policy: CachePolicy,
}

impl Last {
    /// Sets what stays in the page cache of files that are opened from now on.
    pub(super) fn set_policy(&mut self, policy: CachePolicy) {
        self.policy = policy;
    }

    /// Returns an input of `len` bytes, if a thread has it open, or what `open` returns.
    ///
    /// # Errors
    ///
    /// Those of `open`.
    pub(super) fn get(
        &self,
        number: usize,
        len: u64,
        open: impl FnOnce() -> Result<InputFile>,
    ) -> Result<Arc<InputFile>> {
        let open = || {
            let file = open()?;
            file.set_cache_policy(self.policy);
            Ok(Arc::new(file))
        };
        if len < SHARED_BYTES_MIN {
            return open();
        }
        let mut last = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let (true, Some(file)) = (last.0 == number, last.1.upgrade()) {
            return Ok(file);
        }
        let file = open()?;
        *last = (number, Arc::downgrade(&file));
        Ok(file)
    }
}
