//! How a run divides its memory.

use crate::cmd::count::args::CountArgs;
use crate::cmd::count::longs;
use crate::failure::Result;
use crate::front::work;
use crate::front::work::{ENGINE_BYTES_MIN, OUT_LEN_MAX};
use crate::memory::budget::Budget;
use crate::output::writing;

/// What the smallest buffers take, and groups and their order at least, with room to spare.
pub(crate) const NEEDED_BYTES: u64 = 2 * ENGINE_BYTES_MIN + (4 << 20);

/// Bytes of a cell of a file, of which a chunk is made: a key has to fit into a block of groups that
/// are put aside, which have 256 KiB at most.
const CELL_LEN_MAX: u64 = 124 << 10;

/// Of the memory, a cell takes one part of this many: a line may have two, and that is less than a
/// 64th of what groups and their order take, which is the most that the engines accept.
const CELL_DIVISOR: u64 = 1024;

/// What a thread takes for each byte of its cell: two for the chunk, one for a piece that is read, two
/// for a line behind the chunk; and a key and a number, whose memory grows by doubling.
const CELL_FACTOR: u64 = 14;

/// Bytes of a buffer of the output, at least.
const OUT_LEN_MIN: u64 = 32 << 10;

/// Of the memory, the order of counts takes one part of this many, and so do what is written of
/// counts that are frequent themselves, and records of CSV.
const RANK_DIVISOR: u64 = 6;
const CLASSES_DIVISOR: u64 = 16;
const WHOLE_DIVISOR: u64 = 16;

/// What a class takes: a buffer, and that of a writer of an arena.
const CLASS_BYTES: u64 = 512 << 10;
const CLASSES_MAX: u64 = 8;

/// The numbers of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) threads: usize,
    pub(crate) cell_len: usize,
    pub(crate) out_len: usize,
    /// The longest record of CSV.
    pub(crate) record_max: usize,
    /// What groups may take, and what their order by count.
    pub(crate) groups_bytes: u64,
    pub(crate) rank_bytes: u64,
    /// Counts from one on whose groups are put aside as they are written.
    pub(crate) classes: usize,
}

impl Shape {
    /// Divides what the budget has.
    ///
    /// # Errors
    ///
    /// It is too little.
    pub(crate) fn new(args: &CountArgs, budget: &Budget) -> Result<Self> {
        let available = budget.available_bytes();
        let threads = work::threads(&args.common, available, 8 << 20);
        let cell_len = work::cell_len(available / CELL_DIVISOR, CELL_LEN_MAX, args.test_chunk);
        let out_len = (available / 64).clamp(OUT_LEN_MIN, OUT_LEN_MAX);
        let whole = if args.csv {
            available / WHOLE_DIVISOR
        } else {
            0
        };
        // With --top, only few get as far as that.
        let classes = if args.by_key || args.top.is_some() {
            0
        } else {
            (available / CLASSES_DIVISOR / CLASS_BYTES).min(CLASSES_MAX)
        };
        let rank_bytes = if args.by_key {
            0
        } else {
            (available / RANK_DIVISOR).max(ENGINE_BYTES_MIN)
        };
        let buffers = threads * cell_len * CELL_FACTOR
            + out_len * (1 + writing::BUFFERS as u64)
            + longs::NEEDED_BYTES
            + classes * CLASS_BYTES
            + whole
            + available / 64;
        let groups_bytes = available.saturating_sub(buffers + rank_bytes);
        let groups_bytes = args.test_groups.unwrap_or(groups_bytes).min(groups_bytes);
        if groups_bytes < ENGINE_BYTES_MIN {
            return Err(work::too_little(budget, "count"));
        }
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        // The rest is for a list of long lines.
        if !budget.charge(number(available - available / 64)) {
            return Err(work::too_little(budget, "count"));
        }
        Ok(Self {
            threads: number(threads),
            cell_len: number(cell_len),
            out_len: number(out_len),
            record_max: number((whole / (2 + threads) / 2).min(2 * cell_len)),
            groups_bytes,
            rank_bytes,
            classes: number(classes),
        })
    }
}
