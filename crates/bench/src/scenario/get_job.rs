//! Which items are read, in which order, and out of what.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::failure::{Failure, Result};
use crate::pool::{self, Pool};
use crate::random::{self, Random, Zipf};
use crate::scenario::raw;

/// The length of an item.
pub(super) const ITEM_LEN: usize = 512;

/// The locations of one call of `get_many`.
pub(super) const BATCH: usize = 1024;

/// What is to be read, and from where.
#[derive(Debug)]
pub struct GetJob {
    /// The directory for files.
    pub dir: PathBuf,
    /// The bytes.
    pub pool: Pool,
    /// How many items there are.
    pub item_count: u64,
    /// The indices of the items to read, in order.
    pub sequence: Vec<u64>,
    /// How the reads go.
    pub way: Way,
    /// Whether the bytes are in the page cache.
    pub warm: bool,
    /// The file of outcore's arena, if it holds nothing but the items in order.
    pub arena_file: Option<File>,
}

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
    /// In batches, one behind the other without a gap.
    Adjacent,
    /// In batches, each of neighbours without a gap, in random order.
    Dense,
}

/// A way to read items, ready to go.
pub struct Getter {
    /// The name in tables and records.
    pub name: &'static str,
    /// What is not equal to the other candidates; empty if nothing.
    pub note: &'static str,
    /// Reads the whole sequence and returns the sum of all words.
    pub read: Box<dyn FnMut() -> Result<u64>>,
}

/// Fills a store of its own, and returns the ways to read it.
pub type Prepare = fn(&GetJob) -> Result<Vec<Getter>>;

impl Getter {
    /// Makes a way to read that is equal to the others.
    pub fn new(name: &'static str, read: impl FnMut() -> Result<u64> + 'static) -> Self {
        let (note, read) = ("", Box::new(read));
        Self { name, note, read }
    }
}

impl std::fmt::Debug for Getter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("Getter");
        fields.field("name", &self.name).finish_non_exhaustive()
    }
}

impl GetJob {
    pub(super) fn new(dir: &Path, shape: Shape) -> Self {
        let item_count = shape.len / ITEM_LEN as u64;
        let mut random = Random::new(shape.seed ^ 0x5EED);
        let count = shape.reads as u64;
        let sequence = match shape.way {
            Way::Adjacent => {
                let first = random.below(item_count.saturating_sub(count) + 1);
                (first..(first + count).min(item_count)).collect()
            }
            Way::Dense => {
                let first = random.below(item_count.saturating_sub(count) + 1);
                let mut drawn: Vec<u64> = (first..(first + count).min(item_count)).collect();
                for batch in drawn.chunks_mut(BATCH) {
                    for at in (1..batch.len()).rev() {
                        batch.swap(at, pool::index(random.below(at as u64 + 1)));
                    }
                }
                drawn
            }
            Way::Zipf => {
                let zipf = Zipf::new(item_count);
                // The popular items lie anywhere.
                let scattered = |rank| random::mix(rank) % item_count.max(1);
                (0..count)
                    .map(|_| scattered(zipf.draw(&mut random)))
                    .collect()
            }
            Way::Single | Way::Random => (0..count).map(|_| random.below(item_count)).collect(),
            Way::Sorted => {
                let mut drawn: Vec<u64> = (0..count).map(|_| random.below(item_count)).collect();
                drawn.sort_unstable();
                drawn
            }
        };
        Self {
            dir: dir.to_owned(),
            pool: Pool::new(ITEM_LEN, shape.seed),
            item_count,
            sequence,
            way: shape.way,
            warm: shape.warm,
            arena_file: None,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.item_count * ITEM_LEN as u64
    }

    /// Looks whether a file holds the items in order from its first byte on: a thousand of
    /// them. The checksum of every run looks at more.
    pub(super) fn is_stream(&self, file: &File) -> bool {
        let mut buffer = vec![0; ITEM_LEN];
        let step = pool::index((self.item_count / 1000).max(1));
        (0..self.item_count).step_by(step).all(|index| {
            let read = raw::read_exact(file, &mut buffer, index * ITEM_LEN as u64);
            read.is_ok() && buffer == self.pool.item(index)
        })
    }

    /// Tells whether mapped loops take part: single reads of what is in memory. The pages
    /// of a mapping cannot be dropped for a cold run while it lives.
    pub fn wants_maps(&self) -> bool {
        self.warm && self.way == Way::Single
    }

    /// Pushes all items, and returns the locations in the order of the sequence.
    ///
    /// # Errors
    ///
    /// The first one of `push`.
    pub fn fill<L: Copy, E: Into<Failure>>(
        &self,
        mut push: impl FnMut(&[u8]) -> Result<L, E>,
    ) -> Result<Vec<L>> {
        let mut all = Vec::new();
        for (_, item) in (0..self.item_count).zip(self.pool.items_from(0)) {
            all.push(push(item).map_err(Into::into)?);
        }
        let index = |index: &u64| usize::try_from(*index).unwrap_or(usize::MAX);
        Ok(self.sequence.iter().map(|i| all[index(i)]).collect())
    }

    /// Returns a loop that reads `locations` one by one with `get`, which appends to an
    /// empty buffer.
    pub fn one_by_one<L: Copy + 'static, E: Into<Failure>>(
        locations: Rc<[L]>,
        mut get: impl FnMut(L, &mut Vec<u8>) -> Result<(), E> + 'static,
    ) -> impl FnMut() -> Result<u64> + 'static {
        let mut buffer = Vec::with_capacity(ITEM_LEN);
        move || {
            let mut sum = 0u64;
            for location in &*locations {
                buffer.clear();
                get(*location, &mut buffer).map_err(Into::into)?;
                sum = sum.wrapping_add(pool::sum_words(&buffer));
            }
            Ok(sum)
        }
    }

    /// Returns the sum that every loop has to come to.
    pub(super) fn expected(&self) -> u64 {
        self.sequence.iter().fold(0u64, |sum, index| {
            sum.wrapping_add(pool::sum_words(self.pool.item(*index)))
        })
    }
}

/// How large, how many, how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) len: u64,
    pub(super) reads: usize,
    pub(super) seed: u64,
    pub(super) way: Way,
    pub(super) warm: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(way: Way) -> Vec<u64> {
        let shape = Shape {
            len: 4 << 20,
            reads: 3000,
            seed: 1,
            way,
            warm: true,
        };
        GetJob::new(Path::new("."), shape).sequence
    }

    #[test]
    fn the_order_is_what_its_name_says() {
        let sorted = sequence(Way::Sorted);
        assert!(sorted.is_sorted());
        let adjacent = sequence(Way::Adjacent);
        assert!(adjacent.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        let random = sequence(Way::Random);
        assert!(!random.is_sorted());
        assert_eq!(random, sequence(Way::Single));
        let mut popular = sequence(Way::Zipf);
        assert_eq!(popular.len(), 3000);
        popular.sort_unstable();
        popular.dedup();
        assert!(popular.len() < 2000, "{}", popular.len());
    }
}
