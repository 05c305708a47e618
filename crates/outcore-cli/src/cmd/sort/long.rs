//! Records that are too long for the sorter. There are few of them, so they are sorted by comparing
//! what is read again from their files, and merged with the others at the end.

use std::cmp::Ordering;
use std::io::Read;
use std::sync::{Mutex, OnceLock, PoisonError};

use outcore::{Arena, ArenaWriter};

use crate::cmd::sort::recipe::{PLACE_BYTES, Recipe, Tie};
use crate::failure::{Failure, Result};
use crate::input::list::Inputs;
use crate::input::reader::{At, Bytes, Long, Reader};
use crate::memory::budget::Budget;
use crate::output::writing::Filling;
use crate::record::order::text::{REVERSED_END, push_reversed_piece};
use crate::scratch::Scratch;

/// Bytes at the begin of a key that are kept in memory.
const PREFIX_BYTES: usize = 128;

/// What a record takes of memory.
const RECORD_BYTES: usize = 512;

/// Bytes that are read, or stored, at once.
const PIECE_BYTES: usize = 64 << 10;

/// What comparing and storing takes.
pub(crate) const NEEDED_BYTES: u64 = 8 * PIECE_BYTES as u64 + (256 << 10);

/// A long record.
#[derive(Debug)]
pub(crate) struct LongRecord {
    record: Long,
    /// Its key, if one was made.
    key: Option<Long>,
    place: u64,
    /// The begin of all that is compared, or all of it.
    prefix: Vec<u8>,
    is_whole: bool,
}

/// Long records in no order.
#[derive(Debug)]
pub(crate) struct Longs<'a> {
    scratch: &'a Scratch,
    budget: &'a Budget,
    inputs: &'a Inputs,
    recipe: &'a Recipe,
    arena: OnceLock<Arena>,
    writer: Mutex<Option<ArenaWriter>>,
    list: Mutex<Vec<LongRecord>>,
}

impl<'a> Longs<'a> {
    pub(crate) fn new(
        scratch: &'a Scratch,
        budget: &'a Budget,
        inputs: &'a Inputs,
        recipe: &'a Recipe,
    ) -> Self {
        Self {
            scratch,
            budget,
            inputs,
            recipe,
            arena: OnceLock::new(),
            writer: Mutex::default(),
            list: Mutex::default(),
        }
    }

    /// Puts bytes aside.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails.
    pub(crate) fn store(&self, bytes: &[u8]) -> Result<Long> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let arena = if let Some(arena) = self.arena.get() {
            arena.clone()
        } else {
            let arena = self.scratch.arena()?;
            self.arena.get_or_init(|| arena).clone()
        };
        if writer.is_none() {
            *writer = Some(arena.writer()?);
        }
        let mut pieces = Vec::new();
        if let Some(writer) = &mut *writer {
            for piece in bytes.chunks(PIECE_BYTES) {
                pieces.push(writer.push(piece)?);
            }
            // It may be read at once.
            writer.flush()?;
        }
        Ok(Long {
            at: At::Scratch { arena, pieces },
            len: bytes.len() as u64,
            separated: true,
        })
    }

    /// Adds a record, with its key if the recipe has any.
    ///
    /// # Errors
    ///
    /// There is no memory for the list of them, or it cannot be read.
    pub(crate) fn add(&self, record: Long, key: Option<Long>, place: u64) -> Result<()> {
        if !self.budget.charge(RECORD_BYTES) {
            return Err(Failure::new(
                "the list of long lines alone does not fit --memory; give more",
            ));
        }
        let mut long = LongRecord {
            record,
            key,
            place,
            prefix: Vec::new(),
            is_whole: false,
        };
        let mut readers = [(); 2].map(|()| Reader::new(self.inputs, PREFIX_BYTES));
        let mut bytes = KeyBytes::of_long(&long, self.recipe.tie, &mut readers);
        let mut prefix = Vec::with_capacity(PREFIX_BYTES);
        let is_whole = loop {
            let fresh = bytes.fetch()?;
            let room = PREFIX_BYTES - prefix.len();
            prefix.extend_from_slice(&fresh[..fresh.len().min(room)]);
            if fresh.is_empty() || fresh.len() > room {
                break fresh.is_empty();
            }
        };
        drop(bytes);
        (long.prefix, long.is_whole) = (prefix, is_whole);
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(long);
        Ok(())
    }

    /// Returns all of them, in order.
    ///
    /// # Errors
    ///
    /// One cannot be read.
    pub(crate) fn sorted(self) -> Result<SortedLongs<'a>> {
        let list = self.list.into_inner();
        let mut list = list.unwrap_or_else(PoisonError::into_inner);
        // Equal ones of one place do not exist, and of those of a key the first may have to stay.
        list.sort_by_key(|long| long.place);
        let mut comparer = Comparer {
            readers: [(); 4].map(|()| Reader::new(self.inputs, PIECE_BYTES)),
            tie: self.recipe.tie,
        };
        let mut sorted: Vec<Box<LongRecord>> = Vec::new();
        let mut dropped = 0;
        for long in list {
            let (mut low, mut high) = (0, sorted.len());
            let mut is_double = false;
            while low < high && !is_double {
                let middle = low.midpoint(high);
                match comparer.compare(&long, &sorted[middle])? {
                    Ordering::Less => high = middle,
                    Ordering::Equal if self.recipe.is_unique => is_double = true,
                    Ordering::Equal | Ordering::Greater => low = middle + 1,
                }
            }
            if is_double {
                dropped += 1;
            } else {
                sorted.insert(low, Box::new(long));
            }
        }
        Ok(SortedLongs {
            list: sorted.into_iter().peekable(),
            comparer,
            is_unique: self.recipe.is_unique,
            dropped,
            reader: Reader::new(self.inputs, PIECE_BYTES),
        })
    }
}

/// Long records in order.
pub(crate) struct SortedLongs<'a> {
    list: std::iter::Peekable<std::vec::IntoIter<Box<LongRecord>>>,
    comparer: Comparer<'a>,
    is_unique: bool,
    /// How many did not stay.
    pub(crate) dropped: u64,
    reader: Reader<'a>,
}

impl SortedLongs<'_> {
    /// Returns whether there are none left.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.list.peek().is_none()
    }

    /// Writes those that come before a record of the sorter; returns whether that has to go, since a
    /// long one stays in its place.
    ///
    /// # Errors
    ///
    /// One cannot be read, or the output cannot be written.
    pub(crate) fn write_before(
        &mut self,
        (key, value): (&[u8], &[u8]),
        end: u8,
        filling: &mut Filling<'_>,
    ) -> Result<bool> {
        while let Some(long) = self.list.peek() {
            match self.comparer.compare_short(key, long)? {
                Ordering::Equal if self.is_unique => {
                    self.dropped += 1;
                    let place = value.first_chunk::<PLACE_BYTES>();
                    let place = place.map(|place| u64::from_be_bytes(*place));
                    if self.comparer.tie == Tie::First && Some(long.place) < place {
                        self.write_next(end, filling)?;
                        return Ok(true);
                    }
                    self.list.next();
                    break;
                }
                Ordering::Less | Ordering::Equal => break,
                Ordering::Greater => self.write_next(end, filling)?,
            }
        }
        Ok(false)
    }

    /// Writes all that are left.
    ///
    /// # Errors
    ///
    /// Those of [`write_before`](Self::write_before).
    pub(crate) fn write_rest(&mut self, end: u8, filling: &mut Filling<'_>) -> Result<()> {
        while !self.is_empty() {
            self.write_next(end, filling)?;
        }
        Ok(())
    }

    fn write_next(&mut self, end: u8, filling: &mut Filling<'_>) -> Result<()> {
        let Some(long) = self.list.next() else {
            return Ok(());
        };
        self.reader
            .pieces(&long.record, |piece| filling.push(piece))?;
        filling.push(&[end])?;
        filling.count_record();
        Ok(())
    }
}

/// Compares long records.
struct Comparer<'a> {
    readers: [Reader<'a>; 4],
    tie: Tie,
}

impl Comparer<'_> {
    fn compare(&mut self, a: &LongRecord, b: &LongRecord) -> Result<Ordering> {
        let common = a.prefix.len().min(b.prefix.len());
        let by_prefix = a.prefix[..common].cmp(&b.prefix[..common]);
        if by_prefix.is_ne() {
            return Ok(by_prefix);
        }
        if a.is_whole || b.is_whole {
            // One that is longer than its prefix has more than the other.
            let len = |long: &LongRecord| long.prefix.len() + usize::from(!long.is_whole);
            return Ok(len(a).cmp(&len(b)));
        }
        let [first, second, third, fourth] = &mut self.readers;
        let mut a = KeyBytes::new(a, self.tie, first, second);
        let mut b = KeyBytes::new(b, self.tie, third, fourth);
        let (mut from_a, mut from_b) = (&[][..], &[][..]);
        loop {
            if from_a.is_empty() {
                from_a = a.fetch()?;
            }
            if from_b.is_empty() {
                from_b = b.fetch()?;
            }
            if from_a.is_empty() || from_b.is_empty() {
                return Ok(from_a.len().cmp(&from_b.len()));
            }
            let common = from_a.len().min(from_b.len());
            let order = from_a[..common].cmp(&from_b[..common]);
            if order.is_ne() {
                return Ok(order);
            }
            (from_a, from_b) = (&from_a[common..], &from_b[common..]);
        }
    }

    /// Compares a key of the sorter with that of a long record.
    fn compare_short(&mut self, mut key: &[u8], long: &LongRecord) -> Result<Ordering> {
        let common = key.len().min(long.prefix.len());
        let by_prefix = key[..common].cmp(&long.prefix[..common]);
        if by_prefix.is_ne() {
            return Ok(by_prefix);
        }
        if long.is_whole {
            return Ok(key.len().cmp(&long.prefix.len()));
        }
        if key.len() <= long.prefix.len() {
            return Ok(Ordering::Less);
        }
        let [first, second, ..] = &mut self.readers;
        let mut bytes = KeyBytes::new(long, self.tie, first, second);
        loop {
            let fresh = bytes.fetch()?;
            let common = fresh.len().min(key.len());
            let order = key[..common].cmp(&fresh[..common]);
            if order.is_ne() {
                return Ok(order);
            }
            key = &key[common..];
            if key.is_empty() || fresh.is_empty() {
                // Where nothing was fetched, the long one has ended.
                let has_more = fresh.len() > common || !bytes.fetch()?.is_empty();
                return Ok(key.len().cmp(&usize::from(has_more)));
            }
        }
    }
}

/// All that is compared of a long record, from begin to end.
struct KeyBytes<'r, 'a> {
    key: Option<Bytes<'r, 'a>>,
    record: Option<Bytes<'r, 'a>>,
    is_reversed: bool,
    end: Vec<u8>,
    raw: Vec<u8>,
    piece: Vec<u8>,
}

impl<'r, 'a> KeyBytes<'r, 'a> {
    fn of_long(long: &'r LongRecord, tie: Tie, readers: &'r mut [Reader<'a>; 2]) -> Self {
        let [first, second] = readers;
        Self::new(long, tie, first, second)
    }

    fn new(
        long: &'r LongRecord,
        tie: Tie,
        of_key: &'r mut Reader<'a>,
        of_record: &'r mut Reader<'a>,
    ) -> Self {
        let key = long.key.as_ref().map(|key| of_key.bytes(key));
        let has_record = matches!(tie, Tie::Record | Tie::Reversed);
        let record = has_record.then(|| of_record.bytes(&long.record));
        Self {
            key,
            record,
            is_reversed: tie == Tie::Reversed,
            end: match tie {
                Tie::Record | Tie::First => Vec::new(),
                Tie::Reversed => REVERSED_END.to_vec(),
                Tie::Place => long.place.to_be_bytes().to_vec(),
            },
            raw: Vec::new(),
            piece: Vec::new(),
        }
    }

    /// Returns the next bytes; none are the end.
    fn fetch(&mut self) -> Result<&[u8]> {
        for (bytes, is_reversed) in [(&mut self.key, false), (&mut self.record, self.is_reversed)] {
            let Some(reading) = bytes else { continue };
            self.raw.resize(PIECE_BYTES, 0);
            match reading.read(&mut self.raw) {
                Ok(0) => *bytes = None,
                Ok(len) => {
                    self.piece.clear();
                    if is_reversed {
                        push_reversed_piece(&self.raw[..len], &mut self.piece);
                    } else {
                        self.piece.extend_from_slice(&self.raw[..len]);
                    }
                    return Ok(&self.piece);
                }
                Err(answer) => {
                    let failure = bytes.take().and_then(Bytes::into_failure);
                    return Err(failure.unwrap_or_else(|| Failure::read("a long line", &answer)));
                }
            }
        }
        self.piece = std::mem::take(&mut self.end);
        Ok(&self.piece)
    }
}
