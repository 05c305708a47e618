//! No room in the file: the inner allocator serves the request, every such block is counted, and
//! the file is used again when there is room.

use crate::support::libc::{Resource, set_limit};
use crate::support::process::child;
use crate::support::test_name;
use crate::support::tmpfs::on_ext4;
use crate::{THRESHOLD, byte_of, spill};

const MIB: usize = 1 << 20;

/// Allocates more large blocks than the file has room for, and checks all of them.
fn more_than_fits(room: usize) {
    let before = spill().failures();
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut total = 0;
    for n in 0.. {
        let len = THRESHOLD + n * 5000;
        blocks.push(vec![byte_of(n); len]);
        total += len;
        if total > 2 * room {
            break;
        }
    }
    assert!(spill().failures() > before, "the disk was never full");
    assert!(spill().spilled_bytes() > room as u64 / 4);
    assert!(spill().peak_bytes() >= spill().spilled_bytes());
    // Growth: in the file if there is room, otherwise out of it, with the bytes.
    for (n, block) in blocks.iter_mut().enumerate() {
        block.resize(block.len() + THRESHOLD, byte_of(n));
        block.shrink_to_fit();
    }
    for (n, block) in blocks.iter().enumerate() {
        let byte = byte_of(n);
        assert!(block.iter().all(|found| *found == byte), "block {n}");
    }
    // And back, after half of them are freed: blocks in memory move to the file as they grow.
    let mut odd = false;
    blocks.retain(|_| {
        odd = !odd;
        odd
    });
    let (failures, spilled) = (spill().failures(), spill().spilled_bytes());
    drop(vec![1_u8; THRESHOLD]);
    assert_eq!(spill().failures(), failures);
    let again = vec![1_u8; THRESHOLD];
    assert_eq!(spill().spilled_bytes(), spilled + THRESHOLD as u64);
    drop(again);
}

#[test]
fn on_a_full_disk_the_inner_allocator_serves() {
    let Some(again) = child(test_name!()) else {
        more_than_fits(16 * MIB);
        // No freed space is kept.
        assert_eq!(spill().spilled_bytes(), 0);
        return more_than_fits(16 * MIB);
    };
    on_ext4(test_name!(), 32 * MIB as u64, |path| {
        let mut again = again.env("OUTCORE_DIR", path);
        again = again.env_remove("OUTCORE_TEST_MOUNTS");
        again.run();
    });
}

/// The file cannot be longer than the limit, so there are few addresses.
#[test]
fn under_a_limit_of_file_size_the_inner_allocator_serves() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    set_limit(Resource::FileSize, 64 * MIB as u64);
    more_than_fits(64 * MIB);
    set_limit(Resource::FileSize, 4096);
    more_than_fits(64 * MIB);
}

#[test]
fn under_a_limit_of_addresses_both_serve_until_nothing_is_left() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    set_limit(Resource::AddressSpace, 1 << 30);
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(5 * MIB).is_err() {
            break;
        }
        block.resize(5 * MIB, 1_u8);
        blocks.push(block);
    }
    assert!(blocks.len() > 60, "{} blocks", blocks.len());
    assert!(spill().failures() > 0);
    assert!(blocks.iter().flatten().step_by(4096).all(|byte| *byte == 1));
    blocks.truncate(10);
    set_limit(Resource::AddressSpace, u64::MAX);
    let more = vec![2_u8; 50 * MIB];
    assert!(more.iter().all(|byte| *byte == 2));
}

/// An impossible request returns null, which collections report, and the block that should grow
/// stays.
#[test]
fn what_neither_can_serve_is_an_error() {
    let mut bytes = vec![1_u8; 2 * THRESHOLD];
    for more in [1 << 47, 1 << 60, isize::MAX.unsigned_abs() - (1 << 20)] {
        assert!(bytes.try_reserve_exact(more).is_err());
        assert!(Vec::<u8>::new().try_reserve_exact(more).is_err());
    }
    assert!(bytes.iter().all(|byte| *byte == 1));
    bytes.push(1);
}

/// No file can be opened at the first large block; the inner allocator serves it.
#[test]
fn without_a_free_file_the_inner_allocator_serves() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    set_limit(Resource::OpenFiles, 0);
    let mut bytes = vec![1_u8; MIB];
    assert_eq!((spill().failures() > 0, spill().spilled_bytes()), (true, 0));
    set_limit(Resource::OpenFiles, 100);
    bytes.resize(10 * MIB, 1);
    assert!(bytes.iter().all(|byte| *byte == 1));
}
