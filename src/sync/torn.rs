//! Atomics of the scheduler whose additions and exchanges can be split into two halves, between
//! which other threads run: the canary of `testing::schedules`.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::atomic::Ordering::{self, Relaxed};

use shuttle::sync::atomic;

thread_local! {
    /// Whether atomics are split. All threads of a model run on one thread of the system.
    static TORN: Cell<bool> = const { Cell::new(false) };
}

/// Sets whether the atomics of this thread's models are split from now on.
pub(crate) fn tear(torn: bool) {
    TORN.set(torn);
}

/// An atomic that can be split. Only additions that publish nothing (`Relaxed`) are: splitting one
/// that publishes could free memory that others use, which a canary must not do.
#[derive(Debug)]
pub(crate) struct AtomicU64(atomic::AtomicU64);

impl AtomicU64 {
    pub(crate) const fn new(value: u64) -> Self {
        Self(atomic::AtomicU64::new(value))
    }

    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        if TORN.get() && order == Relaxed {
            let before = self.0.load(order);
            self.0.store(before.wrapping_add(value), order);
            return before;
        }
        self.0.fetch_add(value, order)
    }
}

impl Deref for AtomicU64 {
    type Target = atomic::AtomicU64;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// The same, for exchanges.
#[derive(Debug)]
pub(crate) struct AtomicU8(atomic::AtomicU8);

impl AtomicU8 {
    pub(crate) const fn new(value: u8) -> Self {
        Self(atomic::AtomicU8::new(value))
    }

    pub(crate) fn compare_exchange(
        &self,
        current: u8,
        new: u8,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u8, u8> {
        if TORN.get() {
            let found = self.0.load(failure);
            if found != current {
                return Err(found);
            }
            self.0.store(new, Ordering::SeqCst);
            return Ok(found);
        }
        self.0.compare_exchange(current, new, success, failure)
    }
}

impl Deref for AtomicU8 {
    type Target = atomic::AtomicU8;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
