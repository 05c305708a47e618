//! Which bytes of a file are free and which are given out: numbers only, no file and no memory.
//!
//! No byte from the counter `watermark` on was given out yet, and a range is allocated by adding to
//! it: no lock, no retry. Free lists under a lock hold ranges that were returned, remainders, and
//! what a claim skipped. They are used after the watermark has reached the end of the file.
//!
//! The watermark never decreases. A thread whose addition passes the end owns numbers behind the
//! file, and puts them into the free lists: they become bytes when the file grows. Subtracting them
//! again would be wrong: another thread may add between the two steps, and the same numbers would
//! be given out twice.
//!
//! The two counters also keep the file alive: `watermark` counts the bytes that were given out, and
//! `returned` those that came back. So giving out a range costs one atomic operation, and there is
//! no count of owners.
//!
//! After a thread returns its last bytes to `returned`, another thread may free the allocator before
//! the call returns. So that is a method of the counter alone: no reference to the allocator may be
//! passed to it.

use std::ops::Range;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::containers::range_file::align::align_up;
use crate::containers::range_file::range_set::RangeSet;
use crate::containers::range_file::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, fence};
use crate::exact::difference;

/// The longest range that is allocated by the counter alone. A longer range that does not fit would
/// use up many numbers of the counter, so the length is checked first.
const FAST_MAX: u64 = 1 << 20;

/// The longest file: it leaves room in the counter for all additions of threads that fail.
pub(super) const LEN_MAX: u64 = 1 << 60;

/// In `returned`: no more ranges are given out.
const CLOSED: u64 = 1 << 63;

/// A value in cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct CacheAligned<T>(T);

/// The allocator of one file.
///
/// # Invariants
///
/// 1. Each number below `watermark` is in a range that is given out, was in one that is finished, or
///    is in one of the two lists; never in two of these. Numbers from `watermark` on are in none.
/// 2. `returned` is `watermark` less the bytes that are given out and not returned yet; once closed,
///    [`CLOSED`] less those.
/// 3. Ranges that are given out end at `end` or before.
#[derive(Debug)]
pub(super) struct RangeAllocator {
    watermark: CacheAligned<AtomicU64>,
    returned: CacheAligned<Returned>,
    shared: CacheAligned<Shared>,
}

/// How many bytes are back.
///
/// An atomic number and nothing else, so that it may be freed by another thread while a call of one
/// of its methods has yet to return, as a lock or a count of references may.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Returned(AtomicU64);

/// Fields that are read often and seldom changed.
#[derive(Debug)]
struct Shared {
    /// The length of the file. Grows only.
    end: AtomicU64,
    /// Whether `watermark` has reached `end`. Changed under the lock.
    is_full: AtomicBool,
    lists: Mutex<FreeLists>,
}

/// The fields that the lock protects.
#[derive(Debug, Default)]
struct FreeLists {
    /// Bytes that can be allocated and claimed.
    free: RangeSet,
    /// Bytes that can only be claimed: the content of the file when it was opened.
    content: RangeSet,
    /// The end of that content.
    content_end: u64,
    /// Whether no more ranges are given out.
    is_sealed: bool,
    /// Ranges that were finished.
    written: RangeSet,
}

/// Why a range cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    OutOfBounds,
    InUse,
    Sealed,
}

impl RangeAllocator {
    /// Creates the allocator of a file of `len` bytes, at most [`LEN_MAX`], of which the first
    /// `content` can only be claimed.
    pub(super) fn new(len: u64, content: u64) -> Self {
        debug_assert!(content <= len && len <= LEN_MAX);
        let mut lists = FreeLists {
            content_end: content,
            ..FreeLists::default()
        };
        let watermark = align_up(content);
        lists.put_back(0..watermark);
        Self {
            watermark: CacheAligned(AtomicU64::new(watermark)),
            returned: CacheAligned(Returned(AtomicU64::new(watermark))),
            shared: CacheAligned(Shared {
                end: AtomicU64::new(len),
                is_full: AtomicBool::new(watermark >= len),
                lists: Mutex::new(lists),
            }),
        }
    }

    /// Gives out a range of `len` bytes, rounded up to the alignment; a range at the end of the
    /// file may be shorter, but never shorter than `len`. Returns `None` for 0 bytes, and if there
    /// is no such range.
    #[inline]
    pub(super) fn allocate(&self, len: u64) -> Option<Range<u64>> {
        let shared = &self.shared.0;
        if len == 0 || len > FAST_MAX || shared.is_full.load(Relaxed) {
            return some(self.allocate_listed(len));
        }
        let need = align_up(len);
        let start = self.watermark.0.fetch_add(need, Relaxed);
        // Cannot overflow: `grow` refuses from 2^62 on, a thread adds at most FAST_MAX before
        // `is_full` is set, and no system has 2^42 threads.
        let taken = start..start.saturating_add(need);
        // Acquire: a thread that sees the length sees the bytes.
        if taken.end <= shared.end.load(Acquire) {
            return Some(taken);
        }
        some(self.allocate_past_end(taken, len))
    }

    /// Lists numbers that were taken past the end, and looks for others. Returns an empty range if
    /// there are none: an empty range is returned in registers, an `Option` of a range in memory,
    /// into which the fast path would have to store its result.
    #[cold]
    fn allocate_past_end(&self, taken: Range<u64>, len: u64) -> Range<u64> {
        let mut lists = self.lists();
        let shared = &self.shared.0;
        if self.watermark.0.load(Relaxed) >= shared.end.load(Relaxed) {
            shared.is_full.store(true, Relaxed);
        }
        self.list(&mut lists, taken);
        self.take(&mut lists, len).unwrap_or_default()
    }

    /// Gives out a range under the lock; an empty one if there is none.
    #[cold]
    fn allocate_listed(&self, len: u64) -> Range<u64> {
        let end = self.len();
        if len == 0 || len > end {
            return 0..0;
        }
        self.take(&mut self.lists(), len).unwrap_or_default()
    }

    /// Gives out a range from the counter if it has room, else from the list, or from both.
    fn take(&self, lists: &mut FreeLists, len: u64) -> Option<Range<u64>> {
        if lists.is_sealed {
            return None;
        }
        let shared = &self.shared.0;
        let end = shared.end.load(Relaxed);
        let need = align_up(len);
        let mut start = self.watermark.0.load(Relaxed);
        while start.saturating_add(len) <= end {
            let taken = start..start.saturating_add(need);
            if let Err(now) = self.advance(start, taken.end) {
                start = now;
                continue;
            }
            if taken.end > end {
                shared.is_full.store(true, Relaxed);
                self.list(lists, end..taken.end);
            }
            return Some(taken.start..taken.end.min(end));
        }
        let listed = lists.find(len, end);
        let found = listed.or_else(|| self.find_across(lists, len, end))?;
        self.unlist(lists, &found);
        Some(found)
    }

    /// Finds a range that begins in the list and ends behind the counter, and lists the missing
    /// part. For when the list alone has none.
    fn find_across(&self, lists: &mut FreeLists, len: u64, end: u64) -> Option<Range<u64>> {
        let last = lists.free.iter().next_back()?;
        let start = align_up(last.start);
        let target = start.saturating_add(align_up(len));
        if target <= last.end || start.saturating_add(len) > end {
            return None;
        }
        // Only if the counter is at the end of the list, so that the bytes are one piece.
        self.advance(last.end, target).ok()?;
        self.list(lists, last.end..target);
        if target >= end {
            self.shared.0.is_full.store(true, Relaxed);
        }
        lists.find(len, end)
    }

    /// Gives out exactly this range.
    pub(super) fn claim(&self, range: &Range<u64>) -> Result<(), Refused> {
        if range.start > range.end || range.end > self.len() {
            return Err(Refused::OutOfBounds);
        }
        if range.is_empty() {
            return Ok(());
        }
        let mut lists = self.lists();
        if lists.is_sealed {
            return Err(Refused::Sealed);
        }
        let mut watermark = self.watermark.0.load(Relaxed);
        if !lists.holds(&(range.start..range.end.min(watermark))) {
            return Err(Refused::InUse);
        }
        // The bytes between are listed, so that they can be allocated and claimed as before.
        let target = align_up(range.end);
        while watermark < target {
            match self.advance(watermark, target) {
                Ok(()) => {
                    self.list(&mut lists, watermark..target);
                    break;
                }
                Err(now) => watermark = now,
            }
        }
        if self.watermark.0.load(Relaxed) >= self.len() {
            self.shared.0.is_full.store(true, Relaxed);
        }
        if !lists.holds(range) {
            return Err(Refused::InUse);
        }
        self.unlist(&mut lists, range);
        Ok(())
    }

    /// Advances the counter, if it has not changed.
    fn advance(&self, from: u64, to: u64) -> Result<(), u64> {
        let moved = self
            .watermark
            .0
            .compare_exchange(from, to, Relaxed, Relaxed);
        moved.map(|_from| ())
    }

    /// Adds numbers that the caller has taken to the lists.
    fn list(&self, lists: &mut FreeLists, range: Range<u64>) {
        let len = difference(range.end, range.start);
        lists.put_back(range);
        self.returned.0.0.fetch_add(len, Relaxed);
    }

    /// Removes numbers from the lists, in order to give them out.
    fn unlist(&self, lists: &mut FreeLists, range: &Range<u64>) {
        lists.free.remove(range);
        lists.content.remove(range);
        let len = difference(range.end, range.start);
        self.returned.0.0.fetch_sub(len, Relaxed);
    }

    /// Puts a range that was given out, and is no longer used, into the lists, and returns its
    /// bytes except one, which the caller has to [release](Returned::release).
    pub(super) fn give_back(&self, range: Range<u64>) {
        let len = difference(range.end, range.start);
        let but_one = difference(len, 1);
        let mut lists = self.lists();
        lists.put_back(range);
        // The last byte keeps the allocator alive until the caller has left it. All others are
        // counted under the lock, so that bytes that are given out again meanwhile are not counted
        // twice.
        self.returned.0.0.fetch_add(but_one, Release);
    }

    /// Records a range as written.
    pub(super) fn finish(&self, range: Range<u64>) {
        self.lists().written.insert(range);
    }

    /// Returns the number of bytes that were given out or listed, as an argument of
    /// [`close`](Returned::close).
    pub(super) fn watermark(&self) -> u64 {
        self.watermark.0.load(Relaxed)
    }

    /// Returns the counter of returned bytes.
    pub(super) fn returned(&self) -> &Returned {
        &self.returned.0
    }

    /// Returns whether all bytes are back. The caller prevents allocations meanwhile.
    pub(super) fn is_all_back(&self) -> bool {
        self.returned.0.0.load(Acquire) == self.watermark.0.load(Relaxed)
    }

    /// Stops giving out ranges. To be called while no other thread can allocate.
    pub(super) fn seal(&self) {
        self.lists().is_sealed = true;
        self.shared.0.is_full.store(true, Relaxed);
    }

    /// Returns whether no more ranges are given out.
    pub(super) fn is_sealed(&self) -> bool {
        self.lists().is_sealed
    }

    /// Makes the file `len` bytes long, at most [`LEN_MAX`] and no shorter than it is. Returns
    /// `false` if the counter has no room; then nothing has changed.
    pub(super) fn grow(&self, len: u64) -> bool {
        let lists = self.lists();
        debug_assert!(self.len() <= len && len <= LEN_MAX);
        let watermark = self.watermark.0.load(Relaxed);
        if lists.is_sealed || watermark > 1 << 62 {
            return false;
        }
        let shared = &self.shared.0;
        shared.end.store(len, Release);
        shared.is_full.store(watermark >= len, Relaxed);
        true
    }

    /// Returns the length of the file.
    pub(super) fn len(&self) -> u64 {
        self.shared.0.end.load(Acquire)
    }

    /// Returns the number of bytes that can be allocated.
    pub(super) fn remaining(&self) -> u64 {
        let lists = self.lists();
        if lists.is_sealed {
            return 0;
        }
        let end = self.len();
        let watermark = end.saturating_sub(self.watermark.0.load(Relaxed));
        watermark.saturating_add(lists.free.count_below(end))
    }

    /// Returns the written ranges.
    pub(super) fn written(&self) -> RangeSet {
        self.lists().written.clone()
    }

    fn lists(&self) -> MutexGuard<'_, FreeLists> {
        let lists = self.shared.0.lists.lock();
        lists.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a range unless it is empty.
#[inline]
fn some(range: Range<u64>) -> Option<Range<u64>> {
    (!range.is_empty()).then_some(range)
}

impl Returned {
    /// Returns `len` bytes. The result is whether they were the last ones after
    /// [`close`](Self::close): then only the caller has a pointer to the allocator.
    pub(super) fn release(&self, len: u64) -> bool {
        // Release and the fence: the file is freed after the last use of it by any thread.
        let before = self.0.fetch_add(len, Release);
        let is_last = before.wrapping_add(len) == CLOSED;
        if is_last {
            fence(Acquire);
        }
        is_last
    }

    /// Closes the allocator: called once, by the last handle, with
    /// [`watermark`](RangeAllocator::watermark). Returns whether all bytes are back: then only the
    /// caller has a pointer to the allocator.
    pub(super) fn close(&self, watermark: u64) -> bool {
        let before = self.0.fetch_add(CLOSED.wrapping_sub(watermark), AcqRel);
        before == watermark
    }
}

impl FreeLists {
    /// Adds numbers to the list that they belong to.
    fn put_back(&mut self, range: Range<u64>) {
        let middle = self.content_end.clamp(range.start, range.end);
        self.content.insert(range.start..middle);
        self.free.insert(middle..range.end);
    }

    /// Returns whether all of `range` is in the lists.
    fn holds(&self, range: &Range<u64>) -> bool {
        let end = range.end.max(range.start);
        let middle = self.content_end.clamp(range.start, end);
        self.content.contains(&(range.start..middle)) && self.free.contains(&(middle..end))
    }

    /// Finds a range that can be allocated: the first that is long enough.
    fn find(&self, len: u64, file_end: u64) -> Option<Range<u64>> {
        let need = align_up(len);
        self.free.iter().find_map(|span| {
            let start = align_up(span.start);
            let end = span.end.min(file_end);
            let whole = start.checked_add(need).filter(|whole| *whole <= end);
            // Only at the end of the file may the length of a range not be a multiple of the
            // alignment.
            let short = (end == file_end && start.saturating_add(len) <= end).then_some(end);
            whole.or(short).map(|end| start..end)
        })
    }
}

#[cfg(not(any(loom, shuttle)))]
#[cfg(test)]
mod tests;
