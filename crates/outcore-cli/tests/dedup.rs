//! `outcore dedup` from outside: the same bytes as awk, and what goes wrong.

mod support;

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use crate::support::{
    TestDir, assert_equals_awk, dedup, failure, feed, model, noise, outcore, row,
};

#[test]
fn the_output_is_that_of_awk() {
    let dir = TestDir::new("awk");
    let long = |byte: u8| [vec![byte; 5 << 20], b"\n".to_vec()].concat();
    let inputs: [(&str, Vec<u8>); 12] = [
        ("empty", Vec::new()),
        ("newline", b"\n".to_vec()),
        ("newlines", b"\n\n\n\n".to_vec()),
        ("no newline at the end", b"a\nb\na\nc".to_vec()),
        ("a repeat without newline", b"x\ny\nx".to_vec()),
        ("only a line without newline", b"x".to_vec()),
        ("crlf", b"a\r\na\na\r\n\r\n\r\n\n".to_vec()),
        ("nul", b"a\0b\na\0c\na\na\0b\n\0\n\0\0\n\0\n".to_vec()),
        (
            "not utf-8",
            b"\xff\n\xfe\xff\n\xff\n\xc3\n\xc3\x28\n\xc3\n".to_vec(),
        ),
        (
            "numbers",
            b"1\n01\n1.0\n1e0\n+1\n 1\n1\n0x1\n-0\n0\n".to_vec(),
        ),
        (
            "long",
            [long(b'a'), long(b'b'), long(b'a'), b"a\n".to_vec()].concat(),
        ),
        ("noise", noise(60_000, 1)),
    ];
    let paths: Vec<_> = inputs
        .iter()
        .map(|(name, text)| dir.write(name, text))
        .collect();
    for path in &paths {
        assert_equals_awk(&[path]);
    }
    // All as one sequence, in both orders.
    assert_equals_awk(&paths.iter().collect::<Vec<_>>());
    assert_equals_awk(&paths.iter().rev().collect::<Vec<_>>());
}

#[test]
fn a_last_line_without_newline_stays_as_it_is() {
    let dir = TestDir::new("last");
    let a = dir.write("a", "x\ny");
    let b = dir.write("b", "y\nz");
    let empty = dir.write("empty", "");
    assert_eq!(dedup(&[&a]), b"x\ny");
    // Not the last line of all: it gets the newline that awk gives it.
    assert_eq!(dedup(&[&a, &b]), b"x\ny\nz");
    assert_eq!(dedup(&[&a, &empty]), b"x\ny\n");
    assert_eq!(dedup(&[&a, &a]), b"x\ny\n");
}

#[test]
fn standard_input_is_read_where_a_dash_stands() {
    let dir = TestDir::new("stdin");
    let a = dir.write("a", "1\n2");
    let c = dir.write("c", "4\n1\n5\n");
    let mut command = outcore(&["dedup", "-q"]);
    command.arg(&a).arg("-").arg(&c);
    let output = feed(command, b"2\n3\n3\n4");
    assert_eq!(output.stdout, b"1\n2\n3\n4\n5\n", "{output:?}");
    // Much of it, so that reads and lines end at different places.
    let text = noise(20_000, 2);
    let output = feed(outcore(&["dedup", "-q", "-"]), &text);
    assert!(output.stdout == model(&[&dir.write("noise", &text)]));
}

#[test]
fn the_output_may_be_an_input() {
    let dir = TestDir::new("in-place");
    let file = dir.write("file", noise(5000, 3));
    let expected = model(&[&file]);
    let path = file.to_str().unwrap();
    for _ in 0..2 {
        let mut command = outcore(&["dedup", "-q", path, "--output", path]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout.is_empty());
        assert!(fs::read(&file).unwrap() == expected);
    }
    assert_eq!(dir.names(), ["file"]);
}

#[test]
#[cfg(unix)]
fn a_link_stays_a_link_and_a_file_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;

    let dir = TestDir::new("link");
    let file = dir.write("file", "b\nb\n");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let link = dir.path("link");
    std::os::unix::fs::symlink("file", &link).unwrap();
    let mut command = outcore(&["dedup", "-q"]);
    let output = command.arg(&link).arg("-o").arg(&link).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&file).unwrap(), b"b\n");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_cannot_be_read_is_one_line_and_leaves_no_output() {
    let dir = TestDir::new("unreadable");
    let good = dir.write("good", "x\n");
    let missing = dir.path("missing");
    let folder = dir.path("folder");
    fs::create_dir(&folder).unwrap();
    let out = dir.path("out");
    let mut bad = vec![
        (missing, "No such file or directory"),
        (folder, "directory"),
    ];
    if cfg!(target_os = "linux") {
        // Opens, and fails at the first read.
        bad.push(("/proc/self/mem".into(), "Input/output error"));
    }
    for (path, reason) in &bad {
        let mut command = outcore(&["dedup"]);
        command.arg(&good).arg(path).arg("--output").arg(&out);
        let text = failure(&command.output().unwrap());
        let begin = format!("outcore: cannot read {}: ", path.display());
        assert!(text.starts_with(&begin), "{text}");
        assert!(text.contains(reason), "{text}");
        assert!(!out.exists());
    }
    assert_eq!(dir.names(), ["folder", "good"]);
}

#[test]
fn what_cannot_be_written_is_one_line() {
    let dir = TestDir::new("unwritable");
    let good = dir.write("good", "x\n");
    let folder = dir.path("folder");
    fs::create_dir(&folder).unwrap();
    let nowhere = dir.path("no/such/place");
    for path in [&folder, &nowhere] {
        let mut command = outcore(&["dedup"]);
        command.arg(&good).arg("--output").arg(path);
        let text = failure(&command.output().unwrap());
        let begin = format!("outcore: cannot write {}: ", path.display());
        assert!(text.starts_with(&begin), "{text}");
    }
    assert_eq!(dir.names(), ["folder", "good"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_one_line() {
    let dir = TestDir::new("full");
    let good = dir.write("good", noise(1000, 4));
    let mut command = outcore(&["dedup", "--output", "/dev/full"]);
    let text = failure(&command.arg(&good).output().unwrap());
    assert_eq!(
        text,
        "outcore: cannot write /dev/full: No space left on device (os error 28)\n"
    );

    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let mut command = outcore(&["dedup"]);
    command.arg(&good).stdout(full.unwrap());
    let text = failure(&command.output().unwrap());
    assert_eq!(
        text,
        "outcore: cannot write standard output: No space left on device (os error 28)\n"
    );
}

#[test]
fn a_broken_pipe_ends_quietly() {
    let dir = TestDir::new("pipe");
    let lines: Vec<_> = (0..300_000).map(|n| n.to_string()).collect();
    let file = dir.write("file", lines.join("\n"));
    let mut command = outcore(&["dedup"]);
    command.arg(&file);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    // The pipe is closed here, long before the end of the file.
    let output = child.wait_with_output().unwrap();
    assert_eq!(&first, b"0\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn an_input_that_is_also_standard_output_is_refused() {
    let dir = TestDir::new("append");
    let file = dir.write("file", "x\ny");
    let append = fs::OpenOptions::new().append(true).open(&file).unwrap();
    let mut command = outcore(&["dedup"]);
    command.arg(&file).stdout(append);
    let text = failure(&command.output().unwrap());
    assert!(text.contains("is also standard output"), "{text}");
    assert_eq!(fs::read(&file).unwrap(), b"x\ny");
}

#[test]
fn too_little_memory_is_one_line() {
    let dir = TestDir::new("memory");
    let file = dir.write("file", "x\n");
    let mut command = outcore(&["dedup", "--memory", "1M"]);
    let text = failure(&command.arg(&file).output().unwrap());
    assert!(text.contains("--memory 1 MiB is too little"), "{text}");
}

#[test]
fn the_summary_counts_what_happened() {
    let dir = TestDir::new("summary");
    let file = dir.write("file", "a\nb\na\na\n");
    let mut command = outcore(&["dedup"]);
    let output = command.arg(&file).output().unwrap();
    for (label, value) in [
        ("lines", 4.0),
        ("kept", 2.0),
        ("bytes read", 8.0),
        ("bytes written", 4.0),
    ] {
        let shown = row(&output, label);
        assert!((shown - value).abs() < 0.5, "{label}: {shown}");
    }
}

#[test]
fn without_a_file_a_sample_is_made_and_deduplicated() {
    let dir = TestDir::new("sample");
    let run = |output: Option<&Path>| {
        let mut command = outcore(&["dedup", "--sample-size", "2500K", "--tmp"]);
        command.arg(&dir.0);
        if let Some(path) = output {
            command.arg("-o").arg(path);
        }
        command.output().unwrap()
    };
    let output = run(None);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.contains("lives in memory") {
        eprintln!("the target directory is in memory: no sample there");
        return;
    }
    assert!(output.status.success(), "{text}");
    assert!(text.contains("making a sample of 2.4 MiB"), "{text}");
    let kept: Vec<_> = output.stdout.split(|&byte| byte == b'\n').collect();
    let distinct: HashSet<_> = kept.iter().collect();
    assert_eq!(distinct.len(), kept.len());
    let percent = 100.0 * row(&output, "kept") / row(&output, "lines");
    assert!((40.0..70.0).contains(&percent), "{percent} % are distinct");

    // The same sample again, whatever the threads did.
    let path = dir.path("out");
    let again = run(Some(&path));
    assert!(again.status.success(), "{again:?}");
    assert!(again.stdout.is_empty());
    assert!(fs::read(&path).unwrap() == output.stdout);
    assert_eq!(dir.names(), ["out"]);
}

#[test]
fn wrong_usage_has_exit_code_2() {
    for arguments in [
        &["dedup", "--memory", "64MB", "file"][..],
        &["dedup", "--memory", "much"],
        &["dedup", "--no-such-option"],
        &["no-such-command"],
        &[],
    ] {
        let output = outcore(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
}
