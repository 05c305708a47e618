//! What is in the page cache after a file was read in several ways, and what becomes of refusals.
#![cfg_attr(
    memory_backend,
    expect(
        dead_code,
        unused_imports,
        reason = "there is no page cache to look at"
    )
)]

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::ErrorKind;
use crate::io::cache::CachePolicy;
use crate::io::cache::account::{Account, tests::ACCOUNT};
use crate::io::cache::trail::CHUNK_BYTES;
use crate::io::input_file::{ASCENT_BYTES, BEHIND_BYTES, InputFile};
use crate::sys::Hint;
use crate::sys::fault::{Fault, Outcome, arm, disarm};
use crate::sys::plan::answer;

/// Chunks of a file; the last one is not whole.
const CHUNKS: u64 = 40;
const LEN: u64 = CHUNKS * CHUNK_BYTES - 5000;

/// No such file.
const ENOENT: i32 = 2;

/// How much one read takes: neither a part of a page nor of a chunk.
const PIECE: u64 = 50_000;

fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap()
}

fn bytes(from: u64, len: u64) -> Vec<u8> {
    let number = |at: u64| (at / 7 + at / 4096).to_le_bytes()[0];
    (from..from + len).map(number).collect()
}

/// Opens a file as another program does.
fn std_file(path: &Path) -> fs::File {
    OpenOptions::new().read(true).open(path).unwrap()
}

/// A file of which nothing is in the page cache, and the account of who reads it.
struct World {
    path: PathBuf,
    account: Arc<Account>,
}

impl World {
    fn new(name: &str, share_bytes: u64) -> Self {
        let account = Arc::new(Account::with_share(share_bytes));
        ACCOUNT.set(Some(Arc::clone(&account)));
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(format!("outcore-input-{}-{name}", std::process::id()));
        fs::write(&path, bytes(0, LEN)).unwrap();
        let written = OpenOptions::new().write(true).open(&path).unwrap();
        written.sync_all().unwrap();
        let world = Self { path, account };
        world.make_cold();
        world
    }

    /// Takes all pages of the file out of the cache. The kernel leaves one that it is using just then, so
    /// it is asked more than once.
    fn make_cold(&self) {
        let is_cold = (0..1000).any(|_| {
            self.open().file.advise(0, LEN, Hint::DontNeed).unwrap();
            cfg!(any(windows, memory_backend)) || self.cached().iter().sum::<u64>() == 0
        });
        assert!(is_cold, "{:?}", self.cached());
    }

    /// Opens the file. Nothing is read ahead, in pieces that are longer than the chunks of tests.
    fn open(&self) -> InputFile {
        let file = InputFile::open(&self.path).unwrap();
        file.file.advise(0, LEN, Hint::Random).unwrap();
        file
    }

    /// Returns how much of each chunk is in the cache.
    fn cached(&self) -> Vec<u64> {
        let file = InputFile::open(&self.path).unwrap();
        let asked = (0..CHUNKS).map(|chunk| {
            let at = chunk * CHUNK_BYTES;
            file.file.sys().cached_bytes(at, CHUNK_BYTES).unwrap()
        });
        asked.collect()
    }

    fn cached_chunks(&self) -> Vec<u64> {
        let cached = (0..).zip(self.cached());
        let cached = cached.filter(|(_, bytes)| *bytes > 0);
        cached.map(|(chunk, _)| chunk).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        ACCOUNT.set(None);
        fs::remove_file(&self.path).unwrap();
    }
}

/// Reads a part of a file and compares it.
fn read_part(file: &InputFile, from: u64, to: u64) {
    let mut buffer = vec![0; to_usize(PIECE)];
    let mut at = from;
    while at < to {
        let len = PIECE.min(to - at);
        let part = &mut buffer[..to_usize(len)];
        file.read_exact_at(part, at).unwrap();
        assert!(*part == bytes(at, len), "other bytes at {at}");
        at += len;
    }
}

#[test]
#[cfg(all(unix, not(memory_backend)))]
fn what_was_read_leaves_the_cache_unless_it_was_there_before() {
    let world = World::new("leaves", 0);
    let other = world.open();
    read_part(&other, 7 * CHUNK_BYTES, 8 * CHUNK_BYTES);
    drop(other);
    // Another program has it.
    let another = std_file(&world.path);
    let mut byte = vec![0; to_usize(CHUNK_BYTES)];
    std::os::unix::fs::FileExt::read_exact_at(&another, &mut byte, 9 * CHUNK_BYTES).unwrap();
    let before = world.cached_chunks();
    assert!(before.contains(&9) && !before.contains(&7), "{before:?}");
    let file = world.open();
    read_part(&file, 0, LEN);
    // Behind the reader little is left before the end, too.
    let left = world.cached_chunks();
    let near = CHUNKS - 2 - BEHIND_BYTES / CHUNK_BYTES;
    let mut far = left.iter().filter(|chunk| **chunk < near);
    assert!(far.all(|chunk| before.contains(chunk)), "{left:?}");
    drop(file);
    assert_eq!(world.cached_chunks(), before);
}

#[test]
#[cfg(not(memory_backend))]
fn what_has_a_place_in_the_share_stays_and_counts_when_the_file_is_closed() {
    let world = World::new("share", 2 * CHUNK_BYTES);
    for round in 0..3 {
        let file = world.open();
        read_part(&file, 0, LEN);
        drop(file);
        // Four shares. In later rounds they are there before, and nothing more has room.
        let expected: Vec<_> = (0..8).collect();
        assert_eq!(world.cached_chunks(), expected, "round {round}");
        assert_eq!(world.account.cached_bytes(), 0, "nothing was written");
    }
}

#[test]
#[cfg(not(memory_backend))]
fn policies_say_what_stays() {
    let world = World::new("policies", LEN);
    for (policy, left) in [(CachePolicy::Keep, CHUNKS), (CachePolicy::Drop, 0)] {
        world.make_cold();
        let file = world.open();
        file.set_cache_policy(policy);
        read_part(&file, 0, LEN);
        drop(file);
        assert_eq!(world.cached_chunks().len() as u64, left, "{policy:?}");
    }
}

/// What a thread reads long after the others have passed stays in the cache. The test left to the system
/// how far they came apart, and failed on a busy machine.
#[test]
#[cfg(not(memory_backend))]
fn threads_that_share_a_file_leave_nothing_together() {
    const THREADS: usize = 4;
    assert!(THREADS as u64 * PIECE < BEHIND_BYTES);
    let world = World::new("threads", 0);
    let file = world.open();
    let starts: Vec<u64> = (0..LEN).step_by(to_usize(PIECE)).collect();
    for together in starts.chunks(THREADS) {
        std::thread::scope(|scope| {
            for from in together {
                let account = Arc::clone(&world.account);
                let file = &file;
                scope.spawn(move || {
                    ACCOUNT.set(Some(account));
                    // Each looks at the byte before, as a reader of lines does.
                    read_part(file, from.saturating_sub(1), LEN.min(from + PIECE));
                });
            }
        });
    }
    drop(file);
    let left = world.cached_chunks();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
#[cfg(not(memory_backend))]
fn reads_elsewhere_are_left_to_the_kernel_until_there_are_many_in_a_row() {
    let world = World::new("elsewhere", 0);
    let file = world.open();
    read_part(&file, 0, CHUNK_BYTES);
    // Down from the end: no ascent.
    let (first, last) = (CHUNKS - 8, CHUNKS - 1);
    for chunk in (first..last).rev() {
        let at = chunk * CHUNK_BYTES;
        read_part(&file, at, at + CHUNK_BYTES);
    }
    let left = world.cached_chunks();
    assert!((first..last).all(|chunk| left.contains(&chunk)), "{left:?}");
    drop(file);
    world.make_cold();
    let file = world.open();
    read_part(&file, 30 * CHUNK_BYTES, 31 * CHUNK_BYTES);
    // A second pass from the begin is one after some chunks.
    read_part(&file, 0, 20 * CHUNK_BYTES);
    drop(file);
    let left = world.cached_chunks();
    let unnoticed = ASCENT_BYTES / CHUNK_BYTES;
    assert!(left.iter().all(|chunk| *chunk <= unnoticed), "{left:?}");
}

#[test]
fn a_reader_gets_all_bytes_and_nothing_behind_the_end() {
    let world = World::new("reader", 0);
    let mut found = Vec::new();
    world.open().read_to_end(&mut found).unwrap();
    assert!(found == bytes(0, LEN));
    let file = world.open();
    let mut buffer = [0; 100];
    assert_eq!(file.read_at(&mut buffer, LEN - 30).unwrap(), 30);
    assert_eq!(file.read_at(&mut buffer, LEN).unwrap(), 0);
    assert_eq!(file.read_at(&mut [], 0).unwrap(), 0);
    let error = file.read_exact_at(&mut buffer, LEN - 30).unwrap_err();
    let answer = error.io_error().unwrap();
    assert_eq!(answer.kind(), std::io::ErrorKind::UnexpectedEof);
    assert_eq!(error.path(), Some(&*world.path));
    let given = InputFile::from(std_file(&world.path));
    let error = given.read_exact_at(&mut buffer, LEN).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("cannot read a file: "), "{message}");
}

#[test]
#[cfg(not(memory_backend))]
fn offsets_that_no_file_has_are_errors() {
    let world = World::new("offsets", 0);
    let file = world.open();
    for offset in [u64::MAX, u64::MAX - 99, 1 << 63] {
        let error = file.read_exact_at(&mut [0; 100], offset).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
    }
    read_part(&file, 0, LEN);
}

#[test]
fn what_is_no_regular_file_is_refused_by_its_path() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, reason) in [
        (dir.to_owned(), "it is no regular file".to_owned()),
        (dir.join("is-not-there"), answer(ENOENT).to_string()),
    ] {
        let error = InputFile::open(&path).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::Io, Some(&*path)));
        let text = error.to_string();
        assert!(
            text.starts_with("cannot open ") && text.contains(&reason),
            "{text}"
        );
    }
}

/// A file that shrinks or grows while it is read.
#[test]
#[cfg(not(memory_backend))]
fn files_that_others_change_are_read_as_they_are() {
    let world = World::new("changes", 0);
    let file = world.open();
    read_part(&file, 0, 10 * CHUNK_BYTES);
    let other = OpenOptions::new().write(true).open(&world.path).unwrap();
    other.set_len(12 * CHUNK_BYTES).unwrap();
    read_part(&file, 10 * CHUNK_BYTES, 12 * CHUNK_BYTES);
    assert_eq!(file.read_at(&mut [0; 10], 12 * CHUNK_BYTES).unwrap(), 0);
    other.set_len(2 * LEN).unwrap();
    let mut buffer = vec![1; to_usize(CHUNK_BYTES)];
    for chunk in 12..2 * CHUNKS - 1 {
        file.read_exact_at(&mut buffer, chunk * CHUNK_BYTES)
            .unwrap();
        assert!(buffer.iter().all(|byte| *byte == 0));
    }
}

/// Whatever call fails, and for how long: the bytes are right, or the read is an error.
#[test]
fn what_is_read_is_right_whatever_call_fails() {
    let world = World::new("faults", CHUNK_BYTES);
    let errnos = [1, 4, 5, 22, 38, 95].map(Outcome::Errno);
    let mut errors = 0;
    for outcome in errnos.into_iter().chain([Outcome::Short, Outcome::Zero]) {
        for sticky in [false, true] {
            // A call that a signal always interrupts is made for ever.
            if sticky && outcome == Outcome::Errno(4) {
                continue;
            }
            for after in (0..200).step_by(13) {
                let file = InputFile::open(&world.path).unwrap();
                arm(Fault {
                    after,
                    sticky,
                    outcome,
                });
                let mut at = 0;
                let mut buffer = vec![0; to_usize(CHUNK_BYTES) / 2];
                while at < LEN {
                    let len = LEN.min(at + buffer.len() as u64) - at;
                    let part = &mut buffer[..to_usize(len)];
                    match file.read_exact_at(part, at) {
                        Ok(()) => assert!(*part == bytes(at, len)),
                        Err(_refused) => {
                            errors += 1;
                            break;
                        }
                    }
                    at += len;
                }
                drop(file);
                disarm();
            }
        }
    }
    assert!(errors > 20, "only {errors} reads failed");
}
