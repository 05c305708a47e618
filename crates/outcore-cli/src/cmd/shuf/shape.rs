//! How a run divides its memory.

use crate::cmd::shuf::args::ShufArgs;
use crate::failure::Result;
use crate::front::work;
use crate::front::work::{CELL_LEN_MIN, ENGINE_BYTES_MIN, OUT_LEN_MAX};
use crate::memory::budget::Budget;

/// What the smallest buffers take, and the shuffler at least, with room to spare.
pub(crate) const NEEDED_BYTES: u64 = ENGINE_BYTES_MIN + (2 << 20);

/// Inputs that are shorter are shuffled in about as much memory.
const SMALL_BYTES: u64 = 32 << 20;

/// Bytes of a cell of a file, of which a chunk is made.
const CELL_LEN_MAX: u64 = 256 << 10;

/// Of the memory, a cell takes one part of this many: a record in a chunk of two cells is one that
/// the shuffler takes, which are those up to a 32nd of its memory.
const CELL_DIVISOR: u64 = 256;

/// What a thread takes for each byte of its cell: the chunk, a piece that is read, where lines end,
/// and a record that gets its end.
const CELL_FACTOR: u64 = 14;

/// Kept for a list of lines that are longer than a chunk.
const LONGS_DIVISOR: u64 = 32;

/// Inputs and outputs of `divided` memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) threads: usize,
    pub(crate) cell_len: usize,
    pub(crate) out_len: usize,
    /// The longest record of CSV.
    pub(crate) record_max: usize,
    /// What the shuffler may take.
    pub(crate) shuffler_bytes: u64,
    /// What a thread may keep of a sample.
    pub(crate) sample_bytes: usize,
}

impl Shape {
    /// Divides what the budget has.
    ///
    /// # Errors
    ///
    /// It is too little.
    pub(crate) fn new(args: &ShufArgs, len_bytes: Option<u64>, budget: &Budget) -> Result<Self> {
        // Little input needs few buffers.
        let wanted = len_bytes.map_or(u64::MAX, |len| {
            len.saturating_mul(4).saturating_add(SMALL_BYTES)
        });
        let available = budget.available_bytes().min(wanted);
        let threads = work::threads(&args.common, available, NEEDED_BYTES);
        let cell_len = work::cell_len(available / CELL_DIVISOR, CELL_LEN_MAX, args.test_chunk);
        let out_len = (available / 64 / threads).clamp(CELL_LEN_MIN, OUT_LEN_MAX);
        let record_max = if args.csv { available / 64 } else { 0 };
        let buffers = threads * (cell_len * CELL_FACTOR + out_len)
            + record_max * (2 + threads)
            + available / LONGS_DIVISOR;
        let rest = available.saturating_sub(buffers);
        let rest = args.test_shuffler.unwrap_or(rest).min(rest);
        let sample = if args.head_count.is_some() {
            rest / 2
        } else {
            0
        };
        let shuffler_bytes =
            (rest - sample).max(args.test_shuffler.map_or(0, |_| ENGINE_BYTES_MIN));
        if shuffler_bytes < ENGINE_BYTES_MIN {
            return Err(work::too_little(budget, "shuffle"));
        }
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        if !budget.charge(number(available - available / LONGS_DIVISOR)) {
            return Err(work::too_little(budget, "shuffle"));
        }
        Ok(Self {
            threads: number(threads),
            cell_len: number(cell_len),
            out_len: number(out_len),
            record_max: number(record_max.min(shuffler_bytes / 32)),
            shuffler_bytes,
            sample_bytes: number(sample / threads),
        })
    }
}
