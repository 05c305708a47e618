//! Checks of the architecture: floors, unsafe files, file sizes, wording.

use std::fs;
use std::path::{Path, PathBuf};

/// Floors from the bottom up. A module may name lower floors, and no other module of its own floor.
const FLOORS: &[&[&str]] = &[
    &["bug", "error"],
    &["exact"],
    &["sync"],
    &["sys"],
    &["budget"],
    &["io"],
    &["mapping", "read"],
    &["format"],
    &["heap"],
    &["containers"],
    &["composites"],
    &["external"],
];

/// Folders whose modules do not name each other, although they are on one floor.
const SIBLINGS: &[&str] = &["containers", "composites"];

/// Modules for tests, which may name every floor, and which only tests may name.
const TESTING: &str = "testing";

/// Crates that reach the operating system. Only `src/sys` names them.
const SYSTEM_CRATES: &[&str] = &["rustix", "libc", "windows_sys", "io_uring", "linux_raw_sys"];

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
    for path in unsafe_files() {
        if !sources.iter().any(|(source, _)| *source == path) {
            found.push(format!(
                "{path}: has a section in docs/safety.md, but is gone"
            ));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Rustdoc lists the methods of a type in the order of the modules that have them, and those of the
/// folder's own `mod.rs` last. So a page opened with what few programs need.
#[test]
fn the_pages_of_containers_open_with_their_basics() {
    let sources = sources("src/containers");
    for container in ["arena", "range_file", "vec"] {
        let path = format!("src/containers/{container}/mod.rs");
        let (_, text) = sources.iter().find(|(found, _)| *found == path).unwrap();
        let is_module =
            |line: &&str| line.starts_with("mod ") || line.starts_with("pub(crate) mod ");
        assert_eq!(text.lines().find(is_module), Some("mod basics;"), "{path}");
        // Without a blank line behind it, rustfmt would sort it in.
        assert!(text.contains("mod basics;\n\n"), "{path}");
    }
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

/// Planted violations: a file, a line of it, and a part of the expected report.
const PLANTED: &[(&str, &str, &str)] = &[
    (
        "src/sys/linux/file.rs",
        "use crate::mapping::region::Region;",
        "names a higher floor",
    ),
    (
        "src/sync/mod.rs",
        "use crate::sys::Hint;",
        "names a higher floor",
    ),
    (
        "src/budget/mod.rs",
        "use crate::io::dir::ScratchDir;",
        "names a higher floor",
    ),
    (
        "src/io/dir.rs",
        "fn to(arena: &crate::containers::arena::Arena) {}",
        "names a higher floor",
    ),
    (
        "src/mapping/view.rs",
        "use crate::heap::Blocks;",
        "names a higher floor",
    ),
    (
        "src/read/batch.rs",
        "use crate::mapping::view::View;",
        "names its sibling",
    ),
    (
        "src/heap/mod.rs",
        "use crate::containers::vec::DiskVec;",
        "names a higher floor",
    ),
    (
        "src/containers/vec/mod.rs",
        "use crate::external::sort::Run;",
        "names a higher floor",
    ),
    (
        "src/composites/strings.rs",
        "use crate::composites::spool::Spool;",
        "names its sibling",
    ),
    (
        "src/composites/strings.rs",
        "use crate::external::sort::Run;",
        "names a higher floor",
    ),
    (
        "src/containers/vec/iter.rs",
        "use crate::containers::arena::Location;",
        "names its sibling",
    ),
    (
        "src/containers/vec/iter.rs",
        "use crate::Error;",
        "the full path",
    ),
    (
        "src/containers/vec/iter.rs",
        "use crate::{error};",
        "the full path",
    ),
    (
        "src/containers/vec/iter.rs",
        "use super::super::arena;",
        "the full path",
    ),
    (
        "src/io/dir.rs",
        "use crate::sys::fault::arm;",
        "faults outside of tests",
    ),
    (
        "src/io/dir.rs",
        "use crate::testing::Life;",
        "faults outside of tests",
    ),
    ("src/io/dir.rs", "use rustix::fs;", "outside src/sys"),
    ("src/io/dir.rs", "use rustix as kernel;", "outside src/sys"),
    ("src/io/dir.rs", "unsafe { read() }", "unsafe code"),
    ("src/mapping/view.rs", "fn safe() {}", "unsafe code"),
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
];

#[test]
fn planted_violations_are_found() {
    let long = "//\n".repeat(LINES_MAX);
    let too_long = ("src/error.rs", long.as_str(), "split it");
    for &(path, line, expected) in PLANTED.iter().chain([&too_long]) {
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
        (
            "src/containers/arena/mod.rs",
            "use crate::io::dir::ScratchDir;",
        ),
        (
            "src/containers/arena/mod.rs",
            "use crate::containers::arena::tag::Tag;",
        ),
        (
            "src/sys/memory/space.rs",
            "use crate::sys::memory::file::File; // unsafe {}\nunsafe fn f() {}",
        ),
        ("src/sys/linux/dir.rs", "use rustix::fs;"),
        (
            "src/io/dir.rs",
            "// unsafe, rustix::fs and crate::containers::arena::Arena in a comment",
        ),
        (
            "src/io/dir.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::sys::fault::arm;\n}",
        ),
        (
            "src/containers/arena/faults.rs",
            "use crate::sys::fault::arm;",
        ),
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
    if floor.is_none() && module != "lib" && module != TESTING {
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
        let faults = ["sys::fault", "crate::testing"];
        let tests_only = faults.iter().any(|name| line.contains(name));
        if !["sys", TESTING].contains(&module) && tests_only && !in_tests {
            report("names the faults outside of tests");
        }
        if line.contains("super::super") {
            report("write the full path, one item a line");
        }
        let Some(floor) = floor else { continue };
        for rest in line.split("crate::").skip(1) {
            let mut path = rest
                .split("::")
                .map(|part| words(part).next().unwrap_or_default());
            let named = path.next().unwrap_or_default();
            if FLOORS[floor + 1..].concat().contains(&named) {
                report("names a higher floor");
            }
            if FLOORS[floor].contains(&named) && named != module {
                report("names its sibling");
            }
            if SIBLINGS.contains(&module) && named == module {
                let own = inside.split(['/', '.']).nth(1);
                if own != Some("mod") && path.next() != own {
                    report("names its sibling");
                }
            }
            if !named.starts_with(|first: char| first.is_ascii_lowercase()) {
                report("write the full path, one item a line");
            }
        }
    }
    if has_unsafe != unsafe_files().iter().any(|file| file == path) {
        found.push(format!(
            "{path}: unsafe code and the sections of docs/safety.md disagree"
        ));
    }
    found
}

/// Returns the only files that may have unsafe code: those that a heading of docs/safety.md names.
/// A heading names one file from the root, and others beside it.
fn unsafe_files() -> Vec<String> {
    let mut files = Vec::new();
    for heading in include_str!("../../docs/safety.md").lines() {
        let Some(names) = heading.strip_prefix("### ") else {
            continue;
        };
        let mut folder = Path::new("");
        for name in names.split(", ").flat_map(|names| names.split(" and ")) {
            if name.starts_with("src/") {
                folder = Path::new(name).parent().unwrap();
                files.push(name.to_owned());
            } else {
                files.push(folder.join(name).to_str().unwrap().to_owned());
            }
        }
    }
    files
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

/// Returns the text before the tests of the file; an empty text if the whole file is tests, which
/// its parent declares with `#[cfg(test)]`.
fn code_of<'text>(path: &str, text: &'text str) -> &'text str {
    let all_tests = [
        "/faults.rs",
        "/tests.rs",
        "/shuttle.rs",
        "/cache/account_tests.rs",
        "/sys/plan.rs",
        "/sync/torn.rs",
    ];
    if all_tests.iter().any(|name| path.ends_with(name)) || path.contains("/testing/") {
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
