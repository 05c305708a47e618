//! Byte strings in a sealed file: the bytes of all items one after another, and behind them where each
//! item begins and ends.
//!
//! ```text
//!   0               text_bytes                offsets_start                     data_bytes
//!   +---------------+-------------------------+---------------------------------+
//!   | bytes         | zeros, up to a multiple | 0, end of item 0, end of item 1 |
//!   | of all items  | of 64                   | and so on, 8 bytes each         |
//!   +---------------+-------------------------+---------------------------------+
//! ```
//!
//! The bytes come first: how many there are is known at the end, when the offsets are complete too.

use std::ops::Range;

use crate::format::arrow::{Column, Layout};
use crate::format::description::{DATA_ALIGN, Description};
use crate::format::write::Contents;

/// The kind of byte strings.
pub(crate) const KIND_BYTES: u32 = 2;

/// The kind of byte strings that are UTF-8 if they are what was written. To read them as text, that
/// is checked: anybody can write a file that says so.
pub(crate) const KIND_TEXT: u32 = 3;

/// The bytes of an offset.
pub(crate) const OFFSET_BYTES: u64 = 8;

/// Where the parts of byte strings are in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StringsLayout {
    count: u64,
    text_bytes: u64,
    data_bytes: u64,
}

impl StringsLayout {
    /// Returns the layout of `count` items of `text_bytes` bytes in all; `None` for more than a file
    /// can have.
    pub(crate) fn new(count: u64, text_bytes: u64) -> Option<Self> {
        let start = text_bytes.checked_next_multiple_of(DATA_ALIGN)?;
        let offsets = count.checked_add(1)?.checked_mul(OFFSET_BYTES)?;
        Some(Self {
            count,
            text_bytes,
            data_bytes: start.checked_add(offsets)?,
        })
    }

    /// Returns the layout of a file, if it has byte strings and its numbers agree.
    pub(crate) fn of(file: &Description) -> Option<Self> {
        if ![KIND_BYTES, KIND_TEXT].contains(&file.kind) {
            return None;
        }
        let [text_bytes, ..] = file.details;
        let layout = Self::new(file.elements, text_bytes)?;
        (layout.data_bytes == file.data_bytes).then_some(layout)
    }

    /// Returns the number of items.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the number of bytes of all items.
    pub(crate) fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Returns where the first offset is.
    pub(crate) fn offsets_start(&self) -> u64 {
        self.text_bytes.next_multiple_of(DATA_ALIGN)
    }

    /// Returns where the offsets are that say where items of a range begin and end: one more than
    /// there are items.
    pub(crate) fn offsets_of(&self, items: Range<usize>) -> Range<u64> {
        let place = |number: u64| {
            let bytes = number.saturating_mul(OFFSET_BYTES);
            self.offsets_start().saturating_add(bytes)
        };
        place(items.start as u64)..place((items.end as u64).saturating_add(1))
    }

    /// Returns what there is to say about such items when all are written; the blocks cover so many
    /// bytes.
    pub(crate) fn contents(&self, is_text: bool, covered_bytes: u64) -> Contents {
        let (kind, name, column) = if is_text {
            (KIND_TEXT, "str", Column::Text)
        } else {
            (KIND_BYTES, "[u8]", Column::Bytes)
        };
        Contents {
            kind,
            elements: self.count,
            element_bytes: 0,
            element_align: 1,
            details: [self.text_bytes, 0, 0, 0],
            type_name: name.to_owned(),
            arrow: self.arrow(column, covered_bytes),
        }
    }

    /// Returns how Arrow reads them; `None` if they are too long for its numbers.
    fn arrow(&self, column: Column, covered_bytes: u64) -> Option<Layout> {
        let number = |number: u64| i64::try_from(number).ok();
        let start = self.offsets_start();
        let offsets = (start, self.data_bytes.saturating_sub(start));
        Some(Layout {
            column,
            elements: number(self.count)?,
            body_bytes: number(covered_bytes)?,
            // No item is missing, so there are no bits that say so.
            buffers: vec![
                (0, 0),
                (number(offsets.0)?, number(offsets.1)?),
                (0, number(self.text_bytes)?),
            ],
        })
    }
}
