//! Numbers as C's `strtold` reads them: the letter `g`.
//!
//! ```text
//! what is no number   00
//! NaN                 02 if it has a minus sign, 01 without
//! a number            03, and ten bytes
//! ```

use crate::record::order::float::Float;

/// Appends the number that `text` starts with.
pub(crate) fn push_general(text: &[u8], key: &mut Vec<u8>) {
    let spaces = |&&byte: &&u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let text = &text[text.iter().take_while(spaces).count()..];
    let (is_negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let starts_with = |word: &[u8]| {
        text.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    if starts_with(b"nan") {
        key.push(if is_negative { 2 } else { 1 });
    } else if starts_with(b"inf") {
        push_float(is_negative, Float::INFINITE, key);
    } else if let Some(number) = hexadecimal(text).or_else(|| decimal(text)) {
        push_float(is_negative, number, key);
    } else {
        key.push(0);
    }
}

/// Appends a number; there is one zero.
pub(crate) fn push_float(is_negative: bool, number: Float, key: &mut Vec<u8>) {
    key.push(3);
    key.extend_from_slice(&number.to_bytes(is_negative && !number.is_zero()));
}

fn decimal(text: &[u8]) -> Option<Float> {
    let (whole, fraction, rest) = digits(text, u8::is_ascii_digit)?;
    let exponent = exponent(rest, b'e').saturating_sub(len_of(fraction));
    let digits = whole.iter().chain(fraction).map(|digit| digit - b'0');
    Some(Float::from_decimal(digits, exponent))
}

fn hexadecimal(text: &[u8]) -> Option<Float> {
    let [b'0', b'x' | b'X', text @ ..] = text else {
        return None;
    };
    let (whole, fraction, rest) = digits(text, u8::is_ascii_hexdigit)?;
    let exponent = exponent(rest, b'p').saturating_sub(len_of(fraction).saturating_mul(4));
    let digits = whole.iter().chain(fraction).map(|&digit| match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    });
    Some(Float::from_hexadecimal(digits, exponent))
}

/// Splits text into digits before and behind a point, and what follows, if there is a digit.
fn digits(text: &[u8], is_digit: impl Fn(&u8) -> bool) -> Option<(&[u8], &[u8], &[u8])> {
    let count = |text: &[u8]| text.iter().take_while(|byte| is_digit(byte)).count();
    let (whole, rest) = text.split_at(count(text));
    let (fraction, rest) = match rest.split_first() {
        Some((b'.', after)) => after.split_at(count(after)),
        _ => (&[][..], rest),
    };
    (!whole.is_empty() || !fraction.is_empty()).then_some((whole, fraction, rest))
}

/// Returns the exponent that text starts with, if it does.
fn exponent(text: &[u8], letter: u8) -> i64 {
    let Some((first, rest)) = text.split_first() else {
        return 0;
    };
    if !first.eq_ignore_ascii_case(&letter) {
        return 0;
    }
    let (is_negative, rest) = match rest.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, rest),
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    let exponent = digits.fold(0_i64, |exponent, digit| {
        let digit = i64::from(digit - b'0');
        exponent.saturating_mul(10).saturating_add(digit)
    });
    if is_negative { -exponent } else { exponent }
}

fn len_of(digits: &[u8]) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Vec<u8> {
        let mut key = Vec::new();
        push_general(text.as_bytes(), &mut key);
        key
    }

    #[test]
    fn numbers_ascend_however_they_are_written() {
        let texts: &[&[&str]] = &[
            &["", "x", "-", ".", "e5", "+x", "-.e1"],
            &["nan", "nan(x", "NANx"],
            &["-nan", "-NaN(5)"],
            &["-inf", "-Infinity", "-1e99999999999999999999"],
            &["-1e3", "-1000x", "-0x3e8"],
            &["-1e-3"],
            &["0", "-0", "0x", "0x.p1", "1e-99999999999999999999", "-0e5"],
            &["1e-4940"],
            &["1e-3", ".001", "0.1e-2"],
            &[
                "1",
                " 1.",
                "\u{b}\r1e0",
                "+1",
                "1e",
                "1e+",
                "0x1p0",
                "0X.8p1",
                "1.0e-0",
            ],
            &["1.5", "15e-1", "0x1.8"],
            &["16", "0x10", "1.6E1"],
            &["1e4932"],
            &["inf", "INFINITYx", "1e5000"],
        ];
        let mut last: Option<Vec<u8>> = None;
        for equal in texts {
            for text in *equal {
                assert_eq!(key(text), key(equal[0]), "{text} and {}", equal[0]);
            }
            assert!(last.is_none_or(|last| last < key(equal[0])), "{}", equal[0]);
            last = Some(key(equal[0]));
        }
    }
}
