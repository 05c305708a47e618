//! One file of an arena, and the parts of it that writers own.

use std::ops::Deref;
#[cfg(feature = "sealed")]
use std::ops::Range;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "sealed")]
use crate::containers::arena::appended::Appended;
use crate::containers::arena::watermarks::{BLOCK, Watermarks};
use crate::error::Result;
#[cfg(feature = "sealed")]
use crate::exact::product;
use crate::exact::{difference, sum};
#[cfg(feature = "sealed")]
use crate::format::DATA_START;
use crate::io::dir::ScratchDir;
#[cfg(feature = "sealed")]
use crate::io::refusal::Op;
use crate::io::refusal::Refusal;
use crate::io::scratch::ScratchFile;
use crate::mapping::growth::ample_len;

/// A file with the watermarks of its blocks. Grows at its end only.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) file: ScratchFile,
    pub(crate) watermarks: Watermarks,
    /// The number of writers in this file now, which is the number of leases.
    writers: AtomicUsize,
    /// The end of the last extent, for readers; changed under the lock of `ledger`.
    len_bytes: AtomicU64,
    /// Pushed bytes that are flushed.
    pub(crate) flushed_bytes: AtomicU64,
    /// The largest length of the file in bytes.
    len_max: u64,
    /// The bytes at the start that no item gets.
    head_bytes: u64,
    /// What a file has that can become a sealed one.
    #[cfg(feature = "sealed")]
    pub(crate) appended: Option<Appended>,
    ledger: Mutex<Ledger>,
}

/// The parts of a file that no writer owns.
#[derive(Debug, Default)]
struct Ledger {
    /// The file's length. The part behind the last extent is preallocated.
    claimed: u64,
    /// Parts before that end that writers have returned.
    spare: Vec<Extent>,
}

/// Part of a file that one writer fills from `pos` to `end`.
///
/// # Invariants
///
/// 1. No other extent has a byte of `pos..end`, and no location names one of them.
/// 2. The watermark of the block of `pos` is at `pos`; those of later blocks are 0.
/// 3. `end` is a multiple of [`BLOCK`], and the file is at least that long and preallocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) pos: u64,
    pub(crate) end: u64,
}

impl Extent {
    /// No bytes: the extent of a writer that has not pushed yet.
    pub(crate) const EMPTY: Self = Self { pos: 0, end: 0 };

    pub(crate) fn room(self) -> u64 {
        difference(self.end, self.pos)
    }
}

/// A writer's lease of a file, which counts the writer there for as long as it exists.
///
/// When the last lease ends, the file frees its unused preallocated space.
#[derive(Debug)]
pub(crate) struct Lease {
    shard: Arc<Shard>,
    number: usize,
}

impl Lease {
    /// Takes a lease of a file, which has this number in its arena.
    pub(crate) fn new(shard: &Arc<Shard>, number: usize) -> Self {
        shard.writers.fetch_add(1, Relaxed);
        let shard = Arc::clone(shard);
        Self { shard, number }
    }

    /// Returns the number of the file in its arena.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// Takes a lease of another file instead. The old file keeps its preallocated space, since the
    /// writer may come back.
    pub(crate) fn move_to(&mut self, shard: &Arc<Shard>, number: usize) {
        shard.writers.fetch_add(1, Relaxed);
        self.shard.writers.fetch_sub(1, Relaxed);
        (self.shard, self.number) = (Arc::clone(shard), number);
    }
}

impl Deref for Lease {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.shard
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.shard.writers.fetch_sub(1, Relaxed) == 1 {
            self.shard.trim();
        }
    }
}

impl Shard {
    pub(crate) fn create(dir: &ScratchDir, len_max: u64) -> Result<Self> {
        let file = ScratchFile::create(dir).map_err(|refused| dir.error(refused))?;
        Ok(Self::new(file, len_max))
    }

    /// Creates a file that can become a sealed one, if the file system has such.
    #[cfg(feature = "sealed")]
    pub(crate) fn create_sealable(dir: &ScratchDir, len_max: u64) -> Result<Self> {
        let created = ScratchFile::create_linkable(dir);
        let Some(file) = created.map_err(|refused| dir.error(refused))? else {
            return Self::create(dir, len_max);
        };
        let mut shard = Self::new(file, len_max);
        shard.head_bytes = DATA_START;
        shard.appended = Some(Appended::new(dir)?);
        Ok(shard)
    }

    fn new(file: ScratchFile, len_max: u64) -> Self {
        Self {
            file,
            watermarks: Watermarks::new(),
            writers: AtomicUsize::new(0),
            len_bytes: AtomicU64::new(0),
            flushed_bytes: AtomicU64::new(0),
            len_max,
            head_bytes: 0,
            #[cfg(feature = "sealed")]
            appended: None,
            ledger: Mutex::default(),
        }
    }

    /// Returns the number of writers in this file now.
    pub(crate) fn writer_count(&self) -> usize {
        self.writers.load(Relaxed)
    }

    /// Returns the ranges of bytes that are flushed now, and so will never change: ascending, none
    /// empty, and with a gap between two.
    #[cfg(feature = "sealed")]
    pub(crate) fn final_bytes(&self) -> impl Iterator<Item = Range<u64>> {
        let mut found: Vec<Range<u64>> = Vec::new();
        for block in 0..self.len_bytes() / BLOCK {
            let start = product(block, BLOCK);
            let end = sum(start, self.watermarks.filled(block));
            let start = start.max(self.head_bytes);
            match found.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ if end > start => found.push(start..end),
                _ => {}
            }
        }
        found.into_iter()
    }

    /// Returns the end of the last extent in bytes.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.len_bytes.load(Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Extends `extent` in place, so that it has room for `need` bytes; returns whether it could.
    /// It cannot if another extent follows.
    pub(crate) fn lengthen(&self, extent: &mut Extent, need: u64) -> Result<bool> {
        let mut ledger = self.lock();
        let len = self.len_bytes();
        if extent.end != len || extent.end == 0 {
            return Ok(false);
        }
        extent.end = self.hand_out(&mut ledger, difference(need, extent.room()))?;
        Ok(true)
    }

    /// Takes an extent with room for at least `need` bytes from those that writers have returned.
    pub(crate) fn take_spare(&self, need: u64) -> Option<Extent> {
        let spare = &mut self.lock().spare;
        let found = spare.iter().position(|extent| extent.room() >= need)?;
        Some(spare.swap_remove(found))
    }

    /// Returns whether a file of at most this length could have room for `need` bytes more.
    pub(crate) fn can_hold(&self, need: u64) -> bool {
        let need = need.checked_add(self.head_bytes);
        let end = need.and_then(|need| need.checked_next_multiple_of(BLOCK));
        let end = end.and_then(|need| need.checked_add(self.len_bytes()));
        end.is_some_and(|end| end <= self.len_max)
    }

    /// Takes an extent with room for at least `need` bytes.
    pub(crate) fn take(&self, need: u64) -> Result<Extent> {
        if let Some(extent) = self.take_spare(need) {
            return Ok(extent);
        }
        let mut ledger = self.lock();
        let start = self.len_bytes();
        // Only at the start of the file.
        let pos = start.max(self.head_bytes);
        let need = need.saturating_add(difference(pos, start));
        let end = self.hand_out(&mut ledger, need)?;
        // As if the head were written: a location that leads there is a forged one, and finds zeros.
        self.watermarks.advance(start, pos);
        Ok(Extent { pos, end })
    }

    /// Hands out the blocks for `need` bytes behind the last extent, and returns their end.
    /// Preallocates space if none is left.
    fn hand_out(&self, ledger: &mut Ledger, need: u64) -> Result<u64> {
        let least = need.max(1).checked_next_multiple_of(BLOCK);
        let end = least.and_then(|least| self.len_bytes().checked_add(least));
        let Some(end) = end.filter(|end| *end <= self.len_max) else {
            return Err(self.file.error(Refusal::too_long(self.len_max)));
        };
        let claimed = ledger.claimed;
        if claimed < end {
            let ample = whole_blocks(ample_len(claimed, end))
                .min(self.len_max)
                .max(end);
            let grown = self.file.grow(claimed, [ample, end]);
            ledger.claimed = grown.map_err(|refused| self.file.error(refused))?;
        }
        // After the preallocation, which refuses an excessive length before memory is allocated for
        // it.
        self.watermarks.reserve(end)?;
        self.len_bytes.store(end, Release);
        Ok(end)
    }

    /// Takes an extent back from a writer that no longer needs it. All of its pushed bytes are
    /// flushed.
    pub(crate) fn give_back(&self, mut extent: Extent) {
        if extent.room() == 0 {
            return;
        }
        let mut ledger = self.lock();
        if extent.end == self.len_bytes() {
            // Whole blocks at the end become preallocated space again.
            extent.end = extent.pos.next_multiple_of(BLOCK);
            self.len_bytes.store(extent.end, Release);
        }
        if extent.room() > 0 {
            ledger.spare.push(extent);
        }
    }

    /// Frees unused preallocated space, if it is worth a system call.
    fn trim(&self) {
        let mut ledger = self.lock();
        let (claimed, len) = (ledger.claimed, self.len_bytes());
        // A refusal is harmless: the space stays preallocated and is used later.
        // After a refused sealing the file may end before the last extent did.
        if claimed.saturating_sub(len) >= KEPT_BYTES_MAX && self.file.shrink(claimed, len).is_ok() {
            ledger.claimed = len;
        }
    }

    /// Takes an extent back in which `pushed` bytes were handed out as locations and never flushed:
    /// they must not become other items, so the blocks that they touch are given up.
    pub(crate) fn give_back_unflushed(&self, extent: Extent, pushed: u64) {
        let handed_out = sum(extent.pos, pushed);
        self.give_back(Extent {
            pos: handed_out.next_multiple_of(BLOCK).min(extent.end),
            end: extent.end,
        });
    }

    /// Notes bytes that were written at `pos`, and are not flushed yet.
    #[cfg(feature = "sealed")]
    pub(crate) fn wrote(&self, pos: u64, bytes: &[u8]) {
        if let Some(appended) = &self.appended {
            appended.wrote(pos, bytes);
        }
    }

    /// Cuts the file off at `len` bytes, behind the last that are flushed: there are no writers, and
    /// none will be unless [`reopen`](Self::reopen) is called.
    #[cfg(feature = "sealed")]
    pub(crate) fn cut_off(&mut self, len: u64) -> Result<()> {
        let ledger = self.ledger.get_mut();
        let ledger = ledger.unwrap_or_else(PoisonError::into_inner);
        if len >= ledger.claimed {
            return Ok(());
        }
        let cut = self.file.shrink(ledger.claimed, len);
        cut.map_err(|refused| self.file.error(refused))?;
        ledger.claimed = len;
        Ok(())
    }

    /// Lets writers append again after the file was written to behind what is claimed, or cut off.
    #[cfg(feature = "sealed")]
    pub(crate) fn reopen(&mut self) {
        let len = self.len_bytes();
        let ledger = self.ledger.get_mut();
        let ledger = ledger.unwrap_or_else(PoisonError::into_inner);
        // A refusal is harmless: the next growth claims what is there.
        let _cut = self.file.set_len(Op::Shorten, ledger.claimed);
        if ledger.claimed < len {
            // What is left of the last block is not preallocated any more, and a growth claims it only
            // together with the next one.
            ledger.spare.clear();
        }
    }

    /// Records that the first `len` bytes of the extent are flushed.
    pub(crate) fn flushed(&self, extent: &mut Extent, len: u64) {
        let end = sum(extent.pos, len);
        debug_assert!(end <= extent.end);
        self.watermarks.advance(extent.pos, end);
        self.flushed_bytes.fetch_add(len, Relaxed);
        extent.pos = end;
    }
}

/// Unused space that is worth a system call to free when the last writer ends.
const KEPT_BYTES_MAX: u64 = 1 << 20;

/// Rounds a length down to whole blocks.
fn whole_blocks(len: u64) -> u64 {
    len & !(BLOCK - 1)
}
