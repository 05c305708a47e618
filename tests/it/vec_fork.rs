//! A vector in a forked child: the child cannot change the parent's elements.
//!
//! Each test runs in a separate process, where no other thread holds a lock while it forks.
#![cfg(not(any(miri, memory_backend)))]

use std::os::unix::process::ExitStatusExt;

use outcore::{DiskVec, ErrorKind};

use crate::support::libc::in_forked_child;
use crate::support::process::child;
use crate::support::{disk, test_name};

const SIGSEGV: i32 = 11;

/// Makes a vector whose elements, except the last window, are in the file.
fn filed() -> DiskVec<u64> {
    let mut numbers = DiskVec::new_in(&disk());
    numbers.try_extend(0..2 << 20).unwrap();
    numbers
}

fn is_untouched(numbers: &DiskVec<u64>) -> bool {
    numbers
        .iter()
        .zip(0..)
        .all(|(found, expected)| *found == expected)
}

/// If a child inherits a shared mapping, it can write into its parent's elements (linux-facts K1).
/// The mapped part is not inherited, so the child dies instead.
#[test]
fn a_child_that_touches_the_file_dies_and_the_parent_is_untouched() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut numbers = filed();
    let read = in_forked_child(|| assert_eq!(numbers[1000], 1000));
    assert!(read.success() || read.signal() == Some(SIGSEGV), "{read}");
    let written = in_forked_child(|| numbers[1000] = 0);
    assert!(
        written.success() || written.signal() == Some(SIGSEGV),
        "{written}"
    );
    assert!(is_untouched(&numbers));
    numbers.push(2 << 20).unwrap();
    assert!(is_untouched(&numbers));
}

/// The child shares the open file: if it had written its window there, the parent's next bytes
/// would have been overwritten.
#[test]
fn a_child_fills_its_copy_of_the_window_and_is_refused_at_its_end() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut numbers = filed();
    let ended = in_forked_child(|| {
        let refused = (0..2 << 20).find_map(|_| numbers.push(7).err());
        assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Forked));
    });
    assert!(ended.success(), "{ended}");
    assert_eq!(numbers.len(), 2 << 20);
    numbers.try_extend(2 << 20..4 << 20).unwrap();
    assert!(is_untouched(&numbers));
}

/// `reserve` moved the elements to new addresses before it checked whether the file may grow. In a
/// child it was refused, but by then the file was mapped at the new addresses, for writing: the
/// parent saw the child's `numbers[0] = 666`.
#[test]
fn a_refused_reserve_in_a_child_does_not_map_the_parents_file() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut numbers = filed();
    let ended = in_forked_child(|| {
        let refused = numbers.reserve(1 << 38).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forked);
        numbers[0] = 666;
    });
    assert!(
        ended.success() || ended.signal() == Some(SIGSEGV),
        "{ended}"
    );
    assert!(is_untouched(&numbers), "the child wrote {}", numbers[0]);
}

/// Elements longer than a window go straight into the file. If the file had been preallocated
/// before the fork and the window was empty, no check of the owner was made: parent and child
/// overwrote each other's elements.
#[test]
fn a_child_cannot_append_into_space_that_its_parent_reserved() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut bytes = DiskVec::<u8>::with_capacity_in(1 << 20, &disk()).unwrap();
    let ended = in_forked_child(|| {
        let mut own = DiskVec::new_in(&disk());
        own.try_extend(std::iter::repeat_n(7, 1 << 20)).unwrap();
        let appended = bytes.append(&mut own).map_err(|error| error.kind());
        assert_eq!(appended, Err(ErrorKind::Forked));
        assert_eq!((bytes.len(), own.len()), (0, 1 << 20));
    });
    assert!(ended.success(), "{ended}");
    bytes.try_extend(std::iter::repeat_n(1, 1 << 20)).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 1));
}

/// A vector that becomes small moves back into memory, and reads the file to do so. In a child that
/// raised `SIGSEGV`, where the documentation says `Forked`.
#[test]
fn shrink_to_fit_in_a_child_is_an_error() {
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut numbers = filed();
    let ended = in_forked_child(|| {
        numbers.truncate(10);
        let refused = numbers.shrink_to_fit().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Forked);
    });
    assert!(ended.success(), "{ended}");
    assert!(is_untouched(&numbers));
}

/// The mappings that a child does not inherit leave holes among the vector's addresses. The child's
/// own allocations landed in them, and dropping the vector there unmapped them.
#[test]
fn dropping_a_vector_in_a_child_leaves_the_childs_memory_alone() {
    const BLOCK_BYTES: usize = 4 << 20;
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let mut numbers = DiskVec::<u64>::new_in(&disk());
    numbers.try_extend(0..16 << 20).unwrap();
    let mut numbers = Some(numbers);
    let ended = in_forked_child(|| {
        let among = numbers.as_ref().unwrap().as_ptr_range();
        let among = among.start.addr()..among.end.addr();
        let mut blocks = Vec::new();
        for _ in 0..100 {
            let block = vec![0xAB_u8; BLOCK_BYTES];
            let fell_in = among.contains(&block.as_ptr().addr());
            blocks.push(block);
            if fell_in {
                break;
            }
        }
        drop(numbers.take());
        for block in &mut blocks {
            block.fill(1);
        }
    });
    assert!(ended.success(), "the child's memory is gone: {ended}");
    assert!(is_untouched(numbers.as_ref().unwrap()));
}
