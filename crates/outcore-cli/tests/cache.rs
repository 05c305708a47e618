//! What inputs leave in the page cache, in a memory group with room for all of them.
#![cfg(target_os = "linux")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{TestDir, outcore};

const MIB: u64 = 1 << 20;

/// How long the input is.
const LEN: u64 = 160 * MIB;

/// The limit of the group. Half of it is what inputs may leave.
const LIMIT: u64 = 256 * MIB;

/// A memory control group of version 1, below that of this process.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mut lines = text.lines().map(|line| line.splitn(3, ':'));
        let own = lines.find_map(|mut fields| {
            let controllers = fields.nth(1)?;
            let is_memory = controllers.split(',').any(|name| name == "memory");
            is_memory.then(|| fields.next()).flatten()
        })?;
        let name = format!("outcore-cli-{}", std::process::id());
        let path = Path::new("/sys/fs/cgroup/memory").join(own.trim_start_matches('/'));
        let path = path.join(name);
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        fs::write(group.0.join("memory.limit_in_bytes"), LIMIT.to_string()).ok()?;
        Some(group)
    }

    /// Returns a command that runs the program in the group.
    fn outcore(&self, arguments: &[&str]) -> Command {
        let program = outcore(arguments);
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]);
        command.arg(self.0.join("cgroup.procs"));
        command.arg(program.get_program()).args(program.get_args());
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).ok();
    }
}

/// Returns how many bytes of a file are in the page cache, as `fincore` of util-linux says.
fn cached_bytes(path: &Path) -> Option<u64> {
    let mut fincore = Command::new("fincore");
    let output = fincore
        .args(["-b", "-n", "-r", "-o", "RES"])
        .arg(path)
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn open(path: &Path) -> File {
    File::options().read(true).open(path).unwrap()
}

/// Takes a file out of the page cache.
fn make_cold(path: &Path) {
    open(path).sync_all().unwrap();
    let mut dd = Command::new("dd");
    dd.arg(format!("if={}", path.display()));
    let dropped = dd
        .args(["iflag=nocache", "count=0", "status=none"])
        .status();
    assert!(dropped.unwrap().success());
    assert_eq!(cached_bytes(path), Some(0));
}

/// Makes lines of about 4000 bytes, each once.
fn write_lines(path: &Path) {
    let mut text = Vec::new();
    let mut number = 0_u64;
    while (text.len() as u64) < LEN {
        text.extend(number.to_string().repeat(4000 / 8).into_bytes());
        text.push(b'\n');
        number += 1;
    }
    text.truncate(usize::try_from(LEN).unwrap());
    fs::write(path, text).unwrap();
}

/// An input that is longer than memory filled the page cache: it displaced what other programs had
/// there, and the kernel reclaimed a page for each that was read.
#[test]
fn inputs_leave_the_cache_as_far_as_they_have_no_place_in_the_share() {
    let dir = TestDir::new("cache");
    let (Some(group), false) = (Group::new(), dir.is_in_memory()) else {
        eprintln!("skipped: no memory group of version 1 can be made");
        return;
    };
    let input = dir.path("input");
    write_lines(&input);
    if cached_bytes(&input).is_none() {
        eprintln!("skipped: no fincore of util-linux");
        return;
    }
    let output = dir.path("output");
    let to = output.to_str().unwrap();
    let from = input.to_str().unwrap();
    let dedup = ["dedup", "-q", "--memory", "32MiB", "-o", to];
    let shuf = ["shuf", "-n", "10", "--memory", "32MiB", "-o", to];
    let runs: [(&[&str], bool); 3] = [(&shuf, false), (&dedup, false), (&dedup, true)];
    for (command, is_stdin) in runs {
        make_cold(&input);
        let name = command[0];
        let mut run = group.outcore(command);
        if is_stdin {
            run.arg("-").stdin(open(&input));
        } else {
            run.arg(from).stdin(Stdio::null());
        }
        assert!(run.status().unwrap().success(), "{name}");
        let left = cached_bytes(&input).unwrap();
        assert!(
            left <= LIMIT / 2 + 4 * MIB,
            "{name}: {left} bytes of the input are left"
        );
        assert!(
            left >= LIMIT / 4,
            "{name}: only {left} bytes of the input are left"
        );
    }
    // What was in the cache before stays, all of it.
    let mut all = fs::read(&input).unwrap();
    let run = group.outcore(&dedup).arg(from).status();
    assert!(run.unwrap().success());
    assert!(cached_bytes(&input).unwrap() >= LEN - MIB);
    if all.last() != Some(&b'\n') {
        all.push(b'\n');
    }
    let mut found = fs::read(&output).unwrap();
    if found.last() != Some(&b'\n') {
        found.push(b'\n');
    }
    assert!(found == all, "another output");
}
