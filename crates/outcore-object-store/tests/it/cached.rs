//! The cache: what was read is not asked for again, within its limits.

use std::sync::atomic::Ordering::Relaxed;

use outcore::{ErrorKind, SealedVec};
use testkit::Random;

use crate::unsteady::Fault;
use crate::{are_squares, dir, hasty, put_numbers, put_squares, store_with};

#[test]
fn what_was_read_is_not_asked_for_again_also_after_the_object_is_opened_again() {
    let (store, _unsteady) = store_with(hasty());
    let store = store.with_cache(&dir(1 << 30), 64 << 20).unwrap();
    put_squares(&store, 1_000_000, "squares");
    let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
    let all = squares.read(..).unwrap();
    assert!(all.iter().zip(0..).all(|(square, n)| *square == n * n));
    let before = store.requests();
    assert_eq!(squares.read(..).unwrap(), all);
    assert_eq!(squares.get(999_999).unwrap(), 999_999 * 999_999);
    assert_eq!(store.requests(), before);
    let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
    assert_eq!(squares.read(..).unwrap(), all);
    assert_eq!(
        store.requests(),
        before + 1,
        "the tail, by which it is known again"
    );
    assert!(store.cache_bytes() >= 8_000_000);
}

/// Each read of the first object is right or an error after it was replaced, also from a store that ignores
/// the condition of a request, and by one that has no tags; and what is opened then is never mixed with it.
#[test]
fn an_object_that_was_replaced_is_never_mixed_with_the_new_one() {
    for (is_careless, is_untagged) in [(false, false), (true, false), (true, true)] {
        let (store, unsteady) = store_with(hasty());
        let store = store.with_cache(&dir(1 << 30), 64 << 20).unwrap();
        unsteady.is_careless.store(is_careless, Relaxed);
        unsteady.is_untagged.store(is_untagged, Relaxed);
        put_squares(&store, 100_000, "squares");
        let old = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
        // Some of it is in the cache.
        let cached: Vec<_> = (0..50_000).step_by(777).collect();
        assert!(are_squares(&old.gather(&cached).unwrap(), &cached));
        // As long as the other one, so that the size does not tell.
        put_numbers(&store, 100_000, "squares");
        assert!(are_squares(&old.gather(&cached).unwrap(), &cached));
        let new = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
        for wanted in [&[7, 77_777][..], &[90_000], &[60_000]] {
            let refused = old.gather(wanted).unwrap_err();
            let answer = refused.io_error().map(std::io::Error::kind);
            let replaced = Some(std::io::ErrorKind::StaleNetworkFileHandle);
            assert_eq!(answer, replaced, "{refused}");
            let found = new.gather(wanted).unwrap();
            assert!(
                found
                    .iter()
                    .zip(wanted)
                    .all(|(found, n)| *found == *n as u64)
            );
        }
        let all = new.read(..).unwrap();
        assert!(all.into_iter().eq(0..100_000));
        assert!(are_squares(&old.gather(&cached).unwrap(), &cached));
    }
}

#[test]
fn objects_of_one_store_do_not_share_what_is_cached() {
    let (store, _unsteady) = store_with(hasty());
    let store = store.with_cache(&dir(1 << 30), 64 << 20).unwrap();
    put_squares(&store, 1000, "a");
    put_squares(&store, 2000, "b");
    let read = |path: &str| {
        let squares = SealedVec::<u64>::open_from(store.object(path)).unwrap();
        squares.read(..).unwrap().len()
    };
    assert_eq!((read("a"), read("b")), (1000, 2000));
    put_squares(&store, 3000, "a");
    assert_eq!((read("a"), read("b")), (3000, 2000));
}

/// A block that was changed on the way was kept, and each later read of it failed, although the object was
/// whole.
#[test]
fn bytes_that_do_not_match_their_checksum_are_not_kept() {
    let (store, unsteady) = store_with(hasty());
    let store = store.with_cache(&dir(1 << 30), 64 << 20).unwrap();
    put_squares(&store, 500_000, "squares");
    let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
    // The checksums, and then a block.
    for n in [400_000, 100_000] {
        unsteady.fail([Some(Fault::Flipped)]);
        let refused = squares.get(n).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
        assert!(are_squares(&[squares.get(n).unwrap()], &[n]));
        let made = store.requests();
        assert!(are_squares(&[squares.get(n + 1).unwrap()], &[n + 1]));
        assert_eq!(store.requests(), made, "the right bytes are kept");
    }
}

#[test]
fn threads_that_share_a_cache_read_what_was_sealed() {
    let (store, _unsteady) = store_with(hasty());
    let store = store.with_cache(&dir(1 << 30), 1 << 20).unwrap();
    put_squares(&store, 400_000, "squares");
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
                let mut random = Random::new(seed);
                for _ in 0..60 {
                    let wanted: Vec<_> = (0..50).map(|_| random.below(400_000)).collect();
                    assert!(are_squares(&squares.gather(&wanted).unwrap(), &wanted));
                }
            });
        }
    });
}

/// The quota was full when the cache began. It kept nothing from then on, also when there was space.
#[test]
fn a_cache_that_found_no_space_begins_when_there_is_some() {
    let dir = dir(4 << 20);
    let (store, _unsteady) = store_with(hasty());
    let store = store.with_cache(&dir, 1 << 30).unwrap();
    put_squares(&store, 2_000_000, "squares");
    let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
    let mut other = outcore::DiskVec::<u8>::new_in(&dir);
    while other.reserve(64 << 10).is_ok() {
        other.extend_from_slice(&vec![7; 64 << 10]).unwrap();
    }
    let used = dir.used_bytes();
    for _ in 0..4 {
        squares.read(..).unwrap();
        assert_eq!(dir.used_bytes(), used + store.cache_bytes());
    }
    drop(other);
    for _ in 0..4 {
        squares.read(..).unwrap();
    }
    let hot = squares.read(..10_000).unwrap();
    let made = store.requests();
    assert_eq!(squares.read(..10_000).unwrap(), hot);
    assert_eq!(store.requests(), made);
}

/// The limit of the cache, and then that of its directory, are far below what is read.
#[test]
fn reads_are_right_and_the_disk_is_spared_whatever_the_limits() {
    for (bytes_max, quota) in [
        (4 << 20, 1 << 30),
        (1 << 30, 3 << 20),
        (0, 1 << 30),
        (1 << 30, 0),
    ] {
        let dir = dir(quota);
        let (store, _unsteady) = store_with(hasty().gap_bytes(0));
        let store = store.with_cache(&dir, bytes_max).unwrap();
        put_squares(&store, 2_000_000, "squares");
        let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
        let mut random = Random::new(bytes_max);
        for _ in 0..60 {
            let start = random.below(1_900_000);
            let found = squares.read(start..start + 100_000).unwrap();
            assert!(
                found
                    .iter()
                    .zip(start as u64..)
                    .all(|(square, n)| *square == n * n)
            );
            assert_eq!(store.cache_bytes(), dir.used_bytes());
            // An arena preallocates some ahead.
            assert!(
                dir.used_bytes() <= quota.min(bytes_max + (8 << 20)),
                "{}",
                dir.used_bytes()
            );
        }
        drop((squares, store));
        assert_eq!(dir.used_bytes(), 0);
    }
}

#[test]
fn what_is_used_again_and_again_stays_in_a_cache_that_others_pass_through() {
    let (store, _unsteady) = store_with(hasty());
    let store = store.with_cache(&dir(1 << 30), 8 << 20).unwrap();
    put_squares(&store, 4_000_000, "squares");
    let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
    let hot = squares.read(..10_000).unwrap();
    for pass in 0..64 {
        let start = 20_000 + pass * 60_000;
        squares.read(start..start + 60_000).unwrap();
        let before = store.requests();
        assert_eq!(squares.read(..10_000).unwrap(), hot);
        assert_eq!(store.requests(), before, "pass {pass}");
    }
}

#[test]
fn random_reads_are_those_of_the_vector() {
    let (store, _unsteady) = store_with(hasty());
    let store = store.with_cache(&dir(1 << 30), 1 << 20).unwrap();
    put_squares(&store, 300_001, "squares");
    let squares = SealedVec::<u64>::open_from(store.object("squares")).unwrap();
    let mut random = Random::new(3);
    for _ in 0..200 {
        let wanted: Vec<_> = (0..random.below(60))
            .map(|_| random.below(300_001))
            .collect();
        let found = squares.gather(&wanted).unwrap();
        assert!(are_squares(&found, &wanted));
    }
    squares.verify().unwrap();
    assert_eq!(squares.get(300_000).unwrap(), 300_000 * 300_000);
}
