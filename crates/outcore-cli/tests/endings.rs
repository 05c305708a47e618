//! How runs of commands end that do not end well, and how much memory all of `outcore dedup` take.
#![cfg(target_os = "linux")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::{TestDir, failure, model, outcore, row};

/// Commands that put aside what they read, and begin to write when they have read all.
const DEDUP: &[&str] = &["dedup", "--test-chunk", "4K", "--test-index", "1"];
const COUNT: &[&str] = &["count", "--test-chunk", "4K", "--test-groups", "4M"];
const SHUF: &[&str] = &["shuf", "--test-chunk", "4K", "--test-shuffler", "4M"];

/// Starts a run that has put something aside and waits for more input.
fn waiting(command: &[&str], dir: &TestDir, file: &PathBuf) -> Child {
    let mut command = outcore(command);
    command
        .arg("--tmp")
        .arg(&dir.0)
        .arg(file)
        .arg("-")
        .arg("--output")
        .arg(dir.path("out"));
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // More than pipe and buffers hold: when this is through, most of it has been read.
    let line = b"some more\n".repeat(100_000);
    child.stdin.as_mut().unwrap().write_all(&line).unwrap();
    child
}

fn numbers(count: u64) -> Vec<u8> {
    let lines = (0..count).map(|n| format!("line {n}\n"));
    lines.collect::<String>().into_bytes()
}

#[test]
fn a_killed_run_leaves_the_output_as_it_was() {
    let dir = TestDir::new("kill");
    if dir.is_in_memory() {
        return;
    }
    let file = dir.write("file", numbers(50_000));
    dir.write("out", "as before\n");
    let mut child = waiting(DEDUP, &dir, &file);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read(dir.path("out")).unwrap(), b"as before\n");
    assert_eq!(dir.names(), ["file", "out"]);
}

#[test]
fn a_signal_is_one_line_and_its_own_exit_code() {
    let dir = TestDir::new("signal");
    if dir.is_in_memory() {
        return;
    }
    let signals = [("INT", 130), ("TERM", 143), ("HUP", 129)];
    for (command, lines) in [(DEDUP, 50_000), (COUNT, 300_000), (SHUF, 300_000)] {
        let file = dir.write("file", numbers(lines));
        dir.write("out", "as before\n");
        for (signal, code) in signals {
            let mut child = waiting(command, &dir, &file);
            // Open until the end: the run has to wait.
            let stdin = child.stdin.take();
            let mut kill = Command::new("kill");
            let sent = kill.args(["-s", signal, &child.id().to_string()]).status();
            if !sent.is_ok_and(|sent| sent.success()) {
                eprintln!("kill is missing: no signals sent");
                child.kill().unwrap();
                child.wait().unwrap();
                return;
            }
            let output = child.wait_with_output().unwrap();
            drop(stdin);
            assert_eq!(output.status.code(), Some(code), "{command:?}: {output:?}");
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(text.ends_with("outcore: stopped by a signal\n"), "{text}");
            assert_eq!(fs::read(dir.path("out")).unwrap(), b"as before\n");
            assert_eq!(dir.names(), ["file", "out"]);
        }
    }
}

/// A small tmpfs, gone with its value; `None` where this user may not mount one.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(dir: &TestDir, size: &str) -> Option<Self> {
        let path = dir.path("tmpfs");
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]);
        let mounted = mount.arg(&path).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|mounted| mounted.success()) {
            return Some(Self(path));
        }
        eprintln!("this user may not mount a tmpfs: no full disk here");
        None
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().ok();
    }
}

#[test]
fn a_full_disk_leaves_the_output_as_it_was() {
    let dir = TestDir::new("tmpfs");
    let file = dir.write("file", numbers(200_000));
    let Some(tmpfs) = Tmpfs::mount(&dir, "1M") else {
        return;
    };
    let out = tmpfs.0.join("out");
    fs::write(&out, "as before\n").unwrap();
    for command in [
        &["dedup"][..],
        &["dedup", "--duplicates", "/dev/null"],
        &["count"],
        &["count", "--by-key"],
        &["shuf"],
    ] {
        let run = |more: &[&str]| {
            let mut run = outcore(&[command, more].concat());
            run.args(["-q", "-o"]).arg(&out).arg("--tmp").arg(&dir.0);
            failure(&run.arg(&file).output().unwrap())
        };
        let text = run(&[]);
        let is_known = text.contains("may take up to ") && text.contains("--no-space-check");
        assert!(is_known, "{command:?}: {text}");
        let text = run(&["--no-space-check"]);
        let is_full = text.contains("No space left on device");
        assert!(is_full, "{command:?}: {text}");
        assert_eq!(fs::read(&out).unwrap(), b"as before\n");
        assert_eq!(fs::read_dir(&tmpfs.0).unwrap().count(), 1);
    }
}

#[test]
fn scratch_files_in_memory_are_refused() {
    let dir = TestDir::new("scratch");
    let file = dir.write("file", numbers(100_000));
    let Some(tmpfs) = Tmpfs::mount(&dir, "1M") else {
        return;
    };
    let mut command = outcore(&["dedup", "-q", "--test-index", "1", "--tmp"]);
    command.arg(&tmpfs.0).arg(&file).stdout(Stdio::null());
    let text = failure(&command.output().unwrap());
    assert!(text.contains("lives in memory"), "{text}");
}

/// Lines of all kinds, and one of 24 MiB, in a file of some 40 MiB.
fn much(dir: &TestDir) -> PathBuf {
    let mut text = numbers(500_000);
    text.resize(text.len() + (24 << 20), b'x');
    text.extend(b"\n\n\n".repeat(100_000));
    text.extend(numbers(400_000));
    dir.write("much", text)
}

#[test]
fn memory_stays_below_the_promise() {
    let dir = TestDir::new("promise");
    if dir.is_in_memory() {
        return;
    }
    let file = much(&dir);
    let out = dir.path("out");
    let mut sizes = Vec::new();
    for (mib, options) in [
        (20, &[][..]),
        (32, &["--threads", "4"]),
        (64, &[]),
        (256, &[]),
        (64, &["--count"]),
        (48, &["--ignore-case", "--trim", "--threads", "3"]),
    ] {
        let memory = format!("{mib}MiB");
        let mut command = outcore(&["dedup", "--memory", &memory, "--tmp"]);
        command
            .arg(&dir.0)
            .args(options)
            .arg(&file)
            .arg("-o")
            .arg(&out);
        let output = command.output().unwrap();
        let peak = row(&output, "peak resident MiB");
        assert!(peak <= f64::from(mib), "{peak} MiB of {mib}, {options:?}");
        sizes.push(fs::metadata(&out).unwrap().len());
        if mib == 20 {
            assert!(row(&output, "bytes of scratch") > 0.0, "all of it fits");
            assert!(fs::read(&out).unwrap() == model(&[&file]));
        }
    }
    assert_eq!(
        (sizes[1], sizes[2], sizes[3]),
        (sizes[0], sizes[0], sizes[0])
    );
}

/// Bytes of a line that memory could not hold.
const LONG_LEN: usize = 60 << 20;

#[test]
fn a_line_far_longer_than_memory_is_a_line_like_others() {
    let dir = TestDir::new("long-line");
    if dir.is_in_memory() {
        return;
    }
    // Two are equal, one differs in its last byte; the last has no newline.
    let line = |last: &[u8]| [&vec![b'x'; LONG_LEN - 1], last].concat();
    let text = [
        &line(b"y"),
        b"\nshort\n".as_slice(),
        &line(b"z"),
        b"\n",
        &line(b"y"),
        b"\nshort\n",
        &line(b"z"),
    ]
    .concat();
    let expected = &text[..text.len() - 2 * LONG_LEN - 7];
    let file = dir.write("file", &text);
    let out = dir.path("out");
    // In memory, by way of scratch files, and from a pipe.
    for (options, is_piped) in [
        (&[][..], false),
        (&["--test-index", "1"], false),
        (&[], true),
    ] {
        let mut command = outcore(&["dedup", "--memory", "20M", "--tmp"]);
        command.arg(&dir.0).args(options).arg("-o").arg(&out);
        let output = if is_piped {
            command.arg("-").stdout(Stdio::piped());
            support::feed(command, &text)
        } else {
            command.arg(&file).output().unwrap()
        };
        let peak = row(&output, "peak resident MiB");
        assert!(peak <= 20.0, "{peak} MiB, {options:?}");
        assert!(fs::read(&out).unwrap() == expected, "{options:?}");
    }
}

#[test]
fn text_of_this_machine_comes_out_as_from_the_obvious_way() {
    let dir = TestDir::new("real");
    if dir.is_in_memory() {
        return;
    }
    for tree in [
        "/usr/include",
        "/usr/share/doc",
        "/usr/share/common-licenses",
    ] {
        let mut find = Command::new("find");
        find.args([tree, "-type", "f", "-size", "-400k"]);
        let found = find
            .output()
            .map(|output| output.stdout)
            .unwrap_or_default();
        let found = String::from_utf8_lossy(&found).into_owned();
        let mut paths: Vec<_> = found.lines().map(PathBuf::from).collect();
        paths.retain(|path| fs::read(path).is_ok_and(|bytes| !bytes.is_empty()));
        paths.truncate(1500);
        if paths.is_empty() {
            eprintln!("{tree} is missing");
            continue;
        }
        let expected = model(&paths.iter().collect::<Vec<_>>());
        for options in [&[][..], &["--test-index", "1", "--test-chunk", "8K"]] {
            let mut command = outcore(&["dedup", "-q", "--no-unpack", "--tmp"]);
            command.arg(&dir.0).args(options).args(&paths);
            let output = command.output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let mut kept = output.stdout;
            if !kept.ends_with(b"\n") {
                kept.push(b'\n');
            }
            assert!(kept == expected, "{tree} differs with {options:?}");
        }
    }
}
