//! `DiskAlloc` from the user's view: collections of several kinds, in one file.

use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use outcore::{Advice, DiskAlloc, ScratchDir};

use crate::support::disk;
use crate::support::items::item;
#[cfg(not(any(miri, memory_backend)))]
use crate::support::process::child;
use crate::support::random::Random;
#[cfg(not(any(miri, memory_backend)))]
use crate::support::test_name;

type Map<K, V> = HashMap<K, V, DefaultHashBuilder, DiskAlloc>;

/// What a heap may keep allocated: twelve empty runs of small blocks.
const KEPT_MAX: u64 = 12 * (64 << 10);

const COUNT: u64 = if cfg!(miri) {
    300
} else if cfg!(memory_backend) {
    20_000
} else {
    200_000
};

/// Returns an allocator, and its directory, which no other test uses.
fn alloc() -> (DiskAlloc, ScratchDir) {
    let dir = ScratchDir::builder(disk().path()).build().unwrap();
    (DiskAlloc::new_in(&dir).unwrap(), dir)
}

#[test]
fn the_types_are_what_collections_need() {
    fn shared<T: Send + Sync + Clone + std::fmt::Debug + 'static>() {}
    shared::<DiskAlloc>();
    let (alloc, dir) = alloc();
    let shown = format!("{alloc:?}");
    assert!(shown.contains("disk_bytes"), "{shown}");
    assert_eq!(alloc.dir().unwrap().path(), dir.path());
}

/// diskallocator F2: each vector believed that the file was its own, so that the second one
/// overwrote the first.
#[test]
fn collections_of_all_kinds_share_an_allocator() {
    let (alloc, dir) = alloc();
    let mut left = Vec::new_in(alloc.clone());
    let mut right = Vec::new_in(alloc.clone());
    let mut map = Map::new_in(alloc.clone());
    let mut set = HashSet::<u64, DefaultHashBuilder, _>::new_in(alloc.clone());
    let mut lists = Vec::new_in(alloc.clone());
    for n in 0..COUNT {
        left.push(n);
        right.push(!n);
        map.insert(n, n * n);
        set.insert(n ^ 1);
        if n % 100 == 0 {
            let mut list = Vec::new_in(alloc.clone());
            list.extend_from_slice(&item(n, 50));
            lists.push(list);
        }
    }
    let boxed = Box::new_in([7_u8; 100], alloc.clone());
    let object: Box<dyn Fn(u64) -> u64, DiskAlloc> =
        allocator_api2::unsize_box!(Box::new_in(move |n| n + COUNT, alloc.clone()));
    assert!((0..COUNT).eq(left.iter().copied()));
    assert!((0..COUNT).eq(right.iter().map(|n| !n)));
    assert!((0..COUNT).all(|n| map[&n] == n * n && set.contains(&n)));
    let ids = (0..COUNT).step_by(100);
    assert!(
        lists
            .iter()
            .zip(ids)
            .all(|(list, n)| list[..] == item(n, 50))
    );
    assert_eq!((boxed[99], object(1)), (7, COUNT + 1));
    assert_eq!(dir.used_bytes(), alloc.disk_bytes());

    let used = alloc.disk_bytes();
    drop((left, right, map, set, lists, boxed, object));
    assert!(
        alloc.disk_bytes() <= KEPT_MAX,
        "{} of {used}",
        alloc.disk_bytes()
    );
    drop(alloc);
    assert_eq!(dir.used_bytes(), 0);
}

/// The file lives as long as any collection in it.
#[test]
fn collections_outlive_the_handle_and_cross_threads() {
    let (alloc, dir) = alloc();
    let mut numbers = Vec::new_in(alloc);
    numbers.extend(0..COUNT);
    let worker = std::thread::spawn(move || {
        numbers.extend(COUNT..2 * COUNT);
        numbers
    });
    let numbers = worker.join().unwrap();
    assert!((0..2 * COUNT).eq(numbers.iter().copied()));
    let mut copy = numbers.clone();
    drop(numbers);
    copy.push(1);
    assert_eq!(copy[..3], [0, 1, 2]);
    drop(copy);
    assert_eq!(dir.used_bytes(), 0);
}

/// diskallocator F3: `grow_zeroed` called itself for ever, and `allocate_zeroed` panicked.
#[test]
fn zeroed_blocks_are_zero_after_others_were_there() {
    let (alloc, _dir) = alloc();
    for round in 1..6_usize {
        for len in [10, 5000, 70_000, 1 << 20, (1 << 20) + 1] {
            let mut dirty = Vec::new_in(alloc.clone());
            dirty.resize(len, 0xFF_u8);
            drop(dirty);
            let clean = Box::<[u8], _>::new_zeroed_slice_in(len, alloc.clone());
            // Zeroed bytes may be read: they are initialized.
            let clean = clean.iter().all(|byte| is_zero(*byte));
            assert!(clean, "round {round}, {len} bytes");
        }
    }
}

/// Existing zeros are not written again: a table of a gibibyte takes no memory until it is filled.
#[test]
#[cfg(not(any(miri, memory_backend)))]
fn zeroed_blocks_touch_no_page_that_is_new() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    };
    let (alloc, _dir) = alloc();
    // The kernel updates its counters in steps of up to 64 pages for each processor.
    let slack = 16 << 20;
    let before = resident();
    let large = Box::<[u8], _>::new_zeroed_slice_in(1 << 30, alloc.clone());
    let whole: std::vec::Vec<_> = (0..500)
        .map(|_| Box::<[u8], _>::new_zeroed_slice_in(500_000, alloc.clone()))
        .collect();
    let touched = resident().saturating_sub(before);
    assert!(touched < slack, "{touched} bytes came into memory");
    assert!(large.iter().step_by(1 << 16).all(|byte| is_zero(*byte)));
    let all_zero = |bytes: &Box<[_], _>| bytes.iter().all(|byte| is_zero(*byte));
    assert!(whole.iter().all(all_zero));
    // The measurement detects pages that are stored to.
    let mut filled = Vec::new_in(alloc);
    filled.resize(64 << 20, 1_u8);
    let touched = resident().saturating_sub(before);
    assert!(touched > 64 << 20, "only {touched} bytes came into memory");
}

#[expect(unsafe_code, reason = "reads a byte that was allocated as zero")]
fn is_zero(byte: std::mem::MaybeUninit<u8>) -> bool {
    // SAFETY: the bytes come from `allocate_zeroed`.
    unsafe { byte.assume_init() == 0 }
}

/// diskallocator says: use one instance for one vector, and not many instances.
///
/// In a separate process: so many take the addresses that small vectors of other tests have while there
/// are plenty.
#[test]
fn hundreds_of_allocators_with_many_collections_each() {
    #[cfg(not(any(miri, memory_backend)))]
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let count = if cfg!(any(miri, memory_backend)) {
        3
    } else {
        300
    };
    let (_first, dir) = alloc();
    let mut all: std::vec::Vec<_> = (0..count)
        .map(|_| {
            let alloc = DiskAlloc::new_in(&dir).unwrap();
            [(); 4].map(|()| Vec::new_in(alloc.clone()))
        })
        .collect();
    for n in 0..1000_u64 {
        let number = usize::try_from(n).unwrap() % count;
        for (at, numbers) in all[number].iter_mut().enumerate() {
            numbers.push(n * 4 + at as u64);
        }
    }
    for (number, vectors) in all.iter().enumerate() {
        for (at, numbers) in vectors.iter().enumerate() {
            let expected = (number as u64..1000).step_by(count);
            assert!(
                expected
                    .map(|n| n * 4 + at as u64)
                    .eq(numbers.iter().copied())
            );
        }
    }
}

/// After a panic in the middle of an insertion, the allocator and the other collections still work;
/// the state of the collection itself is its own matter.
#[test]
fn a_panic_in_a_collection_leaves_the_allocator_usable() {
    let (alloc, _dir) = alloc();
    let mut bystander = Vec::new_in(alloc.clone());
    bystander.extend(0..1000_u64);
    for _ in 0..3 {
        let inner = alloc.clone();
        let unwound = std::panic::catch_unwind(move || {
            let mut numbers = Vec::new_in(inner);
            numbers.extend((0..2000_u64).inspect(|n| assert!(*n < 1500)));
        });
        assert!(unwound.is_err());
    }
    bystander.extend(1000..2000);
    assert!((0..2000).eq(bystander.iter().copied()));
}

#[test]
fn a_vector_gives_space_back_as_it_shrinks() {
    let (alloc, dir) = alloc();
    let mut bytes = Vec::new_in(alloc.clone());
    let len = if cfg!(any(miri, memory_backend)) {
        4 << 20
    } else {
        100 << 20
    };
    bytes.resize(len, 1_u8);
    let mut claimed = alloc.disk_bytes();
    assert!(claimed >= len as u64);
    while bytes.len() > 100_000 {
        bytes.truncate(bytes.len() / 3);
        bytes.shrink_to_fit();
        assert!(alloc.disk_bytes() < claimed, "at {}", bytes.len());
        assert!(alloc.disk_bytes() <= bytes.len() as u64 + (64 << 10));
        claimed = alloc.disk_bytes();
        assert!(bytes.iter().all(|byte| *byte == 1));
    }
    drop(bytes);
    assert!(dir.used_bytes() <= KEPT_MAX);
}

#[test]
fn eviction_and_advice_change_no_byte() {
    let (alloc, _dir) = alloc();
    let mut map = Map::new_in(alloc.clone());
    for n in 0..COUNT {
        map.insert(n, !n);
    }
    for advice in [Advice::Random, Advice::Sequential, Advice::Normal] {
        alloc.evict().unwrap();
        alloc.advise(advice).unwrap();
        assert!((0..COUNT).all(|n| map[&n] == !n));
    }
    map.retain(|n, _| n % 2 == 0);
    map.shrink_to_fit();
    assert!((0..COUNT).all(|n| map.contains_key(&n) == (n % 2 == 0)));
}

/// After blocks of many sizes came and went, one empty run of each size stayed on disk for each
/// heap: up to 18 MiB. And a size that comes and goes must not depend on the other sizes.
#[test]
#[cfg(not(any(miri, memory_backend)))]
fn what_stays_claimed_is_little_and_of_the_latest_sizes() {
    let (alloc, _dir) = alloc();
    for _ in 0..3 {
        let sizes = (1..=16 << 10).step_by(16);
        let blocks: std::vec::Vec<_> = sizes
            .map(|size| Vec::<u8, _>::with_capacity_in(size, alloc.clone()))
            .collect();
        assert!(alloc.disk_bytes() > 100 * (64 << 10));
        drop(blocks);
        assert!(alloc.disk_bytes() <= KEPT_MAX, "{}", alloc.disk_bytes());
    }
    // From the second time on, a block that comes and goes allocates and frees nothing on disk.
    for size in [20, 500, 3000, 9000, 16 << 10] {
        let block = || Vec::<u8, _>::with_capacity_in(size, alloc.clone());
        drop(block());
        let kept = alloc.disk_bytes();
        let again = block();
        assert_eq!(alloc.disk_bytes(), kept, "{size} was not kept");
        drop(again);
        assert_eq!(alloc.disk_bytes(), kept, "{size}");
    }
}

/// Short-lived threads, each with its own blocks and some of other threads.
#[test]
#[cfg_attr(
    memory_backend,
    ignore = "the heaps of eight threads use up the few addresses there"
)]
fn many_threads_use_one_allocator() {
    let (alloc, dir) = alloc();
    let threads = if cfg!(miri) { 2 } else { 8 };
    let rounds = if cfg!(miri) { 2 } else { 30 };
    let total: u64 = std::thread::scope(|scope| {
        let workers: std::vec::Vec<_> = (0..threads)
            .map(|seed| {
                let alloc = alloc.clone();
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    let mut sum = 0;
                    for _ in 0..rounds {
                        let mut lists = Vec::new_in(alloc.clone());
                        for n in 0..100 {
                            let mut list = Vec::new_in(alloc.clone());
                            list.resize(random.below(3000), seed ^ n);
                            lists.push(list);
                        }
                        let right = lists
                            .iter()
                            .zip(0..)
                            .all(|(list, n)| list.iter().all(|found| *found == seed ^ n));
                        sum += u64::from(right);
                    }
                    sum
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    assert_eq!(total, threads * rounds);
    // Each thread uses a heap of its own.
    let kept = alloc.disk_bytes();
    assert!(kept <= threads * KEPT_MAX, "{kept}");
    assert_eq!(dir.used_bytes(), kept);
}

/// After a long trace, the disk holds little more than the live blocks.
#[test]
#[cfg(not(any(miri, memory_backend)))]
fn little_is_lost_to_fragments() {
    for (what, log_max, count) in [
        ("up to 512 bytes", 9, 200_000),
        ("up to 16 KiB", 14, 20_000),
        ("up to 1 MiB", 20, 1200),
        ("up to 8 MiB", 23, 60),
    ] {
        let (alloc, _dir) = alloc();
        let mut random = Random::new(1);
        let mut live: std::vec::Vec<Vec<u8, DiskAlloc>> = std::vec::Vec::new();
        let mut bytes = 0;
        for _ in 0..count * 8 {
            if live.len() < count * 3 / 4 || random.below(2) == 0 && live.len() < count {
                let log = random.below(log_max);
                let len = (1 << log) + random.below(1 << log);
                live.push(Vec::with_capacity_in(len, alloc.clone()));
                bytes += len;
            } else {
                let block = live.swap_remove(random.below(live.len()));
                bytes -= block.capacity();
            }
        }
        let most = bytes as u64 * 5 / 4 + (8 << 20);
        let claimed = alloc.disk_bytes();
        assert!(claimed <= most, "{what}: {claimed} bytes for {bytes}");
    }
}
