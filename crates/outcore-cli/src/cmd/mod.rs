//! The commands. Each has its arguments, with the text of `--help`, beside its code; commands do not
//! name each other.

mod count;
pub(crate) mod dedup;
mod demo;
mod doctor;
mod inspect;
mod manual;
mod sample;
mod shuf;
mod sort;
mod verify;

use clap::{Parser, Subcommand};

use crate::cmd::count::args::CountArgs;
use crate::cmd::dedup::args::DedupArgs;
use crate::cmd::demo::args::DemoArgs;
use crate::cmd::doctor::args::DoctorArgs;
use crate::cmd::inspect::InspectArgs;
use crate::cmd::manual::{CompletionsArgs, ManArgs};
use crate::cmd::sample::SampleArgs;
use crate::cmd::shuf::args::ShufArgs;
use crate::cmd::sort::args::SortArgs;
use crate::cmd::verify::VerifyArgs;
use crate::failure::Result;

/// Programs for files that are larger than RAM
#[derive(Debug, Parser)]
#[command(
    name = "outcore",
    version,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, or the reader closed the output; 1 failed, with one line \
                  on standard error; 2 wrong usage; 129, 130 or 143 stopped by a signal."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Sort(Box<SortArgs>),
    Dedup(Box<DedupArgs>),
    Count(Box<CountArgs>),
    Shuf(Box<ShufArgs>),
    Doctor(DoctorArgs),
    Demo(DemoArgs),
    Inspect(InspectArgs),
    Verify(VerifyArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
    Sample(SampleArgs),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// Whatever ends it early.
    pub(crate) fn run(&self) -> Result<()> {
        match self {
            Self::Sort(args) => sort::run(args),
            Self::Dedup(args) => dedup::run(args),
            Self::Count(args) => count::run(args),
            Self::Shuf(args) => shuf::run(args),
            Self::Doctor(args) => doctor::run(args),
            Self::Demo(args) => demo::run(args),
            Self::Inspect(args) => inspect::run(args),
            Self::Verify(args) => verify::run(args),
            Self::Completions(args) => manual::completions(args),
            Self::Man(args) => manual::man(args),
            Self::Sample(args) => sample::run(args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for asked in [
            &["--sample-size", "1M", "file"][..],
            &["--skip-bad", "file"],
            &["--field", "a", "--unit", "file", "file"],
            &["--unit", "file", "--trim", "file"],
            &["--recursive"],
            &["--threads", "0", "file"],
        ] {
            let asked = ["outcore", "dedup"].iter().chain(asked);
            assert!(Args::try_parse_from(asked.clone()).is_err(), "{asked:?}");
        }
    }
}
