//! Sorting by comparisons: parts of the vector become sorted runs, each in its place.
#![expect(
    unsafe_code,
    reason = "moves elements between the vector and buffers; see docs/safety.md"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions of elements, which `Places` and slices check when they are used"
)]

use std::cmp::Ordering;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::budget::{Buf, Room};
use crate::containers::vec::places::Places;
use crate::error::{Error, ErrorKind, Result};
use crate::external::key::SortKey;
use crate::external::options::Options;
use crate::external::vec::by_word::{Write, write_in_order};
use crate::external::vec::partition::{Ahead, Source};
use crate::external::workers::on_threads;

/// The longest elements that are moved during sorting; longer ones are sorted by their numbers.
const MOVED_BYTES_MAX: usize = 32;

/// Bytes that are written at a time.
const STAGE_BYTES: usize = if cfg!(test) { 8 << 10 } else { 256 << 10 };

/// The order to sort by.
pub(super) trait Order<T>: Sync {
    /// Whether prefixes differ at all.
    const HAS_PREFIX: bool = true;

    /// Returns a number that is not greater for a lesser element.
    fn prefix(&self, element: &T) -> u64;

    fn compare(&self, element: &T, other: &T) -> Ordering;
}

/// An order by a function that compares.
pub(super) struct Compared<F>(pub(super) F);

impl<T, F: Fn(&T, &T) -> Ordering + Sync> Order<T> for Compared<F> {
    const HAS_PREFIX: bool = false;

    #[inline]
    fn prefix(&self, _element: &T) -> u64 {
        0
    }

    #[inline]
    fn compare(&self, element: &T, other: &T) -> Ordering {
        (self.0)(element, other)
    }
}

/// An order by keys.
pub(super) struct ByKey<F>(pub(super) F);

impl<T, K: SortKey, F: Fn(&T) -> K + Sync> Order<T> for ByKey<F> {
    #[inline]
    fn prefix(&self, element: &T) -> u64 {
        prefix(&(self.0)(element))
    }

    #[inline]
    fn compare(&self, element: &T, other: &T) -> Ordering {
        (self.0)(element).compare(&(self.0)(other))
    }
}

/// The order of the elements themselves.
pub(super) struct Natural;

impl<T: SortKey> Order<T> for Natural {
    #[inline]
    fn prefix(&self, element: &T) -> u64 {
        prefix(element)
    }

    #[inline]
    fn compare(&self, element: &T, other: &T) -> Ordering {
        element.compare(other)
    }
}

#[inline]
fn prefix(key: &impl SortKey) -> u64 {
    u64::try_from(key.prefix() >> 64).unwrap_or(u64::MAX)
}

/// Returns the bytes of memory that a run takes for each element, and in addition.
fn bytes<T, O: Order<T>>() -> (usize, usize) {
    let stage = stage_len::<T>() * size_of::<T>() + 3 * align_of::<Numbered<T>>() + 64;
    let pairs = size_of::<T>() + size_of::<(u64, u32)>();
    let each = if moves::<T, O>() {
        size_of::<Numbered<T>>()
    } else {
        pairs
    };
    (each, stage)
}

/// Returns the number of elements of a run in `memory` bytes.
pub(super) fn run_len<T, O: Order<T>>(memory: usize) -> usize {
    let (each, besides) = bytes::<T, O>();
    (memory.saturating_sub(besides) / each).min(u32::MAX as usize)
}

/// Returns how much memory a run of so many elements takes.
pub(super) fn run_bytes<T, O: Order<T>>(count: usize) -> usize {
    let (each, besides) = bytes::<T, O>();
    count.saturating_mul(each).saturating_add(besides)
}

/// Returns whether elements are moved during sorting: small ones without prefixes. Others are
/// sorted by their numbers.
const fn moves<T, O: Order<T>>() -> bool {
    !O::HAS_PREFIX && size_of::<T>() <= MOVED_BYTES_MAX
}

/// An element, and a number that tells it from equal ones.
struct Numbered<T> {
    element: T,
    number: u32,
}

fn stage_len<T>() -> usize {
    (STAGE_BYTES / size_of::<T>().max(1)).max(1)
}

/// Sorts the vector in runs, and returns the length of each but the last.
///
/// # Errors
///
/// Those of reading and writing the vector, [`Cancelled`](ErrorKind::Cancelled), and
/// [`OverBudget`](ErrorKind::OverBudget), if a run would have only one element. The elements are
/// all in the vector, in some order, also after a panic of the order.
///
/// # Safety
///
/// All places hold elements, and nothing else uses them meanwhile.
pub(super) unsafe fn sort_runs<T: Send, O: Order<T>>(
    places: &Places<'_, T>,
    order: &O,
    buf: &mut Buf,
    options: &Options,
) -> Result<usize> {
    let bytes = buf.len();
    let mut threads = options.threads_for(bytes);
    if run_len::<T, O>(bytes) >= places.count() {
        threads = 1;
    }
    while threads > 1 && run_len::<T, O>(bytes / threads) < 1024 {
        threads /= 2;
    }
    let len = run_len::<T, O>(bytes / threads);
    if len < 2 {
        let reason = format!(
            "of the memory budget {bytes} bytes are left, which is too little for elements of {} \
             bytes",
            size_of::<T>()
        );
        return Err(Error::refused(
            ErrorKind::OverBudget,
            "sort a vector",
            reason,
        ));
    }
    let next = AtomicUsize::new(0);
    let mut room = buf.room();
    let rooms: Vec<_> = (0..threads)
        .map(|_| Mutex::new(Some(room.split(bytes / threads))))
        .collect();
    on_threads(threads, &|number, stop| {
        let room = rooms.get(number).and_then(|room| {
            let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
            room.take()
        });
        let Some(mut room) = room else { return Ok(()) };
        while !stop.is_set() {
            let start = next.fetch_add(1, Relaxed).saturating_mul(len);
            if start >= places.count() {
                break;
            }
            let end = places.count().min(start + len);
            let (room, count) = (room.reborrow(), end - start);
            if moves::<T, O>() {
                // SAFETY: runs do not overlap; the rest is the duty of the caller.
                unsafe { sort_moving(room, places, order, start, count) }?;
            } else {
                // SAFETY: as above.
                unsafe { sort_run(room, places, order, start, count) }?;
            }
            options
                .progress_handle()
                .add(2 * (end - start) * size_of::<T>())?;
        }
        Ok(())
    })?;
    Ok(len)
}

/// Elements in a buffer, which return to their places in the order of the buffer unless they were
/// written.
struct Loan<'l, 'a, T> {
    /// # Invariants
    ///
    /// 1. While `is_out`, the places from `at` on are free, and their elements are in `elements`.
    places: &'l Places<'a, T>,
    at: usize,
    elements: &'l mut [MaybeUninit<T>],
    is_out: bool,
}

impl<T> Drop for Loan<'_, '_, T> {
    fn drop(&mut self) {
        if self.is_out {
            // SAFETY: the places are free, and nothing else has the elements (invariant 1).
            unsafe { self.places.store(self.at, self.elements) };
        }
    }
}

/// Sorts one run.
///
/// # Safety
///
/// Its places hold elements, and nothing else uses them meanwhile.
unsafe fn sort_run<T>(
    room: Room<'_>,
    places: &Places<'_, T>,
    order: &impl Order<T>,
    at: usize,
    count: usize,
) -> Result<()> {
    let mut room = room;
    let mut room = room.reborrow();
    let pairs = room.take_zeros::<(u64, u32)>(count)?;
    let mut loan = Loan {
        places,
        at,
        elements: room.take::<T>(count)?,
        is_out: false,
    };
    let stage = room.take::<T>(stage_len::<T>().min(count))?;
    let parts = [((at, at + count), 0)];
    let (mut ahead, mut done) = (Ahead::new(0..count), 0);
    for part in loan.elements.chunks_mut(stage_len::<T>()) {
        ahead.before(places, &Source::new(&parts), done + part.len());
        // SAFETY: the caller keeps this contract. An error leaves unused copies, and the elements
        // where they are; once all are read, the copies are the elements.
        unsafe { places.read(at + done, part) }?;
        done += part.len();
    }
    loan.is_out = true;
    // SAFETY: all of them were read from places that hold elements.
    let elements = |number: u32| unsafe { loan.elements[number as usize].assume_init_ref() };
    for (pair, number) in pairs.iter_mut().zip(0_u32..) {
        *pair = (order.prefix(elements(number)), number);
    }
    pairs.sort_unstable_by(|(prefix, number), (other_prefix, other)| {
        let by_prefix = prefix.cmp(other_prefix);
        let compared = by_prefix.then_with(|| order.compare(elements(*number), elements(*other)));
        compared.then(number.cmp(other))
    });
    // A run in order needs no write. Dropping the loan stores the elements, since a comparison may
    // have changed the content of their cells.
    if pairs
        .iter()
        .map(|(_, number)| *number)
        .eq(0..u32::try_from(count).unwrap_or(u32::MAX))
    {
        return Ok(());
    }
    loan.is_out = false;
    let sorted = pairs.iter().map(|(_prefix, number)| *number as usize);
    // SAFETY: the places are free, and each element goes to one of them, also where writing fails.
    unsafe { write_in_order(sorted, loan.elements, stage, places, at) }
}

/// Elements with numbers in a buffer, which return to their places in the order of the buffer.
struct Moved<'l, 'a, T> {
    /// # Invariants
    ///
    /// 1. The places from `at` on are free, and their elements are in `elements`, all of which have
    ///    a value.
    places: &'l Places<'a, T>,
    at: usize,
    elements: &'l mut [Numbered<ManuallyDrop<T>>],
    stage: &'l mut [MaybeUninit<T>],
}

impl<T> Moved<'_, '_, T> {
    /// Writes the elements back in the order of the buffer.
    fn write(&mut self) -> Result<()> {
        let mut write = Write::new(self.places, self.at);
        for part in self.elements.chunks(self.stage.len().max(1)) {
            for (place, numbered) in self.stage.iter_mut().zip(part) {
                let source = ptr::from_ref(&numbered.element).cast::<MaybeUninit<T>>();
                // SAFETY: an element of the buffer, and a place of the stage.
                unsafe { ptr::copy_nonoverlapping(source, place, 1) };
            }
            let part = self.stage.get(..part.len()).unwrap_or_default();
            // SAFETY: the places are free, and each gets one element (invariant 1), also where
            // writing fails.
            unsafe { write.next(part) };
        }
        write.end()
    }

    /// Writes the elements back, and returns the result.
    fn finish(self) -> Result<()> {
        // From here on, all elements are in their places, also after an error.
        ManuallyDrop::new(self).write()
    }
}

impl<T> Drop for Moved<'_, '_, T> {
    fn drop(&mut self) {
        // The thread is panicking. Elements that cannot be written are stored.
        let _written = self.write();
    }
}

/// Sorts one run by moving its elements. Whatever a comparison does, the slice that std sorts has
/// all elements afterwards, with the changes in their cells.
///
/// # Safety
///
/// Its places hold elements, and nothing else uses them meanwhile.
unsafe fn sort_moving<T>(
    room: Room<'_>,
    places: &Places<'_, T>,
    order: &impl Order<T>,
    at: usize,
    count: usize,
) -> Result<()> {
    let mut room = room;
    let mut room = room.reborrow();
    let buffer = room.take::<Numbered<ManuallyDrop<T>>>(count)?;
    let stage = room.take::<T>(stage_len::<T>().min(count))?;
    let mut numbers = 0_u32..;
    let mut places_left = buffer.iter_mut();
    let parts = [((at, at + count), 0)];
    let (mut ahead, mut done) = (Ahead::new(0..count), 0);
    while done < count {
        let part = stage.len().min(count - done);
        ahead.before(places, &Source::new(&parts), done + part);
        let part = stage.get_mut(..part).unwrap_or_default();
        // SAFETY: the caller keeps this contract. An error leaves unused copies, and the elements
        // where they are.
        unsafe { places.read(at + done, part) }?;
        done += part.len();
        for (element, (place, number)) in part.iter().zip(places_left.by_ref().zip(&mut numbers)) {
            // SAFETY: it was read from a place that holds one.
            let element = ManuallyDrop::new(unsafe { element.assume_init_read() });
            place.write(Numbered { element, number });
        }
    }
    let first = buffer.as_mut_ptr().cast::<Numbered<ManuallyDrop<T>>>();
    // SAFETY: all of the buffer was written above.
    let elements = unsafe { slice::from_raw_parts_mut(first, count) };
    let moved = Moved {
        places,
        at,
        elements,
        stage,
    };
    moved.elements.sort_unstable_by(|numbered, other| {
        let compared = order.compare(&numbered.element, &other.element);
        compared.then(numbered.number.cmp(&other.number))
    });
    moved.finish()
}
