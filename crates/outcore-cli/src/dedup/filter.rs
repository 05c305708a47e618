//! From a block of whole lines to the lines in it that are new.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::dedup::index::{Full, Index, Key};
use crate::memory::budget::Budget;

/// Lines whose slots are loaded together before the first is searched.
const BATCH_LINES: usize = 64;

/// Drops every line that it has let through before.
#[derive(Debug)]
pub(crate) struct Filter {
    index: Index,
    /// Unknown to whoever wrote the input, so that no file is slow or wrong on purpose.
    seed: u64,
    batch: Vec<Line>,
    lines: u64,
}

/// A line of the block at hand.
#[derive(Debug)]
struct Line {
    /// With the newline.
    range: Range<usize>,
    /// Of the bytes without the newline.
    key: Key,
}

impl Filter {
    /// Makes a filter that has seen nothing.
    ///
    /// # Errors
    ///
    /// [`Full`]: the budget does not hold the smallest index.
    pub(crate) fn new(budget: &mut Budget) -> Result<Self, Full> {
        Ok(Self::with_index(Index::new(budget)?))
    }

    fn with_index(index: Index) -> Self {
        Self {
            index,
            seed: RandomState::new().hash_one(0),
            batch: Vec::with_capacity(BATCH_LINES),
            lines: 0,
        }
    }

    /// Returns how many lines it was shown.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// Returns how many of them were new.
    pub(crate) fn kept(&self) -> u64 {
        self.index.count() as u64
    }

    /// Returns whether the system refuses what the budget would pay for.
    pub(crate) fn is_short(&self) -> bool {
        self.index.is_short()
    }

    /// Moves the new lines of a block to its front, in order, and returns their length.
    ///
    /// A line ends with its newline; the last one may lack it.
    ///
    /// # Errors
    ///
    /// [`Full`]: the budget allows no more distinct lines. The counts tell how far it
    /// came; the block is of no use.
    pub(crate) fn keep_new(
        &mut self,
        block: &mut [u8],
        budget: &mut Budget,
    ) -> Result<usize, Full> {
        let mut kept = Kept::default();
        let mut start = 0;
        while start < block.len() {
            start = self.read_batch(block, start);
            let keys = self.batch.iter().map(|line| line.key);
            self.index.prefetch(keys);
            for line in self.batch.drain(..) {
                self.lines += 1;
                if self.index.insert(line.key, budget)? {
                    kept.push(block, line.range);
                }
            }
        }
        Ok(kept.finish(block))
    }

    /// Fills the batch with the lines from `start` on; returns where the next begins.
    fn read_batch(&mut self, block: &[u8], mut start: usize) -> usize {
        let rest = &block[start..];
        let base = start;
        for newline in memchr::memchr_iter(b'\n', rest).take(BATCH_LINES) {
            let end = base + newline;
            self.push(start..end + 1, &block[start..end]);
            start = end + 1;
        }
        if self.batch.len() < BATCH_LINES && start < block.len() {
            self.push(start..block.len(), &block[start..]);
            start = block.len();
        }
        start
    }

    fn push(&mut self, range: Range<usize>, line: &[u8]) {
        let key = Key::new(xxh3_128_with_seed(line, self.seed));
        self.batch.push(Line { range, key });
    }
}

/// The front of a block, where the kept lines are gathered.
#[derive(Debug, Default)]
struct Kept {
    /// Length of the front.
    len: usize,
    /// Kept lines that stand together and are still to be moved to the front.
    run: Range<usize>,
}

impl Kept {
    fn push(&mut self, block: &mut [u8], line: Range<usize>) {
        if line.start == self.run.end {
            self.run.end = line.end;
        } else {
            self.move_run(block);
            self.run = line;
        }
    }

    fn move_run(&mut self, block: &mut [u8]) {
        let run = self.run.clone();
        let run_len = run.len();
        if run.start != self.len {
            block.copy_within(run, self.len);
        }
        self.len += run_len;
    }

    fn finish(mut self, block: &mut [u8]) -> usize {
        self.move_run(block);
        self.len
    }
}

#[cfg(test)]
impl Filter {
    /// Makes a filter whose index is as small as it can be, and so grows soon.
    pub(crate) fn with_small_index(budget: &mut Budget) -> Self {
        Self::with_index(Index::with_slots(1, budget).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(blocks: &[&str]) -> String {
        let mut budget = Budget::with_available(1 << 24);
        let mut filter = Filter::new(&mut budget).unwrap();
        let mut text = String::new();
        for block in blocks {
            let mut bytes = block.as_bytes().to_vec();
            let len = filter.keep_new(&mut bytes, &mut budget).unwrap();
            text.push_str(std::str::from_utf8(&bytes[..len]).unwrap());
        }
        text
    }

    #[test]
    fn the_first_of_each_line_stays_in_order() {
        assert_eq!(kept(&["b\na\nb\nc\na\nd\n"]), "b\na\nc\nd\n");
        assert_eq!(kept(&["a\na\nb\n", "b\nc\n", "", "a\n"]), "a\nb\nc\n");
    }

    #[test]
    fn a_last_line_without_newline_is_compared_without_it() {
        assert_eq!(kept(&["x\ny\n", "x"]), "x\ny\n");
        assert_eq!(kept(&["x\n", "y"]), "x\ny");
        assert_eq!(kept(&["x\n\n\n", "\r\n", "\r"]), "x\n\n\r\n");
    }

    #[test]
    fn more_lines_than_a_batch_holds_are_all_seen() {
        let numbers: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        let first = numbers.join("\n") + "\n";
        assert_eq!(kept(&[&first.repeat(3)]), first);
        // One line more than fits, and that one without a newline.
        let full = "x\n".repeat(BATCH_LINES);
        assert_eq!(kept(&[&format!("{full}y")]), "x\ny");
    }

    #[test]
    fn a_full_index_leaves_the_counts() {
        let mut budget = Budget::with_available(1 << 20);
        let mut filter = Filter::new(&mut budget).unwrap();
        let mut text: Vec<u8> = (0..100_000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        assert_eq!(filter.keep_new(&mut text, &mut budget), Err(Full));
        assert_eq!(filter.lines(), filter.kept() + 1);
    }
}
