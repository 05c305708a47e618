//! Fault injection in the range file: the file, and what its name shows, stay right, whatever call
//! fails. Only a failed sync is final.
#![expect(
    unsafe_code,
    clippy::unwrap_in_result,
    reason = "a panic in a test is a failed test; the files are the test's own"
)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::containers::range_file::{ALIGNMENT, FileRangeMut, PublishError, RangeFile};
use crate::error::{ErrorKind, Result};
use crate::io::place::Place;
use crate::sys::fault::{Fault, Outcome, arm, disarm};
use crate::testing::{Campaign, ENOSPC, EOPNOTSUPP, Life};

#[test]
fn a_file_is_whole_or_not_there_whatever_call_fails() {
    Campaign::new("ranged, published", 250, |life| Run::of(life).live())
        .plants("another byte", "other bytes")
        .run();
}

#[test]
#[cfg_attr(
    any(miri, memory_backend),
    ignore = "on the heap, bytes in addresses that a planted fault leaves never reach the file"
)]
fn a_file_that_is_seen_is_right_whatever_call_fails() {
    Campaign::new("ranged, in place", 150, |life| {
        Run::of(life).live_in_place();
    })
    .plants("another byte", "other bytes")
    .run();
}

/// The length of the file, and the length to which it grows.
const LEN: u64 = 5 * ALIGNMENT + 100;
const GROWN: u64 = 9 * ALIGNMENT + 1;

/// The scenario of a file.
struct Run<'life> {
    life: &'life mut Life,
    /// The expected content of the file.
    model: Vec<u8>,
    path: PathBuf,
}

/// The end of a scenario: a sync failed, and nothing after it can be trusted. `Some` continues the
/// scenario.
const LOST: Option<()> = None;

/// Returns a path that no other test uses, in memory if possible, where a sync is quick.
fn path(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let base = if memory.is_dir() { memory } else { &target };
    if !cfg!(miri) {
        std::fs::create_dir_all(base).unwrap();
    }
    base.join(format!("outcore-faults-{}-{name}", std::process::id()))
}

impl<'life> Run<'life> {
    fn of(life: &'life mut Life) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // A unique name: the heap backend has one directory for all scenarios, and a file that a
        // planted fault leaves keeps its name there.
        let number = NEXT.fetch_add(1, Relaxed);
        let path = life.dir().join(format!("file-{number}"));
        let model = Vec::new();
        Self { life, model, path }
    }

    /// Syncs once. After a failure, every further sync has to fail, and memory has to stay right.
    fn sync(&mut self, what: &str, file: &RangeFile, sync: impl Fn() -> Result<()>) -> Option<()> {
        let Err(refused) = sync() else {
            return Some(());
        };
        self.life.refused(what, &refused);
        self.life.disarm();
        for later in [sync(), file.sync_all(), file.clone().publish_in_vain()] {
            let message = later.unwrap_err().to_string();
            let says_so = message.contains("earlier sync") || message.contains("alive");
            assert!(says_so, "{}: {what}: {message}", self.life.name());
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
        self.life.attempt("write", || range.write_all_at(&bytes, 0));
        self.note(range, byte);
    }

    /// Publishes, and repeats while that is refused and no sync has failed.
    fn publish(&mut self, mut file: RangeFile) -> Option<()> {
        loop {
            let refused: PublishError = match file.publish() {
                Ok(()) => return Some(()),
                Err(refused) => refused,
            };
            if refused.error().to_string().contains("earlier sync") {
                self.life.disarm();
                return LOST;
            }
            self.life.refused("publish", refused.error());
            file = refused.into_file();
            assert!(
                file.len() >= self.model.len() as u64,
                "{}",
                self.life.name()
            );
        }
    }

    /// Reads the file at the path, without faults.
    fn seen(&mut self) -> Option<Vec<u8>> {
        self.life.disarm();
        let place = Place::new("open", &self.path).unwrap();
        place.open().ok()?;
        // SAFETY: only the test knows the file.
        let file = unsafe { RangeFile::open(&self.path) }.unwrap();
        let all = file.claim(0..file.len()).unwrap();
        Some(all.to_vec())
    }

    fn remove(&mut self) {
        self.life.disarm();
        let place = Place::new("open", &self.path).unwrap();
        drop(place.remove(None));
    }

    /// A file that is published when it is complete, twice, and then opened.
    fn live(&mut self) {
        let ended = self.create_and_replace();
        self.life.disarm();
        if self.life.is_planted("another byte") {
            self.model[4096] ^= 1;
        }
        let seen = self.seen();
        self.remove();
        let model = Some(self.model.clone());
        if ended.is_some() {
            assert!(seen == model, "{}: other bytes", self.life.name());
            return;
        }
        // Before it was published, the old file is there, or none.
        let is_old = seen.as_ref().is_none_or(|seen| seen == b"old");
        let is_half = !is_old && seen != model;
        assert!(!is_half, "{}: half a file", self.life.name());
    }

    fn create_and_replace(&mut self) -> Option<()> {
        let path = self.path.clone();
        let old = self.life.attempt("create", || RangeFile::create(&path, 3));
        self.life
            .attempt("claim", || old.claim(0..3))
            .copy_from_slice(b"old");
        self.publish(old)?;

        let file = self
            .life
            .attempt("create", || RangeFile::create(&path, LEN));
        self.model = vec![0; usize::try_from(LEN).unwrap()];
        let mut first = file.allocate(2 * ALIGNMENT).unwrap();
        self.write(&mut first, 1);
        let (mut low, mut high) = first.split_at(5000);
        self.fill(&mut high, 2);
        self.write(&mut low, 3);
        let (low, high) = (low.freeze(), high.freeze());
        self.sync("flush", &file, || high.flush())?;
        self.life.attempt("grow", || file.grow(GROWN));
        self.model.resize(usize::try_from(GROWN).unwrap(), 0);
        let mut last = file.claim(GROWN - 10..GROWN).unwrap();
        self.fill(&mut last, 4);
        while let Some(mut range) = file.allocate(ALIGNMENT) {
            self.write(&mut range, 5);
            drop(range.freeze());
        }
        self.sync("sync", &file, || file.sync_all())?;
        let found = [&low[..], &high[..]].concat();
        assert!(
            found == self.model[..8192],
            "{}: other bytes",
            self.life.name()
        );
        drop((low, high, last));
        self.publish(file)
    }

    /// A file that is visible while it fills, and is opened again.
    fn live_in_place(&mut self) {
        let ended = self.create_and_open();
        self.life.disarm();
        if self.life.is_planted("another byte") {
            self.model[4096] ^= 1;
        }
        let seen = self.seen();
        if ended.is_some() {
            assert!(
                seen.as_ref() == Some(&self.model),
                "{}: other bytes",
                self.life.name()
            );
        }
        self.remove();
    }

    fn create_and_open(&mut self) -> Option<()> {
        let path = self.path.clone();
        let file = loop {
            // SAFETY: only the test knows the file.
            match unsafe { RangeFile::create_in_place(&path, LEN) } {
                Ok(file) => break file,
                Err(refused) => self.life.refused("create in place", &refused),
            }
            if self.life.is_single() {
                let place = Place::new("open", &path);
                let left = place.is_ok_and(|place| place.open().is_ok());
                assert!(!left, "{}: something is left", self.life.name());
            } else {
                // The removal may have failed as well.
                self.remove();
            }
        };
        self.model = vec![0; usize::try_from(LEN).unwrap()];
        let mut range = file.allocate(ALIGNMENT).unwrap();
        self.write(&mut range, 1);
        let range = range.freeze();
        self.sync("flush", &file, || range.flush())?;
        drop((range, file));
        // SAFETY: as above.
        let file = self
            .life
            .attempt("open", || unsafe { RangeFile::open(&path) });
        let mut rest = file.claim(ALIGNMENT..LEN).unwrap();
        self.fill(&mut rest, 2);
        drop(rest);
        // Windows shows no bytes that the file did not have when it was opened.
        if cfg!(windows) {
            return self.publish(file);
        }
        while let Err(refused) = file.grow(GROWN) {
            let few_addresses = refused.to_string().contains("addresses that were reserved");
            if few_addresses && !self.life.is_single() {
                // It was opened after two calls had been refused, and continues without faults.
                return LOST;
            }
            self.life.refused("grow", &refused);
        }
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

/// Where space cannot be preallocated, zeros are written instead, but never over content.
#[test]
fn a_file_that_exists_is_not_filled_with_zeros() {
    let path = path("existing");
    // SAFETY: only the test knows the file.
    let file = unsafe { RangeFile::create_in_place(&path, 5) }.unwrap();
    file.claim(0..5).unwrap().copy_from_slice(b"bytes");
    file.publish().unwrap();
    for after in 0.. {
        arm(Fault {
            after,
            sticky: false,
            outcome: Outcome::Errno(EOPNOTSUPP),
        });
        // SAFETY: only the test knows the file.
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

/// A growth failed, and so did the call that cuts off what it had added: under its name, the file
/// was visibly longer than any caller had requested.
#[test]
fn a_growth_that_cannot_be_undone_is_not_published() {
    let path = path("grown");
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

/// The name was given to a file of another program, and publishing reported success. Now that is an
/// error, the other file keeps the name, and since others may find the file, no range of it is
/// given out.
#[test]
fn a_name_that_went_to_another_file_is_an_error_and_stays_there() {
    let path = path("astray");
    let mut errors = 0;
    for after in 0.. {
        let file = RangeFile::create(&path, 5).unwrap();
        file.claim(0..5).unwrap().copy_from_slice(b"bytes");
        let fault = Fault {
            after,
            sticky: false,
            outcome: Outcome::Astray,
        };
        arm(fault);
        let published = file.publish();
        let (_calls, met) = disarm();
        let place = Place::new("open", &path).unwrap();
        if let Err(refused) = published {
            errors += 1;
            assert!(
                refused.error().to_string().contains("another file"),
                "{refused}"
            );
            let file = refused.into_file();
            assert_eq!(
                place.open().unwrap().1,
                0,
                "the name of the stranger is gone"
            );
            assert_eq!(file.claim(0..5).unwrap_err().kind(), ErrorKind::RangesInUse);
            // The next attempt replaces the other file.
            file.publish().unwrap();
        }
        assert_eq!(place.open().unwrap().1, 5);
        place.remove(None).unwrap();
        if met == 0 {
            break;
        }
    }
    assert_eq!(errors, 1);
}
