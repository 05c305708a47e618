//! What tests need that ask the real system: places of their own, and a way to say what was skipped.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Creates an empty directory on a disk, for one test alone.
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

/// Says on standard error that a test, or part of one, does not run here. The harness does not
/// capture it, so that nobody takes a skipped test for a passed one.
pub(crate) fn skipped(test: &str, reason: impl Display) {
    let line = format!("skipped: {test}: {reason}\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Returns the path of the test that this is written in, as the harness filters it.
macro_rules! test_name {
    () => {{
        fn here() {}
        let path = std::any::type_name_of_val(&here);
        let (_binary, path) = path.split_once("::").unwrap();
        path.strip_suffix("::here").unwrap()
    }};
}
pub(crate) use test_name;
