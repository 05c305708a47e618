//! `outcore sort`: what it reads and writes beside lines, and how it fails.
#![expect(
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::process::Output;

use crate::support::{TestDir, failure, feed, outcore, row};

/// Feeds text to a run; returns standard output.
fn run(options: &[&str], text: &str) -> String {
    let mut command = outcore(&["sort", "-q"]);
    command.args(options);
    let output = feed(command, text.as_bytes());
    assert!(output.status.success(), "{options:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(options: &[&str], text: &str) -> Output {
    let mut command = outcore(&["sort", "-q"]);
    command.args(options);
    feed(command, text.as_bytes())
}

/// Asserts exit code 2, which is that of wrong usage; returns what was said.
fn usage(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn without_a_file_standard_input_is_sorted() {
    assert_eq!(run(&[], "b\na\n\nc"), "\na\nb\nc\n");
    assert_eq!(run(&["-"], "b\na"), "a\nb\n");
    assert_eq!(run(&[], ""), "");
    assert_eq!(run(&["-z"], "b\0a\nc\0"), "a\nc\0b\0");
}

#[test]
fn options_may_be_joined_as_in_sort() {
    assert_eq!(run(&["-rnu"], "1\n01\n10\n"), "10\n1\n");
    assert_eq!(run(&["-t,", "-k2nr"], "a,1\nb,2\n"), "b,2\na,1\n");
    assert_eq!(run(&["-cu"], "a\nb\n"), "");
    let output = refused(&["-cu"], "a\na\n");
    assert_eq!(failure(&output), "outcore: standard input:2: disorder: a\n");
}

#[test]
fn an_input_may_be_the_output() {
    let dir = TestDir::new("sort-in-place");
    let file = dir.write("file", "b\na\n");
    let other = dir.write("other", "0");
    let path = file.to_str().unwrap();
    let mut command = outcore(&["sort", "-q", path, other.to_str().unwrap(), "-o", path]);
    assert!(command.status().unwrap().success());
    assert_eq!(fs::read(&file).unwrap(), b"0\na\nb\n");
    assert_eq!(dir.names(), ["file", "other"]);
}

#[test]
fn a_failure_leaves_the_output_as_it_was() {
    let dir = TestDir::new("sort-failure");
    let file = dir.write("file", "{\"a\":1}\nno json\n");
    let inode = fs::metadata(&file).unwrap().ino();
    let path = file.to_str().unwrap();
    let output = outcore(&["sort", "--field", "a", path, "-o", path]).output();
    let text = failure(&output.unwrap());
    let expected = format!(
        "outcore: {path}: line 2 is not JSON: expected ident at byte 2; --skip-bad leaves such \
         lines out\n"
    );
    assert_eq!(text, expected);
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
    assert_eq!(dir.names(), ["file"]);
}

#[test]
fn disorder_is_found_and_told() {
    let text = "x\ny 2\ny 10\n";
    assert_eq!(run(&["-c", "-k2,2n"], text), "");
    let output = refused(&["-c"], text);
    assert_eq!(
        failure(&output),
        "outcore: standard input:3: disorder: y 10\n"
    );
    for quiet in ["-C", "--check=quiet", "--check=silent"] {
        let output = refused(&[quiet], text);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stderr.is_empty(), "{output:?}");
        assert_eq!(run(&[quiet], "a\nb\n"), "");
    }
    let csv = "n,t\n2,\"a\nb\"\n10,c\n9,d\n";
    let output = refused(&["-c", "--csv", "-k", "n:n"], csv);
    assert_eq!(
        failure(&output),
        "outcore: standard input:4: disorder: 9,d\n"
    );
    assert!(usage(&refused(&["-c", "a", "b"], "")).contains("several files"));
}

#[test]
fn csv_keeps_its_header_and_its_quoted_newlines() {
    let text = "name,\"a,b\",n\r\nx,\"2\n2\",10\r\ny,\"1,\"\"1\",9\r\nz,1,9\r\n";
    let header = "name,\"a,b\",n\r\n";
    let records = ["x,\"2\n2\",10\r\n", "y,\"1,\"\"1\",9\r\n", "z,1,9\r\n"];
    let expected = |order: [usize; 3]| {
        let records: String = order.iter().map(|&number| records[number]).collect();
        format!("{header}{records}")
    };
    for small in [
        &[][..],
        &["--test-chunk", "3", "-j", "2"],
        &["--test-part", "10", "-j", "2"],
        &["--test-record", "1"],
    ] {
        let run = |options: &[&str]| run(&[&["--csv"], options, small].concat(), text);
        assert_eq!(run(&["-k", "n:n", "-k", "name:r"]), expected([2, 1, 0]));
        assert_eq!(run(&["-k", "n"]), expected([0, 1, 2]));
        assert_eq!(run(&["-k", "a,b"]), expected([2, 1, 0]));
        assert_eq!(
            run(&["-u", "-k", "n:n"]),
            format!("{header}{}{}", records[1], records[0])
        );
        assert_eq!(run(&["-s", "-k", "n:nr"]), expected([0, 1, 2]));
    }
    assert_eq!(
        run(&["--csv", "-t;", "-k", "b"], "a;b\n1;2\n2;1"),
        "a;b\n2;1\n1;2\n"
    );
    assert_eq!(run(&["--csv", "-k", "a"], ""), "");
    assert_eq!(run(&["--csv", "-k", "a"], "a"), "a\n");
}

#[test]
fn several_csv_files_have_one_header() {
    let dir = TestDir::new("sort-headers");
    let first = dir.write("1", "a,b\n3,x\n1,y\n");
    let second = dir.write("2", "\u{feff}a,b\r\n2,z\r\n");
    let empty = dir.write("3", "");
    let mut command = outcore(&["sort", "-q", "--csv", "-k", "a"]);
    let output = command.args([&empty, &first, &second]).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "a,b\n1,y\n2,z\r\n3,x\n"
    );
    dir.write("1", "a,b\n1,y\n3,x\n");
    let mut command = outcore(&["sort", "-q", "-m", "--csv", "-k", "a"]);
    let output = command.args([&empty, &first, &second]).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "a,b\n1,y\n2,z\r\n3,x\n"
    );
    dir.write("2", "a,c\n2,z\n");
    for merge in [&[][..], &["-m"]] {
        let mut command = outcore(&["sort", "-q", "--csv", "-k", "a"]);
        let output = command
            .args(merge)
            .args([&first, &second])
            .output()
            .unwrap();
        assert!(
            failure(&output).contains("2 has another header"),
            "{merge:?}"
        );
    }
}

#[test]
fn what_csv_lacks_is_told() {
    let output = refused(&["--csv", "-k", "c:n"], "a,b\n1,2\n");
    assert_eq!(
        failure(&output),
        "outcore: the header has no column \"c\"; it has a, b\n"
    );
    let endless = format!("a,b\n\"{}", "x\n".repeat(20_000_000));
    let output = refused(&["--csv", "-k", "a", "--memory", "32M"], &endless);
    assert!(failure(&output).contains("a quote may be missing"));
    assert!(usage(&refused(&["--csv"], "")).contains("--key"));
    assert!(usage(&refused(&["--csv", "-k", "a", "-t", "\""], "")).contains("cannot separate"));
}

#[test]
fn json_lines_are_sorted_by_a_field() {
    let lines = [
        "{\"n\":10,\"t\":\"b\"}",
        "{\"t\":\"a\",\"n\":9.5}",
        "{\"t\":\"c\"}",
        "{\"n\":\"x\"}",
    ];
    let text = lines.join("\n");
    let expected = |order: [usize; 4]| -> String {
        let lines = order.iter().map(|&number| format!("{}\n", lines[number]));
        lines.collect()
    };
    for small in [&[][..], &["--test-chunk", "3"], &["--test-record", "1"]] {
        let run = |options: &[&str]| run(&[options, small].concat(), &text);
        assert_eq!(run(&["--field", "n"]), expected([2, 1, 0, 3]));
        assert_eq!(run(&["--field", "n:r"]), expected([3, 0, 1, 2]));
        assert_eq!(
            run(&["--field", "t:r", "--field", "n"]),
            expected([2, 0, 1, 3])
        );
    }
    let bad = format!("[]\n{text}\n{{\"n\":1,\"n\":2}}\n");
    let skipping = run(&["--field", "n", "--skip-bad"], &bad);
    assert_eq!(skipping, expected([2, 1, 0, 3]));
    let command = outcore(&["sort", "--field", "n", "--skip-bad", "--report", "json"]);
    let output = feed(command, bad.as_bytes());
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(
        (&report["lines"], &report["skipped"]),
        (&4.into(), &2.into())
    );
}

#[test]
fn what_makes_no_sense_is_wrong_usage() {
    for options in [
        &["-k", "0"][..],
        &["-k", "1x"],
        &["-ng"],
        &["-k1,1ng"],
        &["-t", "ab"],
        &["-R"],
        &["-S", "x"],
        &["--field", "a", "-k1"],
        &["-c", "-m"],
        &["--memory", "1G", "-S", "1G"],
    ] {
        usage(&refused(options, ""));
    }
    // What is said about all keys need not make sense where no key takes it.
    assert_eq!(run(&["-ng", "-k1,1f"], "b\nA\n"), "A\nb\n");
}

#[test]
fn compressed_files_are_read_as_what_is_in_them() {
    let dir = TestDir::new("sort-packed");
    let file = dir.write("file", "b\na\n");
    let Ok(status) = std::process::Command::new("gzip").arg(&file).status() else {
        return;
    };
    assert!(status.success());
    let output = outcore(&["sort", "-q"])
        .arg(dir.path("file.gz"))
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"a\nb\n");
}

#[test]
fn the_summary_has_what_was_done() {
    let dir = TestDir::new("sort-summary");
    let file = dir.write("file", "b\na\nb\n");
    let output = outcore(&["sort", "-u"]).arg(&file).output().unwrap();
    assert!((row(&output, "lines") - 3.0).abs() < 0.1);
    assert!((row(&output, "kept") - 2.0).abs() < 0.1);
    assert!((row(&output, "bytes read") - 6.0).abs() < 0.1);
    assert!((row(&output, "bytes written") - 4.0).abs() < 0.1);
}

/// More than the sorter's memory: runs are written and merged, and resident memory stays in its limit.
#[test]
fn memory_is_kept_whatever_there_is_to_sort() {
    let dir = TestDir::new("sort-memory");
    if dir.is_in_memory() {
        return;
    }
    let count = 1_500_000_u64;
    let number = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count;
    let lines = (0..count).map(|n| format!("{} {n} and some more text\n", number(n)));
    let file = dir.write("file", lines.collect::<String>());
    let out = dir.path("out");
    let tmp = dir.0.to_str().unwrap();
    let mut command = outcore(&["sort", "-n", "--memory", "32M", "--tmp", tmp, "-o"]);
    let output = command.arg(&out).arg(&file).output().unwrap();
    assert!(row(&output, "bytes of scratch") > 40e6);
    let peak = row(&output, "peak resident MiB");
    assert!(peak <= 32.0, "{peak} MiB");
    let text = fs::read_to_string(&out).unwrap();
    let numbers = text
        .lines()
        .map(|line| line.split(' ').next().unwrap().parse().unwrap());
    let numbers: Vec<u64> = numbers.collect();
    assert!(numbers.is_sorted());
    assert_eq!(numbers.len() as u64, count);
    assert_eq!(text.len() as u64, fs::metadata(&file).unwrap().len());
    assert_eq!(dir.names(), ["file", "out"]);
}

/// Where a line ends took eight bytes of memory and more, which did not count: merging short lines
/// took more than twice the memory that was allowed.
#[test]
fn merging_short_lines_stays_in_the_memory() {
    let dir = TestDir::new("merge-short");
    let paths: Vec<_> = (0..20)
        .map(|number| dir.write(&number.to_string(), "\n".repeat(200_000)))
        .collect();
    let mut command = outcore(&["sort", "-m", "--memory", "32M", "--output", "/dev/null"]);
    let output = command.args(&paths).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let peak = row(&output, "peak resident MiB");
    assert!(peak <= 32.0, "{peak} MiB");
}

/// Inputs were merged with a decoder for each, of which one counted: a hundred of them took eight
/// times the memory that was allowed.
#[test]
fn merging_compressed_files_stays_in_the_memory() {
    let dir = TestDir::new("merge-packed");
    let lines = |turn: u64| (0..45_000_u64).map(move |n| format!("{n:09} {} and more\n", n ^ turn));
    let mut expected: Vec<String> = Vec::new();
    let mut paths = Vec::new();
    for number in 0..24 {
        let text: String = lines(number).collect();
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(20).unwrap();
        encoder.write_all(text.as_bytes()).unwrap();
        paths.push(dir.write(&format!("{number}.zst"), encoder.finish().unwrap()));
        expected.extend(lines(number));
    }
    let out = dir.path("out");
    let mut command = outcore(&["sort", "-m", "--memory", "32M", "--output"]);
    let output = command.arg(&out).args(&paths).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let peak = row(&output, "peak resident MiB");
    assert!(peak <= 32.0, "{peak} MiB");
    expected.sort_unstable();
    assert!(fs::read_to_string(&out).unwrap() == expected.concat());
}
