//! Sorting by comparisons: stretches of the vector become sorted runs, each in its place.
#![expect(
    unsafe_code,
    reason = "moves elements between the vector and buffers; see docs/safety.md"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions of elements, which `Places` and slices check when they are used"
)]

use std::cmp::Ordering;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::budget::{Buf, Room};
use crate::containers::vec::places::Places;
use crate::error::{Error, ErrorKind, Result};
use crate::external::key::SortKey;
use crate::external::options::Options;
use crate::external::vec::by_word::write_in_order;
use crate::external::workers::on_threads;

/// Bytes that are written at a time.
const STAGE_BYTES: usize = if cfg!(test) { 8 << 10 } else { 256 << 10 };

/// The order to sort by.
pub(super) trait Order<T>: Sync {
    /// A number that is not greater for what is less.
    fn prefix(&self, element: &T) -> u64;

    fn compare(&self, element: &T, other: &T) -> Ordering;
}

/// An order by a function that compares.
pub(super) struct Compared<F>(pub(super) F);

impl<T, F: Fn(&T, &T) -> Ordering + Sync> Order<T> for Compared<F> {
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

/// Returns how many elements a run has that is made in so many bytes.
pub(super) fn run_len<T>(bytes: usize) -> usize {
    let stage = stage_len::<T>() * size_of::<T>() + 3 * align_of::<T>() + 64;
    let each = size_of::<T>() + size_of::<(u64, u32)>();
    (bytes.saturating_sub(stage) / each).min(u32::MAX as usize)
}

/// Returns how much memory a run of so many elements takes.
pub(super) fn run_bytes<T>(count: usize) -> usize {
    let stage = stage_len::<T>() * size_of::<T>() + 3 * align_of::<T>() + 64;
    let each = size_of::<T>() + size_of::<(u64, u32)>();
    count.saturating_mul(each).saturating_add(stage)
}

fn stage_len<T>() -> usize {
    (STAGE_BYTES / size_of::<T>().max(1)).max(1)
}

/// Sorts the vector in runs, and returns how long each is but the last.
///
/// # Errors
///
/// Those of reading and writing the vector, [`Cancelled`](ErrorKind::Cancelled), and
/// [`OverBudget`](ErrorKind::OverBudget), where a run would have one element only. The elements
/// are all there, in some order; so they are after a panic of the order.
///
/// # Safety
///
/// All places hold elements, and nothing else uses them meanwhile.
pub(super) unsafe fn sort_runs<T: Send>(
    places: &Places<'_, T>,
    order: &impl Order<T>,
    buf: &mut Buf,
    options: &Options,
) -> Result<usize> {
    let bytes = buf.len();
    let mut threads = options.threads_for(bytes);
    if run_len::<T>(bytes) >= places.count() {
        threads = 1;
    }
    while threads > 1 && run_len::<T>(bytes / threads) < 1024 {
        threads /= 2;
    }
    let len = run_len::<T>(bytes / threads);
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
            // SAFETY: runs do not overlap; the rest is the caller's.
            unsafe { sort_run(room.reborrow(), places, order, start, end - start) }?;
            options
                .progress_handle()
                .add(2 * (end - start) * size_of::<T>())?;
        }
        Ok(())
    })?;
    Ok(len)
}

/// Elements that are in a buffer, and go back to their places in the order of the buffer unless
/// they were written.
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
    // SAFETY: the caller keeps this contract; from the next line on, the copies are the elements.
    unsafe { places.read(at, loan.elements) }?;
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
    // What is in order already goes back by nothing at all. A comparison may have changed the
    // inside of an element, so it is stored, not left.
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
