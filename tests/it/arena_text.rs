//! Items that are text: checked if the caller asks for it, unchecked otherwise.
#![expect(unsafe_code, reason = "vouches for the text that the test pushed")]

use outcore::{ErrorKind, Location};

use crate::support::allocations::counted;
use crate::support::arena;

// The strings are compared as bytes: if the library is wrong, they are not printable text.

#[test]
fn invalid_text_is_an_error_and_leaves_the_string() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let valid = writer.push("caf\u{e9}").unwrap();
    let invalid = writer.push([b'o', b'k', 0xFF, 0xFE]).unwrap();
    // Half of a character: valid only together with what follows.
    let half = writer.push([0xC3]).unwrap();
    writer.finish().unwrap();
    let mut text = String::from("kept");
    for location in [invalid, half] {
        let refused = arena.get_str_into(location, &mut text).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidUtf8);
        assert_eq!(text.as_bytes(), b"kept");
    }
    arena.get_str_into(valid, &mut text).unwrap();
    assert_eq!(text.as_bytes(), "keptcaf\u{e9}".as_bytes());
}

#[test]
fn text_that_the_caller_vouches_for_is_not_looked_at() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let pushed = ["caf\u{e9}", "", " and \u{1F980}"].map(|text| writer.push(text).unwrap());
    writer.flush().unwrap();
    let mut text = String::with_capacity(100);
    let (calls, _, ()) = counted(|| {
        for location in pushed {
            // SAFETY: all three were pushed as UTF-8.
            unsafe { arena.get_str_into_unchecked(location, &mut text) }.unwrap();
        }
    });
    assert_eq!((text.as_str(), calls), ("caf\u{e9} and \u{1F980}", 0));
}

#[test]
fn text_that_cannot_be_read_leaves_the_string() {
    let arena = arena();
    let mut writer = arena.writer().unwrap();
    let unflushed = writer.push("not yet").unwrap();
    let mut text = String::from("kept");
    // SAFETY: it was pushed as UTF-8.
    let refused = unsafe { arena.get_str_into_unchecked(unflushed, &mut text) };
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFlushed);
    let refused = arena.get_str_into(unflushed, &mut text).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFlushed);
    assert_eq!(text.as_bytes(), b"kept");
    arena.get_str_into(Location::default(), &mut text).unwrap();
    assert_eq!(text.as_bytes(), b"kept");
}
