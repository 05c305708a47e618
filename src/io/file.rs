//! A file of this process: preallocates space, completes short transfers, and repeats interrupted
//! calls.
#![expect(
    unsafe_code,
    reason = "lengthens a vector over bytes that were read; see docs/safety.md"
)]

use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::OnceLock;

use crate::error::{ErrorKind, Result};
use crate::exact::{difference, first, narrow, rest, rest_mut, sum};
use crate::io::cache::FileCache;
use crate::io::refusal::{Op, Refusal, retry};
use crate::io::stats;
use crate::io::syncs::Syncs;
use crate::sys;
use crate::sys::Hint;

/// The bytes that are written at once where space cannot be claimed otherwise.
const ZEROS: &[u8] = &[0; 1 << 20];

/// The bytes that are copied at once.
pub(crate) const COPY_BYTES: usize = 1 << 20;

/// An open file. What it is called in errors is known to its owner.
///
/// It belongs to the process that opened it: in a forked child, which shares the open file, every
/// call that changes it is refused, so that a child cannot overwrite what its parent trusts.
#[derive(Debug)]
pub(crate) struct OwnedFile {
    file: sys::File,
    /// The process that opened the file.
    owner: u64,
    /// After a sync that failed, no other is believed.
    syncs: Syncs,
    /// The file once more, for reads past the page cache, with the blocks that those are made of;
    /// `None` where there are no such reads.
    direct: OnceLock<Option<(sys::File, u64)>>,
    /// What the file has in the page cache.
    cache: FileCache,
}

impl OwnedFile {
    pub(crate) fn new(file: sys::File) -> Self {
        stats::file_opened();
        Self {
            file,
            owner: sys::process(),
            syncs: Syncs::default(),
            direct: OnceLock::new(),
            cache: FileCache::default(),
        }
    }

    pub(crate) fn set_len(&self, op: Op, len: u64) -> Result<(), Refusal> {
        self.check_owner(op)?;
        retry(op, || self.file.set_len(len))?;
        self.cache.forget(len..u64::MAX);
        Ok(())
    }

    /// Gives part of the file back to the disk. Does not check which process owns the file.
    pub(crate) fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        sys::retry(|| self.file.punch(offset, len))?;
        self.cache.forget(offset..offset.saturating_add(len));
        Ok(())
    }

    /// Preallocates the space of `from..to`, by writing zeros where the file system cannot reserve it.
    /// When it fails, part of the space may be allocated. Does not check which process owns the file.
    pub(crate) fn claim(&self, from: u64, to: u64) -> Result<(), Refusal> {
        self.claim_by(from, to, |zeros, at| {
            self.cache.write(&self.file, zeros, at)
        })
    }

    /// The same, and allocates no memory: such zeros do not count as cached.
    pub(crate) fn claim_uncounted(&self, from: u64, to: u64) -> Result<(), Refusal> {
        self.claim_by(from, to, |zeros, at| self.file.write_at(zeros, at))
    }

    fn claim_by(
        &self,
        from: u64,
        to: u64,
        write: impl FnMut(&[u8], u64) -> io::Result<usize>,
    ) -> Result<(), Refusal> {
        let len = difference(to, from);
        let claimed = match sys::retry(|| self.file.allocate(from, len)) {
            Err(answer) if answer.kind() == io::ErrorKind::Unsupported => {
                write_zeros_by(from, len, write)
            }
            claimed => claimed,
        };
        claimed.map_err(|answer| Refusal::failed(Op::Grow, &answer))
    }

    /// Makes the space of the first `len` bytes, of a file that has them, its own, and changes no byte:
    /// claims what is missing, and separates what other files share. Refused where the file system
    /// cannot claim: zeros would overwrite what is there.
    pub(crate) fn claim_existing(&self, len: u64) -> Result<(), Refusal> {
        retry(Op::Grow, || self.file.allocate(0, len))?;
        match sys::retry(|| self.file.unshare(0, len)) {
            Err(answer) if is_unknown(&answer) => self.rewrite_shared(len),
            unshared => unshared.map_err(|answer| Refusal::failed(Op::Grow, &answer)),
        }
    }

    /// Writes what is in shared blocks of the first `len` bytes once more, which puts it into others.
    /// On btrfs there is no other way (linux-facts G5).
    fn rewrite_shared(&self, len: u64) -> Result<(), Refusal> {
        let (mut at, mut wrote) = (0, false);
        while at < len {
            let answer = match sys::retry(|| self.file.find_shared(at..len)) {
                // A file system that does not tell does not share either.
                Err(answer) if is_unknown(&answer) => break,
                answer => answer.map_err(|answer| Refusal::failed(Op::Grow, &answer))?,
            };
            if let Some(shared) = answer.shared {
                self.copy_from(self, shared, COPY_BYTES)?;
                wrote = true;
            }
            at = answer.asked;
        }
        // The blocks are given when the pages are written.
        if wrote { self.sync_data() } else { Ok(()) }
    }

    /// Writes zeros, with the same reservations as [`claim_uncounted`](Self::claim_uncounted).
    pub(crate) fn write_zeros(&self, offset: u64, len: u64) -> io::Result<()> {
        write_zeros_by(offset, len, |zeros, at| self.file.write_at(zeros, at))
    }

    /// Writes all of `bytes` at `offset`, where space has been claimed.
    ///
    /// On failure an unknown part of them has been written; to write them again mends that.
    pub(crate) fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> Result<(), Refusal> {
        self.check_owner(Op::Write)?;
        while !bytes.is_empty() {
            let taken = retry(Op::Write, || self.cache.write(&self.file, bytes, offset))?;
            if taken == 0 {
                return Err(Refusal::failed(Op::Write, &io::ErrorKind::WriteZero.into()));
            }
            bytes = rest(bytes, taken);
            offset = sum(offset, taken as u64);
        }
        Ok(())
    }

    /// Copies `range` of `source` to the same place of this file, where space has been claimed, in
    /// writes of `piece` bytes.
    ///
    /// Through memory: a copy that the kernel makes (`copy_file_range`) shares the blocks of both files
    /// where the file system can, and then neither owns the space of its bytes (linux-facts G4).
    pub(crate) fn copy_from(
        &self,
        source: &Self,
        range: Range<u64>,
        piece: usize,
    ) -> Result<(), Refusal> {
        let mut buffer = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let left = difference(range.end, at).min(COPY_BYTES as u64);
            buffer.clear();
            source.read_to_end_of(&mut buffer, narrow(left), at)?;
            for bytes in buffer.chunks(piece.max(1)) {
                self.write_all_at(bytes, at)?;
                at = sum(at, bytes.len() as u64);
            }
        }
        Ok(())
    }

    /// Fills all of `buffer` from `offset`.
    ///
    /// After an error the buffer's content is unspecified; after `Ok`, all of it is initialized.
    pub(crate) fn read_exact_at(
        &self,
        mut buffer: &mut [MaybeUninit<u8>],
        mut offset: u64,
    ) -> Result<(), Refusal> {
        while !buffer.is_empty() {
            let filled = retry(Op::Read, || self.file.read_at(buffer, offset))?;
            if filled == 0 {
                return Err(Refusal::failed(
                    Op::Read,
                    &io::ErrorKind::UnexpectedEof.into(),
                ));
            }
            buffer = rest_mut(buffer, filled);
            offset = sum(offset, filled as u64);
        }
        Ok(())
    }

    /// Fills all of `buffer` from `offset`. After an error its content is unspecified.
    pub(crate) fn read_over(&self, mut buffer: &mut [u8], mut offset: u64) -> Result<(), Refusal> {
        while !buffer.is_empty() {
            let filled = retry(Op::Read, || self.file.read_over(buffer, offset))?;
            if filled == 0 {
                return Err(Refusal::failed(
                    Op::Read,
                    &io::ErrorKind::UnexpectedEof.into(),
                ));
            }
            buffer = rest_mut(buffer, filled);
            offset = sum(offset, filled as u64);
        }
        Ok(())
    }

    /// Fills all of `buffer` from `offset` if that needs no device, and says whether it did.
    pub(crate) fn read_cached(&self, buffer: &mut [u8], offset: u64) -> bool {
        let read = self.file.read_cached(buffer, offset);
        read.is_ok_and(|filled| filled == buffer.len())
    }

    /// Returns the file as opened for reads past the page cache, and the blocks that those are made
    /// of in bytes, at most a page; `None` where there are no such reads.
    pub(crate) fn direct(&self) -> Option<(&sys::File, u64)> {
        let opened = self.direct.get_or_init(|| {
            let (file, alignment) = sys::retry(|| self.file.open_direct()).ok()?;
            let page = sys::page_size();
            let fits = alignment.memory <= page && alignment.offset <= page as u64;
            fits.then_some((file.shared(), alignment.offset))
        });
        opened.as_ref().map(|(file, block)| (file, *block))
    }

    /// Appends `len` bytes from `offset` to `target`. On failure `target` is unchanged but for its
    /// capacity.
    ///
    /// Allocates only where `target` has no room, and zeroes nothing.
    pub(crate) fn read_to_end_of(
        &self,
        target: &mut Vec<u8>,
        len: usize,
        offset: u64,
    ) -> Result<(), Refusal> {
        if target.try_reserve(len).is_err() {
            return Err(Refusal::no_memory(Op::Read, len));
        }
        let end = sum(target.len(), len);
        let (room, _more) = target.spare_capacity_mut().split_at_mut(len);
        self.read_exact_at(room, offset)?;
        // SAFETY: `try_reserve` made room for `len` bytes more, and all of them were read.
        unsafe { target.set_len(end) };
        Ok(())
    }

    /// Tells the page cache what to expect of `len` bytes from `offset`.
    pub(crate) fn advise(&self, offset: u64, len: u64, hint: Hint) -> Result<(), Refusal> {
        retry(Op::Advise, || self.file.advise(offset, len, hint))?;
        if hint == Hint::DontNeed {
            self.cache.forget(offset..offset.saturating_add(len));
        }
        Ok(())
    }

    /// Waits until the file's bytes are on the device. After the first failure it always fails:
    /// pages that could not be written may count as clean, and must not be dropped for that.
    pub(crate) fn sync_data(&self) -> Result<(), Refusal> {
        self.sync_by(|| self.file.sync_data())
    }

    /// The same, also for what the system notes about the file.
    pub(crate) fn sync_all(&self) -> Result<(), Refusal> {
        self.sync_by(|| self.file.sync_all())
    }

    /// The same by a call of the caller's.
    pub(crate) fn sync_by(&self, call: impl FnMut() -> io::Result<()>) -> Result<(), Refusal> {
        let refused = || {
            let reason = "an earlier sync failed, so what is in memory may be the only copy";
            Err(Refusal::ours(Op::Sync, ErrorKind::Io, reason))
        };
        let ran = self.syncs.run(|| {
            let ran = self.cache.sync(|| retry(Op::Sync, call));
            ran.unwrap_or_else(refused)
        });
        ran.unwrap_or_else(refused)
    }

    /// Returns the part of the file that is in the page cache.
    pub(crate) fn cache(&self) -> &FileCache {
        &self.cache
    }

    pub(crate) fn sys(&self) -> &sys::File {
        &self.file
    }

    /// Returns whether this is the process that opened the file.
    pub(crate) fn is_owner(&self) -> bool {
        sys::process() == self.owner
    }

    /// Refuses to work in a forked child.
    #[inline]
    pub(crate) fn check_owner(&self, op: Op) -> Result<(), Refusal> {
        if self.is_owner() {
            Ok(())
        } else {
            Err(Refusal::forked(op))
        }
    }
}

/// Writes zeros by a call that takes some of them.
fn write_zeros_by(
    offset: u64,
    len: u64,
    mut write: impl FnMut(&[u8], u64) -> io::Result<usize>,
) -> io::Result<()> {
    let end = sum(offset, len);
    let mut at = offset;
    while at < end {
        let len = difference(end, at).min(ZEROS.len() as u64);
        let zeros = first(ZEROS, narrow(len));
        let taken = sys::retry(|| write(zeros, at))?;
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        at = sum(at, taken as u64);
    }
    Ok(())
}

/// Refuses a length that the process may not give to a file: to try would be `SIGXFSZ`.
pub(crate) fn check_len(len: u64) -> Result<(), Refusal> {
    match limit_below(len) {
        None => Ok(()),
        Some(limit) => {
            stats::failed();
            Err(Refusal::past_limit(len, limit))
        }
    }
}

/// Returns `RLIMIT_FSIZE` if it does not allow a file of this length.
pub(crate) fn limit_below(len: u64) -> Option<u64> {
    sys::file_size_limit().filter(|limit| len > *limit)
}

/// Returns whether an answer says that this kernel or file system does not know the call.
fn is_unknown(answer: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, Unsupported};
    matches!(answer.kind(), Unsupported | InvalidInput)
}

impl Drop for OwnedFile {
    fn drop(&mut self) {
        stats::file_closed();
    }
}
