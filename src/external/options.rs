//! What an operation may use, and its progress.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use crate::budget::MemoryBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::io::dir::ScratchDir;

/// There is one thread for this many bytes of the budget.
const BYTES_PER_THREAD: usize = 8 << 20;

/// The default limit of threads, and the limit in any case: each has a stack, and counters of 4
/// KiB.
const THREADS_MAX: usize = 32;
const THREADS_ASKED_MAX: usize = 256;

/// What an operation of this module may use: a budget, and optionally threads, a directory, and a
/// [`Progress`]. Every function that takes options also accepts a `&MemoryBudget`.
///
/// # Examples
///
/// ```
/// use outcore::external::{Options, Progress};
/// use outcore::{DiskVec, MemoryBudget};
///
/// let progress = Progress::new();
/// let mut numbers = DiskVec::new();
/// numbers.try_extend((0..1_000_u64).rev())?;
/// let budget = MemoryBudget::new(8 << 20);
/// numbers.sort_external(Options::from(&budget).threads(1).progress(&progress))?;
/// assert_eq!(progress.done_bytes(), progress.total_bytes());
/// # Ok::<(), outcore::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    budget: MemoryBudget,
    threads: Option<NonZeroUsize>,
    dir: Option<ScratchDir>,
    progress: Progress,
}

impl From<&MemoryBudget> for Options {
    fn from(budget: &MemoryBudget) -> Self {
        Self {
            budget: budget.clone(),
            threads: None,
            dir: None,
            progress: Progress::new(),
        }
    }
}

impl From<&Self> for Options {
    fn from(options: &Self) -> Self {
        options.clone()
    }
}

impl Options {
    /// Sets how many threads work at a time, including the caller's. Zero is the default: twice as
    /// many as the machine has cores, since some wait for the device, but at most one for each 8
    /// MiB of the budget. More than 256 count as 256.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = NonZeroUsize::new(threads);
        self
    }

    /// Sets the directory of scratch files. The default is that of [`ScratchDir::from_env`];
    /// operations on a vector use the directory of the vector.
    #[must_use]
    pub fn dir(mut self, dir: &ScratchDir) -> Self {
        self.dir = Some(dir.clone());
        self
    }

    /// Sets the handle that reports the progress of the operation, and can stop it.
    #[must_use]
    pub fn progress(mut self, progress: &Progress) -> Self {
        self.progress = progress.clone();
        self
    }

    pub(super) fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    pub(super) fn scratch_dir(&self) -> Option<&ScratchDir> {
        self.dir.as_ref()
    }

    pub(super) fn progress_handle(&self) -> &Progress {
        &self.progress
    }

    /// Returns how many threads can work for the caller's, of which each keeps a core busy.
    pub(super) fn helpers(&self) -> usize {
        let threads = self.threads_for(self.budget.limit()).saturating_sub(1);
        if self.threads.is_some() {
            return threads;
        }
        match thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            1 => 0,
            cores => threads.min(cores),
        }
    }

    /// Returns how many threads can share `bytes` of memory.
    pub(super) fn threads_for(&self, bytes: usize) -> usize {
        let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let usual = || {
            let by_memory = bytes.div_euclid(BYTES_PER_THREAD);
            cores()
                .saturating_mul(2)
                .min(by_memory)
                .clamp(1, THREADS_MAX)
        };
        let asked = |threads: NonZeroUsize| threads.get().min(THREADS_ASKED_MAX);
        self.threads.map_or_else(usual, asked)
    }
}

/// The progress of an operation, and a way to stop it: a handle, whose clones are equivalent.
///
/// Bytes count each time that they are read, written or sorted. If the total is not known in
/// advance, it is an estimate at first.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    done: AtomicU64,
    total: AtomicU64,
    is_cancelled: AtomicBool,
}

impl Progress {
    /// Creates a handle for one operation.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns how many bytes are done.
    pub fn done_bytes(&self) -> u64 {
        self.inner.done.load(Relaxed)
    }

    /// Returns how many bytes there are to do in all; zero before the operation has begun.
    pub fn total_bytes(&self) -> u64 {
        self.inner.total.load(Relaxed)
    }

    /// Asks the operation to stop. It ends soon, with an error of the kind
    /// [`Cancelled`](ErrorKind::Cancelled), in the state that its documentation promises after
    /// errors. This cannot be undone.
    pub fn cancel(&self) {
        self.inner.is_cancelled.store(true, Relaxed);
    }

    /// Sets the total.
    pub(super) fn begin(&self, total: u64) {
        self.inner.done.store(0, Relaxed);
        self.inner.total.store(total, Relaxed);
    }

    /// Records that `bytes` more are done.
    pub(super) fn add(&self, bytes: usize) -> Result<()> {
        let done = self.inner.done.fetch_add(bytes as u64, Relaxed);
        let done = done.saturating_add(bytes as u64);
        self.inner.total.fetch_max(done, Relaxed);
        self.check()
    }

    /// Returns an error if the caller has asked to stop.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        if self.inner.is_cancelled.load(Relaxed) {
            let reason = "the caller asked to stop";
            return Err(Error::refused(ErrorKind::Cancelled, "go on", reason));
        }
        Ok(())
    }

    /// Records that everything is done.
    pub(super) fn end(&self) {
        let total = self.inner.total.load(Relaxed);
        self.inner.done.store(total, Relaxed);
    }
}
