//! `-m`: inputs that are in order become one, without scratch files.

use std::cmp::Ordering;
use std::time::Instant;

use outcore::external::merge_by;

use crate::cmd::sort::args::SortArgs;
use crate::cmd::sort::finish;
use crate::cmd::sort::plan::{Form, Plan};
use crate::cmd::sort::recipe::{Made, Recipe};
use crate::failure::{Failure, Result};
use crate::front::Session;
use crate::front::work::Read;
use crate::input::list::Inputs;
use crate::output::writing;
use crate::progress;
use crate::record::blocks::{Block, Blocks};
use crate::record::csv_source::{is_same_header, other_header};

/// Bytes that are read at once of an input.
const STEP_MAX: u64 = 256 << 10;
const STEP_MIN: u64 = 8 << 10;

/// What an input takes for each of these bytes.
const STEP_FACTOR: u64 = 4;

/// Files that can be open at once under the usual limit, with some to spare.
const FILES_MAX: usize = 900;

/// Bytes of a buffer of the output.
const OUT_LEN: usize = 64 << 10;

/// Returns whether all inputs can be merged at once. More of them are sorted, with the same outcome.
pub(crate) fn fits(session: &Session) -> bool {
    let most = available_bytes(session) / 2 / (STEP_MIN * STEP_FACTOR);
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(FILES_MAX);
    session.inputs.count() <= most
}

/// Returns what is left of the memory, beside a decoder for each compressed input: one of them was
/// charged, and here all are open at the same time.
fn available_bytes(session: &Session) -> u64 {
    let inputs = &session.inputs;
    let more = inputs
        .all_decoders_bytes()
        .saturating_sub(inputs.decoder_bytes());
    session.budget.available_bytes().saturating_sub(more)
}

/// A record and its key.
struct Entry {
    key: Vec<u8>,
    record: Vec<u8>,
    /// Bytes that were read since the last one.
    read_bytes: u64,
}

/// The records of an input, until something goes wrong.
struct Entries<'a> {
    plan: &'a Plan,
    recipe: &'a Recipe,
    inputs: &'a Inputs,
    input: usize,
    blocks: Blocks,
    block: Block,
    next: usize,
    line: u64,
    read_bytes: u64,
    made: Made,
    has_failed: bool,
}

impl Entries<'_> {
    fn entry(&mut self) -> Result<Option<Entry>> {
        while self.block.get(self.next).is_none() {
            if !self.blocks.next(self.inputs, &mut self.block)? {
                return Ok(None);
            }
            self.next = 0;
            self.read_bytes += self.block.read_bytes;
        }
        let record = self.block.get(self.next).unwrap_or_default();
        self.next += 1;
        self.line += 1;
        let mut key = Vec::new();
        let compared = self.plan.compared(record);
        if let Err(reason) = self.recipe.push_key(compared, &mut key, &mut self.made) {
            let (name, line) = (self.inputs.name(self.input), self.line);
            return Err(Failure::new(format!("{name}: line {line} {reason}")));
        }
        Ok(Some(Entry {
            key,
            record: record.to_vec(),
            read_bytes: std::mem::take(&mut self.read_bytes),
        }))
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        if self.has_failed {
            return None;
        }
        let entry = self.entry();
        self.has_failed = entry.is_err();
        entry.transpose()
    }
}

/// An input that is open, whose header was read.
struct Opened {
    input: usize,
    blocks: Blocks,
    block: Block,
    read_bytes: u64,
}

/// Opens all inputs; returns the header of the first that has one, of CSV.
fn open(args: &SortArgs, plan: &Plan, session: &Session) -> Result<(Vec<Opened>, Option<Vec<u8>>)> {
    let inputs = &session.inputs;
    let share = available_bytes(session) / 2 / (inputs.count().max(1) as u64);
    let step = (share / STEP_FACTOR).clamp(STEP_MIN, STEP_MAX);
    let step = args.test_chunk.unwrap_or(step);
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let len_max = number((share / STEP_FACTOR).max(step));
    let mut opened = Vec::new();
    let mut header: Option<Vec<u8>> = None;
    for input in 0..inputs.count() {
        let mut blocks = Blocks::open(inputs, input, plan.endings(), number(step), len_max)?;
        let mut block = Block::default();
        let mut read_bytes = 0;
        if matches!(plan.form, Form::Csv(_)) && blocks.next(inputs, &mut block)? {
            let first = block.get(0).unwrap_or_default();
            match &header {
                Some(header) if !is_same_header(header, first) => {
                    return Err(other_header(inputs, input));
                }
                Some(_) => {}
                None => header = Some(first.to_vec()),
            }
            block.drop_first();
            read_bytes = block.read_bytes;
        }
        opened.push(Opened {
            input,
            blocks,
            block,
            read_bytes,
        });
    }
    Ok((opened, header))
}

/// Merges all inputs.
///
/// # Errors
///
/// Whatever ends the run early.
pub(crate) fn run(args: &SortArgs, plan: &Plan, session: Session) -> Result<()> {
    let begin = Instant::now();
    let inputs = &session.inputs;
    let (opened, header) = open(args, plan, &session)?;
    let recipe = plan.recipe(header.as_deref())?;
    let entries = opened.into_iter().map(|opened| Entries {
        plan,
        recipe: &recipe,
        inputs,
        input: opened.input,
        blocks: opened.blocks,
        block: opened.block,
        next: 0,
        line: 0,
        read_bytes: opened.read_bytes,
        made: Made::default(),
        has_failed: false,
    });
    let compare = |a: &Result<Entry>, b: &Result<Entry>| match (a, b) {
        (Ok(a), Ok(b)) => recipe.compare((&a.key, &a.record), (&b.key, &b.record)),
        // What went wrong comes first.
        (Err(_), _) => Ordering::Less,
        (_, Err(_)) => Ordering::Greater,
    };
    let watched = session.output.output().is_terminal();
    let bar = progress::bar(
        "merging",
        inputs.len_bytes(),
        !args.common.quiet && !watched,
    );
    let mut done = Read::default();
    let end = plan.ending();
    writing::fill(&session.output, OUT_LEN, |filling| {
        if let Some(header) = &header {
            filling.push(header)?;
            filling.push(b"\n")?;
        }
        let mut last: Option<Entry> = None;
        for entry in merge_by(entries, compare) {
            let entry = entry?;
            done.records += 1;
            done.bytes += entry.read_bytes;
            bar.inc(entry.read_bytes);
            if args.unique {
                let is_double = last.as_ref().is_some_and(|last| {
                    let pair = (
                        (&last.key[..], &last.record[..]),
                        (&entry.key[..], &entry.record[..]),
                    );
                    recipe.compare(pair.0, pair.1).is_eq()
                });
                if is_double {
                    continue;
                }
            }
            filling.push_record(&entry.record, end)?;
            if args.unique {
                last = Some(entry);
            }
        }
        Ok(())
    })?;
    inputs.check_unchanged()?;
    bar.finish_and_clear();
    finish(args, session.output, done, 0, begin)
}
