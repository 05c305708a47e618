//! The values of one writer: blocks, and a buffer for those that are in none yet.

use crate::composites::spool::buffer::{Buffer, Target};
use crate::composites::spool::codec::CodecError;
use crate::composites::spool::store::{Outlet, Store, Stored};
use crate::error::{Error, ErrorKind, Result};
use crate::io::extents::Extent;

/// The most bytes that the length of a value takes.
const LEN_BYTES_MAX: usize = 10;

/// Where the values of a block are.
#[derive(Debug)]
pub(super) enum Place {
    Memory(Buffer),
    Disk(Stored),
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
    /// Bytes of the length of the last value: what the next one will probably take.
    width: usize,
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

    /// Returns the length of the longest block on disk.
    pub(super) fn disk_block_bytes_max(&self) -> usize {
        let len = |block: &Block| match &block.place {
            Place::Memory(_) => 0,
            Place::Disk(stored) => stored.raw_len(),
        };
        self.blocks.iter().map(len).max().unwrap_or(0)
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

    /// Writes the blocks that are in memory to the file. After an error some of them are there.
    pub(super) fn spill(&mut self, store: &Store, outlet: &mut Outlet) -> Result<()> {
        for block in &mut self.blocks {
            if let Place::Memory(bytes) = &block.place {
                block.place = Place::Disk(outlet.write(store, bytes)?);
            }
        }
        Ok(())
    }

    fn has_memory(&self) -> bool {
        let in_memory = |block: &Block| matches!(block.place, Place::Memory(_));
        self.blocks.iter().any(in_memory)
    }

    fn append(&mut self, more: Self) {
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

/// Takes off again what was appended to a buffer, unless it is told not to.
struct Undo<'a> {
    buffer: &'a mut Buffer,
    len: usize,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        self.buffer.truncate(self.len);
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

    pub(super) fn sealed(&self) -> &Sealed {
        &self.sealed
    }

    /// Returns the values that are in no block yet.
    pub(super) fn open(&self) -> &[u8] {
        &self.open
    }

    /// Finds a value, whose index is below the count.
    pub(super) fn find(&self, index: u64) -> Option<Found<'_>> {
        match index.checked_sub(self.sealed.count) {
            Some(skipped) => Some(Found::Open(&self.open, skipped)),
            None => self.sealed.find(index),
        }
    }

    /// Appends the value that `encode` writes.
    #[inline]
    pub(super) fn push(
        &mut self,
        store: &Store,
        mut encode: impl FnMut(&mut Target<'_>) -> Result<(), CodecError>,
    ) -> Result<()> {
        if self.open.len() >= store.block_bytes() {
            self.seal(store)?;
        }
        let pushed = self.try_push(store, &mut encode);
        match pushed {
            Err(refused) if refused.kind() == ErrorKind::OverBudget => {
                self.spill(store, refused)?;
                self.try_push(store, &mut encode)
            }
            pushed => pushed,
        }
    }

    #[inline]
    fn try_push(
        &mut self,
        store: &Store,
        encode: &mut impl FnMut(&mut Target<'_>) -> Result<(), CodecError>,
    ) -> Result<()> {
        let start = self.open.len();
        let undo = Undo {
            buffer: &mut self.open,
            len: start,
        };
        let width = self.width.clamp(1, LEN_BYTES_MAX);
        let mut target = Target::new(undo.buffer, store.budget(), store.capacity());
        let placeholder = [0; LEN_BYTES_MAX];
        let reserved = target.extend(placeholder.get(..width).unwrap_or_default());
        let encoded = match reserved {
            Ok(()) => encode(&mut target),
            Err(_refused) => Ok(()),
        };
        // Also where the codec takes no notice of it.
        if let Some(refused) = target.into_refusal() {
            return Err(refused);
        }
        encoded.map_err(|refused| codec_error("encode a value", &refused))?;
        let content = start.saturating_add(width);
        let len = undo.buffer.len().saturating_sub(content);
        let needed = width_of(len);
        if needed > width {
            widen(undo.buffer, store, content, needed.saturating_sub(width))?;
        }
        let width = width.max(needed);
        let content = start.saturating_add(width);
        let head = undo.buffer.bytes_mut().get_mut(start..content);
        put_len(head.unwrap_or_default(), len);
        let _kept = std::mem::ManuallyDrop::new(undo);
        self.width = needed;
        self.open_count = self.open_count.saturating_add(1);
        Ok(())
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
        }
    }

    fn write_open(&mut self, store: &Store) -> Result<()> {
        if self.open_count == 0 {
            return Ok(());
        }
        let stored = self.outlet.write(store, &self.open)?;
        let (count, len) = (std::mem::take(&mut self.open_count), self.open.len());
        self.sealed.push(Place::Disk(stored), count, len);
        if self.open.capacity() > store.capacity() {
            self.open = Buffer::default();
        }
        self.open.truncate(0);
        Ok(())
    }

    /// Writes everything that is in memory to the file, since the budget has `refused` more.
    #[cold]
    #[inline(never)]
    fn spill(&mut self, store: &Store, refused: Error) -> Result<()> {
        let has_memory = self.open_count > 0 || self.sealed.has_memory();
        if !has_memory && !store.has_finished() {
            return Err(refused);
        }
        self.sealed.spill(store, &mut self.outlet)?;
        self.write_open(store)?;
        store.spill_finished(&mut self.outlet)?;
        self.is_spilled = true;
        store.keep_reading();
        Ok(())
    }

    /// Takes over the blocks of another writer, behind all values.
    pub(super) fn append(&mut self, more: Sealed) {
        self.seal_in_memory();
        self.sealed.append(more);
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

/// Returns how many bytes of seven bits a length takes.
fn width_of(len: usize) -> usize {
    let bits = usize::BITS.saturating_sub(len.leading_zeros()).max(1);
    usize::try_from(bits.div_ceil(7)).unwrap_or(LEN_BYTES_MAX)
}

/// Moves a value by `more` bytes, for a length that is wider than was thought.
#[cold]
fn widen(buffer: &mut Buffer, store: &Store, content: usize, more: usize) -> Result<()> {
    let end = buffer.len();
    let mut target = Target::new(buffer, store.budget(), store.capacity());
    let placeholder = [0; LEN_BYTES_MAX];
    let _answer = target.extend(placeholder.get(..more).unwrap_or_default());
    if let Some(refused) = target.into_refusal() {
        return Err(refused);
    }
    let target = content.saturating_add(more);
    buffer.bytes_mut().copy_within(content..end, target);
    Ok(())
}

/// Writes a length in as many bytes as `head` has, which are enough.
fn put_len(head: &mut [u8], mut len: usize) {
    let last = head.len().saturating_sub(1);
    for (byte, place) in head.iter_mut().zip(0..) {
        let digit = u8::try_from(len & 0x7F).unwrap_or(0);
        *byte = if place < last { digit | 0x80 } else { digit };
        len >>= 7;
    }
    debug_assert!(len == 0, "the length does not fit");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::composites::spool::store::value_at;

    #[test]
    fn lengths_come_back_however_wide_they_are_written() {
        for len in [0, 1, 127, 128, 300, 16_383, 16_384, 1 << 20] {
            for width in width_of(len)..=LEN_BYTES_MAX {
                let mut block = vec![0; width];
                put_len(&mut block, len);
                block.resize(width + len, 7);
                assert_eq!(
                    value_at(&block, 0),
                    Some(width..width + len),
                    "{len}, {width}"
                );
            }
        }
        assert!(width_of(usize::MAX) <= LEN_BYTES_MAX);
    }
}
