//! `outcore shuf`: lines in an order that a seed determines, all orders as likely.
//!
//! ```text
//! inputs -> source -> feed (numbers) -> shuffler of the library -> emit -> output
//!                        |                                          ^
//!                        +--> sample, with -n as long as it fits ---+
//! ```
//!
//! `shape` divides the memory, `longs` has the lines that are longer than a chunk.

pub(crate) mod args;
mod emit;
mod feed;
mod longs;
mod sample;
mod shape;

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use outcore::MemoryBudget;
use outcore::external::Shuffler;

use crate::cmd::shuf::args::ShufArgs;
use crate::cmd::shuf::emit::Emit;
use crate::cmd::shuf::feed::{Fed, Feed, State};
use crate::cmd::shuf::longs::Longs;
use crate::cmd::shuf::shape::Shape;
use crate::failure::Result;
use crate::front::summary::{Report, tell};
use crate::front::{Session, work};
use crate::output::sequence::Sequence;
use crate::record::csv_source::CsvSource;
use crate::record::source::Source;
use crate::scratch::Scratch;

/// Bits of a seed that is made: as many as every reader of JSON keeps.
const SEED_BITS: u32 = 53;

/// Runs the command.
///
/// # Errors
///
/// Whatever ends the run early.
pub(crate) fn run(args: &ShufArgs) -> Result<()> {
    let session = work::begin(&args.common, args.common.memory, shape::NEEDED_BYTES)?;
    let seed = args.seed.unwrap_or_else(|| {
        let random = RandomState::new().hash_one(0);
        random >> (u64::BITS - SEED_BITS)
    });
    shuffle(args, session, seed)
}

fn shuffle(args: &ShufArgs, session: Session, seed: u64) -> Result<()> {
    let begin = Instant::now();
    let Session {
        inputs,
        output,
        scratch,
        budget,
    } = session;
    let shape = Shape::new(args, inputs.len_bytes(), &budget)?;
    let separator = if args.zero_terminated { 0 } else { b'\n' };
    let csv = if args.csv {
        let (step, len_max) = (shape.cell_len, shape.record_max);
        Some(CsvSource::open(&inputs, b',', step, len_max)?)
    } else {
        None
    };
    let total = inputs.len_bytes();
    check_space(args, total, &output, shape.shuffler_bytes, &scratch)?;
    let bar = work::bar(&args.common, total, &output);
    let memory = MemoryBudget::new(shape.shuffler_bytes);
    let options = work::options(&memory, shape.threads, &scratch);
    let shuffler = Shuffler::new(options, seed)?;
    let longs = Longs::new(separator, &budget);
    let feed = Feed {
        inputs: &inputs,
        shape: &shape,
        longs: &longs,
        shuffler: &shuffler,
        bar: &bar,
        separator,
        wanted: args.head_count,
        state: State::default(),
    };
    let source = Source::new(&inputs, &scratch, separator, shape.cell_len);
    let done = feed.run(&source, csv.as_ref())?;
    inputs.check_unchanged()?;
    let scratch_bytes = scratch.used_bytes();
    bar.inc_length(done.read.bytes);
    bar.set_message("writing");
    if let Some(csv) = csv.as_ref().filter(|csv| !csv.header().is_empty()) {
        let header = [csv.header(), b"\n"].concat();
        let offset = output.reserve(header.len() as u64, 0);
        output.output().write_at(&header, offset)?;
    }
    let emit = Emit {
        inputs: &inputs,
        shape: &shape,
        longs: &longs,
        output: &output,
        bar: &bar,
        separator,
        wanted: args.head_count,
    };
    match &done.samples {
        Some(samples) => emit.samples(samples)?,
        None => emit.parts(&shuffler.shuffled()?)?,
    }
    inputs.check_unchanged()?;
    bar.finish_and_clear();
    finish(args, output, &done, seed, scratch_bytes, begin)
}

/// Puts the output in its place and tells what was done.
fn finish(
    args: &ShufArgs,
    output: Sequence,
    fed: &Fed,
    seed: u64,
    scratch_bytes: u64,
    begin: Instant,
) -> Result<()> {
    let common = &args.common;
    let mut counts = vec![("lines", fed.read.records)];
    if args.head_count.is_some() {
        counts.push(("written", output.records()));
    }
    let is_json = common.report == Some(Report::Json);
    if is_json {
        counts.push(("seed", seed));
    }
    let summary = work::end(begin, output, counts, fed.read, scratch_bytes)?;
    if !is_json && (common.report.is_some() || !common.quiet) {
        // As it has to be written on the command line.
        tell(&format!("--seed {seed}\n"));
    }
    summary.tell(common.report, common.quiet);
    Ok(())
}

/// Checks that there is room for the output, and for what memory has none for.
fn check_space(
    args: &ShufArgs,
    total: Option<u64>,
    output: &Sequence,
    memory_bytes: u64,
    scratch: &Scratch,
) -> Result<()> {
    let (Some(total), None) = (total, args.head_count) else {
        return Ok(());
    };
    let spilled = (total > memory_bytes / 2).then_some(total + total / 4);
    work::check_space(&args.common, (output, total), (scratch, spilled))
}
