//! `AtomicFile` from outside: what is seen under the name and when, what is kept of the replaced file,
//! and what kills, full disks, forks and foreign descriptors leave.

use std::env;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;

use outcore::{AtomicFile, ErrorKind};

use crate::support::libc::{
    Resource, in_forked_child, is_root, make_descriptors_private, set_limit,
};
use crate::support::process::{NOBODY, child, nobody_can_run_this, tell};
use crate::support::random::{Random, seeds};
use crate::support::tmpfs::on_tmpfs;
use crate::support::{new_dir, skipped, test_name};

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_file_appears_complete_or_not_at_all() {
    let dir = new_dir();
    let path = dir.join("out");
    let mut file = AtomicFile::create(&path).unwrap();
    assert!(!file.replaces());
    assert_eq!(file.path(), path);
    file.write_all(b"half").unwrap();
    assert!(!path.exists());
    drop(file);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let file = AtomicFile::create(&path).unwrap();
        file.write_all_at(b"half", 0).unwrap();
        panic!("while it is written");
    }));
    assert!(panicked.is_err());
    assert_eq!(names(&dir), [""; 0]);

    let mut file = AtomicFile::create(&path).unwrap();
    file.write_all(b"who").unwrap();
    file.write_all(b"le").unwrap();
    let identity = file.identity().unwrap();
    file.publish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"whole");
    let facts = fs::metadata(&path).unwrap();
    assert_eq!((facts.dev(), facts.ino()), identity);
    assert_eq!(names(&dir), ["out"]);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_replaced_file_stays_until_the_end_and_its_readers_keep_it() {
    let dir = new_dir();
    let path = dir.join("out");
    for with_sync in [true, false] {
        fs::write(&path, b"old").unwrap();
        let reader = fs::OpenOptions::new().read(true).open(&path).unwrap();
        let file = AtomicFile::create(&path).unwrap();
        assert!(file.replaces());
        file.write_all_at(b"new", 0).unwrap();
        file.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        if with_sync {
            file.publish().unwrap();
        } else {
            file.publish_without_sync().unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(std::io::read_to_string(reader).unwrap(), "old");
        assert_eq!(names(&dir), ["out"]);
    }
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_new_file_has_the_mode_and_the_owner_of_the_old_one() {
    let dir = new_dir();
    let path = dir.join("out");
    for mode in [0o640, 0o600, 0o755, 0o4755] {
        fs::write(&path, b"old").unwrap();
        let owner = if is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY - 1)).unwrap();
            (NOBODY, NOBODY - 1)
        } else {
            skipped(test_name!(), "owners: only root may give files away");
            let facts = fs::metadata(&path).unwrap();
            (facts.uid(), facts.gid())
        };
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        AtomicFile::create(&path).unwrap().publish().unwrap();
        let facts = fs::metadata(&path).unwrap();
        assert_eq!(facts.mode() & 0o7777, mode & 0o777);
        assert_eq!((facts.uid(), facts.gid()), owner);
        fs::remove_file(&path).unwrap();
    }
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_symbolic_link_stays_and_what_it_leads_to_is_replaced_or_made() {
    let dir = new_dir();
    fs::create_dir(dir.join("far")).unwrap();
    fs::write(dir.join("far/target"), b"old").unwrap();
    symlink("far/target", dir.join("near")).unwrap();
    symlink("near", dir.join("link")).unwrap();
    symlink("far/missing", dir.join("dangling")).unwrap();
    symlink("circle", dir.join("circle")).unwrap();
    for (link, target) in [("link", "far/target"), ("dangling", "far/missing")] {
        let file = AtomicFile::create(dir.join(link)).unwrap();
        assert_eq!(file.path().file_name(), Path::new(target).file_name());
        file.write_all_at(b"new", 0).unwrap();
        file.publish().unwrap();
        assert!(fs::symlink_metadata(dir.join(link)).unwrap().is_symlink());
        assert_eq!(fs::read(dir.join(target)).unwrap(), b"new");
    }
    assert!(AtomicFile::create(dir.join("circle")).is_err());
    assert_eq!(names(&dir), ["circle", "dangling", "far", "link", "near"]);
    assert_eq!(names(&dir.join("far")), ["missing", "target"]);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn what_is_no_file_is_refused_and_nothing_is_made() {
    let dir = new_dir();
    fs::write(dir.join("file"), b"").unwrap();
    fs::create_dir(dir.join("dir")).unwrap();
    symlink("gone/", dir.join("slash")).unwrap();
    let paths = [
        "", "new/", "new/.", "new/..", ".", "..", "dir", "dir/", "file/", "file/x", "none/x",
        "slash",
    ];
    for path in paths.map(|name| dir.join(name)) {
        let refused = AtomicFile::create(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io, "{refused}");
        assert!(
            refused.to_string().starts_with("cannot create "),
            "{refused}"
        );
        assert!(refused.path().is_some(), "{refused}");
    }
    let refused = AtomicFile::create("/dev/null").unwrap_err();
    assert!(refused.to_string().contains("no regular file"), "{refused}");
    assert!(AtomicFile::create("").is_err());
    assert_eq!(names(&dir), ["dir", "file", "slash"]);
    // A directory that takes the name meanwhile keeps it.
    let file = AtomicFile::create(dir.join("late")).unwrap();
    fs::create_dir(dir.join("late")).unwrap();
    let refused = file.publish().unwrap_err();
    assert!(
        refused.to_string().starts_with("cannot publish "),
        "{refused}"
    );
    assert_eq!(names(&dir), ["dir", "file", "late", "slash"]);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_old_file() {
    on_tmpfs(test_name!(), 1 << 20, |dir| {
        let path = dir.join("out");
        fs::write(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        let refused = file.write_all_at(&vec![1; 2 << 20], 0).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
        let text = format!("cannot write {}: ", path.display());
        assert!(refused.to_string().starts_with(&text), "{refused}");
        assert!(file.write_all(&vec![1; 2 << 20]).is_err());
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir), ["out"]);
        // The space is back.
        let file = AtomicFile::create(&path).unwrap();
        file.write_all_at(&vec![1; 1 << 19], 0).unwrap();
        file.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), vec![1; 1 << 19]);
    });
}

#[test]
fn a_limit_of_file_size_is_an_error_and_no_signal() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = new_dir();
    let file = AtomicFile::create(dir.join("out")).unwrap();
    set_limit(Resource::FileSize, 4096);
    let refused = file.write_all_at(&[1; 10], 4096).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
    file.write_all_at(&[1; 10], 4000).unwrap();
    file.publish().unwrap();
    assert_eq!(fs::metadata(dir.join("out")).unwrap().len(), 4010);
    fs::remove_dir_all(&dir).unwrap();
}

/// Where the process of another user, or one that will be killed, works.
const DIR: &str = "OUTCORE_TEST_DIR";

#[test]
fn a_directory_that_may_not_be_written_is_an_error_that_says_what_to_do() {
    let Some(child) = child(test_name!()) else {
        let dir = env::var_os(DIR).unwrap();
        for name in ["new", "old", "sealed"] {
            let path = Path::new(&dir).join(name);
            let refused = AtomicFile::create(&path).unwrap_err();
            assert_eq!(refused.path(), Some(path.as_path()));
            let text = refused.to_string();
            let wanted = [
                path.display().to_string(),
                "has to be readable and writable".into(),
            ];
            assert!(wanted.iter().all(|part| text.contains(part)), "{text}");
        }
        return;
    };
    if !is_root() || !nobody_can_run_this() {
        return skipped(test_name!(), "it takes another user");
    }
    let dir = new_dir();
    for (name, mode) in [("old", 0o666), ("sealed", 0o444)] {
        fs::write(dir.join(name), b"old").unwrap();
        fs::set_permissions(dir.join(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    child.env(DIR, &dir).user(NOBODY).run();
    assert_eq!(names(&dir), ["old", "sealed"]);
    fs::remove_dir_all(&dir).unwrap();
}

/// The length of each file; odd, and more than one page.
const KILLED_LEN: usize = 50_001;

/// Replaces a file until it is killed.
fn replace_for_ever(dir: &Path) {
    for round in (1_u8..=255).cycle() {
        tell("create");
        let file = AtomicFile::create(dir.join("same")).unwrap();
        let bytes = vec![round; KILLED_LEN];
        for at in (0..KILLED_LEN).step_by(10_000) {
            tell("write");
            let end = KILLED_LEN.min(at + 10_000);
            file.write_all_at(&bytes[at..end], at as u64).unwrap();
        }
        tell("publish");
        if round % 2 == 0 {
            file.publish().unwrap();
        } else {
            file.publish_without_sync().unwrap();
        }
        tell("published");
    }
}

#[test]
fn a_process_killed_at_any_moment_leaves_old_or_complete_bytes() {
    const SIGKILL: i32 = 9;
    let name = test_name!();
    if child(name).is_none() {
        let dir = env::var_os(DIR).unwrap();
        return replace_for_ever(Path::new(&dir));
    }
    let mut random = Random::new(seeds(1)[0]);
    let dir = new_dir();
    let mut seen = 0;
    for _ in 0..60 {
        let mut victim = child(name).unwrap().env(DIR, &dir).spawn();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        for _ in 0..=random.below(40) {
            // Were the pipe closed before the kill, the child would die of that.
            assert!(lines.next().is_some_and(|line| line.is_ok()));
        }
        // A moment between two of its lines.
        for _ in 0..random.below(200_000) {
            std::hint::spin_loop();
        }
        victim.kill().unwrap();
        let ended = victim.wait().unwrap();
        drop(lines);
        assert_eq!(ended.signal(), Some(SIGKILL), "{ended}");
        for found in names(&dir) {
            // A temporary name, between two calls of a publication, has the complete file.
            let known = found == "same" || found.starts_with(".outcore-publish-");
            assert!(known, "{found}");
            let bytes = fs::read(dir.join(&found)).unwrap();
            let is_whole = bytes.iter().all(|byte| *byte == bytes[0]);
            assert!(bytes.len() == KILLED_LEN && is_whole && bytes[0] > 0);
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
    // What a kill has left goes with the next file of the name.
    let file = AtomicFile::create(dir.join("same")).unwrap();
    file.publish().unwrap();
    assert_eq!(names(&dir), ["same"]);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_forked_child_changes_nothing_of_its_parents_file() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = new_dir();
    let file = AtomicFile::create(dir.join("out")).unwrap();
    file.write_all_at(b"ours", 0).unwrap();
    let mut inherited = Some(file);
    let ended = in_forked_child(|| {
        let file = inherited.take().unwrap();
        let refused = file.write_all_at(b"theirs", 0).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forked);
        let refused = file.publish_without_sync().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forked);
    });
    assert!(ended.success(), "{ended}");
    inherited.unwrap().publish().unwrap();
    assert_eq!(fs::read(dir.join("out")).unwrap(), b"ours");
    fs::remove_dir_all(&dir).unwrap();
}

/// `/proc/self/fd/N` in a thread with a descriptor table of its own is what the first thread has under
/// the number: nothing, or a file that then got the name.
#[test]
fn a_thread_with_descriptors_of_its_own_publishes_its_own_file() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let dir = new_dir();
    fs::write(dir.join("old"), b"old").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            make_descriptors_private();
            for name in ["new", "old"] {
                let file = AtomicFile::create(dir.join(name)).unwrap();
                file.write_all_at(b"ours", 0).unwrap();
                file.publish().unwrap();
                assert_eq!(fs::read(dir.join(name)).unwrap(), b"ours");
            }
        });
    });
    assert_eq!(names(&dir), ["new", "old"]);
    fs::remove_dir_all(&dir).unwrap();
}
