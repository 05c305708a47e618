//! Claims that hold for both engines.

use super::batch::LONG_BYTES_MAX;
use super::idle::Idle;
use super::options::IN_FLIGHT_MAX;
use super::span::Span;
use super::tests::{cold_file, content, make_cold, ways};
use super::{BUFFER_BYTES_MAX, PIECE_BYTES_MAX, Reads, buffer_len, depth_max};
use crate::error::ErrorKind;

/// Reads whose results are dropped.
#[test]
fn reads_that_are_dropped_are_waited_for() {
    let bytes = content();
    let file = cold_file(&bytes);
    for way in ways() {
        make_cold(&file);
        let mut reads = Reads::new(&way, &Idle::default()).unwrap();
        let mut started = 0;
        while reads.has_room() && started < 20 {
            reads.start(&file, Span::new(started * 9000, 4000), 0);
            started += 1;
        }
        let first = reads.finished(1).unwrap().unwrap();
        drop(reads);
        drop(first);
    }
}

/// A child found room in its parent's engine: a read was queued there, for a ring or threads that
/// the child does not have, and a thread that waited for it waited for ever.
#[test]
fn a_child_starts_no_read_in_the_engine_of_its_parent() {
    let bytes = content();
    let file = cold_file(&bytes);
    for way in ways() {
        make_cold(&file);
        let mut reads = Reads::new(&way, &Idle::default()).unwrap();
        reads.start(&file, Span::new(0, 4000), 0);
        // The owner is all that distinguishes a child from its parent.
        let parent = std::mem::replace(&mut reads.owner, u64::MAX);
        assert!(!reads.has_room(), "{way:?}");
        assert_eq!(
            reads.check_owner().unwrap_err().kind(),
            ErrorKind::Forked,
            "{way:?}"
        );
        for wait in [0, 1] {
            let refused = reads.finished(wait).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forked, "{way:?}");
        }
        reads.owner = parent;
        assert!(reads.finished(1).unwrap().is_some(), "{way:?}");
    }
}

/// Where pages have 64 KiB, each buffer of a direct read had three of them, and 192 buffers took 36
/// MiB.
#[test]
fn buffers_take_16_mib_at_most_whatever_the_page() {
    for page in [4 << 10, 16 << 10, 64 << 10] {
        for is_direct in [false, true] {
            let len = buffer_len(is_direct, page);
            let depth = IN_FLIGHT_MAX.min(depth_max(len));
            assert!(depth >= 64 && len >= PIECE_BYTES_MAX && len % page == 0);
            let all = depth * len + PIECE_BYTES_MAX + LONG_BYTES_MAX;
            assert!(all <= BUFFER_BYTES_MAX, "{all} bytes with pages of {page}");
        }
    }
    assert_eq!(depth_max(buffer_len(true, 4096)).min(IN_FLIGHT_MAX), 192);
}
