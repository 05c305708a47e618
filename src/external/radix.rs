//! Sorting in memory by words: split by their leading digits until a few are left.
#![expect(
    unsafe_code,
    reason = "threads write to places of their own; see docs/safety.md"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions within slices, each of which is checked when it is used"
)]

use std::mem::MaybeUninit;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::external::key::Word;
use crate::external::workers::on_threads;

/// As few are left to the sort of std, which is fastest then.
const FEW: usize = 32;

/// As many fit, twice, into the second-level cache of a core.
const CACHED: usize = 1 << 13;

/// The most bits of a digit: as many counters fit into the first-level cache, and as many streams
/// are written at a time.
const DIGIT_BITS_MAX: u32 = 10;

/// The same where two digits are counted at a time.
const HALF_BITS_MAX: u32 = 9;

/// The bits of the digit by which threads share the work, and the fewest items that they share.
const SHARED_DIGIT_BITS: u32 = 9;
const SHARED_LEN_MIN: usize = 1 << 16;

/// Something in the order of its word.
pub(super) trait Item: Copy + Ord + Send + Sync {
    type Word: Word;

    fn word(&self) -> Self::Word;
}

impl Item for u64 {
    type Word = Self;

    fn word(&self) -> Self {
        *self
    }
}

impl Item for u128 {
    type Word = Self;

    fn word(&self) -> Self {
        *self
    }
}

/// A word and a number that tells equal ones apart.
impl<W: Word> Item for (W, u32) {
    type Word = W;

    fn word(&self) -> W {
        self.0
    }
}

/// Sorts `items`, by means of as much memory once more. Equal ones are equal in every bit, so that
/// their order is no question.
pub(super) fn sort<I: Item>(items: &mut [I], spare: &mut [I]) {
    debug_assert_eq!(items.len(), spare.len());
    split(items, spare, true);
}

/// As [`sort`], by several threads. Calls `done` with each part that is in its place, and with the
/// number of the thread and the position of the part: by several threads, for all items in all.
pub(super) fn sort_by_threads<I: Item>(
    items: &mut [I],
    spare: &mut [MaybeUninit<I>],
    threads: usize,
    done: &Done<'_, I>,
) {
    assert_eq!(items.len(), spare.len(), "as much memory once more");
    let spread = if threads < 2 || items.len() < SHARED_LEN_MIN {
        None
    } else {
        spread_by_threads(items, threads)
            .filter(|(least, most, is_sorted)| most > least && !is_sorted)
    };
    let Some((least, most, _)) = spread else {
        for (place, item) in spare.iter_mut().zip(&*items) {
            place.write(*item);
        }
        // SAFETY: each place was written above.
        sort(items, unsafe { written(spare) });
        return done(0, 0, items);
    };
    let bits = most.bits_above(least);
    let shift = bits.saturating_sub(SHARED_DIGIT_BITS);
    let buckets = most.digit(least, shift) + 1;
    let stretch = items.len().div_ceil(threads);
    let starts = count_shares(items, stretch, buckets, |item| {
        item.word().digit(least, shift)
    });
    let target = Target(spare.as_mut_ptr().cast::<I>());
    let target = &target;
    each(threads, &|number| {
        let (Some(items), Some(starts)) = (items.chunks(stretch).nth(number), starts.get(number))
        else {
            return;
        };
        let mut places = starts.clone();
        for item in items {
            let place = &mut places[item.word().digit(least, shift)];
            // SAFETY: `starts` has a place of its own for each item of each share: as many in a
            // row as `count_shares` found of the same share with the same digit, and all together
            // as many as the spare memory has. The items have not changed since.
            unsafe { target.0.wrapping_add(*place).write(*item) };
            *place += 1;
        }
    });
    // SAFETY: as many items as places were written above, each to a place of its own.
    let mut from = unsafe { written(spare) };
    // The last share ends where the bucket ends.
    let mut to = items;
    let mut jobs = Vec::new();
    let mut start = 0;
    let ends = starts.first().into_iter().flatten().skip(1).copied();
    for end in ends.chain([from.len()]) {
        let (part, rest) = from.split_at_mut(end - start);
        let (target, target_rest) = to.split_at_mut(end - start);
        (from, to) = (rest, target_rest);
        jobs.push(Mutex::new(Some((start, part, target))));
        start = end;
    }
    let next = AtomicUsize::new(0);
    each(threads, &|number| {
        while let Some(job) = jobs.get(next.fetch_add(1, Relaxed)) {
            let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some((start, from, to)) = job {
                split(from, to, false);
                done(number, start, to);
            }
        }
    });
}

/// Is called with the number of a thread, a position, and the items that are there in the end.
pub(super) type Done<'d, I> = dyn Fn(usize, usize, &[I]) + Sync + 'd;

/// Returns places as what was written there.
///
/// # Safety
///
/// Each place was written.
unsafe fn written<I>(places: &mut [MaybeUninit<I>]) -> &mut [I] {
    let first = places.as_mut_ptr().cast::<I>();
    // SAFETY: as many items have a value, as the caller guarantees.
    unsafe { slice::from_raw_parts_mut(first, places.len()) }
}

/// Memory that threads write to, each to places of its own.
struct Target<I>(*mut I);

// SAFETY: it is a pointer; each write through it argues why it is no race. Items are plain data.
unsafe impl<I: Item> Sync for Target<I> {}

/// Does work with each number below `count`, by as many threads.
fn each(count: usize, work: &(dyn Fn(usize) + Sync)) {
    // Nothing of this can fail.
    let _done = on_threads(count, &|number, _stop| {
        work(number);
        Ok(())
    });
}

/// Returns for each share and each bucket where its items go, so that buckets follow each other,
/// and within a bucket shares.
fn count_shares<I: Item>(
    items: &[I],
    share: usize,
    buckets: usize,
    digit: impl Fn(&I) -> usize + Sync,
) -> Vec<Vec<usize>> {
    let shares = items.chunks(share);
    let counts: Vec<_> = shares
        .clone()
        .map(|_| Mutex::new(vec![0_usize; buckets]))
        .collect();
    each(counts.len(), &|number| {
        if let (Some(items), Some(counts)) = (items.chunks(share).nth(number), counts.get(number)) {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            for item in items {
                counts[digit(item)] += 1;
            }
        }
    });
    let counts = counts.into_iter().map(Mutex::into_inner);
    let mut counts: Vec<_> = counts
        .map(|counts| counts.unwrap_or_else(PoisonError::into_inner))
        .collect();
    let mut sum = 0;
    for bucket in 0..buckets {
        for counts in &mut counts {
            let count = std::mem::replace(&mut counts[bucket], sum);
            sum += count;
        }
    }
    counts
}

/// Sorts `from`, and leaves the result there or in `to`.
fn split<I: Item>(from: &mut [I], to: &mut [I], stay: bool) {
    let spread = if from.len() <= FEW {
        None
    } else {
        spread(from)
    };
    match spread {
        Some((least, most, false)) if most > least => {
            let bits = most.bits_above(least);
            if from.len() <= CACHED {
                by_two_digits(from, to, least, bits);
            } else {
                return by_first_digit(from, to, stay, least, bits);
            }
        }
        Some((_, _, true)) => {}
        // Of equal words, the numbers decide.
        _ => from.sort_unstable(),
    }
    if !stay {
        to.copy_from_slice(from);
    }
}

/// Splits items by their first digit, and each part further.
fn by_first_digit<I: Item>(from: &mut [I], to: &mut [I], stay: bool, least: I::Word, bits: u32) {
    // So that a part fits into the cache of a core.
    let digit_bits = (from.len().ilog2() - CACHED.ilog2() + 1).clamp(3, DIGIT_BITS_MAX);
    let digit_bits = digit_bits.min(bits);
    let shift = bits - digit_bits;
    let mut ends = [0_usize; (1 << DIGIT_BITS_MAX) + 1];
    let ends = &mut ends[..=1 << digit_bits];
    for item in &*from {
        ends[item.word().digit(least, shift) + 1] += 1;
    }
    let mut sum = 0;
    for end in &mut *ends {
        sum += *end;
        *end = sum;
    }
    // From the start of each part to its end.
    for item in &*from {
        let place = &mut ends[item.word().digit(least, shift)];
        to[*place] = *item;
        *place += 1;
    }
    let mut start = 0;
    for end in &ends[..1 << digit_bits] {
        let part = start..*end;
        start = *end;
        split(&mut to[part.clone()], &mut from[part], !stay);
    }
}

/// Sorts items that fit into a cache: by two digits of the highest bits, the lower one first, and
/// what that leaves by insertion. Leaves them in `from`.
fn by_two_digits<I: Item>(from: &mut [I], to: &mut [I], least: I::Word, bits: u32) {
    // With a few bits more than numbers, most words differ in them.
    let half = (from.len().ilog2() / 2 + 3)
        .min(HALF_BITS_MAX)
        .min(bits.div_ceil(2));
    let shift = bits.saturating_sub(2 * half);
    let mask = (1 << half) - 1;
    let (mut lower, mut upper) = ([0_u32; 1 << HALF_BITS_MAX], [0_u32; 1 << HALF_BITS_MAX]);
    let (lower, upper) = (&mut lower[..=mask], &mut upper[..=mask]);
    for item in &*from {
        let digits = item.word().digit(least, shift);
        lower[digits & mask] += 1;
        upper[(digits >> half) & mask] += 1;
    }
    for counts in [&mut *lower, &mut *upper] {
        let mut sum = 0;
        for count in counts {
            sum += std::mem::replace(count, sum);
        }
    }
    for item in &*from {
        let place = &mut lower[item.word().digit(least, shift) & mask];
        to[*place as usize] = *item;
        *place += 1;
    }
    for item in &*to {
        let place = &mut upper[(item.word().digit(least, shift) >> half) & mask];
        from[*place as usize] = *item;
        *place += 1;
    }
    if shift > 0
        || from
            .first()
            .is_some_and(|item| size_of_val(item) > size_of::<I::Word>())
    {
        insert(from);
    }
}

/// Sorts items that are nearly in order; others as std does.
fn insert<I: Item>(items: &mut [I]) {
    let mut moves = 0;
    for index in 1..items.len() {
        let item = items[index];
        let mut place = index;
        while place > 0 && items[place - 1] > item {
            items[place] = items[place - 1];
            place -= 1;
        }
        items[place] = item;
        moves += index - place;
        if moves > 8 * items.len() {
            return items.sort_unstable();
        }
    }
}

/// Returns the least and the greatest word, and whether the items are in order.
fn spread<I: Item>(items: &[I]) -> Option<(I::Word, I::Word, bool)> {
    let first = items.first()?;
    let (mut least, mut most) = (first.word(), first.word());
    for item in items {
        least = least.min(item.word());
        most = most.max(item.word());
    }
    Some((least, most, items.is_sorted()))
}

/// As [`spread`], by several threads.
fn spread_by_threads<I: Item>(items: &[I], threads: usize) -> Option<(I::Word, I::Word, bool)> {
    let stretch = items.len().div_ceil(threads).max(1);
    let found: Vec<_> = items.chunks(stretch).map(|_| Mutex::new(None)).collect();
    each(found.len(), &|number| {
        if let (Some(items), Some(found)) = (items.chunks(stretch).nth(number), found.get(number)) {
            *found.lock().unwrap_or_else(PoisonError::into_inner) = spread(items);
        }
    });
    let found = found.into_iter().filter_map(|found| {
        let found = found.into_inner();
        found.unwrap_or_else(PoisonError::into_inner)
    });
    let whole = found.reduce(|one, other| {
        let is_sorted = one.2 && other.2;
        (one.0.min(other.0), one.1.max(other.1), is_sorted)
    });
    let are_joined = || {
        let mut starts = (stretch..items.len()).step_by(stretch);
        starts.all(|start| items[start - 1] <= items[start])
    };
    whole.map(|(least, most, is_sorted)| (least, most, is_sorted && are_joined()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<I: Item + std::fmt::Debug>(items: &[I]) {
        let mut expected = items.to_vec();
        expected.sort_unstable();
        let (mut sorted, mut spare) = (items.to_vec(), items.to_vec());
        sort(&mut sorted, &mut spare);
        assert_eq!(sorted, expected);
        sorted.copy_from_slice(items);
        let mut spare = vec![MaybeUninit::uninit(); items.len()];
        let parts = Mutex::new(Vec::new());
        sort_by_threads(&mut sorted, &mut spare, 3, &|thread, at, part| {
            assert!(thread < 3);
            parts.lock().unwrap().push((at, part.to_vec()));
        });
        assert_eq!(sorted, expected);
        let mut parts = parts.into_inner().unwrap();
        parts.sort_unstable_by_key(|(at, part)| (*at, part.len()));
        let mut all = Vec::new();
        for (at, part) in parts {
            assert_eq!(at, all.len());
            all.extend(part);
        }
        assert_eq!(all, expected);
    }

    #[test]
    fn words_of_every_spread_are_sorted() {
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(0x1405_7B7E_F767_814F);
            state ^ (state >> 29)
        };
        let lens = if cfg!(miri) {
            vec![0, 1, 60, 300]
        } else {
            vec![0, 1, 2, 48, 49, 1000, 70_000]
        };
        for len in lens {
            for bits in [0, 1, 5, 17, 40, 64] {
                let mask = u64::MAX.checked_shr(64 - bits).unwrap_or(0);
                let words: Vec<u64> = (0..len).map(|_| random() & mask).collect();
                check(&words);
                check(
                    &words
                        .iter()
                        .map(|word| u128::from(*word) << 60)
                        .collect::<Vec<_>>(),
                );
                check(
                    &words
                        .iter()
                        .copied()
                        .zip((0..).map(|n: u32| n.reverse_bits()))
                        .collect::<Vec<_>>(),
                );
                let mut sorted = words.clone();
                sorted.sort_unstable();
                check(&sorted);
                sorted.reverse();
                check(&sorted);
            }
            // Each is twice the one before: no digit splits them evenly.
            check(&(0..len).map(|n| 1_u64 << (n % 64)).collect::<Vec<_>>());
        }
    }
}
