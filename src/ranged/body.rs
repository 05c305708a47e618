//! The file behind all handles and ranges, and who keeps it: everything that touches its bytes.
#![expect(
    unsafe_code,
    reason = "lends out a mapping part by part, and frees what keeps it; see docs/safety.md"
)]

use std::ffi::OsString;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;
use std::slice;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::ranged::allot::{Allot, Refused};
use crate::storage::addresses::Addresses;
use crate::storage::file::OwnedFile;
use crate::storage::growth::{ADDRESSABLE_BYTES, page_down, page_up};
use crate::storage::place::Place;
use crate::storage::stats;
use crate::sys;
use crate::sys::Access;

/// A file, its addresses, and the books of who has which of its bytes.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) allot: Allot,
    /// # Invariants
    ///
    /// 1. All of `space` shows `file` from its first byte, for reading and writing, as long as the
    ///    body lives.
    /// 2. The file has at least as many bytes as `allot` says, all of them claimed, and at most as
    ///    many as the space. It is cut off only behind them.
    /// 3. Others can reach the file by a name only if `is_named`, where a caller of an `unsafe`
    ///    function vouches for them, or if `aside` is set or `is_named` was set by publishing, when
    ///    no bytes are lent any more.
    space: Addresses,
    pub(super) file: OwnedFile,
    pub(super) place: Place,
    /// Whether the file has its name.
    pub(super) is_named: bool,
    /// The name that it has until then, while another file is replaced.
    pub(super) aside: Option<OsString>,
    /// Held while the file grows: whether it may be longer than `allot` says, since a growth that
    /// failed could not be undone.
    growing: Mutex<bool>,
}

impl Body {
    /// Claims space for `len` bytes of a new file and maps it.
    ///
    /// Where that fails, its name, if it has one, is taken away again.
    pub(super) fn of_new(place: Place, file: OwnedFile, len: u64, is_named: bool) -> Result<Self> {
        let claimed = check_len(&file, len).and_then(|()| {
            if len > 0 {
                file.claim(0, len)?;
            }
            if is_named {
                // So that what is flushed later can be found again.
                file.sync_all()?;
                file.sync_by(|| place.sync())?;
            }
            Ok(())
        });
        let ready = claimed.map_err(|refused| refused.about(CLAIM, place.path()));
        let space = ready.and_then(|()| show(&place, &file, len));
        if is_named && space.is_err() {
            let _removed = place.remove(None);
        }
        Ok(Self::new(place, file, space?, (len, 0), is_named))
    }

    /// Claims what is missing of a file of `len` bytes and maps it.
    ///
    /// # Safety
    ///
    /// As long as the body lives, nobody else changes bytes that are lent out, or cuts the file off.
    pub(super) unsafe fn of_existing(place: Place, file: OwnedFile, len: u64) -> Result<Self> {
        let claimed = check_len(&file, len).and_then(|()| match len {
            0 => Ok(()),
            len => file.claim_holes(len),
        });
        claimed.map_err(|refused| refused.about(CLAIM, place.path()))?;
        let space = show(&place, &file, len)?;
        Ok(Self::new(place, file, space, (len, len), true))
    }

    fn new(
        place: Place,
        file: OwnedFile,
        space: Addresses,
        (len, content): (u64, u64),
        is_named: bool,
    ) -> Self {
        stats::claimed(len);
        Self {
            allot: Allot::new(len, content),
            space,
            file,
            place,
            is_named,
            aside: None,
            growing: Mutex::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Returns the address of the first byte.
    pub(super) fn base(&self) -> NonNull<u8> {
        self.space.base()
    }

    /// Refuses to work in a forked child, where the bytes are not mapped.
    pub(super) fn check_owner(&self, action: &'static str) -> Result<()> {
        let checked = self.file.check_owner(action);
        checked.map_err(|refused| refused.at(self.path()))
    }

    /// Makes the file `len` bytes long, if it is shorter.
    pub(super) fn grow(&self, len: u64) -> Result<()> {
        self.check_owner(GROW)?;
        let growing = self.growing.lock();
        let mut is_longer = growing.unwrap_or_else(PoisonError::into_inner);
        let old = self.allot.len();
        if len <= old {
            return Ok(());
        }
        if self.allot.is_sealed() {
            // Others can reach it by a name, and may have made it longer: it must not be cut off.
            return Err(self.cannot_grow());
        }
        if len > self.space.len() as u64 {
            let reason = "the addresses that were reserved for the file end before";
            let refused = Error::refused(ErrorKind::CapacityOverflow, GROW, reason);
            return Err(refused.at(self.path()));
        }
        let grown = check_len(&self.file, len).and_then(|()| {
            let claimed = self.file.claim(old, len);
            // ext4 leaves the file half grown when the disk is full (linux-facts G3).
            claimed.inspect_err(|_refused| *is_longer = self.file.set_len(GROW, old).is_err())
        });
        grown.map_err(|refused| refused.about(CLAIM, self.path()))?;
        if self.allot.grow(len) {
            stats::claimed(len.saturating_sub(old));
            return Ok(());
        }
        *is_longer = self.file.set_len(GROW, old).is_err();
        Err(self.cannot_grow())
    }

    #[cold]
    fn cannot_grow(&self) -> Error {
        let reason = "it is published, or has grown too often";
        Error::refused(ErrorKind::CapacityOverflow, GROW, reason).at(self.path())
    }

    /// Cuts off what a growth has left that failed and could not be undone.
    pub(super) fn cut_off(&mut self, action: &'static str) -> Result<()> {
        let len = self.allot.len();
        let is_longer = self.growing.get_mut();
        let is_longer = is_longer.unwrap_or_else(PoisonError::into_inner);
        if *is_longer {
            self.file.set_len(action, len)?;
            *is_longer = false;
        }
        Ok(())
    }

    /// Takes the second name away, if there is one.
    pub(super) fn remove_aside(&mut self) {
        if let Some(aside) = self.aside.take() {
            self.place.remove_aside(&aside);
        }
    }

    /// Waits until all bytes are on the device.
    pub(super) fn sync_all(&self) -> Result<()> {
        let synced = self.check_owner(SYNC).and_then(|()| self.file.sync_all());
        synced.map_err(|refused| refused.about(SYNC, self.path()))
    }

    /// Waits until the bytes of `range`, which is in the file and not empty, are on the device.
    fn sync_range(&self, range: &Range<u64>) -> Result<()> {
        self.check_owner(SYNC)?;
        let page = sys::page_size();
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap_or(0));
        let end = page_up(end, page).unwrap_or(end).min(self.space.len());
        let pages = page_down(start, page)..end;
        // SAFETY: all of the space shows the file (invariant 1).
        let synced = (self.file).sync_by(|| unsafe { self.space.sync(pages.clone()) });
        synced.map_err(|refused| refused.about(SYNC, self.path()))
    }

    /// Writes `bytes` at `offset`, where the file has as many.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|refused| refused.about("write to", self.path()))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        stats::returned(self.allot.len());
        if self.check_owner(SYNC).is_err() {
            return;
        }
        self.remove_aside();
        // A forked child may have the file open, and the lock with it.
        let _unlocked = sys::retry(|| self.file.sys().unlock());
    }
}

/// What keeps a file open for new ranges. Dropping it ends that; the file goes with the last range.
pub(super) struct Handle {
    /// # Invariants
    ///
    /// 1. Leads to a body made by `Box`, which is freed by whoever is told by its books that nobody
    ///    else has them: the handle when it closes them, or the last part after that. Until then
    ///    nobody has a `&mut` to it, but for `exclusive`.
    /// 2. There is one handle to a body.
    body: NonNull<Body>,
}

// SAFETY: a handle is a shared reference to a body and the right to free it, and a body may be
// shared and sent, which `crosses` checks.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

const _: () = {
    const fn crosses<T: Send + Sync>() {}
    crosses::<Body>();
};

impl Handle {
    pub(super) fn new(body: Body) -> Self {
        let body = NonNull::from(Box::leak(Box::new(body)));
        Self { body }
    }

    #[inline]
    pub(super) fn body(&self) -> &Body {
        // SAFETY: the body lives until this handle has closed its books (invariant 1).
        unsafe { self.body.as_ref() }
    }

    /// Returns the body alone, if no part is out.
    pub(super) fn exclusive(&mut self) -> Option<&mut Body> {
        if !self.body().allot.is_all_back() {
            return None;
        }
        // SAFETY: there are no parts, and `&mut self` keeps the only handle (invariant 2) from
        // making some, so nobody else leads to the body.
        Some(unsafe { self.body.as_mut() })
    }

    #[inline]
    pub(super) fn allocate(&self, len: u64) -> Option<Part> {
        let range = self.body().allot.allocate(len)?;
        Some(self.part(range))
    }

    /// Gives out just this range; `None` of an empty one.
    pub(super) fn claim(&self, range: Range<u64>) -> Result<Option<Part>> {
        const ACTION: &str = "claim a range of";
        let refused = |kind, reason| {
            let refused = Error::refused(kind, ACTION, reason);
            Err(refused.at(self.body().path()))
        };
        let Range { start, end } = range;
        match self.body().allot.claim(&range) {
            Ok(()) if range.is_empty() => Ok(None),
            Ok(()) => Ok(Some(self.part(range))),
            Err(Refused::OutOfBounds) => {
                let len = self.body().allot.len();
                let reason = format!("{start}..{end} is no range of {len} bytes");
                refused(ErrorKind::OutOfBounds, reason)
            }
            Err(Refused::InUse) => {
                let reason = format!("some of {start}..{end} was given out already");
                refused(ErrorKind::RangesInUse, reason)
            }
            Err(Refused::Sealed) => {
                let reason = "the file has a name by now".to_owned();
                refused(ErrorKind::RangesInUse, reason)
            }
        }
    }

    /// Makes the part of a range that the books have just given out.
    #[inline]
    fn part(&self, range: Range<u64>) -> Part {
        Part {
            body: self.body,
            start: range.start,
            end: range.end,
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let fresh = self.body().allot.fresh();
        // No reference to the body leads into the call: the last part may free it before it ends.
        if self.body().allot.back().close(fresh) {
            // SAFETY: no part is out, and no handle can make one.
            unsafe { free(self.body) };
        }
    }
}

/// Part of a file, not empty, that belongs to this value alone. Dropping it ends that for good:
/// [`give_back`](Self::give_back) lets others have it.
pub(super) struct Part {
    /// # Invariants
    ///
    /// 1. As of `Handle`.
    /// 2. `start..end` is out in the books of the body, and in no other part. It is not empty.
    body: NonNull<Body>,
    start: u64,
    end: u64,
}

// SAFETY: as of `Handle`; the bytes of a part are its own, and bytes cross threads.
unsafe impl Send for Part {}
// SAFETY: `&Part` only reads its bytes.
unsafe impl Sync for Part {}

impl Part {
    fn body(&self) -> &Body {
        // SAFETY: the body lives until all parts have reported to its books (invariant 1).
        unsafe { self.body.as_ref() }
    }

    pub(super) fn path(&self) -> &Path {
        self.body().path()
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Returns the address of the first byte, and how many there are.
    #[inline]
    fn place(&self) -> (NonNull<u8>, usize) {
        let base = self.body().base();
        debug_assert!(self.start < self.end && self.end <= self.body().allot.len());
        // No conversion changes a number: the file is no longer than the space (invariant 2 of
        // `Body`).
        let start = usize::try_from(self.start).unwrap_or(0);
        let len = usize::try_from(self.len()).unwrap_or(0);
        // SAFETY: the books give out what is in the file (their invariant 3), which is in the space.
        (unsafe { base.add(start) }, len)
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        let (at, len) = self.place();
        // SAFETY: the addresses show bytes of the file, which exist (invariants 1 and 2 of `Body`)
        // and belong to this part (invariant 2), which is borrowed; nobody writes to them.
        unsafe { slice::from_raw_parts(at.as_ptr(), len) }
    }

    #[inline]
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let (at, len) = self.place();
        // SAFETY: as in `bytes`; the part is borrowed alone, so nobody else reads them either.
        unsafe { slice::from_raw_parts_mut(at.as_ptr(), len) }
    }

    /// Writes `bytes` at `offset` of the file by a system call.
    ///
    /// All of them have to fit: what is written to the file is seen by its owner only.
    pub(super) fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        if offset < self.start || end > self.end {
            let (start, own_end) = (self.start, self.end);
            let reason = format!("{offset}..{end} is not in the range {start}..{own_end}");
            let refused = Error::refused(ErrorKind::OutOfBounds, "write to", reason);
            return Err(refused.at(self.path()));
        }
        self.body().write_all_at(bytes, offset)
    }

    /// Waits until the bytes of `range`, which is in the part and not empty, are on the device.
    pub(super) fn sync(&self, range: &Range<u64>) -> Result<()> {
        debug_assert!(self.start <= range.start && range.end <= self.end);
        self.body().sync_range(range)
    }

    /// Cuts the part in two at `middle`, which has to be inside and is not an end.
    pub(super) fn split_at(self, middle: u64) -> (Self, Self) {
        assert!(self.start < middle && middle < self.end);
        let whole = ManuallyDrop::new(self);
        let body = whole.body;
        let part = |start, end| Self { body, start, end };
        (part(whole.start, middle), part(middle, whole.end))
    }

    /// Notes the part as written.
    pub(super) fn finish(&self) {
        self.body().allot.finish(self.start..self.end);
    }

    /// Lets others have the bytes again.
    pub(super) fn give_back(self) {
        let part = ManuallyDrop::new(self);
        part.body().allot.give_back(part.start..part.end);
        // As in the drop of a part; this is the byte that `give_back` left.
        if part.body().allot.back().release(1) {
            // SAFETY: the books say so, and the part is not used any more.
            unsafe { free(part.body) };
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let len = self.len();
        // No reference to the body leads into the call: others may free it before it ends.
        if self.body().allot.back().release(len) {
            // SAFETY: the books say so, and the part is not used any more.
            unsafe { free(self.body) };
        }
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body().fmt(f)
    }
}

/// Maps a file of `len` bytes, and addresses behind them for more.
fn show(place: &Place, file: &OwnedFile, len: u64) -> Result<Addresses> {
    let refused = |answer| file.error("map", answer).about("map", place.path());
    let need = usize::try_from(len).map_err(|_long| too_large(place.path()))?;
    let space = Addresses::reserve(need.max(1), SHARES, sys::page_size()).map_err(refused)?;
    // SAFETY: nobody knows the addresses yet. The file has no name, or the caller of an `unsafe`
    // function vouches for everybody else.
    sys::retry(|| unsafe { space.show_all(file.sys(), Access::ReadWrite) }).map_err(refused)?;
    Ok(space)
}

/// Frees a body.
///
/// # Safety
///
/// It was made by `Handle::new`, and its books have just told the caller, and nobody else, that
/// nobody has them any more.
unsafe fn free(body: NonNull<Body>) {
    // SAFETY: it was made by a box; the caller is the last to know it.
    drop(unsafe { Box::from_raw(body.as_ptr()) });
}

/// Refuses a length that no process can address, or that this one may not give to a file.
fn check_len(file: &OwnedFile, len: u64) -> Result<()> {
    if len > ADDRESSABLE_BYTES as u64 {
        return Err(too_large(Path::new("")));
    }
    file.check_len(len)
}

#[cold]
fn too_large(path: &Path) -> Error {
    let reason = "the length passes what can be addressed";
    Error::refused(ErrorKind::CapacityOverflow, CLAIM, reason).at(path)
}

/// How many shares of the addresses a file takes: on the heap, where one is small, enough for what
/// tests from outside let it grow.
const SHARES: usize = if cfg!(all(any(miri, heap_backend), not(test))) {
    64
} else {
    1
};

/// How operations are named in errors.
const CLAIM: &str = "claim space for";
const GROW: &str = "grow";
const SYNC: &str = "sync";
