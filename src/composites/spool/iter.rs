//! Values in order: lent, or given away with their space.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::composites::spool::codec::{Codec, Postcard};
use crate::composites::spool::lengths::value_at;
use crate::composites::spool::part::{Block, Found, Place, Sealed, codec_error, give_back};
use crate::composites::spool::reading::{Reader, Reading};
use crate::composites::spool::store::{Shared, Store};
use crate::composites::spool::{Source, Spool};
use crate::error::Result;
use crate::io::extents::Extent;

/// Bytes of consumed blocks that are given back at once.
const GIVE_BACK_BYTES: u64 = 1 << 20;

/// Where in a block the next value is.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    at: usize,
    /// Whether there is a block, and it is in memory.
    is_loaded: bool,
    /// Whether the last value that was asked for was an error: the next answer is the end.
    failed: bool,
}

impl Cursor {
    /// Decodes the next value of a block, or returns `None` at its end.
    #[inline]
    fn next<T>(&mut self, store: &Store, codec: &impl Codec<T>, block: &[u8]) -> Option<Result<T>> {
        if self.at >= block.len() {
            return None;
        }
        let Some(place) = value_at(block, self.at) else {
            return Some(Err(store.damaged("the length of a value")));
        };
        let end = place.end;
        let value = codec.decode(block.get(place).unwrap_or_default());
        Some(match value {
            Ok(value) => {
                self.at = end;
                Ok(value)
            }
            Err(refused) => Err(codec_error("decode a value", &refused)),
        })
    }
}

/// Decodes one value that is there.
pub(super) fn get<T>(store: &Store, codec: &impl Codec<T>, found: Option<Found<'_>>) -> Result<T> {
    let mut reader = Reader::new(store);
    let (block, skipped) = match found {
        Some(Found::Open(open, skipped)) => (open, skipped),
        Some(Found::Block(block, skipped)) => match &block.place {
            Place::Disk(stored) => (reader.reading.load(store, stored)?, skipped),
            place => (place.in_memory().unwrap_or_default(), skipped),
        },
        None => return Err(store.damaged("the list of blocks")),
    };
    let mut cursor = Cursor::default();
    for _ in 0..skipped {
        let place = value_at(block, cursor.at);
        cursor.at = place.map_or(block.len(), |place| place.end);
    }
    let value = cursor.next(store, codec, block);
    value.unwrap_or_else(|| Err(store.damaged("the number of values in a block")))
}

/// The values of a [`Spool`] in order; made by [`Spool::iter`].
///
/// After an error, the next answer is `None`, so that loops end. The one after that tries again to
/// read the value.
pub struct Iter<'a, T, C = Postcard> {
    spool: &'a Spool<T, C>,
    list: Vec<Arc<Sealed>>,
    reader: Reader<'a>,
    /// The part of the next value, and its block there.
    part: usize,
    block: usize,
    cursor: Cursor,
}

impl<'a, T, C> Iter<'a, T, C> {
    pub(super) fn new(spool: &'a Spool<T, C>, list: Vec<Arc<Sealed>>, reader: Reader<'a>) -> Self {
        Self {
            spool,
            list,
            reader,
            part: 0,
            block: 0,
            cursor: Cursor::default(),
        }
    }

    /// Reads the block of the next value, and returns whether there is one.
    #[cold]
    fn load(&mut self) -> Result<bool> {
        let store = &self.spool.shared.store;
        loop {
            let (known, own) = (self.spool.known, &self.spool.part);
            let blocks = match Source::of(&self.list, known, own, self.part) {
                None => return Ok(false),
                Some(Source::Open(_)) if self.block == 0 => {
                    self.cursor.is_loaded = true;
                    return Ok(true);
                }
                Some(Source::Open(_)) => &[][..],
                Some(Source::Sealed(sealed)) => &sealed.blocks,
            };
            let Some(block) = blocks.get(self.block) else {
                (self.part, self.block) = (self.part.saturating_add(1), 0);
                continue;
            };
            if let Place::Disk(stored) = &block.place {
                self.reader.reading.load(store, stored)?;
                let next = blocks.get(self.block.saturating_add(1));
                if let Some(Place::Disk(next)) = next.map(|next| &next.place) {
                    store.will_need(next);
                }
            }
            self.cursor.is_loaded = true;
            return Ok(true);
        }
    }

    /// Returns the block that was read, or is in memory.
    #[inline]
    fn block(&self) -> &[u8] {
        match Source::of(&self.list, self.spool.known, &self.spool.part, self.part) {
            Some(Source::Open(part)) => part.open(),
            Some(Source::Sealed(sealed)) => {
                let block = sealed.blocks.get(self.block);
                let bytes = block.and_then(|block| block.place.in_memory());
                bytes.unwrap_or_else(|| self.reader.reading.block())
            }
            None => &[],
        }
    }
}

impl<T, C: Codec<T>> Iterator for Iter<'_, T, C> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if std::mem::take(&mut self.cursor.failed) {
            return None;
        }
        let Shared { store, codec } = &*self.spool.shared;
        loop {
            if !self.cursor.is_loaded {
                match self.load() {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(refused) => {
                        self.cursor.failed = true;
                        return Some(Err(refused));
                    }
                }
            }
            let mut cursor = self.cursor;
            if let Some(value) = cursor.next(store, codec, self.block()) {
                cursor.failed = value.is_err();
                self.cursor = cursor;
                return Some(value);
            }
            self.block = self.block.saturating_add(1);
            self.cursor = Cursor::default();
        }
    }
}

impl<T, C> fmt::Debug for Iter<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter")
            .field("part", &self.part)
            .field("block", &self.block)
            .finish_non_exhaustive()
    }
}

/// The values of a [`Spool`] by value, which gives memory and space back on the way; made by
/// [`Spool::into_iter`](IntoIterator::into_iter).
///
/// After an error, the next answer is `None`, so that loops end. The one after that tries again to
/// read the value, so nothing is lost.
pub struct IntoIter<T, C = Postcard> {
    shared: Arc<Shared<C>>,
    blocks: VecDeque<Block>,
    reading: Reading,
    cursor: Cursor,
    /// What was read and not given back.
    consumed: Extent,
    values: PhantomData<fn() -> T>,
}

impl<T, C> IntoIter<T, C> {
    /// Reads the first block.
    #[cold]
    fn load(&mut self) -> Result<()> {
        let store = &self.shared.store;
        if let Some(Block {
            place: Place::Disk(stored),
            ..
        }) = self.blocks.front()
        {
            self.reading.load(store, stored)?;
            if let Some(Block {
                place: Place::Disk(next),
                ..
            }) = self.blocks.get(1)
            {
                store.will_need(next);
            }
        }
        self.cursor.is_loaded = true;
        Ok(())
    }

    /// Gives up the first block.
    fn consume(&mut self) {
        self.cursor = Cursor::default();
        let Some(Block {
            place: Place::Disk(stored),
            ..
        }) = self.blocks.pop_front()
        else {
            return;
        };
        let next = stored.extent();
        if next.start == self.consumed.end {
            self.consumed.end = next.end;
        } else {
            let before = std::mem::replace(&mut self.consumed, next);
            self.shared.store.give_back(before);
        }
        if self.consumed.end.saturating_sub(self.consumed.start) >= GIVE_BACK_BYTES {
            let given = self.shared.store.give_back(self.consumed.clone());
            self.consumed.start = given.max(self.consumed.start);
        }
    }
}

impl<T, C: Codec<T>> Iterator for IntoIter<T, C> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if std::mem::take(&mut self.cursor.failed) {
            return None;
        }
        loop {
            let loaded = if self.cursor.is_loaded {
                Ok(())
            } else {
                self.load()
            };
            let bytes = self.blocks.front()?.place.in_memory();
            let block = bytes.unwrap_or_else(|| self.reading.block());
            let Shared { store, codec } = &*self.shared;
            let next = match loaded {
                Ok(()) => self.cursor.next(store, codec, block),
                Err(refused) => Some(Err(refused)),
            };
            if let Some(value) = next {
                self.cursor.failed = value.is_err();
                return Some(value);
            }
            self.consume();
        }
    }
}

impl<T, C> Drop for IntoIter<T, C> {
    fn drop(&mut self) {
        let blocks = std::mem::take(&mut self.blocks);
        give_back(&self.shared.store, self.consumed.clone(), blocks);
    }
}

impl<T, C> fmt::Debug for IntoIter<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter")
            .field("blocks", &self.blocks.len())
            .finish_non_exhaustive()
    }
}

impl<T, C: Codec<T>> IntoIterator for Spool<T, C> {
    type Item = Result<T>;
    type IntoIter = IntoIter<T, C>;

    fn into_iter(self) -> IntoIter<T, C> {
        let (shared, blocks) = self.into_blocks();
        IntoIter {
            reading: shared.store.take_reading(),
            shared,
            blocks: blocks.into(),
            cursor: Cursor::default(),
            consumed: 0..0,
            values: PhantomData,
        }
    }
}
