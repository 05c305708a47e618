//! Limits on the process, and what is looked at before the work starts.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::{TestDir, failure, model, noise, outcore};

/// Runs the program with a limit on its addresses, in KiB.
fn limited(kib: u32, arguments: &[&str], file: &PathBuf) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {kib}; exec \"$@\""), "sh"]);
    command.arg(env!("CARGO_BIN_EXE_outcore")).args(arguments);
    command.arg(file).output().unwrap()
}

/// So many lines, each twice.
fn numbers(count: u32) -> Vec<u8> {
    let mut lines = Vec::new();
    for number in 0..count {
        writeln!(lines, "{number}").unwrap();
    }
    lines.repeat(2)
}

/// The index reserved all addresses that there were, and the program panicked (exit code 101) since
/// no thread could be started. Had it started, threads would have taken what the index had left, so
/// that an allocation failed and ended the process (exit code 134).
#[test]
fn a_limit_on_addresses_is_no_panic() {
    let dir = TestDir::new("addresses");
    let file = dir.write("file", noise(20_000, 7));
    let expected = model(&[&file]);
    for kib in [300_000, 1_000_000, 3_000_000] {
        for options in [&[][..], &["--memory", "2G"], &["--threads", "16"]] {
            let arguments = [&["dedup", "-q"][..], options].concat();
            let output = limited(kib, &arguments, &file);
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{kib}: {options:?}: {text}");
            assert!(output.stdout == expected, "{kib}: {options:?}");
        }
    }
    // What does not fit is written to disk and looked at again.
    if !dir.is_in_memory() {
        let tmp = dir.0.to_str().unwrap();
        let file = dir.write("many", numbers(400_000));
        for kib in [80_000, 150_000, 300_000] {
            let arguments = ["dedup", "-q", "--count", "--tmp", tmp];
            let output = limited(kib, &arguments, &file);
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{kib}: {text}");
            let lines = output.stdout.split_inclusive(|&byte| byte == b'\n');
            assert_eq!(lines.count(), 400_000, "{kib}");
        }
    }
    // Less than it takes is a line of text.
    for kib in [20_000, 40_000, 60_000, 100_000, 150_000] {
        let output = limited(kib, &["dedup", "-q"], &file);
        if output.status.success() {
            assert!(output.stdout == expected, "{kib}");
        } else {
            failure(&output);
        }
    }
}

/// A directory that cannot be used was found out when memory was full, perhaps hours later.
#[test]
fn a_scratch_directory_is_looked_at_before_anything_is_read() {
    let dir = TestDir::new("tmp");
    let file = dir.write("file", "a\na\n");
    let out = dir.path("out");
    let mut command = outcore(&["dedup", "-q", "--tmp", "/nonexistent place", "-o"]);
    let output = command.arg(&out).arg(&file).output().unwrap();
    assert!(failure(&output).contains("/nonexistent place"));
    assert!(!fs::exists(&out).unwrap());
}

/// Two of the directories that are tried were left out.
#[test]
fn help_names_all_directories_that_are_tried_for_scratch_files() {
    for command in ["dedup", "demo"] {
        let output = outcore(&[command, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for place in [
            "$OUTCORE_DIR",
            "$TMPDIR",
            "/var/tmp",
            "$XDG_CACHE_HOME",
            "$HOME/.cache",
            "the current directory",
        ] {
            assert!(help.contains(place), "{command}: {place}: {help}");
        }
    }
}

/// Lengths of files were added up without a check: a sparse file of 4 EiB ended a run by a panic, or,
/// in a program without checks of arithmetic, with too little said to be needed.
#[test]
fn files_longer_than_any_disk_are_refused() {
    let Ok(file) = sparse_file(5 << 60) else {
        eprintln!("skipped: no file system here has files of 5 EiB");
        return;
    };
    for command in ["sort", "shuf", "count", "dedup"] {
        let mut run = outcore(&[command, "--no-space-check"]);
        let output = run.args([&file.0, &file.0]).output().unwrap();
        let text = failure(&output);
        assert!(
            text.contains("longer together than any disk"),
            "{command}: {text}"
        );
    }
}

/// A file that is removed on drop.
struct Sparse(PathBuf);

impl Drop for Sparse {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// Makes a file without bytes of this length, in memory.
fn sparse_file(len: u64) -> std::io::Result<Sparse> {
    let name = format!("outcore-sparse-{}", std::process::id());
    let file = Sparse(PathBuf::from("/dev/shm").join(name));
    let mut options = fs::OpenOptions::new();
    let made = options.write(true).create_new(true).open(&file.0)?;
    made.set_len(len)?;
    Ok(file)
}
