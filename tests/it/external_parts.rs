//! Records that are sorted and come in parts, which threads take at the same time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use outcore::MemoryBudget;
use outcore::external::{SortedParts, Sorter};

use crate::external_records::{MIN, SCALE, check_budget, options};
use crate::support::random::{Random, seeds};

type Pair = (Vec<u8>, Vec<u8>);

/// What each part has, in the order of their numbers.
fn taken(parts: &SortedParts, threads: usize) -> Vec<Vec<Pair>> {
    let taken = Mutex::new(vec![None; parts.count()]);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(mut part) = parts.next_part().unwrap() {
                    let mut found = Vec::new();
                    while let Some((key, value)) = part.next().unwrap() {
                        found.push((key.to_vec(), value.to_vec()));
                    }
                    let number = usize::try_from(part.number()).unwrap();
                    let before = taken.lock().unwrap()[number].replace(found);
                    assert!(before.is_none(), "part {number} was taken twice");
                }
            });
        }
    });
    assert!(parts.next_part().unwrap().is_none());
    let taken = taken.into_inner().unwrap();
    taken.into_iter().map(Option::unwrap).collect()
}

/// A key of few different words, of any length.
fn key(random: &mut Random, common: usize) -> Vec<u8> {
    let mut key = vec![b'x'; random.below(common + 1)];
    for _ in 0..random.below(20) {
        key.push([0, 0, 1, 255][random.below(4)]);
    }
    key
}

#[test]
fn parts_have_all_records_in_order_and_equal_keys_in_one_part() {
    for seed in seeds(1) {
        let mut random = Random::new(seed);
        for (count, part_bytes) in [
            (0, 1),
            (1, 1),
            (5000, 1 << 10),
            (60_000, 64 << 10),
            (60_000, usize::MAX),
        ] {
            let count = count / SCALE;
            let budget = MemoryBudget::new(2 * MIN);
            let sorter = Sorter::new(options(&budget)).unwrap();
            let mut writers = [(); 2].map(|()| sorter.writer().unwrap());
            let mut model = Vec::new();
            for n in 0..count {
                let key = key(&mut random, 30);
                let value = n.to_be_bytes().to_vec();
                writers[n / (count / 2 + 1)].push(&key, &value).unwrap();
                model.push((key, value));
            }
            for writer in writers {
                writer.finish().unwrap();
            }
            model.sort();
            let parts = sorter.sorted_parts(part_bytes).unwrap();
            assert!(parts.count() > 1 || count < 2 || part_bytes == usize::MAX);
            let found = taken(&parts, 3);
            let firsts = found.iter().filter_map(|part| part.first());
            let lasts = found.iter().filter_map(|part| part.last());
            for (last, first) in lasts.zip(firsts.skip(1)) {
                assert!(last.0 < first.0, "seed {seed}: a key is in two parts");
            }
            assert!(found.concat() == model, "seed {seed}: {count}");
            drop(parts);
            check_budget(&budget);
        }
    }
}

/// All chunks were sampled at the same places, so that some parts had nearly all records.
#[test]
#[cfg_attr(miri, ignore = "there are too few records for several chunks")]
fn parts_of_many_chunks_are_of_about_the_same_length() {
    let mut random = Random::new(3);
    let budget = MemoryBudget::new(2 * MIN);
    let sorter = Sorter::new(options(&budget)).unwrap();
    let mut writer = sorter.writer().unwrap();
    for _ in 0..100_000 / SCALE {
        writer.push(random.next().to_be_bytes(), b"").unwrap();
    }
    writer.finish().unwrap();
    let parts = sorter.sorted_parts(100_000 / SCALE * 16 / 40).unwrap();
    let lengths = taken(&parts, 2).into_iter().map(|part| part.len());
    let (least, most) = lengths.fold((usize::MAX, 0), |(least, most), len| {
        (least.min(len), most.max(len))
    });
    assert!(
        most < 3 * least,
        "{} parts of {least} to {most}",
        parts.count()
    );
}

/// An order of one's own, and keys that are joined, which must not be divided.
#[test]
fn parts_of_another_order_are_joined_and_ordered_as_the_whole_is() {
    let mut random = Random::new(1);
    let count = 40_000 / SCALE;
    let keys: Vec<_> = (0..count).map(|_| key(&mut random, 3)).collect();
    for (reversed, joins) in [(true, false), (false, true), (true, true)] {
        let result = [usize::MAX, 4 << 10].map(|part_bytes| {
            let budget = MemoryBudget::new(8 * MIN);
            let mut builder = Sorter::builder(options(&budget));
            if reversed {
                builder = builder.compare(|a, b| b.cmp(a));
            }
            if joins {
                builder = builder.combine(|value, more| {
                    let sum = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().unwrap());
                    let sum = sum(value) + sum(more);
                    value.clear();
                    value.extend_from_slice(&sum.to_le_bytes());
                });
            }
            let sorter = builder.build().unwrap();
            let mut writer = sorter.writer().unwrap();
            for (n, key) in (0_u64..).zip(&keys) {
                writer.push(key, n.to_le_bytes()).unwrap();
            }
            writer.finish().unwrap();
            let parts = sorter.sorted_parts(part_bytes).unwrap();
            let found = taken(&parts, 2);
            assert_eq!(found.len() > 1, part_bytes != usize::MAX);
            drop(parts);
            check_budget(&budget);
            found.concat()
        });
        assert!(result[0] == result[1], "{reversed} {joins}");
        assert!(joins || result[0].len() == count);
    }
}

#[test]
#[cfg_attr(
    any(miri, memory_backend),
    ignore = "there are too few records for several parts, or for the disk"
)]
fn what_is_on_disk_comes_as_one_part_and_long_values_too() {
    let mut random = Random::new(2);
    for long in [false, true] {
        let budget = MemoryBudget::new(if long { 8 * MIN } else { MIN });
        let sorter = Sorter::new(options(&budget)).unwrap();
        let mut writer = sorter.writer().unwrap();
        let mut model = Vec::new();
        let mut push = |key: Vec<u8>, value: Vec<u8>| {
            writer.push(&key, &value).unwrap();
            model.push((key, value));
        };
        let longest = usize::try_from(MIN).unwrap() / 2;
        for n in 0..if long { 100 } else { 150_000 / SCALE } {
            push(key(&mut random, 3), n.to_be_bytes().to_vec());
        }
        if long {
            push(b"long".to_vec(), vec![7; longest]);
        }
        writer.finish().unwrap();
        model.sort();
        let parts = sorter.sorted_parts(1 << 10).unwrap();
        assert_eq!(parts.count(), 1);
        assert!(taken(&parts, 2).concat() == model, "long: {long}");
    }
}

/// Threads take parts until a comparison panics in one of them; the others go on.
#[test]
#[cfg_attr(
    any(miri, memory_backend),
    ignore = "there are too few records for several parts, or for the disk"
)]
fn a_panic_in_a_comparison_ends_one_part_only() {
    let budget = MemoryBudget::new(8 * MIN);
    let left = std::sync::Arc::new(AtomicUsize::new(usize::MAX));
    let counted = std::sync::Arc::clone(&left);
    let builder = Sorter::builder(options(&budget)).compare(move |a, b| {
        assert!(counted.fetch_sub(1, Relaxed) > 0, "planted");
        a.cmp(b)
    });
    let sorter = builder.build().unwrap();
    let mut writer = sorter.writer().unwrap();
    let count = 20_000_u32 / u32::try_from(SCALE).unwrap();
    for n in 0..count {
        writer.push(n.reverse_bits().to_be_bytes(), []).unwrap();
    }
    writer.finish().unwrap();
    let parts = sorter.sorted_parts(16 << 10).unwrap();
    assert!(parts.count() > 3);
    left.store(100, Relaxed);
    let mut first = parts.next_part();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let Ok(Some(part)) = &mut first else {
            return;
        };
        while part.next().unwrap().is_some() {}
    }));
    left.store(usize::MAX, Relaxed);
    let mut found = 0;
    while let Some(mut part) = parts.next_part().unwrap() {
        while part.next().unwrap().is_some() {
            found += 1;
        }
    }
    assert!(panicked.is_err() && found > count / 2 && found < count);
    drop((first, parts));
    check_budget(&budget);
}
