//! Sealed strings in Python: Arrow's readers, our example of a reader, and what docs/python.md shows.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytemuck::{Pod, Zeroable};
use outcore::{BytesVec, DiskVec, StrVec};

use crate::support::python::{output, python};
use crate::support::{disk, new_dir, skipped, test_name};

/// Seals strings and byte strings: some without any, some with letters of several bytes.
fn seal_strings(dir: &Path) {
    let mut strings = StrVec::new_in(&disk());
    strings
        .try_extend((0..100_000).map(|n| format!("{}\u{e9}\u{1f980}{n}", "x".repeat(n % 5))))
        .unwrap();
    strings.push("").unwrap();
    strings.seal(dir.join("text")).unwrap();
    let mut blobs = BytesVec::new_in(&disk());
    blobs
        .try_extend((0..1000_usize).map(|n| vec![0xFF; n % 10]))
        .unwrap();
    blobs.seal(dir.join("bytes")).unwrap();
    StrVec::new().seal(dir.join("none")).unwrap();
    let mut empty = StrVec::new();
    empty.try_extend(["", "", ""]).unwrap();
    empty.seal(dir.join("only-empty")).unwrap();
}

/// What each reader has to find, with `column` as the name of the file, the column as a list, and a
/// list of what it expects.
const EXPECTED: &str = r#"
expected = {
    "text": ["x" * (n % 5) + "\u00e9\U0001f980" + str(n) for n in range(100000)] + [""],
    "bytes": [b"\xff" * (n % 10) for n in range(1000)],
    "none": [],
    "only-empty": ["", "", ""],
}
"#;

#[test]
fn arrow_reads_sealed_strings_without_a_copy() {
    let Some(mut python) = python("pyarrow") else {
        return skipped(test_name!(), "no python with pyarrow");
    };
    let dir = new_dir();
    seal_strings(&dir);
    let script = r#"
import sys, os
import pyarrow as pa
for name, values in expected.items():
    before = pa.total_allocated_bytes()
    reader = pa.ipc.open_file(pa.memory_map(os.path.join(sys.argv[1], name)))
    table = reader.read_all()
    table.validate(full=True)
    assert reader.num_record_batches == 1
    column = table.column("values").chunk(0)
    assert pa.total_allocated_bytes() == before, "zero copies"
    kind = pa.large_binary() if name == "bytes" else pa.large_string()
    assert column.type == kind and column.null_count == 0, column.type
    assert column.to_pylist() == values, name
    print(name, end=" ")
"#;
    let script = [EXPECTED, script].concat();
    let read = output(python.args(["-c", &script]).arg(&dir));
    assert_eq!(read, "text bytes none only-empty ");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn polars_reads_sealed_strings() {
    let Some(mut python) = python("polars") else {
        return skipped(test_name!(), "no python with polars");
    };
    let dir = new_dir();
    seal_strings(&dir);
    let script = r#"
import sys, os
import polars as pl
for name, values in expected.items():
    path = os.path.join(sys.argv[1], name)
    for frame in [pl.read_ipc(path), pl.scan_ipc(path).collect()]:
        assert frame["values"].dtype == (pl.Binary if name == "bytes" else pl.String)
        assert frame["values"].to_list() == values, name
    print(name, end=" ")
"#;
    let script = [EXPECTED, script].concat();
    let read = output(python.args(["-c", &script]).arg(&dir));
    assert_eq!(read, "text bytes none only-empty ");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn duckdb_reads_sealed_strings_through_pyarrow() {
    let Some(mut python) = python("duckdb, pyarrow") else {
        return skipped(test_name!(), "no python with duckdb and pyarrow");
    };
    let dir = new_dir();
    seal_strings(&dir);
    let script = r#"
import sys, os
import duckdb, pyarrow as pa
for name, values in expected.items():
    rows = pa.ipc.open_file(pa.memory_map(os.path.join(sys.argv[1], name))).read_all()
    found = [value for (value,) in duckdb.sql('SELECT "values" FROM rows').fetchall()]
    assert found == values, name
    [(count,)] = duckdb.sql('SELECT count(DISTINCT "values") FROM rows').fetchall()
    assert count == len(set(values)), (name, count)
    print(name, end=" ")
"#;
    let script = [EXPECTED, script].concat();
    let read = output(python.args(["-c", &script]).arg(&dir));
    assert_eq!(read, "text bytes none only-empty ");
    fs::remove_dir_all(dir).unwrap();
}

/// The reader in examples/ uses nothing of this library: docs/format.md is enough to write one.
#[test]
fn a_reader_in_another_language_verifies_and_reads_strings() {
    let Some(mut python) = python("xxhash") else {
        return skipped(test_name!(), "no python with xxhash");
    };
    let dir = new_dir();
    seal_strings(&dir);
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/read_sealed.py");
    for (name, arguments, expected) in [
        (
            "text",
            &["0", "100000", "4711"][..],
            "100001 str, verified\n0: \u{e9}\u{1f980}0\n100000: \n4711: x\u{e9}\u{1f980}4711\n",
        ),
        (
            "bytes",
            &["3"],
            "1000 [u8], verified\n3: b'\\xff\\xff\\xff'\n",
        ),
        ("none", &[], "0 str, verified\n"),
        ("only-empty", &["2"], "3 str, verified\n2: \n"),
    ] {
        python.arg(&reader).arg(dir.join(name)).args(arguments);
        assert_eq!(output(&mut python), expected);
        python = crate::support::python::python("xxhash").unwrap();
    }
    let path = dir.join("text");
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0xEE], 600_000).unwrap();
    let ran = python.arg(&reader).arg(&path).output().unwrap();
    assert!(!ran.status.success(), "a damaged block is read");
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(errors.contains("block"), "{errors}");
    fs::remove_dir_all(dir).unwrap();
}

/// An element of the vector of structs in the document.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Point {
    x: i32,
    y: i32,
    weight: f64,
}

/// Seals the files that docs/python.md reads.
fn seal_documented(dir: &Path) {
    let mut names = StrVec::new_in(&disk());
    names
        .try_extend((0..1_000_000).map(|n| format!("name {n}")))
        .unwrap();
    names.seal(dir.join("names")).unwrap();
    let mut squares = DiskVec::new_in(&disk());
    squares
        .try_extend((0..1_000_000_u64).map(|n| n * n))
        .unwrap();
    squares.seal(dir.join("squares")).unwrap();
    let mut points = DiskVec::new_in(&disk());
    points
        .try_extend((0..1000).map(|x| Point {
            x,
            y: -x,
            weight: f64::from(x) / 2.0,
        }))
        .unwrap();
    points.seal(dir.join("points")).unwrap();
}

/// Returns the blocks of a document that are marked so.
fn blocks<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    let open = format!("```{mark}\n");
    let starts = text.split(&open[..]).skip(1);
    starts
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

/// Each program of docs/python.md prints what is printed below it.
#[test]
fn the_programs_for_python_run_as_shown() {
    let document = include_str!("../../docs/python.md");
    let (programs, outputs) = (blocks(document, "python"), blocks(document, "text"));
    assert_eq!(programs.len(), outputs.len());
    assert!(programs.len() >= 5, "{}", programs.len());
    let dir = new_dir();
    seal_documented(&dir);
    for (program, expected) in programs.into_iter().zip(outputs) {
        let imports = program
            .lines()
            .filter_map(|line| line.strip_prefix("import "));
        let modules: Vec<_> = imports.collect();
        let modules = modules.join(", ");
        match python(&modules) {
            Some(mut python) => {
                let printed = output(python.args(["-c", program]).current_dir(&dir));
                assert_eq!(printed, expected, "{program}");
            }
            None => skipped(test_name!(), format!("no python with {modules}")),
        }
    }
    fs::remove_dir_all(dir).unwrap();
}
