//! Random operations on a vector and on a `Vec`; the results must always agree.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test vec_model`. With
//! `OUTCORE_CAMPAIGN=long` there are 2,000 cases for each type of element, all but the first of them
//! small.

mod met;
mod reads;

use std::any::type_name;
use std::mem::{ManuallyDrop, needs_drop};
use std::ops::Range;

use outcore::{DiskVec, ScratchDir};

use crate::support::disk;
use crate::support::random::{Case, Random, cases};
use crate::support::tally::{Tallies, Tally};
use crate::vec_items::{
    Aligned, Item, Large, Nothing, Owner, Steep, alive, new_ledger, register_dropped,
};

const STEPS: usize = if cfg!(miri) { 20 } else { 300 };

#[test]
fn bytes_behave_like_a_vec() {
    play_all::<u8>();
}

#[test]
fn numbers_behave_like_a_vec() {
    play_all::<u64>();
}

#[test]
fn elements_that_divide_no_page_behave_like_a_vec() {
    play_all::<[u8; 24]>();
}

#[test]
fn elements_larger_than_a_page_behave_like_a_vec() {
    play_all::<[u8; 5000]>();
}

#[test]
fn owners_of_memory_behave_like_a_vec_and_are_dropped_once() {
    play_all::<Owner>();
}

#[test]
fn elements_without_size_behave_like_a_vec_and_are_dropped_once() {
    play_all::<Nothing>();
}

#[test]
fn owners_larger_than_a_page_behave_like_a_vec_and_are_dropped_once() {
    play_all::<Large>();
}

#[test]
fn owners_with_a_large_alignment_behave_like_a_vec_and_are_dropped_once() {
    play_all::<Steep>();
}

#[test]
fn elements_with_a_large_alignment_behave_like_a_vec() {
    play_all::<Aligned>();
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_difference_is_found() {
    Run::<u64>::new(Case::PLANTED).play(|run| run.model.push(1));
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_leak_is_found() {
    Run::<Nothing>::new(Case::PLANTED).play(|_run| {
        let _leaked = ManuallyDrop::new(Nothing::make(1));
    });
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_second_drop_is_found() {
    Run::<Owner>::new(Case::PLANTED).play(|_run| {
        drop(Owner::make(1));
        register_dropped(0);
        register_dropped(0);
    });
}

fn play_all<T: Item>() {
    let mut tallies = Tallies::default();
    for case in cases(24) {
        tallies.add(case, &Run::<T>::new(case).play(|_run| {}));
    }
    tallies.end(
        &format!("vec_model, {}", type_name::<T>()),
        &met::expected::<T>(),
    );
}

struct Run<T> {
    seed: u64,
    step: usize,
    steps: usize,
    /// Elements of a long vector.
    many: usize,
    tally: Tally,
    what: &'static str,
    random: Random,
    dir: ScratchDir,
    vec: DiskVec<T>,
    model: Vec<T>,
    leaked: usize,
}

impl<T: Item> Run<T> {
    fn new(case: Case) -> Self {
        new_ledger();
        let mut random = Random::new(case.seed);
        let dir = disk();
        let steps = case.either(STEPS, STEPS.div_ceil(3));
        Self {
            seed: case.seed,
            step: 0,
            steps: steps / 4 + random.below(steps * 3 / 4),
            // Still longer than the part that a vector keeps in memory.
            many: case.either(T::MANY, T::MANY / 4),
            tally: Tally::default(),
            what: "start empty",
            random,
            vec: DiskVec::new_in(&dir),
            dir,
            model: Vec::new(),
            leaked: 0,
        }
    }

    /// Runs all steps; `sabotage` may interfere halfway. Returns the events.
    fn play(mut self, sabotage: impl Fn(&mut Self)) -> Tally {
        self.tally.met(self.what);
        while self.step < self.steps {
            let before = (self.vec.as_ptr(), self.vec.capacity());
            let used = self.vec.disk_bytes();
            self.step();
            self.note(before, used);
            self.step += 1;
            if self.step == self.steps / 2 {
                sabotage(&mut self);
            }
            self.check(self.step % 8 == 0);
        }
        self.check(true);
        let (here, leaked, dir) = (self.here(), self.leaked, self.dir.clone());
        let tally = std::mem::take(&mut self.tally);
        drop(self);
        assert_eq!(alive(), (leaked, 0), "{here}: alive, dropped twice");
        assert_eq!(dir.used_bytes(), 0, "{here}");
        tally
    }

    /// Records the step, and the change of space.
    fn note(&mut self, (at, capacity): (*const T, usize), used: u64) {
        self.tally.met(self.what);
        let now = self.vec.disk_bytes();
        let takes = [(now > used, "took space"), (now < used, "gave back space")];
        for (_, what) in takes.iter().filter(|(does, _)| *does) {
            self.tally.met(what);
        }
        if self.vec.capacity() > capacity && capacity > 0 {
            let stays = self.vec.as_ptr() == at;
            self.tally
                .met(if stays { "grown where it is" } else { "a move" });
        }
        if now > 64 << 10 {
            self.tally.met("space of more than 64 KiB");
        }
        self.tally.reached("elements", self.vec.len() as u64);
        self.tally.reached("bytes claimed", now);
    }

    fn here(&self) -> String {
        format!("seed {}, step {}, {}", self.seed, self.step, self.what)
    }

    fn check(&self, thorough: bool) {
        let (len, capacity) = (self.vec.len(), self.vec.capacity());
        assert_eq!(len, self.model.len(), "{}", self.here());
        assert!(capacity >= len, "{}", self.here());
        assert!(self.vec.first() == self.model.first(), "{}", self.here());
        assert!(self.vec.last() == self.model.last(), "{}", self.here());
        let aligned = self.vec.as_ptr().addr() % align_of::<T>() == 0;
        assert!(aligned, "{}", self.here());
        if thorough {
            let same = self.vec.iter().eq(&self.model);
            assert!(same, "{}: the elements differ", self.here());
            let used = self.dir.used_bytes();
            assert_eq!(used, self.vec.disk_bytes(), "{}", self.here());
        }
    }

    /// Returns a number of elements: often few, sometimes several windows.
    fn count(&mut self) -> usize {
        let room = self.many.saturating_sub(self.model.len());
        let count = match self.random.below(8) {
            0 => 0,
            1..=3 => self.random.below(20),
            4..=5 => self.random.below(self.many / 20),
            _ => self.random.below(self.many / 2),
        };
        count.min(room)
    }

    /// Returns the numbers of elements: neighbours are often equal.
    fn numbers(&mut self, count: usize) -> Vec<u64> {
        let start = self.random.next();
        let run = 1 + self.random.next() % 3;
        (0..count as u64)
            .map(|index| start.wrapping_add(index / run))
            .collect()
    }

    fn items(&mut self, count: usize) -> Vec<T> {
        let numbers = self.numbers(count);
        numbers.into_iter().map(T::make).collect()
    }

    fn item(&mut self) -> (T, T) {
        let number = self.random.next();
        (T::make(number), T::make(number))
    }

    /// Returns an index of an element, if there is one.
    fn index(&mut self) -> Option<usize> {
        let len = self.model.len();
        (len > 0).then(|| self.random.below(len))
    }

    fn range(&mut self) -> Range<usize> {
        let len = self.model.len() + 1;
        let (a, b) = (self.random.below(len), self.random.below(len));
        a.min(b)..a.max(b)
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..=24 => self.add(),
            25..=44 => self.add_one(),
            45..=59 => self.take_one(),
            60..=72 => self.take_many(),
            73..=84 => self.sieve(),
            85..=91 => self.convert(),
            92..=97 => self.space(),
            _ => self.residency(),
        }
    }

    fn add(&mut self) {
        let count = self.count();
        match self.random.below(6) {
            0 => {
                self.what = "extend_from_slice";
                let more = self.items(count);
                self.vec.extend_from_slice(&more).unwrap();
                self.model.extend(more);
            }
            1 => {
                self.what = "try_extend";
                let numbers = self.numbers(count);
                let more = numbers.iter().copied().map(T::make);
                self.vec.try_extend(more).unwrap();
                self.model.extend(numbers.into_iter().map(T::make));
            }
            2 => {
                self.what = "resize";
                let (ours, theirs) = self.item();
                let len = self.model.len() + count;
                self.vec.resize(len, ours).unwrap();
                self.model.resize(len, theirs);
            }
            3 => {
                self.what = "resize_with";
                let (mut ours, mut theirs) = (7, 7);
                let next = |number: &mut u64| {
                    *number += 1;
                    T::make(*number)
                };
                let len = self.model.len() + count;
                self.vec.resize_with(len, || next(&mut ours)).unwrap();
                self.model.resize_with(len, || next(&mut theirs));
            }
            _ => {
                self.what = "append";
                let more = self.items(count);
                let mut other = DiskVec::new_in(&self.dir);
                other.extend_from_slice(&more).unwrap();
                let front = self.random.below(count + 1);
                other.truncate_front(front);
                self.vec.append(&mut other).unwrap();
                assert!(other.is_empty(), "{}", self.here());
                other.push(T::make(1)).unwrap();
                self.model.extend(more.into_iter().skip(front));
            }
        }
    }

    fn add_one(&mut self) {
        let (ours, theirs) = self.item();
        match self.random.below(3) {
            0 => {
                self.what = "push";
                self.vec.push(ours).unwrap();
                self.model.push(theirs);
            }
            1 => {
                self.what = "push_within_capacity";
                let fits = self.vec.len() < self.vec.capacity();
                let used = self.dir.used_bytes();
                match self.vec.push_within_capacity(ours) {
                    Ok(()) => self.model.push(theirs),
                    Err(back) => {
                        assert!(back == theirs && !fits, "{}", self.here());
                        self.tally.met("push_within_capacity, no room");
                    }
                }
                assert_eq!(self.dir.used_bytes(), used, "{}", self.here());
            }
            _ => {
                self.what = "insert";
                let at = self.random.below(self.model.len() + 1);
                self.vec.insert(at, ours).unwrap();
                self.model.insert(at, theirs);
            }
        }
    }

    fn take_one(&mut self) {
        let index = self.index();
        let same = match (self.random.below(3), index) {
            (0, Some(at)) => {
                self.what = "remove";
                self.vec.remove(at) == self.model.remove(at)
            }
            (1, Some(at)) => {
                self.what = "swap_remove";
                self.vec.swap_remove(at) == self.model.swap_remove(at)
            }
            _ => {
                self.what = "pop";
                self.vec.pop() == self.model.pop()
            }
        };
        assert!(same, "{}: another was taken", self.here());
    }

    fn take_many(&mut self) {
        let len = self.model.len();
        match self.random.below(12) {
            0 => {
                self.what = "clear";
                self.vec.clear();
                self.model.clear();
            }
            1..=2 => {
                self.what = "truncate";
                let len = self.random.below(len + 2);
                self.vec.truncate(len);
                self.model.truncate(len);
            }
            3..=6 => {
                self.what = "truncate_front";
                let count = self.count().min(len);
                self.vec.truncate_front(count);
                self.model.drain(..count);
            }
            // Not for elements that own memory, so that leak checkers find none.
            7 if size_of::<T>() == 0 || !needs_drop::<T>() => {
                self.what = "leak a drain";
                let range = self.range();
                let lost = len - range.start;
                let _ours = ManuallyDrop::new(self.vec.drain(range.clone()));
                let _theirs = ManuallyDrop::new(self.model.drain(range));
                self.leaked += 2 * lost * usize::from(needs_drop::<T>());
            }
            _ => self.drain(),
        }
    }

    fn drain(&mut self) {
        self.what = "drain";
        let range = self.range();
        let here = self.here();
        let (front, back) = (self.random.below(3), self.random.below(3));
        let all = self.random.below(2) == 0;
        let mut ours = self.vec.drain(range.clone());
        let mut theirs = self.model.drain(range);
        for taken in 0..front + back {
            let same = if taken < front {
                ours.next() == theirs.next()
            } else {
                ours.next_back() == theirs.next_back()
            };
            assert!(same, "{here}");
        }
        assert_eq!(ours.len(), theirs.len(), "{here}");
        assert!(ours.as_slice() == theirs.as_slice(), "{here}");
        assert!(!all || ours.eq(theirs), "{here}");
    }

    fn sieve(&mut self) {
        let salt = self.random.next();
        let part = 1 + self.random.next() % 4;
        let keep = |item: &T| (item.number() ^ salt) % 4 < part;
        match self.random.below(5) {
            0 => {
                self.what = "retain";
                self.vec.retain(keep);
                self.model.retain(keep);
            }
            1 => {
                self.what = "retain_mut";
                let change = |item: &mut T| {
                    *item = T::make(item.number().wrapping_add(1));
                    keep(item)
                };
                self.vec.retain_mut(change);
                self.model.retain_mut(change);
            }
            2 => {
                self.what = "dedup";
                self.vec.dedup();
                self.model.dedup();
            }
            3 => {
                self.what = "dedup_by_key";
                self.vec.dedup_by_key(|item| item.number() / 3);
                self.model.dedup_by_key(|item| item.number() / 3);
            }
            _ => {
                self.what = "dedup_by";
                let close = |a: &mut T, b: &mut T| a.number().wrapping_sub(b.number()) < part;
                self.vec.dedup_by(close);
                self.model.dedup_by(close);
            }
        }
    }

    fn space(&mut self) {
        let count = self.count();
        let needed = self.vec.len() + count;
        match self.random.below(3) {
            0 => {
                self.what = "reserve";
                self.vec.reserve(count).unwrap();
                assert!(self.vec.capacity() >= needed, "{}", self.here());
            }
            1 => {
                self.what = "reserve_exact";
                self.vec.reserve_exact(count).unwrap();
                assert!(self.vec.capacity() >= needed, "{}", self.here());
            }
            _ => {
                self.what = "shrink_to_fit";
                self.vec.shrink_to_fit().unwrap();
            }
        }
    }
}
