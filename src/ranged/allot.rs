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

use crate::ranged::align::align_up;
use crate::ranged::spans::Spans;
use crate::ranged::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, fence};

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
mod tests {
    use super::*;
    use crate::ranged::align::ALIGNMENT;

    /// What the model counts in. Ranges may end between two multiples of the alignment.
    const BLOCK: u64 = ALIGNMENT / 4;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Block {
        Free,
        Content,
        Out,
        Written,
    }

    /// Books, and what they should say of each block.
    struct World {
        allot: Allot,
        blocks: Vec<Block>,
        content_end: u64,
        out: Vec<Range<u64>>,
        name: String,
    }

    impl World {
        fn new(blocks: u64, content: u64, seed: u64) -> Self {
            let mut world = Self {
                allot: Allot::new(blocks * BLOCK, content * BLOCK),
                blocks: vec![Block::Free; usize::try_from(blocks).unwrap()],
                content_end: content * BLOCK,
                out: Vec::new(),
                name: format!("seed {seed}"),
            };
            world.of(0..content * BLOCK).fill(Block::Content);
            world
        }

        fn end(&self) -> u64 {
            self.blocks.len() as u64 * BLOCK
        }

        fn of(&mut self, range: Range<u64>) -> &mut [Block] {
            let [start, end] = [range.start, range.end].map(|at| usize::try_from(at / BLOCK));
            &mut self.blocks[start.unwrap()..end.unwrap()]
        }

        fn is_all(&mut self, range: Range<u64>, block: Block) -> bool {
            self.of(range).iter().all(|found| *found == block)
        }

        /// Returns how long the range at `start` is that has room for `len` bytes.
        fn fit(&self, start: u64, len: u64) -> u64 {
            align_up(len).min(self.end() - start)
        }

        fn allocate(&mut self, len: u64) {
            let name = self.name.clone();
            let Some(range) = self.allot.allocate(len) else {
                let end = self.end();
                let mut starts = (0..end).step_by(usize::try_from(ALIGNMENT).unwrap());
                let fits = starts.find(|start| {
                    let whole = *start..*start + self.fit(*start, len);
                    len > 0 && start + len <= end && self.is_all(whole, Block::Free)
                });
                assert_eq!(fits, None, "{name}: {len} bytes fit there");
                return;
            };
            assert!(len > 0 && range.end <= self.end(), "{name}: {range:?}");
            assert_eq!(range.start % ALIGNMENT, 0, "{name}: {range:?}");
            let fit = self.fit(range.start, len);
            assert_eq!(range.end - range.start, fit, "{name}: {len}");
            assert!(fit >= len, "{name}: {len} bytes in {range:?}");
            assert!(self.is_all(range.clone(), Block::Free), "{name}: {range:?}");
            self.take(range);
        }

        fn claim(&mut self, range: Range<u64>) {
            let expected = if range.start > range.end || range.end > self.end() {
                Err(Refused::OutOfBounds)
            } else {
                let mut blocks = self.of(range.clone()).iter();
                let is_in_use = blocks.any(|block| matches!(block, Block::Out | Block::Written));
                if is_in_use {
                    Err(Refused::InUse)
                } else {
                    Ok(())
                }
            };
            let claimed = self.allot.claim(&range);
            assert_eq!(claimed, expected, "{}: {range:?}", self.name);
            if claimed.is_ok() && !range.is_empty() {
                self.take(range);
            }
        }

        fn take(&mut self, range: Range<u64>) {
            self.of(range.clone()).fill(Block::Out);
            self.out.push(range);
        }

        /// Ends `range`, which is out, for good or not. Returns whether it was the last one.
        fn end_range(&mut self, range: Range<u64>, is_kept: bool) -> bool {
            if is_kept {
                self.of(range.clone()).fill(Block::Written);
                self.allot.finish(range.clone());
                return self.allot.back().release(range.end - range.start);
            }
            let middle = self.content_end.clamp(range.start, range.end);
            self.of(range.start..middle).fill(Block::Content);
            self.of(middle..range.end).fill(Block::Free);
            self.allot.give_back(range);
            assert!(!self.allot.is_all_back(), "{}: a byte is out", self.name);
            self.allot.back().release(1)
        }

        fn grow(&mut self, blocks: u64) {
            let len = self.end() + blocks * BLOCK;
            assert!(self.allot.grow(len), "{}", self.name);
            let blocks = usize::try_from(len / BLOCK).unwrap();
            self.blocks.resize(blocks, Block::Free);
        }

        fn check(&mut self) {
            let name = self.name.clone();
            assert_eq!(self.allot.len(), self.end(), "{name}");
            let free = self.blocks.iter().filter(|block| **block == Block::Free);
            let free = free.count() as u64 * BLOCK;
            assert_eq!(self.allot.remaining(), free, "{name}");
            assert_eq!(self.allot.is_all_back(), self.out.is_empty(), "{name}");
        }

        /// The record has what was finished, and nothing else.
        fn check_written(&self) {
            let name = &self.name;
            let written = self.allot.written();
            for (block, number) in self.blocks.iter().zip(0..) {
                let at = number * BLOCK;
                let is_written = written.contains(&(at..at + BLOCK));
                assert_eq!(is_written, *block == Block::Written, "{name}: {at}");
            }
        }
    }

    /// Numbers below a bound.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        move |bound| {
            state = state.wrapping_mul(6_364_136_223_846_793_005);
            state = state.wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        }
    }

    /// Lives of books of about `units` times the alignment.
    fn live(seeds: Range<u64>, units: u64, steps: usize) {
        for seed in seeds {
            let mut next = numbers(seed);
            let blocks = 4 + next(4 * units);
            let content = [0, blocks, next(blocks)][usize::try_from(next(3)).unwrap()];
            let mut world = World::new(blocks, content, seed);
            for _ in 0..steps {
                let end = world.blocks.len() as u64;
                match next(10) {
                    0..4 => {
                        let longest = [4, end / 2 + 1, end + 2][usize::try_from(next(3)).unwrap()];
                        let odd = [0, 0, 1, BLOCK - 1][usize::try_from(next(4)).unwrap()];
                        let len = next(longest) * BLOCK;
                        world.allocate(len + odd);
                    }
                    4 | 5 => {
                        let start = next(end + 2) / (1 + next(8));
                        let stop = next(3) * (end / 8) + next(8) + start;
                        world.claim(start * BLOCK..stop.saturating_sub(1) * BLOCK);
                    }
                    6 if next(8) == 0 => world.grow(next(9)),
                    _ if !world.out.is_empty() => {
                        let chosen = usize::try_from(next(world.out.len() as u64)).unwrap();
                        let range = world.out.swap_remove(chosen);
                        let blocks = (range.end - range.start) / BLOCK;
                        let first = [blocks, 1 + next(blocks)][usize::try_from(next(2)).unwrap()];
                        let middle = range.start + first * BLOCK;
                        if middle < range.end {
                            world.out.push(middle..range.end);
                        }
                        let is_last = world.end_range(range.start..middle, next(10) == 0);
                        assert!(!is_last, "{}: not closed", world.name);
                    }
                    _ => {}
                }
                world.check();
            }
            end(world);
        }
    }

    /// The last range, or who closes after it, has the books alone, and nobody before.
    fn end(mut world: World) {
        let name = world.name.clone();
        world.check_written();
        assert!(!world.allot.is_sealed());
        world.allot.seal();
        assert!(world.allot.is_sealed() && world.allot.remaining() == 0);
        assert_eq!(world.allot.allocate(1), None, "{name}");
        assert_eq!(world.allot.claim(&(0..1)), Err(Refused::Sealed), "{name}");
        assert!(!world.allot.grow(world.end() + BLOCK), "{name}");
        assert_eq!(world.allot.len(), world.end(), "{name}");
        let is_alone = world.allot.back().close(world.allot.fresh());
        assert_eq!(is_alone, world.out.is_empty(), "{name}");
        while let Some(range) = world.out.pop() {
            let is_last = world.end_range(range, world.out.len() % 2 == 0);
            assert_eq!(is_last, world.out.is_empty(), "{name}");
        }
    }

    #[test]
    fn the_books_say_of_every_byte_whose_it_is() {
        live(0..200, 20, 150);
    }

    /// The counter has room for what threads add in vain, as long as none adds more than 1 MiB.
    #[test]
    fn what_cannot_fit_does_not_move_the_counter() {
        let allot = Allot::new(ALIGNMENT, 0);
        for len in [FAST_MAX + 1, FAST_MAX * 2, 1 << 62, 1 << 63, u64::MAX] {
            assert_eq!(allot.allocate(len), None);
            assert_eq!(allot.fresh(), 0);
        }
        assert_eq!(allot.allocate(FAST_MAX), None);
        assert!(allot.grow(LEN_MAX));
        assert_eq!(allot.remaining(), LEN_MAX);
        assert_eq!(allot.allocate(LEN_MAX), Some(0..LEN_MAX));
    }

    /// Whether it got there by a claim, by allocations in vain, or by a range across the list: who
    /// comes next adds nothing.
    #[test]
    fn a_counter_that_is_at_the_end_stays_there() {
        let stays = |allot: &Allot, len: u64, expected: Option<Range<u64>>| {
            let fresh = allot.fresh();
            assert_eq!(allot.allocate(len), expected);
            assert_eq!(allot.fresh(), fresh);
        };
        let claimed = Allot::new(2 * FAST_MAX, 0);
        claimed.claim(&(0..2 * FAST_MAX)).unwrap();
        stays(&claimed, 1, None);

        let asked_in_vain = Allot::new(ALIGNMENT, 0);
        assert_eq!(asked_in_vain.allocate(8 * ALIGNMENT), None);
        stays(&asked_in_vain, 8 * ALIGNMENT, None);
        assert!(asked_in_vain.grow(4 * ALIGNMENT));
        stays(&asked_in_vain, ALIGNMENT, Some(0..ALIGNMENT));
        assert!(asked_in_vain.grow(16 * ALIGNMENT));
        let behind = asked_in_vain.allocate(8 * ALIGNMENT);
        assert_eq!(behind, Some(8 * ALIGNMENT..16 * ALIGNMENT));

        let across = Allot::new(2 * FAST_MAX, 0);
        let first = across.allocate(ALIGNMENT).unwrap();
        across.give_back(first);
        assert!(across.allocate(2 * FAST_MAX).is_some());
        stays(&across, 1, None);

        let too_short = Allot::new(2 * FAST_MAX, 0);
        let [_out, second] = [(); 2].map(|()| too_short.allocate(ALIGNMENT).unwrap());
        too_short.give_back(second);
        stays(&too_short, 2 * FAST_MAX, None);
    }

    /// A file whose counter threads have used up in vain does not grow.
    #[test]
    fn a_counter_without_room_refuses_to_grow() {
        for (fresh, has_room) in [(0, true), (1 << 62, true), ((1 << 62) + ALIGNMENT, false)] {
            let allot = Allot::new(ALIGNMENT, 0);
            allot.advance(0, fresh).unwrap();
            assert_eq!(allot.grow(2 * ALIGNMENT), has_room, "{fresh}");
            assert_eq!(allot.len(), if has_room { 2 } else { 1 } * ALIGNMENT);
        }
    }

    /// Allocations above 1 MiB, which the counter alone does not serve.
    #[test]
    fn long_ranges_are_found_wherever_they_fit() {
        live(0..400, 1200, 12);
    }

    /// Of a file of which all was free, 2 MiB could not be allocated: what had been given back was
    /// in the list, the rest behind the counter, and only each alone was asked.
    #[test]
    fn a_long_range_may_begin_in_what_was_given_back() {
        let len = 2 * FAST_MAX;
        for given_back in [2 * ALIGNMENT, FAST_MAX, len - ALIGNMENT] {
            for longer in [0, 1, ALIGNMENT - 1, ALIGNMENT] {
                let allot = Allot::new(len + longer, 0);
                let range = allot.allocate(given_back).unwrap();
                allot.give_back(range);
                assert!(!allot.back().release(1));
                assert_eq!(allot.allocate(len + longer + 1), None);
                assert_eq!(allot.allocate(len), Some(0..len), "{given_back}, {longer}");
                assert_eq!(allot.remaining(), longer);
                let rest = (longer > 0).then_some(len..len + longer);
                assert_eq!(allot.allocate(longer), rest);
                assert_eq!(allot.allocate(1), None);
            }
        }
    }
}
