//! Memory that a budget pays for, and that grows; and what a codec writes to.

use std::fmt;
use std::io;
use std::ops::Deref;

use crate::budget::{Lease, MemoryBudget};
use crate::error::{Error, ErrorKind, Result};

const ACTION: &str = "keep values in memory";

/// Bytes in memory, for whose capacity there is a lease.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// Of at least the capacity.
    lease: Option<Lease>,
}

impl Buffer {
    pub(super) fn capacity(&self) -> usize {
        debug_assert!(self.bytes.capacity() <= self.lease.as_ref().map_or(0, Lease::bytes));
        self.bytes.capacity()
    }

    /// Makes room for `capacity` bytes in all. After an error the bytes are as before.
    pub(super) fn reserve(&mut self, budget: &MemoryBudget, capacity: usize) -> Result<()> {
        if capacity <= self.bytes.capacity() {
            return Ok(());
        }
        if self.bytes.is_empty() {
            *self = Self::default();
        }
        let lease = budget.take(capacity);
        let lease = lease.ok_or_else(|| budget.refusal(capacity, ACTION))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(capacity).map_err(|_full| {
            let reason = format!("there is no memory: {capacity} bytes");
            Error::refused(ErrorKind::OutOfMemory, ACTION, reason)
        })?;
        bytes.extend_from_slice(&self.bytes);
        *self = Self {
            bytes,
            lease: Some(lease),
        };
        Ok(())
    }

    /// Lends `len` bytes, whatever they are.
    pub(super) fn room(&mut self, budget: &MemoryBudget, len: usize) -> Result<&mut [u8]> {
        if self.bytes.len() < len {
            self.bytes.clear();
            self.reserve(budget, len)?;
            self.bytes.resize(len, 0);
        }
        Ok(self.bytes.get_mut(..len).unwrap_or_default())
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a [`Codec`](crate::spool::Codec) writes an encoded value to: the end of a block in memory.
///
/// Its [`io::Write`] fails where the budget has no more memory; the spool then reports that, whatever
/// the codec makes of it.
pub struct Target<'a> {
    buffer: &'a mut Buffer,
    budget: &'a MemoryBudget,
    /// The capacity of a block, with room for the value that is the last one.
    usual: usize,
    refused: Option<Error>,
}

/// The first capacity: a spool of few values should take little of a budget.
const CAPACITY_MIN: usize = 1 << 10;

impl<'a> Target<'a> {
    pub(super) fn new(buffer: &'a mut Buffer, budget: &'a MemoryBudget, usual: usize) -> Self {
        Self {
            buffer,
            budget,
            usual,
            refused: None,
        }
    }

    /// Appends bytes of the encoded value.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`]: the budget or the process has no memory for them.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes_needed = self.buffer.bytes.len().saturating_add(bytes.len());
        if bytes_needed > self.buffer.bytes.capacity() {
            self.grow(bytes_needed)?;
        }
        self.buffer.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends a byte of the encoded value.
    ///
    /// # Errors
    ///
    /// Those of [`extend`](Self::extend).
    #[inline]
    pub fn push(&mut self, byte: u8) -> io::Result<()> {
        let len = self.buffer.bytes.len();
        if len == self.buffer.bytes.capacity() {
            self.grow(len.saturating_add(1))?;
        }
        self.buffer.bytes.push(byte);
        Ok(())
    }

    /// Makes room: twice as much as there was up to that of a block, then half as much more.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, need: usize) -> io::Result<()> {
        let capacity = self.buffer.capacity();
        let ample = if capacity < self.usual {
            capacity.saturating_mul(2).clamp(CAPACITY_MIN, self.usual)
        } else {
            capacity.saturating_add(capacity / 2)
        };
        let reserved = self.buffer.reserve(self.budget, ample.max(need));
        let reserved = reserved.or_else(|_refused| self.buffer.reserve(self.budget, need));
        reserved.map_err(|refused| {
            self.refused = Some(refused);
            io::ErrorKind::OutOfMemory.into()
        })
    }

    /// Returns why memory was refused, if it was.
    pub(super) fn into_refusal(self) -> Option<Error> {
        self.refused
    }
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
