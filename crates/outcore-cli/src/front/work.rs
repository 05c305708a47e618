//! What the commands that read records, work within a budget and write one output begin and end with.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use indicatif::ProgressBar;
use outcore::external::Options;
use outcore::{Location, MemoryBudget};

use crate::failure::{Failure, Result};
use crate::front::space::{self, Need};
use crate::front::summary::Summary;
use crate::front::{Common, Session};
use crate::input::list::Inputs;
use crate::input::reader::{At, Long};
use crate::memory;
use crate::memory::budget::Budget;
use crate::output::sequence::Sequence;
use crate::progress;
use crate::record::key::Bad;
use crate::scratch::Scratch;
use crate::signals;
use crate::size::format_bytes;
use crate::threads::turn::Stop;

/// The least that the operations of the library on records work with.
pub(crate) const ENGINE_BYTES_MIN: u64 = 4 << 20;

/// Bytes of a cell of a file, of which a chunk is made, at least.
pub(crate) const CELL_LEN_MIN: u64 = 16 << 10;

/// Bytes of a buffer of the output, at most.
pub(crate) const OUT_LEN_MAX: u64 = 512 << 10;

/// Opens everything for a run with a limit on memory, and lets signals end it.
///
/// # Errors
///
/// The limit leaves less than `needed_bytes`, or something cannot be opened.
pub(crate) fn begin(common: &Common, asked: Option<u64>, needed_bytes: u64) -> Result<Session> {
    let limit_bytes = memory::limit_bytes(asked);
    // A limit that is too low is refused before anything is made.
    Budget::new(limit_bytes, needed_bytes)?;
    signals::watch()?;
    common.open(limit_bytes, needed_bytes)
}

/// Returns how many threads work: as many as were asked for, or cores, of which each has `each_bytes`
/// of what is available.
pub(crate) fn threads(common: &Common, available: u64, each_bytes: u64) -> u64 {
    let threads = common.threads().min(available / each_bytes);
    threads.min(memory::threads_max()).max(1)
}

/// Returns the threads with which the library merges, so that `threads` of them work for the one that takes
/// the records; one is enough for all.
pub(crate) fn merging_threads(threads: usize) -> usize {
    if threads > 1 { threads + 1 } else { 1 }
}

/// Returns the length of a cell: about `wanted` bytes, unless a test has asked for another one.
pub(crate) fn cell_len(wanted: u64, most: u64, of_test: Option<u64>) -> u64 {
    let len = wanted.clamp(CELL_LEN_MIN, most) & !0xfff;
    of_test.unwrap_or(len).clamp(2, most)
}

/// Describes memory that does not suffice to do something.
pub(crate) fn too_little(budget: &Budget, to_do: &str) -> Failure {
    let limit = format_bytes(budget.limit_bytes());
    Failure::new(format!(
        "--memory {limit} is too little to {to_do}; give more"
    ))
}

/// Makes the bar of a run. On a terminal that people read the output on, there is none.
pub(crate) fn bar(common: &Common, total_bytes: Option<u64>, output: &Sequence) -> ProgressBar {
    let is_wanted = !common.quiet && !output.output().is_terminal();
    progress::bar("reading", total_bytes, is_wanted)
}

/// Returns what an operation of the library works with. Without a directory, it is an error where
/// something has to be put aside.
pub(crate) fn options(memory: &MemoryBudget, threads: usize, scratch: &Scratch) -> Options {
    let options = Options::from(memory).threads(threads);
    match scratch.dir() {
        Ok(dir) => options.dir(dir),
        Err(_) => options,
    }
}

/// Checks that there is room for the output, which may have so many bytes, and for scratch files if
/// there may be any, and says how much those may take.
///
/// # Errors
///
/// There is too little space, or no place for scratch files.
pub(crate) fn check_space(
    common: &Common,
    output: (&Sequence, u64),
    scratch: (&Scratch, Option<u64>),
) -> Result<()> {
    let mut needs = Vec::new();
    if let Some(dir) = output.0.output().directory() {
        needs.push(Need {
            what: "the output",
            dir: dir.to_owned(),
            bytes: output.1,
        });
    }
    if let Some(bytes) = scratch.1 {
        needs.push(Need {
            what: "scratch files",
            dir: scratch.0.dir()?.path().to_owned(),
            bytes,
        });
    }
    let is_told = scratch.1.is_some() && !common.quiet;
    space::check(&needs, !common.no_space_check, is_told)
}

/// Puts the output in its place, and returns what is said at the end of the run.
///
/// # Errors
///
/// It cannot take its place; what was there stays.
pub(crate) fn end(
    begin: Instant,
    output: Sequence,
    counts: Vec<(&'static str, u64)>,
    read: Read,
    scratch_bytes: u64,
) -> Result<Summary> {
    let written_bytes = output.bytes();
    output.finish()?;
    Ok(Summary {
        read_bytes: read.bytes,
        written_bytes,
        scratch_bytes,
        ..Summary::since(begin, counts)
    })
}

/// What was read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Read {
    pub(crate) records: u64,
    pub(crate) skipped: u64,
    pub(crate) bytes: u64,
}

/// How far threads are that read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) stop: Stop,
    records: AtomicU64,
    skipped: AtomicU64,
    bytes: AtomicU64,
}

impl Reading {
    /// Counts bytes, for all and on the bar.
    pub(crate) fn count_bytes(&self, bytes: u64, bar: &ProgressBar) {
        self.bytes.fetch_add(bytes, Relaxed);
        bar.inc(bytes);
    }

    /// Counts what a thread has read.
    pub(crate) fn count_records(&self, records: u64, skipped: u64) {
        self.records.fetch_add(records, Relaxed);
        self.skipped.fetch_add(skipped, Relaxed);
    }

    /// Returns what was read.
    pub(crate) fn done(&self) -> Read {
        Read {
            records: self.records.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }
}

/// Describes a line or record that has no key.
pub(crate) fn no_key(inputs: &Inputs, (input, line): (usize, u64), reason: &Bad) -> Failure {
    let name = inputs.name(input);
    let remedy = if reason.is_known {
        "; --skip-bad leaves such lines out"
    } else {
        ""
    };
    Failure::new(format!("{name}: line {line} {reason}{remedy}"))
}

/// Charges what a list takes for a long line: so many bytes, and the list of its pieces.
///
/// # Errors
///
/// There are more than memory has room for.
pub(crate) fn charge_long(budget: &Budget, long: &Long, entry_bytes: usize) -> Result<()> {
    let pieces = match &long.at {
        At::File { .. } => 0,
        At::Scratch { pieces, .. } => pieces.capacity() * size_of::<Location>(),
    };
    if budget.charge(entry_bytes + pieces) {
        return Ok(());
    }
    Err(Failure::new(
        "there are more long lines than --memory has room for; give more",
    ))
}
