//! What `outcore dedup` can be asked for beside lines.
#![expect(
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::fs;
use std::path::Path;

use crate::support::{TestDir, failure, feed, outcore};

/// Small enough that chunks have some records each.
const SMALL: [&str; 4] = ["--test-chunk", "16", "--threads", "2"];

/// Feeds text to a run; returns standard output.
fn run(options: &[&str], text: &str) -> String {
    let mut command = outcore(&["dedup", "-q", "-"]);
    command.args(SMALL).args(options);
    let output = feed(command, text.as_bytes());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_does_not_count_does_not_count() {
    assert_eq!(
        run(&["--ignore-case"], "a\nA\n\u{c4}b\n\u{e4}B\nc\n"),
        "a\n\u{c4}b\nc\n"
    );
    assert_eq!(run(&["--trim"], " a\na \t\r\na\n b\n\n \n"), " a\n b\n\n");
    assert_eq!(run(&["--trim", "-i"], "x y\n X Y\nxy"), "x y\nxy");
    // Longer than any buffer here: read in pieces.
    let long = "\u{e4} ".repeat(1000);
    let text = format!("  {long}\n{}\n{long}x\n", long.to_uppercase());
    assert_eq!(
        run(&["--trim", "-i"], &text),
        format!("  {long}\n{long}x\n")
    );
}

#[test]
fn nul_ends_records_where_that_is_asked() {
    assert_eq!(run(&["-0"], "a\nb\0a\0a\nb\0a"), "a\nb\0a\0");
}

#[test]
fn a_field_of_json_lines_decides() {
    let text = "{\"id\":\"a\",\"n\":1}\n{\"n\":2,\"id\":\"\\u0061\"}\n{\"id\":\"b\"}\n";
    assert_eq!(
        run(&["--field", "id"], text),
        "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\"}\n"
    );
    let bad = format!("{text}no json\n{{\"id\":3}}\n{text}");
    assert_eq!(
        run(&["--field", "id", "--skip-bad"], &bad),
        run(&["--field", "id"], text)
    );
    let mut command = outcore(&[
        "dedup",
        "--field",
        "id",
        "--skip-bad",
        "-",
        "--report",
        "json",
    ]);
    command.args(SMALL);
    let output = feed(command, bad.as_bytes());
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(
        (&report["skipped"], &report["lines"]),
        (&2.into(), &6.into())
    );
}

#[test]
fn bad_json_is_named_with_file_and_line() {
    let dir = TestDir::new("json");
    let good = "{\"id\":\"a\"}\n".repeat(40);
    let file = dir.write("file", format!("{good}no json\n{good}none either\n"));
    let fed = feed(
        outcore(&["dedup", "-q", "--field", "id", "-", "--test-chunk", "64"]),
        &fs::read(&file).unwrap(),
    );
    assert!(failure(&fed).starts_with("outcore: standard input: line 41 "));
    for chunk in ["64", "100K"] {
        let mut command = outcore(&["dedup", "-q", "--field", "id", "--test-chunk", chunk]);
        let text = failure(&command.arg(&file).output().unwrap());
        let begin = format!("outcore: {}: line 41 ", file.display());
        assert!(text.starts_with(&begin), "{text}");
    }
}

/// The message was serde's, with a second line number, and did not name the remedy; `--skip-bad` is
/// none for a line that is too long to be looked at.
#[test]
fn a_bad_line_is_told_why_and_what_to_do() {
    for (line, reason) in [
        ("no json", "is not JSON: expected ident at byte 2"),
        (
            "{\"id\":\"a\"",
            "is not JSON: EOF while parsing an object at byte 9",
        ),
        ("[1]", "is not a JSON object"),
        ("7", "is not a JSON object"),
        ("{\"x\":1}", "has no field \"id\""),
        ("{\"id\":1}", "has a field \"id\" that is not text"),
        ("{\"id\":null}", "has a field \"id\" that is not text"),
        ("{\"id\":[\"a\"]}", "has a field \"id\" that is not text"),
        ("{\"id\":\"a\",\"id\":\"b\"}", "has the field \"id\" twice"),
    ] {
        let text = format!("{{\"id\":\"ok\"}}\n{line}\n");
        let command = outcore(&["dedup", "-q", "--field", "id", "-"]);
        let said = failure(&feed(command, text.as_bytes()));
        let expected =
            format!("outcore: standard input: line 2 {reason}; --skip-bad leaves such lines out\n");
        assert_eq!(said, expected);
        let remedy = run(&["--field", "id", "--skip-bad"], &text);
        assert_eq!(remedy, "{\"id\":\"ok\"}\n");
    }
}

#[test]
fn duplicates_and_counts_are_those_of_the_obvious_way() {
    let dir = TestDir::new("counts");
    let duplicates = dir.path("duplicates");
    let asked = ["--duplicates", duplicates.to_str().unwrap()];
    assert_eq!(run(&asked, "a\nb\na\nc\nb\na"), "a\nb\nc\n");
    assert_eq!(fs::read(&duplicates).unwrap(), b"a\nb\na");
    if !dir.is_in_memory() {
        let tmp = ["--count", "--tmp", dir.0.to_str().unwrap()];
        assert_eq!(
            run(&tmp, "a\nb\na\nc\nb\na"),
            "      3 a\n      2 b\n      1 c\n"
        );
        let long = "x".repeat(5000);
        let text = format!("{long}\na\n{long}\n");
        assert_eq!(run(&tmp, &text), format!("      2 {long}\n      1 a\n"));
    }
    let mut command = outcore(&["dedup", "-"]);
    command.args(asked).arg("--output").arg(&duplicates);
    assert!(failure(&feed(command, b"")).contains("the same file"));
}

#[test]
fn whole_files_are_compared_and_named() {
    let dir = TestDir::new("files");
    fs::create_dir_all(dir.path("deep/er")).unwrap();
    let long = "y".repeat(10_000);
    let files = [
        ("a", "x"),
        ("b", ""),
        ("deep/c", &long),
        ("deep/er/d", "x"),
        ("e", &long),
        ("f", ""),
    ];
    for (name, text) in files {
        dir.write(name, text);
    }
    let mut command = outcore(&["dedup", "-q", "--unit", "file", "--recursive", "."]);
    command.args(SMALL).arg("--verify").current_dir(&dir.0);
    let output = command.output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "./a\n./b\n./deep/c\n",
        "{output:?}"
    );
    let mut command = outcore(&["dedup", "--unit", "file", "-"]);
    assert!(failure(&command.output().unwrap()).contains("standard input has none"));
}

#[test]
fn directories_and_patterns_are_resolved_in_the_order_of_names() {
    let dir = TestDir::new("patterns");
    fs::create_dir_all(dir.path("sub")).unwrap();
    for (name, text) in [
        ("b.log", "2\n1\n"),
        ("a.log", "1"),
        ("c.txt", "3\n"),
        ("sub/d.log", "4\n"),
    ] {
        dir.write(name, text);
    }
    dir.write("e[1].log", "5\n");
    let run = |arguments: &[&str]| {
        let mut command = outcore(&["dedup", "-q"]);
        let output = command
            .args(arguments)
            .current_dir(&dir.0)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // Patterns took these in, which shells do not; a tree has them.
    dir.write(".hidden.log", "6\n");
    assert_eq!(run(&["*.log"]), "1\n2\n5\n");
    assert_eq!(run(&[".*.log"]), "6\n");
    assert_eq!(run(&["-r", "."]), "6\n1\n2\n3\n5\n4\n");
    fs::remove_file(dir.path(".hidden.log")).unwrap();
    assert_eq!(run(&["?.log"]), "1\n2\n");
    assert_eq!(run(&["**/*.log"]), "1\n2\n5\n4\n");
    assert_eq!(run(&["-r", "."]), "1\n2\n3\n5\n4\n");
    // A file of that name is meant as it is.
    assert_eq!(run(&["e[1].log"]), "5\n");
    let mut command = outcore(&["dedup", "*.none"]);
    let text = failure(&command.current_dir(&dir.0).output().unwrap());
    assert!(text.starts_with("outcore: cannot read *.none: "), "{text}");
}

#[test]
fn bytes_are_compared_where_that_is_asked() {
    let dir = TestDir::new("verify");
    let long = "z".repeat(5000);
    let text = format!("a\n{long}\nb\na\n{long}\n\n\nb");
    let file = dir.write("file", &text);
    let mut command = outcore(&["dedup", "-q", "--verify"]);
    let output = command.args(SMALL).arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, format!("a\n{long}\nb\n\n").into_bytes());
    let command = outcore(&["dedup", "-q", "--verify", "-"]);
    assert!(failure(&feed(command, b"")).contains("not all inputs are regular files"));
}

/// An empty file counted as a pipe, since files under /proc have no length either: with one among the
/// inputs, `--verify` was refused, and nobody knew how much there was to read.
#[test]
fn empty_files_are_files_and_those_without_a_length_are_read() {
    let dir = TestDir::new("empty");
    let [first, second, third] = ["0", "2", "4"].map(|name| dir.write(name, ""));
    let (a, b) = (dir.write("1", "x\ny"), dir.write("3", "y\nz"));
    for ways in [&[][..], &SMALL] {
        let mut command = outcore(&["dedup", "-q", "--verify"]);
        command.args(ways).args([&first, &a, &second, &b, &third]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"x\ny\nz\n");
    }
    let mut command = outcore(&["dedup", "-q", "--verify", "--unit", "file"]);
    let output = command.args([&first, &a, &third]).output().unwrap();
    let kept = [&first, &a].map(|path| format!("{}\n", path.display()));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), kept.concat());
    let made_up = Path::new("/proc/filesystems");
    if made_up.exists() {
        let output = outcore(&["dedup", "-q"]).arg(made_up).output().unwrap();
        assert_eq!(output.stdout, fs::read(made_up).unwrap());
    }
}

/// A JSON line that did not fit a buffer, 512 KiB at most, was refused with advice that did not help.
#[test]
fn json_lines_longer_than_any_buffer_are_read_piece_by_piece() {
    let dir = TestDir::new("long-json");
    if dir.is_in_memory() {
        return;
    }
    let blob = "x\\\"y\u{e4}".repeat(200_000);
    let line = |id: &str, blob: &str| {
        let first = format!("{{\"id\":\"{id}\",\"blob\":\"{blob}\"}}\n");
        let last = format!("{{\"blob\":[{{\"id\":\"{blob}\"}}],\"id\":\"{id}\"}}\n");
        (first, last)
    };
    let (a, a_again) = line("a", &blob);
    let (b, b_again) = line("\\u0062", &blob);
    let text = [&a, &b_again, &a_again, "{\"id\":\"b\"}\n", &b].concat();
    let expected = [a.as_str(), &b_again].concat();
    let file = dir.write("file", &text);
    let with_memory = |memory: &str, options: &[&str]| {
        let mut command = outcore(&["dedup", "-q", "--field", "id", "--memory", memory, "--tmp"]);
        command.arg(&dir.0).args(options);
        command
    };
    let command = |options: &[&str]| with_memory("256M", options);
    let output = command(&[]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{:?}", output.stderr);
    assert!(output.stdout == expected.as_bytes());
    let output = feed(command(&["-"]), text.as_bytes());
    assert!(output.stdout == expected.as_bytes());

    let cut = a.trim_end().len() - 1;
    let bad = [b"{\"id\":\"c\"}\n", &a.as_bytes()[..cut], b"\n"].concat();
    let bad_file = dir.write("bad", &bad);
    let text = failure(&command(&[]).arg(&bad_file).output().unwrap());
    let begin = format!(
        "outcore: {}: line 2 is not JSON: EOF while parsing",
        bad_file.display()
    );
    assert!(text.starts_with(&begin), "{text}");
    let output = command(&["--skip-bad"]).arg(&bad_file).output().unwrap();
    assert_eq!(output.stdout, b"{\"id\":\"c\"}\n");

    // What is too long is never taken for bad: nobody has looked at it.
    for options in [&[][..], &["--skip-bad"]] {
        let output = with_memory("24M", options).arg(&file).output().unwrap();
        let text = failure(&output);
        let begin = format!("outcore: {}: line 1 ", file.display());
        assert!(text.starts_with(&begin), "{text}");
        let words = " and is too long to be read as JSON; with --memory 24 MiB a line may have ";
        assert!(text.contains(words), "{text}");
        assert!(!text.contains("--skip-bad"), "{text}");
    }
}

#[test]
fn small_files_are_read_together_and_stay_apart() {
    let dir = TestDir::new("small-files");
    if dir.is_in_memory() {
        return;
    }
    // Some without a newline at the end, some of nothing but newlines, some larger than a chunk.
    let text = |file: usize| match file % 5 {
        0 => format!("same\nonly {file}"),
        1 => "\n\n".to_owned(),
        2 => format!("only {file}\n{}\n", "long ".repeat(100)),
        3 => format!("{}\nsame\n", file / 2),
        _ => "same".to_owned(),
    };
    let files: Vec<_> = (0..300)
        .map(|file| dir.write(&format!("f{file:03}"), text(file)))
        .collect();
    let expected = support::model(&files.iter().collect::<Vec<_>>());
    for options in [
        &[][..],
        &["--test-chunk", "200"],
        &["--test-chunk", "300", "--test-index", "1"],
        &["--test-chunk", "300", "--verify", "--threads", "3"],
        &["--test-chunk", "300", "--test-index", "1", "--verify"],
    ] {
        let mut command = outcore(&["dedup", "-q", "--tmp"]);
        let output = command.arg(&dir.0).args(options).args(&files).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut kept = output.stdout;
        if !kept.ends_with(b"\n") {
            kept.push(b'\n');
        }
        assert!(kept == expected, "{options:?}");
    }
    fs::write(&files[7], "{\"id\":\"a\"}\nbad").unwrap();
    for file in files.iter().take(20).filter(|file| **file != files[7]) {
        fs::write(file, "{\"id\":\"b\"}\n{\"id\":\"a\"}").unwrap();
    }
    let mut command = outcore(&["dedup", "-q", "--field", "id"]);
    let text = failure(&command.args(&files[..20]).output().unwrap());
    let begin = format!("outcore: {}: line 2 ", files[7].display());
    assert!(text.starts_with(&begin), "{text}");
}
