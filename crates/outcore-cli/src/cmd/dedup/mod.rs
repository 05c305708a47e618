//! `outcore dedup`: the first of each distinct record, in order.
//!
//! ```text
//! inputs -> source -> chunk (key) -> first_pass (shard: index) -> writer -> output
//!                                        | what memory has no room for
//!                                        v
//!                    scratch -> resolve -> notes -> second_pass -> writer
//! ```
//!
//! As long as memory holds the keys of all records, there is one pass. From then on
//! chunks are deferred: their open questions are answered from scratch files, and a
//! second pass reads them again and writes what is kept.

pub(crate) mod args;
mod deferred;
mod first_pass;
mod index;
mod job;
mod known;
mod notes;
mod resolve;
mod second_pass;
mod shape;
mod shard;
mod space;
mod targets;
mod verify;
mod writer;

use std::sync::Mutex;
use std::time::Instant;

use crate::cmd::dedup::args::{DedupArgs, Unit};
use crate::cmd::dedup::deferred::Deferred;
use crate::cmd::dedup::first_pass::FirstPass;
use crate::cmd::dedup::job::Job;
use crate::cmd::dedup::known::{Known, Rich};
use crate::cmd::dedup::notes::Parts;
use crate::cmd::dedup::shape::Shape;
use crate::cmd::dedup::shard::{Shard, Shared};
use crate::cmd::dedup::targets::{Targets, same_file};
use crate::cmd::dedup::writer::Outputs;
use crate::failure::{Failure, Result, shown};
use crate::front::summary::{Report, Summary, tell};
use crate::input::list::{Inputs, Kind, Manner};
use crate::input::sample;
use crate::input::sample::Sample;
use crate::memory;
use crate::memory::budget::Budget;
use crate::output::sequence::Sequence;
use crate::progress;
use crate::record::key::{Keyer, Rules};
use crate::record::source::Source;
use crate::scratch::Scratch;
use crate::signals;
use crate::size::format_bytes;

/// Runs the command.
///
/// # Errors
///
/// Whatever ends the run early.
pub(crate) fn run(args: &DedupArgs) -> Result<()> {
    let limit_bytes = memory::limit_bytes(args.memory);
    // A limit that is too low is refused before anything is made.
    Budget::new(limit_bytes, shape::NEEDED_BYTES)?;
    signals::watch()?;
    // The thread that waits for signals may have taken 64 MiB of addresses by now, or may do so
    // later: under `ulimit -v`, a second look would find one limit or another.
    run_within(args, limit_bytes)
}

/// Runs the command in a process that deals with signals itself.
///
/// # Errors
///
/// Whatever ends the run early.
pub(crate) fn run_unwatched(args: &DedupArgs) -> Result<()> {
    run_within(args, memory::limit_bytes(args.memory))
}

fn run_within(args: &DedupArgs, limit_bytes: u64) -> Result<()> {
    let scratch = Scratch::new(args.tmp.clone());
    if args.tmp.is_some() {
        // Also where it turns out not to be needed: hours may pass until that is known.
        scratch.dir()?;
    }
    let targets = Targets::of(args)?;
    let (inputs, outputs) = if args.files.is_empty() {
        Budget::new(limit_bytes, sample::NEEDED_BYTES)?;
        let outputs = targets.open(args.count)?;
        let inputs = sample(args, &scratch, targets.is_dropped)?;
        check_inputs(args, &inputs)?;
        (inputs, outputs)
    } else {
        let budget = Budget::new(limit_bytes, shape::NEEDED_BYTES)?;
        let manner = Manner {
            recursive: args.recursive,
            // Where files are compared, they are compared as they are.
            unpack: !args.no_unpack && args.unit == Unit::Line,
        };
        let mut inputs = Inputs::from_arguments(&args.files, manner, &budget)?;
        if args.verify {
            // Records are compared with earlier ones, wherever those are.
            inputs.keep_cached();
        }
        check_inputs(args, &inputs)?;
        targets.check_inputs(&inputs)?;
        (inputs, targets.open(args.count)?)
    };
    // A bar would be drawn between the lines.
    let watched = outputs.kept.output().is_terminal();
    let budget = Budget::new(limit_bytes, inputs.decoder_bytes() + shape::NEEDED_BYTES)?;
    inputs.charge_decoder(&budget)?;
    let shape = Shape::new(args, inputs.len_bytes(), &budget)?;
    space::check(args, &inputs, &outputs, &shape, &scratch)?;
    let keyer = Keyer::new(Rules {
        ignore_case: args.ignore_case,
        trim: args.trim,
        field: args.field.clone(),
    });
    let bar = progress::bar("reading", inputs.len_bytes(), !args.quiet && !watched);
    let job = Job {
        inputs: &inputs,
        outputs: &outputs,
        keyer: &keyer,
        scratch: &scratch,
        budget: &budget,
        bar: &bar,
        separator: if args.null { 0 } else { b'\n' },
        cell_len: shape.cell_len,
        threads: shape.threads,
        files: args.unit == Unit::File,
        skip_bad: args.skip_bad,
        verify: args.verify,
        json_len_max: Mutex::new(shape.json_len_max),
    };
    let begin = Instant::now();
    let done = if args.count || args.verify {
        passes::<Rich>(&job, &shape)
    } else {
        passes::<()>(&job, &shape)
    };
    let done = done.map_err(|failure| unless_file(failure, &outputs))?;
    inputs.check_unchanged()?;
    bar.finish_and_clear();
    finish(args, outputs, &done, begin)
}

/// Makes a broken pipe a failure where an output is a file: it is not there.
fn unless_file(failure: Failure, outputs: &Outputs) -> Failure {
    let sequences = || [Some(&outputs.kept), outputs.duplicates.as_ref()].into_iter();
    let outputs = || sequences().flatten().map(Sequence::output);
    let pipe = outputs().find(|output| output.is_ordered());
    let file = outputs().find(|output| output.directory().is_some());
    match (failure, pipe, file) {
        (Failure::BrokenPipe, Some(pipe), Some(file)) => {
            let (pipe, file) = (pipe.name(), file.name());
            Failure::new(format!(
                "cannot write {pipe}: Broken pipe; {file} stays as it was"
            ))
        }
        (failure, ..) => failure,
    }
}

/// Puts outputs in their places and tells what was done.
fn finish(args: &DedupArgs, outputs: Outputs, done: &Done, begin: Instant) -> Result<()> {
    let (kept, written_bytes) = (outputs.kept.records(), outputs.kept.bytes());
    let kept_id = outputs.kept.output().file_id();
    outputs.kept.finish()?;
    if let Some(duplicates) = outputs.duplicates {
        // Where capital letters do not count, two names are one, and nothing told so before.
        let output = duplicates.output();
        if kept_id.is_some_and(|kept| output.leads_to(kept)) {
            return Err(same_file(output.name()));
        }
        duplicates.finish()?;
    }
    let mut counts = vec![("lines", done.records), ("kept", kept)];
    if args.skip_bad || args.report == Some(Report::Json) {
        counts.push(("skipped", done.bad_records));
    }
    let summary = Summary {
        read_bytes: done.read_bytes,
        written_bytes,
        scratch_bytes: done.scratch_bytes,
        ..Summary::since(begin, counts)
    };
    summary.tell(args.report, args.quiet);
    Ok(())
}

/// What the passes have done.
struct Done {
    records: u64,
    bad_records: u64,
    read_bytes: u64,
    scratch_bytes: u64,
}

/// Does all the work.
fn passes<V: Known>(job: &Job<'_>, shape: &Shape) -> Result<Done> {
    let source = Source::new(job.inputs, job.scratch, job.separator, job.cell_len)
        .of_files(job.files)
        .counting_lines(job.keyer.needs_whole());
    let shared = Shared::new(job.budget, job.scratch);
    let shards = shape.shards::<V>(job.budget)?;
    let found = FirstPass::new(job, &source, &shared, shards).run()?;
    job.inputs.check_unchanged()?;
    let mut done = Done {
        records: found.records,
        bad_records: found.bad_records,
        read_bytes: found.read_bytes,
        scratch_bytes: 0,
    };
    let Some(rest) = found.rest else {
        return Ok(done);
    };
    let notes_arena = job.scratch.arena()?;
    let part_bytes = shape.part_bytes;
    let mut parts = Parts::new(
        rest.chunks.scan().flatten(),
        rest.first,
        V::RICH,
        part_bytes,
    );
    let mut writer = parts.writer(&notes_arena)?;
    let mut spilled = Vec::new();
    for shard in found.shards {
        spilled.extend(finish_shard(shard, job, &mut writer)?);
    }
    shape.end_first_pass(job.budget);
    job.bar.set_message("comparing");
    resolve::resolve::<V>(job, shape, &spilled, &mut parts, writer, &notes_arena)?;
    done.scratch_bytes = job.scratch.dir()?.used_bytes();
    drop(spilled);
    drop(shared);
    let deferred_bytes: u64 = rest.chunks.scan().flatten().map(Deferred::len_bytes).sum();
    job.bar.inc_length(deferred_bytes);
    job.bar.set_message("writing");
    second_pass::run(job, &rest, source.spooled(), &mut parts, &notes_arena)?;
    Ok(done)
}

/// Ends a shard, and notes what it has counted.
fn finish_shard<V: Known>(
    shard: Shard<V>,
    job: &Job<'_>,
    writer: &mut notes::NoteWriter,
) -> Result<Option<shard::Spilled>> {
    let (_, spilled) = shard.finish(job.budget, |known| {
        if known.count() > 1 {
            writer.count(known.place(), known.count())?;
        }
        Ok(())
    })?;
    Ok(spilled)
}

/// Refuses inputs with which what is asked cannot be done.
fn check_inputs(args: &DedupArgs, inputs: &Inputs) -> Result<()> {
    if args.verify && !inputs.are_files() && args.unit == Unit::Line {
        return Err(Failure::new(
            "--verify reads records again, and not all inputs are regular files; write them to \
             files first",
        ));
    }
    if args.unit == Unit::File && (0..inputs.count()).any(|at| inputs.kind(at) == Kind::Stream) {
        return Err(Failure::new(
            "--unit file writes the paths of files, and standard input has none",
        ));
    }
    // With -0 the separator is NUL, and no path has one.
    let mut numbers = 0..inputs.count();
    let odd = numbers.find(|&at| inputs.path_bytes(at).contains(&b'\n'));
    if let (Unit::File, false, Some(odd)) = (args.unit, args.null, odd) {
        return Err(Failure::new(format!(
            "the path {} has a newline in it, and a newline ends each path that --unit file \
             writes; -0 ends them with NUL",
            inputs.name(odd)
        )));
    }
    Ok(())
}

/// Makes a sample and says so.
fn sample(args: &DedupArgs, scratch: &Scratch, is_dropped: bool) -> Result<Inputs> {
    let dir = scratch.dir()?;
    let wanted = args.sample_size;
    note(
        args,
        &format!(
            "no FILE given (- is standard input): making a sample of {} in {}\n",
            format_bytes(wanted),
            shown(dir.path())
        ),
    );
    if is_dropped {
        note(
            args,
            "the kept lines are counted and dropped: --output FILE keeps them\n",
        );
    }
    let bar = progress::bar("sampling", Some(wanted), !args.quiet);
    let sample = Sample::make(wanted, dir, &bar)?;
    bar.finish_and_clear();
    let mut inputs = Inputs::new();
    let budget = Budget::new(u64::MAX, 0)?;
    inputs.push_stream(
        "the sample",
        Kind::Stream,
        Box::new(sample.into_reader()),
        &budget,
    )?;
    Ok(inputs)
}

/// Tells the user, unless that is not wanted.
fn note(args: &DedupArgs, text: &str) {
    if !args.quiet {
        tell(text);
    }
}
