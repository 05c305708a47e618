//! A part of all keys: the index of those that fit into memory, and a way to disk for
//! the rest.
//!
//! Once the index is full it learns nothing more, but what it knows it still finds: a
//! repeat of an early record never goes to disk. Of the rest, those seen lately are
//! found in a small table, so that one record repeated for ever costs nothing; the
//! others are written down and resolved later.

use outcore::{Arena, DiskVec, Location};

use crate::cmd::dedup::index::{Full, Index};
use crate::cmd::dedup::known::{Known, Place};
use crate::failure::Result;
use crate::memory::budget::Budget;
use crate::record::fate::Fate;
use crate::record::key::Key;
use crate::scratch::{Appender, Scratch, read_words};

/// Records whose slots are loaded together before the first is searched.
const BATCH: usize = 32;

/// A record on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<V> {
    pub(crate) key: Key,
    pub(crate) place: Place,
    pub(crate) known: V,
}

/// Entries on disk, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Spilled {
    arena: Arena,
    pieces: DiskVec<Location>,
}

impl Spilled {
    /// Passes on all entries.
    ///
    /// # Errors
    ///
    /// The disk fails, or `each` does.
    pub(crate) fn for_each<V: Known>(
        &self,
        mut each: impl FnMut(Entry<V>) -> Result<()>,
    ) -> Result<()> {
        if V::RICH {
            read_words(&self.arena, &self.pieces, |words: [u64; 5]| {
                let [high, low, place, offset, count] = words;
                let mut known = V::first(Place::from_word(place), offset);
                // The first has counted one.
                known.set_count(count);
                each(Entry {
                    key: Key { high, low },
                    place: Place::from_word(place),
                    known,
                })
            })
        } else {
            read_words(&self.arena, &self.pieces, |words: [u64; 3]| {
                let [high, low, place] = words;
                let place = Place::from_word(place);
                each(Entry {
                    key: Key { high, low },
                    place,
                    known: V::first(place, 0),
                })
            })
        }
    }
}

/// Writes entries to disk.
#[derive(Debug)]
pub(crate) struct Spill {
    arena: Arena,
    appender: Appender,
    entries: u64,
}

impl Spill {
    /// Starts with nothing.
    ///
    /// # Errors
    ///
    /// The directory cannot be used.
    pub(crate) fn new(arena: &Arena) -> Result<Self> {
        Ok(Self {
            arena: arena.clone(),
            appender: Appender::new(arena)?,
            entries: 0,
        })
    }

    /// Writes an entry.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails.
    #[inline]
    pub(crate) fn push<V: Known>(&mut self, entry: &Entry<V>) -> Result<()> {
        let Key { high, low } = entry.key;
        let place = entry.place.word();
        self.entries += 1;
        if V::RICH {
            let known = entry.known;
            let words = [high, low, place, known.offset(), known.count()];
            self.appender.push(words)
        } else {
            self.appender.push([high, low, place])
        }
    }

    /// Ends the writing; `None` if there was nothing.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails.
    pub(crate) fn finish(self) -> Result<Option<Spilled>> {
        let pieces = self.appender.finish()?;
        let arena = self.arena;
        Ok((self.entries > 0).then_some(Spilled { arena, pieces }))
    }
}

/// Two records that have the same key: where in the input they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) first: u64,
    pub(crate) later: u64,
}

/// A part of the keys that no other shard has.
#[derive(Debug)]
pub(crate) struct Shard<V> {
    index: Index<V>,
    /// What was spilled lately, each key at the place that its bits say.
    recent: Vec<Option<Entry<V>>>,
    recent_len: usize,
    spill: Option<Spill>,
}

impl<V: Known> Shard<V> {
    /// Makes an empty one whose index may take `share_bytes`.
    ///
    /// # Errors
    ///
    /// [`Full`]: the budget does not hold the smallest index.
    pub(crate) fn new(share_bytes: u64, recent_len: usize, budget: &Budget) -> Result<Self, Full> {
        Ok(Self {
            index: Index::new(share_bytes, budget)?,
            recent: Vec::new(),
            recent_len: recent_len.max(1),
            spill: None,
        })
    }

    /// Decides what becomes of entries, which come in the order of the input. Calls
    /// `decided` for each, with its number; and `same` for those that have the key of
    /// an earlier one.
    ///
    /// # Errors
    ///
    /// Scratch space is needed, and the disk is full or fails.
    pub(crate) fn sift(
        &mut self,
        entries: impl Iterator<Item = Entry<V>> + Clone,
        shared: &Shared<'_>,
        mut decided: impl FnMut(Entry<V>, Fate),
        mut same: impl FnMut(Pair),
    ) -> Result<()> {
        let mut entries = entries;
        loop {
            let batch = entries.clone().take(BATCH);
            self.index.prefetch(batch.map(|entry| entry.key));
            let mut count = 0;
            for entry in entries.by_ref().take(BATCH) {
                count += 1;
                let fate = self.decide(entry, shared, &mut same)?;
                decided(entry, fate);
            }
            if count < BATCH {
                return Ok(());
            }
        }
    }

    #[inline]
    fn decide(
        &mut self,
        entry: Entry<V>,
        shared: &Shared<'_>,
        same: &mut impl FnMut(Pair),
    ) -> Result<Fate> {
        let known = if self.spill.is_some() {
            self.index.get_mut(entry.key)
        } else {
            match self.index.insert(entry.key, entry.known, shared.budget) {
                Ok(None) => return Ok(Fate::Keep),
                Ok(known) => known,
                Err(Full) => {
                    self.open_spill(shared)?;
                    None
                }
            }
        };
        if let Some(known) = known {
            add(known, entry.known, same);
            return Ok(Fate::Drop);
        }
        self.spill(entry, same)
    }

    #[cold]
    fn open_spill(&mut self, shared: &Shared<'_>) -> Result<()> {
        self.spill = Some(Spill::new(shared.arena()?)?);
        self.recent = vec![None; self.recent_len];
        Ok(())
    }

    fn spill(&mut self, entry: Entry<V>, same: &mut impl FnMut(Pair)) -> Result<Fate> {
        let len = self.recent.len() as u64;
        let at = usize::try_from((entry.key.low >> 8) % len.max(1)).unwrap_or(0);
        let (Some(recent), Some(spill)) = (self.recent.get_mut(at), &mut self.spill) else {
            return Ok(Fate::Pending);
        };
        match recent {
            Some(recent) if recent.key == entry.key => {
                add(&mut recent.known, entry.known, same);
                Ok(Fate::Drop)
            }
            _ => {
                if let Some(old) = recent.replace(entry) {
                    write_rest(spill, old)?;
                }
                spill.push(&entry)?;
                Ok(Fate::Pending)
            }
        }
    }

    /// Ends the sifting: hands out what is known of each key in memory, and returns
    /// what was spilled.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails, or `each` does.
    pub(crate) fn finish(
        mut self,
        budget: &Budget,
        mut each: impl FnMut(V) -> Result<()>,
    ) -> Result<(u64, Option<Spilled>)> {
        let count = self.index.count() as u64;
        if V::RICH {
            self.index.values().try_for_each(|known| each(*known))?;
        }
        self.index.dissolve(budget);
        let Some(mut spill) = self.spill else {
            return Ok((count, None));
        };
        for old in self.recent.drain(..).flatten() {
            write_rest(&mut spill, old)?;
        }
        Ok((count, spill.finish()?))
    }
}

/// Counts a repeat, and tells of it.
fn add<V: Known>(known: &mut V, other: V, same: &mut impl FnMut(Pair)) {
    if V::RICH {
        same(Pair {
            first: known.offset(),
            later: other.offset(),
        });
        known.add(other);
    }
}

/// Writes down the repeats that were counted since an entry was written.
fn write_rest<V: Known>(spill: &mut Spill, old: Entry<V>) -> Result<()> {
    if !V::RICH || old.known.count() < 2 {
        return Ok(());
    }
    let mut known = old.known.dropped();
    known.set_count(old.known.count() - 1);
    spill.push(&Entry {
        key: old.key,
        place: Place::NONE,
        known,
    })
}

/// What all shards use.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) budget: &'a Budget,
    pub(crate) scratch: &'a Scratch,
    /// Where entries are spilled to, once that is needed.
    pub(crate) arena: std::sync::OnceLock<Arena>,
}

impl<'a> Shared<'a> {
    pub(crate) fn new(budget: &'a Budget, scratch: &'a Scratch) -> Self {
        Self {
            budget,
            scratch,
            arena: std::sync::OnceLock::new(),
        }
    }

    fn arena(&self) -> Result<&Arena> {
        if let Some(arena) = self.arena.get() {
            return Ok(arena);
        }
        let arena = self.scratch.arena()?;
        Ok(self.arena.get_or_init(|| arena))
    }
}
