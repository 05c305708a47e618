//! Compressed inputs: read as what they are when unpacked.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{TestDir, dedup, failure, feed, model, noise, outcore};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Files of lines with and without compression, in a row, the same lines in each way.
fn files(dir: &TestDir) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let texts = [
        noise(3000, 1),
        noise(5, 2),
        noise(4000, 3),
        b"a\nb".to_vec(),
        b"c".to_vec(),
    ];
    let write = |number: usize, pack: &dyn Fn(&[u8]) -> Vec<u8>, end: &str| {
        dir.write(&format!("{number}{end}"), pack(&texts[number]))
    };
    let plain = (0..texts.len()).map(|number| write(number, &<[u8]>::to_vec, ".txt"));
    let plain: Vec<_> = plain.collect();
    // Found by name and by the first bytes.
    let packed = vec![
        write(0, &gzip, ".gz"),
        plain[1].clone(),
        write(2, &zstd, ".without"),
        write(3, &gzip, ".too"),
        write(4, &zstd, ".zst"),
    ];
    (plain, packed)
}

#[test]
fn compressed_files_are_read_as_what_is_in_them() {
    let dir = TestDir::new("unpack");
    let (plain, packed) = files(&dir);
    let expected = dedup(&plain.iter().collect::<Vec<_>>());
    assert!(dedup(&packed.iter().collect::<Vec<_>>()) == expected);
    if dir.is_in_memory() {
        return;
    }
    // Where memory has no room for the keys, they are copied to scratch files.
    let mut command = outcore(&["dedup", "-q", "--test-index", "1", "--test-chunk", "4K"]);
    command.arg("--tmp").arg(&dir.0).args(&packed);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout == expected);
}

#[test]
fn a_compressed_pipe_is_unpacked_too() {
    let text = noise(3000, 4);
    let dir = TestDir::new("pipe");
    let expected = model(&[&dir.write("text", &text)]);
    for packed in [gzip(&text), zstd(&text), text] {
        let output = feed(outcore(&["dedup", "-q", "-"]), &packed);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout == expected);
    }
}

#[test]
fn a_compressed_file_can_be_replaced_by_its_kept_lines() {
    let dir = TestDir::new("replace");
    let file = dir.write("list.gz", gzip(b"b\na\nb\n"));
    let mut command = outcore(&["dedup", "-q", "-o"]);
    assert!(command.arg(&file).arg(&file).status().unwrap().success());
    assert_eq!(fs::read(&file).unwrap(), b"b\na\n");
}

#[test]
fn what_is_cut_off_or_no_such_format_is_one_line_that_names_the_file() {
    let dir = TestDir::new("bad");
    let packed = [gzip(&noise(3000, 5)), zstd(&noise(3000, 5))];
    let out = dir.write("out", "as before\n");
    for (name, bytes) in [
        ("cut.gz", &packed[0][..packed[0].len() / 2]),
        ("cut.zst", &packed[1][..packed[1].len() / 2]),
        ("text.gz", b"no gzip\n"),
        ("text.zst", b"no zstd\n"),
    ] {
        let file = dir.write(name, bytes);
        let mut command = outcore(&["dedup", "-q", "-o"]);
        let text = failure(&command.arg(&out).arg(&file).output().unwrap());
        assert!(text.contains(name), "{text}");
        assert_eq!(fs::read(&out).unwrap(), b"as before\n");
    }
    let file = dir.write("text.gz", "as it is\n");
    let mut command = outcore(&["dedup", "-q", "--no-unpack"]);
    let output = command.arg(&file).output().unwrap();
    assert_eq!(output.stdout, b"as it is\n");
}

#[test]
fn a_compressed_file_that_is_written_to_meanwhile_is_refused() {
    let dir = TestDir::new("written");
    let file = dir.write("list.gz", gzip(b"b\na\nb\n"));
    let mut command = Command::new("sh");
    command.args(["-c", "\"$1\" dedup -q \"$2\" >>\"$2\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_outcore")).arg(&file);
    let text = failure(&command.stdin(Stdio::null()).output().unwrap());
    assert!(text.contains("standard output"), "{text}");
}

#[test]
fn whole_files_are_compared_as_they_are() {
    let dir = TestDir::new("whole");
    let text = dir.write("a", "a\n");
    let packed = dir.write("a.gz", gzip(b"a\n"));
    let again = dir.write("b.gz", gzip(b"a\n"));
    let mut command = outcore(&["dedup", "-q", "--unit", "file"]);
    let output = command.args([&text, &packed, &again]).output().unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    assert_eq!(names.lines().count(), 2, "{names}");
}
