//! Threads that share out work, and the order in which they pass.

pub(crate) mod turn;

use std::sync::{Mutex, PoisonError};

use crate::failure::{Failure, Result};

/// Does the same work in so many threads, this one included, which share it out among themselves.
/// Where the system starts fewer, those do all of it.
///
/// # Errors
///
/// The one that made the others stop.
pub(crate) fn run(threads: usize, work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    let failure = Mutex::new(None);
    let run = || {
        if let Err(failed) = work() {
            let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
            if first.is_none() || matches!(*first, Some(Failure::Stopped)) {
                *first = Some(failed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let thread = std::thread::Builder::new().spawn_scoped(scope, run);
            if thread.is_err() {
                break;
            }
        }
        run();
    });
    let failure = failure.into_inner();
    match failure.unwrap_or_else(PoisonError::into_inner) {
        Some(failed) => Err(failed),
        None => Ok(()),
    }
}
