//! The examples, as users run them: under a memory limit, without the two lines and with them.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::{skipped, test_name};

/// The memory limit of both, in KiB: `RLIMIT_DATA` counts private writable memory, and no pages of
/// files.
const LIMIT_KIB: usize = 64 << 10;

/// Returns the path of an example that cargo builds with the tests.
fn example(name: &str) -> Option<PathBuf> {
    let tests = env::current_exe().unwrap();
    let target = tests.parent()?.parent()?;
    Some(target.join("examples").join(name)).filter(|path| path.exists())
}

fn run_limited(name: &str) -> Option<Output> {
    let Some(program) = example(name) else {
        skipped(
            test_name!(),
            format_args!("no example {name}: run all of `cargo test`"),
        );
        return None;
    };
    let mut shell = Command::new("sh");
    let script = format!("ulimit -c 0; ulimit -d {LIMIT_KIB} && exec \"$0\"");
    shell.args(["-c", &script]).arg(program);
    Some(shell.env_remove("OUTCORE_SPILL").output().unwrap())
}

#[test]
fn the_ordinary_program_dies_under_a_limit_and_finishes_with_the_two_lines() {
    let (Some(ordinary), Some(spilling)) =
        (run_limited("spill_before"), run_limited("spill_after"))
    else {
        return;
    };
    let said = String::from_utf8_lossy(&ordinary.stderr);
    assert!(
        !ordinary.status.success() && said.contains("memory allocation"),
        "{said}"
    );
    let said = String::from_utf8_lossy(&spilling.stdout);
    let errors = String::from_utf8_lossy(&spilling.stderr);
    assert!(spilling.status.success(), "{said}\n{errors}");
    assert!(said.contains("visitors"), "{said}");
}
