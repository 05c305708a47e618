//! Sorts and shuffles of strings, against those of std.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use outcore::external::{Options, Progress};
use outcore::{BytesVec, ErrorKind, MemoryBudget, StrVec};

use crate::support::disk;
use crate::support::random::{Random, seeds};

const MIN: u64 = MemoryBudget::MIN_BYTES;

/// Strings of which many are equal, or begin alike.
fn strings(random: &mut Random, count: usize) -> Vec<String> {
    let string = |_| {
        let prefix = "a".repeat(random.below(30));
        let len = random.len(200);
        format!("{prefix}{}{}", random.below(50), "\u{e9}".repeat(len / 20))
    };
    (0..count).map(string).collect()
}

/// Returns a number of strings that is more than the smallest budget holds.
fn many() -> usize {
    if cfg!(any(miri, memory_backend)) {
        2_000
    } else {
        150_000
    }
}

#[test]
fn strings_are_in_the_order_of_std_whatever_the_budget_and_the_threads() {
    for seed in seeds(if cfg!(any(miri, memory_backend)) {
        1
    } else {
        3
    }) {
        let mut random = Random::new(seed);
        for count in [0, 1, 2, 100, many()] {
            let mut model = strings(&mut random, count);
            let names = StrVec::try_from(model.as_slice()).unwrap();
            let mut unique = names.try_clone().unwrap();
            model.sort();
            for (bytes, threads) in [(MIN, 1), (3 * MIN, 3), (64 << 20, 2)] {
                let budget = MemoryBudget::new(bytes);
                let mut sorted = names.try_clone().unwrap();
                sorted
                    .sort_external(Options::from(&budget).threads(threads))
                    .unwrap();
                assert!(sorted == model, "seed {seed}: {count} strings in {bytes}");
                assert_eq!(budget.used_bytes(), 0);
                assert!(budget.peak_bytes() <= bytes);
            }
            model.dedup();
            let budget = MemoryBudget::new(MIN);
            unique.sort_external_unique(&budget).unwrap();
            assert!(unique == model, "seed {seed}: {count} strings, unique");
        }
    }
}

#[test]
fn strings_with_equal_keys_keep_their_order() {
    let mut random = Random::new(7);
    let mut model = strings(&mut random, many());
    for bytes in [MIN, 32 << 20] {
        let mut names = StrVec::try_from(model.as_slice()).unwrap();
        let budget = MemoryBudget::new(bytes);
        let options = Options::from(&budget).threads(3);
        names
            .sort_external_by_key(options, |name, key| {
                key.push(u8::try_from(name.len() % 9).unwrap());
            })
            .unwrap();
        model.sort_by_key(|name| name.len() % 9);
        assert!(names == model, "in {bytes}");
        // The next is by what is in another order now.
        names
            .sort_external_by_key(&budget, |name, key| key.extend(name.bytes().rev()))
            .unwrap();
        model.sort_by_key(|name| name.bytes().rev().collect::<Vec<_>>());
        assert!(names == model, "from the end, in {bytes}");
    }
}

#[test]
fn a_shuffle_is_a_permutation_that_the_seed_alone_decides() {
    let mut random = Random::new(3);
    let mut model: Vec<Vec<u8>> = (0..many())
        .map(|n| {
            let mut item = n.to_be_bytes().to_vec();
            item.resize(8 + random.len(100), 1);
            item
        })
        .collect();
    let items = BytesVec::try_from(model.as_slice()).unwrap();
    let shuffled = [(1, MIN, 1), (1, 64 << 20, 4), (2, MIN, 1)].map(|(seed, bytes, threads)| {
        let mut shuffled = items.try_clone().unwrap();
        let budget = MemoryBudget::new(bytes);
        shuffled
            .shuffle_external(Options::from(&budget).threads(threads), seed)
            .unwrap();
        shuffled
    });
    let [once, again, other] = &shuffled;
    assert!(once == again, "the budget decides");
    assert!(once != other, "the seed does not");
    let moved = once
        .iter()
        .zip(items.iter())
        .filter(|(a, b)| a != b)
        .count();
    assert!(moved + 50 > many(), "{moved} items moved");
    for one in &shuffled {
        let mut all: Vec<Vec<u8>> = one.iter().map(<[u8]>::to_vec).collect();
        all.sort();
        model.sort();
        assert!(all == model, "items were lost");
    }
}

/// After each refusal the vector has the same items in the same order.
#[test]
fn a_sort_that_is_refused_changes_nothing() {
    let mut random = Random::new(5);
    let mut model = strings(&mut random, many());
    model.insert(0, "z".to_owned());
    let mut names = StrVec::try_from(model.as_slice()).unwrap();
    let refused = names
        .sort_external(&MemoryBudget::new(MIN / 2))
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OverBudget);
    assert!(names == model);

    let progress = Progress::new();
    progress.cancel();
    let options = Options::from(&MemoryBudget::new(MIN)).progress(&progress);
    let refused = names.sort_external(options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Cancelled);
    assert!(names == model);

    let calls = AtomicUsize::new(0);
    let sorted = catch_unwind(AssertUnwindSafe(|| {
        let options = Options::from(&MemoryBudget::new(4 * MIN)).threads(3);
        names.sort_external_by_key(options, |name, key| {
            assert!(calls.fetch_add(1, Relaxed) < many() / 2, "as planned");
            key.extend_from_slice(name.as_bytes());
        })
    }));
    assert!(sorted.is_err() && names == model);

    names.push("long".repeat(100_000)).unwrap();
    let budget = MemoryBudget::new(MIN);
    let refused = names.sort_external(&budget).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ItemTooLarge);
    assert_eq!(names.pop().map(|name| name.len()), Some(400_000));
    assert!(names == model);
    assert_eq!(budget.used_bytes(), 0);
    names.sort_external(&budget).unwrap();
    assert!(names.iter().is_sorted());
}

/// Space for the sorted vector is preallocated first; that for what does not fit into memory is
/// refused later.
#[test]
#[cfg(not(any(miri, memory_backend)))]
fn a_quota_that_is_too_small_changes_nothing() {
    let mut random = Random::new(6);
    let model = strings(&mut random, many());
    let needed = StrVec::try_from(model.as_slice()).unwrap().disk_bytes();
    for quota in [needed, needed * 3 / 2, needed * 5 / 2] {
        let builder = outcore::ScratchDir::builder(env!("CARGO_TARGET_TMPDIR"));
        let dir = builder.quota_bytes(quota).build().unwrap();
        let mut names = StrVec::new_in(&dir);
        names.extend_from_slice(&model).unwrap();
        let used = dir.used_bytes();
        let refused = names.sort_external(&MemoryBudget::new(MIN)).unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::StorageFull,
            "{quota} of {needed}"
        );
        assert!(names == model, "{quota} of {needed}");
        assert_eq!(dir.used_bytes(), used, "space is kept");
    }
}

#[test]
fn a_sorted_vector_stays_in_its_directory() {
    let dir = disk();
    let mut random = Random::new(8);
    let mut names = StrVec::new_in(&dir);
    names
        .extend_from_slice(&strings(&mut random, many()))
        .unwrap();
    names.sort_external(&MemoryBudget::new(MIN)).unwrap();
    assert!(names.iter().is_sorted());
    assert_eq!(dir.used_bytes(), names.disk_bytes());
}
