//! Owned ranges: their bytes, their ends, and what keeps the file alive.

use super::*;
use crate::containers::range_file::{ALIGNMENT, RangeFile};
use crate::io::place::Place;
use crate::sys::fault::{Fault, Outcome, arm, disarm};
use crate::testing::ENOSPC;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

/// Returns a path that no other test uses.
fn path(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    if !cfg!(miri) {
        std::fs::create_dir_all(&dir).unwrap();
    }
    dir.join(format!("part-{}-{name}", std::process::id()))
}

/// A new file. Its name is removed when it is closed, if no range of it is alive then.
struct TestFile {
    file: RangeFile,
    _name: Name,
}

struct Name(PathBuf);

impl Drop for Name {
    fn drop(&mut self) {
        let place = Place::new("remove", &self.0);
        let _removed = place.and_then(|place| place.remove(None));
    }
}

impl Deref for TestFile {
    type Target = RangeFile;

    fn deref(&self) -> &RangeFile {
        &self.file
    }
}

impl DerefMut for TestFile {
    fn deref_mut(&mut self) -> &mut RangeFile {
        &mut self.file
    }
}

/// Makes a file in the one way that each system has.
fn file(name: &str, blocks: u64) -> TestFile {
    let path = path(name);
    // SAFETY: only this test knows the file.
    let file = unsafe { RangeFile::create_in_place(&path, blocks * ALIGNMENT) }.unwrap();
    TestFile {
        file,
        _name: Name(path),
    }
}

/// No call on an empty range uses its pointer.
#[test]
fn a_part_of_no_bytes_is_of_no_file() {
    let file = file("empty", 1);
    let of = || [OwnedRange::empty(7), file.handle.claim(7..7).unwrap()];
    for mut part in of() {
        assert_eq!((part.start(), part.end()), (7, 7));
        assert_eq!((part.bytes().len(), part.bytes_mut().len()), (0, 0));
        part.write_all_at(&[], 7).unwrap();
        for offset in [0, 6, 7, 8, u64::MAX] {
            let refused = part.write_all_at(&[1], offset).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::OutOfBounds);
        }
        let (low, high) = part.split_at(7);
        assert_eq!((low.start(), low.end()), (7, 7));
        assert_eq!((high.start(), high.end()), (7, 7));
        let kept = high.freeze();
        assert_eq!((kept.start(), kept.bytes().len()), (7, 0));
        kept.sync(&(7..7)).unwrap();
    }
    assert!(file.handle.file_state().allocator.is_all_back());
    assert_eq!(file.remaining(), ALIGNMENT);
}

#[test]
fn a_part_is_written_within_its_ends_only() {
    let file = file("ends", 3);
    let claim = |start, end| file.handle.claim(start..end).unwrap();
    let [before, mut part, after] = [claim(0, 100), claim(100, 200), claim(200, 300)];
    assert_eq!((part.start(), part.end()), (100, 200));
    part.write_all_at(&[1; 100], 100).unwrap();
    part.write_all_at(&[2], 199).unwrap();
    part.write_all_at(&[3], 100).unwrap();
    part.write_all_at(&[], 200).unwrap();
    for (len, offset) in [(1, 99), (1, 200), (101, 100), (2, 199), (1, 0), (0, 99)] {
        let refused = part.write_all_at(&vec![9; len], offset).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OutOfBounds, "{len} at {offset}");
    }
    let mut expected = [1; 100];
    (expected[0], expected[99]) = (3, 2);
    assert_eq!(part.bytes(), expected);
    part.bytes_mut()[1] = 4;
    assert_eq!(part.bytes()[..3], [3, 4, 1]);
    assert_eq!(
        (before.bytes(), after.bytes()),
        (&[0; 100][..], &[0; 100][..])
    );
}

#[test]
fn the_halves_of_a_part_are_given_back_each_alone() {
    let file = file("halves", 2);
    for middle in [0, 1, ALIGNMENT, 2 * ALIGNMENT - 1, 2 * ALIGNMENT] {
        let part = file.handle.allocate(2 * ALIGNMENT).unwrap();
        let (low, high) = part.split_at(middle);
        assert_eq!((low.start(), low.end()), (0, middle));
        assert_eq!((high.start(), high.end()), (middle, 2 * ALIGNMENT));
        assert_eq!(low.bytes().len() as u64, middle);
        assert_eq!(high.bytes().len() as u64, 2 * ALIGNMENT - middle);
        assert_eq!(file.remaining(), 0);
        drop(low);
        assert_eq!(file.remaining(), middle);
        drop(high);
        assert_eq!(file.remaining(), 2 * ALIGNMENT);
        assert!(file.handle.file_state().allocator.is_all_back());
    }
}

#[test]
fn what_is_kept_is_read_and_never_given_out_again() {
    let mut file = file("kept", 2);
    let mut part = file.handle.claim(10..20).unwrap();
    part.bytes_mut().copy_from_slice(b"0123456789");
    let kept = part.freeze();
    assert_eq!((kept.start(), kept.bytes()), (10, &b"0123456789"[..]));
    assert_eq!(
        file.handle.exclusive().unwrap_err(),
        "ranges of it are alive"
    );
    drop(kept);
    assert_eq!(file.remaining(), 2 * ALIGNMENT - 10);
    assert!(file.handle.claim(19..21).is_err());
    assert!(file.written().contains(&(10..20)));
    let other = file.clone();
    let refused = file.handle.exclusive().unwrap_err();
    assert_eq!(refused, "another handle to it is alive");
    drop(other);
    assert!(file.handle.exclusive().is_ok());
}

/// A device that refuses is reported, except by a range that has nothing to sync.
#[test]
fn a_sync_asks_the_device_unless_it_is_of_no_bytes() {
    let file = file("sync", 1);
    let kept = file.handle.claim(0..100).unwrap().freeze();
    arm(Fault {
        after: 0,
        sticky: true,
        outcome: Outcome::Errno(ENOSPC),
    });
    let of_nothing = kept.sync(&(50..50));
    let of_a_byte = kept.sync(&(50..51));
    let (_calls, met) = disarm();
    of_nothing.unwrap();
    assert_eq!((of_a_byte.is_err(), met), (true, 1));
}

/// The last user, be it a handle, a range or a clone of a frozen range, closes the file: then it
/// can be opened again.
#[test]
fn a_file_is_closed_by_the_last_who_has_it() {
    let path = path("closed");
    // SAFETY: only this test knows the file.
    let made = unsafe { RangeFile::create_in_place(&path, ALIGNMENT) };
    made.unwrap().publish().unwrap();
    // SAFETY: only this test knows the file.
    let open = || unsafe { RangeFile::open(&path) };
    for last in ["handle", "part", "kept"] {
        let file = open().unwrap();
        let (part, kept) = match last {
            "handle" => (None, None),
            "part" => (Some(file.handle.claim(0..9).unwrap()), None),
            _ => (None, Some(file.handle.claim(0..9).unwrap().freeze())),
        };
        let copy = file.clone();
        drop(file);
        assert_eq!(open().unwrap_err().kind(), ErrorKind::AlreadyOpen, "{last}");
        drop(copy);
        let is_open = open().is_err();
        assert_eq!(is_open, last != "handle", "{last}");
        drop((part, kept));
    }
    drop(open().unwrap());
    let place = Place::new("remove", &path).unwrap();
    place.remove(None).unwrap();
}
