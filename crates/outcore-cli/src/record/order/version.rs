//! Text with numbers in it: the letter `V`, the order of file names with versions.
//!
//! Text is cut into stretches without digits and with digits, in turn, the first of which may be empty.
//! A stretch without digits is a byte for each of its own; one with digits is the byte [`DIGITS`] and
//! the number. Where the text ends there is a number of zero, unless there was one, and [`END`].

/// Symbols below those of letters, in their order.
const TILDE: u8 = 1;
const END: u8 = 2;
const DIGITS: u8 = 3;

/// The symbol of each byte: letters come before all that is neither letter nor digit.
const SYMBOLS: [u8; 256] = symbols();

const fn symbols() -> [u8; 256] {
    let mut symbols = [0; 256];
    let mut next = DIGITS + 1;
    let mut round = 0;
    while round < 2 {
        let mut byte = 0_u8;
        loop {
            if byte.is_ascii_alphabetic() == (round == 0) && !byte.is_ascii_digit() && byte != b'~'
            {
                symbols[byte as usize] = next;
                next += 1;
            }
            if byte == u8::MAX {
                break;
            }
            byte += 1;
        }
        round += 1;
    }
    symbols[b'~' as usize] = TILDE;
    symbols
}

/// Appends `text` as the letter `V` compares it: what comes before a file's endings first.
pub(crate) fn push_version(text: &[u8], key: &mut Vec<u8>) {
    let class = match text {
        [] => 0,
        b"." => 1,
        b".." => 2,
        [b'.', ..] => 3,
        _ => 4,
    };
    key.push(class);
    if class > 2 {
        push_stretches(&text[..prefix_len(text)], key);
        push_stretches(text, key);
    }
}

/// Returns how long a name is without its endings: points, each with a letter or a tilde and more
/// letters, digits and tildes behind it. All of a name may be endings.
fn prefix_len(text: &[u8]) -> usize {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'~';
    let is_more = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'~';
    let mut at = 0;
    let mut prefix_len = 0;
    loop {
        while let Some(&[b'.', first]) = text.get(at..at + 2) {
            if !is_first(first) {
                break;
            }
            at += 2;
            at += text[at..].iter().take_while(|&&byte| is_more(byte)).count();
        }
        if at >= text.len() {
            return prefix_len;
        }
        at += 1;
        prefix_len = at;
    }
}

fn push_stretches(mut text: &[u8], key: &mut Vec<u8>) {
    loop {
        let digits = text.iter().position(u8::is_ascii_digit);
        let (plain, rest) = text.split_at(digits.unwrap_or(text.len()));
        key.extend(plain.iter().map(|&byte| SYMBOLS[usize::from(byte)]));
        key.push(DIGITS);
        let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = rest.split_at(len);
        let zeros = number.iter().take_while(|&&digit| digit == b'0').count();
        push_digits(&number[zeros..], key);
        if rest.is_empty() {
            key.push(END);
            return;
        }
        text = rest;
    }
}

/// Appends a whole number, given without zeros in front: how many digits it has, and those.
fn push_digits(digits: &[u8], key: &mut Vec<u8>) {
    match u8::try_from(digits.len()) {
        Ok(len) if len < u8::MAX => key.push(len),
        _ => {
            key.push(u8::MAX);
            key.extend_from_slice(&(digits.len() as u64).to_be_bytes());
        }
    }
    key.extend_from_slice(digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Vec<u8> {
        let mut key = Vec::new();
        push_version(text.as_bytes(), &mut key);
        key
    }

    #[test]
    fn versions_ascend() {
        let long = format!("a{}", "9".repeat(300));
        let longer = format!("a1{}", "0".repeat(300));
        let texts = [
            "",
            ".",
            "..",
            ".a",
            ".b1",
            "~",
            "1",
            "2",
            "10",
            "a",
            "a0b",
            "a1~",
            "a1",
            "a2",
            "a010",
            "a10.1",
            "a11",
            &long,
            &longer,
            "ab",
            "b-1.2.tar.gz",
            "b-1.10.tar.gz",
            "#",
        ];
        for pair in texts.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{} and {}", pair[0], pair[1]);
        }
        assert_eq!(key("a"), key("a0"));
        assert_eq!(key("a1"), key("a01"));
        // Endings count only where all before them is equal.
        assert!(key("a-1.z") < key("a-1b.a"));
        assert!(key("a-1.a") < key("a-1.z"));
    }

    #[test]
    fn endings_are_found() {
        for (text, prefix) in [
            ("a", "a"),
            ("a.b", "a"),
            ("a.b.c~1", "a"),
            ("a.1", "a.1"),
            ("a.1.b", "a.1"),
            ("a.b-1.c", "a.b-1"),
            (".b", ""),
            (".b.c", ""),
            (".1.c", ".1"),
            ("a.", "a."),
            ("a..b", "a."),
            ("a.~", "a"),
        ] {
            assert_eq!(prefix_len(text.as_bytes()), prefix.len(), "{text}");
        }
    }
}
