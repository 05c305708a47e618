//! The account of what is cached: under threads, as memory gets short and free, and what it leaves to
//! the kernel.
#![cfg_attr(
    memory_backend,
    expect(unused_imports, reason = "there is no page cache to look at")
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::io::cache::CachePolicy;
use crate::io::cache::account::{Account, tests::ACCOUNT};
use crate::io::cache::tests::{IS_TOLD, LEN, World, bytes, cached, check, fill, sum, to_usize};
use crate::io::cache::trail::{CHUNK_BYTES, Trail};
use crate::sys::fault::{Fault, Outcome, arm, disarm};

const EOPNOTSUPP: i32 = 95;

/// Memory that becomes short is noticed after a part of a share, and so is memory that becomes free.
#[test]
fn the_share_follows_the_memory_that_is_available() {
    static AVAILABLE: AtomicU64 = AtomicU64::new(0);
    let world = World::with(
        CachePolicy::Auto,
        Account::adaptive(|| Some(AVAILABLE.load(Relaxed))),
    );
    let account = &world.account;
    // An eighth of it is room for all.
    AVAILABLE.store(8 * 2 * LEN, Relaxed);
    let first = world.file();
    fill(&first, 1 << 20);
    assert_eq!(account.cached_bytes(), LEN);
    assert_eq!(account.known_share_bytes(), Some(2 * LEN));
    assert_eq!(account.dropped_bytes(), 0);
    // Short: an eighth is half of a file.
    AVAILABLE.store(8 * LEN / 2, Relaxed);
    let second = world.file();
    fill(&second, 1 << 20);
    assert_eq!(account.known_share_bytes(), Some(LEN / 2));
    assert!(account.cached_bytes() <= LEN / 2);
    if IS_TOLD {
        assert_eq!(sum(&first), 0, "what came first is dropped first");
        assert_eq!(sum(&second), LEN / 2);
    }
    // None at all: what lets the device work stays.
    AVAILABLE.store(0, Relaxed);
    fill(&second, 1 << 20);
    assert_eq!(account.known_share_bytes(), Some(4 * CHUNK_BYTES));
    assert!(account.cached_bytes() <= 4 * CHUNK_BYTES);
    // Free again.
    AVAILABLE.store(8 * 2 * LEN, Relaxed);
    let third = world.file();
    fill(&third, 1 << 20);
    let share = account.known_share_bytes();
    assert_eq!(share, Some(2 * LEN));
    let dropped = account.dropped_bytes();
    fill(&third, 1 << 20);
    assert_eq!(account.dropped_bytes(), dropped);
    assert!(account.cached_bytes() >= LEN);
    check(&third);
}

/// Where a process only reads, the share was never asked for again: memory could get short unnoticed.
#[test]
fn what_is_read_lets_the_share_be_asked_for_again() {
    static AVAILABLE: AtomicU64 = AtomicU64::new(64 * LEN);
    let account = Account::adaptive(|| Some(AVAILABLE.load(Relaxed)));
    assert!(account.add_read(CHUNK_BYTES));
    assert_eq!(account.known_share_bytes(), Some(8 * LEN));
    AVAILABLE.store(0, Relaxed);
    let reads = (0..8 * LEN / CHUNK_BYTES).filter(|_| account.add_read(CHUNK_BYTES));
    let count = reads.count() as u64;
    assert_eq!(account.known_share_bytes(), Some(4 * CHUNK_BYTES));
    assert!(count < LEN / CHUNK_BYTES, "{count} chunks were kept");
}

/// A chunk was lost when its file was in use by another thread at the moment when its turn came: it
/// counted for ever, although nothing would drop it. The share of a process with several writers got
/// smaller and smaller.
#[test]
#[cfg(not(any(miri, memory_backend)))]
fn threads_that_write_at_the_same_time_lose_no_chunk() {
    let account = Arc::new(Account::with_share(4 * CHUNK_BYTES));
    let world = World::sharing(CachePolicy::Auto, &account);
    let trails = [(); 3].map(|()| {
        let file = world.file();
        let (file, own) = (file.sys().share().unwrap(), Account::with_share(0));
        Arc::new(Trail::new(file, Arc::clone(&account), own))
    });
    std::thread::scope(|scope| {
        for trail in &trails {
            scope.spawn(move || {
                for _ in 0..20 {
                    let writes = (0..LEN).step_by(512);
                    writes.for_each(|at| trail.wrote(at, 512, false));
                }
            });
        }
    });
    // As many steps as it takes when nothing else is going on.
    for _ in 0..100 {
        account.settle();
    }
    let counted = account.cached_bytes();
    assert!(counted <= 4 * CHUNK_BYTES, "{counted} bytes count");
}

/// A file that was dropped stayed open for as long as another thread wrote back a chunk of it: its lock
/// was still taken, and the space of an unnamed file was not free yet.
#[test]
#[cfg(not(any(miri, memory_backend)))]
fn a_file_is_closed_when_its_owner_has_dropped_it() {
    use std::sync::atomic::AtomicBool;

    use crate::io::place::Place;

    let account = Arc::new(Account::with_share(2 * CHUNK_BYTES));
    let world = World::sharing(CachePolicy::Auto, &account);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let other = world.file();
        let account = Arc::clone(&account);
        let is_done = &is_done;
        scope.spawn(move || {
            ACCOUNT.set(Some(account));
            while !is_done.load(Relaxed) {
                fill(&other, 16 << 10);
            }
        });
        let name = format!("target/outcore-closed-{}", std::process::id());
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let place = Place::new("create", &path).unwrap();
        drop(place.create_named().unwrap());
        let mut refused = None;
        for _ in 0..200 {
            match place.open() {
                Ok((file, _len)) => {
                    let all = bytes(0, to_usize(2 * CHUNK_BYTES));
                    file.write_all_at(&all, 0).unwrap();
                }
                Err(error) => refused = Some(error),
            }
        }
        is_done.store(true, Relaxed);
        std::fs::remove_file(path).unwrap();
        assert!(refused.is_none(), "{}", refused.unwrap());
    });
}

/// Where a file system cannot reserve space, zeros are written. They filled the page cache, since only
/// what callers wrote did count.
#[test]
fn zeros_that_stand_for_space_count() {
    let world = World::new(CachePolicy::Auto, 2 * CHUNK_BYTES);
    let file = world.empty_file();
    arm(Fault {
        after: 0,
        sticky: false,
        outcome: Outcome::Errno(EOPNOTSUPP),
    });
    file.grow(0, [LEN]).unwrap();
    assert_eq!(disarm().1, 1);
    assert!(world.account.cached_bytes() > 0);
    assert!(world.account.cached_bytes() <= 2 * CHUNK_BYTES);
    if IS_TOLD {
        assert!(sum(&file) <= 2 * CHUNK_BYTES, "{:?}", cached(&file));
    }
    let mut found = Vec::new();
    file.read_to_end_of(&mut found, to_usize(LEN), 0).unwrap();
    assert!(found.iter().all(|byte| *byte == 0));
}
