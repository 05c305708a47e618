//! How a run divides its memory.

use crate::cmd::shuf::args::ShufArgs;
use crate::failure::{Failure, Result};
use crate::memory;
use crate::memory::budget::Budget;
use crate::size::format_bytes;

/// The least that the shuffler of the library works with.
const SHUFFLER_BYTES_MIN: u64 = 4 << 20;

/// What the smallest buffers take, and the shuffler at least, with room to spare.
pub(crate) const NEEDED_BYTES: u64 = SHUFFLER_BYTES_MIN + (2 << 20);

/// Inputs that are shorter are shuffled in about as much memory.
const SMALL_BYTES: u64 = 32 << 20;

/// Bytes of a cell of a file, of which a chunk is made.
const CELL_LEN_MAX: u64 = 256 << 10;
const CELL_LEN_MIN: u64 = 16 << 10;

/// Of the memory, a cell takes one part of this many: a record in a chunk of two cells is one that
/// the shuffler takes, which are those up to a 32nd of its memory.
const CELL_DIVISOR: u64 = 256;

/// What a thread takes for each byte of its cell: the chunk, a piece that is read, where lines end,
/// and a record that gets its end.
const CELL_FACTOR: u64 = 14;

/// Bytes of a buffer of the output.
const OUT_LEN_MAX: u64 = 512 << 10;

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
        let threads = args.common.threads();
        let threads = threads
            .min(available / NEEDED_BYTES)
            .min(memory::threads_max())
            .max(1);
        let cell_len = (available / CELL_DIVISOR).clamp(CELL_LEN_MIN, CELL_LEN_MAX) & !0xfff;
        let cell_len = args.test_chunk.unwrap_or(cell_len).clamp(2, CELL_LEN_MAX);
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
            (rest - sample).max(args.test_shuffler.map_or(0, |_| SHUFFLER_BYTES_MIN));
        if shuffler_bytes < SHUFFLER_BYTES_MIN {
            return Err(Failure::new(format!(
                "--memory {} is too little to shuffle; give more",
                format_bytes(budget.limit_bytes())
            )));
        }
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        if !budget.charge(number(available - available / LONGS_DIVISOR)) {
            return Err(Failure::new("--memory is too little to shuffle; give more"));
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
