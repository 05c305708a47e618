//! Keys of records that are read in pieces: long ones, and whole files.

use std::ops::Range;

use crate::failure::{Failure, Result};
use crate::input::reader::{Long, Reader};
use crate::record::key::{Bad, Key, Keyer};

/// Returns the key of a long record.
///
/// # Errors
///
/// It cannot be read; or, inside, it has none.
pub(crate) fn key(reader: &mut Reader<'_>, long: &Long, keyer: &Keyer) -> Result<Result<Key, Bad>> {
    if keyer.needs_whole() {
        let mut bytes = reader.bytes(long);
        return match keyer.key_of_json(&mut bytes) {
            Ok(key) => Ok(key),
            Err(answer) => Err(bytes
                .into_failure()
                .unwrap_or_else(|| Failure::new(format!("cannot read JSON: {answer}")))),
        };
    }
    let range = if keyer.trims() {
        trimmed(reader, long)?
    } else {
        0..long.len
    };
    let mut stream = keyer.stream();
    let mut at = 0;
    reader.pieces(long, |piece| {
        let part = overlap(at, piece, &range);
        stream.update(part);
        at += piece.len() as u64;
        Ok(())
    })?;
    Ok(Ok(stream.finish()))
}

/// Returns the key of a whole file.
///
/// # Errors
///
/// It cannot be read, or has changed.
pub(crate) fn key_of_file(reader: &mut Reader<'_>, input: usize, keyer: &Keyer) -> Result<Key> {
    let mut stream = keyer.stream();
    reader.pieces_of_input(input, |piece| stream.update(piece))?;
    Ok(stream.finish())
}

/// Returns what is left of a long record without the space at both ends.
fn trimmed(reader: &mut Reader<'_>, long: &Long) -> Result<Range<u64>> {
    let mut range = None;
    let mut at = 0;
    reader.pieces(long, |piece| {
        let seen = |byte: &u8| !byte.is_ascii_whitespace();
        if let Some(last) = piece.iter().rposition(seen) {
            let first = piece.iter().position(seen).unwrap_or(last);
            let start = range
                .as_ref()
                .map_or(at + first as u64, |(start, _)| *start);
            range = Some((start, at + last as u64 + 1));
        }
        at += piece.len() as u64;
        Ok(())
    })?;
    let (start, end) = range.unwrap_or((0, 0));
    Ok(start..end)
}

/// Returns the part of a piece, which starts at `at`, that lies in `range`.
fn overlap<'p>(at: u64, piece: &'p [u8], range: &Range<u64>) -> &'p [u8] {
    let len = piece.len() as u64;
    let cut = |end: u64| usize::try_from(end.saturating_sub(at).min(len)).unwrap_or(0);
    &piece[cut(range.start)..cut(range.end)]
}
