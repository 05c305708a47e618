//! Outputs that are one file with another output or with an input, whatever names they have.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{TestDir, failure, outcore};

const LINES: &str = "a\nb\na\n";

/// Runs the program in a directory.
fn run(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = outcore(&["dedup", "-q"]);
    command.current_dir(dir).args(arguments).output().unwrap()
}

/// Lets a shell run `outcore dedup -q` with redirections.
fn shell(dir: &Path, rest: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("\"$1\" dedup -q {rest}"), "sh"]);
    command.arg(env!("CARGO_BIN_EXE_outcore")).current_dir(dir);
    command.output().unwrap()
}

/// `dedup small.txt -o ./out.txt -d out.txt` with no out.txt compared the texts of the paths: the
/// repeats took the place of the kept lines, and the exit code was 0.
#[test]
fn two_outputs_that_would_be_one_file_are_refused() {
    let dir = TestDir::new("one-output");
    dir.write("in", LINES);
    let inside = dir.path("inside");
    fs::create_dir(&inside).unwrap();
    symlink(".", dir.path("here")).unwrap();
    symlink("inside", dir.path("there")).unwrap();
    for (output, duplicates) in [
        ("./out", "out"),
        ("here/out", "out"),
        ("inside/out", "there/out"),
        ("inside/../out", "here/here/out"),
    ] {
        let output = run(&dir.0, &["in", "-o", output, "-d", duplicates]);
        assert!(failure(&output).contains("the same file"), "{duplicates}");
        assert_eq!(dir.names(), ["here", "in", "inside", "there"]);
        assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);
    }
    // Of files that are there, all names count.
    dir.write("out", "old");
    fs::hard_link(dir.path("out"), dir.path("hard")).unwrap();
    symlink("out", dir.path("soft")).unwrap();
    for duplicates in ["./out", "hard", "soft", "here/soft"] {
        let output = run(&dir.0, &["in", "-o", "out", "-d", duplicates]);
        assert!(failure(&output).contains("the same file"), "{duplicates}");
        assert_eq!(fs::read(dir.path("out")).unwrap(), b"old");
    }
    // Other files of that name are other files.
    let output = run(&dir.0, &["in", "-o", "out", "-d", "inside/out"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read(dir.path("out")).unwrap(), b"a\nb\n");
    assert_eq!(fs::read(inside.join("out")).unwrap(), b"a\n");
}

/// Kept lines went to the file that standard output was, and the repeats took its place.
#[test]
fn standard_output_and_an_output_that_are_one_file_are_refused() {
    let dir = TestDir::new("stdout");
    dir.write("in", LINES);
    for rest in ["in -d out >out", "in -d ./out >>out", "in -d - >out"] {
        let output = shell(&dir.0, rest);
        assert!(failure(&output).contains("the same file"), "{rest}");
    }
    // Nothing is lost in a device.
    assert!(shell(&dir.0, "in -d - >/dev/null").status.success());
    let output = shell(&dir.0, "in -o /dev/null -d /dev/null");
    assert!(output.status.success(), "{output:?}");
}

/// What standard error says goes to the file that was there, which is gone once another has taken
/// its place.
#[test]
fn an_output_that_is_also_standard_error_is_refused() {
    let dir = TestDir::new("stderr");
    dir.write("in", LINES);
    for rest in [
        "in -o log 2>>log",
        "in -d log --report json 2>>log >/dev/null",
    ] {
        dir.write("log", "");
        let output = shell(&dir.0, rest);
        assert_eq!(output.status.code(), Some(1), "{rest}");
        let log = fs::read_to_string(dir.path("log")).unwrap();
        assert!(log.contains("standard error"), "{rest}: {log}");
    }
    let output = shell(&dir.0, "in >both 2>&1");
    assert!(output.status.success(), "{output:?}");
}

/// `dedup k.txt -d k.txt >/dev/null` replaced the input by its repeats.
#[test]
fn duplicates_do_not_replace_an_input() {
    let dir = TestDir::new("input");
    fs::create_dir(dir.path("tree")).unwrap();
    let file = dir.write("tree/k", LINES);
    dir.write("empty", "");
    fs::hard_link(&file, dir.path("hard")).unwrap();
    symlink("tree/k", dir.path("soft")).unwrap();
    for rest in [
        "tree/k -d tree/k",
        "tree/k -d tree/../tree/k",
        "tree/k -d hard",
        "hard -d soft",
        "tree/* -d tree/k",
        "-r tree -d hard",
        "empty -d empty",
        "- -d tree/k <tree/k",
        "--unit file -r tree -d tree/k",
    ] {
        let output = shell(&dir.0, &format!("{rest} >/dev/null"));
        assert!(failure(&output).contains("is also an input"), "{rest}");
        assert_eq!(fs::read_to_string(&file).unwrap(), LINES, "{rest}");
    }
    // The kept lines may take an input's place.
    let output = run(&dir.0, &["tree/k", "-o", "hard", "-d", "repeats"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read(dir.path("hard")).unwrap(), b"a\nb\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), LINES);
}

/// The arguments were looked at, and not what directories and patterns have led to: a file that is
/// read while it grows.
#[test]
fn an_input_found_in_a_directory_that_is_also_standard_output_is_refused() {
    let dir = TestDir::new("found");
    fs::create_dir(dir.path("tree")).unwrap();
    dir.write("tree/k", LINES);
    for rest in [
        "-r tree >>tree/k",
        "'tree/*' >>tree/k",
        "- <tree/k >>tree/k",
    ] {
        let output = shell(&dir.0, rest);
        assert!(failure(&output).contains("standard output"), "{rest}");
        assert_eq!(fs::read_to_string(dir.path("tree/k")).unwrap(), LINES);
    }
}

/// A pipe that the program reads and writes: it waited for itself, for ever.
#[test]
fn a_pipe_that_is_input_and_output_is_refused() {
    let dir = TestDir::new("pipe");
    let made = Command::new("mkfifo").arg(dir.path("pipe")).status();
    if !made.is_ok_and(|ended| ended.success()) {
        return;
    }
    for option in ["-o", "-d"] {
        let output = run(&dir.0, &["pipe", option, "pipe"]);
        assert!(failure(&output).contains("is also an input"), "{option}");
    }
}

/// The end of a run was too late for an output that is called like a directory.
#[test]
fn an_output_without_a_file_name_is_refused_before_anything_is_read() {
    let dir = TestDir::new("slash");
    for path in ["new/", "new/.", "new/.."] {
        let output = run(&dir.0, &["-", "-o", path]);
        let message = failure(&output);
        assert!(message.contains(&format!(" {path}: ")), "{message}");
        assert!(dir.names().is_empty());
    }
}

/// Two names can turn into one while the program runs, and on a file system that takes capital and
/// small letters for equal they were one before, and nothing told so: the repeats took the place of
/// the kept lines.
#[test]
fn repeats_do_not_take_the_place_of_kept_lines_that_are_just_there() {
    let dir = TestDir::new("turned");
    fs::create_dir(dir.path("a")).unwrap();
    fs::create_dir(dir.path("b")).unwrap();
    let pipe = dir.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|ended| ended.success()) {
        return;
    }
    let mut command = outcore(&["dedup", "-q", "pipe", "-o", "a/out", "-d", "b/out"]);
    command.current_dir(&dir.0).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // The program opens it when it has opened the outputs.
    let mut input = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    fs::rename(dir.path("b"), dir.path("c")).unwrap();
    symlink("a", dir.path("b")).unwrap();
    input.write_all(LINES.as_bytes()).unwrap();
    drop(input);
    let text = failure(&child.wait_with_output().unwrap());
    assert!(text.contains("the same file"), "{text}");
    assert_eq!(fs::read(dir.path("a/out")).unwrap(), b"a\nb\n");
}
