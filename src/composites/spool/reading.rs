//! How blocks come back from the file, and the memory for that.
//!
//! Where the memory of a block is freed since the block is in the file now, as much stays for a reader:
//! what is on disk can be read, whatever others take of the budget.

use crate::composites::spool::buffer::Buffer;
use crate::composites::spool::store::{Store, Stored, lock};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of memory that it takes to read a block: for what it is, and for what it is compressed to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    raw: usize,
    packed: usize,
}

impl Room {
    /// Returns what it takes to read either of two blocks.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            raw: self.raw.max(other.raw),
            packed: self.packed.max(other.packed),
        }
    }
}

impl Stored {
    /// Returns what it takes to read the block.
    pub(super) fn room(&self) -> Room {
        Room {
            raw: self.raw_len,
            packed: self.raw_sum.map_or(0, |_sum| self.len),
        }
    }
}

impl Store {
    /// Keeps memory for one reader, if there is any: what is on disk can be read then, whatever others
    /// take of the budget.
    pub(super) fn keep_reading(&self) {
        let room = Room {
            raw: self.capacity(),
            packed: self
                .compress
                .as_ref()
                .map_or(0, |_compress| self.capacity()),
        };
        let mut spare = lock(&self.spare);
        // What is refused leaves as much as there is.
        let _made = spare.get_or_insert_default().make_room(self, room);
    }

    /// Keeps the memory of a block that has gone to the file for the reader, if it has less: from the
    /// block's own moment on disk on, it can be read. Returns memory that is not needed. Where the
    /// reader's is in use, it is kept only if `else_lost`.
    pub(super) fn keep_to_read(&self, mut block: Buffer, else_lost: bool) -> Buffer {
        let mut spare = lock(&self.spare);
        if spare.is_some() || else_lost {
            let reading = spare.get_or_insert_default();
            if block.used() > reading.raw.capacity() {
                block.shrink_to(block.used().max(self.capacity()));
                reading.loaded = None;
                std::mem::swap(&mut reading.raw, &mut block);
            }
        }
        block
    }

    /// As [`keep_to_read`](Self::keep_to_read), of the memory that a block was compressed to.
    pub(super) fn keep_packed(&self, packed: &mut Buffer, len: usize, else_lost: bool) {
        let mut spare = lock(&self.spare);
        if spare.is_some() || else_lost {
            let reading = spare.get_or_insert_default();
            if len > reading.packed.capacity() {
                std::mem::swap(&mut reading.packed, packed);
            }
        }
    }

    /// Returns the memory that is kept for one reader, or none.
    pub(super) fn take_reading(&self) -> Reading {
        lock(&self.spare).take().unwrap_or_default()
    }
}

/// Memory for a block that is read from the file.
#[derive(Debug, Default)]
pub(super) struct Reading {
    raw: Buffer,
    packed: Buffer,
    /// Which block is in memory, and how long it is.
    loaded: Option<(u64, usize)>,
}

impl Reading {
    /// Makes room for blocks.
    pub(super) fn make_room(&mut self, store: &Store, room: Room) -> Result<()> {
        if room.raw > self.raw.capacity() {
            self.loaded = None;
            self.raw.room(store.budget(), room.raw)?;
        }
        self.packed.room(store.budget(), room.packed)?;
        Ok(())
    }

    /// Takes from another what is longer there.
    fn merge(&mut self, other: Self) {
        if other.raw.capacity() > self.raw.capacity() {
            (self.raw, self.loaded) = (other.raw, other.loaded);
        }
        if other.packed.capacity() > self.packed.capacity() {
            self.packed = other.packed;
        }
    }

    /// Reads a block, and checks that it is what was written.
    pub(super) fn load(&mut self, store: &Store, stored: &Stored) -> Result<&[u8]> {
        let key = (stored.number, stored.raw_len);
        if self.loaded != Some(key) {
            self.make_room(store, stored.room())?;
            self.loaded = None;
            let raw = self.raw.room(store.budget(), stored.raw_len)?;
            match stored.raw_sum {
                None => read(store, stored, raw)?,
                Some(raw_sum) => {
                    let packed = self.packed.room(store.budget(), stored.len)?;
                    read(store, stored, packed)?;
                    unpack(store, packed, raw)?;
                    if store.sum(stored.number, raw) != raw_sum {
                        return Err(store.damaged("a block after decompression"));
                    }
                }
            }
            self.loaded = Some(key);
        }
        Ok(self.block())
    }

    /// Returns the block that was loaded.
    #[inline]
    pub(super) fn block(&self) -> &[u8] {
        let len = self.loaded.map_or(0, |(_number, len)| len);
        self.raw.get(..len).unwrap_or_default()
    }
}

fn read(store: &Store, stored: &Stored, target: &mut [u8]) -> Result<()> {
    store.file.read(target, stored.at)?;
    if store.sum(stored.number, target) != stored.sum {
        return Err(store.damaged("a block of values"));
    }
    Ok(())
}

fn unpack(store: &Store, packed: &[u8], raw: &mut [u8]) -> Result<()> {
    let Some(compress) = &store.compress else {
        return Err(store.damaged("a block that is compressed"));
    };
    compress.decompress(packed, raw).map_err(|refused| {
        let reason = refused.to_string();
        Error::refused(ErrorKind::Io, "decompress a block of values", reason)
    })
}

/// A reader, whose memory stays with the store afterwards.
#[derive(Debug)]
pub(super) struct Reader<'s> {
    store: &'s Store,
    pub(super) reading: Reading,
}

impl<'s> Reader<'s> {
    pub(super) fn new(store: &'s Store) -> Self {
        Self {
            store,
            reading: store.take_reading(),
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut spare = lock(&self.store.spare);
        let own = std::mem::take(&mut self.reading);
        spare.get_or_insert_default().merge(own);
    }
}
