//! `outcore dedup` when memory does not hold the lines: the same bytes, whatever the
//! sizes of chunks and indexes.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a panic in a test is a failed test"
)]

mod support;

use std::fs;
use std::path::PathBuf;

use crate::support::{TestDir, awk, failure, feed, model, noise, outcore, row};

/// Chunk and index that let a few thousand lines go to disk and be divided there.
const SMALL: [&str; 4] = ["--test-chunk", "4K", "--test-index", "90000"];

/// Lines of which each is there once, or in turn.
fn numbers(count: u64, distinct: u64) -> Vec<u8> {
    let lines = (0..count).map(|n| format!("line {}\n", n % distinct));
    lines.collect::<String>().into_bytes()
}

/// Runs with small sizes; returns the output.
fn spilled(dir: &TestDir, files: &[&PathBuf], options: &[&str]) -> Vec<u8> {
    let mut command = outcore(&["dedup", "--tmp"]);
    command.arg(&dir.0).args(SMALL).args(options).args(files);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn lines_on_disk_give_the_same_output() {
    let dir = TestDir::new("spilled");
    if dir.is_in_memory() {
        return;
    }
    let inputs: [(&str, Vec<u8>); 9] = [
        ("all distinct", numbers(150_000, 150_000)),
        ("twice in turn", numbers(200_000, 100_000)),
        ("one line", b"x\n".repeat(300_000)),
        ("empty lines", b"\n".repeat(300_000)),
        (
            "distinct, then one line",
            [numbers(60_000, 60_000), b"x\n".repeat(100_000)].concat(),
        ),
        ("noise", noise(60_000, 7)),
        ("broken UTF-8", {
            let lines = (0..80_000u32).map(|n| [b"\xff\xc3", &n.to_le_bytes()[..], b"\n"].concat());
            let lines: Vec<u8> = lines.flatten().collect();
            [&lines[..], &lines].concat()
        }),
        (
            "no newline at the end",
            [numbers(50_000, 50_000), b"line 49999".to_vec()].concat(),
        ),
        ("nul and crlf", {
            let lines = (0..50_000).map(|n| format!("{n}\0\r\n{n}\0\n"));
            lines.collect::<String>().repeat(2).into_bytes()
        }),
    ];
    let paths: Vec<_> = inputs
        .iter()
        .map(|(name, text)| dir.write(name, text))
        .collect();
    for path in &paths {
        for threads in ["1", "3"] {
            let mut kept = spilled(&dir, &[path], &["--threads", threads]);
            if !kept.ends_with(b"\n") {
                kept.push(b'\n');
            }
            assert!(kept == model(&[path]), "differs from the model: {path:?}");
            if let (Some(awk), "1") = (awk(&[path]), threads) {
                assert!(kept == awk, "differs from awk: {path:?}");
            }
        }
    }
    let all: Vec<_> = paths.iter().collect();
    let kept = spilled(&dir, &all, &[]);
    assert!(kept == model(&all));
}

#[test]
fn what_comes_only_once_is_copied_on_the_way() {
    let dir = TestDir::new("stream");
    if dir.is_in_memory() {
        return;
    }
    let long = [vec![b'y'; 100_000], b"\n".to_vec()].concat();
    let text = [
        numbers(60_000, 50_000),
        long.clone(),
        numbers(60_000, 60_000),
        long,
    ]
    .concat();
    let file = dir.write("file", &text);
    let mut command = outcore(&["dedup", "-", "--tmp"]);
    command.arg(&dir.0).args(SMALL);
    let output = feed(command, &text);
    assert!(output.stdout == model(&[&file]), "{:?}", output.stderr);
    assert!(row(&output, "bytes of scratch") > 0.0);
}

/// A cell in the middle of a long line has no records. When such a chunk was deferred it still said
/// that it was the small files that its thread had read before, and the second pass took those for
/// changed.
#[test]
fn a_cell_without_records_is_not_taken_for_the_files_before_it() {
    let dir = TestDir::new("no-records");
    if dir.is_in_memory() {
        return;
    }
    let lines = numbers(20_000, 10_000);
    let mut files = vec![dir.write("lines", lines)];
    for turn in 0..4 {
        for small in 0..3 {
            let text = format!("small {small}\nof {turn}\n");
            files.push(dir.write(&format!("small-{turn}-{small}"), text));
        }
        let long = "long ".repeat(10_000 + turn);
        files.push(dir.write(&format!("long-{turn}"), format!("{long}\n")));
    }
    let files: Vec<&PathBuf> = files.iter().collect();
    for threads in ["1", "2"] {
        let kept = spilled(&dir, &files, &["--threads", threads]);
        assert!(kept == model(&files), "{threads} threads");
    }
}

#[test]
fn a_file_is_replaced_by_what_is_kept_of_it() {
    let dir = TestDir::new("in-place");
    if dir.is_in_memory() {
        return;
    }
    let file = dir.write("file", numbers(200_000, 70_000));
    let expected = model(&[&file]);
    let path = file.to_str().unwrap();
    spilled(&dir, &[&file], &["--output", path]);
    assert!(fs::read(&file).unwrap() == expected);
    assert_eq!(dir.names(), ["file"]);
}

#[test]
fn an_input_that_changes_is_one_line_and_leaves_the_output() {
    use std::io::Write;
    use std::process::Stdio;

    let dir = TestDir::new("changes");
    let file = dir.write("file", "a\nb\n");
    let out = dir.write("out", "as before\n");
    // The pipe comes after the file, so it is known when the file has been read.
    let mut command = outcore(&["dedup", "--threads", "1", "--test-chunk", "64"]);
    command.arg(&file).arg("-").arg("--output").arg(&out);
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&b"c\n".repeat(100_000)).unwrap();
    fs::write(&file, "something else\n").unwrap();
    drop(stdin);
    let text = failure(&child.wait_with_output().unwrap());
    assert!(text.contains("has changed while it was read"), "{text}");
    assert_eq!(fs::read(&out).unwrap(), b"as before\n");
    assert_eq!(dir.names(), ["file", "out"]);
}
