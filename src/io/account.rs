//! The account of one file: the bytes that are preallocated for it, and the budget that they count
//! against.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::Result;
use crate::io::budget::Charge;
use crate::io::dir::ScratchDir;
use crate::io::refusal::Refusal;
use crate::io::stats;

/// The preallocated bytes of one file. Dropping it returns all of them.
#[derive(Debug)]
pub(crate) struct Account {
    /// The directory whose budget the bytes count against, if any.
    dir: Option<ScratchDir>,
    bytes: AtomicU64,
}

/// Bytes that are entered into the budget and not preallocated yet. Dropping it removes them again.
#[derive(Debug)]
#[must_use = "the bytes are removed again at once"]
pub(crate) struct Entry<'account> {
    account: &'account Account,
    charge: Option<Charge<'account>>,
    bytes: u64,
}

impl Account {
    /// Opens an account for a file whose bytes count against the budget of `dir`.
    pub(crate) fn in_dir(dir: &ScratchDir) -> Self {
        Self {
            dir: Some(dir.clone()),
            bytes: AtomicU64::new(0),
        }
    }

    /// Opens an account that counts against no budget. Allocates nothing.
    pub(crate) const fn without_budget() -> Self {
        Self {
            dir: None,
            bytes: AtomicU64::new(0),
        }
    }

    /// Enters bytes into the budget, if there is one.
    pub(crate) fn charge(&self, bytes: u64) -> Result<Entry<'_>, Refusal> {
        let dir = self.dir.as_ref();
        let charge = dir.map(|dir| dir.charge(bytes)).transpose();
        let charge = charge.inspect_err(|_refused| stats::failed())?;
        Ok(Entry {
            account: self,
            charge,
            bytes,
        })
    }

    /// Removes bytes that are no longer preallocated.
    pub(crate) fn give_back(&self, bytes: u64) {
        let before = self.bytes.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "more was given back than was entered");
        if let Some(dir) = &self.dir {
            dir.release(bytes);
        }
        stats::returned(bytes);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

impl Entry<'_> {
    /// Records that the bytes are preallocated now.
    pub(crate) fn keep(self) {
        if let Some(charge) = self.charge {
            charge.keep();
        }
        self.account.bytes.fetch_add(self.bytes, Relaxed);
        stats::claimed(self.bytes);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.give_back(self.bytes());
    }
}
