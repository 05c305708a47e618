//! The description of a sealed file: 512 bytes, once in the head and once in the tail.
//!
//! ```text
//!     0   8  magic: "outcore" 1A            56   8  bytes of data
//!     8   4  version: 1                     64  32  four numbers that depend on the kind
//!    12   4  kind: see docs/format.md       96   8  checksum of the index
//!    16  16  id of the file                104   8  checksum of the head before its description
//!    32   8  elements                      112   8  checksum of the tail behind its description
//!    40   8  bytes of an element           120   2  length of the type's name
//!    48   4  alignment of an element       122 255  name of the type, UTF-8
//!    52   4  bytes of a block              377 127  zero
//!                                          504   8  checksum of the 504 bytes before
//! ```

use crate::format::strings::{KIND_BYTES, KIND_TEXT, StringsLayout};
use crate::format::sums::{FileId, PAGE_SUMS, Part, SUM_BYTES, sum_of};
use crate::format::{DATA_START, PAGE_BYTES};

/// The bytes of a description.
pub(crate) const DESCRIPTION_BYTES: usize = 512;

/// Where it begins in the head.
pub(crate) const IN_HEAD: u64 = 3584;

const MAGIC: [u8; 8] = *b"outcore\x1A";

/// The version that this library writes.
pub(crate) const VERSION: u32 = 1;

/// The longest name of a type.
const NAME_BYTES_MAX: usize = 255;

/// The shortest and the longest block.
const BLOCK_BYTES: std::ops::RangeInclusive<u32> = 4096..=1 << 20;

/// The data end at a multiple of this, filled up by zeros.
pub(super) const DATA_ALIGN: u64 = 64;

/// The kind of vectors of plain elements.
pub(crate) const KIND_VECTOR: u32 = 1;

/// The kind of arenas: the bytes of items, and where they were in the arena.
pub(crate) const KIND_ARENA: u32 = 4;

/// The bytes of an entry that says where a run of items was in its arena.
pub(crate) const RUN_BYTES: u64 = 16;

/// What a sealed file holds. All lengths are consistent with each other, and with the length of the
/// file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) kind: u32,
    pub(crate) id: FileId,
    pub(crate) elements: u64,
    pub(crate) element_bytes: u64,
    pub(crate) element_align: u32,
    pub(crate) block_bytes: u32,
    pub(crate) data_bytes: u64,
    pub(crate) details: [u64; 4],
    pub(super) index_sum: u64,
    pub(super) head_sum: u64,
    pub(super) tail_sum: u64,
    pub(crate) type_name: String,
}

/// Why bytes are no description of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misread {
    /// They do not begin as one, or their checksum is wrong.
    Damaged,
    /// They are of a later version.
    Version(u32),
    /// They are one, of another file or an impossible one.
    Inconsistent(&'static str),
}

impl Description {
    /// Returns the bytes.
    pub(super) fn encode(&self) -> [u8; DESCRIPTION_BYTES] {
        let mut bytes = Vec::with_capacity(DESCRIPTION_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.id);
        bytes.extend(self.elements.to_le_bytes());
        bytes.extend(self.element_bytes.to_le_bytes());
        bytes.extend(self.element_align.to_le_bytes());
        bytes.extend(self.block_bytes.to_le_bytes());
        bytes.extend(self.data_bytes.to_le_bytes());
        bytes.extend(self.details.iter().flat_map(|word| word.to_le_bytes()));
        for sum in [self.index_sum, self.head_sum, self.tail_sum] {
            bytes.extend(sum.to_le_bytes());
        }
        let name = short_name(&self.type_name);
        bytes.extend((name.len() as u64).to_le_bytes().iter().take(2));
        bytes.extend(name.as_bytes());
        bytes.resize(DESCRIPTION_BYTES.saturating_sub(8), 0);
        bytes.extend(sum_of(&self.id, Part::Description, 0, &bytes).to_le_bytes());
        bytes
            .first_chunk()
            .copied()
            .unwrap_or([0; DESCRIPTION_BYTES])
    }

    /// Reads a description of a file that has `file_bytes` bytes.
    pub(super) fn parse(bytes: &[u8], file_bytes: u64) -> Result<Self, Misread> {
        let bytes: &[u8; DESCRIPTION_BYTES] = bytes.first_chunk().ok_or(Misread::Damaged)?;
        let mut fields = Fields(bytes);
        let magic: [u8; 8] = fields.take();
        let version = u32::from_le_bytes(fields.take());
        let kind = u32::from_le_bytes(fields.take());
        let id = fields.take();
        let stored = bytes.last_chunk().map(|sum| u64::from_le_bytes(*sum));
        let (body, _sum) = bytes.split_at(DESCRIPTION_BYTES.saturating_sub(8));
        let is_whole = stored == Some(sum_of(&id, Part::Description, 0, body));
        if magic != MAGIC || !is_whole {
            return Err(Misread::Damaged);
        }
        if version != VERSION {
            return Err(Misread::Version(version));
        }
        let mut number = || u64::from_le_bytes(fields.take());
        let (elements, element_bytes) = (number(), number());
        let element_align = u32::from_le_bytes(fields.take());
        let block_bytes = u32::from_le_bytes(fields.take());
        let mut number = || u64::from_le_bytes(fields.take());
        let data_bytes = number();
        let details = [(); 4].map(|()| number());
        let (index_sum, head_sum, tail_sum) = (number(), number(), number());
        let name_len = usize::from(u16::from_le_bytes(fields.take()));
        let name = fields
            .0
            .get(..name_len)
            .filter(|name| name.len() <= NAME_BYTES_MAX);
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        // It goes into messages, and so to terminals.
        let name = name.filter(|name| !name.contains(char::is_control));
        let description = Self {
            kind,
            id,
            elements,
            element_bytes,
            element_align,
            block_bytes,
            data_bytes,
            details,
            index_sum,
            head_sum,
            tail_sum,
            type_name: name
                .ok_or(Misread::Inconsistent("the name of its type"))?
                .to_owned(),
        };
        description
            .check(file_bytes)
            .map_err(Misread::Inconsistent)?;
        Ok(description)
    }

    /// Refuses what cannot be, so that later sums and products of these numbers fit.
    fn check(&self, file_bytes: u64) -> Result<(), &'static str> {
        if !self.block_bytes.is_power_of_two() || !BLOCK_BYTES.contains(&self.block_bytes) {
            return Err("the length of its blocks");
        }
        if !self.element_align.is_power_of_two() {
            return Err("the alignment of its elements");
        }
        // The lengths below are sums of numbers below 2^63.
        if self.data_bytes >= 1 << 62 || self.file_bytes() != file_bytes {
            return Err("the length of the file");
        }
        let needed = self.elements.checked_mul(self.element_bytes);
        if self.kind == KIND_VECTOR && needed != Some(self.data_bytes) {
            return Err("the number of its elements");
        }
        if self.kind == KIND_ARENA {
            let [tag, runs, ..] = self.details;
            if self.element_bytes != 1 || tag == 0 || u16::try_from(tag).is_err() {
                return Err("the tag of its arena");
            }
            let entries = runs.checked_mul(RUN_BYTES);
            let start = self.elements.checked_next_multiple_of(8);
            if start
                .zip(entries)
                .and_then(|(start, len)| start.checked_add(len))
                != Some(self.data_bytes)
            {
                return Err("the number of its runs");
            }
        }
        let has_strings = [KIND_BYTES, KIND_TEXT].contains(&self.kind);
        if has_strings && StringsLayout::of(self).is_none() {
            return Err("the lengths of its strings");
        }
        Ok(())
    }

    /// Returns the bytes of the data and of the zeros behind them: what the blocks cover.
    pub(crate) fn covered_bytes(&self) -> u64 {
        self.data_bytes.next_multiple_of(DATA_ALIGN)
    }

    /// Returns the number of blocks.
    pub(crate) fn blocks(&self) -> u64 {
        self.covered_bytes().div_ceil(u64::from(self.block_bytes))
    }

    /// Returns the number of pages of the table.
    pub(super) fn table_pages(&self) -> u64 {
        self.blocks().div_ceil(PAGE_SUMS)
    }

    /// Returns where the table of checksums is.
    pub(super) fn table(&self) -> std::ops::Range<u64> {
        let start = DATA_START.saturating_add(self.covered_bytes());
        start..start.saturating_add(self.blocks().saturating_mul(SUM_BYTES))
    }

    /// Returns where the index is: the checksums of the pages of the table.
    pub(super) fn index(&self) -> std::ops::Range<u64> {
        let start = self.table().end;
        start..start.saturating_add(self.table_pages().saturating_mul(SUM_BYTES))
    }

    /// Returns the length of the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.index().end.saturating_add(PAGE_BYTES)
    }
}

/// The bytes that were not taken yet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// Takes the next bytes; zeros where there are none, which is never so within a description.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((taken, rest)) = self.0.split_first_chunk() else {
            return [0; N];
        };
        self.0 = rest;
        *taken
    }
}

/// Returns as much of a name as fits.
pub(crate) fn short_name(name: &str) -> &str {
    let mut len = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(len) {
        len = len.saturating_sub(1);
    }
    name.get(..len).unwrap_or_default()
}
