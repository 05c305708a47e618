//! What the files of this process leave in the page cache: kept while that is a fair share of the
//! memory, written back early and dropped beyond it.
//!
//! A full page cache is the slowest state of memory: the kernel reclaims a page for each that is
//! written, and does little else (linux-facts A11). So the process takes a share, and stays within it.
//! [`account`] knows what all files have in the cache together, in the order in which it came, and
//! [`trail`] what one file has. What came first is dropped first, whichever file it is of. [`pass`] does
//! the same for what is read in order.
//!
//! Counted is what the process writes by system calls: the data of callers, and the zeros that stand for
//! space where a file system cannot reserve it. What is stored through mappings is not: no call is made,
//! and pages that are mapped cannot be dropped (linux-facts S3). The kernel limits how many of them are
//! dirty (linux-facts S4).

pub(crate) mod account;
#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod account_tests;
pub(crate) mod pass;
#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod tests;
pub(in crate::io) mod trail;

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use crate::io::cache::account::Account;
use crate::io::cache::trail::{CHUNK_BYTES, Trail};
use crate::io::file::OwnedFile;
use crate::sys;
use crate::sys::{Hint, PAGES_ASKED_MAX};

/// What stays in the page cache of what is written to a file.
///
/// Given to [`ScratchDir`](crate::ScratchDir) for all that is made in it, and to single files by
/// [`RangeFile::set_cache_policy`](crate::RangeFile::set_cache_policy) and
/// [`AtomicFile::set_cache_policy`](crate::AtomicFile::set_cache_policy). It changes speed only: what
/// is written is read back whatever the policy, and no policy makes it survive a power cut.
///
/// # What is not counted
///
/// What is stored through a mapping, by changes of a [`DiskVec`](crate::DiskVec) in place, through
/// ranges of a [`RangeFile`](crate::RangeFile), and in blocks of a [`DiskAlloc`](crate::DiskAlloc) or
/// [`SpillAlloc`](crate::SpillAlloc): only the kernel learns of it. It lets a store into a clean page
/// wait where too many pages are dirty, writes them back after a while, and keeps pages that are mapped
/// for as long as it has memory. [`DiskVec::evict`](crate::DiskVec::evict) has them leave the cache
/// early. Nor is a page that outcore drops while it is mapped: it stays until the kernel takes it.
///
/// # Examples
///
/// ```
/// use outcore::{Arena, CachePolicy, ScratchDir};
///
/// let dir = ScratchDir::from_env()?;
/// // A log that nothing in this process reads again soon.
/// let log = Arena::new_in(&dir.with_cache_policy(CachePolicy::Drop))?;
/// let mut writer = log.writer()?;
/// let location = writer.push("written and forgotten")?;
/// writer.finish()?;
/// assert_eq!(log.get(location)?, b"written and forgotten");
/// # Ok::<(), outcore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CachePolicy {
    /// As much as is a fair share: of what is written to files of this policy, the page cache may keep
    /// an eighth of the memory that is available, or of what the memory control group of the process has
    /// left, for all of them together. Beyond that, what was written first is written to the device and
    /// dropped, in pieces of 2 MiB, so what was written last stays longest. What is read in order
    /// ([`DiskVec::scan`](crate::DiskVec::scan), [`Arena::stream`](crate::Arena::stream),
    /// [`InputFile`](crate::InputFile)) may make it half of the memory that is available; what is read
    /// at random is left to the kernel. For nearly all programs.
    #[default]
    Auto,
    /// All of it, for as long as the kernel likes: outcore drops nothing. For data that is read again
    /// and again, fits into memory, and is more than an eighth of it. What is larger than memory is
    /// written several times slower than with `Auto`, and displaces what other programs have cached.
    Keep,
    /// As little as possible, at most some 8 MiB a file: each large write goes to the device at once.
    /// For data that is read much later or not at all, where other programs need the memory. To read
    /// it again is a read of the device.
    Drop,
}

impl CachePolicy {
    const ALL: [Self; 3] = [Self::Auto, Self::Keep, Self::Drop];

    fn from_number(number: u8) -> Self {
        let known = Self::ALL.get(usize::from(number));
        known.copied().unwrap_or_default()
    }
}

/// The most bytes of one write into the cache: the kernel allocates memory in the pieces in which it
/// is written, and longer ones may have to come from memory that the host took back (linux-facts F11).
const PIECE_BYTES: usize = 256 << 10;

/// The least bytes of a write that passes the cache.
const UNCACHED_BYTES_MIN: usize = if cfg!(test) { 8 << 10 } else { 64 << 10 };

/// What a file that is to leave nothing in the cache may have there all the same, where it has to be
/// dropped piece by piece.
const DROP_SHARE_BYTES: u64 = 4 * CHUNK_BYTES;

/// The policy of one file, and its part of the page cache.
#[derive(Debug, Default)]
pub(crate) struct FileCache {
    policy: AtomicU8,
    /// Whether writes past the cache were refused. The file system would refuse them again.
    refused: AtomicBool,
    /// Made by the first write that counts; `None` where there is no descriptor for it.
    trail: OnceLock<Option<Arc<Trail>>>,
}

impl FileCache {
    pub(crate) fn policy(&self) -> CachePolicy {
        CachePolicy::from_number(self.policy.load(Relaxed))
    }

    /// Sets the policy for what is written from now on.
    pub(crate) fn set_policy(&self, policy: CachePolicy) {
        self.policy.store(policy as u8, Relaxed);
    }

    /// Writes once, and returns how many of `bytes` were taken. Where the share is used up, drops what
    /// was written before, by this file or others; that never fails.
    pub(crate) fn write(&self, file: &sys::File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let piece = bytes.get(..PIECE_BYTES).unwrap_or(bytes);
        let policy = self.policy();
        if policy == CachePolicy::Drop {
            if let Some(taken) = self.write_uncached(file, piece, offset)? {
                return Ok(taken);
            }
        }
        let taken = file.write_at(piece, offset)?;
        if policy != CachePolicy::Keep && taken > 0 {
            if let Some(trail) = self.trail(file) {
                trail.wrote(offset, taken as u64, policy == CachePolicy::Drop);
            }
        }
        Ok(taken)
    }

    /// Writes the whole pages of a long piece past the cache. `None` if the piece is short, or where
    /// there are no such writes.
    fn write_uncached(
        &self,
        file: &sys::File,
        piece: &[u8],
        offset: u64,
    ) -> io::Result<Option<usize>> {
        if piece.len() < UNCACHED_BYTES_MIN.max(sys::page_size()) || self.refused.load(Relaxed) {
            return Ok(None);
        }
        // The next write adds to the last page, which the kernel would have to read for that.
        let end = offset.saturating_add(piece.len() as u64);
        let beyond = end.checked_rem(sys::page_size() as u64).unwrap_or(0);
        let beyond = usize::try_from(beyond).unwrap_or(0);
        let whole = piece.len().saturating_sub(beyond);
        match file.write_uncached(piece.get(..whole).unwrap_or(piece), offset) {
            Err(answer) if is_unknown(&answer) => {
                self.refused.store(true, Relaxed);
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    /// Has a chunk leave the cache that a reader has passed and brought in; it stays if it has a place
    /// in the share.
    fn pass(&self, file: &sys::File, offset: u64) {
        let stays = match self.policy() {
            CachePolicy::Keep => true,
            CachePolicy::Drop => false,
            CachePolicy::Auto => self.trail(file).is_some_and(|trail| trail.read(offset)),
        };
        if !stays {
            let _hint = sys::retry(|| file.advise(offset, CHUNK_BYTES, Hint::DontNeed));
        }
    }

    /// Forgets what of a range is in the cache: it is not there any more.
    pub(crate) fn forget(&self, range: Range<u64>) {
        if let Some(Some(trail)) = self.trail.get() {
            trail.forget(range);
        }
    }

    /// Lets what was read of a file count for as long as the process lives: its pages stay when it is
    /// closed.
    pub(crate) fn leave(&self) {
        if let Some(Some(trail)) = self.trail.get() {
            trail.leave();
        }
    }

    /// Runs a sync of the file. `None` if an early write-back has lost pages, or another sync.
    pub(crate) fn sync<E>(&self, sync: impl FnOnce() -> Result<(), E>) -> Option<Result<(), E>> {
        match self.trail.get() {
            Some(Some(trail)) => trail.syncs.run(sync),
            _ => Some(sync()),
        }
    }

    fn trail(&self, file: &sys::File) -> Option<&Arc<Trail>> {
        let trail = self.trail.get_or_init(|| {
            let file = sys::retry(|| file.share()).ok()?;
            let shared = Account::of_process();
            let own = Account::with_share(DROP_SHARE_BYTES);
            Some(Arc::new(Trail::new(file, shared, own)))
        });
        trail.as_ref()
    }
}

impl Drop for FileCache {
    fn drop(&mut self) {
        if let Some(Some(trail)) = self.trail.get() {
            trail.close();
        }
    }
}

impl OwnedFile {
    /// Returns whether at least half of a range of whole pages is in the page cache, or may be.
    fn is_cached(&self, offset: u64, len: u64) -> bool {
        if self.cache().policy() == CachePolicy::Keep || !self.is_owner() {
            return true;
        }
        // To ask takes addresses for a moment, which another thread may need just then.
        if sys::address_limit().is_some() {
            return true;
        }
        let step = (sys::page_size() as u64).saturating_mul(PAGES_ASKED_MAX as u64);
        let end = offset.saturating_add(len);
        let (mut at, mut cached) = (offset, 0_u64);
        while at < end {
            let part = step.min(end.saturating_sub(at));
            match sys::retry(|| self.sys().cached_bytes(at, part)) {
                Ok(bytes) => cached = cached.saturating_add(bytes),
                Err(_refused) => return true,
            }
            at = at.saturating_add(part);
        }
        cached >= len / 2
    }

    /// Has a chunk leave the cache that a reader has passed and brought in.
    fn pass(&self, offset: u64) {
        if self.is_owner() {
            self.cache().pass(self.sys(), offset);
        }
    }
}

/// Returns whether an answer says that this kernel or file system does not know the call, or that the
/// process may not make it.
fn is_unknown(answer: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(answer.kind(), Unsupported | InvalidInput | PermissionDenied)
}
