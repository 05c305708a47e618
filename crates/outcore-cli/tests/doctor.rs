//! `outcore doctor` from outside.
#![expect(
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn doctor(dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcore"));
    command.arg("doctor").arg(dir).output().unwrap()
}

#[test]
fn every_line_of_the_report_is_there() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let output = doctor(dir);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&dir.display().to_string()), "{text}");
    let mut names = vec!["file system", "free space", "memory cgroup", "read-ahead"];
    if cfg!(unix) {
        names.extend(["open files", "address space", "private memory", "file size"]);
    }
    if cfg!(target_os = "linux") {
        names.extend(["mappings", "memory  "]);
    }
    for name in names {
        assert!(text.contains(name), "{name} is missing in {text}");
    }
}

#[test]
fn a_directory_that_cannot_be_used_is_explained() {
    let missing = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no such place");
    let mut refused = vec![missing];
    if cfg!(target_os = "linux") {
        // Exists, and takes no files.
        refused.push("/proc".into());
        if Path::new("/dev/shm").is_dir() {
            refused.push("/dev/shm".into());
        }
    }
    for dir in refused {
        let output = doctor(&dir);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        let begin = format!("outcore: cannot use {}: ", dir.display());
        assert!(errors.starts_with(&begin), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        let report = String::from_utf8(output.stdout).unwrap();
        assert!(report.contains("BAD"), "{report}");
        assert!(report.contains("To change: "), "{report}");
        // It said "see the error", which came 40 lines later, on standard error.
        if !dir.starts_with("/dev/shm") {
            let reason = errors.trim_start_matches(&begin).trim_end();
            let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(report.contains(reason), "{reason}: {report}");
            assert!(!report.contains("see the error"), "{report}");
        }
    }
}

#[test]
fn a_broken_pipe_and_a_full_disk_are_told_apart() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcore"));
    command.arg("doctor").arg(env!("CARGO_TARGET_TMPDIR"));
    if cfg!(target_os = "linux") {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let output = command.stdout(full.unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("cannot write standard output"), "{errors}");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
