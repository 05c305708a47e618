//! A line of 1 GiB between others: `outcore sort` beside `LC_ALL=C sort`.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use crate::support::{TestDir, outcore, row};

const GIB: u64 = 1 << 30;

/// Returns a number of a command's output that follows a word.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Whether there is room for it: GNU sort holds the line, and three files have it.
fn has_room(dir: &Path) -> bool {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = number_after(&memory, "MemAvailable:").unwrap_or(0) << 10;
    let mut df = Command::new("df");
    let output = df.args(["--output=avail", "-B1"]).arg(dir).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let disk = text
        .lines()
        .last()
        .and_then(|line| line.trim().parse().ok());
    memory >= 6 * GIB && disk.unwrap_or(0) >= 8 * GIB
}

fn is_same(one: &Path, other: &Path) -> bool {
    Command::new("cmp")
        .arg(one)
        .arg(other)
        .status()
        .unwrap()
        .success()
}

#[test]
fn a_line_of_a_gibibyte_comes_where_gnu_sort_has_it() {
    let dir = TestDir::new("sort-gibibyte");
    if dir.is_in_memory() || !has_room(&dir.0) {
        eprintln!("skipped: a line of 1 GiB takes 6 GiB of memory and 8 GiB of disk");
        return;
    }
    let file = dir.path("file");
    let made = OpenOptions::new().write(true).create_new(true).open(&file);
    let mut text = BufWriter::new(made.unwrap());
    let piece = vec![b'x'; 1 << 20];
    text.write_all(b"y\nxx\n").unwrap();
    for _ in 0..1 << 10 {
        text.write_all(&piece).unwrap();
    }
    text.write_all(b"\n\nx\nxxxy").unwrap();
    text.into_inner().unwrap();
    let mut gnu = Command::new("sort");
    gnu.env("LC_ALL", "C")
        .args(["-S", "3G"])
        .arg("-T")
        .arg(&dir.0);
    let expected = dir.path("expected");
    let sorted = gnu.arg("-o").arg(&expected).arg(&file).status();
    if !sorted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no sort here that sorts it");
        return;
    }
    let out = dir.path("out");
    let mut command = outcore(&["sort", "--memory", "64M", "--tmp"]);
    command.arg(&dir.0).arg("-o").arg(&out).arg(&file);
    let output = command.output().unwrap();
    let peak = row(&output, "peak resident MiB");
    assert!(peak <= 64.0, "{peak} MiB of 64");
    assert!(is_same(&out, &expected), "a line of 1 GiB differs");
}
