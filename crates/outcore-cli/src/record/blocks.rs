//! Records that can be told apart only from the begin of an input on: those of CSV, and those of inputs
//! that are merged. They come in blocks of whole ones.

use std::io;

use crate::failure::{Failure, Result};
use crate::input::list::{Inputs, Stream};
use crate::record::order::csv::Splitter;
use crate::size::format_bytes;

/// What ends a record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// A byte.
    Separator(u8),
    /// A newline outside of quotes.
    Csv { delimiter: u8 },
}

impl Ending {
    /// Returns the byte that records end with.
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Separator(separator) => separator,
            Self::Csv { .. } => b'\n',
        }
    }
}

/// A block has at most two records for so many bytes of a step. Short ones would take several times
/// their bytes of memory: where a record ends is a word.
const STEP_PER_RECORD: usize = 32;

/// One input, read from begin to end.
pub(crate) struct Blocks {
    stream: Stream,
    input: usize,
    ending: Ending,
    splitter: Splitter,
    buffer: Vec<u8>,
    /// Where the first record that was not handed out starts.
    start: usize,
    /// Up to where the buffer was searched for ends of records, and filled.
    searched: usize,
    end: usize,
    /// Bytes that are read at once.
    step: usize,
    len_max: usize,
    has_ended: bool,
    read_bytes: u64,
    /// The line of the input in which that record starts.
    line: u64,
}

/// Some records in a row, each without what ends it.
#[derive(Debug, Default)]
pub(crate) struct Block {
    text: Vec<u8>,
    /// Where records end in it, behind their separator.
    ends: Vec<usize>,
    /// Where the first record starts.
    start: usize,
    input: usize,
    /// The line in which the text starts.
    line: u64,
    /// Bytes of the input that were read for it.
    pub(crate) read_bytes: u64,
}

impl Block {
    /// Returns the records.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = self.start;
        self.ends.iter().map(move |&end| {
            let record = &self.text[start..end - 1];
            start = end;
            record
        })
    }

    /// Takes the first record away.
    pub(crate) fn drop_first(&mut self) {
        if !self.ends.is_empty() {
            self.start = self.ends.remove(0);
        }
    }

    /// Returns the input that the records are from, and the line of CSV in which one of them starts.
    pub(crate) fn place_of(&self, number: usize) -> (usize, u64) {
        let before = number.checked_sub(1);
        let start = before.map_or(self.start, |before| self.ends[before]);
        (self.input, self.line + lines_in(&self.text[..start]))
    }

    /// Returns one of the records.
    pub(crate) fn get(&self, number: usize) -> Option<&[u8]> {
        let end = *self.ends.get(number)?;
        let start = number
            .checked_sub(1)
            .map_or(self.start, |before| self.ends[before]);
        Some(&self.text[start..end - 1])
    }
}

impl Blocks {
    /// Opens an input. A block has about `step` bytes, or a record of at most `len_max`.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub(crate) fn open(
        inputs: &Inputs,
        input: usize,
        ending: Ending,
        step: usize,
        len_max: usize,
    ) -> Result<Self> {
        let delimiter = match ending {
            Ending::Separator(_) => 0,
            Ending::Csv { delimiter } => delimiter,
        };
        Ok(Self {
            stream: inputs.open_stream(input)?,
            input,
            ending,
            splitter: Splitter::new(delimiter),
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            end: 0,
            step: step.max(1),
            len_max,
            has_ended: false,
            read_bytes: 0,
            line: 1,
        })
    }

    /// Fills `block` with the next records; returns whether there were any. The last one gets the
    /// separator that it may lack.
    ///
    /// # Errors
    ///
    /// The input cannot be read, or a record is too long.
    pub(crate) fn next(&mut self, inputs: &Inputs, block: &mut Block) -> Result<bool> {
        block.text.clear();
        block.ends.clear();
        block.start = 0;
        loop {
            self.search(&mut block.ends);
            if !block.ends.is_empty() || self.has_ended {
                break;
            }
            self.read(inputs, &mut block.ends)?;
        }
        let Some(&last) = block.ends.last() else {
            return Ok(false);
        };
        let start = self.start;
        for end in &mut block.ends {
            *end -= start;
        }
        block.text.extend_from_slice(&self.buffer[start..last]);
        (block.input, block.line) = (self.input, self.line);
        self.line += match self.ending {
            Ending::Separator(_) => block.ends.len() as u64,
            Ending::Csv { .. } => lines_in(&block.text),
        };
        block.read_bytes = std::mem::take(&mut self.read_bytes);
        self.start = last;
        Ok(true)
    }

    /// Finds the ends of some records in what was read.
    fn search(&mut self, ends: &mut Vec<usize>) {
        let few = (self.step / STEP_PER_RECORD).max(1);
        while self.searched < self.end && ends.len() < few {
            let start = self.searched;
            self.searched = self.end.min(start + few);
            let bytes = &self.buffer[start..self.searched];
            match self.ending {
                Ending::Separator(separator) => {
                    let found = memchr::memchr_iter(separator, bytes);
                    ends.extend(found.map(|at| start + at + 1));
                }
                Ending::Csv { .. } => self.splitter.feed(bytes, |end| ends.push(start + end)),
            }
        }
    }

    /// Reads more behind a record that is not complete, if there is one. At the end of the input it is
    /// complete, whatever is missing.
    fn read(&mut self, inputs: &Inputs, ends: &mut Vec<usize>) -> Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.searched -= self.start;
            self.start = 0;
        }
        if self.end > self.len_max {
            let quotes = match self.ending {
                Ending::Separator(_) => "",
                Ending::Csv { .. } => "; a quote may be missing",
            };
            return Err(Failure::new(format!(
                "{}: line {}: a record has more than {}, the most that --memory has room for{quotes}",
                inputs.name(self.input),
                self.line,
                format_bytes(self.len_max as u64)
            )));
        }
        if self.buffer.len() < self.end + self.step + 1 {
            // A record that goes on and on gets twice as much each time.
            let len = (self.end + self.step + 1).max(self.end * 2);
            self.buffer.resize(len, 0);
        }
        // No more, however long the buffer was made for a record.
        let limit = self.end + self.step;
        let fresh = loop {
            match self.stream.read(&mut self.buffer[self.end..limit]) {
                Ok(len) => break len,
                Err(answer) if answer.kind() == io::ErrorKind::Interrupted => {}
                Err(answer) => return Err(Failure::read(&inputs.name(self.input), &answer)),
            }
        };
        self.read_bytes += fresh as u64;
        self.end += fresh;
        if fresh == 0 {
            self.has_ended = true;
            if self.end > 0 {
                self.buffer[self.end] = self.ending.byte();
                self.end += 1;
                self.searched = self.end;
                ends.push(self.end);
            }
        }
        Ok(())
    }
}

fn lines_in(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::input::list::Kind;
    use crate::memory::budget::Budget;
    use crate::random::Random;

    /// Hands out a few bytes at a time.
    struct Drops(Vec<u8>, usize);

    impl Read for Drops {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(self.0.len()).min(buffer.len());
            buffer[..len].copy_from_slice(&self.0[..len]);
            self.0.drain(..len);
            Ok(len)
        }
    }

    #[expect(
        clippy::panic_in_result_fn,
        reason = "what is refused is the outcome of some tests"
    )]
    fn records(text: &[u8], drop: usize, ending: Ending, step: usize) -> Result<Vec<Vec<u8>>> {
        let budget = Budget::with_available(1 << 20);
        let mut inputs = Inputs::new();
        let stream = Box::new(Drops(text.to_vec(), drop));
        inputs.push_stream("text", Kind::Stream, stream, &budget)?;
        let mut blocks = Blocks::open(&inputs, 0, ending, step, 40)?;
        let mut block = Block::default();
        let mut found = Vec::new();
        let mut read_bytes = 0;
        while blocks.next(&inputs, &mut block)? {
            read_bytes += block.read_bytes;
            for (number, record) in block.records().enumerate() {
                assert_eq!(block.get(number), Some(record));
                let start = found.iter().map(|record: &Vec<u8>| record.len() + 1).sum();
                if let Ending::Csv { .. } = ending {
                    assert_eq!(block.place_of(number), (0, 1 + lines_in(&text[..start])));
                }
                found.push(record.to_vec());
            }
        }
        assert!(!blocks.next(&inputs, &mut block)?);
        assert_eq!(read_bytes, text.len() as u64);
        Ok(found)
    }

    #[test]
    fn records_are_whole_however_their_bytes_come() {
        let mut random = Random::new(11);
        for _ in 0..2000 {
            let len = random.below(40);
            let bytes = *b"ab\n\n\0";
            let text: Vec<u8> = (0..len).map(|_| bytes[random.index(5)]).collect();
            let (drop, step) = (1 + random.index(20), 1 + random.index(20));
            for separator in [b'\n', 0] {
                let found = records(&text, drop, Ending::Separator(separator), step).unwrap();
                let whole = text.strip_suffix(&[separator]).unwrap_or(&text);
                let expected = whole.split(|&byte| byte == separator);
                let expected: Vec<_> = expected.map(<[u8]>::to_vec).collect();
                let expected = if text.is_empty() {
                    Vec::new()
                } else {
                    expected
                };
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn newlines_in_quotes_belong_to_records() {
        let ending = Ending::Csv { delimiter: b',' };
        for (drop, step) in [(1, 1), (3, 2), (100, 5), (100, 100)] {
            let found = records(b"a,\"x\ny\"\r\n\"\"\"\n\",1\nz", drop, ending, step).unwrap();
            let expected = [&b"a,\"x\ny\"\r"[..], b"\"\"\"\n\",1", b"z"];
            assert_eq!(found, expected);
        }
        let endless = format!("\"{}", "a\n".repeat(100));
        let refused = records(endless.as_bytes(), 100, ending, 9).unwrap_err();
        assert!(
            refused.to_string().ends_with("a quote may be missing"),
            "{refused}"
        );
    }
}
