//! Shuffling records: byte strings of any length, from any number of writers, in an order that a seed
//! determines.
//!
//! Each record has a chance, a number that looks random, and they come out in the order of those. A
//! writer collects records in `blocks` by the upper bits of their chance, and puts full ones aside.
//! At the end each bucket is read, and its records are put in order in memory: a `part`. A bucket
//! that is too large for that is divided by the next bits.

mod blocks;
#[cfg(test)]
mod faults;
mod parts;

pub use self::blocks::ShuffleWriter;
pub use self::parts::{Shuffled, ShuffledPart};

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::{Lease, MIN as MEMORY_MIN, MemoryBudget};
use crate::error::{Error, ErrorKind, Result};
use crate::external::options::Options;
use crate::external::shuffle::blocks::Blocks;
use crate::io::checksum::fold;
use crate::io::extents::ExtentFile;

/// The most buckets that records are collected in at once: a power of two.
const BUCKETS_MAX: usize = 256;

/// The longest and the shortest block.
const BLOCK_BYTES_MAX: usize = 128 << 10;
const BLOCK_BYTES_MIN: usize = if cfg!(test) { 1 << 10 } else { 8 << 10 };

/// Blocks are as long as a multiple of this.
const BLOCK_STEP: usize = if cfg!(test) { 1 << 10 } else { 4 << 10 };

/// Shuffles records of bytes, within a budget of memory.
///
/// Any number of [writers](Self::writer) add records, from as many threads. Each record comes with
/// its number, and seed and number decide where it comes out: so the order is the same whichever
/// writer gets which record, and whatever memory there is. All orders are as likely, as far as 64 bits
/// of a seed can tell them apart.
///
/// # Examples
///
/// ```
/// use outcore::MemoryBudget;
/// use outcore::external::Shuffler;
///
/// let shuffler = Shuffler::new(&MemoryBudget::new(8 << 20), 42)?;
/// let mut writer = shuffler.writer()?;
/// for n in 0..100_000_u64 {
///     writer.push(n, format!("record {n}"))?;
/// }
/// writer.finish()?;
///
/// let shuffled = shuffler.shuffled()?;
/// let mut count = 0;
/// while let Some(part) = shuffled.next_part()? {
///     for record in part.records() {
///         assert!(record.starts_with(b"record "));
///         count += 1;
///     }
/// }
/// assert_eq!(count, 100_000);
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Memory layout
///
/// Records are kept as they are, with 12 bytes before each, in blocks of at most 128 KiB with a
/// checksum that knows their position. What fits into the blocks of all writers never goes to disk.
#[derive(Debug)]
pub struct Shuffler {
    shared: Arc<Shared>,
}

/// What a shuffler and its writers share.
struct Shared {
    options: Options,
    order: Order,
    spool: Arc<ExtentFile>,
    buckets: usize,
    block_bytes: usize,
    record_bytes_max: usize,
    /// Parts that can be in memory at the same time.
    parts: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Kept for what happens at the end, however much memory writers take.
    reserve: Option<Lease>,
    /// What writers that have finished left.
    finished: Vec<Blocks>,
    is_shuffled: bool,
}

impl Shared {
    fn budget(&self) -> &MemoryBudget {
        self.options.budget()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .field("buckets", &self.buckets)
            .field("block_bytes", &self.block_bytes)
            .finish_non_exhaustive()
    }
}

/// The chances that a seed gives to numbers.
#[derive(Clone, Copy, Debug)]
struct Order {
    keys: [u64; 2],
}

impl Order {
    fn new(seed: u64) -> Self {
        // The fractional parts of the golden ratio and of the square root of 2.
        let keys = [0x9E37_79B9_7F4A_7C15_u64, 0x6A09_E667_F3BC_C909];
        Self {
            keys: keys.map(|key| fold(seed.wrapping_add(key))),
        }
    }

    /// Returns the chance of a number: one that no other number has.
    fn chance(self, number: u64) -> u64 {
        let [first, second] = self.keys;
        fold(fold(number ^ first) ^ second)
    }
}

impl Shuffler {
    /// Makes a shuffler.
    ///
    /// # Errors
    ///
    /// [`OverBudget`](ErrorKind::OverBudget): the budget has less than
    /// [`MIN_BYTES`](MemoryBudget::MIN_BYTES) left.
    pub fn new(options: impl Into<Options>, seed: u64) -> Result<Self> {
        let options = options.into();
        let budget = options.budget();
        let limit = budget.limit();
        let reserve_bytes = (limit / 4).max(MEMORY_MIN / 4);
        let reserve = budget
            .take(reserve_bytes)
            .filter(|_| budget.free().saturating_add(reserve_bytes) >= MEMORY_MIN);
        let Some(reserve) = reserve else {
            let reason = format!(
                "{MEMORY_MIN} bytes of memory are needed at least, and of the budget's {limit} \
                 bytes {} are not taken",
                budget.free()
            );
            return Err(Error::refused(
                ErrorKind::OverBudget,
                "shuffle records",
                reason,
            ));
        };
        let threads = options.threads_for(limit);
        let share = limit.saturating_sub(reserve_bytes).div_euclid(threads);
        let most = share.div_euclid(BLOCK_BYTES_MIN + 8).max(4);
        let buckets = BUCKETS_MAX.min(1 << most.ilog2());
        // Beside each block are two numbers.
        let block = share.div_euclid(buckets).saturating_sub(8) & !(BLOCK_STEP - 1);
        Ok(Self {
            shared: Arc::new(Shared {
                order: Order::new(seed),
                spool: Arc::new(ExtentFile::new(options.scratch_dir().cloned())),
                buckets,
                block_bytes: block.clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX),
                record_bytes_max: (limit / 32).min(u32::MAX as usize / 2),
                parts: threads,
                state: Mutex::new(State {
                    reserve: Some(reserve),
                    ..State::default()
                }),
                options,
            }),
        })
    }

    /// Makes a writer. Its records belong to the shuffler when it is
    /// [finished](ShuffleWriter::finish).
    ///
    /// # Errors
    ///
    /// [`OverBudget`](ErrorKind::OverBudget): there is no memory left for its blocks. There is for as
    /// many writers as the options have threads.
    pub fn writer(&self) -> Result<ShuffleWriter> {
        ShuffleWriter::new(&self.shared)
    }

    /// Returns the chance of a number: of two records, that with the smaller one comes first. No two
    /// numbers have the same.
    pub fn chance(&self, number: u64) -> u64 {
        self.shared.order.chance(number)
    }

    /// Returns how many bytes the longest record may have: a 32nd of the budget.
    pub fn record_bytes_max(&self) -> usize {
        self.shared.record_bytes_max
    }

    /// Returns the records in their new order, part by part. What writers have not finished is not
    /// among them, and they cannot add to it any more.
    ///
    /// # Errors
    ///
    /// * [`OverBudget`](ErrorKind::OverBudget): others have taken the memory for it, or more records
    ///   than memory can hold have one number.
    /// * [`StorageFull`](ErrorKind::StorageFull), [`FileTooLarge`](ErrorKind::FileTooLarge),
    ///   [`Io`](ErrorKind::Io): what is in memory cannot be written, or large buckets not divided.
    /// * [`Cancelled`](ErrorKind::Cancelled): the progress of the options was cancelled.
    ///
    /// # Cost
    ///
    /// Nothing is read or written but buckets that are larger than memory: those are divided first.
    pub fn shuffled(self) -> Result<Shuffled> {
        Shuffled::new(&self.shared)
    }
}
