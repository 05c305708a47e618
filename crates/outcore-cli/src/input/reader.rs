//! Records that are too long for a buffer: they are read in pieces, as often as needed,
//! and never held.

use std::io;
use std::sync::Arc;

use outcore::{Arena, InputFile, Location};
use xxhash_rust::xxh3::Xxh3;

use crate::failure::{Failure, Result};
use crate::input::list::{Inputs, Kind};

/// A long record.
#[derive(Clone, Debug)]
pub(crate) struct Long {
    pub(crate) at: At,
    /// Without the separator.
    pub(crate) len: u64,
    /// Whether it is written with a separator.
    pub(crate) separated: bool,
}

impl Long {
    /// Returns how many bytes it is written as.
    pub(crate) fn written_len(&self) -> u64 {
        self.len + u64::from(self.separated)
    }
}

/// Where a long record is.
#[derive(Clone, Debug)]
pub(crate) enum At {
    File { input: usize, start: u64 },
    Scratch { arena: Arena, pieces: Vec<Location> },
}

/// Reads parts of regular files and long records; every thread has one.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    inputs: &'a Inputs,
    open: Option<(usize, Arc<InputFile>)>,
    piece: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Makes a reader of pieces of that many bytes.
    pub(crate) fn new(inputs: &'a Inputs, piece_len: usize) -> Self {
        Self {
            inputs,
            open: None,
            piece: vec![0; piece_len],
        }
    }

    /// Returns what is read.
    pub(crate) fn inputs(&self) -> &'a Inputs {
        self.inputs
    }

    /// Takes note of a file that is open.
    pub(crate) fn remember(&mut self, input: usize, file: &Arc<InputFile>) {
        if self.open.as_ref().is_none_or(|(known, _)| *known != input) {
            self.open = Some((input, Arc::clone(file)));
        }
    }

    fn file(&mut self, input: usize) -> Result<Arc<InputFile>> {
        if let Some((known, file)) = &self.open {
            if *known == input {
                return Ok(Arc::clone(file));
            }
        }
        let file = self.inputs.open_file(input)?;
        self.open = Some((input, Arc::clone(&file)));
        Ok(file)
    }

    /// Fills `buffer` with the bytes of a file from `start` on.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is shorter than it was.
    pub(crate) fn read(&mut self, input: usize, buffer: &mut [u8], start: u64) -> Result<()> {
        let file = self.file(input)?;
        let read = file.read_exact_at(buffer, start);
        read.map_err(|refused| match refused.io_error() {
            Some(answer) if answer.kind() == io::ErrorKind::UnexpectedEof => {
                self.inputs.changed(input)
            }
            Some(answer) => Failure::read(&self.inputs.name(input), answer),
            None => refused.into(),
        })
    }

    /// Returns how many bytes of a file there are from `start` to the next separator, or
    /// to its end at `end`; and whether there is one.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub(crate) fn find(
        &mut self,
        input: usize,
        separator: u8,
        start: u64,
        end: u64,
    ) -> Result<(u64, bool)> {
        let mut found = None;
        self.pieces_of_file(input, start, end - start, |at, piece| {
            found = memchr::memchr(separator, piece).map(|offset| at + offset as u64);
            Ok(found.is_none())
        })?;
        Ok((found.unwrap_or(end - start), found.is_some()))
    }

    /// Counts the separators in the first `end` bytes of a file.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub(crate) fn count(&mut self, input: usize, separator: u8, end: u64) -> Result<u64> {
        let mut count = 0;
        self.pieces_of_file(input, 0, end, |_, piece| {
            count += memchr::memchr_iter(separator, piece).count() as u64;
            Ok(true)
        })?;
        Ok(count)
    }

    /// Passes on pieces with where they start in the part, while `each` wants more.
    fn pieces_of_file(
        &mut self,
        input: usize,
        start: u64,
        len: u64,
        mut each: impl FnMut(u64, &[u8]) -> Result<bool>,
    ) -> Result<()> {
        let mut piece = std::mem::take(&mut self.piece);
        let mut at = 0;
        let mut outcome = Ok(true);
        while at < len && matches!(outcome, Ok(true)) {
            let rest = usize::try_from(len - at).unwrap_or(usize::MAX);
            let part = rest.min(piece.len());
            let read = self.read(input, &mut piece[..part], start + at);
            outcome = read.and_then(|()| each(at, &piece[..part]));
            at += part as u64;
        }
        self.piece = piece;
        outcome.map(drop)
    }

    /// Passes on the pieces of a long record, without separator.
    ///
    /// # Errors
    ///
    /// It cannot be read, or `each` fails.
    pub(crate) fn pieces(
        &mut self,
        long: &Long,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        match &long.at {
            At::File { input, start } => {
                self.pieces_of_file(*input, *start, long.len, |_, piece| {
                    each(piece)?;
                    Ok(true)
                })
            }
            At::Scratch { arena, pieces } => {
                let mut bytes = Vec::new();
                for &location in pieces {
                    bytes.clear();
                    arena.get_into(location, &mut bytes)?;
                    each(&bytes)?;
                }
                Ok(())
            }
        }
    }

    /// Passes on the pieces of a whole input, which is read from begin to end.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has changed.
    pub(crate) fn pieces_of_input(
        &mut self,
        input: usize,
        mut each: impl FnMut(&[u8]),
    ) -> Result<()> {
        if let Kind::File(facts) = self.inputs.kind(input) {
            return self.pieces_of_file(input, 0, facts.len(), |_, piece| {
                each(piece);
                Ok(true)
            });
        }
        let name = self.inputs.name(input);
        let mut file = self.inputs.open_stream(input)?;
        loop {
            match io::Read::read(&mut file, &mut self.piece) {
                Ok(0) => return Ok(()),
                Ok(_) if self.inputs.kind(input) == Kind::Empty => {
                    return Err(self.inputs.changed(input));
                }
                Ok(len) => each(&self.piece[..len]),
                Err(answer) if answer.kind() == io::ErrorKind::Interrupted => {}
                Err(answer) => return Err(Failure::read(&name, &answer)),
            }
        }
    }

    /// Returns a long record as something to read from begin to end.
    pub(crate) fn bytes<'r>(&'r mut self, long: &'r Long) -> Bytes<'r, 'a> {
        Bytes {
            reader: self,
            long,
            piece: Vec::new(),
            next: 0,
            done: 0,
            failure: None,
        }
    }

    /// Returns a sum by which a change of a long record is found.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn sum(&mut self, long: &Long) -> Result<u64> {
        let mut sum = Xxh3::new();
        self.pieces(long, |piece| {
            sum.update(piece);
            Ok(())
        })?;
        Ok(sum.digest())
    }
}

/// The bytes of a long record, from begin to end.
pub(crate) struct Bytes<'r, 'a> {
    reader: &'r mut Reader<'a>,
    long: &'r Long,
    piece: Vec<u8>,
    /// How much of the piece is taken.
    next: usize,
    /// Bytes of the record up to the end of the piece, or, of one in scratch files, pieces.
    done: u64,
    failure: Option<Failure>,
}

impl Bytes<'_, '_> {
    /// Returns why a read failed, if one did.
    pub(crate) fn into_failure(self) -> Option<Failure> {
        self.failure
    }

    /// Fetches the next piece; an empty one is the end.
    fn fetch(&mut self) -> Result<()> {
        self.next = 0;
        match &self.long.at {
            At::File { input, start } => {
                let rest = usize::try_from(self.long.len - self.done).unwrap_or(usize::MAX);
                self.piece.resize(rest.min(self.reader.piece.len()), 0);
                let at = start + self.done;
                self.done += self.piece.len() as u64;
                self.reader.read(*input, &mut self.piece, at)
            }
            At::Scratch { arena, pieces } => {
                self.piece.clear();
                let number = usize::try_from(self.done).unwrap_or(usize::MAX);
                if let Some(&location) = pieces.get(number) {
                    arena.get_into(location, &mut self.piece)?;
                    self.done += 1;
                }
                Ok(())
            }
        }
    }
}

impl io::Read for Bytes<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.next == self.piece.len() {
            if let Err(failure) = self.fetch() {
                self.failure = Some(failure);
                return Err(io::ErrorKind::Other.into());
            }
        }
        let rest = &self.piece[self.next..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.next += len;
        Ok(len)
    }
}
