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

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::budget::{Buf, Room};
use crate::containers::vec::places::Places;
use crate::error::{Error, ErrorKind, Result};
use crate::external::options::Options;
use crate::external::vec::partition::{Classify, Cut, Piece, Source, partition};
use crate::external::workers::on_threads;

/// The longest block of a bucket, and the longest read: what the page cache takes at once without
/// searching for large free pages.
const BLOCK_BYTES_MAX: usize = 256 << 10;

/// The shortest block, unless an element is longer.
const BLOCK_BYTES_MIN: usize = 4 << 10;

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
        source: &Source,
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
        source: &Source,
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
pub(super) fn mix(number: u64) -> u64 {
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
    /// Elements of a bucket that a thread of the second pass can arrange.
    fits: usize,
    /// How many buckets there should be.
    buckets: usize,
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
        loop {
            let share = bytes / threads;
            let fits = share.saturating_sub(besides).checked_div(each.max(1))?;
            let fits = fits.min(u32::MAX as usize);
            // The parts of a sample differ in size.
            let wanted = count.saturating_mul(8).div_euclid((fits * 5).max(1)) + 2;
            let block = BLOCK_BYTES_MIN.max(size_of::<T>());
            // At least one element is read at a time.
            let chunk = (share / 8).max(size_of::<T>()) + 3 * align_of::<T>();
            let room = share.saturating_sub(chunk).saturating_sub(4096);
            let buckets = wanted.min(room / (block + 8)).min(BUCKETS_MAX);
            if fits >= scheme.count_min() && buckets >= 3 {
                return Some(Self {
                    partitioning: threads,
                    arranging: threads,
                    fits,
                    buckets,
                });
            }
            if threads == 1 {
                return None;
            }
            threads /= 2;
        }
    }

    /// Divides the memory of the first pass; `None` if a block has no room for an element.
    fn cut<T>(&self, bytes: usize, buckets: usize) -> Option<Cut> {
        let share = bytes / self.partitioning;
        let each = size_of::<T>().max(1);
        let chunk = (BLOCK_BYTES_MAX.min(share / 8) / each).max(1);
        let cut = |block| Cut { block, chunk };
        let fixed = cut(0).bytes::<T>(buckets);
        let block = share.checked_sub(fixed)? / buckets.max(1);
        let block = block.min(BLOCK_BYTES_MAX.max(each)) / each;
        // Whole pages, unless blocks are short anyway.
        let whole = (block * each / 4096 * 4096) / each;
        let block = if whole * each >= 4096 * 4 {
            whole
        } else {
            block
        };
        (block > 0).then(|| cut(block))
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
    source: &Source,
    out: usize,
    path: Path,
    scheme: &S,
    buf: &mut Buf,
    options: &Options,
) -> Result<()> {
    let bytes = buf.len();
    if fits(bytes, source.count(), scheme) {
        let threads = options.threads_for(bytes);
        // SAFETY: the caller keeps this contract.
        unsafe { scheme.arrange(buf.room(), places, target, source, out, path, threads) }?;
        let done = 2 * source.count() * size_of::<T>();
        return options.progress_handle().add(done);
    }
    if path.depth > DEPTH_MAX {
        // SAFETY: the caller keeps this contract.
        return unsafe { copy(buf.room(), places, target, source, out) };
    }
    let plan = Plan::new(bytes, source.count(), scheme, options);
    let mut plan = plan.ok_or_else(|| too_little::<T>(bytes))?;
    // SAFETY: the caller keeps this contract.
    let level = unsafe { scheme.level(places, source, path, plan.buckets, buf.room()) }?;
    let mut cut = plan.cut::<T>(bytes, level.buckets());
    while cut.is_none() && plan.partitioning > 1 {
        plan.partitioning /= 2;
        cut = plan.cut::<T>(bytes, level.buckets());
    }
    let cut = cut.ok_or_else(|| too_little::<T>(bytes))?;
    let threads = plan.partitioning;
    let progress = options.progress_handle();
    // SAFETY: the caller keeps this contract.
    let pieces = unsafe { partition(places, source, &level, cut, buf.room(), threads, progress) }?;
    let jobs = jobs_of(&pieces, out);
    let too_large = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let mut room = buf.room();
    let rooms: Vec<_> = (0..plan.arranging)
        .map(|_| Mutex::new(Some(room.split(bytes / plan.arranging))))
        .collect();
    on_threads(plan.arranging, &|number, stop| {
        let room = rooms.get(number).and_then(|room| lock(room).take());
        let Some(mut room) = room else { return Ok(()) };
        while let Some(job) = jobs
            .get(next.fetch_add(1, Relaxed))
            .filter(|_job| !stop.is_set())
        {
            let source = source_of(source, &pieces[job.first..job.end]);
            let is_done = S::is_done(&level, job.bucket);
            if !is_done && job.count > plan.fits {
                lock(&too_large).push((job, source));
                continue;
            }
            let part = room.reborrow();
            if is_done {
                // SAFETY: buckets do not overlap; the rest is the caller's.
                unsafe { copy(part, places, target, &source, job.out) }?;
            } else {
                let path = path.of_bucket(job.bucket);
                // SAFETY: as above.
                unsafe { scheme.arrange(part, places, target, &source, job.out, path, 1) }?;
            }
            progress.add(2 * job.count * size_of::<T>())?;
        }
        Ok(())
    })?;
    drop(rooms);
    let too_large = too_large
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    for (job, source) in too_large {
        let path = path.of_bucket(job.bucket);
        // SAFETY: as above.
        unsafe { distribute(places, target, &source, job.out, path, scheme, buf, options) }?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
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
    for same in pieces.chunk_by(|piece, next| piece.bucket == next.bucket) {
        let count = same.iter().map(|piece| piece.count as usize).sum();
        let bucket = same.first().map_or(0, |piece| piece.bucket as usize);
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

/// Returns where the elements of some pieces are in the vector.
fn source_of(source: &Source, pieces: &[Piece]) -> Source {
    let places = pieces
        .iter()
        .flat_map(|piece| source.places(piece.at..piece.at + piece.count as usize));
    Source::new(places.collect())
}

/// Copies elements in their order.
///
/// # Safety
///
/// The duties of the caller are those of [`Scheme::arrange`], with a target that is not the source.
unsafe fn copy<T: Send>(
    mut room: Room<'_>,
    places: &Places<'_, T>,
    target: &Places<'_, T>,
    source: &Source,
    mut out: usize,
) -> Result<()> {
    let mut room = room.reborrow();
    let each = size_of::<T>().max(1);
    let count = room.len().saturating_sub(align_of::<T>()) / each;
    let buffer = room.take::<T>(count.min((BLOCK_BYTES_MAX / each).max(1)))?;
    for range in source.places(0..source.count()) {
        let mut at = range.start;
        while at < range.end {
            let count = buffer.len().min(range.end - at);
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
