//! Which items of 512 bytes are read, in which order, and out of what.
//!
//! All candidates of a workload share a process. Each has its own file with the same items, reads
//! the same items in the same order into a buffer that has room, and adds up the words of what it
//! got, so that no candidate avoids touching the bytes.

use std::cell::OnceCell;

use outcore::{Arena, Location};
use rand_distr::{Distribution, Zipf};

use crate::machine::Pinned;
use crate::prelude::*;
use crate::random::Source;

/// The length of an item.
pub(super) const ITEM_LEN: usize = 512;

/// The locations of one call of `get_many`.
pub(super) const BATCH: usize = 1024;

/// How the reads go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One by one, in random order.
    Single,
    /// One by one, a few of them again and again: the popularity falls as in Zipf's law.
    Zipf,
    /// In batches, in random order.
    Random,
    /// In batches, in ascending order.
    Sorted,
    /// In batches, neighbours without a gap in order.
    Adjacent,
    /// In batches, each of neighbours without a gap, in random order.
    Dense,
}

/// How much there is, and what is read of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) len: u64,
    pub(super) reads: usize,
    pub(super) way: Way,
    /// Whether the bytes are in the page cache.
    pub(super) warm: bool,
}

/// What is to be read, and from where.
pub struct GetJob {
    pub dir: &'static Path,
    pub pool: Pool,
    pub item_count: u64,
    /// The indices of the items to read, in order.
    pub sequence: Vec<u64>,
    pub way: Way,
    pub warm: bool,
    /// An arena that holds the items in order, made when it is needed first.
    filled: OnceCell<Filled>,
}

/// An arena with all items, the locations of the sequence, and its file.
#[derive(Clone)]
pub(super) struct Filled {
    pub(super) arena: Arena,
    pub(super) locations: Rc<[Location]>,
    pub(super) file: Rc<File>,
}

impl GetJob {
    pub(super) fn new(options: &'static Options, shape: Shape) -> Self {
        let item_count = (shape.len / ITEM_LEN as u64).max(1);
        Self {
            dir: options.dir(),
            pool: Pool::new(ITEM_LEN, options.seed),
            item_count,
            sequence: sequence(shape, item_count, options.seed),
            way: shape.way,
            warm: shape.warm,
            filled: OnceCell::new(),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.item_count * ITEM_LEN as u64
    }

    /// Returns outcore's arena with all items.
    pub(super) fn filled(&self) -> Result<Filled> {
        if let Some(filled) = self.filled.get() {
            return Ok(filled.clone());
        }
        let before = OpenFiles::now()?;
        let arena = Arena::new()?;
        let mut writer = arena.writer()?;
        let locations = self.fill(|item| writer.push(item))?.into();
        writer.finish()?;
        let file = before.find(self.len(), |file| self.is_stream(file))?;
        let file = file.context("the arena's file does not hold the items in order")?;
        let file = Rc::new(file);
        let made = || Filled {
            arena,
            locations,
            file,
        };
        Ok(self.filled.get_or_init(made).clone())
    }

    /// Returns the arena's own file, so that in a comparison nothing differs but the library.
    pub fn arena_file(&self) -> Result<Rc<File>> {
        Ok(self.filled()?.file)
    }

    /// Tells whether a file holds the items in order from its first byte on: a thousand of them.
    /// The checksum of every run covers more.
    fn is_stream(&self, file: &File) -> bool {
        let mut buffer = vec![0; ITEM_LEN];
        let step = index((self.item_count / 1000).max(1));
        (0..self.item_count).step_by(step).all(|index| {
            let read = raw::read_exact(file, &mut buffer, index * ITEM_LEN as u64);
            read.is_ok() && buffer == self.pool.item(index)
        })
    }

    /// Returns the offsets of the sequence in such files.
    pub fn offsets(&self) -> Vec<u64> {
        let offsets = self.sequence.iter().map(|index| index * ITEM_LEN as u64);
        offsets.collect()
    }

    /// Tells whether mapped loops take part: single reads of what is in memory. The pages of a
    /// mapping cannot be dropped for a cold run while it lives.
    pub fn wants_maps(&self) -> bool {
        self.warm && self.way == Way::Single
    }

    /// Pushes all items, and returns the locations in the order of the sequence.
    pub fn fill<L: Copy, E: Into<Error>>(
        &self,
        mut push: impl FnMut(&[u8]) -> Result<L, E>,
    ) -> Result<Vec<L>> {
        let mut all = Vec::new();
        for (_, item) in (0..self.item_count).zip(self.pool.items_from(0)) {
            all.push(push(item).map_err(Into::into)?);
        }
        Ok(self.sequence.iter().map(|at| all[index(*at)]).collect())
    }

    /// Makes a candidate that reads the whole sequence and returns the sum of all words: cold where
    /// it has to be, with the clock on.
    pub fn candidate(
        &self,
        name: impl Into<String>,
        note: &'static str,
        mut read: impl FnMut() -> Result<u64> + 'static,
    ) -> Candidate<'static> {
        let reads = self.sequence.len() as u64;
        let (warm, is_single, dir) = (self.warm, self.way == Way::Single, self.dir);
        Candidate::new(name, note, move || {
            if !warm {
                cache::expect_cold(cache::drop_open_files(dir)?)?;
            }
            // Where the library may use threads of its own, they need the other cores.
            let pinned = is_single.then(Pinned::to_last_core).transpose()?;
            let mut sample = timed(&mut read)?;
            drop(pinned);
            sample.add("reads", reads as f64, "count");
            sample.add_time("time_per_read", reads);
            Ok(sample)
        })
    }

    /// Makes a candidate that reads `locations` one by one with `get`, which appends to an empty
    /// buffer.
    pub fn one_by_one<L: Copy + 'static, E: Into<Error>>(
        &self,
        name: &'static str,
        locations: Rc<[L]>,
        mut get: impl FnMut(L, &mut Vec<u8>) -> Result<(), E> + 'static,
    ) -> Candidate<'static> {
        let mut buffer = Vec::with_capacity(ITEM_LEN);
        self.candidate(name, "", move || {
            pool::try_sum(locations.iter().map(|location| {
                buffer.clear();
                get(*location, &mut buffer).map(|()| sum_words(&buffer))
            }))
        })
    }

    /// Returns the sum that every candidate has to return.
    pub(super) fn expected(&self) -> u64 {
        let items = self.sequence.iter().map(|index| self.pool.item(*index));
        pool::sum(items.map(sum_words))
    }
}

fn sequence(shape: Shape, item_count: u64, seed: u64) -> Vec<u64> {
    let mut random = Random::new(seed ^ 0x5EED);
    let count = shape.reads as u64;
    let stretch = |random: &mut Random| -> Vec<u64> {
        let first = random.below_u64(item_count.saturating_sub(count) + 1);
        (first..(first + count).min(item_count)).collect()
    };
    match shape.way {
        Way::Adjacent => stretch(&mut random),
        Way::Dense => {
            let mut drawn = stretch(&mut random);
            drawn.chunks_mut(BATCH).for_each(|few| random.shuffle(few));
            drawn
        }
        Way::Zipf => {
            // The count is a positive number.
            let zipf = Zipf::new(item_count as f64, 0.99).unwrap_or_else(|_bad| unreachable!());
            let draws = zipf.sample_iter(Source(random)).take(shape.reads);
            // The popular items lie anywhere.
            draws.map(|rank| mix(rank.to_bits()) % item_count).collect()
        }
        Way::Single | Way::Random => (0..count).map(|_| random.below_u64(item_count)).collect(),
        Way::Sorted => {
            let mut drawn: Vec<u64> = (0..count).map(|_| random.below_u64(item_count)).collect();
            drawn.sort_unstable();
            drawn
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence_of(way: Way) -> Vec<u64> {
        let shape = Shape {
            len: 4 << 20,
            reads: 3000,
            way,
            warm: true,
        };
        sequence(shape, shape.len / ITEM_LEN as u64, 1)
    }

    #[test]
    fn the_order_is_what_its_name_says() {
        let sorted = sequence_of(Way::Sorted);
        assert!(sorted.is_sorted());
        let adjacent = sequence_of(Way::Adjacent);
        assert!(adjacent.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        let mut dense = sequence_of(Way::Dense);
        assert!(!dense.is_sorted());
        dense.sort_unstable();
        assert!(dense.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        let random = sequence_of(Way::Random);
        assert!(!random.is_sorted());
        assert_eq!(random, sequence_of(Way::Single));
        let mut popular = sequence_of(Way::Zipf);
        assert_eq!(popular.len(), 3000);
        popular.sort_unstable();
        popular.dedup();
        assert!(popular.len() < 2000, "{}", popular.len());
    }
}
