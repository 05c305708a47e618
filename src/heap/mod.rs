//! Blocks of any size in one mapped file: what the allocators hand out.
//!
//! ```text
//!  0                zone A               zone_b             zone B               end
//!  |  runs of small blocks, and blocks   |  8192 slots: one, or several in a row, |
//!  |  up to 1 MiB: a buddy system over   |  for each block above 1 MiB, so that   |
//!  |  units of 64 KiB                    |  it can grow where it is               |
//! ```
//!
//! All of the addresses show one file. The file is as long as the addresses, and has a hole
//! wherever there is no block. Addresses that no block has had, and those of a freed large block,
//! are inaccessible; the kernel keeps these as separate mappings. There is one open file for any
//! number of blocks, one mapping for the used part of zone A, and two for each large block. The
//! file space of a block is preallocated before the block is handed out, and freed with the block.
//! At first zone B shows the file byte for byte. When a large block reaches its neighbour, it is
//! remapped: other slots show its part of the file, and nothing is copied. Remapping adds at most
//! one mapping for each slot.
//!
//! Each thread uses one heap for small blocks. Allocating or freeing a small block takes the lock
//! of its heap, and no system call while the heap has room. Units are given out under one lock,
//! slots under another. The state of a block belongs to the owner of the block, which reads and
//! changes it without a lock. File space is preallocated and freed, which takes longer, without
//! holding a lock. A block that grows takes one lock at most, and none while it grows inside its
//! slots.
#![expect(
    unsafe_code,
    reason = "hands out and takes back addresses; see docs/safety.md"
)]

mod arithmetic;
mod buddy;
mod classes;
#[cfg(test)]
mod faults;
mod folds;
mod heaps;
mod preallocation;
mod remap;
mod resize;
mod runs;
mod slots;
mod table;

use std::alloc::Layout;
use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::bug::{bug, without_unwinding};
use crate::error::{Error, Result};
use crate::exact::{narrow, product, range, sum};
use crate::heap::arithmetic::{ZoneByte, start_of_unit};
use crate::heap::buddy::Buddy;
use crate::heap::classes::class_of;
use crate::heap::heaps::{Heaps, heap_of_thread};
use crate::heap::runs::Small;
use crate::heap::slots::Slots;
use crate::heap::table::{Kind, Table, UNIT_BYTES, Unit, unit_of};
#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
use crate::io::dir::ScratchDir;
use crate::io::refusal::{Op, Refusal, retry};
use crate::io::scratch::ScratchFile;
use crate::mapping::addresses::{Addresses, share_of};
use crate::mapping::growth::page_up;
use crate::sys;
use crate::sys::{Access, Hint};

/// The largest alignment that a block can have.
pub(crate) const ALIGN_MAX: usize = 2 << 20;

/// Blocks above this many bytes get slots, and are not copied when they grow.
const WHOLE_BYTES_MAX: usize = 1 << 20;

/// The share of the address space that blocks take is one of so many: large blocks need room to
/// grow.
const SHARES: usize = 8;

/// The first attempt asks for at least this many bytes of addresses.
const LEN_WORTH_TRYING: usize = 64 << 20;

/// With fewer bytes of addresses the constructor fails.
const LEN_MIN: usize = 16 << 20;

/// Memory in a file, in blocks.
pub(crate) struct Blocks {
    /// # Invariants
    ///
    /// 1. All of `space` shows `file`: zone A byte for byte, zone B slot by slot as the slots say.
    ///    The file is as long as the space. Each byte of it is shown once, except for slots that
    ///    were given up, and nothing else shows or changes it. The addresses of every block, and of
    ///    every unit below `Units::usable`, can be read and written; others need not be.
    /// 2. Every block that is handed out lies in units that `units` gave to it alone, or in a run
    ///    whose heap gave that part to it alone, or in slots that `slots` gave to it alone; and all
    ///    of its bytes are preallocated. The number of bytes that its unit or slot records as
    ///    preallocated is at least its length, and is the number that the file counts; of a torn
    ///    block, the part behind the bytes that its owner knows of may be missing.
    /// 3. Bytes that are preallocated for no block read as zero, except those of small blocks that
    ///    were freed, and of ranges that could not be freed, which are never used again.
    /// 4. Pages are loaded one by one, since the kernel is advised that access is random. With
    ///    read-ahead, the kernel loads larger folios, which reach from a block into the hole behind
    ///    it; a store into any byte of a folio needs space for all of it (linux-facts F1), so that
    ///    on a full disk a store into a fully preallocated block raised `SIGBUS`. The advice of
    ///    `folds` for some large blocks cannot cause that, since folds are preallocated as a whole.
    space: Addresses,
    file: ScratchFile,
    /// Where zone B starts.
    zone_b: usize,
    table: Table<Unit>,
    heaps: Heaps,
    units: Mutex<Units>,
    slots: Slots,
    /// Whether growing blocks are folded.
    folds: AtomicBool,
    /// Whether new blocks are folded too.
    folds_new: AtomicBool,
}

// The documentation of the crate states this bound, without the first pages of the tables.
const _: () = assert!(size_of::<Blocks>() <= 4 << 10 && size_of::<Unit>() == 24);

/// The units of zone A.
#[derive(Debug)]
struct Units {
    /// Which units are taken.
    buddy: Buddy,
    /// How many units, from the first one on, can be read and written: those that the buddy system
    /// has opened.
    usable: usize,
}

/// Where a block is.
#[derive(Clone, Copy, Debug)]
enum Place<'table> {
    /// In a run: the number of its unit, and the unit.
    Small(usize, &'table Unit),
    /// In zone A, as a whole: the number of its first unit, and the unit.
    Whole(usize, &'table Unit),
    /// In zone B.
    Large(ZoneByte),
}

impl Blocks {
    /// Maps an empty file, at up to 8 TiB of addresses. Allocates nothing.
    pub(crate) fn over(file: ScratchFile) -> Result<Self, Refusal> {
        if !sys::replaces_parts() {
            // One block is opened, closed and moved while others are in use.
            let answer = io::ErrorKind::Unsupported.into();
            return Err(Refusal::answered(Op::Map, &answer));
        }
        let mut len = share_of(SHARES).max(LEN_WORTH_TRYING);
        loop {
            let reserved = Addresses::exactly(len, SHARES, ALIGN_MAX);
            let reserved = reserved.map_err(|answer| Refusal::answered(Op::Map, &answer));
            let fits = reserved.and_then(|space| {
                file.set_sparse_len(space.len() as u64)?;
                Ok(space)
            });
            match fits {
                Ok(space) => {
                    let shown = Self::shown_in(space, file);
                    return shown.map_err(|answer| Refusal::answered(Op::Map, &answer));
                }
                Err(refused) if len <= LEN_MIN => return Err(refused),
                Err(_no_room) => len /= 2,
            }
        }
    }

    /// Maps a file that is one hole, as long as the space. Nothing uses the space yet; its length
    /// is a power of two.
    fn shown_in(space: Addresses, file: ScratchFile) -> io::Result<Self> {
        // SAFETY: no other code knows the addresses yet, and nothing else uses the file.
        sys::retry(|| unsafe { space.show_all(file.sys(), Access::Nothing) })?;
        sys::retry(|| space.advise(0..space.len(), Hint::Random))?;
        let zone_b = space.len() / 2;
        let units_max = zone_b / UNIT_BYTES;
        Ok(Self {
            space,
            file,
            zone_b,
            table: Table::reserve(units_max)?,
            heaps: Heaps::new(),
            units: Mutex::new(Units {
                buddy: Buddy::new(units_max),
                usable: 0,
            }),
            slots: Slots::over(zone_b)?,
            folds: AtomicBool::new(false),
            folds_new: AtomicBool::new(false),
        })
    }

    /// Hands out a block for a layout whose size is not zero; returns `None` if disk space or
    /// addresses are exhausted.
    pub(crate) fn allocate(&self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        without_unwinding(|| self.allocate_block(layout, zeroed))
    }

    #[inline]
    fn allocate_block(&self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        if layout.align() > ALIGN_MAX || !self.file.is_owner() {
            return None;
        }
        if let Some(class) = class_of(layout) {
            return self.allocate_small(class, layout, zeroed);
        }
        let bytes = page_up(layout.size(), sys::page_size())?;
        if bytes > WHOLE_BYTES_MAX {
            if let Some(at) = self.slots.take(bytes) {
                return self.allocate_large(at, bytes);
            }
        }
        self.allocate_whole(bytes, order_of(bytes.max(layout.align()))?)
    }

    #[inline]
    fn allocate_small(&self, class: usize, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        let base = self.space.base();
        let heap = heap_of_thread();
        let mut runs = self.heaps.lock(heap);
        // After the lock, so that they include all units that the lists of the heap name.
        let units = self.table.units();
        // SAFETY: units are numbered from the base, and the units of runs are preallocated.
        let taken = unsafe { runs.take(units, class, base) };
        drop(runs);
        let small = match taken {
            Some(small) => small,
            None => self.allocate_from_new_run(class, heap)?,
        };
        let block = self.address(small.offset);
        if zeroed && !small.fresh {
            // SAFETY: the block has at least the layout's size, and no other code has it.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        Some(block)
    }

    #[cold]
    fn allocate_from_new_run(&self, class: usize, heap: u8) -> Option<Small> {
        let number = self.take_units(0, UNIT_BYTES)?;
        let mut runs = self.heaps.lock(heap);
        let units = self.table.units();
        runs.add(units, number, class, heap);
        // SAFETY: as in `allocate_small`.
        unsafe { runs.take(units, class, self.space.base()) }
    }

    fn allocate_large(&self, at: ZoneByte, bytes: usize) -> Option<NonNull<u8>> {
        let start = self.offset_of(at);
        if !self.preallocate(range(start, bytes)) {
            self.slots.give_back(at);
            return None;
        }
        self.slots.set_preallocated(at, bytes);
        if self.folds_new.load(Relaxed) {
            self.fold(at, range(start, bytes));
        }
        Some(self.address(start))
    }

    fn allocate_whole(&self, bytes: usize, order: u32) -> Option<NonNull<u8>> {
        let number = self.take_units(order, bytes)?;
        set_preallocated_pages(unit_of(self.table.units(), number), bytes);
        Some(self.address(start_of_unit(number)))
    }

    /// Takes `1 << order` units, of which the first `bytes` are preallocated, and returns the
    /// number of the first.
    fn take_units(&self, order: u32, bytes: usize) -> Option<usize> {
        let mut units = self.lock();
        let number = units.buddy.take(&self.table, order).ok()?;
        if !self.open_units(&mut units) {
            units.buddy.give_back(&self.table, number, order);
            return None;
        }
        drop(units);
        let start = start_of_unit(number);
        if !self.preallocate(range(start, bytes)) {
            self.lock().buddy.give_back(&self.table, number, order);
            return None;
        }
        Some(number)
    }

    /// Frees a block.
    ///
    /// # Safety
    ///
    /// The block was handed out by this object, was not freed since, and nothing uses it any more.
    pub(crate) unsafe fn deallocate(&self, block: NonNull<u8>) {
        // SAFETY: the caller keeps the same contract.
        without_unwinding(|| unsafe { self.deallocate_block(block) });
    }

    /// # Safety
    ///
    /// The duties of the caller are those of [`deallocate`](Self::deallocate).
    #[inline]
    unsafe fn deallocate_block(&self, block: NonNull<u8>) {
        if !self.file.is_owner() {
            // In a forked child the block is not mapped, and its file is the parent's.
            return;
        }
        let offset = self.offset(block);
        match self.place(offset) {
            Some(Place::Small(number, unit)) => {
                // The caller has a block of the run, so the heap of the run does not change.
                let mut runs = self.heaps.lock(unit.heap());
                let units = self.table.units();
                // SAFETY: as in `allocate_small`; the caller has given the block up.
                let empty = unsafe { runs.free(units, number, offset, self.space.base()) };
                drop(runs);
                if let Some(empty) = empty {
                    self.give_back_units(empty, UNIT_BYTES, 0);
                }
            }
            Some(Place::Whole(number, unit)) => {
                self.give_back_units(number, preallocated_of(unit), u32::from(unit.order()));
            }
            Some(Place::Large(at)) => {
                let (preallocated, _torn) = self.slots.preallocated(at);
                let range = range(offset, preallocated);
                // Remove the folds with the block: the next block there may end inside a fold.
                let plain = self.unfold(at, range.clone());
                if self.free_space(range) && plain {
                    self.slots.give_back(at);
                }
            }
            None => debug_assert!(false, "no block starts there"),
        }
    }

    /// Frees units that nothing uses any more, of which the first `bytes` are preallocated.
    #[cold]
    fn give_back_units(&self, number: usize, bytes: usize, order: u32) {
        let start = start_of_unit(number);
        if self.free_space(range(start, bytes)) {
            self.lock().buddy.give_back(&self.table, number, order);
        }
    }

    /// Returns where the block is that starts at `offset`.
    #[inline]
    fn place(&self, offset: usize) -> Option<Place<'_>> {
        if let Some(at) = self.in_zone_b(offset) {
            return Some(Place::Large(at));
        }
        let number = offset / UNIT_BYTES;
        let unit = self.table.units().get(number)?;
        match unit.kind() {
            Kind::Run => Some(Place::Small(number, unit)),
            Kind::Whole | Kind::Torn => Some(Place::Whole(number, unit)),
            Kind::Inside | Kind::Free => None,
        }
    }

    /// Returns the position in zone B of a byte of the space, if it is in zone B.
    #[inline]
    fn in_zone_b(&self, offset: usize) -> Option<ZoneByte> {
        offset.checked_sub(self.zone_b).map(ZoneByte)
    }

    /// Returns the position in the space of a byte of zone B.
    fn offset_of(&self, at: ZoneByte) -> usize {
        sum(self.zone_b, at.0)
    }

    fn address(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset < self.space.len());
        // SAFETY: `offset` lies in the space.
        unsafe { self.space.base().add(offset) }
    }

    fn offset(&self, block: NonNull<u8>) -> usize {
        let offset = block
            .addr()
            .get()
            .wrapping_sub(self.space.base().addr().get());
        debug_assert!(offset < self.space.len());
        offset
    }

    fn lock(&self) -> MutexGuard<'_, Units> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether this process created the blocks.
    pub(crate) fn is_owner(&self) -> bool {
        self.file.is_owner()
    }

    /// Removes the addresses of the blocks in forked children, where they stay reserved; returns
    /// whether that succeeded.
    pub(crate) fn clear_in_children(&self) -> bool {
        self.space.clear_in_children()
    }

    /// Returns whether this is a forked child in which the addresses of the blocks were removed.
    pub(crate) fn is_cleared(&self) -> bool {
        self.space.is_cleared()
    }

    /// Returns the preallocated bytes.
    pub(crate) fn claimed_bytes(&self) -> u64 {
        self.file.claimed_bytes()
    }

    /// Returns the length of the reserved addresses in bytes.
    pub(crate) fn mapped_bytes(&self) -> usize {
        self.space.len()
    }

    /// Returns the address and the number of the reserved bytes.
    pub(crate) fn addresses(&self) -> (usize, usize) {
        (self.space.base().addr().get(), self.space.len())
    }

    /// Puts what was refused to the file into words.
    #[cold]
    pub(crate) fn error(&self, refusal: Refusal) -> Error {
        self.file.error(refusal)
    }

    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn dir(&self) -> Option<&ScratchDir> {
        self.file.dir()
    }

    /// Writes all blocks back and takes them out of memory.
    pub(crate) fn evict(&self) -> Result<(), Refusal> {
        self.file.sync_data()?;
        retry(Op::Evict, || {
            self.space.advise(0..self.space.len(), Hint::DontNeed)
        })?;
        self.file.advise(0, self.space.len() as u64, Hint::DontNeed)
    }
}

/// Returns how many bytes of a whole block are preallocated.
fn preallocated_of(unit: &Unit) -> usize {
    product(narrow(unit.pages()), sys::page_size())
}

fn set_preallocated_pages(unit: &Unit, bytes: usize) {
    let pages = bytes.checked_div(sys::page_size());
    unit.set_pages(narrow(pages.unwrap_or_else(|| bug!("pages without bytes"))));
}

/// Returns the order of the smallest block of the buddy system that has this many bytes.
fn order_of(bytes: usize) -> Option<u32> {
    let units = bytes.div_ceil(UNIT_BYTES).checked_next_power_of_two()?;
    Some(units.ilog2())
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks")
            .field("claimed_bytes", &self.claimed_bytes())
            .field("mapped_bytes", &self.mapped_bytes())
            .finish_non_exhaustive()
    }
}
