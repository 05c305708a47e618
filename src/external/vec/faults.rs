//! Fault injection in the operations on vectors: after every error the vector holds the same
//! elements, and the next attempt succeeds.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a panic in a test is a failed test"
)]

use std::cell::Cell;

use crate::budget::{MIN, MemoryBudget};
use crate::containers::vec::DiskVec;
use crate::error::Result;
use crate::external::options::Options;
use crate::io::dir::ScratchDir;
use crate::testing::{Campaign, Life};

#[test]
fn numbers_are_all_there_whatever_call_fails() {
    Campaign::new("external, numbers", 60, live_numbers)
        .plants("another element", "the elements differ")
        .run();
}

#[test]
fn elements_that_own_memory_live_once_whatever_call_fails() {
    Campaign::new("external, owners", 60, live_owners)
        .without_lies()
        .plants("another element", "the elements differ")
        .run();
}

/// Fills a vector with what `make` returns.
fn filled<T>(
    life: &mut Life,
    dir: &ScratchDir,
    count: usize,
    make: impl Fn(usize) -> T,
) -> DiskVec<T> {
    let mut vec = DiskVec::new_in(dir);
    while vec.len() < count {
        let from = vec.len();
        if let Err(refused) = vec.try_extend((from..count).map(&make)) {
            life.refused("fill", &refused);
        }
    }
    vec
}

/// Repeats until it succeeds. After each error the vector has the same numbers, and no memory is
/// kept.
fn attempt<T>(
    life: &mut Life,
    vec: &mut DiskVec<T>,
    budget: &MemoryBudget,
    dir: &ScratchDir,
    number: impl Fn(&T) -> u64,
    mut operation: impl FnMut(&mut DiskVec<T>, Options) -> Result<()>,
) {
    let sorted = |vec: &DiskVec<T>| {
        let mut numbers: Vec<_> = vec.iter().map(&number).collect();
        numbers.sort_unstable();
        numbers
    };
    let mut expected = sorted(vec);
    if life.is_planted("another element") {
        expected[3] += 1;
    }
    loop {
        let done = operation(vec, Options::from(budget).threads(1));
        let name = life.name();
        assert!(sorted(vec) == expected, "{name}: the elements differ");
        assert_eq!(budget.used_bytes(), 0, "{name}: memory is kept");
        assert_eq!(dir.used_bytes(), vec.disk_bytes(), "{name}: space is kept");
        match done {
            Ok(()) => return,
            Err(refused) => life.refused("rearrange", &refused),
        }
    }
}

fn live_numbers(life: &mut Life) {
    let dir = life.scratch_dir();
    let budget = MemoryBudget::new(MIN as u64);
    // Twice as many as fit.
    let count = MIN / 8;
    let make = |n: usize| (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let mut vec = filled(life, &dir, count, make);
    attempt(
        life,
        &mut vec,
        &budget,
        &dir,
        |n| *n,
        DiskVec::sort_external,
    );
    assert!(vec.is_sorted(), "{}: by digits", life.name());
    attempt(
        life,
        &mut vec,
        &budget,
        &dir,
        |n| *n,
        |vec, options| vec.shuffle_external(options, 5),
    );
    assert!(!vec.is_sorted(), "{}: shuffled", life.name());
    attempt(
        life,
        &mut vec,
        &budget,
        &dir,
        |n| *n,
        |vec, options| vec.sort_external_by(options, |a, b| b.cmp(a)),
    );
    assert!(
        vec.iter().rev().is_sorted(),
        "{}: by comparisons",
        life.name()
    );
    // Elements that fit are arranged in place.
    vec.truncate(count / 8);
    attempt(
        life,
        &mut vec,
        &budget,
        &dir,
        |n| *n,
        DiskVec::sort_external,
    );
    assert!(vec.is_sorted(), "{}: in memory", life.name());
    drop(vec);
    assert_eq!(
        dir.used_bytes(),
        0,
        "{}: the budget is not back",
        life.name()
    );
}

thread_local! {
    static ALIVE: Cell<usize> = const { Cell::new(0) };
}

struct Owner {
    number: Box<u64>,
    _rest: [u64; 6],
}

impl Owner {
    fn new(number: u64) -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self {
            number: Box::new(number),
            _rest: [number; 6],
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get().checked_sub(1).unwrap());
    }
}

fn live_owners(life: &mut Life) {
    ALIVE.set(0);
    let dir = life.scratch_dir();
    let budget = MemoryBudget::new(MIN as u64);
    let count = MIN / 16;
    let make = |n: usize| Owner::new((n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50);
    let mut vec = filled(life, &dir, count, make);
    let number = |owner: &Owner| *owner.number;
    attempt(life, &mut vec, &budget, &dir, number, |vec, options| {
        vec.sort_external_by_key(options, number)
    });
    assert!(vec.is_sorted_by_key(number), "{}: by key", life.name());
    attempt(life, &mut vec, &budget, &dir, number, |vec, options| {
        vec.sort_external_by_key(options, |owner| format!("{:05}", 99_999 - *owner.number))
    });
    assert!(
        vec.iter().rev().is_sorted_by_key(number),
        "{}: by text",
        life.name()
    );
    assert_eq!(ALIVE.get(), count, "{}: so many are alive", life.name());
    drop(vec);
    assert_eq!(ALIVE.get(), 0, "{}: so many are alive", life.name());
    assert_eq!(
        dir.used_bytes(),
        0,
        "{}: the budget is not back",
        life.name()
    );
}
