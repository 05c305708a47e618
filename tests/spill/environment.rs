//! Environment variables: the threshold, and the directory of the file.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use crate::support::process::{child, tell};
use crate::support::{new_dir, test_name};
use crate::watch::{LINGERING, linger};
use crate::{THRESHOLD, spill};

#[test]
fn the_variable_replaces_the_threshold() {
    if let Some(_child) = child(test_name!()) {
        for (value, threshold) in [
            ("1MiB", 1 << 20),
            ("  2 MiB ", 2 << 20),
            ("128K", 128 << 10),
            ("100000", 100_000),
            ("1GiB", 1 << 30),
            // A threshold below a page makes no sense.
            ("1", 4096),
            ("0", 4096),
            ("off", usize::MAX),
            ("Off", usize::MAX),
            // An invalid value counts as unset.
            ("", THRESHOLD),
            ("many", THRESHOLD),
            ("64 parsecs", THRESHOLD),
            ("-1", THRESHOLD),
            ("18446744073709551616", THRESHOLD),
            ("18446744073709551615GiB", THRESHOLD),
            (&"9".repeat(100), THRESHOLD),
            (&" ".repeat(100), THRESHOLD),
        ] {
            let again = child(test_name!()).unwrap().env("OUTCORE_SPILL", value);
            let told = again.env("EXPECTED", threshold.to_string()).run();
            assert!(told.contains("asked"), "{value}");
        }
        let told = child(test_name!()).unwrap().env_remove("OUTCORE_SPILL");
        told.env("EXPECTED", THRESHOLD.to_string()).run();
        return;
    }
    let expected: usize = std::env::var("EXPECTED").unwrap().parse().unwrap();
    assert_eq!(spill().threshold(), expected);
    let before = spill().spilled_bytes();
    let len = expected.clamp(THRESHOLD, 64 << 20);
    let bytes = vec![1_u8; len];
    let spilled = spill().spilled_bytes() > before;
    assert_eq!(spilled, len >= expected);
    drop(bytes);
    tell("asked");
}

/// The library reads the environment as it was at the start: it takes no lock of std, which a
/// thread that changes the environment may hold.
#[test]
fn a_later_change_of_the_environment_changes_nothing() {
    if let Some(child) = child(test_name!()) {
        child.env("OUTCORE_SPILL", "1MiB").run();
        return;
    }
    set_variable("OUTCORE_SPILL", "off");
    assert_eq!(spill().threshold(), 1 << 20);
    let before = spill().spilled_bytes();
    let bytes = vec![1_u8; 1 << 20];
    assert!(spill().spilled_bytes() > before);
    drop(bytes);
}

#[expect(
    unsafe_code,
    reason = "changes the environment of a process of its own"
)]
fn set_variable(name: &str, value: &str) {
    // SAFETY: only std reads variables in this process, and it takes the same lock.
    unsafe { std::env::set_var(name, value) };
}

/// The first large block looks up the directory of the file. It came from inside of
/// `std::env::vars`, which holds the lock of the environment for reading; another thread waited to
/// write; and std's lock admits no second reader before a waiting writer. The program hung for
/// ever.
#[test]
fn the_first_big_block_can_come_while_the_environment_is_read_and_written() {
    let Some(again) = child(test_name!()) else {
        let _watchdog = thread::spawn(|| {
            thread::sleep(Duration::from_secs(30));
            std::process::abort();
        });
        let writer = thread::spawn(|| {
            while !LINGERING.load(std::sync::atomic::Ordering::SeqCst) {
                thread::yield_now();
            }
            set_variable("OUTCORE_TEST_WRITTEN", "yes");
        });
        linger();
        let value = std::env::var("OUTCORE_TEST_LONG").unwrap();
        let variables = std::env::vars().count();
        writer.join().unwrap();
        assert!(value.len() == 120_000 && variables > 2000);
        return;
    };
    // `var` copies a value longer than the threshold under the lock, and `vars` a long list.
    let mut again = again.env("OUTCORE_TEST_LONG", "x".repeat(120_000));
    for n in 0..2000 {
        again = again.env(&format!("OUTCORE_TEST_{n}"), "variable");
    }
    again.run();
}

#[test]
fn the_file_is_in_the_directory_of_the_variable() {
    let Some(again) = child(test_name!()) else {
        let bytes = vec![1_u8; 1 << 20];
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        let targets = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
        let dir = std::env::var_os("OUTCORE_DIR").map(PathBuf::from).unwrap();
        let inside = targets.filter(|target| target.starts_with(&dir)).count();
        assert!(inside >= 1, "no file in {}", dir.display());
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
        assert_eq!(spill().failures(), 0);
        drop(bytes);
        return;
    };
    let dir = new_dir();
    again.env("OUTCORE_DIR", &dir).run();
    std::fs::remove_dir(&dir).unwrap();
}

/// Without a directory, the inner allocator serves all requests, and every large block is counted.
#[test]
fn without_a_directory_the_inner_allocator_serves() {
    if let Some(again) = child(test_name!()) {
        again.env("OUTCORE_DIR", "/nonexistent").run();
        return;
    }
    let before = spill().failures();
    for n in 1..=10 {
        let mut bytes = vec![1_u8; THRESHOLD];
        bytes.extend_from_slice(&vec![1; THRESHOLD]);
        bytes.truncate(10);
        bytes.shrink_to_fit();
        assert_eq!(bytes, [1; 10]);
        assert!(spill().failures() >= before + n);
    }
    assert_eq!((spill().spilled_bytes(), spill().peak_bytes()), (0, 0));
    spill().evict().unwrap();
}

/// A directory in memory is refused: spilled blocks must not be in memory.
#[test]
fn a_directory_in_memory_is_not_used() {
    if let Some(again) = child(test_name!()) {
        crate::support::tmpfs::on_tmpfs(test_name!(), 8 << 20, |path| {
            again.env("OUTCORE_DIR", path).run();
        });
        return;
    }
    let bytes = vec![1_u8; 4 << 20];
    assert_eq!(spill().spilled_bytes(), 0);
    assert!(spill().failures() > 0);
    drop(bytes);
}
