//! `RangeFile` from the user's view: who owns which bytes, what is visible under the name and when.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use outcore::range_file::ALIGNMENT;
use outcore::{ErrorKind, FileRangeMut, RangeFile, Written};

use crate::support::{disk, ranged_path};

fn create(len: u64) -> RangeFile {
    RangeFile::create(ranged_path(), len).unwrap()
}

fn bounds(range: &FileRangeMut) -> (u64, u64) {
    (range.start(), range.end())
}

#[test]
fn lengths_are_rounded_up_and_the_last_range_ends_with_the_file() {
    let file = create(3 * ALIGNMENT + 100);
    let first = file.allocate(1).unwrap();
    let second = file.allocate(ALIGNMENT + 1).unwrap();
    assert_eq!(bounds(&first), (0, ALIGNMENT));
    assert_eq!(bounds(&second), (ALIGNMENT, 3 * ALIGNMENT));
    assert!(file.allocate(101).is_none());
    let last = file.allocate(1).unwrap();
    assert_eq!(bounds(&last), (3 * ALIGNMENT, 3 * ALIGNMENT + 100));
    assert_eq!(file.remaining(), 0);
    assert!(file.allocate(1).is_none());
}

#[test]
fn no_length_overflows_anything() {
    let file = create(4 * ALIGNMENT);
    for len in [
        0,
        4 * ALIGNMENT + 1,
        (1 << 20) + 1,
        1 << 40,
        i64::MAX.unsigned_abs(),
        1 << 63,
        u64::MAX - ALIGNMENT,
        u64::MAX - 1,
        u64::MAX,
    ] {
        assert!(file.allocate(len).is_none(), "{len}");
        assert_eq!(file.remaining(), 4 * ALIGNMENT, "{len}");
    }
    let claims = [
        0..u64::MAX,
        u64::MAX - 1..u64::MAX,
        4 * ALIGNMENT..4 * ALIGNMENT + 1,
    ];
    for range in claims {
        let refused = file.claim(range).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OutOfBounds);
    }
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    let refused = file.claim(2..1).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OutOfBounds);
    assert_eq!(file.allocate(4 * ALIGNMENT).unwrap().len(), 16384);
    for len in [1 << 48, 1 << 62, 1 << 63, u64::MAX] {
        let refused = RangeFile::create(ranged_path(), len).unwrap_err();
        assert!(
            matches!(
                refused.kind(),
                ErrorKind::CapacityOverflow | ErrorKind::FileTooLarge | ErrorKind::StorageFull
            ),
            "{len}: {refused}"
        );
        file.grow(len).unwrap_err();
        assert_eq!(file.len(), 4 * ALIGNMENT);
    }
}

#[test]
fn a_request_that_is_refused_takes_nothing_from_others() {
    let file = create(10 * ALIGNMENT);
    let _six = file.allocate(6 * ALIGNMENT).unwrap();
    for _ in 0..3 {
        assert!(file.allocate(5 * ALIGNMENT).is_none());
        assert_eq!(file.remaining(), 4 * ALIGNMENT);
    }
    let four: Vec<_> = (0..4).map_while(|_| file.allocate(1)).collect();
    assert_eq!(four.len(), 4);
    assert!(file.allocate(1).is_none());
}

#[test]
fn an_empty_file_has_nothing_to_give_and_can_be_published() {
    let path = ranged_path();
    let file = RangeFile::create(&path, 0).unwrap();
    assert!(file.is_empty());
    assert!(file.allocate(1).is_none());
    assert_eq!(file.claim(0..0).unwrap().len(), 0);
    file.publish().unwrap();
    if !cfg!(any(miri, memory_backend)) {
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }
}

#[test]
fn what_is_dropped_unwritten_is_given_out_again() {
    let file = create(4 * ALIGNMENT);
    let all: Vec<_> = std::iter::from_fn(|| file.allocate(1)).collect();
    assert_eq!(all.len(), 4);
    drop(all);
    assert_eq!(file.remaining(), 4 * ALIGNMENT);
    let (low, high) = file.allocate(4 * ALIGNMENT).unwrap().split_at(10);
    drop(low);
    assert!(file.allocate(1).is_none(), "ten bytes are no block");
    assert_eq!(file.claim(3..7).unwrap().len(), 4);
    drop(high);
    assert_eq!(file.allocate(4 * ALIGNMENT).unwrap().len(), 4 * 4096);
}

#[test]
fn what_is_frozen_is_never_given_out_again() {
    let file = create(2 * ALIGNMENT);
    drop(file.allocate(1).unwrap().freeze());
    assert_eq!(file.remaining(), ALIGNMENT);
    let refused = file.claim(4095..4096).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::RangesInUse);
    assert_eq!(refused.path(), Some(file.path()));
    assert_eq!(file.claim(4096..4097).unwrap().start(), 4096);
}

#[test]
fn claims_and_allocations_never_meet() {
    let file = create(8 * ALIGNMENT);
    let claimed = file.claim(ALIGNMENT + 1..3 * ALIGNMENT - 1).unwrap();
    for refused in [
        0..ALIGNMENT + 2,
        ALIGNMENT + 1..ALIGNMENT + 2,
        ALIGNMENT..8 * ALIGNMENT,
        3 * ALIGNMENT - 2..4 * ALIGNMENT,
    ] {
        let error = file.claim(refused.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RangesInUse, "{refused:?}");
    }
    assert_eq!(file.remaining(), 8 * ALIGNMENT - claimed.len() as u64);
    let blocks: Vec<_> = std::iter::from_fn(|| file.allocate(ALIGNMENT)).collect();
    let mut starts: Vec<u64> = blocks
        .iter()
        .map(|block| block.start() / ALIGNMENT)
        .collect();
    starts.sort_unstable();
    assert_eq!(
        starts,
        [0, 3, 4, 5, 6, 7],
        "blocks 1 and 2 are in use in part"
    );
    let edges = [ALIGNMENT..ALIGNMENT + 1, 3 * ALIGNMENT - 1..3 * ALIGNMENT];
    let edges: Vec<_> = edges.map(|edge| file.claim(edge).unwrap()).into();
    assert_eq!((edges.len(), file.remaining()), (2, 0));
}

#[test]
fn ranges_are_cut_at_any_byte_or_at_the_alignment() {
    let file = create(8 * ALIGNMENT);
    let (low, high) = file.claim(100..20_000).unwrap().split_at_aligned_up(1);
    assert_eq!((bounds(&low), bounds(&high)), ((100, 4096), (4096, 20_000)));
    let (low, high) = high.split_at_aligned_down(5000);
    assert_eq!(
        (bounds(&low), bounds(&high)),
        ((4096, 8192), (8192, 20_000))
    );
    let (all, none) = high.split_at_aligned_up(11_808);
    assert_eq!(
        (bounds(&all), bounds(&none)),
        ((8192, 20_000), (20_000, 20_000))
    );
    let (none, all) = all.split_at_aligned_down(4095);
    assert_eq!(
        (bounds(&none), bounds(&all)),
        ((8192, 8192), (8192, 20_000))
    );
    let (mut none, all) = all.split_at(0);
    assert_eq!((none.len(), all.len()), (0, 11_808));
    none.write_all_at(b"", 0).unwrap();
    none.write_all_at(b"x", 0).unwrap_err();
    none.fill(1);
    let (two, none_again) = none.split_at(0);
    drop((two, none_again.freeze()));
    let (all, none) = all.split_at(11_808);
    assert_eq!((none.len(), all.len()), (0, 11_808));
    drop(file);
    assert_eq!(all[0], 0, "a range keeps its file");
    none.freeze().flush().unwrap();
}

#[test]
#[should_panic(expected = "cannot split 4096 bytes at 4097")]
fn a_cut_past_the_end_panics() {
    let _halves = create(4096).allocate(1).unwrap().split_at(4097);
}

#[test]
fn stores_and_writes_see_each_other_and_writes_stay_inside() {
    let file = create(2 * ALIGNMENT);
    let mut range = file.claim(1000..3000).unwrap();
    range.write_all_at(b"written", 10).unwrap();
    assert_eq!(range[10..17], *b"written");
    range[11] = b'R';
    for (len, offset) in [(1, 2000), (2001, 0), (1, u64::MAX), (2, 1999)] {
        let refused = range.write_all_at(&vec![1; len], offset).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OutOfBounds, "{len} at {offset}");
    }
    let copy = range.to_vec();
    let (mut low, high) = range.split_at(1000);
    low.write_all_at(&high, 0).unwrap();
    assert_eq!((low[10], high[10], copy[11]), (0, 0, b'R'));
}

#[test]
fn a_range_takes_a_stream_until_it_is_full() {
    let file = create(2 * ALIGNMENT);
    let mut range = file.claim(10..5000).unwrap();
    let mut stream = std::io::repeat(3).take(4000);
    assert_eq!(std::io::copy(&mut stream, &mut range).unwrap(), 4000);
    let (low, mut high) = range.split_at(2000);
    assert_eq!(high.write(&[4; 1000]).unwrap(), 990);
    assert_eq!(high.write(&[4]).unwrap(), 0);
    high.write_all(&[4]).unwrap_err();
    high.flush().unwrap();
    let (low, high) = (low.freeze(), high.freeze());
    assert!(low.iter().chain(&high[..2000]).all(|byte| *byte == 3));
    assert!(high[2000..].iter().all(|byte| *byte == 4));
}

#[test]
fn frozen_ranges_are_shared_sliced_and_flushed() {
    let file = create(4 * ALIGNMENT);
    let mut range = file.claim(5..9000).unwrap();
    range[4095] = 7;
    let range = range.freeze();
    let slice = range.slice(4000..5000);
    assert_eq!((slice.start(), slice.end(), slice[95]), (4005, 5005, 7));
    assert_eq!(slice.slice(95..=95).as_ref(), [7]);
    assert_eq!(range.slice(..).len(), range.len());
    let reader = std::thread::spawn(move || slice.iter().position(|byte| *byte == 7));
    assert_eq!(reader.join().unwrap(), Some(95));
    range.clone().flush().unwrap();
    range.slice(8995..).flush().unwrap();
    file.sync_all().unwrap();
}

#[test]
fn a_file_grows_while_ranges_are_out() {
    let file = create(ALIGNMENT + 10);
    let mut first = file.allocate(1).unwrap();
    let at = first.as_ptr();
    first.fill(1);
    let mut tail = file.allocate(1).unwrap();
    tail.fill(2);
    assert!(file.allocate(1).is_none());
    file.grow(100).unwrap();
    assert_eq!(file.len(), ALIGNMENT + 10, "it never shrinks");
    file.grow(1000 * ALIGNMENT + 1).unwrap();
    assert_eq!(file.len(), 1000 * ALIGNMENT + 1);
    let blocks: Vec<_> = std::iter::from_fn(|| file.allocate(1)).collect();
    assert_eq!(blocks.len(), 999, "998 blocks and a last byte");
    assert_eq!(file.remaining(), ALIGNMENT - 10);
    assert_eq!(file.claim(4106..8192).unwrap().len(), 4086);
    assert!(
        blocks
            .iter()
            .flat_map(|block| block.iter())
            .all(|byte| *byte == 0)
    );
    assert_eq!(first.as_ptr(), at);
    assert!(first.iter().all(|byte| *byte == 1) && tail.iter().all(|byte| *byte == 2));
}

#[test]
fn a_file_is_published_only_when_all_ranges_are_back() {
    let path = ranged_path();
    let file = RangeFile::create(&path, 4 * ALIGNMENT).unwrap();
    let refuse = |file: RangeFile| {
        let refused = file.publish().unwrap_err();
        assert_eq!(refused.error().kind(), ErrorKind::RangesInUse, "{refused}");
        assert_eq!(refused.error().path(), Some(path.as_path()));
        refused.into_file()
    };
    let mut range = file.allocate(ALIGNMENT).unwrap();
    range.fill(1);
    let file = refuse(file);
    let frozen = range.freeze();
    let (file, clone) = (refuse(file), frozen.clone());
    drop(frozen);
    let file = refuse(file);
    let slice = clone.slice(1..2);
    drop(clone);
    let file = refuse(file);
    drop(slice);
    let (half, other) = file.allocate(2).unwrap().split_at(1);
    drop(half);
    let file = refuse(file);
    drop(other);
    let second = file.clone();
    let file = refuse(file);
    drop(second);
    file.publish().unwrap();
    let refused = RangeFile::create(&path, 1).unwrap().publish_new();
    let refused = refused.unwrap_err();
    let kind = refused.error().io_error().map(std::io::Error::kind);
    assert_eq!(kind, Some(std::io::ErrorKind::AlreadyExists));
    refused.into_file().publish().unwrap();
}

#[test]
fn a_leaked_range_keeps_the_file_from_being_published_and_nothing_else() {
    let file = create(2 * ALIGNMENT);
    let leaked = file.allocate(1).map(std::mem::ManuallyDrop::new);
    let refused = file.publish().unwrap_err();
    assert_eq!(refused.error().kind(), ErrorKind::RangesInUse);
    let file = refused.into_file();
    assert_eq!(file.remaining(), ALIGNMENT);
    drop(file);
    let mut leaked = leaked.unwrap();
    leaked.fill(1);
    assert_eq!(leaked[4095], 1);
}

#[test]
fn the_record_says_what_is_written_and_what_is_missing() {
    let file = create(10_000);
    assert_eq!(file.written(), Written::new());
    for range in [0..10, 4000..5000, 10..20, 9999..10_000] {
        file.claim(range).unwrap().freeze();
    }
    drop(file.claim(20..30).unwrap());
    let written = file.written();
    let spans: Vec<_> = written.spans().collect();
    assert_eq!(spans, [0..20, 4000..5000, 9999..10_000]);
    assert_eq!(written.bytes(), 1021);
    assert!(written.contains(&(4500..5000)) && !written.contains(&(19..21)));
    let gaps: Vec<_> = written.gaps(10_000).collect();
    assert_eq!(gaps, [20..4000, 5000..9999]);
    assert!(written.gaps(4500).eq(std::iter::once(20..4000)));
    assert!(Written::new().gaps(7).eq(std::iter::once(0..7)));
    assert_eq!(Written::new().gaps(0).count(), 0);
    let again: Written = spans.into_iter().rev().collect();
    assert_eq!(again, written);
}

#[cfg(feature = "serde")]
#[test]
fn a_record_survives_serde_and_opens_no_door() {
    let file = create(10_000);
    file.claim(0..10).unwrap().freeze();
    file.claim(4000..5000).unwrap().freeze();
    let text = serde_json::to_string(&file.written()).unwrap();
    assert_eq!(text, "[[0,10],[4000,5000]]");
    let written: Written = serde_json::from_str(&text).unwrap();
    assert_eq!(written, file.written());
    let forged: Written =
        serde_json::from_str("[[18446744073709551614,18446744073709551615],[3,3],[5,9],[1,6]]")
            .unwrap();
    assert_eq!(forged.spans().count(), 2);
    for span in forged.spans() {
        file.claim(span).unwrap_err();
    }
    for wrong in ["[[2,1]]", "[[1]]", "[1]", "{}", "[[1,-1]]"] {
        assert!(serde_json::from_str::<Written>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn threads_that_ask_for_the_same_length_get_all_of_it() {
    let blocks = if cfg!(miri) { 40 } else { 2000 };
    let file = create(blocks * ALIGNMENT);
    let sum = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(range) = file.allocate(ALIGNMENT) {
                    sum.fetch_add(range.start() / ALIGNMENT, Relaxed);
                    range.freeze();
                }
            });
        }
    });
    assert_eq!(sum.into_inner(), blocks * (blocks - 1) / 2);
    assert_eq!((file.remaining(), file.written().bytes()), (0, file.len()));
}

#[test]
fn what_is_stored_is_counted_in_the_statistics() {
    let before = disk().report().unwrap();
    let file = create(1 << 20);
    assert!(outcore::stats().disk_bytes >= 1 << 20);
    assert!(format!("{file:?}").contains("remaining"));
    drop((file, before));
}
