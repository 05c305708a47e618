//! What one file has in the page cache, in chunks, and how a chunk leaves it.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use crate::io::cache::account::Account;
use crate::io::cache::is_unknown;
use crate::io::syncs::Syncs;
use crate::sys;
use crate::sys::Hint;

/// Bytes that are written back and dropped together: as long as the longest piece in which the page
/// cache keeps pages, and long enough that the calls cost little beside the transfer.
pub(in crate::io) const CHUNK_BYTES: u64 = if cfg!(test) { 256 << 10 } else { 2 << 20 };

/// The chunks of a file that count as cached.
#[derive(Debug)]
pub(super) struct Trail {
    /// The file once more; writes go through that of its owner. `None` when that is closed. A thread
    /// that works on the file holds the lock, so the owner closes it for good.
    file: RwLock<Option<sys::File>>,
    /// In which the chunks are entered that may stay while the process has its share.
    shared: Arc<Account>,
    /// In which the others are entered.
    own: Arc<Account>,
    /// The process that opened the file.
    owner: u64,
    /// Waiting for write-back takes the report of lost pages away from later syncs, so it is one.
    pub(super) syncs: Syncs,
    chunks: Mutex<Chunks>,
    /// Whether the pages that were read stay when the file is closed.
    stays: AtomicBool,
}

/// Chunks that count, by ascending number.
type Chunks = VecDeque<Chunk>;

#[derive(Debug)]
struct Chunk {
    number: u64,
    /// Bytes that were written to it, at most all.
    bytes: u64,
    /// Bytes of them whose write-back was not started.
    dirty: u64,
    counts: Counts,
}

/// Where a chunk counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// As written, with those of all files.
    Shared,
    /// As written, with those of this file.
    Own,
    /// As read, with those of all files.
    Read,
}

impl Trail {
    pub(super) fn new(file: sys::File, shared: Arc<Account>, own: Account) -> Self {
        Self {
            file: RwLock::new(Some(file)),
            shared,
            own: Arc::new(own),
            owner: sys::process(),
            syncs: Syncs::default(),
            chunks: Mutex::default(),
            stays: AtomicBool::new(false),
        }
    }

    /// Closes the file, after what another thread may be doing with it: one chunk is written back at
    /// most. In a forked child that thread is not there, and its lock may be held for ever.
    pub(super) fn close(&self) {
        if self.is_owner() {
            let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
            *file = None;
        }
    }

    /// Lets what was read count for as long as the process lives.
    pub(super) fn leave(&self) {
        self.stays.store(true, Relaxed);
    }

    /// Makes a call for a chunk of the file, in the process that owns it; `None` if it is closed.
    fn call(
        &self,
        number: u64,
        mut call: impl FnMut(&sys::File, u64) -> io::Result<()>,
    ) -> Option<io::Result<()>> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        let file = file.as_ref()?;
        Some(sys::retry(|| call(file, start_of(number))))
    }

    /// Notes that `len` bytes from `offset` are in the cache, and has what is too much dropped.
    pub(super) fn wrote(self: &Arc<Self>, offset: u64, len: u64, is_own: bool) {
        let counts = if is_own { Counts::Own } else { Counts::Shared };
        let account = self.account(counts);
        let end = offset.saturating_add(len);
        let mut at = offset;
        while at < end {
            let number = at / CHUNK_BYTES;
            let next = number.saturating_add(1).saturating_mul(CHUNK_BYTES);
            let to = next.min(end).max(at.saturating_add(1));
            if self.add(number, to.saturating_sub(at), counts) == Some(true)
                && !account.enter(self, number)
            {
                self.take(number);
            }
            at = to;
        }
        account.settle();
    }

    /// Counts the chunk at an offset as read, if there is room for it or it counts already.
    pub(super) fn read(&self, offset: u64) -> bool {
        let number = offset / CHUNK_BYTES;
        let mut chunks = self.lock();
        let found = chunks.binary_search_by_key(&number, |chunk| chunk.number);
        let Err(place) = found else {
            return true;
        };
        if chunks.try_reserve(1).is_err() || !self.shared.add_read(CHUNK_BYTES) {
            return false;
        }
        let new = Chunk {
            number,
            bytes: CHUNK_BYTES,
            dirty: 0,
            counts: Counts::Read,
        };
        chunks.insert(place, new);
        true
    }

    /// Counts bytes that were written to a chunk. Returns whether it is a new one; `None` if there is
    /// no memory for it.
    fn add(&self, number: u64, len: u64, counts: Counts) -> Option<bool> {
        let mut chunks = self.lock();
        let found = chunks.binary_search_by_key(&number, |chunk| chunk.number);
        let new = Chunk {
            number,
            bytes: 0,
            dirty: 0,
            counts,
        };
        let mut is_new = found.is_err();
        let place = found.unwrap_or_else(|place| place);
        if is_new {
            chunks.try_reserve(1).ok()?;
            chunks.insert(place, new);
        } else if let Some(chunk) = chunks.get_mut(place) {
            if chunk.counts == Counts::Read {
                self.uncount(chunk);
                *chunk = new;
                is_new = true;
            }
        }
        let chunk = chunks.get_mut(place)?;
        let added = len.min(CHUNK_BYTES.saturating_sub(chunk.bytes));
        chunk.bytes = chunk.bytes.saturating_add(added);
        let dirtied = len.min(CHUNK_BYTES.saturating_sub(chunk.dirty));
        chunk.dirty = chunk.dirty.saturating_add(dirtied);
        self.account(chunk.counts).added(added, dirtied);
        Some(is_new)
    }

    /// Lets a chunk count no more, and says how many bytes did. For the process that owns the file.
    fn take(&self, number: u64) -> Option<u64> {
        let mut chunks = self.lock();
        let place = chunks.binary_search_by_key(&number, |chunk| chunk.number);
        let chunk = chunks.remove(place.ok()?)?;
        self.uncount(&chunk);
        Some(chunk.bytes)
    }

    fn uncount(&self, chunk: &Chunk) {
        // A forked child does not count what its parent has.
        if !self.is_owner() {
            return;
        }
        match chunk.counts {
            Counts::Read if self.stays.load(Relaxed) => {}
            Counts::Read => self.shared.remove_read(chunk.bytes),
            counts => self.account(counts).removed(chunk.bytes, chunk.dirty),
        }
    }

    /// Returns whether a chunk counts.
    pub(super) fn has(&self, number: u64) -> bool {
        let Some(chunks) = self.try_lock() else {
            return true;
        };
        let found = chunks.binary_search_by_key(&number, |chunk| chunk.number);
        found.is_ok()
    }

    /// Forgets the chunks that lie in a range as a whole.
    pub(super) fn forget(&self, range: Range<u64>) {
        let first = range.start.div_ceil(CHUNK_BYTES);
        let end = range.end / CHUNK_BYTES;
        // A forked child forgets nothing of what its parent has.
        if !self.is_owner() {
            return;
        }
        let mut chunks = self.lock();
        chunks.retain(|chunk| {
            let stays = chunk.number < first || chunk.number >= end;
            if !stays {
                self.uncount(chunk);
            }
            stays
        });
    }

    /// Has the kernel start to write a chunk to the device.
    pub(super) fn start(&self, number: u64) {
        if !self.is_owner() {
            return;
        }
        let mut chunks = self.lock();
        let place = chunks.binary_search_by_key(&number, |chunk| chunk.number);
        let Some(chunk) = place.ok().and_then(|place| chunks.get_mut(place)) else {
            return;
        };
        let dirty = std::mem::take(&mut chunk.dirty);
        self.account(chunk.counts).removed(0, dirty);
        drop(chunks);
        // A refusal costs speed; a lost page is reported to the thread that waits for it.
        let _started = self.call(number, |file, at| file.write_back(at, CHUNK_BYTES, false));
    }

    /// Writes a chunk to the device and takes it out of the cache, unless it counts no more. Returns
    /// how many bytes of it counted.
    pub(super) fn drop_chunk(&self, number: u64) -> u64 {
        let Some(bytes) = self.is_owner().then(|| self.take(number)).flatten() else {
            return 0;
        };
        let written = self.syncs.run(|| {
            match self.call(number, |file, at| file.write_back(at, CHUNK_BYTES, true)) {
                // Then the kernel writes what it drops.
                Some(Err(answer)) if is_unknown(&answer) => Ok(()),
                // A file that is closed needs nothing more.
                answer => answer.unwrap_or(Ok(())),
            }
        });
        // What could not be written may be the only copy.
        if matches!(written, Some(Ok(()))) {
            let _hint = self.call(number, |file, at| {
                file.advise(at, CHUNK_BYTES, Hint::DontNeed)
            });
        }
        bytes
    }

    /// Returns the account of what was written.
    fn account(&self, counts: Counts) -> &Account {
        match counts {
            Counts::Shared | Counts::Read => &self.shared,
            Counts::Own => &self.own,
        }
    }

    fn is_owner(&self) -> bool {
        sys::process() == self.owner
    }

    /// For the process that owns the file.
    fn lock(&self) -> MutexGuard<'_, Chunks> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For any thread in any process: in a forked child the lock may be held for ever.
    fn try_lock(&self) -> Option<MutexGuard<'_, Chunks>> {
        match self.chunks.try_lock() {
            Ok(chunks) => Some(chunks),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let chunks = self
            .chunks
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for chunk in std::mem::take(chunks) {
            self.uncount(&chunk);
        }
    }
}

fn start_of(number: u64) -> u64 {
    number.saturating_mul(CHUNK_BYTES)
}
