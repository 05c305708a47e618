//! Many concurrent reads with obstacles: rings are refused, or forbidden while one is in use; the
//! process forks; threads and descriptors are counted.
//!
//! Each test runs in a separate process.
#![cfg(not(any(miri, memory_backend)))]

use std::fs;

use outcore::{ErrorKind, ReadOptions, stats};

use crate::reads::{filled, len, ways};
use crate::support::items::assert_item;
use crate::support::libc::{forbid_system_call, in_forked_child};
use crate::support::process::child;
use crate::support::{disk, skipped, test_name};

const IO_URING_SETUP: u32 = 425;
const IO_URING_ENTER: u32 = 426;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Direct reads, so that each needs an engine.
fn direct() -> ReadOptions {
    ReadOptions::new().direct(true)
}

/// Container runtimes refuse rings by a filter like this one.
fn rings_are_refused(errno: u32) {
    let (arena, locations) = filled(300);
    if let Err(refused) = forbid_system_call(IO_URING_SETUP, errno) {
        return skipped("rings_are_refused", refused);
    }
    for way in ways() {
        let before = stats().ring_refusals;
        let mut count = 0;
        let deliver = |index: usize, bytes: &[u8]| {
            assert_item(bytes, index as u64, len(index as u64), "by threads");
            count += 1;
        };
        arena.get_many_with(&way, &locations, deliver).unwrap();
        assert_eq!(count, 300);
        for (id, found) in (0..).zip(arena.stream_with(&way, locations.clone())) {
            assert_item(&found.unwrap(), id, len(id), "in order, by threads");
        }
        let is_known = stats().ring_refusals > before;
        let asks = cfg!(feature = "io-uring") && way == direct();
        assert!(is_known || !asks, "a refusal is counted: {way:?}");
    }
}

#[test]
fn where_a_filter_refuses_rings_threads_read() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    rings_are_refused(EPERM);
}

#[test]
fn where_the_kernel_has_no_rings_threads_read() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    rings_are_refused(ENOSYS);
}

/// A program that installs a filter while a stream is active: reads in flight complete, the rest is
/// read by plain calls.
#[test]
fn a_ring_that_is_forbidden_midway_loses_nothing() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let (arena, locations) = filled(500);
    let mut stream = arena.stream_with(&direct(), locations.clone());
    let mut left = arena.stream_with(&direct(), locations);
    for id in 0..3 {
        assert_item(&stream.next().unwrap().unwrap(), id, len(id), "before");
        assert_item(&left.next().unwrap().unwrap(), id, len(id), "before");
    }
    if let Err(refused) = forbid_system_call(IO_URING_ENTER, EPERM) {
        return skipped(test_name!(), refused);
    }
    drop(left);
    for (id, found) in (3..).zip(stream) {
        assert_item(&found.unwrap(), id, len(id), "afterwards");
    }
}

/// The first batch makes a ring; all later ones use it, as do streams and other objects.
#[test]
fn a_ring_that_was_made_serves_where_new_ones_are_refused() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let (arena, locations) = filled(300);
    let read = || {
        let mut count = 0;
        let deliver = |index: usize, bytes: &[u8]| {
            assert_item(bytes, index as u64, len(index as u64), "by the ring");
            count += 1;
        };
        arena.get_many_with(&direct(), &locations, deliver).unwrap();
        assert_eq!(count, 300);
    };
    read();
    let before = stats().ring_refusals;
    if before > 0 || !cfg!(feature = "io-uring") {
        return skipped(test_name!(), "there is no ring to begin with");
    }
    if let Err(refused) = forbid_system_call(IO_URING_SETUP, EPERM) {
        return skipped(test_name!(), refused);
    }
    read();
    let (other, its) = filled(300);
    for (arena, locations) in [(&arena, &locations), (&other, &its)] {
        let items = arena.stream_with(&direct(), locations.iter().copied());
        assert_eq!(items.map(Result::unwrap).count(), 300);
    }
    read();
    assert_eq!(stats().ring_refusals, before, "no other ring was asked for");
}

/// The child has its parent's descriptors but none of its threads and queues.
#[test]
fn a_child_reads_by_means_of_its_own() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let (arena, locations) = filled(300);
    // More than the read-ahead of a stream.
    let many = || {
        let locations = locations.clone();
        std::iter::repeat_n(locations, 6).flatten()
    };
    for way in ways() {
        // From here on there may be a ring, which the child inherits.
        arena.get_many_with(&way, &locations, |_, _| {}).unwrap();
        let mut stream = Some(arena.stream_with(&way, many()));
        let begun = stream.as_mut().and_then(Iterator::next).unwrap().unwrap();
        assert_item(&begun, 0, 0, "the first");
        let ended = in_forked_child(|| {
            // Reads in flight belong to the parent; the child makes later ones itself.
            let mut stream = stream.take().unwrap();
            let mut last = None;
            for (number, found) in (1..).zip(&mut stream) {
                let id = number % 300;
                last = Some(found.is_ok());
                match found {
                    Ok(found) => assert_item(&found, id, len(id), "in the child"),
                    Err(refused) => assert_eq!(refused.kind(), ErrorKind::Forked),
                }
            }
            assert_eq!(last, Some(true), "what is asked for later is read");
            let deliver = |index: usize, bytes: &[u8]| {
                assert_item(bytes, index as u64, len(index as u64), "in the child");
            };
            arena.get_many_with(&way, &locations, deliver).unwrap();
        });
        assert!(ended.success(), "{way:?}: {ended}");
        for (number, found) in (1..).zip(stream.unwrap()) {
            let id = number % 300;
            assert_item(&found.unwrap(), id, len(id), "in the parent");
        }
    }
}

/// A batch that forks in the middle ends in the child with an error, and continues in the parent.
#[test]
fn a_batch_that_forks_goes_on_in_the_parent_only() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let (arena, locations) = filled(300);
    for way in [direct(), direct().threads(true)] {
        let mut count = 0;
        let mut forked = false;
        let deliver = |_, _: &[u8]| {
            count += 1;
            if count == 40 && !forked {
                forked = true;
                let ended = in_forked_child(|| {
                    // The child's own reads work during its parent's batch.
                    let found = arena.get(locations[2]).unwrap();
                    assert_item(&found, 2, 512, "in the child");
                });
                assert!(ended.success(), "{ended}");
            }
        };
        arena.get_many_with(&way, &locations, deliver).unwrap();
        assert_eq!(count, 300);
    }
}

#[test]
fn gathering_in_a_child_is_an_error() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut numbers = outcore::DiskVec::new_in(&disk());
    numbers.try_extend(0..1_u64 << 20).unwrap();
    let ended = in_forked_child(|| {
        let refused = numbers.gather(&[1, 2, 3]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forked);
        let refused = numbers.prefetch_many(&[1]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forked);
    });
    assert!(ended.success(), "{ended}");
    assert_eq!(numbers.gather(&[7]).unwrap(), [7]);
}

#[test]
fn no_thread_and_no_descriptor_is_left() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let count = || {
        let threads = fs::read_dir("/proc/self/task").unwrap().filter(|thread| {
            let name = thread.as_ref().unwrap().path().join("comm");
            // The threads of a ring belong to the kernel, which ends them at any time.
            fs::read_to_string(name).is_ok_and(|name| !name.starts_with("iou-"))
        });
        [
            threads.count(),
            fs::read_dir("/proc/self/fd").unwrap().count(),
        ]
    };
    let before = count();
    // A thread that was joined is listed until the kernel has removed it, a moment later.
    let is_as_before = || {
        (0..100_000).any(|_| {
            std::thread::yield_now();
            count() == before
        })
    };
    for way in ways() {
        let (arena, locations) = filled(200);
        arena.get_many_with(&way, &locations, |_, _| {}).unwrap();
        let taken = arena.stream_with(&way, locations).take(10).count();
        assert_eq!(taken, 10);
        drop(arena);
        assert!(is_as_before(), "{way:?}: {:?}, not {before:?}", count());
    }
    let mut numbers = outcore::DiskVec::new_in(&disk());
    numbers.try_extend(0..1_u64 << 20).unwrap();
    numbers.evict(..).unwrap();
    let indices: Vec<_> = (0..1 << 20).step_by(5000).collect();
    let gathered = numbers.gather(&indices).unwrap();
    assert!(
        gathered
            .iter()
            .zip(&indices)
            .all(|(n, at)| *n == *at as u64)
    );
    drop(numbers);
    assert!(is_as_before(), "a vector: {:?}, not {before:?}", count());
}
