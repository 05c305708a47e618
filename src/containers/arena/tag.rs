//! The names of arenas: sixteen bits by which a location identifies its arena.
//!
//! A tag belongs to one living arena at a time, and is given again as late as possible. So a
//! location of another living arena is always recognized, and one of a dropped arena until 65,535
//! more arenas have been created.
//!
//! An arena in a file keeps the tag that it had when it was sealed. New arenas do not get that while
//! the file is open.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// The number of tags; 0 is that of the default location and belongs to no arena.
const TAGS: usize = 1 << 16;

const WORDS: usize = TAGS / 64;

/// The tags of some arenas: in the library those of the process, in tests those of one test.
#[derive(Debug)]
struct Register {
    /// One bit for each tag, set while an arena has it.
    taken: [u64; WORDS],
    /// How many files are open whose arenas have a tag.
    kept: BTreeMap<u16, usize>,
    /// Where the search begins, once `started` is set.
    next: u16,
    started: bool,
}

impl Register {
    const fn new() -> Self {
        Self {
            taken: [0; WORDS],
            kept: BTreeMap::new(),
            next: 0,
            started: false,
        }
    }

    /// Takes a tag that no living arena has, or returns `None` if they have all tags.
    fn take(&mut self) -> Option<u16> {
        if !self.started {
            (self.next, self.started) = (first_tag(), true);
        }
        for _ in 0..TAGS {
            let tag = self.next;
            self.next = self.next.wrapping_add(1);
            let (word, bit) = place(tag);
            let Some(word) = self.taken.get_mut(word).filter(|_| tag != 0) else {
                continue;
            };
            if *word & bit == 0 && !self.kept.contains_key(&tag) {
                *word |= bit;
                return Some(tag);
            }
        }
        None
    }

    /// Gives a tag back that was taken.
    fn give(&mut self, tag: u16) {
        let (word, bit) = place(tag);
        if let Some(word) = self.taken.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Keeps a tag of a file from arenas that are made later, until it has been released as often.
    #[cfg(feature = "sealed")]
    fn keep(&mut self, tag: u16) {
        let files = self.kept.entry(tag).or_default();
        *files = files.saturating_add(1);
    }

    fn release(&mut self, tag: u16) {
        let files = self.kept.get(&tag).copied().unwrap_or(0);
        if files > 1 {
            self.kept.insert(tag, files.saturating_sub(1));
        } else {
            self.kept.remove(&tag);
        }
    }
}

/// That of the arenas of this process.
static REGISTER: Mutex<Register> = Mutex::new(Register::new());

fn register() -> MutexGuard<'static, Register> {
    REGISTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A tag, which belongs to this value until it is dropped.
#[derive(Debug)]
pub(crate) struct Tag {
    number: u16,
    /// Whether it came from a file, and others may have it too.
    is_kept: bool,
}

impl Tag {
    /// Takes a tag that no living arena has.
    pub(crate) fn take() -> Result<Self> {
        let Some(number) = register().take() else {
            let reason = "65,535 arenas are alive; put more items into each";
            return Err(Error::refused(
                ErrorKind::OutOfMemory,
                "make an arena",
                reason,
            ));
        };
        Ok(Self {
            number,
            is_kept: false,
        })
    }

    /// Keeps a tag of a file from arenas that are made later.
    #[cfg(feature = "sealed")]
    pub(crate) fn kept(number: u16) -> Self {
        register().keep(number);
        Self {
            number,
            is_kept: true,
        }
    }

    pub(crate) fn get(&self) -> u16 {
        self.number
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        if self.is_kept {
            register().release(self.number);
        } else {
            register().give(self.number);
        }
    }
}

/// Returns a tag that differs from process to process, so that a location stored by one process is
/// not taken for one of the next.
fn first_tag() -> u16 {
    use std::hash::{BuildHasher, RandomState};
    let [low, high, ..] = RandomState::new().hash_one(0).to_le_bytes();
    u16::from_le_bytes([low, high]).max(1)
}

fn place(tag: u16) -> (usize, u64) {
    (usize::from(tag / 64), 1 << (tag % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests that take many tags have a register of their own. With that of the process they changed
    /// what the others saw, and whether they passed was up to the order of the threads.
    fn take(register: &mut Register) -> u16 {
        register.take().unwrap()
    }

    #[test]
    fn living_arenas_never_share_a_tag() {
        let mut register = Register::new();
        let mut tags: Vec<u16> = (0..10_000).map(|_| take(&mut register)).collect();
        tags.drain(..5_000).for_each(|tag| register.give(tag));
        let mut is_alive = vec![false; TAGS];
        for tag in &tags {
            is_alive[usize::from(*tag)] = true;
        }
        // Once around.
        for _ in 0..TAGS {
            let tag = take(&mut register);
            assert!(!is_alive[usize::from(tag)], "{tag} is alive");
            register.give(tag);
        }
        tags.extend((0..20_000).map(|_| take(&mut register)));
        tags.sort_unstable();
        assert!(tags.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(tags[0] > 0, "0 belongs to the default location");
    }

    #[test]
    fn the_last_tag_can_be_had_and_no_more() {
        let mut register = Register::new();
        assert!((1..TAGS).all(|_| register.take().is_some()));
        assert_eq!(register.take(), None);
        register.give(7);
        assert_eq!(register.take(), Some(7));
        assert_eq!(register.take(), None);
    }

    #[cfg(feature = "sealed")]
    #[test]
    fn the_tag_of_an_open_file_is_no_new_arenas() {
        let mut register = Register::new();
        let kept = take(&mut register);
        register.keep(kept);
        register.keep(kept);
        register.give(kept);
        register.release(kept);
        let is_given = |register: &mut Register| {
            (1..TAGS).any(|_| {
                let tag = take(register);
                register.give(tag);
                tag == kept
            })
        };
        assert!(!is_given(&mut register));
        register.release(kept);
        assert!(is_given(&mut register));
    }

    /// The search started again at a random tag after each round, so a tag was given again after as
    /// few as 2,311 arenas instead of tens of thousands.
    #[test]
    fn a_tag_is_given_again_as_late_as_possible() {
        let mut register = Register::new();
        let mut last_use = vec![None; TAGS];
        for turn in 0..200_000_usize {
            let tag = take(&mut register);
            register.give(tag);
            if let Some(last) = last_use[usize::from(tag)].replace(turn) {
                assert_eq!(turn - last, TAGS - 1, "{tag}");
            }
        }
    }

    /// Of the register of the process, only what no other test can change.
    #[test]
    fn a_tag_belongs_to_its_value_until_that_is_dropped() {
        let is_taken = |number| {
            let (word, bit) = place(number);
            register().taken[word] & bit != 0
        };
        let tag = Tag::take().unwrap();
        let number = tag.get();
        assert!(is_taken(number));
        #[cfg(feature = "sealed")]
        {
            drop(Tag::kept(number));
            assert!(is_taken(number), "it is the file that was closed");
            // No arena has 0, and no file.
            let file = Tag::kept(0);
            assert!(register().kept.contains_key(&0));
            drop(file);
            assert!(!register().kept.contains_key(&0));
        }
        drop(tag);
    }
}
