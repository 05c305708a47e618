//! Programs that a workload starts, and that cargo builds beside the measuring program.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::{Context, Result, skip};

/// Has cargo build something, and skips if that does not work; it takes no time if all is there.
pub fn build(arguments: &[&str]) -> Result<()> {
    let mut cargo = Command::new("cargo");
    let output = cargo.args(arguments).stdin(Stdio::null()).output();
    let output = output.context("start cargo")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let error = said.lines().find(|line| line.starts_with("error"));
    let error = error.unwrap_or("no reason given");
    Err(skip(format!("cargo {}: {error}", arguments.join(" "))))
}

/// Returns the path of a program in the folder of this one.
pub fn beside(program: &str) -> Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name(program))
}
