//! Keys of lines of text: `-k`, fields and characters counted from one.

use crate::record::order::flags::{At, Flags};

/// Returns whether a byte separates fields where nothing else is said, and is skipped by `b`.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}

/// A part of a line: from one position to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Fields before the start, and bytes of its field before it.
    fields: usize,
    bytes: usize,
    /// Where it ends, if not with the line.
    end: Option<End>,
}

/// The end of a part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    /// Fields before the one that it ends in or with.
    fields: usize,
    /// Bytes of that field which belong to it; zero means all.
    bytes: usize,
}

impl Span {
    /// All of the line.
    pub(crate) const LINE: Self = Self {
        fields: 0,
        bytes: 0,
        end: None,
    };

    /// Finds the part in a line. `tab` separates fields; without it a field starts with blanks.
    pub(crate) fn find(self, line: &[u8], tab: Option<u8>, flags: Flags) -> &[u8] {
        let mut start = 0;
        for _ in 0..self.fields {
            if start >= line.len() {
                break;
            }
            start = match tab {
                Some(tab) => after_separator(line, start, tab),
                None => after_field(line, start),
            };
        }
        if flags.skip_blanks {
            start = after_blanks(line, start);
        }
        start = start.saturating_add(self.bytes).min(line.len());
        let Some(end) = self.end else {
            return &line[start..];
        };
        let end = end.find(line, tab, flags.skip_blanks_at_end);
        // A key that ends before it starts is empty.
        &line[start..end.max(start)]
    }
}

impl End {
    fn find(self, line: &[u8], tab: Option<u8>, skip_blanks: bool) -> usize {
        let mut end = 0;
        for _ in 0..self.fields {
            if end >= line.len() {
                return line.len();
            }
            end = match tab {
                Some(tab) => after_separator(line, end, tab),
                None => after_field(line, end),
            };
        }
        if self.bytes == 0 {
            return match tab {
                Some(tab) => memchr::memchr(tab, &line[end..]).map_or(line.len(), |at| end + at),
                None => after_field(line, end),
            };
        }
        if skip_blanks {
            end = after_blanks(line, end);
        }
        end.saturating_add(self.bytes).min(line.len())
    }
}

fn after_separator(line: &[u8], start: usize, tab: u8) -> usize {
    memchr::memchr(tab, &line[start..]).map_or(line.len(), |at| start + at + 1)
}

fn after_blanks(line: &[u8], start: usize) -> usize {
    let blanks = line[start..].iter().take_while(|&&byte| is_blank(byte));
    start + blanks.count()
}

fn after_field(line: &[u8], start: usize) -> usize {
    let start = after_blanks(line, start);
    let field = line[start..].iter().take_while(|&&byte| !is_blank(byte));
    start + field.count()
}

/// Reads `F[.C][LETTERS][,F[.C][LETTERS]]`.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn parse(text: &str) -> Result<(Span, Flags), String> {
    let mut flags = Flags::default();
    let mut rest = text.as_bytes();
    let fields = number(&mut rest, "the field")?.ok_or("fields are counted from 1")?;
    let bytes = if skip(&mut rest, b'.') {
        number(&mut rest, "what follows the point")?.ok_or("characters are counted from 1")?
    } else {
        1
    };
    letters(&mut rest, &mut flags, At::Start)?;
    let mut span = Span {
        fields: fields - 1,
        bytes: bytes - 1,
        end: None,
    };
    if skip(&mut rest, b',') {
        let fields = number(&mut rest, "what follows the comma")?;
        let fields = fields.ok_or("fields are counted from 1")?;
        let bytes = if skip(&mut rest, b'.') {
            number(&mut rest, "what follows the point")?.unwrap_or(0)
        } else {
            0
        };
        letters(&mut rest, &mut flags, At::End)?;
        span.end = Some(End {
            fields: fields - 1,
            bytes,
        });
    }
    match rest.first() {
        None => Ok((span, flags)),
        Some(&other) => Err(format!("{:?} is too much", char::from(other))),
    }
}

/// Takes a number; `None` is zero. One that is too large is as good as the largest.
fn number(rest: &mut &[u8], what: &str) -> Result<Option<usize>, String> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return Err(format!("{what} is no number"));
    }
    let (number, left) = rest.split_at(digits);
    *rest = left;
    let number = number.iter().try_fold(0_usize, |number, digit| {
        let digit = usize::from(digit - b'0');
        number.checked_mul(10)?.checked_add(digit)
    });
    let number = number.unwrap_or(usize::MAX);
    Ok((number > 0).then_some(number))
}

fn skip(rest: &mut &[u8], wanted: u8) -> bool {
    match rest.split_first() {
        Some((&first, left)) if first == wanted => {
            *rest = left;
            true
        }
        _ => false,
    }
}

fn letters(rest: &mut &[u8], flags: &mut Flags, at: At) -> Result<(), String> {
    while let Some((&letter, left)) = rest.split_first() {
        if !letter.is_ascii_alphabetic() {
            break;
        }
        flags
            .add(letter, at)
            .map_err(|refused| refused.to_string())?;
        *rest = left;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<'a>(definition: &str, line: &'a str, tab: Option<u8>) -> &'a str {
        let (span, flags) = parse(definition).unwrap();
        std::str::from_utf8(span.find(line.as_bytes(), tab, flags)).unwrap()
    }

    #[test]
    fn fields_and_characters_are_counted_from_one() {
        let line = "  one two  three";
        for (definition, found) in [
            ("1", line),
            ("1,1", "  one"),
            ("2", " two  three"),
            ("2,2", " two"),
            ("2b,2", "two"),
            ("3", "  three"),
            ("3b", "three"),
            ("3.3,3.4", "th"),
            ("3.2b,3.3b", "hr"),
            ("1.3,2.2", "one t"),
            ("4", ""),
            ("2,1", ""),
            ("99999999999999999999999", ""),
            ("1.99999999999999999999999", ""),
            ("1,99999999999999999999999", line),
        ] {
            assert_eq!(key(definition, line, None), found, "{definition}");
        }
    }

    #[test]
    fn a_separator_ends_a_field_and_belongs_to_none() {
        let line = ":b::dd";
        for (definition, found) in [
            ("1,1", ""),
            ("2,2", "b"),
            ("2", "b::dd"),
            ("2,3", "b:"),
            ("3,3", ""),
            ("4", "dd"),
            ("4.2,4.2", "d"),
            ("2.1,4.1", "b::d"),
            ("2,3.1", "b::"),
            ("5", ""),
        ] {
            assert_eq!(key(definition, line, Some(b':')), found, "{definition}");
        }
    }

    #[test]
    fn what_is_no_definition_is_refused() {
        for text in [
            "", "0", "a", "1.0", "1.", "1.x", "1,", "1,0", "1,x", "1;2", "1,2.", "1x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        // The end of a field, spelt out.
        assert_eq!(parse("1,2.0"), parse("1,2"));
    }
}
