//! Sorting by functions that panic, are inconsistent, or change elements: every element is there
//! and lives once.

use std::cell::Cell;
use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use outcore::MemoryBudget;
use outcore::external::Options;

use crate::external_vec::{MIN, SCALE, check_budget, vec_of};
use crate::support::random::Random;

/// Keys that differ at each call, and a comparison that is no order.
#[test]
fn keys_that_lie_cost_the_order_and_nothing_else() {
    let count = 300_000 / SCALE;
    for operation in 0..4 {
        let budget = MemoryBudget::new(MIN);
        let calls = AtomicUsize::new(0);
        let options = Options::from(&budget).threads(2);
        let mut vec = vec_of(count, |n| n as u64);
        let lie = || {
            calls
                .fetch_add(1, Relaxed)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        };
        let sorted = catch_unwind(AssertUnwindSafe(|| match operation {
            0 => vec.sort_external_by_key(&options, |_| lie()),
            // In order at first, and then always the same: no level makes progress.
            1 => vec.sort_external_by_key(&options, |n| {
                if calls.fetch_add(1, Relaxed) < 100_000 {
                    count as u64 - *n
                } else {
                    1 << 40
                }
            }),
            2 => vec.sort_external_by_key(&options, |_| lie().to_string()),
            _ => vec.sort_external_by(&options, |_, _| lie().cmp(&(usize::MAX / 2))),
        }));
        // Std's sort may panic with such an order.
        assert!(sorted.is_err() || sorted.is_ok_and(|sorted| sorted.is_ok()));
        let mut left = vec.to_vec();
        left.sort_unstable();
        assert!(
            left.into_iter().eq(0..count as u64),
            "operation {operation}"
        );
        check_budget(&budget);
    }
}

thread_local! {
    /// Live elements of the test.
    static ALIVE: Cell<i64> = const { Cell::new(0) };
}

/// An element that owns memory, with interior mutability.
struct Owner {
    number: Box<u64>,
    looks: Cell<Option<Box<u64>>>,
}

impl Owner {
    fn new(number: u64) -> Self {
        ALIVE.set(ALIVE.get() + 1);
        Self {
            number: Box::new(number),
            looks: Cell::new(None),
        }
    }

    /// Reads the number, and changes the cell.
    fn look(&self) -> u64 {
        let looks = self.looks.take().map_or(0, |looks| *looks);
        self.looks.set(Some(Box::new(looks + 1)));
        *self.number
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
    }
}

/// Sorts owners with one thread, with a function that panics at call `at`; returns whether it did.
fn sort_owners(count: usize, at: usize, operation: usize) -> bool {
    let budget = MemoryBudget::new(MIN);
    let options = Options::from(&budget).threads(1);
    let mut random = Random::new(at as u64);
    let mut vec = vec_of(count, |_| Owner::new(random.next() % (2 * count as u64)));
    let mut expected: Vec<u64> = vec.iter().map(|owner| *owner.number).collect();
    let calls = AtomicUsize::new(0);
    let look = |owner: &Owner| {
        assert!(calls.fetch_add(1, Relaxed) != at, "planned");
        owner.look()
    };
    let compare = |a: &Owner, b: &Owner| -> Ordering { look(a).cmp(&look(b)) };
    let sorted = catch_unwind(AssertUnwindSafe(|| match operation {
        0 => vec.sort_external_by_key(&options, look).unwrap(),
        1 => vec.sort_external_by(&options, compare).unwrap(),
        _ => vec
            .sort_external_by_key(&options, |owner| look(owner).to_string())
            .unwrap(),
    }));
    let mut left: Vec<u64> = vec.iter().map(|owner| *owner.number).collect();
    if sorted.is_ok() {
        let in_order = match operation {
            2 => left.is_sorted_by_key(ToString::to_string),
            _ => left.is_sorted(),
        };
        assert!(in_order, "operation {operation}");
    }
    left.sort_unstable();
    expected.sort_unstable();
    assert!(
        left == expected,
        "operation {operation}, panic at {at}: other elements"
    );
    check_budget(&budget);
    drop(vec);
    assert_eq!(ALIVE.get(), 0, "operation {operation}, panic at {at}");
    sorted.is_err()
}

#[test]
fn elements_live_once_whenever_a_function_panics() {
    let count = if cfg!(miri) { 500 } else { 120_000 / SCALE };
    let (mut panics, mut ends) = (0, 0);
    for operation in 0..3 {
        let mut at = 1;
        loop {
            let did = sort_owners(count, at, operation);
            panics += usize::from(did);
            ends += usize::from(!did);
            if !did {
                break;
            }
            at = at * 3 + 1;
        }
    }
    assert!(ends == 3 && panics > 20, "{panics} panics");
}
