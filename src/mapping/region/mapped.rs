//! Growable bytes at an address: a file, and a window of memory at its end.
//!
//! ```text
//! origin      front              filed            end           origin + space.len()
//!   |  given  |   file, shown     |  window:       |  reserved,    |
//!   |  back   |   by the kernel   |  memory        |  no page      |
//!   |---------|-------------------|----------------|---------------|
//!             <------- claimed on disk: file_len >= end ---> ... >
//! ```
//!
//! All of these are offsets in the file. When the addresses are used up, the live part is shown at the
//! start of other addresses; only `origin` changes then: it is the offset of the first address.
//!
//! Bytes are appended to the window, at the speed of memory. When it is full, one `pwrite` puts it
//! into the file, its pages move ahead, and the file is mapped where they were. So every byte keeps
//! its address, and no more than a window is resident however much is appended (linux-facts A4).
//! A region of at most one small window needs no file.
#![expect(
    unsafe_code,
    reason = "changes what is mapped at addresses of its own; see docs/safety.md"
)]

use std::ops::Range;
use std::ptr::{self, NonNull};
use std::slice;

use crate::budget::Lease;
use crate::bug::bug;
use crate::error::Result;
use crate::exact::{difference, range, range_from, sum};
use crate::io::refusal::{Op, Refusal, retry};
use crate::io::scratch::ScratchFile;
use crate::mapping::addresses::Addresses;
use crate::mapping::advice::Advice;
use crate::mapping::growth::{
    ADDRESSABLE_BYTES, WINDOW_BYTES_MIN, ample_len, page_down, page_up, window_bytes,
};
#[cfg(test)]
use crate::mapping::region::too_far;
use crate::mapping::region::{Kind, Need, out_of_memory, too_large};
use crate::sys;
use crate::sys::{Access, Hint};

/// Bytes in a file, with a window of memory at the end. The owner of the value owns its bytes: only
/// methods with `&mut self` change what is mapped where.
#[derive(Debug)]
pub(super) struct Mapped {
    /// Addresses, once the first byte is asked for.
    ///
    /// # Invariants
    ///
    /// 1. With `space`: `origin <= front <= filed <= end <= origin + space.len()`, all multiples of
    ///    the page size, and `origin` of the alignment. The base of `space` is the place of the byte
    ///    `origin`. Pages `front..filed` show `file` for reading and writing, each at its own
    ///    offset; `filed..end` is memory; the others may not be touched. Without `space` all are 0.
    /// 2. With `file`: it is `file_len >= end` bytes long, all but `..holes` claimed on disk, and
    ///    nothing else shows or changes it. Without `file`: `file_len == filed == origin == 0`.
    /// 3. `holes <= front`, and no piece of the page cache has pages on both sides of it: a store
    ///    into one asks for space for all of it (linux-facts F5), so on a full disk a store beside
    ///    a hole was a `SIGBUS`.
    pub(super) space: Option<Addresses>,
    pub(super) file: Option<ScratchFile>,
    pub(super) origin: usize,
    pub(super) front: usize,
    pub(super) holes: usize,
    pub(super) filed: usize,
    pub(super) end: usize,
    pub(super) file_len: usize,
    pub(super) kind: Kind,
    /// Of the window, while it may be long since there is no file.
    pub(super) lease: Option<Lease>,
    /// As if the file could get no longer.
    #[cfg(test)]
    pub(super) is_at_limit: bool,
}

impl Mapped {
    /// Makes one without addresses, memory or a file.
    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            space: None,
            file: None,
            origin: 0,
            front: 0,
            holes: 0,
            filed: 0,
            end: 0,
            file_len: 0,
            kind,
            lease: None,
            #[cfg(test)]
            is_at_limit: false,
        }
    }

    /// Makes one of these bytes, which are in its file from then on.
    pub(super) fn with_bytes(kind: Kind, bytes: &[u8]) -> Result<Self, Refusal> {
        let mut mapped = Self::new(kind);
        let len = mapped.addressable(bytes.len())?;
        if len > 0 {
            mapped.claim([len])?;
            mapped.ensure_addresses(len)?;
            mapped.write(bytes, 0)?;
            // SAFETY: the addresses are in use by nothing, and the bytes are in the file.
            unsafe { mapped.show(0..len) }?;
            (mapped.filed, mapped.end) = (len, len);
        }
        Ok(mapped)
    }

    /// Returns the address of the byte at this offset, or `None` while there are no addresses.
    pub(super) fn address(&self, offset: usize) -> Option<NonNull<u8>> {
        let space = self.space.as_ref()?;
        let at = difference(offset, self.origin);
        if at > space.len() {
            bug!("byte {offset} of the {} from {}", space.len(), self.origin);
        }
        // SAFETY: the place is in the space or at its end, checked above.
        Some(unsafe { space.base().add(at) })
    }

    /// Returns which part of the space these bytes have.
    pub(super) fn part(&self, range: Range<usize>) -> Range<usize> {
        range_from(self.origin, &range)
    }

    /// Returns up to which offset bytes can become accessible without claiming space.
    pub(super) fn capacity_end(&self) -> usize {
        let addresses = self.space.as_ref().map_or(0, |space| space.len());
        let addresses_end = sum(self.origin, addresses);
        self.end.max(self.file_len).min(addresses_end)
    }

    /// Returns the bytes claimed on disk.
    pub(super) fn claimed_bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.claimed_bytes())
    }

    /// Grows as it is needed.
    pub(super) fn grow(&mut self, need: usize, kind: Need) -> Result<(), Refusal> {
        match kind {
            Need::Now => self.advance(need),
            Need::Later { exact } => self.reserve(need, exact),
        }
    }

    /// Claims addresses and disk space for the first `need` bytes, so that
    /// [`advance`](Self::advance) finds them. The bytes move only if the addresses do not suffice.
    ///
    /// On failure, nothing has changed.
    fn reserve(&mut self, need: usize, exact: bool) -> Result<(), Refusal> {
        if need <= self.capacity_end() {
            return Ok(());
        }
        self.check_owner()?;
        let need = self.addressable(need)?;
        if (need <= WINDOW_BYTES_MIN && self.file.is_none()) || self.can_stay(need) {
            return self.advance(need);
        }
        let target = if exact {
            need
        } else {
            self.ample(self.file_len, need)
        };
        let file_len = self.file_len;
        self.claim([target, need])?;
        let room = self.ensure_addresses(need);
        room.inspect_err(|_refused| self.unclaim(file_len))
    }

    /// Makes the first `need` bytes accessible. What is new reads as zero or as bytes that this
    /// region held before.
    ///
    /// On failure the bytes are as before; they may have moved to other addresses, if those that
    /// were reserved did not suffice.
    pub(super) fn advance(&mut self, need: usize) -> Result<(), Refusal> {
        if need <= self.end {
            return Ok(());
        }
        self.check_owner()?;
        let padded = self.addressable(need)?;
        while padded > self.end {
            if self.file.is_none() && padded <= WINDOW_BYTES_MIN {
                self.ensure_addresses(padded)?;
                let addresses = self.space().len().min(WINDOW_BYTES_MIN);
                self.open_window(difference(addresses, self.end))?;
            } else if self.open_in_budget(padded)? {
                break;
            } else if difference(padded, self.end) > window_bytes(self.end) {
                self.leap(padded)?;
            } else {
                self.step(padded)?;
            }
        }
        self.shrink_lease();
        Ok(())
    }

    /// Puts the window into the file and opens the next one behind it, on the way to `padded`
    /// accessible bytes.
    fn step(&mut self, padded: usize) -> Result<(), Refusal> {
        let file_len = self.file_len;
        let next = self.claim_window(padded)?;
        let room = self.ensure_addresses(sum(self.end, next));
        let window = self.filed..self.end;
        let stepped = room.and_then(|()| {
            if window.is_empty() {
                self.open_window(next)
            } else if next == window.len() {
                self.write_window().and_then(|()| self.slide_window())
            } else {
                self.write_window().and_then(|()| self.replace_window(next))
            }
        });
        stepped.inspect_err(|_refused| self.unclaim(file_len))
    }

    /// Claims the space of the next window and returns the window's length: less than usual where
    /// less is claimed already, or where the disk has no more.
    fn claim_window(&mut self, padded: usize) -> Result<usize, Refusal> {
        let next = window_bytes(self.end);
        // None while there is no file.
        let claimed = self.file_len.saturating_sub(self.end);
        if claimed > 0 {
            return Ok(next.min(claimed));
        }
        // Past what can be addressed, less is claimed.
        let new_end = self.end.saturating_add(next);
        let least = padded.min(new_end);
        // Whole windows, so that the next ones have the length of this one and can slide.
        let ample = self.ample(self.end, new_end);
        let past_whole = difference(ample, self.end).checked_rem(next);
        let past_whole = past_whole.unwrap_or_else(|| bug!("a window without bytes"));
        let ample = difference(ample, past_whole);
        self.claim([ample, new_end, least])?;
        Ok(difference(self.file_len, self.end).min(next))
    }

    /// Returns the length that the file of `len` bytes should get so that `need` bytes fit: some more,
    /// for what is alive.
    fn ample(&self, len: usize, need: usize) -> usize {
        let alive = |end: usize| difference(end, self.front) as u64;
        let ample = sum(ample_len(alive(len), alive(need)), self.front as u64);
        let ample = usize::try_from(ample).unwrap_or(usize::MAX);
        page_down(ample, sys::page_size()).max(need)
    }

    /// Makes `..new_end` accessible at once, as part of the file: for what is longer than a window.
    fn leap(&mut self, new_end: usize) -> Result<(), Refusal> {
        let file_len = self.file_len;
        self.claim([new_end])?;
        let room = self.ensure_addresses(new_end);
        let leapt = room.and_then(|()| self.write_window()).and_then(|()| {
            // SAFETY: behind the window nothing is in use, and the window's bytes are in the file.
            unsafe { self.show(self.filed..new_end) }
        });
        leapt.inspect_err(|_refused| self.unclaim(file_len))?;
        (self.filed, self.end) = (new_end, new_end);
        Ok(())
    }

    /// Writes the window's bytes to where they belong in the file.
    fn write_window(&self) -> Result<(), Refusal> {
        if self.filed == self.end {
            return Ok(());
        }
        let start = self.place(self.filed);
        let len = difference(self.end, self.filed);
        // SAFETY: these bytes are memory of ours (invariant 1), and `&self` of the caller's
        // `&mut self` excludes writers. They were zeroed when the memory was made. An element
        // with padding may have left bytes without a defined value since; nothing but the
        // kernel, to which the slice goes, looks at them.
        let bytes = unsafe { slice::from_raw_parts(start.as_ptr(), len) };
        self.write(bytes, self.filed)
    }

    /// Writes bytes to where they belong in the file.
    fn write(&self, bytes: &[u8], offset: usize) -> Result<(), Refusal> {
        let file = self.file();
        if self.kind.advice != Advice::Random {
            return file.write_all_at(bytes, offset as u64);
        }
        // The page cache takes a large write into large folios, of which one byte stored later
        // dirties all (linux-facts F1). Page by page, each gets a folio of its own.
        let page = sys::page_size();
        let mut pages = (offset as u64..).step_by(page).zip(bytes.chunks(page));
        pages.try_for_each(|(offset, bytes)| file.write_all_at(bytes, offset))
    }

    /// Moves the window's pages ahead by their length and shows the file, which holds their bytes,
    /// where they were.
    fn slide_window(&mut self) -> Result<(), Refusal> {
        let old = self.filed..self.end;
        let new = range(self.end, old.len());
        let space = self.space();
        // SAFETY: the window is one piece of memory, nothing is in use behind it, and the caller
        // has `&mut self`, so no reference leads into either.
        let slid = unsafe { space.slide(self.part(old.clone()), old.len()) };
        if slid.is_err() {
            // A kernel before 5.7, or a window in two pieces: new pages do the same, slower.
            return self.replace_window(old.len());
        }
        // SAFETY: the bytes of the range are in the file, and no reference leads to them.
        if let Err(refused) = unsafe { self.show(old.clone()) } {
            let (moved, back) = (self.place(new.start), self.place(old.start));
            // SAFETY: both ranges are memory, or show the file in the case of `old`, and lie apart;
            // the moved pages still hold the bytes.
            unsafe { ptr::copy_nonoverlapping(moved.as_ptr(), back.as_ptr(), old.len()) };
            self.release(new);
            return Err(refused);
        }
        (self.filed, self.end) = (new.start, new.end);
        Ok(())
    }

    /// Opens a window of `len` bytes behind this one, whose bytes are in the file, and shows the
    /// file in place of this one.
    fn replace_window(&mut self, len: usize) -> Result<(), Refusal> {
        let old = self.filed..self.end;
        let new = range(self.end, len);
        let space = self.space();
        // SAFETY: what is behind the window is reserved or was released.
        let opened = sys::retry(|| unsafe { space.open(self.part(new.clone())) });
        opened.map_err(|answer| out_of_memory(&answer))?;
        // SAFETY: the bytes of the range are in the file, and no reference leads to them.
        if let Err(refused) = unsafe { self.show(old) } {
            self.release(new);
            return Err(refused);
        }
        (self.filed, self.end) = (new.start, new.end);
        Ok(())
    }

    /// Lengthens the window by `len` bytes of memory.
    pub(super) fn open_window(&mut self, len: usize) -> Result<(), Refusal> {
        let new = range(self.end, len);
        let space = self.space();
        // SAFETY: what is behind `end` is reserved or was released.
        let opened = sys::retry(|| unsafe { space.open(self.part(new.clone())) });
        opened.map_err(|answer| out_of_memory(&answer))?;
        self.end = new.end;
        Ok(())
    }

    /// Shows the file in `range`, with the advice that holds.
    ///
    /// # Safety
    ///
    /// As for [`sys::Space::show`]: the bytes of the range are in the file, or not in use.
    pub(super) unsafe fn show(&self, range: Range<usize>) -> Result<(), Refusal> {
        let (file, space, offset) = (self.file(), self.space(), range.start as u64);
        // SAFETY: the caller keeps this contract; the file is ours alone (invariant 2).
        retry(Op::Map, || unsafe {
            space.show(
                self.part(range.clone()),
                file.sys(),
                offset,
                Access::ReadWrite,
            )
        })?;
        if self.kind.advice != Advice::Normal {
            // A hint that is refused costs speed and no bytes.
            let _hint = space.advise(self.part(range), Hint::from(self.kind.advice));
        }
        Ok(())
    }

    /// Takes pages that are not in use away.
    fn release(&self, range: Range<usize>) {
        if let (false, Some(space)) = (range.is_empty(), &self.space) {
            // SAFETY: the callers pass ranges that nothing is in use in.
            let _released = unsafe { space.release(self.part(range)) };
        }
    }

    /// Preallocates the file up to the first of the lengths `wanted` for which there is space, and
    /// creates the file if there is none. The last length is the one that is needed.
    pub(super) fn claim<const N: usize>(&mut self, wanted: [usize; N]) -> Result<(), Refusal> {
        if wanted.last().is_some_and(|need| *need <= self.file_len) {
            return Ok(());
        }
        #[cfg(test)]
        if self.is_at_limit {
            return Err(too_far());
        }
        let made = self.file.is_none();
        let file = match self.file.take() {
            Some(file) => file,
            None => self.make_file()?,
        };
        let claimed = file.grow(self.file_len as u64, wanted.map(|len| len as u64));
        if claimed.is_ok() || !made {
            self.file = Some(file);
        }
        let len = claimed?;
        self.file_len = usize::try_from(len).unwrap_or_else(|_long| bug!("a file of {len} bytes"));
        Ok(())
    }

    /// Gives back what was claimed past `file_len`, after a failure.
    fn unclaim(&mut self, file_len: usize) {
        let Some(file) = &self.file else { return };
        if file_len < self.end {
            // There was no file before, and nothing is shown from it.
            debug_assert!(self.filed == 0 && file_len == 0);
            (self.file, self.file_len) = (None, 0);
        } else if file.shrink(self.file_len as u64, file_len as u64).is_ok() {
            self.file_len = file_len;
        }
    }

    /// Returns up to which offset this process does not have the bytes: in a forked child, the end
    /// of those in the file.
    pub(super) fn missing_end(&self) -> usize {
        let is_inherited = |file: &ScratchFile| !file.is_owner();
        if self.file.as_ref().is_some_and(is_inherited) {
            self.filed
        } else {
            0
        }
    }

    /// Refuses to work in a forked child, in which what showed the file is not mapped, and the file
    /// is the parent's. A region without a file is the child's own copy.
    pub(super) fn check_owner(&self) -> Result<(), Refusal> {
        self.file
            .as_ref()
            .map_or(Ok(()), |file| file.check_owner(Op::Grow))
    }

    fn make_file(&self) -> Result<ScratchFile, Refusal> {
        match &self.kind.dir {
            Some(dir) => ScratchFile::create(dir),
            None => bug!("a region needs a file and has no directory"),
        }
    }

    /// Returns the file, which there is.
    pub(super) fn file(&self) -> &ScratchFile {
        match &self.file {
            Some(file) => file,
            None => bug!("a region without a file was asked for it"),
        }
    }

    /// Returns the addresses, which there are.
    pub(super) fn space(&self) -> &sys::Space {
        match &self.space {
            Some(space) => space,
            None => bug!("a region without addresses was asked for them"),
        }
    }

    /// Returns the address of the byte at this offset, which has one.
    pub(super) fn place(&self, offset: usize) -> NonNull<u8> {
        let place = self.address(offset);
        place.unwrap_or_else(|| bug!("a region without addresses was asked for byte {offset}"))
    }

    /// Rounds up to whole pages, and refuses what no process has addresses for.
    pub(super) fn addressable(&self, need: usize) -> Result<usize, Refusal> {
        let padded = page_up(need, sys::page_size());
        let alive = |padded: &usize| difference(*padded, self.front);
        padded
            .filter(|padded| alive(padded) <= ADDRESSABLE_BYTES)
            .ok_or_else(too_large)
    }
}
