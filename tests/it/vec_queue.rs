//! Vectors as queues: appended at the end and truncated at the front, for more elements than their
//! addresses and their file can hold at once.
#![cfg(not(any(miri, memory_backend)))]

use std::fs;

use outcore::{DiskVec, ErrorKind, stats};

use crate::support::libc::{Resource, set_limit};
use crate::support::process::{child, tell};
use crate::support::random::Random;
use crate::support::{disk, test_name};

const MIB: u64 = 1 << 20;

/// An element of a page, so that traffic is fast.
type Page = [u64; 512];

const fn page(number: u64) -> Page {
    [number; 512]
}

/// A queue, and its expected numbers.
struct Queue {
    pages: DiskVec<Page>,
    first: u64,
    next: u64,
}

impl Queue {
    fn new() -> Self {
        Self {
            pages: DiskVec::new_in(&disk()),
            first: 0,
            next: 0,
        }
    }

    fn push(&mut self, count: u64) -> outcore::Result<()> {
        let end = self.next + count;
        let pushed = self.pages.try_extend((self.next..end).map(page));
        self.next = self.first + self.pages.len() as u64;
        pushed
    }

    fn cut(&mut self, count: u64) {
        self.pages.truncate_front(usize::try_from(count).unwrap());
        self.first = self.next.min(self.first + count);
    }

    /// Passes this many pages through, a few at a time, and leaves some.
    fn pass(&mut self, pages: u64, random: &mut Random) -> outcore::Result<()> {
        let goal = self.next + pages;
        while self.next < goal {
            self.push(1 + random.next() % 300)?;
            let len = self.next - self.first;
            self.cut(random.next() % len);
            self.check_ends();
        }
        Ok(())
    }

    fn check_ends(&self) {
        if let (Some(first), Some(last)) = (self.pages.first(), self.pages.last()) {
            assert_eq!((first[511], last[511]), (self.first, self.next - 1));
        }
    }

    fn check(&self) {
        assert_eq!(self.pages.len() as u64, self.next - self.first);
        for (found, number) in self.pages.iter().zip(self.first..) {
            assert_eq!(*found, page(number));
        }
    }
}

/// Returns the bytes of addresses that this process uses.
fn mapped_now() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

/// A queue that was never empty reached its end: elements kept their addresses even after those in
/// front were removed, so under `RLIMIT_AS` of 1 GiB the addresses were used up after 509 MiB of
/// traffic, with 47,720 live elements.
#[test]
fn a_queue_outlives_a_hundred_times_its_addresses() {
    const ADDRESSES: u64 = 16 * MIB;
    let Some(child) = child(test_name!()) else {
        set_limit(Resource::AddressSpace, mapped_now() + ADDRESSES);
        let mut queue = Queue::new();
        let mut random = Random::new(1);
        if let Err(refused) = queue.pass(100 * ADDRESSES / 4096, &mut random) {
            let len = queue.pages.len();
            panic!("after {} pages, with {len} alive: {refused}", queue.next);
        }
        queue.check();
        let claimed = queue.pages.disk_bytes();
        assert!(claimed < 32 * MIB, "{claimed} bytes are claimed");
        return;
    };
    child.run();
}

/// As above, for the file: it grew by all elements that ever passed, however few were left, up to
/// the limit of its file system or `RLIMIT_FSIZE`.
#[test]
fn a_queue_outlives_a_hundred_times_the_longest_file() {
    const LONGEST: u64 = 8 * MIB;
    let Some(child) = child(test_name!()) else {
        set_limit(Resource::FileSize, LONGEST);
        let mut queue = Queue::new();
        let mut random = Random::new(2);
        if let Err(refused) = queue.pass(100 * LONGEST / 4096, &mut random) {
            let len = queue.pages.len();
            panic!("after {} pages, with {len} alive: {refused}", queue.next);
        }
        queue.check();
        // The live elements still have to fit into a file.
        let refused = queue.push(2 * LONGEST / 4096).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::FileTooLarge, "{refused}");
        queue.check();
        assert_eq!(stats().open_files, 1);
        return;
    };
    child.run();
}

/// The copy of a queue preallocated the space of all elements that had ever been in front, before
/// it gave that back, so on a small disk it was refused.
#[test]
fn a_copy_of_a_queue_claims_what_is_alive() {
    use outcore::ScratchDir;
    let dir = ScratchDir::builder(env!("CARGO_TARGET_TMPDIR"));
    let dir = dir.quota_bytes(24 * MIB).build().unwrap();
    let mut queue = DiskVec::new_in(&dir);
    for number in 0..16_384 {
        queue.push(page(number)).unwrap();
        if queue.len() > 512 {
            queue.truncate_front(256);
        }
    }
    let copy = queue.try_copy().unwrap();
    assert_eq!(copy, queue);
}

/// A queue in memory works, too: the memory in front of its elements is reused.
#[test]
fn a_small_queue_stays_small() {
    let Some(child) = child(test_name!()) else {
        let mut queue = DiskVec::new_in(&disk());
        for number in 0..1_000_000_u64 {
            queue.push(number).unwrap();
            if queue.len() > 100 {
                queue.truncate_front(1 + (number % 90) as usize);
            }
            assert_eq!(queue.last(), Some(&number));
        }
        let first = queue[0];
        assert!(queue.iter().copied().eq(first..1_000_000));
        tell(format_args!("{} bytes on disk", queue.disk_bytes()));
        assert!(queue.disk_bytes() < 4 * MIB, "{}", queue.disk_bytes());
        return;
    };
    child.run();
}
