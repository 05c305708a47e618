//! Sorting by keys that a number represents exactly: by distribution, without comparisons.
#![expect(
    unsafe_code,
    reason = "looks at elements in the vector, and moves them; see docs/safety.md"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions of elements, which `Places` and slices check when they are used"
)]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::slice;
use std::sync::{Mutex, PoisonError};

use crate::budget::Room;
use crate::bug::bug;
use crate::containers::vec::places::Places;
use crate::error::Result;
use crate::external::key::{SortKey, Word};
use crate::external::radix;
use crate::external::vec::distribute::{Path, Scheme, lock, mix};
use crate::external::vec::partition::{Ahead, Classify, Source};
use crate::external::workers::on_threads;

/// Elements that are sampled for each bucket.
const SAMPLES: usize = 40;

/// The most that are sampled: each may cost a read of the device.
const SAMPLES_MAX: usize = 1 << 15;

/// Bytes of elements that are handled at a time.
const STAGE_BYTES: usize = if cfg!(test) { 8 << 10 } else { 128 << 10 };

/// The number of elements that are looked up among the splitters at the same time.
const LANES: usize = 8;

/// Returns a number for each element, by which to sort.
pub(super) trait Words<T>: Sync {
    type Word: Word;

    /// The function that restores an element from its number, if the element has no other content.
    const BACK: Option<fn(u128) -> T>;

    fn word(&self, element: &T) -> Self::Word;
}

/// Elements that are keys.
pub(super) struct Own<W>(pub(super) PhantomData<fn() -> W>);

impl<T: SortKey, W: Word> Words<T> for Own<W> {
    type Word = W;

    const BACK: Option<fn(u128) -> T> = T::BACK.0;

    #[inline]
    fn word(&self, element: &T) -> W {
        W::from_prefix(element.prefix())
    }
}

/// Elements that have keys.
pub(super) struct Keyed<'f, F, W>(pub(super) &'f F, pub(super) PhantomData<fn() -> W>);

impl<T, K: SortKey, F: Fn(&T) -> K + Sync, W: Word> Words<T> for Keyed<'_, F, W> {
    type Word = W;

    const BACK: Option<fn(u128) -> T> = None;

    #[inline]
    fn word(&self, element: &T) -> W {
        W::from_prefix((self.0)(element).prefix())
    }
}

/// The scheme of sorting by words.
pub(super) struct ByWord<K>(pub(super) K);

/// The bounds of the buckets of a level.
pub(super) struct Splitters<'k, K, W> {
    keys: &'k K,
    /// Ascending, all different.
    sorted: Vec<W>,
    /// The same as a search tree: the children of node `n` are `2n` and `2n + 1`. Node 0 is unused,
    /// and missing nodes have the greatest word.
    tree: Vec<W>,
    /// The buckets of the words between two splitters, and of those equal to the upper one,
    /// alternating.
    buckets: Vec<u16>,
    /// Which buckets have words of one value only.
    equal: Vec<bool>,
    has_equal: bool,
}

impl<'k, K, W: Word> Splitters<'k, K, W> {
    /// Chooses about `buckets` buckets from a sample in ascending order. With `thorough`, every
    /// splitter has a bucket for words equal to it, so that each level finishes at least the
    /// sampled elements; otherwise only frequent splitters have one.
    fn new(keys: &'k K, sample: &[W], buckets: usize, thorough: bool) -> Self {
        let wanted = if thorough { buckets / 2 } else { buckets }.clamp(2, 1 << 12) - 1;
        let mut sorted = Vec::new();
        let mut heavy = Vec::new();
        for number in 1..=wanted {
            let at = number * sample.len() / (wanted + 1);
            let Some(word) = sample.get(at) else { continue };
            if sorted.last() == Some(word) {
                if let Some(heavy) = heavy.last_mut() {
                    *heavy = true;
                }
            } else {
                sorted.push(*word);
                heavy.push(thorough);
            }
        }
        let levels = usize::BITS - sorted.len().leading_zeros();
        let mut tree = vec![W::from_prefix(u128::MAX); 1 << levels];
        let mut in_order = sorted.iter();
        fill(&mut tree, 1, &mut in_order);
        let (mut map, mut equal) = (Vec::new(), Vec::new());
        for number in 0..=sorted.len() {
            map.push(u16::try_from(equal.len()).unwrap_or(u16::MAX));
            equal.push(false);
            if heavy.get(number) == Some(&true) {
                equal.push(true);
            }
            map.push(u16::try_from(equal.len() - 1).unwrap_or(u16::MAX));
        }
        Self {
            keys,
            sorted,
            tree,
            buckets: map,
            has_equal: equal.contains(&true),
            equal,
        }
    }

    /// Returns the buckets of some words.
    #[inline]
    fn find(&self, words: &[W; LANES], classes: &mut [u16]) {
        let levels = self.tree.len().ilog2();
        // No node is past the end; written this way, the compiler knows that.
        let tree = self.tree.as_slice();
        let mask = tree.len() - 1;
        let mut nodes = [1_usize; LANES];
        for _ in 0..levels {
            for (node, word) in nodes.iter_mut().zip(words) {
                *node = 2 * *node + usize::from(*word > tree[*node & mask]);
            }
        }
        for ((class, node), word) in classes.iter_mut().zip(nodes).zip(words) {
            let below = node - tree.len();
            let is_equal = self.has_equal && self.sorted.get(below) == Some(word);
            let bucket = self.buckets.get(2 * below + usize::from(is_equal));
            *class = bucket.copied().unwrap_or(0);
        }
    }
}

/// Fills the subtree of a node with words in ascending order.
fn fill<W: Word>(tree: &mut [W], node: usize, in_order: &mut slice::Iter<'_, W>) {
    if node < tree.len() {
        fill(tree, 2 * node, in_order);
        if let (Some(place), Some(word)) = (tree.get_mut(node), in_order.next()) {
            *place = *word;
        }
        fill(tree, 2 * node + 1, in_order);
    }
}

impl<T, K: Words<T>> Classify<T> for Splitters<'_, K, K::Word> {
    fn buckets(&self) -> usize {
        self.equal.len()
    }

    fn classify(&self, elements: &[T], _position: usize, classes: &mut [u16]) {
        for (elements, classes) in elements.chunks(LANES).zip(classes.chunks_mut(LANES)) {
            let mut words = [K::Word::from_prefix(0); LANES];
            for (word, element) in words.iter_mut().zip(elements) {
                *word = self.keys.word(element);
            }
            self.find(&words, classes);
        }
    }
}

/// Returns how many elements are handled at a time.
fn stage_len<T>() -> usize {
    (STAGE_BYTES / size_of::<T>().max(1)).max(1)
}

impl<T: Send, K: Words<T>> Scheme<T> for ByWord<K> {
    type Level<'s>
        = Splitters<'s, K, K::Word>
    where
        Self: 's;

    fn bytes(&self) -> (usize, usize) {
        let stage = stage_len::<T>() * size_of::<T>() + 3 * align_of::<T>() + 64;
        if K::BACK.is_some() {
            return (2 * size_of::<K::Word>(), stage);
        }
        (2 * size_of::<(K::Word, u32)>() + size_of::<T>(), stage)
    }

    unsafe fn level<'s>(
        &'s self,
        places: &Places<'_, T>,
        source: &Source<'_>,
        path: Path,
        buckets: usize,
        mut room: Room<'_>,
    ) -> Result<Self::Level<'s>> {
        let most = room.len().saturating_sub(64) / (2 * size_of::<K::Word>());
        let count = (buckets * SAMPLES)
            .min(SAMPLES_MAX)
            .min(most)
            .min(source.count());
        let sample = room.take_zeros::<K::Word>(count)?;
        let spare = room.take_zeros::<K::Word>(count)?;
        let step = source.count() / count.max(1);
        // One of each stretch, so that the sample covers the whole source.
        let position = |number: usize| {
            let chosen = mix(path.number ^ mix(number as u64)) % step.max(1) as u64;
            number * step + usize::try_from(chosen).unwrap_or(0)
        };
        let ranges = |number| source.places(position(number)..position(number) + 1);
        for range in (0..count).flat_map(ranges) {
            places.will_need(range);
        }
        for (number, word) in sample.iter_mut().enumerate() {
            for range in ranges(number) {
                // SAFETY: the caller keeps this contract.
                let elements = unsafe { places.elements(range) };
                if let [element] = elements {
                    *word = self.0.word(element);
                }
            }
        }
        places.let_go(0..places.count());
        radix::sort(sample, spare);
        Ok(Splitters::new(&self.0, sample, buckets, path.depth > 0))
    }

    fn is_done(level: &Self::Level<'_>, bucket: usize) -> bool {
        level.equal.get(bucket) == Some(&true)
    }

    unsafe fn arrange(
        &self,
        room: Room<'_>,
        places: &Places<'_, T>,
        target: &Places<'_, T>,
        source: &Source<'_>,
        out: usize,
        _path: Path,
        threads: usize,
    ) -> Result<()> {
        match K::BACK {
            // SAFETY: the caller keeps this contract.
            Some(back) => unsafe {
                self.arrange_words(back, room, places, target, source, out, threads)
            },
            // SAFETY: as above.
            None => unsafe { self.arrange_pairs(room, places, target, source, out, threads) },
        }
    }
}

impl<K> ByWord<K> {
    /// Sorts elements that have no content but their words.
    ///
    /// # Safety
    ///
    /// The duties of the caller are those of [`Scheme::arrange`].
    #[expect(clippy::too_many_arguments, reason = "all that a thread knows")]
    unsafe fn arrange_words<T: Send>(
        &self,
        back: fn(u128) -> T,
        mut room: Room<'_>,
        places: &Places<'_, T>,
        target: &Places<'_, T>,
        source: &Source<'_>,
        out: usize,
        threads: usize,
    ) -> Result<()>
    where
        K: Words<T>,
    {
        let count = source.count();
        let mut room = room.reborrow();
        let words = room.take::<K::Word>(count)?;
        let spare = room.take::<K::Word>(count)?;
        let len = stage_len::<T>().min(count);
        // As many threads as there is room for.
        let stage = len * size_of::<T>() + align_of::<T>();
        let threads = threads.min(room.len() / stage.max(1)).max(1);
        let stages = (0..threads).map(|_| room.take::<T>(len).map(Mutex::new));
        let stages = stages.collect::<Result<Vec<_>>>()?;
        let stretch = count.div_ceil(threads).max(1);
        let stretches = words
            .chunks_mut(stretch)
            .map(|stretch| Mutex::new(Some(stretch)));
        let stretches: Vec<_> = stretches.collect();
        on_threads(stretches.len(), &|number, stop| {
            let (Some(words), Some(stage)) = (stretches.get(number), stages.get(number)) else {
                return Ok(());
            };
            let (words, mut stage) = (lock(words).take().unwrap_or_default(), lock(stage));
            let positions = number * stretch..number * stretch + words.len();
            let (mut ahead, mut done) = (Ahead::new(positions.clone()), positions.start);
            let mut left = words.iter_mut();
            for range in source.places(positions) {
                let mut at = range.start;
                while at < range.end && !stop.is_set() {
                    let count = stage.len().min(range.end - at);
                    done += count;
                    ahead.before(places, source, done);
                    let part = stage.get_mut(..count).unwrap_or_default();
                    // SAFETY: the caller keeps this contract. The copies are numbers, equivalent to
                    // the originals.
                    unsafe { places.read(at, part) }?;
                    for (element, word) in part.iter().zip(&mut left) {
                        // SAFETY: it was read from a place that holds one.
                        word.write(self.0.word(unsafe { element.assume_init_ref() }));
                    }
                    at += count;
                }
            }
            if left.len() > 0 && !stop.is_set() {
                bug!("{} elements that are nowhere", left.len());
            }
            Ok(())
        })?;
        drop(stretches);
        let first = words.as_mut_ptr().cast::<K::Word>();
        // SAFETY: each thread has written all words of its stretch, or there was an error.
        let words = unsafe { slice::from_raw_parts_mut(first, count) };
        let written = Mutex::new(Ok(()));
        radix::sort_by_threads(words, spare, threads, &|number, position, words| {
            let mut stage = lock(&stages[number]);
            let mut write = Write::new(target, out + position);
            for words in words.chunks(len.max(1)) {
                for (place, word) in stage.iter_mut().zip(words) {
                    place.write(back(word.to_prefix()));
                }
                // SAFETY: the caller keeps this contract, all elements have been read, and each
                // thread has other positions.
                unsafe { write.next(stage.get(..words.len()).unwrap_or_default()) };
            }
            if let Err(refused) = write.end() {
                *lock(&written) = Err(refused);
            }
        });
        let written = written.into_inner();
        written.unwrap_or_else(PoisonError::into_inner)
    }

    /// Sorts elements by pairs of their word and their number.
    ///
    /// # Safety
    ///
    /// The duties of the caller are those of [`Scheme::arrange`].
    unsafe fn arrange_pairs<T: Send>(
        &self,
        mut room: Room<'_>,
        places: &Places<'_, T>,
        target: &Places<'_, T>,
        source: &Source<'_>,
        out: usize,
        threads: usize,
    ) -> Result<()>
    where
        K: Words<T>,
    {
        let mut room = room.reborrow();
        let pairs = room.take_zeros::<(K::Word, u32)>(source.count())?;
        let elements = room.take::<T>(source.count())?;
        let mut numbers = 0_u32..;
        let mut left = pairs.iter_mut();
        let (mut ahead, mut done) = (Ahead::new(0..source.count()), 0);
        for range in source.places(0..source.count()) {
            let mut at = range.start;
            while at < range.end {
                let part = at..range.end.min(at + stage_len::<T>());
                at = part.end;
                ahead.before(places, source, done + part.len());
                // A key may change the content of a cell, so it gets the element in its place.
                // SAFETY: the caller keeps this contract.
                let originals = unsafe { places.elements(part.clone()) };
                let numbered = left.by_ref().zip(&mut numbers);
                for (element, (pair, number)) in originals.iter().zip(numbered) {
                    *pair = (self.0.word(element), number);
                }
                let copies = elements.get_mut(done..done + part.len());
                done += part.len();
                // SAFETY: as above. The copies are only moved.
                unsafe { places.read(part.start, copies.unwrap_or_default()) }?;
                places.let_go(part);
            }
        }
        let spare = room.take::<(K::Word, u32)>(source.count())?;
        radix::sort_by_threads(pairs, spare, threads, &|_thread, _position, _pairs| ());
        let order = pairs.iter().map(|(_word, number)| *number as usize);
        let stage = room.take::<T>(stage_len::<T>().min(source.count()))?;
        // SAFETY: the caller keeps this contract; the numbers are those of all elements, each once.
        unsafe { write_in_order(order, elements, stage, target, out) }
    }
}

/// Writes elements one after the other. After a failure, the rest is stored nevertheless, so that
/// all elements are in the target.
pub(super) struct Write<'w, 'a, T> {
    target: &'w Places<'a, T>,
    at: usize,
    done: Result<()>,
}

impl<'w, 'a, T> Write<'w, 'a, T> {
    pub(super) fn new(target: &'w Places<'a, T>, at: usize) -> Self {
        let done = Ok(());
        Self { target, at, done }
    }

    /// Writes the next elements.
    ///
    /// # Safety
    ///
    /// The duties of the caller are those of [`Places::write`].
    pub(super) unsafe fn next(&mut self, elements: &[MaybeUninit<T>]) {
        if self.done.is_ok() {
            // SAFETY: the caller keeps this contract.
            self.done = unsafe { self.target.write(self.at, elements) };
        }
        if self.done.is_err() {
            // SAFETY: as above.
            unsafe { self.target.store(self.at, elements) };
        }
        self.at += elements.len();
    }

    pub(super) fn end(self) -> Result<()> {
        self.done
    }
}

/// Writes elements in an order of their numbers.
///
/// # Safety
///
/// Each number of an element is in `order` once; the other duties are those of [`Places::write`].
pub(super) unsafe fn write_in_order<T>(
    mut order: impl Iterator<Item = usize>,
    elements: &[MaybeUninit<T>],
    stage: &mut [MaybeUninit<T>],
    target: &Places<'_, T>,
    out: usize,
) -> Result<()> {
    let mut write = Write::new(target, out);
    loop {
        let mut count = 0;
        for (place, number) in stage.iter_mut().zip(order.by_ref()) {
            let source = std::ptr::from_ref(&elements[number]);
            // SAFETY: a place of the stage, and one of the elements.
            unsafe { std::ptr::copy_nonoverlapping(source, place, 1) };
            count += 1;
        }
        if count == 0 {
            return write.end();
        }
        // SAFETY: the caller keeps this contract.
        unsafe { write.next(stage.get(..count).unwrap_or_default()) };
    }
}
