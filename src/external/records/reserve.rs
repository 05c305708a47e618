//! The memory that is reserved for the merge at the end. Until then it is lent, to one writer at a
//! time: to join records where no other memory of the budget is left.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::budget::Lease;
use crate::error::{Error, ErrorKind, Result};
use crate::sys;

/// The reserve of a sorter.
#[derive(Debug)]
pub(super) struct Reserve {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None` while it is lent, and after it is freed.
    lease: Option<Lease>,
    is_lent: bool,
    /// The process that made it. In a copy of it there is no thread that gives the reserve back.
    process: u64,
    /// Whether the merge at the end needs it.
    is_closed: bool,
}

impl Reserve {
    pub(super) fn new(lease: Lease) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                lease: Some(lease),
                is_lent: false,
                process: sys::process(),
                is_closed: false,
            }),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the state as it is when no writer has the reserve, or when `until` holds.
    fn wait(&self, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waits =
            |state: &mut State| state.is_lent && state.process == sys::process() && !until(state);
        let state = self.changed.wait_while(self.lock(), waits);
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends the reserve, as soon as no other writer has it.
    pub(super) fn borrow(self: &Arc<Self>) -> Result<Loan> {
        let mut state = self.wait(|state| state.is_closed);
        let lease = state.lease.take().filter(|_| !state.is_closed);
        let Some(lease) = lease else {
            let reason = "the sorter has sorted its records already";
            return Err(Error::refused(ErrorKind::Cancelled, "add a record", reason));
        };
        state.is_lent = true;
        Ok(Loan {
            reserve: Arc::clone(self),
            lease: Some(lease),
        })
    }

    /// Gives the reserve back to the budget, as soon as no writer has it.
    pub(super) fn free(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
        self.wait(|_state| false).lease = None;
    }
}

/// A reserve that a writer has until this is dropped.
#[derive(Debug)]
pub(super) struct Loan {
    reserve: Arc<Reserve>,
    lease: Option<Lease>,
}

impl Loan {
    pub(super) fn bytes(&self) -> usize {
        self.lease.as_ref().map_or(0, Lease::bytes)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut state = self.reserve.lock();
        (state.lease, state.is_lent) = (self.lease.take(), false);
        drop(state);
        self.reserve.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::budget::MemoryBudget;

    #[test]
    fn one_at_a_time_has_the_reserve_and_none_has_it_once_it_is_freed() {
        let budget = MemoryBudget::new(100);
        let reserve = Reserve::new(budget.take(60).unwrap());
        let holders = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..if cfg!(miri) { 10 } else { 1000 } {
                        let loan = reserve.borrow().unwrap();
                        assert_eq!(holders.fetch_add(1, Relaxed), 0);
                        assert_eq!((loan.bytes(), budget.used_bytes()), (60, 60));
                        holders.fetch_sub(1, Relaxed);
                    }
                });
            }
        });
        // What is lent is freed when it comes back.
        let loan = reserve.borrow().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| reserve.borrow().map(drop));
            scope.spawn(|| reserve.free());
            let refused = waiting.join().unwrap().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Cancelled);
            assert_eq!(budget.used_bytes(), 60);
            drop(loan);
        });
        assert_eq!(budget.used_bytes(), 0);
        assert!(reserve.borrow().is_err());
    }
}
