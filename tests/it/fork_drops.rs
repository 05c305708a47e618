//! A forked child drops inherited containers: whole, partly consumed, or lent.
//!
//! Each test runs in a separate process, where no other thread holds a lock while it forks.

use std::sync::Arc;

use allocator_api2::vec::Vec as AllocVec;
use outcore::external::{Aggregator, Options, Sorter};
use outcore::range_file::ALIGNMENT;
use outcore::{Arena, DiskAlloc, DiskVec, ErrorKind, MemoryBudget, RangeFile, StrVec};

use crate::support::libc::in_forked_child;
use crate::support::process::child;
use crate::support::{disk, ranged_path, test_name};

/// Enough elements for several windows, so that all but the last ones are in the file.
const COUNT: usize = 100_000;

fn strings() -> DiskVec<String> {
    let mut strings = DiskVec::new_in(&disk());
    strings
        .try_extend((0..COUNT).map(|number| number.to_string()))
        .unwrap();
    assert!(strings.disk_bytes() > 0);
    strings
}

fn assert_whole(strings: &DiskVec<String>) {
    assert_eq!(strings.len(), COUNT);
    for (number, found) in strings.iter().enumerate() {
        assert_eq!(*found, number.to_string());
    }
}

/// Runs an operation on a vector in a child, and checks the parent's vector.
#[track_caller]
fn in_child(what: &str, work: impl FnOnce(DiskVec<String>)) {
    let mut strings = Some(strings());
    let ended = in_forked_child(|| work(strings.take().unwrap()));
    assert!(ended.success(), "{what}: {ended}");
    assert_whole(strings.as_ref().unwrap());
}

/// The elements in the file are not mapped in a child. A child that dropped a `DiskVec<String>` at
/// its end accessed each of them all the same, and `SIGSEGV` killed it.
#[test]
fn a_child_drops_a_vector_whose_elements_it_does_not_have() {
    let Some(child) = child(test_name!()) else {
        in_child("drop", drop);
        in_child("into_iter", |strings| drop(strings.into_iter()));
        in_child("overwrite", |mut strings| {
            let taken = std::mem::take(&mut strings);
            drop(taken);
            strings.push("new".to_owned()).unwrap();
        });
        let mut elements = strings().into_iter();
        let taken: Vec<String> = elements.by_ref().take(COUNT / 2).collect();
        let mut elements = Some(elements);
        let ended = in_forked_child(|| drop(elements.take()));
        assert!(ended.success(), "half of into_iter: {ended}");
        let rest = elements.take().unwrap();
        assert!(
            taken
                .into_iter()
                .chain(rest)
                .eq((0..COUNT).map(|number| number.to_string()))
        );
        return;
    };
    child.run();
}

/// As above, for methods that make a vector shorter. A later append wrote to the places of elements
/// that the child does not have: `SIGSEGV`, or a write over the child's own memory.
#[test]
fn a_child_shortens_a_vector_whose_elements_it_does_not_have() {
    let Some(child) = child(test_name!()) else {
        let refuses = |strings: &mut DiskVec<String>| {
            let refused = strings.push("more".to_owned()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forked, "{refused}");
            assert_eq!(
                strings.push_within_capacity(String::new()),
                Err(String::new())
            );
            assert_eq!(
                strings.insert(0, String::new()).unwrap_err().kind(),
                ErrorKind::Forked
            );
            let mut other = DiskVec::try_from([String::new()]).unwrap();
            assert_eq!(
                strings.append(&mut other).unwrap_err().kind(),
                ErrorKind::Forked
            );
            assert_eq!(other.len(), 1);
        };
        in_child("clear", |mut strings| {
            strings.clear();
            assert!(strings.is_empty());
            refuses(&mut strings);
        });
        in_child("truncate", |mut strings| {
            strings.truncate(COUNT / 3);
            assert_eq!(strings.len(), COUNT / 3);
            let more = strings.try_extend([String::new()]).unwrap_err();
            assert_eq!(more.kind(), ErrorKind::Forked);
        });
        in_child("truncate_front", |mut strings| {
            strings.truncate_front(COUNT / 3);
            assert_eq!(strings.len(), COUNT - COUNT / 3);
        });
        in_child("truncate_front of all but one", |mut strings| {
            strings.truncate_front(COUNT - 1);
            // The window is the child's own copy.
            assert_eq!(strings, [(COUNT - 1).to_string()]);
            strings.push("more".to_owned()).unwrap();
        });
        in_child("truncate_front of all", |mut strings| {
            strings.truncate_front(COUNT);
            strings.push("the child's own".to_owned()).unwrap();
            assert_eq!(strings, ["the child's own"]);
        });
        in_child("resize", |mut strings| {
            strings.resize(3, String::new()).unwrap();
            drop(strings);
        });
        in_child("clear and shrink", |mut strings| {
            strings.clear();
            strings.shrink_to_fit().unwrap();
            strings.push("the child's own".to_owned()).unwrap();
        });
        return;
    };
    child.run();
}

/// Dropping a `Drain` moves the elements behind its range. In a child neither these elements nor
/// their target need be mapped.
#[test]
fn a_child_drops_a_drain_of_a_vector_whose_elements_it_does_not_have() {
    let Some(child) = child(test_name!()) else {
        in_child("drain", |mut strings| {
            drop(strings.drain(10..20));
            assert_eq!(
                strings.len(),
                10,
                "what is behind the range is lost to the child"
            );
            assert_eq!(
                strings.push(String::new()).unwrap_err().kind(),
                ErrorKind::Forked
            );
        });
        in_child("drain all", |mut strings| drop(strings.drain(..)));
        in_child("drain the window", |mut strings| {
            drop(strings.drain(COUNT - 20..COUNT - 10));
            assert_eq!(strings.len(), COUNT - 10);
            assert_eq!(strings[COUNT - 11], (COUNT - 1).to_string());
        });
        let mut vec = strings();
        let mut drain = vec.drain(10..COUNT - 10);
        assert_eq!(drain.next().as_deref(), Some("10"));
        let mut drain = Some(drain);
        let ended = in_forked_child(|| drop(drain.take()));
        assert!(ended.success(), "a drain of the parent's: {ended}");
        drop(drain);
        assert_eq!(vec.len(), 20);
        assert_eq!(vec[10], (COUNT - 10).to_string());
        return;
    };
    child.run();
}

/// Elements in memory are the child's own copies and are dropped; elements in the file leak there.
#[test]
fn a_child_drops_the_elements_that_it_has() {
    let Some(child) = child(test_name!()) else {
        let counted = Arc::new(());
        let mut short = DiskVec::new_in(&disk());
        short.resize(10, Arc::clone(&counted)).unwrap();
        let mut short = Some(short);
        let ended = in_forked_child(|| {
            let mut vec = short.take().unwrap();
            vec.resize(COUNT, Arc::clone(&counted)).unwrap();
            vec.truncate(50);
            assert_eq!(Arc::strong_count(&counted), 51, "it is all the child's");
            drop(vec);
            assert_eq!(Arc::strong_count(&counted), 1);
        });
        assert!(ended.success(), "a short one: {ended}");
        drop(short);
        let mut long = DiskVec::new_in(&disk());
        long.resize(COUNT, Arc::clone(&counted)).unwrap();
        let mut long = Some(long);
        let ended = in_forked_child(|| {
            drop(long.take());
            let left = Arc::strong_count(&counted) - 1;
            assert!(0 < left && left < COUNT, "{left} are left");
        });
        assert!(ended.success(), "a long one: {ended}");
        drop(long);
        assert_eq!(Arc::strong_count(&counted), 1);
        return;
    };
    child.run();
}

/// Containers without elements.
#[test]
fn a_child_drops_every_other_container() {
    let Some(child) = child(test_name!()) else {
        let arena = Arena::new_in(&disk()).unwrap();
        let mut writer = arena.writer().unwrap();
        let location = writer.push(vec![7; 1 << 20]).unwrap();
        writer.push("not flushed").unwrap();
        let stream = arena.stream([location]);
        let map = arena.map().unwrap();
        let path = ranged_path();
        let file = RangeFile::create(&path, 64 * ALIGNMENT).unwrap();
        let range = file.allocate(ALIGNMENT).unwrap();
        let frozen = file.allocate(ALIGNMENT).unwrap().freeze();
        let alloc = DiskAlloc::new_in(&disk()).unwrap();
        let mut block = AllocVec::new_in(alloc.clone());
        block.resize(1 << 20, 9_u8);
        let mut owned = Some((
            arena, writer, stream, map, file, range, frozen, alloc, block,
        ));
        let ended = in_forked_child(|| drop(owned.take()));
        assert!(ended.success(), "{ended}");
        let (arena, mut writer, stream, _map, file, range, frozen, _alloc, mut block) =
            owned.take().unwrap();
        writer.push(vec![8; 1 << 20]).unwrap();
        writer.finish().unwrap();
        drop(stream);
        assert_eq!(arena.get(location).unwrap(), vec![7; 1 << 20]);
        drop((range, frozen));
        file.publish().unwrap();
        std::fs::remove_file(path).unwrap();
        block.resize(4 << 20, 9);
        assert!(block.iter().all(|byte| *byte == 9));
        return;
    };
    child.run();
}

/// A child that could append only some strings took them off again, and looked for the end of the
/// last one that it had inherited. Where that was in the file, `SIGSEGV` killed it.
#[test]
fn a_child_that_appends_only_some_strings_takes_them_off_again() {
    let Some(child) = child(test_name!()) else {
        let more = vec!["x".repeat(1000); 10_000];
        // The places of so many strings fill whole windows, and one more opens the next window.
        for count in [8191, 16_383, 32_767, 65_535] {
            let mut strings = StrVec::new_in(&disk());
            strings.reserve(count + more.len(), 20 << 20).unwrap();
            strings
                .try_extend((0..=count).map(|number| format!("{number:09}")))
                .unwrap();
            strings.pop().unwrap();
            let ended = in_forked_child(|| {
                let refused = strings.extend_from_slice(&more).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Forked);
                assert_eq!(strings.len(), count);
            });
            assert!(ended.success(), "{count}: {ended}");
            assert_eq!((strings.len(), strings.len_bytes()), (count, 9 * count));
        }
        return;
    };
    child.run();
}

/// What is spooled, sorted, shuffled or grouped in a child of its owner is an error or is right, and
/// costs the owner nothing.
#[test]
fn a_child_uses_and_drops_what_its_parent_put_aside() {
    let Some(child) = child(test_name!()) else {
        let options = || Options::from(&MemoryBudget::new(6 << 20)).dir(&disk());
        let count = 400_000_u64;
        let sorter = Sorter::new(options()).unwrap();
        let mut writer = sorter.writer().unwrap();
        let mut groups = Aggregator::new(options(), |sum: &mut u64, more: u64| *sum += more);
        for number in 0..count {
            let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            writer.push(key.to_be_bytes(), [7; 24]).unwrap();
            groups.add(key, number).unwrap();
        }
        let (mut sorter, mut writer, mut groups) = (Some(sorter), Some(writer), Some(groups));
        let ended = in_forked_child(|| {
            let mut lost = writer.take().unwrap();
            let refused = (0..count).find_map(|_| lost.push([0; 8], [7; 24]).err());
            assert_eq!(refused.unwrap().kind(), ErrorKind::Forked);
            drop(lost);
            drop(sorter.take().unwrap().sorted());
            let mut lost = groups.take().unwrap();
            let refused = (0..count).find_map(|number| lost.add(number, 1).err());
            assert_eq!(refused.unwrap().kind(), ErrorKind::Forked);
        });
        assert!(ended.success(), "while it is filled: {ended}");
        writer.take().unwrap().finish().unwrap();
        let mut records = Some(sorter.take().unwrap().sorted().unwrap());
        let mut groups = Some(groups.take().unwrap().finish().unwrap());
        let first = records.as_mut().unwrap().next().unwrap().unwrap();
        let mut last = first.0.to_vec();
        let ended = in_forked_child(|| {
            let mut inherited = records.take().unwrap();
            while let Some((key, value)) = inherited.next().unwrap() {
                assert!(last.as_slice() < key && value == [7; 24]);
                last = key.to_vec();
            }
            let sum: u64 = groups.take().unwrap().map(|group| group.unwrap().1).sum();
            assert_eq!(sum, (0..count).sum::<u64>());
        });
        assert!(ended.success(), "while it is read: {ended}");
        let mut records = records.take().unwrap();
        let mut found = 1;
        while let Some((key, value)) = records.next().unwrap() {
            assert!(last.as_slice() < key && value == [7; 24]);
            last = key.to_vec();
            found += 1;
        }
        assert_eq!(found, count);
        let sum: u64 = groups.take().unwrap().map(|group| group.unwrap().1).sum();
        assert_eq!(sum, (0..count).sum::<u64>());
        return;
    };
    child.run();
}

/// A child has no copies of the threads that merge for its parent: it would wait for them for ever.
#[test]
fn a_child_is_refused_what_threads_of_its_parent_merge() {
    let Some(child) = child(test_name!()) else {
        let budget = MemoryBudget::new(8 << 20);
        let count = 200_000_u64;
        let sorter = Sorter::new(Options::from(&budget).dir(&disk()).threads(3)).unwrap();
        let mut writer = sorter.writer().unwrap();
        for number in 0..count {
            let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            writer.push(key.to_be_bytes(), [7; 90]).unwrap();
        }
        writer.finish().unwrap();
        let mut records = Some(sorter.sorted().unwrap());
        let mut found = 0;
        // At its begin, and where some is consumed.
        for taken in [0, 1, 50_000] {
            for _ in 0..taken {
                let next = records.as_mut().unwrap().next().unwrap();
                assert_eq!(next.map(|(_key, value)| value), Some(&[7; 90][..]));
                found += 1;
            }
            let ended = in_forked_child(|| {
                let mut inherited = records.take().unwrap();
                let refused = (0..count).find_map(|_| inherited.next().err()).unwrap();
                assert_eq!(refused.kind(), ErrorKind::Forked, "{refused}");
                drop(inherited);
            });
            assert!(ended.success(), "behind {taken} more: {ended}");
            let ended = in_forked_child(|| drop(records.take()));
            assert!(ended.success(), "dropped behind {taken} more: {ended}");
        }
        let mut records = records.take().unwrap();
        while records.next().unwrap().is_some() {
            found += 1;
        }
        assert_eq!(found, count);
        drop(records);
        assert_eq!(budget.used_bytes(), 0);
        return;
    };
    child.run();
}
