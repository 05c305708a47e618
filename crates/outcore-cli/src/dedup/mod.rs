//! `outcore dedup`: the first of each distinct line, in order.
//!
//! ```text
//! input::Blocks -> filter::Filter (index::Index) -> output::Output
//! ```
//!
//! Blocks are of whole lines. The filter moves the new ones to the front of the block
//! they came in, and that front is written: nothing is copied on the way but lines that
//! cross blocks and lines behind a repeat.

mod filter;
mod index;
mod input;
#[cfg(test)]
mod model;
mod output;
mod publish;
mod sample;
mod summary;

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

use indicatif::ProgressBar;
use outcore::ScratchDir;

use self::filter::Filter;
use self::index::Full;
use self::input::{Blocks, Input};
use self::output::Output;
use self::sample::Sample;
use self::summary::Summary;
use crate::args::DedupArgs;
use crate::failure::{Failure, Result, shown};
use crate::memory;
use crate::memory::budget::Budget;
use crate::progress;
use crate::size::{format_bytes, format_count};

/// Bytes read at once, if the memory is there.
const BLOCK_LEN_MAX: usize = 1 << 20;
const BLOCK_LEN_MIN: usize = 1 << 16;

/// Blocks never take more than this part of the memory.
const BLOCK_DIVISOR: u64 = 16;

/// What the smallest blocks and the smallest index take, with room to spare.
const NEEDED_BYTES: u64 = 2 << 20;

/// Runs the command.
///
/// # Errors
///
/// Whatever ends the run early.
pub(crate) fn run(args: &DedupArgs) -> Result<()> {
    let limit_bytes = args.memory.unwrap_or_else(memory::default_limit_bytes);
    // A limit that is too low is refused before anything is made.
    Budget::new(limit_bytes, NEEDED_BYTES)?;
    let (inputs, output) = if args.files.is_empty() {
        Budget::new(limit_bytes, sample::NEEDED_BYTES)?;
        sample(args)?
    } else {
        files(args)?
    };
    let total_bytes = inputs.iter().map(Input::len_bytes).sum();
    let mut budget = Budget::new(limit_bytes, NEEDED_BYTES)?;
    // A bar would be drawn between the lines.
    let watched = output.is_terminal();
    let mut pass = Pass {
        blocks: Blocks::new(inputs, block_len(&budget), &mut budget)?,
        filter: Filter::new(&mut budget).map_err(|Full| too_little(&budget))?,
        output,
        total_bytes,
        bar: progress::bar(total_bytes, !args.quiet && !watched),
    };
    let begin = Instant::now();
    pass.run(&mut budget)?;
    let summary = pass.finish(begin)?;
    note(args, &summary.to_string());
    Ok(())
}

/// Everything that one pass over the input needs.
struct Pass {
    blocks: Blocks,
    filter: Filter,
    output: Output,
    /// If it can be known.
    total_bytes: Option<u64>,
    bar: ProgressBar,
}

impl Pass {
    fn run(&mut self, budget: &mut Budget) -> Result<()> {
        while let Some(block) = self.blocks.next_block(budget)? {
            match self.filter.keep_new(block, budget) {
                Ok(len) => self.output.write(&block[..len])?,
                Err(Full) => return Err(self.full(budget)),
            }
            self.bar.set_position(self.blocks.read_bytes());
        }
        Ok(())
    }

    fn finish(self, begin: Instant) -> Result<Summary> {
        self.bar.finish_and_clear();
        let written_bytes = self.output.written_bytes();
        self.output.finish()?;
        Ok(Summary {
            lines: self.filter.lines(),
            kept: self.filter.kept(),
            read_bytes: self.blocks.read_bytes(),
            written_bytes,
            elapsed: begin.elapsed(),
            peak_resident_bytes: memory::peak_resident_bytes(),
        })
    }

    /// Says how many lines fit, what was reached, and what to do.
    fn full(&self, budget: &Budget) -> Failure {
        let limit = budget.limit_bytes();
        let (lines, kept) = (self.filter.lines(), self.filter.kept());
        let read = self.blocks.read_bytes();
        let advice = match self.total_bytes {
            _ if self.filter.is_short() => "more address space (ulimit -v),".to_owned(),
            Some(total) if total > read => {
                let more = more_bytes(kept, read, total);
                format!(
                    "{}, by the look of it,",
                    format_bytes(limit.saturating_add(more))
                )
            }
            _ => "more".to_owned(),
        };
        Failure::new(format!(
            "--memory {} holds {} distinct lines, and {} has more: full after {} lines, {} of the \
             input; give {advice} or fewer lines at a time",
            format_bytes(limit),
            format_count(kept),
            self.blocks.name(),
            format_count(lines),
            format_bytes(read),
        ))
    }
}

/// Returns what the rest of the input would take if it had as many new lines as what was
/// read.
fn more_bytes(kept: u64, read_bytes: u64, total_bytes: u64) -> u64 {
    let rest = u128::from(total_bytes.saturating_sub(read_bytes));
    let keys = u128::from(kept) * rest / u128::from(read_bytes.max(1));
    let bytes = keys.saturating_mul(u128::from(index::KEY_BYTES_FULL));
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn block_len(budget: &Budget) -> usize {
    let share = usize::try_from(budget.available_bytes() / BLOCK_DIVISOR).unwrap_or(usize::MAX);
    share.clamp(BLOCK_LEN_MIN, BLOCK_LEN_MAX)
}

fn too_little(budget: &Budget) -> Failure {
    Failure::new(format!(
        "--memory {} leaves no room for an index; give more, or unlimit the address space \
         (ulimit -v)",
        format_bytes(budget.limit_bytes())
    ))
}

/// Opens what the user named.
fn files(args: &DedupArgs) -> Result<(Vec<Input>, Output)> {
    let inputs = args.files.iter().map(|path| Input::from_argument(path));
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let output = match &args.output {
        Some(path) => Output::create(path)?,
        None => Output::stdout()?,
    };
    for path in &args.files {
        output.check_input(path)?;
    }
    Ok((inputs, output))
}

/// Makes a sample and says so.
fn sample(args: &DedupArgs) -> Result<(Vec<Input>, Output)> {
    let dir = match &args.tmp {
        Some(path) => ScratchDir::new(path)?,
        None => ScratchDir::from_env()?,
    };
    // Nobody wants to see half a gigabyte of made-up lines pass by.
    let dropped = args.output.is_none() && io::stdout().is_terminal();
    let output = match &args.output {
        Some(path) => Output::create(path)?,
        None if dropped => Output::nowhere(),
        None => Output::stdout()?,
    };
    let wanted = args.sample_size;
    note(
        args,
        &format!(
            "no FILE given (- is standard input): making a sample of {} in {}\n",
            format_bytes(wanted),
            shown(dir.path())
        ),
    );
    if dropped {
        note(
            args,
            "the kept lines are counted and dropped: --output FILE keeps them\n",
        );
    }
    let bar = progress::bar(Some(wanted), !args.quiet);
    let sample = Sample::make(wanted, &dir, &bar)?;
    bar.finish_and_clear();
    let input = Input::Stream {
        name: "the sample".to_owned(),
        len_bytes: Some(sample.len_bytes()),
        stream: Box::new(sample.into_reader()),
    };
    Ok((vec![input], output))
}

/// Tells the user, who may have closed standard error.
fn note(args: &DedupArgs, text: &str) {
    if !args.quiet {
        io::stderr().write_all(text.as_bytes()).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_taken_to_be_like_the_begin() {
        assert_eq!(more_bytes(1000, 50, 100), 1000 * index::KEY_BYTES_FULL);
        assert_eq!(more_bytes(1000, 50, 50), 0);
        assert_eq!(more_bytes(u64::MAX, 1, u64::MAX), u64::MAX);
    }
}
