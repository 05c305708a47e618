//! `outcore`: programs for files that are larger than RAM.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "counts of bytes and lines that exist; debug builds check them, and sizes that a user \
              types are parsed with checks"
)]

mod args;
mod dedup;
mod demo;
mod doctor;
mod failure;
mod manual;
mod memory;
mod progress;
mod random;
mod signals;
mod size;
mod svg;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Dedup(args) => dedup::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
        Command::Sample(args) => dedup::write_sample(args.size),
    };
    match result {
        Ok(()) | Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Err(failure) => {
            // A closed standard error leaves nobody to tell; the exit code stays.
            writeln!(io::stderr(), "outcore: {failure}").ok();
            ExitCode::FAILURE
        }
    }
}
