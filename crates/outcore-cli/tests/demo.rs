//! `outcore demo`, completions and man pages from outside.

mod support;

use std::fs;

use crate::support::{TestDir, failure, outcore};

#[test]
fn a_vec_fails_at_the_limit_and_the_containers_go_on() {
    let dir = TestDir::new("demo");
    if dir.is_in_memory() {
        return;
    }
    let picture = dir.path("picture.svg");
    let mut command = outcore(&["demo", "--memory", "40MiB", "--times", "2", "--tmp"]);
    command.arg(&dir.0).arg("--picture").arg(&picture);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{output:?}");
    let row = |name: &str| {
        let row = text.lines().find(|line| line.starts_with(name));
        row.unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    assert!(row("std Vec").contains("failed at "), "{text}");
    for name in ["DiskVec", "Arena", "DiskAlloc", "RangeFile"] {
        assert!(
            row(name).contains("80 MiB") && row(name).ends_with("done"),
            "{text}"
        );
    }
    for name in ["sort", "count", "shuf"] {
        assert!(row(name).ends_with("done"), "{text}");
    }
    assert!(text.contains("memory group"), "{text}");
    let svg = fs::read_to_string(&picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains(">RangeFile<") && svg.contains(">shuf<"));
    assert_eq!(dir.names(), ["picture.svg"]);

    let output = outcore(&["demo", "--memory", "1M"]).output().unwrap();
    assert!(failure(&output).contains("32 MiB at least"));
}

#[test]
fn completions_and_man_pages_know_the_options() {
    for shell in ["bash", "zsh", "fish"] {
        let output = outcore(&["completions", shell]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("skip-bad"), "{shell}");
        // They offered what `--help` hides, too: what is there for tests.
        assert!(
            !text.contains("test-chunk") && !text.contains("sample\n"),
            "{shell}"
        );
        assert!(!text.contains("Write the lines of a sample"), "{shell}");
    }
    let output = outcore(&["man"]).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains("outcore") && page.contains("skip") && page.contains("2^129"));
    // The version stood where the date is, and the synopsis had one FILE.
    assert!(page.contains("1 \" \" \"outcore "), "{page}");
    assert!(page.contains("[FILE]..."), "{page}");
    let dir = TestDir::new("man");
    let output = outcore(&["man"]).arg(&dir.0).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = dir.names();
    for name in [
        "outcore.1",
        "outcore-dedup.1",
        "outcore-demo.1",
        "outcore-doctor.1",
    ] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
}
