//! Groups of byte strings in memory: keys in chunks, and a table of their positions.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "sizes of memory, which the budget bounds"
)]

use crate::budget::Array;
use crate::bug::bug;
use crate::error::Result;
use crate::external::groups::table::Table;
use crate::external::groups::value::GroupValue;
use crate::external::records::words::{self, Indexed};
use crate::external::records::{Record, Run, Sorter};

/// The largest number of bytes of a value.
pub(super) const VALUE_BYTES_MAX: usize = 1 << 10;

/// A key in memory, and its combined value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<V> {
    /// A word that sorting uses.
    pub(super) word: u64,
    pub(super) chunk: u32,
    pub(super) at: u32,
    pub(super) len: u32,
    pub(super) value: V,
}

/// The bytes of keys.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) chunks: Vec<Array<u8>>,
    /// The chunk that is being filled, and the number of bytes in it.
    chunk: usize,
    fill: usize,
    /// Bytes of all keys.
    bytes: u64,
}

impl Keys {
    pub(super) fn new(first: Array<u8>) -> Self {
        Self {
            chunks: vec![first],
            chunk: 0,
            fill: 0,
            bytes: 0,
        }
    }

    fn get(&self, chunk: u32, at: u32, len: u32) -> &[u8] {
        let start = at as usize;
        let chunk = self.chunks.get(chunk as usize);
        let Some(key) = chunk.and_then(|chunk| chunk.get(start..start + len as usize)) else {
            bug!("a key of {len} bytes at {start} of none");
        };
        key
    }

    pub(super) fn of<V>(&self, group: &Group<V>) -> &[u8] {
        self.get(group.chunk, group.at, group.len)
    }

    /// Adds a key, if there is room; returns its position.
    pub(super) fn push(&mut self, key: &[u8]) -> Option<(u32, u32, u32)> {
        while let Some(chunk) = self.chunks.get_mut(self.chunk) {
            if let Some(target) = chunk.get_mut(self.fill..self.fill + key.len()) {
                target.copy_from_slice(key);
                let place = (self.chunk, self.fill, key.len());
                self.fill += key.len();
                self.bytes += key.len() as u64;
                let (chunk, at, len) = place;
                return Some((
                    u32::try_from(chunk).ok()?,
                    u32::try_from(at).ok()?,
                    u32::try_from(len).ok()?,
                ));
            }
            if self.chunk + 1 == self.chunks.len() {
                return None;
            }
            (self.chunk, self.fill) = (self.chunk + 1, 0);
        }
        None
    }

    pub(super) fn clear(&mut self) {
        (self.chunk, self.fill, self.bytes) = (0, 0, 0);
    }

    pub(super) fn memory(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }
}

impl<V> Indexed for Group<V> {
    #[inline]
    fn set_word(&mut self, word: u64) {
        self.word = word;
    }

    #[inline]
    fn order(&self) -> u128 {
        u128::from(self.word) << 32
    }
}

/// What an adder left in memory, with a buffer for writing it.
pub(super) struct Left<V> {
    pub(super) table: Table<Group<V>>,
    pub(super) keys: Keys,
    pub(super) buffer: Array<u8>,
    /// Whether the groups are at the first slots, in the order of their keys: no key can be looked up
    /// any more, and none added.
    pub(super) is_sorted: bool,
}

impl<V: Copy> Left<V> {
    /// Sorts the groups by their keys.
    pub(super) fn sort(&mut self) {
        if !self.is_sorted {
            sort(&mut self.table, &self.keys);
            self.is_sorted = true;
        }
    }
}

/// Sorts the groups of a table by their keys.
fn sort<'t, V: Copy>(table: &'t mut Table<Group<V>>, keys: &Keys) -> &'t mut [Group<V>] {
    let groups = table.compact();
    words::sort(groups, &|group| keys.of(group));
    groups
}

/// Writes the groups of an adder to a run; its table has to be cleared afterwards.
pub(super) fn write_run<V: GroupValue>(sorter: &Sorter, left: &mut Left<V>) -> Result<Option<Run>> {
    let Left {
        table,
        keys,
        buffer,
        is_sorted,
    } = left;
    if table.len() == 0 {
        return Ok(None);
    }
    let each = VALUE_BYTES_MAX.min(value_bytes::<V>(table)) + 8;
    let bytes = keys
        .bytes
        .saturating_add((table.len() as u64).saturating_mul(each as u64));
    let groups = if *is_sorted {
        table.compact()
    } else {
        sort(table, keys)
    };
    let mut run = sorter.begin_run(bytes, buffer)?;
    let mut value = Vec::new();
    for group in groups {
        value.clear();
        group.value.append_to(&mut value);
        run.push_record(Record {
            key: keys.of(group),
            value: &value,
            is_long: false,
        })?;
    }
    run.finish().map(Some)
}

/// Returns the bytes of the longest value.
pub(super) fn value_bytes<V: GroupValue>(table: &Table<Group<V>>) -> usize {
    let mut bytes = Vec::new();
    let lens = table.iter().map(|(_hash, group)| {
        bytes.clear();
        group.value.append_to(&mut bytes);
        bytes.len()
    });
    lens.max().unwrap_or(0)
}
