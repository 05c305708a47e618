//! The inputs as one sequence of blocks, each of whole lines.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result, shown};
use crate::memory::budget::Budget;
use crate::size::{format_bytes, format_count};

/// What a long line added to the buffer stays there for the next one, unless it is more
/// than this many blocks, ...
const KEPT_BLOCKS_MAX: usize = 8;

/// ... or more than this part of the memory that is left.
const SCARCE_DIVISOR: u64 = 4;

/// Something to read.
pub(crate) enum Input {
    /// A file, opened when its turn comes.
    Path(PathBuf),
    /// An open stream.
    Stream {
        /// In messages.
        name: String,
        stream: Box<dyn Read>,
        /// If it can be known.
        len_bytes: Option<u64>,
    },
}

impl Input {
    /// Takes an argument: a path, or `-` for standard input.
    ///
    /// Looks at files at once, so that a missing one is reported before any output.
    ///
    /// # Errors
    ///
    /// A path is missing, a directory, or may not be read.
    pub(crate) fn from_argument(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return stdin();
        }
        let refused = |answer| Failure::read(&shown(path), &answer);
        let facts = fs::metadata(path).map_err(refused)?;
        if facts.is_dir() {
            return Err(refused(io::ErrorKind::IsADirectory.into()));
        }
        // Opening anything else, such as a pipe, may wait or change it.
        if facts.is_file() {
            drop(open(path).map_err(refused)?);
        }
        Ok(Self::Path(path.to_owned()))
    }

    /// Returns how many bytes there are to read, if that can be known.
    pub(crate) fn len_bytes(&self) -> Option<u64> {
        match self {
            Self::Path(path) => {
                let facts = fs::metadata(path).ok()?;
                facts.is_file().then_some(facts.len())
            }
            Self::Stream { len_bytes, .. } => *len_bytes,
        }
    }

    /// Returns the name in messages and the bytes.
    fn open(self) -> Result<(String, Box<dyn Read>)> {
        let (name, stream) = match self {
            Self::Path(path) => {
                let name = shown(&path);
                let file = open(&path).map_err(|answer| Failure::read(&name, &answer))?;
                (name, Box::new(file) as Box<dyn Read>)
            }
            Self::Stream { name, stream, .. } => (name, stream),
        };
        Ok((name, stream))
    }
}

/// Reads inputs one after another and hands out blocks of whole lines.
///
/// Only the very last line of all may come without its newline: where an input that
/// is not the last ends without one, it is added.
pub(crate) struct Blocks {
    inputs: std::vec::IntoIter<Input>,
    /// The input at hand, until its end.
    stream: Option<Box<dyn Read>>,
    /// Its name in messages, also after its end.
    name: String,
    /// What was read before it.
    before_bytes: u64,
    /// Of which `..start` is handed out, `start..end` the begin of a line, and the
    /// rest free.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    block_len: usize,
    read_bytes: u64,
}

impl Blocks {
    /// Reads `inputs` with buffers of `block_len` bytes.
    ///
    /// # Errors
    ///
    /// The budget does not hold a block.
    pub(crate) fn new(inputs: Vec<Input>, block_len: usize, budget: &mut Budget) -> Result<Self> {
        let mut blocks = Self {
            inputs: inputs.into_iter(),
            stream: None,
            name: "the input".to_owned(),
            before_bytes: 0,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            block_len,
            read_bytes: 0,
        };
        if blocks.resize(block_len, budget) {
            return Ok(blocks);
        }
        Err(Failure::new(format!(
            "--memory {} leaves no room for a block of input",
            format_bytes(budget.limit_bytes())
        )))
    }

    /// Returns how many bytes were read.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Returns the name of the input that was read last.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the next lines, as many as one call to the system brought to an end.
    ///
    /// # Errors
    ///
    /// An input cannot be read, or a line is longer than the budget allows.
    pub(crate) fn next_block(&mut self, budget: &mut Budget) -> Result<Option<&mut [u8]>> {
        self.make_room(budget);
        loop {
            if self.end == self.buffer.len() {
                self.grow(budget)?;
            }
            if self.stream.is_none() {
                let Some(input) = self.inputs.next() else {
                    return Ok(None);
                };
                let (name, stream) = input.open()?;
                self.name = name;
                self.stream = Some(stream);
                self.before_bytes = self.read_bytes;
            }
            let lines_end = match self.read()? {
                0 => self.end_input(),
                len => self.end_of_lines(len),
            };
            if let Some(lines_end) = lines_end {
                self.start = lines_end;
                return Ok(Some(&mut self.buffer[..lines_end]));
            }
        }
    }

    /// Reads once into the free part; returns 0 at the end of the input only.
    fn read(&mut self) -> Result<usize> {
        let Some(stream) = &mut self.stream else {
            return Ok(0);
        };
        loop {
            match stream.read(&mut self.buffer[self.end..]) {
                Ok(len) => {
                    self.end += len;
                    self.read_bytes += len as u64;
                    return Ok(len);
                }
                Err(answer) if answer.kind() == io::ErrorKind::Interrupted => {}
                Err(answer) => return Err(Failure::read(&self.name, &answer)),
            }
        }
    }

    /// Returns where the last whole line ends if it ends in the last `len` bytes.
    fn end_of_lines(&self, len: usize) -> Option<usize> {
        let fresh = self.end - len;
        let newline = memchr::memrchr(b'\n', &self.buffer[fresh..self.end])?;
        Some(fresh + newline + 1)
    }

    /// Closes the input; returns where its last line ends if there is one left.
    fn end_input(&mut self) -> Option<usize> {
        self.stream = None;
        if self.end == 0 {
            return None;
        }
        // Whoever reads keeps a byte free for this.
        if self.inputs.len() > 0 {
            self.buffer[self.end] = b'\n';
            self.end += 1;
        }
        Some(self.end)
    }

    /// Moves the begin of a line to the front, and gives back what only a long line
    /// needed.
    fn make_room(&mut self, budget: &mut Budget) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let excess = self.buffer.len() - self.block_len;
        // Others need it, or it is much.
        let scarce = excess as u64 > budget.available_bytes() / SCARCE_DIVISOR;
        let large = excess / KEPT_BLOCKS_MAX >= self.block_len;
        if (scarce || large) && self.end < self.block_len {
            budget.release(excess);
            self.buffer.truncate(self.block_len);
            self.buffer.shrink_to_fit();
        }
    }

    /// Makes room for more of a line that does not fit the buffer.
    fn grow(&mut self, budget: &mut Budget) -> Result<()> {
        // Half as long again: the copies of a long line stay a small multiple of it.
        let len = self.buffer.len() + (self.buffer.len() / 2).max(1);
        if self.resize(len, budget) {
            return Ok(());
        }
        let at = self.read_bytes - self.before_bytes - self.end as u64;
        Err(Failure::new(format!(
            "cannot read {}: the line at byte {} is longer than the {} that --memory {} leaves \
             for a line; give more",
            self.name(),
            format_count(at),
            format_bytes(self.end as u64),
            format_bytes(budget.limit_bytes())
        )))
    }

    /// Gives the buffer a larger length, if budget and system allow.
    ///
    /// The allocator may have to copy: for a moment the old buffer counts, too.
    fn resize(&mut self, len: usize, budget: &mut Budget) -> bool {
        let additional = len - self.buffer.len();
        if !budget.charge(len) {
            return false;
        }
        let granted = self.buffer.try_reserve_exact(additional).is_ok();
        if granted {
            budget.release(self.buffer.len());
            self.buffer.resize(len, 0);
        } else {
            budget.release(len);
        }
        granted
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

/// Returns standard input without the buffer that std puts in front of it.
#[cfg(unix)]
fn stdin() -> Result<Input> {
    use std::os::fd::AsFd;

    let name = "standard input";
    let refused = |answer| Failure::read(name, &answer);
    let owned = io::stdin().as_fd().try_clone_to_owned().map_err(refused)?;
    let file = File::from(owned);
    let facts = file.metadata().map_err(refused)?;
    Ok(Input::Stream {
        name: name.to_owned(),
        stream: Box::new(file),
        len_bytes: facts.is_file().then_some(facts.len()),
    })
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn stdin() -> Result<Input> {
    Ok(Input::Stream {
        name: "standard input".to_owned(),
        stream: Box::new(io::stdin()),
        len_bytes: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out at most `step` bytes at once, with interruptions.
    struct Trickle {
        bytes: Vec<u8>,
        at: usize,
        step: usize,
        interrupted: bool,
    }

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let rest = &self.bytes[self.at..];
            let len = rest.len().min(self.step).min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            self.at += len;
            Ok(len)
        }
    }

    fn stream(bytes: &[u8], step: usize) -> Input {
        Input::Stream {
            name: "test".to_owned(),
            stream: Box::new(Trickle {
                bytes: bytes.to_vec(),
                at: 0,
                step,
                interrupted: false,
            }),
            len_bytes: None,
        }
    }

    /// Reads all blocks; checks that each is of whole lines, but for the last.
    fn read_all(texts: &[&str], block_len: usize, step: usize) -> String {
        let mut budget = Budget::with_available(1 << 20);
        let inputs = texts.iter().map(|text| stream(text.as_bytes(), step));
        let mut blocks = Blocks::new(inputs.collect(), block_len, &mut budget).unwrap();
        let mut whole = true;
        let mut all = String::new();
        while let Some(block) = blocks.next_block(&mut budget).unwrap() {
            assert!(whole, "a line was cut at {:?}", all.lines().last());
            assert!(!block.is_empty());
            whole = block.ends_with(b"\n");
            all.push_str(std::str::from_utf8(block).unwrap());
        }
        let read: usize = texts.iter().map(|text| text.len()).sum();
        assert_eq!(blocks.read_bytes(), read as u64);
        all
    }

    #[test]
    fn blocks_are_the_input_cut_between_lines() {
        let text = "a\n\nlonger than any block\nb\r\n\n\nno newline at the end";
        for block_len in 1..40 {
            for step in [1, 2, 3, 7, 100] {
                assert_eq!(read_all(&[text], block_len, step), text);
            }
        }
    }

    #[test]
    fn lines_of_two_files_never_run_together() {
        for block_len in 1..6 {
            for step in 1..4 {
                let read = |texts| read_all(texts, block_len, step);
                assert_eq!(read(&["a", "b\n", "c"]), "a\nb\nc");
                assert_eq!(read(&["a", ""]), "a\n");
                assert_eq!(read(&["", "a"]), "a");
                assert_eq!(read(&["", "", ""]), "");
                assert_eq!(read(&["a\n", "\n", "b"]), "a\n\nb");
            }
        }
    }

    #[test]
    fn a_line_longer_than_the_memory_is_an_error_that_says_where() {
        let mut budget = Budget::with_available(10_000);
        let long = format!("first\nsecond\n{}\n", "x".repeat(20_000));
        let mut blocks = Blocks::new(vec![stream(long.as_bytes(), 100)], 64, &mut budget).unwrap();
        let failure = loop {
            match blocks.next_block(&mut budget) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the line was read"),
                Err(failure) => break failure.to_string(),
            }
        };
        assert!(failure.contains("line at byte 13 is longer"), "{failure}");
    }

    #[test]
    fn a_long_line_takes_memory_only_while_it_is_there() {
        let mut budget = Budget::with_available(100_000);
        let text = format!("a\n{}\nb\n", "x".repeat(20_000));
        let inputs = vec![stream(text.as_bytes(), 50), stream(b"c\nd\n", 50)];
        let mut blocks = Blocks::new(inputs, 64, &mut budget).unwrap();
        let free = budget.available_bytes();
        let mut lowest = free;
        while blocks.next_block(&mut budget).unwrap().is_some() {
            lowest = lowest.min(budget.available_bytes());
        }
        assert!(lowest < free - 20_000);
        assert_eq!(budget.available_bytes(), free);
    }
}
