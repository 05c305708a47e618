//! What is known of the blocks of an open file: their checksums, and which of them were verified.
//!
//! It is kept for each page of the table of checksums that was read, and costs nothing for the others:
//! the length of a file is a number in it, and a hole can be as long as it likes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::format::blocks::NoMemory;
use crate::format::sums::{PAGE_SUMS, words};

/// The words that have a bit for each block of a page.
const WORDS: usize = 8;

const _: () = assert!(WORDS as u64 * 64 == PAGE_SUMS);

/// The pages that were read, found in two steps.
///
/// There are about as many groups as a group has pages. So before the first page is read the memory
/// grows with the square root of the length: 32 KiB for 16 TiB in blocks of 4 KiB.
pub(super) struct Known {
    pages: u64,
    /// The logarithm of the pages of a group.
    group_log2: u32,
    groups: Vec<OnceLock<Group>>,
}

type Group = Box<[OnceLock<Box<Page>>]>;

/// The checksums of up to [`PAGE_SUMS`] blocks.
#[derive(Debug)]
pub(super) struct Page {
    sums: Vec<u64>,
    /// A bit for each block, set once it was verified.
    verified: [AtomicU64; WORDS],
}

impl Known {
    /// Knows nothing of so many pages.
    pub(super) fn new(pages: u64) -> Result<Self, NoMemory> {
        let group_log2 = pages.checked_ilog2().unwrap_or(0).div_ceil(2);
        let len = usize::try_from(pages.div_ceil(1 << group_log2)).map_err(|_long| NoMemory)?;
        Ok(Self {
            pages,
            group_log2,
            groups: empty(len)?,
        })
    }

    /// Returns a page, if it was read.
    pub(super) fn page(&self, number: u64) -> Option<&Page> {
        let (group, place) = self.place(number);
        Some(&**self.groups.get(group)?.get()?.get(place)?.get()?)
    }

    /// Keeps the bytes of a page that were read and are right.
    pub(super) fn take(&self, number: u64, bytes: &[u8]) -> Result<(), NoMemory> {
        let (group, place) = self.place(number);
        let Some(group) = self.groups.get(group) else {
            return Ok(());
        };
        if group.get().is_none() {
            let first = number >> self.group_log2 << self.group_log2;
            let len = self.pages.saturating_sub(first).min(1 << self.group_log2);
            let made = empty(usize::try_from(len).map_err(|_long| NoMemory)?)?;
            // If another thread came first, it made the same.
            group.get_or_init(|| made.into_boxed_slice());
        }
        if let Some(page) = group.get().and_then(|group| group.get(place)) {
            page.get_or_init(|| {
                Box::new(Page {
                    sums: words(bytes).collect(),
                    verified: Default::default(),
                })
            });
        }
        Ok(())
    }

    /// Lets the next reads verify every block again.
    pub(super) fn forget_verified(&self) {
        let groups = self.groups.iter().filter_map(OnceLock::get);
        for page in groups.flatten().filter_map(OnceLock::get) {
            for word in &page.verified {
                word.store(0, Relaxed);
            }
        }
    }

    /// Returns the group of a page, and its place there.
    fn place(&self, number: u64) -> (usize, usize) {
        let index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let group = number >> self.group_log2;
        let place = number.saturating_sub(group << self.group_log2);
        (index(group), index(place))
    }

    /// Returns how many places there are for groups and pages.
    #[cfg(test)]
    #[cfg(not(any(miri, memory_backend, loom, shuttle)))]
    pub(super) fn places(&self) -> usize {
        let groups = self.groups.iter().filter_map(OnceLock::get);
        self.groups.len() + groups.map(|group| group.len()).sum::<usize>()
    }
}

impl Page {
    /// Returns the checksum that a block should have, by its number in the file.
    pub(super) fn sum(&self, block: u64) -> Option<u64> {
        let place = usize::try_from(block % PAGE_SUMS).ok()?;
        self.sums.get(place).copied()
    }

    /// Returns whether a block was verified. Only the bit itself matters: no other data is published by
    /// it.
    pub(super) fn is_verified(&self, block: u64) -> bool {
        let (word, bit) = place_of(block);
        let word = self.verified.get(word);
        word.is_some_and(|word| word.load(Relaxed) & bit != 0)
    }

    pub(super) fn set_verified(&self, block: u64) {
        let (word, bit) = place_of(block);
        if let Some(word) = self.verified.get(word) {
            word.fetch_or(bit, Relaxed);
        }
    }
}

/// Returns where the bit of a block is in its page.
fn place_of(block: u64) -> (usize, u64) {
    let place = block % PAGE_SUMS;
    let word = usize::try_from(place / 64).unwrap_or(usize::MAX);
    (word, 1 << (place % 64))
}

/// Makes a list of what is not known.
fn empty<T>(len: usize) -> Result<Vec<OnceLock<T>>, NoMemory> {
    let mut list = Vec::new();
    list.try_reserve_exact(len).map_err(|_full| NoMemory)?;
    list.resize_with(len, OnceLock::new);
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_and_each_block_has_a_place_of_its_own() {
        for pages in [1, 2, 3, 7, 64, 100, 1000] {
            let known = Known::new(pages).unwrap();
            for number in 0..pages {
                assert!(known.page(number).is_none(), "{number} of {pages}");
                let sums: Vec<u8> = (0..PAGE_SUMS)
                    .flat_map(|sum| (number << 32 | sum).to_le_bytes())
                    .collect();
                known.take(number, &sums).unwrap();
            }
            let page = |block: u64| known.page(block / PAGE_SUMS).unwrap();
            let step = usize::try_from(pages).unwrap();
            for block in (0..pages * PAGE_SUMS).step_by(step) {
                let sum = (block / PAGE_SUMS) << 32 | (block % PAGE_SUMS);
                assert_eq!(page(block).sum(block), Some(sum));
                assert!(!page(block).is_verified(block), "{block} of {pages}");
                page(block).set_verified(block);
                assert!(page(block).is_verified(block), "{block} of {pages}");
            }
            known.forget_verified();
            assert!((0..pages * PAGE_SUMS).all(|block| !page(block).is_verified(block)));
            assert!(known.page(pages).is_none() && known.page(u64::MAX).is_none());
        }
        assert!(Known::new(0).unwrap().page(0).is_none());
    }
}
