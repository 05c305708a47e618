//! What was read, kept in scratch files up to a limit.
//!
//! Chunks are pushed to an arena. When that has half of the limit, it becomes the old one, and what was
//! the old one is dropped with its files. A chunk that is found in the old arena is pushed to the young
//! one again. So chunks that are used stay, space goes back as whole files, and writes are in order.
//!
//! Files are read without the lock. A chunk is not checked here: the sealed type checks each block that it
//! gets, and [`Cache::forget`] drops those that are wrong.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use object_store::ObjectMeta;
use outcore::{Arena, ArenaWriter, Location, Result, ScratchDir};

/// The length of a chunk, which is that of a block.
pub(crate) const CHUNK_BYTES: u64 = 16 << 10;

/// The head of a sealed file, which is chunk 0. Then blocks are chunks.
const HEAD_BYTES: u64 = 4096;

/// How many chunks are not kept after the disk has refused one.
const SKIPPED: u32 = 256;

/// What an arena may have however little the disk has taken: there may be more space later.
const SPARED_BYTES: u64 = 1 << 20;

/// A chunk: the id of an object, and the number of the chunk in it.
type Key = (u64, u64);

pub(crate) struct Cache {
    dir: ScratchDir,
    ids: RandomState,
    /// How many objects without an entity tag were opened.
    untagged: AtomicU64,
    arenas: Mutex<Arenas>,
}

struct Arenas {
    young: Generation,
    old: Option<Generation>,
    /// The bytes of one arena.
    bytes_max: u64,
    /// The number of chunks that are not kept from now on.
    skipped: u32,
}

struct Generation {
    writer: ArenaWriter,
    chunks: HashMap<Key, Location>,
    /// The bytes that were pushed. The arena has preallocated some more.
    bytes: u64,
}

impl Generation {
    fn new(dir: &ScratchDir) -> Result<Self> {
        Ok(Self {
            writer: Arena::new_in(dir)?.writer()?,
            chunks: HashMap::new(),
            bytes: 0,
        })
    }
}

/// Where a chunk is.
struct Found {
    arena: Arena,
    location: Location,
    is_old: bool,
}

impl Cache {
    pub(crate) fn new(dir: &ScratchDir, bytes_max: u64) -> Result<Self> {
        Ok(Self {
            dir: dir.clone(),
            ids: RandomState::new(),
            untagged: AtomicU64::new(0),
            arenas: Mutex::new(Arenas {
                young: Generation::new(dir)?,
                old: None,
                bytes_max: bytes_max / 2,
                skipped: 0,
            }),
        })
    }

    /// Returns the id of an object here. The same object has the same id again, if the store says what
    /// tells it from others.
    ///
    /// Two objects have one id once in 2^64 times. Then blocks of one do not match the checksums of the
    /// other, and are forgotten.
    pub(crate) fn id_of(&self, meta: &ObjectMeta) -> u64 {
        let path: &str = meta.location.as_ref();
        match &meta.e_tag {
            Some(tag) => self.ids.hash_one((path, tag, meta.size, &meta.version)),
            None => self.ids.hash_one(self.untagged.fetch_add(1, Relaxed)),
        }
    }

    /// A thread that panicked has left whole chunks only.
    fn arenas(&self) -> MutexGuard<'_, Arenas> {
        self.arenas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends chunks of an object to `target`, all of them or none.
    pub(crate) fn read(&self, object: u64, chunks: Range<u64>, target: &mut Vec<u8>) -> bool {
        let before = target.len();
        for chunk in chunks {
            if !self.read_chunk((object, chunk), target) {
                target.truncate(before);
                return false;
            }
        }
        true
    }

    fn read_chunk(&self, key: Key, target: &mut Vec<u8>) -> bool {
        let found = self.arenas().find(key);
        let Some(found) = found else { return false };
        let start = target.len();
        if found.arena.get_into(found.location, target).is_err() {
            // It is in the writer's buffer, or cannot be read.
            return self.arenas().read_unflushed(key, target);
        }
        if found.is_old {
            self.keep(key, target.get(start..).unwrap_or_default());
        }
        true
    }

    /// Keeps a chunk, if there is space for it.
    pub(crate) fn keep(&self, key: Key, bytes: &[u8]) {
        let mut arenas = self.arenas();
        if !arenas.young.chunks.contains_key(&key) {
            arenas.push(&self.dir, key, bytes);
        }
    }

    /// Drops the chunks of an object that a range touches.
    pub(crate) fn forget(&self, object: u64, range: &Range<u64>) {
        let mut arenas = self.arenas();
        for chunk in chunks_of(range) {
            arenas.young.chunks.remove(&(object, chunk));
            if let Some(old) = &mut arenas.old {
                old.chunks.remove(&(object, chunk));
            }
        }
    }

    /// Returns how many bytes of the disk it takes.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let arenas = self.arenas();
        let bytes = |generation: &Generation| generation.writer.arena().disk_bytes();
        let old = arenas.old.as_ref().map_or(0, bytes);
        bytes(&arenas.young).saturating_add(old)
    }
}

impl Arenas {
    fn find(&self, key: Key) -> Option<Found> {
        let found = |generation: &Generation, is_old| {
            let location = *generation.chunks.get(&key)?;
            let arena = generation.writer.arena().clone();
            Some(Found {
                arena,
                location,
                is_old,
            })
        };
        found(&self.young, false).or_else(|| found(self.old.as_ref()?, true))
    }

    /// Appends a chunk that the writer has not written yet. One that cannot be read is forgotten.
    fn read_unflushed(&mut self, key: Key, target: &mut Vec<u8>) -> bool {
        for generation in [Some(&mut self.young), self.old.as_mut()] {
            let Some(generation) = generation else {
                continue;
            };
            let Some(location) = generation.chunks.get(&key) else {
                continue;
            };
            if generation.writer.get_into(*location, target).is_ok() {
                return true;
            }
            generation.chunks.remove(&key);
        }
        false
    }

    /// Pushes a chunk to the young arena. Without space for it, it is not kept: that costs a request
    /// later, and is no error of a read.
    fn push(&mut self, dir: &ScratchDir, key: Key, bytes: &[u8]) {
        let len = bytes.len() as u64;
        if self.skipped > 0 || len > self.bytes_max {
            self.skipped = self.skipped.saturating_sub(1);
            return;
        }
        if self.young.bytes.saturating_add(len) > self.bytes_max && self.turn(dir).is_err() {
            self.skipped = SKIPPED;
            return;
        }
        let mut pushed = self.young.writer.push(bytes);
        if pushed.is_err() {
            // The disk has space for so much. Twice half of it will fit.
            let old = self.old.as_ref().map_or(0, |old| old.bytes);
            let half = self.young.bytes.saturating_add(old) / 2;
            self.bytes_max = half.max(SPARED_BYTES).min(self.bytes_max);
            let emptied = self.turn(dir).and_then(|()| self.turn(dir));
            pushed = emptied.and_then(|()| self.young.writer.push(bytes));
        }
        match pushed {
            Ok(location) => {
                self.young.bytes = self.young.bytes.saturating_add(len);
                self.young.chunks.insert(key, location);
            }
            Err(_refused) => self.skipped = SKIPPED,
        }
    }

    /// Drops the old arena, and begins a young one.
    fn turn(&mut self, dir: &ScratchDir) -> Result<()> {
        // First, since its space may be what the young one lacks.
        self.old = None;
        let young = Generation::new(dir)?;
        self.old = Some(mem::replace(&mut self.young, young));
        Ok(())
    }
}

/// Returns the numbers of the chunks that a range touches.
pub(crate) fn chunks_of(range: &Range<u64>) -> Range<u64> {
    let number = |byte: u64| byte.saturating_add(CHUNK_BYTES - HEAD_BYTES) / CHUNK_BYTES;
    number(range.start)..number(range.end.saturating_sub(1)).saturating_add(1)
}

/// Returns the bytes of chunks, in an object of this size.
pub(crate) fn bytes_of(chunks: &Range<u64>, size: u64) -> Range<u64> {
    let start = |number: u64| {
        let start = number.saturating_mul(CHUNK_BYTES);
        start.saturating_sub(CHUNK_BYTES - HEAD_BYTES).min(size)
    };
    start(chunks.start)..start(chunks.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_a_chunk_and_each_block_is_one() {
        let block = |number: u64| 4096 + number * 16384;
        assert_eq!(chunks_of(&(0..4096)), 0..1);
        assert_eq!(chunks_of(&(block(0)..block(1))), 1..2);
        assert_eq!(chunks_of(&(4095..block(2) + 1)), 0..4);
        assert_eq!(bytes_of(&(0..1), 1 << 20), 0..4096);
        assert_eq!(bytes_of(&(0..3), 1 << 20), 0..block(2));
        assert_eq!(bytes_of(&(2..9), block(1) + 5), block(1)..block(1) + 5);
    }
}
