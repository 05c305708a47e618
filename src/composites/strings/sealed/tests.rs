//! Tests of sealed strings: bytes that never change, failing calls, and files that mean harm. Damage is
//! in `tests/it/sealed_damage.rs`, for files of any kind.
#![expect(unsafe_code, reason = "maps files that only these tests have")]

use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::composites::strings::bytes_vec::BytesVec;
use crate::composites::strings::sealed::bytes::SealedBytesVec;
use crate::composites::strings::sealed::items::Strings;
use crate::composites::strings::sealed::text::SealedStrVec;
use crate::composites::strings::str_vec::StrVec;
use crate::error::{ErrorKind, Result};
use crate::format::ranges::MemoryRanges;
use crate::format::strings::StringsLayout;
use crate::format::write::Writer;
use crate::testing::damage::{self, new_path};

const ID: [u8; 16] = *b"a golden id: 16 ";

/// The strings whose bytes and places fill more than two blocks.
const COUNT: usize = 2500;

/// Returns a string of up to 20 bytes, with letters of one to four.
fn string(n: usize) -> String {
    let letters = ["a", "\u{e9}", "\u{20ac}", "\u{1f980}"];
    (0..n % 6).map(|k| letters[(n + k) % 4]).collect::<String>() + &(n % 7).to_string()
}

fn strings(count: usize) -> StrVec {
    let mut strings = StrVec::new();
    strings.try_extend((0..count).map(string)).unwrap();
    strings
}

/// Seals items, as text or as bytes.
fn write(path: &Path, items: &BytesVec, is_text: bool) -> Result<()> {
    items.write(Writer::with_id(path, false, ID)?, is_text)
}

/// Returns the bytes of a sealed file.
fn sealed_bytes(count: usize, is_text: bool) -> Vec<u8> {
    let path = new_path();
    write(&path, strings(count).as_bytes_vec(), is_text).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    bytes
}

/// A file of version 1 has to be readable for ever, and is what docs/format.md says.
#[test]
fn the_bytes_of_files_of_strings_never_change() {
    for (name, count, is_text) in [
        ("strings-1.outcore", 300, true),
        ("bytes-1.outcore", 300, false),
        ("no-strings-1.outcore", 0, true),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = path.join("tests/golden").join(name);
        let bytes = sealed_bytes(count, is_text);
        if std::env::var_os("OUTCORE_GOLDEN").is_some_and(|what| what == "write") {
            fs::write(&path, &bytes).unwrap();
        }
        let golden = fs::read(&path).unwrap();
        assert!(golden == bytes, "{name}");
        let items = SealedBytesVec::open(&path).unwrap();
        items.verify().unwrap();
        assert_eq!(items.len(), count);
        let found = items.read(..).unwrap();
        assert!(
            found
                .iter()
                .eq((0..count).map(string).map(String::into_bytes))
        );
        assert_eq!(SealedStrVec::open(&path).is_ok(), is_text);
    }
}

#[test]
fn whatever_call_fails_a_file_of_strings_is_whole_or_not_there() {
    let strings = strings(COUNT);
    damage::each_failing_call(&|path| {
        write(path, strings.as_bytes_vec(), true)?;
        let sealed = SealedStrVec::open(path)?;
        let wanted: Vec<_> = (0..COUNT).rev().step_by(3).collect();
        assert!(
            sealed
                .gather(&wanted)?
                .iter()
                .eq(wanted.into_iter().map(string))
        );
        assert_eq!(sealed.get(1234)?, string(1234));
        let mut expected = (0..COUNT).map(string);
        for chunk in sealed.scan() {
            assert!(
                chunk?
                    .iter()
                    .all(|found| Some(found) == expected.next().as_deref())
            );
        }
        sealed.verify()
    });
}

/// Few requests to an object store: one to open, and for a string its place and its bytes.
#[test]
fn a_string_takes_few_requests() {
    let source = MemoryRanges::new(sealed_bytes(COUNT, true));
    let strings = SealedStrVec::open_from(source.clone()).unwrap();
    assert_eq!(source.requests(), 1);
    assert_eq!(strings.get(17).unwrap(), string(17));
    assert_eq!(
        source.requests(),
        4,
        "table, block of the place, block of the string"
    );
    assert_eq!(strings.get(18).unwrap(), string(18));
    assert_eq!(source.requests(), 6);
    assert_eq!(
        strings.gather(&[18, 21, 19, 19]).unwrap(),
        [18, 21, 19, 19].map(string)
    );
    assert_eq!(source.requests(), 8, "neighbours are one request");
}

/// Returns a file of any bytes and offsets, all of whose checksums are right: what an adversary writes.
fn forged(bytes: &[u8], offsets: &[u64]) -> Vec<u8> {
    let path = new_path();
    let mut writer = Writer::with_id(&path, false, ID).unwrap();
    let layout = StringsLayout::new(offsets.len() as u64 - 1, bytes.len() as u64).unwrap();
    writer.push(bytes).unwrap();
    writer
        .push(&vec![0; bytes.len().next_multiple_of(64) - bytes.len()])
        .unwrap();
    for offset in offsets {
        writer.push(&offset.to_le_bytes()).unwrap();
    }
    let contents = layout.contents(true, writer.covered_bytes());
    writer.finish(contents).unwrap();
    let forged = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    forged
}

/// Returns the kind of the error that an item of a forged file has to be, or the item.
fn model<'a>(bytes: &'a [u8], offsets: &[u64], index: usize) -> Result<&'a str, ErrorKind> {
    let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    let item = bytes.get(place(offsets[index])..place(offsets[index + 1]));
    let item = item.ok_or(ErrorKind::Corrupt)?;
    std::str::from_utf8(item).map_err(|_wrong| ErrorKind::InvalidUtf8)
}

/// Compares what several items are with what a call has returned for them together.
fn compare_many(
    found: Result<impl Iterator<Item = String>>,
    expected: impl Iterator<Item = Result<String, ErrorKind>>,
    may_fail: bool,
) {
    let expected: Result<Vec<_>, _> = expected.collect();
    match (found, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found.collect::<Vec<_>>(), expected),
        (Ok(_), Err(kind)) => panic!("items were returned, one of which is {kind:?}"),
        (Err(refused), Err(_)) => {
            let kinds = [ErrorKind::Corrupt, ErrorKind::InvalidUtf8];
            assert!(kinds.contains(&refused.kind()), "{refused}");
        }
        (Err(refused), Ok(_)) => {
            assert!(
                may_fail && refused.kind() == ErrorKind::Corrupt,
                "{refused}"
            );
        }
    }
}

/// Reads a forged file in every way; `expected` says what each item has to be.
fn read_forged(
    forged: &[u8],
    len: usize,
    expected: &dyn Fn(usize) -> Result<String, ErrorKind>,
    ranges: &[Range<usize>],
) {
    let path = new_path();
    fs::write(&path, forged).unwrap();
    let sealed = SealedStrVec::open(&path).unwrap();
    sealed.verify().unwrap();
    // SAFETY: only this test has the file.
    let map = unsafe { sealed.map().unwrap() };
    // What is open stays.
    fs::remove_file(path).unwrap();
    assert_eq!((sealed.len(), map.len()), (len, len));
    for index in 0..len {
        let found = sealed.get(index).map_err(|refused| refused.kind());
        assert_eq!(found, expected(index), "{index}");
        let found = map.get(index).map_err(|refused| refused.kind());
        assert_eq!(found.map(str::to_owned), expected(index), "{index} mapped");
    }
    for range in ranges {
        let owned = |strings: Strings| {
            let owned: Vec<_> = strings.iter().map(str::to_owned).collect();
            owned.into_iter()
        };
        compare_many(
            sealed.read(range.clone()).map(owned),
            range.clone().map(expected),
            false,
        );
        // Backwards, and the first one twice. Items that overlap are refused.
        let indices: Vec<_> = range
            .clone()
            .rev()
            .step_by(2)
            .chain(range.clone().take(1))
            .collect();
        compare_many(
            sealed.gather(&indices).map(owned),
            indices.iter().map(|index| expected(*index)),
            true,
        );
    }
    let all: Result<Vec<_>> = sealed.scan().collect();
    let all = all.map(|chunks| {
        let owned = chunks
            .iter()
            .flat_map(|chunk| chunk.iter().map(str::to_owned));
        owned.collect::<Vec<_>>().into_iter()
    });
    compare_many(all, (0..len).map(expected), false);
    let copy = sealed.to_str_vec();
    let copy = copy.map(|copy| {
        copy.iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .into_iter()
    });
    compare_many(copy, (0..len).map(expected), false);
    let is_right = (0..len).all(|index| expected(index).is_ok());
    assert_eq!(map.check().is_ok(), is_right);
    for index in 0..len {
        let found = map.get(index).map_err(|refused| refused.kind());
        assert_eq!(
            found.map(str::to_owned),
            expected(index),
            "{index} after the check"
        );
    }
    for wanted in ["", "a", "\u{e9}", "zzz"] {
        let _any = sealed.binary_search(wanted);
        let _any = sealed.binary_search_by(|found| found.cmp(wanted));
    }
}

/// Checksums prove nothing about a file that means harm: what it says of places and of UTF-8 is checked.
#[test]
fn a_file_that_lies_about_its_strings_gives_errors_and_nothing_else() {
    let text = "a\u{e9}b\u{20ac}c".as_bytes();
    let broken = b"ab\xFFcd\xE2\x82";
    let end = text.len() as u64;
    let cases: [(&[u8], &[u64]); 12] = [
        (text, &[0, 1, 3, 4, 7, 8]),
        (text, &[0, 2, 8]),
        (text, &[1, 3, 5, 8]),
        (text, &[3, 1, 8, 0]),
        (text, &[0, 9]),
        (text, &[0, end + 1, end]),
        (text, &[u64::MAX, 0, u64::MAX]),
        (text, &[1 << 63, 1 << 63]),
        (text, &[8, 8, 8]),
        (broken, &[0, 2, 3, 5, 7]),
        (broken, &[0, 0, 7, 7]),
        (b"", &[0, 0, 1]),
    ];
    for (bytes, offsets) in cases {
        let len = offsets.len() - 1;
        let expected = |index: usize| model(bytes, offsets, index).map(str::to_owned);
        let ranges: Vec<_> = (0..=len)
            .flat_map(|start| (start..=len).map(move |end| start..end))
            .collect();
        read_forged(&forged(bytes, offsets), len, &expected, &ranges);
    }
}

/// Returns the next of the numbers that a seed leads to.
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    usize::try_from(*seed >> 40).unwrap()
}

/// Forged files at random: most offsets ascend, and most bytes are UTF-8, so that all ways are taken.
#[test]
fn files_that_lie_at_random_give_what_they_have_or_errors() {
    let (mut right, mut wrong) = (0, 0);
    for case in 0..300_u64 {
        let mut seed = case;
        let bytes: Vec<u8> = (0..next(&mut seed) % 300)
            .map(string)
            .collect::<String>()
            .into();
        let mut bytes = bytes;
        if next(&mut seed) % 2 == 0 && !bytes.is_empty() {
            let at = next(&mut seed) % bytes.len();
            bytes[at] = 0xC0 | (bytes[at] & 0x3F);
        }
        let mut offsets: Vec<u64> = (0..=next(&mut seed) % 40)
            .map(|_| (next(&mut seed) % (bytes.len() + 1)) as u64)
            .collect();
        if next(&mut seed) % 4 > 0 {
            offsets.sort_unstable();
        }
        if next(&mut seed) % 2 == 0 {
            let text = String::from_utf8_lossy(&bytes);
            for offset in &mut offsets {
                let mut at = usize::try_from(*offset).unwrap().min(text.len());
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                *offset = (at as u64).min(bytes.len() as u64);
            }
        }
        let len = offsets.len() - 1;
        let expected = |index: usize| model(&bytes, &offsets, index).map(str::to_owned);
        let ok = (0..len).filter(|index| expected(*index).is_ok()).count();
        (right, wrong) = (right + ok, wrong + len - ok);
        let ranges: Vec<_> = (0..10)
            .map(|_| {
                let start = next(&mut seed) % (len + 1);
                start..start + next(&mut seed) % (len + 1 - start)
            })
            .collect();
        let forged = forged(&bytes, &offsets);
        read_forged(&forged, len, &expected, &ranges);
        // A canary: something else is expected of one item.
        if case % 50 == 0 && len > 0 {
            let planted = |index: usize| match expected(index) {
                Ok(found) if index == len - 1 => Ok(found + "!"),
                Err(_) if index == len - 1 => Ok(String::new()),
                other => other,
            };
            let missed = AssertUnwindSafe(|| read_forged(&forged, len, &planted, &ranges));
            assert!(catch_unwind(missed).is_err(), "case {case}");
        }
    }
    assert!(right > 1000 && wrong > 1000, "{right} right, {wrong} wrong");
}

#[test]
fn the_lengths_of_strings_cannot_overflow() {
    for (count, bytes) in [
        (u64::MAX, 0),
        (u64::MAX / 8, 0),
        (0, u64::MAX),
        (1 << 60, u64::MAX / 2 + 1),
    ] {
        assert_eq!(StringsLayout::new(count, bytes), None, "{count} of {bytes}");
    }
    assert!(StringsLayout::new(1 << 50, 1 << 60).is_some());
}
