//! Stores: whatever takes items one by one and gives them back by a key. One trait for all of them,
//! so that a peer is written down once and takes part in all workloads of this module: pushing for
//! gigabytes, appending by the size of items, byte strings by key, data that passes the memory
//! limit, a full disk.

mod items;
mod job;
mod own;
mod raw_files;
mod small_disk;
mod workloads;

use std::ops::Range;
use std::path::Path;

pub use self::items::Items;
pub use self::job::Job;
pub(super) use self::workloads::{push_workloads, workloads};

use crate::prelude::*;
use crate::scenario::vec_push::number;

/// Takes part where gigabytes are pushed; also in a memory group; also with more data than memory.
pub const PUSH: u16 = 1;
pub const PUSH_LIMITED: u16 = 2;
pub const PUSH_PAST: u16 = 4;
/// Takes part everywhere else.
pub const STORE: u16 = 8;
/// Can be filled by many threads at once.
pub const THREADS: u16 = 16;
/// Is a vector of numbers, whose key is the index; otherwise it takes byte strings.
pub const NUMBERS: u16 = 32;
/// Keeps everything in memory.
pub const MEMORY: u16 = 64;
/// Takes part only where memory is short: a row with other settings.
pub const TUNED: u16 = 128;
/// Takes part where everything is on the device in the end: [`Store::seal`] syncs.
pub const SEALED: u16 = 256;

/// A store that is filled once and then read.
pub trait Store: Sized {
    /// What finds an item again.
    type Key: Copy + Send + Default;

    /// Whether the items are numbers of 8 bytes.
    const NUMBERS: bool = false;

    /// Whether the store is made before the clock starts.
    const IS_READY: bool = false;

    /// Makes an empty store.
    fn create(job: &Job) -> Result<Self>;

    /// Puts an item, and returns its key.
    fn put(&mut self, _index: u64, _item: &[u8]) -> Result<Self::Key> {
        bail!("a store that is filled as a whole")
    }

    /// Puts all items of all parts, each part in a thread of its own where the row says so:
    /// [`on_threads`]. Keys go to [`Part::put`] as soon as an item is in.
    fn fill(&mut self, items: &Items, parts: &mut [Part<Self::Key>]) -> Result<()> {
        for part in parts {
            for index in part.range.clone() {
                let key = if Self::NUMBERS {
                    self.put(index, &number(index).to_le_bytes())?
                } else {
                    self.put(index, items.get(index))?
                };
                part.put(index, key);
            }
        }
        Ok(())
    }

    /// Returns the key of an item, where that needs no memory.
    fn key_of(_index: u64) -> Option<Self::Key> {
        None
    }

    /// Hands everything over to the kernel and gets ready for reads; with a sync only in rows of
    /// [`SEALED`].
    fn seal(self) -> Result<Self> {
        Ok(self)
    }

    /// The same after a failure to fill: whatever a user could still read.
    fn salvage(self) -> Result<Self> {
        self.seal()
    }

    /// Appends the bytes of an item to an empty buffer.
    fn get(&self, key: Self::Key, buffer: &mut Vec<u8>) -> Result<()>;

    /// Whether [`see`](Self::see) works.
    const SEES: bool = false;

    /// Shows the bytes of an item where they are.
    fn see(&self, _key: Self::Key, _see: &mut dyn FnMut(&[u8])) -> Result<()> {
        bail!("always copies")
    }

    /// Takes everything out of memory, and fails if that does not work.
    fn make_cold(self, dir: &Path) -> Result<Self> {
        cache::expect_cold(cache::drop_open_files(dir)?)?;
        Ok(self)
    }
}

/// Makes a row of a store.
pub fn row<S: Store>(name: &'static str, note: &'static str, tags: u16) -> Row<Job> {
    let numbers = if S::NUMBERS { NUMBERS } else { 0 };
    Row::new(name, note, Job::run::<S>).with(tags | numbers)
}

/// The items of one thread, and the keys that are kept.
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
pub fn on_threads<K: Send>(
    parts: &mut [Part<K>],
    work: impl Fn(&mut Part<K>) -> Result<()> + Sync,
) -> Result<()> {
    if let [only] = parts {
        return work(only);
    }
    let work = &work;
    std::thread::scope(|scope| {
        let start = |part| scope.spawn(move || work(part));
        let threads: Vec<_> = parts.iter_mut().map(start).collect();
        threads.into_iter().try_for_each(|thread| {
            let joined = thread.join();
            joined.unwrap_or_else(|_panic| Err(anyhow!("a thread panicked")))
        })
    })
}

/// Returns the number that an item of a vector is.
pub fn number_of(item: &[u8]) -> Result<u64> {
    match item.try_into() {
        Ok(bytes) => Ok(u64::from_le_bytes(bytes)),
        Err(_other) => bail!("an item of {} bytes is no number", item.len()),
    }
}
