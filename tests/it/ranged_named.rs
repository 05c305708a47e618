//! `RangeFile` and names: what is visible where and when, existing files, locks, permissions.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use outcore::range_file::ALIGNMENT;
use outcore::{ErrorKind, RangeFile};

use crate::support::{new_dir, skipped, test_name};

/// Opens a file of a test.
#[expect(unsafe_code, reason = "the file is the test's own")]
fn open(path: &Path) -> outcore::Result<RangeFile> {
    // SAFETY: only the test uses the file, and it neither shortens it nor stores to it.
    unsafe { RangeFile::open(path) }
}

#[expect(unsafe_code, reason = "the file is the test's own")]
fn create_in_place(path: &Path, len: u64) -> outcore::Result<RangeFile> {
    // SAFETY: as in `open`.
    unsafe { RangeFile::create_in_place(path, len) }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn nothing_is_seen_until_the_file_is_published() {
    let dir = new_dir();
    let path = dir.join("file");
    let file = RangeFile::create(&path, 10_000).unwrap();
    file.claim(0..5).unwrap().copy_from_slice(b"hello");
    assert_eq!(names(&dir), [""; 0]);
    drop(file);
    assert_eq!(names(&dir), [""; 0]);
    let file = RangeFile::create(&path, 10_000).unwrap();
    file.claim(9_999..10_000).unwrap().copy_from_slice(b"!");
    file.publish().unwrap();
    assert_eq!(names(&dir), ["file"]);
    let bytes = fs::read(&path).unwrap();
    assert_eq!((bytes.len(), bytes[9_999]), (10_000, b'!'));
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn another_file_is_replaced_in_one_step_and_its_readers_keep_it() {
    let dir = new_dir();
    let path = dir.join("file");
    fs::write(&path, "old").unwrap();
    let reader = fs::OpenOptions::new().read(true).open(&path).unwrap();
    let file = RangeFile::create(&path, 3).unwrap();
    file.claim(0..3).unwrap().copy_from_slice(b"new");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let before = fs::metadata(&path).unwrap().ino();
    file.publish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_ne!(fs::metadata(&path).unwrap().ino(), before);
    assert_eq!(std::io::read_to_string(reader).unwrap(), "old");
    assert_eq!(names(&dir), ["file"]);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_link_at_the_path_is_replaced_and_not_followed() {
    let dir = new_dir();
    let path = dir.join("link");
    fs::write(dir.join("target"), "untouched").unwrap();
    symlink("target", &path).unwrap();
    let file = RangeFile::create(&path, 3).unwrap();
    file.publish().unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(fs::read(dir.join("target")).unwrap(), b"untouched");
    symlink("nowhere", dir.join("dangling")).unwrap();
    RangeFile::create(dir.join("dangling"), 1)
        .unwrap()
        .publish()
        .unwrap();
    assert_eq!(names(&dir), ["dangling", "link", "target"]);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_directory_that_moved_gets_its_file() {
    let dir = new_dir();
    let (old, new) = (dir.join("old"), dir.join("new"));
    fs::create_dir(&old).unwrap();
    let file = RangeFile::create(old.join("file"), 10).unwrap();
    fs::rename(&old, &new).unwrap();
    file.publish().unwrap();
    assert_eq!(names(&new), ["file"]);
    let file = RangeFile::create(new.join("other"), 10).unwrap();
    fs::remove_dir_all(&new).unwrap();
    let refused = file.publish().unwrap_err();
    assert_eq!(refused.error().kind(), ErrorKind::Io);
    assert_eq!(refused.into_file().allocate(1).unwrap().len(), 10);
    fs::remove_dir_all(&dir).unwrap();
}

/// The file had its temporary name already, so its ranges could be written while other processes
/// could open it.
#[test]
fn a_refused_replacement_gives_out_nothing_more_and_can_be_tried_again() {
    let dir = new_dir();
    let path = dir.join("taken");
    fs::create_dir(&path).unwrap();
    let file = RangeFile::create(&path, 10_000).unwrap();
    file.claim(0..1).unwrap().fill(b'x');
    let refused = file.publish().unwrap_err();
    assert_eq!(refused.error().kind(), ErrorKind::Io);
    let file = refused.into_file();
    assert!(file.allocate(1).is_none());
    let claim = file.claim(5..6).unwrap_err();
    assert_eq!(claim.kind(), ErrorKind::RangesInUse);
    file.grow(1 << 20).unwrap_err();
    assert_eq!((file.len(), names(&dir).len()), (10_000, 2));
    fs::remove_dir(&path).unwrap();
    file.publish().unwrap();
    assert_eq!(names(&dir), ["taken"]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 10_000);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let file = RangeFile::create(&path, 10).unwrap();
    drop(file.publish().unwrap_err());
    assert_eq!(
        names(&dir),
        ["taken"],
        "the temporary name is removed with the file"
    );
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn paths_that_name_no_file_are_refused() {
    for path in ["", "/", "..", "no/such/directory/file"] {
        let refused = RangeFile::create(path, 10).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io, "{path}");
        assert_eq!(refused.path(), Some(Path::new(path)));
        assert_eq!(open(Path::new(path)).unwrap_err().kind(), ErrorKind::Io);
    }
    let dir = new_dir();
    for what in [&dir, Path::new("/dev/null"), &dir.join("missing")] {
        assert_eq!(open(what).unwrap_err().kind(), ErrorKind::Io, "{what:?}");
    }
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn published_files_are_not_mapped_and_not_open() {
    let path = new_dir().join("file");
    let file = RangeFile::create(&path, 1 << 20).unwrap();
    file.allocate(1 << 20).unwrap().fill(1);
    file.publish().unwrap();
    let inode = format!(" {} ", fs::metadata(&path).unwrap().ino());
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.lines().any(|line| line.contains(&inode)), "{maps}");
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[test]
fn a_file_in_place_is_seen_at_once_and_opened_again_where_it_stopped() {
    let dir = new_dir();
    let path = dir.join("file");
    let file = create_in_place(&path, 3 * ALIGNMENT).unwrap();
    let refused = create_in_place(&path, 10).unwrap_err();
    let kind = refused.io_error().map(std::io::Error::kind);
    assert_eq!(kind, Some(std::io::ErrorKind::AlreadyExists));
    assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::AlreadyOpen);
    let mut first = file.allocate(1).unwrap();
    first.fill(1);
    assert_eq!(fs::read(&path).unwrap()[4095..4097], [1, 0]);
    first.freeze().flush().unwrap();
    let written = file.written();
    drop(file);

    let file = open(&path).unwrap();
    assert_eq!((file.len(), file.remaining()), (3 * ALIGNMENT, 0));
    assert!(
        file.allocate(1).is_none(),
        "its bytes are not allocated again"
    );
    for gap in written.gaps(file.len()) {
        file.claim(gap).unwrap().fill(2);
    }
    let (again, _) = file.claim(0..8192).unwrap().split_at(5000);
    assert_eq!(again[4095..4097], [1, 2]);
    assert_eq!(
        file.remaining(),
        0,
        "claimed or not, they are not allocated"
    );
    drop(again);
    assert!(file.allocate(1).is_none());
    file.grow(5 * ALIGNMENT).unwrap();
    assert_eq!(file.remaining(), 2 * ALIGNMENT);
    assert_eq!(file.allocate(8192).unwrap().start(), 3 * ALIGNMENT);
    let all = file.claim(0..5 * ALIGNMENT).unwrap();
    assert_eq!(all.len(), 5 * 4096);
    drop(all);
    assert_eq!(file.remaining(), 2 * ALIGNMENT);
    file.publish().unwrap();
    drop(open(&path).unwrap());
    assert_eq!(fs::read(&path).unwrap().len(), 5 * 4096);
    fs::remove_dir_all(&dir).unwrap();
}

/// A store into a hole on a full disk is a `SIGBUS`.
#[test]
fn holes_of_an_existing_file_are_filled_and_its_bytes_stay() {
    let path = new_dir().join("sparse");
    fs::write(&path, "start").unwrap();
    let sparse = fs::OpenOptions::new().write(true).open(&path).unwrap();
    sparse.set_len(1 << 20).unwrap();
    assert!(fs::metadata(&path).unwrap().blocks() * 512 < 1 << 20);
    let file = open(&path).unwrap();
    assert!(fs::metadata(&path).unwrap().blocks() * 512 >= 1 << 20);
    assert_eq!(file.claim(0..6).unwrap()[..], *b"start\0");
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[test]
fn an_odd_length_and_an_empty_file_can_be_opened() {
    let path = new_dir().join("odd");
    fs::write(&path, vec![9; 4099]).unwrap();
    let file = open(&path).unwrap();
    assert_eq!(file.claim(4096..4099).unwrap()[..], [9; 3]);
    file.grow(3 * ALIGNMENT).unwrap();
    let range = file.allocate(1).unwrap();
    assert_eq!(range.start(), 2 * ALIGNMENT);
    assert_eq!(file.claim(4099..8192).unwrap()[..], [0; 4093]);
    drop((range, file));
    fs::write(&path, "").unwrap();
    let file = open(&path).unwrap();
    assert!(file.is_empty() && file.allocate(1).is_none());
    file.grow(10).unwrap();
    assert_eq!(file.allocate(10).unwrap().len(), 10);
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[test]
fn a_file_that_others_lock_is_open_already() {
    let path = new_dir().join("locked");
    fs::write(&path, "x").unwrap();
    let aliased = path.with_file_name("alias");
    fs::hard_link(&path, &aliased).unwrap();
    let file = open(&path).unwrap();
    assert_eq!(open(&aliased).unwrap_err().kind(), ErrorKind::AlreadyOpen);
    let range = file.claim(0..1).unwrap();
    drop(file);
    assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::AlreadyOpen);
    drop(range);
    drop(open(&aliased).unwrap());
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[test]
fn what_a_crash_left_while_a_file_was_replaced_is_removed_by_the_next() {
    let dir = new_dir();
    let path = dir.join("taken");
    fs::create_dir(&path).unwrap();
    let refused = RangeFile::create(&path, 10).unwrap().publish().unwrap_err();
    let mut left = names(&dir);
    left.retain(|name| name.starts_with(".outcore-publish-"));
    let [aside] = left.as_slice() else {
        panic!("{left:?}")
    };
    // As if the process had died here.
    let copy = dir.join("copy");
    fs::copy(dir.join(aside), &copy).unwrap();
    // Meanwhile, other processes that replace a file in the directory use other names.
    fs::write(dir.join("other"), "").unwrap();
    RangeFile::create(dir.join("other"), 5)
        .unwrap()
        .publish()
        .unwrap();
    drop(refused);
    fs::rename(&copy, dir.join(aside)).unwrap();
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "old").unwrap();
    RangeFile::create(&path, 7).unwrap().publish().unwrap();
    assert_eq!(names(&dir), ["other", "taken"]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 7);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_published_file_has_the_permissions_of_a_new_file() {
    let dir = new_dir();
    fs::write(dir.join("plain"), "").unwrap();
    RangeFile::create(dir.join("ours"), 1)
        .unwrap()
        .publish()
        .unwrap();
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().mode();
    if mode("plain") & 0o777 == 0o600 {
        skipped(test_name!(), "the mask of this process takes all but 0600");
    }
    assert_eq!(mode("ours"), mode("plain"));
    fs::remove_dir_all(&dir).unwrap();
}

/// The file had its temporary name from the first attempt. The second attempt, which must not
/// replace a file, moved this name over a file that had appeared at the path since.
#[test]
fn a_file_that_may_replace_nothing_does_so_after_a_refused_replacement_too() {
    let dir = new_dir();
    let path = dir.join("taken");
    fs::create_dir(&path).unwrap();
    let file = RangeFile::create(&path, 10).unwrap();
    let file = file.publish().unwrap_err().into_file();
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "theirs").unwrap();
    let refused = file.publish_new().unwrap_err();
    let kind = refused.error().io_error().map(std::io::Error::kind);
    assert_eq!(kind, Some(std::io::ErrorKind::AlreadyExists));
    assert_eq!(fs::read(&path).unwrap(), b"theirs");
    fs::remove_file(&path).unwrap();
    refused.into_file().publish_new().unwrap();
    assert_eq!(names(&dir), ["taken"], "the temporary name is gone");
    assert_eq!(fs::metadata(&path).unwrap().len(), 10);
    fs::remove_dir_all(&dir).unwrap();
}

/// A file that may no longer grow was grown and truncated again, and with it the bytes that another
/// opener, which held the lock, had added meanwhile: a store to that opener's range raised
/// `SIGBUS`.
#[test]
fn a_file_that_has_a_name_is_not_cut_off_under_its_next_opener() {
    let dir = new_dir();
    let path = dir.join("taken");
    fs::create_dir(&path).unwrap();
    let file = RangeFile::create(&path, ALIGNMENT).unwrap();
    let first = file.publish().unwrap_err().into_file();
    let mut seen = names(&dir);
    seen.retain(|name| name != "taken");
    let second = open(&dir.join(&seen[0])).unwrap();
    second.grow(4 * ALIGNMENT).unwrap();
    let mut range = second.claim(3 * ALIGNMENT..4 * ALIGNMENT).unwrap();
    first.grow(2 * ALIGNMENT).unwrap_err();
    let len = fs::metadata(dir.join(&seen[0])).unwrap().len();
    assert_eq!(len, 4 * ALIGNMENT);
    range.fill(1);
    drop((range, second, first));
    fs::remove_dir_all(&dir).unwrap();
}

/// In a directory where all users may create files but not remove those of others, a user who
/// created a file at the temporary name prevented all others from replacing their files.
#[test]
fn what_cannot_be_removed_at_the_second_name_keeps_nobody_from_replacing() {
    let dir = new_dir();
    let path = dir.join("file");
    fs::create_dir(&path).unwrap();
    let refused = RangeFile::create(&path, 1).unwrap().publish().unwrap_err();
    let mut usual = names(&dir);
    usual.retain(|name| name.starts_with(".outcore-publish-"));
    drop(refused);
    fs::remove_dir(&path).unwrap();
    // No user can unlink a directory.
    fs::create_dir(dir.join(&usual[0])).unwrap();
    fs::write(&path, "old").unwrap();
    RangeFile::create(&path, 5).unwrap().publish().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 5);
    assert_eq!(names(&dir), [usual[0].as_str(), "file"]);
    fs::remove_dir_all(&dir).unwrap();
}
