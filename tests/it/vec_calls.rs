//! Real system calls that `strace` fails in the middle of an operation.
#![cfg(not(any(miri, memory_backend)))]

use std::env;
use std::process::{Command, Stdio};

use outcore::DiskVec;

use crate::support::process::{is_child_of, prepare};
use crate::support::{disk, skipped, test_name};

/// Mapping the file in place of the window takes two calls: `mmap`, and `madvise` to exclude it
/// from children. When only the second failed, `push` returned an error as if the file had not been
/// mapped, and the next window was moved as if it were memory: it showed the part of the file
/// before it, and pushed elements overwrote older ones, without an error.
#[test]
fn a_mapping_that_is_made_by_half_loses_no_element() {
    let test = test_name!();
    if is_child_of(test) {
        return push_in_spite_of_errors();
    }
    let mut probe = Command::new("strace");
    probe
        .args(["-o", "/dev/null", "true"])
        .stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        return skipped(test, "no strace that may trace");
    }
    let mut refused = 0;
    for when in 2..=9 {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=madvise", "-e"]);
        command.arg(format!("inject=madvise:error=ENOMEM:when={when}"));
        command.arg(env::current_exe().unwrap());
        prepare(&mut command, test);
        let output = command.env("OUTCORE_TEST_CHILD", test).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "madvise {when}: {printed}\n{errors}"
        );
        refused += usize::from(printed.contains("refused at"));
    }
    assert!(refused > 0, "no madvise of the vector failed");
}

#[expect(
    clippy::print_stdout,
    reason = "reports to the parent that the fault was met"
)]
fn push_in_spite_of_errors() {
    let mut numbers = DiskVec::new_in(&disk());
    let mut refusals = 0;
    while numbers.len() < 1 << 18 {
        let next = numbers.len();
        if let Err(refused) = numbers.push(next) {
            println!("refused at {next}: {refused}");
            refusals += 1;
            assert!(refusals < 10, "{refused}");
        }
    }
    let wrong = numbers
        .iter()
        .zip(0..)
        .filter(|(found, expected)| *found != expected);
    assert_eq!(wrong.count(), 0, "pushed elements are lost");
}
