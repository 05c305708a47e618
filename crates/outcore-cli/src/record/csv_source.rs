//! The records of CSV files in order, handed out to many threads; headers apart.

use std::sync::{Mutex, PoisonError};

use crate::failure::{Failure, Result};
use crate::input::list::Inputs;
use crate::record::blocks::{Block, Blocks, Ending};

/// The inputs, and how far they are handed out.
pub(crate) struct CsvSource<'a> {
    inputs: &'a Inputs,
    delimiter: u8,
    step: usize,
    len_max: usize,
    header: Vec<u8>,
    state: Mutex<State>,
}

struct State {
    number: u64,
    /// The input to be opened next.
    input: usize,
    open: Option<Blocks>,
    /// The block that begins with the header.
    first: Option<Block>,
}

impl<'a> CsvSource<'a> {
    /// Reads the header of the first input that has one. Blocks have about `step` bytes, and a record
    /// at most `len_max`.
    ///
    /// # Errors
    ///
    /// An input cannot be read.
    pub(crate) fn open(
        inputs: &'a Inputs,
        delimiter: u8,
        step: usize,
        len_max: usize,
    ) -> Result<Self> {
        let mut source = Self {
            inputs,
            delimiter,
            step,
            len_max,
            header: Vec::new(),
            state: Mutex::new(State {
                number: 0,
                input: 0,
                open: None,
                first: None,
            }),
        };
        let mut state = State {
            number: 0,
            input: 0,
            open: None,
            first: None,
        };
        let mut block = Block::default();
        while state.input < inputs.count() {
            let mut blocks = source.blocks(state.input)?;
            state.input += 1;
            if blocks.next(inputs, &mut block)? {
                source.header = block.get(0).unwrap_or_default().to_vec();
                block.drop_first();
                state.open = Some(blocks);
                state.first = Some(block);
                break;
            }
        }
        source.state = Mutex::new(state);
        Ok(source)
    }

    /// Returns the header, with a carriage return if it has one.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    fn blocks(&self, input: usize) -> Result<Blocks> {
        let ending = Ending::Csv {
            delimiter: self.delimiter,
        };
        Blocks::open(self.inputs, input, ending, self.step, self.len_max)
    }

    /// Fills `block` with the next records, and returns its number in the order of the input; `None`
    /// at the end.
    ///
    /// # Errors
    ///
    /// An input cannot be read, or has another header than the first.
    pub(crate) fn next(&self, block: &mut Block) -> Result<Option<u64>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = state.first.take() {
            *block = first;
            return Ok(Some(state.count()));
        }
        loop {
            if let Some(blocks) = &mut state.open {
                if blocks.next(self.inputs, block)? {
                    return Ok(Some(state.count()));
                }
                state.open = None;
            }
            if state.input >= self.inputs.count() {
                return Ok(None);
            }
            let input = state.input;
            state.input += 1;
            let mut blocks = self.blocks(input)?;
            if blocks.next(self.inputs, block)? {
                if !is_same_header(block.get(0).unwrap_or_default(), &self.header) {
                    return Err(other_header(self.inputs, input));
                }
                block.drop_first();
                state.open = Some(blocks);
                return Ok(Some(state.count()));
            }
        }
    }
}

impl State {
    fn count(&mut self) -> u64 {
        let number = self.number;
        self.number += 1;
        number
    }
}

/// Describes an input whose header is another one.
pub(crate) fn other_header(inputs: &Inputs, input: usize) -> Failure {
    let name = inputs.name(input);
    Failure::new(format!(
        "{name} has another header than the files before it"
    ))
}

/// Returns whether two headers name the same columns.
pub(crate) fn is_same_header(header: &[u8], other: &[u8]) -> bool {
    trimmed(header) == trimmed(other)
}

/// Returns a header without a byte order mark and a carriage return.
fn trimmed(header: &[u8]) -> &[u8] {
    let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
    header.strip_suffix(b"\r").unwrap_or(header)
}
