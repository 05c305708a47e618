//! `RLIMIT_FSIZE` lowered after space was reserved: every write is an error, never `SIGXFSZ`.

use outcore::{Arena, DiskVec, ErrorKind, RangeFile, ScratchDir};

use crate::support::libc::{
    Resource, block_file_size_signal, file_size_signal_is_pending, set_limit,
};
use crate::support::process::child;
use crate::support::{disk, ranged_path, test_name};

const MIB: usize = 1 << 20;

/// The library read the limit when a file grew, and relied on it from then on. After the limit was
/// lowered, the next push into reserved space wrote past it, and the signal ended the process.
/// `reserve` promises that pushes succeed, and the crate promises an error for what cannot succeed.
#[test]
fn pushes_into_reserved_space_are_errors_once_the_limit_is_lowered() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut vec = DiskVec::<u64>::new_in(&disk());
    vec.reserve(8 * MIB / 8).unwrap();
    for n in 0..(3 * MIB / 8) as u64 {
        vec.push(n).unwrap();
    }
    let arena = Arena::new_in(&disk()).unwrap();
    let mut writer = arena.writer().unwrap();
    writer.reserve(8 * MIB as u64).unwrap();
    let first = writer.push(vec![7; MIB]).unwrap();

    set_limit(Resource::FileSize, MIB as u64 / 2);
    let refused = loop {
        if let Err(refused) = vec.push(vec.len() as u64) {
            break refused;
        }
    };
    assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
    assert!(refused.to_string().contains("RLIMIT_FSIZE"), "{refused}");
    assert!((0..vec.len()).all(|n| vec[n] == n as u64));
    let len = vec.len();

    let refused = writer.push(vec![8; MIB]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
    assert!(refused.to_string().contains("RLIMIT_FSIZE"), "{refused}");
    let second = writer.push("short").unwrap();
    let refused = writer.finish().unwrap_err();
    assert_eq!(refused.error().kind(), ErrorKind::FileTooLarge);
    let mut writer = refused.into_writer();

    // Without the lowered limit, the push succeeds.
    set_limit(Resource::FileSize, u64::MAX);
    vec.push(len as u64).unwrap();
    assert!((0..vec.len()).all(|n| vec[n] == n as u64));
    writer.flush().unwrap();
    assert_eq!(arena.get(first).unwrap(), vec![7; MIB]);
    assert_eq!(arena.get(second).unwrap(), b"short");
}

/// The same for ranges, which are written by system calls, and for a copy inside the kernel.
#[test]
fn writes_to_ranges_and_copies_are_errors_once_the_limit_is_lowered() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let path = ranged_path();
    let file = RangeFile::create(&path, 2 * MIB as u64).unwrap();
    let mut range = file.claim(MIB as u64..2 * MIB as u64).unwrap();
    let mut vec = DiskVec::<u64>::new_in(&disk());
    vec.try_extend(0..(4 * MIB / 8) as u64).unwrap();
    set_limit(Resource::FileSize, MIB as u64 / 2);
    for _ in 0..2 {
        let refused = range.write_all_at(b"past the limit", 0).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
        assert_eq!(refused.path(), Some(path.as_path()));
        assert!(refused.to_string().contains("RLIMIT_FSIZE"), "{refused}");
    }
    let refused = vec.try_copy().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
    drop(range);
    // Neither the last sync nor the name lengthens the file.
    file.publish().unwrap();
    std::fs::remove_file(path).unwrap();
}

/// A program that blocks the signal to handle it later must neither find ours nor lose its own.
#[test]
fn a_signal_that_was_pending_before_stays_and_ours_does_not() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = ScratchDir::new(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let arena = Arena::new_in(&dir).unwrap();
    let mut writer = arena.writer().unwrap();
    writer.reserve(4 * MIB as u64).unwrap();
    set_limit(Resource::FileSize, 4096);
    block_file_size_signal();
    writer.push(vec![1; MIB]).unwrap_err();
    assert!(
        !file_size_signal_is_pending(),
        "the library's signal is left"
    );
    // The program's own signal, by a write that does not check the limit.
    let other = dir.path().join(format!("own-{}", std::process::id()));
    std::fs::write(&other, vec![1; 8192]).unwrap_err();
    std::fs::remove_file(other).unwrap();
    assert!(file_size_signal_is_pending());
    writer.push(vec![1; MIB]).unwrap_err();
    assert!(
        file_size_signal_is_pending(),
        "the program's signal is lost"
    );
}
