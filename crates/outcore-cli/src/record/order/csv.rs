//! Records and fields of CSV: quoted where they hold a delimiter, a quote (written twice) or a newline.
//!
//! A quote opens a quoted field only where a field starts; elsewhere it is a byte like others.

use std::borrow::Cow;

const QUOTE: u8 = b'"';

/// Where records end in bytes that come piece by piece.
#[derive(Clone, Debug)]
pub(crate) struct Splitter {
    delimiter: u8,
    is_quoted: bool,
    /// Whether a quote as the next byte would open a field, or go on with one.
    may_open: bool,
}

impl Splitter {
    /// Starts where a record does.
    pub(crate) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            is_quoted: false,
            may_open: true,
        }
    }

    /// Looks at the next bytes, and passes on where each record in them ends: behind its newline.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(usize)) {
        let mut next = 0;
        for at in memchr::memchr2_iter(QUOTE, b'\n', bytes) {
            if bytes[at] == b'\n' {
                self.may_open = !self.is_quoted;
                if self.may_open {
                    each(at + 1);
                }
            } else if self.is_quoted {
                self.is_quoted = false;
                // Of two quotes, the second opens again what the first has closed.
                self.may_open = true;
            } else {
                let opens = match at.checked_sub(1) {
                    Some(before) if at > next => bytes[before] == self.delimiter,
                    _ => self.may_open,
                };
                self.is_quoted = opens;
                self.may_open = false;
            }
            next = at + 1;
        }
        if let Some(&last) = bytes.get(next..).and_then(<[u8]>::last) {
            self.may_open = !self.is_quoted && last == self.delimiter;
        }
    }
}

/// Returns a record without the end of its line.
pub(crate) fn without_end(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

/// The fields of a record, which is given without the end of its line.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    rest: Option<&'a [u8]>,
    delimiter: u8,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(record: &'a [u8], delimiter: u8) -> Self {
        Self {
            rest: Some(record),
            delimiter,
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    /// As it is written.
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut end = 0;
        if rest.first() == Some(&QUOTE) {
            end = 1;
            loop {
                let Some(at) = memchr::memchr(QUOTE, &rest[end..]) else {
                    end = rest.len();
                    break;
                };
                end += at + 1;
                if rest.get(end) != Some(&QUOTE) {
                    break;
                }
                end += 1;
            }
        }
        if let Some(at) = memchr::memchr(self.delimiter, &rest[end..]) {
            self.rest = Some(&rest[end + at + 1..]);
            Some(&rest[..end + at])
        } else {
            self.rest = None;
            Some(rest)
        }
    }
}

/// Returns what a field that is written like this holds.
pub(crate) fn value(field: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = field.strip_prefix(&[QUOTE]) else {
        return Cow::Borrowed(field);
    };
    match memchr::memchr(QUOTE, inner) {
        Some(at) if at + 1 == inner.len() => return Cow::Borrowed(&inner[..at]),
        None => return Cow::Borrowed(inner),
        Some(_) => {}
    }
    let mut value = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = memchr::memchr(QUOTE, rest) {
        value.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix(&[QUOTE]) {
            Some(after) => {
                value.push(QUOTE);
                rest = after;
            }
            // Whatever follows the closing quote belongs to the value, too.
            None => break,
        }
    }
    value.extend_from_slice(rest);
    Cow::Owned(value)
}

/// Appends a value as a field.
pub(crate) fn push_field(value: &[u8], delimiter: u8, text: &mut Vec<u8>) {
    let odd = |&byte: &u8| byte == delimiter || matches!(byte, QUOTE | b'\n' | b'\r');
    if !value.iter().any(odd) {
        text.extend_from_slice(value);
        return;
    }
    text.push(QUOTE);
    for &byte in value {
        if byte == QUOTE {
            text.push(QUOTE);
        }
        text.push(byte);
    }
    text.push(QUOTE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn ends(text: &[u8], piece: usize) -> Vec<usize> {
        let mut splitter = Splitter::new(b',');
        let mut ends = Vec::new();
        for (number, part) in text.chunks(piece).enumerate() {
            splitter.feed(part, |end| ends.push(number * piece + end));
        }
        ends
    }

    #[test]
    fn a_newline_in_quotes_ends_no_record() {
        for (text, expected) in [
            ("a,b\nc\n", vec![4, 6]),
            ("\"a\nb\",c\nd\n", vec![8, 10]),
            ("\"a\"\"\n\"\"\",c\nd\n", vec![11, 13]),
            ("5\" pipe\nx\n", vec![8, 10]),
            ("a,\"\n\"\n", vec![6]),
            ("\"\"\n\"\"\n", vec![3, 6]),
            ("\"a\"x\"\n", vec![6]),
            ("\"a\n", vec![]),
        ] {
            for piece in 1..=text.len() {
                assert_eq!(ends(text.as_bytes(), piece), expected, "{text:?} {piece}");
            }
        }
    }

    #[test]
    fn fields_and_values_are_found() {
        let fields = |record: &'static str| -> Vec<String> {
            let fields = Fields::new(without_end(record.as_bytes()), b',');
            let text = |field: &[u8]| String::from_utf8(value(field).into_owned()).unwrap();
            fields.map(text).collect()
        };
        assert_eq!(fields("a,b\r\n"), ["a", "b"]);
        assert_eq!(fields(""), [""]);
        assert_eq!(fields(",\n"), ["", ""]);
        assert_eq!(fields("\"a,\"\"b\nc\",d\n"), ["a,\"b\nc", "d"]);
        assert_eq!(fields("5\",\"x"), ["5\"", "x"]);
        assert_eq!(fields("\"a\"b,c"), ["ab", "c"]);
        assert_eq!(fields("\"\",\"\"\"\""), ["", "\""]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut random = Random::new(9);
        let bytes = *b"a,\"\n\r \xff\0;";
        for _ in 0..2000 {
            let mut values = Vec::new();
            for _ in 0..=random.below(3) {
                let len = random.below(6);
                let value = (0..len).map(|_| bytes[random.index(bytes.len())]);
                values.push(value.collect::<Vec<u8>>());
            }
            let mut text = Vec::new();
            for value in &values {
                push_field(value, b',', &mut text);
                text.push(b',');
            }
            *text.last_mut().unwrap() = b'\n';
            assert_eq!(ends(&text, 1 + random.index(9)), [text.len()]);
            let fields = Fields::new(without_end(&text), b',');
            let read: Vec<_> = fields.map(|field| value(field).into_owned()).collect();
            assert_eq!(read, values);
        }
    }
}
