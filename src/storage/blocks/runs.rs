//! Runs of small blocks of one size: one unit each, with a list of what is free in it.
#![expect(
    unsafe_code,
    reason = "keeps the list of free blocks in the blocks themselves; see docs/safety.md"
)]

use std::ptr::NonNull;

use crate::storage::blocks::classes::{CLASSES, class_bytes};
use crate::storage::blocks::table::{Kind, UNIT_BYTES, Unit, first_of, link, unlink};

/// For each class, the runs that have a free block.
#[derive(Debug)]
pub(crate) struct Runs {
    partial: [u32; CLASSES],
}

/// A small block: where it is in its run, in bytes, and whether it was never used.
pub(crate) struct Small {
    pub(crate) run: usize,
    pub(crate) offset: usize,
    pub(crate) fresh: bool,
}

impl Runs {
    pub(crate) const fn new() -> Self {
        Self {
            partial: [0; CLASSES],
        }
    }

    /// Makes a run of the class of a unit that was taken for it and whose space is claimed.
    pub(crate) fn add(&mut self, units: &mut [Unit], number: usize, class: usize) {
        let Some(unit) = units.get_mut(number) else {
            return;
        };
        unit.kind = Kind::Run;
        unit.order = u8::try_from(class).unwrap_or(u8::MAX);
        (unit.first_free, unit.used) = (0, 0);
        unit.fresh = blocks_of(class);
        if let Some(head) = self.partial.get_mut(class) {
            link(units, head, number);
        }
    }

    /// Takes a block of a class, or `None` where all runs of it are full.
    ///
    /// # Safety
    ///
    /// `base` is where the unit of number 0 starts, and the unit of every run is accessible.
    pub(crate) unsafe fn take(
        &mut self,
        units: &mut [Unit],
        class: usize,
        base: NonNull<u8>,
    ) -> Option<Small> {
        let head = self.partial.get_mut(class)?;
        let number = first_of(*head)?;
        let unit = units.get_mut(number)?;
        let (index, fresh) = if let Some(index) = unit.first_free.checked_sub(1) {
            let at = address(base, number, class, index);
            // SAFETY: the block lies in the run, is free, and holds the rest of the list: `free`
            // put it there. Blocks have at least 16 bytes, so that it is aligned.
            unit.first_free = unsafe { at.read() };
            debug_assert!(
                unit.first_free <= blocks_of(class),
                "a freed block was written to"
            );
            (index, false)
        } else {
            let index = blocks_of(class).saturating_sub(unit.fresh);
            unit.fresh = unit.fresh.saturating_sub(1);
            (index, true)
        };
        unit.used = unit.used.saturating_add(1);
        if unit.first_free == 0 && unit.fresh == 0 {
            unlink(units, head, number);
        }
        Some(Small {
            run: number,
            offset: usize::from(index).saturating_mul(class_bytes(class)),
            fresh,
        })
    }

    /// Frees the block at `offset` in a run. Returns whether the run is empty now and out of the
    /// list, so that its unit can be given back; one empty run of each class is kept.
    ///
    /// # Safety
    ///
    /// As for `take`, which handed the block out; nobody uses it any more.
    pub(crate) unsafe fn free(
        &mut self,
        units: &mut [Unit],
        number: usize,
        offset: usize,
        base: NonNull<u8>,
    ) -> bool {
        let Some(unit) = units.get_mut(number) else {
            return false;
        };
        debug_assert!(unit.kind == Kind::Run && unit.used > 0);
        let class = usize::from(unit.order);
        let index = offset.checked_div(class_bytes(class)).unwrap_or(0);
        let index = u16::try_from(index).unwrap_or(u16::MAX);
        let at = address(base, number, class, index);
        // SAFETY: the block lies in the run and belongs to nobody but us now; it is aligned, since
        // blocks have a multiple of 16 bytes.
        unsafe { at.write(unit.first_free) };
        let was_full = unit.first_free == 0 && unit.fresh == 0;
        unit.first_free = index.saturating_add(1);
        unit.used = unit.used.saturating_sub(1);
        let empty = unit.used == 0;
        let Some(head) = self.partial.get_mut(class) else {
            return false;
        };
        if was_full {
            link(units, head, number);
        }
        let alone =
            first_of(*head) == Some(number) && units.get(number).is_some_and(|unit| unit.next == 0);
        if empty && !alone {
            unlink(units, head, number);
            return true;
        }
        false
    }
}

/// Returns how many blocks a run of a class has.
fn blocks_of(class: usize) -> u16 {
    let count = UNIT_BYTES.checked_div(class_bytes(class)).unwrap_or(0);
    u16::try_from(count).unwrap_or(0)
}

/// Returns where the block of this index is, as the place of a link of the list.
#[expect(
    clippy::cast_ptr_alignment,
    reason = "blocks lie at multiples of 16 bytes"
)]
fn address(base: NonNull<u8>, number: usize, class: usize, index: u16) -> *mut u16 {
    debug_assert!(index < blocks_of(class));
    let start = number.saturating_mul(UNIT_BYTES);
    let offset = usize::from(index).saturating_mul(class_bytes(class));
    base.as_ptr()
        .wrapping_add(start.saturating_add(offset))
        .cast::<u16>()
}
