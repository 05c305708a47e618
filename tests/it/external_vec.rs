//! Vectors that are sorted within a budget: against std's sort, at every size around the budget.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test external_vec`.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use outcore::external::{Options, Progress, SortKey};
use outcore::{DiskVec, ErrorKind, MemoryBudget, ScratchDir};

use crate::support::disk;
use crate::support::random::{Random, seeds};

pub(crate) const MIN: u64 = MemoryBudget::MIN_BYTES;

/// Less data under tools that check every access.
pub(crate) const SCALE: usize = if cfg!(any(miri, memory_backend)) {
    8
} else {
    1
};

/// More elements than are sorted in the memory of the least budget.
const MANY: usize = if SCALE > 1 { 300_000 } else { 1_500_000 };

/// Makes a vector of the results of `make`.
pub(crate) fn vec_of<T>(count: usize, mut make: impl FnMut(usize) -> T) -> DiskVec<T> {
    let mut vec = DiskVec::new_in(&disk());
    vec.try_extend((0..count).map(&mut make)).unwrap();
    vec
}

/// The conditions after each operation.
pub(crate) fn check_budget(budget: &MemoryBudget) {
    assert_eq!(budget.used_bytes(), 0);
    assert!(budget.peak_bytes() <= budget.limit_bytes());
}

/// Numbers in many kinds of order.
fn numbers(kind: usize, count: usize, random: &mut Random) -> Vec<u64> {
    (0..count)
        .map(|n| match kind {
            0 => random.next(),
            1 => n as u64,
            2 => (count - n) as u64,
            3 => random.next() % 7,
            4 => 5,
            // Most numbers are equal.
            5 => {
                if random.below(10) > 0 {
                    1 << 40
                } else {
                    random.next()
                }
            }
            // All bits are equally likely.
            6 => 1 << random.below(64),
            // Sorted, except for the last.
            _ => {
                if n + 1 == count {
                    0
                } else {
                    n as u64 + 1
                }
            }
        })
        .collect()
}

const KINDS: usize = 8;

#[test]
fn numbers_of_any_order_come_out_as_std_sorts_them() {
    for seed in seeds(1) {
        let mut random = Random::new(seed);
        for kind in 0..KINDS {
            for count in [0, 1, 2, 1000, 200_000, 600_000].map(|count| count / SCALE) {
                let mut expected = numbers(kind, count, &mut random);
                let mut vec = vec_of(count, |n| expected[n]);
                let budget = MemoryBudget::new(MIN);
                vec.sort_external(&budget).unwrap();
                expected.sort_unstable();
                assert!(vec == expected, "seed {seed}, kind {kind}, {count} numbers");
                check_budget(&budget);
            }
        }
    }
}

#[test]
fn threads_of_any_number_sort_the_same() {
    let mut random = Random::new(1);
    let numbers: Vec<_> = (0..600_000 / SCALE).map(|_| random.next() >> 20).collect();
    let mut expected = numbers.clone();
    expected.sort_unstable();
    for threads in [1, 2, 3, 8] {
        let budget = MemoryBudget::new(MIN);
        let options = Options::from(&budget).threads(threads);
        let mut vec = vec_of(numbers.len(), |n| numbers[n]);
        vec.sort_external(&options).unwrap();
        assert!(vec == expected, "{threads} threads, by digits");
        let mut vec = vec_of(numbers.len(), |n| numbers[n]);
        vec.sort_external_by(&options, Ord::cmp).unwrap();
        assert!(vec == expected, "{threads} threads, by comparisons");
        check_budget(&budget);
    }
}

/// A row that contains its original position.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    key: u32,
    place: u32,
    rest: [u8; 24],
}

fn rows(count: usize, keys: u64, random: &mut Random) -> DiskVec<Row> {
    vec_of(count, |place| Row {
        key: u32::try_from(random.next() % keys).unwrap(),
        place: u32::try_from(place).unwrap(),
        rest: [7; 24],
    })
}

#[test]
fn rows_of_equal_keys_keep_their_order() {
    let mut random = Random::new(2);
    for keys in [1, 1000, 1 << 32] {
        for count in [10, 50_000, 300_000].map(|count| count / SCALE) {
            for threads in [1, 3] {
                let budget = MemoryBudget::new(MIN);
                let options = Options::from(&budget).threads(threads);
                let mut vec = rows(count, keys, &mut random);
                vec.sort_external_by_key(&options, |row| row.key).unwrap();
                assert!(
                    vec.is_sorted_by_key(|row| (row.key, row.place)),
                    "{keys}, {count}"
                );
                vec.sort_external_by_key(&options, |row| (Reverse(row.key), 0_u64))
                    .unwrap();
                assert!(vec.is_sorted_by_key(|row| (Reverse(row.key), row.place)));
                vec.sort_external_by(&options, |a, b| a.key.cmp(&b.key))
                    .unwrap();
                assert!(
                    vec.is_sorted_by_key(|row| (row.key, row.place)),
                    "{keys}, {count}"
                );
                vec.sort_external_by_key(&options, |row| format!("{:08}", row.key % 1000))
                    .unwrap();
                assert!(vec.is_sorted_by_key(|row| (row.key % 1000, row.key, row.place)));
                check_budget(&budget);
            }
        }
    }
}

/// Returns random bytes, at most eight.
fn bytes<const N: usize>(random: &mut Random) -> [u8; N] {
    *random.next().to_le_bytes().first_chunk().unwrap()
}

#[test]
fn elements_of_other_types_are_sorted() {
    fn sorts<T: SortKey + Clone + Send + PartialEq>(count: usize, make: impl FnMut(usize) -> T) {
        let mut make = make;
        let elements: Vec<T> = (0..count).map(&mut make).collect();
        let mut expected = elements.clone();
        expected.sort_by(SortKey::compare);
        let mut vec = vec_of(count, |n| elements[n].clone());
        vec.sort_external(&MemoryBudget::new(MIN)).unwrap();
        assert!(vec == expected, "{}", std::any::type_name::<T>());
    }
    let mut random = Random::new(3);
    let count = 400_000 / SCALE;
    sorts(count, |_| random.next().to_be_bytes()[0]);
    sorts(count, |_| i16::from_le_bytes(bytes(&mut random)));
    sorts(count, |_| {
        f64::from(i32::from_le_bytes(bytes(&mut random))) / 7.0
    });
    sorts(count, |_| random.next() % 2 == 0);
    sorts(count, |_| {
        (i32::from_le_bytes(bytes(&mut random)), random.next())
    });
    sorts(count, |_| u128::from(random.next()) << (random.next() % 64));
    sorts(count, |_| Reverse(random.next()));
    sorts(count, |_| [random.next(), 1, random.next()]);
    sorts(count, |_| {
        (
            random.next() % 100,
            2_u8,
            'x',
            u16::from_le_bytes(bytes(&mut random)),
        )
    });
    sorts(count / 2, |_| (random.next() % 100_000).to_string());
    sorts(count / 2, |_| {
        Some(Reverse((random.next() % 1000).to_string()))
    });
    sorts(count / 10, |_| ());
}

/// After a truncation at the front, the elements do not begin at the start of the file.
#[test]
fn a_vector_that_lost_its_front_is_sorted() {
    let mut random = Random::new(4);
    let count = 800_000 / SCALE;
    let mut vec = vec_of(count, |_| random.next());
    vec.truncate_front(count / 3);
    let mut expected = vec.to_vec();
    vec.sort_external(&MemoryBudget::new(MIN)).unwrap();
    expected.sort_unstable();
    assert!(vec == expected);
    vec.push(7).unwrap();
    assert_eq!((vec.pop(), vec.len()), (Some(7), expected.len()));
    vec.truncate_front(expected.len() / 2);
    vec.sort_external_by(&MemoryBudget::new(MIN), |a, b| b.cmp(a))
        .unwrap();
    assert!(vec.iter().rev().eq(&expected[expected.len() / 2..]));
}

/// An element of many bytes.
#[derive(Clone, Copy)]
struct Long<const N: usize> {
    key: u64,
    last: [u8; N],
}

/// Sorts more elements than fit into the least budget, by a key; returns the keys afterwards, and
/// how the sort ended.
fn sort_long<const N: usize>(count: usize) -> (Vec<u64>, Result<(), outcore::Error>) {
    let work = move || {
        let key = |n: usize| (n as u64 * 7_919) % 1_009;
        let budget = MemoryBudget::new(MIN);
        let mut vec = vec_of(count, |n| Long {
            key: key(n),
            last: [key(n).to_le_bytes()[0]; N],
        });
        let sorted = vec.sort_external_by_key(Options::from(&budget).threads(1), |long| long.key);
        check_budget(&budget);
        for long in &vec {
            assert!(long.last[N - 1] == long.key.to_le_bytes()[0]);
        }
        (vec.iter().map(|long| long.key).collect(), sorted)
    };
    // Elements are made on the stack.
    let thread = std::thread::Builder::new().stack_size(32 << 20);
    thread.spawn(work).unwrap().join().unwrap()
}

/// A block of the first pass had 256 KiB at most, so an element longer than that found none, and
/// every budget was said to be too small. And the plan left out the element that is read at a time:
/// of elements that are longer than an eighth of the memory, it promised a block more than there
/// was room for, and the distribution, which begins after the check, was refused.
#[test]
fn elements_longer_than_a_block_are_sorted() {
    let (keys, sorted) = sort_long::<300_000>(60);
    sorted.unwrap();
    assert!(keys.len() == 60 && keys.is_sorted());
    let (keys, sorted) = sort_long::<700_000>(40);
    sorted.unwrap();
    assert!(keys.len() == 40 && keys.is_sorted());
    // Not even three blocks.
    let (keys, sorted) = sort_long::<1_300_000>(20);
    assert_eq!(sorted.unwrap_err().kind(), ErrorKind::OverBudget);
    assert!(keys.len() == 20 && !keys.is_sorted());
}

/// They were looked at one by one, whether they are in order: of as many as this, for centuries.
#[test]
fn elements_without_size_are_sorted_at_once() {
    let mut vec = DiskVec::try_from([(), ()]).unwrap();
    while vec.len() < 1 << 62 {
        let mut other = vec.try_copy().unwrap();
        vec.append(&mut other).unwrap();
    }
    let budget = MemoryBudget::new(MIN);
    vec.sort_external(&budget).unwrap();
    vec.sort_external_by_key(&budget, |()| 5_u64).unwrap();
    vec.sort_external_by(&budget, Ord::cmp).unwrap();
    vec.shuffle_external(&budget, 5).unwrap();
    assert_eq!((vec.len(), budget.peak_bytes()), (1 << 62, 0));
}

#[test]
fn a_budget_below_the_least_is_an_error_and_nothing_moves() {
    let mut vec = vec_of(2_000_000 / SCALE, |n| (n as u64).reverse_bits());
    let expected = vec.to_vec();
    let budget = MemoryBudget::new(1000);
    for refused in [
        vec.sort_external(&budget).unwrap_err(),
        vec.sort_external_by(&budget, Ord::cmp).unwrap_err(),
        vec.shuffle_external(&budget, 1).unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::OverBudget, "{refused}");
    }
    // Elements of 2 MiB need a large stack.
    #[expect(clippy::large_stack_arrays, reason = "elements are that large")]
    let elements = |n| [3 - n; 1 << 18];
    let large = std::thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(move || {
            let mut large = vec_of(3, elements);
            let budget = MemoryBudget::new(MIN);
            let refused = large.sort_external_by_key(&budget, |n| n[5]).unwrap_err();
            check_budget(&budget);
            refused.kind()
        });
    assert_eq!(large.unwrap().join().unwrap(), ErrorKind::OverBudget);
    assert!(vec == expected);
}

/// As many threads as were asked for were started, each with counters of its own: with a number that
/// stands for "all" the process ended for want of memory.
#[test]
fn more_threads_than_a_machine_can_have_are_fewer() {
    let budget = MemoryBudget::new(16 << 20);
    let mut vec = vec_of(200_000, |n| (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let options = Options::from(&budget).threads(usize::MAX);
    vec.sort_external(&options).unwrap();
    assert!(vec.is_sorted());
    vec.sort_external_by(&options, |a, b| b.cmp(a)).unwrap();
    assert!(vec.is_sorted_by(|a, b| a >= b));
    vec.shuffle_external(&options, 1).unwrap();
    assert_eq!(vec.len(), 200_000);
}

#[test]
fn a_full_directory_is_an_error_before_anything_moves() {
    let count = MANY;
    let dir = ScratchDir::builder(env!("CARGO_TARGET_TMPDIR")).quota_bytes(12 * count as u64);
    let mut vec = DiskVec::new_in(&dir.build().unwrap());
    vec.reserve_exact(count).unwrap();
    vec.try_extend((0..count).map(|n| (n as u64).reverse_bits()))
        .unwrap();
    let expected = vec.to_vec();
    let budget = MemoryBudget::new(MIN);
    for refused in [
        vec.sort_external(&budget).unwrap_err(),
        vec.sort_external_by(&budget, Ord::cmp).unwrap_err(),
        vec.shuffle_external(&budget, 1).unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
    }
    assert!(vec == expected);
    check_budget(&budget);
}

#[test]
fn a_cancelled_sort_leaves_all_elements() {
    let count = MANY;
    for operation in 0..3 {
        let budget = MemoryBudget::new(MIN);
        let progress = Progress::new();
        let options = Options::from(&budget).threads(2).progress(&progress);
        let mut vec = vec_of(count, |n| (n as u64).reverse_bits());
        let mut expected = vec.to_vec();
        let calls = AtomicUsize::new(0);
        let tick = || {
            if calls.fetch_add(1, Relaxed) == count {
                progress.cancel();
            }
        };
        let refused = match operation {
            0 => vec.sort_external_by_key(&options, |n| {
                tick();
                *n
            }),
            1 => vec.sort_external_by(&options, |a, b| {
                tick();
                a.cmp(b)
            }),
            _ => {
                progress.cancel();
                vec.shuffle_external(&options, 5)
            }
        };
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Cancelled);
        let mut left = vec.to_vec();
        left.sort_unstable();
        expected.sort_unstable();
        assert!(left == expected, "operation {operation}");
        check_budget(&budget);
    }
}

#[test]
fn progress_ends_at_its_total() {
    let progress = Progress::new();
    let budget = MemoryBudget::new(MIN);
    let options = Options::from(&budget).progress(&progress);
    let mut vec = vec_of(1_000_000 / SCALE, |n| (n as u64).reverse_bits());
    vec.shuffle_external(&options, 3).unwrap();
    assert!(progress.done_bytes() > 0 && progress.done_bytes() == progress.total_bytes());
    vec.sort_external(&options).unwrap();
    assert_eq!(progress.done_bytes(), progress.total_bytes());
}
