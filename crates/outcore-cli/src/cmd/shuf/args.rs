//! The arguments of `outcore shuf`.

use crate::front::Common;
use crate::size::parse_bytes;

/// Shuffle lines, all orders as likely, in two passes over files of any size
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  outcore shuf corpus.jsonl -o shuffled.jsonl
  outcore shuf shard-*.jsonl.zst --seed 7 -o epoch-7.jsonl
  outcore shuf -n 1000 access.log            a sample, without a shuffle
  outcore shuf --csv table.csv -o table.csv  in place; the header stays first

Seed and number of a line decide where it comes out, so the order is the same on any machine, with \
any --memory and any --parallel, and -n N are the first N lines of the whole. Without --seed there \
is a new one for each run, which the summary names.

Lines are bytes up to a newline. A last line without newline gets one. Lines that memory has no room \
for go to scratch files by a part of their chance, and each of those is put in order in memory.

SIZE is a number of bytes, or one with a binary unit: 512K, 64MiB, 1.5G, 1TiB. --output FILE has no \
name while it is written, and replaces FILE when it is complete; FILE may be one of the inputs. \
Inputs must not change meanwhile: if one does, the run fails, and FILE stays as it was.

Exit status: 0 done, or the reader closed the output; 1 failed, with one line on standard \
error; 2 wrong usage; 129, 130 or 143 stopped by a signal.")]
pub(crate) struct ShufArgs {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Write N lines at most
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) head_count: Option<u64>,

    /// The order that this number stands for [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,

    /// End lines with NUL instead of newline
    #[arg(short, long)]
    pub(crate) zero_terminated: bool,

    /// Read CSV: the header stays first, and quoted fields may have newlines
    #[arg(long, conflicts_with = "zero_terminated")]
    pub(crate) csv: bool,

    /// For tests: bytes of a chunk of input.
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub(crate) test_chunk: Option<u64>,

    /// For tests: bytes of memory for shuffling, and for a sample.
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub(crate) test_shuffler: Option<u64>,
}
