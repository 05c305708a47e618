//! The arguments of `outcore dedup`.

use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};

use crate::scratch;
use crate::size::parse_bytes;

/// What is compared as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unit {
    /// What ends with a newline, or with NUL after -0
    #[default]
    Line,
    /// Whole files; the paths of those that are kept are written
    File,
}

/// How the closing summary is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Report {
    /// For people
    #[default]
    Text,
    /// One JSON object on a line of standard error
    Json,
}

/// Keep the first of each distinct line, in order
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches are bools")]
#[command(after_long_help = "\
Examples:
  outcore dedup access.log -o unique.log
  outcore dedup list.txt -o list.txt         in place
  zcat *.gz | outcore dedup - > unique.txt
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

SIZE is a number of bytes, or one with a binary unit: 512K, 64MiB, 1.5G, 1TiB. A distinct line takes \
18 to 28 bytes of memory, however long it is. What does not fit into --memory goes to scratch \
files and is read a second time, as are the inputs; inputs that come only once, such as pipes, are \
copied there.

--output FILE is written under no name and takes FILE's place once it is complete; FILE may be one \
of the inputs. Devices and pipes are written directly. Inputs must not change meanwhile: if one \
does, the run fails, and FILE stays as it was. No two outputs may be one file, and --duplicates may \
not be an input.

Exit status: 0 done, or whoever read the output has enough; 1 failed, with one line on standard \
error; 2 wrong usage; 129, 130 or 143 stopped by a signal.")]
pub(crate) struct DedupArgs {
    /// Files to read as one sequence; patterns are resolved; - is standard input [default: a
    /// sample, made on the spot]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Where the lines go; - is standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Where the lines go that are not kept
    #[arg(short, long, value_name = "FILE")]
    pub(crate) duplicates: Option<PathBuf>,

    /// Most memory to have resident at any time [default: half of what the machine or the memory
    /// cgroup has]
    #[arg(short, long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) memory: Option<u64>,

    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help = scratch::HELP)]
    pub(crate) tmp: Option<PathBuf>,

    /// Read the files in directories, too, and in those below
    #[arg(short, long, requires = "files")]
    pub(crate) recursive: bool,

    /// Lines end with NUL, not with a newline
    #[arg(short = '0', long)]
    pub(crate) null: bool,

    /// What is compared as a whole
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) unit: Unit,

    /// Lines are JSON objects, and this field of text decides
    #[arg(short, long, value_name = "NAME", conflicts_with_all = ["unit", "null"])]
    pub(crate) field: Option<String>,

    /// Leave out lines that have no such field, and count them
    #[arg(long, requires = "field")]
    pub(crate) skip_bad: bool,

    /// Capital letters are equal to small ones
    #[arg(short, long, conflicts_with = "unit")]
    pub(crate) ignore_case: bool,

    /// Space at both ends of a line does not count
    #[arg(short, long, conflicts_with = "unit")]
    pub(crate) trim: bool,

    /// Put before each line how often it is there
    #[arg(short, long)]
    pub(crate) count: bool,

    /// Compare the bytes of lines that have the same hash; reads the first of them again for each
    /// repeat, so all inputs have to be regular files
    #[arg(long)]
    pub(crate) verify: bool,

    /// How many threads work [default: as many as there are cores]
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,

    /// How the closing summary is written
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) report: Option<Report>,

    /// Start even if the disk looks too small for the worst case
    #[arg(long)]
    pub(crate) no_space_check: bool,

    /// How large a sample to make when no FILE is given
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes, default_value = "1GiB",
          conflicts_with = "files")]
    pub(crate) sample_size: u64,

    /// Say nothing on standard error but failures
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// For tests: bytes of a chunk of input.
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub(crate) test_chunk: Option<u64>,

    /// For tests: most bytes of the index.
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub(crate) test_index: Option<u64>,
}
