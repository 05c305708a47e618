//! Blocks of any size in one mapped file: what the allocators hand out.
//!
//! ```text
//!  0                zone A               zone_b             zone B               end
//!  |  runs of small blocks, and blocks   |  1024 slots: one, or several in a row, |
//!  |  up to 1 MiB: a buddy system over   |  for each block above 1 MiB, so that   |
//!  |  units of 64 KiB                    |  it can grow where it is               |
//! ```
//!
//! One mapping shows one file over all of the addresses, byte for byte. The file is as long as the
//! addresses from the start, with a hole wherever no block is. So there is one mapping and one
//! open file however many blocks there are; the space of a block is claimed on disk when it is
//! handed out, and given back when it is freed.
#![expect(
    unsafe_code,
    reason = "hands out and takes back addresses; see docs/safety.md"
)]

mod buddy;
mod classes;
mod runs;
mod slots;
mod table;

use std::alloc::Layout;
use std::fmt;
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::storage::addresses::{Addresses, share_of};
#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
use crate::storage::advice::Advice;
use crate::storage::blocks::buddy::Buddy;
use crate::storage::blocks::classes::class_of;
use crate::storage::blocks::runs::Runs;
use crate::storage::blocks::slots::{SLOTS, Slots};
use crate::storage::blocks::table::{Kind, UNIT_BYTES};
#[cfg(any(feature = "allocator-api2", feature = "nightly"))]
use crate::storage::dir::ScratchDir;
use crate::storage::growth::page_up;
use crate::storage::scratch::ScratchFile;
use crate::sys;
use crate::sys::{Access, Hint};

/// The largest alignment that a block can have.
pub(crate) const ALIGN_MAX: usize = 2 << 20;

/// Blocks above this many bytes get slots.
const WHOLE_BYTES_MAX: usize = 1 << 20;

/// How many shares of the addresses the blocks take: large blocks need room to grow.
const SHARES: usize = 8;

/// Fewer addresses are not asked for at first.
const LEN_WORTH_TRYING: usize = 64 << 20;

/// With fewer there is no point in starting.
const LEN_MIN: usize = 16 << 20;

/// Memory in a file, in blocks.
pub(crate) struct Blocks {
    /// # Invariants
    ///
    /// 1. All of `space` shows `file`, byte for byte, for reading and writing; the file is that
    ///    long, and nothing else shows or changes it.
    /// 2. Every block that is handed out lies in one unit range that `state` gave to it alone, and
    ///    all of its bytes are claimed in the file.
    /// 3. Bytes of no block read as zero, but for those of small blocks that were freed.
    space: Addresses,
    file: ScratchFile,
    /// Where zone B starts.
    zone_b: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    buddy: Buddy,
    runs: Runs,
    slots: Slots,
}

/// Where a block is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In a run: the number of its unit.
    Small(usize),
    /// In zone A, as a whole: the number of its first unit.
    Whole(usize),
    /// In zone B: the first byte in the zone.
    Large(usize),
}

impl Blocks {
    /// Maps a file that is empty, over up to 8 TiB of addresses. Allocates nothing.
    pub(crate) fn over(file: ScratchFile) -> io::Result<Self> {
        let mut len = share_of(SHARES).max(LEN_WORTH_TRYING);
        let space = loop {
            let reserved = Addresses::exactly(len, SHARES, ALIGN_MAX);
            let shown = reserved.and_then(|space| {
                file.set_sparse_len(space.len() as u64)?;
                Ok(space)
            });
            match shown {
                Ok(space) => break space,
                Err(refused) if len <= LEN_MIN => return Err(refused),
                Err(_no_room) => len /= 2,
            }
        };
        // SAFETY: nobody knows the addresses yet, and the file is ours alone.
        sys::retry(|| unsafe { space.show_all(file.sys(), Access::ReadWrite) })?;
        let zone_b = space.len() / 2;
        let state = State {
            buddy: Buddy::new(zone_b / UNIT_BYTES)?,
            runs: Runs::new(),
            slots: Slots::new(zone_b / SLOTS),
        };
        Ok(Self {
            space,
            file,
            zone_b,
            state: Mutex::new(state),
        })
    }

    /// Hands out a block for a layout whose size is not zero; `None` if there is no space on disk,
    /// or no room among the addresses.
    pub(crate) fn allocate(&self, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        if layout.align() > ALIGN_MAX || !self.file.is_owner() {
            return None;
        }
        if let Some(class) = class_of(layout) {
            return self.allocate_small(class, layout, zeroed);
        }
        let bytes = page_up(layout.size(), sys::page_size())?;
        let mut state = self.lock();
        let large = bytes > WHOLE_BYTES_MAX && layout.align() <= self.slot_align();
        if let Some(at) = large.then(|| state.slots.take(bytes)).flatten() {
            let start = self.zone_b.saturating_add(at);
            if !self.claim(start..start.saturating_add(bytes)) {
                state.slots.give_back(at);
                return None;
            }
            state.slots.set_claimed(at, bytes);
            return Some(self.address(start));
        }
        let order = order_of(bytes.max(layout.align()))?;
        let number = state.buddy.take(order).ok()?;
        let start = number.saturating_mul(UNIT_BYTES);
        if !self.claim(start..start.saturating_add(bytes)) {
            state.buddy.give_back(number, order);
            return None;
        }
        state.set_pages(number, bytes);
        Some(self.address(start))
    }

    fn allocate_small(&self, class: usize, layout: Layout, zeroed: bool) -> Option<NonNull<u8>> {
        let base = self.space.base();
        let mut guard = self.lock();
        let state = &mut *guard;
        // SAFETY: units are numbered from the base, and the units of runs are claimed.
        let mut taken = unsafe { state.runs.take(state.buddy.table.units(), class, base) };
        if taken.is_none() {
            let number = state.buddy.take(0).ok()?;
            let start = number.saturating_mul(UNIT_BYTES);
            if !self.claim(start..start.saturating_add(UNIT_BYTES)) {
                state.buddy.give_back(number, 0);
                return None;
            }
            let units = state.buddy.table.units();
            state.runs.add(units, number, class);
            // SAFETY: as above.
            taken = unsafe { state.runs.take(units, class, base) };
        }
        drop(guard);
        let small = taken?;
        let start = small.run.saturating_mul(UNIT_BYTES);
        let block = self.address(start.saturating_add(small.offset));
        if zeroed && !small.fresh {
            // SAFETY: the block has at least the layout's size, and nobody else has it.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        Some(block)
    }

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// The block was handed out by this, was not taken back since, and nobody uses it any more.
    pub(crate) unsafe fn deallocate(&self, block: NonNull<u8>) {
        if !self.file.is_owner() {
            // In a forked child the block is not mapped, and its file is the parent's.
            return;
        }
        let base = self.space.base();
        let offset = self.offset(block);
        let mut guard = self.lock();
        let state = &mut *guard;
        match self.place(state, offset) {
            Place::Large(at) => {
                let claimed = state.slots.claimed(at);
                if self.unclaim(offset..offset.saturating_add(claimed)) {
                    state.slots.give_back(at);
                }
            }
            Place::Whole(number) => {
                let (pages, order) = state.whole(number);
                if self.unclaim(offset..offset.saturating_add(pages)) {
                    state.buddy.give_back(number, order);
                }
            }
            Place::Small(number) => {
                let within = offset.saturating_sub(number.saturating_mul(UNIT_BYTES));
                let units = state.buddy.table.units();
                // SAFETY: as in `allocate_small`; the caller has given the block up.
                let empty = unsafe { state.runs.free(units, number, within, base) };
                let start = number.saturating_mul(UNIT_BYTES);
                if empty && self.unclaim(start..start.saturating_add(UNIT_BYTES)) {
                    state.buddy.give_back(number, 0);
                }
            }
        }
    }

    /// Changes the size of a block, where it is if that can be, and returns where it is then. On
    /// failure the block is as it was.
    ///
    /// The bytes up to the smaller of both sizes are kept; with `zeroed`, those behind the old size
    /// are zero.
    ///
    /// # Safety
    ///
    /// The block was handed out by this for `old` and not taken back since; nobody uses it during
    /// the call, or uses its old address afterwards. The new size is not zero.
    pub(crate) unsafe fn resize(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
        zeroed: bool,
    ) -> Option<NonNull<u8>> {
        if !self.file.is_owner() {
            return None;
        }
        let aligned = block.addr().get() & new.align().wrapping_sub(1) == 0;
        let resized = aligned.then(|| self.resize_in_place(block, new)).flatten();
        if let Some(used_before) = resized {
            if zeroed && old.size() < new.size() {
                let dirty = used_before.min(new.size()).saturating_sub(old.size());
                let rest = block.as_ptr().wrapping_add(old.size());
                // SAFETY: the bytes lie in the block, which the caller lets us use.
                unsafe { rest.write_bytes(0, dirty) };
            }
            return Some(block);
        }
        let Some(moved) = self.allocate(new, zeroed) else {
            // To keep a longer block is no failure.
            return (aligned && new.size() <= old.size()).then_some(block);
        };
        let kept = old.size().min(new.size());
        // SAFETY: both blocks have at least `kept` bytes and lie apart.
        unsafe { ptr::copy_nonoverlapping(block.as_ptr(), moved.as_ptr(), kept) };
        // SAFETY: the caller gives the old block up.
        unsafe { self.deallocate(block) };
        Some(moved)
    }

    /// Changes the size of a block without moving it, if that can be done. Returns how many bytes
    /// from its start may have been used before; those behind are zero.
    fn resize_in_place(&self, block: NonNull<u8>, new: Layout) -> Option<usize> {
        let offset = self.offset(block);
        let bytes = page_up(new.size(), sys::page_size())?;
        let small = class_of(new);
        let mut guard = self.lock();
        let state = &mut *guard;
        match self.place(state, offset) {
            Place::Small(number) => {
                let unit = state.buddy.table.units().get(number)?;
                (small? == usize::from(unit.order)).then_some(usize::MAX)
            }
            Place::Whole(number) => {
                let (claimed, order) = state.whole(number);
                let fits = small.is_none() && bytes <= UNIT_BYTES << order;
                if !fits || !self.reclaim(offset, claimed, bytes) {
                    state.set_pages(number, claimed);
                    return None;
                }
                state.set_pages(number, bytes);
                Some(claimed)
            }
            Place::Large(at) => {
                let claimed = state.slots.claimed(at);
                let fits = bytes > WHOLE_BYTES_MAX && state.slots.make_room(at, bytes);
                if !fits || !self.reclaim(offset, claimed, bytes) {
                    return None;
                }
                state.slots.set_claimed(at, bytes);
                Some(claimed)
            }
        }
    }

    /// Claims or gives back what a block of `from` bytes at `offset` needs to have `to`.
    fn reclaim(&self, offset: usize, from: usize, to: usize) -> bool {
        let (old_end, new_end) = (offset.saturating_add(from), offset.saturating_add(to));
        if old_end < new_end {
            self.claim(old_end..new_end)
        } else {
            // What cannot be given back stays claimed and out of use: it may be half gone, so it is
            // claimed anew before it is used again.
            let _given = self.unclaim(new_end..old_end);
            true
        }
    }

    fn claim(&self, range: Range<usize>) -> bool {
        let (offset, len) = (range.start as u64, range.len() as u64);
        range.is_empty() || self.file.claim_part(offset, len)
    }

    /// Gives space back, after which it reads as zero. Where that fails, it stays claimed, and its
    /// addresses must not be used again.
    fn unclaim(&self, range: Range<usize>) -> bool {
        let (offset, len) = (range.start as u64, range.len() as u64);
        range.is_empty() || self.file.give_back_part(offset, len)
    }

    fn place(&self, state: &mut State, offset: usize) -> Place {
        if let Some(at) = offset.checked_sub(self.zone_b) {
            return Place::Large(at);
        }
        let number = offset / UNIT_BYTES;
        match state.buddy.table.units().get(number) {
            Some(unit) if unit.kind == Kind::Run => Place::Small(number),
            _ => Place::Whole(number),
        }
    }

    /// Returns the alignment that all slots have.
    fn slot_align(&self) -> usize {
        let slot_bytes = self.zone_b / SLOTS;
        1 << slot_bytes.trailing_zeros().min(ALIGN_MAX.ilog2())
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether this is the process that made the blocks.
    pub(crate) fn is_owner(&self) -> bool {
        self.file.is_owner()
    }

    /// Sees to it that forked children find nothing where the blocks are, not even what they map
    /// themselves; says whether it will be so. For blocks that are never dropped.
    pub(crate) fn clear_in_children(&self) -> bool {
        self.space.clear_in_children()
    }

    /// Returns whether this is a forked child that finds nothing where the blocks are.
    pub(crate) fn is_cleared(&self) -> bool {
        self.space.is_cleared()
    }

    /// Returns the bytes claimed on disk.
    pub(crate) fn claimed_bytes(&self) -> u64 {
        self.file.claimed_bytes()
    }

    /// Returns the bytes of addresses.
    pub(crate) fn mapped_bytes(&self) -> usize {
        self.space.len()
    }

    /// Returns the address of the first byte, and how many bytes there are.
    pub(crate) fn addresses(&self) -> (usize, usize) {
        (self.space.base().addr().get(), self.space.len())
    }

    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn dir(&self) -> Option<&ScratchDir> {
        self.file.dir()
    }

    /// Writes all blocks back and takes them out of memory.
    pub(crate) fn evict(&self) -> Result<()> {
        self.file.sync_data()?;
        self.file.retry("evict a file in", || {
            self.space.advise(0..self.space.len(), Hint::DontNeed)
        })?;
        self.file.advise(0, self.space.len() as u64, Hint::DontNeed)
    }

    /// Tells the kernel in which order blocks will be accessed.
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    pub(crate) fn advise(&self, advice: Advice) -> Result<()> {
        if advice == Advice::Random {
            self.evict()?;
        }
        self.file.retry("give advice on a file in", || {
            self.space.advise(0..self.space.len(), Hint::from(advice))
        })
    }
}

impl State {
    /// Returns the claimed bytes of a whole block, and its order.
    fn whole(&mut self, number: usize) -> (usize, u32) {
        let unit = self.buddy.table.units().get(number);
        debug_assert!(unit.is_some_and(|unit| unit.kind == Kind::Whole));
        unit.map_or((0, 0), |unit| {
            let pages = usize::try_from(unit.pages).unwrap_or(0);
            (
                pages.saturating_mul(sys::page_size()),
                u32::from(unit.order),
            )
        })
    }

    fn set_pages(&mut self, number: usize, bytes: usize) {
        let pages = bytes.checked_div(sys::page_size()).unwrap_or(0);
        if let Some(unit) = self.buddy.table.units().get_mut(number) {
            unit.pages = u32::try_from(pages).unwrap_or(u32::MAX);
        }
    }
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
