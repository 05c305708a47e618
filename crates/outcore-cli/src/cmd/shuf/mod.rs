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
use outcore::external::{Options, Shuffler};

use crate::cmd::shuf::args::ShufArgs;
use crate::cmd::shuf::emit::Emit;
use crate::cmd::shuf::feed::{Fed, Feed, State};
use crate::cmd::shuf::longs::Longs;
use crate::cmd::shuf::shape::Shape;
use crate::failure::Result;
use crate::front::space::Need;
use crate::front::summary::{Report, Summary, tell};
use crate::front::{Session, space};
use crate::memory;
use crate::memory::budget::Budget;
use crate::output::sequence::Sequence;
use crate::progress;
use crate::record::csv_source::CsvSource;
use crate::record::source::Source;
use crate::scratch::Scratch;
use crate::signals;

/// Bits of a seed that is made: as many as every reader of JSON keeps.
const SEED_BITS: u32 = 53;

/// Runs the command.
///
/// # Errors
///
/// Whatever ends the run early.
pub(crate) fn run(args: &ShufArgs) -> Result<()> {
    let limit_bytes = memory::limit_bytes(args.common.memory);
    // A limit that is too low is refused before anything is made.
    Budget::new(limit_bytes, shape::NEEDED_BYTES)?;
    signals::watch()?;
    let session = args.common.open(limit_bytes, shape::NEEDED_BYTES)?;
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
    let watched = output.output().is_terminal();
    let bar = progress::bar("reading", total, !args.common.quiet && !watched);
    let memory = MemoryBudget::new(shape.shuffler_bytes);
    let mut options = Options::from(&memory).threads(shape.threads);
    // Without one, it is an error where something has to be put aside.
    if let Ok(dir) = scratch.dir() {
        options = options.dir(dir);
    }
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
    bar.inc_length(done.read_bytes);
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
    let (written, written_bytes) = (output.records(), output.bytes());
    output.finish()?;
    let mut counts = vec![("lines", fed.lines)];
    if args.head_count.is_some() {
        counts.push(("written", written));
    }
    let common = &args.common;
    if common.report == Some(Report::Json) {
        counts.push(("seed", seed));
    } else if common.report.is_some() || !common.quiet {
        // As it has to be written on the command line.
        tell(&format!("--seed {seed}\n"));
    }
    let summary = Summary {
        read_bytes: fed.read_bytes,
        written_bytes,
        scratch_bytes,
        ..Summary::since(begin, counts)
    };
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
    let mut needs = Vec::new();
    if let Some(dir) = output.output().directory() {
        needs.push(Need {
            what: "the output",
            dir: dir.to_owned(),
            bytes: total,
        });
    }
    let is_spilled = total > memory_bytes / 2;
    if is_spilled {
        needs.push(Need {
            what: "scratch files",
            dir: scratch.dir()?.path().to_owned(),
            bytes: total + total / 4,
        });
    }
    let common = &args.common;
    space::check(&needs, !common.no_space_check, is_spilled && !common.quiet)
}
