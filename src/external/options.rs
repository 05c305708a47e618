//! What an operation may use, and how far it is.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use crate::budget::MemoryBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::io::dir::ScratchDir;

/// Bytes of the budget for which there is a thread more.
const BYTES_PER_THREAD: usize = 8 << 20;

/// The most threads unless more are asked for, and the most in any case: each has a stack, and
/// counters of 4 KiB.
const THREADS_MAX: usize = 32;
const THREADS_ASKED_MAX: usize = 256;

/// What an operation of this module may use: a budget, and if you like threads, a directory, and a
/// [`Progress`]. A `&MemoryBudget` will do wherever one is asked for.
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
    /// Sets how many threads work at a time, the caller's among them. Zero stands for the usual:
    /// twice as many as the machine has cores, since some wait for the device, but one for each
    /// 8 MiB of the budget at most. More than 256 count as 256.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = NonZeroUsize::new(threads);
        self
    }

    /// Sets the directory of scratch files. Without it, it is that of
    /// [`ScratchDir::from_env`]; what is done to a vector uses the vector's.
    #[must_use]
    pub fn dir(mut self, dir: &ScratchDir) -> Self {
        self.dir = Some(dir.clone());
        self
    }

    /// Sets the handle that reports how far the operation is, and can stop it.
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

/// How far an operation is, and a way to stop it: a handle, of which clones are the same.
///
/// Bytes are those that are read, written or sorted, each as often as that is done. Where the total
/// cannot be known before, it is a guess at first.
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
    /// Makes a handle for one operation.
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
    /// errors. Cannot be taken back.
    pub fn cancel(&self) {
        self.inner.is_cancelled.store(true, Relaxed);
    }

    /// Sets what there is to do.
    pub(super) fn begin(&self, total: u64) {
        self.inner.done.store(0, Relaxed);
        self.inner.total.store(total, Relaxed);
    }

    /// Notes that as much is done.
    pub(super) fn add(&self, bytes: usize) -> Result<()> {
        let done = self.inner.done.fetch_add(bytes as u64, Relaxed);
        let done = done.saturating_add(bytes as u64);
        self.inner.total.fetch_max(done, Relaxed);
        if self.inner.is_cancelled.load(Relaxed) {
            let reason = "the caller asked to stop";
            return Err(Error::refused(ErrorKind::Cancelled, "go on", reason));
        }
        Ok(())
    }

    /// Notes that everything is done.
    pub(super) fn end(&self) {
        let total = self.inner.total.load(Relaxed);
        self.inner.done.store(total, Relaxed);
    }
}
