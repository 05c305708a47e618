//! `outcore shuf`: a permutation of the lines, the same for a seed whatever else is different, and all
//! of them as likely.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::support::{TestDir, failure, feed, noise, outcore, row};

/// Runs `outcore shuf -q` with these options.
fn shuf(options: &[&str], file: &PathBuf) -> Vec<u8> {
    let output = outcore(&[&["shuf", "-q"], options].concat())
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{options:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    output.stdout
}

fn sorted(text: &[u8], end: u8) -> Vec<&[u8]> {
    let mut lines: Vec<_> = text.split_inclusive(|&byte| byte == end).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn lines_come_out_once_each_and_the_last_one_gets_its_end() {
    let dir = TestDir::new("shuf");
    for (text, end) in [
        (&b""[..], b'\n'),
        (b"\n", b'\n'),
        (b"one", b'\n'),
        (b"a\nb\n\n\nb\nc", b'\n'),
        (b"\0\xff\r\n\xfe\n", b'\n'),
        (b"a\0b\nc\0d", b'\0'),
        (&noise(20_000, 11), b'\n'),
    ] {
        let file = dir.write("file", text);
        let options: &[&str] = if end == 0 { &["-z"] } else { &[] };
        let found = shuf(options, &file);
        let mut expected = text.to_vec();
        if expected.last().is_some_and(|last| *last != end) {
            expected.push(end);
        }
        assert!(sorted(&found, end) == sorted(&expected, end));
    }
}

/// The order is what users repeat an experiment with, so it does not change between versions.
#[test]
fn a_seed_stands_for_the_same_order_for_ever() {
    let dir = TestDir::new("golden");
    let file = dir.write("file", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n");
    assert_eq!(
        shuf(&["--seed", "1"], &file),
        b"5\n4\n3\n7\n10\n8\n1\n6\n9\n2\n"
    );
    let first = shuf(&["--seed", "2"], &file);
    assert_ne!(first, shuf(&["--seed", "3"], &file));
}

#[test]
fn memory_threads_and_the_way_of_the_input_do_not_change_the_order() {
    let dir = TestDir::new("same");
    if dir.is_in_memory() {
        return;
    }
    let tmp = dir.0.to_str().unwrap().to_owned();
    // One line is longer than all chunks.
    let mut text = noise(120_000, 5);
    text.extend(vec![b'x'; 700_000]);
    text.push(b'\n');
    text.extend(noise(100, 6));
    let file = dir.write("file", &text);
    let expected = shuf(&["--seed", "7"], &file);
    assert!(sorted(&expected, b'\n') == sorted(&text, b'\n'));
    for options in [
        &["--parallel", "1"][..],
        &["--parallel", "5"],
        &["--memory", "24M"],
        &["--test-shuffler", "4M", "--parallel", "3"],
        &["--test-chunk", "5000"],
        &["--test-chunk", "100", "--parallel", "3"],
        &["-n", "1000000"],
    ] {
        let options = [&["--seed", "7", "--tmp", &tmp], options].concat();
        assert!(shuf(&options, &file) == expected, "{options:?}");
    }
    // From a pipe, from two files, and into a file.
    let output = feed(outcore(&["shuf", "-q", "--seed", "7"]), &text);
    assert!(output.stdout == expected);
    let middle = text.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let parts = [&text[..middle], &text[middle..]];
    let files = [dir.write("first", parts[0]), dir.write("second", parts[1])];
    let out = dir.path("out");
    let mut command = outcore(&["shuf", "-q", "--seed", "7", "-o"]);
    assert!(command.arg(&out).args(&files).status().unwrap().success());
    assert!(fs::read(&out).unwrap() == expected);
    // In place.
    let mut command = outcore(&["shuf", "-q", "--seed", "7", "-o"]);
    assert!(command.arg(&file).arg(&file).status().unwrap().success());
    assert!(fs::read(&file).unwrap() == expected);
}

/// `-n` takes another way: lines with a large chance are dropped as they are read. Its lines are the
/// first of the whole, in memory and where memory has no room for them.
#[test]
fn a_sample_is_the_begin_of_the_whole() {
    let dir = TestDir::new("sample");
    if dir.is_in_memory() {
        return;
    }
    let tmp = dir.0.to_str().unwrap().to_owned();
    let file = dir.write("file", noise(100_000, 8));
    let whole = shuf(&["--seed", "3"], &file);
    for count in [0, 1, 2, 100, 30_000, 99_999, 100_001] {
        let head: Vec<_> = whole.split_inclusive(|&byte| byte == b'\n').collect();
        let expected = head[..head.len().min(count)].concat();
        let count = count.to_string();
        for more in [&[][..], &["--test-shuffler", "4M"], &["--parallel", "1"]] {
            let options = ["--seed", "3", "--tmp", &tmp, "-n", &count];
            let found = shuf(&[&options, more].concat(), &file);
            assert!(found == expected, "-n {count} {more:?}");
        }
    }
}

/// Chi-square of where each of eight lines comes out, for many seeds.
#[test]
fn every_line_comes_out_everywhere() {
    let dir = TestDir::new("uniform");
    let file = dir.write("file", "0\n1\n2\n3\n4\n5\n6\n7\n");
    let rounds = 240_u32;
    let mut places = [[0_u32; 8]; 8];
    for seed in 0..rounds {
        let text = shuf(&["--parallel", "1", "--seed", &seed.to_string()], &file);
        let lines = text.iter().filter(|byte| byte.is_ascii_digit());
        for (place, line) in lines.enumerate() {
            places[usize::from(*line - b'0')][place] += 1;
        }
    }
    let chi_square = |counts: &[u32; 8]| {
        let expected = f64::from(rounds) / 8.0;
        let squares = counts.map(|count| (f64::from(count) - expected).powi(2) / expected);
        squares.iter().sum::<f64>()
    };
    // Seven degrees of freedom; by chance, more than this comes once in 10^6.
    for counts in &places {
        assert!(chi_square(counts) < 40.6, "{places:?}");
    }
    // The canary: a line that stays where it was one time in four.
    places[0][0] += rounds / 4;
    assert!(chi_square(&places[0]) > 40.6);
}

#[test]
fn the_header_of_csv_stays_first_and_records_stay_whole() {
    let dir = TestDir::new("csv");
    let mut text = b"name,note\n".to_vec();
    let mut records = Vec::new();
    for n in 0..3000 {
        let record = format!("{n},\"a \"\"note\"\" of\ntwo lines, {n}\"\n");
        text.extend(record.as_bytes());
        records.push(record);
    }
    let file = dir.write("file.csv", &text);
    let found = String::from_utf8(shuf(&["--csv", "--seed", "1"], &file)).unwrap();
    let rest = found.strip_prefix("name,note\n").unwrap();
    let mut parts: Vec<_> = rest.split_inclusive("\"\n").map(str::to_owned).collect();
    assert_ne!(parts, records);
    parts.sort_unstable();
    records.sort_unstable();
    assert!(parts == records);
    let sample = shuf(&["--csv", "--seed", "1", "-n", "0"], &file);
    assert_eq!(sample, b"name,note\n");
    let empty = dir.write("empty.csv", "");
    assert!(shuf(&["--csv"], &empty).is_empty());
}

#[test]
fn without_a_seed_the_summary_names_the_one_that_repeats_the_order() {
    let dir = TestDir::new("seed");
    let file = dir.write("file", noise(1000, 1));
    let output = outcore(&["shuf"]).arg(&file).output().unwrap();
    assert!((row(&output, "lines") - 1000.0).abs() < 0.5);
    let text = String::from_utf8(output.stderr).unwrap();
    let seed = text.lines().find_map(|line| line.strip_prefix("--seed "));
    assert!(shuf(&["--seed", seed.unwrap()], &file) == output.stdout);
    let mut command = outcore(&["shuf", "--report", "json", "--seed", "9"]);
    let output = command.arg(&file).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(report["seed"], 9);
    assert_eq!(report["lines"], 1000);
}

#[test]
fn memory_stays_below_the_promise() {
    let dir = TestDir::new("shuf-promise");
    if dir.is_in_memory() {
        return;
    }
    let mut text = Vec::new();
    for n in 0..1_500_000_u32 {
        writeln!(text, "line {n}").unwrap();
    }
    let file = dir.write("much", text);
    for (mib, options) in [
        (24, &[][..]),
        (48, &["--parallel", "3"]),
        (64, &["-n", "1000000"]),
        (256, &[]),
    ] {
        let memory = format!("{mib}MiB");
        let mut command = outcore(&["shuf", "--memory", &memory, "--tmp"]);
        command.arg(&dir.0).args(options).arg(&file);
        let output = command.arg("-o").arg(dir.path("out")).output().unwrap();
        let peak = row(&output, "peak resident MiB");
        assert!(peak <= f64::from(mib), "{peak} MiB of {mib}, {options:?}");
    }
}

#[test]
fn what_goes_wrong_is_one_line_and_leaves_the_output_as_it_was() {
    let dir = TestDir::new("wrong");
    let file = dir.write("file", "a\nb\n");
    let out = dir.write("out", "as before\n");
    for arguments in [
        &["missing"][..],
        &["--memory", "8M", "file"],
        &["file", "."],
    ] {
        let mut command = outcore(&["shuf", "-q", "-o"]);
        command.current_dir(&dir.0).arg(&out).args(arguments);
        failure(&command.output().unwrap());
        assert_eq!(fs::read(&out).unwrap(), b"as before\n");
    }
    drop(file);
    assert_eq!(dir.names(), ["file", "out"]);
}
