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
use crate::front::work::Read;
use crate::front::{Session, work};
use crate::input::list::Inputs;
use crate::output::sequence::Sequence;
use crate::record::csv_source::CsvSource;
use crate::scratch::Scratch;

/// Runs the command.
///
/// # Errors
///
/// Whatever ends the run early.
pub(crate) fn run(args: &SortArgs) -> Result<()> {
    let plan = Plan::of(args)?;
    let limit_bytes = args.common.memory.or(args.buffer_size);
    let session = work::begin(&args.common, limit_bytes, shape::NEEDED_BYTES)?;
    if let Some(check) = plan.check {
        return check::run(args, &plan, &session, check);
    }
    if args.merge && merge::fits(&session) {
        return merge::run(args, &plan, session);
    }
    sort(args, &plan, session)
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
    let bar = work::bar(&args.common, inputs.len_bytes(), &output);
    let memory = MemoryBudget::new(shape.sorter_bytes);
    let threads = work::merging_threads(shape.threads);
    let mut options = Options::from(&memory).threads(threads);
    if may_spill {
        options = options.dir(scratch.dir()?);
    }
    let sorter = recipe.configure(Sorter::builder(options)).build()?;
    let longs = Longs::new(&scratch, &budget, &inputs, &recipe);
    let feed = Feed::new(args, plan, &shape, &recipe, &inputs, &longs, &bar);
    let read = feed.run(&sorter, csv.as_ref(), &scratch)?;
    let scratch_bytes = scratch.used_bytes();
    inputs.check_unchanged()?;
    bar.inc_length(read.bytes);
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
    finish(args, output, read, scratch_bytes, begin)
}

/// Puts the output in its place and tells what was done.
fn finish(
    args: &SortArgs,
    output: Sequence,
    read: Read,
    scratch_bytes: u64,
    begin: Instant,
) -> Result<()> {
    let mut counts = vec![("lines", read.records)];
    if args.unique {
        counts.push(("kept", output.records()));
    }
    if args.skip_bad {
        counts.push(("skipped", read.skipped));
    }
    let summary = work::end(begin, output, counts, read, scratch_bytes)?;
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
    // Records have lengths beside them, and an index in memory.
    let is_spilled = total + total / 2 > shape.sorter_bytes / 4 * 3;
    let spilled = is_spilled.then_some(total + total / 8);
    work::check_space(&args.common, (output, total), (scratch, spilled))?;
    Ok(is_spilled || args.common.tmp.is_some())
}
