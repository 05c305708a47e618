//! Fault injection: fails every system call of a scenario, in every way, and checks the scenario.
//!
//! A *life* is a scenario: it uses everything that one kind of object can do, as a caller that
//! retries what was refused, and compares the object with a model at each step. A [`Campaign`] runs
//! it again and again:
//!
//! * without a fault, to count its calls;
//! * with planted bugs: a difference that the life itself makes, a call that reports success
//!   without doing anything, a file that is never closed, addresses that are never released. A life
//!   that misses one of them proves nothing, so the campaign fails;
//! * with faults: call *k* fails, for each *k*, once and for good, in every way of [`plans`];
//! * with pairs of faults: a second call fails while the first failure is being handled.
//!
//! After each life no file, no mapping and no name of it is left.
//!
//! The short tier, which `cargo test` runs, is a sample that `$OUTCORE_SEED` chooses. The long
//! tier, `OUTCORE_CAMPAIGN=long`, runs everything. A failure names its faults, which is enough to
//! reproduce it. Each campaign prints its figures, and the sums so far for each container.

#[cfg(feature = "sealed")]
#[cfg(not(any(miri, memory_backend, loom, shuttle)))]
pub(crate) mod damage;
mod plans;
#[cfg(shuttle)]
pub(crate) mod schedules;
mod tally;

use std::any::Any;
use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{fs, process, thread};

use crate::error::{Error, ErrorKind, Result};
use crate::io::cache::account::{Account, tests::ACCOUNT};
use crate::io::dir::ScratchDir;
use crate::sys::fault::{Fault, Outcome};
use crate::sys::plan::{Leak, Seen, answer, arm_both, disarm_both, plant, seen, unwatch, watch};
#[cfg(not(any(loom, shuttle)))]
pub(crate) use crate::testing::plans::EOPNOTSUPP;
use crate::testing::plans::{EDQUOT, EFBIG, ENOMEM, plans};
pub(crate) use crate::testing::plans::{EINTR, ENOSPC};
use crate::testing::tally::Tally;

/// A fault that no call reaches.
const NONE: Fault = Fault {
    after: usize::MAX,
    sticky: false,
    outcome: Outcome::Zero,
};

/// How many lives a plan may use until its faults are met, if the calls differ between lives.
const TRIES_MAX: usize = 8;

/// How many errors a caller accepts before it concludes that the operation never works.
const ERRORS_MAX: usize = 8;

/// One run of a life, with its faults.
pub(crate) struct Life {
    name: String,
    first: Fault,
    second: Option<Fault>,
    planted: Option<&'static str>,
    dir: PathBuf,
    armed: bool,
    seen: Seen,
    errors: Vec<String>,
}

impl Life {
    /// Returns the name of this run, for failure messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the directory of this run, which must be empty at the end.
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens the directory of this run, as a caller does.
    pub(crate) fn scratch_dir(&mut self) -> ScratchDir {
        let place = ScratchDir::builder(&self.dir).allow_ram(true);
        let place = place.quota_bytes(1 << 32).min_free_bytes(1);
        self.attempt("open a directory", || place.clone().build())
    }

    /// Returns whether the life has to make this planted difference.
    pub(crate) fn is_planted(&self, what: &str) -> bool {
        self.planted == Some(what)
    }

    /// Returns whether no fault is injected.
    pub(crate) fn is_whole(&self) -> bool {
        self.first.after == usize::MAX
    }

    /// Returns whether only one call can fail, so that the calls that undo its operation succeed.
    pub(crate) fn is_single(&self) -> bool {
        !self.first.sticky && self.second.is_none()
    }

    /// Returns the errors that reached the caller so far.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &str> {
        self.errors.iter().map(String::as_str)
    }

    /// Retries a failed operation, as a caller does.
    pub(crate) fn attempt<R>(&mut self, what: &str, mut operation: impl FnMut() -> Result<R>) -> R {
        loop {
            match operation() {
                Ok(result) => return result,
                Err(refused) => self.refused(what, &refused),
            }
        }
    }

    /// Checks an error that reached the caller; it ends a lasting fault.
    pub(crate) fn refused(&mut self, what: &str, error: &Error) {
        let name = format!("{}: {what}: {error}", self.name);
        self.explain(error);
        let text = error.to_string();
        let says_where = match error.path() {
            Some(path) => path.starts_with(&self.dir) && text.contains(path.to_str().unwrap()),
            // Memory has no path.
            None => text.contains(" memory: ") || text.contains(" a mapping: "),
        };
        assert!(says_where, "{name}: where?");
        self.gave_up(&name);
    }

    /// Panics unless an injected fault is the cause of the error.
    pub(crate) fn explain(&self, error: &Error) {
        let name = format!("{}: {error}", self.name);
        assert!(error.to_string().starts_with("cannot "), "{name}");
        let mut faults = [Some(self.first), self.second].into_iter().flatten();
        let ours = faults.any(|fault| explains(fault.outcome, error));
        assert!(
            ours,
            "{name}: no injected fault explains this error: {:?}",
            error.source()
        );
    }

    /// Records a refusal that is not an [`Error`]; it ends a lasting fault.
    pub(crate) fn gave_up(&mut self, what: &str) {
        self.errors.push(what.to_owned());
        let name = &self.name;
        assert!(self.errors.len() < ERRORS_MAX, "{name}: {:?}", self.errors);
        let second = self.second.filter(|_second| seen().met_second > 0);
        if self.first.sticky || second.is_some_and(|fault| fault.sticky) {
            self.disarm();
        }
    }

    /// Ends the faults, and counts the calls that met them.
    pub(crate) fn disarm(&mut self) {
        if self.armed {
            self.seen = disarm_both();
            self.armed = false;
        }
    }
}

/// Returns whether a call with this outcome can be the cause of an error.
fn explains(outcome: Outcome, error: &Error) -> bool {
    let refused = error.io_error();
    match outcome {
        // The library continues or repeats these calls.
        Outcome::Errno(EINTR) | Outcome::Short | Outcome::Astray | Outcome::Lie => false,
        Outcome::Errno(errno) | Outcome::HalfThenErrno(errno) => {
            let kind = match errno {
                ENOSPC | EDQUOT => ErrorKind::StorageFull,
                EFBIG => ErrorKind::FileTooLarge,
                ENOMEM => ErrorKind::OutOfMemory,
                _ => ErrorKind::Io,
            };
            let planted = answer(errno);
            let is_same = |refused: &std::io::Error| {
                (refused.raw_os_error(), refused.kind()) == (planted.raw_os_error(), planted.kind())
            };
            refused.is_some_and(is_same) && error.kind() == kind
        }
        Outcome::Zero => error.kind() == ErrorKind::Io,
    }
}

/// A life, and how many runs the short tier makes.
pub(crate) struct Campaign<L> {
    name: String,
    live: L,
    sample: usize,
    /// More errors that a call can return.
    more: &'static [i32],
    lies: bool,
    /// Whether every run of the life makes the same calls.
    exact: bool,
    differences: Vec<(&'static str, &'static str)>,
}

impl<L: Fn(&mut Life)> Campaign<L> {
    /// Describes a campaign whose short tier runs `sample` lives.
    pub(crate) fn new(name: impl Into<String>, sample: usize, live: L) -> Self {
        Self {
            name: name.into(),
            live,
            sample,
            more: &[],
            lies: true,
            exact: true,
            differences: Vec::new(),
        }
    }

    /// Excludes calls that lie: they would invent elements that are not plain bytes.
    pub(crate) fn without_lies(mut self) -> Self {
        self.lies = false;
        self
    }

    /// Declares that the number of calls depends on what else the machine does, so a planned fault
    /// may not be met.
    pub(crate) fn inexact(mut self) -> Self {
        self.exact = false;
        self
    }

    /// Adds errors that calls can return.
    pub(crate) fn and_with(mut self, more: &'static [i32]) -> Self {
        self.more = more;
        self
    }

    /// Adds a difference that the life can plant, and the words of the failure message that must
    /// result.
    pub(crate) fn plants(mut self, what: &'static str, complaint: &'static str) -> Self {
        self.differences.push((what, complaint));
        self
    }

    /// Runs the campaign, and prints its figures in one line.
    pub(crate) fn run(self) {
        let name = &self.name;
        // The first life includes what a process does only once.
        let [_, (seen, _errors)] = [(); 2].map(|()| self.live(NONE, None, None));
        assert!(seen.calls > 10, "{name}: {} calls are too few", seen.calls);
        self.finds_what_is_planted();
        let plans = plans(seen.calls, self.sample, self.more);
        let mut tally = Tally::default();
        for (first, second) in plans {
            let (seen, errors) = self.meet(first, second);
            assert!(seen.met > 0 || !self.exact, "{name}: {first:?} was not met");
            tally.failures += usize::from(seen.met > 0);
            tally.seconds += usize::from(seen.met_second > 0);
            tally.calls += seen.met;
            tally.errors += errors;
        }
        println!("{name}: {tally}, at {} calls", seen.calls);
        println!("{}", tally::sum(name, tally));
        assert!(tally.failures > 0 && tally.seconds > 0, "{name}: {tally:?}");
    }

    /// Runs a life with these faults. If it made fewer calls than were counted, runs others with
    /// earlier faults.
    ///
    /// The counted life read a cold file by 25 calls, others a warm one by 9 to 13. So a small
    /// sample could end without any second fault, and the whole campaign failed.
    fn meet(&self, mut first: Fault, mut second: Option<Fault>) -> (Seen, usize) {
        for _ in 1..TRIES_MAX {
            let lived = self.live(first, second, None);
            let (seen, _errors) = lived;
            if self.exact || (seen.met > 0 && (second.is_none() || seen.met_second > 0)) {
                return lived;
            }
            if seen.met == 0 {
                first.after %= seen.calls;
            } else if let Some(second) = &mut second {
                first.after /= 2;
                second.after = 0;
            }
        }
        self.live(first, second, None)
    }

    /// Runs one life, and checks what it leaves; returns how many errors reached the caller.
    fn live(
        &self,
        first: Fault,
        second: Option<Fault>,
        planted: Option<&'static str>,
    ) -> (Seen, usize) {
        let mut life = Life {
            name: format!("{}, {first:?}, then {second:?}, {planted:?}", self.name),
            first,
            second,
            planted,
            dir: make_dir(),
            armed: true,
            seen: Seen::default(),
            errors: Vec::new(),
        };
        let teller = Teller(life.name.clone(), life.dir.clone());
        // Not that of the process: where other tests had written more than their share, this thread
        // dropped that, with more calls than were counted, and with faults in files of others.
        ACCOUNT.set(Some(Arc::new(Account::with_share(u64::MAX))));
        watch();
        arm_both(first, second);
        (self.live)(&mut life);
        life.disarm();
        let left = left_of(&life.dir);
        assert!(left.is_empty(), "{}: {}", life.name, left.join(", "));
        let is_whole = life.errors.is_empty() || !life.is_whole();
        assert!(is_whole, "{}: {:?}", life.name, life.errors);
        drop(teller);
        (life.seen, life.errors.len())
    }

    /// Checks that the life detects planted bugs.
    fn finds_what_is_planted(&self) {
        for (what, complaint) in &self.differences {
            let found = self.complaint_of(NONE, Some(what), None);
            let found = found.unwrap_or_default();
            assert!(
                found.contains(complaint),
                "{}: {what}: '{found}'",
                self.name
            );
        }
        for (leak, complaint) in [(Leak::File, "1 files"), (Leak::Space, "1 ranges")] {
            let found = self
                .complaint_of(NONE, None, Some(leak))
                .unwrap_or_default();
            assert!(
                found.contains(complaint),
                "{}: {leak:?}: '{found}'",
                self.name
            );
        }
        let lie = |after| Fault {
            after,
            sticky: false,
            outcome: Outcome::Lie,
        };
        let found = |after| self.complaint_of(lie(after), None, None).is_some();
        let lies = if self.lies { 200 } else { 0 };
        assert!(
            !self.lies || (0..lies).any(found),
            "{}: no overlooked failure was found",
            self.name
        );
    }

    /// Returns the failure message of a life with this planted.
    fn complaint_of(
        &self,
        first: Fault,
        planted: Option<&'static str>,
        leak: Option<Leak>,
    ) -> Option<String> {
        plant(leak);
        let lived = catch_unwind(AssertUnwindSafe(|| self.live(first, None, planted)));
        plant(None);
        disarm_both();
        lived.err().map(text_of)
    }
}

/// Makes a directory for one life, in memory if possible.
fn make_dir() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let memory = Path::new("/dev/shm");
    let disk = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let base = if memory.is_dir() { memory } else { &disk };
    if cfg!(any(miri, memory_backend)) {
        return base.to_owned();
    }
    let (process, number) = (process::id(), NEXT.fetch_add(1, Relaxed));
    // No name is a prefix of another one: the checks search for names in lists of the kernel.
    let dir = base.join(format!("outcore-campaign-{process}-{number}-"));
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn text_of(complaint: Box<dyn Any + Send>) -> String {
    match complaint.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

/// Removes the directory and the account of a life, and names the life if it panicked.
struct Teller(String, PathBuf);

impl Drop for Teller {
    fn drop(&mut self) {
        ACCOUNT.set(None);
        if thread::panicking() {
            println!("in the life {}", self.0);
        }
        if !cfg!(any(miri, memory_backend)) {
            let _removed = fs::remove_dir_all(&self.1);
        }
    }
}

/// Returns what is left of a life that is over.
fn left_of(dir: &Path) -> Vec<String> {
    let (files, spaces) = unwatch();
    let mut left = Vec::new();
    if files > 0 {
        left.push(format!("{files} files or directories are open"));
    }
    if spaces > 0 {
        left.push(format!("{spaces} ranges of addresses are reserved"));
    }
    if cfg!(any(miri, memory_backend)) {
        return left;
    }
    // The kernel's own lists: of mappings, of descriptors, and of names.
    let dir_text = dir.to_str().unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let maps = maps.lines().filter(|line| line.contains(dir_text));
    left.extend(maps.map(|line| format!("mapped: {line}")));
    let descriptors = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    let open = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    let open = open.filter(|path| path.to_string_lossy().contains(dir_text));
    left.extend(open.map(|path| format!("open: {}", path.display())));
    let names = fs::read_dir(dir).into_iter().flatten().flatten();
    left.extend(names.map(|entry| format!("named: {}", entry.path().display())));
    left
}

/// A life that checks nothing must fail.
#[test]
#[should_panic(expected = "no overlooked failure was found")]
fn a_life_that_compares_nothing_is_refused() {
    Campaign::new("blind", 5, |life| {
        let dir = life.scratch_dir();
        let error = |refused| dir.error(refused);
        let make = || crate::io::scratch::ScratchFile::create(&dir).map_err(error);
        let file = life.attempt("create", make);
        life.attempt("map", || {
            Ok(crate::sys::buffer::Buffer::several(1, 1, true)
                .map(drop)
                .ok())
        });
        life.attempt("extend", || file.grow(0, [8192]).map_err(error));
        for at in 0..8 {
            life.attempt("write", || file.write_all_at(b"bytes", at).map_err(error));
        }
    })
    .run();
}
