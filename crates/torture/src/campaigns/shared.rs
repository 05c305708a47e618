//! Full file systems on which files can share blocks: copies of vectors and of files own their
//! space, so no store raises a signal, and the budget matches the space taken.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use outcore::{DiskVec, Error, ErrorKind, RangeFile, ScratchDir};

use crate::job::{Job, Tally, counted};
use crate::random::{Random, assert_item, item, size};
use crate::room::{Mounted, free_bytes, names_in};
use crate::runner::{Campaign, Case, Verdict};
use crate::sys::{naive_map, open_ranged};
use crate::work::{CONTAINERS, PUBLISHED};

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "shared",
    about: "copies that could share blocks, on an XFS that is full; ext4 and tmpfs beside it",
    short: 12,
    long: 600,
    alone: false,
    canaries: &[("shares", 4)],
    case,
};

const MIB: u64 = 1 << 20;

/// The smallest XFS has 300 MiB. The image takes as much space as is written to it.
const XFS_BYTES: u64 = 320 * MIB;

/// The disks and the work on them, in the order of the seeds.
const DISKS: [(&str, &str); 4] = [
    ("xfs", "copies"),
    ("xfs", "work"),
    ("ext4", "copies"),
    ("tmpfs", "copies"),
];

fn case(case: &Case<'_>) -> Verdict {
    let number = size(case.seed);
    let (kind, what) = DISKS[number % DISKS.len()];
    let disk = match kind {
        "xfs" => case.room.xfs(XFS_BYTES),
        "ext4" => case.room.ext4(64 * MIB),
        _ => case.room.tmpfs(64 * MIB),
    };
    let disk = match disk {
        Ok(disk) => disk,
        Err(why) => return Verdict::Skipped(why),
    };
    let container = CONTAINERS[number / DISKS.len() % CONTAINERS.len()];
    let verdict = match (case.bug, what) {
        (Some(_), _) => Job::new("bug-shared", case.seed, disk.path())
            .run()
            .verdict(),
        (None, "work") => work(case, container, &disk),
        (None, _) => Job::new("shared", case.seed, disk.path()).run().verdict(),
    };
    let counted = |mut tally: Tally| {
        tally.add(&format!("on-{kind}"), 1);
        tally
    };
    let verdict = verdict.map(counted);
    verdict
        .map_err(|why| format!("{what} on {kind}: {why}"))
        .into()
}

/// Works on a container where 16 MiB are left, with a neighbour.
fn work(case: &Case<'_>, container: &str, disk: &Mounted) -> Result<Tally, String> {
    let path = disk.path();
    let taken = fill(path, 16 * MIB);
    let ended = Job::new("work", case.seed, path)
        .with("container", container)
        .with("steps", 200)
        .with("bytes", 24 * MIB)
        .with("grow", "StorageFull")
        .with("neighbour", 1)
        .run();
    drop(taken);
    let tally = ended
        .verdict()
        .map_err(|why| format!("{container}: {why}"))?;
    drop(fs::remove_file(path.join(PUBLISHED)));
    match names_in(path) {
        left if left.is_empty() => Ok(tally),
        left => Err(format!("left behind: {left:?}")),
    }
}

/// Takes the space of a disk until about `left` bytes are free, for as long as the file is open.
fn fill(path: &Path, left: u64) -> File {
    let name = path.join("filler");
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).open(&name).unwrap();
    fs::remove_file(name).unwrap();
    let (mut end, mut piece) = (0, 256 * MIB);
    while piece >= 4096 {
        let flags = rustix::fs::FallocateFlags::empty();
        let fits = free_bytes(path).saturating_sub(left) >= piece || left == 0;
        if fits && rustix::fs::fallocate(&file, flags, end, piece).is_ok() {
            end += piece;
        } else {
            piece /= 2;
        }
    }
    file
}

/// A thing that is copied, and its expected content.
enum Thing {
    Vector(DiskVec<u64>, Vec<u64>),
    /// A closed file, with the number and the length of its content.
    Closed(PathBuf, u64, usize),
    Open(RangeFile, Vec<u8>),
}

struct Things {
    dir: ScratchDir,
    path: PathBuf,
    random: Random,
    all: Vec<Thing>,
    /// The file that fills a full disk.
    filler: Option<File>,
    names: u64,
    refusals: u64,
}

pub(crate) fn child(job: &Job) {
    let path = job.dir();
    let free = free_bytes(&path);
    let dir = ScratchDir::builder(&path).allow_ram(true).build().unwrap();
    let mut things = Things {
        dir,
        path,
        random: Random::new(job.number("seed")),
        all: Vec::new(),
        filler: None,
        names: 0,
        refusals: 0,
    };
    let (mut stores, mut stores_when_full, mut copies) = (0, 0, 0);
    for _step in 0..60 {
        match things.random.below(10) {
            0 => things.make_vector(),
            1 => things.make_file(),
            2..=4 => copies += u64::from(things.copy()),
            5 => {
                let full = things.filler.is_none().then(|| fill(&things.path, 0));
                things.filler = full;
            }
            _ => {
                let count = things.store();
                stores += count;
                stores_when_full += if things.filler.is_some() { count } else { 0 };
            }
        }
        // The budget counts the space that the disk gave. Named files are additional.
        if things.filler.is_none() {
            let (used, taken) = (
                things.dir.used_bytes(),
                free.saturating_sub(free_bytes(&things.path)),
            );
            assert!(
                used <= taken + MIB,
                "{used} bytes are counted, {taken} were taken"
            );
        }
    }
    counted("copies", copies);
    counted("stores", stores);
    counted("stores-when-full", stores_when_full);
    counted("refusals", things.refusals);
    things.filler = None;
    things.all.iter().for_each(Thing::check);
}

impl Things {
    /// Counts a refusal, which must have a reason.
    fn grown<T>(&mut self, answer: Result<T, Error>) -> Option<T> {
        if let Err(refused) = &answer {
            assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
            self.refusals += 1;
        }
        answer.ok()
    }

    fn name(&mut self) -> PathBuf {
        self.names += 1;
        self.path.join(self.names.to_string())
    }

    fn make_vector(&mut self) {
        let mut vec = DiskVec::new_in(&self.dir);
        let count = self.random.below_u64(1 << 19);
        let first = self.random.next() >> 1;
        let answer = vec.try_extend(first..first + count);
        if self.grown(answer).is_some() {
            self.all
                .push(Thing::Vector(vec, (first..first + count).collect()));
        }
    }

    fn make_file(&mut self) {
        let (path, id, len) = (self.name(), self.random.next(), self.random.below(4 << 20));
        if fs::write(&path, item(id, len)).is_ok() {
            self.all.push(Thing::Closed(path, id, len));
        } else {
            drop(fs::remove_file(path));
        }
    }

    /// Copies something, and opens a copied file. Returns whether it made a copy.
    fn copy(&mut self) -> bool {
        if self.all.is_empty() {
            return false;
        }
        let chosen = self.random.below(self.all.len());
        let copies = self.random.once_in(2);
        let answer = match &self.all[chosen] {
            Thing::Vector(vec, _) if copies => vec.try_copy(),
            Thing::Vector(vec, _) => vec.try_clone(),
            Thing::Closed(path, id, len) => {
                let (path, id, len) = (path.clone(), *id, *len);
                return self.copy_file(&path, id, len, copies, chosen);
            }
            Thing::Open(..) => return false,
        };
        let Some(copy) = self.grown(answer) else {
            return false;
        };
        let Thing::Vector(_, model) = &self.all[chosen] else {
            return false;
        };
        let model = model.clone();
        self.all.push(Thing::Vector(copy, model));
        true
    }

    fn copy_file(&mut self, path: &Path, id: u64, len: usize, opens: bool, chosen: usize) -> bool {
        if opens {
            let answer = open_ranged(path);
            if let Some(file) = self.grown(answer) {
                self.all[chosen] = Thing::Open(file, item(id, len));
            }
            return false;
        }
        let copy = self.name();
        // Shares the blocks of its source, if the file system can.
        let copied = fs::copy(path, &copy).is_ok();
        if copied {
            self.all.push(Thing::Closed(copy, id, len));
        } else {
            drop(fs::remove_file(copy));
        }
        copied
    }

    /// Stores to each page of something open, and writes it back. Returns the number of stores.
    fn store(&mut self) -> u64 {
        if self.all.is_empty() {
            return 0;
        }
        let chosen = self.random.below(self.all.len());
        let number = self.random.next();
        let count = match &mut self.all[chosen] {
            Thing::Vector(vec, model) => {
                let elements = vec.iter_mut().zip(model.iter_mut()).step_by(512);
                elements
                    .map(|(one, other)| (*one, *other) = (number, number))
                    .count()
            }
            Thing::Open(file, model) => {
                let mut all = file.claim(0..file.len()).unwrap();
                let bytes = all.iter_mut().zip(model.iter_mut()).step_by(4096);
                let byte = number.to_le_bytes()[0];
                bytes
                    .map(|(one, other)| (*one, *other) = (byte, byte))
                    .count()
            }
            Thing::Closed(..) => 0,
        };
        self.all[chosen].check();
        count as u64
    }
}

impl Thing {
    /// Writes everything back to the disk, and compares.
    fn check(&self) {
        match self {
            Self::Vector(vec, model) => {
                // A page without a block fails here, even if the store to it did not.
                vec.evict(..).unwrap();
                let differs = vec.iter().zip(model).position(|(one, other)| one != other);
                assert_eq!((vec.len(), differs), (model.len(), None), "a vector");
            }
            Self::Open(file, model) => {
                file.sync_all().unwrap();
                let all = file.claim(0..file.len()).unwrap();
                assert!(all[..] == model[..], "an open file");
            }
            Self::Closed(path, id, len) => {
                assert_item(&fs::read(path).unwrap(), *id, *len, "a closed file");
            }
        }
    }
}

/// A program that believes preallocated space to be its own: it copies, preallocates, maps and
/// stores.
pub(crate) fn bug(job: &Job) {
    const LEN: usize = 8 << 20;
    let [first, copy] = ["first", "copy"].map(|name| job.dir().join(name));
    fs::write(&first, item(1, LEN)).unwrap();
    fs::copy(&first, &copy).unwrap();
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(&copy).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, LEN as u64).unwrap();
    let bytes = naive_map(&file, LEN).unwrap();
    let _full = fill(&job.dir(), 0);
    for byte in bytes.iter_mut().step_by(4096) {
        *byte = 1;
    }
}
