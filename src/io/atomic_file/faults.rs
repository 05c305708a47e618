//! The fault campaign of the atomic file: whatever call fails, the name leads to the old bytes or to
//! all of the new ones, an error says so, and no other name is left.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::io::atomic_file::AtomicFile;
use crate::io::atomic_file::target::without_group;
use crate::sys::fault::{Fault, Outcome, arm, disarm};
use crate::testing::{EINTR, ENOSPC};

/// `EPERM`, `EIO`, `EOPNOTSUPP`, and two by name.
const ERRNOS: [i32; 5] = [1, 5, 95, ENOSPC, EINTR];

/// Creates a directory for one test, in memory where that can be had: a sync is quick there.
fn new_dir(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let base = if memory.is_dir() { memory } else { &target };
    let dir = base.join(format!("outcore-atomic-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// What the life writes: in two parts, so that the first one is never taken for all.
const NEW: &[u8] = b"new and complete";

/// The life of a file: all that it can do, up to its name.
fn live(path: &Path, without_name: bool) -> Result<()> {
    let file = AtomicFile::start(path, without_name)?;
    file.identity()?;
    let (first, second) = NEW.split_at(5);
    file.write_all_at(second, 5)?;
    file.write_all_at(first, 0)?;
    file.publish()
}

/// Lives with one fault, and looks at what the name leads to. Returns whether the fault was met.
fn check(dir: &Path, replaces: bool, without_name: bool, fault: Fault) -> bool {
    let path = dir.join("file");
    let _removed = fs::remove_file(&path);
    if replaces {
        fs::write(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    arm(fault);
    let answer = live(&path, without_name);
    let (_calls, met) = disarm();
    let what = format!("replaces {replaces}, without a name {without_name}, {fault:?}: {answer:?}");
    let found = fs::read(&path).ok();
    match (&answer, found.as_deref()) {
        (Ok(()), found) => assert_eq!(found, Some(NEW), "{what}"),
        (Err(_), Some(b"old")) => assert!(replaces, "{what}"),
        (Err(_), None) => assert!(!replaces, "{what}"),
        // Only the last sync, that of the directory, failed.
        (Err(_), Some(found)) => assert_eq!(found, NEW, "{what}"),
    }
    if let Err(refused) = &answer {
        let text = refused.to_string();
        assert_eq!(refused.path(), Some(path.as_path()), "{what}");
        assert!(text.starts_with("cannot "), "{what}");
        assert!(met > 0, "{what}");
    }
    if found.is_some() && replaces {
        let mode = fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o640, "{what}");
    }
    let left: Vec<_> = names(dir);
    // Where every call fails from some point on, so does the removal of a name.
    if !fault.sticky {
        assert!(left.iter().all(|name| name == "file"), "{what}: {left:?}");
    }
    for name in left {
        fs::remove_file(dir.join(name)).unwrap();
    }
    met > 0
}

#[test]
fn the_name_leads_to_old_or_complete_bytes_whatever_call_fails() {
    let dir = new_dir("faults");
    let mut runs = 0;
    let errnos = ERRNOS.map(Outcome::Errno);
    for outcome in errnos.into_iter().chain([Outcome::Short, Outcome::Zero]) {
        for (replaces, without_name) in [(false, false), (false, true), (true, false), (true, true)]
        {
            for sticky in [false, true] {
                // Calls that a signal always interrupts are made for ever.
                if sticky && outcome == Outcome::Errno(EINTR) {
                    continue;
                }
                let fault = |after| Fault {
                    after,
                    sticky,
                    outcome,
                };
                let met =
                    (0..).take_while(|after| check(&dir, replaces, without_name, fault(*after)));
                let met = met.count();
                assert!(met >= 9, "{outcome:?}: only {met} calls");
                runs += met;
            }
        }
    }
    assert!(runs > 400, "{runs}");
    fs::remove_dir_all(dir).unwrap();
}

/// A canary: a write that is said to be done and was not has to be noticed by the campaign.
#[test]
fn a_write_that_is_overlooked_is_found() {
    let dir = new_dir("canary");
    let fault = Fault {
        after: 0,
        sticky: true,
        outcome: Outcome::Lie,
    };
    let noticed = catch_unwind(|| check(&dir, false, true, fault));
    disarm();
    assert!(noticed.is_err());
    fs::remove_dir_all(dir).unwrap();
}

/// A name that was given to a stranger's file is left alone, and is an error.
#[test]
fn a_name_that_went_astray_is_an_error() {
    let dir = new_dir("astray");
    let path = dir.join("file");
    let astray = (0..30).any(|after| {
        let _removed = fs::remove_file(&path);
        arm(Fault {
            after,
            sticky: false,
            outcome: Outcome::Astray,
        });
        let answer = live(&path, true);
        disarm();
        answer.is_err_and(|refused| refused.to_string().contains("another file"))
    });
    assert!(astray);
    fs::remove_dir_all(dir).unwrap();
}

/// The file of another group became readable by the group of the process that replaced it.
#[test]
fn another_group_gets_only_what_all_users_may_do() {
    assert_eq!(without_group(0o640), 0o600);
    assert_eq!(without_group(0o664), 0o644);
    assert_eq!(without_group(0o604), 0o604);
    assert_eq!(without_group(0o777), 0o777);
}
