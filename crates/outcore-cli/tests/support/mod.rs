//! What the tests of the program share: directories, runs, and the obvious way.
#![allow(
    dead_code,
    reason = "each test binary uses a part of this, so an expectation would not hold"
)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "support functions of tests are not seen as tests"
)]

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A directory that goes with its value.
pub struct TestDir(pub PathBuf);

impl TestDir {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = path.join(format!("dedup-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Whether scratch files would live in memory here, which is refused. Says so.
    pub fn is_in_memory(&self) -> bool {
        let mut stat = Command::new("stat");
        let output = stat.args(["-f", "-c", "%T"]).arg(&self.0).output();
        let output = output.unwrap();
        let in_memory = matches!(output.stdout.as_slice(), b"tmpfs\n" | b"ramfs\n");
        if in_memory {
            eprintln!("the target directory is in memory: no scratch files there");
        }
        in_memory
    }

    /// The names in the directory, in order.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

pub fn outcore(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcore"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs `outcore dedup -q` on files and returns what it wrote to standard output.
pub fn dedup(files: &[&PathBuf]) -> Vec<u8> {
    let output = outcore(&["dedup", "-q"]).args(files).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    output.stdout
}

/// Runs a command with these bytes on standard input.
pub fn feed(mut command: Command, bytes: &[u8]) -> Output {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A child that fails early does not read all.
        scope.spawn(move || stdin.write_all(bytes).ok());
        child.wait_with_output().unwrap()
    })
}

/// Asserts exit code 1 and one line on standard error; returns it.
pub fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("outcore: "), "{text}");
    text
}

/// What awk makes of the files, if there is an awk.
pub fn awk(files: &[&PathBuf]) -> Option<Vec<u8>> {
    let mut command = Command::new("awk");
    command.env("LC_ALL", "C").arg("!seen[$0]++").args(files);
    let Ok(output) = command.output() else {
        eprintln!("awk is missing: compared with the model only");
        return None;
    };
    assert!(output.status.success(), "{output:?}");
    Some(output.stdout)
}

/// The obvious way, with a newline at the end of every line.
pub fn model(files: &[&PathBuf]) -> Vec<u8> {
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for file in files {
        let text = fs::read(file).unwrap();
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            if seen.insert(line.to_vec()) {
                kept.extend_from_slice(line);
                kept.push(b'\n');
            }
        }
    }
    kept
}

/// Compares the program with the model and with awk, which both end the last line.
pub fn assert_equals_awk(files: &[&PathBuf]) {
    let expected = model(files);
    let mut kept = dedup(files);
    let complete = kept.is_empty() || kept.ends_with(b"\n");
    let ends = fs::read(files.last().unwrap()).unwrap();
    assert!(complete || !ends.ends_with(b"\n"));
    if !complete {
        kept.push(b'\n');
    }
    // No assert_eq: nobody wants to read megabytes.
    assert!(kept == expected, "differs from the model: {files:?}");
    if let Some(awk) = awk(files) {
        assert!(kept == awk, "differs from awk: {files:?}");
    }
}

/// Lines that repeat, some of them long, over all bytes there are.
pub fn noise(lines: u64, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = move |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005) | 1;
        state = state.wrapping_add(1_442_695_040_888_963_406);
        (state >> 33) % limit
    };
    let mut text = Vec::new();
    for _ in 0..lines {
        let start = next(200);
        let len = match next(100) {
            0 => 3000,
            1..=9 => 0,
            _ => 1 + next(3),
        };
        let bytes = (start..start + len).map(|byte| u8::try_from(byte % 256).unwrap());
        text.extend(bytes.filter(|&byte| byte != b'\n'));
        text.push(b'\n');
    }
    text
}

/// Returns a number of the summary.
pub fn row(output: &Output, label: &str) -> f64 {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(label));
    let value = value.unwrap_or_else(|| panic!("no {label} in {text}"));
    value.trim().replace(',', "").parse().unwrap()
}
