//! `outcore count`: the counts of a `BTreeMap`, whatever memory and threads there are.
#![cfg(unix)]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{TestDir, failure, feed, noise, outcore, row};

/// Runs `outcore count -q` with these options.
fn count(options: &[&str], file: &PathBuf) -> Vec<u8> {
    let output = outcore(&[&["count", "-q"], options].concat())
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{options:?}: {text}");
    assert!(output.stderr.is_empty(), "{text}");
    output.stdout
}

/// The obvious way: all lines with their counts, in the order of lines.
fn model(text: &[u8], end: u8) -> Vec<(Vec<u8>, u64)> {
    let mut counts = BTreeMap::new();
    for line in text.split_inclusive(|&byte| byte == end) {
        let line = line.strip_suffix(&[end]).unwrap_or(line);
        *counts.entry(line.to_vec()).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

fn by_count(mut groups: Vec<(Vec<u8>, u64)>) -> Vec<(Vec<u8>, u64)> {
    groups.sort_by_key(|(_, count)| Reverse(*count));
    groups
}

fn text_of(groups: &[(Vec<u8>, u64)], end: u8) -> Vec<u8> {
    let mut text = Vec::new();
    for (line, count) in groups {
        text.extend(format!("{count:>7} ").bytes());
        text.extend(line);
        text.push(end);
    }
    text
}

#[test]
fn counts_are_those_of_the_obvious_way() {
    let dir = TestDir::new("count");
    for (text, end) in [
        (&b""[..], b'\n'),
        (b"\n", b'\n'),
        (b"one", b'\n'),
        (b"a\nb\n\n\nb\na\nb\n\0\n\xff\xfe\r\na", b'\n'),
        (b"b\0a\0a\nb\0b", b'\0'),
        (&noise(30_000, 21), b'\n'),
    ] {
        let file = dir.write("file", text);
        let zero: &[&str] = if end == 0 { &["-z"] } else { &[] };
        let groups = model(text, end);
        let found = count(&[&["--by-key"], zero].concat(), &file);
        assert!(found == text_of(&groups, end));
        let ranked = by_count(groups);
        assert!(count(zero, &file) == text_of(&ranked, end));
        for top in [0, 1, 3, 1000] {
            let few = &ranked[..ranked.len().min(top)];
            let top = top.to_string();
            let found = count(&[&["--top", &top], zero].concat(), &file);
            assert!(found == text_of(few, end), "--top {top}");
        }
        for min in [2, 3, 100] {
            let often: Vec<_> = ranked
                .iter()
                .filter(|(_, count)| *count >= min)
                .cloned()
                .collect();
            let min = min.to_string();
            let found = count(&[&["--min", &min], zero].concat(), &file);
            assert!(found == text_of(&often, end), "--min {min}");
        }
    }
}

/// Lines of which some are longer than all chunks, some are equal, one is the begin of another.
fn long_lines() -> Vec<u8> {
    let long = |len: usize, last: &str| [&vec![b'm'; len], last.as_bytes()].concat();
    let mut text = noise(3000, 22);
    for line in [
        long(900_000, "a"),
        long(900_000, "b"),
        long(900_000, "a"),
        long(900_000, ""),
        long(100, ""),
        long(70_000, ""),
        long(900_000, "a"),
        vec![b'z'; 800_000],
    ] {
        text.extend(line);
        text.push(b'\n');
        text.extend(noise(50, 23));
    }
    text
}

#[test]
fn memory_threads_and_the_way_of_the_input_do_not_change_the_result() {
    let dir = TestDir::new("count-same");
    if dir.is_in_memory() {
        return;
    }
    let tmp = dir.0.to_str().unwrap().to_owned();
    let mut text = long_lines();
    for n in 0..200_000_u32 {
        writeln!(
            text,
            "a line that comes up to three times: {}",
            n * 7919 % 90_000
        )
        .unwrap();
    }
    let file = dir.write("file", &text);
    let groups = model(&text, b'\n');
    let ranked = text_of(&by_count(groups.clone()), b'\n');
    let by_key = text_of(&groups, b'\n');
    for options in [
        &[][..],
        &["--parallel", "1"],
        &["--parallel", "4", "--memory", "64M"],
        &["--memory", "32M"],
        &[
            "--test-groups",
            "4M",
            "--test-chunk",
            "20K",
            "--parallel",
            "3",
        ],
        &["--test-groups", "4M", "--test-chunk", "2K"],
        &["--test-chunk", "3000"],
    ] {
        let options = [&["--tmp", &tmp], options].concat();
        assert!(count(&options, &file) == ranked, "{options:?}");
        let options = [&["--by-key"], options.as_slice()].concat();
        assert!(count(&options, &file) == by_key, "{options:?}");
    }
    let output = feed(outcore(&["count", "-q"]), &text);
    assert!(output.stdout == ranked);
    let mut command = outcore(&["count", "-q", "-o"]);
    assert!(command.arg(&file).arg(&file).status().unwrap().success());
    assert!(fs::read(&file).unwrap() == ranked);
}

/// A line was kept in memory or left where it is by where a cell of its file ended, so one of one to
/// two cells made two groups, and those in memory were taken to be shorter than all others.
#[test]
fn a_line_is_in_one_group_wherever_cells_end() {
    let dir = TestDir::new("count-cells");
    if dir.is_in_memory() {
        return;
    }
    let tmp = dir.0.to_str().unwrap().to_owned();
    for (cell, options) in [
        (2048, &["--test-chunk", "2K"][..]),
        (16 << 10, &["--memory", "32M"]),
        (124 << 10, &["--memory", "256M", "--parallel", "2"]),
    ] {
        let mut lines = Vec::new();
        for halves in 1..=6 {
            for len in halves * cell / 2 - 1..=halves * cell / 2 + 3 {
                lines.push(vec![b'm'; len]);
            }
        }
        let mut text = Vec::new();
        for n in 0..5 {
            for line in &lines {
                // Of a length that moves what follows through its cell.
                writeln!(text, "{:n$}", line.len() % 7).unwrap();
                text.extend(line);
                text.push(b'\n');
            }
            text.extend(vec![b'.'; cell / 5]);
            text.push(b'\n');
        }
        let file = dir.write("file", &text);
        let last = dir.write("last", &lines[lines.len() / 2 + 2]);
        let both = [text.as_slice(), &lines[lines.len() / 2 + 2], b"\n", &text].concat();
        let groups = model(&both, b'\n');
        for by_key in [false, true] {
            let order: &[&str] = if by_key { &["--by-key"] } else { &[] };
            let mut command = outcore(&["count", "-q", "--tmp", &tmp]);
            command.args(options).args(order);
            command.arg(&file).arg(&last).arg("-");
            let output = feed(command, &text);
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{options:?}: {message}");
            let mut expected = groups.clone();
            if !by_key {
                expected = by_count(expected);
            }
            let is_same = output.stdout == text_of(&expected, b'\n');
            assert!(is_same, "{options:?}, by key: {by_key}");
        }
    }
}

/// The canary of the model: what `sort | uniq -c | sort -rn` says, where there are such programs.
#[test]
fn counts_are_those_of_uniq() {
    let dir = TestDir::new("uniq");
    let text: Vec<u8> = noise(20_000, 24)
        .into_iter()
        .filter(|byte| *byte != 0)
        .collect();
    let file = dir.write("file", &text);
    let mut command = Command::new("sh");
    let pipe = "LC_ALL=C; export LC_ALL; sort \"$1\" | uniq -c | sort -s -k1,1nr";
    let output = command
        .args(["-c", pipe, "sh"])
        .arg(&file)
        .output()
        .unwrap();
    if output.status.success() && !output.stdout.is_empty() {
        assert!(count(&[], &file) == output.stdout);
    }
}

/// Asserts what a file comes out as with each of these options.
fn assert_golden(file: &PathBuf, cases: &[(&[&str], &str)]) {
    for (options, expected) in cases {
        let found = String::from_utf8(count(options, file)).unwrap();
        assert_eq!(found, *expected, "{options:?}");
    }
}

#[test]
fn golden_outputs_of_lines() {
    let dir = TestDir::new("count-lines");
    let log = dir.write(
        "log",
        "GET /a 200\nPOST /a 201\nGET /b 200\nGET /a 404\nGET /a 200\n",
    );
    assert_golden(
        &log,
        &[
            (
                &[],
                "      2 GET /a 200\n      1 GET /a 404\n      1 GET /b 200\n      1 POST /a 201\n",
            ),
            (&["-t", " ", "-k", "2,2"], "      4 /a\n      1 /b\n"),
            (
                &["-t", " ", "-k", "1,1", "-k", "3,3", "--top", "2"],
                "      3 GET 200\n      1 GET 404\n",
            ),
            (
                &["-t", " ", "-k", "1,1", "--sum", "3"],
                "      4 1004 GET\n      1 201 POST\n",
            ),
            (
                &["-t", " ", "-k", "1,1", "--format", "csv"],
                "count,key\n4,GET\n1,POST\n",
            ),
            (
                &["--format", "json", "--min", "2"],
                "{\"count\":2,\"line\":\"GET /a 200\"}\n",
            ),
        ],
    );
}

#[test]
fn golden_outputs_of_csv() {
    let dir = TestDir::new("count-csv");
    let csv = dir.write(
        "csv",
        "name,city,paid\nx,\"a, b\",1.5\ny,c,2\nx,\"a, b\",-0.25\n\"x\",c,\"3\"\n\"two\nlines\",c,\n",
    );
    assert_golden(
        &csv,
        &[
            (
                &["--csv", "--key", "name"],
                "      3 x\n      1 two\nlines\n      1 y\n",
            ),
            (
                &[
                    "--csv",
                    "--key",
                    "name",
                    "--sum",
                    "paid",
                    "--skip-bad",
                    "--format",
                    "csv",
                ],
                "count,sum,name\n3,4.25,x\n1,2,y\n",
            ),
            (
                &[
                    "--csv", "--key", "city", "--key", "name", "--by-key", "--format", "csv",
                ],
                "count,city,name\n2,\"a, b\",x\n1,c,\"two\nlines\"\n1,c,x\n1,c,y\n",
            ),
            (
                &["--csv", "--format", "json", "--top", "1"],
                "{\"count\":1,\"record\":\"\\\"two\\nlines\\\",c,\"}\n",
            ),
        ],
    );
}

#[test]
fn golden_outputs_of_json() {
    let dir = TestDir::new("count-json");
    let json = dir.write(
        "json",
        "{\"a\":\"x\",\"n\":1}\n{\"n\":0.5,\"a\":\"y\"}\n{\"a\":\"x\",\"n\":2}\nno\n",
    );
    assert_golden(
        &json,
        &[
            (
                &["--field", "a", "--sum", "n", "--skip-bad"],
                "      2 3 x\n      1 0.5 y\n",
            ),
            (
                &["--field", "a", "--skip-bad", "--format", "json"],
                "{\"count\":2,\"a\":\"x\"}\n{\"count\":1,\"a\":\"y\"}\n",
            ),
        ],
    );
    // As `--help` says, values are counted as their text.
    let alike = "{\"a\":1}\n{\"a\":\"1\"}\n{\"a\":1.0}\n{\"a\":null}\n{}\n{\"a\":[2]}\n";
    let alike = dir.write("alike", alike);
    assert_golden(&alike, &[(&["--field", "a"], "      3 \n      3 1\n")]);
    let blanks = dir.write("blanks", "{\"c\":\" z\"}\n{\"c\":\"z\"}\n{\"c\":\"a\"}\n");
    assert_golden(&blanks, &[(&["--field", "c:b"], "      2 z\n      1 a\n")]);
}

#[test]
fn what_makes_no_sense_is_one_line_that_says_where() {
    let dir = TestDir::new("count-wrong");
    let json = dir.write("json", "{\"a\":\"x\"}\nno\n");
    let csv = dir.write("csv", "name,paid\n\"x\ny\",1\nx,much\n");
    let out = dir.write("out", "as before\n");
    for (options, file, expected) in [
        (&["--field", "a"][..], &json, "line 2 is not JSON"),
        (&["--csv", "--key", "town"], &csv, "town"),
        (
            &["--csv", "--key", "name", "--key", "paid:n"],
            &csv,
            "the key 'paid:n'",
        ),
        (
            &["--csv", "--sum", "paid"],
            &csv,
            // It said "a record", of any of which there may be a billion.
            "csv: line 4 has nothing that can be added up, but \"much\"",
        ),
        (&["--sum", "1"], &json, "line 1 has nothing"),
    ] {
        let mut command = outcore(&["count", "-q", "-o"]);
        command.arg(&out).args(options).arg(file);
        let text = failure(&command.output().unwrap());
        assert!(text.contains(expected), "{text}");
        assert_eq!(fs::read(&out).unwrap(), b"as before\n");
    }
    for wrong in [
        &["-k", "0"][..],
        &["-z", "--format", "csv"],
        &["--csv", "-t", ";"],
        // Letters that say how to sort had no effect.
        &["-k", "1,1n"],
        &["-k", "1", "-k", "2r,2"],
        &["-k", "1", "--sum", "2,2g"],
        &["--field", "a:r"],
        &["--field", "a", "--sum", "b:n"],
    ] {
        let output = outcore(&["count"]).args(wrong).arg(&csv).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {output:?}");
    }
    assert_eq!(dir.names(), ["csv", "json", "out"]);
}

#[test]
fn memory_stays_below_the_promise() {
    let dir = TestDir::new("count-promise");
    if dir.is_in_memory() {
        return;
    }
    let mut text = long_lines();
    for n in 0..1_200_000_u32 {
        writeln!(text, "line {}", n % 800_000).unwrap();
    }
    let file = dir.write("much", text);
    let mut sizes = Vec::new();
    for (mib, options) in [
        (24, &[][..]),
        (48, &["--parallel", "3"]),
        (64, &["--by-key"]),
        (256, &[]),
    ] {
        let memory = format!("{mib}MiB");
        let mut command = outcore(&["count", "--memory", &memory, "--tmp"]);
        command.arg(&dir.0).args(options).arg(&file);
        let out = dir.path("out");
        let output = command.arg("-o").arg(&out).output().unwrap();
        let peak = row(&output, "peak resident MiB");
        assert!(peak <= f64::from(mib), "{peak} MiB of {mib}, {options:?}");
        sizes.push(fs::metadata(out).unwrap().len());
    }
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
}
