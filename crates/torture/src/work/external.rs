//! Work within a budget of memory: vectors that are sorted and shuffled, records, and groups. After a
//! refusal a vector holds the same elements, and a sorter and an aggregator have what they took.

use std::collections::BTreeMap;

use outcore::external::{Aggregator, Options, Sorter};
use outcore::{DiskVec, MemoryBudget, ScratchDir};

use crate::random::size;
use crate::work::Work;

pub(crate) fn run(work: &mut Work) {
    for step in 0..work.steps {
        work.step();
        let Some(dir) = work.scratch() else { continue };
        let budget = MemoryBudget::new(MemoryBudget::MIN_BYTES);
        let options = Options::from(&budget).dir(&dir).threads(1 + step % 2);
        match work.random.below(4) {
            0 | 1 => vector(work, &dir, &options),
            2 => records(work, &options),
            _ => groups(work, &options),
        }
        assert_eq!(budget.used_bytes(), 0, "memory is kept");
        assert_eq!(dir.used_bytes(), 0, "space is kept");
    }
}

/// How often a full disk may refuse: each time, ext4 commits its journal first.
const REFUSALS_MAX: u32 = 200;

/// Tells sets of numbers apart, and their order not.
fn sum(numbers: impl Iterator<Item = u64>) -> (u64, u64) {
    let mix = |number: u64| (number ^ (number >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    numbers.fold((0, 0), |(count, sum), number| {
        (count + 1, sum.wrapping_add(mix(number)))
    })
}

fn vector(work: &mut Work, dir: &ScratchDir, options: &Options) {
    let mut vec = DiskVec::new_in(dir);
    let count = work.random.next() % (work.bytes as u64 / 8);
    let shift = work.random.next() % 64;
    let numbers = (0..count).map(|n| n.wrapping_mul(0xD6E8_FEB8_6659_FD93) >> shift);
    let filled = vec.try_extend(numbers);
    work.grown("fill", filled);
    let mut before = sum(vec.iter().copied());
    if work.has_bug("believe") {
        // As if what was refused had been taken.
        before.0 = count;
    }
    for _ in 0..3 {
        work.step();
        let operation = work.random.below(4);
        let answer = match operation {
            0 => vec.sort_external(options),
            1 => vec.sort_external_by(options, |a, b| b.cmp(a)),
            2 => vec.sort_external_by_key(options, u64::to_string),
            _ => vec.shuffle_external(options, shift),
        };
        let is_done = work.grown("rearrange", answer).is_some();
        assert_eq!(sum(vec.iter().copied()), before, "other elements");
        let is_sorted = match operation {
            0 => vec.is_sorted(),
            1 => vec.is_sorted_by(|a, b| a >= b),
            2 => vec.is_sorted_by_key(u64::to_string),
            _ => true,
        };
        assert!(!is_done || is_sorted, "operation {operation} has no order");
    }
}

fn records(work: &mut Work, options: &Options) {
    let sorter = Sorter::new(options);
    let Some(sorter) = work.grown("make a sorter", sorter) else {
        return;
    };
    let Some(mut writer) = work.grown("make a writer", sorter.writer()) else {
        return;
    };
    let (count, longest) = (work.bytes / 100, 1 + work.random.below(300));
    let mut pushed = Vec::new();
    let mut refusals = 0;
    for n in 0..count as u64 {
        let key = n.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let mut len = size(key % longest as u64);
        if n % 4096 == 99 {
            // One that is put aside.
            len = 300_000;
        }
        let answer = writer.push(key.to_be_bytes(), vec![7; len]);
        let is_pushed = answer.is_ok();
        work.grown("push", answer);
        if is_pushed || work.has_bug("believe") {
            pushed.push(key);
        } else {
            work.step();
            refusals += 1;
            if refusals == REFUSALS_MAX {
                break;
            }
        }
    }
    let finished = writer.finish();
    work.done("finish", finished);
    pushed.sort_unstable();
    let answer = sorter.sorted();
    let Some(mut records) = work.grown("sort", answer) else {
        return;
    };
    for key in pushed {
        let Some(found) = work.done("read", records.next()) else {
            return;
        };
        let found = found.map(|(found, _value)| found.to_vec());
        assert_eq!(found, Some(key.to_be_bytes().to_vec()), "another record");
    }
    assert!(
        work.done("read", records.next())
            .is_none_or(|end| end.is_none())
    );
}

fn groups(work: &mut Work, options: &Options) {
    let mut counts = Aggregator::new(options, |count: &mut u64, more: u64| *count += more);
    let mut model: BTreeMap<u64, u64> = BTreeMap::new();
    let keys = 1 + work.random.next() % 400_000;
    let mut refusals = 0;
    for n in 0..work.bytes as u64 / 16 {
        let key = n.wrapping_mul(0xD6E8_FEB8_6659_FD93) % keys;
        let answer = counts.add(key, 1);
        let is_added = answer.is_ok();
        work.grown("add", answer);
        if is_added || work.has_bug("believe") {
            *model.entry(key).or_default() += 1;
        } else {
            work.step();
            refusals += 1;
            if refusals == REFUSALS_MAX {
                break;
            }
        }
    }
    let groups = counts.finish();
    let Some(groups) = work.grown("group", groups) else {
        return;
    };
    for group in groups {
        let Some((key, count)) = work.grown("read", group) else {
            return;
        };
        assert_eq!(model.remove(&key), Some(count), "the group of {key}");
    }
    assert!(model.is_empty(), "{} groups are missing", model.len());
}
