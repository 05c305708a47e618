//! Schedules of a range file: threads allocate, claim, split, write, freeze, give back, grow,
//! publish and drop it, in orders that a scheduler chooses. `testing::schedules` says how to run
//! them.
//!
//! Loom explores all orders of a few steps on the allocator (`loom.rs`). The tests here have more
//! threads, longer scenarios, and the file itself.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a panic in a test is a failed test"
)]

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::{fs, process};

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::containers::range_file::align::ALIGNMENT;
use crate::containers::range_file::allocator::RangeAllocator;
use crate::containers::range_file::{FileRange, FileRangeMut, RangeFile};
use crate::error::ErrorKind;
use crate::sys::plan::{before_each_call, unwatch, watch};
use crate::testing::schedules::{check, finds, finds_torn, point};

/// The unit of claims: a range need not consist of whole blocks.
const UNIT: u64 = ALIGNMENT / 2;

/// Units of a file at first, and at most.
const UNITS: u64 = 5;
const UNITS_MAX: u64 = 16;

const THREADS: usize = 3;
const STEPS: usize = 8;

/// Returns a number below `bound`, chosen by the scheduler.
fn below(bound: u64) -> u64 {
    thread_rng().gen_range(0..bound)
}

/// Returns the length to which a file of `len` bytes grows.
fn longer(len: u64) -> u64 {
    (len + (1 + below(5)) * UNIT).min(UNITS_MAX * UNIT)
}

/// Takes a random element out.
fn pick<T>(some: &mut Vec<T>) -> Option<T> {
    let len = some.len() as u64;
    (len > 0).then(|| some.swap_remove(usize::try_from(below(len)).unwrap()))
}

/// An allocator, and the owners of its units. Locks of std are never held here where other threads
/// can run.
struct World {
    allocator: RangeAllocator,
    /// Like the lock of the file: growths come one after the other.
    growing: shuttle::sync::Mutex<()>,
    owned: Mutex<Vec<bool>>,
}

impl World {
    fn new() -> Self {
        Self {
            allocator: RangeAllocator::new(UNITS * UNIT, 0),
            growing: shuttle::sync::Mutex::new(()),
            owned: Mutex::new(vec![false; usize::try_from(UNITS_MAX).unwrap()]),
        }
    }

    fn mark(&self, range: &Range<u64>, owned: bool) {
        assert!(
            range.end <= self.allocator.len(),
            "{range:?} is not in the file"
        );
        assert!(range.start < range.end && range.start % UNIT == 0 && range.end % UNIT == 0);
        let mut all = self.owned.lock().unwrap();
        for unit in range.start / UNIT..range.end / UNIT {
            let was = &mut all[usize::try_from(unit).unwrap()];
            assert!(*was != owned, "unit {unit} has two owners");
            *was = owned;
        }
    }

    fn owned(&self) -> u64 {
        let all = self.owned.lock().unwrap();
        all.iter().filter(|owned| **owned).count() as u64 * UNIT
    }

    fn give_back(&self, range: Range<u64>) {
        self.mark(&range, false);
        self.allocator.give_back(range);
        assert!(!self.allocator.returned().release(1), "the lists are open");
    }

    /// The actions of one thread; returns the ranges that it has in the end, and those that it
    /// finished.
    fn live(&self) -> [Vec<Range<u64>>; 2] {
        let (mut held, mut kept) = (Vec::new(), Vec::new());
        for _ in 0..STEPS {
            match below(8) {
                0..=2 => {
                    let len = (1 + below(2)) * ALIGNMENT;
                    let Some(range) = self.allocator.allocate(len) else {
                        continue;
                    };
                    assert!(range.end - range.start == len || range.end == self.allocator.len());
                    self.mark(&range, true);
                    held.push(range);
                }
                3 => {
                    let start = below(UNITS_MAX) * UNIT;
                    let range = start..start + UNIT;
                    if self.allocator.claim(&range).is_ok() {
                        self.mark(&range, true);
                        held.push(range);
                    }
                }
                4 => {
                    if let Some(range) = pick(&mut held) {
                        self.give_back(range);
                    }
                }
                5 => {
                    // One half only.
                    if let Some(range) = pick(&mut held) {
                        let middle = range.start + (range.end - range.start) / UNIT / 2 * UNIT;
                        if range.start < middle {
                            self.give_back(range.start..middle);
                        }
                        held.push(middle..range.end);
                    }
                }
                6 => {
                    if let Some(range) = pick(&mut held) {
                        self.allocator.finish(range.clone());
                        kept.push(range);
                    }
                }
                _ => {
                    let _growing = self.growing.lock().unwrap();
                    let len = longer(self.allocator.len());
                    assert!(self.allocator.grow(len));
                }
            }
        }
        [held, kept]
    }
}

fn lists() {
    let world = Arc::new(World::new());
    let start = |_| {
        let world = Arc::clone(&world);
        thread::spawn(move || world.live())
    };
    let threads: Vec<_> = (0..THREADS).map(start).collect();
    let lives: Vec<_> = threads.into_iter().map(|one| one.join().unwrap()).collect();
    let (allocator, len) = (&world.allocator, world.allocator.len());
    let left = len - world.owned();
    assert_eq!(
        allocator.remaining(),
        left,
        "bytes are lost, or there twice"
    );
    for [held, _kept] in lives.clone() {
        for range in held {
            world.give_back(range);
        }
    }
    let left = len - world.owned();
    assert_eq!(allocator.remaining(), left, "bytes do not come back");
    let written = allocator.written();
    for [_held, kept] in lives {
        for range in kept {
            assert!(written.contains(&range), "{range:?} is not noted");
            assert!(!allocator.is_all_back(), "{range:?} is out");
            assert!(!allocator.returned().release(range.end - range.start));
        }
    }
    assert_eq!(written.count_below(len), world.owned());
    assert!(allocator.is_all_back(), "bytes do not come back");
    // All that is free can be allocated, and nothing else.
    for unit in 0..len / UNIT {
        let range = unit * UNIT..(unit + 1) * UNIT;
        let is_free = !written.contains(&range);
        assert_eq!(allocator.claim(&range).is_ok(), is_free, "unit {unit}");
    }
    assert_eq!(allocator.remaining(), 0);
}

#[test]
fn no_bytes_have_two_owners_and_none_are_lost() {
    check("lists of a range file", 10_000, lists);
}

#[test]
fn a_counter_that_is_read_and_written_in_two_steps_is_found_out() {
    finds_torn("two owners", lists);
}

/// Returns a directory for the files of one test, in memory if possible.
fn dir(of: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let base = if memory.is_dir() { memory } else { &target };
    let dir = base.join(format!("outcore-schedules-{}-{of}", process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// A file, and the ranges that threads have left for others.
struct Shared {
    /// Written ranges, and the byte that fills each.
    shelf: Mutex<Vec<(FileRange, u8)>>,
    frozen: Mutex<Vec<(Range<u64>, u8)>>,
    next_byte: AtomicU8,
    len: AtomicU64,
    /// A lower bound of the number of ranges: each is counted until a thread begins to drop it.
    out: AtomicUsize,
    planted: bool,
}

/// A range, and the byte that fills it.
struct Held {
    range: FileRangeMut,
    byte: u8,
}

impl Held {
    /// Fills a range as only its owner may.
    fn fill(mut range: FileRangeMut, shared: &Shared) -> Self {
        shared.out.fetch_add(1, Relaxed);
        let byte = shared.next_byte.fetch_add(1, Relaxed);
        if below(2) == 0 {
            range.fill(byte);
        } else {
            let bytes = vec![byte; range.len()];
            range.write_all_at(&bytes, 0).unwrap();
        }
        Self { range, byte }
    }

    fn check(&self) {
        point();
        expect(&self.range, self.byte);
    }
}

#[track_caller]
fn expect(bytes: &[u8], byte: u8) {
    let others = bytes.iter().any(|found| *found != byte);
    assert!(!others, "bytes of another owner");
}

/// The actions of a thread with its handle, which it drops in the end.
fn live(file: RangeFile, shared: &Shared) {
    let mut held = Vec::new();
    for _ in 0..STEPS {
        match below(8) {
            0 | 1 => {
                let range = file.allocate((1 + below(2)) * ALIGNMENT);
                held.extend(range.map(|range| Held::fill(range, shared)));
            }
            2 => {
                let start = below(UNITS_MAX) * UNIT;
                let range = file.claim(start..start + UNIT);
                held.extend(range.ok().map(|range| Held::fill(range, shared)));
            }
            3 => {
                if let Some(one) = pick(&mut held) {
                    one.check();
                    shared.out.fetch_sub(1, Relaxed);
                    give_back(&file, one, shared.planted);
                }
            }
            4 => {
                if let Some(Held { range, byte }) = pick(&mut held) {
                    let middle = range.len() as u64 / 2;
                    let (low, high) = range.split_at(middle);
                    shared.out.fetch_add(1, Relaxed);
                    held.extend([low, high].map(|range| Held { range, byte }));
                }
            }
            5 => {
                if let Some(one) = pick(&mut held) {
                    one.check();
                    let Held { range, byte } = one;
                    let frozen = range.freeze();
                    let span = frozen.start()..frozen.end();
                    shared.frozen.lock().unwrap().push((span, byte));
                    shared.shelf.lock().unwrap().push((frozen, byte));
                }
            }
            6 => {
                let taken = pick(&mut shared.shelf.lock().unwrap());
                if let Some((frozen, byte)) = taken {
                    point();
                    expect(&frozen, byte);
                    shared.out.fetch_sub(1, Relaxed);
                }
            }
            _ => {
                let len = longer(file.len());
                file.grow(len).unwrap();
                assert!(file.len() >= len, "it is shorter than it was");
                shared.len.fetch_max(len, Relaxed);
            }
        }
    }
    // Ranges outlive the handle.
    drop(file);
    for one in held {
        one.check();
        shared.out.fetch_sub(1, Relaxed);
    }
}

/// Gives a range back. The planted bug: a thread gives its range back for a moment, and assumes
/// that no other thread had it meanwhile.
fn give_back(file: &RangeFile, held: Held, planted: bool) {
    let Held { range, byte } = held;
    let span = range.start()..range.end();
    drop(range);
    if planted {
        let again = file.claim(span);
        again.ok().inspect(|again| expect(again, byte));
    }
}

fn file_of_threads(planted: bool, publishes: bool) {
    let path = dir(&format!("{planted}-{publishes}")).join("file");
    watch();
    before_each_call(Some(Rc::new(point)));
    let file = RangeFile::create(&path, UNITS * UNIT).unwrap();
    let shared = Arc::new(Shared {
        shelf: Mutex::default(),
        frozen: Mutex::default(),
        next_byte: AtomicU8::new(1),
        len: AtomicU64::new(UNITS * UNIT),
        out: AtomicUsize::new(0),
        planted,
    });
    let start = |_| {
        let (file, shared) = (file.clone(), Arc::clone(&shared));
        thread::spawn(move || live(file, &shared))
    };
    let threads: Vec<_> = (0..THREADS).map(start).collect();
    let mut file = Some(file).filter(|_file| publishes);
    let mut joining = threads.into_iter();
    let mut tries = 0;
    while let Some(unpublished) = file.take() {
        let all_are_back = joining.len() == 0;
        if all_are_back {
            assert_eq!(unpublished.len(), shared.len.load(Relaxed));
        }
        match unpublished.publish() {
            Ok(()) => assert_eq!(shared.out.load(Relaxed), 0, "ranges are out"),
            Err(refused) => {
                assert_eq!(refused.error().kind(), ErrorKind::RangesInUse);
                assert!(!all_are_back, "what is back is taken to be out");
                assert!(!path.exists(), "it was refused");
                file = Some(refused.into_file());
            }
        }
        tries += 1;
        if tries % 4 != 0 {
            continue;
        }
        if let Some(one) = joining.next() {
            one.join().unwrap();
        }
        if joining.len() == 0 {
            let left = std::mem::take(&mut *shared.shelf.lock().unwrap());
            for (frozen, byte) in left {
                expect(&frozen, byte);
                shared.out.fetch_sub(1, Relaxed);
            }
        }
    }
    joining.for_each(|one| one.join().unwrap());
    let left = std::mem::take(&mut *shared.shelf.lock().unwrap());
    drop(left);
    before_each_call(None);
    assert_eq!(unwatch(), (0, 0), "the file is not closed, or shown");
    if publishes {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(bytes.len() as u64, shared.len.load(Relaxed));
        for (span, byte) in &*shared.frozen.lock().unwrap() {
            let [start, end] = [span.start, span.end].map(|at| usize::try_from(at).unwrap());
            expect(&bytes[start..end], *byte);
        }
    }
    assert!(!path.exists(), "it was not published");
    fs::remove_dir(path.parent().unwrap()).unwrap();
}

#[test]
fn a_file_is_published_when_all_is_back_with_all_that_was_frozen() {
    check("a range file that is published", 5000, || {
        file_of_threads(false, true);
    });
}

#[test]
fn a_file_goes_with_its_last_owner_whoever_that_is() {
    check("a range file that is dropped", 5000, || {
        file_of_threads(false, false);
    });
}

#[test]
fn who_gives_back_what_he_goes_on_using_is_found_out() {
    finds("bytes of another owner", || file_of_threads(true, true));
    fs::remove_dir_all(dir("true-true")).unwrap();
}
