//! The fault campaign of the range file: every system call of a long life fails in every way, once
//! and for good, and what is in the file, and under its name, stays right.
//!
//! What fails is tried again, as by a caller that freed space; a lasting fault ends with the first
//! error that it causes. Only a sync that failed is final. A failure names the fault and the step.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_in_result,
    reason = "a panic in a test is a failed test"
)]

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::ranged::{ALIGNMENT, FileRangeMut, PublishError, RangeFile};
use crate::storage::place::Place;
use crate::sys::fault::{Fault, Outcome, arm, disarm};

const EINTR: i32 = 4;
const EIO: i32 = 5;
const ENOMEM: i32 = 12;
const EFBIG: i32 = 27;
const ENOSPC: i32 = 28;
const EOPNOTSUPP: i32 = 95;
const EDQUOT: i32 = 122;

/// How often a caller tries again before it gives up.
const TRIES: usize = 6;

/// The length of the file, and what it grows to.
const LEN: u64 = 5 * ALIGNMENT + 100;
const GROWN: u64 = 9 * ALIGNMENT + 1;

/// A life with one fault.
struct Run {
    name: String,
    fault: Fault,
    armed: bool,
    calls: usize,
    met: usize,
    errors: Vec<String>,
    /// What the file has to hold.
    model: Vec<u8>,
    path: PathBuf,
    /// A difference that has to be found.
    sabotage: bool,
}

/// The end of a life: a sync failed, and nothing after it is believed. A life that goes on is `Some`.
const LOST: Option<()> = None;

/// Returns a directory for files of tests, in memory where that can be had: a sync is quick there.
fn dir() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let base = if memory.is_dir() { memory } else { &target };
    let dir = base.join(format!("outcore-faults-{}", std::process::id()));
    if !cfg!(miri) {
        std::fs::create_dir_all(&dir).unwrap();
    }
    dir
}

impl Run {
    fn new(fault: Fault, dir: &Path, number: usize) -> Self {
        Self {
            name: format!("{fault:?}"),
            fault,
            armed: false,
            calls: 0,
            met: 0,
            errors: Vec::new(),
            model: Vec::new(),
            path: dir.join(format!("file-{number}")),
            sabotage: false,
        }
    }

    fn disarm(&mut self) {
        if self.armed {
            (self.calls, self.met) = disarm();
            self.armed = false;
        }
    }

    /// Looks at an error that reached the caller; a lasting fault ends with it.
    fn refused(&mut self, what: &str, error: &Error) {
        if self.fault.sticky {
            self.disarm();
        }
        let name = format!("{}: {what}: {error}", self.name);
        assert!(error.to_string().starts_with("cannot "), "{name}");
        assert_eq!(error.path(), Some(self.path.as_path()), "{name}");
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
        self.errors.push(name);
        assert!(self.errors.len() < TRIES, "{:?}", self.errors);
    }

    /// Does what a caller does: tries again when an operation failed.
    fn attempt<R>(&mut self, what: &str, mut operation: impl FnMut() -> Result<R>) -> R {
        loop {
            match operation() {
                Ok(result) => return result,
                Err(refused) => self.refused(what, &refused),
            }
        }
    }

    /// Syncs once. After a failure, all that sync have to fail, and memory has to stay right.
    fn sync(&mut self, what: &str, file: &RangeFile, sync: impl Fn() -> Result<()>) -> Option<()> {
        let Err(refused) = sync() else {
            return Some(());
        };
        self.refused(what, &refused);
        self.disarm();
        for later in [sync(), file.sync_all(), file.clone().publish_in_vain()] {
            let message = later.unwrap_err().to_string();
            let says_so = message.contains("earlier sync") || message.contains("alive");
            assert!(says_so, "{}: {what}: {message}", self.name);
        }
        LOST
    }

    /// Stores `byte` to all of a range, and in the model.
    fn fill(&mut self, range: &mut FileRangeMut, byte: u8) {
        range.fill(byte);
        self.note(range, byte);
    }

    fn note(&mut self, range: &FileRangeMut, byte: u8) {
        let [start, end] = [range.start(), range.end()].map(|at| usize::try_from(at).unwrap());
        if self.model.len() < end {
            self.model.resize(end, 0);
        }
        self.model[start..end].fill(byte);
    }

    fn write(&mut self, range: &mut FileRangeMut, byte: u8) {
        let bytes = vec![byte; range.len()];
        self.attempt("write", || range.write_all_at(&bytes, 0));
        self.note(range, byte);
    }

    /// Publishes, again for as long as it is refused, and as no sync is lost.
    fn publish(&mut self, mut file: RangeFile) -> Option<()> {
        loop {
            let refused: PublishError = match file.publish() {
                Ok(()) => return Some(()),
                Err(refused) => refused,
            };
            if refused.error().to_string().contains("earlier sync") {
                self.disarm();
                return LOST;
            }
            self.refused("publish", refused.error());
            file = refused.into_file();
            assert!(file.len() >= self.model.len() as u64, "{}", self.name);
        }
    }

    /// Reads what is under the name, without faults.
    #[expect(unsafe_code, reason = "the file is the test's own")]
    fn seen(&mut self) -> Option<Vec<u8>> {
        self.disarm();
        let place = Place::new("open", &self.path).unwrap();
        place.open().ok()?;
        // SAFETY: nobody but the test knows the file.
        let file = unsafe { RangeFile::open(&self.path) }.unwrap();
        let all = file.claim(0..file.len()).unwrap();
        Some(all.to_vec())
    }

    fn remove(&mut self) {
        self.disarm();
        let place = Place::new("open", &self.path).unwrap();
        drop(place.remove(None));
    }

    /// A file that gets its name when it is whole, twice, and then is opened.
    fn live(&mut self) {
        arm(self.fault);
        self.armed = true;
        let ended = self.create_and_replace();
        self.disarm();
        if self.sabotage {
            self.model[4096] ^= 1;
        }
        let seen = self.seen();
        let model = Some(self.model.clone());
        if ended.is_some() {
            assert!(seen == model, "{}: other bytes", self.name);
            return;
        }
        // Before the name was given, the old file is there, or none.
        let is_old = seen.as_ref().is_none_or(|seen| seen == b"old");
        let is_half = !is_old && seen != model;
        assert!(!is_half, "{}: half a file", self.name);
    }

    fn create_and_replace(&mut self) -> Option<()> {
        let path = self.path.clone();
        let old = self.attempt("create", || RangeFile::create(&path, 3));
        self.attempt("claim", || old.claim(0..3))
            .copy_from_slice(b"old");
        self.publish(old)?;

        let file = self.attempt("create", || RangeFile::create(&path, LEN));
        self.model = vec![0; usize::try_from(LEN).unwrap()];
        let mut first = file.allocate(2 * ALIGNMENT).unwrap();
        self.write(&mut first, 1);
        let (mut low, mut high) = first.split_at(5000);
        self.fill(&mut high, 2);
        self.write(&mut low, 3);
        let (low, high) = (low.freeze(), high.freeze());
        self.sync("flush", &file, || high.flush())?;
        self.attempt("grow", || file.grow(GROWN));
        self.model.resize(usize::try_from(GROWN).unwrap(), 0);
        let mut last = file.claim(GROWN - 10..GROWN).unwrap();
        self.fill(&mut last, 4);
        while let Some(mut range) = file.allocate(ALIGNMENT) {
            self.write(&mut range, 5);
            drop(range.freeze());
        }
        self.sync("sync", &file, || file.sync_all())?;
        let found = [&low[..], &high[..]].concat();
        assert!(found == self.model[..8192], "{}: other bytes", self.name);
        drop((low, high, last));
        self.publish(file)
    }

    /// A file that is seen while it fills, and is opened again.
    fn live_in_place(&mut self) {
        arm(self.fault);
        self.armed = true;
        let ended = self.create_and_open();
        self.disarm();
        let seen = self.seen();
        if ended.is_some() {
            assert!(
                seen.as_ref() == Some(&self.model),
                "{}: other bytes",
                self.name
            );
        }
        self.remove();
    }

    #[expect(unsafe_code, reason = "the file is the test's own")]
    fn create_and_open(&mut self) -> Option<()> {
        let path = self.path.clone();
        let file = loop {
            // SAFETY: nobody but the test knows the file.
            match unsafe { RangeFile::create_in_place(&path, LEN) } {
                Ok(file) => break file,
                Err(refused) => self.refused("create in place", &refused),
            }
            if self.fault.sticky {
                // The removal may have failed as well.
                self.remove();
            } else {
                let place = Place::new("open", &path);
                let left = place.is_ok_and(|place| place.open().is_ok());
                assert!(!left, "{}: something is left", self.name);
            }
        };
        self.model = vec![0; usize::try_from(LEN).unwrap()];
        let mut range = file.allocate(ALIGNMENT).unwrap();
        self.write(&mut range, 1);
        let range = range.freeze();
        self.sync("flush", &file, || range.flush())?;
        drop((range, file));
        // SAFETY: as above.
        let file = self.attempt("open", || unsafe { RangeFile::open(&path) });
        let mut rest = file.claim(ALIGNMENT..LEN).unwrap();
        self.fill(&mut rest, 2);
        drop(rest);
        self.attempt("grow", || file.grow(GROWN));
        self.model.resize(usize::try_from(GROWN).unwrap(), 0);
        let mut range = file.allocate(2 * ALIGNMENT).unwrap();
        self.write(&mut range, 3);
        drop(range);
        self.publish(file)
    }
}

impl RangeFile {
    /// Publishes a file that is in use, or whose sync failed.
    fn publish_in_vain(self) -> Result<()> {
        Ok(self.publish()?)
    }
}

const OUTCOMES: [Outcome; 9] = [
    Outcome::Errno(EIO),
    Outcome::Errno(ENOSPC),
    Outcome::Errno(EDQUOT),
    Outcome::Errno(EFBIG),
    Outcome::Errno(ENOMEM),
    Outcome::Errno(EINTR),
    Outcome::HalfThenErrno(ENOSPC),
    Outcome::Short,
    Outcome::Zero,
];

/// Runs a life with every fault at every call; returns how many faults were met.
fn campaign(dir: &Path, live: fn(&mut Run)) -> usize {
    let (mut met, mut number) = (0, 0);
    for outcome in OUTCOMES {
        for sticky in [false, true] {
            // A signal that comes at every try would be waited for, for ever.
            if sticky && outcome == Outcome::Errno(EINTR) {
                continue;
            }
            let mut after = 0;
            loop {
                let fault = Fault {
                    after,
                    sticky,
                    outcome,
                };
                let mut run = Run::new(fault, dir, number);
                number += 1;
                live(&mut run);
                run.remove();
                if run.met == 0 {
                    assert!(run.errors.is_empty(), "{:?}", run.errors);
                    assert!(run.calls > 20 && after >= run.calls, "{}", run.calls);
                    break;
                }
                met += run.met;
                // Under Miri, some calls have to do.
                after += if cfg!(miri) { 7 } else { 1 };
            }
        }
    }
    met
}

#[test]
fn every_call_may_fail_in_the_life_of_a_published_file() {
    let dir = dir().join("published");
    if !cfg!(miri) {
        std::fs::create_dir_all(&dir).unwrap();
    }
    assert!(campaign(&dir, Run::live) > 100);
    if !cfg!(any(miri, heap_backend)) {
        let left = std::fs::read_dir(&dir).unwrap().count();
        assert_eq!(left, 0, "something is left under another name");
        std::fs::remove_dir(&dir).unwrap();
    }
}

#[test]
fn every_call_may_fail_in_the_life_of_a_file_in_place() {
    let dir = dir().join("in-place");
    if !cfg!(miri) {
        std::fs::create_dir_all(&dir).unwrap();
    }
    assert!(campaign(&dir, Run::live_in_place) > 100);
    if !cfg!(any(miri, heap_backend)) {
        std::fs::remove_dir(&dir).unwrap();
    }
}

#[test]
#[should_panic(expected = "other bytes")]
fn a_planted_difference_is_found() {
    let fault = Fault {
        after: usize::MAX,
        sticky: false,
        outcome: Outcome::Short,
    };
    let mut run = Run::new(fault, &dir(), usize::MAX);
    run.sabotage = true;
    run.live();
}

/// Where space cannot be claimed, zeros are written instead, but never over what is there.
#[test]
#[expect(unsafe_code, reason = "the file is the test's own")]
fn a_file_that_exists_is_not_filled_with_zeros() {
    let path = dir().join("existing");
    let file = RangeFile::create(&path, 5).unwrap();
    file.claim(0..5).unwrap().copy_from_slice(b"bytes");
    file.publish().unwrap();
    for after in 0.. {
        arm(Fault {
            after,
            sticky: false,
            outcome: Outcome::Errno(EOPNOTSUPP),
        });
        // SAFETY: nobody but the test knows the file.
        let opened = unsafe { RangeFile::open(&path) };
        let (_calls, met) = disarm();
        if let Ok(file) = &opened {
            assert_eq!(file.claim(0..5).unwrap()[..], *b"bytes");
        }
        drop(opened);
        // SAFETY: as above.
        let file = unsafe { RangeFile::open(&path) }.unwrap();
        assert_eq!(file.claim(0..5).unwrap()[..], *b"bytes");
        if met == 0 {
            break;
        }
    }
    let place = Place::new("open", &path).unwrap();
    place.remove(None).unwrap();
}

/// The growth failed, and so did the call that cuts off what it had added: the file was seen under
/// its name longer than anybody had asked for.
#[test]
fn a_growth_that_cannot_be_undone_is_not_published() {
    let path = dir().join("grown");
    for after in 0.. {
        let file = RangeFile::create(&path, LEN).unwrap();
        arm(Fault {
            after,
            sticky: true,
            outcome: Outcome::HalfThenErrno(ENOSPC),
        });
        let grown = file.grow(GROWN);
        let (_calls, met) = disarm();
        let len = if grown.is_ok() { GROWN } else { LEN };
        assert_eq!(file.len(), len);
        file.publish().unwrap();
        let place = Place::new("open", &path).unwrap();
        let (_file, seen) = place.open().unwrap();
        place.remove(None).unwrap();
        assert_eq!(seen, len, "after {after}");
        if met == 0 {
            break;
        }
    }
}
