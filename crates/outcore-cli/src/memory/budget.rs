//! The account behind `--memory`: what may still be made resident.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::failure::{Failure, Result};
use crate::memory;
use crate::size::format_bytes;

/// Kept free for what is not charged: pages of the program that are not touched yet,
/// the allocator's own needs, a huge page that the system rounds up to, and counters
/// of the system that lag behind.
const SLACK_BYTES: u64 = 4 << 20;

/// Taken by the program where the system does not tell.
const PROGRAM_BYTES_ASSUMED: u64 = 8 << 20;

/// How many bytes may be resident, and how many are.
///
/// Code that allocates in proportion to the input charges first, with the bytes of the
/// allocation, and releases when it gives them back. All threads share one account.
#[derive(Debug)]
pub(crate) struct Budget {
    limit_bytes: u64,
    charged_bytes: AtomicU64,
}

impl Budget {
    /// Opens an account in which everything resident now is charged already.
    ///
    /// # Errors
    ///
    /// The limit leaves less than `needed_bytes` beside that.
    pub(crate) fn new(limit_bytes: u64, needed_bytes: u64) -> Result<Self> {
        let program = memory::resident_bytes().unwrap_or(PROGRAM_BYTES_ASSUMED);
        let charged_bytes = program + SLACK_BYTES;
        let least = charged_bytes + needed_bytes;
        if limit_bytes < least {
            let mib = least.div_ceil(1 << 20);
            let limited = match memory::mappable_bytes() {
                Some(_) => "; it is at most a quarter of what ulimit -v and -d leave",
                None => "",
            };
            return Err(Failure::new(format!(
                "--memory {} is too little: the program and its buffers take {mib} MiB{limited}",
                format_bytes(limit_bytes)
            )));
        }
        Ok(Self {
            limit_bytes,
            charged_bytes: AtomicU64::new(charged_bytes),
        })
    }

    /// Returns the whole limit, as the user gave it.
    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Returns what can still be charged.
    pub(crate) fn available_bytes(&self) -> u64 {
        self.limit_bytes
            .saturating_sub(self.charged_bytes.load(Relaxed))
    }

    /// Charges an allocation; returns whether it fits. If not, nothing is charged.
    #[must_use]
    pub(crate) fn charge(&self, bytes: usize) -> bool {
        let within = |charged: u64| {
            let sum = charged.checked_add(bytes as u64)?;
            (sum <= self.limit_bytes).then_some(sum)
        };
        self.charged_bytes
            .fetch_update(Relaxed, Relaxed, within)
            .is_ok()
    }

    /// Gives back what was charged before.
    pub(crate) fn release(&self, bytes: usize) {
        let before = self.charged_bytes.fetch_sub(bytes as u64, Relaxed);
        debug_assert!(bytes as u64 <= before);
    }
}

#[cfg(test)]
impl Budget {
    /// Opens an account with this much to charge.
    pub(crate) fn with_available(bytes: u64) -> Self {
        Self {
            limit_bytes: bytes,
            charged_bytes: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_exact_and_comes_back() {
        let budget = Budget::with_available(100);
        assert!(budget.charge(60));
        assert!(!budget.charge(41));
        assert!(budget.charge(40));
        assert_eq!(budget.available_bytes(), 0);
        budget.release(100);
        assert!(budget.charge(100));
    }

    #[test]
    fn the_program_itself_is_charged() {
        let budget = Budget::new(1 << 40, 1).unwrap();
        let program = memory::resident_bytes().unwrap_or(1 << 20);
        assert!(budget.available_bytes() + program / 2 < 1 << 40);
    }

    #[test]
    fn too_small_a_limit_says_what_is_needed() {
        let text = Budget::new(1 << 20, 1).unwrap_err().to_string();
        assert!(text.starts_with("--memory 1 MiB is too little"), "{text}");
    }
}
