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
    run_or_stop(threads, || {}, work)
}

/// Does the same, and calls `stop` when a thread ends without success, so that no other thread waits
/// for it.
///
/// # Errors
///
/// The one that made the others stop.
///
/// # Panics
///
/// If a thread panicked, once all have ended.
pub(crate) fn run_or_stop(
    threads: usize,
    stop: impl Fn() + Sync,
    work: impl Fn() -> Result<()> + Sync,
) -> Result<()> {
    let failure = Mutex::new(None);
    let run = || {
        let mut end = End {
            stop: &stop,
            is_success: false,
        };
        match work() {
            Ok(()) => end.is_success = true,
            Err(failed) => {
                let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                if first.is_none() || matches!(*first, Some(Failure::Stopped)) {
                    *first = Some(failed);
                }
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

/// The end of a thread's work, in a panic too: stops the others unless it is a success.
struct End<'a, F: Fn()> {
    stop: &'a F,
    is_success: bool,
}

impl<F: Fn()> Drop for End<'_, F> {
    fn drop(&mut self) {
        if !self.is_success {
            (self.stop)();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    use super::*;
    use crate::threads::turn::{Stop, Turn};

    /// Only an error made the other threads stop. After a panic, a thread waited without end for the
    /// turn of the one that had panicked, and the program stood still instead of ending.
    #[test]
    fn no_thread_waits_for_one_that_panicked() {
        let (turn, stop, is_first) = (Turn::default(), Stop::default(), AtomicBool::new(true));
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let give_up = || {
                stop.set();
                turn.wake();
            };
            run_or_stop(2, give_up, || {
                assert!(!is_first.swap(false, SeqCst), "the first one panics");
                Ok(turn.wait(1, &stop)?)
            })
        }));
        assert!(ended.is_err());
    }

    #[test]
    fn a_failure_counts_more_than_that_others_stopped() {
        let (turn, stop, is_first) = (Turn::default(), Stop::default(), AtomicBool::new(true));
        let give_up = || {
            stop.set();
            turn.wake();
        };
        let ended = run_or_stop(2, give_up, || {
            if is_first.swap(false, SeqCst) {
                return Err(Failure::new("full"));
            }
            Ok(turn.wait(1, &stop)?)
        });
        assert!(matches!(ended, Err(ref failed) if !matches!(failed, Failure::Stopped)));
    }

    #[test]
    fn nothing_stops_where_all_threads_succeed() {
        let stop = Stop::default();
        run_or_stop(3, || stop.set(), || Ok(())).unwrap();
        assert!(!stop.is_set());
    }
}
