//! The names of arenas: sixteen bits by which a location identifies its arena.
//!
//! A tag belongs to one living arena at a time, and is given again as late as possible. So a
//! location of another living arena is always recognized, and one of a dropped arena until 65,535
//! more arenas have been created.
//!
//! An arena in a file keeps the tag that it had when it was sealed. New arenas do not get that while
//! the file is open.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// The number of tags; 0 is that of the default location and belongs to no arena.
const TAGS: usize = 1 << 16;

const WORDS: usize = TAGS / 64;

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

static REGISTER: Mutex<Register> = Mutex::new(Register {
    taken: [0; WORDS],
    kept: BTreeMap::new(),
    next: 0,
    started: false,
});

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
        let mut register = REGISTER.lock().unwrap_or_else(PoisonError::into_inner);
        if !register.started {
            (register.next, register.started) = (first_tag(), true);
        }
        for _ in 0..TAGS {
            let tag = register.next;
            register.next = register.next.wrapping_add(1);
            let (word, bit) = place(tag);
            let register = &mut *register;
            let Some(word) = register.taken.get_mut(word).filter(|_| tag != 0) else {
                continue;
            };
            if *word & bit == 0 && !register.kept.contains_key(&tag) {
                *word |= bit;
                return Ok(Self {
                    number: tag,
                    is_kept: false,
                });
            }
        }
        let reason = "65,535 arenas are alive; put more items into each";
        Err(Error::refused(
            ErrorKind::OutOfMemory,
            "make an arena",
            reason,
        ))
    }

    /// Keeps a tag of a file from arenas that are made later.
    #[cfg(feature = "sealed")]
    pub(crate) fn kept(number: u16) -> Self {
        let mut register = REGISTER.lock().unwrap_or_else(PoisonError::into_inner);
        let users = register.kept.entry(number).or_default();
        *users = users.saturating_add(1);
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
        let mut register = REGISTER.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_kept {
            let users = register.kept.get(&self.number).copied().unwrap_or(0);
            if users > 1 {
                register.kept.insert(self.number, users.saturating_sub(1));
            } else {
                register.kept.remove(&self.number);
            }
            return;
        }
        let (word, bit) = place(self.number);
        if let Some(word) = register.taken.get_mut(word) {
            *word &= !bit;
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

    #[test]
    fn living_arenas_never_share_a_tag() {
        let mut tags: Vec<Tag> = (0..10_000).map(|_| Tag::take().unwrap()).collect();
        tags.drain(..5_000);
        tags.extend((0..20_000).map(|_| Tag::take().unwrap()));
        let mut seen: Vec<u16> = tags.iter().map(Tag::get).collect();
        seen.sort_unstable();
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(seen[0] > 0, "0 belongs to the default location");
    }

    #[cfg(feature = "sealed")]
    #[test]
    fn the_tag_of_an_open_file_is_no_new_arenas() {
        let tag = Tag::take().unwrap();
        let number = tag.get();
        let (first, second) = (Tag::kept(number), Tag::kept(number));
        drop((tag, first));
        assert!((0..2 * TAGS).all(|_| Tag::take().unwrap().get() != number));
        drop(second);
        // Another test may have it the first time around.
        assert!((0..20 * TAGS).any(|_| Tag::take().unwrap().get() == number));
    }

    /// The search started again at a random tag after each round, so a tag was given again after as
    /// few as 2,311 arenas instead of tens of thousands.
    #[test]
    fn a_tag_is_given_again_as_late_as_possible() {
        let mut last_use = vec![None; TAGS];
        for turn in 0..200_000_usize {
            let tag = usize::from(Tag::take().unwrap().get());
            if let Some(last) = last_use[tag].replace(turn) {
                // Other tests take tags at the same time, which can only shorten the round a bit.
                assert!(turn - last > TAGS / 2, "{tag} after {}", turn - last);
            }
        }
    }
}
