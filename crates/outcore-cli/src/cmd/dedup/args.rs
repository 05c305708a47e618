//! The arguments of `outcore dedup`.

use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};

use crate::front::summary::Report;
use crate::scratch;
use crate::size::parse_bytes;

/// What is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unit {
    /// Bytes up to a newline, or to NUL with -0
    #[default]
    Line,
    /// Whole files; the paths of those that are kept are written
    File,
}

/// Keep the first of each distinct line, in order
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches are bools")]
#[command(after_long_help = "\
Examples:
  outcore dedup access.log -o unique.log
  outcore dedup list.txt -o list.txt         in place
  outcore dedup *.gz -o unique.txt
  grep GET access.log | outcore dedup - > unique.txt
  outcore dedup -r texts/ -m 2G -o unique.txt -d repeats.txt
  outcore dedup --field url --skip-bad pages.jsonl
  outcore dedup --unit file -r photos/       the first of equal files

Lines are bytes up to a newline: any encoding, NUL bytes and \\r included. The result is that of \
awk '!seen[$0]++', except that a last line without newline stays without one. Between two files \
the newline is added, so that lines never run together.

Lines are compared by a seeded 128-bit hash (XXH3). Two different lines among n are taken for \
equal, and the later one lost, with a probability of at most n*n / 2^129: under 10^-20 for a \
billion distinct lines. XXH3 is no cryptographic hash; the bound is not for lines made to collide. \
--verify compares the bytes. Lines of more than 512 KiB it compares as they are, so not together \
with --field, --trim or --ignore-case.

`outcore sort -u` keeps one of equal lines too. It compares bytes and takes longer, since it sorts \
them.

SIZE is a number of bytes, or one with a binary unit: 512K, 64MiB, 1.5G, 1TiB. A distinct line takes \
18 to 28 bytes of memory, however long it is. What does not fit into --memory goes to scratch \
files and is read a second time, as are the inputs; inputs that come only once, such as pipes, are \
copied there.

Files that are compressed, by their name (.gz, .zst) or their first bytes, and pipes that are, are \
read as what is in them; so they come only once, like pipes. --no-unpack reads them as they are.

--output FILE has no name while it is written, and replaces FILE when it is complete; FILE may be \
one of the inputs. Devices and pipes are written directly. Inputs must not change meanwhile: if one \
does, the run fails, and FILE stays as it was. No two outputs may be one file, and --duplicates may \
not be an input.

Exit status: 0 done, or the reader closed the output; 1 failed, with one line on standard \
error; 2 wrong usage; 129, 130 or 143 stopped by a signal.")]
pub(crate) struct DedupArgs {
    /// Files to read as one sequence; patterns are resolved; - is standard input [default: a
    /// sample, made on the spot]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Write the kept lines to FILE; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Write the removed lines to FILE
    #[arg(short, long, value_name = "FILE")]
    pub(crate) duplicates: Option<PathBuf>,

    /// Limit resident memory to SIZE [default: half of what the machine or the memory cgroup has]
    #[arg(short, long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) memory: Option<u64>,

    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help = scratch::HELP)]
    pub(crate) tmp: Option<PathBuf>,

    /// Read the files in directories and below them
    #[arg(short, long, requires = "files")]
    pub(crate) recursive: bool,

    /// End lines with NUL instead of newline
    #[arg(short = '0', long)]
    pub(crate) null: bool,

    /// Read compressed files (.gz, .zst) as they are
    #[arg(long)]
    pub(crate) no_unpack: bool,

    /// What to compare: lines, or whole files
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) unit: Unit,

    /// Read lines as JSON objects, and compare this field, which has to be text
    #[arg(short, long, value_name = "NAME", conflicts_with_all = ["unit", "null"])]
    pub(crate) field: Option<String>,

    /// Leave out lines that have no such field, and count them in the summary
    #[arg(long, requires = "field")]
    pub(crate) skip_bad: bool,

    /// Ignore case, of all letters in Unicode
    #[arg(short, long, conflicts_with = "unit")]
    pub(crate) ignore_case: bool,

    /// Ignore leading and trailing white space
    #[arg(short, long, conflicts_with = "unit")]
    pub(crate) trim: bool,

    /// Put the number of its occurrences before each line
    #[arg(short, long)]
    pub(crate) count: bool,

    /// Compare the bytes of lines that have the same hash; reads the first of them again for each
    /// repeat, so all inputs must be regular files
    #[arg(long)]
    pub(crate) verify: bool,

    /// Use N threads [default: the number of cores]
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,

    /// Write the summary in this format, also with --quiet
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) report: Option<Report>,

    /// Start even if the disk looks too small for the worst case
    #[arg(long)]
    pub(crate) no_space_check: bool,

    /// Size of the sample that is made when no FILE is given
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, default_value = "1GiB",
          conflicts_with = "files")]
    pub(crate) sample_size: u64,

    /// Write nothing but failures to standard error
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// For tests: bytes of a chunk of input.
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub(crate) test_chunk: Option<u64>,

    /// For tests: most bytes of the index.
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub(crate) test_index: Option<u64>,
}
