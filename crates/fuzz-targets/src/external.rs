//! Work within a budget of memory: sorts, shuffles, groups and merges, against std's sort and maps.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use outcore::external::{Aggregator, BytesAggregator, Options, Progress, Sorter, merge, merge_by};
use outcore::{DiskVec, ErrorKind, MemoryBudget, Result};

use crate::bytes::Bytes;

/// The most that one operation is done to: several times what the least budget holds.
const COUNT_MAX: usize = 700_000;

/// The most operations of a case.
const OPERATIONS_MAX: usize = 4;

/// Numbers that bytes describe: their count, and how they are spread.
struct Numbers {
    count: usize,
    kind: u8,
    seed: u64,
}

impl Numbers {
    fn choose(bytes: &mut Bytes<'_>, most: usize) -> Self {
        let count = match bytes.byte() % 4 {
            0 => bytes.below(10),
            1 => bytes.below(5000),
            2 => bytes.below(100_000),
            _ => bytes.below(most),
        };
        Self {
            count,
            kind: bytes.byte(),
            seed: u64::from_le_bytes(bytes.array()),
        }
    }

    fn get(&self, n: usize) -> u64 {
        let n = n as u64;
        let mut mixed = (n ^ self.seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^= mixed >> 29;
        mixed = mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^= mixed >> 32;
        match self.kind % 8 {
            0 => mixed,
            1 => n,
            2 => !n,
            3 => mixed % 5,
            4 => self.seed,
            5 => 1 << (mixed % 64),
            6 => {
                if mixed % 8 == 0 {
                    mixed
                } else {
                    self.seed
                }
            }
            // The bytes themselves, repeated.
            _ => u64::from(self.seed.to_le_bytes()[usize::try_from(n % 8).unwrap()]),
        }
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        (0..self.count).map(|n| self.get(n))
    }
}

/// A budget, and what else an operation gets.
fn choose_options(bytes: &mut Bytes<'_>) -> (MemoryBudget, Progress, Options) {
    let budget = MemoryBudget::new(MemoryBudget::MIN_BYTES + 37 * bytes.below(50_000) as u64);
    let progress = Progress::new();
    let options = Options::from(&budget)
        .threads(bytes.below(5))
        .progress(&progress);
    (budget, progress, options)
}

fn check(budget: &MemoryBudget) {
    assert_eq!(budget.used_bytes(), 0);
    assert!(budget.peak_bytes() <= budget.limit_bytes());
}

/// Returns whether it was done. If not, it was cancelled, and that was asked for.
fn done(answer: Result<()>, asked: bool) -> bool {
    match answer {
        Ok(()) => true,
        Err(refused) => {
            assert!(asked && refused.kind() == ErrorKind::Cancelled, "{refused}");
            false
        }
    }
}

pub(crate) fn sort(data: &[u8], planted: bool) {
    let mut bytes = Bytes::new(data);
    let numbers = Numbers::choose(&mut bytes, COUNT_MAX);
    let mut model: Vec<(u64, u32)> = numbers.iter().zip(0..).collect();
    let mut vec = DiskVec::try_from(model.clone()).unwrap();
    for _ in 0..OPERATIONS_MAX {
        let (budget, progress, options) = choose_options(&mut bytes);
        let mask = u64::MAX >> bytes.below(64);
        let is_cancelled = bytes.byte() == 7;
        if is_cancelled {
            progress.cancel();
        }
        let operation = bytes.byte() % 6;
        let answer = match operation {
            0 => vec.sort_external(&options),
            1 => vec.sort_external_by_key(&options, |pair| pair.0 & mask),
            2 => vec.sort_external_by_key(&options, |pair| (Reverse(pair.0 & mask), 1_u128)),
            3 => vec.sort_external_by_key(&options, |pair| format!("{:x}", pair.0 & mask)),
            4 => vec.sort_external_by(&options, |a, b| (a.0 & mask).cmp(&(b.0 & mask))),
            _ => vec.shuffle_external(&options, mask),
        };
        check(&budget);
        if done(answer, is_cancelled) && operation < 5 {
            match operation {
                0 => model.sort_unstable(),
                1 | 4 => model.sort_by_key(|pair| pair.0 & mask),
                2 => model.sort_by_key(|pair| Reverse(pair.0 & mask)),
                _ => model.sort_by_cached_key(|pair| format!("{:x}", pair.0 & mask)),
            }
            if planted && operation == 4 && model.len() > 1000 {
                model.swap(7, 8);
            }
            assert!(
                vec == model,
                "operation {operation} of {} elements",
                model.len()
            );
        } else {
            // The same elements, in some order.
            let mut left = vec.to_vec();
            left.sort_unstable();
            let mut expected = model.clone();
            expected.sort_unstable();
            assert!(left == expected, "operation {operation}: other elements");
            model = vec.to_vec();
        }
        if bytes.is_empty() {
            break;
        }
    }
}

pub(crate) fn shuffle(data: &[u8], planted: bool) {
    let mut bytes = Bytes::new(data);
    let count = Numbers::choose(&mut bytes, COUNT_MAX).count;
    let seed = bytes.below(1000) as u64;
    let (budget, _, options) = choose_options(&mut bytes);
    let mut vec = DiskVec::try_from((0..count as u64).collect::<Vec<_>>()).unwrap();
    vec.shuffle_external(&options, seed).unwrap();
    check(&budget);
    let (other, _, options) = choose_options(&mut bytes);
    let mut again = DiskVec::try_from((0..count as u64).collect::<Vec<_>>()).unwrap();
    again.shuffle_external(&options, seed).unwrap();
    check(&other);
    assert!(vec == again, "the same seed makes another order");
    let mut sorted = vec.to_vec();
    sorted.sort_unstable();
    let first = u64::from(planted && count > 1000);
    assert!(sorted.into_iter().eq(first..count as u64), "other elements");
}

/// Records that were pushed, in that order.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Pushes records; returns `None` where joined values became too long.
fn push_all(bytes: &mut Bytes<'_>, sorter: &Sorter, joins: bool) -> Option<Pairs> {
    let mut model = Vec::new();
    let mut writer = sorter.writer().unwrap();
    for _ in 0..OPERATIONS_MAX {
        let numbers = Numbers::choose(bytes, 60_000);
        let longest = match bytes.byte() % 8 {
            0 => bytes.below(sorter.record_bytes_max()),
            1 | 2 => bytes.below(20_000),
            _ => bytes.below(200),
        };
        let key_len = bytes.below(20);
        let most = (16 << 20) / (longest + 20);
        for number in numbers.iter().take(most) {
            let key = number.to_be_bytes().repeat(3)[..key_len].to_vec();
            let len = usize::try_from(number % (longest as u64 + 1)).unwrap();
            let value = vec![key_len.to_le_bytes()[0]; len];
            match writer.push(&key, &value) {
                Ok(()) => model.push((key, value)),
                Err(refused) => {
                    assert_eq!(refused.kind(), ErrorKind::ItemTooLarge);
                    if joins {
                        // Perhaps the joined value, which is no record's fault.
                        return None;
                    }
                    assert!(8 + key.len() + len > sorter.record_bytes_max());
                }
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    writer.finish().unwrap();
    Some(model)
}

/// Returns what was answered, or `None` where joined values became too long.
fn unless_too_long<T>(answer: Result<T>, joins: bool) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(refused) => {
            assert!(
                joins && refused.kind() == ErrorKind::ItemTooLarge,
                "{refused}"
            );
            None
        }
    }
}

pub(crate) fn sorter(data: &[u8], planted: bool) {
    let mut bytes = Bytes::new(data);
    let (budget, _, options) = choose_options(&mut bytes);
    let (rule, reversed) = (bytes.byte() % 3, bytes.flag());
    let joins = rule == 2;
    let mut builder = Sorter::builder(&options);
    builder = match rule {
        0 => builder,
        1 => builder.unique(),
        _ => builder.combine(|value, more| value.extend_from_slice(more.get(..1).unwrap_or(&[]))),
    };
    if reversed {
        builder = builder.compare(|a, b| b.cmp(a));
    }
    let built = builder.build().unwrap();
    let Some(mut model) = push_all(&mut bytes, &built, joins) else {
        return;
    };
    if reversed {
        model.sort_by(|a, b| b.0.cmp(&a.0));
    } else {
        model.sort_by(|a, b| a.0.cmp(&b.0));
    }
    if rule > 0 {
        model.dedup_by(|next, first| next.0 == first.0);
    }
    if planted && model.len() > 1000 {
        model.remove(500);
    }
    let Some(mut records) = unless_too_long(built.sorted(), joins) else {
        return;
    };
    for (key, value) in model {
        let Some(found) = unless_too_long(records.next(), joins) else {
            return;
        };
        let Some((other, found)) = found else {
            panic!("a record is missing");
        };
        assert!(other == key, "another key");
        // Joining appends.
        let is_value = if joins {
            found.starts_with(&value)
        } else {
            found == value
        };
        assert!(is_value, "another value");
    }
    assert!(records.next().unwrap().is_none(), "a record more");
    drop(records);
    check(&budget);
}

pub(crate) fn group(data: &[u8], planted: bool) {
    let mut bytes = Bytes::new(data);
    let (budget, _, options) = choose_options(&mut bytes);
    let mut sums = Aggregator::new(&options, |sum: &mut u64, more: u64| {
        *sum = sum.wrapping_add(more);
    });
    let mut model: BTreeMap<u64, u64> = BTreeMap::new();
    let mut of_texts: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut lists = Vec::new();
    let mut adder = bytes.flag().then(|| sums.adder().unwrap());
    for _ in 0..OPERATIONS_MAX {
        let numbers = Numbers::choose(&mut bytes, COUNT_MAX);
        for (number, value) in numbers.iter().zip(1..) {
            match &mut adder {
                Some(adder) if value % 2 == 0 => adder.add(number, value).unwrap(),
                _ => sums.add(number, value).unwrap(),
            }
            let sum = model.entry(number).or_default();
            *sum = sum.wrapping_add(value);
        }
        lists.push(numbers);
        if bytes.is_empty() {
            break;
        }
    }
    if let Some(adder) = adder {
        adder.finish().unwrap();
    }
    if planted && model.len() > 1000 {
        model.pop_first();
    }
    for group in sums.finish().unwrap() {
        let (key, sum) = group.unwrap();
        assert_eq!(model.remove(&key), Some(sum), "the group of {key}");
    }
    assert!(model.is_empty(), "{} groups are missing", model.len());
    check(&budget);

    let longest = 1 + bytes.below(100);
    let mut sums = BytesAggregator::new(&options, |sum: &mut u64, more: u64| *sum += more);
    for numbers in &lists {
        for (number, value) in numbers.iter().take(100_000).zip(1_u64..) {
            let text = number.to_be_bytes().repeat(1 + longest / 8);
            let text = &text[..usize::try_from(number % longest as u64).unwrap()];
            sums.add(text, value).unwrap();
            *of_texts.entry(text.to_vec()).or_default() += value;
        }
    }
    let mut groups = sums.finish().unwrap();
    for (text, sum) in of_texts {
        let found = groups.next().unwrap();
        assert!(found == Some((&text[..], sum)), "the group of a text");
    }
    assert!(groups.next().unwrap().is_none(), "a group more");
    drop(groups);
    check(&budget);
}

pub(crate) fn merging(data: &[u8], planted: bool) {
    let mut bytes = Bytes::new(data);
    let mut lists: Vec<Vec<u64>> = Vec::new();
    while !bytes.is_empty() && lists.len() < 100 {
        let mut list: Vec<_> = Numbers::choose(&mut bytes, 2000)
            .iter()
            .take(2000)
            .collect();
        list.sort_unstable();
        lists.push(list);
    }
    let mut expected = lists.concat();
    expected.sort_unstable();
    if planted && expected.len() > 100 {
        expected.swap_remove(0);
    }
    assert!(
        merge(lists.iter().map(|list| list.iter().copied())).eq(expected),
        "another order"
    );
    // Of equal ones, those of the first list come first.
    let tagged = lists.iter().zip(0..);
    let tagged = tagged.map(|(list, tag)| list.iter().map(move |number| (*number >> 8, tag)));
    let mut expected: Vec<(u64, i32)> = tagged.clone().flatten().collect();
    expected.sort_by_key(|pair| pair.0);
    assert!(
        merge_by(tagged, |a, b| a.0.cmp(&b.0)).eq(expected),
        "another order of equal ones"
    );
}
