//! Values that are grouped within a budget: against a map of std, with every skew.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use outcore::external::{Aggregator, BytesAggregator, Options};
use outcore::{ErrorKind, MemoryBudget, ScratchDir};

use crate::support::disk;
use crate::support::random::Random;

const MIN: u64 = MemoryBudget::MIN_BYTES;

const SCALE: usize = if cfg!(any(miri, memory_backend)) {
    8
} else {
    1
};

fn options(budget: &MemoryBudget) -> Options {
    Options::from(budget).dir(&disk())
}

fn check_budget(budget: &MemoryBudget) {
    assert_eq!(budget.used_bytes(), 0);
    assert!(budget.peak_bytes() <= budget.limit_bytes());
}

/// A key, from a few frequent ones to many rare ones.
fn key(kind: usize, n: usize, random: &mut Random) -> u64 {
    match kind {
        0 => 7,
        1 => random.next() % 100,
        2 => n as u64,
        3 => random.next(),
        // Most keys are equal.
        4 if random.below(4) > 0 => 1,
        _ => random.next() % 100_000,
    }
}

/// What two adders left in memory was written to disk as sorted runs, by one thread, and merged from
/// there: of 1 GiB of lines, twice the time of everything before.
#[test]
fn groups_of_several_adders_that_fit_need_no_disk() {
    let none = ScratchDir::builder(disk().path()).quota_bytes(0);
    let none = none.build().unwrap();
    let budget = MemoryBudget::new(4 * MIN);
    let options = Options::from(&budget).dir(&none);
    let counts = BytesAggregator::new(&options, |sum: &mut u64, more: u64| *sum += more);
    let mut random = Random::new(5);
    let mut model: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for count in [3000, 0, 5000, 1, 2000] {
        let mut adder = counts.adder().unwrap();
        for n in 0..count / SCALE as u64 {
            // Many begin with the same bytes, of which some are zeros, and some end there.
            let common =
                [&b""[..], b"\0", b"beginning", b"beginning with\0\0\0\0"][random.below(4)];
            let mut key = common.to_vec();
            key.extend_from_slice(&random.next().to_be_bytes()[..random.below(3)]);
            adder.add(&key, n).unwrap();
            *model.entry(key).or_default() += n;
        }
        adder.finish().unwrap();
    }
    let mut groups = counts.finish().unwrap();
    for (key, count) in &model {
        assert_eq!(groups.next().unwrap(), Some((key.as_slice(), *count)));
    }
    assert_eq!(groups.next().unwrap(), None);
    drop((groups, options));
    check_budget(&budget);
}

#[test]
fn groups_of_plain_keys_are_those_of_a_map() {
    let mut random = Random::new(1);
    for kind in 0..6 {
        for count in [0, 1, 500, 600_000].map(|count| count / SCALE) {
            let budget = MemoryBudget::new(MIN);
            let mut sums = Aggregator::new(
                options(&budget),
                |sum: &mut (u64, u32), more: (u64, u32)| {
                    sum.0 += more.0;
                    sum.1 = sum.1.max(more.1);
                },
            );
            let mut model: HashMap<u64, (u64, u32)> = HashMap::new();
            for n in 0..count {
                let key = key(kind, n, &mut random);
                let value = (n as u64, u32::try_from(random.below(1000)).unwrap());
                sums.add(key, value).unwrap();
                let sum = model.entry(key).or_default();
                *sum = (sum.0 + value.0, sum.1.max(value.1));
            }
            let mut found = 0;
            for group in sums.finish().unwrap() {
                let (key, sum) = group.unwrap();
                assert_eq!(model.get(&key), Some(&sum), "kind {kind}, {count}");
                found += 1;
            }
            assert_eq!(
                found,
                model.len(),
                "kind {kind}, {count}: no group comes twice"
            );
            check_budget(&budget);
        }
    }
}

#[test]
fn groups_of_byte_strings_are_those_of_a_map_in_order() {
    let mut random = Random::new(2);
    for kind in 0..6 {
        for count in [0, 1, 500, 300_000].map(|count| count / SCALE) {
            let budget = MemoryBudget::new(MIN);
            let mut sums =
                BytesAggregator::new(options(&budget), |sum: &mut u64, more: u64| *sum += more);
            let mut model: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
            for n in 0..count {
                let number = key(kind, n, &mut random);
                let key = format!("{number}").repeat(usize::try_from(number % 4).unwrap());
                sums.add(&key, n as u64).unwrap();
                *model.entry(key.into_bytes()).or_default() += n as u64;
            }
            let mut groups = sums.finish().unwrap();
            let mut expected = model.iter();
            while let Some((key, sum)) = groups.next().unwrap() {
                let next = expected.next().map(|(key, sum)| (key.as_slice(), *sum));
                assert_eq!(next, Some((key, sum)), "kind {kind}, {count}");
            }
            assert!(expected.next().is_none());
            drop(groups);
            check_budget(&budget);
        }
    }
}

#[test]
fn adders_of_several_threads_add_to_the_same_groups() {
    for count in [100, 200_000 / SCALE as u64] {
        let budget = MemoryBudget::new(2 * MIN);
        let mut sums = Aggregator::new(options(&budget), |sum: &mut u64, more: u64| *sum += more);
        let mut counts =
            BytesAggregator::new(options(&budget), |sum: &mut u64, more: u64| *sum += more);
        sums.add(3, 0).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let mut adder = sums.adder().unwrap();
                scope.spawn(move || {
                    (0..count).for_each(|n| adder.add(n, 1).unwrap());
                    adder.finish().unwrap();
                });
            }
        });
        let groups: HashMap<u64, u64> = sums.finish().unwrap().map(Result::unwrap).collect();
        assert_eq!(groups.len() as u64, count);
        assert!(groups.values().all(|sum| *sum == 2));
        counts.add("3", 0).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let mut adder = counts.adder().unwrap();
                scope.spawn(move || {
                    (0..count).for_each(|n| adder.add(n.to_string(), 1).unwrap());
                    adder.finish().unwrap();
                });
            }
        });
        let mut groups = counts.finish().unwrap();
        let mut found = 0;
        while let Some((_, sum)) = groups.next().unwrap() {
            assert_eq!(sum, 2);
            found += 1;
        }
        assert_eq!(found, count);
        drop(groups);
        check_budget(&budget);
    }
}

/// A key with a useless hash: no partition is smaller than the whole.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Same(u16);

impl Hash for Same {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(1);
    }
}

#[test]
fn keys_of_one_hash_are_grouped_all_the_same() {
    let budget = MemoryBudget::new(MIN);
    // Each group has 8 KiB, so some hundred groups exceed the budget.
    let mut sums = Aggregator::new(
        options(&budget),
        |sum: &mut [u64; 1024], more: [u64; 1024]| {
            sum[5] += more[5];
        },
    );
    let count = 1200 / u16::try_from(SCALE).unwrap();
    let added = catch_unwind(AssertUnwindSafe(|| {
        for n in 0..2 * count {
            let mut value = [0; 1024];
            value[5] = u64::from(n);
            sums.add(Same(n % count), value).unwrap();
        }
    }));
    if added.is_err() {
        // Too large for the budget: an error at the first value.
        return;
    }
    let mut seen = vec![0_u64; usize::from(count)];
    for group in sums.finish().unwrap() {
        let (key, sum) = group.unwrap();
        seen[usize::from(key.0)] += sum[5];
    }
    let expected = (0..u64::from(count)).map(|n| 2 * n + u64::from(count));
    assert!(seen.into_iter().eq(expected));
    check_budget(&budget);
}

#[test]
fn what_does_not_fit_is_an_error_at_the_first_value() {
    let budget = MemoryBudget::new(MIN - 1);
    let mut sums = Aggregator::new(&budget, |sum: &mut u64, more: u64| *sum += more);
    assert_eq!(sums.add(1_u8, 1).unwrap_err().kind(), ErrorKind::OverBudget);
    let mut sums = BytesAggregator::new(&budget, |sum: &mut u64, more: u64| *sum += more);
    assert_eq!(sums.add("1", 1).unwrap_err().kind(), ErrorKind::OverBudget);
    check_budget(&budget);
    let budget = MemoryBudget::new(MIN);
    let mut sums = BytesAggregator::new(options(&budget), |sum: &mut u64, more: u64| *sum += more);
    sums.add("1", 1).unwrap();
    assert_eq!(
        sums.add(vec![0; 1 << 20], 1).unwrap_err().kind(),
        ErrorKind::ItemTooLarge
    );
    sums.add("1", 1).unwrap();
    assert_eq!(sums.finish().unwrap().next().unwrap(), Some((&b"1"[..], 2)));
}

/// The length of a key was checked only when a new chunk of memory was needed. In a chunk with room,
/// a key longer than a block was accepted, and then no group could be written to disk: all that had
/// been added was lost.
#[test]
fn a_key_that_is_too_large_is_refused_whatever_room_there_is() {
    let budget = MemoryBudget::new(MIN);
    let mut sums = BytesAggregator::new(options(&budget), |sum: &mut u64, more: u64| *sum += more);
    let mut model: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let block = (usize::try_from(MIN).unwrap() / 64).max(16 << 10);
    let lens = [
        100,
        block - 1200,
        block - 1000,
        block - 16,
        block - 8,
        block,
        block + 5000,
        2 * block,
        3 * block,
    ];
    let mut refused = Vec::new();
    let mut random = Random::new(6);
    for n in 0..60_000 / SCALE as u64 {
        let number = random.below(50_000).to_string();
        sums.add(&number, n).unwrap();
        *model.entry(number.into_bytes()).or_default() += n;
        if n % 100 != 0 {
            continue;
        }
        // Into a chunk that is new, and into all others.
        let len = lens[usize::try_from(n / 100).unwrap() % lens.len()];
        let mut key = n.to_be_bytes().to_vec();
        key.resize(len, b'k');
        match sums.add(&key, n) {
            Ok(()) => *model.entry(key).or_default() += n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ItemTooLarge, "{error}");
                refused.push(len);
            }
        }
    }
    let least = refused.iter().min().copied().unwrap_or(usize::MAX);
    let mut groups = sums.finish().unwrap();
    let mut found = BTreeMap::new();
    while let Some((key, sum)) = groups.next().unwrap() {
        assert!(
            key.len() < least,
            "{} bytes, and {least} are too many",
            key.len()
        );
        assert_eq!(found.insert(key.to_vec(), sum), None);
    }
    assert!(found == model, "the groups differ");
    assert!(least < usize::MAX && model.keys().any(|key| key.len() >= 100));
    drop(groups);
    check_budget(&budget);
}

/// The length of a value was not checked either where a chunk had room for its key.
#[test]
fn a_value_that_is_too_large_is_refused_whatever_room_there_is() {
    let budget = MemoryBudget::new(MIN);
    let mut large = BytesAggregator::new(options(&budget), |_: &mut [u64; 130], _| {});
    let error = large.add("key", [1; 130]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ItemTooLarge, "{error}");
    assert_eq!(large.finish().unwrap().next().unwrap(), None);
    check_budget(&budget);
}

/// After an error no value is lost, and none counts twice.
#[test]
fn a_full_directory_loses_no_group() {
    for is_bytes in [false, true] {
        let budget = MemoryBudget::new(MIN);
        let dir = ScratchDir::builder(env!("CARGO_TARGET_TMPDIR"))
            .quota_bytes(5 << 20)
            .build()
            .unwrap();
        let options = Options::from(&budget).dir(&dir);
        let mut sums = Aggregator::new(&options, |sum: &mut u64, more: u64| *sum += more);
        let mut counts = BytesAggregator::new(&options, |sum: &mut u64, more: u64| *sum += more);
        let (mut added, mut refusals) = (0_u64, 0);
        for n in 0..3_000_000_u64 {
            let key = n % 500_000;
            let result = if is_bytes {
                counts.add(key.to_be_bytes(), 1)
            } else {
                sums.add(key, 1)
            };
            match result {
                Ok(()) => added += 1,
                Err(refused) => {
                    assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
                    refusals += 1;
                    if refusals == 10 {
                        break;
                    }
                }
            }
        }
        assert_eq!(refusals, 10);
        // A user frees space elsewhere.
        let mut total = 0;
        if is_bytes {
            if let Ok(mut groups) = counts.finish() {
                while let Some((_, sum)) = groups.next().unwrap() {
                    total += sum;
                }
                assert_eq!(total, added);
            }
        } else if let Ok(groups) = sums.finish() {
            for group in groups {
                let (_, sum): (u64, u64) = group.unwrap();
                total += sum;
            }
            assert_eq!(total, added);
        }
        assert_eq!(dir.used_bytes(), 0);
        check_budget(&budget);
    }
}

#[test]
fn a_function_that_panics_leaves_the_other_groups() {
    let budget = MemoryBudget::new(MIN);
    let mut sums = Aggregator::new(options(&budget), |sum: &mut u64, more: u64| {
        assert!(more != 13, "planned");
        *sum += more;
    });
    sums.add(1, 13).unwrap();
    sums.add(2, 1).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| sums.add(2, 13))).is_err());
    sums.add(2, 1).unwrap();
    let mut groups: Vec<(i32, u64)> = sums.finish().unwrap().map(Result::unwrap).collect();
    groups.sort_unstable();
    assert_eq!(groups, [(1, 13), (2, 2)]);
}
