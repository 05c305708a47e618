//! Fault injection in the vector: it stays equal to the `Vec` that is its model, whatever call
//! fails.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a panic in a test is a failed test"
)]

use std::cell::Cell;
use std::fmt::Debug;
use std::ops::Range;

use crate::budget::MemoryBudget;
use crate::containers::vec::DiskVec;
use crate::error::Result;
use crate::io::dir::ScratchDir;
use crate::mapping::addresses::PLENTIFUL;
use crate::mapping::advice::Advice;
use crate::mapping::growth::WINDOW_BYTES_MIN as WINDOW;
use crate::testing::{Campaign, Life};

#[test]
fn elements_that_own_memory_live_once_whatever_call_fails() {
    Campaign::new("vec, owners", 120, live::<Owner, true>)
        .without_lies()
        .plants("another element", "at pop, the elements differ")
        .plants("a leaked element", "elements are alive")
        .run();
}

#[test]
fn numbers_stay_what_they_are_whatever_call_fails() {
    Campaign::new("vec, numbers", 40, live::<u64, true>)
        .plants("another element", "at pop, the elements differ")
        .run();
}

/// Vectors that begin in plain memory, as all vectors do where addresses are scarce.
#[test]
fn vectors_that_were_in_memory_stay_what_they_are_whatever_call_fails() {
    Campaign::new("vec, owners from memory", 80, live::<Owner, false>)
        .without_lies()
        .plants("another element", "at pop, the elements differ")
        .plants("a leaked element", "elements are alive")
        .run();
    Campaign::new("vec, numbers from memory", 40, live::<u64, false>)
        .plants("another element", "at pop, the elements differ")
        .run();
}

/// Vectors that stay in memory until a budget of six windows refuses.
#[test]
fn vectors_in_a_budget_stay_what_they_are_whatever_call_fails() {
    Campaign::new("vec, owners in a budget", 60, live_in_budget::<Owner, true>)
        .without_lies()
        .plants("another element", "at pop, the elements differ")
        .plants("a leaked element", "elements are alive")
        .run();
    Campaign::new("vec, numbers in a budget", 40, live_in_budget::<u64, false>)
        .plants("another element", "at pop, the elements differ")
        .run();
}

fn live_in_budget<T: Element, const PLENTY: bool>(life: &mut Life) {
    let budget = MemoryBudget::new(6 * WINDOW as u64);
    live_with::<T, PLENTY>(life, |dir| DiskVec::with_budget_in(&budget, dir));
    assert_eq!(budget.used_bytes(), 0, "{}: memory is kept", life.name());
    assert!(budget.peak_bytes() > 2 * WINDOW as u64, "it was not used");
}

/// Runs the scenario of a vector, and checks the result.
fn live<T: Element, const PLENTY: bool>(life: &mut Life) {
    live_with::<T, PLENTY>(life, DiskVec::new_in);
}

fn live_with<T: Element, const PLENTY: bool>(
    life: &mut Life,
    make: impl Fn(&ScratchDir) -> DiskVec<T>,
) {
    OWNERS.set(0);
    PLENTIFUL.set(Some(PLENTY));
    let dir = life.scratch_dir();
    let mut run = Run::<T> {
        name: format!("{}, {}", std::any::type_name::<T>(), life.name()),
        life,
        vec: make(&dir),
        dir,
        model: Vec::new(),
    };
    run.live();
    let Run {
        name,
        life,
        dir,
        vec,
        model,
    } = run;
    // The rest of the vector is dropped while the fault may still be armed.
    let mut elements = vec.into_iter();
    let first: Vec<T> = elements.by_ref().take(model.len() / 2).collect();
    let same = first == model[..model.len() / 2];
    assert!(same, "{name}: at the end, the elements differ");
    if life.is_planted("a leaked element") {
        // Nothing is leaked, so that a leak checker finds none.
        OWNERS.set(OWNERS.get() + 1);
    }
    drop((first, elements, model));
    let alive = T::alive().unwrap_or(0);
    assert_eq!(alive, 0, "{name}: so many elements are alive");
    assert_eq!(dir.used_bytes(), 0, "{name}: the budget is not back");
}

/// Windows that take more than the addresses reserved at first, for a backend that has few.
const MOVING_WINDOWS: usize = if cfg!(any(miri, memory_backend)) {
    16
} else {
    1
};

thread_local! {
    /// Owners alive in this thread.
    static OWNERS: Cell<usize> = const { Cell::new(0) };
}

trait Element: Clone + PartialEq + Debug + 'static {
    fn make(number: u64) -> Self;

    /// Returns the number of live elements of this thread, if they are counted.
    fn alive() -> Option<usize>;

    /// Copies a vector of plain data, or clones any other.
    fn copy(vec: &DiskVec<Self>) -> Result<DiskVec<Self>> {
        vec.try_clone()
    }
}

impl Element for u64 {
    fn make(number: u64) -> Self {
        number
    }

    fn alive() -> Option<usize> {
        None
    }

    fn copy(vec: &DiskVec<Self>) -> Result<DiskVec<Self>> {
        vec.try_copy()
    }
}

/// An element that owns memory; large, so that few fill a window.
#[derive(Debug)]
struct Owner {
    number: Box<u64>,
    _rest: [u64; 63],
}

impl Element for Owner {
    fn make(number: u64) -> Self {
        OWNERS.set(OWNERS.get() + 1);
        Self {
            number: Box::new(number),
            _rest: [number; 63],
        }
    }

    fn alive() -> Option<usize> {
        Some(OWNERS.get())
    }
}

impl Clone for Owner {
    fn clone(&self) -> Self {
        Self::make(*self.number)
    }
}

impl PartialEq for Owner {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        OWNERS.set(OWNERS.get().checked_sub(1).unwrap());
    }
}

/// The scenario of a vector.
struct Run<'life, T: Element> {
    name: String,
    life: &'life mut Life,
    dir: ScratchDir,
    vec: DiskVec<T>,
    model: Vec<T>,
}

impl<T: Element> Run<'_, T> {
    /// Uses everything that a vector can do.
    fn live(&mut self) {
        // In memory, in a file, with windows that are replaced and that slide.
        self.try_extend(0..3);
        self.try_extend(3..elements::<T>(WINDOW) - 5);
        self.try_extend(elements::<T>(WINDOW) - 5..elements::<T>(11 * WINDOW + 100));
        self.check("growing");
        self.attempt_sync("advise", |run| run.vec.advise(Advice::Random));
        self.fill_window();
        self.push();
        self.fill_window();
        self.insert(3);
        let more = elements::<T>(2 * WINDOW);
        self.attempt_growth("reserve", |run| run.vec.reserve(more));
        assert!(self.vec.capacity() >= self.vec.len() + more);
        self.extend_from_slice(elements::<T>(3 * WINDOW));
        self.fill_window();
        self.push_within_capacity();
        self.both("remove", |vec| vec.remove(7), |vec| vec.remove(7));
        self.read();
        let clone = self.attempt("try_clone", |run| run.vec.try_clone());
        assert!(clone == self.model, "{}: another clone", self.name);
        drop(clone);
        let copy = self.attempt("try_copy", |run| T::copy(&run.vec));
        assert!(copy == self.model, "{}: another copy", self.name);
        drop(copy);
        self.append(elements::<T>(WINDOW * 2));
        // Moves if addresses are few.
        self.extend_from_slice(elements::<T>(WINDOW * MOVING_WINDOWS));
        self.attempt("advise", |run| run.vec.advise(Advice::Sequential));
        // Shortens at the end, back into memory, and grows again.
        self.truncate(elements::<T>(6 * WINDOW + 100));
        self.shrink_to_fit();
        self.push();
        self.truncate(elements::<T>(WINDOW / 2));
        self.shrink_to_fit();
        self.pop();
        self.grow(elements::<T>(4 * WINDOW));
        self.attempt("advise", |run| run.vec.advise(Advice::Normal));
        // Shortens at the front.
        self.truncate_front(elements::<T>(2 * WINDOW + 1000));
        self.fill_window();
        self.insert(1);
        self.read();
        let copy = self.attempt("try_copy", |run| T::copy(&run.vec));
        assert!(copy == self.model, "{}: another copy", self.name);
        drop(copy);
        self.shrink_to_fit();
        self.append(elements::<T>(WINDOW / 2));
        self.truncate_front(self.model.len() - 3);
        self.shrink_to_fit();
        self.push();
        self.truncate_front(usize::MAX);
        self.queue();
        let len = elements::<T>(WINDOW * 2);
        self.attempt("resize", |run| run.vec.resize(len, T::make(4)));
        self.model.resize(len, T::make(4));
        self.truncate(0);
        self.shrink_to_fit();
        self.grow(elements::<T>(3 * WINDOW));
        self.check("the end");
    }

    /// Appends at the end and truncates at the front, in memory and then in a file, beyond the end
    /// of the addresses and where the file cannot grow.
    fn queue(&mut self) {
        self.truncate(0);
        self.shrink_to_fit();
        for _ in 0..4 {
            self.grow(elements::<T>(WINDOW / 4));
            self.truncate_front(elements::<T>(WINDOW / 4) - 3);
        }
        self.grow(elements::<T>(2 * WINDOW));
        self.truncate_front(elements::<T>(WINDOW));
        self.grow(elements::<T>(2 * WINDOW));
        self.truncate_front(elements::<T>(2 * WINDOW));
        // Simulates the end of the addresses.
        self.vec.region.use_up_addresses(true);
        self.vec.refresh();
        self.check("use up addresses");
        self.fill_window();
        self.push();
        self.grow(elements::<T>(2 * WINDOW));
        self.truncate_front(self.model.len() - elements::<T>(WINDOW / 2));
        self.vec.region.use_up_addresses(false);
        self.vec.refresh();
        self.attempt_growth("reserve", |run| run.vec.reserve(elements::<T>(WINDOW)));
        self.fill_window();
        self.push();
        // Simulates the end of the file.
        self.vec.region.use_up_file();
        self.fill_window();
        self.push();
        self.grow(elements::<T>(2 * WINDOW));
        self.read();
        self.truncate_front(usize::MAX);
    }

    /// Acts like a caller: repeats an operation that failed, which changed no element.
    fn attempt<R>(&mut self, what: &str, operation: impl Fn(&mut Self) -> Result<R>) -> R {
        loop {
            match operation(self) {
                Ok(result) => return result,
                Err(refused) => {
                    self.life.refused(what, &refused);
                    self.check(what);
                }
            }
        }
    }

    /// Like [`attempt`](Self::attempt), for operations that are refused for good after a failed
    /// sync.
    fn attempt_sync(&mut self, what: &str, operation: impl Fn(&mut Self) -> Result<()>) {
        self.attempt(what, |run| match operation(run) {
            Err(refused) if refused.to_string().contains("an earlier sync failed") => {
                let met = run.life.errors().any(|error| error.contains("cannot sync"));
                assert!(met, "{}: {what}: no sync failed: {refused}", run.name);
                Ok(())
            }
            answer => answer,
        });
        self.check(what);
    }

    /// Like [`attempt`](Self::attempt), for operations that preallocate space: it is freed after an
    /// error. Windows does not let a file become shorter that is mapped.
    fn attempt_growth<R>(&mut self, what: &str, operation: impl Fn(&mut Self) -> Result<R>) -> R {
        self.attempt(what, |run| {
            let before = (run.vec.disk_bytes(), run.vec.capacity());
            let result = operation(run);
            let after = (run.vec.disk_bytes(), run.vec.capacity());
            if result.is_err() && run.life.is_single() && !cfg!(windows) {
                assert_eq!(after, before, "{}: {what}: it keeps space", run.name);
            }
            result
        })
    }

    /// Compares the vector with its model, and the counters with each other.
    fn check(&self, what: &str) {
        let name = &self.name;
        let same = self.vec == self.model;
        assert!(same, "{name}: at {what}, the elements differ");
        assert!(self.vec.capacity() >= self.vec.len(), "{name}: {what}");
        if let Some(alive) = T::alive() {
            let expected = 2 * self.model.len();
            assert_eq!(alive, expected, "{name}: {what}: so many elements live");
        }
        let (used, claimed) = (self.dir.used_bytes(), self.vec.disk_bytes());
        assert_eq!(used, claimed, "{name}: {what}: the budget differs");
    }

    /// Appends elements; those appended before an error stay.
    fn try_extend(&mut self, numbers: Range<usize>) {
        let mut left: Vec<T> = numbers.map(|number| T::make(number as u64)).collect();
        let goal = self.model.len() + left.len();
        loop {
            let extended = self.vec.try_extend(left.iter().cloned());
            let appended = self.vec.len() - self.model.len();
            self.model.extend(left.drain(..appended));
            match extended {
                Ok(()) => break,
                Err(refused) => self.life.refused("try_extend", &refused),
            }
            assert!(self.vec == self.model, "{}: try_extend", self.name);
        }
        assert_eq!(self.vec.len(), goal, "{}: too many", self.name);
    }

    fn grow(&mut self, count: usize) {
        let start = self.model.len();
        self.try_extend(start..start + count);
        self.check("grow");
    }

    /// Fills the accessible part, so that the next element needs a call.
    fn fill_window(&mut self) {
        let room = self.vec.limit - self.vec.len;
        self.grow(room);
    }

    fn push(&mut self) {
        self.attempt_growth("push", |run| run.vec.push(T::make(1)));
        self.model.push(T::make(1));
        self.check("push");
    }

    fn push_within_capacity(&mut self) {
        loop {
            if self.vec.capacity() == self.vec.len() {
                self.attempt_growth("reserve", |run| run.vec.reserve(1));
            }
            let used = self.dir.used_bytes();
            let pushed = self.vec.push_within_capacity(T::make(2));
            assert_eq!(self.dir.used_bytes(), used, "{}: it claims", self.name);
            if pushed.is_ok() {
                self.model.push(T::make(2));
                return self.check("push_within_capacity");
            }
            assert!(pushed == Err(T::make(2)), "{}: another", self.name);
            drop(pushed);
            self.check("push_within_capacity");
            self.life.gave_up("push_within_capacity");
        }
    }

    fn insert(&mut self, from_end: usize) {
        let at = self.model.len() - from_end;
        self.attempt_growth("insert", |run| run.vec.insert(at, T::make(3)));
        self.model.insert(at, T::make(3));
        self.check("insert");
    }

    fn extend_from_slice(&mut self, count: usize) {
        let more: Vec<T> = (0..count).map(|number| T::make(number as u64)).collect();
        loop {
            let extended = self.vec.extend_from_slice(&more);
            match extended {
                Ok(()) => break,
                Err(refused) => self.life.refused("extend_from_slice", &refused),
            }
            assert!(self.vec == self.model, "{}: half of it", self.name);
        }
        self.model.extend(more);
        self.check("extend_from_slice");
    }

    fn append(&mut self, count: usize) {
        let more: Vec<T> = (0..count).map(|number| T::make(number as u64)).collect();
        let mut other = DiskVec::new_in(&self.dir);
        loop {
            let done = if other.is_empty() {
                other.extend_from_slice(&more)
            } else {
                Ok(())
            };
            match done.and_then(|()| self.vec.append(&mut other)) {
                Ok(()) => break,
                Err(refused) => self.life.refused("append", &refused),
            }
            assert!(self.vec == self.model, "{}: half of it", self.name);
            assert!(other.is_empty() || other == more, "{}: not all", self.name);
        }
        assert!(other.is_empty(), "{}: it is in both", self.name);
        drop(other);
        self.model.extend(more);
        self.check("append");
    }

    /// Every operation that releases elements from memory and loads them again.
    fn read(&mut self) {
        let third = self.model.len() / 3;
        self.attempt_sync("evict", |run| run.vec.evict(third..));
        self.attempt("prefetch", |run| run.vec.prefetch(..third));
        let scanned = self.vec.scan().flatten().eq(&self.model);
        assert!(scanned, "{}: a scan differs", self.name);
        self.attempt("resident_bytes", |run| run.vec.resident_bytes());
        self.check("read");
    }

    /// Does to both what needs no space.
    fn both<R: PartialEq>(
        &mut self,
        what: &str,
        ours: impl FnOnce(&mut DiskVec<T>) -> R,
        theirs: impl FnOnce(&mut Vec<T>) -> R,
    ) {
        let same = ours(&mut self.vec) == theirs(&mut self.model);
        assert!(same, "{}: {what}: another was taken", self.name);
        self.check(what);
    }

    fn pop(&mut self) {
        if self.life.is_planted("another element") {
            self.model[0] = T::make(77);
        }
        self.both("pop", DiskVec::pop, Vec::pop);
    }

    fn truncate(&mut self, len: usize) {
        self.both("truncate", |vec| vec.truncate(len), |vec| vec.truncate(len));
    }

    fn truncate_front(&mut self, count: usize) {
        let cut = |vec: &mut Vec<T>| drop(vec.drain(..count.min(vec.len())));
        self.both("truncate_front", |vec| vec.truncate_front(count), cut);
    }

    fn shrink_to_fit(&mut self) {
        self.attempt("shrink_to_fit", |run| run.vec.shrink_to_fit());
        self.check("shrink_to_fit");
    }
}

/// Returns how many elements take this many bytes.
fn elements<T>(bytes: usize) -> usize {
    bytes / size_of::<T>()
}
