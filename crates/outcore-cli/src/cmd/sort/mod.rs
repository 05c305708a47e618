//! `outcore sort`: records in the order of their keys.
//!
//! ```text
//! inputs -> source -> chunk -> recipe (key, value) -> writer of the sorter    in each thread
//!                        | too long                        |
//!                        v                                 v
//!                     longs ----------------------------> emit -> output
//! ```
//!
//! `plan` understands the arguments, `shape` divides the memory, `feed` reads and `emit` writes, `long`
//! has the records that are too long for the sorter. `check` and `merge` are what -c and -m ask for.

pub(crate) mod args;
mod check;
mod emit;
mod feed;
mod long;
mod merge;
mod plan;
mod recipe;
mod shape;

use std::time::Instant;

use outcore::MemoryBudget;
use outcore::external::{Options, Sorter};

use crate::cmd::sort::args::SortArgs;
use crate::cmd::sort::emit::Emit;
use crate::cmd::sort::feed::Feed;
use crate::cmd::sort::long::Longs;
use crate::cmd::sort::plan::{Form, Plan};
use crate::cmd::sort::shape::Shape;
use crate::failure::Result;
use crate::front::space::Need;
use crate::front::summary::Summary;
use crate::front::{Session, space};
use crate::input::list::Inputs;
use crate::memory;
use crate::memory::budget::Budget;
use crate::output::sequence::Sequence;
use crate::progress;
use crate::record::csv_source::CsvSource;
use crate::scratch::Scratch;
use crate::signals;

/// Runs the command.
///
/// # Errors
///
/// Whatever ends the run early.
pub(crate) fn run(args: &SortArgs) -> Result<()> {
    let plan = Plan::of(args)?;
    let limit_bytes = memory::limit_bytes(args.common.memory.or(args.buffer_size));
    // A limit that is too low is refused before anything is made.
    Budget::new(limit_bytes, shape::NEEDED_BYTES)?;
    signals::watch()?;
    let session = args.common.open(limit_bytes, shape::NEEDED_BYTES)?;
    if let Some(check) = plan.check {
        return check::run(args, &plan, &session, check);
    }
    if args.merge && merge::fits(&session) {
        return merge::run(args, &plan, session);
    }
    sort(args, &plan, session)
}

/// What is done so far.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    records: u64,
    skipped: u64,
    read_bytes: u64,
    scratch_bytes: u64,
}

fn sort(args: &SortArgs, plan: &Plan, session: Session) -> Result<()> {
    let begin = Instant::now();
    let Session {
        inputs,
        output,
        scratch,
        budget,
    } = session;
    let shape = Shape::new(args, plan.needs_whole(), &budget)?;
    let csv = match plan.form {
        Form::Csv(delimiter) => {
            let len_max = shape.whole_max / (2 + shape.threads);
            Some(CsvSource::open(
                &inputs,
                delimiter,
                shape.cell_len,
                len_max,
            )?)
        }
        Form::Text(_) | Form::Json => None,
    };
    let recipe = plan.recipe(csv.as_ref().map(CsvSource::header))?;
    let may_spill = check_space(args, &shape, &inputs, &output, &scratch)?;
    let watched = output.output().is_terminal();
    let bar = progress::bar(
        "reading",
        inputs.len_bytes(),
        !args.common.quiet && !watched,
    );
    let memory = MemoryBudget::new(shape.sorter_bytes);
    let mut options = Options::from(&memory);
    if may_spill {
        options = options.dir(scratch.dir()?);
    }
    let sorter = recipe.configure(Sorter::builder(options)).build()?;
    let longs = Longs::new(&scratch, &budget, &inputs, &recipe);
    let feed = Feed::new(args, plan, &shape, &recipe, &inputs, &longs, &bar);
    let mut done = feed.run(&sorter, csv.as_ref(), &scratch)?;
    done.scratch_bytes = scratch.used_bytes();
    inputs.check_unchanged()?;
    bar.inc_length(done.read_bytes);
    bar.set_message("sorting");
    let emit = Emit {
        shape: &shape,
        recipe: &recipe,
        output: &output,
        bar: &bar,
        end: plan.ending(),
    };
    emit.all(csv.as_ref().map(CsvSource::header), sorter, longs)?;
    bar.finish_and_clear();
    finish(args, output, done, begin)
}

/// Puts the output in its place and tells what was done.
fn finish(args: &SortArgs, output: Sequence, done: Done, begin: Instant) -> Result<()> {
    let (written, written_bytes) = (output.records(), output.bytes());
    output.finish()?;
    let mut counts = vec![("lines", done.records)];
    if args.unique {
        counts.push(("kept", written));
    }
    if args.skip_bad {
        counts.push(("skipped", done.skipped));
    }
    let summary = Summary {
        read_bytes: done.read_bytes,
        written_bytes,
        scratch_bytes: done.scratch_bytes,
        ..Summary::since(begin, counts)
    };
    summary.tell(args.common.report, args.common.quiet);
    Ok(())
}

/// Checks that there is room for the output, and for what memory has none for; returns whether there
/// may be such.
fn check_space(
    args: &SortArgs,
    shape: &Shape,
    inputs: &Inputs,
    output: &Sequence,
    scratch: &Scratch,
) -> Result<bool> {
    let Some(total) = inputs.len_bytes() else {
        return Ok(true);
    };
    let mut needs = Vec::new();
    if let Some(dir) = output.output().directory() {
        needs.push(Need {
            what: "the output",
            dir: dir.to_owned(),
            bytes: total,
        });
    }
    // Records have lengths beside them, and an index in memory.
    let is_spilled = total + total / 2 > shape.sorter_bytes / 4 * 3;
    if is_spilled {
        needs.push(Need {
            what: "scratch files",
            dir: scratch.dir()?.path().to_owned(),
            bytes: total + total / 8,
        });
    }
    let common = &args.common;
    space::check(&needs, !common.no_space_check, is_spilled && !common.quiet)?;
    Ok(is_spilled || common.tmp.is_some())
}
