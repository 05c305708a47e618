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

pub use self::items::Items;
pub use self::job::Job;
pub use self::own::OfVec;
pub(super) use self::workloads::{push_workloads, workloads};

use crate::machine;
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
pub trait Store: Sized + 'static {
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
    fn get(&self, key: Self::Key, buffer: &mut Vec<u8>) -> Result<()> {
        self.see(key, &mut |bytes| buffer.extend_from_slice(bytes))
    }

    /// Whether [`see`](Self::see) shows items where they are, without a copy.
    const SEES: bool = false;

    /// Shows the bytes of an item; each store has this or [`get`](Self::get).
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
    row_by::<S>(name, note, tags, Job::run::<S>)
}

/// Makes a row of a store that so many threads fill.
pub fn row_on<S: Store>(threads: u16, name: &'static str, note: &'static str) -> Row<Job> {
    row_by::<S>(name, note, PUSH, move |job| job.run_on::<S>(threads))
}

fn row_by<S: Store>(
    name: &'static str,
    note: &'static str,
    tags: u16,
    run: impl Fn(&Job) -> Result<Sample> + 'static,
) -> Row<Job> {
    let numbers = if S::NUMBERS { NUMBERS } else { 0 };
    Row::new(name, note, run).with(tags | numbers)
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

    /// Tells whether items are left to be put.
    pub fn has_more(&self) -> bool {
        self.range.start + self.stored < self.range.end
    }
}

impl Part<u64> {
    /// Returns the next items with their indices, about `bytes` of them together. An item is in
    /// when the one after it is asked for.
    pub fn batch<'a>(
        &'a mut self,
        items: &'a Items,
        bytes: u64,
    ) -> impl Iterator<Item = (u64, &'a [u8])> {
        let (mut under_way, mut left) = (None, bytes);
        std::iter::from_fn(move || {
            if let Some(index) = under_way.take() {
                self.put(index, index);
            }
            if !self.has_more() || left == 0 {
                return None;
            }
            let index = self.range.start + self.stored;
            let item = items.get(index);
            left = left.saturating_sub(item.len() as u64);
            under_way = Some(index);
            Some((index, item))
        })
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
    machine::on_threads(parts, work)
}

/// Pushes all items of a part, and calls `finish`, also after a failure: what is in stays in.
pub fn push_all<W, K: Copy, T>(
    part: &mut Part<K>,
    items: &Items,
    mut writer: W,
    push: impl Fn(&mut W, &[u8]) -> Result<K>,
    finish: impl FnOnce(W) -> Result<T>,
) -> Result<T> {
    let pushed = part.range.clone().try_for_each(|index| {
        part.put(index, push(&mut writer, items.get(index))?);
        Ok(())
    });
    let finished = finish(writer);
    pushed.and(finished)
}

/// Returns the number that an item of a vector is.
pub fn number_of(item: &[u8]) -> Result<u64> {
    match item.try_into() {
        Ok(bytes) => Ok(u64::from_le_bytes(bytes)),
        Err(_other) => bail!("an item of {} bytes is no number", item.len()),
    }
}
