//! The atomics and locks of the allocator: those of `crate::sync`, or those of the model checker.

#[cfg(not(all(test, loom)))]
pub(super) use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, fence};
#[cfg(all(test, loom))]
pub(super) use loom::sync::atomic::{AtomicBool, AtomicU64, fence};
#[cfg(all(test, loom))]
pub(super) use loom::sync::{Mutex, MutexGuard};
