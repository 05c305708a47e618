//! The events that the runs of each type of element must have.

use std::mem::needs_drop;

use crate::vec_items::Item;

/// All events.
const MET: [&str; 47] = [
    "start empty",
    "extend_from_slice",
    "try_extend",
    "resize",
    "resize_with",
    "append",
    "push",
    "push_within_capacity",
    "push_within_capacity, no room",
    "insert",
    "remove",
    "swap_remove",
    "pop",
    "clear",
    "truncate",
    "truncate_front",
    "drain",
    "retain",
    "retain_mut",
    "dedup",
    "dedup_by_key",
    "dedup_by",
    "try_clone",
    "with_capacity_in",
    "with_capacity",
    "new",
    "into_iter",
    "iter_mut",
    "try_from",
    "compare",
    "as_mut_slice",
    "sort_by_key",
    "advise",
    "evict",
    "prefetch",
    "prefetch_many",
    "scan",
    "reserve",
    "reserve_exact",
    "shrink_to_fit",
    // Only for `Copy` elements, or for elements that are not.
    "try_copy",
    "gather",
    "leak a drain",
    // Only for elements with a size.
    "took space",
    "gave back space",
    "grown where it is",
    "space of more than 64 KiB",
];

/// The events that zero-sized elements cannot have.
const SPACE: [&str; 4] = [
    "took space",
    "gave back space",
    "grown where it is",
    "space of more than 64 KiB",
];

/// Returns the possible events for elements of this type.
pub(super) fn expected<T: Item>() -> Vec<&'static str> {
    let sized = size_of::<T>() > 0;
    let mut expected = MET.to_vec();
    expected.retain(|what| match *what {
        "try_copy" | "gather" => T::PLAIN,
        "sort_by_key" => align_of::<T>() <= 4096,
        "leak a drain" => !sized || !needs_drop::<T>(),
        "push_within_capacity, no room" => sized,
        _ => sized || !SPACE.contains(what),
    });
    expected
}
