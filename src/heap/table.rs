//! The state of each unit of 64 KiB, and of each slot: tables in separate memory, which grow in
//! place and allocate nothing elsewhere.
#![expect(
    unsafe_code,
    reason = "turns memory of a space into a slice; see docs/safety.md"
)]

use std::io;
use std::marker::PhantomData;
use std::slice;
use std::sync::atomic::{
    AtomicU8, AtomicU16, AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Mutex, PoisonError};

use crate::bug::bug;
use crate::exact::{narrow, product, sum};
use crate::sys;

/// Bytes of a unit: the smallest block of the buddy system, and the length of a run of small
/// blocks.
pub(crate) const UNIT_BYTES: usize = 64 << 10;

/// What a [`Table`] can hold.
///
/// # Safety
///
/// Zero bytes are a valid value, any thread may use it through a shared reference, and its
/// alignment is at most that of a page.
pub(crate) unsafe trait Entry: Sync {}

/// The kind of block that starts at a unit.
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
    /// A block that was handed out as a whole, and whose end could not be freed: some of its
    /// preallocated bytes may be missing, behind the bytes in use.
    Torn = 4,
}

/// One unit. A value of zero bytes is valid, and means that no block starts here.
///
/// All fields are atomic, so that any thread can read them at any time. The values may be changed,
/// and are reliable, only for:
///
/// * a free unit: the holder of the lock of the buddy system;
/// * a run: the holder of the lock of its heap; kind, order and heap stay as they are while the run
///   has a block in use, so the owner of such a block may read those;
/// * a whole block: its owner.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Unit {
    /// Neighbours in the list that the unit is in: numbers of units plus one, 0 for none.
    next: AtomicU32,
    previous: AtomicU32,
    /// For a whole block: the number of preallocated pages.
    pages: AtomicU32,
    /// For a run: the first free block plus one, 0 for none, and the first block that was never
    /// handed out, both in steps of 16 bytes; and the number of blocks in use.
    first_free: AtomicU16,
    fresh: AtomicU16,
    used: AtomicU16,
    kind: AtomicU8,
    /// The block's length is `1 << order` units; for a run, its class.
    order: AtomicU8,
    /// For a run: the heap that it belongs to.
    heap: AtomicU8,
}

// SAFETY: it consists of atomics.
unsafe impl Entry for Unit {}

/// Defines the functions that read and change a field.
macro_rules! field {
    ($get:ident, $set:ident, $int:ty) => {
        #[inline]
        pub(crate) fn $get(&self) -> $int {
            self.$get.load(Relaxed)
        }

        #[inline]
        pub(crate) fn $set(&self, value: $int) {
            self.$get.store(value, Relaxed);
        }
    };
}

impl Unit {
    field!(next, set_next, u32);
    field!(previous, set_previous, u32);
    field!(pages, set_pages, u32);
    field!(first_free, set_first_free, u16);
    field!(fresh, set_fresh, u16);
    field!(used, set_used, u16);
    field!(order, set_order, u8);
    field!(heap, set_heap, u8);

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        match self.kind.load(Relaxed) {
            1 => Kind::Free,
            2 => Kind::Whole,
            3 => Kind::Run,
            4 => Kind::Torn,
            _ => Kind::Inside,
        }
    }

    #[inline]
    pub(crate) fn set_kind(&self, kind: Kind) {
        let number = match kind {
            Kind::Inside => 0,
            Kind::Free => 1,
            Kind::Whole => 2,
            Kind::Run => 3,
            Kind::Torn => 4,
        };
        self.kind.store(number, Relaxed);
    }
}

/// The state of a slot. A value of zero bytes is valid, and means that no block has the slot, and
/// that it shows its own part of the file. All fields but `away` describe the block that starts
/// there.
///
/// Read and changed by the owner of the block that has the slot (see `Slots`).
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Slot {
    /// Preallocated bytes.
    preallocated: AtomicUsize,
    /// The number of slots of the block; 0 if no block starts here.
    count: AtomicU16,
    /// The number of the slot of the file that is shown here, XOR its own number.
    away: AtomicU16,
    /// Flags of the block.
    flags: AtomicU8,
}

// SAFETY: it consists of atomics.
unsafe impl Entry for Slot {}

impl Slot {
    field!(preallocated, set_preallocated, usize);
    field!(count, set_count, u16);
    field!(away, set_away, u16);
    field!(flags, set_flags, u8);
}

/// Entries, all zero at first. Only those that were opened can be used.
#[derive(Debug)]
pub(crate) struct Table<T> {
    /// # Invariants
    ///
    /// 1. The first `committed` bytes of the space are memory that was zeroed, and are used as
    ///    `T`s only, through shared references. `committed` never falls.
    space: sys::Space,
    committed: AtomicUsize,
    /// Held while the table grows.
    growing: Mutex<()>,
    entries: PhantomData<T>,
}

/// Bytes by which a table grows: 2,730 units, or 170 MiB of zone A.
const GROW_BYTES: usize = 64 << 10;

impl<T: Entry> Table<T> {
    /// Reserves addresses for this many entries.
    pub(crate) fn reserve(entries_max: usize) -> io::Result<Self> {
        let bytes = product(entries_max, size_of::<T>());
        Ok(Self {
            space: sys::retry(|| sys::Space::reserve(bytes, sys::page_size()))?,
            committed: AtomicUsize::new(0),
            growing: Mutex::new(()),
            entries: PhantomData,
        })
    }

    /// Makes at least this many entries usable.
    pub(crate) fn grow(&self, entries: usize) -> io::Result<()> {
        let bytes = product(entries, size_of::<T>());
        let _growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut committed = self.committed.load(Relaxed);
        while committed < bytes {
            let end = sum(committed, GROW_BYTES).min(self.space.len());
            if end <= committed {
                bug!("{entries} entries of {} bytes", self.space.len());
            }
            // SAFETY: the range behind `committed` is reserved (invariant 1), and stays so while
            // the lock is held.
            sys::retry(|| unsafe { self.space.open(committed..end) })?;
            committed = end;
            self.committed.store(end, Release);
        }
        Ok(())
    }

    /// Returns the entries that are usable.
    #[inline]
    pub(crate) fn entries(&self) -> &[T] {
        let count = self.committed.load(Acquire).checked_div(size_of::<T>());
        let count = count.unwrap_or_else(|| bug!("entries without bytes"));
        let first = self.space.base().cast::<T>();
        // SAFETY: the bytes hold `count` entries, for which zero bytes are a valid value and which
        // may be shared (invariant 1); a space starts at a page, so it is aligned for them.
        unsafe { slice::from_raw_parts(first.as_ptr(), count) }
    }
}

impl Table<Unit> {
    /// Returns the units that are usable.
    #[inline]
    pub(crate) fn units(&self) -> &[Unit] {
        self.entries()
    }
}

/// Adds a unit to the front of a list.
pub(crate) fn link(units: &[Unit], head: &mut u32, number: usize) {
    let name = name_of(number);
    let next = *head;
    if let Some(after) = unit_named(units, next) {
        after.set_previous(name);
    }
    let unit = unit_of(units, number);
    unit.set_next(next);
    unit.set_previous(0);
    *head = name;
}

/// Removes a unit from its list.
pub(crate) fn unlink(units: &[Unit], head: &mut u32, number: usize) {
    let unit = unit_of(units, number);
    let (next, previous) = (unit.next(), unit.previous());
    unit.set_next(0);
    unit.set_previous(0);
    match unit_named(units, previous) {
        Some(before) => before.set_next(next),
        None => *head = next,
    }
    if let Some(after) = unit_named(units, next) {
        after.set_previous(previous);
    }
}

/// Returns the number of the first unit of a list.
#[inline]
pub(crate) fn first_of(head: u32) -> Option<usize> {
    usize::try_from(head.checked_sub(1)?).ok()
}

fn unit_named(units: &[Unit], name: u32) -> Option<&Unit> {
    first_of(name).map(|number| unit_of(units, number))
}

/// Returns the unit of this number, which is usable.
#[inline]
pub(crate) fn unit_of(units: &[Unit], number: usize) -> &Unit {
    let unit = units.get(number);
    unit.unwrap_or_else(|| bug!("unit {number} of {}", units.len()))
}

/// Returns the name of a unit in lists.
#[inline]
pub(crate) fn name_of(number: usize) -> u32 {
    narrow(sum(number, 1))
}
