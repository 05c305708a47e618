//! Values of any kind, written once and read in order: in memory until a budget refuses, then in
//! blocks of one scratch file.
//!
//! ```text
//!   part:   | block | block | ... | block | open: values that are in no block yet |
//!   block:  | len, value | len, value | ... | len, value |
//!           in memory, or in the file as it is or compressed
//! ```
//!
//! `codec` turns values into bytes, `compress` makes blocks shorter. `buffer` is memory that a budget
//! pays for. `store` has what all writers of a spool share: budget, file, checksums; `reading` brings
//! blocks back. `part` has the values of one writer, `writer` hands them over, `iter` reads them.
//! `mod.rs` and `builder` are the spool itself. Complete blocks of all writers are kept by the store,
//! so that any writer that needs memory can write them to the file. What is known about a block on
//! disk, its checksum included, stays in memory: nothing that comes from the file is believed.
//! `lengths` has the form of lengths.

mod buffer;
mod builder;
mod codec;
mod compress;
#[cfg(test)]
mod faults;
mod iter;
mod lengths;
mod part;
mod reading;
mod store;
mod writer;

pub use self::buffer::Target;
pub use self::builder::SpoolBuilder;
pub use self::codec::{Codec, CodecError, Postcard};
pub use self::compress::Compress;
#[cfg(feature = "lz4")]
pub use self::compress::Lz4;
pub use self::iter::{IntoIter, Iter};
pub use self::writer::SpoolWriter;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::budget::MemoryBudget;
use crate::composites::spool::part::{Block, Found, Part, Sealed, give_back};
use crate::composites::spool::reading::{Reader, Room};
use crate::composites::spool::store::Shared;
use crate::error::Result;
use crate::io::dir::ScratchDir;

/// Values of any type that serde knows, written once and read in order any number of times.
///
/// Values stay in memory, encoded, until the [`MemoryBudget`] refuses to give more. Then they go to
/// one scratch file, in blocks, and what follows goes there block by block. A spool that fits needs
/// no file. Values are read in the order in which they were pushed: by [`iter`](Self::iter), by
/// [`into_iter`](IntoIterator::into_iter), which gives the space back on the way, or one at a time by
/// [`get`](Self::get).
///
/// Several threads fill one spool by [writers](Self::writer). Nothing is mapped: a full disk and a
/// failing device are errors, and so is a block that is not what was written.
///
/// # Examples
///
/// ```
/// use outcore::{MemoryBudget, Spool};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Visit {
///     page: String,
///     seconds: f32,
/// }
///
/// let mut visits = Spool::new(&MemoryBudget::new(16 << 20));
/// for n in 0..1000 {
///     visits.push(&Visit { page: format!("/{n}"), seconds: 0.5 })?;
/// }
/// let mut seconds = 0.0;
/// for visit in visits.iter()? {
///     seconds += visit?.seconds;
/// }
/// assert_eq!(seconds, 500.0);
/// assert_eq!(visits.get(7)?.map(|visit| visit.page).as_deref(), Some("/7"));
/// assert_eq!(visits.disk_bytes(), 0, "all of them fit into the budget");
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # The codec
///
/// Values are encoded by [`Postcard`], a compact format in which a struct has no names of fields. It
/// cannot decode types that ask the format what comes next, such as `serde_json::Value` or an enum
/// that is `#[serde(untagged)]`; [another codec](Codec) can. [`SpoolBuilder`] sets it, and says
/// whether blocks are [compressed](Compress).
///
/// # Memory layout
///
/// Of the budget: before the first spill all values, and blocks that are not full. After it, one
/// block for each writer, one as long as the longest for reading, and one for each further reader;
/// twice that where blocks are compressed. Not of the budget: 80 bytes for each block, of which there
/// is one for each 4 to 256 KiB, depending on the budget. A value can be as long as a third of what the
/// budget has left.
///
/// # In a forked child
///
/// A child can read what its parent spooled. It cannot write to its parent's file: pushing ends with
/// [`Forked`](crate::ErrorKind::Forked) when a block has to be written.
pub struct Spool<T, C = Postcard> {
    shared: Arc<Shared<C>>,
    /// The last values of the spool's own, of which complete blocks go to the store.
    part: Part,
    /// The parts of the store's list that are before the last values.
    known: usize,
    values: PhantomData<fn(T) -> T>,
}

impl<T> Spool<T> {
    /// Makes an empty spool that keeps values in memory as long as the budget has any, and encodes
    /// them by [`Postcard`]. Its file will be in the directory of [`ScratchDir::from_env`], which is
    /// asked when the file is needed.
    ///
    /// # Cost
    ///
    /// No file, and no memory of the budget before the first value.
    #[must_use]
    pub fn new(budget: &MemoryBudget) -> Self {
        SpoolBuilder::new(budget).build()
    }

    /// Makes an empty spool whose file will be in `dir`.
    #[must_use]
    pub fn new_in(budget: &MemoryBudget, dir: &ScratchDir) -> Self {
        SpoolBuilder::new(budget).dir(dir).build()
    }
}

impl<T, C> Spool<T, C> {
    fn with(shared: Shared<C>) -> Self {
        Self {
            shared: Arc::new(shared),
            part: Part::default(),
            known: 0,
            values: PhantomData,
        }
    }

    /// Appends a value.
    ///
    /// # Errors
    ///
    /// The spool is unchanged after each of them.
    ///
    /// * [`StorageFull`](crate::ErrorKind::StorageFull),
    ///   [`FileTooLarge`](crate::ErrorKind::FileTooLarge), [`Io`](crate::ErrorKind::Io),
    ///   [`Forked`](crate::ErrorKind::Forked): the file cannot be made or written. Free space and
    ///   push again.
    /// * [`OverBudget`](crate::ErrorKind::OverBudget): others have taken the memory that the value
    ///   needs, or it needs more than the budget has.
    /// * [`OutOfMemory`](crate::ErrorKind::OutOfMemory): the process has no memory.
    /// * [`Codec`](crate::ErrorKind::Codec): the codec cannot encode the value.
    ///
    /// # Panics
    ///
    /// As `Serialize` does; the spool is unchanged.
    ///
    /// # Cost
    ///
    /// The codec's work. Where the budget refuses, all blocks in memory are written once; from then
    /// on, one `pwrite` for each block, and a `fallocate` for many.
    #[inline]
    pub fn push(&mut self, value: &T) -> Result<()>
    where
        C: Codec<T>,
    {
        if self.shared.store.list_len() > self.known {
            self.adopt();
        }
        let Shared { store, codec } = &*self.shared;
        let known = &mut self.known;
        let encode = |target: &mut Target<'_>| codec.encode(value, target);
        self.part
            .push(store, encode, |sealed| store.keep(known, sealed))
    }

    /// Appends the values of an iterator.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push). What was appended before stays; the value that was refused is
    /// dropped, and the iterator is not asked for more.
    pub fn try_extend(&mut self, values: impl IntoIterator<Item = T>) -> Result<()>
    where
        C: Codec<T>,
    {
        values.into_iter().try_for_each(|value| self.push(&value))
    }

    /// Makes a writer, for another thread. Its values belong to the spool when it is
    /// [finished](SpoolWriter::finish).
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{MemoryBudget, Spool};
    ///
    /// let spool = Spool::<(u32, u32)>::new(&MemoryBudget::new(16 << 20));
    /// std::thread::scope(|scope| {
    ///     for thread in 0..4 {
    ///         let mut writer = spool.writer();
    ///         scope.spawn(move || -> outcore::Result<()> {
    ///             (0..1000).try_for_each(|n| writer.push(&(thread, n)))?;
    ///             writer.finish();
    ///             Ok(())
    ///         });
    ///     }
    /// });
    /// assert_eq!(spool.len(), 4000);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// No memory of the budget before the first value.
    pub fn writer(&self) -> SpoolWriter<T, C> {
        SpoolWriter::new(Arc::clone(&self.shared))
    }

    /// Returns the number of values, those of finished writers among them.
    ///
    /// A spool is not bound to addresses: where those have 32 bits and there are more values than
    /// `usize` counts, it returns `usize::MAX`.
    pub fn len(&self) -> usize {
        let sealed = self.shared.store.sum_list(Sealed::count);
        counted(sealed.saturating_add(self.part.count()))
    }

    /// Returns whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many bytes the codec has made of the values, with the length of each.
    pub fn encoded_bytes(&self) -> u64 {
        let sealed = self.shared.store.sum_list(Sealed::encoded_bytes);
        sealed.saturating_add(self.part.encoded_bytes())
    }

    /// Returns how many bytes are preallocated on disk, for writers that are not finished too; 0 as
    /// long as the budget had memory for everything.
    pub fn disk_bytes(&self) -> u64 {
        self.shared.store.disk_bytes()
    }

    /// Returns a value, or `None` past the end.
    ///
    /// # Errors
    ///
    /// The spool is unchanged after each of them.
    ///
    /// * [`Io`](crate::ErrorKind::Io): the file cannot be read, or a block is not what was written.
    /// * [`OverBudget`](crate::ErrorKind::OverBudget), [`OutOfMemory`](crate::ErrorKind::OutOfMemory):
    ///   there is no memory for a block: others read at the same time.
    /// * [`Codec`](crate::ErrorKind::Codec): the codec cannot decode the value.
    ///
    /// # Cost
    ///
    /// Finds the block by a binary search, reads and checks it unless it is in memory or was the last
    /// one, and goes through the values before this one without decoding them.
    pub fn get(&self, index: usize) -> Result<Option<T>>
    where
        C: Codec<T>,
    {
        let Shared { store, codec } = &*self.shared;
        let list = store.list();
        let mut left = index as u64;
        for part in 0..=list.len() {
            let (count, found) = match Source::of(&list, self.known, &self.part, part) {
                Some(Source::Sealed(sealed)) => (sealed.count(), sealed.find(left)),
                Some(Source::Open(part)) => (part.count(), Some(Found::Open(part.open(), left))),
                None => break,
            };
            if left < count {
                return iter::get(store, codec, found).map(Some);
            }
            left = left.saturating_sub(count);
        }
        Ok(None)
    }

    /// Returns an iterator over all values in order, those of finished writers among them.
    ///
    /// # Errors
    ///
    /// [`OverBudget`](crate::ErrorKind::OverBudget), [`OutOfMemory`](crate::ErrorKind::OutOfMemory):
    /// there is no memory for a block: others read at the same time.
    ///
    /// # Cost
    ///
    /// A block of memory if any value is on disk. Each block is read by one `pread`, while the kernel
    /// reads the next.
    #[expect(
        clippy::iter_not_returning_iterator,
        reason = "memory for a block is taken before anything is read"
    )]
    pub fn iter(&self) -> Result<Iter<'_, T, C>> {
        let store = &self.shared.store;
        let mut reader = Reader::new(store);
        let list = store.list();
        let rooms = list.iter().map(|sealed| sealed.room());
        let room = rooms.fold(Room::default(), Room::max);
        reader.reading.make_room(store, room)?;
        Ok(Iter::new(self, list, reader))
    }

    /// Removes all values, and gives memory and space back. What writers have not finished stays
    /// theirs.
    pub fn clear(&mut self) {
        self.adopt();
        self.known = 0;
        let part = std::mem::take(&mut self.part);
        let blocks = self.shared.store.take_list();
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            // No writer has anything in the file.
            shared.store.start_anew();
        } else {
            part.give_back(&self.shared.store);
            give_back(&self.shared.store, 0..0, blocks);
        }
    }

    /// Lets what writers have finished be behind all values.
    #[cold]
    fn adopt(&mut self) {
        let sealed = self.part.take_all();
        self.shared.store.keep_before_new(&mut self.known, sealed);
    }
}

impl<T, C> fmt::Debug for Spool<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool")
            .field("len", &self.len())
            .field("encoded_bytes", &self.encoded_bytes())
            .field("disk_bytes", &self.disk_bytes())
            .finish_non_exhaustive()
    }
}

impl<T, C> Spool<T, C> {
    /// Returns the blocks of this spool and of writers that have finished, in order.
    fn into_blocks(mut self) -> (Arc<Shared<C>>, Vec<Block>) {
        self.adopt();
        let blocks = self.shared.store.take_list();
        // What is only needed to write.
        self.part.give_back(&self.shared.store);
        (self.shared, blocks)
    }
}

/// A part of a spool: blocks, or the last values of its own.
#[derive(Clone, Copy)]
enum Source<'s> {
    Sealed(&'s Sealed),
    Open(&'s Part),
}

impl<'s> Source<'s> {
    /// Returns the part of a number: the spool's own are behind the first `known` of the list.
    fn of(list: &'s [Arc<Sealed>], known: usize, own: &'s Part, part: usize) -> Option<Self> {
        let place = match part.checked_sub(known) {
            None => part,
            Some(0) => return Some(Self::Open(own)),
            Some(_behind) => part.saturating_sub(1),
        };
        list.get(place).map(|sealed| Self::Sealed(sealed))
    }
}

/// Returns a number of values as far as `usize` counts.
fn counted(values: u64) -> usize {
    usize::try_from(values).unwrap_or(usize::MAX)
}
