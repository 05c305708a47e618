//! `outcore`: programs for files that are larger than RAM.
//!
//! ```text
//! cmd/       sort/ dedup/ count/ shuf/ doctor/     a command: its arguments, and its own work
//!            demo/ inspect verify manual sample
//! front/     common arguments, space, summary   what commands have in common beside their work
//! output/    target, sequence                       where records go
//! record/    source, chunk, key, long, json, fate   bytes cut into records, and their keys
//! input/     list, facts, packed, reader, sample    what is read, and how
//!            memory/ threads/ scratch progress signals
//!            failure file_id random size
//! ```
//!
//! A file names its own floor and lower ones, and commands do not name each other: `tests/tidy.rs`
//! checks that. A new command is a folder in `cmd/` and a line in each of the two lists of
//! `cmd/mod.rs`.
//!
//! A library for the program of that name and for the tests that run it in their own process. What
//! it offers to those may change at any time.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "counts of bytes and lines that exist; debug builds check them, and sizes that a user \
              types are parsed with checks"
)]

mod cmd;
mod failure;
mod file_id;
mod front;
mod input;
mod memory;
mod output;
mod progress;
mod random;
mod record;
mod scratch;
mod signals;
mod size;
mod threads;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::cmd::dedup;
use crate::cmd::{Args, Command};
use crate::failure::Failure;

/// Does what the arguments of this process ask for.
#[must_use]
pub fn main() -> ExitCode {
    match Args::parse().command.run() {
        Ok(()) | Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Err(Failure::Disorder(None)) => ExitCode::FAILURE,
        Err(failure) => {
            // If standard error is closed, the exit code still tells.
            writeln!(io::stderr(), "outcore: {failure}").ok();
            match failure {
                Failure::Usage(_) => ExitCode::from(USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// What clap returns for what it finds out.
const USAGE: u8 = 2;

/// Runs `outcore dedup` with these arguments in this process, which may do other things: no signal
/// is waited for. Without `--memory`, it gets 32 MiB more than the process has.
///
/// # Errors
///
/// The line that the program would write on standard error.
pub fn dedup(arguments: &[OsString]) -> Result<(), String> {
    const MEMORY: u64 = 32 << 20;
    let command = ["outcore", "dedup"].map(OsString::from);
    let parsed = Args::try_parse_from(command.iter().chain(arguments));
    let Command::Dedup(mut args) = parsed.map_err(|refused| refused.to_string())?.command else {
        return Err("no command but dedup".to_owned());
    };
    let resident = memory::resident_bytes().unwrap_or(MEMORY);
    args.memory = args.memory.or(Some(resident + MEMORY));
    match dedup::run_unwatched(&args) {
        Ok(()) | Err(Failure::BrokenPipe) => Ok(()),
        Err(failure) => Err(failure.to_string()),
    }
}
