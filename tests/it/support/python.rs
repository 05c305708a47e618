//! Programs in Python, where there is one with the modules that they need.

use std::process::Command;

/// Returns a Python that has all of `modules`: `$OUTCORE_PYTHON`, or `python3`.
pub(crate) fn python(modules: &str) -> Option<Command> {
    let program = std::env::var("OUTCORE_PYTHON").unwrap_or_else(|_unset| "python3".to_owned());
    let mut found = Command::new(&program);
    let found = found.args(["-c", &format!("import {modules}")]).output();
    found
        .is_ok_and(|ran| ran.status.success())
        .then(|| Command::new(program))
}

/// Runs a program, which has to succeed, and returns what it prints.
pub(crate) fn output(command: &mut Command) -> String {
    let ran = command.output().unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{errors}");
    String::from_utf8(ran.stdout).unwrap()
}
