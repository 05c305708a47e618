//! The constructors of an arena, and reading one item.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::containers::arena::location::OFFSET_BITS;
use crate::containers::arena::shard::Shard;
use crate::containers::arena::{Arena, ArenaWriter, FILES_MAX, Location, span};
use crate::error::Result;
use crate::io::dir::ScratchDir;

impl Arena {
    /// Creates an empty arena in the directory of [`ScratchDir::from_env`].
    ///
    /// # Errors
    ///
    /// Those of [`ScratchDir::from_env`] and [`new_in`](Self::new_in).
    pub fn new() -> Result<Self> {
        Self::new_in(&ScratchDir::from_env()?)
    }

    /// Creates an empty arena in a directory.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory): 65,535 arenas are alive in this process.
    ///
    /// # Cost
    ///
    /// No system call: a file is created with the first writer.
    pub fn new_in(dir: &ScratchDir) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_shape(dir, cores.min(FILES_MAX), 1 << OFFSET_BITS)
    }

    /// Creates a writer: use one for each thread that pushes.
    ///
    /// # Errors
    ///
    /// * [`Io`](crate::ErrorKind::Io): no file could be created, for instance because too many are
    ///   open.
    /// * [`Forked`](crate::ErrorKind::Forked): the arena was created before a `fork`, in the
    ///   parent.
    /// * [`ReadOnly`](crate::ErrorKind::ReadOnly): it was opened from a file by `Arena::open`.
    ///
    /// # Cost
    ///
    /// One `open` if a file has to be created. The first push allocates the buffer.
    pub fn writer(&self) -> Result<ArenaWriter> {
        self.inner.dir()?;
        self.inner.check_owner()?;
        let lease = self.inner.choose_shard()?;
        Ok(ArenaWriter::new(self.clone(), lease))
    }

    /// Returns an item.
    ///
    /// # Errors
    ///
    /// Those of [`get_into`](Self::get_into).
    ///
    /// # Cost
    ///
    /// That of [`get_into`](Self::get_into), and one allocation of exactly the item's length.
    pub fn get(&self, location: Location) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.get_into(location, &mut bytes)?;
        Ok(bytes)
    }

    /// Appends an item to `target`, so that one buffer serves many reads.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = outcore::Arena::new()?;
    /// let mut writer = arena.writer()?;
    /// let numbers: Vec<_> = (0..100).map(|n: u32| writer.push(n.to_be_bytes())).collect();
    /// writer.flush()?;
    /// let mut buffer = Vec::new();
    /// for (n, location) in (0..).zip(numbers) {
    ///     buffer.clear();
    ///     arena.get_into(location?, &mut buffer)?;
    ///     assert_eq!(buffer, u32::to_be_bytes(n));
    /// }
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `target` is unchanged after each of them, except for its capacity.
    ///
    /// * [`ForeignLocation`](crate::ErrorKind::ForeignLocation): the location belongs to another
    ///   arena. A location of a dropped arena is recognized too, until 65,535 more have been
    ///   created.
    /// * [`NotFlushed`](crate::ErrorKind::NotFlushed): the writer has not flushed the item yet, or
    ///   was dropped and could not.
    /// * [`OutOfBounds`](crate::ErrorKind::OutOfBounds): the location lies past the end, so this
    ///   arena did not hand it out.
    /// * [`OutOfMemory`](crate::ErrorKind::OutOfMemory): there is no memory for the item.
    /// * [`Corrupt`](crate::ErrorKind::Corrupt): the arena was opened from a file, and the block of the
    ///   item is damaged. Items of other blocks can be read.
    /// * [`Io`](crate::ErrorKind::Io): the system failed to read.
    ///
    /// # Cost
    ///
    /// One `pread`; no lock, and no allocation if `target` has room. An empty item costs neither. In an
    /// arena that was opened from a file, the first read of a block of 16 KiB reads and verifies all of
    /// it, and the first one in 8 MiB reads 4 KiB of checksums.
    pub fn get_into(&self, location: Location, target: &mut Vec<u8>) -> Result<()> {
        if let Some(archive) = self.inner.archive() {
            return archive.get_into(location, target);
        }
        let found = self.find(location).map_err(|refused| self.error(refused))?;
        let Some(shard) = found else {
            return Ok(());
        };
        let span = span(location);
        let read = shard.file.read_to_end_of(target, span.len(), span.start());
        read.map_err(|refused| self.error(refused))
    }

    /// Returns the number of flushed bytes of items.
    pub fn len_bytes(&self) -> u64 {
        if let Some(archive) = self.inner.archive() {
            return archive.item_bytes();
        }
        let flushed = |shard: &Arc<Shard>| shard.flushed_bytes.load(Relaxed);
        self.inner.shards().map(flushed).sum()
    }

    /// Returns the number of bytes that the arena has preallocated on disk.
    ///
    /// That is more than the items take: each file grows by a quarter of its length, at most by 256
    /// MiB, or by what a writer [reserves](ArenaWriter::reserve). Of an arena that was opened from a
    /// file, it is the length of that.
    pub fn disk_bytes(&self) -> u64 {
        if let Some(archive) = self.inner.archive() {
            return archive.file_bytes();
        }
        let claimed = |shard: &Arc<Shard>| shard.file.claimed_bytes();
        self.inner.shards().map(claimed).sum()
    }

    /// Returns the directory of the arena; `None` if it was opened from a file.
    pub fn dir(&self) -> Option<&ScratchDir> {
        self.inner.dir().ok()
    }
}
