//! Records in memory: their bytes, and an index that is sorted.

use std::cmp::Ordering;

use crate::budget::{Array, MemoryBudget};
use crate::bug::bug;
use crate::error::Result;
use crate::external::records::code;
use crate::external::records::code::{Code, UNKNOWN};
use crate::external::records::words;
use crate::sys::prefetch::{LINE_BYTES, prefetch};

/// Bytes before the key of a record: two lengths.
pub(super) const HEAD_BYTES: usize = 8;

/// How far ahead of a merge the index and the records of a chunk are fetched, and how much of a record.
const ENTRIES_AHEAD: usize = 6;
const RECORDS_AHEAD: usize = 2;
const LINES_AHEAD: usize = 2;

/// The bit of a value's length that says that the place of the value is stored, and not the value.
const IS_LONG: u32 = 1 << 31;

/// A record as it is stored: the lengths of key and value, and both.
#[derive(Clone, Copy, Debug)]
pub(in crate::external) struct Record<'a> {
    pub(in crate::external) key: &'a [u8],
    pub(in crate::external) value: &'a [u8],
    /// Whether `value` is the place of a [`Long`](crate::external::records::long::Long) one.
    pub(in crate::external) is_long: bool,
}

impl<'a> Record<'a> {
    /// Parses the record at the start of `bytes`, and returns its length too.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (key_len, rest) = bytes.split_first_chunk::<4>()?;
        let (value_len, rest) = rest.split_first_chunk::<4>()?;
        let key_len = usize::try_from(u32::from_le_bytes(*key_len)).ok()?;
        let value_len = u32::from_le_bytes(*value_len);
        let is_long = value_len & IS_LONG != 0;
        let value_len = usize::try_from(value_len & !IS_LONG).ok()?;
        let (key, rest) = rest.split_at_checked(key_len)?;
        let value = rest.get(..value_len)?;
        let len = HEAD_BYTES.checked_add(key_len)?.checked_add(value_len)?;
        let record = Self {
            key,
            value,
            is_long,
        };
        Some((record, len))
    }

    /// Returns the length of the stored record.
    pub(in crate::external) fn len(self) -> usize {
        let content = self.key.len().saturating_add(self.value.len());
        content.saturating_add(HEAD_BYTES)
    }

    /// Stores the record in the first bytes of `target`, if they suffice and its lengths fit into
    /// 32 bits.
    pub(super) fn store(self, target: &mut [u8]) -> Option<()> {
        let (key_len, rest) = target.split_first_chunk_mut::<4>()?;
        let (value_len, rest) = rest.split_first_chunk_mut::<4>()?;
        let (key, rest) = rest.split_at_mut_checked(self.key.len())?;
        *key_len = u32::try_from(self.key.len()).ok()?.to_le_bytes();
        let len = u32::try_from(self.value.len()).ok()?;
        let flag = if self.is_long { IS_LONG } else { 0 };
        *value_len = (len & IS_LONG == 0).then_some(len | flag)?.to_le_bytes();
        key.copy_from_slice(self.key);
        rest.get_mut(..self.value.len())?
            .copy_from_slice(self.value);
        Some(())
    }
}

/// A function that compares keys, or the order of bytes.
pub(super) type Compare = dyn Fn(&[u8], &[u8]) -> Ordering + Send + Sync;

/// The order of keys.
#[derive(Clone, Default)]
pub(super) struct KeyOrder {
    pub(super) compare: Option<std::sync::Arc<Compare>>,
}

impl KeyOrder {
    /// Returns whether codes tell how keys compare.
    pub(super) fn has_codes(&self) -> bool {
        self.compare.is_none()
    }

    pub(super) fn compare(&self, key: &[u8], other: &[u8]) -> Ordering {
        match &self.compare {
            Some(compare) => compare(key, other),
            None => key.cmp(other),
        }
    }
}

/// A piece of memory with records.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Array<u8>,
    used: usize,
    /// The length of the longest record.
    longest: usize,
    /// For each record its start. Once they are sorted by bytes, also the code of its key relative to
    /// that of the record before.
    index: Array<Entry>,
    count: usize,
    is_sorted: bool,
    has_codes: bool,
}

/// A word and another one of a code, or of what is sorted by; and between them the start of a record.
pub(super) type Entry = (u64, (u32, u32));

/// What a record has in the index.
pub(super) const ENTRY_BYTES: usize = size_of::<Entry>();

/// The division of a chunk's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) bytes: usize,
    pub(super) records: usize,
}

impl Layout {
    /// Divides `total` bytes for records of `record` bytes.
    pub(super) fn new(total: usize, record: usize) -> Self {
        let each = record.max(HEAD_BYTES).saturating_add(ENTRY_BYTES);
        let records = total.checked_div(each).unwrap_or(0).max(1);
        let index = records.saturating_mul(ENTRY_BYTES);
        Self {
            bytes: total
                .saturating_sub(index)
                .max(record)
                .min(u32::MAX as usize),
            records,
        }
    }

    pub(super) fn total(self) -> usize {
        let index = self.records.saturating_mul(ENTRY_BYTES);
        self.bytes.saturating_add(index)
    }
}

impl Chunk {
    pub(super) fn new(budget: &MemoryBudget, layout: Layout) -> Result<Self> {
        const ACTION: &str = "keep records in memory";
        Ok(Self {
            bytes: Array::new(budget, layout.bytes, ACTION)?,
            used: 0,
            longest: 0,
            index: Array::new(budget, layout.records, ACTION)?,
            count: 0,
            is_sorted: true,
            has_codes: false,
        })
    }

    /// Adds a record, if there is room.
    pub(super) fn push(&mut self, record: Record<'_>) -> Option<()> {
        let entry = self.index.get_mut(self.count)?;
        let at = u32::try_from(self.used).ok()?;
        record.store(self.bytes.get_mut(self.used..)?)?;
        *entry = (0, (at, 0));
        let len = record.len();
        self.used = self.used.saturating_add(len);
        self.longest = self.longest.max(len);
        self.count = self.count.saturating_add(1);
        self.is_sorted = false;
        Some(())
    }

    /// Sorts the index. Equal keys keep the order in which they were added.
    pub(super) fn sort(&mut self, order: &KeyOrder) {
        if self.is_sorted {
            return;
        }
        let bytes = &self.bytes;
        let key = |at: u32| key_at(bytes, at);
        let index = self.index.get_mut(..self.count).unwrap_or_default();
        if order.has_codes() {
            words::sort(index, &|(_, (at, _))| key(*at));
            let mut last: Option<&[u8]> = None;
            for (word, (at, depth)) in index.iter_mut() {
                let key = key(*at);
                let code = match last {
                    None => code::first_code(key),
                    Some(last) => code::compare(last, key).1,
                };
                (*word, *depth) = code::to_parts(code);
                last = Some(key);
            }
        } else {
            index.sort_unstable_by(|(_, (at, _)), (_, (other, _))| {
                let compared = order.compare(key(*at), key(*other));
                compared.then(at.cmp(other))
            });
        }
        self.is_sorted = true;
        self.has_codes = order.has_codes();
    }

    /// Moves the records into the order of the index, through another buffer, which the chunk keeps
    /// instead of its own: a merge then reads from each chunk one record after the other. Does nothing
    /// if the buffer is too short.
    pub(super) fn rearrange(&mut self, other: &mut Array<u8>) {
        if !self.is_sorted || other.len() < self.bytes.len() {
            return;
        }
        let Some(index) = self.index.get_mut(..self.count) else {
            bug!("{} records in an index of {}", self.count, self.index.len());
        };
        let mut end = 0_usize;
        for (_, (at, _)) in index {
            let stored = self.bytes.get(*at as usize..);
            let source = stored.and_then(|stored| {
                let (_record, len) = Record::parse(stored)?;
                stored.get(..len)
            });
            let len = source.map_or(0, <[u8]>::len);
            let target = other.get_mut(end..end.saturating_add(len));
            let (Some(source), Some(target), Ok(start)) = (source, target, u32::try_from(end))
            else {
                bug!("no record at {at}, or no room for it at {end}");
            };
            target.copy_from_slice(source);
            *at = start;
            end = end.saturating_add(len);
        }
        std::mem::swap(&mut self.bytes, other);
    }

    /// Returns the record at a position in the order, and its bytes as stored.
    pub(super) fn get(&self, number: usize) -> Option<(Record<'_>, &[u8])> {
        let (_, (at, _)) = self.index.get(..self.count)?.get(number)?;
        let stored = self.bytes.get(usize::try_from(*at).ok()?..)?;
        let (record, len) = Record::parse(stored)?;
        Some((record, stored.get(..len)?))
    }

    /// Returns the code of the record at a position relative to the one before.
    #[inline]
    pub(super) fn code(&self, number: usize) -> Option<Code> {
        let (word, (_, depth)) = *self.index.get(..self.count)?.get(number)?;
        Some(if self.has_codes {
            code::from_parts((word, depth))
        } else {
            UNKNOWN
        })
    }

    /// Makes the processor fetch what a merge will read of the records that follow soon on the one at
    /// a position. It takes from each input in turn, so those are in no cache.
    #[inline]
    pub(super) fn will_need(&self, number: usize) {
        if let Some(entry) = self.index.get(number.saturating_add(ENTRIES_AHEAD)..) {
            prefetch(entry);
        }
        let entry = self.index.get(number.saturating_add(RECORDS_AHEAD));
        let Some((_, (at, _))) = entry else {
            return;
        };
        let Some(stored) = self.bytes.get(*at as usize..) else {
            return;
        };
        for line in stored.chunks(LINE_BYTES).take(LINES_AHEAD) {
            prefetch(line);
        }
    }

    /// Returns how many records there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Returns how many records come before the first one whose key does not fulfil a condition, which
    /// those of all before it fulfil.
    pub(super) fn partition_point(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        let index = self.index.get(..self.count).unwrap_or_default();
        index.partition_point(|(_, (at, _))| is_before(key_at(&self.bytes, *at)))
    }

    /// Returns the bytes of the records.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Returns the length of the longest record.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Returns the length of the longest record that fits into the empty chunk.
    pub(super) fn room(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the memory of the chunk in bytes.
    pub(super) fn total(&self) -> usize {
        let index = self.index.len().saturating_mul(ENTRY_BYTES);
        self.bytes.len().saturating_add(index)
    }

    pub(super) fn clear(&mut self) {
        (self.used, self.longest, self.count, self.is_sorted) = (0, 0, 0, true);
    }
}

/// Returns the key of the record that starts at a position.
#[inline]
fn key_at(bytes: &[u8], at: u32) -> &[u8] {
    let parsed = || {
        let stored = bytes.get(usize::try_from(at).ok()?..)?;
        let (key_len, rest) = stored.split_first_chunk::<4>()?;
        let key_len = usize::try_from(u32::from_le_bytes(*key_len)).ok()?;
        rest.get(4..)?.get(..key_len)
    };
    parsed().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_in_order_and_equal_keys_as_they_came() {
        let budget = MemoryBudget::new(1 << 20);
        let order = KeyOrder::default();
        let layout = Layout::new(4000, 20);
        let mut other = Array::new(&budget, layout.bytes, "test").unwrap();
        let mut chunk = Chunk::new(&budget, layout).unwrap();
        assert!(budget.used_bytes() <= 8000 && chunk.total() == layout.total());
        let mut model: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for n in 0..1000_u32 {
            let key = (n * 7 % 13)
                .to_string()
                .repeat(usize::try_from(n % 3).unwrap());
            let value = n.to_string();
            let record = Record {
                key: key.as_bytes(),
                value: value.as_bytes(),
                is_long: false,
            };
            if chunk.push(record).is_none() {
                break;
            }
            model.push((key.into_bytes(), value.into_bytes()));
        }
        assert!(model.len() > 80, "{}", model.len());
        chunk.sort(&order);
        model.sort_by(|a, b| a.0.cmp(&b.0));
        for is_rearranged in [false, true] {
            let mut end = 0;
            for (number, (key, value)) in model.iter().enumerate() {
                let (record, stored) = chunk.get(number).unwrap();
                assert_eq!((record.key, record.value), (&key[..], &value[..]));
                assert_eq!(record.len(), stored.len());
                let place = chunk.bytes.get(end..).unwrap().as_ptr();
                assert!(!is_rearranged || stored.as_ptr() == place);
                end += stored.len();
            }
            assert!(chunk.get(model.len()).is_none());
            chunk.rearrange(&mut other);
        }
    }

    #[test]
    fn bytes_that_are_no_record_are_not_taken_for_one() {
        let mut bytes = [0; 20];
        let record = Record {
            key: b"key",
            value: b"value",
            is_long: false,
        };
        assert!(record.store(&mut bytes[..15]).is_none());
        record.store(&mut bytes).unwrap();
        assert_eq!(Record::parse(&bytes).unwrap().1, 16);
        for len in 0..16 {
            assert!(Record::parse(&bytes[..len]).is_none(), "{len}");
        }
        assert!(Record::parse(&[0xff; 20]).is_none());
    }
}
