//! Runs of `outcore dedup` that end in the second pass, while the output takes its place, or when
//! one of its disks is full: whatever the phase, the output is as it was, and nothing is left.
#![cfg(target_os = "linux")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{TestDir, failure, model, outcore};

/// Chunk and index that let a few thousand lines go to disk and be divided there.
const SMALL: [&str; 4] = ["--test-chunk", "4K", "--test-index", "90000"];

fn numbers(count: u64, distinct: u64) -> Vec<u8> {
    let lines = (0..count).map(|n| format!("line {}\n", n % distinct));
    lines.collect::<String>().into_bytes()
}

/// A run in its second pass, which cannot go on since nobody takes the duplicates.
struct Halfway {
    child: Child,
    duplicates: File,
}

/// With counts, nothing is written before the second pass: a byte of the duplicates says that it has
/// begun, and a pipe holds far less than there are.
fn halfway(dir: &TestDir, file: &Path) -> Halfway {
    let pipe = dir.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let mut command = outcore(&["dedup", "-q", "--count", "--tmp"]);
    command.arg(&dir.0).args(SMALL).arg(file);
    command.arg("--duplicates").arg(&pipe);
    command.arg("--output").arg(dir.path("out"));
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut duplicates = File::options().read(true).open(&pipe).unwrap();
    fs::remove_file(&pipe).unwrap();
    duplicates.read_exact(&mut [0]).unwrap();
    Halfway { child, duplicates }
}

fn assert_untouched(dir: &TestDir) {
    assert_eq!(fs::read(dir.path("out")).unwrap(), b"as before\n");
    assert_eq!(dir.names(), ["file", "out"]);
}

/// The lines of a run that gets to its second pass, and an output that was there before.
fn prepared(name: &str) -> Option<(TestDir, PathBuf)> {
    let dir = TestDir::new(name);
    if dir.is_in_memory() {
        return None;
    }
    let file = dir.write("file", numbers(200_000, 80_000));
    dir.write("out", "as before\n");
    Some((dir, file))
}

#[test]
fn killed_in_the_second_pass_it_leaves_the_output() {
    let Some((dir, file)) = prepared("kill-second") else {
        return;
    };
    let mut run = halfway(&dir, &file);
    run.child.kill().unwrap();
    run.child.wait().unwrap();
    assert_untouched(&dir);
}

#[test]
fn stopped_in_the_second_pass_it_says_so_and_leaves_the_output() {
    let Some((dir, file)) = prepared("stop-second") else {
        return;
    };
    let run = halfway(&dir, &file);
    let mut kill = Command::new("kill");
    let sent = kill.args(["-s", "INT", &run.child.id().to_string()]);
    assert!(sent.status().unwrap().success());
    let output = run.child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(output.stderr, b"outcore: stopped by a signal\n");
    assert_untouched(&dir);
}

#[test]
fn an_input_that_shrinks_or_changes_between_the_passes_is_found_out() {
    for shrinks in [true, false] {
        let Some((dir, file)) = prepared("change-second") else {
            return;
        };
        let mut run = halfway(&dir, &file);
        if shrinks {
            let input = File::options().write(true).open(&file).unwrap();
            input.set_len(1_000_000).unwrap();
        } else {
            // As long as before, and as old: what has changed are the bytes.
            let time = fs::metadata(&file).unwrap().modified().unwrap();
            let mut text = fs::read(&file).unwrap();
            let last = text.len() - 2;
            text[last] = b'x';
            fs::write(&file, text).unwrap();
            File::options()
                .write(true)
                .open(&file)
                .and_then(|input| input.set_modified(time))
                .unwrap();
        }
        std::io::copy(&mut run.duplicates, &mut std::io::sink()).unwrap();
        let text = failure(&run.child.wait_with_output().unwrap());
        assert!(
            text.ends_with("file has changed while it was read\n"),
            "{text}"
        );
        assert_untouched(&dir);
    }
}

/// A reader of the duplicates that goes away ended the run with exit code 0, as one of standard
/// output does; but the output, which is a file, was not there.
#[test]
fn duplicates_that_nobody_takes_are_a_failure_where_the_output_is_a_file() {
    let Some((dir, file)) = prepared("pipe-second") else {
        return;
    };
    let run = halfway(&dir, &file);
    drop(run.duplicates);
    let text = failure(&run.child.wait_with_output().unwrap());
    assert!(text.contains("Broken pipe"), "{text}");
    assert_untouched(&dir);
}

#[test]
fn killed_while_the_output_takes_its_place_it_leaves_the_old_one_or_the_new_one() {
    let traced = |options: &[&str], program: &[&str]| {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null"]);
        strace.args(options).args(program);
        strace.stdin(Stdio::null()).stderr(Stdio::null()).status()
    };
    if !traced(&[], &["true"]).is_ok_and(|done| done.success()) {
        eprintln!("strace is missing, or may not trace: nobody is killed at a system call");
        return;
    }
    for call in ["fsync", "linkat", "renameat", "exit_group"] {
        for replaces in [true, false] {
            let dir = TestDir::new(&format!("publish-{call}-{replaces}"));
            let file = dir.write("file", numbers(20_000, 10_000));
            let expected = model(&[&file]);
            let out = dir.path("out");
            if replaces {
                dir.write("out", "as before\n");
            }
            let inject = format!("inject={call}:signal=KILL");
            let [from, to] = [&file, &out].map(|path| path.to_str().unwrap());
            let program = [env!("CARGO_BIN_EXE_outcore"), "dedup", "-q", from, "-o", to];
            let ended = traced(&["-e", &format!("trace={call}"), "-e", &inject], &program);
            let met = !ended.unwrap().success();
            let names = dir.names();
            let (before, after) = (b"as before\n".as_slice(), expected.as_slice());
            let seen = fs::read(&out).ok();
            match (call, replaces) {
                // A new file waits for no disk, and gets its name at once.
                ("fsync" | "renameat", false) => assert!(!met, "{call}"),
                _ => assert!(met, "{call} {replaces}"),
            }
            let is_in_place = !met || call == "exit_group";
            let expected = match (is_in_place, replaces) {
                (true, _) => Some(after),
                (false, true) => Some(before),
                (false, false) => None,
            };
            assert!(seen.as_deref() == expected, "{call} {replaces}");
            let others = names
                .iter()
                .filter(|name| !["file", "out"].contains(&name.as_str()));
            let others: Vec<_> = others.collect();
            if call == "renameat" && replaces {
                // Between the two system calls that replace a file, the whole one has a name.
                assert_eq!(others.len(), 1, "{names:?}");
                assert!(fs::read(dir.path(others[0])).unwrap() == after);
            } else {
                assert!(others.is_empty(), "{call} {replaces}: {names:?}");
            }
        }
    }
}

/// A disk of a few MiB, gone with its value; `None` where this user may not mount one.
struct Disk(PathBuf);

impl Disk {
    fn mount(dir: &TestDir, mib: u64) -> Option<Self> {
        let image = dir.path("image");
        fs::write(&image, "").unwrap();
        let file = File::options().write(true).open(&image).unwrap();
        file.set_len(mib << 20).unwrap();
        let path = dir.path("disk");
        fs::create_dir(&path).unwrap();
        let run = |command: &mut Command| {
            let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            ended.is_ok_and(|ended| ended.success())
        };
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.args(["-q", "-O", "^has_journal", "-m", "0"])
            .arg(&image);
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(&image).arg(&path);
        if run(&mut mkfs) && run(&mut mount) {
            return Some(Self(path));
        }
        eprintln!("no small disk can be mounted here: none is filled");
        None
    }

    fn free_bytes(&self) -> u64 {
        let mut stat = Command::new("stat");
        let output = stat
            .args(["-f", "-c", "%a %S"])
            .arg(&self.0)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (blocks, len) = text.trim().split_once(' ').unwrap();
        blocks.parse::<u64>().unwrap() * len.parse::<u64>().unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().ok();
    }
}

#[test]
fn a_disk_that_gets_full_in_whatever_phase_leaves_the_output() {
    let dir = TestDir::new("full");
    if dir.is_in_memory() {
        return;
    }
    let file = dir.write("file", numbers(200_000, 80_000));
    let expected = model(&[&file]);
    let Some(disk) = Disk::mount(&dir, 32) else {
        return;
    };
    let out = disk.0.join("out");
    fs::write(&out, "as before\n").unwrap();
    let ballast = disk.0.join("ballast");
    let names = |disk: &Disk| fs::read_dir(&disk.0).unwrap().count();
    fs::write(&ballast, "").unwrap();
    let before = names(&disk);
    let all = disk.free_bytes();
    let mut failures = Vec::new();
    let mut successes = 0;
    // With ever more space it gets ever further.
    for step in 0..24 {
        let left = step * all / 24;
        let mut fallocate = Command::new("fallocate");
        let len = (all - left).max(1).to_string();
        fallocate.args(["-l", &len]).arg(&ballast);
        if !fallocate.status().is_ok_and(|done| done.success()) {
            continue;
        }
        let mut command = outcore(&["dedup", "-q", "--no-space-check", "--tmp"]);
        command.arg(&disk.0).args(SMALL).arg(&file);
        let output = command.arg("--output").arg(&out).output().unwrap();
        if output.status.success() {
            assert!(fs::read(&out).unwrap() == expected, "{left} bytes");
            fs::write(&out, "as before\n").unwrap();
            successes += 1;
        } else {
            let text = failure(&output);
            assert!(text.contains("No space left on device"), "{text}");
            assert_eq!(fs::read(&out).unwrap(), b"as before\n", "{left} bytes");
            failures.push(text);
        }
        assert_eq!(names(&disk), before, "{left} bytes");
        fs::write(&ballast, "").unwrap();
    }
    assert!(successes > 0, "{failures:?}");
    // The output, and scratch files.
    assert!(
        failures.iter().any(|text| text.contains("cannot write ")),
        "{failures:?}"
    );
    assert!(
        failures.iter().any(|text| !text.contains("cannot write ")),
        "{failures:?}"
    );
}

/// The signal that the system sends to who writes past the limit ended the program without a word.
#[test]
fn a_limit_on_the_length_of_files_is_a_failure_and_no_signal() {
    let Some((dir, file)) = prepared("limit") else {
        return;
    };
    // Of the output; of scratch files.
    for options in [&[][..], &["--test-chunk", "4K", "--test-index", "1"]] {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -f 200; exec \"$@\"", "sh"]);
        command.args([env!("CARGO_BIN_EXE_outcore"), "dedup", "-q", "--tmp"]);
        command.arg(&dir.0).args(options).arg(&file);
        command.arg("--output").arg(dir.path("out"));
        let text = failure(&command.stdin(Stdio::null()).output().unwrap());
        // The system's words, or those of the library, which asks first.
        let words = ["File too large", "RLIMIT_FSIZE"];
        assert!(words.iter().any(|word| text.contains(word)), "{text}");
        assert_untouched(&dir);
    }
}
