//! `--memory` in a memory group: what a command takes stays within 32 MiB more, the page cache
//! included, or the kernel kills it. Making groups takes root.
#![cfg(target_os = "linux")]
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{TestDir, outcore};

/// A memory group, which goes with its value.
struct Group(PathBuf);

impl Group {
    /// Makes a group with a limit; without one, says why.
    fn new(name: &str, bytes: u64) -> Option<Self> {
        let name = format!("outcore-test-{name}-{}", std::process::id());
        let versions = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ];
        for (mount, limit) in versions {
            let path = Path::new(mount).join(&name);
            if fs::create_dir(&path).is_err() {
                continue;
            }
            let group = Self(path);
            // Where the controller is not there, neither is the file.
            if fs::write(group.0.join(limit), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        eprintln!("skipped: this user can make no memory group");
        None
    }

    /// Runs a command in the group.
    fn run(&self, command: &Command) -> Output {
        let mut inside = Command::new("sh");
        let enter = "echo $$ >\"$0\" && exec \"$@\"";
        inside.args(["-c", enter]).arg(self.0.join("cgroup.procs"));
        inside.arg(command.get_program()).args(command.get_args());
        inside.output().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What is in the page cache still belongs to a group of version 1.
        fs::write(self.0.join("memory.force_empty"), "0").ok();
        fs::remove_dir(&self.0).ok();
    }
}

const MIB: u64 = 1 << 20;

/// Writes lines of a sample.
fn sample(dir: &TestDir, size: &str) -> PathBuf {
    let output = outcore(&["sample", size]).output().unwrap();
    assert!(output.status.success());
    dir.write("sample", output.stdout)
}

#[test]
fn each_command_stays_within_its_memory_and_32_mib() {
    let dir = TestDir::new("groups");
    if dir.is_in_memory() {
        return;
    }
    let file = sample(&dir, "160M");
    let len = fs::metadata(&file).unwrap().len();
    for memory in [32, 64] {
        for (options, is_whole) in [
            (&["sort"][..], true),
            (&["sort", "-k", "2,2", "-k", "1,1r"], true),
            (&["sort", "-u"], false),
            (&["count"], false),
            (&["shuf", "--seed", "1"], true),
            (&["dedup"], false),
        ] {
            let name = format!("{}-{memory}", options[0]);
            let Some(group) = Group::new(&name, (memory + 32) * MIB) else {
                return;
            };
            let out = dir.path("out");
            let memory = format!("{memory}M");
            let mut command = outcore(options);
            command
                .args(["-q", "--memory", &memory, "--tmp"])
                .arg(&dir.0);
            command.arg("-o").arg(&out).arg(&file);
            let output = group.run(&command);
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{options:?} {memory}: {output:?}");
            assert!(text.is_empty(), "{options:?} {memory}: {text}");
            let written = fs::metadata(&out).unwrap().len();
            assert!(
                written == len || (!is_whole && written > len / 3),
                "{options:?}"
            );
        }
    }
}

/// The canary: a program that takes more is killed.
#[test]
fn a_group_kills_what_takes_more() {
    let dir = TestDir::new("groups-canary");
    let Some(group) = Group::new("canary", 32 * MIB) else {
        return;
    };
    if dir.is_in_memory() {
        return;
    }
    let file = sample(&dir, "80M");
    let mut command = outcore(&["sort", "-q", "--memory", "1G", "-o"]);
    let output = group.run(command.arg(dir.path("out")).arg(file));
    assert!(!output.status.success(), "{output:?}");
    assert!(!dir.names().contains(&"out".to_owned()));
}
