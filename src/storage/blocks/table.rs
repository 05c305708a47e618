//! What is known of each unit of 64 KiB: a table in memory of its own, which grows in place and
//! allocates nothing elsewhere.
#![expect(
    unsafe_code,
    reason = "turns memory of a space into a slice; see docs/safety.md"
)]

use std::io;
use std::slice;

use crate::sys;

/// Bytes of a unit: what the buddy system deals in, and the length of a run of small blocks.
pub(crate) const UNIT_BYTES: usize = 64 << 10;

/// What the block is that starts at a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// No block starts here.
    #[default]
    Inside = 0,
    /// A free block of the buddy system.
    Free = 1,
    /// A block that was handed out as a whole.
    Whole = 2,
    /// A run of small blocks.
    Run = 3,
}

/// One unit. A value of zero bytes is a valid one, and means that no block starts here.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Unit {
    /// Neighbours in the list that the unit is in: numbers of units plus one, 0 for none.
    pub(crate) next: u32,
    pub(crate) previous: u32,
    /// For a whole block: how many pages of it are claimed.
    pub(crate) pages: u32,
    /// For a run: the first free block plus one, 0 for none; how many were never handed out; how
    /// many are in use.
    pub(crate) first_free: u16,
    pub(crate) fresh: u16,
    pub(crate) used: u16,
    pub(crate) kind: Kind,
    /// The block's length is `1 << order` units.
    pub(crate) order: u8,
}

/// The units of zone A, as far as it has been opened.
#[derive(Debug)]
pub(crate) struct Table {
    /// # Invariants
    ///
    /// 1. The first `committed` bytes of the space are memory that was zeroed and holds `Unit`s
    ///    since; only this value uses them.
    space: sys::Space,
    committed: usize,
}

/// Bytes by which the table grows: 3,276 units, or 204 MiB of zone A.
const GROW_BYTES: usize = 64 << 10;

impl Table {
    /// Reserves addresses for this many units.
    pub(crate) fn reserve(units_max: usize) -> io::Result<Self> {
        let bytes = units_max.saturating_mul(size_of::<Unit>());
        Ok(Self {
            space: sys::Space::reserve(bytes, sys::page_size())?,
            committed: 0,
        })
    }

    /// Makes at least this many units usable.
    pub(crate) fn grow(&mut self, units: usize) -> io::Result<()> {
        let bytes = units.saturating_mul(size_of::<Unit>());
        while self.committed < bytes {
            let end = self
                .committed
                .saturating_add(GROW_BYTES)
                .min(self.space.len());
            if end <= self.committed {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            // SAFETY: what is behind `committed` is reserved (invariant 1).
            unsafe { self.space.open(self.committed..end) }?;
            self.committed = end;
        }
        Ok(())
    }

    /// Returns the units that are usable.
    pub(crate) fn units(&mut self) -> &mut [Unit] {
        let count = self.committed.checked_div(size_of::<Unit>()).unwrap_or(0);
        let first = self.space.base().cast::<Unit>();
        // SAFETY: the bytes hold `count` units, of which zero bytes are valid ones (invariant 1);
        // a space starts at a page, which is aligned for them; `&mut self` excludes other users.
        unsafe { slice::from_raw_parts_mut(first.as_ptr(), count) }
    }
}

/// Adds a unit to the front of a list.
pub(crate) fn link(units: &mut [Unit], head: &mut u32, number: usize) {
    let name = name_of(number);
    let next = *head;
    if let Some(after) = unit_named(units, next) {
        after.previous = name;
    }
    if let Some(unit) = units.get_mut(number) {
        (unit.next, unit.previous) = (next, 0);
    }
    *head = name;
}

/// Takes a unit out of the list that it is in.
pub(crate) fn unlink(units: &mut [Unit], head: &mut u32, number: usize) {
    let Some(unit) = units.get_mut(number) else {
        return;
    };
    let (next, previous) = (unit.next, unit.previous);
    (unit.next, unit.previous) = (0, 0);
    match unit_named(units, previous) {
        Some(before) => before.next = next,
        None => *head = next,
    }
    if let Some(after) = unit_named(units, next) {
        after.previous = previous;
    }
}

/// Returns the number of the first unit of a list.
pub(crate) fn first_of(head: u32) -> Option<usize> {
    usize::try_from(head.checked_sub(1)?).ok()
}

fn unit_named(units: &mut [Unit], name: u32) -> Option<&mut Unit> {
    units.get_mut(first_of(name)?)
}

fn name_of(number: usize) -> u32 {
    u32::try_from(number).map_or(0, |number| number.saturating_add(1))
}
