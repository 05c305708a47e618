//! Vectors in a budget of memory: no file as long as the budget allows, then as any other.

use outcore::{BytesVec, DiskVec, ErrorKind, MemoryBudget, ScratchDir, StrVec};

use crate::support::disk;
#[cfg(not(any(miri, memory_backend)))]
use crate::support::{process::child, test_name};

const BUDGET: u64 = if cfg!(any(miri, memory_backend)) {
    128 << 10
} else {
    4 << 20
};

/// Elements of 8 bytes that are an eighth of the budget.
const EIGHTH: u64 = BUDGET / 64;

/// In a separate process: elements may move where other tests have taken many addresses.
#[test]
fn elements_stay_in_memory_until_the_budget_refuses_and_are_the_same_slice() {
    #[cfg(not(any(miri, memory_backend)))]
    if let Some(child) = child(test_name!()) {
        child.run();
        return;
    }
    let (budget, dir) = (MemoryBudget::new(BUDGET), disk());
    let mut numbers = DiskVec::with_budget_in(&budget, &dir);
    numbers.try_extend(0..5 * EIGHTH).unwrap();
    assert_eq!((numbers.disk_bytes(), dir.used_bytes()), (0, 0));
    assert!(budget.used_bytes() >= 5 * EIGHTH * 8);
    let first = numbers.as_ptr();
    numbers.try_extend(5 * EIGHTH..20 * EIGHTH).unwrap();
    assert!(numbers.disk_bytes() >= 20 * EIGHTH * 8);
    assert_eq!(budget.used_bytes(), 0, "what is in a file has a lease");
    if !cfg!(any(miri, memory_backend)) {
        assert_eq!(numbers.as_ptr(), first, "elements moved");
    }
    assert!(numbers.iter().copied().eq(0..20 * EIGHTH));
    assert!(budget.peak_bytes() <= BUDGET);
}

#[test]
fn vectors_share_a_budget_and_give_it_back() {
    let (budget, dir) = (MemoryBudget::new(BUDGET), disk());
    let mut first = DiskVec::with_budget_in(&budget, &dir);
    let mut second = DiskVec::with_budget_in(&budget, &dir);
    first.try_extend(0..5 * EIGHTH).unwrap();
    second.try_extend(0..5 * EIGHTH).unwrap();
    assert_eq!(first.disk_bytes(), 0);
    assert!(second.disk_bytes() > 0, "both were more than the budget");
    let used = budget.used_bytes();
    first.truncate(usize::try_from(2 * EIGHTH).unwrap());
    first.shrink_to_fit().unwrap();
    assert!(budget.used_bytes() < used);
    assert!(first.iter().copied().eq(0..2 * EIGHTH));
    drop(first);
    assert_eq!(budget.used_bytes(), 0);
    // A vector that is short again has no file, and may stay in memory again.
    second.truncate(7);
    second.shrink_to_fit().unwrap();
    second.try_extend(7..5 * EIGHTH).unwrap();
    assert_eq!(second.disk_bytes(), 0);
    assert!(second.iter().copied().eq(0..5 * EIGHTH));
}

#[test]
fn a_capacity_within_the_budget_takes_no_space_and_one_past_it_does() {
    let (budget, dir) = (MemoryBudget::new(BUDGET), disk());
    let mut numbers = DiskVec::<u64>::with_budget_in(&budget, &dir);
    let eighth = usize::try_from(EIGHTH).unwrap();
    numbers.reserve_exact(5 * eighth).unwrap();
    assert!(numbers.capacity() >= 5 * eighth && numbers.disk_bytes() == 0);
    numbers.try_extend(0..5 * EIGHTH).unwrap();
    assert_eq!(numbers.disk_bytes(), 0);
    numbers.reserve(20 * eighth).unwrap();
    assert!(numbers.capacity() >= 25 * eighth);
    assert!(numbers.disk_bytes() >= 25 * EIGHTH * 8);
    assert!(numbers.iter().copied().eq(0..5 * EIGHTH));
}

/// The move to the file needs space for everything at once, and can be refused.
#[test]
fn a_move_to_a_file_that_is_refused_changes_nothing() {
    let budget = MemoryBudget::new(BUDGET);
    let builder = ScratchDir::builder(env!("CARGO_TARGET_TMPDIR"));
    let dir = builder.quota_bytes(BUDGET / 2).build().unwrap();
    let mut numbers = DiskVec::with_budget_in(&budget, &dir);
    let refused = numbers.try_extend(0..20 * EIGHTH).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    let len = numbers.len() as u64;
    assert!(len > 6 * EIGHTH && dir.used_bytes() == 0, "{len}");
    for _ in 0..3 {
        assert!(numbers.push(7).is_err());
        assert!(numbers.iter().copied().eq(0..len));
    }
    numbers.truncate(usize::try_from(len / 2).unwrap());
    numbers.try_extend(len / 2..len).unwrap();
    assert!(numbers.iter().copied().eq(0..len));
}

#[test]
fn strings_stay_in_memory_too() {
    let (budget, dir) = (MemoryBudget::new(BUDGET), disk());
    let mut names = StrVec::with_budget_in(&budget, &dir);
    let name = |n: u64| format!("name {n}");
    names.try_extend((0..EIGHTH).map(name)).unwrap();
    assert_eq!((names.disk_bytes(), dir.used_bytes()), (0, 0));
    names.try_extend((EIGHTH..10 * EIGHTH).map(name)).unwrap();
    assert!(names.disk_bytes() > 0);
    assert!(names.iter().zip(0..).all(|(found, n)| found == name(n)));
    assert_eq!(names.len() as u64, 10 * EIGHTH);
    drop(names);
    let mut items = BytesVec::with_budget(&budget);
    items.push([1]).unwrap();
    assert_eq!(items, [[1]]);
    drop(items);
    assert_eq!((budget.used_bytes(), dir.used_bytes()), (0, 0));
}
