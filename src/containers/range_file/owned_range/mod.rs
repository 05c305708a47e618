//! Handles, which keep a file open for new ranges, and ranges, each of which owns its bytes.
#![expect(
    unsafe_code,
    reason = "lends out a mapping range by range, and frees the file; see docs/safety.md"
)]

use std::mem::ManuallyDrop;
use std::ops::Range;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::containers::range_file::allocator::Refused;
use crate::containers::range_file::file_state::FileState;
use crate::error::{Error, ErrorKind, Result};
use crate::exact::{difference, narrow};

/// A pointer to the state of a file, shared by handles and ranges.
///
/// # Invariants
///
/// 1. It points to a `FileState` that was made by `Box`. The allocator tells one caller that it is the
///    last one, and that caller frees the state: the last handle when it closes the allocator, or
///    the last range after that. Until then there is no `&mut` to it, except in
///    `Handle::exclusive`.
#[derive(Clone, Copy)]
struct StatePtr(NonNull<FileState>);

// SAFETY: the pointer is a shared reference to the state, and its owner may free the state. A
// `FileState` is `Send` and `Sync`, which `crosses` checks, and so are bytes.
unsafe impl Send for StatePtr {}
// SAFETY: as above.
unsafe impl Sync for StatePtr {}

const _: () = {
    const fn crosses<T: Send + Sync>() {}
    crosses::<FileState>();
};

impl StatePtr {
    /// Returns the state.
    ///
    /// # Safety
    ///
    /// The caller keeps it alive for `'a`: it has not closed the allocator, or owns bytes that it
    /// has not returned yet.
    #[inline]
    unsafe fn file_state<'a>(self) -> &'a FileState {
        // SAFETY: the state lives (duty of the caller), and is only shared (invariant 1).
        unsafe { self.0.as_ref() }
    }

    /// Frees the state.
    ///
    /// # Safety
    ///
    /// The allocator has just told this caller that it is the last one.
    unsafe fn free(self) {
        // SAFETY: it was created by a box (invariant 1), and the caller is the last one.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Keeps a file open for new ranges. After the last clone is dropped there are no new ranges, and the
/// last range that is dropped frees the file.
#[derive(Clone)]
pub(super) struct Handle {
    /// The same pointer as in `guard`, which saves one step on the way to the counter.
    state_ptr: StatePtr,
    guard: Arc<CloseGuard>,
}

/// Shared by all clones of a handle. Dropping it closes the allocator.
struct CloseGuard {
    /// # Invariants
    ///
    /// 1. Each state has one `CloseGuard`, and only its handles make ranges.
    state_ptr: StatePtr,
}

impl Handle {
    pub(super) fn new(file_state: FileState) -> Self {
        let state_ptr = StatePtr(NonNull::from(Box::leak(Box::new(file_state))));
        let guard = Arc::new(CloseGuard { state_ptr });
        Self { state_ptr, guard }
    }

    #[inline]
    pub(super) fn file_state(&self) -> &FileState {
        // SAFETY: this handle keeps `guard` alive, so the allocator is open.
        unsafe { self.state_ptr.file_state() }
    }

    /// Returns the state for exclusive use if there is no other handle and no range; otherwise says
    /// which of them exists.
    pub(super) fn exclusive(&mut self) -> Result<&mut FileState, &'static str> {
        if Arc::get_mut(&mut self.guard).is_none() {
            return Err("another handle to it is alive");
        }
        if !self.file_state().allocator.is_all_back() {
            return Err("ranges of it are alive");
        }
        // SAFETY: there are no ranges, and `&mut self` borrows the only handle to the only
        // `CloseGuard` (its invariant 1), which could create some. So no other pointer is in use.
        Ok(unsafe { self.state_ptr.0.as_mut() })
    }

    #[inline]
    pub(super) fn allocate(&self, len: u64) -> Option<OwnedRange> {
        let range = self.file_state().allocator.allocate(len)?;
        Some(self.owned(range))
    }

    /// Gives out exactly this range.
    pub(super) fn claim(&self, range: Range<u64>) -> Result<OwnedRange> {
        const ACTION: &str = "claim a range of";
        let Range { start, end } = range;
        let file_state = self.file_state();
        let (kind, reason) = match file_state.allocator.claim(&range) {
            Ok(()) if range.is_empty() => return Ok(OwnedRange::empty(start)),
            Ok(()) => return Ok(self.owned(range)),
            Err(Refused::OutOfBounds) => {
                let len = file_state.allocator.len();
                let reason = format!("{start}..{end} is no range of {len} bytes");
                (ErrorKind::OutOfBounds, reason)
            }
            Err(Refused::InUse) => {
                let reason = format!("some of {start}..{end} was given out already");
                (ErrorKind::RangesInUse, reason)
            }
            Err(Refused::Sealed) => {
                let reason = "the file has a name by now".to_owned();
                (ErrorKind::RangesInUse, reason)
            }
        };
        Err(Error::refused(kind, ACTION, reason).at(file_state.path()))
    }

    /// Creates the owner of a range that the allocator has just given out, and that is not empty.
    #[inline]
    fn owned(&self, range: Range<u64>) -> OwnedRange {
        let Range { start, end } = range;
        let state_ptr = self.state_ptr;
        OwnedRange {
            lent: LentBytes {
                state_ptr,
                start,
                end,
            },
        }
    }
}

impl Drop for CloseGuard {
    fn drop(&mut self) {
        // SAFETY: the allocator is still open.
        let file_state = unsafe { self.state_ptr.file_state() };
        let watermark = file_state.allocator.watermark();
        // The call gets no reference to the state: another thread that drops the last range may free the
        // state before the call returns.
        if file_state.allocator.returned().close(watermark) {
            // SAFETY: there is no range, and no handle can make one.
            unsafe { self.state_ptr.free() };
        }
    }
}

/// The bytes of an `OwnedRange` or a `FrozenRange`. A copy does not outlive the range.
#[derive(Clone, Copy)]
struct LentBytes {
    /// # Invariants
    ///
    /// 1. If `start..end` is not empty, the allocator has given it out, and no other `OwnedRange` or
    ///    `FrozenRange` has a byte of it. If it is empty, the pointer dangles.
    state_ptr: StatePtr,
    start: u64,
    end: u64,
}

impl LentBytes {
    /// Returns the state; `None` for an empty range.
    #[inline]
    fn file_state(&self) -> Option<&FileState> {
        // SAFETY: the bytes are given out (invariant 1) until their owner is dropped.
        (self.start < self.end).then(|| unsafe { self.state_ptr.file_state() })
    }

    /// Returns the address of the bytes.
    #[inline]
    fn bytes(&self) -> *mut [u8] {
        let Some(file_state) = self.file_state() else {
            return ptr::slice_from_raw_parts_mut(NonNull::dangling().as_ptr(), 0);
        };
        debug_assert!(self.end <= file_state.allocator.len());
        // The file is no longer than the space (invariant 2 of `FileState`).
        let (start, len) = (narrow(self.start), narrow(difference(self.end, self.start)));
        // SAFETY: the allocator gives out bytes of the file (its invariant 3), which the space shows.
        let first = unsafe { file_state.base().add(start) };
        ptr::slice_from_raw_parts_mut(first.as_ptr(), len)
    }
}

/// A range of a file that only this value owns. Dropping it frees the range.
pub(super) struct OwnedRange {
    lent: LentBytes,
}

impl OwnedRange {
    /// Creates an empty range, which belongs to no file.
    pub(super) fn empty(at: u64) -> Self {
        let lent = LentBytes {
            state_ptr: StatePtr(NonNull::dangling()),
            start: at,
            end: at,
        };
        Self { lent }
    }

    #[inline]
    pub(super) fn start(&self) -> u64 {
        self.lent.start
    }

    #[inline]
    pub(super) fn end(&self) -> u64 {
        self.lent.end
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the addresses show bytes of the file, which exist (invariants 1 and 2 of `FileState`)
        // and belong to this range (invariant 1 of `LentBytes`). It is borrowed, so they are not written.
        unsafe { &*self.lent.bytes() }
    }

    #[inline]
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the range is borrowed mutably, so there is no other reference.
        unsafe { &mut *self.lent.bytes() }
    }

    /// Writes `bytes` at `offset` of the file by a system call.
    ///
    /// All of them have to fit: bytes outside of the range have other owners.
    pub(super) fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let LentBytes { start, end, .. } = self.lent;
        let file_state = self.lent.file_state();
        let last = offset.saturating_add(bytes.len() as u64);
        if offset < start || last > end {
            let reason = format!("{offset}..{last} is not in the range {start}..{end}");
            let refused = Error::refused(ErrorKind::OutOfBounds, "write to", reason);
            return Err(refused.at(file_state.map_or(Path::new(""), FileState::path)));
        }
        // Only an empty slice fits into an empty range.
        let Some(file_state) = file_state else {
            return Ok(());
        };
        // SAFETY: they are in the range, which is borrowed mutably.
        unsafe { file_state.write_all_at(bytes, offset) }
    }

    /// Splits the range at `middle`, which has to be inside or at an end.
    pub(super) fn split_at(self, middle: u64) -> (Self, Self) {
        let LentBytes {
            state_ptr,
            start,
            end,
        } = self.lent;
        assert!(start <= middle && middle <= end);
        if middle == start {
            return (Self::empty(start), self);
        }
        if middle == end {
            return (self, Self::empty(end));
        }
        let _disowned = ManuallyDrop::new(self);
        let owned = |start, end| Self {
            lent: LentBytes {
                state_ptr,
                start,
                end,
            },
        };
        (owned(start, middle), owned(middle, end))
    }

    /// Records the range as written. It is never given out again.
    pub(super) fn freeze(self) -> FrozenRange {
        let lent = ManuallyDrop::new(self).lent;
        if let Some(file_state) = lent.file_state() {
            file_state.allocator.finish(lent.start..lent.end);
        }
        FrozenRange { lent }
    }
}

impl Drop for OwnedRange {
    // Small enough to be inlined, so that a range that is moved stays in registers and is not
    // stored to memory for the sake of a drop.
    #[inline]
    fn drop(&mut self) {
        let LentBytes {
            state_ptr,
            start,
            end,
        } = self.lent;
        if start < end {
            give_back(state_ptr, start, end);
        }
    }
}

/// Returns a range that is not empty and no longer used to the allocator.
#[inline(never)]
fn give_back(state_ptr: StatePtr, start: u64, end: u64) {
    let lent = LentBytes {
        state_ptr,
        start,
        end,
    };
    let Some(file_state) = lent.file_state() else {
        return;
    };
    // In a forked child the lock of the allocator may be held by a thread that does not exist
    // there. The child does not allocate, so it does not need the lists.
    let unreported = if file_state.file.is_owner() {
        file_state.allocator.give_back(start..end);
        1
    } else {
        difference(end, start)
    };
    // As in the drop of `FrozenRange`.
    if file_state.allocator.returned().release(unreported) {
        // SAFETY: the allocator says so, and the range is not used any more.
        unsafe { state_ptr.free() };
    }
}

/// A range of a file that is written and can only be read. Its bytes never get another owner.
pub(super) struct FrozenRange {
    lent: LentBytes,
}

impl FrozenRange {
    pub(super) fn start(&self) -> u64 {
        self.lent.start
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: as in `OwnedRange`; frozen bytes are only read.
        unsafe { &*self.lent.bytes() }
    }

    /// Waits until the bytes of `range`, which is in this range, are on the device.
    pub(super) fn sync(&self, range: &Range<u64>) -> Result<()> {
        debug_assert!(self.lent.start <= range.start && range.end <= self.lent.end);
        match self.lent.file_state() {
            Some(file_state) if !range.is_empty() => file_state.sync_range(range),
            _ => Ok(()),
        }
    }
}

impl Drop for FrozenRange {
    fn drop(&mut self) {
        let len = difference(self.lent.end, self.lent.start);
        let Some(file_state) = self.lent.file_state() else {
            return;
        };
        // The call gets no reference to the state: another thread may free it before the call returns.
        if file_state.allocator.returned().release(len) {
            // SAFETY: the allocator says so, and the range is not used any more.
            unsafe { self.lent.state_ptr.free() };
        }
    }
}

#[cfg(not(any(loom, shuttle)))]
#[cfg(test)]
mod tests;
