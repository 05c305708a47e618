//! The fault campaign of the arena: every system call of two workloads fails in every way, once
//! and for good, and nothing that was handed out is lost or becomes something else.
//!
//! The workloads try an operation again when it failed, as a caller would that freed space. A
//! failure names the workload, the call and the outcome, which is all that it takes to repeat it.
#![expect(clippy::arithmetic_side_effects, reason = "tests")]

use std::sync::{Arc, LazyLock, Weak};

use crate::arena::{Arena, ArenaMap, ArenaWriter, Location};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::advice::Advice;
use crate::storage::dir::ScratchDir;
use crate::sys::fault::{Fault, Outcome, arm, disarm};

const EINTR: i32 = 4;
const EIO: i32 = 5;
const ENOMEM: i32 = 12;
const EFBIG: i32 = 27;
const ENOSPC: i32 = 28;
const EOPNOTSUPP: i32 = 95;
const EDQUOT: i32 = 122;

/// What may befall a call so that its operation fails, or has to go on after it.
const OUTCOMES: [Outcome; 9] = [
    Outcome::Errno(ENOSPC),
    Outcome::Errno(EIO),
    Outcome::Errno(EDQUOT),
    Outcome::Errno(EFBIG),
    Outcome::Errno(ENOMEM),
    Outcome::Errno(EOPNOTSUPP),
    Outcome::HalfThenErrno(ENOSPC),
    Outcome::Short,
    Outcome::Zero,
];

/// Every how many calls one fails: all of them, but on the heap a map is a copy.
const STEP: usize = if cfg!(heap_backend) { 17 } else { 1 };

/// How often a caller tries again before it gives up.
const TRIES: usize = 4;

#[test]
fn every_call_may_fail_once() {
    campaign(false);
}

#[test]
fn every_call_may_fail_for_good() {
    campaign(true);
}

#[test]
fn an_interrupted_call_is_made_again() {
    let mut surfaced = Vec::new();
    for workload in WORKLOADS {
        for after in (0..calls_of(workload)).step_by(STEP) {
            let mut run = Run::new(workload, fault(after, false, Outcome::Errno(EINTR)));
            run.play(workload);
            surfaced.append(&mut run.errors);
        }
    }
    assert!(surfaced.is_empty(), "{}", surfaced.join("\n"));
}

/// A harness that compares with the wrong bytes has to be caught.
#[test]
#[should_panic(expected = "reads other bytes")]
fn a_planted_difference_is_found() {
    let mut run = Run::new(WORKLOADS[0], COUNT_ONLY);
    run.sabotage = true;
    run.play(WORKLOADS[0]);
}

/// Somebody who keeps a file open has to be caught.
#[test]
#[should_panic(expected = "outlives the arena")]
fn a_planted_leak_is_found() {
    let mut run = Run::new(WORKLOADS[0], COUNT_ONLY);
    run.leak = true;
    run.play(WORKLOADS[0]);
}

fn fault(after: usize, sticky: bool, outcome: Outcome) -> Fault {
    Fault {
        after,
        sticky,
        outcome,
    }
}

/// A fault that never comes.
const COUNT_ONLY: Fault = Fault {
    after: usize::MAX,
    sticky: false,
    outcome: Outcome::Zero,
};

/// A name, over how many files writers are spread, the most bytes of a file, and what is done.
#[derive(Clone, Copy)]
struct Workload {
    name: &'static str,
    spread: usize,
    file_bytes_max: u64,
    work: fn(&mut Run, &mut World),
}

const WORKLOADS: [Workload; 2] = [
    Workload {
        name: "writers",
        spread: 2,
        file_bytes_max: 1 << 20,
        work: writers,
    },
    Workload {
        name: "giving back",
        spread: 1,
        file_bytes_max: 1 << 30,
        work: giving_back,
    },
];

/// Writers of several kinds, small and large items, files that are full, and every way to read.
fn writers(run: &mut Run, world: &mut World) {
    let mut first = world.writer(run);
    for len in [10, 0, 100, 255 << 10, 5000, 300 << 10, 7] {
        world.push(run, &mut first, len);
    }
    let mut second = world.writer(run);
    world.push(run, &mut second, 200 << 10);
    world.push(run, &mut second, 100 << 10);
    world.flush(run, &mut first);
    world.read_each(run);
    world.read_through(run, &second);
    let map = run.attempt("map", || world.arena.map());
    world.read_map(run, &map);
    // Too long for what is left in the first file.
    world.push(run, &mut first, 700 << 10);
    let mut dropped = world.writer(run);
    world.push(run, &mut dropped, 50);
    world.push(run, &mut dropped, 2000);
    world.drop_unflushed(dropped);
    let mut short = world.writer(run);
    world.push(run, &mut short, 500);
    world.finish(run, short);
    world.finish(run, first);
    world.finish(run, second);
    world.read_batch(run);
    run.attempt("advise", || map.advise(Advice::Random));
    world.read_map(run, &map);
    // Where does the next writer begin, after all of this?
    let mut last = world.writer(run);
    world.push(run, &mut last, 300);
    world.finish(run, last);
}

/// A file that grew far enough for a writer's rest to be worth cutting off.
fn giving_back(run: &mut Run, world: &mut World) {
    let mut writer = world.writer(run);
    world.push(run, &mut writer, 5 << 20);
    world.push(run, &mut writer, 10);
    world.finish(run, writer);
    // Whoever could not cut it off keeps it.
    let kept = world.arena.disk_bytes() > 6 << 20;
    assert!(!kept || run.fault.after < usize::MAX, "the rest is kept");
    let mut writer = world.writer(run);
    world.push(run, &mut writer, 1 << 20);
    world.push(run, &mut writer, 20);
    world.drop_unflushed(writer);
    world.read_batch(run);
}

fn calls_of(workload: Workload) -> usize {
    let mut run = Run::new(workload, COUNT_ONLY);
    run.play(workload);
    assert!(run.errors.is_empty(), "{:?}", run.errors);
    assert!(run.calls > 10, "{}: {} calls", run.name, run.calls);
    run.calls
}

fn campaign(sticky: bool) {
    let mut complaints = Vec::new();
    for workload in WORKLOADS {
        for after in (0..calls_of(workload)).step_by(STEP) {
            for outcome in OUTCOMES {
                let mut run = Run::new(workload, fault(after, sticky, outcome));
                run.play(workload);
                assert!(run.met > 0, "{}: the fault was not met", run.name);
                complaints.append(&mut run.complaints);
            }
        }
    }
    complaints.sort();
    complaints.dedup();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// One run of a workload with one fault.
struct Run {
    name: String,
    fault: Fault,
    armed: bool,
    calls: usize,
    met: usize,
    /// The errors that reached the caller.
    errors: Vec<String>,
    /// What is wrong with an error, and does no harm.
    complaints: Vec<String>,
    sabotage: bool,
    leak: bool,
}

impl Run {
    fn new(workload: Workload, fault: Fault) -> Self {
        Self {
            name: format!("{}, {fault:?}", workload.name),
            fault,
            armed: false,
            calls: 0,
            met: 0,
            errors: Vec::new(),
            complaints: Vec::new(),
            sabotage: false,
            leak: false,
        }
    }

    /// Runs the workload with the fault, and then looks at everything without it.
    fn play(&mut self, workload: Workload) {
        arm(self.fault);
        self.armed = true;
        let place = ScratchDir::builder(env!("CARGO_MANIFEST_DIR"));
        let place = place.quota(1 << 30).min_free(1);
        let dir = self.attempt("open a directory", || place.clone().build());
        let arena = Arena::with_shape(&dir, workload.spread, workload.file_bytes_max).unwrap();
        let mut world = World {
            arena,
            items: Vec::new(),
            writers: 0,
        };
        (workload.work)(self, &mut world);
        self.disarm();
        if self.sabotage {
            world.items[0].id += 1;
        }
        world.check(self);
        world.read_each(self);
        world.read_batch(self);
        let inner = Arc::downgrade(&world.arena.inner);
        let files: Vec<_> = world.arena.inner.shards().map(Arc::downgrade).collect();
        let leaked = files[0].upgrade().filter(|_| self.leak);
        drop(world);
        let name = &self.name;
        assert_eq!(inner.strong_count(), 0, "{name}: somebody keeps it");
        let open = files.iter().map(Weak::strong_count).sum::<usize>();
        assert_eq!(open, 0, "{name}: a file outlives the arena");
        assert_eq!(dir.used_bytes(), 0, "{name}: the budget is not back");
        drop(leaked);
    }

    /// Does what a caller does: tries again when an operation failed.
    fn attempt<R>(&mut self, what: &str, mut operation: impl FnMut() -> Result<R>) -> R {
        for _ in 0..TRIES {
            match operation() {
                Ok(result) => return result,
                Err(refused) => self.refused(what, &refused),
            }
        }
        let name = &self.name;
        panic!("{name}: {what}: refused each time: {:?}", self.errors);
    }

    /// Looks at an error that reached the caller; a lasting fault ends with it.
    fn refused(&mut self, what: &str, error: &Error) {
        if self.fault.sticky {
            self.disarm();
        }
        let name = format!("{}: {what}: {error}", self.name);
        self.errors.push(name.clone());
        assert!(error.to_string().starts_with("cannot "), "{name}");
        let path = error.path().and_then(std::path::Path::to_str);
        if !path.is_some_and(|path| error.to_string().contains(path)) {
            self.complaints.push(format!("{what}: {error}: where?"));
        }
        match self.fault.outcome {
            Outcome::Errno(errno) | Outcome::HalfThenErrno(errno) => {
                let answer = error.io_error().and_then(std::io::Error::raw_os_error);
                assert_eq!(answer, Some(errno), "{name}");
                let kind = match errno {
                    ENOSPC | EDQUOT => ErrorKind::StorageFull,
                    EFBIG => ErrorKind::FileTooLarge,
                    ENOMEM => ErrorKind::OutOfMemory,
                    _ => ErrorKind::Io,
                };
                assert_eq!(error.kind(), kind, "{name}");
            }
            Outcome::Zero => assert_eq!(error.kind(), ErrorKind::Io, "{name}"),
            Outcome::Short => panic!("{name}: a short transfer has to be finished"),
        }
    }

    fn disarm(&mut self) {
        if self.armed {
            (self.calls, self.met) = disarm();
            self.armed = false;
        }
    }
}

/// An item that was handed out.
#[derive(Clone, Copy, Debug)]
struct Item {
    location: Location,
    id: usize,
    len: usize,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// In the buffer of this writer, or flushed already.
    Pushed {
        by: usize,
    },
    Flushed,
    /// Its writer was dropped, and may not have been able to flush.
    Dropped,
}

/// An arena, and what it has to hold.
struct World {
    arena: Arena,
    items: Vec<Item>,
    writers: usize,
}

/// A writer and its number.
struct Numbered {
    number: usize,
    writer: ArenaWriter,
}

/// Returns the bytes of an item: a stretch of numbers that repeat after a prime number of bytes,
/// so that no block of a long item is like the next.
fn bytes(id: usize, len: usize) -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut word = 1_u32;
        let numbers = (0..65_521).map(|_| {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            word.to_le_bytes()[3]
        });
        numbers.collect::<Vec<u8>>().repeat(90)
    });
    &BYTES[id * 97..][..len]
}

fn expect(run: &Run, item: Item, found: &[u8]) {
    let same = found == bytes(item.id, item.len);
    assert!(same, "{}: {:?} reads other bytes", run.name, item.location);
}

impl World {
    fn writer(&mut self, run: &mut Run) -> Numbered {
        let writer = run.attempt("make a writer", || self.arena.writer());
        self.writers += 1;
        let number = self.writers;
        Numbered { number, writer }
    }

    fn push(&mut self, run: &mut Run, to: &mut Numbered, len: usize) {
        let id = self.items.len() + 1;
        let name = run.name.clone();
        let location = run.attempt("push", || {
            let held = to.writer.unflushed_bytes();
            let answer = to.writer.push(bytes(id, len));
            let now = to.writer.unflushed_bytes();
            let whole = answer.is_ok() || now == held || now == 0;
            assert!(whole, "{name}: {now} bytes held after {held}: {answer:?}");
            answer
        });
        self.items.push(Item {
            location,
            id,
            len,
            fate: Fate::Pushed { by: to.number },
        });
        self.check(run);
    }

    fn flush(&mut self, run: &mut Run, from: &mut Numbered) {
        run.attempt("flush", || from.writer.flush());
        self.becomes(from.number, Fate::Flushed);
    }

    fn finish(&mut self, run: &mut Run, from: Numbered) {
        let mut writer = from.writer;
        while let Err(refused) = writer.finish() {
            run.refused("finish", refused.error());
            let refused_by = &run.name;
            assert!(run.errors.len() < TRIES, "{refused_by}: {refused}");
            writer = refused.into_writer();
            assert!(writer.unflushed_bytes() > 0, "{refused_by}: empty");
        }
        self.becomes(from.number, Fate::Flushed);
        self.check(run);
    }

    fn drop_unflushed(&mut self, writer: Numbered) {
        drop(writer.writer);
        self.becomes(writer.number, Fate::Dropped);
    }

    fn becomes(&mut self, number: usize, fate: Fate) {
        for item in &mut self.items {
            if item.fate == (Fate::Pushed { by: number }) {
                item.fate = fate;
            }
        }
    }

    /// Reads every item alone, whatever its fate.
    fn read_each(&self, run: &mut Run) {
        for item in self.items.iter().copied() {
            let found = run.attempt("get", || match self.arena.get(item.location) {
                Err(refused) if refused.kind() == ErrorKind::NotFlushed => Ok(None),
                answer => answer.map(Some),
            });
            match found {
                Some(found) => expect(run, item, &found),
                None => assert_ne!(item.fate, Fate::Flushed, "{}: it was flushed", run.name),
            }
        }
    }

    /// Reads all that a writer pushed, through that writer.
    fn read_through(&self, run: &mut Run, writer: &Numbered) {
        let mine = Fate::Pushed { by: writer.number };
        for item in self.items.iter().copied().filter(|item| item.fate == mine) {
            let mut found = Vec::new();
            run.attempt("read what is not flushed", || {
                let answer = writer.writer.get_into(item.location, &mut found);
                assert!(answer.is_ok() || found.is_empty(), "{item:?}: half of it");
                answer
            });
            expect(run, item, &found);
        }
    }

    fn read_map(&self, run: &mut Run, map: &ArenaMap) {
        for item in self.flushed() {
            let found = run.attempt("read through a map", || map.get(item.location));
            expect(run, item, found);
        }
    }

    fn read_batch(&self, run: &mut Run) {
        let items = self.flushed();
        let locations: Vec<Location> = items.iter().map(|item| item.location).collect();
        let name = run.name.clone();
        run.attempt("read a batch", || {
            let mut times = vec![0; items.len()];
            self.arena.get_many(&locations, |index, found| {
                let same = found == bytes(items[index].id, items[index].len);
                assert!(same, "{name}: {:?} reads other bytes", items[index]);
                times[index] += 1;
            })?;
            assert!(times.iter().all(|times| *times == 1), "{name}: {times:?}");
            Ok(())
        });
    }

    fn flushed(&self) -> Vec<Item> {
        let flushed = |item: &&Item| item.fate == Fate::Flushed;
        self.items.iter().filter(flushed).copied().collect()
    }

    /// Compares the books with the files.
    fn check(&self, run: &Run) {
        let mut claimed = 0;
        for shard in self.arena.inner.shards() {
            let len = shard.file.sys().len().unwrap();
            let noted = shard.file.claimed_bytes();
            let used = shard.len_bytes();
            assert!(used <= noted, "{}: {used} bytes of {noted}", run.name);
            // Only a fault that lasts can also hit the call that undoes half a growth.
            let undone = len == noted || (run.fault.sticky && len > noted);
            assert!(undone, "{}: {len} bytes, {noted} claimed", run.name);
            let on_disk = shard.file.sys().disk_bytes().unwrap();
            assert!(on_disk >= noted, "{}: {on_disk} of {noted}", run.name);
            claimed += noted;
        }
        let budget = self.arena.dir().used_bytes();
        assert_eq!(budget, claimed, "{}: the budget differs", run.name);
        let flushed: usize = self.flushed().iter().map(|item| item.len).sum();
        let pushed: usize = self.items.iter().map(|item| item.len).sum();
        let possible = flushed as u64..=pushed as u64;
        let len = self.arena.len_bytes();
        assert!(possible.contains(&len), "{}: {len} {possible:?}", run.name);
    }
}
