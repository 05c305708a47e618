//! `DiskVec::try_copy`: equal at first, and independent afterwards.

use outcore::{DiskVec, ScratchDir};

fn filled(count: u64) -> DiskVec<u64> {
    let dir = ScratchDir::new(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut vec = DiskVec::new_in(&dir);
    vec.try_extend(0..count).unwrap();
    vec
}

#[test]
fn a_copy_is_equal_and_independent_at_every_length() {
    // Within the first window, at its end, over several windows, and with elements removed at
    // the front.
    for count in [0, 1, 8_191, 8_192, 8_193, 20_000, 100_000, 300_001] {
        for front in [0, 1, 700, 9_000, 80_000] {
            let mut original = filled(count);
            original.truncate_front(front);
            let mut copy = original.try_copy().unwrap();
            assert_eq!(copy, original, "{count} elements, {front} removed");
            for element in &mut copy {
                *element = !*element;
            }
            copy.try_extend(0..10_000).unwrap();
            let first = u64::try_from(front).unwrap().min(count);
            assert!(
                original.iter().copied().eq(first..count),
                "the original changed: {count} elements, {front} removed"
            );
            let expected = (first..count).map(|n| !n).chain(0..10_000);
            assert!(copy.iter().copied().eq(expected), "{count}, {front}");
        }
    }
}

#[test]
fn a_copy_of_what_was_stored_through_the_mapping_has_it() {
    let mut original = filled(200_000);
    original[3] = 33;
    original[150_000] = 15;
    let copy = original.try_copy().unwrap();
    assert_eq!((copy[3], copy[150_000]), (33, 15));
}

#[test]
fn a_copy_claims_no_more_than_its_elements() {
    let mut original = filled(1 << 20);
    original.truncate_front(1 << 19);
    let copy = original.try_copy().unwrap();
    let bytes = u64::try_from(copy.len() * 8).unwrap();
    assert!(
        copy.disk_bytes() <= bytes + (64 << 10),
        "{}",
        copy.disk_bytes()
    );
}
