//! What all writers and readers of a spool share: the budget, the file, what writers have handed over,
//! and how blocks go to the file.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::MemoryBudget;
use crate::composites::spool::buffer::Buffer;
use crate::composites::spool::compress::Compress;
use crate::composites::spool::part::{Block, Part, Sealed, give_back};
use crate::composites::spool::reading::Reading;
use crate::error::{Error, Result};
use crate::io::checksum::checksum;
use crate::io::dir::ScratchDir;
use crate::io::extents::{Extent, ExtentFile};
use crate::sys;

/// The shortest and the longest block, but for those of one long value.
const BLOCK_BYTES_MIN: usize = 4 << 10;
const BLOCK_BYTES_MAX: usize = 256 << 10;

/// Blocks for which space is claimed at a time, at least, and bytes at most.
const CLAIM_BLOCKS_MIN: u64 = if cfg!(test) { 3 } else { 16 };
const CLAIM_BYTES_MAX: u64 = 64 << 20;

/// A store, and the codec.
#[derive(Debug)]
pub(super) struct Shared<C> {
    pub(super) store: Store,
    pub(super) codec: C,
}

pub(super) struct Store {
    budget: MemoryBudget,
    dir: Option<ScratchDir>,
    pub(super) file: ExtentFile,
    pub(super) compress: Option<Box<dyn Compress>>,
    /// How many bytes of values complete a block, and how much memory one has: room for the last value,
    /// so that a block is mostly written at once.
    block_bytes: usize,
    capacity: usize,
    /// What sums of blocks begin with: bytes of another spool do not pass for these.
    seed: u64,
    next_number: AtomicU64,
    next_writer: AtomicU64,
    /// All blocks that are complete. Any writer can write them to the file when it needs memory.
    blocks: Mutex<Blocks>,
    list_len: AtomicUsize,
    /// Memory for a block that is read, kept once there are any on disk, with the last one in it.
    pub(super) spare: Mutex<Option<Reading>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("budget", &self.budget)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// Blocks that are complete.
#[derive(Debug, Default)]
struct Blocks {
    /// Those of the spool in order, in parts: its own, and what each writer has finished.
    list: Vec<Arc<Sealed>>,
    /// Those of writers that have not finished, with a number for each.
    writing: Vec<(u64, Sealed)>,
}

impl Blocks {
    fn take_writing(&mut self, writer: u64) -> Sealed {
        let at = self
            .writing
            .iter()
            .position(|(number, _)| *number == writer);
        at.map_or_else(Sealed::default, |at| self.writing.swap_remove(at).1)
    }
}

/// Where a block is in the file, and what it has to be.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) at: u64,
    pub(super) len: usize,
    /// Its length, and its sum where it is compressed.
    pub(super) raw_len: usize,
    pub(super) raw_sum: Option<u64>,
    pub(super) sum: u64,
    /// A number that no other block of the spool has.
    pub(super) number: u64,
}

impl Stored {
    pub(super) fn extent(&self) -> Extent {
        self.at..self.at.saturating_add(self.len as u64)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    pub(super) fn new(
        budget: MemoryBudget,
        dir: Option<ScratchDir>,
        compress: Option<Box<dyn Compress>>,
    ) -> Self {
        let capacity = (budget.limit() / 64).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
        Self {
            budget,
            file: ExtentFile::new(dir.clone()),
            dir,
            compress,
            block_bytes: capacity.saturating_sub(capacity / 16),
            capacity,
            seed: RandomState::new().hash_one(0_u8),
            next_number: AtomicU64::new(0),
            next_writer: AtomicU64::new(0),
            blocks: Mutex::default(),
            list_len: AtomicUsize::new(0),
            spare: Mutex::default(),
        }
    }

    /// Lets go of the file and the memory for reading.
    pub(super) fn start_anew(&mut self) {
        self.file = ExtentFile::new(self.dir.clone());
        *lock(&self.spare) = None;
    }

    #[inline]
    pub(super) fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Returns how many bytes of values complete a block.
    #[inline]
    pub(super) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Returns the capacity of a block in memory, with room for its last value.
    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.file.claimed_bytes()
    }

    /// Returns a number for a writer.
    pub(super) fn new_writer(&self) -> u64 {
        self.next_writer.fetch_add(1, Relaxed)
    }

    /// Takes blocks of a writer that goes on.
    pub(super) fn keep_writing(&self, writer: u64, sealed: Sealed) {
        if sealed.blocks.is_empty() {
            return;
        }
        let mut blocks = lock(&self.blocks);
        let mut all = blocks.writing.iter_mut();
        match all.find(|(number, _)| *number == writer) {
            Some((_, kept)) => kept.append(sealed),
            None => blocks.writing.push((writer, sealed)),
        }
    }

    /// Takes what a writer has finished.
    pub(super) fn hand_over(&self, writer: u64, part: Part) {
        let last = part.into_sealed(self);
        let mut blocks = lock(&self.blocks);
        let mut sealed = blocks.take_writing(writer);
        sealed.append(last);
        if sealed.count() > 0 {
            blocks.list.push(Arc::new(sealed));
            self.list_len.store(blocks.list.len(), Relaxed);
        }
    }

    /// Gives back what a writer has that did not finish.
    pub(super) fn give_up(&self, writer: u64, part: Part) {
        let sealed = lock(&self.blocks).take_writing(writer);
        give_back(self, 0..0, sealed.blocks);
        part.give_back(self);
    }

    /// Takes blocks of the spool itself, behind the first `known` parts of the list.
    pub(super) fn keep(&self, known: &mut usize, sealed: Sealed) {
        self.insert(&mut lock(&self.blocks).list, known, sealed);
    }

    /// As [`keep`](Self::keep); from then on everything in the list is known.
    pub(super) fn keep_before_new(&self, known: &mut usize, sealed: Sealed) {
        let list = &mut lock(&self.blocks).list;
        self.insert(list, known, sealed);
        *known = list.len();
    }

    fn insert(&self, list: &mut Vec<Arc<Sealed>>, known: &mut usize, sealed: Sealed) {
        if sealed.blocks.is_empty() {
            return;
        }
        let before = known.checked_sub(1).and_then(|before| list.get_mut(before));
        if let Some(before) = before.and_then(Arc::get_mut) {
            before.append(sealed);
        } else {
            list.insert(*known, Arc::new(sealed));
            *known = known.saturating_add(1);
        }
        self.list_len.store(list.len(), Relaxed);
    }

    /// Returns how many parts there are in the list.
    #[inline]
    pub(super) fn list_len(&self) -> usize {
        self.list_len.load(Relaxed)
    }

    /// Returns the parts of the list.
    pub(super) fn list(&self) -> Vec<Arc<Sealed>> {
        lock(&self.blocks).list.clone()
    }

    /// Sums up something of all parts of the list.
    pub(super) fn sum_list(&self, of: impl Fn(&Sealed) -> u64) -> u64 {
        let blocks = lock(&self.blocks);
        blocks.list.iter().map(|sealed| of(sealed)).sum()
    }

    /// Empties the list, and returns its blocks.
    pub(super) fn take_list(&self) -> Vec<Block> {
        let list = std::mem::take(&mut lock(&self.blocks).list);
        self.list_len.store(0, Relaxed);
        list.into_iter().flat_map(Sealed::take_blocks).collect()
    }

    /// Writes the blocks that are in memory, of any writer, unless they are being read, and returns
    /// whether there were any.
    pub(super) fn spill_list(&self, outlet: &mut Outlet) -> Result<bool> {
        let mut blocks = lock(&self.blocks);
        let Blocks { list, writing } = &mut *blocks;
        let ready = list.iter_mut().filter_map(Arc::get_mut);
        let mut any = false;
        for sealed in ready.chain(writing.iter_mut().map(|(_, sealed)| sealed)) {
            any |= sealed.spill(self, outlet)?;
        }
        Ok(any)
    }

    /// Gives whole pages of a part of the file back to the disk, and returns where they end.
    pub(super) fn give_back(&self, part: Extent) -> u64 {
        let page = sys::page_size() as u64;
        let start = part.start.checked_next_multiple_of(page);
        let end = part
            .end
            .saturating_sub(part.end.checked_rem(page).unwrap_or(0));
        match start.filter(|start| *start < end) {
            Some(start) => {
                self.file.give_back(start..end);
                end
            }
            None => part.start,
        }
    }

    /// Starts to read a block; a hint.
    pub(super) fn will_need(&self, stored: &Stored) {
        self.file.will_need(stored.extent());
    }

    pub(super) fn damaged(&self, what: &str) -> Error {
        self.file.damaged(what)
    }

    pub(super) fn sum(&self, number: u64, bytes: &[u8]) -> u64 {
        checksum(self.seed.wrapping_add(number), bytes)
    }

    #[cfg(test)]
    pub(super) fn damage(&self, stored: &Stored, byte: u64) {
        self.file.damage(stored.at.saturating_add(byte));
    }
}

/// Where a writer writes: space of the file that nothing else uses.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    left: Extent,
    written: u64,
    packed: Buffer,
}

impl Outlet {
    /// Writes a block. After an error nothing has changed. If memory that it takes to read the block is
    /// in use by a reader, other memory is kept only if `else_lost`.
    pub(super) fn write(&mut self, store: &Store, block: &[u8], else_lost: bool) -> Result<Stored> {
        let packed = self.pack(store, block);
        let bytes = packed
            .and_then(|len| self.packed.get(..len))
            .unwrap_or(block);
        let len = bytes.len();
        let at = claim(store, &mut self.left, self.written, len as u64)?;
        store.file.write(bytes, at)?;
        self.left.start = at.saturating_add(len as u64);
        self.written = self.written.saturating_add(len as u64);
        let number = store.next_number.fetch_add(1, Relaxed);
        let sum = store.sum(number, bytes);
        if packed.is_some() {
            store.keep_packed(&mut self.packed, len, else_lost);
        }
        Ok(Stored {
            at,
            len,
            raw_len: block.len(),
            raw_sum: packed.map(|_len| store.sum(number, block)),
            sum,
            number,
        })
    }

    /// Compresses a block, and returns how long it is then; `None` if it should stay as it is.
    fn pack(&mut self, store: &Store, block: &[u8]) -> Option<usize> {
        let compress = store.compress.as_ref()?;
        let room = compress.target_bytes(block.len());
        let target = self.packed.room(&store.budget, room).ok()?;
        let len = compress.compress(block, target)?;
        (len < block.len() && len <= room).then_some(len)
    }

    /// Gives back the memory, and space that was not used.
    pub(super) fn close(self, store: &Store) {
        store.give_back(self.left);
    }
}

/// Returns where `len` bytes can be written, and claims space if what is left is too short.
fn claim(store: &Store, left: &mut Extent, written: u64, len: u64) -> Result<u64> {
    if left.end.saturating_sub(left.start) >= len {
        return Ok(left.start);
    }
    let least = (store.capacity as u64).saturating_mul(CLAIM_BLOCKS_MIN);
    let ample = (written / 4).clamp(least, CLAIM_BYTES_MAX.max(least));
    let claimed = store.file.claim(ample.max(len));
    let claimed = claimed.or_else(|refused| {
        if ample > len {
            store.file.claim(len)
        } else {
            Err(refused)
        }
    })?;
    let rest = std::mem::replace(left, claimed);
    store.give_back(rest);
    Ok(left.start)
}
