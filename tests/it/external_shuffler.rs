//! Records that are shuffled within a budget: a permutation, the same whatever memory and threads
//! there are, and all of them as likely.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test external_shuffler`.

use std::sync::Mutex;

use outcore::external::{Options, Progress, Shuffler};
use outcore::{ErrorKind, MemoryBudget, ScratchDir};

use crate::support::disk;
use crate::support::random::{Random, seeds};

const MIN: u64 = MemoryBudget::MIN_BYTES;

const SCALE: usize = if cfg!(any(miri, memory_backend)) {
    16
} else {
    1
};

fn options(budget: &MemoryBudget) -> Options {
    Options::from(budget).dir(&disk())
}

/// Records of many lengths, each of which begins with its number.
fn records(count: usize, longest: usize, random: &mut Random) -> Vec<Vec<u8>> {
    (0..count as u64)
        .map(|n| {
            let len = match random.below(4000) {
                0 => random.below(longest),
                1..=50 => 0,
                _ => random.below(40),
            };
            let mut record = n.to_le_bytes().to_vec();
            record.resize(len.max(8), 0);
            record
        })
        .collect()
}

/// Shuffles records with so many writers, and takes parts in as many threads.
fn shuffled(records: &[Vec<u8>], seed: u64, budget: &MemoryBudget, threads: usize) -> Vec<Vec<u8>> {
    let shuffler = Shuffler::new(options(budget).threads(threads), seed).unwrap();
    let numbered: Vec<_> = (0..).zip(records).collect();
    std::thread::scope(|scope| {
        for part in numbered.chunks(numbered.len().div_ceil(threads).max(1)) {
            let mut writer = shuffler.writer().unwrap();
            scope.spawn(move || {
                for (number, record) in part {
                    writer.push(*number, record).unwrap();
                }
                writer.finish().unwrap();
            });
        }
    });
    let parts = shuffler.shuffled().unwrap();
    let taken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(part) = parts.next_part().unwrap() {
                    let records: Vec<_> = part.records().map(<[u8]>::to_vec).collect();
                    taken.lock().unwrap().push((part.number(), records));
                }
            });
        }
    });
    drop(parts);
    assert_eq!(budget.used_bytes(), 0);
    assert!(budget.peak_bytes() <= budget.limit_bytes());
    let mut taken = taken.into_inner().unwrap();
    taken.sort_unstable_by_key(|(number, _)| *number);
    taken.into_iter().flat_map(|(_, records)| records).collect()
}

#[test]
fn what_comes_out_is_what_went_in_in_the_order_of_its_chances() {
    for seed in seeds(1) {
        let mut random = Random::new(seed);
        for (count, budget) in [
            (0, MIN),
            (1, MIN),
            (1000, MIN),
            (300_000 / SCALE, MIN),
            (300_000 / SCALE, 64 << 20),
        ] {
            let budget = MemoryBudget::new(budget);
            let longest = usize::try_from(MIN).unwrap() / 32;
            let records = records(count, longest, &mut random);
            let found = shuffled(&records, seed, &budget, 1);
            let shuffler = Shuffler::new(&budget, seed).unwrap();
            let mut expected: Vec<_> = (0..).zip(&records).collect();
            expected.sort_by_key(|(number, _)| shuffler.chance(*number));
            let same = found
                .iter()
                .eq(expected.into_iter().map(|(_, record)| record));
            assert!(same, "seed {seed}, {count} records");
        }
    }
}

#[test]
fn neither_memory_nor_threads_change_the_order() {
    let mut random = Random::new(3);
    let records = records(400_000 / SCALE, 100_000, &mut random);
    let first = shuffled(&records, 42, &MemoryBudget::new(MIN), 1);
    for (bytes, threads) in [
        (MIN + 70_001, 1),
        (3 * MIN, 3),
        (16 << 20, 2),
        (256 << 20, 4),
    ] {
        let again = shuffled(&records, 42, &MemoryBudget::new(bytes), threads);
        assert!(first == again, "{bytes} bytes, {threads} threads");
    }
    let other = shuffled(&records, 43, &MemoryBudget::new(MIN), 1);
    assert!(first != other);
}

/// The order of a seed is part of what users keep, so it does not change between versions.
#[test]
fn a_seed_stands_for_the_same_order_for_ever() {
    let records: Vec<_> = (0..8_u8).map(|n| vec![n]).collect();
    let order = |seed| shuffled(&records, seed, &MemoryBudget::new(MIN), 1).concat();
    assert_eq!(order(0), GOLDEN[0]);
    assert_eq!(order(1), GOLDEN[1]);
}

const GOLDEN: [[u8; 8]; 2] = [[5, 7, 0, 3, 4, 2, 1, 6], [4, 3, 2, 6, 7, 0, 5, 1]];

/// Chi-square of how often each of the 120 orders of five records came out, for many seeds; and of
/// where each of 64 records came out.
#[test]
fn all_orders_are_as_likely() {
    let rounds = 12_000_u32;
    let budget = MemoryBudget::new(MIN);
    let mut orders = [0_u32; 120];
    let mut places = [[0_u32; 64]; 64];
    for seed in 0..u64::from(rounds) {
        let shuffler = Shuffler::new(&budget, seed).unwrap();
        let mut few: Vec<_> = (0..5_u64).collect();
        few.sort_by_key(|n| shuffler.chance(*n));
        // The number of the permutation: for each, how many smaller ones follow.
        let number = (0..5).fold(0, |number, at| {
            let smaller = few[at..].iter().filter(|n| **n < few[at]).count();
            number * (5 - at) + smaller
        });
        orders[number] += 1;
        let mut many: Vec<_> = (0..64_u64).collect();
        many.sort_by_key(|n| shuffler.chance(*n));
        for (place, n) in many.iter().enumerate() {
            places[usize::try_from(*n).unwrap()][place] += 1;
        }
    }
    let chi_square = |counts: &[u32]| {
        let expected = f64::from(rounds) / f64::from(u32::try_from(counts.len()).unwrap());
        let squares = counts
            .iter()
            .map(|count| (f64::from(*count) - expected).powi(2) / expected);
        squares.sum::<f64>()
    };
    // 119 and 63 degrees of freedom; by chance, more than this comes once in 10^6 and in 10^7.
    let found = chi_square(&orders);
    assert!(found < 203.0, "{found}");
    for counts in &places {
        let found = chi_square(counts);
        assert!(found < 142.0, "{found}");
    }
    // The canary: a shuffle in which the first record stays in its place more often.
    orders[0] += rounds / 60;
    assert!(chi_square(&orders) > 203.0);
}

#[test]
fn a_record_that_is_too_long_is_refused_and_changes_nothing() {
    let budget = MemoryBudget::new(MIN);
    let shuffler = Shuffler::new(options(&budget), 1).unwrap();
    let mut writer = shuffler.writer().unwrap();
    let longest = vec![7; shuffler.record_bytes_max()];
    writer.push(0, &longest).unwrap();
    let refused = writer.push(1, [&longest[..], &[7]].concat()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ItemTooLarge);
    writer.push(2, "short").unwrap();
    writer.finish().unwrap();
    let parts = shuffler.shuffled().unwrap();
    let mut found = Vec::new();
    while let Some(part) = parts.next_part().unwrap() {
        found.extend(part.records().map(<[u8]>::len));
    }
    found.sort_unstable();
    assert_eq!(found, [5, longest.len()]);
}

#[test]
fn too_little_memory_is_an_error_at_the_start() {
    let budget = MemoryBudget::new(MIN - 1);
    let refused = Shuffler::new(&budget, 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OverBudget);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn a_full_disk_is_an_error_after_which_the_push_can_be_tried_again() {
    let dir = ScratchDir::builder(disk().path())
        .quota_bytes(4 << 20)
        .build()
        .unwrap();
    let budget = MemoryBudget::new(MIN);
    let shuffler = Shuffler::new(Options::from(&budget).dir(&dir), 1).unwrap();
    let mut writer = shuffler.writer().unwrap();
    let record = [1; 1000];
    let mut count = 0;
    let refused = loop {
        match writer.push(count, record) {
            Ok(()) => count += 1,
            Err(refused) => break refused,
        }
        assert!(count < 100_000, "the quota was passed");
    };
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    let again = writer.push(count, record).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::StorageFull);
    drop(writer);
    drop(shuffler);
    assert_eq!((budget.used_bytes(), dir.used_bytes()), (0, 0));
}

#[test]
fn a_cancelled_shuffle_stops_and_leaves_nothing() {
    let dir = disk();
    let budget = MemoryBudget::new(MIN);
    let progress = Progress::new();
    let options = Options::from(&budget).dir(&dir).progress(&progress);
    let shuffler = Shuffler::new(options, 1).unwrap();
    let mut writer = shuffler.writer().unwrap();
    progress.cancel();
    let refused = (0..1_000_000).find_map(|n| writer.push(n, [0; 100]).err());
    assert_eq!(refused.unwrap().kind(), ErrorKind::Cancelled);
    drop(writer);
    let parts = shuffler.shuffled();
    drop(parts);
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn a_writer_that_comes_too_late_is_told() {
    let budget = MemoryBudget::new(MIN);
    let shuffler = Shuffler::new(&budget, 1).unwrap();
    let writer = shuffler.writer().unwrap();
    let parts = shuffler.shuffled().unwrap();
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(parts.next_part().unwrap().is_none());
}
