//! The account of what files have in the page cache: how much, in which order it came, and how much
//! may be there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError, Weak};

use crate::budget;
use crate::io::cache::trail::{CHUNK_BYTES, Trail};
use crate::sys;

/// What may be in the cache of what was written, as a part of the memory that is available. A larger part
/// costs more than it saves where free memory has to come from the host first: there, 20 GiB were
/// written at 1.3 GiB/s with a quarter.
const SHARE: u64 = 8;

/// What may be there together with what was read, in shares: half of the memory that is available. What
/// was read is clean, so the kernel takes it at once where it needs the memory.
const READ_SHARES: u64 = 4;

/// The least that may be in the cache, however short memory is: enough to write while the device
/// writes.
const SHARE_BYTES_MIN: u64 = 4 * CHUNK_BYTES;

/// The most chunks that one write has written back or dropped.
const STEPS_MAX: usize = 8;

/// Of the share, so much is written or read before the share is asked for again.
const REFRESH: u64 = 16;

/// How many times a thread tries to get the queue for a new chunk. A thread that has it does a few
/// steps in memory; in a forked child it may be held for ever.
const ENTER_TRIES: usize = 1000;

/// What files have in the page cache.
#[derive(Debug)]
pub(crate) struct Account {
    /// Bytes that were written and not dropped, as far as they count.
    cached: AtomicU64,
    /// Bytes of them whose write-back was not started.
    dirty: AtomicU64,
    /// How many may be there.
    share: AtomicU64,
    /// Bytes that were read in order and stay.
    read: AtomicU64,
    /// How the share is found out; `None` if it is fixed.
    adaptive: Option<Adaptive>,
    /// Bytes that were dropped since the start.
    dropped: AtomicU64,
    queue: Mutex<Queue>,
    /// The process whose files these are.
    owner: AtomicU64,
}

/// How a share follows the memory that is available.
#[derive(Debug)]
struct Adaptive {
    /// Bytes that can be written or read until it is found out again.
    fresh: AtomicU64,
    /// Returns the memory that is available, if the system says so.
    available: fn() -> Option<u64>,
}

impl Adaptive {
    fn spend(&self, bytes: u64) {
        // Not by a load and a store: a store behind that of `Account::refresh` would put off the next
        // look for ever.
        lessen(&self.fresh, bytes);
    }
}

/// Subtracts from a number that does not pass zero: in a forked child, threads may count while one of
/// them begins anew.
fn lessen(number: &AtomicU64, bytes: u64) {
    let less = |number: u64| Some(number.saturating_sub(bytes));
    let _before = number.fetch_update(Relaxed, Relaxed, less);
}

/// The chunks that count, in the order in which they came, and some that do no more.
#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Entry>,
    /// The write-back of so many entries at the front was started.
    started: usize,
    /// How long the queue gets before those are removed that count no more.
    purge_at: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    trail: Weak<Trail>,
    number: u64,
}

impl Account {
    /// Makes an account whose share is fixed.
    pub(crate) fn with_share(bytes: u64) -> Self {
        Self {
            cached: AtomicU64::new(0),
            dirty: AtomicU64::new(0),
            share: AtomicU64::new(bytes),
            read: AtomicU64::new(0),
            adaptive: None,
            dropped: AtomicU64::new(0),
            queue: Mutex::default(),
            owner: AtomicU64::new(sys::process()),
        }
    }

    /// Makes an account whose share depends on the memory that is available.
    pub(super) fn adaptive(available: fn() -> Option<u64>) -> Self {
        let fresh = AtomicU64::new(0);
        Self {
            adaptive: Some(Adaptive { fresh, available }),
            ..Self::with_share(u64::MAX)
        }
    }

    /// Returns the account of all files of this process that have no other.
    pub(crate) fn of_process() -> Arc<Self> {
        static ACCOUNT: OnceLock<Arc<Account>> = OnceLock::new();
        #[cfg(test)]
        if let Some(account) = tests::ACCOUNT.with_borrow(Clone::clone) {
            return account;
        }
        let new = || Arc::new(Self::adaptive(budget::available_bytes));
        Arc::clone(ACCOUNT.get_or_init(new))
    }

    /// Returns how many bytes count as cached.
    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cached.load(Relaxed)
    }

    /// Returns how many bytes may be cached, as found out last, if that is known.
    pub(crate) fn known_share_bytes(&self) -> Option<u64> {
        Some(self.share_bytes()).filter(|share| *share < u64::MAX)
    }

    /// Returns how many bytes may be cached.
    fn share_bytes(&self) -> u64 {
        self.share.load(Relaxed)
    }

    /// Returns how many bytes were dropped since the start.
    pub(crate) fn dropped_bytes(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Returns how long the queue is.
    #[cfg(test)]
    #[cfg(not(any(loom, shuttle)))]
    pub(super) fn entries(&self) -> usize {
        self.try_lock().unwrap().entries.len()
    }

    /// Counts bytes of a chunk.
    pub(super) fn added(&self, bytes: u64, dirty: u64) {
        self.check_process();
        self.cached.fetch_add(bytes, Relaxed);
        self.dirty.fetch_add(dirty, Relaxed);
        if let Some(adaptive) = &self.adaptive {
            adaptive.spend(bytes);
        }
    }

    /// Counts bytes that were read, if there is room for them.
    pub(super) fn add_read(&self, bytes: u64) -> bool {
        self.check_process();
        self.refresh();
        let most = self.share_bytes().saturating_mul(READ_SHARES);
        let sum = self.cached_bytes().saturating_add(self.read.load(Relaxed));
        let has_room = sum.saturating_add(bytes) <= most;
        if has_room {
            self.read.fetch_add(bytes, Relaxed);
        }
        if let Some(adaptive) = &self.adaptive {
            adaptive.spend(bytes);
        }
        has_room
    }

    /// Lets bytes that were read count no more.
    pub(super) fn remove_read(&self, bytes: u64) {
        lessen(&self.read, bytes);
    }

    /// Lets bytes of a chunk count no more.
    pub(super) fn removed(&self, bytes: u64, dirty: u64) {
        lessen(&self.cached, bytes);
        lessen(&self.dirty, dirty);
    }

    /// Puts a new chunk at the end of the queue, and says whether it could.
    pub(super) fn enter(&self, trail: &Arc<Trail>, number: u64) -> bool {
        let mut tries = (0..ENTER_TRIES).map(|_| self.try_lock());
        let Some(mut queue) = tries.find_map(|queue| {
            if queue.is_none() {
                std::thread::yield_now();
            }
            queue
        }) else {
            return false;
        };
        if queue.entries.len() >= queue.purge_at {
            queue.purge();
        }
        if queue.entries.try_reserve(1).is_err() {
            return false;
        }
        let trail = Arc::downgrade(trail);
        queue.entries.push_back(Entry { trail, number });
        true
    }

    /// Starts write-back and drops chunks, the oldest first, until no more is cached than may be.
    ///
    /// Half of the share may be dirty: what is written and deleted soon needs no device, and the
    /// device gets the rest early enough that nothing has to wait when its turn comes. Does a few steps
    /// only: a share that has become much smaller is no reason to keep one write waiting for all.
    pub(super) fn settle(&self) {
        self.check_process();
        self.refresh();
        let share = self.share_bytes();
        for _ in 0..STEPS_MAX {
            let is_over = self.cached_bytes() > share;
            if !is_over && self.dirty.load(Relaxed) <= share / 2 {
                return;
            }
            // Another thread is at it, or, in a forked child, never comes back.
            let Some(mut queue) = self.try_lock() else {
                return;
            };
            if is_over {
                let Some(entry) = queue.entries.pop_front() else {
                    return;
                };
                queue.started = queue.started.saturating_sub(1);
                drop(queue);
                if let Some(trail) = entry.trail.upgrade() {
                    let bytes = trail.drop_chunk(entry.number);
                    self.dropped.fetch_add(bytes, Relaxed);
                }
            } else {
                let Some(entry) = queue.entries.get(queue.started).cloned() else {
                    return;
                };
                queue.started = queue.started.saturating_add(1);
                drop(queue);
                if let Some(trail) = entry.trail.upgrade() {
                    trail.start(entry.number);
                }
            }
        }
    }

    /// Begins anew in a forked child, whose parent counts its own files.
    fn check_process(&self) {
        let process = sys::process();
        let is_new = self.owner.load(Relaxed) != process;
        if is_new && self.owner.swap(process, Relaxed) != process {
            for number in [&self.cached, &self.dirty, &self.read, &self.dropped] {
                number.store(0, Relaxed);
            }
            // The parent may have been finding it out.
            if let Some(Adaptive { fresh, .. }) = &self.adaptive {
                fresh.store(0, Relaxed);
            }
        }
    }

    /// Finds out what may be cached, unless that is known well enough.
    fn refresh(&self) {
        let Some(Adaptive { fresh, available }) = &self.adaptive else {
            return;
        };
        if fresh.load(Relaxed) > 0 {
            return;
        }
        // Threads that come meanwhile go on with what is known.
        fresh.store(u64::MAX, Relaxed);
        let share = match available() {
            Some(bytes) => (bytes / SHARE).max(SHARE_BYTES_MIN),
            None => u64::MAX,
        };
        self.share.store(share, Relaxed);
        fresh.store((share / REFRESH).max(CHUNK_BYTES), Relaxed);
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Queue>> {
        match self.queue.try_lock() {
            Ok(queue) => Some(queue),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Queue {
    /// Removes what counts no more: chunks that were forgotten, and those of files that are gone.
    fn purge(&mut self) {
        let (mut index, mut started) = (0_usize, 0_usize);
        let first = self.started;
        self.entries.retain(|entry| {
            let trail = entry.trail.upgrade();
            let counts = trail.is_some_and(|trail| trail.has(entry.number));
            if counts && index < first {
                started = started.saturating_add(1);
            }
            index = index.saturating_add(1);
            counts
        });
        self.started = started;
        self.purge_at = self.entries.len().saturating_mul(2).max(PURGE_MIN);
    }
}

/// A queue of so many entries is never looked through.
const PURGE_MIN: usize = 64;

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// The account of the files that this thread makes, if not that of the process.
        pub(crate) static ACCOUNT: RefCell<Option<Arc<Account>>> = const { RefCell::new(None) };
    }
}
