//! How a run divides its memory.

use crate::cmd::sort::args::SortArgs;
use crate::cmd::sort::long;
use crate::failure::Result;
use crate::front::work;
use crate::front::work::{ENGINE_BYTES_MIN, OUT_LEN_MAX};
use crate::memory::budget::Budget;
use crate::output::writing;

/// What the smallest buffers take, and the least that the sorter needs, with room to spare.
pub(crate) const NEEDED_BYTES: u64 = ENGINE_BYTES_MIN + (3 << 20);

/// Bytes of a cell of a file, of which a chunk is made, at most.
const CELL_LEN_MAX: u64 = 256 << 10;

/// Of the memory, cells take one part of this many.
const CELLS_DIVISOR: u64 = 256;

/// What a thread takes for each byte of its cell: the chunk, a piece that is read, and a record as it
/// is made for the sorter.
const CELL_FACTOR: u64 = 8;

/// Bytes of a buffer of the output, at least.
const OUT_LEN_MIN: u64 = 32 << 10;

/// Bytes of a part of what is in memory, which one thread merges, and its share of the memory.
const PART_LEN_MAX: u64 = 8 << 20;
const PART_LEN_MIN: u64 = 64 << 10;
const PART_DIVISOR: u64 = 256;

/// Room for a part that is longer than others.
const PART_FACTOR: usize = 2;

/// Of the memory, records that have to be in memory as a whole may take one part of this many.
const WHOLE_DIVISOR: u64 = 8;

/// What such a record takes for each of its bytes: itself, while it grows, and its key.
const WHOLE_FACTOR: u64 = 4;

/// The numbers of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) threads: usize,
    pub(crate) cell_len: usize,
    pub(crate) out_len: usize,
    /// How long a part of what is in memory is, about.
    pub(crate) part_len: usize,
    /// The longest record that may be in memory as a whole.
    pub(crate) whole_max: usize,
    /// What the sorter may take.
    pub(crate) sorter_bytes: u64,
}

impl Shape {
    /// Divides what the budget has. `needs_whole` says that records have keys, for which they have to
    /// be in memory.
    ///
    /// # Errors
    ///
    /// It is too little.
    pub(crate) fn new(args: &SortArgs, needs_whole: bool, budget: &Budget) -> Result<Self> {
        let available = budget.available_bytes();
        let threads = work::threads(&args.common, available, NEEDED_BYTES);
        let cell_len = available / CELLS_DIVISOR / threads;
        let cell_len = work::cell_len(cell_len, CELL_LEN_MAX, args.test_chunk);
        let out_len = (available / 64).clamp(OUT_LEN_MIN, OUT_LEN_MAX);
        let part_len = (available / PART_DIVISOR / threads).clamp(PART_LEN_MIN, PART_LEN_MAX);
        let part_len = args.test_part.unwrap_or(part_len).clamp(1, part_len);
        let whole = if needs_whole {
            available / WHOLE_DIVISOR
        } else {
            0
        };
        let buffers = threads * cell_len * CELL_FACTOR
            + (out_len * writing::BUFFERS as u64).max(threads * part_len * PART_FACTOR as u64)
            + long::NEEDED_BYTES
            + 10 * cell_len
            + whole;
        let sorter_bytes = available.saturating_sub(buffers);
        let sorter_bytes = args.test_sorter.unwrap_or(sorter_bytes).min(sorter_bytes);
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        if sorter_bytes < ENGINE_BYTES_MIN {
            return Err(work::too_little(budget, "sort"));
        }
        Ok(Self {
            threads: number(threads),
            cell_len: number(cell_len),
            out_len: number(out_len),
            part_len: number(part_len),
            whole_max: number(whole / WHOLE_FACTOR),
            sorter_bytes,
        })
    }

    /// Returns the length of a buffer for a part.
    pub(crate) fn part_out_len(&self) -> usize {
        self.part_len * PART_FACTOR
    }
}
