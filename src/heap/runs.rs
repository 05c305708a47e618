//! Runs of small blocks of one size class: one unit each, with a free list.
#![expect(
    unsafe_code,
    reason = "keeps the list of free blocks in the blocks themselves; see docs/safety.md"
)]

use std::ptr::NonNull;

use crate::bug::bug;
use crate::exact::{difference, narrow, product, sum};
use crate::heap::arithmetic::start_of_unit;
use crate::heap::classes::{BYTES, CLASSES, STEP_BYTES, class_bytes};
use crate::heap::table::{Kind, UNIT_BYTES, Unit, first_of, link, name_of, unit_of, unlink};

/// The number of empty runs that a heap keeps, so that repeatedly allocating and freeing one block
/// does not cost system calls each time. With eight heaps, they are 6 MiB at most.
const EMPTY_MAX: usize = 12;

/// For each class, the runs of one heap that have free blocks.
#[derive(Debug)]
pub(crate) struct Runs {
    partial: [u32; CLASSES],
    /// The runs among these that are empty: numbers of units plus one, 0 for none.
    empty: [u32; EMPTY_MAX],
    /// The index in `empty` of the run that is given up next.
    oldest: usize,
}

/// A small block: its offset in bytes from the start of unit 0, and whether it was never used.
pub(crate) struct Small {
    pub(crate) offset: usize,
    pub(crate) fresh: bool,
}

impl Runs {
    pub(crate) const fn new() -> Self {
        Self {
            partial: [0; CLASSES],
            empty: [0; EMPTY_MAX],
            oldest: 0,
        }
    }

    /// Turns a unit into a run of a class. The unit was taken for this heap and is preallocated.
    pub(crate) fn add(&mut self, units: &[Unit], number: usize, class: usize, heap: u8) {
        let unit = unit_of(units, number);
        unit.set_order(narrow(class));
        unit.set_heap(heap);
        unit.set_first_free(0);
        unit.set_fresh(0);
        unit.set_used(0);
        unit.set_kind(Kind::Run);
        link(units, self.partial(class), number);
    }

    /// Returns the list of the runs of a class that have free blocks.
    #[inline]
    fn partial(&mut self, class: usize) -> &mut u32 {
        let list = self.partial.get_mut(class);
        list.unwrap_or_else(|| bug!("class {class} of {CLASSES}"))
    }

    /// Takes a block of a class; returns `None` if all runs of the class are full.
    ///
    /// # Safety
    ///
    /// `base` is where the unit of number 0 starts, the unit of every run is accessible, and these
    /// are the runs of its heap.
    #[inline]
    pub(crate) unsafe fn take(
        &mut self,
        units: &[Unit],
        class: usize,
        base: NonNull<u8>,
    ) -> Option<Small> {
        let number = first_of(*self.partial(class))?;
        let unit = unit_of(units, number);
        let start = start_of_unit(number);
        let (place, first_free, fresh) = match unit.first_free().checked_sub(1) {
            Some(place) => {
                let at = address(base, sum(start, bytes_to(place)));
                // SAFETY: the block lies in the run, is free, and holds the rest of the free list,
                // which `free` stored there. Blocks have at least 16 bytes, so that the address is
                // aligned.
                let rest = unsafe { at.read() };
                debug_assert!(rest <= end_of(class), "a freed block was written to");
                unit.set_first_free(rest);
                (place, rest, false)
            }
            None => (unit.fresh(), 0, true),
        };
        if fresh {
            unit.set_fresh(sum(place, narrow(class_bytes(class) / STEP_BYTES)));
        }
        let used = unit.used();
        if used == 0 {
            forget(&mut self.empty, number);
        }
        unit.set_used(sum(used, 1));
        if first_free == 0 && unit.fresh() == end_of(class) {
            unlink(units, self.partial(class), number);
        }
        Some(Small {
            offset: sum(start, bytes_to(place)),
            fresh,
        })
    }

    /// Frees the block at `offset` from the start of unit 0, in the run of unit `number`. Returns
    /// the number of an empty run if there is one too many: it is removed from the list, and its
    /// unit can be freed. A class keeps one empty run if no other run of the class has free blocks;
    /// all classes together keep a limited number.
    ///
    /// # Safety
    ///
    /// As for `take`, which handed out the block; nothing uses it any more.
    #[inline]
    pub(crate) unsafe fn free(
        &mut self,
        units: &[Unit],
        number: usize,
        offset: usize,
        base: NonNull<u8>,
    ) -> Option<usize> {
        let unit = unit_of(units, number);
        debug_assert!(unit.kind() == Kind::Run && unit.used() > 0);
        let class = usize::from(unit.order());
        debug_assert_eq!(
            (offset % UNIT_BYTES).checked_rem(class_bytes(class)),
            Some(0)
        );
        let place: u16 = narrow((offset % UNIT_BYTES) / STEP_BYTES);
        let first_free = unit.first_free();
        // SAFETY: the block lies in the run, and no other code uses it now; it is aligned, since
        // the size of blocks is a multiple of 16 bytes.
        unsafe { address(base, offset).write(first_free) };
        unit.set_first_free(sum(place, 1));
        let used = difference(unit.used(), 1);
        unit.set_used(used);
        let was_full = first_free == 0 && unit.fresh() == end_of(class);
        if !was_full && used > 0 {
            return None;
        }
        let head = self.partial(class);
        if was_full {
            link(units, head, number);
        }
        if used > 0 {
            return None;
        }
        let alone = first_of(*head) == Some(number) && unit.next() == 0;
        if !alone {
            unlink(units, head, number);
            return Some(number);
        }
        self.keep_empty(units, number)
    }

    /// Records a run as empty. Returns the run that it displaces, removed from the list.
    fn keep_empty(&mut self, units: &[Unit], number: usize) -> Option<usize> {
        let free = self.empty.iter().position(|name| *name == 0);
        let at = free.unwrap_or(self.oldest);
        if free.is_none() {
            self.oldest = sum(at, 1) % EMPTY_MAX;
        }
        let place = self.empty.get_mut(at);
        let place = place.unwrap_or_else(|| bug!("empty run {at} of {EMPTY_MAX}"));
        let before = first_of(std::mem::replace(place, name_of(number)))?;
        let class = usize::from(unit_of(units, before).order());
        unlink(units, self.partial(class), before);
        Some(before)
    }
}

/// Removes a run from the empty ones, if it is one of them.
#[inline]
fn forget(empty: &mut [u32; EMPTY_MAX], number: usize) {
    let name = name_of(number);
    if let Some(place) = empty.iter_mut().find(|empty| **empty == name) {
        *place = 0;
    }
}

/// Returns the end of the last block of a run of a class, in steps of 16 bytes.
#[inline]
fn end_of(class: usize) -> u16 {
    let end = ENDS.get(class).copied();
    end.unwrap_or_else(|| bug!("class {class} of {CLASSES}"))
}

/// For each class, where the last block of its runs ends.
const ENDS: [u16; CLASSES] = {
    let mut ends = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let steps = BYTES[class] / STEP_BYTES;
        let end = (UNIT_BYTES / STEP_BYTES / steps) * steps;
        assert!(end <= 4096);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most 4096, as asserted when this is compiled"
        )]
        {
            ends[class] = end as u16;
        }
        class += 1;
    }
    ends
};

/// Returns the offset in bytes of a step from the start of its run.
#[inline]
fn bytes_to(place: u16) -> usize {
    product(usize::from(place), STEP_BYTES)
}

/// Returns the address of a block, as that of a link of the free list.
#[inline]
#[expect(
    clippy::cast_ptr_alignment,
    reason = "blocks lie at multiples of 16 bytes"
)]
fn address(base: NonNull<u8>, offset: usize) -> *mut u16 {
    base.as_ptr().wrapping_add(offset).cast::<u16>()
}
