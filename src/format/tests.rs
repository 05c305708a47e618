//! Tests of the format: bytes that never change, and files in which any byte did.
#![expect(clippy::cast_possible_truncation, reason = "files of tests are short")]

use std::fs;
use std::io;
use std::panic::catch_unwind;
use std::path::Path;
use std::slice::from_ref;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::error::{Error, ErrorKind, Result};
use crate::format::arrow::{Column, Layout};
use crate::format::description::{DESCRIPTION_BYTES, Description, IN_HEAD, KIND_VECTOR};
use crate::format::ranges::{MemoryRanges, ReadRanges};
use crate::format::read::Sealed;
use crate::format::strings::{KIND_BYTES, KIND_TEXT};
use crate::format::sums::{Part, sum_of};
use crate::format::write::{BLOCK_BYTES, Contents, Writer};
use crate::format::{DATA_START, PAGE_BYTES};
use crate::testing::damage::{self, new_path};

const ID: [u8; 16] = *b"a golden id: 16 ";

/// The bytes of a block, as an index.
const BLOCK: usize = BLOCK_BYTES as usize;

/// The number of words that fill two blocks and a part of a third.
const WORDS: u64 = BLOCK_BYTES as u64 / 4 + 100;

/// Writes a vector of the words 0, 3, 6 and so on.
fn write(path: &Path, words: u64, id: [u8; 16]) -> Result<()> {
    let mut writer = Writer::with_id(path, false, id)?;
    for word in 0..words {
        writer.push(&(word * 3).to_le_bytes())?;
    }
    let covered_bytes = writer.covered_bytes();
    writer.finish(Contents {
        kind: KIND_VECTOR,
        elements: words,
        element_bytes: 8,
        element_align: 8,
        details: [0; 4],
        type_name: "u64".to_owned(),
        arrow: Some(Layout {
            column: Column::Int {
                bits: 64,
                signed: false,
            },
            elements: i64::try_from(words).unwrap_or(0),
            body_bytes: i64::try_from(covered_bytes).unwrap_or(0),
            buffers: vec![(0, 0), (0, i64::try_from(words * 8).unwrap_or(0))],
        }),
    })
}

/// Returns the bytes of such a file.
fn sealed_bytes(words: u64, id: [u8; 16]) -> Vec<u8> {
    let path = new_path();
    write(&path, words, id).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    bytes
}

fn open(bytes: &[u8]) -> Result<Sealed> {
    Sealed::open_from(Box::new(MemoryRanges::new(bytes.to_vec())))
}

/// Reads all words in pieces of a block, and checks them; returns why some could not be read.
fn refusal_of_words(sealed: &Sealed) -> Option<Error> {
    let end = sealed.description().data_bytes;
    let ranges: Vec<_> = (0..end)
        .step_by(BLOCK)
        .map(|start| start..(start + u64::from(BLOCK_BYTES)).min(end))
        .collect();
    let mut right = true;
    let read = sealed.read(&ranges, &mut |number, bytes| {
        let first = ranges[number].start / 8;
        let expected = (first..).map(|word| (word * 3).to_le_bytes());
        right &= bytes
            .chunks(8)
            .zip(expected)
            .all(|(found, word)| found == word);
    });
    assert!(right, "wrong words were delivered");
    read.err()
}

/// Opens, reads and verifies a file of words.
fn read(bytes: &[u8]) -> Result<()> {
    let sealed = open(bytes)?;
    let _refusal = refusal_of_words(&sealed);
    sealed.verify(&mut |_bytes| {})
}

/// A file of version 1 has to be readable for ever, and is what docs/format.md says.
#[test]
fn the_bytes_of_a_file_never_change() {
    for (name, words) in [("numbers-1.outcore", 1000), ("empty-1.outcore", 0)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(name);
        let bytes = sealed_bytes(words, ID);
        if std::env::var_os("OUTCORE_GOLDEN").is_some_and(|what| what == "write") {
            fs::write(&path, &bytes).unwrap();
        }
        let golden = fs::read(path).unwrap();
        assert!(golden == bytes, "{name}");
        let sealed = open(&golden).unwrap();
        assert_eq!(
            (sealed.description().elements, sealed.description().id),
            (words, ID)
        );
        assert!(refusal_of_words(&sealed).is_none());
        sealed.verify(&mut |_bytes| {}).unwrap();
    }
}

#[test]
fn every_byte_that_changes_is_noticed_and_no_wrong_word_is_read() {
    damage::each_byte(&read, &sealed_bytes(WORDS, ID));
}

/// A canary: the campaign has to notice a byte that its checksum allows.
#[test]
fn a_wrong_word_with_a_right_checksum_is_found() {
    let mut bytes = sealed_bytes(100, ID);
    let (start, len) = (DATA_START as usize, 832);
    bytes[start + 8] ^= 1;
    let table = start + len;
    let sum = sum_of(&ID, Part::Block, 0, &bytes[start..table]).to_le_bytes();
    bytes[table..table + 8].copy_from_slice(&sum);
    let page = sum_of(&ID, Part::TablePage, 0, &sum).to_le_bytes();
    bytes[table + 8..table + 16].copy_from_slice(&page);
    let index = sum_of(&ID, Part::Index, 0, &page);
    let mut description = open(&bytes).unwrap().description().clone();
    description.index_sum = index;
    let encoded = description.encode();
    for at in [IN_HEAD as usize, table + 16] {
        bytes[at..at + DESCRIPTION_BYTES].copy_from_slice(&encoded);
    }
    open(&bytes).unwrap().verify(&mut |_bytes| {}).unwrap();
    assert!(catch_unwind(|| damage::check(&read, &bytes, "planted")).is_err());
}

#[test]
fn a_file_of_any_other_length_is_refused() {
    damage::each_length(&read, &sealed_bytes(WORDS, ID));
}

#[test]
fn blocks_of_another_file_or_another_place_are_noticed() {
    let other = sealed_bytes(WORDS, *b"another id: 16  ");
    damage::foreign_blocks(&read, &sealed_bytes(WORDS, ID), &other);
}

/// Anybody can compute checksums: what they say of impossible files must be refused, not believed.
#[test]
fn a_description_that_cannot_be_is_refused_before_anything_is_allocated() {
    let bytes = sealed_bytes(1000, ID);
    let base = open(&bytes).unwrap().description().clone();
    let extremes = [
        0,
        1,
        7,
        8,
        64,
        999,
        1001,
        4096,
        1 << 32,
        1 << 61,
        1 << 62,
        1 << 63,
        u64::MAX,
    ];
    let changes: [fn(&mut Description, u64); 8] = [
        |found, number| found.elements = number,
        |found, number| found.element_bytes = number,
        |found, number| found.data_bytes = number,
        |found, number| found.element_align = number as u32,
        |found, number| found.block_bytes = number as u32,
        |found, number| {
            found.elements = number;
            found.element_bytes = 1;
            found.data_bytes = number;
        },
        |found, number| {
            found.kind = KIND_BYTES;
            found.details[0] = number;
        },
        |found, number| {
            found.kind = KIND_TEXT;
            found.elements = number;
            found.details[0] = 64;
        },
    ];
    let mut refusals = 0;
    for change in changes {
        for number in extremes {
            let mut found = base.clone();
            change(&mut found, number);
            if found == base {
                continue;
            }
            let mut forged = bytes.clone();
            let encoded = found.encode();
            let tail = bytes.len() - PAGE_BYTES as usize;
            for at in [IN_HEAD as usize, tail] {
                forged[at..at + DESCRIPTION_BYTES].copy_from_slice(&encoded);
            }
            match open(&forged) {
                Err(refused) => {
                    assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
                    refusals += 1;
                }
                // It is possible, but the checksums are others.
                Ok(sealed) => drop(sealed.verify(&mut |_bytes| {})),
            }
        }
    }
    assert!(refusals > 50, "{refusals}");
}

/// The name of the type of a stranger's file went into messages and to terminals as it was, which do
/// what such a text asks of them.
#[test]
fn the_name_of_a_type_has_no_control_characters() {
    let bytes = sealed_bytes(10, ID);
    for name in ["u\x1b]0;title\x07", "u8\n", "\u{9b}2J"] {
        let mut found = open(&bytes).unwrap().description().clone();
        name.clone_into(&mut found.type_name);
        let encoded = found.encode();
        let mut forged = bytes.clone();
        let tail = bytes.len() - PAGE_BYTES as usize;
        for at in [IN_HEAD as usize, tail] {
            forged[at..at + DESCRIPTION_BYTES].copy_from_slice(&encoded);
        }
        let refused = open(&forged).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt);
        assert!(!refused.to_string().contains(char::is_control));
    }
}

#[test]
fn a_later_version_is_named() {
    let mut bytes = sealed_bytes(10, ID);
    let tail = bytes.len() - PAGE_BYTES as usize;
    bytes[tail + 8] = 2;
    let body = bytes[tail..tail + 504].to_vec();
    let sum = sum_of(&ID, Part::Description, 0, &body).to_le_bytes();
    bytes[tail + 504..tail + 512].copy_from_slice(&sum);
    let refused = open(&bytes).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::UnknownVersion);
    assert!(refused.to_string().contains("version 2"), "{refused}");
}

#[test]
fn either_description_is_enough() {
    let mut bytes = sealed_bytes(WORDS, ID);
    let tail = bytes.len() - PAGE_BYTES as usize;
    bytes[tail..].fill(0);
    let sealed = open(&bytes).unwrap();
    assert!(refusal_of_words(&sealed).is_none());
    let refused = sealed.verify(&mut |_bytes| {}).unwrap_err();
    assert!(refused.to_string().contains("tail"), "{refused}");
    bytes[..4096].fill(0);
    assert_eq!(open(&bytes).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn whatever_call_fails_the_name_leads_to_a_whole_file_or_to_none() {
    damage::each_failing_call(&|path| {
        write(path, WORDS, ID)?;
        let sealed = Sealed::open(path)?;
        match refusal_of_words(&sealed) {
            Some(refused) => Err(refused),
            None => sealed.verify(&mut |_bytes| {}),
        }
    });
}

/// A file of one block of data takes one read of its end, one of the page of the table and one of
/// the block; the next element of the block one of itself.
#[test]
fn a_read_takes_few_requests() {
    let source = MemoryRanges::new(sealed_bytes(WORDS, ID));
    let sealed = Sealed::open_from(Box::new(source.clone())).unwrap();
    assert_eq!(source.requests(), 1);
    let read = |ranges: &[std::ops::Range<u64>]| {
        let mut bytes = 0;
        let before = source.requests();
        let answer = sealed.read(ranges, &mut |_number, found| bytes += found.len());
        answer.unwrap();
        (bytes, source.requests() - before)
    };
    assert_eq!(read(from_ref(&(8..16))), (8, 2), "the table and the block");
    assert_eq!(read(from_ref(&(16..24))), (8, 1), "the block");
    assert_eq!(read(&[0..8, 64..72, 72..80]), (24, 1), "close together");
    let block = u64::from(BLOCK_BYTES);
    assert_eq!(
        read(&[8..16, block..block + 8, 2 * block..2 * block + 8]),
        (24, 1)
    );
}

/// A source delivers other bytes from a moment on.
struct Replaced {
    is_replaced: Arc<AtomicBool>,
    objects: [MemoryRanges; 2],
}

impl ReadRanges for Replaced {
    fn read_tail(&self, len: usize) -> io::Result<(u64, Vec<u8>)> {
        self.objects[0].read_tail(len)
    }

    fn read_ranges(
        &self,
        ranges: &[std::ops::Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> io::Result<()> {
        let number = usize::from(self.is_replaced.load(Relaxed));
        self.objects[number].read_ranges(ranges, deliver)
    }
}

/// A block of a source was verified once, as one of a file is. An object of a store can be replaced
/// between two reads, and then bytes of the other object were returned.
#[test]
fn an_object_that_is_replaced_between_two_reads_is_noticed() {
    let bytes = sealed_bytes(WORDS, ID);
    let mut others = bytes.clone();
    others[DATA_START as usize + 8] ^= 1;
    let is_replaced = Arc::new(AtomicBool::new(false));
    let sealed = Sealed::open_from(Box::new(Replaced {
        is_replaced: Arc::clone(&is_replaced),
        objects: [bytes, others].map(MemoryRanges::new),
    }))
    .unwrap();
    let read = || {
        let mut found = Vec::new();
        sealed.append(8..16, &mut found).map(|()| found)
    };
    assert_eq!(read().unwrap(), 3_u64.to_le_bytes());
    is_replaced.store(true, Relaxed);
    assert_eq!(read().unwrap_err().kind(), ErrorKind::Corrupt);
}

/// A source that has kept wrong bytes of a range, until it forgets them.
struct Kept {
    wrong: Mutex<Option<std::ops::Range<u64>>>,
    bytes: MemoryRanges,
}

impl Kept {
    fn wrong(&self) -> Option<std::ops::Range<u64>> {
        self.wrong.lock().unwrap().clone()
    }
}

impl ReadRanges for Arc<Kept> {
    fn read_tail(&self, len: usize) -> io::Result<(u64, Vec<u8>)> {
        self.bytes.read_tail(len)
    }

    fn read_ranges(
        &self,
        ranges: &[std::ops::Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> io::Result<()> {
        let wrong = self.wrong();
        self.bytes.read_ranges(ranges, &mut |number, bytes| {
            let mut bytes = bytes.to_vec();
            for (at, byte) in (ranges[number].start..).zip(&mut bytes) {
                *byte ^= u8::from(wrong.as_ref().is_some_and(|wrong| wrong.contains(&at)));
            }
            deliver(number, &bytes);
        })
    }

    fn forget(&self, range: std::ops::Range<u64>) {
        let mut wrong = self.wrong.lock().unwrap();
        if let Some(kept) = wrong.take() {
            let is_in = range.start <= kept.start && kept.end <= range.end;
            *wrong = Some(kept).filter(|_| !is_in);
        }
    }
}

/// A source with a cache kept a block that was damaged on the way, and no later read of it could work.
#[test]
fn a_source_is_told_which_bytes_were_wrong() {
    let file = sealed_bytes(WORDS, ID);
    let all = Description::parse(&file[file.len() - PAGE_BYTES as usize..], file.len() as u64);
    let (table, index) = all.map(|all| (all.table(), all.index())).unwrap();
    for wrong in [
        DATA_START + u64::from(BLOCK_BYTES) + 77,
        DATA_START + 8,
        table.start + 3,
        index.start + 3,
        5,
        file.len() as u64 - 9,
    ] {
        let source = Arc::new(Kept {
            wrong: Mutex::new(Some(wrong..wrong + 1)),
            bytes: MemoryRanges::new(file.clone()),
        });
        let sealed = Sealed::open_from(Box::new(Arc::clone(&source))).unwrap();
        let verify = || sealed.verify(&mut |_bytes| {});
        assert_eq!(verify().unwrap_err().kind(), ErrorKind::Corrupt, "{wrong}");
        assert_eq!(*source.wrong.lock().unwrap(), None, "{wrong}");
        verify().unwrap();
    }
}

/// A file that is a hole, but for its last page.
struct Hole {
    len: u64,
    last: Vec<u8>,
}

impl ReadRanges for Hole {
    fn read_tail(&self, len: usize) -> io::Result<(u64, Vec<u8>)> {
        let mut tail = vec![0; len - self.last.len()];
        tail.extend(&self.last);
        Ok((self.len, tail))
    }

    fn read_ranges(
        &self,
        ranges: &[std::ops::Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> io::Result<()> {
        for (number, range) in ranges.iter().enumerate() {
            deliver(number, &vec![0; (range.end - range.start) as usize]);
        }
        Ok(())
    }
}

/// The state of all blocks was made when a file was opened: 0.75 GiB for a hole of 16 TiB that says to
/// have blocks of 4 KiB.
#[test]
fn the_length_that_a_file_says_to_have_takes_no_memory() {
    for (bytes, places_max) in [(1_u64 << 44, 1 << 12), ((1 << 62) - 64, 1 << 22)] {
        let description = Description {
            kind: KIND_VECTOR,
            id: ID,
            elements: bytes,
            element_bytes: 1,
            element_align: 1,
            block_bytes: 4096,
            data_bytes: bytes,
            details: [0; 4],
            index_sum: 0,
            head_sum: 0,
            tail_sum: 0,
            type_name: "u8".to_owned(),
        };
        let mut last = description.encode().to_vec();
        last.resize(PAGE_BYTES as usize, 0);
        let len = description.file_bytes();
        let sealed = Sealed::open_from(Box::new(Hole { len, last })).unwrap();
        assert!(sealed.known.places() <= places_max, "{bytes} bytes");
        assert_eq!(sealed.description().elements, bytes);
    }
}
