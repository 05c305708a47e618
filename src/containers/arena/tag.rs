//! The names of arenas: sixteen bits by which a location identifies its arena.
//!
//! A tag belongs to one living arena at a time, and is given again as late as possible. So a
//! location of another living arena is always recognized, and one of a dropped arena until 65,535
//! more arenas have been created.

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// The number of tags; 0 is that of the default location and belongs to no arena.
const TAGS: usize = 1 << 16;

const WORDS: usize = TAGS / 64;

#[derive(Debug)]
struct Register {
    /// One bit for each tag, set while an arena has it.
    taken: [u64; WORDS],
    /// Where the search begins, once `started` is set.
    next: u16,
    started: bool,
}

static REGISTER: Mutex<Register> = Mutex::new(Register {
    taken: [0; WORDS],
    next: 0,
    started: false,
});

/// A tag, which belongs to this value until it is dropped.
#[derive(Debug)]
pub(crate) struct Tag(u16);

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
            let Some(word) = register.taken.get_mut(word).filter(|_| tag != 0) else {
                continue;
            };
            if *word & bit == 0 {
                *word |= bit;
                return Ok(Self(tag));
            }
        }
        let reason = "65,535 arenas are alive; put more items into each";
        Err(Error::refused(
            ErrorKind::OutOfMemory,
            "make an arena",
            reason,
        ))
    }

    pub(crate) fn get(&self) -> u16 {
        self.0
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        let mut register = REGISTER.lock().unwrap_or_else(PoisonError::into_inner);
        let (word, bit) = place(self.0);
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
