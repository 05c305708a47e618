//! Memory that a budget pays for, and that grows; and what a codec writes to.

use std::fmt;
use std::io;
use std::ops::Deref;

use crate::budget::{Lease, MemoryBudget};
use crate::composites::spool::lengths::LEN_BYTES_MAX;
use crate::error::{Error, ErrorKind, Result};

const ACTION: &str = "keep values in memory";

/// Bytes in memory, for whose capacity there is a lease.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// All that there is room for: those in use, and others of any value. So what is written needs
    /// one check of the length, which is that of the capacity.
    bytes: Vec<u8>,
    /// How many are in use, at most all.
    used: usize,
    /// Of at least the capacity.
    lease: Option<Lease>,
}

impl Buffer {
    pub(super) fn capacity(&self) -> usize {
        debug_assert!(self.bytes.capacity() <= self.lease.as_ref().map_or(0, Lease::bytes));
        self.bytes.len()
    }

    /// Makes room for `capacity` bytes in all, and keeps the first `kept`. After an error nothing has
    /// changed.
    fn reserve(&mut self, budget: &MemoryBudget, kept: usize, capacity: usize) -> Result<()> {
        if capacity <= self.bytes.len() {
            return Ok(());
        }
        if kept == 0 {
            return self.renew(budget, capacity);
        }
        let lease = budget.take(capacity);
        let lease = lease.ok_or_else(|| budget.refusal(capacity, ACTION))?;
        let mut bytes = allocate(capacity)?;
        bytes.extend_from_slice(self.bytes.get(..kept).unwrap_or_default());
        bytes.resize(capacity, 0);
        *self = Self {
            bytes,
            used: self.used,
            lease: Some(lease),
        };
        Ok(())
    }

    /// Makes room for `capacity` bytes, more than there are, and keeps none: memory is freed before there
    /// is more of it, but what is leased stays leased, so that others cannot take it in between. If the
    /// budget refuses, nothing has changed.
    fn renew(&mut self, budget: &MemoryBudget, capacity: usize) -> Result<()> {
        let lease = self.lease.take().or_else(|| budget.take(0));
        let mut lease = lease.ok_or_else(|| budget.refusal(capacity, ACTION))?;
        let more = capacity.saturating_sub(lease.bytes());
        if !lease.grow(more) {
            self.lease = Some(lease);
            return Err(budget.refusal(more, ACTION));
        }
        *self = Self::default();
        let mut bytes = allocate(capacity)?;
        bytes.resize(capacity, 0);
        self.bytes = bytes;
        self.lease = Some(lease);
        Ok(())
    }

    /// Gives back what is behind the first `capacity` bytes.
    pub(super) fn shrink_to(&mut self, capacity: usize) {
        self.bytes.truncate(capacity);
        self.bytes.shrink_to_fit();
        self.used = self.used.min(capacity);
        if let Some(lease) = &mut self.lease {
            lease.shrink_to(self.bytes.capacity());
        }
    }

    /// Makes room for `more` bytes behind the first `kept`. After an error nothing has changed.
    pub(super) fn lengthen(
        &mut self,
        budget: &MemoryBudget,
        sizes: Sizes,
        kept: usize,
        more: usize,
    ) -> Result<()> {
        let need = kept.saturating_add(more);
        if need > self.bytes.len() {
            self.grow(budget, sizes, kept, need)?;
        }
        Ok(())
    }

    /// Makes room for `need` bytes and some more, and keeps the first `kept`.
    #[cold]
    fn grow(
        &mut self,
        budget: &MemoryBudget,
        sizes: Sizes,
        kept: usize,
        need: usize,
    ) -> Result<()> {
        let capacity = self.capacity();
        let (ample, less) = if capacity < sizes.usual {
            let twice = capacity.saturating_mul(2);
            let twice = twice.clamp(CAPACITY_MIN, sizes.usual);
            (twice.max(sizes.first), twice)
        } else {
            let half = capacity.saturating_add(capacity / 2);
            (half, half)
        };
        let reserved = self.reserve(budget, kept, ample.max(need));
        let reserved = reserved.or_else(|_refused| self.reserve(budget, kept, less.max(need)));
        reserved.or_else(|_refused| self.reserve(budget, kept, need))
    }

    /// Lends `len` bytes, whatever they are, which are those in use from then on.
    pub(super) fn room(&mut self, budget: &MemoryBudget, len: usize) -> Result<&mut [u8]> {
        self.reserve(budget, 0, len)?;
        self.used = self.used.max(len);
        Ok(self.bytes.get_mut(..len).unwrap_or_default())
    }

    /// Sets how many bytes are in use: fewer, or those that a target wrote behind them too.
    #[inline]
    pub(super) fn set_used(&mut self, used: usize) {
        debug_assert!(used <= self.bytes.len());
        self.used = used;
    }

    /// Returns how many bytes are in use.
    #[inline]
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Returns all bytes, those that are not in use too.
    #[inline]
    pub(super) fn all_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

/// Allocates room for `capacity` bytes.
fn allocate(capacity: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(capacity).map_err(|_full| {
        let reason = format!("there is no memory: {capacity} bytes");
        Error::refused(ErrorKind::OutOfMemory, ACTION, reason)
    })?;
    Ok(bytes)
}

/// What a [`Codec`](crate::spool::Codec) writes an encoded value to: the end of a block in memory.
///
/// Its [`io::Write`] fails where the budget has no more memory; the spool then reports that, whatever
/// the codec makes of it.
pub struct Target<'a> {
    buffer: &'a mut Buffer,
    /// Where the next byte goes. What is written is not in use before the spool says so: a codec that
    /// fails or panics leaves the block as it was.
    at: usize,
    budget: &'a MemoryBudget,
    sizes: Sizes,
    /// Why memory was refused, if it was. Elsewhere, so that the compiler can keep `at` in a register.
    refused: &'a mut Option<Error>,
}

/// How much memory a block takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// At first: a spool of few values should take little of a budget.
    pub(super) first: usize,
    /// Of a block, with room for the value that is the last one.
    pub(super) usual: usize,
}

/// The first capacity of the first block.
pub(super) const CAPACITY_MIN: usize = 1 << 10;

impl<'a> Target<'a> {
    /// Makes one that writes behind the bytes in use.
    #[inline]
    pub(super) fn new(
        buffer: &'a mut Buffer,
        budget: &'a MemoryBudget,
        sizes: Sizes,
        refused: &'a mut Option<Error>,
    ) -> Self {
        Self {
            at: buffer.used,
            buffer,
            budget,
            sizes,
            refused,
        }
    }

    /// Appends bytes of the encoded value.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`]: the budget or the process has no memory for them.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.put(bytes) {
            Ok(())
        } else {
            Err(io::ErrorKind::OutOfMemory.into())
        }
    }

    /// Appends a byte of the encoded value.
    ///
    /// # Errors
    ///
    /// Those of [`extend`](Self::extend).
    #[inline]
    pub fn push(&mut self, byte: u8) -> io::Result<()> {
        self.extend(&[byte])
    }

    /// Appends bytes, and returns whether there was memory for them.
    #[expect(clippy::inline_always, reason = "a call takes as long as the copy")]
    #[inline(always)]
    pub(super) fn put(&mut self, bytes: &[u8]) -> bool {
        let end = self.at.wrapping_add(bytes.len());
        let room = self.buffer.bytes.get_mut(self.at..end);
        if !room.is_some_and(|room| copy_few(room, bytes)) {
            let put = put_many(self.buffer, self.budget, self.sizes, self.at, bytes);
            if let Err(refused) = put {
                drop(self.refused.replace(refused));
                return false;
            }
        }
        self.at = end;
        true
    }

    /// Leaves room for `count` bytes, which are written later, and returns whether there was memory
    /// for them.
    #[inline]
    pub(super) fn skip(&mut self, count: usize) -> bool {
        if count <= self.buffer.bytes.len().wrapping_sub(self.at) {
            self.at = self.at.wrapping_add(count);
            return true;
        }
        let placeholder = [0; LEN_BYTES_MAX];
        self.put(placeholder.get(..count).unwrap_or_default())
    }

    /// Returns where the next byte would go.
    #[inline]
    pub(super) fn end(self) -> usize {
        self.at
    }
}

/// Copies bytes into as many if they are few, and returns whether they are. Numbers are a few bytes
/// long, for which a call would take longer than the copy.
#[expect(clippy::inline_always, reason = "a call takes as long as the copy")]
#[inline(always)]
fn copy_few(target: &mut [u8], bytes: &[u8]) -> bool {
    match bytes.len() {
        0 => {}
        1 => copy_ends::<1>(target, bytes),
        2 | 3 => copy_ends::<2>(target, bytes),
        4..=7 => copy_ends::<4>(target, bytes),
        8..=16 => copy_ends::<8>(target, bytes),
        _ => return false,
    }
    true
}

/// Copies the first and the last bytes, which overlap.
#[expect(clippy::inline_always, reason = "a call takes as long as the copy")]
#[inline(always)]
fn copy_ends<const COUNT: usize>(target: &mut [u8], bytes: &[u8]) {
    if let (Some(to), Some(from)) = (target.first_chunk_mut(), bytes.first_chunk::<COUNT>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (target.last_chunk_mut(), bytes.last_chunk::<COUNT>()) {
        *to = *from;
    }
}

/// Writes bytes behind the first `at`, and makes room for them if there is none: twice as much as
/// there was up to that of a block, then half as much more.
#[inline(never)]
fn put_many(
    buffer: &mut Buffer,
    budget: &MemoryBudget,
    sizes: Sizes,
    at: usize,
    bytes: &[u8],
) -> Result<()> {
    let need = at.saturating_add(bytes.len());
    buffer.lengthen(budget, sizes, at, bytes.len())?;
    let target = buffer.bytes.get_mut(at..need).unwrap_or_default();
    target.copy_from_slice(bytes);
    Ok(())
}

impl io::Write for Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}
