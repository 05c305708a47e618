//! Groups by how often they occur: those of small counts are put aside as they are written, one class
//! for each count, and the others are sorted.
//!
//! Groups come in the order of their keys, so all that a class needs is to stay as it is.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use outcore::external::{Sorter, SorterWriter};
use outcore::{Arena, ArenaWriter, Location};

use crate::cmd::count::longs::LongGroups;
use crate::cmd::count::output::{Groups, Item};
use crate::cmd::count::tally::Tally;
use crate::failure::{Failure, Result};
use crate::output::writing::Filling;
use crate::scratch::Scratch;

/// Bytes of a class that are put aside at once.
const PIECE_BYTES: usize = 128 << 10;

/// The most groups of which memory keeps the counts, to leave out what cannot be among the first.
const TOP_MAX: u64 = 1 << 17;

/// Says what a sorted value is: a key, or the number of a long line.
const KEY: u8 = 0;
const LONG: u8 = 1;

/// Groups on their way into the order of their counts.
pub(crate) struct Ranks {
    classes: Vec<Class>,
    arena: OnceCell<Arena>,
    sorter: Sorter,
    writer: SorterWriter,
    next: u64,
    top: Option<Top>,
    value: Vec<u8>,
}

/// The text of all groups of one count: pieces on disk, and the end, which is in memory.
#[derive(Default)]
struct Class {
    writer: Option<ArenaWriter>,
    staged: Vec<u8>,
    pieces: Vec<Location>,
    groups: u64,
}

impl Class {
    fn push(&mut self, text: &[u8], arena: impl Fn() -> Result<Arena>) -> Result<()> {
        if self.staged.len() + text.len() > PIECE_BYTES {
            let writer = match &mut self.writer {
                Some(writer) => writer,
                none => none.insert(arena()?.writer()?),
            };
            if !self.staged.is_empty() {
                self.pieces.push(writer.push(&self.staged)?);
                self.staged.clear();
            }
            if text.len() > PIECE_BYTES {
                self.pieces.push(writer.push(text)?);
                return Ok(());
            }
        }
        self.staged.extend_from_slice(text);
        Ok(())
    }
}

/// The largest counts so far.
struct Top {
    count: usize,
    counts: BinaryHeap<Reverse<u64>>,
}

impl Top {
    /// Returns whether a group that comes now can be among the first. Of equal counts, those that
    /// came before are.
    fn takes(&mut self, count: u64) -> bool {
        if self.counts.len() < self.count {
            self.counts.push(Reverse(count));
            return true;
        }
        let least = self.counts.peek().map_or(u64::MAX, |least| least.0);
        if count <= least {
            return false;
        }
        self.counts.pop();
        self.counts.push(Reverse(count));
        true
    }
}

impl Ranks {
    /// Makes as many classes, for counts from one on; `top` says how many groups are wanted.
    ///
    /// # Errors
    ///
    /// There is no memory, or no directory for scratch files.
    pub(crate) fn new(sorter: Sorter, top: Option<u64>) -> Result<Self> {
        let top = top.filter(|top| *top <= TOP_MAX).map(|count| Top {
            count: usize::try_from(count).unwrap_or(usize::MAX),
            counts: BinaryHeap::new(),
        });
        Ok(Self {
            classes: Vec::new(),
            arena: OnceCell::new(),
            writer: sorter.writer()?,
            sorter,
            next: 0,
            top,
            value: Vec::new(),
        })
    }

    /// Takes a group.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails.
    pub(crate) fn push<V: Tally>(
        &mut self,
        item: Item<'_>,
        tally: V,
        groups: &Groups<'_>,
        longs: &mut LongGroups<'_>,
        scratch: &Scratch,
    ) -> Result<()> {
        let count = tally.count();
        if let Some(top) = &mut self.top {
            if !top.takes(count) {
                return Ok(());
            }
        }
        let class = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        if class < groups.classes {
            return self.push_to_class(class, item, tally, groups, longs, scratch);
        }
        let mut key = [0; 16];
        key[..8].copy_from_slice(&(!count).to_be_bytes());
        key[8..].copy_from_slice(&self.next.to_be_bytes());
        self.next += 1;
        let value = &mut self.value;
        value.clear();
        tally.append_to(value);
        match item {
            Item::Key(bytes) => {
                value.push(KEY);
                value.extend_from_slice(bytes);
            }
            Item::Long(number) => {
                value.push(LONG);
                value.extend_from_slice(&(number as u64).to_le_bytes());
            }
        }
        Ok(self.writer.push(key, value)?)
    }

    fn push_to_class<V: Tally>(
        &mut self,
        class: usize,
        item: Item<'_>,
        tally: V,
        groups: &Groups<'_>,
        longs: &mut LongGroups<'_>,
        scratch: &Scratch,
    ) -> Result<()> {
        while self.classes.len() <= class {
            self.classes.push(Class::default());
        }
        let made = &self.arena;
        let arena = || {
            if let Some(arena) = made.get() {
                return Ok(arena.clone());
            }
            let arena = scratch.arena()?;
            Ok(made.get_or_init(|| arena).clone())
        };
        let class = &mut self.classes[class];
        class.groups += 1;
        groups.write(item, tally, longs, &mut self.value, |text| {
            class.push(text, arena)
        })
    }

    /// Writes all groups, those with the largest counts first.
    ///
    /// # Errors
    ///
    /// The disk fails, or the output cannot be written.
    pub(crate) fn write<V: Tally>(
        mut self,
        groups: &Groups<'_>,
        longs: &mut LongGroups<'_>,
        filling: &mut Filling<'_>,
    ) -> Result<u64> {
        let mut left = groups.top.unwrap_or(u64::MAX);
        let mut written = 0;
        self.writer.finish()?;
        let mut sorted = self.sorter.sorted()?;
        while let (1.., Some((_key, mut value))) = (left, sorted.next()?) {
            let tally = V::take_from(&mut value);
            let item = match value.split_first() {
                Some((&KEY, key)) => Item::Key(key),
                Some((&LONG, number)) => {
                    let number = number
                        .first_chunk()
                        .map(|number| u64::from_le_bytes(*number));
                    Item::Long(usize::try_from(number.unwrap_or(0)).unwrap_or(0))
                }
                _ => return Err(Failure::new("a group is not what was put aside")),
            };
            groups.write(item, tally, longs, &mut self.value, |text| {
                filling.push(text)
            })?;
            filling.count_record();
            left -= 1;
            written += 1;
        }
        drop(sorted);
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        for class in self.classes.iter_mut().rev() {
            if let Some(writer) = &mut class.writer {
                writer.flush()?;
            }
            for &location in &class.pieces {
                piece.clear();
                if let Some(arena) = self.arena.get() {
                    arena.get_into(location, &mut piece)?;
                }
                filling.push(&piece)?;
            }
            filling.push(&class.staged)?;
            for _ in 0..class.groups {
                filling.count_record();
            }
            written += class.groups;
        }
        Ok(written)
    }
}
