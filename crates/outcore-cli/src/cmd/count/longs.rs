//! Lines that no chunk has room for, as groups: they stay where they are, and are compared there.
//! Their length alone makes them that, so none of them is also a key, and no key is as long.

use std::cmp::Ordering;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use crate::failure::{Failure, Result};
use crate::front::work;
use crate::input::list::Inputs;
use crate::input::reader::{Long, Reader};
use crate::memory::budget::Budget;

/// What a long line takes in memory, beside the list of its pieces.
const ENTRY_BYTES: usize = 160;

/// Bytes that are read and compared at once.
const PIECE_BYTES: usize = 64 << 10;

/// Memory for comparing and writing two lines, and the begin of one.
pub(crate) const NEEDED_BYTES: u64 = 6 * PIECE_BYTES as u64;

/// Collects long lines.
#[derive(Debug)]
pub(crate) struct Longs<'a> {
    inputs: &'a Inputs,
    budget: &'a Budget,
    list: Mutex<Vec<Long>>,
}

impl<'a> Longs<'a> {
    pub(crate) fn new(inputs: &'a Inputs, budget: &'a Budget) -> Self {
        let list = Mutex::default();
        Self {
            inputs,
            budget,
            list,
        }
    }

    /// Takes note of a line.
    ///
    /// # Errors
    ///
    /// There are more than memory has room for.
    pub(crate) fn add(&self, long: Long) -> Result<()> {
        work::charge_long(self.budget, &long, ENTRY_BYTES)?;
        let list = self.list.lock();
        list.unwrap_or_else(PoisonError::into_inner).push(long);
        Ok(())
    }

    /// Puts equal lines together, in the order of their bytes.
    ///
    /// # Errors
    ///
    /// One cannot be read.
    pub(crate) fn into_groups(self) -> Result<LongGroups<'a>> {
        let list = self.list.into_inner();
        let mut list = list.unwrap_or_else(PoisonError::into_inner);
        let mut readers = [0, 1].map(|_| Reader::new(self.inputs, PIECE_BYTES));
        let mut failed = None;
        let mut compare = |long: &Long, other: &Long| {
            if failed.is_some() {
                return Ordering::Equal;
            }
            compare(long, other, &mut readers).unwrap_or_else(|failure| {
                failed = Some(failure);
                Ordering::Equal
            })
        };
        list.sort_by(&mut compare);
        let mut groups: Vec<(Long, u64)> = Vec::new();
        for long in list {
            match groups.last_mut() {
                Some((before, count)) if compare(before, &long).is_eq() => *count += 1,
                _ => groups.push((long, 1)),
            }
        }
        if let Some(failure) = failed {
            return Err(failure);
        }
        Ok(LongGroups {
            groups,
            next: 0,
            begin: Vec::new(),
            reader: Reader::new(self.inputs, PIECE_BYTES),
        })
    }
}

/// Compares the bytes of two lines.
fn compare(long: &Long, other: &Long, readers: &mut [Reader<'_>; 2]) -> Result<Ordering> {
    let [first, second] = readers;
    let (mut first, mut second) = (first.bytes(long), second.bytes(other));
    let mut buffers = [vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]];
    let [piece, other_piece] = &mut buffers;
    loop {
        let lens = [fill(&mut first, piece), fill(&mut second, other_piece)];
        let [Some(len), Some(other_len)] = lens else {
            let failure = first.into_failure().or(second.into_failure());
            return Err(failure.unwrap_or(Failure::Stopped));
        };
        let found = piece[..len].cmp(&other_piece[..other_len]);
        if found.is_ne() || len < PIECE_BYTES {
            return Ok(found);
        }
    }
}

/// Fills a buffer, as far as there are bytes; `None` after a failure.
fn fill(bytes: &mut impl Read, buffer: &mut [u8]) -> Option<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match bytes.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(_) => return None,
        }
    }
    Some(len)
}

/// Long lines and how often they occur, in the order of their bytes.
#[derive(Debug)]
pub(crate) struct LongGroups<'a> {
    groups: Vec<(Long, u64)>,
    next: usize,
    /// The begin of the next one, once it is asked for.
    begin: Vec<u8>,
    reader: Reader<'a>,
}

impl LongGroups<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Returns the number and the count of the next line, if it comes before a key.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn next_before(&mut self, key: Option<&[u8]>) -> Result<Option<(usize, u64)>> {
        let Some((long, count)) = self.groups.get(self.next) else {
            return Ok(None);
        };
        let (number, count) = (self.next, *count);
        if let Some(key) = key {
            if self.begin.is_empty() {
                self.begin.resize(PIECE_BYTES, 0);
                let mut bytes = self.reader.bytes(long);
                let len = fill(&mut bytes, &mut self.begin);
                let Some(len) = len else {
                    return Err(bytes.into_failure().unwrap_or(Failure::Stopped));
                };
                self.begin.truncate(len);
            }
            let both = key.len().min(self.begin.len());
            let is_before = match self.begin[..both].cmp(&key[..both]) {
                Ordering::Equal if key.len() > both => is_less(long, key, &mut self.reader)?,
                // No key is as long as a long line.
                found => found.is_lt(),
            };
            if !is_before {
                return Ok(None);
            }
        }
        self.next += 1;
        self.begin.clear();
        Ok(Some((number, count)))
    }

    /// Passes on the pieces of a line.
    ///
    /// # Errors
    ///
    /// It cannot be read, or `each` fails.
    pub(crate) fn pieces(
        &mut self,
        number: usize,
        each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (long, _) = &self.groups[number];
        self.reader.pieces(long, each)
    }
}

/// Returns whether a long line comes before a key.
fn is_less(long: &Long, key: &[u8], reader: &mut Reader<'_>) -> Result<bool> {
    let mut bytes = reader.bytes(long);
    let mut piece = vec![0; PIECE_BYTES];
    let mut rest = key;
    loop {
        let Some(len) = fill(&mut bytes, &mut piece) else {
            return Err(bytes.into_failure().unwrap_or(Failure::Stopped));
        };
        let both = len.min(rest.len());
        let found = piece[..both].cmp(&rest[..both]);
        if found.is_ne() {
            return Ok(found.is_lt());
        }
        if len < PIECE_BYTES || rest.len() <= len {
            return Ok(len < rest.len());
        }
        rest = &rest[both..];
    }
}
