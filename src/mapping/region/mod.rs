//! Growable bytes at an address: a few in plain memory, more in a file.
//!
//! ```text
//!            used + need > a window              no room left in the file
//!   Plain  ------------------------->  Mapped  ------------------------->  Mapped, another file
//!          <-------------------------
//!            shrunk to a window
//! ```
//!
//! A region begins in plain memory, as `Vec` does, and takes neither a mapping nor a descriptor.
//! When it gets longer than a window, its bytes go to a file that is mapped. Each way is one
//! function: [`Region::file`] makes a mapped region of the bytes, wherever they are, and
//! [`Region::shrink`] goes back. The bytes move then, and on the way to it, as those of a `Vec`.
//!
//! As long as addresses are plentiful, a region takes some with its first byte, and does not move.
#![expect(
    unsafe_code,
    reason = "makes slices of a region's bytes; see docs/safety.md"
)]

mod budgeted;
mod copy;
mod give_back;
mod mapped;
mod moves;
mod pass;
mod plain;
mod residency;

use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::NonNull;
use std::slice;

use crate::budget::MemoryBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::exact::{difference, sum};
use crate::io::dir::ScratchDir;
use crate::io::refusal::{Op, Refusal, Unnamed};
use crate::io::scratch::ScratchFile;
use crate::mapping::addresses;
use crate::mapping::advice::Advice;
use crate::mapping::growth::{ADDRESSABLE_BYTES, WINDOW_BYTES_MIN};
use crate::mapping::region::mapped::Mapped;
use crate::mapping::region::plain::Plain;

/// Bytes that grow at the end and become fewer at the front. The owner of a region owns its bytes:
/// only methods with `&mut self` change where they are.
///
/// Lengths and places are counted from the first byte in use.
#[derive(Debug)]
pub(crate) struct Region {
    state: State,
    /// Where the first byte in use is: in the block of a plain region, in the file of a mapped one.
    ///
    /// # Invariants
    ///
    /// 1. In a plain region, it is at most the length of the block; in a mapped one,
    ///    `front <= head <= end`.
    head: usize,
}

/// Where the bytes are.
#[derive(Debug)]
enum State {
    Plain(Plain),
    Mapped(Box<Mapped>),
}

/// What stays the same wherever the bytes are.
#[derive(Clone, Debug)]
struct Kind {
    /// Where the file will be; `None` as long as none is needed and nothing was said.
    dir: Option<ScratchDir>,
    align_log2: u32,
    advice: Advice,
    /// What decides how long the bytes stay in memory, if it is not their length.
    budget: Option<MemoryBudget>,
}

impl Kind {
    fn align(&self) -> usize {
        1 << self.align_log2
    }
}

/// What more bytes are needed for.
#[derive(Clone, Copy, Debug)]
enum Need {
    /// To be stored to at once.
    Now,
    /// To be there later without claiming space, with some to spare unless exactly as many.
    Later { exact: bool },
}

/// The part of a region that is in its file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filed<'a> {
    pub(crate) file: &'a ScratchFile,
    /// How many bytes, from the first in use, are in the file.
    pub(crate) len: usize,
    /// Where in the file the first one is.
    pub(crate) offset: usize,
}

impl Filed<'_> {
    /// Returns where in the file a byte is, counted from the first in use.
    pub(crate) fn offset_of(&self, byte: usize) -> u64 {
        sum(self.offset, byte) as u64
    }
}

impl Region {
    /// Makes a region without bytes. Its first byte will be at a multiple of `align`, a power of two.
    pub(crate) const fn new(dir: Option<ScratchDir>, align: usize) -> Self {
        let kind = Kind {
            dir,
            align_log2: align.ilog2(),
            advice: Advice::Normal,
            budget: None,
        };
        Self {
            state: State::Plain(Plain::new(kind)),
            head: 0,
        }
    }

    /// Makes an empty region of the same kind.
    pub(crate) fn empty_like(&self) -> Self {
        Self {
            state: State::Plain(Plain::new(self.kind().clone())),
            head: 0,
        }
    }

    fn kind(&self) -> &Kind {
        match &self.state {
            State::Plain(plain) => &plain.kind,
            State::Mapped(mapped) => &mapped.kind,
        }
    }

    /// Returns the address of the first byte in use, or of the one that will be; `None` while there
    /// is no place for it.
    pub(crate) fn first(&self) -> Option<NonNull<u8>> {
        match &self.state {
            // SAFETY: the byte is in the block, or at its end (invariant 1).
            State::Plain(plain) => plain.start().map(|start| unsafe { start.add(self.head) }),
            State::Mapped(mapped) => mapped.address(self.head),
        }
    }

    /// Returns how many bytes may be touched.
    pub(crate) fn accessible(&self) -> usize {
        let end = match &self.state {
            State::Plain(plain) => plain.len(),
            State::Mapped(mapped) => mapped.end,
        };
        difference(end, self.head)
    }

    /// Returns how many bytes can become accessible without claiming space.
    pub(crate) fn capacity(&self) -> usize {
        let end = match &self.state {
            State::Plain(plain) => plain.len(),
            State::Mapped(mapped) => mapped.capacity_end(),
        };
        difference(end, self.head)
    }

    /// Returns how many bytes from the first this process does not have: in a forked child, those in
    /// the file.
    pub(crate) fn missing(&self) -> usize {
        match &self.state {
            State::Plain(_) => 0,
            State::Mapped(mapped) => mapped.missing_end().saturating_sub(self.head),
        }
    }

    /// Refuses to work in a forked child, in which what showed the file is not mapped, and the file
    /// is the parent's. A region without a file is the child's own copy.
    pub(crate) fn check_owner(&self) -> Result<(), Refusal> {
        match &self.state {
            State::Plain(_) => Ok(()),
            State::Mapped(mapped) => mapped.check_owner(),
        }
    }

    /// Returns the bytes claimed on disk.
    pub(crate) fn claimed_bytes(&self) -> u64 {
        match &self.state {
            State::Plain(_) => 0,
            State::Mapped(mapped) => mapped.claimed_bytes(),
        }
    }

    pub(crate) fn advice(&self) -> Advice {
        self.kind().advice
    }

    /// Returns the directory that the region is in, or will be.
    pub(crate) fn dir(&self) -> Option<&ScratchDir> {
        self.kind().dir.as_ref()
    }

    /// Puts what was refused to the region into words.
    #[cold]
    pub(crate) fn error(&self, refused: Refusal) -> Error {
        match self.dir() {
            Some(dir) => dir.error(refused),
            None => refused.of(Unnamed::Anywhere),
        }
    }

    /// Returns whether it takes a directory to make `need` bytes accessible, of which `used` are in
    /// use: a file is needed, and none was named.
    pub(crate) fn needs_dir(&self, used: usize, need: usize) -> bool {
        self.dir().is_none()
            && match &self.state {
                State::Plain(plain) => need > WINDOW_BYTES_MIN || !plain.can_hold(self.head, used),
                State::Mapped(mapped) => {
                    let is_short = |end: usize| end <= WINDOW_BYTES_MIN;
                    mapped.file.is_none() && !self.head.checked_add(need).is_some_and(is_short)
                }
            }
    }

    /// Names the directory of the file that will be made.
    pub(crate) fn set_dir(&mut self, dir: ScratchDir) {
        let kind = match &mut self.state {
            State::Plain(plain) => &mut plain.kind,
            State::Mapped(mapped) => &mut mapped.kind,
        };
        kind.dir = Some(dir);
    }

    /// Claims space for `need` bytes in all, of which `used` are in use, so that
    /// [`advance`](Self::advance) finds it.
    ///
    /// On failure the bytes in use are as before, perhaps at another address.
    pub(crate) fn reserve(&mut self, used: usize, need: usize, exact: bool) -> Result<(), Refusal> {
        if need <= self.capacity() {
            return Ok(());
        }
        self.grow(used, need, Need::Later { exact })
    }

    /// Makes the first `need` bytes accessible, of which `used` are in use. What is new has any value
    /// or none.
    ///
    /// On failure the bytes in use are as before, perhaps at another address.
    pub(crate) fn advance(&mut self, used: usize, need: usize) -> Result<(), Refusal> {
        if need <= self.accessible() {
            return Ok(());
        }
        self.grow(used, need, Need::Now)
    }

    fn grow(&mut self, used: usize, need: usize, kind: Need) -> Result<(), Refusal> {
        debug_assert!(used <= need && used <= self.accessible());
        if need > ADDRESSABLE_BYTES {
            return Err(too_large());
        }
        let mapped = match &mut self.state {
            State::Plain(plain) => {
                let is_first = plain.len() == 0;
                let fits = need <= WINDOW_BYTES_MIN && plain.can_hold(self.head, used);
                if !fits || (is_first && addresses::are_plentiful()) {
                    return self.file(used, need, kind);
                }
                let head = std::mem::take(&mut self.head);
                let exact = matches!(kind, Need::Later { exact: true });
                return plain.grow(head, used, need, exact);
            }
            State::Mapped(mapped) => mapped,
        };
        let grown = match self.head.checked_add(need) {
            Some(end) => mapped.grow(end, kind),
            None => Err(too_far()),
        };
        match grown {
            // The file cannot get longer, but most of it is before the bytes in use. These move to a
            // new file. Before that happens again, as many bytes are added as are copied now.
            Err(refused) if refused.kind() == ErrorKind::FileTooLarge && used < self.head => {
                self.check_owner()?;
                self.file(used, need, kind)
            }
            grown => grown,
        }
    }

    /// Gives back disk space, memory and claims behind the first `used` bytes, which are not 0. They
    /// may move, into plain memory if they are few.
    ///
    /// On failure the first `used` bytes are as before, and the region stays usable.
    pub(crate) fn shrink(&mut self, used: usize) -> Result<(), Refusal> {
        self.check_owner()?;
        if used <= WINDOW_BYTES_MIN {
            if let Some(plain) = self.to_plain(used)? {
                self.state = State::Plain(plain);
                self.head = 0;
            }
            return Ok(());
        }
        match &mut self.state {
            State::Plain(_) => Ok(()),
            State::Mapped(mapped) => mapped.shrink(sum(self.head, used)),
        }
    }

    /// Copies the first `used` bytes, which this process has, into a block of plain memory; none if
    /// there are no addresses.
    fn to_plain(&self, used: usize) -> Result<Option<Plain>, Refusal> {
        let Some(first) = self.first() else {
            return Ok(None);
        };
        // SAFETY: the first `used` bytes are accessible, and writers are excluded by the borrow. Some
        // may have no defined value, which is none to `MaybeUninit`.
        let bytes =
            unsafe { slice::from_raw_parts(first.as_ptr().cast::<MaybeUninit<u8>>(), used) };
        Plain::with_bytes(self.kind().clone(), bytes).map(Some)
    }

    /// Makes a region of the same kind with the same first `used` bytes, which are not 0.
    pub(crate) fn try_copy(&self, used: usize) -> Result<Self, Refusal> {
        if self.missing() > 0 {
            self.check_owner()?;
        }
        if used <= WINDOW_BYTES_MIN {
            let plain = self.to_plain(used)?;
            let plain = plain.unwrap_or_else(|| Plain::new(self.kind().clone()));
            let state = State::Plain(plain);
            return Ok(Self { state, head: 0 });
        }
        let mapped = match (&self.state, self.first()) {
            (State::Mapped(mapped), _) if self.head < mapped.filed => {
                let end = sum(self.head, used);
                let copy = mapped.try_copy(self.head..end)?;
                return Ok(Self {
                    state: State::Mapped(Box::new(copy)),
                    head: self.head,
                });
            }
            (_, Some(first)) => {
                // SAFETY: as in `file`, and no writer has a reference while this borrow lasts.
                let bytes = unsafe { slice::from_raw_parts(first.as_ptr(), used) };
                Mapped::with_bytes(self.kind().clone(), bytes)?
            }
            (_, None) => Mapped::new(self.kind().clone()),
        };
        Ok(Self {
            state: State::Mapped(Box::new(mapped)),
            head: 0,
        })
    }

    /// Lets go of the first `bytes` bytes, of which nothing is in use. They stay where they are until
    /// [`discard_front`](Self::discard_front).
    pub(crate) fn skip(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.accessible());
        self.head = sum(self.head, bytes);
    }

    /// Gives back what was skipped: the whole pages of it, as far as they are in a file.
    pub(crate) fn discard_front(&mut self) {
        if let State::Mapped(mapped) = &mut self.state {
            mapped.discard_front(self.head);
        }
    }

    /// Returns whether any space at the front was given back.
    pub(crate) fn has_lost_front(&self) -> bool {
        match &self.state {
            State::Plain(_) => false,
            State::Mapped(mapped) => mapped.front > 0,
        }
    }

    /// Uses the bytes from the start again, where none is in use and none was given back.
    pub(crate) fn rewind(&mut self) {
        if !self.has_lost_front() && self.check_owner().is_ok() {
            self.head = 0;
        }
    }

    /// Lets the next byte that needs a call find no further addresses.
    #[cfg(test)]
    pub(crate) fn use_up_addresses(&mut self, with_front: bool) {
        if let State::Mapped(mapped) = &mut self.state {
            mapped.use_up_addresses(with_front);
        }
    }

    /// Lets the file get no longer, if the bytes in use would then move to a new one. An injected
    /// `EFBIG` may have moved them already.
    #[cfg(test)]
    pub(crate) fn use_up_file(&mut self) {
        let would_move = self.accessible() < self.head;
        if let State::Mapped(mapped) = &mut self.state {
            mapped.is_at_limit = would_move;
        }
    }

    /// Sets the advice for all bytes in the file, now and later.
    pub(crate) fn advise(&mut self, advice: Advice) -> Result<(), Refusal> {
        match &mut self.state {
            State::Plain(plain) => plain.kind.advice = advice,
            State::Mapped(mapped) => return mapped.advise(advice),
        }
        Ok(())
    }

    /// Tells the kernel in which order all bytes in the file will be read for a while, through the
    /// mapping and by calls; `None` ends that. Only a hint: the advice stays what it is.
    pub(crate) fn expect(&self, order: Option<Advice>) {
        if let State::Mapped(mapped) = &self.state {
            mapped.expect(order);
        }
    }

    /// Starts to read the pages of `range` that are in the file.
    pub(crate) fn prefetch(&self, range: Range<usize>) -> Result<(), Refusal> {
        self.mapped_part(range)
            .map_or(Ok(()), |(mapped, range)| mapped.prefetch(range))
    }

    /// Writes the pages of `range` that are in the file back and takes them out of memory.
    pub(crate) fn evict(&self, range: Range<usize>) -> Result<(), Refusal> {
        self.mapped_part(range)
            .map_or(Ok(()), |(mapped, range)| mapped.evict(range))
    }

    /// Takes the pages of `range` that are in the file out of the mapping, and leaves it to the
    /// kernel how long they stay in the page cache.
    pub(crate) fn let_go(&self, range: Range<usize>) -> Result<(), Refusal> {
        self.mapped_part(range)
            .map_or(Ok(()), |(mapped, range)| mapped.let_go(range))
    }

    /// Returns what is mapped, and where a range is there.
    fn mapped_part(&self, range: Range<usize>) -> Option<(&Mapped, Range<usize>)> {
        let State::Mapped(mapped) = &self.state else {
            return None;
        };
        let place = |byte: usize| sum(self.head, byte);
        Some((mapped, place(range.start)..place(range.end)))
    }

    /// Returns the part of the region that is in its file.
    pub(crate) fn filed(&self) -> Result<Option<Filed<'_>>, Refusal> {
        self.check_owner()?;
        let State::Mapped(mapped) = &self.state else {
            return Ok(None);
        };
        Ok(mapped.file.as_ref().map(|file| Filed {
            file,
            len: mapped.filed.saturating_sub(self.head),
            offset: self.head,
        }))
    }

    /// Returns how many bytes of the region are in memory: all of plain memory, and what is mapped
    /// of the others.
    pub(crate) fn resident_bytes(&self) -> Result<u64, Refusal> {
        match &self.state {
            State::Plain(plain) => Ok(plain.len() as u64),
            State::Mapped(mapped) => mapped.resident_bytes(),
        }
    }
}

#[cold]
fn too_large() -> Refusal {
    let reason = "the size passes what can be addressed";
    Refusal::ours(Op::Grow, ErrorKind::CapacityOverflow, reason)
}

/// For a file whose offsets come to an end.
#[cold]
fn too_far() -> Refusal {
    let reason = "the file would pass what can be addressed";
    Refusal::ours(Op::Grow, ErrorKind::FileTooLarge, reason)
}

#[cold]
fn out_of_memory(answer: &std::io::Error) -> Refusal {
    Refusal::failed(Op::MapMemory, answer)
}
