//! One suite for both engines: the same pieces by each.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::ahead::Ahead;
use super::batch::{Piece, read_batch};
use super::idle::Idle;
use super::span::Span;
use super::{PIECE_BYTES_MAX, ReadOptions};
use crate::error::{ErrorKind, Result};
use crate::io::dir::ScratchDir;
use crate::io::scratch::ScratchFile;
use crate::sys::Hint;
#[cfg(not(any(miri, memory_backend)))]
use crate::sys::fault::{Fault, Outcome, arm, disarm};

/// Bytes of the file that is read.
const FILE_BYTES: usize = if cfg!(any(miri, memory_backend)) {
    1 << 20
} else {
    8 << 20
};

/// Every way to read: both engines, one read at a time and many, through the cache and past it.
pub(super) fn ways() -> [ReadOptions; 7] {
    let ring = ReadOptions::new();
    let threads = ReadOptions::new().threads(true);
    [
        ring.clone(),
        threads.clone(),
        ring.clone().in_flight(1),
        threads.clone().in_flight(1),
        ring.clone().in_flight(3).direct(true),
        threads.in_flight(3).direct(true),
        ring.in_flight(usize::MAX),
    ]
}

pub(super) fn content() -> Vec<u8> {
    let mut word = 1_u32;
    let mut next = || {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        word.to_le_bytes()[3]
    };
    (0..FILE_BYTES).map(|_| next()).collect()
}

/// Creates a file of these bytes, none of which is in memory if the system permits that.
pub(super) fn cold_file(bytes: &[u8]) -> ScratchFile {
    let dir = ScratchDir::new(env!("CARGO_MANIFEST_DIR")).unwrap();
    let file = ScratchFile::create(&dir).unwrap();
    file.grow(0, [bytes.len() as u64]).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    make_cold(&file);
    file
}

pub(super) fn make_cold(file: &ScratchFile) {
    file.sync_data().unwrap();
    file.advise(0, FILE_BYTES as u64, Hint::DontNeed).unwrap();
}

/// Returns offsets and lengths in ascending order: tiny and long ones, equal ones, neighbours.
pub(super) fn pieces(seed: u64) -> Vec<(u64, usize)> {
    let mut word = seed;
    let mut below = |bound: usize| {
        word = word
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(word >> 33).unwrap() % bound
    };
    let lens = [
        1,
        7,
        512,
        4096,
        5000,
        65_535,
        PIECE_BYTES_MAX,
        PIECE_BYTES_MAX + 1,
        300_000,
    ];
    let mut found = Vec::new();
    for _ in 0..150 {
        let len = lens[below(lens.len())];
        let offset = below(FILE_BYTES - len) as u64;
        found.push((offset, len));
        if below(4) == 0 {
            found.push((offset, len));
            let behind = offset + len as u64 + below(6000) as u64;
            if behind + 100 <= FILE_BYTES as u64 {
                found.push((behind, 100));
            }
        }
    }
    found.sort_unstable();
    found
}

/// Reads the pieces and compares them; returns how many were delivered, and the result of the
/// batch.
fn read(
    way: &ReadOptions,
    file: &ScratchFile,
    bytes: &[u8],
    pieces: &[(u64, usize)],
) -> (usize, Result<()>) {
    read_by(way, &Idle::default(), file, bytes, pieces)
}

/// The same with an engine that others returned.
pub(super) fn read_by(
    way: &ReadOptions,
    idle: &Idle,
    file: &ScratchFile,
    bytes: &[u8],
    pieces: &[(u64, usize)],
) -> (usize, Result<()>) {
    let asked = |index| {
        let &(offset, len): &(u64, usize) = pieces.get(index)?;
        Some(Piece {
            file,
            span: Span::new(offset, len),
            index,
        })
    };
    let mut seen = HashSet::new();
    let answer = read_batch(way, idle, &asked, &mut |index, got| {
        let (offset, len) = pieces[index];
        let start = usize::try_from(offset).unwrap();
        let same = got == &bytes[start..start + len];
        assert!(same, "{way:?}: other bytes for {len} at {offset}");
        assert!(seen.insert(index), "{way:?}: {index} came twice");
    });
    (seen.len(), answer.map_err(|refused| file.error(refused)))
}

#[test]
fn every_way_to_read_brings_the_same_bytes() {
    let bytes = content();
    let file = cold_file(&bytes);
    let idle = Idle::default();
    for way in ways() {
        for seed in 0..3 {
            let pieces = pieces(seed);
            make_cold(&file);
            // Cold, and then from memory.
            for _ in 0..2 {
                let (count, answer) = read_by(&way, &idle, &file, &bytes, &pieces);
                answer.unwrap();
                assert_eq!(count, pieces.len(), "{way:?}");
            }
        }
    }
}

/// The comparison has to detect a single bit.
#[test]
#[should_panic(expected = "other bytes")]
fn a_planted_bit_is_found() {
    let mut bytes = content();
    let file = cold_file(&bytes);
    bytes[4321] ^= 1;
    let _answer = read(&ReadOptions::new(), &file, &bytes, &[(4000, 1000)]);
}

/// Direct reads also find bytes that were written and are not on the device yet.
#[test]
fn direct_reads_see_what_is_only_in_the_cache() {
    let mut bytes = content();
    let file = cold_file(&bytes);
    bytes[100_000..100_100].fill(77);
    file.write_all_at(&bytes[100_000..100_100], 100_000)
        .unwrap();
    for way in ways() {
        let (count, answer) = read(&way, &file, &bytes, &[(99_990, 200), (100_050, 1)]);
        answer.unwrap();
        assert_eq!(count, 2);
    }
}

#[test]
fn the_end_of_the_file_is_the_same_error_by_every_way() {
    let bytes = content();
    let file = cold_file(&bytes);
    let end = FILE_BYTES as u64;
    for way in ways() {
        for past in [
            (end - 10, 11),
            (end, 1),
            (end - 1000, PIECE_BYTES_MAX + 2000),
        ] {
            make_cold(&file);
            let (_, answer) = read(&way, &file, &bytes, &[past]);
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{way:?}: {error}");
            let message = error.to_string();
            assert!(message.starts_with("cannot read a file in"), "{message}");
        }
    }
}

/// Takes the pieces in the order of the requests, while others are requested.
fn take(
    way: &ReadOptions,
    file: &ScratchFile,
    bytes: &[u8],
    pieces: &[(u64, usize)],
) -> Vec<Result<()>> {
    take_by(way, &Arc::default(), file, bytes, pieces)
}

/// The same with an engine that others returned.
pub(super) fn take_by(
    way: &ReadOptions,
    idle: &Arc<Idle>,
    file: &ScratchFile,
    bytes: &[u8],
    pieces: &[(u64, usize)],
) -> Vec<Result<()>> {
    let mut ahead = Ahead::new(way, Arc::clone(idle));
    let mut waiting = pieces.iter();
    let mut answers = Vec::new();
    loop {
        while ahead.wants_more() {
            let Some(&(offset, len)) = waiting.next() else {
                break;
            };
            ahead.push(&***file, Span::new(offset, len));
        }
        let Some(answer) = ahead.pop(true) else {
            assert!(ahead.is_empty() && waiting.next().is_none());
            return answers;
        };
        let (offset, len) = pieces[answers.len()];
        let start = usize::try_from(offset).unwrap();
        let answer = answer.map_err(|refused| file.error(refused));
        answers.push(answer.map(|got| {
            let same = got == bytes[start..start + len];
            assert!(same, "{way:?}: other bytes for {len} at {offset}");
        }));
    }
}

#[test]
fn every_way_to_read_ahead_brings_the_same_bytes_in_order() {
    let bytes = content();
    let file = cold_file(&bytes);
    for way in ways() {
        for seed in 0..2 {
            let mut pieces = pieces(seed);
            pieces.reverse();
            // Some in ascending order, so that they are joined.
            pieces.extend((0..200).map(|n| (n * 600, 512)));
            for _ in 0..2 {
                let answers = take(&way, &file, &bytes, &pieces);
                assert_eq!(answers.len(), pieces.len());
                answers.into_iter().for_each(Result::unwrap);
            }
            make_cold(&file);
        }
    }
}

/// One piece that cannot be read is one error, in its place.
#[test]
fn the_end_of_the_file_is_an_error_between_others() {
    let bytes = content();
    let file = cold_file(&bytes);
    let end = FILE_BYTES as u64;
    for way in ways() {
        make_cold(&file);
        let mut padded = bytes.clone();
        padded.resize(FILE_BYTES + (1 << 20), 0);
        let pieces = [
            (end - 300, 100),
            (end - 100, 101),
            (end - 90, 90),
            (5, 5),
            (end - 1000, 200_000),
        ];
        let answers = take(&way, &file, &padded, &pieces);
        let good: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false, true, true, false], "{way:?}");
    }
}

/// Only batches returned their engines, so a program that streams created a ring for each stream.
#[test]
#[cfg(all(
    feature = "io-uring",
    target_arch = "x86_64",
    not(any(miri, memory_backend))
))]
fn batches_and_streams_leave_their_ring_to_each_other() {
    if let Err(refused) = crate::sys::Ring::new(1) {
        eprintln!("skipped: there are no rings: {refused}");
        return;
    }
    let bytes = content();
    let file = cold_file(&bytes);
    let idle = Arc::default();
    let way = ReadOptions::new().in_flight(7);
    let pieces = pieces(1);
    let depths = || {
        let taken: Vec<_> = std::iter::from_fn(|| Idle::take(&idle, 1)).collect();
        let depths: Vec<_> = taken.iter().map(|kept| kept.depth_for_others()).collect();
        for kept in taken {
            idle.keep(kept);
        }
        depths
    };
    for _ in 0..2 {
        make_cold(&file);
        let answers = take_by(&way, &idle, &file, &bytes, &pieces);
        answers.into_iter().for_each(Result::unwrap);
        assert_eq!(depths(), [7], "of a stream");
        make_cold(&file);
        read_by(&way, &idle, &file, &bytes, &pieces).1.unwrap();
        assert_eq!(depths(), [7], "of a batch");
    }
    // While one stream has the ring, another creates its own.
    make_cold(&file);
    let mut ahead = Ahead::new(&way, Arc::clone(&idle));
    for &(offset, len) in pieces.iter().rev().take(10) {
        ahead.push(&**file, Span::new(offset, len));
    }
    assert_eq!(depths(), [0_usize; 0]);
    read_by(&way, &idle, &file, &bytes, &pieces).1.unwrap();
    assert_eq!(depths(), [7]);
    while let Some(answer) = ahead.pop(true) {
        answer.unwrap();
    }
    drop(ahead);
    assert_eq!(depths(), [7, 7]);
}

#[test]
#[should_panic(expected = "other bytes")]
fn a_planted_bit_is_found_ahead() {
    let mut bytes = content();
    let file = cold_file(&bytes);
    bytes[4321] ^= 1;
    take(&ReadOptions::new(), &file, &bytes, &[(4000, 1000)]);
}

/// The kernel writes into the buffers of reads in flight while the stack unwinds.
#[test]
fn a_panic_in_the_middle_waits_for_what_is_under_way() {
    let bytes = content();
    let file = cold_file(&bytes);
    let pieces = pieces(1);
    let idle = Idle::default();
    for way in ways() {
        for after in [0, 1, 20] {
            make_cold(&file);
            let asked = |index| {
                let &(offset, len): &(u64, usize) = pieces.get(index)?;
                Some(Piece {
                    file: &file,
                    span: Span::new(offset, len),
                    index,
                })
            };
            let mut count = 0;
            let deliver = &mut |_, _: &[u8]| {
                assert!(count < after, "planted");
                count += 1;
            };
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                read_batch(&way, &idle, &asked, deliver)
            }));
            panicked.unwrap_err();
        }
        let (count, answer) = read_by(&way, &idle, &file, &bytes, &pieces);
        answer.unwrap();
        assert_eq!(count, pieces.len());
    }
}

/// Reads pieces that are in memory, and compares the number of calls. Windows does not say that they are
/// in memory, and threads read them.
#[cfg(not(any(miri, memory_backend)))]
#[track_caller]
fn check_calls(pieces: &[(u64, usize)], expected: usize) {
    let bytes = content();
    let dir = ScratchDir::new(env!("CARGO_MANIFEST_DIR")).unwrap();
    let file = ScratchFile::create(&dir).unwrap();
    file.grow(0, [bytes.len() as u64]).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    arm(Fault {
        after: usize::MAX,
        sticky: false,
        outcome: Outcome::Zero,
    });
    let (count, answer) = read(&ReadOptions::new(), &file, &bytes, pieces);
    let (calls, _met) = disarm();
    answer.unwrap();
    assert_eq!(count, pieces.len());
    assert!(calls == expected || cfg!(windows), "{calls} calls");
}

#[test]
#[cfg(not(any(miri, memory_backend)))]
fn neighbours_are_joined_and_strangers_are_not() {
    check_calls(&[], 0);
    check_calls(&[(0, 10), (10, 10), (500, 10), (4000, 96)], 1);
    check_calls(&[(0, 10), (100_000, 10), (200_000, 10)], 3);
}

#[test]
#[cfg(not(any(miri, memory_backend)))]
fn equal_and_overlapping_pieces_are_one_read() {
    check_calls(&[(5, 100), (5, 100), (5, 20), (50, 10)], 1);
}

#[test]
#[cfg(not(any(miri, memory_backend)))]
fn a_run_is_bounded_and_a_long_piece_is_read_whole() {
    let dense: Vec<_> = (0..1024).map(|n| (n * 1024, 1024)).collect();
    // 1 MiB in runs of 64 KiB.
    check_calls(&dense, 16);
    check_calls(&[(0, 3 << 20), (3 << 20, 10)], 2);
}
