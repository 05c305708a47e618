//! Tests that take gigabytes: one at a time, and skipped if the machine has too little.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use outcore::ErrorKind;

use crate::support::items::assert_bytes;
use crate::support::{arena, disk, skipped, test_name};

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// Admits one test at a time; `None`, with the reason printed, if there is too little.
fn alone(test: &str, memory: usize, space: usize) -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    let lock = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let available = available_memory();
    if available < memory as u64 {
        let reason = format!("{available} bytes of memory, and it wants {memory}");
        skipped(test, reason);
        return None;
    }
    let free = disk().report().unwrap().free_bytes;
    if free < space as u64 {
        let reason = format!("{free} bytes free on the disk, and it wants {space}");
        skipped(test, reason);
        return None;
    }
    Some(lock)
}

/// Returns the available memory of the machine, in bytes.
fn available_memory() -> u64 {
    let facts = fs::read_to_string("/proc/meminfo").unwrap();
    let line = facts.lines().find(|line| line.starts_with("MemAvailable:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// Numbers one byte of each MiB of an item, which is zero otherwise.
fn stamp(item: &mut [u8]) {
    for (n, piece) in item.chunks_mut(MIB).enumerate() {
        piece[n % piece.len()] = u8::try_from(n % 255).unwrap() + 1;
    }
}

/// Panics unless it is an item as [`stamp`] makes it.
fn assert_stamped(found: &[u8], len: usize) {
    assert_eq!(found.len(), len);
    let mut expected = vec![0; MIB];
    for (n, piece) in found.chunks(MIB).enumerate() {
        let (at, stamp) = (n % piece.len(), u8::try_from(n % 255).unwrap() + 1);
        expected[at] = stamp;
        assert_bytes(piece, &expected[..piece.len()], &format!("MiB {n}"));
        expected[at] = 0;
    }
}

/// farena F3: one system call moves at most 2,147,479,552 bytes (linux-facts M1), so a longer item
/// was written and could never be read. F4: a file was full after 4 GiB, with a panic after the
/// bytes were written.
#[test]
fn an_item_of_more_than_2_gib_and_a_file_of_more_than_4_come_back() {
    let Some(_alone) = alone(test_name!(), 4 * GIB, 8 * GIB) else {
        return;
    };
    let len = 2 * GIB + MIB;
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let before = writer.push("before").unwrap();
    let mut item = vec![0; len];
    stamp(&mut item);
    let giants = [(); 2].map(|()| writer.push(&item).unwrap());
    drop(item);
    let after = writer.push("behind 4 GiB").unwrap();
    writer.finish().unwrap();
    assert_eq!(arena.len_bytes(), 18 + 2 * len as u64);
    assert_eq!(arena.get(before).unwrap(), b"before");
    assert_eq!(arena.get(after).unwrap(), b"behind 4 GiB");
    assert_stamped(&arena.get(giants[0]).unwrap(), len);
    let map = arena.map().unwrap();
    assert_stamped(map.get(giants[1]).unwrap(), len);
    assert_eq!(map.get(after).unwrap(), b"behind 4 GiB");
}

#[test]
fn an_item_of_5_gib_is_refused_before_anything_is_written() {
    // The memory is zero and never touched, but some machines charge it.
    let Some(_alone) = alone(test_name!(), 6 * GIB, 0) else {
        return;
    };
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let kept = writer.push("kept").unwrap();
    let before = arena.disk_bytes();
    let giant = vec![0_u8; 5 * GIB];
    for len in [4 * GIB, 5 * GIB] {
        let refused = writer.push(&giant[..len]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ItemTooLarge);
        assert!(refused.to_string().contains(&len.to_string()), "{refused}");
    }
    assert_eq!(arena.disk_bytes(), before);
    assert_eq!(writer.unflushed_bytes(), 4);
    let next = writer.push("next").unwrap();
    writer.finish().unwrap();
    assert_eq!(arena.get(kept).unwrap(), b"kept");
    assert_eq!(arena.get(next).unwrap(), b"next");
}
