//! `outcore count`: how often each line or key occurs.
//!
//! ```text
//! inputs -> source -> keys -> groups of the library -> output -> filling    with --by-key
//!              |                                         |  ^
//!              +--> longs ------------------------------>+  +-- rank        by count
//! ```
//!
//! `shape` divides the memory, `feed` reads, `keys` makes what is counted, `tally` is the value of a
//! group, and `format` its text. `longs` has the lines that no chunk has room for.

pub(crate) mod args;
mod feed;
mod format;
mod keys;
mod longs;
mod output;
mod rank;
mod shape;
mod tally;

use std::time::Instant;

use outcore::MemoryBudget;
use outcore::external::BytesAggregator;

use crate::cmd::count::args::{CountArgs, Format};
use crate::cmd::count::feed::Feed;
use crate::cmd::count::format::Writer;
use crate::cmd::count::keys::Keys;
use crate::cmd::count::longs::Longs;
use crate::cmd::count::output::{Groups, Written};
use crate::cmd::count::shape::Shape;
use crate::cmd::count::tally::Tally;
use crate::failure::{Failure, Result};
use crate::front::work::{Read, Reading};
use crate::front::{Session, work};
use crate::output::sequence::Sequence;
use crate::output::writing;
use crate::record::csv_source::CsvSource;
use crate::record::source::Source;
use crate::scratch::Scratch;

/// Runs the command.
///
/// # Errors
///
/// Whatever ends the run early.
pub(crate) fn run(args: &CountArgs) -> Result<()> {
    if !args.csv {
        // What makes no sense is refused before anything is read. Columns are found in the header.
        Keys::of(args, None)?;
    } else if args.field_separator.is_some() {
        let reason = "-t separates fields of lines; columns of CSV have names";
        return Err(Failure::Usage(reason.to_owned()));
    }
    if args.zero_terminated && args.format != Format::Text {
        let reason = "--zero-terminated ends lines of text, not those of CSV or JSON";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let session = work::begin(&args.common, args.common.memory, shape::NEEDED_BYTES)?;
    if args.sum.is_some() {
        count::<(u64, i128)>(args, session)
    } else {
        count::<u64>(args, session)
    }
}

fn count<V: Tally>(args: &CountArgs, session: Session) -> Result<()> {
    let begin = Instant::now();
    let Session {
        inputs,
        output,
        scratch,
        budget,
    } = session;
    let shape = Shape::new(args, &budget)?;
    let separator = if args.zero_terminated { 0 } else { b'\n' };
    let (step, len_max) = (shape.cell_len, shape.record_max);
    let open = || CsvSource::open(&inputs, b',', step, len_max);
    let csv = args.csv.then(open).transpose()?;
    let keys = Keys::of(args, csv.as_ref().map(CsvSource::header))?;
    let total = inputs.len_bytes();
    check_space(args, total, &output, shape.groups_bytes, &scratch)?;
    let bar = work::bar(&args.common, total, &output);
    let memory = MemoryBudget::new(shape.groups_bytes);
    let threads = work::merging_threads(shape.threads);
    let options = work::options(&memory, threads, &scratch);
    let groups = BytesAggregator::new(&options, V::add);
    let longs = Longs::new(&inputs, &budget);
    let feed = Feed {
        inputs: &inputs,
        shape: &shape,
        keys: &keys,
        longs: &longs,
        bar: &bar,
        separator,
        skip_bad: args.skip_bad,
        reading: Reading::default(),
    };
    let source = Source::new(&inputs, &scratch, separator, shape.cell_len)
        .counting_lines(keys.needs_whole());
    let read = feed.run(&groups, &source, csv.as_ref())?;
    inputs.check_unchanged()?;
    bar.set_message("merging");
    let how = Groups {
        writer: Writer {
            format: args.format,
            keys: &keys,
            has_sum: args.sum.is_some(),
            tab: args.field_separator.unwrap_or(b'\t'),
            end: separator,
        },
        scratch: &scratch,
        bar: &bar,
        is_by_key: args.by_key,
        top: args.top,
        min: args.min,
        threads,
        rank_bytes: shape.rank_bytes,
        classes: shape.classes,
    };
    let mut longs = longs.into_groups()?;
    let mut written = Written::default();
    let mut scratch_bytes = 0;
    writing::fill(&output, shape.out_len, |filling| {
        let groups = groups.finish()?;
        scratch_bytes = scratch.used_bytes();
        written = how.write_all(groups, &mut longs, filling)?;
        scratch_bytes = scratch_bytes.max(scratch.used_bytes());
        Ok(())
    })?;
    inputs.check_unchanged()?;
    bar.finish_and_clear();
    finish(args, output, read, written, scratch_bytes, begin)
}

/// Puts the output in its place and tells what was done.
fn finish(
    args: &CountArgs,
    output: Sequence,
    read: Read,
    written: Written,
    scratch_bytes: u64,
    begin: Instant,
) -> Result<()> {
    let mut counts = vec![("lines", read.records), ("distinct", written.distinct)];
    if args.top.is_some() || args.min > 1 {
        counts.push(("written", written.groups));
    }
    if args.skip_bad {
        counts.push(("skipped", read.skipped));
    }
    let summary = work::end(begin, output, counts, read, scratch_bytes)?;
    summary.tell(args.common.report, args.common.quiet);
    Ok(())
}

/// Checks that there is room for the output, and for what memory has none for.
fn check_space(
    args: &CountArgs,
    total: Option<u64>,
    output: &Sequence,
    memory_bytes: u64,
    scratch: &Scratch,
) -> Result<()> {
    // Of keys and of the first groups, nothing is known beforehand.
    let is_known = args.key.is_empty() && args.field.is_empty() && args.top.is_none();
    let (Some(total), true) = (total, is_known) else {
        return Ok(());
    };
    // Counts are as long as that, and so are lengths of groups that are put aside.
    let all = total + total / 4;
    let is_spilled = total > memory_bytes / 2;
    let spilled = is_spilled.then_some(if args.by_key { all } else { 2 * all });
    work::check_space(&args.common, (output, all), (scratch, spilled))
}
