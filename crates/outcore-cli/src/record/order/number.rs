//! Decimal numbers of any length as bytes in their order: the letters `n` and `h`.
//!
//! ```text
//! zero                      80
//! positive, n digits before the point   81 + n, or ef and n in 8 bytes from n = 6e on;
//!                           then the digits in pairs, each with 1 added; 00
//! negative                  the complement of that
//! ```
//!
//! Zeros that say nothing are left out, at both ends.

use crate::record::order::span::is_blank;

const ZERO: u8 = 0x80;

/// Digits before the point from which on their number takes bytes of its own.
const DIGITS_LONG: usize = 0x6e;

/// A number as it is written.
#[derive(Debug)]
struct Decimal<'a> {
    is_negative: bool,
    /// Before the point, without zeros in front.
    whole: &'a [u8],
    /// Behind it, without zeros at the end.
    fraction: &'a [u8],
    /// What follows.
    rest: &'a [u8],
}

/// Reads a number at the start of `text`, behind blanks. What is none is zero.
fn parse(text: &[u8]) -> Decimal<'_> {
    let blanks = text.iter().take_while(|&&byte| is_blank(byte)).count();
    let text = &text[blanks..];
    let (is_negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let (whole, mut rest) = text.split_at(digits(text));
    let mut fraction = &[][..];
    if let Some((b'.', after)) = rest.split_first() {
        (fraction, rest) = after.split_at(digits(after));
    }
    let zeros = whole.iter().take_while(|&&digit| digit == b'0').count();
    let last = fraction.iter().rposition(|&digit| digit != b'0');
    Decimal {
        is_negative,
        whole: &whole[zeros..],
        fraction: &fraction[..last.map_or(0, |last| last + 1)],
        rest,
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

impl Decimal<'_> {
    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    fn push(&self, key: &mut Vec<u8>) {
        if self.is_zero() {
            key.push(ZERO);
            return;
        }
        let start = key.len();
        push_magnitude(self.whole, self.fraction, key);
        if self.is_negative {
            complement(&mut key[start..]);
        }
    }
}

/// Appends a positive number: its digits before and behind the point.
fn push_magnitude(whole: &[u8], fraction: &[u8], key: &mut Vec<u8>) {
    match u8::try_from(whole.len()) {
        Ok(len) if whole.len() < DIGITS_LONG => key.push(ZERO + 1 + len),
        _ => {
            key.push(0xef);
            key.extend_from_slice(&(whole.len() as u64).to_be_bytes());
        }
    }
    let mut whole = whole;
    if fraction.is_empty() {
        let last = whole.iter().rposition(|&digit| digit != b'0');
        whole = &whole[..last.map_or(0, |last| last + 1)];
    }
    let mut pairs = whole.chunks_exact(2);
    key.extend(pairs.by_ref().map(|pair| pair_of(pair[0], pair[1])));
    let mut fraction = fraction;
    if let &[odd] = pairs.remainder() {
        let (&next, rest) = fraction.split_first().unwrap_or((&b'0', &[]));
        key.push(pair_of(odd, next));
        fraction = rest;
    }
    let mut pairs = fraction.chunks_exact(2);
    key.extend(pairs.by_ref().map(|pair| pair_of(pair[0], pair[1])));
    if let &[odd] = pairs.remainder() {
        key.push(pair_of(odd, b'0'));
    }
    key.push(0);
}

#[inline]
fn pair_of(tens: u8, ones: u8) -> u8 {
    (tens - b'0') * 10 + (ones - b'0') + 1
}

/// Turns the order of bytes around.
pub(crate) fn complement(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

/// Appends the number that `text` starts with, as the letter `n` compares it.
pub(crate) fn push_number(text: &[u8], key: &mut Vec<u8>) {
    parse(text).push(key);
}

/// Appends the number and the letter behind it, as the letter `h` compares them: letters first.
pub(crate) fn push_human(text: &[u8], key: &mut Vec<u8>) {
    let number = parse(text);
    let size = match number.rest.first() {
        _ if number.is_zero() => 0,
        Some(b'K' | b'k') => 1,
        Some(b'M') => 2,
        Some(b'G') => 3,
        Some(b'T') => 4,
        Some(b'P') => 5,
        Some(b'E') => 6,
        Some(b'Z') => 7,
        Some(b'Y') => 8,
        Some(b'R') => 9,
        Some(b'Q') => 10,
        _ => 0,
    };
    key.push(if number.is_negative {
        ZERO - size
    } else {
        ZERO + size
    });
    number.push(key);
}

/// Appends a month by its first three letters; what is none comes before January.
pub(crate) fn push_month(text: &[u8], key: &mut Vec<u8>) {
    const MONTHS: [&[u8; 3]; 12] = [
        b"JAN", b"FEB", b"MAR", b"APR", b"MAY", b"JUN", b"JUL", b"AUG", b"SEP", b"OCT", b"NOV",
        b"DEC",
    ];
    let blanks = text.iter().take_while(|&&byte| is_blank(byte)).count();
    let name = text[blanks..].first_chunk::<3>();
    let number = MONTHS
        .iter()
        .position(|month| name.is_some_and(|name| name.eq_ignore_ascii_case(*month)));
    key.push(number.map_or(0, |number| u8::try_from(number + 1).unwrap_or(0)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_ascend(texts: &[&[&str]], push: fn(&[u8], &mut Vec<u8>)) {
        let mut last: Option<(Vec<u8>, &str)> = None;
        for equal in texts {
            let keys = equal.iter().map(|text| {
                let mut key = Vec::new();
                push(text.as_bytes(), &mut key);
                (key, *text)
            });
            let keys: Vec<_> = keys.collect();
            for (key, text) in &keys {
                assert_eq!(*key, keys[0].0, "{text} and {}", keys[0].1);
                if let Some((before, other)) = &last {
                    assert!(before < key, "{other} and {text}");
                    assert!(!key.starts_with(before), "{other} and {text}");
                }
            }
            last = Some(keys[0].clone());
        }
    }

    #[test]
    fn numbers_ascend_and_have_one_form() {
        let long = "9".repeat(200);
        let longer = format!("1{}", "0".repeat(200));
        let minus = format!("-{long}");
        let edge = ["9".repeat(109), "9".repeat(110)];
        assert_ascend(
            &[
                &[&minus],
                &["-1000"],
                &["-12.51"],
                &["-12.5", "-012.50x"],
                &["-1"],
                &["-.05"],
                &["0", "", "-", "-0.0", "x", "+5", ".", " -", "--1"],
                &["0.004", ".0040"],
                &["0.05"],
                &["0.5", ".5"],
                &["1", "01", " 1.", "1.0", "1e9", "\t\n1,000"],
                &["1.05"],
                &["1.5"],
                &["2"],
                &["10"],
                &["11"],
                &["100", "100.00"],
                &["100.001"],
                &["1000"],
                &[&edge[0]],
                &[&edge[1]],
                &[&long],
                &[&longer],
            ],
            push_number,
        );
    }

    #[test]
    fn sizes_ascend_by_their_letters() {
        assert_ascend(
            &[
                &["-1G"],
                &["-5M"],
                &["-1M"],
                &["-2000"],
                &["0", "-0G", "x", "0.0T"],
                &["1", "1.0x"],
                &["2000"],
                &["1K", "1k"],
                &["1.5K"],
                &["1M"],
                &["3E"],
                &["1Y"],
            ],
            push_human,
        );
    }

    #[test]
    fn months_ascend_and_what_is_none_comes_first() {
        assert_ascend(
            &[
                &["", "x", "JA", "j an"],
                &["jan", " January"],
                &["FEB"],
                &["Dec"],
            ],
            push_month,
        );
    }
}
