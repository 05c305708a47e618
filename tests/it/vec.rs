//! The disk vector from the user's view: every method at its edges.

use std::borrow::{Borrow, BorrowMut};
use std::cmp::Ordering;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use outcore::vec::{Drain, IntoIter, Scan};
use outcore::{Advice, DiskVec, ErrorKind};

use crate::support::disk;
use crate::vec_items::{Item, Nothing, Owner, alive, new_ledger};

fn numbers(count: u64) -> DiskVec<u64> {
    let mut numbers = DiskVec::new_in(&disk());
    numbers.try_extend(0..count).unwrap();
    numbers
}

/// With all elements removed at the front and no window behind, the range of pages to query was
/// empty, which a debug assertion rejected.
#[test]
fn a_vector_of_which_all_was_dropped_at_the_front_is_not_resident() {
    let mut bytes = DiskVec::new_in(&disk());
    let mut more = DiskVec::new_in(&disk());
    more.try_extend(std::iter::repeat_n(1_u8, 1 << 20)).unwrap();
    bytes.append(&mut more).unwrap();
    bytes.truncate_front(1 << 20);
    assert_eq!(bytes.resident_bytes().unwrap(), 0);
    bytes.push(2).unwrap();
    assert_eq!(bytes, [2]);
}

/// An empty vector got a new region, which did not have the advice that the user had given.
#[test]
fn advice_survives_shrink_to_fit_of_an_empty_vector() {
    let mut numbers = DiskVec::<u64>::new_in(&disk());
    numbers.advise(Advice::Random).unwrap();
    numbers.shrink_to_fit().unwrap();
    assert_eq!(numbers.advice(), Advice::Random);
}

#[test]
fn an_empty_vector_takes_nothing_and_answers_everything() {
    const EMPTY: DiskVec<u64> = DiskVec::new();
    let mut empty = EMPTY;
    assert_eq!(
        (empty.len(), empty.capacity(), empty.disk_bytes()),
        (0, 0, 0)
    );
    assert_eq!(empty.pop(), None);
    assert!(empty.as_slice().is_empty() && empty.as_mut_slice().is_empty());
    assert_eq!(empty.as_ptr(), empty.as_mut_ptr().cast_const());
    assert_eq!(empty.as_ptr().addr() % align_of::<u64>(), 0);
    assert_eq!(empty.scan().count(), 0);
    assert_eq!(empty.drain(..).count(), 0);
    assert_eq!(empty.advice(), Advice::Normal);
    empty.truncate(0);
    empty.truncate_front(5);
    empty.clear();
    empty.dedup();
    empty.retain(|_| false);
    empty.reserve(0).unwrap();
    empty.extend_from_slice(&[]).unwrap();
    empty.append(&mut DiskVec::default()).unwrap();
    empty.shrink_to_fit().unwrap();
    empty.evict(..).unwrap();
    empty.prefetch(0..0).unwrap();
    empty.advise(Advice::Sequential).unwrap();
    assert_eq!(empty.resident_bytes().unwrap(), 0);
    assert!(empty.try_clone().unwrap().is_empty());
    assert_eq!(empty.push_within_capacity(1), Err(1));
    assert_eq!((empty.capacity(), empty.disk_bytes()), (0, 0));
    assert_eq!(empty.into_iter().next(), None);
}

#[test]
fn few_elements_stay_in_memory() {
    let numbers = numbers(1000);
    assert_eq!(numbers.disk_bytes(), 0);
    assert!(numbers.resident_bytes().unwrap() >= 8000);
}

#[test]
fn sizes_that_cannot_be_are_errors() {
    let dir = disk();
    for count in [usize::MAX, usize::MAX / 8, 1 << 60] {
        let refused = DiskVec::<u64>::with_capacity_in(count, &dir).unwrap_err();
        let mut numbers = numbers(100_000);
        for refused in [
            refused,
            DiskVec::<u8>::with_capacity_in(count, &dir).unwrap_err(),
            numbers.reserve(count).unwrap_err(),
            numbers.reserve_exact(count).unwrap_err(),
            numbers.resize(count, 1).unwrap_err(),
            numbers.resize_with(count, || 1).unwrap_err(),
        ] {
            let kinds = [
                ErrorKind::CapacityOverflow,
                ErrorKind::StorageFull,
                ErrorKind::FileTooLarge,
                ErrorKind::OutOfMemory,
            ];
            assert!(kinds.contains(&refused.kind()), "{count}: {refused}");
        }
        assert!(numbers.iter().copied().eq(0..100_000), "{count}");
        assert_eq!(dir.used_bytes(), 0, "{count}");
    }
    assert!(DiskVec::<u64>::with_capacity(usize::MAX / 8).is_err());
}

/// A size that fits into an `isize`, but not after rounding up to whole pages, was passed to
/// `fallocate` as a negative number: `EINVAL` and kind `Io`, where the documentation says
/// `CapacityOverflow`.
#[test]
fn a_size_in_the_last_page_of_what_can_be_addressed_is_an_overflow() {
    let refused = DiskVec::<u8>::with_capacity_in(isize::MAX.unsigned_abs(), &disk()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::CapacityOverflow, "{refused}");
}

/// Returns whether `work` panics.
fn panics<R>(work: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(|| drop(work()))).is_err()
}

#[test]
fn an_index_past_the_end_panics_and_changes_nothing() {
    let mut vec = numbers(20_000);
    let len = vec.len();
    assert!(panics(|| vec.insert(len + 1, 0)));
    assert!(panics(|| vec.remove(len)));
    assert!(panics(|| vec.swap_remove(len)));
    assert!(panics(|| vec.drain(len + 1..).count()));
    assert!(panics(|| vec.drain(..=len).count()));
    assert!(panics(|| vec.drain(..=usize::MAX).count()));
    let backwards = (std::ops::Bound::Included(5), std::ops::Bound::Excluded(4));
    assert!(panics(|| vec.drain(backwards).count()));
    assert!(panics(|| vec.evict(..=len)));
    assert!(panics(|| vec.prefetch(len + 1..)));
    assert!(panics(|| vec[len]));
    assert!(vec.iter().copied().eq(0..20_000));
}

#[test]
fn conversions_keep_the_elements() {
    let list: Vec<u64> = (0..20_000).collect();
    assert_eq!(DiskVec::try_from(list.clone()).unwrap(), list);
    assert_eq!(DiskVec::try_from(&list[5..]).unwrap(), list[5..]);
    assert_eq!(DiskVec::try_from([1, 2, 3]).unwrap(), [1, 2, 3]);
    assert_eq!(DiskVec::try_from([String::from("a")]).unwrap(), ["a"]);
    let mut vec = numbers(3);
    let by_ref: &[u64] = vec.as_ref();
    assert_eq!(by_ref, [0, 1, 2]);
    let borrowed: &[u64] = vec.borrow();
    assert_eq!(borrowed, [0, 1, 2]);
    let by_mut: &mut [u64] = vec.as_mut();
    by_mut[0] = 9;
    let borrowed: &mut [u64] = vec.borrow_mut();
    borrowed[1] = 8;
    for number in &mut vec {
        *number += 1;
    }
    assert_eq!((&vec).into_iter().sum::<u64>(), 10 + 9 + 3);
}

#[test]
fn equality_holds_in_all_directions() {
    let (vec, mut list) = (numbers(3), [0_u64, 1, 2]);
    assert!(vec == numbers(3) && vec != numbers(2));
    assert!(vec == [0, 1, 2] && vec != [0, 1]);
    assert!([0, 1, 2] == vec);
    let by_ref = &[0, 1, 2];
    assert!(vec == by_ref && vec == *list.as_slice() && vec == list.as_slice());
    assert!(vec == list.as_mut_slice() && *list.as_slice() == vec);
    assert!(vec == list.to_vec() && list.to_vec() == vec && list[..2].to_vec() != vec);
}

#[test]
fn order_hash_and_debug_are_those_of_the_slice() {
    fn hash(value: &(impl Hash + ?Sized)) -> u64 {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hasher.finish()
    }
    let (short, long) = (numbers(2), numbers(3));
    assert_eq!(short.cmp(&long), Ordering::Less);
    assert_eq!(long.partial_cmp(&short), Some(Ordering::Greater));
    assert_eq!(short.cmp(&numbers(2)), Ordering::Equal);
    assert_eq!(hash(&long), hash([0_u64, 1, 2].as_slice()));
    assert_eq!(format!("{long:?}"), "[0, 1, 2]");
    assert_eq!(format!("{:?}", long.into_iter()), "IntoIter([0, 1, 2])");
    let mut long = numbers(3);
    assert_eq!(format!("{:?}", long.drain(1..)), "Drain([1, 2])");
    assert!(format!("{:?}", short.scan()).starts_with("Scan { next: 0, len: 2"));
}

#[test]
fn vectors_cross_threads_as_their_elements_do() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<DiskVec<u64>>();
    crosses::<IntoIter<String>>();
    crosses::<Drain<'static, u64>>();
    crosses::<Scan<'static, u64>>();
    let vec = numbers(100_000);
    let sum = std::thread::scope(|scope| {
        let halves = vec.split_at(50_000);
        let second = scope.spawn(|| halves.1.iter().sum::<u64>());
        halves.0.iter().sum::<u64>() + second.join().unwrap()
    });
    assert_eq!(sum, (0..100_000).sum::<u64>());
    let mut moved = std::thread::spawn(move || vec).join().unwrap();
    moved.push(1).unwrap();
}

#[test]
fn a_drain_can_be_left_half_way_or_leaked() {
    let mut vec = numbers(30_000);
    {
        let mut drain = vec.drain(10_000..20_000);
        assert_eq!(
            (drain.next(), drain.next_back()),
            (Some(10_000), Some(19_999))
        );
        assert_eq!((drain.len(), drain.as_slice()[0]), (9_998, 10_001));
    }
    assert!(vec.iter().copied().eq((0..10_000).chain(20_000..30_000)));
    let _leaked = ManuallyDrop::new(vec.drain(5_000..6_000));
    assert!(vec.iter().copied().eq(0..5_000));
    vec.try_extend(5_000..20_000).unwrap();
    assert!(vec.iter().copied().eq(0..20_000));
    let mut left = vec.into_iter();
    assert_eq!(left.by_ref().rev().take(10_000).last(), Some(10_000));
    assert_eq!((left.len(), left.as_slice().len()), (10_000, 10_000));
    assert!(left.eq(0..10_000));
}

#[test]
fn elements_are_dropped_once() {
    new_ledger();
    let shared = Arc::new(());
    let mut vec = DiskVec::new_in(&disk());
    vec.try_extend((0..20_000).map(|n| (Arc::clone(&shared), n.to_string(), Owner::make(n))))
        .unwrap();
    assert_eq!((Arc::strong_count(&shared), alive()), (20_001, (20_000, 0)));
    let clone = vec.try_clone().unwrap();
    assert_eq!((Arc::strong_count(&shared), alive()), (40_001, (40_000, 0)));
    drop(clone.into_iter().skip(100).step_by(7).take(100));
    vec.truncate(15_000);
    vec.truncate_front(5_000);
    drop(vec.swap_remove(3));
    assert_eq!((Arc::strong_count(&shared), alive()), (10_000, (9_999, 0)));
    assert_eq!(vec[10].1, "5010");
    vec.shrink_to_fit().unwrap();
    drop(vec);
    assert_eq!((Arc::strong_count(&shared), alive()), (1, (0, 0)));
}

#[test]
fn elements_without_size_take_no_space() {
    new_ledger();
    let mut units = DiskVec::<()>::with_capacity_in(usize::MAX, &disk()).unwrap();
    units.resize(1 << 20, ()).unwrap();
    assert_eq!((units.capacity(), units.disk_bytes()), (usize::MAX, 0));
    assert_eq!(units.scan().map(<[()]>::len).sum::<usize>(), 1 << 20);
    units.reserve(usize::MAX).unwrap_err();
    units.truncate_front(1 << 19);
    assert_eq!(units.into_iter().count(), 1 << 19);
    let mut nothings = DiskVec::new_in(&disk());
    nothings.try_extend((0..100).map(Nothing::make)).unwrap();
    drop(nothings.drain(10..20));
    nothings.truncate_front(10);
    nothings.shrink_to_fit().unwrap();
    assert_eq!((nothings.len(), alive()), (80, (80, 0)));
    drop(nothings);
    assert_eq!(alive(), (0, 0));
}

#[test]
fn alignments_are_kept() {
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(64))]
    struct Line(u64);
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(8192))]
    struct Pages(u64);
    fn check<T: Clone + PartialEq>(count: u64, make: impl Fn(u64) -> T) {
        let mut vec = DiskVec::new_in(&disk());
        for number in 0..count {
            vec.push(make(number)).unwrap();
            assert_eq!(vec.as_ptr().addr() % align_of::<T>(), 0);
        }
        vec.truncate_front(2);
        vec.shrink_to_fit().unwrap();
        assert_eq!(vec.as_ptr().addr() % align_of::<T>(), 0);
        assert!(
            vec.try_clone()
                .unwrap()
                .into_iter()
                .eq((2..count).map(make))
        );
    }
    check(10_000, Line);
    check(100, Pages);
}

#[test]
fn a_front_that_is_dropped_moves_nothing_and_gives_space_back() {
    let mut vec = numbers(800_000);
    let (address, claimed) = (vec[600_000..].as_ptr(), vec.disk_bytes());
    vec.truncate_front(600_000);
    assert_eq!(vec.as_ptr(), address);
    assert!(vec.disk_bytes() + (4 << 20) <= claimed, "{claimed}");
    vec.truncate_front(1);
    vec.push(800_000).unwrap();
    assert!(vec.iter().copied().eq(600_001..=800_000));
}

/// The front was given back to the disk up to a page, and one folio of the page cache had pages on
/// both sides of that point. The next store beside the hole needed space for the whole folio:
/// `SIGBUS` on a full disk. No folio is longer than 2 MiB, and each begins at a multiple of its
/// length.
#[test]
#[cfg(not(any(miri, memory_backend)))]
fn a_front_goes_back_to_the_disk_in_whole_pieces_of_the_page_cache() {
    const PIECE: u64 = 2 << 20;
    let mut bytes = DiskVec::new_in(&disk());
    bytes.resize(9 << 20, 1_u8).unwrap();
    let claimed = bytes.disk_bytes();
    for (dropped, given_back) in [
        (929_792, 0),
        (1 << 20, 0),
        (1 << 20, PIECE),
        (4096, PIECE),
        (4 << 20, 3 * PIECE),
    ] {
        bytes.truncate_front(dropped);
        let given = claimed - bytes.disk_bytes();
        assert!(given % PIECE == 0 && given >= given_back, "{given}");
        assert!(bytes.iter().all(|byte| *byte == 1));
        bytes.fill(1);
    }
}

#[test]
fn what_is_evicted_is_read_back() {
    for advice in [Advice::Normal, Advice::Sequential, Advice::Random] {
        let mut vec = numbers(300_000);
        vec.advise(advice).unwrap();
        vec.evict(..).unwrap();
        #[cfg(not(any(miri, memory_backend)))]
        assert!(vec.resident_bytes().unwrap() < 600_000, "{advice:?}");
        vec[77] = 1_000_000;
        vec.evict(50..=100).unwrap();
        vec.prefetch(..).unwrap();
        assert_eq!(vec[77], 1_000_000);
        vec[77] = 77;
        assert!(vec.scan().flatten().eq(vec.iter()));
        assert!(vec.iter().copied().eq(0..300_000), "{advice:?}");
    }
}

#[test]
fn a_scan_says_how_much_is_left() {
    let vec = numbers(600_000);
    let mut scan = vec.scan();
    assert_eq!(scan.len(), 3);
    let first = scan.next().unwrap();
    assert_eq!((first.len(), scan.len()), (1 << 18, 2));
    assert_eq!(
        scan.by_ref().map(<[u64]>::len).sum::<usize>(),
        600_000 - (1 << 18)
    );
    assert_eq!((scan.len(), scan.next()), (0, None));
    assert!(first.iter().copied().eq(0..1 << 18));
}

#[cfg(feature = "serde")]
#[test]
fn a_vector_becomes_text_and_back() {
    let vec = numbers(20_000);
    let text = serde_json::to_string(&vec).unwrap();
    assert_eq!(text, serde_json::to_string(vec.as_slice()).unwrap());
    assert_eq!(serde_json::from_str::<DiskVec<u64>>(&text).unwrap(), vec);
    assert!(serde_json::from_str::<DiskVec<u64>>("[1, 2, true]").is_err());
    assert!(serde_json::from_str::<DiskVec<u64>>("[1, 2").is_err());
}

/// An input that states a length of 2^64 elements yields the elements that it has.
#[cfg(feature = "serde")]
#[test]
fn a_hostile_length_is_not_believed() {
    use serde_json::Value;
    struct Hostile(std::vec::IntoIter<Value>);
    impl<'de> serde::de::SeqAccess<'de> for Hostile {
        type Error = serde_json::Error;

        fn next_element_seed<S: serde::de::DeserializeSeed<'de>>(
            &mut self,
            seed: S,
        ) -> Result<Option<S::Value>, Self::Error> {
            let next = self.0.next();
            next.map(|value| seed.deserialize(value)).transpose()
        }

        fn size_hint(&self) -> Option<usize> {
            Some(usize::MAX)
        }
    }
    let input = serde::de::value::SeqAccessDeserializer::new(Hostile(
        vec![Value::from(1), Value::from(2)].into_iter(),
    ));
    let vec: DiskVec<u64> = serde::Deserialize::deserialize(input).unwrap();
    assert_eq!(vec, [1, 2]);
    assert_eq!(vec.disk_bytes(), 0);
}
