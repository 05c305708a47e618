//! Refused space of a `DiskAlloc`: quotas, full disks, limits of the process. An error each time,
//! never a signal, and the allocator works afterwards.

use std::fs;
use std::path::Path;

use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use hashbrown::{DefaultHashBuilder, HashMap};
use outcore::{Advice, DiskAlloc, ErrorKind, ScratchDir};

use crate::alloc_model::assert_all_given_back;
use crate::support::libc::{Resource, in_forked_child, set_limit};
use crate::support::process::child;
use crate::support::random::seeds;
use crate::support::tmpfs::{free_bytes, on_ext4, on_tmpfs, ram};
use crate::support::traces::Trace;
use crate::support::{disk, test_name};

const MIB: usize = 1 << 20;

type Map = HashMap<u64, u64, DefaultHashBuilder, DiskAlloc>;

fn quota(bytes: usize) -> ScratchDir {
    let builder = ScratchDir::builder(disk().path());
    builder.quota_bytes(bytes as u64).build().unwrap()
}

/// Fills an allocator with vectors and a map until both are refused; frees some, and continues.
fn fill_and_go_on(alloc: &DiskAlloc) {
    let mut map = Map::new_in(alloc.clone());
    let mut vectors = std::vec::Vec::new();
    let mut refused = 0;
    for round in 0..3_u64 {
        let mut n = map.len() as u64;
        while map.try_reserve(1).is_ok() && n < (round + 1) * 20_000 {
            map.insert(n, !n);
            n += 1;
        }
        let mut len = 3 * MIB;
        while len > 0 {
            let mut bytes = Vec::new_in(alloc.clone());
            if bytes.try_reserve_exact(len).is_ok() {
                bytes.resize(len, 7_u8);
                vectors.push(bytes);
            } else {
                refused += 1;
                len /= 2;
            }
        }
        // Live collections are unchanged, and can be changed.
        assert!(map.iter().all(|(key, value)| *value == !*key));
        for bytes in &mut vectors {
            assert!(bytes.iter().all(|byte| *byte == 7));
            bytes.fill(7);
        }
        // Refused requests stay refused, and existing data is still readable.
        let longest = vectors.iter_mut().max_by_key(|bytes| bytes.len()).unwrap();
        let (len, first) = (longest.len(), longest.as_ptr());
        assert!(longest.try_reserve_exact(64 * MIB).is_err());
        assert_eq!((longest.len(), longest.as_ptr()), (len, first));
        // Half of it is freed, and is available in the next round.
        let before = alloc.disk_bytes();
        let mut odd = true;
        vectors.retain(|_bytes| {
            odd = !odd;
            odd
        });
        assert!(alloc.disk_bytes() < before);
    }
    assert!(refused > 0);
    let last = Box::try_new_in([1_u8; 1000], alloc.clone());
    assert!(last.is_ok(), "no freed space is left");
}

#[test]
fn a_quota_is_an_error_that_can_be_asked_for() {
    let dir = quota(8 * MIB);
    let alloc = DiskAlloc::new_in(&dir).unwrap();
    fill_and_go_on(&alloc);
    assert!(dir.used_bytes() <= 8 * MIB as u64);
    drop(alloc);
    assert_eq!(dir.used_bytes(), 0);
}

/// diskallocator F1: the file was lengthened by a hole, and the first store into it on a full disk
/// was a `SIGBUS`.
#[test]
fn a_full_disk_is_an_error_that_can_be_asked_for() {
    on_tmpfs(test_name!(), 8 * MIB as u64, |path| {
        let base = free_bytes(path);
        let alloc = DiskAlloc::new_in(&ram(path)).unwrap();
        fill_and_go_on(&alloc);
        drop(alloc);
        assert_eq!(free_bytes(path), base);
    });
}

/// ext4 allocates part of a request before it reports that the disk is full (linux-facts G3).
#[test]
fn a_full_ext4_is_an_error_that_can_be_asked_for() {
    on_ext4(test_name!(), 16 * MIB as u64, |path| {
        let dir = ScratchDir::new(path).unwrap();
        let base = dir.report().unwrap().free_bytes;
        let alloc = DiskAlloc::new_in(&dir).unwrap();
        fill_and_go_on(&alloc);
        drop(alloc);
        assert_eq!(dir.report().unwrap().free_bytes, base);
    });
}

/// ext4 and XFS read ahead into folios of several pages. A folio reached from the end of a block
/// into the hole behind it, and the first store into the folio had to allocate space for all of it:
/// a `SIGBUS` on a full disk, uncounted space on other disks.
#[test]
fn stores_beside_a_hole_find_their_space_on_a_full_disk() {
    on_ext4(test_name!(), 32 * MIB as u64, |path| {
        let dir = ScratchDir::new(path).unwrap();
        let free = || dir.report().unwrap().free_bytes;
        let base = free();
        for len in [(512 << 10) + 8000, (128 << 10) + 100, (2 << 20) + 5000] {
            let alloc = DiskAlloc::new_in(&dir).unwrap();
            let mut blocks = std::vec::Vec::new();
            loop {
                let mut block = Vec::new_in(alloc.clone());
                if block.try_reserve_exact(len).is_err() {
                    break;
                }
                // In order, which triggers the kernel's read-ahead.
                block.extend((0..len).map(byte_of));
                blocks.push(block);
            }
            alloc.evict().unwrap();
            let taken = base - free();
            let claimed = alloc.disk_bytes();
            assert!(taken <= claimed + MIB as u64, "{len}: {taken} of {claimed}");
            for block in &mut blocks {
                let kept = block
                    .iter()
                    .zip(0..len)
                    .all(|(byte, n)| *byte == byte_of(n));
                assert!(kept, "{len}");
                block.fill(1);
            }
        }
    });
}

/// Growing blocks are loaded in huge pages of 2 MiB. A huge page that reached past the space of its
/// block would raise the same `SIGBUS`: at the end of a block, after a block was shortened, and in
/// the place of a longer block.
#[test]
fn stores_at_the_ends_of_grown_blocks_find_their_space_on_a_full_disk() {
    on_ext4(test_name!(), 96 * MIB as u64, |path| {
        store_at_ends(path, None);
    });
}

/// The same with blocks that are folded from the start.
#[test]
fn stores_at_the_ends_of_folded_blocks_find_their_space_on_a_full_disk() {
    on_ext4(test_name!(), 96 * MIB as u64, |path| {
        store_at_ends(path, Some(Advice::Sequential));
    });
}

fn store_at_ends(path: &Path, advice: Option<Advice>) {
    let alloc = DiskAlloc::new_in(&ScratchDir::new(path).unwrap()).unwrap();
    if let Some(advice) = advice {
        alloc.advise(advice).unwrap();
    }
    let grown = |len| {
        let mut block = Vec::new_in(alloc.clone());
        let first = if advice.is_some() { len } else { 3 * MIB };
        block.try_reserve_exact(first).unwrap();
        block.push(byte_of(0));
        block.try_reserve_exact(len - 1).unwrap();
        block.extend((1..len).map(byte_of));
        block
    };
    let mut blocks = vec![grown(20 * MIB + 5000), grown(20 * MIB + 5000)];
    blocks[0].truncate(17 * MIB + 100);
    blocks[0].shrink_to_fit();
    drop(grown(20 * MIB));
    for len in [5 * MIB + 100, 50_000, 10_000] {
        for _ in 0..if len > MIB { 1 } else { 10_000 } {
            let mut block = Vec::new_in(alloc.clone());
            if block.try_reserve_exact(len).is_err() {
                break;
            }
            block.extend((0..len).map(byte_of));
            blocks.push(block);
        }
    }
    assert!(blocks.len() < 5_000, "the disk is full");
    for _ in 0..2 {
        alloc.evict().unwrap();
        for block in &mut blocks {
            for (n, byte) in block.iter_mut().enumerate() {
                assert_eq!(*byte, byte_of(n));
                *byte = byte_of(n);
            }
        }
    }
}

fn byte_of(n: usize) -> u8 {
    u8::try_from(n % 251).unwrap()
}

/// The model of `alloc_model` with most requests refused.
#[test]
fn random_traces_on_a_full_disk_leave_every_block_as_it_was() {
    on_tmpfs(test_name!(), 4 * MIB as u64, |path| {
        for seed in seeds(8) {
            play_scarce(seed, &ram(path));
        }
    });
    for seed in seeds(8) {
        play_scarce(seed, &quota(4 * MIB));
    }
}

fn play_scarce(seed: u64, dir: &ScratchDir) {
    let alloc = DiskAlloc::new_in(dir).unwrap();
    let mut trace = Trace::new(seed, alloc.clone());
    trace.scarce = true;
    for _ in 0..3000 {
        trace.step();
    }
    let (granted, refused) = (trace.granted, trace.refused);
    assert!(refused > 20, "seed {seed}: {refused} refused");
    assert!(granted > 100, "seed {seed}: {granted} granted");
    trace.end();
    assert_all_given_back(seed, &alloc);
    drop(alloc);
    assert_eq!(dir.used_bytes(), 0, "seed {seed}");
}

/// Pages of freed blocks of each kind are given back while their neighbours live.
#[test]
fn freed_pages_are_free_on_the_disk() {
    on_tmpfs(test_name!(), 64 * MIB as u64, |path| {
        let alloc = DiskAlloc::new_in(&ram(path)).unwrap();
        let base = free_bytes(path);
        for len in [100, 4000, 20_000, 100_000, MIB, 5 * MIB] {
            let all = 24 * MIB;
            let mut blocks: std::vec::Vec<_> = (0..all / len)
                .map(|_| {
                    let mut block = Vec::with_capacity_in(len, alloc.clone());
                    block.resize(len, 1_u8);
                    block
                })
                .collect();
            let full = base - free_bytes(path);
            assert!(full >= all as u64 - 5 * MIB as u64, "{len}: {full}");
            // The first half, so that whole runs of small blocks are empty.
            blocks.drain(..all / len / 2);
            let half = base - free_bytes(path);
            assert!(half <= full * 5 / 8 + MIB as u64, "{len}: {half} of {full}");
            assert!(blocks.iter().flatten().all(|byte| *byte == 1));
            drop(blocks);
            let kept = base - free_bytes(path);
            assert!(kept <= 12 * (64 << 10), "{len}: {kept}");
        }
    });
}

/// Files and mappings of this process.
fn held() -> (usize, usize) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let files = fs::read_dir("/proc/self/fd").unwrap().count();
    (files, maps.lines().count())
}

/// A mapping for each block would reach the limit of 65,530 mappings, and malloc would fail, too.
#[test]
fn hundreds_of_thousands_of_blocks_take_few_mappings_and_one_file() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let alloc = DiskAlloc::new_in(&disk()).unwrap();
    let (files, mappings) = held();
    let mut blocks = std::vec::Vec::with_capacity(300_000);
    for n in 0..300_000_usize {
        // Small ones, some of pages, a few large ones.
        let len = match n % 1000 {
            0 => MIB + n % MIB,
            1..20 => 17_000 + n % 30_000,
            _ => 16 + n % 500,
        };
        blocks.push(Vec::<u8, _>::with_capacity_in(len, alloc.clone()));
        if n % 3 == 2 {
            blocks.swap_remove(n / 2 % blocks.len());
        }
    }
    assert_eq!(blocks.len(), 200_000);
    let (files_now, mappings_now) = held();
    assert_eq!(files_now, files);
    // The list of blocks itself, the tables behind the allocator, and two for each large block.
    let large = blocks.iter().filter(|block| block.capacity() > MIB).count();
    assert!(
        large > 100 && mappings_now <= mappings + 16 + 2 * large,
        "{mappings_now}, and {mappings} before"
    );
    drop(blocks);
    assert!(held().1 <= mappings + 16);
}

/// Passing the limit raises `SIGXFSZ`, which ends the process unless it is ignored.
#[test]
fn a_limit_of_file_size_leaves_room_or_is_an_error() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = disk();
    set_limit(Resource::FileSize, 8 * MIB as u64);
    let refused = DiskAlloc::new_in(&dir).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
    set_limit(Resource::FileSize, 100 * MIB as u64);
    let alloc = DiskAlloc::new_in(&dir).unwrap();
    fill_all(&alloc, MIB, 4);
    fill_all(&alloc, 10_000, 100);
    // A limit that is set later does not affect the existing file.
    set_limit(Resource::FileSize, 4096);
    fill_all(&alloc, 10_000, 100);
    fill_all(&alloc, MIB, 4);
    set_limit(Resource::FileSize, u64::MAX);
    fill_all(&DiskAlloc::new_in(&dir).unwrap(), MIB, 200);
}

/// Allocates blocks until one is refused or there are 200, and expects at least `at_least`.
#[track_caller]
fn fill_all(alloc: &DiskAlloc, len: usize, at_least: usize) {
    let mut blocks = std::vec::Vec::new();
    while blocks.len() < 200 {
        let mut block = Vec::new_in(alloc.clone());
        if block.try_reserve_exact(len).is_err() {
            break;
        }
        block.resize(len, 1_u8);
        blocks.push(block);
    }
    assert!(blocks.iter().flatten().all(|byte| *byte == 1));
    let count = blocks.len();
    assert!(count >= at_least, "only {count} blocks of {len} bytes");
}

fn address_space() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn a_limit_of_addresses_leaves_room_or_is_an_error() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = disk();
    set_limit(Resource::AddressSpace, address_space() + (8 << 20));
    let refused = DiskAlloc::new_in(&dir).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OutOfMemory);
    set_limit(Resource::AddressSpace, address_space() + (512 << 20));
    let alloc = DiskAlloc::new_in(&dir).unwrap();
    assert!(alloc.mapped_bytes() <= 512 << 20);
    // Some addresses are left for the program, too.
    let room = std::vec::Vec::<u8>::new().try_reserve_exact(100 << 20);
    assert!(room.is_ok(), "nothing left beside {alloc:?}");
    fill_all(&alloc, 10_000, 200);
    fill_all(&alloc, MIB, 10);
    fill_all(&alloc, 3 * MIB, 3);
    // Refused for addresses, not for the disk; and accepted again when some are free.
    let mut long = Vec::<u8, _>::new_in(alloc.clone());
    assert!(long.try_reserve_exact(512 << 20).is_err());
    assert!(long.try_reserve_exact(4 << 20).is_ok());
    drop(alloc);
}

/// With few addresses, large blocks soon meet their neighbours and move: random traces with copies
/// of every block.
#[test]
fn random_traces_with_few_addresses_leave_every_block_as_it_was() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    set_limit(Resource::AddressSpace, 4 << 30);
    let mut mappings_most = 0;
    for seed in seeds(8) {
        let dir = ScratchDir::builder(disk().path()).build().unwrap();
        let alloc = DiskAlloc::new_in(&dir).unwrap();
        assert!(alloc.mapped_bytes() <= 1 << 30);
        let mut trace = Trace::new(seed, alloc.clone());
        trace.scarce = true;
        trace.live_max /= 2;
        let (_files, mappings) = held();
        for step in 0..2500 {
            trace.step();
            if step % 100 == 0 {
                mappings_most = mappings_most.max(held().1.saturating_sub(mappings));
            }
        }
        trace.end();
        assert_all_given_back(seed, &alloc);
        drop(alloc);
        assert_eq!(dir.used_bytes(), 0, "seed {seed}");
    }
    assert!(mappings_most >= 4, "no large blocks were alive");
}

#[test]
fn a_limit_of_open_files_is_an_error_and_harms_none_that_are_open() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = disk();
    let alloc = DiskAlloc::new_in(&dir).unwrap();
    let mut numbers = Vec::new_in(alloc.clone());
    numbers.extend(0..1000_u64);
    set_limit(Resource::OpenFiles, 0);
    let refused = DiskAlloc::new_in(&dir).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Io);
    numbers.extend(1000..100_000);
    fill_all(&alloc, MIB, 10);
    alloc.evict().unwrap();
    set_limit(Resource::OpenFiles, 100);
    assert!((0..100_000).eq(numbers.iter().copied()));
    fill_all(&DiskAlloc::new_in(&dir).unwrap(), MIB, 10);
}

/// The child shares the open file; calls that would change it are refused.
#[test]
fn a_forked_child_gets_and_frees_nothing() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let alloc = DiskAlloc::new_in(&disk()).unwrap();
    let mut kept = Vec::new_in(alloc.clone());
    kept.extend(0..100_000_u64);
    let small = Box::new_in(7_u64, alloc.clone());
    let mut dropped = Some((kept.clone(), Box::new_in(8_u64, alloc.clone())));
    let claimed = alloc.disk_bytes();
    let ended = in_forked_child(|| {
        let mut own = Vec::<u64, _>::new_in(alloc.clone());
        assert!(own.try_reserve(1).is_err());
        assert!(own.try_reserve(1 << 20).is_err());
        // Numbers have no destructor, so dropping frees only the blocks, without touching them.
        let (numbers, boxed) = dropped.take().unwrap();
        drop(numbers);
        drop(boxed);
        assert_eq!(alloc.disk_bytes(), claimed);
        // The child's own allocator works, and vanishes with the child.
        let own = DiskAlloc::new_in(alloc.dir().unwrap()).unwrap();
        fill_all(&own, 10_000, 100);
    });
    assert!(ended.success(), "{ended}");
    let (numbers, boxed) = dropped.unwrap();
    assert_eq!((*small, *boxed), (7, 8));
    assert!(kept == numbers && (0..100_000).eq(kept.iter().copied()));
    drop((numbers, boxed));
    kept.extend(100_000..300_000);
    assert!((0..300_000).eq(kept.iter().copied()));
}
