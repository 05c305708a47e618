//! Who has which bytes of a file: numbers only, no file and no memory.
//!
//! One counter, `fresh`, says from where on no byte was given out yet, and a range is allocated by
//! adding to it: no lock, no retry. What comes back, what is left over, and what a claim passes by
//! is in lists under a lock, which are asked when the counter has reached the end.
//!
//! The counter is never taken back. Who adds to it and finds the end passed owns numbers that no
//! byte has, and lists them, as if they were given back: when the file grows, they are bytes. To
//! subtract them again would be wrong: between the two steps others add, and would be given the
//! same numbers twice.
//!
//! The counter is also what keeps the file alive: it says how many bytes are out, `back` how many
//! of them are back. So giving out a range costs one atomic operation, and no count of owners.
//!
//! Who reports his last bytes to `back` may find the books freed before the call returns. So that is
//! a method of the counter alone: no reference to the books may lead into it.

use std::ops::Range;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::containers::range_file::align::align_up;
use crate::containers::range_file::spans::Spans;
use crate::containers::range_file::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, fence};

/// The longest range that is allocated by the counter alone. A longer one that does not fit would
/// use up the counter in vain, so it looks first.
const FAST_MAX: u64 = 1 << 20;

/// The longest file: what leaves room in the counter for all that threads can add in vain.
pub(super) const LEN_MAX: u64 = 1 << 60;

/// In `back`: no more ranges are given out.
const CLOSED: u64 = 1 << 63;

/// A value in cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Alone<T>(T);

/// The books of one file.
///
/// # Invariants
///
/// 1. Each number below `fresh` is in a range that is out, was in one that is finished, or is in
///    one of the two lists; never in two of these. Numbers from `fresh` on are in none.
/// 2. `back` is `fresh` less the bytes that are out and not reported back yet; once closed,
///    [`CLOSED`] less those.
/// 3. Ranges that are out end at `end` or before.
#[derive(Debug)]
pub(super) struct Allot {
    fresh: Alone<AtomicU64>,
    back: Alone<Back>,
    shared: Alone<Shared>,
}

/// How many bytes are back.
///
/// An atomic number and nothing else, so that it may be freed by another thread while a call of one
/// of its methods has yet to return, as a lock or a count of references may.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Back(AtomicU64);

/// What is read often and changed seldom.
#[derive(Debug)]
struct Shared {
    /// The length of the file. Grows only.
    end: AtomicU64,
    /// Whether `fresh` has reached `end`. Changed under the lock.
    is_full: AtomicBool,
    books: Mutex<Books>,
}

/// The lists.
#[derive(Debug, Default)]
struct Books {
    /// What can be allocated and claimed.
    free: Spans,
    /// What can be claimed only: bytes that were in the file when it was opened.
    content: Spans,
    /// Where those end.
    content_end: u64,
    /// Whether nothing is given out any more.
    is_sealed: bool,
    /// What was finished.
    written: Spans,
}

/// Why a range cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    OutOfBounds,
    InUse,
    Sealed,
}

impl Allot {
    /// Makes the books of a file of `len` bytes, at most [`LEN_MAX`], of which the first `content`
    /// can only be claimed.
    pub(super) fn new(len: u64, content: u64) -> Self {
        debug_assert!(content <= len && len <= LEN_MAX);
        let mut books = Books {
            content_end: content,
            ..Books::default()
        };
        let fresh = align_up(content);
        books.put_back(0..fresh);
        Self {
            fresh: Alone(AtomicU64::new(fresh)),
            back: Alone(Back(AtomicU64::new(fresh))),
            shared: Alone(Shared {
                end: AtomicU64::new(len),
                is_full: AtomicBool::new(fresh >= len),
                books: Mutex::new(books),
            }),
        }
    }

    /// Gives out a range of `len` bytes, rounded up to the alignment; less only at the end of the
    /// file, and never less than `len`. `None` of no bytes, and where there is no such range.
    #[inline]
    pub(super) fn allocate(&self, len: u64) -> Option<Range<u64>> {
        let shared = &self.shared.0;
        if len == 0 || len > FAST_MAX || shared.is_full.load(Relaxed) {
            return some(self.allocate_listed(len));
        }
        let need = align_up(len);
        let start = self.fresh.0.fetch_add(need, Relaxed);
        // Cannot overflow: `grow` refuses from 2^62 on, a thread adds at most FAST_MAX before it
        // sees to it that `is_full` is set, and no system has 2^42 threads.
        let taken = start..start.saturating_add(need);
        // Acquire: who sees the length sees the bytes.
        if taken.end <= shared.end.load(Acquire) {
            return Some(taken);
        }
        some(self.allocate_past_end(taken, len))
    }

    /// Lists numbers that were taken past the end, and looks for others. An empty range where there
    /// are none: that is returned in registers, and an option of one in memory, where the fast way
    /// would have to put its own.
    #[cold]
    fn allocate_past_end(&self, taken: Range<u64>, len: u64) -> Range<u64> {
        let mut books = self.books();
        let shared = &self.shared.0;
        if self.fresh.0.load(Relaxed) >= shared.end.load(Relaxed) {
            shared.is_full.store(true, Relaxed);
        }
        self.list(&mut books, taken);
        self.take(&mut books, len).unwrap_or_default()
    }

    /// Gives out a range under the lock; an empty one where there is none.
    #[cold]
    fn allocate_listed(&self, len: u64) -> Range<u64> {
        let end = self.len();
        if len == 0 || len > end {
            return 0..0;
        }
        self.take(&mut self.books(), len).unwrap_or_default()
    }

    /// Gives out a range, from behind the counter if there is room, else from the list, or from both.
    fn take(&self, books: &mut Books, len: u64) -> Option<Range<u64>> {
        if books.is_sealed {
            return None;
        }
        let shared = &self.shared.0;
        let end = shared.end.load(Relaxed);
        let need = align_up(len);
        let mut start = self.fresh.0.load(Relaxed);
        while start.saturating_add(len) <= end {
            let taken = start..start.saturating_add(need);
            if let Err(now) = self.advance(start, taken.end) {
                start = now;
                continue;
            }
            if taken.end > end {
                shared.is_full.store(true, Relaxed);
                self.list(books, end..taken.end);
            }
            return Some(taken.start..taken.end.min(end));
        }
        let listed = books.find(len, end);
        let found = listed.or_else(|| self.find_across(books, len, end))?;
        self.unlist(books, &found);
        Some(found)
    }

    /// Finds a range that begins in the list and ends behind the counter, where it lists what is
    /// missing. For when the list alone has none.
    fn find_across(&self, books: &mut Books, len: u64, end: u64) -> Option<Range<u64>> {
        let last = books.free.iter().next_back()?;
        let start = align_up(last.start);
        let target = start.saturating_add(align_up(len));
        if target <= last.end || start.saturating_add(len) > end {
            return None;
        }
        // Only if the counter is where the list ends, so that the bytes are one piece.
        self.advance(last.end, target).ok()?;
        self.list(books, last.end..target);
        if target >= end {
            self.shared.0.is_full.store(true, Relaxed);
        }
        books.find(len, end)
    }

    /// Gives out just this range.
    pub(super) fn claim(&self, range: &Range<u64>) -> Result<(), Refused> {
        if range.start > range.end || range.end > self.len() {
            return Err(Refused::OutOfBounds);
        }
        if range.is_empty() {
            return Ok(());
        }
        let mut books = self.books();
        if books.is_sealed {
            return Err(Refused::Sealed);
        }
        let mut fresh = self.fresh.0.load(Relaxed);
        if !books.holds(&(range.start..range.end.min(fresh))) {
            return Err(Refused::InUse);
        }
        // What lies between is listed, so that it can be allocated and claimed as before.
        let target = align_up(range.end);
        while fresh < target {
            match self.advance(fresh, target) {
                Ok(()) => {
                    self.list(&mut books, fresh..target);
                    break;
                }
                Err(now) => fresh = now,
            }
        }
        if self.fresh.0.load(Relaxed) >= self.len() {
            self.shared.0.is_full.store(true, Relaxed);
        }
        if !books.holds(range) {
            return Err(Refused::InUse);
        }
        self.unlist(&mut books, range);
        Ok(())
    }

    /// Moves the counter, if it still is where it was.
    fn advance(&self, from: u64, to: u64) -> Result<(), u64> {
        let moved = self.fresh.0.compare_exchange(from, to, Relaxed, Relaxed);
        moved.map(|_from| ())
    }

    /// Enters numbers that the caller has taken into the lists.
    fn list(&self, books: &mut Books, range: Range<u64>) {
        let len = range.end.saturating_sub(range.start);
        books.put_back(range);
        self.back.0.0.fetch_add(len, Relaxed);
    }

    /// Takes numbers out of the lists, in order to give them out.
    fn unlist(&self, books: &mut Books, range: &Range<u64>) {
        books.free.remove(range);
        books.content.remove(range);
        let len = range.end.saturating_sub(range.start);
        self.back.0.0.fetch_sub(len, Relaxed);
    }

    /// Enters a range that is out, and that nobody uses any more, into the lists, and reports its
    /// bytes but for one, which the caller has to [release](Back::release).
    pub(super) fn give_back(&self, range: Range<u64>) {
        let len = range.end.saturating_sub(range.start);
        debug_assert!(len > 0);
        let mut books = self.books();
        books.put_back(range);
        // The last byte keeps the books alive until the caller has left them. All others are
        // reported under the lock, so that bytes that are given out again meanwhile are not counted
        // twice.
        self.back.0.0.fetch_add(len.saturating_sub(1), Release);
    }

    /// Notes a range as written.
    pub(super) fn finish(&self, range: Range<u64>) {
        self.books().written.insert(range);
    }

    /// Returns how many bytes were given out or listed: what [`close`](Back::close) has to know.
    pub(super) fn fresh(&self) -> u64 {
        self.fresh.0.load(Relaxed)
    }

    /// Returns the counter of what is back.
    pub(super) fn back(&self) -> &Back {
        &self.back.0
    }

    /// Returns whether no byte is out. Means something only to who keeps others from allocating.
    pub(super) fn is_all_back(&self) -> bool {
        self.back.0.0.load(Acquire) == self.fresh.0.load(Relaxed)
    }

    /// Gives out nothing any more. To be called while nobody else can.
    pub(super) fn seal(&self) {
        self.books().is_sealed = true;
        self.shared.0.is_full.store(true, Relaxed);
    }

    /// Returns whether nothing is given out any more.
    pub(super) fn is_sealed(&self) -> bool {
        self.books().is_sealed
    }

    /// Makes the file `len` bytes long, at most [`LEN_MAX`] and no less than it is. `false` where
    /// the counter has no room, and nothing has changed.
    pub(super) fn grow(&self, len: u64) -> bool {
        let books = self.books();
        debug_assert!(self.len() <= len && len <= LEN_MAX);
        let fresh = self.fresh.0.load(Relaxed);
        if books.is_sealed || fresh > 1 << 62 {
            return false;
        }
        let shared = &self.shared.0;
        shared.end.store(len, Release);
        shared.is_full.store(fresh >= len, Relaxed);
        true
    }

    /// Returns the length of the file.
    pub(super) fn len(&self) -> u64 {
        self.shared.0.end.load(Acquire)
    }

    /// Returns how many bytes can be allocated.
    pub(super) fn remaining(&self) -> u64 {
        let books = self.books();
        if books.is_sealed {
            return 0;
        }
        let end = self.len();
        let fresh = end.saturating_sub(self.fresh.0.load(Relaxed));
        fresh.saturating_add(books.free.count_below(end))
    }

    /// Returns what was written.
    pub(super) fn written(&self) -> Spans {
        self.books().written.clone()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        let books = self.shared.0.books.lock();
        books.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a range that has bytes.
#[inline]
fn some(range: Range<u64>) -> Option<Range<u64>> {
    (!range.is_empty()).then_some(range)
}

impl Back {
    /// Reports that `len` bytes are out no more. Returns whether they were the last ones, after
    /// [`close`](Self::close): then nobody but the caller has the books.
    pub(super) fn release(&self, len: u64) -> bool {
        // Release and the fence: who frees the file does so after everybody's last use of it.
        let before = self.0.fetch_add(len, Release);
        let is_last = before.wrapping_add(len) == CLOSED;
        if is_last {
            fence(Acquire);
        }
        is_last
    }

    /// Ends the giving out: to be called once, by whoever was the last to be able to allocate, with
    /// [`fresh`](Allot::fresh). Returns whether no byte is out: then nobody but the caller has the
    /// books.
    pub(super) fn close(&self, fresh: u64) -> bool {
        let before = self.0.fetch_add(CLOSED.wrapping_sub(fresh), AcqRel);
        before == fresh
    }
}

impl Books {
    /// Enters numbers into the list that they belong to.
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
            // Only at the end of the file may a range be shorter than a multiple of the alignment.
            let short = (end == file_end && start.saturating_add(len) <= end).then_some(end);
            whole.or(short).map(|end| start..end)
        })
    }
}

#[cfg(not(any(loom, shuttle)))]
#[cfg(test)]
mod tests;
