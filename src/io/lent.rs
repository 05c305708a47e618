//! Files of the caller's that serve as scratch files: one owner in the process at a time.
//!
//! The lock of `flock` belongs to what was opened, not to a descriptor: a duplicate takes a lock that
//! the first has already, and gives it back for both. So duplicates are told apart by a list, a lock
//! is taken only for a file that could be used, and given back only by its owner.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::sys;

/// The name of the operation in errors.
const ACTION: &str = "use the given file";

/// The files that are lent now: device and number.
static LENT: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

fn lent() -> MutexGuard<'static, Vec<(u64, u64)>> {
    LENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps all others in the process from a file.
#[derive(Debug)]
pub(crate) struct Loan {
    identity: (u64, u64),
}

impl Loan {
    /// Takes an empty regular file that no other owner has, and locks it. After a failure the file is
    /// unchanged.
    pub(crate) fn of(file: std::fs::File) -> Result<(sys::File, Self)> {
        let file = sys::File::from_std(file);
        let identity = sys::retry(|| file.identity()).map_err(failed)?;
        let loan = Self::enter(identity).ok_or_else(|| {
            refused("another allocator of this process has it, or a duplicate of it")
        })?;
        check(&file)?;
        match sys::retry(|| file.try_lock()) {
            Err(answer) if answer.kind() == io::ErrorKind::WouldBlock => {
                return Err(refused("another process has locked it"));
            }
            locked => locked.map_err(failed)?,
        }
        // Another owner may have written until it released the lock, so check again. Closing the file
        // releases our lock. An explicit unlock here would release the lock of a process that shares
        // our descriptor.
        check(&file)?;
        Ok((file, loan))
    }

    fn enter(identity: (u64, u64)) -> Option<Self> {
        let mut lent = lent();
        if lent.contains(&identity) {
            return None;
        }
        lent.push(identity);
        Some(Self { identity })
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        lent().retain(|identity| *identity != self.identity);
    }
}

/// Refuses a file that cannot be used, or that holds something.
fn check(file: &sys::File) -> Result<()> {
    let reason = match sys::retry(|| file.regular_len()).map_err(failed)? {
        None => "it is no regular file",
        Some(1..) => "it is not empty",
        Some(0) if sys::retry(|| file.appends()).map_err(failed)? => "it is open for appending",
        Some(0) => return Ok(()),
    };
    Err(refused(reason))
}

#[cold]
fn failed(answer: io::Error) -> Error {
    Error::io(ACTION, answer)
}

#[cold]
fn refused(reason: &'static str) -> Error {
    Error::refused(ErrorKind::Io, ACTION, reason)
}
