//! `outcore sample`, hidden: the lines of a sample, for measurements.

use crate::failure::Result;
use crate::input::sample;
use crate::output::Output;
use crate::size::parse_bytes;

/// Write the lines of a sample to standard output, for measurements.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct SampleArgs {
    /// How many bytes
    #[arg(value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) size: u64,
}

/// Runs the command.
///
/// # Errors
///
/// Standard output cannot be written.
pub(crate) fn run(args: &SampleArgs) -> Result<()> {
    let output = Output::stdout()?;
    sample::write(args.size, |bytes| output.write_at(bytes, 0))
}
