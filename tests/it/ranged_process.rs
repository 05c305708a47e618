//! Range files in special processes: killed at any moment, forked, under limits, on full disks.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use outcore::range_file::ALIGNMENT;
use outcore::{ErrorKind, RangeFile};

use crate::support::libc::{Resource, in_forked_child, set_limit};
use crate::support::process::{child, tell};
use crate::support::random::{Random, seeds};
use crate::support::tmpfs::{free_bytes, on_ext4, on_tmpfs};
use crate::support::{new_dir, ranged_path, test_name};

const MIB: u64 = 1 << 20;
const SIGSEGV: i32 = 11;
const SIGKILL: i32 = 9;

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

/// The directory of the process that will be killed.
const DIR: &str = "OUTCORE_TEST_DIR";
/// The length of each file; odd, and more than one page.
const KILLED_LEN: usize = 50_001;

/// Makes files until it is killed: some with new names, some in place of others.
fn publish_for_ever(dir: &Path) {
    for round in 1_u8.. {
        for name in [format!("new-{round}"), "same".to_owned()] {
            tell("create");
            let file = RangeFile::create(dir.join(name), KILLED_LEN as u64).unwrap();
            while let Some(mut range) = file.allocate(3 * ALIGNMENT) {
                tell("fill");
                if range.start() % (2 * ALIGNMENT) == 0 {
                    range.fill(round);
                } else {
                    let bytes = vec![round; range.len()];
                    range.write_all_at(&bytes, 0).unwrap();
                }
                range.freeze();
            }
            file.claim(file.len() - 2705..file.len()).map_or_else(
                |refused| assert_eq!(refused.kind(), ErrorKind::RangesInUse),
                |mut rest| rest.fill(round),
            );
            for gap in file.written().gaps(file.len()) {
                file.claim(gap).unwrap().fill(round);
            }
            tell("publish");
            file.publish().unwrap();
            tell("published");
        }
    }
}

/// Every visible file is complete. Returns their number, and whether a temporary name is left.
fn assert_whole(dir: &Path) -> (usize, bool) {
    let (mut whole, mut left) = (0, false);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), KILLED_LEN, "{name}");
        let same = bytes.iter().all(|byte| *byte == bytes[0]);
        assert!(same && bytes[0] > 0, "{name}: a partial file");
        left |= name.starts_with(".outcore-publish-");
        let known = name.starts_with("new-") || name == "same" || left;
        assert!(known, "{name}: an unexpected name");
        whole += 1;
    }
    (whole, left)
}

/// `$OUTCORE_KILLS` asks for more runs.
#[test]
fn a_process_killed_at_any_moment_leaves_no_half_file() {
    let name = test_name!();
    if child(name).is_none() {
        let dir = env::var_os(DIR).unwrap();
        return publish_for_ever(Path::new(&dir));
    }
    let kills = env::var("OUTCORE_KILLS").map_or(200, |kills| kills.parse().unwrap());
    let mut random = Random::new(seeds(1)[0]);
    let dir = new_dir();
    let (mut files, mut seconds) = (0, 0);
    for _ in 0..kills {
        let mut victim = child(name).unwrap().env(DIR, &dir).spawn();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let seen = 1 + random.below(40);
        for _ in 0..seen {
            // If the pipe were closed before the kill, the child would die of that.
            assert!(lines.next().is_some_and(|line| line.is_ok()));
        }
        // A random moment between two of its lines.
        for _ in 0..random.below(200_000) {
            std::hint::spin_loop();
        }
        victim.kill().unwrap();
        let ended = victim.wait().unwrap();
        drop(lines);
        assert_eq!(ended.signal(), Some(SIGKILL), "{ended}");
        let (whole, left) = assert_whole(&dir);
        files += whole;
        seconds += usize::from(left);
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            // Files that replace others stay for the next run, also under a temporary name.
            if name.starts_with("new-") {
                fs::remove_file(path).unwrap();
            }
        }
    }
    assert!(files > 0, "no run completed a file");
    if dir.join("same").exists() {
        let file = RangeFile::create(dir.join("same"), KILLED_LEN as u64).unwrap();
        file.claim(0..file.len()).unwrap().fill(1);
        file.publish().unwrap();
    }
    let (_whole, left) = assert_whole(&dir);
    assert!(!left, "{seconds} temporary names were seen, and one stayed");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn half_a_file_would_be_noticed() {
    let dir = new_dir();
    let mut bytes = vec![1; KILLED_LEN];
    bytes[KILLED_LEN - 1] = 0;
    fs::write(dir.join("same"), bytes).unwrap();
    assert!(std::panic::catch_unwind(|| assert_whole(&dir)).is_err());
    fs::remove_dir_all(&dir).unwrap();
}

/// If a child inherits a shared mapping, it can write into its parent's file (linux-facts K1).
#[test]
fn a_forked_child_can_change_nothing_of_its_parents_file() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let path = new_dir().join("file");
    let file = create_in_place(&path, 8 * ALIGNMENT).unwrap();
    let mut range = file.allocate(ALIGNMENT).unwrap();
    range.fill(1);
    let frozen = file.allocate(ALIGNMENT).unwrap().freeze();
    let touched = in_forked_child(|| range.fill(2));
    assert!(
        touched.success() || touched.signal() == Some(SIGSEGV),
        "{touched}"
    );
    let refused = in_forked_child(|| {
        let kind = |answer: outcore::Result<()>| answer.unwrap_err().kind();
        assert_eq!(kind(range.write_all_at(&[3; 10], 0)), ErrorKind::Forked);
        assert_eq!(kind(frozen.flush()), ErrorKind::Forked);
        assert_eq!(kind(file.sync_all()), ErrorKind::Forked);
        assert_eq!(kind(file.grow(100 * ALIGNMENT)), ErrorKind::Forked);
    });
    assert!(refused.success(), "{refused}");
    // The child drops everything, as if it were the last owner.
    let mut all = Some((file, range, frozen));
    let dropped = in_forked_child(|| {
        let (file, range, frozen) = all.take().unwrap();
        drop((range, frozen));
        let refused = file.publish().unwrap_err();
        assert_eq!(refused.error().kind(), ErrorKind::Forked);
        drop(refused);
    });
    assert!(dropped.success(), "{dropped}");
    let (file, range, frozen) = all.take().unwrap();
    assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::AlreadyOpen);
    assert!(range.iter().all(|byte| *byte == 1));
    assert_eq!((file.len(), frozen.start()), (8 * ALIGNMENT, ALIGNMENT));
    drop((range, frozen));
    file.publish().unwrap();
    assert_eq!(
        fs::read(&path).unwrap()[..4097],
        *[vec![1; 4096], vec![0]].concat()
    );
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

/// Dropping a range took the lock of the bookkeeping. If another thread held the lock while the
/// process forked, it stayed locked in the child, and the drop there waited for ever.
#[test]
fn a_forked_child_drops_ranges_while_other_threads_of_its_parent_do() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let path = new_dir().join("file");
    let file = RangeFile::create(&path, 64 * ALIGNMENT).unwrap();
    let mut kept: Vec<_> = (0..32).map(|_| file.allocate(ALIGNMENT)).collect();
    let is_done = AtomicBool::new(false);
    let ended: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Relaxed) {
                drop(file.allocate(ALIGNMENT));
            }
        });
        let children = (0..300).map(|number| {
            let range = &mut kept[number % 32];
            in_forked_child(|| drop(range.take()))
        });
        let ended = children.take_while(ExitStatus::success).collect();
        is_done.store(true, Relaxed);
        ended
    });
    assert_eq!(ended.len(), 300, "a child waited");
    assert_eq!(file.remaining(), 32 * ALIGNMENT);
    drop(kept);
    assert_eq!(file.remaining(), 64 * ALIGNMENT);
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[test]
fn a_limit_of_file_size_is_an_error_and_no_signal() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = new_dir();
    let path = dir.join("file");
    fs::write(dir.join("long"), vec![1; 2 << 20]).unwrap();
    set_limit(Resource::FileSize, MIB);
    let too_large = |answer: outcore::Result<RangeFile>| {
        let refused = answer.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::FileTooLarge, "{refused}");
    };
    too_large(RangeFile::create(&path, MIB + 1));
    too_large(create_in_place(&path, MIB + 1));
    too_large(open(&dir.join("long")));
    assert!(!path.exists());
    let file = RangeFile::create(&path, MIB - 1).unwrap();
    file.grow(MIB).unwrap();
    let refused = file.grow(MIB + 1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
    let mut all = file.allocate(MIB).unwrap();
    all.fill(1);
    all.write_all_at(&vec![2; 1 << 20], 0).unwrap();
    drop(all);
    file.publish().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), MIB);
    fs::remove_dir_all(&dir).unwrap();
}

/// The library checks the limit when it preallocates. A limit that is set later affects the write.
#[test]
fn a_limit_that_is_lowered_later_concerns_writes_and_no_stores() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let path = ranged_path();
    let file = RangeFile::create(&path, 2 * MIB).unwrap();
    let mut range = file.allocate(2 * MIB).unwrap();
    set_limit(Resource::FileSize, MIB);
    for offset in [MIB - 10, MIB, 2 * MIB - 20] {
        let refused = range.write_all_at(&[7; 20], offset).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::FileTooLarge, "{refused}");
        assert_eq!(refused.path(), Some(path.as_path()));
    }
    range.write_all_at(&[7; 20], MIB - 20).unwrap();
    range[1 << 20..].fill(8);
    drop(range.freeze());
    file.publish().unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(
        bytes[(1 << 20) - 20..(1 << 20) + 20],
        [[7; 20], [8; 20]].concat()
    );
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_limit_of_addresses_leaves_room_for_the_file_itself() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    set_limit(Resource::AddressSpace, 1 << 30);
    let files: Vec<_> = (0..20)
        .map(|_| RangeFile::create(ranged_path(), 8 * MIB).unwrap())
        .collect();
    for file in &files {
        file.allocate(8 * MIB).unwrap()[8_000_000] = 1;
    }
    let refused = RangeFile::create(ranged_path(), 2 << 30).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OutOfMemory);
    let refused = files[0].grow(2 << 30).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::CapacityOverflow);
    assert_eq!(files[0].len(), 8 * MIB);
}

/// A full disk must not kill the process, leave a file behind, or destroy data.
fn fill(dir: &Path, disk: u64) {
    let path = dir.join("file");
    let base = free_bytes(dir);
    let names = || fs::read_dir(dir).unwrap().count();
    let before = names();
    let full = |answer: outcore::Result<RangeFile>| {
        let refused = answer.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
        assert_eq!(refused.path(), Some(path.as_path()));
    };
    for len in [disk + 1, 2 * disk, 1 << 35] {
        full(RangeFile::create(&path, len));
        full(create_in_place(&path, len));
        assert_eq!((free_bytes(dir), names()), (base, before), "{len}");
    }
    let sparse = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path);
    sparse.unwrap().set_len(2 * disk).unwrap();
    full(open(&path));
    fs::remove_file(&path).unwrap();

    let file = RangeFile::create(&path, base / 2).unwrap();
    let mut first = file.allocate(base / 4).unwrap();
    first.fill(1);
    for len in [2 * disk, disk + ALIGNMENT] {
        let free = free_bytes(dir);
        let refused = file.grow(len).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
        // ext4 keeps a block or two for the extents of the file.
        let lost = free.saturating_sub(free_bytes(dir));
        assert!(file.len() == base / 2 && lost <= 16 << 10, "{lost} lost");
    }
    // Other programs take the rest; preallocated space is still there.
    let filler = dir.join("filler");
    let refused = fs::write(&filler, vec![0; usize::try_from(disk).unwrap()]);
    assert!(refused.is_err());
    while let Some(mut range) = file.allocate(ALIGNMENT) {
        if range.start() % (2 * ALIGNMENT) == 0 {
            range.fill(2);
        } else {
            range.write_all_at(&[2; 4096], 0).unwrap();
        }
        range.freeze();
    }
    file.sync_all().unwrap();
    drop(first);
    fs::remove_file(&filler).unwrap();
    file.publish().unwrap();
    let bytes = fs::read(&path).unwrap();
    let first = usize::try_from(outcore::range_file::align_up(base / 4)).unwrap();
    assert!(bytes[..first].iter().all(|byte| *byte == 1));
    assert_eq!(bytes[first], 2);
    fs::remove_file(&path).unwrap();
    drop(bytes);
}

#[test]
fn a_full_tmpfs_is_an_error_and_loses_nothing() {
    on_tmpfs(test_name!(), 8 * MIB, |dir| fill(dir, 8 * MIB));
}

#[test]
fn a_full_ext4_is_an_error_and_loses_nothing() {
    on_ext4(test_name!(), 32 * MIB, |dir| fill(dir, 32 * MIB));
}
