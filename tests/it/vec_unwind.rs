//! Elements and closures that panic: the vector stays usable, holds what a `Vec` would hold or what
//! it held before, and drops no element twice.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test vec_unwind`. With
//! `OUTCORE_CAMPAIGN=long` there are 2,000 cases for each type of element, all but the first of them
//! small.

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind};

use outcore::{DiskVec, ScratchDir};

use crate::support::disk;
use crate::support::random::{Case, Random, cases};
use crate::support::tally::{Tallies, Tally};
use crate::vec_items::{
    Event, Item, Large, Nothing, Owner, Steep, alive, happens, light, new_ledger, put_out,
    register_dropped,
};

const STEPS: usize = if cfg!(miri) { 10 } else { 60 };

/// The events of the runs of each type of element: operations, and the sources of panics.
const MET: [&str; 22] = [
    "Truncate",
    "TruncateFront",
    "Retain",
    "RetainMut",
    "Dedup",
    "DedupByKey",
    "Drain",
    "TryExtend",
    "IntoIter",
    "IntoIterBack",
    "Clear",
    "DedupEqual",
    "Replace",
    "ExtendFromSlice",
    "Resize",
    "ResizeWith",
    "TryClone",
    "TryFrom",
    "a panic in Drop",
    "a panic in Clone",
    "a panic in Equal",
    "a panic in Call",
];

fn play_all<T: Item>() {
    let mut tallies = Tallies::default();
    for case in cases(24) {
        tallies.add(case, &Run::<T>::new(case).play(|_run| {}));
    }
    tallies.end(&format!("vec_unwind, {}", type_name::<T>()), &MET);
}

#[test]
fn owners_that_panic_are_dropped_at_most_once() {
    play_all::<Owner>();
}

#[test]
fn owners_larger_than_a_page_that_panic_are_dropped_at_most_once() {
    play_all::<Large>();
}

#[test]
fn owners_with_a_large_alignment_that_panic_are_dropped_at_most_once() {
    play_all::<Steep>();
}

#[test]
fn elements_without_size_that_panic_are_dropped_at_most_once() {
    play_all::<Nothing>();
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_second_drop_is_found() {
    Run::<Owner>::new(Case::PLANTED).play(|_run| register_dropped(0));
}

#[test]
#[should_panic(expected = "seed 0")]
fn a_planted_difference_is_found() {
    Run::<Owner>::new(Case::PLANTED).play(|run| run.vec.push(Owner::make(7)).unwrap());
}

/// An operation that both kinds of vector do, with the same planned panic.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Truncate(usize),
    TruncateFront(usize),
    Retain(u64),
    RetainMut(u64),
    Dedup(u64),
    DedupByKey(u64),
    Drain(usize, usize),
    TryExtend(usize),
    IntoIter(usize),
    IntoIterBack(usize),
    Clear,
    /// With the elements' own comparison.
    DedupEqual,
    /// An element is replaced, so it is dropped.
    Replace(usize),
    // For the following operations, a panic undoes everything.
    ExtendFromSlice(usize),
    Resize(usize),
    ResizeWith(usize),
    TryClone,
    TryFrom,
}

impl Operation {
    fn is_undone(self) -> bool {
        matches!(
            self,
            Self::ExtendFromSlice(_)
                | Self::Resize(_)
                | Self::ResizeWith(_)
                | Self::TryClone
                | Self::TryFrom
        )
    }

    fn on_ours<T: Item>(self, vec: &mut DiskVec<T>, dir: &ScratchDir) {
        let keep = |number: u64, bits: u64| {
            happens(Event::Call);
            number & bits != 0
        };
        match self {
            Self::Truncate(len) => vec.truncate(len),
            Self::TruncateFront(count) => vec.truncate_front(count),
            Self::Retain(bits) => vec.retain(|item| keep(item.number(), bits)),
            Self::RetainMut(bits) => vec.retain_mut(|item| {
                *item = T::make(item.number() + 1);
                keep(item.number(), bits)
            }),
            Self::Dedup(bits) => vec.dedup_by(|a, b| !keep(a.number() ^ b.number(), bits)),
            Self::DedupByKey(bits) => vec.dedup_by_key(|item| keep(item.number(), bits)),
            Self::Drain(start, end) => {
                let mut drain = vec.drain(start..end);
                drop((drain.next(), drain.next_back()));
            }
            Self::TryExtend(count) => vec.try_extend(made(count)).unwrap(),
            Self::IntoIter(count) => {
                let all = std::mem::replace(vec, DiskVec::new_in(dir));
                drop(all.into_iter().nth(count));
            }
            Self::IntoIterBack(count) => {
                let all = std::mem::replace(vec, DiskVec::new_in(dir));
                drop(all.into_iter().nth_back(count));
            }
            Self::Clear => vec.clear(),
            Self::DedupEqual => vec.dedup(),
            Self::Replace(at) => vec.as_mut_slice()[at] = T::make(3),
            Self::ExtendFromSlice(count) => {
                let more: Vec<T> = (0..count as u64).map(T::make).collect();
                vec.extend_from_slice(&more).unwrap();
            }
            Self::Resize(len) => vec.resize(len, T::make(5)).unwrap(),
            Self::ResizeWith(len) => vec.resize_with(len, make_one).unwrap(),
            Self::TryClone => drop(vec.try_clone().unwrap()),
            Self::TryFrom => drop(DiskVec::try_from(vec.as_slice()).unwrap()),
        }
    }

    fn on_theirs<T: Item>(self, vec: &mut Vec<T>) {
        let keep = |number: u64, bits: u64| {
            happens(Event::Call);
            number & bits != 0
        };
        match self {
            Self::Truncate(len) => vec.truncate(len),
            Self::TruncateFront(count) => drop(vec.drain(..count)),
            Self::Retain(bits) => vec.retain(|item| keep(item.number(), bits)),
            Self::RetainMut(bits) => vec.retain_mut(|item| {
                *item = T::make(item.number() + 1);
                keep(item.number(), bits)
            }),
            Self::Dedup(bits) => vec.dedup_by(|a, b| !keep(a.number() ^ b.number(), bits)),
            Self::DedupByKey(bits) => vec.dedup_by_key(|item| keep(item.number(), bits)),
            Self::Drain(start, end) => {
                let mut drain = vec.drain(start..end);
                drop((drain.next(), drain.next_back()));
            }
            Self::TryExtend(count) => vec.extend(made(count)),
            Self::IntoIter(count) => drop(std::mem::take(vec).into_iter().nth(count)),
            Self::IntoIterBack(count) => drop(std::mem::take(vec).into_iter().nth_back(count)),
            Self::Clear => vec.clear(),
            Self::DedupEqual => vec.dedup(),
            Self::Replace(at) => vec[at] = T::make(3),
            Self::ExtendFromSlice(count) => {
                let more: Vec<T> = (0..count as u64).map(T::make).collect();
                vec.extend_from_slice(&more);
            }
            Self::Resize(len) => vec.resize(len, T::make(5)),
            Self::ResizeWith(len) => vec.resize_with(len, make_one),
            Self::TryClone | Self::TryFrom => drop(vec.clone()),
        }
    }
}

fn make_one<T: Item>() -> T {
    happens(Event::Call);
    T::make(9)
}

/// Returns an iterator that may panic.
fn made<T: Item>(count: usize) -> impl Iterator<Item = T> {
    (0..count).map(|_| make_one())
}

struct Run<T> {
    seed: u64,
    step: usize,
    /// Elements of a long vector.
    many: usize,
    tally: Tally,
    panics: usize,
    random: Random,
    dir: ScratchDir,
    vec: DiskVec<T>,
    model: Vec<T>,
}

impl<T: Item> Run<T> {
    fn new(case: Case) -> Self {
        new_ledger();
        let dir = disk();
        Self {
            seed: case.seed,
            step: 0,
            many: case.either(T::MANY, T::MANY / 4),
            tally: Tally::default(),
            panics: 0,
            random: Random::new(case.seed),
            vec: DiskVec::new_in(&dir),
            dir,
            model: Vec::new(),
        }
    }

    fn play(mut self, sabotage: impl Fn(&mut Self)) -> Tally {
        for step in 0..STEPS {
            self.step = step;
            self.refill();
            if step == STEPS / 2 {
                sabotage(&mut self);
            }
            self.step();
        }
        let here = format!("seed {}", self.seed);
        assert!(cfg!(miri) || self.panics > 5, "{here}: too few panics");
        let dir = self.dir.clone();
        let tally = std::mem::take(&mut self.tally);
        drop(self);
        let (_leaked, twice) = alive();
        assert_eq!(twice, 0, "{here}: dropped twice");
        assert_eq!(dir.used_bytes(), 0, "{here}");
        tally
    }

    /// Makes the vector long again after it has become short.
    fn refill(&mut self) {
        if self.vec.len() < self.many / 4 {
            let start = self.random.next() >> 1;
            let numbers = (0..self.many as u64 / 2).map(|index| start + index / 3);
            self.vec.try_extend(numbers.clone().map(T::make)).unwrap();
            self.model.extend(numbers.map(T::make));
        }
    }

    fn operation(&mut self) -> Operation {
        let len = self.model.len();
        let at = self.random.below(len + 1);
        let to = at + self.random.below(len - at + 1);
        let bits = 1 + self.random.next() % 3;
        let count = self.random.below(self.many / 4);
        match self.random.below(18) {
            0 => Operation::Truncate(at),
            1 => Operation::TruncateFront(at),
            2 => Operation::Retain(bits),
            3 => Operation::RetainMut(bits),
            4 => Operation::Dedup(bits),
            5 => Operation::DedupByKey(bits),
            6 => Operation::Drain(at, to),
            7 => Operation::TryExtend(count),
            8 => Operation::IntoIter(at),
            9 => Operation::ExtendFromSlice(count),
            10 => Operation::Resize(at + count),
            11 => Operation::ResizeWith(at + count),
            12 => Operation::IntoIterBack(at),
            13 => Operation::Clear,
            14 => Operation::DedupEqual,
            15 if at < len => Operation::Replace(at),
            16 => Operation::TryFrom,
            _ => Operation::TryClone,
        }
    }

    fn step(&mut self) {
        let operation = self.operation();
        let event = self.random.pick(&[
            Event::Drop,
            Event::Drop,
            Event::Clone,
            Event::Equal,
            Event::Call,
        ]);
        let after = match self.random.below(3) {
            0 => self.random.below(3),
            _ => self.random.below(self.many / 4),
        };
        let here = format!(
            "seed {}, step {}, {operation:?}, {event:?} {after} panics",
            self.seed, self.step
        );
        let before: Vec<u64> = self.model.iter().map(T::number).collect();
        self.compare(&before, &here);
        light(event, after);
        let (vec, dir) = (&mut self.vec, &self.dir);
        let ours = catch_unwind(AssertUnwindSafe(|| operation.on_ours(vec, dir)));
        let burnt = put_out();
        assert_eq!(ours.is_err(), burnt, "{here}");
        self.panics += usize::from(burnt);
        let name = format!("{operation:?}");
        self.tally.met(name.split('(').next().unwrap());
        if burnt {
            self.tally.met(&format!("a panic in {event:?}"));
        }
        self.tally.reached("elements", before.len() as u64);
        self.tally.reached("bytes claimed", self.vec.disk_bytes());
        if burnt && operation.is_undone() && event != Event::Drop {
            self.compare(&before, &here);
        } else {
            light(event, after);
            let model = &mut self.model;
            let theirs = catch_unwind(AssertUnwindSafe(|| operation.on_theirs(model)));
            assert_eq!(theirs.is_err(), put_out(), "{here}");
            assert_eq!(ours.is_err(), theirs.is_err(), "{here}");
            let expected: Vec<u64> = self.model.iter().map(T::number).collect();
            self.compare(&expected, &here);
        }
        let (_, twice) = alive();
        assert_eq!(twice, 0, "{here}: dropped twice");
        // The disk vector undid changes that the model kept.
        self.model = self.vec.iter().map(|item| T::make(item.number())).collect();
        self.vec.push(T::make(1)).unwrap();
        self.model.push(T::make(1));
    }

    #[track_caller]
    fn compare(&self, expected: &[u64], here: &str) {
        let same = self.vec.iter().map(T::number).eq(expected.iter().copied());
        let (found, len) = (self.vec.len(), expected.len());
        assert!(same, "{here}: {found} elements instead of these {len}");
    }
}
