//! Threads with private descriptor tables, and processes whose first thread has ended: there, a
//! descriptor number or `/proc/self` has another meaning.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;

use outcore::{Arena, DiskVec, RangeFile, ReadOptions, ScratchDir};

use crate::support::libc::{end_this_thread, in_forked_child, make_descriptors_private};
use crate::support::process::child;
use crate::support::{new_dir, skipped, test_name};

const LEN: u64 = 10_000;

/// Returns the descriptors of unnamed files in this thread.
fn unnamed() -> BTreeSet<i32> {
    let entries = fs::read_dir("/proc/thread-self/fd").unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let unnamed = paths.filter(|path| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().ends_with(" (deleted)"))
    });
    let number = |path: std::path::PathBuf| path.file_name()?.to_str()?.parse().ok();
    unnamed.filter_map(number).collect()
}

fn filled(path: &Path, byte: u8) -> RangeFile {
    let file = RangeFile::create(path, LEN).unwrap();
    file.claim(0..LEN).unwrap().fill(byte);
    file
}

/// A thread that had called `unshare(CLONE_FILES)` published a file, and the name led to another
/// file: `/proc/self/fd/5` is descriptor 5 of the first thread of the process, which had another
/// unnamed file there. `publish` returned `Ok`.
#[test]
fn a_thread_with_descriptors_of_its_own_publishes_its_own_file() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = new_dir();
    let (own, foreign) = (dir.join("own"), dir.join("foreign"));
    let (to_first, from_second) = channel();
    let (to_second, from_first) = channel();
    let (new, taken) = (dir.join("new"), own.clone());
    thread::scope(|scope| {
        scope.spawn(move || {
            make_descriptors_private();
            let before = unnamed();
            let files = [filled(&taken, 1), filled(&new, 2)];
            let numbers: BTreeSet<i32> = unnamed().difference(&before).copied().collect();
            assert_eq!(numbers.len(), 2);
            to_first.send(numbers).unwrap();
            from_first.recv().unwrap();
            let [replaces, is_new] = files;
            replaces.publish().unwrap();
            is_new.publish_new().unwrap();
        });
        let theirs = from_second.recv().unwrap();
        // Other files under the same numbers.
        let mut others = Vec::new();
        while !theirs.is_subset(&unnamed()) {
            others.push(filled(&foreign, 9));
        }
        // In one of the two directories, the name is taken.
        fs::write(&own, "old").unwrap();
        to_second.send(()).unwrap();
        // The end of the thread closes the channel.
        from_second.recv().unwrap_err();
        drop(others);
    });
    for (name, byte) in [("own", 1), ("new", 2)] {
        let bytes = fs::read(dir.join(name)).unwrap();
        assert!(
            bytes.iter().all(|found| *found == byte),
            "{name}: {}",
            bytes[0]
        );
        assert_eq!(bytes.len() as u64, LEN, "{name}");
    }
    assert!(!foreign.exists());
    fs::remove_dir_all(&dir).unwrap();
}

/// Returns how many files this thread has open for direct reads.
fn direct_files() -> usize {
    const O_DIRECT: u32 = if cfg!(target_arch = "aarch64") {
        0o200_000
    } else {
        0o40_000
    };
    let entries = fs::read_dir("/proc/thread-self/fdinfo").unwrap();
    let facts = entries.filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
    let flags = facts.filter_map(|facts| {
        let line = facts.lines().find_map(|line| line.strip_prefix("flags:"))?;
        u32::from_str_radix(line.trim(), 8).ok()
    });
    flags.filter(|flags| flags & O_DIRECT != 0).count()
}

/// Reads directly, and returns how many files are open for that.
fn read_directly() -> usize {
    let arena = Arena::new_in(&ScratchDir::new(env!("CARGO_TARGET_TMPDIR")).unwrap()).unwrap();
    let mut writer = arena.writer().unwrap();
    let locations: Vec<_> = (0..200_u8)
        .map(|byte| writer.push(vec![byte; 5000]).unwrap())
        .collect();
    writer.finish().unwrap();
    let options = ReadOptions::new().direct(true);
    let mut found = vec![Vec::new(); 200];
    let keep = |index: usize, bytes: &[u8]| found[index] = bytes.to_vec();
    arena.get_many_with(&options, &locations, keep).unwrap();
    assert!(
        (0..200_u8)
            .zip(&found)
            .all(|(byte, item)| *item == [byte; 5000])
    );
    direct_files()
}

/// The file was looked up among the descriptors of the first thread and not found, so every direct
/// read of the thread used the page cache after all.
#[test]
fn a_thread_with_descriptors_of_its_own_reads_past_the_page_cache() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    if read_directly() == 0 {
        return skipped(test_name!(), "no direct reads on this file system");
    }
    let reads = || {
        make_descriptors_private();
        read_directly()
    };
    assert_eq!(thread::scope(|scope| scope.spawn(reads).join()).unwrap(), 1);
}

/// `/proc/self` shows memory and descriptors of the first thread, and a thread that has ended has
/// none: asking for the resident bytes of a vector returned an error.
#[test]
fn a_process_goes_on_without_its_first_thread() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = new_dir();
    let target = dir.clone();
    let ended = in_forked_child(|| {
        thread::spawn(move || {
            let worked = std::panic::catch_unwind(|| {
                let state = || fs::read_to_string("/proc/self/stat").unwrap();
                while !state().contains(") Z ") {
                    thread::yield_now();
                }
                let scratch = ScratchDir::new(&target).unwrap();
                let mut vec = DiskVec::new_in(&scratch);
                vec.try_extend(0..1_000_000_u64).unwrap();
                assert!(vec.resident_bytes().unwrap() > 0);
                filled(&target.join("file"), 7).publish().unwrap();
            });
            std::process::exit(if worked.is_ok() { 0 } else { 101 })
        });
        end_this_thread()
    });
    assert!(ended.success(), "{ended}");
    assert_eq!(fs::read(dir.join("file")).unwrap(), vec![7; 10_000]);
    fs::remove_dir_all(&dir).unwrap();
}
