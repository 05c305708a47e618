//! Processes that lock their memory by `mlockall`: mapped data on disk is not loaded into memory.

use std::fs;

use outcore::{Arena, DiskAlloc, DiskVec, RangeFile};

use crate::support::libc::{Lock, Resource, is_root, lock_memory, set_limit};
use crate::support::process::child;
use crate::support::{disk, ranged_path, skipped, test_name};

const MIB: usize = 1 << 20;

/// Returns how many bytes of this process are in memory.
fn resident_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Runs `work`, and returns how much resident memory it added.
fn brought<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = resident_bytes();
    let done = work();
    (done, resident_bytes().saturating_sub(before))
}

/// With `MCL_FUTURE` the kernel loads all of a new mapping into memory. The first `DiskAlloc`
/// mapped all the addresses that it might ever need, 8 TiB of a file that was one hole, and memory
/// ran out. Here the addresses are limited, so that a failure takes 1 GiB.
#[test]
fn with_future_memory_locked_only_what_is_touched_comes_into_memory() {
    let Some(child) = child(test_name!()) else {
        set_limit(Resource::AddressSpace, 8 << 30);
        let dir = disk();
        let arena = Arena::new_in(&dir).unwrap();
        let mut writer = arena.writer().unwrap();
        let first = writer.push(vec![1; 64 * MIB]).unwrap();
        writer.finish().unwrap();
        let path = ranged_path();
        fs::write(&path, vec![2; 128 * MIB]).unwrap();
        let mut vec = DiskVec::<u8>::new_in(&dir);
        vec.resize(64 * MIB, 3).unwrap();
        vec.evict(..).unwrap();
        lock_memory(Lock::Future);

        let (alloc, more) = brought(|| DiskAlloc::new_in(&dir).unwrap());
        assert!(alloc.mapped_bytes() >= 512 * MIB, "too few to tell");
        assert!(more < 16 * MIB, "an allocator brought {more} bytes");
        let (map, more) = brought(|| arena.map().unwrap());
        assert!(more < 16 * MIB, "a map brought {more} bytes");
        #[expect(unsafe_code, reason = "the file is the test's own")]
        // SAFETY: only the test uses the file.
        let (file, more) = brought(|| unsafe { RangeFile::open(&path) }.unwrap());
        assert!(more < 16 * MIB, "a range file brought {more} bytes");
        // To other addresses, and in one large step.
        let (moved, more) = brought(|| vec.reserve(512 * MIB));
        moved.unwrap();
        assert!(more < 16 * MIB, "a vector that moved brought {more} bytes");
        let (grown, more) = brought(|| vec.resize(128 * MIB, 4));
        grown.unwrap();
        assert!(more < 80 * MIB, "64 MiB more brought {more} bytes");
        vec.evict(..).unwrap();
        let (copy, more) = brought(|| vec.try_copy().unwrap());
        assert!(more < 16 * MIB, "a copy brought {more} bytes");

        assert_eq!(map.get(first).unwrap()[64 * MIB - 1], 1);
        assert_eq!((copy[0], copy[128 * MIB - 1]), (3, 4));
        assert_eq!(file.len(), 128 * MIB as u64);
        let mut numbers = allocator_api2::vec::Vec::new_in(alloc);
        numbers.extend(0..MIB);
        assert!(numbers.iter().enumerate().all(|(n, number)| n == *number));
        drop((file, fs::remove_file(path)));
        return;
    };
    if is_root() {
        child.run();
    } else {
        skipped(test_name!(), "this user may lock hardly any memory");
    }
}

/// The same if memory is locked after the allocator was made: then all existing mappings are
/// loaded.
#[test]
fn of_an_allocator_only_blocks_can_be_locked() {
    let Some(child) = child(test_name!()) else {
        set_limit(Resource::AddressSpace, 8 << 30);
        let alloc = DiskAlloc::new_in(&disk()).unwrap();
        assert!(alloc.mapped_bytes() >= 512 * MIB, "too few to tell");
        let mut blocks = Vec::new();
        for len in [100, 10_000, 100_000, 2 * MIB, 20 * MIB] {
            let mut block = allocator_api2::vec::Vec::new_in(alloc.clone());
            block.resize(len, 5_u8);
            blocks.push(block);
        }
        // Their addresses were in use, and are a hole again.
        for len in [500_000, 100 * MIB] {
            let mut block = allocator_api2::vec::Vec::new_in(alloc.clone());
            block.resize(len, 6_u8);
            block.truncate(len / 2);
            block.shrink_to_fit();
        }
        let ((), more) = brought(|| lock_memory(Lock::Current));
        assert!(more < 256 * MIB, "{more} bytes were brought");
        // Locked memory can be used and given back.
        for block in &mut blocks {
            assert!(block.iter().all(|byte| *byte == 5));
            block.resize(3 * MIB, 7);
            block.fill(8);
        }
        return;
    };
    if is_root() {
        child.run();
    } else {
        skipped(test_name!(), "this user may lock hardly any memory");
    }
}
