//! Atomics and locks for state that threads share: those of std, or, with `--cfg shuttle`, those of
//! a scheduler that chooses at each of them which thread runs next (`testing::schedules`).

#[cfg(all(test, shuttle))]
pub(crate) mod torn;

#[cfg(all(test, shuttle))]
pub(crate) use self::torn::{AtomicU8, AtomicU64};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicUsize, fence};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::thread_local;

#[cfg(not(any(all(test, loom), all(test, shuttle))))]
pub(crate) use std::sync::atomic::{AtomicBool, fence};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::thread_local;
