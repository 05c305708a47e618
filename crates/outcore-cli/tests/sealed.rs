//! `outcore inspect` and `outcore verify` on files that the library has sealed.
#![expect(
    clippy::unwrap_used,
    reason = "support functions of tests are not seen as tests"
)]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use outcore::{DiskVec, StrVec};

use crate::support::{TestDir, outcore};

/// Runs a command; returns its exit code, and what it wrote.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let ran = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ran.status.code(), text(ran.stdout), text(ran.stderr))
}

#[test]
fn a_sealed_file_is_described_and_a_damaged_block_is_named() {
    let dir = TestDir::new("sealed");
    if dir.is_in_memory() {
        return;
    }
    let (good, bad) = (dir.path("good"), dir.path("bad"));
    let mut numbers = DiskVec::new();
    numbers.try_extend(0..1_000_000_u32).unwrap();
    numbers.seal(&good).unwrap();
    numbers.seal(&bad).unwrap();

    let (code, said, errors) = run(outcore(&["inspect"]).arg(&good));
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    for line in [
        "kind:      vector\n",
        "elements:  1000000\n",
        "type:      u32 (4 bytes, aligned to 4)\n",
        "data:      4000000 bytes\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }

    let (code, said, errors) = run(outcore(&["verify"]).args([&good, &good]));
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert_eq!(said.matches(": ok, 40").count(), 2, "{said}");

    let file = File::options().write(true).open(&bad).unwrap();
    file.write_all_at(&[0xEE], 600_000).unwrap();
    let (code, said, errors) = run(outcore(&["verify"]).args([&bad, &good]));
    assert_eq!(code, Some(1));
    assert!(
        said.contains("bad: BAD\n") && said.contains("good: ok"),
        "{said}"
    );
    assert!(errors.contains("bad: block "), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn a_file_of_strings_is_described_and_verified() {
    let dir = TestDir::new("sealed-strings");
    if dir.is_in_memory() {
        return;
    }
    let (text, bytes) = (dir.path("text"), dir.path("bytes"));
    let mut names = StrVec::new();
    names
        .try_extend((0..100_000).map(|n| format!("{n:06}")))
        .unwrap();
    names.seal(&text).unwrap();
    names.into_bytes_vec().seal(&bytes).unwrap();
    for (path, kind, name) in [(&text, "strings", "str"), (&bytes, "byte strings", "[u8]")] {
        let (code, said, errors) = run(outcore(&["inspect"]).arg(path));
        assert_eq!((code, errors.as_str()), (Some(0), ""));
        for line in [
            format!("kind:      {kind}\n"),
            "elements:  100000\n".to_owned(),
            format!("type:      {name} (any length)\n"),
            format!("data:      {} bytes\n", 600_000 + 8 * 100_001),
        ] {
            assert!(said.contains(&line), "{line}: {said}");
        }
    }
    let (code, said, _errors) = run(outcore(&["verify"]).args([&text, &bytes]));
    assert_eq!(
        (code, said.matches(": ok, 14").count()),
        (Some(0), 2),
        "{said}"
    );

    let file = File::options().write(true).open(&text).unwrap();
    file.write_all_at(&[0xEE], 1_000_000).unwrap();
    let (code, said, errors) = run(outcore(&["verify"]).args([&text, &bytes]));
    assert_eq!(code, Some(1));
    assert!(
        said.contains("text: BAD\n") && said.contains("bytes: ok"),
        "{said}"
    );
    assert!(errors.contains("text: block 60 "), "{errors}");
}

#[test]
fn what_is_no_sealed_file_is_refused() {
    let dir = TestDir::new("unsealed");
    let text = dir.write("text", "no sealed file");
    for command in ["inspect", "verify"] {
        let (code, _said, errors) = run(outcore(&[command]).arg(&text));
        assert_eq!(code, Some(1));
        assert!(errors.contains("too short for a sealed file"), "{errors}");
        let (code, _said, _errors) = run(&mut outcore(&[command]));
        assert_eq!(code, Some(2), "usage");
    }
}
