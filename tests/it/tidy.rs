//! The architecture, checked: floors, unsafe files, file sizes, wording.

use std::fs;
use std::path::{Path, PathBuf};

/// Floors from the bottom up. A file may name its own floor and lower ones.
const FLOORS: &[&[&str]] = &[&["error", "sys"], &["storage"], CONTAINERS];

/// The top floor. Its modules do not name each other.
const CONTAINERS: &[&str] = &["alloc", "arena", "ranged", "spill", "vec"];

/// Crates that reach the operating system. Only `src/sys` names them.
const SYSTEM_CRATES: &[&str] = &["rustix", "libc", "io_uring", "linux_raw_sys"];

/// The only files with unsafe code. docs/safety.md argues each.
const UNSAFE_FILES: &[&str] = &[
    "src/alloc/faults.rs",
    "src/alloc/mod.rs",
    "src/arena/map.rs",
    "src/arena/text.rs",
    "src/ranged/body.rs",
    "src/ranged/faults.rs",
    "src/ranged/loom.rs",
    "src/ranged/part/mod.rs",
    "src/ranged/part/tests.rs",
    "src/ranged/raw.rs",
    "src/spill/calls.rs",
    "src/spill/faults.rs",
    "src/spill/mod.rs",
    "src/spill/shuttle.rs",
    "src/storage/blocks/faults.rs",
    "src/storage/blocks/mod.rs",
    "src/storage/blocks/moves.rs",
    "src/storage/blocks/resize.rs",
    "src/storage/blocks/runs.rs",
    "src/storage/blocks/table.rs",
    "src/storage/file.rs",
    "src/storage/region/copy.rs",
    "src/storage/region/give_back.rs",
    "src/storage/region/mod.rs",
    "src/storage/region/residency.rs",
    "src/storage/view.rs",
    "src/sys/buffer.rs",
    "src/sys/fault.rs",
    "src/sys/heap/file.rs",
    "src/sys/heap/space.rs",
    "src/sys/unix/fork.rs",
    "src/sys/unix/process.rs",
    "src/sys/unix/ring.rs",
    "src/sys/unix/space.rs",
    "src/vec/gather.rs",
    "src/vec/grow.rs",
    "src/vec/iter.rs",
    "src/vec/mod.rs",
    "src/vec/remove.rs",
];

/// Lines a source file may have, tests excluded.
const LINES_MAX: usize = 500;

#[test]
fn the_sources_keep_the_rules() {
    let sources = sources("src");
    assert!(!sources.is_empty());
    let mut found: Vec<_> = sources
        .iter()
        .flat_map(|(path, text)| violations(path, text))
        .collect();
    for path in UNSAFE_FILES {
        if !sources.iter().any(|(source, _)| source == path) {
            found.push(format!("{path}: listed in UNSAFE_FILES, but gone"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_tests_and_tools_are_tidy_too() {
    let sources = ["tests", "crates"].map(sources).concat();
    assert!(!sources.is_empty());
    let found: Vec<_> = sources
        .iter()
        .filter(|(path, _)| !path.ends_with("/tidy.rs"))
        .flat_map(|(path, text)| wording(path, text))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn planted_violations_are_found() {
    let planted = [
        (
            "src/sys/unix/file.rs",
            "use crate::storage::region::Region;",
            "names a higher floor",
        ),
        (
            "src/storage/dir.rs",
            "fn to(arena: &crate::arena::Arena) {}",
            "names a higher floor",
        ),
        (
            "src/vec/iter.rs",
            "use crate::arena::Location;",
            "names its sibling",
        ),
        ("src/vec/iter.rs", "use crate::Error;", "the full path"),
        ("src/vec/iter.rs", "use crate::{error};", "the full path"),
        (
            "src/vec/iter.rs",
            "use super::super::arena;",
            "the full path",
        ),
        (
            "src/storage/dir.rs",
            "use crate::sys::fault::arm;",
            "faults outside of tests",
        ),
        ("src/storage/dir.rs", "use rustix::fs;", "outside src/sys"),
        (
            "src/storage/dir.rs",
            "use rustix as kernel;",
            "outside src/sys",
        ),
        ("src/storage/dir.rs", "unsafe { read() }", "unsafe code"),
        ("src/storage/view.rs", "fn safe() {}", "unsafe code"),
        ("src/misc.rs", "fn homeless() {}", "stands on no floor"),
        ("src/error.rs", "// FIXME", "left behind"),
        ("src/error.rs", "todo!()", "left behind"),
        (
            "src/error.rs",
            "const SPOT: &str = \"/home/me/outcore\";",
            "a path of one machine",
        ),
        (
            "src/error.rs",
            "const DASH: char = '\u{2013}';",
            "non-ASCII character",
        ),
        ("src/error.rs", &"//\n".repeat(LINES_MAX), "split it"),
    ];
    for (path, line, expected) in planted {
        let found = violations(path, &format!("//! Planted.\n{line}\n"));
        let caught = found.iter().any(|violation| violation.contains(expected));
        assert!(
            caught,
            "{path}: {line}: expected '{expected}', found {found:?}"
        );
    }
    let found = violations("src/error.rs", "fn unexplained() {}\n");
    assert!(
        found
            .iter()
            .any(|violation| violation.contains("what it is"))
    );
}

#[test]
fn what_is_allowed_is_not_reported() {
    let allowed = [
        ("src/arena/mod.rs", "use crate::storage::dir::ScratchDir;"),
        ("src/arena/mod.rs", "use crate::arena::tag::Tag;"),
        (
            "src/sys/heap/space.rs",
            "use crate::sys::heap::file::File; // unsafe {}\nunsafe fn f() {}",
        ),
        ("src/sys/unix/dir.rs", "use rustix::fs;"),
        (
            "src/storage/dir.rs",
            "// unsafe, rustix::fs and crate::arena::Arena in a comment",
        ),
        (
            "src/storage/dir.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::sys::fault::arm;\n}",
        ),
        ("src/arena/faults.rs", "use crate::sys::fault::arm;"),
        ("src/lib.rs", "pub use crate::error::Error;"),
    ];
    for (path, line) in allowed {
        let found = violations(path, &format!("//! Planted.\n{line}\n"));
        assert!(found.is_empty(), "{path}: {line}: {found:?}");
    }
}

/// Returns one line for each rule that the file `path` under src/ breaks.
fn violations(path: &str, text: &str) -> Vec<String> {
    let mut found = wording(path, text);
    let inside = path.trim_start_matches("src/");
    let module = inside.split(['/', '.']).next().unwrap();
    let floor = FLOORS.iter().position(|modules| modules.contains(&module));
    if floor.is_none() && module != "lib" {
        found.push(format!(
            "{path}: stands on no floor; add the module to FLOORS"
        ));
    }

    let tests_start = code_of(path, text).lines().count();
    let mut has_unsafe = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("//") {
            continue;
        }
        let line = line.split("// ").next().unwrap_or_default();
        let mut report = |what: &str| found.push(format!("{path}:{number}: {what}: {line}"));
        has_unsafe |= words(line).any(|word| word == "unsafe");
        if module != "sys" && words(line).any(|word| SYSTEM_CRATES.contains(&word)) {
            report("a system crate outside src/sys");
        }
        let in_tests = number > tests_start;
        if module != "sys" && line.contains("sys::fault") && !in_tests {
            report("names the faults outside of tests");
        }
        if line.contains("super::super") {
            report("write the full path, one item a line");
        }
        let Some(floor) = floor else { continue };
        for rest in line.split("crate::").skip(1) {
            let named = words(rest).next().unwrap_or_default();
            if FLOORS[floor + 1..].concat().contains(&named) {
                report("names a higher floor");
            }
            if CONTAINERS.contains(&module) && CONTAINERS.contains(&named) && named != module {
                report("names its sibling");
            }
            if !named.starts_with(|first: char| first.is_ascii_lowercase()) {
                report("write the full path, one item a line");
            }
        }
    }
    if has_unsafe != UNSAFE_FILES.contains(&path) {
        found.push(format!("{path}: unsafe code and UNSAFE_FILES disagree"));
    }
    found
}

/// Returns one line for each rule on wording and length that the file breaks.
fn wording(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = code_of(path, text).lines().count();
    if lines > LINES_MAX {
        found.push(format!("{path}: {lines} lines; split it along a concept"));
    }
    if !text.starts_with("//!") {
        found.push(format!("{path}: starts without saying what it is"));
    }
    if !text.is_ascii() {
        found.push(format!("{path}: non-ASCII character"));
    }
    for word in ["FIXME", "XXX", "HACK", "todo!"] {
        if text.contains(word) {
            found.push(format!("{path}: {word} left behind"));
        }
    }
    for place in ["/home/", "/Users/"] {
        if text.contains(place) {
            found.push(format!("{path}: {place}: a path of one machine"));
        }
    }
    found
}

/// Returns the text before the tests of the file; nothing of a file that is all tests, which its
/// parent declares with `#[cfg(test)]`.
fn code_of<'text>(path: &str, text: &'text str) -> &'text str {
    let all_tests = ["/faults.rs", "/tests.rs", "/sys/plan.rs"];
    if all_tests.iter().any(|name| path.ends_with(name)) || path.contains("/campaign/") {
        return "";
    }
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

/// Splits a line into identifiers and keywords.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Returns every Rust file under a folder: its path from the repository root, and its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pending = vec![root.join(folder)];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let read = |path: &PathBuf| {
        let relative = path.strip_prefix(root).unwrap().to_str().unwrap();
        (relative.to_owned(), fs::read_to_string(path).unwrap())
    };
    files.iter().map(read).collect()
}
