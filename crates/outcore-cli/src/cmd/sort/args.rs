//! The arguments of `outcore sort`.

use std::ffi::OsString;

use clap::{ArgAction, ValueEnum};

use crate::front::Common;
use crate::memory;
use crate::record::order::flags::{At, Flags, Refused};
use crate::size::parse_bytes;

/// What is said about disorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// The first line that is out of order
    #[value(name = "diagnose-first")]
    First,
    /// Nothing; the exit status tells
    #[value(alias = "silent")]
    Quiet,
}

/// An order by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Word {
    GeneralNumeric,
    HumanNumeric,
    Month,
    Numeric,
    Version,
}

/// Sort lines as `LC_ALL=C sort` does, within a limit on memory
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches are bools")]
#[command(
    disable_help_flag = true,
    args_override_self = true,
    after_long_help = "\
Examples:
  outcore sort access.log -o sorted.log
  outcore sort -t, -k3,3nr -k1,1 list.txt -o list.txt      in place
  outcore sort --csv -k country -k price:nr sales.csv -o sales.csv
  outcore sort --field time *.jsonl.gz > all.jsonl
  du -h | outcore sort -rh | head

The order is that of `LC_ALL=C sort`, byte for byte, for every option that both have; the \
environment is not asked. Equal lines come as they are; lines whose keys are equal are compared as \
a whole, unless -s or -u is given. A last line without newline gets one.

KEYDEF is F[.C][LETTERS][,F[.C][LETTERS]]: fields and characters (bytes) from the first position to \
the second one, which belongs to the key, or to the end of the line. Both are counted from 1. \
Without -t, a field starts with the blanks before it. LETTERS are some of bdfghiMnrV, with the \
meaning of the options; a key that has none takes those of the options.

With --csv, KEYDEF is NAME[:LETTERS]: the name of a column, and letters. The first line is the \
header, which comes first in the output, and is the same in all files. Fields may be quoted, and \
hold newlines then. -t sets another delimiter than a comma. With --field, lines are JSON objects, \
and NAME[:LETTERS] is compared: what is missing or null comes first, then false, true, numbers, \
text, and lists and objects last. With letters such as n, the text of the value is compared.

SIZE of --memory is a number of bytes, or has a binary unit: 512K, 64MiB, 1.5G. All that is resident \
counts, the program itself included. Lines that do not fit go to scratch files, sorted, and are \
merged at the end. Lines of any length are sorted; with keys, a line may have about a thirtieth of \
the memory.

To keep one of equal lines, `outcore dedup` is faster than -u: it does not sort, and keeps the \
first of them in the order of the input.

Exit status: 0 done, or the reader closed the output; 1 failed, or -c or -C found disorder; 2 wrong \
usage; 129, 130 or 143 stopped by a signal."
)]
pub(crate) struct SortArgs {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Compare this part of lines first, then those of the next -k
    #[arg(short, long, value_name = "KEYDEF")]
    pub(crate) key: Vec<String>,

    /// Separate fields by this character instead of blanks; '\0' is NUL
    #[arg(short = 't', long, value_name = "CHAR", value_parser = parse_tab,
          allow_hyphen_values = true)]
    pub(crate) field_separator: Option<u8>,

    /// Ignore leading blanks
    #[arg(short = 'b', long)]
    pub(crate) ignore_leading_blanks: bool,

    /// Compare blanks, letters and digits only
    #[arg(short, long)]
    pub(crate) dictionary_order: bool,

    /// Take small letters of ASCII for capital ones
    #[arg(short = 'f', long)]
    pub(crate) ignore_case: bool,

    /// Compare as numbers, also such as 1e9, inf or 0x1p3
    #[arg(short, long)]
    pub(crate) general_numeric_sort: bool,

    /// Compare as sizes such as 2K or 1G
    #[arg(short = 'h', long)]
    pub(crate) human_numeric_sort: bool,

    /// Compare printable characters of ASCII only
    #[arg(short, long)]
    pub(crate) ignore_nonprinting: bool,

    /// Compare as months: JAN to DEC, after what is none
    #[arg(short = 'M', long)]
    pub(crate) month_sort: bool,

    /// Compare as decimal numbers of any length
    #[arg(short, long)]
    pub(crate) numeric_sort: bool,

    /// Turn the order around
    #[arg(short, long)]
    pub(crate) reverse: bool,

    /// Compare as text with version numbers in it
    #[arg(short = 'V', long)]
    pub(crate) version_sort: bool,

    /// Compare in this way, as its option does
    #[arg(long, value_enum, value_name = "WORD")]
    pub(crate) sort: Option<Word>,

    /// Keep one of several lines with equal keys, the first
    #[arg(short, long)]
    pub(crate) unique: bool,

    /// Leave lines with equal keys in the order of the input
    #[arg(short, long)]
    pub(crate) stable: bool,

    /// Merge files that are sorted already
    #[arg(short, long)]
    pub(crate) merge: bool,

    /// Check whether the input is sorted, and say which line is not
    #[arg(short, long, value_enum, value_name = "WHEN", num_args = 0..=1, require_equals = true,
          default_missing_value = "diagnose-first", conflicts_with_all = ["output", "merge"])]
    pub(crate) check: Option<Check>,

    /// Check whether the input is sorted, and say nothing
    #[arg(short = 'C', conflicts_with_all = ["output", "merge", "check"])]
    pub(crate) check_quietly: bool,

    /// End lines with NUL instead of newline
    #[arg(short, long)]
    pub(crate) zero_terminated: bool,

    /// Read CSV, whose columns the keys name
    #[arg(long, requires = "key", conflicts_with_all = ["zero_terminated", "field"])]
    pub(crate) csv: bool,

    /// Read lines as JSON objects, and compare this field first, then those of the next --field
    #[arg(long, value_name = "NAME",
          conflicts_with_all = ["key", "field_separator", "zero_terminated"])]
    pub(crate) field: Vec<String>,

    /// Leave out lines that are no JSON objects, and count them in the summary
    #[arg(long, requires = "field")]
    pub(crate) skip_bad: bool,

    /// The same as --memory, with units as sort has them: 400M; 64 are 64K; 50% of the machine
    #[arg(short = 'S', long, value_name = "SIZE", value_parser = parse_buffer_size,
          conflicts_with = "memory")]
    pub(crate) buffer_size: Option<u64>,

    /// Accepted for scripts; as many files as memory has buffers for are merged at once
    #[arg(long, value_name = "N", hide = true)]
    pub(crate) batch_size: Option<u64>,

    /// Accepted for scripts; scratch files are not compressed
    #[arg(long, value_name = "PROGRAM", hide = true)]
    pub(crate) compress_program: Option<OsString>,

    /// Print help
    #[arg(long, action = ArgAction::HelpLong)]
    pub(crate) help: Option<bool>,

    /// For tests: bytes of a chunk of input.
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub(crate) test_chunk: Option<u64>,

    /// For tests: bytes of memory for sorting.
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub(crate) test_sorter: Option<u64>,

    /// For tests: bytes of a part of what is in memory.
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub(crate) test_part: Option<u64>,

    /// For tests: the longest record that is sorted in memory.
    #[arg(long, hide = true, value_parser = parse_bytes)]
    pub(crate) test_record: Option<u64>,
}

impl SortArgs {
    /// Returns what is said about all keys.
    ///
    /// # Errors
    ///
    /// Two options do not go together.
    pub(crate) fn flags(&self) -> Result<Flags, Refused> {
        let is = |word| self.sort == Some(word);
        let mut flags = Flags::default();
        for (letter, is_given) in [
            (b'b', self.ignore_leading_blanks),
            (b'd', self.dictionary_order),
            (b'f', self.ignore_case),
            (b'g', self.general_numeric_sort || is(Word::GeneralNumeric)),
            (b'h', self.human_numeric_sort || is(Word::HumanNumeric)),
            (b'i', self.ignore_nonprinting),
            (b'M', self.month_sort || is(Word::Month)),
            (b'n', self.numeric_sort || is(Word::Numeric)),
            (b'r', self.reverse),
            (b'V', self.version_sort || is(Word::Version)),
        ] {
            if is_given {
                flags.add(letter, At::Both)?;
            }
        }
        Ok(flags)
    }
}

fn parse_tab(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        br"\0" => Ok(0),
        &[byte] => Ok(byte),
        [] => Err("it has to be a character".to_owned()),
        _ => Err("it has to be one character of one byte".to_owned()),
    }
}

fn parse_buffer_size(text: &str) -> Result<u64, String> {
    if let Some(percent) = text.strip_suffix('%') {
        let percent: u64 = percent
            .parse()
            .map_err(|_no| "a number is missing".to_owned())?;
        let machine = memory::machine_bytes().unwrap_or(0);
        return Ok(machine / 100 * percent.min(100));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_bytes(&format!("{text}K"));
    }
    parse_bytes(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_sort() {
        assert_eq!(parse_buffer_size("64"), Ok(64 << 10));
        assert_eq!(parse_buffer_size("64b"), Ok(64));
        assert_eq!(parse_buffer_size("400M"), Ok(400 << 20));
        assert!(parse_buffer_size("50%").is_ok());
        assert!(parse_buffer_size("").is_err());
        assert!(parse_buffer_size("x%").is_err());
    }

    #[test]
    fn a_separator_is_one_byte() {
        assert_eq!(parse_tab(","), Ok(b','));
        assert_eq!(parse_tab("\\0"), Ok(0));
        assert!(parse_tab("").is_err());
        assert!(parse_tab("ab").is_err());
        assert!(parse_tab("\u{e4}").is_err());
    }
}
