//! The first pass of a distribution: the elements of a vector are moved into blocks, each of one
//! bucket, in the vector itself.
//!
//! ```text
//!   | blocks, each of one bucket |  free: as many places   |  not looked at yet       |
//!   |                            |  as the buffers hold    |                          |
//!   0 ------------------------ written ------------------ looked.start ------- looked.end ---
//! ```
//!
//! A full block goes to places whose elements have been taken, so no second copy is needed, and
//! every element is in the vector, a buffer of a bucket or the chunk. After an error or a panic of
//! a key, the elements in buffers are stored to the free places: the vector holds the same elements
//! in another order.
#![expect(
    unsafe_code,
    reason = "moves elements between the vector and buffers; see docs/safety.md"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions of elements, which `Places` and slices check when they are used"
)]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::slice;
use std::sync::{Mutex, PoisonError};

use crate::budget::Room;
use crate::bug::bug;
use crate::containers::vec::places::Places;
use crate::error::Result;
use crate::external::options::Progress;
use crate::external::workers::{Stop, on_threads};

/// Determines the buckets of elements.
pub(super) trait Classify<T>: Sync {
    /// Returns how many buckets there are.
    fn buckets(&self) -> usize;

    /// Fills in the buckets, below [`buckets`](Self::buckets), of elements, the first of which is
    /// at `position` of the source.
    fn classify(&self, elements: &[T], position: usize, classes: &mut [u16]);
}

/// A range of a source: where it starts and ends in the vector, and the position of its first
/// element in the source.
pub(super) type Part = ((usize, usize), usize);

/// Which elements of a vector are worked on, in which order: ranges, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'r> {
    parts: &'r [Part],
}

impl<'r> Source<'r> {
    /// Makes a source of ranges with their positions.
    pub(super) fn new(parts: &'r [Part]) -> Self {
        Self { parts }
    }

    pub(super) fn count(&self) -> usize {
        let last = self.parts.last();
        last.map_or(0, |((start, end), at)| at + (end - start))
    }

    /// Returns where the elements at some positions are, in pieces of the vector.
    pub(super) fn places(&self, positions: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let first = self.parts.partition_point(|part| part.1 <= positions.start);
        let parts = self.parts.get(first.saturating_sub(1)..);
        let parts = parts.unwrap_or_default().iter();
        parts
            .map_while(move |((start, end), at)| {
                let from = positions.start.max(*at);
                let to = positions.end.min(*at + (end - start));
                let is_inside = *at < positions.end;
                is_inside.then(|| start + (from - at)..start + to.max(from) - at)
            })
            .filter(|range| !range.is_empty())
    }
}

/// Bytes that the kernel is asked for ahead of what a thread reads: enough to keep a device busy
/// while each read takes most of a millisecond, and little enough that they stay in a small memory
/// group until they are read.
const AHEAD_BYTES: usize = if cfg!(test) { 16 << 10 } else { 512 << 10 };

/// Has the kernel read ahead in the order of a source. It would not guess that order: threads read
/// the same file in several places.
#[derive(Debug)]
pub(super) struct Ahead {
    /// What the kernel was asked for ends at this position.
    asked: usize,
    end: usize,
}

impl Ahead {
    /// For a thread that reads the elements at some positions.
    pub(super) fn new(positions: Range<usize>) -> Self {
        Self {
            asked: positions.start,
            end: positions.end,
        }
    }

    /// Is called before the elements up to position `to` are read.
    pub(super) fn before<T>(&mut self, places: &Places<'_, T>, source: &Source<'_>, to: usize) {
        let ahead = AHEAD_BYTES / size_of::<T>().max(1);
        let wanted = self.end.min(to.saturating_add(ahead));
        // Few calls for many elements each.
        if self.asked < self.end.min(to.saturating_add(ahead / 2)) {
            for range in source.places(self.asked..wanted) {
                places.will_need(range);
            }
            self.asked = wanted;
        }
    }
}

/// A stretch of elements of one bucket, in places that were free: the bucket and how many, and the
/// position in the source. Plain numbers, since the list is memory of the budget.
pub(super) type Piece = ((u32, u32), usize);

/// Returns where the elements of a piece are in the source.
pub(super) fn positions(piece: &Piece) -> Range<usize> {
    let ((_bucket, count), at) = *piece;
    at..at + count as usize
}

/// The division of the buffers of one thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Elements of a block.
    pub(super) block: usize,
    /// Elements that are read at a time.
    pub(super) chunk: usize,
}

impl Cut {
    /// Returns how many bytes of memory a thread needs for this.
    pub(super) fn bytes<T>(self, buckets: usize) -> usize {
        let elements = buckets
            .saturating_mul(self.block)
            .saturating_add(self.chunk);
        let elements = elements.saturating_mul(size_of::<T>());
        let classes = self.chunk.saturating_mul(size_of::<u16>());
        let fills = buckets.saturating_mul(size_of::<u32>());
        // Each of the four parts may have to be aligned.
        let spare = 3 * align_of::<T>() + 64;
        elements
            .saturating_add(classes)
            .saturating_add(fills)
            .saturating_add(spare)
    }
}

/// Returns the most pieces that there can be: of each thread, blocks and a rest for each bucket.
pub(super) fn pieces_max(count: usize, threads: usize, block: usize, buckets: usize) -> usize {
    let share = count.div_ceil(threads.max(1));
    threads.saturating_mul((share / block.max(1)).saturating_add(buckets))
}

/// Moves all elements of `source` into blocks of their buckets; returns where those are, in the
/// order of buckets, and within a bucket in the order of the elements. `list` is zero, and has room
/// for [`pieces_max`].
///
/// # Errors
///
/// Those of reading and writing the vector, and [`Cancelled`](crate::ErrorKind::Cancelled). The
/// elements are all in the vector, in some order, also after a panic of `classify`.
///
/// # Safety
///
/// The places of `source` hold elements, and nothing else uses them meanwhile.
#[expect(clippy::too_many_arguments, reason = "all that threads know")]
pub(super) unsafe fn partition<'l, T: Send>(
    places: &Places<'_, T>,
    source: &Source<'_>,
    classify: &impl Classify<T>,
    cut: Cut,
    list: &'l mut [Piece],
    mut room: Room<'_>,
    threads: usize,
    progress: &Progress,
) -> Result<&'l [Piece]> {
    let share = source.count().div_ceil(threads.max(1));
    let mut partitioners = Vec::new();
    let mut lists = list.chunks_mut((list.len() / threads.max(1)).max(1));
    for number in 0..threads {
        let start = (number * share).min(source.count());
        let end = (start + share).min(source.count());
        let mut room = room.split(cut.bytes::<T>(classify.buckets()));
        // SAFETY: shares do not overlap; the rest is the duty of the caller.
        let partitioner = unsafe {
            Partitioner::new(
                places,
                source,
                start..end,
                cut,
                classify.buckets(),
                lists.next().unwrap_or_default(),
                &mut room,
            )
        };
        partitioners.push(Mutex::new(Some(partitioner?)));
    }
    on_threads(threads, &|number, stop| {
        let taken = partitioners
            .get(number)
            .and_then(|partitioner| lock(partitioner).take());
        let Some(mut partitioner) = taken else {
            return Ok(());
        };
        partitioner.run(classify, stop, progress)
    })?;
    drop(partitioners);
    // What no thread has used is zero.
    let mut count = 0;
    for index in 0..list.len() {
        if list[index] != Piece::default() {
            list.swap(count, index);
            count += 1;
        }
    }
    let pieces = list.get_mut(..count).unwrap_or_default();
    pieces.sort_unstable_by_key(|((bucket, _count), at)| (*bucket, *at));
    Ok(pieces)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One thread's share of the source, and its buffers.
struct Partitioner<'w, 'a, T: Send> {
    /// # Invariants
    ///
    /// 1. Of the share, positions before `written` and from `looked.end` on hold elements. Those
    ///    between are free: their elements are in the first `fills[b]` places of each buffer `b` of
    ///    `area`, which has `block` places for each, and in the last `looked.len()` of the `loaded`
    ///    first places of `chunk`. There are exactly as many as free places.
    /// 2. Nothing else uses the places of the share.
    places: &'w Places<'a, T>,
    source: &'w Source<'w>,
    written: usize,
    looked: Range<usize>,
    end: usize,
    ahead: Ahead,
    area: &'w mut [MaybeUninit<T>],
    fills: &'w mut [u32],
    block: usize,
    chunk: &'w mut [MaybeUninit<T>],
    loaded: usize,
    classes: &'w mut [u16],
    /// Pieces that were written, and room for more.
    pieces: &'w mut [Piece],
    count: usize,
}

impl<'w, 'a, T: Send> Partitioner<'w, 'a, T> {
    /// # Safety
    ///
    /// The share holds elements, and nothing else uses its places.
    unsafe fn new(
        places: &'w Places<'a, T>,
        source: &'w Source<'w>,
        share: Range<usize>,
        cut: Cut,
        buckets: usize,
        pieces: &'w mut [Piece],
        room: &mut Room<'w>,
    ) -> Result<Self> {
        Ok(Self {
            places,
            source,
            written: share.start,
            looked: share.start..share.start,
            end: share.end,
            ahead: Ahead::new(share),
            area: room.take(buckets * cut.block)?,
            fills: room.take_zeros(buckets)?,
            block: cut.block,
            chunk: room.take(cut.chunk)?,
            loaded: 0,
            classes: room.take_zeros(cut.chunk)?,
            pieces,
            count: 0,
        })
    }

    fn run(&mut self, classify: &impl Classify<T>, stop: &Stop, progress: &Progress) -> Result<()> {
        while self.looked.end < self.end && !stop.is_set() {
            let count = self.load()?;
            let elements = self.chunk.get(..count).unwrap_or_default();
            // SAFETY: the chunk holds as many elements, and they are in no other place
            // (invariant 1). A reference to them is what the closures of the caller get.
            let elements = unsafe { slice::from_raw_parts(elements.as_ptr().cast::<T>(), count) };
            let classes = self.classes.get_mut(..count).unwrap_or_default();
            classify.classify(elements, self.looked.start, classes);
            self.distribute(count)?;
            progress.add(2 * count * size_of::<T>())?;
        }
        if self.looked.end < self.end {
            return Ok(());
        }
        self.write_tails()
    }

    /// Takes the next elements into the chunk.
    fn load(&mut self) -> Result<usize> {
        debug_assert!(self.looked.is_empty());
        let at = self.looked.end;
        let count = self.chunk.len().min(self.end - at);
        self.ahead.before(self.places, self.source, at + count);
        let mut done = 0;
        for range in self.source.places(at..at + count) {
            let target = self
                .chunk
                .get_mut(done..done + range.len())
                .unwrap_or_default();
            // SAFETY: nothing else uses these places (invariant 2), and they become free below, so
            // that the copies are the elements.
            unsafe { self.places.read(range.start, target) }?;
            done += range.len();
        }
        if done != count {
            bug!("{done} of {count} elements were read");
        }
        self.looked = at..at + count;
        self.loaded = count;
        Ok(count)
    }

    /// Moves the elements of the chunk to the buffers of their buckets, and full blocks into the
    /// vector.
    #[expect(
        clippy::panic_in_result_fn,
        reason = "a mistake of ours would lose elements"
    )]
    fn distribute(&mut self, count: usize) -> Result<()> {
        let classes = self.classes.get(..count).unwrap_or_default();
        let highest = classes.iter().max().copied().map_or(0, usize::from);
        // Before anything moves, since a half-moved chunk could not be put back.
        assert!(highest < self.fills.len(), "there is no bucket {highest}");
        let mut done = 0;
        while done < count {
            let (moved, full) = scatter(
                self.chunk.get(done..count).unwrap_or_default(),
                self.classes.get(done..count).unwrap_or_default(),
                self.area,
                self.fills,
                self.block,
            );
            done += moved;
            self.looked.start += moved;
            if let Some(bucket) = full {
                self.write_buffer(bucket)?;
            }
        }
        Ok(())
    }

    /// Writes what is in the buffer of a bucket to places that are free.
    #[expect(
        clippy::panic_in_result_fn,
        reason = "a mistake of ours would lose elements"
    )]
    fn write_buffer(&mut self, bucket: usize) -> Result<()> {
        // Before anything moves.
        assert!(self.count < self.pieces.len(), "the list of pieces is full");
        let count = self.fills[bucket] as usize;
        let first = bucket * self.block;
        let elements = self.area.get(first..first + count).unwrap_or_default();
        let at = self.written;
        let mut done = 0;
        for range in self.source.places(at..at + count) {
            let part = elements.get(done..done + range.len()).unwrap_or_default();
            // SAFETY: these places are free, and ours (invariants 1 and 2). Until the counters
            // below change, the elements are in the buffer, whatever was written.
            unsafe { self.places.write(range.start, part) }?;
            done += range.len();
        }
        if done != count {
            bug!("{done} of {count} elements were written");
        }
        self.written += count;
        let fill = std::mem::take(&mut self.fills[bucket]);
        let bucket = u32::try_from(bucket).unwrap_or(u32::MAX);
        self.pieces[self.count] = ((bucket, fill), at);
        self.count += 1;
        Ok(())
    }

    fn write_tails(&mut self) -> Result<()> {
        for bucket in 0..self.fills.len() {
            if self.fills[bucket] > 0 {
                self.write_buffer(bucket)?;
            }
        }
        Ok(())
    }

    /// Stores elements to places of the share that are free.
    fn put_back(&self, position: usize, elements: &[MaybeUninit<T>]) {
        let mut done = 0;
        for range in self.source.places(position..position + elements.len()) {
            let part = elements.get(done..done + range.len()).unwrap_or_default();
            // SAFETY: free places of ours (invariants 1 and 2), each of which gets one element.
            unsafe { self.places.store(range.start, part) };
            done += range.len();
        }
        debug_assert_eq!(done, elements.len());
    }
}

/// Moves elements from the start of a chunk to the buffers of their buckets until one is full;
/// returns how many, and the full bucket. Each bucket has a buffer, which is not full.
fn scatter<T>(
    chunk: &[MaybeUninit<T>],
    classes: &[u16],
    area: &mut [MaybeUninit<T>],
    fills: &mut [u32],
    block: usize,
) -> (usize, Option<usize>) {
    for (index, (element, class)) in chunk.iter().zip(classes).enumerate() {
        let bucket = usize::from(*class);
        let fill = &mut fills[bucket];
        let target = ptr::from_mut(&mut area[bucket * block + *fill as usize]);
        // SAFETY: both are places of buffers, and lie apart.
        unsafe { ptr::copy_nonoverlapping(element, target, 1) };
        *fill += 1;
        if *fill as usize == block {
            return (index + 1, Some(bucket));
        }
    }
    (chunk.len(), None)
}

impl<T: Send> Drop for Partitioner<'_, '_, T> {
    /// Puts all elements in buffers back into the vector; there are none after a completed run.
    fn drop(&mut self) {
        let left = self.looked.len();
        let in_chunk = self
            .chunk
            .get(self.loaded - left..self.loaded)
            .unwrap_or_default();
        self.put_back(self.looked.start, in_chunk);
        let mut at = self.written;
        for (bucket, fill) in self.fills.iter().enumerate() {
            let first = bucket * self.block;
            let elements = self
                .area
                .get(first..first + *fill as usize)
                .unwrap_or_default();
            self.put_back(at, elements);
            at += elements.len();
        }
        debug_assert_eq!(at, self.looked.start, "elements were lost");
    }
}
