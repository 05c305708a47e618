//! The command line: what can be asked, and what `--help` says about it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::size::parse_bytes;

/// Programs for files that are larger than RAM
#[derive(Debug, Parser)]
#[command(
    name = "outcore",
    version,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, or whoever read the output has enough; 1 failed, with one line \
                  on standard error; 2 wrong usage."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dedup(DedupArgs),
    Doctor(DoctorArgs),
}

/// Keep the first of each distinct line, in order
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Lines are bytes up to a newline: any encoding, NUL bytes and \\r included. The result is that of \
awk '!seen[$0]++', except that a last line without newline stays without one. Between two files \
the newline is added, so that lines never run together.

Lines are compared by a seeded 128-bit hash (XXH3). Two different lines among n are taken for \
equal, and the later one lost, with a probability of at most n*n / 2^129: under 10^-20 for a \
billion distinct lines. XXH3 is no cryptographic hash; the bound is not for lines made to collide.

SIZE is a number of bytes, or one with a binary unit: 512K, 64MiB, 2G, 1TiB. A distinct line takes \
18 to 28 bytes of memory, however long it is.

--output FILE is written under no name and takes FILE's place once it is complete; FILE may be one \
of the inputs. Devices and pipes are written directly.

Exit status: 0 done, or whoever read the output has enough; 1 failed, with one line on standard \
error; 2 wrong usage.")]
pub(crate) struct DedupArgs {
    /// Files to read as one sequence; - is standard input [default: a sample, made on the spot]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Where the lines go; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Most memory to have resident at any time [default: half of what the machine or the memory
    /// cgroup has]
    #[arg(short, long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) memory: Option<u64>,

    // Help as a string: names of variables in comments want backticks, and help does not.
    #[arg(
        long,
        value_name = "DIR",
        help = "Where scratch files go; so far only the sample needs one [default: the first of \
                $OUTCORE_DIR, $TMPDIR and /var/tmp that is not in RAM]"
    )]
    pub(crate) tmp: Option<PathBuf>,

    /// How large a sample to make when no FILE is given
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, default_value = "1GiB",
          conflicts_with = "files")]
    pub(crate) sample_size: u64,

    /// Say nothing on standard error but failures
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Show the scratch directory and the limits that matter, and what to change
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// The directory to look at [default: the one that scratch files would go to]
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
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
    fn a_sample_size_beside_a_file_is_refused() {
        let asked = ["outcore", "dedup", "--sample-size", "1M", "file"];
        assert!(Args::try_parse_from(asked).is_err());
    }
}
