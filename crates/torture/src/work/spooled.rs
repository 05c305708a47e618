//! Values in a spool, by itself and by writers, against a list.

use outcore::spool::SpoolBuilder;
use outcore::{MemoryBudget, ScratchDir, Spool};

use crate::random::size;
use crate::work::Work;

/// A number, a text, and a list of numbers.
pub(crate) type Value = (u64, String, Vec<u16>);

/// Returns a value that a number determines: short, or longer than a block.
pub(crate) fn make(number: u64) -> Value {
    let len = match number % 1024 {
        0 => 20_000,
        1..=9 => 2_000,
        few => few % 50,
    };
    let (shift, count) = (number % 64, u16::from(number.to_le_bytes()[1]) % 20);
    (number << shift, "x".repeat(size(len)), (0..count).collect())
}

pub(crate) fn run(work: &mut Work) {
    let Some(dir) = work.scratch() else { return };
    let budget = MemoryBudget::new(MemoryBudget::MIN_BYTES / 2);
    while work.steps > 0 {
        one(work, &dir, &budget);
        assert_eq!(budget.used_bytes(), 0, "memory is kept");
        assert_eq!(dir.used_bytes(), 0, "space is kept");
    }
}

/// How often a full disk may refuse before the values are read.
const REFUSALS_MAX: u64 = 100;

/// The life of one spool.
fn one(work: &mut Work, dir: &ScratchDir, budget: &MemoryBudget) {
    let mut spool: Spool<Value> = SpoolBuilder::new(budget).dir(dir).build();
    let mut model: Vec<u64> = Vec::new();
    let refusals = work.refusals;
    let steps = 1 + work.random.below(40);
    for _ in 0..steps.min(work.steps) {
        work.steps -= 1;
        work.step();
        match work.random.below(8) {
            0 if work.random.once_in(4) => {
                spool.clear();
                model.clear();
            }
            0..=3 => push(work, &mut spool, &mut model),
            4 => written(work, &spool, &mut model),
            5 | 6 => get(work, &spool, &model),
            _ => check(work, &spool, &model),
        }
        assert_eq!(spool.len(), model.len());
        if work.refusals - refusals > REFUSALS_MAX {
            break;
        }
    }
    if work.has_bug("lose") {
        model.pop();
    }
    check(work, &spool, &model);
    consume(work, spool, &model);
}

fn numbers(work: &mut Work) -> std::ops::Range<u64> {
    let first = work.random.next() >> 16;
    let most = work.bytes / 400;
    first..first + work.random.len(most) as u64
}

fn push(work: &mut Work, spool: &mut Spool<Value>, model: &mut Vec<u64>) {
    for number in numbers(work) {
        let before = (spool.len(), spool.encoded_bytes());
        let answer = spool.push(&make(number));
        if work.grown("push", answer).is_some() || work.has_bug("believe") {
            model.push(number);
        } else {
            let after = (spool.len(), spool.encoded_bytes());
            assert_eq!(after, before, "a refused value left something");
            return;
        }
    }
}

/// Values of two writers, of which one takes its values with it.
fn written(work: &mut Work, spool: &Spool<Value>, model: &mut Vec<u64>) {
    let (mut writer, mut dropped) = (spool.writer(), spool.writer());
    let mut kept = Vec::new();
    for number in numbers(work) {
        let answer = writer.push(&make(number));
        if work.grown("push by a writer", answer).is_none() && !work.has_bug("believe") {
            break;
        }
        kept.push(number);
        if number % 3 == 0 {
            let answer = dropped.push(&make(number));
            work.grown("push by another", answer);
        }
    }
    assert_eq!(writer.len(), kept.len());
    assert_eq!(spool.len(), model.len(), "before the end");
    writer.finish();
    drop(dropped);
    model.extend(kept);
}

fn get(work: &mut Work, spool: &Spool<Value>, model: &[u64]) {
    assert_eq!(spool.get(model.len()).unwrap(), None);
    for _ in 0..model.len().min(5) {
        let index = work.random.below(model.len());
        let answer = spool.get(index);
        if let Some(found) = work.grown("get", answer) {
            assert_eq!(found, Some(make(model[index])), "value {index}");
        }
    }
}

/// Reads all values in order; an iterator goes on after an error.
fn check(work: &mut Work, spool: &Spool<Value>, model: &[u64]) {
    let Some(mut values) = work.grown("iterate", spool.iter()) else {
        return;
    };
    let mut left = model.iter();
    let mut refusals = 0;
    while refusals < REFUSALS_MAX {
        let Some(answer) = values.next() else {
            assert_eq!(left.next(), None, "values are missing");
            return;
        };
        if let Some(found) = work.grown("read", answer) {
            assert_eq!(Some(found), left.next().map(|number| make(*number)));
        } else {
            assert!(values.next().is_none(), "a loop would not end");
            refusals += 1;
        }
    }
}

/// Takes values out, often not all of them.
fn consume(work: &mut Work, spool: Spool<Value>, model: &[u64]) {
    let count = if work.random.once_in(2) {
        model.len()
    } else {
        work.random.len(model.len())
    };
    let mut values = spool.into_iter();
    for number in &model[..count] {
        let Some(answer) = values.next() else {
            panic!("values are missing")
        };
        let Some(found) = work.grown("take", answer) else {
            return;
        };
        assert_eq!(found, make(*number));
    }
}
