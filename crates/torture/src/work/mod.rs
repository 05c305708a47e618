//! Random operations on a container, each against its model in memory. A refused operation must
//! leave the container unchanged; the effect of an accepted one must be there at the end.

mod alloc;
mod arena;
mod external;
mod many;
mod queue;
mod ranged;
pub(crate) mod sealed;
mod spill;
pub(crate) mod spooled;
mod stress;
pub(crate) mod strings;
mod vec;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use outcore::{Error, ScratchDir};

use crate::job::{Job, counted, tell};
use crate::process::{change_file_size_limit, check_memory, open_descriptors, set_limit};
use crate::random::{Random, size};
use crate::room::free_bytes;

/// The containers.
pub(crate) const CONTAINERS: [&str; 5] = ["arena", "vec", "alloc", "ranged", "spill"];

/// The name of the file that a range file publishes, and the content of a file that had the name
/// before.
pub(crate) const PUBLISHED: &str = "published";
pub(crate) const THERE_BEFORE: &str = "was there before";

/// Work on one container, and its events.
pub(crate) struct Work {
    pub(crate) random: Random,
    pub(crate) dir: PathBuf,
    pub(crate) steps: usize,
    /// The approximate number of bytes that are stored.
    pub(crate) bytes: usize,
    /// Kinds of errors that calls that grow may return, and those that all other calls may return.
    grow: Vec<String>,
    io: Vec<String>,
    bug: String,
    neighbour: Option<Neighbour>,
    /// Whether the limit of file size changes with the steps.
    is_lowered: bool,
    /// The limit of file size, if that is the one that is set.
    pub(crate) file_size_max: Option<u64>,
    /// Whether the limit is that of open files.
    pub(crate) is_short_of_files: bool,
    pub(crate) operations: u64,
    pub(crate) refusals: u64,
}

impl Work {
    fn new(job: &Job) -> Self {
        let kinds = |name| job.text(name).split(',').map(str::to_owned).collect();
        let neighbour = job.has("neighbour");
        let mut work = Self {
            random: Random::new(job.number("seed")),
            dir: job.dir(),
            steps: size(job.number("steps")),
            bytes: size(job.number("bytes")).max(1 << 20),
            grow: kinds("grow"),
            io: kinds("io"),
            bug: job.text("bug").to_owned(),
            neighbour: None,
            is_lowered: job.text("limit") == "lowered",
            file_size_max: (job.text("limit") == "fsize").then(|| job.number("value")),
            is_short_of_files: job.text("limit") == "nofile",
            operations: 0,
            refusals: 0,
        };
        if neighbour {
            work.neighbour = Some(Neighbour::new(&work.dir, &mut work.random));
        }
        work
    }

    /// Returns whether a bug of this name is planted.
    pub(crate) fn has_bug(&self, name: &str) -> bool {
        self.bug == name
    }

    /// Opens the directory for scratch files.
    pub(crate) fn scratch(&mut self) -> Option<ScratchDir> {
        let opened = ScratchDir::builder(&self.dir).allow_ram(true).build();
        self.grown("open the directory", opened)
    }

    /// Counts a call that takes space, memory or descriptors; returns `None` if it was refused for
    /// an allowed reason.
    #[track_caller]
    pub(crate) fn grown<T>(&mut self, what: &str, answer: Result<T, Error>) -> Option<T> {
        let answer = answer.map_err(|refused| self.refused(what, &refused, true));
        self.operations += 1;
        answer.ok()
    }

    /// Counts a call that takes nothing.
    #[track_caller]
    pub(crate) fn done<T>(&mut self, what: &str, answer: Result<T, Error>) -> Option<T> {
        let answer = answer.map_err(|refused| self.refused(what, &refused, false));
        self.operations += 1;
        answer.ok()
    }

    /// Panics if the job does not allow this kind of error.
    #[track_caller]
    pub(crate) fn refused(&mut self, what: &str, refused: &Error, grows: bool) {
        let kind = format!("{:?}", refused.kind());
        let mut allowed = self.io.iter().chain(self.grow.iter().filter(|_| grows));
        assert!(
            allowed.any(|allowed| *allowed == kind),
            "{what}: {kind} is not allowed here: {refused}"
        );
        self.refusals += 1;
    }

    /// Counts the refusal of an allocation, which gives no reason.
    #[track_caller]
    pub(crate) fn allocated<T, E>(&mut self, what: &str, answer: Result<T, E>) -> Option<T> {
        self.operations += 1;
        let allowed = self.grow.iter().any(|kind| !kind.is_empty());
        assert!(
            answer.is_ok() || allowed,
            "{what}: refused without a reason"
        );
        self.refusals += u64::from(answer.is_err());
        answer.ok()
    }

    /// Returns whether no call may be refused.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.grow.iter().chain(&self.io).all(String::is_empty)
    }

    /// Returns whether calls may be refused for other reasons than disk space.
    pub(crate) fn can_fail_in_reserved_space(&self) -> bool {
        if self.is_lowered {
            return true;
        }
        let space = ["", "StorageFull", "FileTooLarge"];
        let mut all = self.grow.iter().chain(&self.io);
        all.any(|kind| !space.contains(&kind.as_str()))
    }

    /// Runs a step of the neighbour on the same disk, and changes the limit of file size.
    pub(crate) fn step(&mut self) {
        if self.is_lowered && self.random.once_in(4) {
            change_file_size_limit(&mut self.random);
        }
        if let Some(neighbour) = &self.neighbour {
            neighbour.step(&mut self.random);
        }
    }

    /// Removes the neighbour; returns whether there is certainly space.
    pub(crate) fn has_space_again(&mut self) -> bool {
        if self.neighbour.take().is_none() {
            return false;
        }
        free_bytes(&self.dir) >= 800 << 10
    }
}

/// Another file on the same disk, which takes and frees space.
struct Neighbour {
    file: File,
    path: PathBuf,
    disk: u64,
}

impl Neighbour {
    fn new(dir: &Path, random: &mut Random) -> Self {
        let path = dir.join("neighbour");
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).open(&path).unwrap();
        let disk = free_bytes(dir);
        let neighbour = Self { file, path, disk };
        neighbour.take(random.next() % disk);
        neighbour
    }

    fn step(&self, random: &mut Random) {
        let bytes = random.next() % (self.disk / 2);
        match random.below(20) {
            0 | 1 => self.take(bytes),
            2 | 3 => self.give(bytes),
            _ => {}
        }
    }

    /// Grows by `bytes`, or as far as the disk allows; the last page is often half full.
    fn take(&self, bytes: u64) {
        let mut at = self.file.metadata().unwrap().len();
        let end = at + bytes;
        let ones = vec![1; 64 << 10];
        while at < end {
            let rest = size(end - at).min(ones.len());
            match self.file.write_at(&ones[..rest], at) {
                Ok(taken) => at += taken as u64,
                Err(_full) => return,
            }
        }
    }

    fn give(&self, bytes: u64) {
        let len = self.file.metadata().unwrap().len();
        self.file.set_len(len.saturating_sub(bytes)).unwrap();
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        fs::remove_file(&self.path).unwrap();
    }
}

/// Runs the job in this process.
pub(crate) fn run(job: &Job) {
    let before = open_descriptors();
    let base = outcore::stats();
    let mut work = Work::new(job);
    // In some cases a file has the name already.
    if work.random.once_in(3) && job.text("container") == "ranged" {
        drop(fs::write(work.dir.join(PUBLISHED), THERE_BEFORE));
    }
    set_limit(job);
    mark();
    on_container(job, &mut work);
    mark();
    check_memory(job);
    drop(work.neighbour.take());
    counted("operations", work.operations);
    counted("refusals", work.refusals);
    let spills = job.text("container") == "spill";
    // If the system refuses to unmap or close something, it is not released.
    if !job.has("leaks-allowed") && !spills {
        let now = outcore::stats();
        let held = |stats: outcore::Stats| (stats.open_files, stats.disk_bytes, stats.mapped_bytes);
        assert_eq!(
            held(now),
            held(base),
            "still held after everything was dropped"
        );
        // Without a free descriptor, they cannot be counted.
        if job.text("limit") != "nofile" {
            assert_eq!(open_descriptors(), before, "descriptors");
        }
    }
    tell("done");
}

/// Runs the job in this thread, while other threads run theirs.
pub(crate) fn run_beside_others(job: &Job) {
    let mut work = Work::new(job);
    on_container(job, &mut work);
    counted("operations", work.operations);
}

fn on_container(job: &Job, work: &mut Work) {
    match job.text("container") {
        "arena" => arena::run(work),
        "vec" => vec::run(work),
        "queue" => queue::run(work),
        "many" => many::run(work),
        "alloc" => alloc::run(work),
        "ranged" => ranged::run(work),
        "spill" => spill::run(work),
        "stress" => stress::run(work),
        "external" => external::run(work),
        "strings" => strings::run(work),
        "spool" => spooled::run(work),
        other => panic!("{other}: no such container"),
    }
}

/// Makes a system call that no other code makes, so that a trace shows where the work starts and
/// ends.
pub(crate) fn mark() {
    let _mark = rustix::process::getpgid(None);
}
