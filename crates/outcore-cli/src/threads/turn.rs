//! Turns: chunks of the input pass a place in the order of their numbers, whichever
//! thread has them.

use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, SeqCst},
};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::failure::Failure;

/// How often a thread looks before it goes to sleep. A turn before an index takes some
/// microseconds.
const LOOKS: u32 = 2_000;

/// Something went wrong in another thread, which reports it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

impl From<Stopped> for Failure {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// Set when a thread gives up, so that the others do not wait for it.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    pub(crate) fn set(&self) {
        self.0.store(true, SeqCst);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Acquire)
    }
}

/// A place that is passed one after the other.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    next: AtomicU64,
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    called: Condvar,
}

impl Turn {
    /// Waits until all before `number` have passed.
    ///
    /// # Errors
    ///
    /// [`Stopped`]: that will not happen.
    pub(crate) fn wait(&self, number: u64, stop: &Stop) -> Result<(), Stopped> {
        for _ in 0..LOOKS {
            if self.next.load(Acquire) == number {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        let mut locked = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, SeqCst);
        while self.next.load(SeqCst) != number && !stop.is_set() {
            let woken = self.called.wait(locked);
            locked = woken.unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, SeqCst);
        if self.next.load(SeqCst) == number {
            Ok(())
        } else {
            Err(Stopped)
        }
    }

    /// Lets the next one come.
    pub(crate) fn pass(&self) {
        self.next.fetch_add(1, SeqCst);
        // A thread that goes to sleep after this has seen the new number.
        if self.sleepers.load(SeqCst) > 0 {
            self.wake();
        }
    }

    /// Wakes all that sleep, to see that the work has stopped.
    pub(crate) fn wake(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.called.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_pass_in_order_in_whichever_threads() {
        let turn = Turn::default();
        let stop = Stop::default();
        let passed = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (turn, stop, passed) = (&turn, &stop, &passed);
                scope.spawn(move || {
                    for number in (thread..300).step_by(3) {
                        turn.wait(number, stop).unwrap();
                        passed.lock().unwrap().push(number);
                        turn.pass();
                    }
                });
            }
        });
        assert!(passed.into_inner().unwrap().into_iter().eq(0..300));
    }

    #[test]
    fn a_wait_for_what_will_not_come_ends() {
        let turn = Turn::default();
        let stop = Stop::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turn.wait(1, &stop));
            stop.set();
            turn.wake();
            assert_eq!(waiting.join().unwrap(), Err(Stopped));
        });
    }
}
