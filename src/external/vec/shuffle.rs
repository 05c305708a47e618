//! A permutation that only the seed determines, not the memory: each element goes to one of 256
//! buckets at random, and so on within each bucket until few are left, which are shuffled by
//! exchanges.
//!
//! The choice for every element at every level is independent, and all orders of the few are
//! equally likely, so all permutations of the whole are. The choice is a hash of the seed, the path
//! of buckets and the position, and does not depend on how the work is divided.
#![expect(
    unsafe_code,
    reason = "moves elements between the vector and buffers; see docs/safety.md"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions of elements, which `Places` and slices check when they are used"
)]

use std::mem::MaybeUninit;
use std::ptr;

use crate::budget::Room;
use crate::containers::vec::places::Places;
use crate::error::Result;
use crate::external::vec::by_word::Write;
use crate::external::vec::distribute::{Path, Scheme, mix};
use crate::external::vec::partition::{Ahead, Classify, Source};

/// The buckets of each level.
const BUCKETS: usize = 256;

/// At most this many elements are shuffled by exchanges. Like the number of buckets, it determines
/// the permutation of a seed, so neither may depend on the memory.
const FEW: usize = 256;

/// The scheme of a shuffle.
pub(super) struct Shuffle;

/// The random choices of a level.
pub(super) struct Chances(Path);

impl Chances {
    fn bucket(&self, position: usize) -> u8 {
        let [bucket, ..] = mix(self.0.number ^ mix(position as u64)).to_be_bytes();
        bucket
    }
}

impl<T> Classify<T> for Chances {
    fn buckets(&self) -> usize {
        BUCKETS
    }

    fn classify(&self, _elements: &[T], position: usize, classes: &mut [u16]) {
        for (class, position) in classes.iter_mut().zip(position..) {
            *class = u16::from(self.bucket(position));
        }
    }
}

impl<T: Send> Scheme<T> for Shuffle {
    type Level<'s> = Chances;

    fn bytes(&self) -> (usize, usize) {
        (2 * size_of::<T>(), 2 * align_of::<T>() + 64)
    }

    fn count_min(&self) -> usize {
        FEW
    }

    unsafe fn level<'s>(
        &'s self,
        _places: &Places<'_, T>,
        _source: &Source<'_>,
        path: Path,
        _buckets: usize,
        _room: Room<'_>,
    ) -> Result<Self::Level<'s>> {
        Ok(Chances(path))
    }

    fn is_done(_level: &Self::Level<'_>, _bucket: usize) -> bool {
        false
    }

    unsafe fn arrange(
        &self,
        mut room: Room<'_>,
        places: &Places<'_, T>,
        target: &Places<'_, T>,
        source: &Source<'_>,
        out: usize,
        path: Path,
        _threads: usize,
    ) -> Result<()> {
        let mut room = room.reborrow();
        let elements = room.take::<T>(source.count())?;
        let spare = room.take::<T>(source.count())?;
        let (mut ahead, mut done) = (Ahead::new(0..source.count()), 0);
        for range in source.places(0..source.count()) {
            ahead.before(places, source, done + range.len());
            let part = elements
                .get_mut(done..done + range.len())
                .unwrap_or_default();
            done += range.len();
            // SAFETY: the caller keeps this contract. The copies are only moved.
            unsafe { places.read(range.start, part) }?;
        }
        shuffle(elements, spare, path);
        let mut write = Write::new(target, out);
        // SAFETY: the caller keeps this contract, and all elements have been read.
        unsafe { write.next(elements) };
        write.end()
    }
}

/// Shuffles elements in memory, like [`Shuffle`] on disk.
fn shuffle<T>(elements: &mut [MaybeUninit<T>], spare: &mut [MaybeUninit<T>], path: Path) {
    if elements.len() <= FEW {
        let mut chance = path.number;
        for left in (2..=elements.len()).rev() {
            chance = mix(chance);
            elements.swap(left - 1, below(chance, left));
        }
        return;
    }
    let chances = Chances(path);
    let mut ends = [0_usize; BUCKETS + 1];
    for position in 0..elements.len() {
        ends[usize::from(chances.bucket(position)) + 1] += 1;
    }
    let mut sum = 0;
    for end in &mut ends {
        sum += *end;
        *end = sum;
    }
    for (position, element) in elements.iter().enumerate() {
        let end = &mut ends[usize::from(chances.bucket(position))];
        let place = ptr::from_mut(&mut spare[*end]);
        *end += 1;
        // SAFETY: two places of different buffers.
        unsafe { ptr::copy_nonoverlapping(element, place, 1) };
    }
    let mut start = 0;
    for (bucket, end) in ends.iter().take(BUCKETS).enumerate() {
        let part = start..*end;
        start = *end;
        shuffle(
            &mut spare[part.clone()],
            &mut elements[part],
            path.of_bucket(bucket),
        );
    }
    let count = elements.len();
    // SAFETY: two buffers of as many elements, which lie apart.
    unsafe { ptr::copy_nonoverlapping(spare.as_ptr(), elements.as_mut_ptr(), count) };
}

/// Returns a number below `bound` from one of 64 random bits. Its bias is less than 2^-55.
fn below(random: u64, bound: usize) -> usize {
    let scaled = (u128::from(random) * bound as u128) >> 64;
    usize::try_from(scaled).unwrap_or(0)
}
