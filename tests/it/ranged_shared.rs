//! File systems on which files can share blocks: a file that shares them does not own its space,
//! and a store to it on a full disk raises `SIGBUS`. Ranges are unshared before they are lent.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use outcore::{DiskVec, ErrorKind, RangeFile, ScratchDir};

use crate::support::tmpfs::{on_btrfs, on_xfs};
use crate::support::{skipped, test_name};

/// Not a multiple of a page or block.
const LEN: usize = (8 << 20) + 4321;

#[expect(unsafe_code, reason = "the file is the test's own")]
fn open(path: &Path) -> outcore::Result<RangeFile> {
    // SAFETY: only the test uses the file, and it neither shortens it nor stores to it.
    unsafe { RangeFile::open(path) }
}

/// Returns how many bytes of the disk are used.
fn taken(path: &Path) -> u64 {
    let synced = Command::new("sync").arg("-f").arg(path).status();
    assert!(synced.unwrap().success());
    let report = ScratchDir::new(path).unwrap().report().unwrap();
    report.total_bytes - report.free_bytes
}

/// Takes all free space, until the returned files are dropped.
fn fill(path: &Path) -> Vec<RangeFile> {
    let mut files = Vec::new();
    let mut len = 1 << 28;
    while len >= 4096 {
        match RangeFile::create(path.join("filler"), len) {
            Ok(file) => files.push(file),
            Err(refused) => {
                assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
                len /= 2;
            }
        }
    }
    files
}

fn content() -> Vec<u8> {
    let words = (0..).flat_map(|word: u32| word.wrapping_mul(0x9E37_79B9).to_le_bytes());
    words.take(LEN).collect()
}

/// Makes a file and a copy of it that shares its blocks; `None` if it does not share them.
fn with_copy(dir: &Path) -> Option<[std::path::PathBuf; 2]> {
    let paths = ["original", "copy"].map(|name| dir.join(name));
    fs::write(&paths[0], content()).unwrap();
    let before = taken(dir);
    fs::copy(&paths[0], &paths[1]).unwrap();
    let shares = taken(dir) - before < LEN as u64 / 2;
    shares.then_some(paths)
}

/// Opens a file while there is space, and stores to each of its pages when there is none.
fn store_on_full_disk(dir: &Path, path: &Path) {
    let file = open(path).unwrap();
    let filler = fill(dir);
    let mut all = file.claim(0..LEN as u64).unwrap();
    assert!(all[..] == content(), "the file has wrong bytes");
    for byte in all.iter_mut().step_by(4096) {
        *byte = !*byte;
    }
    // A page without a block fails here, if its store did not raise a signal.
    all.freeze().flush().unwrap();
    drop(filler);
    let mut expected = content();
    expected
        .iter_mut()
        .step_by(4096)
        .for_each(|byte| *byte = !*byte);
    assert!(fs::read(path).unwrap() == expected, "a store is lost");
}

/// `DiskVec::try_copy` let the kernel copy, which shares blocks if it can. Neither the copy nor the
/// original owned its space: 20 copies of 32 MB counted 675 MB while the disk gave 11, and when the
/// disk was full, a store to any of them raised `SIGBUS`.
#[test]
fn a_copied_vector_and_its_original_own_their_space() {
    on_xfs(test_name!(), |dir| {
        let scratch = ScratchDir::new(dir).unwrap();
        let before = taken(dir);
        let mut original = DiskVec::new_in(&scratch);
        original.try_extend(0..(4 << 20) + 77_u64).unwrap();
        let mut copies = Vec::new();
        let refused = loop {
            assert!(
                copies.len() < 20,
                "a disk of 320 MiB has taken 20 vectors of 32 MiB"
            );
            match original.try_copy() {
                Ok(copy) => copies.push(copy),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
        let (used, taken) = (scratch.used_bytes(), taken(dir) - before);
        assert!(
            taken >= used,
            "{used} bytes are counted, and {taken} were taken"
        );
        let filler = fill(dir);
        for vec in copies.iter_mut().chain([&mut original]) {
            assert!(vec.iter().copied().eq(0..(4 << 20) + 77));
            for element in vec.iter_mut().step_by(512) {
                *element = !*element;
            }
            vec.evict(..).unwrap();
            let changed = |number: u64| if number % 512 == 0 { !number } else { number };
            assert!(vec.iter().copied().eq((0..(4 << 20) + 77).map(changed)));
        }
        drop(filler);
    });
}

/// `RangeFile::open` filled holes, but kept blocks that the file shares with others: a file that
/// `fs::copy` had made owned none of its space, and a store on a full disk raised `SIGBUS`.
#[test]
fn a_file_that_shares_its_blocks_owns_them_once_it_is_open() {
    on_xfs(test_name!(), |dir| {
        let [original, copy] = with_copy(dir).expect("XFS shares blocks");
        store_on_full_disk(dir, &copy);
        store_on_full_disk(dir, &original);
    });
}

/// btrfs has no call that unshares the blocks of a file, so the library rewrites it. If data is
/// copied on every write, no file owns its space; files with `chattr +C` do.
#[test]
fn a_file_on_btrfs_that_is_written_in_place_owns_its_blocks_too() {
    let test = test_name!();
    on_btrfs(test, |dir| {
        let mut attribute = Command::new("chattr");
        if !attribute
            .arg("+C")
            .arg(dir)
            .status()
            .is_ok_and(|ended| ended.success())
        {
            return skipped(test, "no chattr");
        }
        let Some([original, copy]) = with_copy(dir) else {
            return skipped(test, "this kernel copies");
        };
        store_on_full_disk(dir, &copy);
        store_on_full_disk(dir, &original);
    });
}

/// Opening the file returns the error, instead of a signal later; the file is unchanged.
#[test]
fn a_file_whose_shared_blocks_find_no_space_is_refused_and_unchanged() {
    on_xfs(test_name!(), |dir| {
        let [original, copy] = with_copy(dir).expect("XFS shares blocks");
        let filler = fill(dir);
        let refused = open(&copy).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
        assert_eq!(refused.path(), Some(copy.as_path()));
        drop(filler);
        for path in [&original, &copy] {
            assert!(fs::read(path).unwrap() == content(), "{}", path.display());
        }
        store_on_full_disk(dir, &copy);
    });
}

/// Opening a file of a lower layer for writing copies it up, and the kernel shares its blocks if
/// both layers are on one file system: the program does not know of the copy.
#[test]
fn a_file_that_an_overlay_copies_up_owns_its_blocks() {
    let test = test_name!();
    on_xfs(test, |dir| {
        let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| {
            let path = dir.join(name);
            fs::create_dir(&path).unwrap();
            path
        });
        fs::write(lower.join("file"), content()).unwrap();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(&merged);
        if !mount
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|ended| ended.success())
        {
            return skipped(test, "this kernel has no overlayfs");
        }
        store_on_full_disk(dir, &merged.join("file"));
        assert!(fs::read(lower.join("file")).unwrap() == content());
        let unmounted = Command::new("umount").arg(&merged).status();
        assert!(unmounted.unwrap().success());
    });
}
