//! Records that are sorted within a budget: against a model, with every option, and with functions
//! that panic.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test external_records`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use outcore::external::{Options, Progress, Sorted, Sorter};
use outcore::{ErrorKind, MemoryBudget, ScratchDir};

use crate::support::disk;
use crate::support::random::{Random, seeds};

pub(crate) const MIN: u64 = MemoryBudget::MIN_BYTES;

pub(crate) const SCALE: usize = if cfg!(any(miri, memory_backend)) {
    8
} else {
    1
};

type Pair = (Vec<u8>, Vec<u8>);

pub(crate) fn check_budget(budget: &MemoryBudget) {
    assert_eq!(budget.used_bytes(), 0);
    check_peak(budget);
}

fn check_peak(budget: &MemoryBudget) {
    assert!(budget.peak_bytes() <= budget.limit_bytes());
}

pub(crate) fn options(budget: &MemoryBudget) -> Options {
    Options::from(budget).dir(&disk())
}

/// Records of many lengths, some of the maximum length.
fn pairs(count: usize, keys: usize, longest: usize, random: &mut Random) -> Vec<Pair> {
    (0..count)
        .map(|n| {
            let key = random.below(keys).to_string();
            let key = if random.below(8) == 0 {
                key.repeat(20)
            } else {
                key
            };
            let len = if random.below(2000) == 0 {
                random.below(longest)
            } else {
                random.below(40)
            };
            let key = if random.below(500) == 0 {
                String::new()
            } else {
                key
            };
            let mut value = vec![0; len];
            for (target, byte) in value.iter_mut().zip(n.to_le_bytes()) {
                *target = byte;
            }
            (key.into_bytes(), value)
        })
        .collect()
}

pub(crate) fn all(mut sorted: Sorted) -> Vec<Pair> {
    let mut found = Vec::new();
    while let Some((key, value)) = sorted.next().unwrap() {
        found.push((key.to_vec(), value.to_vec()));
    }
    assert!(sorted.next().unwrap().is_none(), "the end is the end");
    found
}

#[test]
fn records_of_one_writer_come_out_in_order_and_equal_keys_as_they_came() {
    for seed in seeds(1) {
        let mut random = Random::new(seed);
        for (count, keys) in [(0, 1), (1, 1), (1000, 10), (150_000, 3), (150_000, 1 << 30)] {
            let budget = MemoryBudget::new(MIN);
            let sorter = Sorter::new(options(&budget)).unwrap();
            let longest = usize::try_from(MIN).unwrap() / 32 - 200;
            let mut model = pairs(count / SCALE, keys, longest, &mut random);
            let mut writer = sorter.writer().unwrap();
            for (key, value) in &model {
                writer.push(key, value).unwrap();
            }
            writer.finish().unwrap();
            model.sort_by(|a, b| a.0.cmp(&b.0));
            assert!(
                all(sorter.sorted().unwrap()) == model,
                "seed {seed}: {count}, {keys}"
            );
            check_budget(&budget);
        }
    }
}

#[test]
fn another_order_is_kept() {
    let mut random = Random::new(1);
    let mut model = pairs(100_000 / SCALE, 5000, 100, &mut random);
    let budget = MemoryBudget::new(MIN);
    let reversed = |key: &[u8]| key.iter().rev().copied().collect::<Vec<_>>();
    let builder = Sorter::builder(options(&budget));
    let sorter = builder
        .compare(move |a, b| reversed(b).cmp(&reversed(a)))
        .build()
        .unwrap();
    let mut writer = sorter.writer().unwrap();
    for (key, value) in &model {
        writer.push(key, value).unwrap();
    }
    writer.finish().unwrap();
    model.sort_by_key(|pair| Reverse(reversed(&pair.0)));
    assert!(all(sorter.sorted().unwrap()) == model);
}

#[test]
fn equal_keys_are_dropped_or_joined() {
    let mut random = Random::new(2);
    for keys in [1, 100, 60_000] {
        let model = pairs(200_000 / SCALE, keys, 100, &mut random);
        for joins in [false, true] {
            let budget = MemoryBudget::new(MIN);
            let builder = Sorter::builder(options(&budget));
            // The first byte is the number of records, at most 255 and then 0 for ever.
            let sorter = if joins {
                builder.combine(|value, more| {
                    let sum = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().unwrap());
                    let sum = sum(value) + sum(more);
                    value.clear();
                    value.extend_from_slice(&sum.to_le_bytes());
                })
            } else {
                builder.unique()
            };
            let sorter = sorter.build().unwrap();
            let mut writer = sorter.writer().unwrap();
            let mut expected: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            for (n, (key, _)) in (0_u64..).zip(&model) {
                writer.push(key, n.to_le_bytes()).unwrap();
                let value = expected.entry(key.clone());
                value
                    .and_modify(|value| {
                        let sum = u64::from_le_bytes(*value.first_chunk().unwrap()) + n;
                        if joins {
                            *value = sum.to_le_bytes().to_vec();
                        }
                    })
                    .or_insert(n.to_le_bytes().to_vec());
            }
            writer.finish().unwrap();
            let found = all(sorter.sorted().unwrap());
            assert!(
                found.into_iter().eq(expected),
                "{keys} keys, joined: {joins}"
            );
            check_budget(&budget);
        }
    }
}

#[test]
fn writers_of_several_threads_add_to_one_order() {
    let budget = MemoryBudget::new(2 * MIN);
    let sorter = Sorter::new(options(&budget)).unwrap();
    let count = 60_000 / SCALE as u64;
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let mut writer = sorter.writer().unwrap();
            scope.spawn(move || {
                for n in 0..count {
                    let key = (n % 1000).to_be_bytes();
                    writer.push(key, format!("{thread} {n:09}")).unwrap();
                }
                writer.finish().unwrap();
            });
        }
    });
    let found = all(sorter.sorted().unwrap());
    assert_eq!(found.len() as u64, 3 * count);
    assert!(found.is_sorted_by(|a, b| a.0 <= b.0));
    for thread in [b'0', b'1', b'2'] {
        let of_thread = found.iter().filter(|(_, value)| value[0] == thread);
        assert!(
            of_thread.is_sorted(),
            "equal keys of a writer keep their order"
        );
    }
    check_budget(&budget);
}

/// Values that are longer than the records they are joined from: a run of them is longer than what was
/// planned for it, which was an error of its plan, and a panic in a debug build.
#[test]
fn joined_values_may_be_longer_than_what_they_are_joined_from() {
    let mut random = Random::new(4);
    let budget = MemoryBudget::new(MIN);
    let count = |value: &[u8]| u64::from_le_bytes(*value.first_chunk().unwrap());
    let builder = Sorter::builder(options(&budget));
    let sorter = builder.combine(move |value, more| {
        let count = count(value) + count(more);
        value[..8].copy_from_slice(&count.to_le_bytes());
        value.resize(8 + 50 * usize::try_from(count).unwrap(), 7);
    });
    let sorter = sorter.build().unwrap();
    let mut writer = sorter.writer().unwrap();
    let mut expected: BTreeMap<[u8; 8], u64> = BTreeMap::new();
    for _ in 0..400_000 / SCALE {
        let key = random.below(3000).to_be_bytes();
        writer.push(key, 1_u64.to_le_bytes()).unwrap();
        *expected.entry(key).or_default() += 1;
    }
    writer.finish().unwrap();
    let mut result = sorter.sorted().unwrap();
    for (key, number) in expected {
        let (found, value) = result.next().unwrap().unwrap();
        assert_eq!((found, count(value)), (&key[..], number));
        assert!(number == 1 || value.len() as u64 == 8 + 50 * number);
    }
    assert!(result.next().unwrap().is_none());
    drop(result);
    check_budget(&budget);
}

#[test]
fn records_may_be_nearly_as_long_as_the_budget() {
    for keys in [1, 1000] {
        for unique in [false, true] {
            let budget = MemoryBudget::new(MIN);
            let dir = disk();
            let builder = Sorter::builder(Options::from(&budget).dir(&dir));
            let builder = if unique { builder.unique() } else { builder };
            let sorter = builder.build().unwrap();
            assert_eq!(sorter.record_bytes_max() as u64, MIN - MIN / 4);
            let mut random = Random::new(5);
            let mut writer = sorter.writer().unwrap();
            let mut model: Vec<(Vec<u8>, usize, u8)> = Vec::new();
            for n in 0..40_000 / SCALE {
                let key = random.below(keys).to_string().into_bytes();
                // One is as long as can be, some are too long for memory together, most are short.
                let len = match n {
                    7 => sorter.record_bytes_max() - 8 - key.len(),
                    _ if n % 2000 == 0 => 200_000 + random.below(300_000),
                    _ => random.below(100),
                };
                let byte = n.to_le_bytes()[0];
                writer.push(&key, vec![byte; len]).unwrap();
                model.push((key, len, byte));
            }
            writer.finish().unwrap();
            model.sort_by(|a, b| a.0.cmp(&b.0));
            if unique {
                model.dedup_by(|a, b| a.0 == b.0);
            }
            let mut result = sorter.sorted().unwrap();
            for (key, len, byte) in model {
                let (found, value) = result.next().unwrap().unwrap();
                assert_eq!((found, value.len()), (&key[..], len), "{keys}, {unique}");
                assert!(value.iter().all(|other| *other == byte));
            }
            assert!(result.next().unwrap().is_none());
            check_peak(&budget);
            drop(result);
            check_budget(&budget);
            assert_eq!(dir.used_bytes(), 0);
        }
    }
}

#[test]
fn keys_may_be_as_long_as_is_said() {
    let budget = MemoryBudget::new(MIN);
    let sorter = Sorter::new(options(&budget)).unwrap();
    let longest = sorter.key_bytes_max();
    let mut writer = sorter.writer().unwrap();
    for n in 0..20_u8 {
        let mut key = vec![0; longest];
        key[longest - 1] = 19 - n;
        // Some with a value that is put aside.
        writer.push(&key, vec![n; usize::from(n) * 20_000]).unwrap();
        let refused = writer.push([key, vec![0]].concat(), vec![n; 40_000]);
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ItemTooLarge);
        assert!(refused.to_string().contains("its key"), "{refused}");
    }
    writer.finish().unwrap();
    for (n, (key, value)) in (0_u8..20).zip(all(sorter.sorted().unwrap())) {
        assert_eq!((key.len(), key[longest - 1]), (longest, n));
        assert!(value == vec![19 - n; usize::from(19 - n) * 20_000]);
    }
    check_budget(&budget);
}

#[cfg(all(feature = "lz4", not(miri)))]
#[test]
fn packed_runs_are_shorter_and_have_the_same_records() {
    let mut random = Random::new(6);
    for looks_alike in [true, false] {
        let mut written = Vec::new();
        let mut model = pairs(200_000, 1 << 30, 100, &mut random);
        if !looks_alike {
            for (_, value) in &mut model {
                value.fill_with(|| random.next().to_le_bytes()[0]);
            }
        }
        for packs in [false, true] {
            let budget = MemoryBudget::new(MIN);
            let dir = disk();
            let builder = Sorter::builder(Options::from(&budget).dir(&dir));
            let builder = if packs { builder.lz4() } else { builder };
            let sorter = builder.build().unwrap();
            let mut writer = sorter.writer().unwrap();
            for (key, value) in &model {
                writer.push(key, value).unwrap();
            }
            writer.finish().unwrap();
            written.push(dir.used_bytes());
            let mut expected = model.clone();
            expected.sort_by(|a, b| a.0.cmp(&b.0));
            assert!(all(sorter.sorted().unwrap()) == expected, "{looks_alike}");
            check_budget(&budget);
        }
        let [plain, packed] = written[..] else {
            panic!()
        };
        let most = if looks_alike {
            plain / 3 * 2
        } else {
            plain + (1 << 20)
        };
        assert!(packed < most, "{looks_alike}: {plain}, packed {packed}");
    }
}

#[test]
fn what_is_too_long_is_refused_and_the_rest_goes_on() {
    let budget = MemoryBudget::new(MIN);
    let sorter = Sorter::new(options(&budget)).unwrap();
    let longest = sorter.record_bytes_max() - 8;
    let longest_key = sorter.key_bytes_max();
    let mut writer = sorter.writer().unwrap();
    let count = 20 / SCALE.min(4);
    for n in 0..count {
        assert_eq!(
            writer.push("", vec![0; longest + 1]).unwrap_err().kind(),
            ErrorKind::ItemTooLarge
        );
        writer
            .push(format!("{n:03}"), vec![1; longest - 3])
            .unwrap();
        writer.push(vec![b'x'; longest_key], "").unwrap();
        writer.push("", "").unwrap();
    }
    writer.finish().unwrap();
    let found = all(sorter.sorted().unwrap());
    assert_eq!(found.len(), 3 * count);
    assert!(found.is_sorted());
    check_budget(&budget);
}

#[test]
fn a_small_budget_and_a_late_writer_are_errors() {
    let small = MemoryBudget::new(MIN - 1);
    assert_eq!(
        Sorter::new(&small).unwrap_err().kind(),
        ErrorKind::OverBudget
    );
    check_budget(&small);
    let budget = MemoryBudget::new(MIN);
    let sorter = Sorter::new(options(&budget)).unwrap();
    let (mut late, dropped) = (sorter.writer().unwrap(), sorter.writer().unwrap());
    late.push("a", "b").unwrap();
    drop(dropped);
    assert!(all(sorter.sorted().unwrap()).is_empty());
    assert_eq!(late.finish().unwrap_err().kind(), ErrorKind::Cancelled);
    check_budget(&budget);
}

/// After a full disk, pushed records are kept, and the sort continues when there is space.
#[test]
fn a_full_directory_loses_no_record() {
    let budget = MemoryBudget::new(MIN);
    let dir = ScratchDir::builder(env!("CARGO_TARGET_TMPDIR"))
        .quota_bytes(6 << 20)
        .build()
        .unwrap();
    let sorter = Sorter::new(Options::from(&budget).dir(&dir)).unwrap();
    let mut writer = sorter.writer().unwrap();
    let mut count = 0_u64;
    let refused = loop {
        let pushed = writer.push(count.reverse_bits().to_be_bytes(), [7; 100]);
        match pushed {
            Ok(()) => count += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    assert!(writer.push("again", "").is_err());
    assert!(count * 108 > 6 << 20, "{count}");
    writer.finish().unwrap();
    let mut records = sorter.sorted().unwrap();
    let mut found = 0;
    while let Some((key, value)) = records.next().unwrap() {
        assert!(key.len() == 8 && value == [7; 100]);
        found += 1;
    }
    assert_eq!(found, count);
    drop(records);
    assert_eq!(dir.used_bytes(), 0);
    check_budget(&budget);
}

#[test]
fn a_function_that_panics_loses_the_record_only() {
    let calls = Arc::new(AtomicUsize::new(0));
    for at in [1, 1000, 30_000, 400_000].map(|at| at / SCALE) {
        let budget = MemoryBudget::new(MIN);
        calls.store(0, Relaxed);
        let counted = Arc::clone(&calls);
        let sorter = Sorter::builder(options(&budget)).compare(move |a, b| {
            assert!(counted.fetch_add(1, Relaxed) != at, "planned");
            a.cmp(b)
        });
        let sorter = sorter.build().unwrap();
        let mut writer = sorter.writer().unwrap();
        let (mut pushed, mut panics) = (0, 0);
        for n in 0..100_000_u64 / SCALE as u64 {
            let key = n.reverse_bits().to_be_bytes();
            match catch_unwind(AssertUnwindSafe(|| writer.push(key, [1; 60]))) {
                Ok(result) => {
                    result.unwrap();
                    pushed += 1;
                }
                Err(_) => panics += 1,
            }
        }
        writer.finish().unwrap();
        assert_eq!(panics, 1, "call {at}");
        let found = all(sorter.sorted().unwrap());
        assert!(found.is_sorted() && found.len() == pushed, "call {at}");
        check_budget(&budget);
    }
}

#[test]
fn a_cancelled_sorter_says_so() {
    let (budget, progress) = (MemoryBudget::new(MIN), Progress::new());
    let sorter = Sorter::new(options(&budget).progress(&progress)).unwrap();
    let mut writer = sorter.writer().unwrap();
    writer.push("a", "b").unwrap();
    writer.finish().unwrap();
    let mut records = sorter.sorted().unwrap();
    progress.cancel();
    assert_eq!(records.next().unwrap_err().kind(), ErrorKind::Cancelled);
}
