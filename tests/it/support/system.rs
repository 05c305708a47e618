//! Tools for tests of the real system: private directories, and a message for skipped tests.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Creates an empty directory on a disk, for one test.
pub(crate) fn new_dir() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    match fs::remove_dir_all(&path) {
        Err(refused) if refused.kind() != io::ErrorKind::NotFound => panic!("{refused}"),
        _ => fs::create_dir(&path).unwrap(),
    }
    path
}

/// Reports on standard error that a test, or part of one, does not run here. The harness does not
/// capture it, so a skipped test does not look like a passed one.
pub(crate) fn skipped(test: &str, reason: impl Display) {
    let line = format!("skipped: {test}: {reason}\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Returns the path of the enclosing test, as the harness filters it.
macro_rules! test_name {
    () => {{
        fn here() {}
        let path = std::any::type_name_of_val(&here);
        let (_binary, path) = path.split_once("::").unwrap();
        path.strip_suffix("::here").unwrap()
    }};
}
pub(crate) use test_name;
