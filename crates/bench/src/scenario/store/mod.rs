//! Stores: whatever takes items one by one and gives them back by a key. One trait for all
//! of them, so that a peer is written down once and takes part in all workloads of this
//! module: appending by the size of items, byte strings by key, data that passes the memory
//! limit, a full disk.

mod items;
mod own;
mod run;
mod small_disk;
mod workloads;

use std::ops::Range;
use std::path::Path;
use std::thread;

pub use self::items::Items;
pub use self::run::{Job, drop_folder};
pub use self::workloads::{DISK_FULL, OUTCORE, workloads};

use crate::cache;
use crate::failure::{Failure, Result};
use crate::measure::Sample;

/// A store that is filled once and then read.
pub trait Store: Sized {
    /// What finds an item again.
    type Key: Copy + Send + Default;

    /// Makes an empty store in `dir`.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn create(dir: &Path) -> Result<Self>;

    /// Puts all items of all parts, each part in a thread of its own: [`on_threads`]. Keys go
    /// to [`Part::put`] as soon as an item is in.
    ///
    /// # Errors
    ///
    /// The first one.
    fn fill(&mut self, items: &Items, parts: &mut [Part<Self::Key>]) -> Result<()>;

    /// Returns the key of an item, where that needs no memory.
    fn key_of(_index: u64) -> Option<Self::Key> {
        None
    }

    /// Hands everything over to the kernel and gets ready for reads; nobody syncs.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn seal(self) -> Result<Self> {
        Ok(self)
    }

    /// The same after a failure to fill: whatever a user could still get at.
    ///
    /// # Errors
    ///
    /// Nothing can be read any more.
    fn salvage(self) -> Result<Self> {
        self.seal()
    }

    /// Appends the bytes of an item to an empty buffer.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn get(&self, key: Self::Key, buffer: &mut Vec<u8>) -> Result<()>;

    /// Whether [`see`](Self::see) works.
    const SEES: bool = false;

    /// Shows the bytes of an item where they are.
    ///
    /// # Errors
    ///
    /// Those of the store; a skip where it always copies.
    fn see(&self, _key: Self::Key, _see: &mut dyn FnMut(&[u8])) -> Result<()> {
        Err(Failure::skip("always copies"))
    }

    /// Takes everything out of memory, and fails if that does not work.
    ///
    /// # Errors
    ///
    /// Pages are still cached.
    fn make_cold(self, dir: &Path) -> Result<Self> {
        cache::expect_cold(cache::drop_open_files(dir)?)?;
        Ok(self)
    }
}

/// The items of one thread, and the keys that are kept.
#[derive(Debug)]
pub struct Part<K> {
    /// The indices of its items.
    pub range: Range<u64>,
    /// Which part it is.
    pub number: u16,
    keys: Vec<K>,
    keep: u64,
    next: u64,
    stored: u64,
}

impl<K: Copy> Part<K> {
    /// Notes that an item is in, and keeps its key if it is one of those that are read back.
    #[inline]
    pub fn put(&mut self, index: u64, key: K) {
        self.stored += 1;
        if index == self.next {
            self.keys.push(key);
            self.next = index.saturating_add(self.keep);
        }
    }
}

/// Runs `work` on every part, each in a thread of its own; a single part in this thread.
///
/// # Errors
///
/// The first one of `work`.
pub fn on_threads<K: Send>(
    parts: &mut [Part<K>],
    work: impl Fn(&mut Part<K>) -> Result<()> + Sync,
) -> Result<()> {
    if let [only] = parts {
        return work(only);
    }
    let work = &work;
    thread::scope(|scope| {
        let start = |part| scope.spawn(move || work(part));
        let threads: Vec<_> = parts.iter_mut().map(start).collect();
        threads.into_iter().try_for_each(|thread| {
            let joined = thread.join();
            joined.unwrap_or_else(|_panic| Err(Failure::new("a thread panicked")))
        })
    })
}

/// A store as a row of tables.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name in tables and records.
    pub name: &'static str,
    /// What is not equal to the other candidates; empty if nothing.
    pub note: &'static str,
    /// How many threads can fill it at once.
    pub threads_max: u16,
    /// Whether it is a vector of numbers; otherwise it takes byte strings.
    pub is_vector: bool,
    /// Whether it keeps everything in memory.
    pub is_memory: bool,
    /// Whether it takes part only where memory is short.
    pub is_tuned: bool,
    run: fn(&Job) -> Result<Sample>,
}

impl Row {
    /// A store of byte strings.
    pub fn bytes<S: Store>(name: &'static str, note: &'static str) -> Self {
        Self {
            name,
            note,
            threads_max: 1,
            is_vector: false,
            is_memory: false,
            is_tuned: false,
            run: Job::run::<S>,
        }
    }

    /// The same for a store in memory, in a memory group that may swap: only where memory is short.
    pub fn swapping<S: Store>(name: &'static str, is_vector: bool) -> Self {
        Self {
            is_vector,
            is_memory: true,
            is_tuned: true,
            run: Job::run_swapping::<S>,
            ..Self::bytes::<S>(name, "in memory, and in swap when the group is full")
        }
    }

    /// A vector of numbers; its key is the index.
    pub fn numbers<S: Store>(name: &'static str, note: &'static str) -> Self {
        Self {
            is_vector: true,
            ..Self::bytes::<S>(name, note)
        }
    }

    /// Does one run.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn run(&self, job: &Job) -> Result<Sample> {
        (self.run)(job)
    }

    /// Can be filled by many threads at once.
    #[must_use]
    pub const fn threads(self) -> Self {
        Self {
            threads_max: u16::MAX,
            ..self
        }
    }

    /// Takes part only where memory is short: a row with other settings.
    #[must_use]
    pub const fn tuned(self) -> Self {
        Self {
            is_tuned: true,
            ..self
        }
    }

    /// Keeps everything in memory.
    #[must_use]
    pub const fn in_memory(self) -> Self {
        Self {
            is_memory: true,
            ..self
        }
    }
}
