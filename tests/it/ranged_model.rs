//! Random operations on a range file by many threads, each byte stamped and checked: a range holds
//! what its owner put there, and nobody else's.
//!
//! Each owner stamps its range with a number of its own, byte for byte, and looks before it lets go
//! whether all is still there. A table of owners says for every byte whose it is.
//!
//! Reproduce a failure with `OUTCORE_SEED=<seed> cargo test ranged_model`. With
//! `OUTCORE_CAMPAIGN=long` there are 2,000 cases.

#![expect(
    unsafe_code,
    reason = "creates a file in place, which others could change"
)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::SeqCst};

use outcore::{ALIGNMENT, FileRange, FileRangeMut, RangeFile};

use crate::support::random::{Random, cases};
use crate::support::ranged_path;

const SMALL: bool = cfg!(any(miri, heap_backend));

/// Blocks of the file at first, and at the end.
const BLOCKS: u64 = if cfg!(miri) { 6 } else { 48 };
const BLOCKS_MAX: u64 = 2 * BLOCKS;

const THREADS: u16 = if cfg!(miri) { 2 } else { 4 };
const STEPS: usize = if cfg!(miri) {
    20
} else if SMALL {
    150
} else {
    400
};

/// Nobody's.
const FREE: u16 = 0;
/// Frozen: nobody's any more.
const DONE: u16 = u16::MAX;

/// One run of all threads over one file.
struct World {
    file: RangeFile,
    /// Who has each byte.
    owners: Vec<AtomicU16>,
    /// Hands out numbers of owners.
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

/// Returns the byte that owner `id` puts at `offset`.
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
            assert_eq!(before, from, "{}: byte {offset}", self.name);
        }
    }

    /// Takes a range: notes and stamps every byte.
    fn take(&self, range: FileRangeMut, random: &mut Random) -> Owned {
        let number = self.next.fetch_add(1, SeqCst) % u64::from(DONE - 1) + 1;
        let id = u16::try_from(number).unwrap();
        let (start, end) = (range.start(), range.end());
        assert!(end <= self.file.len(), "{}: past the end", self.name);
        self.change_owner(start, end, FREE, id);
        let mut owned = Owned { range, id };
        self.stamp(&mut owned, random);
        owned
    }

    fn stamp(&self, owned: &mut Owned, random: &mut Random) {
        let start = owned.range.start();
        if random.below(2) == 0 {
            for (byte, offset) in owned.range.iter_mut().zip(start..) {
                *byte = stamp(owned.id, offset);
            }
        } else {
            let bytes: Vec<u8> = (start..owned.range.end())
                .map(|offset| stamp(owned.id, offset))
                .collect();
            owned.range.write_all_at(&bytes, 0).unwrap();
        }
        if self.sabotage.swap(false, SeqCst) {
            if let Some(byte) = owned.range.last_mut() {
                *byte ^= 1;
            }
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
        self.change_owner(range.start(), range.end(), id, FREE);
        drop(range);
    }

    fn freeze(&self, owned: Owned) -> (FileRange, u16) {
        let Owned { range, id } = owned;
        self.change_owner(range.start(), range.end(), id, DONE);
        (range.freeze(), id)
    }

    /// A part of what is frozen reads the same, and can be made to last.
    fn read_some(&self, frozen: &[(FileRange, u16)], random: &mut Random) {
        let (range, id) = &frozen[random.below(frozen.len())];
        let start = random.below(range.len() + 1) as u64;
        let end = start + random.below(range.len() + 1 - usize::try_from(start).unwrap()) as u64;
        let part = range.slice(start..end);
        assert_eq!(part.start(), range.start() + start, "{}", self.name);
        assert_eq!(part.end(), range.start() + end, "{}", self.name);
        let twice = part.slice(..).slice(0..);
        self.check(&twice, part.start(), *id);
        // Few, since each waits for the disk.
        match random.below(40) {
            0 => part.flush().unwrap(),
            1 => self.file.sync_all().unwrap(),
            _ => assert!(self.file.written().contains(&(part.start()..part.end()))),
        }
    }

    /// What one thread does.
    fn work(&self, mut random: Random) -> Vec<(FileRange, u16)> {
        let mut owned: Vec<Owned> = Vec::new();
        let mut frozen = Vec::new();
        for _ in 0..STEPS {
            match random.below(12) {
                0..=3 => {
                    let len = random.pick(&[1, 100, ALIGNMENT, ALIGNMENT + 1, 3 * ALIGNMENT, 0]);
                    if let Some(range) = self.file.allocate(len) {
                        assert!(range.len() as u64 >= len && !range.is_empty());
                        assert_eq!(range.start() % ALIGNMENT, 0);
                        owned.push(self.take(range, &mut random));
                    }
                }
                4..=5 => {
                    let len = self.file.len();
                    let start = random.next() % (len + 10);
                    let end = start + random.pick(&[1, 10, ALIGNMENT, 9000]);
                    if let Ok(range) = self.file.claim(start..end) {
                        assert_eq!((range.start(), range.end()), (start, end));
                        owned.push(self.take(range, &mut random));
                    }
                }
                6 if !owned.is_empty() => {
                    let at = random.below(owned.len());
                    let Owned { range, id } = owned.swap_remove(at);
                    let middle = random.below(range.len() + 1) as u64;
                    let (low, high) = match random.below(3) {
                        0 => range.split_at(middle),
                        1 => range.split_at_aligned_up(middle),
                        _ => range.split_at_aligned_down(middle),
                    };
                    assert_eq!(low.end(), high.start());
                    for range in [low, high] {
                        self.check(&range, range.start(), id);
                        owned.push(Owned { range, id });
                    }
                }
                7 if !owned.is_empty() => {
                    let at = random.below(owned.len());
                    let Owned { range, id } = &owned[at];
                    self.check(range, range.start(), *id);
                    self.stamp(&mut owned[at], &mut random);
                }
                8 if random.below(8) == 0 => {
                    let blocks = BLOCKS + random.next() % (BLOCKS_MAX - BLOCKS);
                    let len = blocks * ALIGNMENT + random.next() % ALIGNMENT;
                    self.file.grow(len).unwrap();
                }
                9 if !owned.is_empty() && random.below(3) == 0 => {
                    let at = random.below(owned.len());
                    frozen.push(self.freeze(owned.swap_remove(at)));
                }
                10 if !frozen.is_empty() => self.read_some(&frozen, &mut random),
                _ if !owned.is_empty() => {
                    let at = random.below(owned.len());
                    self.give_back(owned.swap_remove(at));
                }
                _ => {}
            }
        }
        for owned in owned {
            self.give_back(owned);
        }
        frozen
    }
}

/// Makes the file in each way that there is.
fn create(path: &Path, seed: u64) -> RangeFile {
    let len = BLOCKS * ALIGNMENT;
    if seed % 3 > 0 {
        return RangeFile::create(path, len).unwrap();
    }
    // SAFETY: nobody but the test knows the file.
    unsafe { RangeFile::create_in_place(path, len) }.unwrap()
}

fn run(seed: u64, sabotage: bool) {
    let path = ranged_path();
    let world = World {
        file: create(&path, seed),
        owners: (0..(BLOCKS_MAX + 1) * ALIGNMENT)
            .map(|_| AtomicU16::new(FREE))
            .collect(),
        next: AtomicU64::new(0),
        name: format!("seed {seed}"),
        sabotage: AtomicBool::new(sabotage),
    };
    let frozen: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let random = Random::new(seed * 1000 + u64::from(thread));
                let world = &world;
                scope.spawn(move || world.work(random))
            })
            .collect();
        let results = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        results
            .flat_map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let len = world.file.len();
    let mut done: u64 = 0;
    for (range, id) in &frozen {
        world.check(range, range.start(), *id);
        done += range.len() as u64;
    }
    assert_eq!(world.file.remaining(), len - done, "{}", world.name);
    assert_eq!(world.file.written().bytes(), done, "{}", world.name);
    for gap in world.file.written().gaps(len) {
        let rest = world.file.claim(gap.clone()).unwrap();
        world.change_owner(gap.start, gap.end, FREE, DONE);
        rest.freeze();
    }
    assert_eq!(world.file.remaining(), 0);
    let expected: Vec<(u64, Vec<u8>)> = frozen
        .into_iter()
        .map(|(range, _id)| (range.start(), range.to_vec()))
        .collect();
    if seed % 3 == 1 {
        world.file.publish_new().unwrap();
    } else {
        world.file.publish().unwrap();
    }
    if SMALL {
        return;
    }
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, len);
    for (start, range) in expected {
        let start = usize::try_from(start).unwrap();
        assert!(bytes[start..][..range.len()] == range, "{}", world.name);
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn every_byte_has_one_owner_whatever_threads_do() {
    for seed in cases(if cfg!(miri) { 1 } else { 20 }) {
        run(seed, false);
    }
}

#[test]
fn a_planted_byte_is_found() {
    let planted = std::panic::catch_unwind(|| run(0, true));
    assert!(planted.is_err());
}
