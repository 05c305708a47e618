//! The bytes behind two equal keys, compared.

use std::borrow::Cow;

use crate::cmd::dedup::job::Job;
use crate::cmd::dedup::shard::Pair;
use crate::failure::{Failure, Result};
use crate::input::list::Kind;
use crate::input::reader::{At, Long, Reader};

/// Bytes of a record that are read at first.
const GUESS: usize = 256;

/// Compares records; every thread has one.
pub(crate) struct Verifier<'a> {
    job: &'a Job<'a>,
    first: Side<'a>,
    later: Side<'a>,
}

/// One of the two records.
struct Side<'a> {
    reader: Reader<'a>,
    bytes: Vec<u8>,
    spare: Vec<u8>,
}

impl<'a> Side<'a> {
    fn new(job: &Job<'a>) -> Self {
        Self {
            reader: Reader::new(job.inputs, job.cell_len),
            bytes: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Reads the record at a place in all files together; a long one is described.
    fn read(&mut self, job: &Job<'_>, offset: u64) -> Result<Option<Long>> {
        let (input, start) = job.inputs.find(offset);
        let Kind::File(facts) = job.inputs.kind(input) else {
            return Ok(None);
        };
        let rest = facts.len() - start;
        let mut len = GUESS;
        loop {
            len = usize::try_from(rest).map_or(len, |rest| len.min(rest));
            self.bytes.resize(len, 0);
            self.reader.read(input, &mut self.bytes, start)?;
            if let Some(end) = memchr::memchr(job.separator, &self.bytes) {
                self.bytes.truncate(end);
                return Ok(None);
            }
            if len as u64 == rest {
                return Ok(None);
            }
            if len >= job.cell_len {
                let (len, _) = self.reader.find(input, job.separator, start, facts.len())?;
                return Ok(Some(Long {
                    at: At::File { input, start },
                    len,
                    separated: true,
                }));
            }
            len *= 4;
        }
    }

    fn compared(&mut self, job: &Job<'_>) -> Cow<'_, [u8]> {
        let compared = job.keyer.compared(&self.bytes, &mut self.spare);
        // It had a key, so it can be compared.
        compared.unwrap_or(Cow::Borrowed(&[]))
    }
}

fn too_long() -> Failure {
    Failure::new(
        "--verify compares long lines with each other byte by byte, not with --field, --trim or \
         --ignore-case",
    )
}

impl<'a> Verifier<'a> {
    pub(crate) fn new(job: &'a Job<'a>) -> Self {
        Self {
            job,
            first: Side::new(job),
            later: Side::new(job),
        }
    }

    /// Compares all pairs, in the order of their first records, and empties the list.
    ///
    /// # Errors
    ///
    /// Two differ, or the input cannot be read.
    pub(crate) fn check(&mut self, pairs: &mut Vec<Pair>) -> Result<()> {
        pairs.sort_unstable();
        for pair in pairs.drain(..) {
            if !self.is_same(pair)? {
                return Err(Failure::new(
                    "two different records have the same hash; run again, and the hash will be \
                     another one",
                ));
            }
        }
        Ok(())
    }

    fn is_same(&mut self, pair: Pair) -> Result<bool> {
        let job = self.job;
        if job.files {
            return self.are_same_files(pair);
        }
        let first = self.first.read(job, pair.first)?;
        let later = self.later.read(job, pair.later)?;
        match (first, later) {
            (None, None) => Ok(self.first.compared(job) == self.later.compared(job)),
            (Some(first), Some(later)) => {
                if job.keyer.is_plain() {
                    return Ok(first.len == later.len && self.are_same_bytes(&first, &later)?);
                }
                Err(too_long())
            }
            // Only what does not count can make so much of a difference.
            _ if job.keyer.is_plain() => Ok(false),
            _ => Err(too_long()),
        }
    }

    fn are_same_files(&mut self, pair: Pair) -> Result<bool> {
        let number = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
        let (first, later) = (number(pair.first), number(pair.later));
        let (Kind::File(a), Kind::File(b)) =
            (self.job.inputs.kind(first), self.job.inputs.kind(later))
        else {
            // Those without a length were empty when their key was made.
            return Ok(true);
        };
        let whole = |input, len| Long {
            at: At::File { input, start: 0 },
            len,
            separated: false,
        };
        let same_len = a.len() == b.len();
        Ok(same_len && self.are_same_bytes(&whole(first, a.len()), &whole(later, b.len()))?)
    }

    /// Compares two of the same length.
    fn are_same_bytes(&mut self, first: &Long, later: &Long) -> Result<bool> {
        let At::File { input, start } = later.at else {
            return Ok(false);
        };
        let mut at = start;
        let mut same = true;
        let Self {
            first: a, later: b, ..
        } = self;
        a.reader.pieces(first, |piece| {
            b.bytes.resize(piece.len(), 0);
            b.reader.read(input, &mut b.bytes, at)?;
            same &= b.bytes == piece;
            at += piece.len() as u64;
            Ok(())
        })?;
        Ok(same)
    }
}
