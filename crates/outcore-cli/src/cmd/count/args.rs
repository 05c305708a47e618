//! The arguments of `outcore count`.

use clap::ValueEnum;

use crate::front::Common;
use crate::size::parse_bytes;

/// How groups are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// As `uniq -c` writes them
    #[default]
    Text,
    /// With a header
    Csv,
    /// A JSON object on each line
    Json,
}

/// Count how often each line or key occurs, most frequent first
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  outcore count access.log                   as sort | uniq -c | sort -rn
  outcore count -t ' ' -k 1,1 access.log --top 10
  outcore count --csv --key country --sum revenue sales.csv
  outcore count --field url pages.jsonl.zst --min 2 --format csv

Equal counts are in the order of their keys, by bytes; --by-key puts all in that order. Counts are \
exact: groups are kept by their bytes, not by a hash. What memory has no room for goes to scratch \
files as sorted runs of groups, so that frequent keys hardly ever do.

KEYDEF is F[.C][,F[.C]] as in sort -k: from field and character to field and character, counted from \
1, and b skips blanks. With --csv it is the name of a column. Several keys are written with a tab \
between them, or the character of -t. With --field, values are counted as their text: the numbers 1 \
and 1.0 and the text \"1\" are one key, and so are what is missing or null, empty texts, lists and \
objects. --sum adds up decimal numbers with up to nine digits after the \
point, without rounding.

SIZE is a number of bytes, or one with a binary unit: 512K, 64MiB, 1.5G, 1TiB. --output FILE has no \
name while it is written, and replaces FILE when it is complete; FILE may be one of the inputs. \
Inputs must not change meanwhile: if one does, the run fails, and FILE stays as it was.

Exit status: 0 done, or the reader closed the output; 1 failed, with one line on standard \
error; 2 wrong usage; 129, 130 or 143 stopped by a signal.")]
#[expect(clippy::struct_excessive_bools, reason = "switches are bools")]
pub(crate) struct CountArgs {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Count this part of lines, together with those of other -k
    #[arg(short, long, value_name = "KEYDEF")]
    pub(crate) key: Vec<String>,

    /// Separate fields by this character instead of blanks; '\t' is a tab
    #[arg(short = 't', long, value_name = "CHAR", value_parser = parse_tab)]
    pub(crate) field_separator: Option<u8>,

    /// Read CSV, whose columns the keys name; without a key, count records
    #[arg(long, conflicts_with_all = ["zero_terminated", "field"])]
    pub(crate) csv: bool,

    /// Read lines as JSON objects, and count this field, together with those of other --field
    #[arg(long, value_name = "NAME",
          conflicts_with_all = ["zero_terminated", "key", "field_separator"])]
    pub(crate) field: Vec<String>,

    /// Leave out lines that are no JSON objects, or have nothing to sum, and count them in the summary
    #[arg(long)]
    pub(crate) skip_bad: bool,

    /// Add up the numbers in this column of CSV, field of JSON, or part of lines (KEYDEF)
    #[arg(long, value_name = "FIELD")]
    pub(crate) sum: Option<String>,

    /// Write groups in the order of their keys
    #[arg(long)]
    pub(crate) by_key: bool,

    /// Write the first N groups
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<u64>,

    /// Write groups that occur N times at least
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true)]
    pub(crate) min: u64,

    /// How groups are written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,

    /// End lines with NUL instead of newline
    #[arg(short, long)]
    pub(crate) zero_terminated: bool,

    /// For tests: bytes of a chunk of input.
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub(crate) test_chunk: Option<u64>,

    /// For tests: bytes of memory for groups.
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub(crate) test_groups: Option<u64>,
}

/// Reads a character of one byte.
fn parse_tab(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\0" => Ok(0),
        b"\\t" => Ok(b'\t'),
        [byte] => Ok(*byte),
        _ => Err("it has to be one character of one byte".to_owned()),
    }
}
