//! Random operations on a range file by many threads. Each owner stamps its range with its own
//! number, byte for byte, and checks all of it before it gives the range back. A table of owners
//! records the owner of each byte; bytes that were never owned keep their first value.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test ranged_model`. With
//! `OUTCORE_CAMPAIGN=long` there are 2,000 cases, all but the first of them small.

#![expect(
    unsafe_code,
    reason = "creates and opens files that others could change, and goes around the ranges"
)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::SeqCst};

use outcore::range_file::ALIGNMENT;
use outcore::{ErrorKind, FileRange, FileRangeMut, RangeFile, Written};

use crate::support::random::{Case, Random, cases};
use crate::support::ranged_path;
use crate::support::tally::{Tallies, Tally};

const SMALL: bool = cfg!(any(miri, memory_backend));

/// Blocks of the file at first; at the end there may be twice as many.
const BLOCKS: u64 = if cfg!(miri) { 6 } else { 48 };

const THREADS: u16 = if cfg!(miri) { 2 } else { 4 };
const STEPS: usize = if cfg!(miri) {
    20
} else if SMALL {
    150
} else {
    400
};

/// The events of all runs together.
const MET: [&str; 24] = [
    "create",
    "create_in_place",
    "open",
    "allocate",
    "allocate, nothing left",
    "claim",
    "claim, refused",
    "split_at",
    "split_at_aligned_up",
    "split_at_aligned_down",
    "stamp by iter_mut",
    "stamp by write_all_at",
    "stamp by slice_mut_unchecked",
    "stamp by as_mut_ptr",
    "grow",
    "freeze",
    "slice",
    "flush",
    "sync_all",
    "written",
    "give back",
    "publish",
    "publish_new",
    "publish_new, refused",
];

/// Free, and never owned.
const FREE: u16 = 0;
/// Given back, and may be owned again.
const BACK: u16 = u16::MAX - 1;
/// Frozen: never owned again.
const DONE: u16 = u16::MAX;

/// One run of all threads over one file.
struct World {
    case: Case,
    blocks: u64,
    file: RangeFile,
    /// Bytes of the file when it was opened.
    content: u64,
    /// The owner of each byte.
    owners: Vec<AtomicU16>,
    /// The next owner's number.
    next: AtomicU64,
    name: String,
    /// Whether a wrong byte was planted.
    sabotage: AtomicBool,
}

/// A range and the number of its owner.
struct Owned {
    range: FileRangeMut,
    id: u16,
}

/// Returns the byte that owner `id` stores at `offset`.
fn stamp(id: u16, offset: u64) -> u8 {
    let mixed = u64::from(id)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(offset.wrapping_mul(0xD134_2543_DE82_EF95));
    mixed.to_be_bytes()[0]
}

impl World {
    fn change_owner(&self, start: u64, end: u64, from: u16, to: u16) {
        for offset in start..end {
            let owner = &self.owners[usize::try_from(offset).unwrap()];
            let before = owner.swap(to, SeqCst);
            let expected = before == from || (from == FREE && before == BACK);
            assert!(expected, "{}: byte {offset} is {before}'s", self.name);
        }
    }

    /// Takes a range: records and stamps every byte.
    fn take(&self, range: FileRangeMut, random: &mut Random, tally: &mut Tally) -> Owned {
        let number = self.next.fetch_add(1, SeqCst) % u64::from(BACK - 1) + 1;
        let id = u16::try_from(number).unwrap();
        let (start, end) = (range.start(), range.end());
        assert!(end <= self.file.len(), "{}: past the end", self.name);
        self.change_owner(start, end, FREE, id);
        let mut owned = Owned { range, id };
        tally.reached("bytes in a range", end - start);
        self.stamp(&mut owned, random, tally);
        owned
    }

    fn stamp(&self, owned: &mut Owned, random: &mut Random, tally: &mut Tally) {
        let (start, end) = (owned.range.start(), owned.range.end());
        match random.below(4) {
            0 => {
                tally.met("stamp by iter_mut");
                let stamped = owned.range.iter_mut().zip(start..);
                stamped.for_each(|(byte, offset)| *byte = stamp(owned.id, offset));
            }
            1 => {
                tally.met("stamp by write_all_at");
                let bytes: Vec<u8> = (start..end).map(|offset| stamp(owned.id, offset)).collect();
                owned.range.write_all_at(&bytes, 0).unwrap();
            }
            2 => {
                tally.met("stamp by slice_mut_unchecked");
                // SAFETY: the bytes are in a range that this thread owns, and does not use as long
                // as the slice lives. Nothing was published yet.
                let bytes = unsafe { self.file.slice_mut_unchecked(start..end) };
                let stamped = bytes.iter_mut().zip(start..);
                stamped.for_each(|(byte, offset)| *byte = stamp(owned.id, offset));
            }
            _ => {
                tally.met("stamp by as_mut_ptr");
                for offset in start..end {
                    let byte = self.byte_at(offset);
                    // SAFETY: the byte is in a range that this thread owns and does not use here.
                    unsafe { byte.write(stamp(owned.id, offset)) };
                }
            }
        }
        if self.sabotage.swap(false, SeqCst) {
            if let Some(byte) = owned.range.last_mut() {
                *byte ^= 1;
            }
        }
    }

    fn byte_at(&self, offset: u64) -> *mut u8 {
        let offset = usize::try_from(offset).unwrap();
        self.file.as_mut_ptr().wrapping_add(offset)
    }

    /// The bytes of a range are also visible without the range.
    fn check_around(&self, owned: &Owned) {
        for offset in owned.range.start()..owned.range.end() {
            // SAFETY: the byte is in a range that this thread owns, so no thread writes it.
            let byte = unsafe { self.byte_at(offset).read() };
            let expected = stamp(owned.id, offset);
            assert_eq!(byte, expected, "{}: byte {offset}", self.name);
        }
    }

    fn check(&self, bytes: &[u8], start: u64, id: u16) {
        for (byte, offset) in bytes.iter().zip(start..) {
            assert_eq!(
                *byte,
                stamp(id, offset),
                "{}: byte {offset} of {id}",
                self.name
            );
        }
    }

    fn give_back(&self, owned: Owned) {
        let Owned { range, id } = owned;
        self.check(&range, range.start(), id);
        self.change_owner(range.start(), range.end(), id, BACK);
        drop(range);
    }

    fn freeze(&self, owned: Owned) -> (FileRange, u16) {
        let Owned { range, id } = owned;
        self.change_owner(range.start(), range.end(), id, DONE);
        (range.freeze(), id)
    }

    /// A slice of a frozen range reads the same, and can be flushed.
    fn read_some(&self, frozen: &[(FileRange, u16)], random: &mut Random, tally: &mut Tally) {
        let (range, id) = &frozen[random.below(frozen.len())];
        let start = random.below(range.len() + 1) as u64;
        let end = start + random.below(range.len() + 1 - usize::try_from(start).unwrap()) as u64;
        let part = range.slice(start..end);
        assert_eq!(part.start(), range.start() + start, "{}", self.name);
        assert_eq!(part.end(), range.start() + end, "{}", self.name);
        let twice = part.slice(..).slice(0..);
        self.check(&twice, part.start(), *id);
        // Few, since each waits for the disk.
        tally.met("slice");
        match random.below(40) {
            0 => {
                tally.met("flush");
                part.flush().unwrap();
            }
            1 => {
                tally.met("sync_all");
                self.file.sync_all().unwrap();
            }
            _ => {
                tally.met("written");
                let written = self.file.written();
                assert!(written.contains(&(part.start()..part.end())));
            }
        }
    }

    /// Allocates a range, which contains no bytes of the original file.
    fn allocate(&self, random: &mut Random, tally: &mut Tally) -> Option<Owned> {
        let len = random.pick(&[1, 100, ALIGNMENT, ALIGNMENT + 1, 3 * ALIGNMENT, 0]);
        let Some(range) = self.file.allocate(len) else {
            tally.met("allocate, nothing left");
            return None;
        };
        tally.met("allocate");
        assert!(range.len() as u64 >= len && !range.is_empty());
        assert_eq!(range.start() % ALIGNMENT, 0);
        assert!(range.start() >= self.content, "{}", self.name);
        Some(self.take(range, random, tally))
    }

    fn claim(&self, random: &mut Random, tally: &mut Tally) -> Option<Owned> {
        let len = self.file.len();
        let start = random.next() % (len + 10);
        let end = start + random.pick(&[1, 10, ALIGNMENT, 9000]);
        match self.file.claim(start..end) {
            Ok(range) => {
                tally.met("claim");
                assert_eq!((range.start(), range.end()), (start, end));
                Some(self.take(range, random, tally))
            }
            Err(refused) => {
                tally.met("claim, refused");
                let kinds = [ErrorKind::RangesInUse, ErrorKind::OutOfBounds];
                assert!(kinds.contains(&refused.kind()), "{}: {refused}", self.name);
                None
            }
        }
    }

    fn split(&self, owned: Owned, random: &mut Random, tally: &mut Tally) -> [Owned; 2] {
        let Owned { range, id } = owned;
        let middle = random.below(range.len() + 1) as u64;
        let way = random.pick(&["split_at", "split_at_aligned_up", "split_at_aligned_down"]);
        tally.met(way);
        let (low, high) = match way {
            "split_at" => range.split_at(middle),
            "split_at_aligned_up" => range.split_at_aligned_up(middle),
            _ => range.split_at_aligned_down(middle),
        };
        assert_eq!(low.end(), high.start());
        [low, high].map(|range| {
            self.check(&range, range.start(), id);
            Owned { range, id }
        })
    }

    /// The work of one thread.
    fn work(&self, mut random: Random) -> (Vec<(FileRange, u16)>, Tally) {
        let mut owned: Vec<Owned> = Vec::new();
        let mut frozen = Vec::new();
        let mut tally = Tally::default();
        for _ in 0..self.case.either(STEPS, STEPS.div_ceil(5)) {
            match random.below(12) {
                0..=3 => owned.extend(self.allocate(&mut random, &mut tally)),
                4..=5 => owned.extend(self.claim(&mut random, &mut tally)),
                6 if !owned.is_empty() => {
                    let at = random.below(owned.len());
                    let whole = owned.swap_remove(at);
                    owned.extend(self.split(whole, &mut random, &mut tally));
                }
                7 if !owned.is_empty() => {
                    let at = random.below(owned.len());
                    let Owned { range, id } = &owned[at];
                    self.check(range, range.start(), *id);
                    self.check_around(&owned[at]);
                    self.stamp(&mut owned[at], &mut random, &mut tally);
                }
                8 if random.below(8) == 0 => {
                    tally.met("grow");
                    let blocks = self.blocks + random.next() % self.blocks;
                    let len = blocks * ALIGNMENT + random.next() % ALIGNMENT;
                    self.file.grow(len).unwrap();
                }
                9 if !owned.is_empty() && random.below(3) == 0 => {
                    tally.met("freeze");
                    let at = random.below(owned.len());
                    frozen.push(self.freeze(owned.swap_remove(at)));
                }
                10 if !frozen.is_empty() => self.read_some(&frozen, &mut random, &mut tally),
                _ if !owned.is_empty() => {
                    tally.met("give back");
                    let at = random.below(owned.len());
                    self.give_back(owned.swap_remove(at));
                }
                _ => {}
            }
        }
        for owned in owned {
            self.give_back(owned);
        }
        (frozen, tally)
    }

    /// Bytes that were never owned are those of the original file, or zero.
    fn check_untouched(&self, rest: &FileRangeMut) {
        for (byte, offset) in rest.iter().zip(rest.start()..) {
            let owner = self.owners[usize::try_from(offset).unwrap()].load(SeqCst);
            let in_content = offset < self.content;
            let was = if in_content { stamp(DONE, offset) } else { 0 };
            let same = owner != FREE || *byte == was;
            assert!(same, "{}: byte {offset}", self.name);
        }
    }

    /// The bookkeeping of the file matches the frozen ranges.
    fn check_books(&self, frozen: &[(FileRange, u16)]) {
        let len = self.file.len();
        // Bytes of the original file cannot be allocated.
        let mut left = len - self.content;
        let (mut one, mut other) = (Written::new(), Written::new());
        for (range, id) in frozen {
            self.check(range, range.start(), *id);
            left -= range.end().max(self.content) - range.start().max(self.content);
            let books = if id % 2 == 0 { &mut one } else { &mut other };
            books.insert(range.start()..range.end());
        }
        one.merge(&other);
        let written = self.file.written();
        assert_eq!(self.file.remaining(), left, "{}", self.name);
        assert_eq!(written, one, "{}", self.name);
        let done: u64 = frozen.iter().map(|(range, _)| range.len() as u64).sum();
        assert_eq!(written.bytes(), done, "{}", self.name);
        let spans: Vec<_> = written.spans().collect();
        let apart = spans.windows(2).all(|two| two[0].end < two[1].start);
        assert!(apart, "{}: {spans:?}", self.name);
    }
}

/// Makes the file in each possible way; returns the length of its original content.
fn create(path: &Path, case: Case, blocks: u64, tally: &mut Tally) -> (RangeFile, u64) {
    let len = blocks * ALIGNMENT;
    match case.seed % 4 {
        0 => {
            tally.met("create_in_place");
            // SAFETY: only the test uses the file.
            let file = unsafe { RangeFile::create_in_place(path, len) };
            (file.unwrap(), 0)
        }
        1 => {
            tally.met("open");
            // The content ends in the middle of a block.
            let content = len - 100;
            // SAFETY: only the test uses the file.
            let before = unsafe { RangeFile::create_in_place(path, content) }.unwrap();
            let mut all = before.claim(0..content).unwrap();
            for (byte, offset) in all.iter_mut().zip(0..) {
                *byte = stamp(DONE, offset);
            }
            drop((all, before));
            // SAFETY: as above.
            let file = unsafe { RangeFile::open(path) }.unwrap();
            assert_eq!((file.len(), file.remaining()), (content, 0));
            (file, content)
        }
        _ => {
            tally.met("create");
            (RangeFile::create(path, len).unwrap(), 0)
        }
    }
}

/// Publishes the file in each possible way.
fn publish(file: RangeFile, path: &Path, case: Case, tally: &mut Tally) {
    let is_named = case.seed % 4 < 2;
    match case.seed % 3 {
        0 => {
            tally.met("publish");
            file.publish().unwrap();
        }
        1 => {
            tally.met("publish_new");
            file.publish_new().unwrap();
        }
        _ if is_named || SMALL => file.publish().unwrap(),
        _ => {
            tally.met("publish_new, refused");
            std::fs::write(path, "of somebody else").unwrap();
            let refused = file.publish_new().unwrap_err();
            let answer = refused.error().io_error().map(std::io::Error::kind);
            assert_eq!(answer, Some(std::io::ErrorKind::AlreadyExists));
            assert_eq!(std::fs::read(path).unwrap(), b"of somebody else");
            refused.into_file().publish().unwrap();
        }
    }
}

fn run(case: Case, sabotage: bool) -> Tally {
    let (path, blocks) = (ranged_path(), case.either(BLOCKS, BLOCKS.div_ceil(3)));
    let mut tally = Tally::default();
    let (file, content) = create(&path, case, blocks, &mut tally);
    let base = file.as_mut_ptr();
    let world = World {
        case,
        blocks,
        file,
        content,
        owners: (0..(2 * blocks + 1) * ALIGNMENT)
            .map(|_| AtomicU16::new(FREE))
            .collect(),
        next: AtomicU64::new(0),
        name: format!("seed {}", case.seed),
        sabotage: AtomicBool::new(sabotage),
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let random = Random::new(case.seed * 1000 + u64::from(thread));
                let world = &world;
                scope.spawn(move || world.work(random))
            })
            .collect();
        let results = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        results
            .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut frozen = Vec::new();
    for (done, did) in results {
        frozen.extend(done);
        tally.add(&did);
    }
    let len = world.file.len();
    tally.reached("bytes of the file", len);
    tally.reached("ranges frozen", frozen.len() as u64);
    world.check_books(&frozen);
    for gap in world.file.written().gaps(len) {
        let rest = world.file.claim(gap.clone()).unwrap();
        world.check_untouched(&rest);
        world.change_owner(gap.start, gap.end, FREE, DONE);
        rest.freeze();
    }
    assert_eq!(world.file.remaining(), 0);
    assert_eq!(world.file.as_mut_ptr(), base, "{}: it moved", world.name);
    let expected: Vec<(u64, Vec<u8>)> = frozen
        .into_iter()
        .map(|(range, _id)| (range.start(), range.to_vec()))
        .collect();
    publish(world.file, &path, case, &mut tally);
    if SMALL {
        return tally;
    }
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, len);
    for (start, range) in expected {
        let start = usize::try_from(start).unwrap();
        assert!(bytes[start..][..range.len()] == range, "{}", world.name);
    }
    std::fs::remove_file(&path).unwrap();
    tally
}

#[test]
fn every_byte_has_one_owner_whatever_threads_do() {
    let mut tallies = Tallies::default();
    for case in cases(if cfg!(miri) { 1 } else { 20 }) {
        tallies.add(case, &run(case, false));
    }
    tallies.end("ranged_model", &MET);
}

#[test]
fn a_planted_byte_is_found() {
    let planted = std::panic::catch_unwind(|| run(Case::PLANTED, true));
    assert!(planted.is_err());
}
