//! Bytes as bytes in their order that end by themselves, so that others can follow them.
//!
//! A byte of zero becomes `00 ff`, and the end is `00 00`: less than whatever goes on.

use std::borrow::Cow;

use crate::record::order::flags::{Counted, Flags};
use crate::record::order::span::is_blank;

/// Appends `text` and its end.
pub(crate) fn push_text(mut text: &[u8], key: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(0, text) {
        key.extend_from_slice(&text[..=at]);
        key.push(0xff);
        text = &text[at + 1..];
    }
    key.extend_from_slice(text);
    key.extend_from_slice(&[0, 0]);
}

/// What ends a text that is turned around.
pub(crate) const REVERSED_END: [u8; 2] = [0xff, 0xff];

/// Appends `text` so that what is greater comes first, and its end.
pub(crate) fn push_reversed(text: &[u8], key: &mut Vec<u8>) {
    push_reversed_piece(text, key);
    key.extend_from_slice(&REVERSED_END);
}

/// Appends a piece of such a text.
pub(crate) fn push_reversed_piece(text: &[u8], key: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(0, rest) {
        key.extend(rest[..at].iter().map(|byte| !byte));
        key.extend_from_slice(&[0xff, 0]);
        rest = &rest[at + 1..];
    }
    key.extend(rest.iter().map(|byte| !byte));
}

/// Appends the text that [`push_reversed`] was given.
pub(crate) fn restore_reversed(mut key: &[u8], text: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(0xff, key) {
        text.extend(key[..at].iter().map(|byte| !byte));
        if key.get(at + 1) != Some(&0) {
            return;
        }
        text.push(0);
        key = &key[at + 2..];
    }
    text.extend(key.iter().map(|byte| !byte));
}

/// Returns the bytes of a key that count, small letters as capital ones if asked.
pub(crate) fn counted<'a>(text: &'a [u8], flags: Flags, spare: &'a mut Vec<u8>) -> Cow<'a, [u8]> {
    if flags.counted == Counted::All && !flags.fold {
        return Cow::Borrowed(text);
    }
    spare.clear();
    match flags.counted {
        Counted::All => spare.extend_from_slice(text),
        Counted::Dictionary => {
            let counts = |byte: &u8| is_blank(*byte) || byte.is_ascii_alphanumeric();
            spare.extend(text.iter().copied().filter(counts));
        }
        Counted::Printable => {
            let counts = |byte: &u8| matches!(byte, b' '..=b'~');
            spare.extend(text.iter().copied().filter(counts));
        }
    }
    if flags.fold {
        spare.make_ascii_uppercase();
    }
    Cow::Borrowed(spare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn text(random: &mut Random) -> Vec<u8> {
        let len = random.below(5);
        let bytes = [0, 1, b'a', 0xfe, 0xff];
        (0..len).map(|_| bytes[random.index(bytes.len())]).collect()
    }

    #[test]
    fn the_order_of_texts_is_that_of_their_bytes_whatever_follows() {
        let mut random = Random::new(3);
        for _ in 0..20_000 {
            let (a, b) = (text(&mut random), text(&mut random));
            let more = [text(&mut random), text(&mut random)];
            for (push, turned) in [
                (push_text as fn(&[u8], &mut Vec<u8>), false),
                (push_reversed, true),
            ] {
                let keys = [(&a, &more[0]), (&b, &more[1])].map(|(text, more)| {
                    let mut key = Vec::new();
                    push(text, &mut key);
                    key.extend_from_slice(more);
                    key
                });
                let order = if turned { b.cmp(&a) } else { a.cmp(&b) };
                let order = order.then_with(|| more[0].cmp(&more[1]));
                assert_eq!(keys[0].cmp(&keys[1]), order, "{a:?} {b:?} {turned}");
            }
            let mut key = Vec::new();
            push_reversed(&a, &mut key);
            let mut restored = Vec::new();
            restore_reversed(&key, &mut restored);
            assert_eq!(restored, a);
        }
    }
}
