//! The values of one writer: blocks, and a buffer for those that are in none yet.

use std::sync::Arc;

use crate::composites::spool::buffer::{Buffer, CAPACITY_MIN, Sizes, Target};
use crate::composites::spool::codec::CodecError;
use crate::composites::spool::lengths::{LEN_BYTES_MAX, put_len, width_of};
use crate::composites::spool::reading::Room;
use crate::composites::spool::store::{Outlet, Store, Stored};
use crate::error::{Error, ErrorKind, Result};
use crate::io::extents::Extent;

/// Where the values of a block are.
#[derive(Debug)]
pub(super) enum Place {
    Memory(Buffer),
    Disk(Stored),
    /// In the memory of a block of these, which cannot be taken from them: a reader was leaked, and
    /// keeps them for good.
    Leaked(Arc<Sealed>, usize),
}

impl Place {
    /// Returns the bytes of a block that is in memory.
    pub(super) fn in_memory(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(bytes) => Some(bytes),
            Self::Disk(_) => None,
            Self::Leaked(sealed, number) => sealed.blocks.get(*number)?.place.in_memory(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Block {
    /// How many values are before it.
    first: u64,
    pub(super) place: Place,
}

/// Blocks that are complete.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    pub(super) blocks: Vec<Block>,
    count: u64,
    encoded_bytes: u64,
}

/// Values of one writer.
#[derive(Debug, Default)]
pub(super) struct Part {
    sealed: Sealed,
    open: Buffer,
    open_count: u64,
    /// Bytes of the length of the last value: what the next one will probably take; 0 before the first.
    width: usize,
    /// Whether there was a block: the next one takes its memory at once.
    had_block: bool,
    /// Whether the budget has refused memory: blocks go to the file when they are complete.
    is_spilled: bool,
    outlet: Outlet,
}

/// Where a value is: in which block, and how many values of it are before.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    Block(&'a Block, u64),
    Open(&'a [u8], u64),
}

impl Sealed {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// Returns what it takes to read any block that is on disk.
    pub(super) fn room(&self) -> Room {
        let rooms = self.blocks.iter().map(|block| match &block.place {
            Place::Memory(_) | Place::Leaked(..) => Room::default(),
            Place::Disk(stored) => stored.room(),
        });
        rooms.fold(Room::default(), Room::max)
    }

    /// Finds a value, whose index is below the count.
    pub(super) fn find(&self, index: u64) -> Option<Found<'_>> {
        let behind = self.blocks.partition_point(|block| block.first <= index);
        let block = self.blocks.get(behind.checked_sub(1)?)?;
        Some(Found::Block(block, index.checked_sub(block.first)?))
    }

    fn push(&mut self, place: Place, count: u64, bytes: usize) {
        let first = self.count;
        self.blocks.push(Block { first, place });
        self.count = self.count.saturating_add(count);
        self.encoded_bytes = self.encoded_bytes.saturating_add(bytes as u64);
    }

    /// Writes the blocks that are in memory to the file, and returns whether there were any. After an
    /// error some of them are there.
    pub(super) fn spill(&mut self, store: &Store, outlet: &mut Outlet) -> Result<bool> {
        let mut any = false;
        for block in &mut self.blocks {
            if let Place::Memory(bytes) = &block.place {
                let stored = Place::Disk(outlet.write(store, bytes, true)?);
                if let Place::Memory(bytes) = std::mem::replace(&mut block.place, stored) {
                    drop(store.keep_to_read(bytes, true));
                }
                any = true;
            }
        }
        Ok(any)
    }

    /// Takes the blocks out, also where a reader that was leaked has them too.
    pub(super) fn take_blocks(mut sealed: Arc<Self>) -> Vec<Block> {
        if let Some(sealed) = Arc::get_mut(&mut sealed) {
            return std::mem::take(&mut sealed.blocks);
        }
        let blocks = sealed.blocks.iter().enumerate();
        let blocks = blocks.map(|(number, block)| Block {
            first: block.first,
            place: match &block.place {
                Place::Disk(stored) => Place::Disk(stored.clone()),
                _ => Place::Leaked(Arc::clone(&sealed), number),
            },
        });
        blocks.collect()
    }

    pub(super) fn append(&mut self, more: Self) {
        let before = self.count;
        self.blocks
            .extend(more.blocks.into_iter().map(|block| Block {
                first: block.first.saturating_add(before),
                place: block.place,
            }));
        self.count = self.count.saturating_add(more.count);
        self.encoded_bytes = self.encoded_bytes.saturating_add(more.encoded_bytes);
    }
}

impl Part {
    pub(super) fn count(&self) -> u64 {
        self.sealed.count.saturating_add(self.open_count)
    }

    pub(super) fn encoded_bytes(&self) -> u64 {
        self.sealed
            .encoded_bytes
            .saturating_add(self.open.len() as u64)
    }

    /// Returns the values that are in no block yet.
    pub(super) fn open(&self) -> &[u8] {
        &self.open
    }

    /// Appends the value that `encode` writes. What is complete goes to `keep` before that: where
    /// `encode` panics, all values have to be where readers look.
    #[inline]
    pub(super) fn push(
        &mut self,
        store: &Store,
        mut encode: impl FnMut(&mut Target<'_>) -> Result<(), CodecError>,
        mut keep: impl FnMut(Sealed),
    ) -> Result<()> {
        if self.open.used() >= store.block_bytes() {
            self.seal(store)?;
            keep(self.take_sealed());
        }
        let Err(refused) = self.try_push(store, &mut encode) else {
            return Ok(());
        };
        if refused.kind() != ErrorKind::OverBudget {
            return Err(refused);
        }
        let spilled = self.spill(store, refused);
        keep(self.take_sealed());
        spilled?;
        self.try_push(store, &mut encode)
    }

    /// Appends it if there is memory. After an error or a panic nothing has changed.
    #[inline]
    fn try_push(
        &mut self,
        store: &Store,
        encode: &mut impl FnMut(&mut Target<'_>) -> Result<(), CodecError>,
    ) -> Result<()> {
        let start = self.open.used();
        let width = self.width.clamp(1, LEN_BYTES_MAX);
        let content = start.wrapping_add(width);
        let (sizes, mut refused) = (self.sizes(store), None);
        let mut target = Target::new(&mut self.open, store.budget(), sizes, &mut refused);
        let encoded = if target.skip(width) {
            encode(&mut target)
        } else {
            Ok(())
        };
        let end = target.end();
        // That is the reason, whatever the codec makes of it.
        if let Some(refused) = refused {
            return Err(refused);
        }
        encoded.map_err(|refused| codec_error("encode a value", &refused))?;
        let len = end.wrapping_sub(content);
        match u8::try_from(len) {
            // The usual case of the others.
            Ok(len @ 0..0x80) if width == 1 => {
                if let Some(head) = self.open.all_mut().get_mut(start) {
                    *head = len;
                }
                self.open.set_used(end);
                self.width = 1;
            }
            _ => self.close(store, start, width, end)?,
        }
        self.open_count = self.open_count.wrapping_add(1);
        Ok(())
    }

    /// Writes the length of the value from `start` to `end`, for which there are `width` bytes, and
    /// moves the value if that is too few.
    #[inline(never)]
    fn close(&mut self, store: &Store, start: usize, width: usize, end: usize) -> Result<()> {
        let content = start.saturating_add(width);
        let len = end.saturating_sub(content);
        let needed = width_of(len);
        let more = needed.saturating_sub(width);
        if more > 0 {
            let sizes = self.sizes(store);
            self.open.lengthen(store.budget(), sizes, end, more)?;
            let moved = content.saturating_add(more);
            self.open.all_mut().copy_within(content..end, moved);
        }
        let content = content.saturating_add(more);
        let head = self.open.all_mut().get_mut(start..content);
        put_len(head.unwrap_or_default(), len);
        self.open.set_used(end.saturating_add(more));
        self.width = needed;
        Ok(())
    }

    #[inline]
    fn sizes(&self, store: &Store) -> Sizes {
        let usual = store.capacity();
        Sizes {
            first: if self.had_block { usual } else { CAPACITY_MIN },
            usual,
        }
    }

    /// Makes a block of the values that are in none. After an error nothing has changed.
    #[cold]
    fn seal(&mut self, store: &Store) -> Result<()> {
        if self.is_spilled {
            self.write_open(store)
        } else {
            self.seal_in_memory();
            Ok(())
        }
    }

    /// Makes a block in memory of the values that are in none.
    fn seal_in_memory(&mut self) {
        if self.open_count > 0 {
            let open = std::mem::take(&mut self.open);
            let (count, len) = (std::mem::take(&mut self.open_count), open.len());
            self.sealed.push(Place::Memory(open), count, len);
            self.had_block = true;
        }
    }

    fn write_open(&mut self, store: &Store) -> Result<()> {
        if self.open_count == 0 {
            return Ok(());
        }
        let is_long = self.open.capacity() > store.capacity();
        let stored = self.outlet.write(store, &self.open, is_long)?;
        let (count, len) = (std::mem::take(&mut self.open_count), self.open.len());
        self.sealed.push(Place::Disk(stored), count, len);
        self.had_block = true;
        let left = store.keep_to_read(std::mem::take(&mut self.open), is_long);
        if left.capacity() <= store.capacity() {
            self.open = left;
            self.open.set_used(0);
        }
        Ok(())
    }

    /// Writes everything that is in memory to the file, since the budget has `refused` more.
    #[cold]
    #[inline(never)]
    fn spill(&mut self, store: &Store, refused: Error) -> Result<()> {
        let spilled = self.spill_all(store, refused);
        // Also where the disk became full halfway: what is on it can be read, whatever takes the
        // memory that this has freed.
        if store.disk_bytes() > 0 {
            store.keep_reading();
        }
        spilled
    }

    fn spill_all(&mut self, store: &Store, refused: Error) -> Result<()> {
        let own = self.sealed.spill(store, &mut self.outlet)?;
        let others = store.spill_list(&mut self.outlet)?;
        if !own && !others && self.open_count == 0 {
            return Err(refused);
        }
        self.write_open(store)?;
        self.is_spilled = true;
        Ok(())
    }

    /// Takes the complete blocks out.
    pub(super) fn take_sealed(&mut self) -> Sealed {
        std::mem::take(&mut self.sealed)
    }

    /// Takes all values out, in blocks.
    pub(super) fn take_all(&mut self) -> Sealed {
        self.seal_in_memory();
        self.take_sealed()
    }

    /// Returns all values in blocks, and gives back what is only needed to write.
    pub(super) fn into_sealed(mut self, store: &Store) -> Sealed {
        self.seal_in_memory();
        self.outlet.close(store);
        self.sealed
    }

    /// Gives the memory and the space of all values back.
    pub(super) fn give_back(self, store: &Store) {
        give_back(store, 0..0, self.into_sealed(store).blocks);
    }
}

/// Gives the space of `part` and of blocks back, neighbours together.
pub(super) fn give_back(store: &Store, mut part: Extent, blocks: impl IntoIterator<Item = Block>) {
    for block in blocks {
        let Place::Disk(stored) = block.place else {
            continue;
        };
        let next = stored.extent();
        if next.start == part.end {
            part.end = next.end;
        } else {
            store.give_back(std::mem::replace(&mut part, next));
        }
    }
    store.give_back(part);
}

#[cold]
pub(super) fn codec_error(action: &'static str, refused: &CodecError) -> Error {
    Error::refused(ErrorKind::Codec, action, refused.to_string())
}
