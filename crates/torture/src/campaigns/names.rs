//! Prepared directories: links, pipes, odd names, writable by all users. And files: they contain
//! only what was written to them, and other users cannot read them.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::hint::black_box;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use allocator_api2::vec::Vec as AllocVec;
use outcore::{Arena, DiskAlloc, DiskVec, ErrorKind, RangeFile, ScratchDir};
use rustix::fs::{CWD, FileType, Mode, SeekFrom, mknodat, seek};

use crate::job::{Job, Tally, counted};
use crate::process::unnamed_files;
use crate::random::{Random, item, size};
use crate::room::names_in;
use crate::runner::{Campaign, Case, Verdict};
use crate::sys::{create_ranged_in_place, open_ranged};
use crate::work::{CONTAINERS, PUBLISHED};

pub(crate) const CAMPAIGN: Campaign = Campaign {
    name: "names",
    about: "links, pipes, odd names, umask 0, a world-writable directory; no stray bytes in files",
    short: 96,
    long: 960,
    alone: false,
    canaries: &[("follow", 24), ("stray", 8), ("readable", 8)],
    case,
};

/// What is planted at the path of a file that will be published.
const PLANTED: [&str; 8] = [
    "nothing",
    "file",
    "hard",
    "link-to-file",
    "link-to-nothing",
    "link-to-itself",
    "pipe",
    "dir",
];

fn case(case: &Case<'_>) -> Verdict {
    let number = size(case.seed);
    let verdict = match number % 4 {
        _ if matches!(case.bug, Some("stray" | "readable")) => bytes(case),
        0 => bytes(case),
        _ => planted(case, PLANTED[number / 4 % PLANTED.len()]),
    };
    verdict.into()
}

/// Returns a name that programs often handle wrongly.
fn odd_name(random: &mut Random) -> PathBuf {
    let long = [b'n'; 255];
    let names: [&[u8]; 8] = [
        PUBLISHED.as_bytes(),
        b"with space",
        b"new\nline",
        b"-rf",
        b"\xFF\xFE\x80",
        b"~",
        b"%s%n$HOME",
        &long,
    ];
    PathBuf::from(OsStr::from_bytes(random.pick(&names)))
}

/// Plants something at a path, for each way to make a range file.
fn planted(case: &Case<'_>, what: &str) -> Result<Tally, String> {
    let mut random = Random::new(case.seed);
    let room = case.room.fresh("names");
    let (dir, elsewhere) = (room.join("dir"), room.join("elsewhere"));
    fs::create_dir(&dir).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o1777)).unwrap();
    let victim = elsewhere.join("victim");
    fs::write(&victim, "the victim's").unwrap();
    let mut path = dir.join(odd_name(&mut random));
    plant(what, &path, &victim);
    // In some cases, through a link.
    if random.once_in(3) {
        let detour = room.join("detour");
        symlink(&dir, &detour).unwrap();
        path = detour
            .join("..")
            .join("dir")
            .join(path.file_name().unwrap());
    }
    let shown = path.display();
    let job = Job::new("names", case.seed, &dir)
        .path("file", &path)
        .with("planted", what)
        .bug(case.bug);
    let tally = job
        .run()
        .verdict()
        .map_err(|why| format!("{what} at {shown}: {why}"))?;
    let kept = fs::read(&victim).unwrap();
    if kept != b"the victim's" || names_in(&elsewhere) != ["victim"] {
        return Err(format!("{what} at {shown}: a file elsewhere was changed"));
    }
    if names_in(&dir).len() > 1 {
        return Err(format!(
            "{what} at {shown}: more names: {:?}",
            names_in(&dir)
        ));
    }
    Ok(tally)
}

fn plant(what: &str, path: &Path, victim: &Path) {
    match what {
        "file" => fs::write(path, "was there").unwrap(),
        "hard" => fs::hard_link(victim, path).unwrap(),
        "link-to-file" => symlink(victim, path).unwrap(),
        "link-to-nothing" => symlink(victim.with_file_name("nothing"), path).unwrap(),
        "link-to-itself" => symlink(path, path).unwrap(),
        "pipe" => mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap(),
        "dir" => fs::create_dir(path).unwrap(),
        _ => {}
    }
}

/// Publishes at a planted path, opens what is there, creates in its place.
pub(crate) fn child(job: &Job) {
    let (path, planted) = (job.path_of("file"), job.text("planted"));
    rustix::process::umask(Mode::empty());
    if job.text("bug") == "follow" {
        // A program that opens a path to write to it.
        if planted != "pipe" {
            drop(fs::write(&path, "published"));
        }
        return;
    }
    // Only regular files are opened, and a pipe does not block.
    let opens = !matches!(planted, "hard" | "link-to-file");
    if opens {
        let opened = open_ranged(&path);
        let is_file = planted == "file";
        assert_eq!(opened.is_ok(), is_file, "{planted}: {opened:?}");
    }
    let created = create_ranged_in_place(&path, 5000);
    assert_eq!(
        created.is_ok(),
        planted == "nothing",
        "{planted}: {created:?}"
    );
    if created.is_ok() {
        drop(created);
        assert!(fs::metadata(&path).unwrap().is_file());
        fs::remove_file(&path).unwrap();
    }
    let file = RangeFile::create(&path, 5000).unwrap();
    file.claim(0..5000).unwrap().fill(8);
    let file = match file.publish_new() {
        Ok(()) => {
            assert_eq!(planted, "nothing", "replaced what was there");
            None
        }
        Err(refused) => {
            assert_eq!(refused.error().kind(), ErrorKind::Io);
            assert_ne!(planted, "nothing", "{refused}");
            Some(refused.into_file())
        }
    };
    if let Some(file) = file {
        let published = file.publish().map_err(outcore::Error::from);
        assert_eq!(
            published.is_err(),
            planted == "dir",
            "{planted}: {published:?}"
        );
    }
    let facts = fs::symlink_metadata(&path).unwrap();
    assert!(!facts.file_type().is_fifo() && !facts.is_symlink());
    assert_eq!(facts.is_dir(), planted == "dir");
    if facts.is_file() {
        assert_eq!(fs::read(&path).unwrap(), [8; 5000]);
        assert_eq!(facts.nlink(), 1);
        assert_eq!(facts.mode() & 0o7777, 0o666, "as any new file with umask 0");
    }
    counted(&format!("at-{planted}"), 1);
}

/// Files in use: their permissions and their content.
fn bytes(case: &Case<'_>) -> Result<Tally, String> {
    let container = CONTAINERS[size(case.seed / 4) % CONTAINERS.len()];
    let dir = case.room.fresh("names");
    fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    let job = Job::new("names-bytes", case.seed, &dir)
        .with("container", container)
        .bug(case.bug);
    let tally = job
        .run()
        .verdict()
        .map_err(|why| format!("{container}: {why}"))?;
    drop(fs::remove_file(dir.join(PUBLISHED)));
    match names_in(&dir) {
        left if left.is_empty() => Ok(tally),
        left => Err(format!("{container}: left behind: {left:?}")),
    }
}

/// The pattern that fills the memory of the process before a container gets any of it.
const STRAY: [u8; 16] = *b"\xA5stray\xC3bytes\x96\x69\x5A\x3C";

/// Fills heap and stack with the pattern and frees them, so that uninitialized memory contains it.
#[inline(never)]
fn litter() {
    let pattern = |len: usize| STRAY.iter().copied().cycle().take(len).collect::<Vec<u8>>();
    let long: Vec<Vec<u8>> = (0..64).map(|_| pattern(100_000)).collect();
    let mixed: Vec<Vec<u8>> = (4..17)
        .flat_map(|bits| vec![pattern(1 << bits); 40])
        .collect();
    let window: Vec<Vec<u8>> = (0..4).map(|_| pattern(1 << 20)).collect();
    black_box((long, mixed, window));
    let mut stack = [0; 16 << 10];
    for (byte, stray) in stack.iter_mut().zip(STRAY.iter().cycle()) {
        *byte = *stray;
    }
    black_box(&mut stack);
}

/// Works on a container and inspects its files meanwhile.
pub(crate) fn bytes_child(job: &Job) {
    rustix::process::umask(Mode::empty());
    let dir = ScratchDir::new(job.dir()).unwrap();
    let mut random = Random::new(job.number("seed"));
    litter();
    match (job.text("bug"), job.text("container")) {
        ("stray", _) => stray(&dir),
        ("readable", _) => readable(job),
        (_, "arena") => arena_bytes(&dir, &mut random),
        (_, "vec") => vec_bytes(&dir, &mut random),
        (_, "alloc") => alloc_bytes(&dir, &mut random),
        (_, "ranged") => ranged_bytes(job, &mut random),
        _ => spilled_bytes(&mut random),
    }
    counted("looked-into", 1);
}

/// A program that writes uninitialized memory to a file.
fn stray(dir: &ScratchDir) {
    let mut numbers = DiskVec::new_in(dir);
    numbers.resize(200_000, 0_u8).unwrap();
    numbers.extend_from_slice(&STRAY).unwrap();
    numbers.resize(400_000, 0).unwrap();
    numbers.evict(..).unwrap();
    check_files();
}

/// A program that creates its scratch file like any other file.
fn readable(job: &Job) {
    let mut options = fs::OpenOptions::new();
    let path = job.dir().join("named");
    let named = options.read(true).write(true).create_new(true).open(&path);
    fs::remove_file(path).unwrap();
    check_files();
    drop(named);
}

fn arena_bytes(dir: &ScratchDir, random: &mut Random) {
    let arena = Arena::new_in(dir).unwrap();
    let mut writers: Vec<_> = (0..3).map(|_| arena.writer().unwrap()).collect();
    for id in 0..60 {
        let writer = &mut writers[random.below(3)];
        writer.push(item(id, random.len(300_000))).unwrap();
        if random.once_in(4) {
            writer.flush().unwrap();
        }
        litter();
    }
    check_files();
}

fn vec_bytes(dir: &ScratchDir, random: &mut Random) {
    let mut numbers = DiskVec::<u64>::new_in(dir);
    // So that the file exists.
    numbers.resize(100_000, 1).unwrap();
    for _ in 0..12 {
        numbers.reserve_exact(random.len(200_000)).unwrap();
        numbers.try_extend(0..random.len(200_000) as u64).unwrap();
        litter();
        numbers.truncate(random.below(numbers.len() + 1));
        numbers.evict(..).unwrap();
    }
    check_files();
}

fn alloc_bytes(dir: &ScratchDir, random: &mut Random) {
    let alloc = DiskAlloc::new_in(dir).unwrap();
    let mut blocks = Vec::new();
    for id in 0..200 {
        let mut block = AllocVec::<u8, _>::with_capacity_in(random.len(90_000), alloc.clone());
        block.extend_from_slice(&item(id, random.len(60_000)));
        blocks.push(block);
        if id % 20 == 0 {
            litter();
        }
    }
    check_files();
}

fn ranged_bytes(job: &Job, random: &mut Random) {
    let path = job.dir().join(PUBLISHED);
    let file = RangeFile::create(&path, RANGED_LEN).unwrap();
    while let Some(mut range) = file.allocate(random.len(90_000) as u64 + 1) {
        let bytes = item(1, random.below(range.len() + 1));
        range.write_all_at(&bytes, 0).unwrap();
        range.freeze();
        litter();
    }
    check_files();
    file.publish().unwrap();
    check_bytes(&fs::read(path).unwrap());
}

/// Memory that the program frees may contain its own bytes, so this requests zeros.
fn spilled_bytes(random: &mut Random) {
    let make = |random: &mut Random| vec![0; 70_000 + random.len(1 << 20)];
    let blocks: Vec<Vec<u8>> = (0..8).map(|_| make(random)).collect();
    assert!(crate::GLOBAL.spilled_bytes() > 0);
    for path in unnamed_files() {
        assert_private(&path);
    }
    assert!(blocks.iter().flatten().all(|byte| *byte == 0), "not zeroed");
}

/// The length of the inspected range file.
const RANGED_LEN: u64 = 1 << 20;

#[track_caller]
fn assert_private(path: &Path) {
    let mode = fs::metadata(path).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o600, "others may open the file");
}

/// Inspects all unnamed files of this process.
#[track_caller]
fn check_files() {
    let files = unnamed_files();
    assert!(!files.is_empty(), "no file to inspect");
    for path in files {
        // A range file gets the permissions of any new file when it is published.
        if !path_is_linkable(&path) {
            assert_private(&path);
        }
        let file = fs::OpenOptions::new().read(true).open(path).unwrap();
        // Most of an allocator's file is one hole.
        let mut at = 0;
        while let Ok(start) = seek(&file, SeekFrom::Data(at)) {
            at = seek(&file, SeekFrom::Hole(start)).unwrap();
            let mut bytes = vec![0; size(at - start)];
            file.read_exact_at(&mut bytes, start).unwrap();
            check_bytes(&bytes);
        }
    }
}

/// Returns whether the file is a range file, which has the permissions of any new file.
fn path_is_linkable(path: &Path) -> bool {
    let facts = fs::metadata(path).unwrap();
    facts.mode() & 0o7777 == 0o666 && facts.len() == RANGED_LEN
}

#[track_caller]
fn check_bytes(bytes: &[u8]) {
    let half = &STRAY[..8];
    let found = bytes.windows(half.len()).position(|window| window == half);
    assert_eq!(found, None, "bytes of the process's memory are in the file");
}
