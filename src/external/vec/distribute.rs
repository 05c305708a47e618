//! A distribution: elements are moved to buckets that fit into memory, and each bucket is arranged
//! there and written to its place. Two passes over the data; more only for buckets that are still
//! too large.
#![expect(
    unsafe_code,
    reason = "passes on which code may use which elements; see docs/safety.md"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions of elements, which `Places` and slices check when they are used"
)]

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::budget::Room;
use crate::containers::vec::places::Places;
use crate::error::{Error, ErrorKind, Result};
use crate::external::options::Options;
use crate::external::vec::partition::{
    Ahead, Classify, Cut, Part, Piece, Source, partition, pieces_max, positions,
};
use crate::external::workers::on_threads;

/// The longest block of a bucket, and the longest read: what the page cache takes at once without
/// searching for large free pages.
const BLOCK_BYTES_MAX: usize = 256 << 10;

/// The shortest block, unless an element is longer.
const BLOCK_BYTES_MIN: usize = 4 << 10;

/// The part of the memory that the list of blocks may take: a 16th for as many buckets as were asked
/// for, twice that where a level has twice as many, and something for what does not fill a block.
const LIST_PARTS_OF_32: usize = 5;
const LIST_PARTS_PLANNED: usize = 2;

/// The most buckets of a level: classes are numbers of 16 bits, and each bucket is a stream.
const BUCKETS_MAX: usize = 1 << 12;

/// The most levels. With keys that do not change, a few levels suffice: each has more buckets than
/// the one before has left. With keys that change at each call, the distribution ends here, in some
/// order.
const DEPTH_MAX: u32 = 40;

/// The operation on the elements, one level after the other.
pub(super) trait Scheme<T: Send>: Sync {
    type Level<'s>: Classify<T>
    where
        Self: 's;

    /// Returns the bytes of memory that [`arrange`](Self::arrange) takes for each element, and in
    /// addition.
    fn bytes(&self) -> (usize, usize);

    /// Returns how many elements have to fit into memory at least.
    fn count_min(&self) -> usize {
        2
    }

    /// Chooses about `buckets` buckets for the elements of `source`, which is the part `path` of
    /// all.
    ///
    /// # Safety
    ///
    /// The places of `source` hold elements, and nothing else uses them meanwhile.
    unsafe fn level<'s>(
        &'s self,
        places: &Places<'_, T>,
        source: &Source<'_>,
        path: Path,
        buckets: usize,
        room: Room<'_>,
    ) -> Result<Self::Level<'s>>;

    /// Returns whether the elements of this bucket need no arranging.
    fn is_done(level: &Self::Level<'_>, bucket: usize) -> bool;

    /// Arranges the elements of `source`, which is the part `path` of all, and writes them to the
    /// places of `target` from `out` on; by several threads, if that is useful.
    ///
    /// # Errors
    ///
    /// If `target` is the vector of `source`, it holds the elements in some order.
    ///
    /// # Safety
    ///
    /// The places of `source` hold elements, nothing else uses them or those of `target` meanwhile,
    /// and the places in `target` are either those of `source`, in order, or free.
    #[expect(clippy::too_many_arguments, reason = "all that a thread knows")]
    unsafe fn arrange(
        &self,
        room: Room<'_>,
        places: &Places<'_, T>,
        target: &Places<'_, T>,
        source: &Source<'_>,
        out: usize,
        path: Path,
        threads: usize,
    ) -> Result<()>;
}

/// A part of all elements: its level, and a number that identifies it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Path {
    pub(super) depth: u32,
    pub(super) number: u64,
}

impl Path {
    /// Returns the path of a bucket of this part.
    pub(super) fn of_bucket(self, bucket: usize) -> Self {
        let number = mix(self.number ^ mix(bucket as u64 + 1));
        Self {
            depth: self.depth.saturating_add(1),
            number,
        }
    }
}

/// Turns a number into one that looks random: the finisher of `SplitMix64`, a bijection.
pub(in crate::external) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The division of the memory.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Threads of the first pass.
    partitioning: usize,
    /// Threads of the second pass, each with a bucket of its own.
    arranging: usize,
    /// How many buckets there should be.
    buckets: usize,
    /// Bytes of a block, so that the list of all blocks is not too long.
    block: usize,
    /// Bytes of the list of blocks, at most.
    list: usize,
}

impl Plan {
    /// Plans for `count` elements in `bytes` of memory; `None` if that is too little.
    fn new<T: Send>(
        bytes: usize,
        count: usize,
        scheme: &impl Scheme<T>,
        options: &Options,
    ) -> Option<Self> {
        let (each, besides) = scheme.bytes();
        let mut threads = options.threads_for(bytes);
        let list = bytes / 32 * LIST_PARTS_OF_32;
        let planned = bytes / 32 * LIST_PARTS_PLANNED / size_of::<Piece>();
        let all = count.saturating_mul(size_of::<T>());
        let block = all.div_ceil(planned.max(1));
        let block = block.max(BLOCK_BYTES_MIN).max(size_of::<T>());
        loop {
            let share = (bytes - list) / threads;
            let fits = share.saturating_sub(besides).checked_div(each.max(1))?;
            let fits = fits.min(u32::MAX as usize);
            // The parts of a sample differ in size.
            let wanted = count.saturating_mul(8).div_euclid((fits * 5).max(1)) + 2;
            // At least one element is read at a time.
            let chunk = (share / 8).max(size_of::<T>()) + 3 * align_of::<T>();
            let room = share.saturating_sub(chunk).saturating_sub(4096);
            let buckets = wanted.min(room / (block + 8)).min(BUCKETS_MAX);
            if fits >= scheme.count_min() && buckets >= 3 {
                return Some(Self {
                    partitioning: threads,
                    arranging: threads,
                    buckets,
                    block,
                    list,
                });
            }
            if threads == 1 {
                return None;
            }
            threads /= 2;
        }
    }

    /// As [`cut`](Self::cut), with fewer threads if the memory of each is too little.
    fn cut_for_fewer<T>(
        &mut self,
        bytes: usize,
        buckets: usize,
        count: usize,
    ) -> Option<(Cut, usize)> {
        loop {
            let cut = self.cut::<T>(bytes, buckets, count);
            if cut.is_some() || self.partitioning < 2 {
                return cut;
            }
            self.partitioning /= 2;
        }
    }

    /// Cuts the memory of the first pass for `count` elements; `None` where a block has no room for an
    /// element, or the list none for all blocks. Returns also how many pieces the list has room for.
    fn cut<T>(&self, bytes: usize, buckets: usize, count: usize) -> Option<(Cut, usize)> {
        let share = (bytes - self.list) / self.partitioning;
        let each = size_of::<T>().max(1);
        let chunk = (BLOCK_BYTES_MAX.min(share / 8) / each).max(1);
        let cut = |block| Cut { block, chunk };
        let fixed = cut(0).bytes::<T>(buckets);
        let block = share.checked_sub(fixed)? / buckets.max(1);
        let block = block.min(BLOCK_BYTES_MAX.max(self.block).max(each)) / each;
        // Whole pages, unless blocks are short anyway.
        let whole = (block * each / 4096 * 4096) / each;
        let block = if whole * each >= 4096 * 4 {
            whole
        } else {
            block
        };
        let pieces = pieces_max(count, self.partitioning, block, buckets);
        // What is in front of the list may have to be skipped.
        let fits = pieces.saturating_mul(size_of::<Piece>()).saturating_add(64) <= self.list;
        (block > 0 && fits).then(|| (cut(block), pieces))
    }
}

/// Returns the most memory that a distribution of `count` elements can use.
pub(super) fn bytes_wanted<T: Send>(count: usize, scheme: &impl Scheme<T>) -> usize {
    let (each, besides) = scheme.bytes();
    count.saturating_mul(each).saturating_add(besides)
}

/// Returns whether so many elements can be arranged in a buffer as a whole.
pub(super) fn fits<T: Send>(bytes: usize, count: usize, scheme: &impl Scheme<T>) -> bool {
    bytes_wanted(count, scheme) <= bytes && u32::try_from(count).is_ok()
}

/// Checks that a distribution is possible in this memory.
///
/// # Errors
///
/// [`OverBudget`](ErrorKind::OverBudget): it is not.
pub(super) fn check_memory<T: Send>(
    bytes: usize,
    count: usize,
    scheme: &impl Scheme<T>,
    options: &Options,
) -> Result<()> {
    if Plan::new(bytes, count, scheme, options).is_some() {
        return Ok(());
    }
    Err(too_little::<T>(bytes))
}

#[cold]
fn too_little<T>(bytes: usize) -> Error {
    let reason = format!(
        "of the memory budget {bytes} bytes are left, which is too little for elements of {} bytes",
        size_of::<T>()
    );
    Error::refused(ErrorKind::OverBudget, "rearrange a vector", reason)
}

/// Distributes the elements of `source`, the part `path` of all, to the places of `target` from
/// `out` on.
///
/// # Errors
///
/// The places of `source` hold the elements in some order, also after a panic.
///
/// # Safety
///
/// The places of `source` hold elements, those of `target` from `out` on are as many and free, and
/// nothing else uses either.
#[expect(clippy::too_many_arguments, reason = "all that a level knows")]
pub(super) unsafe fn distribute<T: Send, S: Scheme<T>>(
    places: &Places<'_, T>,
    target: &Places<'_, T>,
    source: &Source<'_>,
    out: usize,
    path: Path,
    scheme: &S,
    mut room: Room<'_>,
    options: &Options,
) -> Result<()> {
    let bytes = room.len();
    if fits(bytes, source.count(), scheme) {
        let threads = options.threads_for(bytes);
        // SAFETY: the caller keeps this contract.
        unsafe { scheme.arrange(room, places, target, source, out, path, threads) }?;
        let done = 2 * source.count() * size_of::<T>();
        return options.progress_handle().add(done);
    }
    if path.depth > DEPTH_MAX {
        // SAFETY: the caller keeps this contract.
        return unsafe { copy(room, places, target, source, 0..source.count(), out) };
    }
    let plan = Plan::new(bytes, source.count(), scheme, options);
    let mut plan = plan.ok_or_else(|| too_little::<T>(bytes))?;
    // SAFETY: the caller keeps this contract.
    let level = unsafe { scheme.level(places, source, path, plan.buckets, room.reborrow()) }?;
    let cut = plan.cut_for_fewer::<T>(bytes, level.buckets(), source.count());
    let (cut, pieces) = cut.ok_or_else(|| too_little::<T>(bytes))?;
    let list = room.take_zeros::<Piece>(pieces)?;
    let threads = plan.partitioning;
    let progress = options.progress_handle();
    let part = room.reborrow();
    // SAFETY: the caller keeps this contract.
    let pieces = unsafe { partition(places, source, &level, cut, list, part, threads, progress) }?;
    let jobs = jobs_of(pieces, out);
    let too_large = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let share = room.len() / plan.arranging;
    let mut rest = room.reborrow();
    let rooms: Vec<_> = (0..plan.arranging)
        .map(|_| Mutex::new(Some(rest.split(share))))
        .collect();
    on_threads(plan.arranging, &|number, stop| {
        let room = rooms.get(number).and_then(|room| lock(room).take());
        let Some(mut room) = room else { return Ok(()) };
        while let Some(job) = jobs
            .get(next.fetch_add(1, Relaxed))
            .filter(|_job| !stop.is_set())
        {
            let pieces = pieces.get(job.first..job.end).unwrap_or_default();
            let part = room.reborrow();
            // SAFETY: buckets do not overlap; the rest is the caller's.
            let is_arranged = unsafe {
                arrange_bucket(
                    places, target, source, job, pieces, path, scheme, &level, part,
                )
            }?;
            if !is_arranged {
                lock(&too_large).push(job);
                continue;
            }
            progress.add(2 * job.count * size_of::<T>())?;
        }
        Ok(())
    })?;
    drop(rooms);
    let too_large = too_large
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    for job in too_large {
        let pieces = pieces.get(job.first..job.end).unwrap_or_default();
        let mut part = room.reborrow();
        let list = part.take_zeros::<Part>(parts_count(source, pieces))?;
        let source = source_of(source, pieces, list);
        let path = path.of_bucket(job.bucket);
        // SAFETY: as above.
        unsafe {
            distribute(
                places, target, &source, job.out, path, scheme, part, options,
            )
        }?;
    }
    Ok(())
}

/// Arranges the elements of a bucket, or copies them if they are in order. Returns false if memory
/// does not suffice.
///
/// # Safety
///
/// The `pieces` of `source` hold elements, the places of `target` from those of the job on are free,
/// and nothing else uses either.
#[expect(clippy::too_many_arguments, reason = "all that a level knows")]
unsafe fn arrange_bucket<T: Send, S: Scheme<T>>(
    places: &Places<'_, T>,
    target: &Places<'_, T>,
    source: &Source<'_>,
    job: &Job,
    pieces: &[Piece],
    path: Path,
    scheme: &S,
    level: &S::Level<'_>,
    mut room: Room<'_>,
) -> Result<bool> {
    if S::is_done(level, job.bucket) {
        let mut out = job.out;
        for piece in pieces {
            let positions = positions(piece);
            let count = positions.len();
            // SAFETY: the caller keeps this contract.
            unsafe { copy(room.reborrow(), places, target, source, positions, out) }?;
            out += count;
        }
        return Ok(true);
    }
    let parts = parts_count(source, pieces);
    let list = parts.saturating_mul(size_of::<Part>()) + 64;
    let needed = bytes_wanted(job.count, scheme).saturating_add(list);
    if needed > room.len() || u32::try_from(job.count).is_err() {
        return Ok(false);
    }
    let list = room.take_zeros::<Part>(parts)?;
    let source = source_of(source, pieces, list);
    let path = path.of_bucket(job.bucket);
    // SAFETY: as above.
    unsafe { scheme.arrange(room, places, target, &source, job.out, path, 1) }?;
    Ok(true)
}

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bucket to be arranged.
#[derive(Debug)]
struct Job {
    bucket: usize,
    /// Its pieces.
    first: usize,
    end: usize,
    count: usize,
    /// Where its first element goes.
    out: usize,
}

/// Returns the buckets that have elements.
fn jobs_of(pieces: &[Piece], mut out: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut first = 0;
    for same in pieces.chunk_by(|piece, next| piece.0.0 == next.0.0) {
        let count = same.iter().map(|piece| piece.0.1 as usize).sum();
        let bucket = same.first().map_or(0, |piece| piece.0.0 as usize);
        let end = first + same.len();
        jobs.push(Job {
            bucket,
            first,
            end,
            count,
            out,
        });
        first = end;
        out += count;
    }
    jobs
}

/// Returns in how many ranges of the vector the elements of some pieces are.
fn parts_count(source: &Source<'_>, pieces: &[Piece]) -> usize {
    let ranges = pieces.iter().map(|piece| source.places(positions(piece)));
    ranges.map(Iterator::count).sum()
}

/// Returns where the elements of some pieces are in the vector, as a source: in `parts`, which has
/// room for as many as [`parts_count`] says.
fn source_of<'r>(source: &Source<'_>, pieces: &[Piece], parts: &'r mut [Part]) -> Source<'r> {
    let ranges = pieces
        .iter()
        .flat_map(|piece| source.places(positions(piece)));
    let mut at = 0;
    for (part, range) in parts.iter_mut().zip(ranges) {
        *part = ((range.start, range.end), at);
        at += range.len();
    }
    Source::new(parts)
}

/// Copies the elements at some positions as they come.
///
/// # Safety
///
/// The duties of the caller are those of [`Scheme::arrange`], with a target that is not the source.
unsafe fn copy<T: Send>(
    mut room: Room<'_>,
    places: &Places<'_, T>,
    target: &Places<'_, T>,
    source: &Source<'_>,
    positions: Range<usize>,
    mut out: usize,
) -> Result<()> {
    let mut room = room.reborrow();
    let each = size_of::<T>().max(1);
    let count = room.len().saturating_sub(align_of::<T>()) / each;
    let buffer = room.take::<T>(count.min((BLOCK_BYTES_MAX / each).max(1)))?;
    let mut ahead = Ahead::new(positions.clone());
    let mut done = positions.start;
    for range in source.places(positions) {
        let mut at = range.start;
        while at < range.end {
            let count = buffer.len().min(range.end - at);
            done += count;
            ahead.before(places, source, done);
            let part = buffer.get_mut(..count).unwrap_or_default();
            // SAFETY: the caller keeps this contract.
            unsafe { places.read(at, part) }?;
            // SAFETY: as above.
            unsafe { target.write(out, part) }?;
            at += count;
            out += count;
        }
    }
    Ok(())
}
