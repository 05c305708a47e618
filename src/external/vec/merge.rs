//! Merging the sorted runs of a vector into another, by several threads.
//!
//! The runs are read where they are mapped, so that there is no copy that would have to be put
//! back: until the vectors are exchanged, the first is untouched. The kernel reads ahead.
#![expect(
    unsafe_code,
    reason = "looks at elements in the vector, and moves them; see docs/safety.md"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions of elements, which `Places` and slices check when they are used"
)]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use crate::budget::{Buf, Room};
use crate::containers::vec::places::Places;
use crate::error::Result;
use crate::external::options::Options;
use crate::external::sampling;
use crate::external::tree::Tree;
use crate::external::vec::runs::Order;
use crate::external::workers::{Stop, on_threads};

/// Bytes that are written at a time.
const STAGE_BYTES: usize = if cfg!(test) { 8 << 10 } else { 256 << 10 };

/// The most bytes of a run that are read ahead, and the least.
const AHEAD_BYTES_MAX: usize = 1 << 20;
const AHEAD_BYTES_MIN: usize = 16 << 10;

/// The sampled elements of each run, for dividing the work.
const SAMPLES: usize = 16;

/// Returns the memory with which so many threads merge.
pub(super) fn merge_bytes<T>(threads: usize) -> usize {
    threads.saturating_mul(STAGE_BYTES.max(size_of::<T>()) + align_of::<T>() + 64)
}

/// Returns the runs of a vector in which each but the last has `len` elements.
fn runs(count: usize, len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count.div_ceil(len)).map(move |run| run * len..count.min((run + 1) * len))
}

/// Returns whether each run begins where the one before ends, so that there is nothing to merge.
///
/// # Safety
///
/// All places hold elements, and nothing else uses them meanwhile.
pub(super) unsafe fn is_merged<T>(
    places: &Places<'_, T>,
    order: &impl Order<T>,
    len: usize,
) -> bool {
    let mut starts = (len..places.count()).step_by(len);
    starts.all(|start| {
        // SAFETY: the caller keeps this contract.
        let pair = unsafe { places.elements(start - 1..start + 1) };
        let [last, first] = pair else { return true };
        order.compare(last, first).is_le()
    })
}

/// Merges the runs of `len` elements each into the places of `target`.
///
/// # Errors
///
/// Those of writing the target, and [`Cancelled`](crate::ErrorKind::Cancelled). No element of the
/// vector has moved; nor has one after a panic of the order.
///
/// # Safety
///
/// All places hold elements, those of the target are as many and free, and nothing else uses either.
pub(super) unsafe fn merge<T: Send>(
    places: &Places<'_, T>,
    target: &Places<'_, T>,
    order: &impl Order<T>,
    len: usize,
    buf: &mut Buf,
    options: &Options,
) -> Result<()> {
    let bytes = buf.len();
    let stage = merge_bytes::<T>(1);
    let threads = (bytes / stage).max(1);
    let ahead = options.budget().limit() / 8 / threads;
    // SAFETY: the caller keeps this contract.
    let bounds = unsafe { divide(places, order, len, threads) };
    let mut room = buf.room();
    let rooms: Vec<_> = (0..threads)
        .map(|_| Mutex::new(Some(room.split(bytes / threads))))
        .collect();
    on_threads(threads, &|number, stop| {
        let room = rooms.get(number).and_then(|room| {
            let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
            room.take()
        });
        let (Some(room), Some(starts), Some(ends)) =
            (room, bounds.get(number), bounds.get(number + 1))
        else {
            return Ok(());
        };
        let mut parts = Vec::new();
        let mut out = 0;
        for ((run, start), end) in runs(places.count(), len).zip(starts).zip(ends) {
            out += start - run.start;
            if start < end {
                parts.push(*start..*end);
            }
        }
        // SAFETY: parts do not overlap, nor do their target places; the rest is the duty of the
        // caller.
        unsafe {
            merge_part(
                room, places, target, order, parts, out, ahead, stop, options,
            )
        }
    })
}

/// Divides runs into `parts` parts of about the same size, so that the elements of one part precede
/// those of the next: returns where each begins in each run, and where the last ends.
///
/// # Safety
///
/// All places hold elements, and nothing else uses them meanwhile.
unsafe fn divide<T>(
    places: &Places<'_, T>,
    order: &impl Order<T>,
    len: usize,
    parts: usize,
) -> Vec<Vec<usize>> {
    let element = |at: usize| {
        // SAFETY: the caller keeps this contract.
        let elements = unsafe { places.elements(at..at + 1) };
        &elements[0]
    };
    // Of equal elements, that of the first run precedes.
    let less = |at: usize, other: usize| {
        order
            .compare(element(at), element(other))
            .then(at.cmp(&other))
            .is_lt()
    };
    let mut bounds = vec![
        runs(places.count(), len)
            .map(|run| run.start)
            .collect::<Vec<_>>(),
    ];
    if parts > 1 {
        let samples = |(number, run): (usize, Range<usize>)| {
            let places = sampling::places(number, run.len(), run.len().min(SAMPLES));
            places.map(move |at| run.start + at)
        };
        let runs_by_number = runs(places.count(), len).enumerate();
        let mut sample: Vec<_> = runs_by_number.flat_map(samples).collect();
        sample.sort_unstable_by(|at, other| {
            order
                .compare(element(*at), element(*other))
                .then(at.cmp(other))
        });
        for part in 1..parts {
            let Some(splitter) = sample.get(part * sample.len() / parts).copied() else {
                continue;
            };
            let starts = runs(places.count(), len).map(|run| {
                let (mut start, mut end) = (run.start, run.end);
                while start < end {
                    let middle = start.midpoint(end);
                    if middle != splitter && less(middle, splitter) {
                        start = middle + 1;
                    } else {
                        end = middle;
                    }
                }
                start
            });
            // An inconsistent order must not make parts overlap.
            let before = bounds.last().cloned().unwrap_or_default();
            let starts = starts.zip(before).map(|(start, before)| start.max(before));
            bounds.push(starts.collect());
        }
    }
    bounds.push(runs(places.count(), len).map(|run| run.end).collect());
    bounds
}

/// The rest of a run.
struct Head {
    at: usize,
    end: usize,
    /// The prefix of the first element.
    prefix: u64,
    /// The position up to which the kernel reads ahead.
    mark: usize,
}

/// Merges parts of runs to the places of the target from `out` on.
///
/// # Safety
///
/// The parts hold elements, the places of the target are free, and nothing else uses either.
#[expect(clippy::too_many_arguments, reason = "all that a thread knows")]
unsafe fn merge_part<T>(
    mut room: Room<'_>,
    places: &Places<'_, T>,
    target: &Places<'_, T>,
    order: &impl Order<T>,
    parts: Vec<Range<usize>>,
    mut out: usize,
    ahead: usize,
    stop: &Stop,
    options: &Options,
) -> Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    let mut room = room.reborrow();
    let each = size_of::<T>().max(1);
    let stage = room.take::<T>((STAGE_BYTES / each).max(1))?;
    let ahead = ahead / parts.len();
    let piece = (ahead.clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX) / each).max(1);
    let element = |at: usize| {
        // SAFETY: the caller keeps this contract.
        let elements = unsafe { places.elements(at..at + 1) };
        &elements[0]
    };
    let mut heads: Vec<_> = parts
        .into_iter()
        .map(|part| {
            places.will_need(part.start..part.end.min(part.start + piece));
            Head {
                at: part.start,
                end: part.end,
                prefix: order.prefix(element(part.start)),
                mark: part.start,
            }
        })
        .collect();
    let less = |heads: &[Head], a: usize, b: usize| {
        let (first, second) = (&heads[a], &heads[b]);
        if first.at == first.end || second.at == second.end {
            return second.at == second.end && (first.at < first.end || a < b);
        }
        if first.prefix != second.prefix {
            return first.prefix < second.prefix;
        }
        let compared = order.compare(element(first.at), element(second.at));
        compared.is_lt() || (compared.is_eq() && a < b)
    };
    let mut tree = Tree::new(heads.len(), |a, b| less(&heads, a, b));
    let mut left: usize = heads.iter().map(|head| head.end - head.at).sum();
    while left > 0 {
        let count = left.min(stage.len());
        for place in stage.iter_mut().take(count) {
            let head = &mut heads[tree.winner()];
            let source = ptr::from_ref(element(head.at)).cast::<MaybeUninit<T>>();
            // SAFETY: an element of the run, and a place of the stage.
            unsafe { ptr::copy_nonoverlapping(source, place, 1) };
            head.at += 1;
            if head.at < head.end {
                if head.at >= head.mark {
                    let ahead =
                        (head.at + piece).min(head.end)..(head.at + 2 * piece).min(head.end);
                    places.will_need(ahead);
                    places.let_go(head.at.saturating_sub(piece)..head.at);
                    head.mark = head.at + piece;
                }
                head.prefix = order.prefix(element(head.at));
            }
            tree.replay(|a, b| less(&heads, a, b));
        }
        // SAFETY: the caller keeps this contract.
        unsafe { target.write(out, stage.get(..count).unwrap_or_default()) }?;
        out += count;
        left -= count;
        options.progress_handle().add(2 * count * size_of::<T>())?;
        if stop.is_set() {
            return Ok(());
        }
    }
    Ok(())
}
