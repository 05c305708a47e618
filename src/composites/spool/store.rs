//! What all writers and readers of a spool share: the budget, the file, what writers have handed over,
//! and how blocks go to the file and come back.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::MemoryBudget;
use crate::composites::spool::buffer::Buffer;
use crate::composites::spool::compress::Compress;
use crate::composites::spool::part::{Part, Sealed};
use crate::error::{Error, ErrorKind, Result};
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
    file: ExtentFile,
    compress: Option<Box<dyn Compress>>,
    block_bytes: usize,
    /// What sums of blocks begin with: bytes of another spool do not pass for these.
    seed: u64,
    next_number: AtomicU64,
    /// What writers have finished and the spool has not taken over.
    finished: Mutex<Vec<Arc<Sealed>>>,
    finished_count: AtomicUsize,
    /// Memory for a block that is read, kept once there are any on disk, with the last one in it.
    spare: Mutex<Option<Reading>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("budget", &self.budget)
            .field("block_bytes", &self.block_bytes)
            .finish_non_exhaustive()
    }
}

/// Where a block is in the file, and what it has to be.
#[derive(Debug)]
pub(super) struct Stored {
    at: u64,
    len: usize,
    /// Its length, and its sum where it is compressed.
    raw_len: usize,
    raw_sum: Option<u64>,
    sum: u64,
    /// A number that no other block of the spool has.
    number: u64,
}

impl Stored {
    pub(super) fn raw_len(&self) -> usize {
        self.raw_len
    }

    pub(super) fn extent(&self) -> Extent {
        self.at..self.at.saturating_add(self.len as u64)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    pub(super) fn new(
        budget: MemoryBudget,
        dir: Option<ScratchDir>,
        compress: Option<Box<dyn Compress>>,
    ) -> Self {
        let block_bytes = (budget.limit() / 64).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
        Self {
            budget,
            file: ExtentFile::new(dir.clone()),
            dir,
            compress,
            block_bytes,
            seed: RandomState::new().hash_one(0_u8),
            next_number: AtomicU64::new(0),
            finished: Mutex::default(),
            finished_count: AtomicUsize::new(0),
            spare: Mutex::default(),
        }
    }

    /// Lets go of the file and the memory for reading.
    pub(super) fn start_anew(&mut self) {
        self.file = ExtentFile::new(self.dir.clone());
        *lock(&self.spare) = None;
    }

    pub(super) fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    pub(super) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Returns the capacity of a block in memory, with room for its last value.
    pub(super) fn capacity(&self) -> usize {
        self.block_bytes.saturating_add(self.block_bytes / 8)
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.file.claimed_bytes()
    }

    /// Takes what a writer has finished.
    pub(super) fn hand_over(&self, part: Part) {
        if part.count() == 0 {
            return;
        }
        let sealed = part.into_sealed(self);
        let mut finished = lock(&self.finished);
        finished.push(Arc::new(sealed));
        self.finished_count.store(finished.len(), Relaxed);
    }

    /// Returns whether writers have finished since the spool has looked.
    #[inline]
    pub(super) fn has_finished(&self) -> bool {
        self.finished_count.load(Relaxed) > 0
    }

    /// Returns what writers have finished.
    pub(super) fn finished(&self) -> Vec<Arc<Sealed>> {
        lock(&self.finished).clone()
    }

    /// Sums up something of what writers have finished.
    pub(super) fn sum_finished(&self, of: impl Fn(&Sealed) -> u64) -> u64 {
        lock(&self.finished).iter().map(|sealed| of(sealed)).sum()
    }

    /// Hands what writers have finished to the spool.
    pub(super) fn take_finished(&self) -> Vec<Arc<Sealed>> {
        let mut finished = lock(&self.finished);
        self.finished_count.store(0, Relaxed);
        std::mem::take(&mut *finished)
    }

    /// Writes what is in memory of what writers have finished, unless it is being read.
    pub(super) fn spill_finished(&self, outlet: &mut Outlet) -> Result<()> {
        let mut finished = lock(&self.finished);
        let mut unread = finished.iter_mut().filter_map(Arc::get_mut);
        unread.try_for_each(|sealed| sealed.spill(self, outlet))
    }

    /// Keeps memory for one reader, if there is any: what is on disk can be read then, whatever others
    /// take of the budget.
    pub(super) fn keep_reading(&self) {
        let mut spare = lock(&self.spare);
        if spare.is_none() {
            let mut reading = Reading::default();
            if reading.make_room(self, self.capacity()).is_ok() {
                *spare = Some(reading);
            }
        }
    }

    /// Returns the memory that is kept for one reader, or none.
    pub(super) fn take_reading(&self) -> Reading {
        lock(&self.spare).take().unwrap_or_default()
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
    /// Writes a block. After an error nothing has changed.
    pub(super) fn write(&mut self, store: &Store, block: &[u8]) -> Result<Stored> {
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
        Ok(Stored {
            at,
            len,
            raw_len: block.len(),
            raw_sum: packed.map(|_len| store.sum(number, block)),
            sum: store.sum(number, bytes),
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
    let least = (store.block_bytes as u64).saturating_mul(CLAIM_BLOCKS_MIN);
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

/// Memory for a block that is read from the file.
#[derive(Debug, Default)]
pub(super) struct Reading {
    raw: Buffer,
    packed: Buffer,
    /// Which block is in memory, and how long it is.
    loaded: Option<(u64, usize)>,
}

impl Reading {
    /// Makes room for blocks of `len` bytes.
    pub(super) fn make_room(&mut self, store: &Store, len: usize) -> Result<()> {
        if len > self.raw.len() {
            self.loaded = None;
            self.raw.room(&store.budget, len)?;
        }
        if store.compress.is_some() {
            self.packed.room(&store.budget, len)?;
        }
        Ok(())
    }

    /// Reads a block, and checks that it is what was written.
    pub(super) fn load(&mut self, store: &Store, stored: &Stored) -> Result<&[u8]> {
        let key = (stored.number, stored.raw_len);
        if self.loaded != Some(key) {
            self.make_room(store, stored.raw_len)?;
            self.loaded = None;
            let raw = self.raw.room(&store.budget, stored.raw_len)?;
            match stored.raw_sum {
                None => read(store, stored, raw)?,
                Some(raw_sum) => {
                    let packed = self.packed.room(&store.budget, stored.len)?;
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
        if spare.is_none() && self.reading.raw.capacity() > 0 {
            *spare = Some(std::mem::take(&mut self.reading));
        }
    }
}

/// Returns the part of a block that a value has at `at`, behind its length.
pub(super) fn value_at(block: &[u8], at: usize) -> Option<Range<usize>> {
    let mut len = 0_u64;
    let mut bytes = block.get(at..)?.iter().zip(1_usize..);
    let (mut shift, mut start) = (0_u32, at);
    loop {
        let (byte, count) = bytes.next()?;
        let digit = u64::from(byte & 0x7F);
        let shifted = digit.checked_shl(shift)?;
        if shifted.checked_shr(shift)? != digit {
            return None;
        }
        len |= shifted;
        shift = shift.checked_add(7)?;
        start = at.checked_add(count).unwrap_or(start);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    (end <= block.len()).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lead_out_of_the_block_are_no_values() {
        assert_eq!(value_at(&[2, 5, 6], 0), Some(1..3));
        assert_eq!(value_at(&[0x82, 0, 5, 6], 0), Some(2..4));
        assert_eq!(value_at(&[0], 0), Some(1..1));
        for block in [
            &[3, 5, 6][..],
            &[0x82],
            &[],
            &[0xFF; 20],
            &[0x82, 0x80, 0x80],
        ] {
            assert_eq!(value_at(block, 0), None, "{block:?}");
        }
        assert_eq!(value_at(&[1, 2], 3), None);
    }
}
