//! The parts of a sealed file that make it an Arrow IPC file: one column, one record batch, whose
//! buffers are the data.
//!
//! They are only written. To open a sealed file reads none of them.

use crate::format::description::IN_HEAD;
use crate::format::{DATA_START, PAGE_BYTES};

/// What the column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "bytemuck"),
    expect(dead_code, reason = "only vectors have columns of numbers")
)]
pub(crate) enum Column {
    Int {
        bits: i32,
        signed: bool,
    },
    /// 1 for 32 bits, 2 for 64.
    Float {
        precision: i16,
    },
    Fixed {
        bytes: i32,
    },
    /// Byte strings of any length, by offsets of 64 bits.
    Bytes,
    /// The same in UTF-8.
    Text,
}

/// One column of elements, and where they are behind the start of the data.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) column: Column,
    pub(crate) elements: i64,
    /// The length of the data in the record batch, with the zeros behind them.
    pub(crate) body_bytes: i64,
    /// Start and length of each buffer.
    pub(crate) buffers: Vec<(i64, i64)>,
}

/// The version V5 of the metadata.
const METADATA_VERSION: i16 = 4;

/// The name of the column.
const NAME: &str = "values";

/// What ends the file, and begins it with two zeros behind.
const MAGIC: &[u8; 6] = b"ARROW1";

impl Layout {
    /// Returns the bytes from the start of the file to the description in the head.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        head.extend(MAGIC);
        head.extend([0; 2]);
        let schema = Self::message(1, 0, |flat, at| self.schema(flat, at));
        let len = schema.len().next_multiple_of(8);
        push_message(&mut head, &schema, len);
        let batch = Self::message(3, self.body_bytes, |flat, at| self.batch(flat, at));
        // The rest of the head, with our description, is padding of this message.
        let start = self.batch_start();
        let len = DATA_START.saturating_sub(start.saturating_add(8));
        push_message(&mut head, &batch, usize::try_from(len).unwrap_or(0));
        head.truncate(usize::try_from(IN_HEAD).unwrap_or(0));
        head
    }

    /// Returns the bytes behind the description in the tail.
    pub(super) fn tail(&self, len: usize) -> Vec<u8> {
        let mut flat = Flat::new();
        let places = flat.table(&[
            Field::I16(METADATA_VERSION),
            Field::Offset,
            Field::Absent,
            Field::Offset,
        ]);
        if let [schema, blocks] = places[..] {
            self.schema(&mut flat, schema);
            flat.point_to_words(blocks);
            flat.vector_of_words(
                1,
                &[
                    self.batch_start(),
                    DATA_START.saturating_sub(self.batch_start()),
                    self.body_bytes.unsigned_abs(),
                ],
            );
        }
        // It ends at the length of itself, and starts at a multiple of eight.
        let end = len.saturating_sub(10);
        let start = end.saturating_sub(flat.0.len()) & !7;
        let mut tail = vec![0; start];
        tail.append(&mut flat.0);
        tail.resize(end, 0);
        let footer_len = end.saturating_sub(start) as u64;
        tail.extend(footer_len.to_le_bytes().iter().take(4));
        tail.extend(MAGIC);
        tail
    }

    /// Returns where the message of the record batch begins.
    fn batch_start(&self) -> u64 {
        let schema = Self::message(1, 0, |flat, at| self.schema(flat, at));
        (schema.len() as u64).next_multiple_of(8).saturating_add(16)
    }

    fn message(kind: u8, body: i64, header: impl Fn(&mut Flat, usize)) -> Vec<u8> {
        let mut flat = Flat::new();
        let places = flat.table(&[
            Field::I16(METADATA_VERSION),
            Field::U8(kind),
            Field::Offset,
            Field::I64(body),
        ]);
        if let [at] = places[..] {
            header(&mut flat, at);
        }
        flat.0
    }

    /// Writes a table of the schema, and makes the offset at `at` lead to it.
    fn schema(&self, flat: &mut Flat, at: usize) {
        let places = flat.table_at(at, &[Field::I16(0), Field::Offset]);
        let [fields] = places[..] else { return };
        flat.point_here(fields);
        let fields = flat.vector_of_offsets(1);
        // Name, nullable, type (union), dictionary, children.
        let kind = match self.column {
            Column::Int { .. } => 2,
            Column::Float { .. } => 3,
            Column::Fixed { .. } => 15,
            Column::Bytes => 19,
            Column::Text => 20,
        };
        let field = [
            Field::Offset,
            Field::U8(0),
            Field::U8(kind),
            Field::Offset,
            Field::Absent,
            Field::Offset,
        ];
        let places = flat.table_at(fields, &field);
        let [name, details, children] = places[..] else {
            return;
        };
        flat.point_here(name);
        flat.text(NAME);
        match self.column {
            Column::Int { bits, signed } => {
                flat.table_at(details, &[Field::I32(bits), Field::U8(signed.into())]);
            }
            Column::Float { precision } => {
                flat.table_at(details, &[Field::I16(precision)]);
            }
            Column::Fixed { bytes } => {
                flat.table_at(details, &[Field::I32(bytes)]);
            }
            Column::Bytes | Column::Text => {
                flat.table_at(details, &[]);
            }
        }
        flat.point_here(children);
        flat.vector_of_offsets(0);
    }

    /// Writes a table of the record batch, and makes the offset at `at` lead to it.
    fn batch(&self, flat: &mut Flat, at: usize) {
        let batch = [Field::I64(self.elements), Field::Offset, Field::Offset];
        let places = flat.table_at(at, &batch);
        let [nodes, buffers] = places[..] else { return };
        flat.point_to_words(nodes);
        flat.vector_of_words(1, &[self.elements.unsigned_abs(), 0]);
        flat.point_to_words(buffers);
        let words = self.buffers.iter().flat_map(|(start, len)| [*start, *len]);
        let words: Vec<_> = words.map(i64::unsigned_abs).collect();
        flat.vector_of_words(self.buffers.len(), &words);
    }
}

/// Returns the bytes from the start of a file that is none of Arrow's.
pub(super) fn no_head() -> Vec<u8> {
    let mut head = b"outcore\x1A".to_vec();
    head.resize(usize::try_from(IN_HEAD).unwrap_or(0), 0);
    head
}

/// Returns the same for the tail.
pub(super) fn no_tail(len: usize) -> Vec<u8> {
    vec![0; len]
}

/// Appends a message: a mark, its length with padding, its bytes.
fn push_message(target: &mut Vec<u8>, message: &[u8], len: usize) {
    debug_assert!(message.len() <= len && len <= usize::try_from(PAGE_BYTES).unwrap_or(0));
    target.extend([0xFF; 4]);
    target.extend((len as u64).to_le_bytes().iter().take(4));
    let end = target.len().saturating_add(len);
    target.extend(message);
    target.resize(end, 0);
}

/// A field of a table.
#[derive(Clone, Copy, Debug)]
enum Field {
    Absent,
    U8(u8),
    I16(i16),
    I32(i32),
    I64(i64),
    /// To something further on, which is set later.
    Offset,
}

impl Field {
    fn len(self) -> usize {
        match self {
            Self::Absent => 0,
            Self::U8(_) => 1,
            Self::I16(_) => 2,
            Self::I32(_) | Self::Offset => 4,
            Self::I64(_) => 8,
        }
    }
}

/// A flatbuffer, written from front to back: an offset leads to what is written after it.
struct Flat(Vec<u8>);

impl Flat {
    /// Makes one whose first four bytes will lead to its root.
    fn new() -> Self {
        Self(vec![0; 4])
    }

    /// Fills up with zeros until `len` bytes more end at a multiple of `align`.
    fn align(&mut self, len: usize, align: usize) {
        let end = self.0.len().saturating_add(len).next_multiple_of(align);
        self.0.resize(end.saturating_sub(len), 0);
    }

    /// Makes the offset at `at` lead to what comes next.
    fn point_here(&mut self, at: usize) {
        self.align(0, 4);
        self.set_offset(at);
    }

    /// Makes the offset at `at` lead to the vector of words that comes next.
    fn point_to_words(&mut self, at: usize) {
        self.align(4, 8);
        self.set_offset(at);
    }

    fn set_offset(&mut self, at: usize) {
        let distance = self.0.len().saturating_sub(at) as u64;
        self.set(at, &distance.to_le_bytes(), 4);
    }

    fn set(&mut self, at: usize, bytes: &[u8], len: usize) {
        let target = self.0.iter_mut().skip(at);
        for (target, byte) in target.zip(bytes.iter().take(len)) {
            *target = *byte;
        }
    }

    /// Writes a table where the offset at `at` will lead to.
    fn table_at(&mut self, at: usize, fields: &[Field]) -> Vec<usize> {
        let (table, places) = self.push_table(fields);
        let distance = table.saturating_sub(at) as u64;
        self.set(at, &distance.to_le_bytes(), 4);
        places
    }

    /// Writes the root.
    fn table(&mut self, fields: &[Field]) -> Vec<usize> {
        let (table, places) = self.push_table(fields);
        self.set(0, &(table as u64).to_le_bytes(), 4);
        places
    }

    /// Writes a table of fields behind the list of their places; returns where it is, and where the
    /// offsets in it are.
    fn push_table(&mut self, fields: &[Field]) -> (usize, Vec<usize>) {
        let mut places = Vec::new();
        let mut end = 4_usize;
        for field in fields {
            if field.len() == 0 {
                places.push(0);
                continue;
            }
            let place = end.next_multiple_of(field.len());
            places.push(place);
            end = place.saturating_add(field.len());
        }
        let list_len = fields.len().saturating_mul(2).saturating_add(4);
        self.align(list_len, 8);
        for number in [list_len, end].iter().chain(&places) {
            self.0.extend((*number as u64).to_le_bytes().iter().take(2));
        }
        let table = self.0.len();
        self.0
            .extend((list_len as u64).to_le_bytes().iter().take(4));
        self.0.resize(table.saturating_add(end), 0);
        let mut offsets = Vec::new();
        for (field, place) in fields.iter().zip(places) {
            let at = table.saturating_add(place);
            match *field {
                Field::Absent => {}
                Field::U8(number) => self.set(at, &[number], 1),
                Field::I16(number) => self.set(at, &number.to_le_bytes(), 2),
                Field::I32(number) => self.set(at, &number.to_le_bytes(), 4),
                Field::I64(number) => self.set(at, &number.to_le_bytes(), 8),
                Field::Offset => offsets.push(at),
            }
        }
        (table, offsets)
    }

    /// Writes a vector of structs of words of 64 bits, to which an offset leads already.
    fn vector_of_words(&mut self, count: usize, words: &[u64]) {
        self.0.extend((count as u64).to_le_bytes().iter().take(4));
        self.0
            .extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    /// Writes a vector of one offset or none; returns where the first one is.
    fn vector_of_offsets(&mut self, count: usize) -> usize {
        self.0.extend((count as u64).to_le_bytes().iter().take(4));
        let first = self.0.len();
        self.0
            .resize(first.saturating_add(count.saturating_mul(4)), 0);
        first
    }

    fn text(&mut self, text: &str) {
        self.0
            .extend((text.len() as u64).to_le_bytes().iter().take(4));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }
}
