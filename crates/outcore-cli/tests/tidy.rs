//! The floors of the program, checked: imports go only down, and commands do not name each other.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `src/` from the bottom up. A file names its own floor and lower ones.
const FLOORS: &[&[&str]] = &[
    &["failure", "file_id", "random", "size"],
    &["memory", "progress", "scratch", "signals", "threads"],
    &["input"],
    &["record"],
    &["output"],
    &["front"],
    &["cmd"],
];

#[test]
fn imports_go_only_down() {
    let sources = sources();
    assert!(sources.len() > 20);
    let found = sources.iter().flat_map(|(path, text)| wrong(path, text));
    let found: Vec<_> = found.collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn planted_violations_are_found() {
    for (path, line, expected) in [
        (
            "failure.rs",
            "use crate::threads::turn::Stopped;",
            "a higher floor",
        ),
        (
            "output/mod.rs",
            "fn to(args: &crate::cmd::dedup::args::DedupArgs) {}",
            "a higher floor",
        ),
        (
            "input/reader.rs",
            "use crate::record::key::Key;",
            "a higher floor",
        ),
        (
            "cmd/doctor/mod.rs",
            "use crate::cmd::dedup::space;",
            "another command",
        ),
        ("record/key.rs", "use crate::{cmd};", "the full path"),
        ("record/key.rs", "use super::super::cmd;", "the full path"),
        ("homeless.rs", "fn f() {}", "on no floor"),
    ] {
        let found = wrong(path, &format!("{line}\n"));
        let caught = found.iter().any(|violation| violation.contains(expected));
        assert!(caught, "{path}: {line}: {found:?}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (path, line) in [
        (
            "cmd/dedup/mod.rs",
            "use crate::cmd::dedup::args::DedupArgs;",
        ),
        ("cmd/mod.rs", "use crate::cmd::dedup::args::DedupArgs;"),
        ("cmd/manual.rs", "use crate::cmd::Args;"),
        ("threads/turn.rs", "use crate::failure::Failure;"),
        ("failure.rs", "// crate::cmd in a comment"),
        ("failure.rs", "use super::*;"),
    ] {
        let found = wrong(path, &format!("{line}\n"));
        assert!(found.is_empty(), "{path}: {line}: {found:?}");
    }
}

/// Returns one line for each import that the file `path` under `src/` may not have.
fn wrong(path: &str, text: &str) -> Vec<String> {
    if path == "lib.rs" || path == "main.rs" {
        return Vec::new();
    }
    let mut parts = path.trim_end_matches(".rs").split('/');
    let module = parts.next().unwrap();
    let command = parts.next().unwrap_or("mod");
    let Some(floor) = FLOORS.iter().position(|floor| floor.contains(&module)) else {
        return vec![format!("{path}: on no floor; add the module to FLOORS")];
    };
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split("//").next().unwrap_or_default();
        let mut report = |what: &str| found.push(format!("{path}:{number}: {what}: {line}"));
        if line.contains("super::super") || line.contains("crate::{") {
            report("write the full path, one module a line");
        }
        for named in line.split("crate::").skip(1) {
            let mut named = named.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            let mut named = named.next().unwrap_or_default().split("::");
            let top = named.next().unwrap_or_default();
            if FLOORS[floor + 1..].concat().contains(&top) {
                report("names a higher floor");
            }
            // `cmd` itself has what all commands share: the definition of the command line.
            let other = named.next().unwrap_or_default();
            let is_module = other.starts_with(|first: char| first.is_ascii_lowercase());
            let is_own = command == "mod" || other == command;
            if module == "cmd" && top == "cmd" && is_module && !is_own {
                report("names another command");
            }
        }
    }
    found
}

/// Returns every file under `src/`: its path from there, and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut pending = vec![root.clone()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let relative = path.strip_prefix(&root).unwrap().to_str().unwrap();
        (relative.to_owned(), fs::read_to_string(path).unwrap())
    };
    files.iter().map(read).collect()
}
