//! What is read is what was sealed, in few requests.

use std::sync::atomic::Ordering::Relaxed;

use outcore::sealed::SealedFile;
use outcore::{Arena, SealedStrVec, SealedVec, StrVec};
use outcore_object_store::Options;
use testkit::Random;

use crate::{TempFile, are_squares, dir, hasty, put_squares, store_with};

#[test]
fn opening_takes_one_request_and_reading_an_element_two_more() {
    let (store, _unsteady) = store_with(hasty());
    put_squares(&store, 1_000_000, "squares");
    let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
    assert_eq!((store.requests(), squares.len()), (1, 1_000_000));
    assert_eq!(squares.get(999).unwrap(), 999 * 999);
    assert_eq!(store.requests(), 3, "the checksums, and the block");
    assert_eq!(squares.get(1000).unwrap(), 1_000_000);
    assert_eq!(
        store.requests(),
        4,
        "an element of a block that was verified"
    );
}

#[test]
fn each_kind_of_sealed_file_is_read_from_a_store() {
    let (store, _unsteady) = store_with(hasty());
    let strings: Vec<_> = (0..50_000).map(|n| format!("string {n}")).collect();
    let mut vec = StrVec::new();
    vec.try_extend(&strings).unwrap();
    let file = TempFile::new();
    vec.seal(&file.0).unwrap();
    store.upload(&file.0, "a/strings").unwrap();
    let sealed = SealedStrVec::open_from(store.object("a/strings")).unwrap();
    let wanted = [49_999, 0, 7, 7, 31_000];
    let found = sealed.gather(&wanted).unwrap();
    assert!(found.iter().eq(wanted.iter().map(|n| strings[*n].as_str())));
    assert!(
        sealed
            .scan()
            .map(Result::unwrap)
            .flat_map(|all| { all.iter().map(str::to_owned).collect::<Vec<_>>() })
            .eq(strings.iter().cloned())
    );
    sealed.verify().unwrap();

    let arena = Arena::new().unwrap();
    let mut writer = arena.writer().unwrap();
    let locations: Vec<_> = strings
        .iter()
        .map(|text| writer.push(text).unwrap())
        .collect();
    writer.finish().unwrap();
    let file = TempFile::new();
    arena.seal(&file.0).unwrap();
    store.upload(&file.0, "items").unwrap();
    let arena = Arena::open_from(store.object("items")).unwrap();
    assert_eq!(arena.get(locations[4711]).unwrap(), b"string 4711");
    let mut count = 0;
    arena
        .get_many(&locations, |at, item| {
            assert_eq!(item, strings[at].as_bytes());
            count += 1;
        })
        .unwrap();
    assert_eq!(count, strings.len());
    let file = SealedFile::open_from(store.object("items")).unwrap();
    file.verify(|_bytes| {}).unwrap();
}

/// Returns the fewest requests that have whole blocks of all elements: each begins at the first block that
/// is in none, has no more than `gap` between two blocks, and is as long as it can be.
fn fewest(elements: &[usize], gap: u64, most: u64) -> u64 {
    const BLOCK: u64 = 16 << 10;
    let blocks = elements.iter().map(|n| *n as u64 * 8 / BLOCK);
    let mut blocks: Vec<_> = blocks.map(|block| block * BLOCK).collect();
    blocks.sort_unstable();
    let (mut count, mut start, mut end) = (0, 0, 0);
    for block in blocks {
        if count == 0 || block > end + gap || block + BLOCK > start + most {
            (count, start) = (count + 1, block);
        }
        end = block + BLOCK;
    }
    count
}

/// The goal: at most 1.1 times the requests of the ideal coalescer, and one for the checksums.
#[test]
fn ten_thousand_elements_at_random_take_hardly_more_requests_than_the_ideal() {
    const LEN: usize = 8_000_000;
    let defaults = (256 << 10, 4 << 20);
    for (gap, most) in [(0, 4 << 20), (16 << 10, 256 << 10), (0, 16 << 10), defaults] {
        let (store, unsteady) = store_with(hasty().gap_bytes(gap).request_bytes_max(most));
        put_squares(&store, LEN as u64, "squares");
        let mut random = Random::new(gap);
        for (count, from) in [(10_000, LEN), (300, LEN), (10_000, LEN / 50)] {
            let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
            let wanted: Vec<_> = (0..count).map(|_| random.below(from)).collect();
            let before = store.requests();
            let found = squares.gather(&wanted).unwrap();
            let made = store.requests() - before;
            assert!(are_squares(&found, &wanted));
            let ideal = fewest(&wanted, gap, most);
            assert!(
                (ideal + 1..=ideal * 11 / 10 + 1).contains(&made),
                "{made} requests, ideal {ideal}, gap {gap}, most {most}"
            );
        }
        let ranges = unsteady.ranges.lock().unwrap();
        let longest = ranges.iter().map(|range| range.end - range.start).max();
        // The tail has 32 KiB.
        assert!(longest.unwrap() <= most.max(32 << 10));
    }
}

#[test]
fn an_item_that_is_longer_than_a_request_takes_several() {
    let (store, unsteady) = store_with(hasty().request_bytes_max(100_000));
    let item: Vec<u8> = (0..=250).cycle().take(5_000_000).collect();
    let arena = Arena::new().unwrap();
    let mut writer = arena.writer().unwrap();
    let first = writer.push(b"before").unwrap();
    let location = writer.push(&item).unwrap();
    writer.finish().unwrap();
    let file = TempFile::new();
    arena.seal(&file.0).unwrap();
    store.upload(&file.0, "items").unwrap();
    for store in [
        store.clone(),
        store.with_cache(&dir(1 << 30), 64 << 20).unwrap(),
    ] {
        let arena = Arena::open_from(store.object("items")).unwrap();
        for _ in 0..2 {
            assert_eq!(arena.get(location).unwrap(), item);
            assert_eq!(arena.get(first).unwrap(), b"before");
        }
    }
    let ranges = unsteady.ranges.lock().unwrap();
    let longest = ranges.iter().map(|range| range.end - range.start).max();
    assert_eq!(longest, Some(6 * (16 << 10)));
}

#[test]
fn as_many_requests_as_the_options_say_are_under_way() {
    for at_most in [1, 4, 16] {
        let (store, unsteady) = store_with(hasty().gap_bytes(0).concurrency(at_most));
        put_squares(&store, 1_000_000, "squares");
        let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
        squares.get(0).unwrap();
        // A request waits until as many are under way, or it has waited for long.
        unsteady.hold.store(at_most, Relaxed);
        let wanted: Vec<_> = (0..100).map(|n| n * 10_000).collect();
        squares.gather(&wanted).unwrap();
        assert_eq!(unsteady.under_way_max.load(Relaxed), at_most);
    }
}

#[test]
fn a_large_file_is_uploaded_in_parts() {
    let (store, _unsteady) = store_with(Options::new());
    put_squares(&store, 3_000_000, "squares");
    let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
    squares.verify().unwrap();
    assert_eq!(squares.get(2_999_999).unwrap(), 2_999_999 * 2_999_999);
}

#[test]
fn an_object_is_read_by_threads_and_where_blocking_is_not_allowed() {
    let (store, _unsteady) = store_with(hasty());
    put_squares(&store, 200_000, "squares");
    let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
    std::thread::scope(|scope| {
        for first in 0..4 {
            let squares = &squares;
            scope.spawn(move || {
                let wanted: Vec<_> = (first..200_000).step_by(977).collect();
                let found = squares.gather(&wanted).unwrap();
                assert!(are_squares(&found, &wanted));
            });
        }
    });
    // Inside of another runtime, a read blocks, and nothing panics; nor does the last drop.
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async move {
        assert_eq!(squares.get(3).unwrap(), 9);
        drop((squares, store));
    });
}
