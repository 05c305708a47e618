//! Fault injection in groups: a value that is refused does not count, and every other counts once.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a panic in a test is a failed test"
)]

use std::collections::BTreeMap;

use crate::budget::{MIN, MemoryBudget};
use crate::external::groups::{Aggregator, BytesAggregator};
use crate::external::options::Options;
use crate::sys::buffer::Buffer;
use crate::sys::page_size;
use crate::testing::{Campaign, Life};

#[test]
fn plain_groups_count_each_value_once_whatever_call_fails() {
    Campaign::new("external, plain groups", 40, live_plain)
        .inexact()
        .plants("another group", "the groups differ")
        .run();
}

#[test]
fn groups_of_byte_strings_count_each_value_once_whatever_call_fails() {
    Campaign::new("external, groups of bytes", 40, live_bytes)
        .inexact()
        .plants("another group", "the groups differ")
        .run();
}

/// Returns the keys to add, some of which are frequent and most rare.
fn keys() -> impl Iterator<Item = u64> {
    (0..7_000_u64).map(|n| {
        if n % 4 == 0 {
            n % 16
        } else {
            n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 50
        }
    })
}

fn live_plain(life: &mut Life) {
    let dir = life.scratch_dir();
    // The campaign leaks a range of addresses to check that this is detected, and nothing else here
    // has one.
    life.attempt("map", || Ok(Buffer::several(1, 1, true).map(drop).ok()));
    // The least that a kernel with pages of 64 KiB needs is more.
    let budget = MemoryBudget::new(MIN.max(5 * page_size()) as u64);
    let options = Options::from(&budget).dir(&dir);
    let mut sums = Aggregator::new(&options, |sum: &mut u64, more: u64| *sum += more);
    let mut model = BTreeMap::new();
    for key in keys() {
        life.attempt("add", || sums.add(key, 1));
        *model.entry(key).or_insert(0) += 1;
    }
    if life.is_planted("another group") {
        model.pop_first();
    }
    // What is put together cannot be put together again.
    match sums.finish() {
        Ok(groups) => {
            let groups: Result<BTreeMap<u64, u64>, _> = groups.collect();
            match groups {
                Ok(groups) => assert!(groups == model, "{}: the groups differ", life.name()),
                Err(refused) => life.refused("next", &refused),
            }
        }
        Err(refused) => life.refused("finish", &refused),
    }
    assert_eq!(budget.used_bytes(), 0, "{}: memory is kept", life.name());
    assert_eq!(dir.used_bytes(), 0, "{}: space is kept", life.name());
}

fn live_bytes(life: &mut Life) {
    let dir = life.scratch_dir();
    // The campaign leaks a range of addresses to check that this is detected, and nothing else here
    // has one.
    life.attempt("map", || Ok(Buffer::several(1, 1, true).map(drop).ok()));
    let budget = MemoryBudget::new(MIN as u64);
    let options = Options::from(&budget).dir(&dir);
    let mut sums = BytesAggregator::new(&options, |sum: &mut u64, more: u64| *sum += more);
    let mut model: BTreeMap<String, u64> = BTreeMap::new();
    for key in keys() {
        let key = format!("key {key}");
        life.attempt("add", || sums.add(&key, 1));
        *model.entry(key).or_insert(0) += 1;
    }
    if life.is_planted("another group") {
        model.pop_first();
    }
    let groups = sums
        .finish()
        .map_err(|refused| life.refused("finish", &refused));
    if let Ok(mut groups) = groups {
        let mut expected = model.iter();
        loop {
            match groups.next() {
                Ok(Some((key, sum))) => {
                    let next = expected.next().map(|(key, sum)| (key.as_bytes(), *sum));
                    assert!(
                        next == Some((key, sum)),
                        "{}: the groups differ",
                        life.name()
                    );
                }
                Ok(None) => {
                    assert!(
                        expected.next().is_none(),
                        "{}: the groups differ",
                        life.name()
                    );
                    break;
                }
                Err(refused) => {
                    life.refused("next", &refused);
                    break;
                }
            }
        }
    }
    assert_eq!(budget.used_bytes(), 0, "{}: memory is kept", life.name());
    assert_eq!(dir.used_bytes(), 0, "{}: space is kept", life.name());
}
