//! Large blocks in a forked child: the parent's blocks stay the parent's, and the child's own
//! blocks are never mistaken for them.
//!
//! Each test runs in a separate process, where no other thread holds a lock while it forks.
#![cfg(not(any(miri, memory_backend)))]
#![expect(unsafe_code, reason = "calls an allocator by hand")]

use std::alloc::{GlobalAlloc, Layout};
use std::os::unix::process::ExitStatusExt;

use outcore::SpillAlloc;

use crate::support::libc::in_forked_child;
use crate::support::process::child;
use crate::support::test_name;

static SPILL: SpillAlloc = SpillAlloc::new(1 << 20);

const SIGSEGV: i32 = 11;

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 4096).unwrap()
}

/// Returns a block of that many bytes, which are all `byte`.
fn filled(bytes: usize, byte: u8) -> *mut u8 {
    // SAFETY: the size is not zero.
    let block = unsafe { SPILL.alloc(layout(bytes)) };
    assert!(!block.is_null());
    // SAFETY: the block has that many bytes.
    unsafe { block.write_bytes(byte, bytes) };
    block
}

fn is_filled(block: *const u8, bytes: usize, byte: u8) -> bool {
    // SAFETY: the callers' blocks have that many bytes, all written.
    let bytes = unsafe { std::slice::from_raw_parts(block, bytes) };
    bytes.iter().all(|found| *found == byte)
}

/// The child's mappings landed in the hole of its parent's large blocks. The child took them for
/// the parent's blocks: they were never freed, and growing them failed.
#[test]
fn a_child_goes_on_with_big_blocks_of_its_own() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let parents = filled(8 << 20, 1);
    let spilled = SPILL.spilled_bytes();
    let work = || {
        // More than once, so that freed addresses are mapped again.
        for round in 0..50 {
            let mut blocks: Vec<_> = (1..4_u8).map(|byte| filled(3 << 20, byte)).collect();
            for (block, byte) in blocks.iter_mut().zip(1..) {
                assert!(block.addr().abs_diff(parents.addr()) > 8 << 20);
                // SAFETY: the block has this layout, and the new size is not zero.
                *block = unsafe { SPILL.realloc(*block, layout(3 << 20), 5 << 20) };
                assert!(is_filled(*block, 3 << 20, byte), "in round {round}");
            }
            for block in blocks {
                // SAFETY: the block has this layout.
                unsafe { SPILL.dealloc(block, layout(5 << 20)) };
            }
        }
        let resident = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = resident.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(
            pages < (200 << 20) / 4096,
            "freed blocks stay: {pages} pages"
        );
    };
    let ended = in_forked_child(|| {
        work();
        let ended = in_forked_child(work);
        assert!(ended.success(), "the child's child: {ended}");
    });
    assert!(ended.success(), "{ended}");
    assert!(is_filled(parents, 8 << 20, 1));
    assert_eq!((SPILL.spilled_bytes(), SPILL.failures()), (spilled, 0));
}

#[test]
fn a_child_frees_and_shrinks_its_parents_blocks_without_effect_and_cannot_grow_or_touch_them() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let parents = filled(8 << 20, 1);
    let ended = in_forked_child(|| {
        // SAFETY: the block has this layout, and the new size is not zero.
        let grown = unsafe { SPILL.realloc(parents, layout(8 << 20), 9 << 20) };
        assert!(grown.is_null());
        // SAFETY: as above.
        let shrunk = unsafe { SPILL.realloc(parents, layout(8 << 20), 100) };
        assert_eq!(shrunk, parents);
        // SAFETY: the block has this layout now.
        unsafe { SPILL.dealloc(shrunk, layout(100)) };
    });
    assert!(ended.success(), "{ended}");
    let touched = in_forked_child(|| {
        let _own = filled(64 << 20, 7);
        // SAFETY: the address is the parent's block; the process ends here.
        unsafe { parents.write_volatile(2) };
    });
    assert_eq!(touched.signal(), Some(SIGSEGV), "{touched}");
    assert!(is_filled(parents, 8 << 20, 1));
}

#[test]
fn a_child_whose_parent_had_no_big_blocks_spills_to_a_file_of_its_own() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let ended = in_forked_child(|| {
        let block = filled(8 << 20, 3);
        assert_eq!((SPILL.spilled_bytes(), SPILL.failures()), (8 << 20, 0));
        assert!(is_filled(block, 8 << 20, 3));
    });
    assert!(ended.success(), "{ended}");
    assert_eq!(SPILL.spilled_bytes(), 0);
}
