//! Vectors without space: quotas, full disks, limits of the process.

use outcore::{DiskVec, ErrorKind, ScratchDir};

#[cfg(not(any(miri, memory_backend)))]
use crate::support::test_name;

/// More than whole windows, so that the last window is partial.
const BYTES: usize = (1 << 20) + 4096;

/// Returns a directory with a quota of this many bytes.
fn quota(bytes: usize) -> ScratchDir {
    let builder = ScratchDir::builder(env!("CARGO_TARGET_TMPDIR"));
    builder.quota_bytes(bytes as u64).build().unwrap()
}

/// `reserve` allocated the requested space, and `push` then needed a whole further window: on a
/// disk that was full by then, a vector could not be filled to its capacity.
#[test]
fn what_was_reserved_can_be_pushed_when_nothing_else_is_left() {
    let dir = quota(BYTES);
    let mut bytes = DiskVec::with_capacity_in(BYTES, &dir).unwrap();
    assert_eq!((bytes.capacity(), dir.used_bytes()), (BYTES, BYTES as u64));
    for at in 0..BYTES {
        if let Err(refused) = bytes.push(1_u8) {
            panic!("{at} of {BYTES}: {refused}");
        }
    }
    assert_eq!(bytes.push(1).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(bytes.len(), BYTES);
}

/// As above: `push_within_capacity` refused elements below the capacity, and allocated space, which
/// it never should.
#[test]
fn push_within_capacity_reaches_the_capacity_and_claims_nothing() {
    let dir = quota(BYTES);
    let mut bytes = DiskVec::new_in(&dir);
    bytes.reserve_exact(BYTES).unwrap();
    for at in 0..BYTES {
        assert_eq!(bytes.push_within_capacity(1_u8), Ok(()), "{at} of {BYTES}");
        assert_eq!(dir.used_bytes(), BYTES as u64);
    }
    assert_eq!(bytes.push_within_capacity(2), Err(2));
}

/// As above: a slice that fits was refused, although `extend_from_slice` had reserved its space.
#[test]
fn a_slice_that_just_fits_is_appended() {
    let mut bytes = DiskVec::new_in(&quota(BYTES));
    bytes.extend_from_slice(&vec![1_u8; BYTES]).unwrap();
    assert_eq!(bytes.len(), BYTES);
}

/// `reserve` reserved addresses before it asked for disk space, and kept them when the disk
/// refused: the elements had moved, and a few refused calls used up the addresses of the whole
/// process.
#[test]
#[cfg(not(any(miri, memory_backend)))]
fn a_refused_reserve_moves_nothing_and_keeps_no_addresses() {
    let Some(child) = crate::support::process::child(test_name!()) else {
        let mut bytes = DiskVec::new_in(&quota(8 << 20));
        bytes.push(1_u8).unwrap();
        let (address, mapped_bytes) = (bytes.as_ptr(), outcore::stats().mapped_bytes);
        assert!(bytes.reserve(1 << 46).is_err());
        assert_eq!(
            outcore::stats().mapped_bytes,
            mapped_bytes,
            "addresses were kept"
        );
        assert_eq!(bytes.as_ptr(), address, "the elements moved");
        return;
    };
    child.run();
}

/// The retries with smaller reservations went below the first window, which was then opened beyond
/// the reservation: a failed assertion instead of an error.
#[test]
#[cfg(not(any(miri, memory_backend)))]
fn a_reservation_shorter_than_a_window_is_used_or_refused() {
    use crate::support::libc::{Resource, set_limit};
    use crate::support::process::child;

    let Some(child) = child(test_name!()) else {
        let dir = quota(8 << 20);
        let mut vectors = [4, 8, 16, 32, 48].map(|kib| (kib, DiskVec::new_in(&dir), None));
        for (kib, bytes, pushed) in &mut vectors {
            set_limit(Resource::AddressSpace, mapped_now() + (*kib << 10));
            *pushed = Some(bytes.push(1_u8).map_err(|refused| refused.kind()));
            set_limit(Resource::AddressSpace, u64::MAX);
        }
        for (kib, mut bytes, pushed) in vectors {
            assert!(
                matches!(pushed, Some(Ok(()) | Err(ErrorKind::OutOfMemory))),
                "{kib} KiB"
            );
            bytes.try_extend(0..100).unwrap();
        }
        return;
    };
    child.run();
}

/// Returns the bytes of addresses that this process uses.
#[cfg(not(any(miri, memory_backend)))]
fn mapped_now() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}
