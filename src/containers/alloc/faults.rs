//! Fault injection in the disk allocator: collections keep their contents, whatever call fails, and
//! report a lack of space by `try_reserve`.
#![cfg(feature = "allocator-api2")]
#![expect(unsafe_code, reason = "asks for blocks by the allocator's trait")]

use std::alloc::Layout;
use std::collections::BTreeMap;

use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use hashbrown::HashMap;

use crate::containers::alloc::DiskAlloc;
use crate::error::Result;
use crate::mapping::advice::Advice;
use crate::testing::{Campaign, Life};

#[test]
fn collections_keep_what_is_in_them_whatever_call_fails() {
    Campaign::new("alloc", 20, live)
        .plants("another number", "the map differs")
        .plants("a leaked block", "are left")
        .run();
}

fn live(life: &mut Life) {
    let dir = life.scratch_dir();
    let alloc = life.attempt("make an allocator", || DiskAlloc::new_in(&dir));
    collections(life, &alloc);
    blocks(life, &alloc);
    if life.is_planted("a leaked block") {
        // Longer than all runs that may stay.
        let leaked = alloc.allocate(Layout::new::<[u64; 400_000]>());
        assert!(leaked.is_ok());
    }
    life.disarm();
    // A lasting error keeps space from being freed; then nothing uses it again.
    let (left, name) = (alloc.disk_bytes(), life.name());
    // One empty run of each class that was used stays.
    let is_runs = left % (64 << 10) == 0 && left <= 36 * (64 << 10);
    assert!(
        is_runs || !life.is_single(),
        "{name}: {left} bytes are left"
    );
    drop(alloc);
    assert_eq!(dir.used_bytes(), 0, "{name}: the budget is not back");
}

/// Repeats an operation until it succeeds.
fn until<R, E>(
    life: &mut Life,
    what: &str,
    mut work: impl FnMut() -> std::result::Result<R, E>,
) -> R {
    loop {
        match work() {
            Ok(result) => return result,
            Err(_refused) => life.gave_up(what),
        }
    }
}

/// A vector that grows in place, a map, and small blocks.
fn collections(life: &mut Life, alloc: &DiskAlloc) {
    let mut bytes: Vec<u8, _> = Vec::new_in(alloc.clone());
    let mut model = std::vec::Vec::new();
    for (len, byte) in [
        (100, 1),
        (50 << 10, 2),
        (1 << 20, 3),
        (18 << 20, 4),
        (19 << 20, 5),
    ] {
        until(life, "reserve", || {
            bytes.try_reserve_exact(len - model.len())
        });
        bytes.resize(len, byte);
        model.resize(len, byte);
        assert!(*bytes == *model, "{}: the vector differs", life.name());
    }
    synced(life, |()| alloc.advise(Advice::Random));
    synced(life, |()| alloc.evict());
    assert!(
        *bytes == *model,
        "{}: evicted, the vector differs",
        life.name()
    );

    let mut map = HashMap::new_in(alloc.clone());
    let mut pairs = BTreeMap::new();
    for n in 0..3000_u64 {
        until(life, "reserve in a map", || map.try_reserve(1));
        map.insert(n * n, n);
        pairs.insert(n * n, n);
    }
    map.retain(|_, n| *n % 3 != 0);
    pairs.retain(|_, n| *n % 3 != 0);
    if life.is_planted("another number") {
        pairs.insert(1, 2);
    }
    let same = map.len() == pairs.len() && pairs.iter().all(|(k, n)| map.get(k) == Some(n));
    assert!(same, "{}: the map differs", life.name());

    let mut boxes = std::vec::Vec::new();
    for n in 0..400_u64 {
        boxes.push(until(life, "a box", || {
            Box::try_new_in([n; 30], alloc.clone())
        }));
    }
    let mut number = 0;
    boxes.retain(|_| {
        number += 1;
        number % 2 == 0
    });
    // Into a shorter block, and in another order.
    drop(map);
    bytes.truncate(300 << 10);
    model.truncate(300 << 10);
    bytes.shrink_to_fit();
    assert!(
        *bytes == *model,
        "{}: shrunk, the vector differs",
        life.name()
    );
    let odd = (0..200).map(|n| 2 * n + 1);
    let same = boxes
        .iter()
        .map(|numbers| **numbers)
        .eq(odd.map(|n| [n; 30]));
    assert!(same, "{}: the boxes differ", life.name());
    life.attempt("advise", || alloc.advise(Advice::Normal));
}

/// Repeats an operation that is refused for good after a failed sync.
fn synced(life: &mut Life, work: impl Fn(()) -> Result<()>) {
    while let Err(refused) = work(()) {
        if life.errors().any(|error| error.contains("cannot sync")) {
            return;
        }
        life.refused("evict", &refused);
    }
}

/// Blocks that have to be zero although their space was used before.
fn blocks(life: &mut Life, alloc: &DiskAlloc) {
    let sizes = [10, 3000, 20 << 10, 100 << 10, 900 << 10, 2 << 20];
    for size in [sizes, sizes].concat() {
        let layout = Layout::from_size_align(size, 16).unwrap();
        let longer = Layout::from_size_align(size * 2, 16).unwrap();
        let block = until(life, "zeroed", || alloc.allocate_zeroed(layout)).cast::<u8>();
        // SAFETY: the block has that many bytes, which were zeroed.
        let bytes = unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), size) };
        let is_zero = *bytes == *vec![0; size];
        assert!(is_zero, "{}: {size} bytes are not zero", life.name());
        bytes.fill(9);
        // SAFETY: the block has this layout, and is used at its new address from now on.
        let grown = until(life, "grow", || unsafe {
            alloc.grow_zeroed(block, layout, longer)
        });
        // SAFETY: the block has that many bytes, which have values.
        let bytes = unsafe { std::slice::from_raw_parts(grown.cast::<u8>().as_ptr(), 2 * size) };
        let is_kept = bytes[..size] == *vec![9; size];
        assert!(is_kept, "{}: {size} bytes are others", life.name());
        let is_zero = bytes[size..] == *vec![0; size];
        assert!(
            is_zero,
            "{}: more than {size} bytes are not zero",
            life.name()
        );
        // SAFETY: the block has this layout, and nothing uses it any more.
        unsafe { alloc.deallocate(grown.cast(), longer) };
    }
}
