//! Counters of everything that the crate holds, for monitoring.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::io::cache::account::Account;

static OPEN_FILES: AtomicU64 = AtomicU64::new(0);
static DISK_BYTES: AtomicU64 = AtomicU64::new(0);
static MAPPED_BYTES: AtomicU64 = AtomicU64::new(0);
static GROWTHS: AtomicU64 = AtomicU64::new(0);
static FAILURES: AtomicU64 = AtomicU64::new(0);
static RING_REFUSALS: AtomicU64 = AtomicU64::new(0);

/// What all objects of this crate in this process hold, and counts of their events.
///
/// Made by [`stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Scratch files that are open now.
    pub open_files: u64,
    /// Bytes that are allocated on disk now.
    pub disk_bytes: u64,
    /// Bytes of addresses that are reserved now; most of them use no memory.
    pub mapped_bytes: u64,
    /// How many times a file was made longer, since the start.
    pub growths: u64,
    /// How many times a file could not be made, lengthened, read or written, since the start.
    pub failures: u64,
    /// How many times the system refused an `io_uring`, so that threads read a batch instead, since
    /// the start.
    pub ring_refusals: u64,
    /// Bytes that files of [`CachePolicy::Auto`](crate::CachePolicy::Auto) have in the page cache now,
    /// as far as outcore has put them there: the kernel may have dropped some.
    pub cached_bytes: u64,
    /// The most that `cached_bytes` may be before outcore drops what was written first, as found out
    /// last; 0 before the first write, and where the system does not say how much memory there is, so
    /// that nothing is dropped.
    pub cache_share_bytes: u64,
    /// Bytes that outcore has written back and dropped, to stay within that share, since the start.
    pub cache_dropped_bytes: u64,
}

/// Returns what all objects of this crate in this process hold, and counts of their events.
///
/// # Examples
///
/// ```
/// let before = outcore::stats();
/// let arena = outcore::Arena::new()?;
/// let mut writer = arena.writer()?;
/// writer.push("a few bytes")?;
/// writer.flush()?;
/// assert!(outcore::stats().disk_bytes > 0);
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Cost
///
/// Nine atomic loads. While other threads work, the numbers may be from different moments.
pub fn stats() -> Stats {
    let account = Account::of_process();
    Stats {
        open_files: OPEN_FILES.load(Relaxed),
        disk_bytes: DISK_BYTES.load(Relaxed),
        mapped_bytes: MAPPED_BYTES.load(Relaxed),
        growths: GROWTHS.load(Relaxed),
        failures: FAILURES.load(Relaxed),
        ring_refusals: RING_REFUSALS.load(Relaxed),
        cached_bytes: account.cached_bytes(),
        cache_share_bytes: account.known_share_bytes().unwrap_or(0),
        cache_dropped_bytes: account.dropped_bytes(),
    }
}

pub(crate) fn file_opened() {
    OPEN_FILES.fetch_add(1, Relaxed);
}

pub(crate) fn file_closed() {
    OPEN_FILES.fetch_sub(1, Relaxed);
}

pub(crate) fn claimed(bytes: u64) {
    DISK_BYTES.fetch_add(bytes, Relaxed);
    GROWTHS.fetch_add(1, Relaxed);
}

pub(crate) fn returned(bytes: u64) {
    DISK_BYTES.fetch_sub(bytes, Relaxed);
}

pub(crate) fn mapped(bytes: usize) {
    MAPPED_BYTES.fetch_add(bytes as u64, Relaxed);
}

pub(crate) fn unmapped(bytes: usize) {
    MAPPED_BYTES.fetch_sub(bytes as u64, Relaxed);
}

pub(crate) fn failed() {
    FAILURES.fetch_add(1, Relaxed);
}

pub(crate) fn ring_refused() {
    RING_REFUSALS.fetch_add(1, Relaxed);
}
