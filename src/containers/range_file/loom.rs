//! Loom on the allocator: every order in which threads can allocate, claim, give back and drop
//! handles. Run with `RUSTFLAGS="--cfg loom" cargo test --release --lib range_file::loom`.
#![expect(unsafe_code, reason = "shares cells, which loom watches")]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a panic in a test is a failed test"
)]

use std::ops::Range;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::thread;

use crate::containers::range_file::align::ALIGNMENT;
use crate::containers::range_file::allocator::RangeAllocator;

const BLOCKS: u64 = 4;

/// An allocator, and a cell for each block that detects overlapping accesses.
struct World {
    allocator: RangeAllocator,
    blocks: Vec<UnsafeCell<()>>,
    /// Freed at the end.
    file_state: UnsafeCell<()>,
    freed: AtomicU64,
}

// SAFETY: this is what the test checks: loom reports every access to a cell that may race with
// another.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    fn new(blocks: u64) -> Arc<Self> {
        Arc::new(Self {
            allocator: RangeAllocator::new(blocks * ALIGNMENT, 0),
            blocks: (0..BLOCKS).map(|_| UnsafeCell::new(())).collect(),
            file_state: UnsafeCell::new(()),
            freed: AtomicU64::new(0),
        })
    }

    fn allocate(&self, blocks: u64) -> Option<Range<u64>> {
        let range = self.allocator.allocate(blocks * ALIGNMENT)?;
        assert_eq!(range.end - range.start, blocks * ALIGNMENT);
        self.write(&range);
        Some(range)
    }

    fn claim(&self, block: u64) -> Option<Range<u64>> {
        let range = block * ALIGNMENT..(block + 1) * ALIGNMENT;
        self.allocator.claim(&range).ok()?;
        self.write(&range);
        Some(range)
    }

    /// Accesses each block of a range, as only its owner may.
    fn write(&self, range: &Range<u64>) {
        assert!(range.end <= self.allocator.len());
        self.file_state.with(|_| ());
        for block in range.start / ALIGNMENT..range.end / ALIGNMENT {
            self.blocks[usize::try_from(block).unwrap()].with_mut(|_| ());
        }
    }

    fn give_back(&self, range: Range<u64>) {
        self.write(&range);
        self.allocator.give_back(range);
        if self.allocator.returned().release(1) {
            self.free();
        }
    }

    fn release(&self, range: Range<u64>) {
        self.write(&range);
        if self.allocator.returned().release(range.end - range.start) {
            self.free();
        }
    }

    fn close(&self) {
        self.file_state.with(|_| ());
        if self.allocator.returned().close(self.allocator.watermark()) {
            self.free();
        }
    }

    fn free(&self) {
        self.file_state.with_mut(|_| ());
        assert_eq!(self.freed.fetch_add(1, Relaxed), 0, "freed twice");
    }
}

/// Runs `model` in all orders with at most three preemptions.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn no_block_has_two_owners_at_the_end_of_the_file() {
    check(|| {
        let world = World::new(3);
        let (one, two) = (Arc::clone(&world), Arc::clone(&world));
        let threads = [
            thread::spawn(move || one.allocate(2)),
            thread::spawn(move || two.allocate(2).or_else(|| two.allocate(1))),
        ];
        let mut owned: Vec<_> = std::iter::from_fn(|| world.allocate(1)).collect();
        owned.extend(
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap()),
        );
        owned.extend(std::iter::from_fn(|| world.allocate(1)));
        let blocks: u64 = owned
            .iter()
            .map(|range| (range.end - range.start) / ALIGNMENT)
            .sum();
        assert_eq!((blocks, world.allocator.remaining()), (3, 0), "{owned:?}");
        owned.sort_by_key(|range| range.start);
        assert!(owned.windows(2).all(|pair| pair[0].end <= pair[1].start));
    });
}

#[test]
fn a_claim_and_an_allocation_never_get_the_same_block() {
    check(|| {
        let world = World::new(3);
        let (one, two) = (Arc::clone(&world), Arc::clone(&world));
        let allocating = thread::spawn(move || {
            let first = one.allocate(1);
            (first, one.allocate(1))
        });
        let claiming = thread::spawn(move || two.claim(1));
        let claimed = [world.claim(0), claiming.join().unwrap()];
        let (first, second) = allocating.join().unwrap();
        let owned = claimed.iter().chain([&first, &second]).flatten().count();
        assert_eq!(world.allocator.remaining(), (3 - owned as u64) * ALIGNMENT);
        let starts = claimed.iter().chain([&first, &second]).flatten();
        let mut starts: Vec<u64> = starts.map(|range| range.start).collect();
        starts.sort_unstable();
        starts.dedup();
        assert_eq!(starts.len(), owned);
    });
}

#[test]
fn what_is_given_back_is_handed_over_whole() {
    check(|| {
        let world = World::new(1);
        let (one, two) = (Arc::clone(&world), Arc::clone(&world));
        let work = |world: Arc<World>| {
            move || {
                if let Some(range) = world.allocate(1) {
                    world.give_back(range);
                }
            }
        };
        let threads = [thread::spawn(work(one)), thread::spawn(work(two))];
        let own = world.allocate(1);
        for thread in threads {
            thread.join().unwrap();
        }
        let left = u64::from(own.is_none());
        assert_eq!(world.allocator.remaining(), left * ALIGNMENT);
    });
}

#[test]
fn growth_loses_no_block_that_was_asked_for_in_vain() {
    check(|| {
        let world = World::new(1);
        let (one, two) = (Arc::clone(&world), Arc::clone(&world));
        let threads = [
            thread::spawn(move || one.allocate(2)),
            thread::spawn(move || two.allocate(1)),
        ];
        assert!(world.allocator.grow(BLOCKS * ALIGNMENT));
        let owned = threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap());
        let blocks: u64 = owned
            .map(|range| (range.end - range.start) / ALIGNMENT)
            .sum();
        let rest = std::iter::from_fn(|| world.allocate(1)).count() as u64;
        assert_eq!(blocks + rest, BLOCKS);
    });
}

#[test]
fn the_file_is_freed_once_and_after_its_last_use() {
    check(|| {
        let world = World::new(3);
        let (one, two) = (Arc::clone(&world), Arc::clone(&world));
        let ranges = [world.allocate(1).unwrap(), world.allocate(1).unwrap()];
        let [first, second] = ranges;
        let threads = [
            thread::spawn(move || one.release(first)),
            thread::spawn(move || two.give_back(second)),
        ];
        world.close();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(world.freed.load(Relaxed), 1);
    });
}

#[test]
fn a_file_is_all_back_only_after_the_last_use_of_its_ranges() {
    check(|| {
        let world = World::new(2);
        let (one, two) = (Arc::clone(&world), Arc::clone(&world));
        let first = world.allocate(1).unwrap();
        let second = world.allocate(1).unwrap();
        let threads = [
            thread::spawn(move || one.release(first)),
            thread::spawn(move || two.give_back(second)),
        ];
        if world.allocator.is_all_back() {
            // Publishing has exclusive use of the state here.
            world.file_state.with_mut(|_| ());
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(world.allocator.is_all_back());
    });
}

/// The planted bug of the counter: a thread that passes the end subtracts its addition again.
/// Another thread that failed at the same time subtracts later, and in between a third thread gets
/// a range that is given out again.
#[test]
#[should_panic(expected = "two owners")]
fn an_allocator_that_subtracts_is_found_out() {
    const END: u64 = 3;
    fn allocate(watermark: &AtomicU64, len: u64) -> Option<u64> {
        let start = watermark.fetch_add(len, Relaxed);
        if start + len <= END {
            return Some(start);
        }
        watermark.fetch_sub(len, Relaxed);
        None
    }
    // In all orders: the bug takes more than three preemptions.
    loom::model(|| {
        let watermark = Arc::new(AtomicU64::new(1));
        let (one, two) = (Arc::clone(&watermark), Arc::clone(&watermark));
        let threads = [
            thread::spawn(move || allocate(&one, 3)),
            thread::spawn(move || allocate(&two, 1)),
        ];
        let mut owned = vec![allocate(&watermark, 1), allocate(&watermark, 1)];
        owned.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
        let mut starts: Vec<u64> = owned.into_iter().flatten().collect();
        starts.sort_unstable();
        let pairs = starts.windows(2);
        assert!(
            pairs.into_iter().all(|pair| pair[0] < pair[1]),
            "two owners"
        );
    });
}
