//! Values that are too long to be merged: each is in an extent of its own, and its record has the
//! place of it instead.

use crate::error::Result;
use crate::io::checksum::checksum;
use crate::io::extents::{Extent, ExtentFile};

/// Bytes of a record that stand for the value.
pub(super) const STUB_BYTES: usize = 24;

/// Where a long value is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Long {
    at: u64,
    len: u64,
    sum: u64,
}

impl Long {
    /// Writes a value. After an error the spool has nothing of it.
    pub(super) fn write(spool: &ExtentFile, value: &[u8]) -> Result<Self> {
        let extent = spool.claim(value.len() as u64)?;
        let long = Self {
            at: extent.start,
            len: value.len() as u64,
            sum: checksum(extent.start, value),
        };
        if let Err(refused) = spool.write(value, extent.start) {
            spool.give_back(extent);
            return Err(refused);
        }
        Ok(long)
    }

    /// Returns how long the value is.
    pub(super) fn len(self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// Reads the value into the first bytes of `target`, and gives its space back.
    pub(super) fn take<'t>(self, spool: &ExtentFile, target: &'t mut [u8]) -> Result<&'t [u8]> {
        let Some(target) = target.get_mut(..self.len()) else {
            return Err(spool.damaged("the place of a value"));
        };
        spool.read(target, self.at)?;
        if checksum(self.at, target) != self.sum {
            return Err(spool.damaged("a value"));
        }
        self.give_back(spool);
        Ok(target)
    }

    /// Gives the space of the value back.
    pub(super) fn give_back(self, spool: &ExtentFile) {
        let page = crate::sys::page_size() as u64;
        let len = self.len.max(1).next_multiple_of(page);
        let extent: Extent = self.at..self.at.saturating_add(len);
        spool.give_back(extent);
    }

    pub(super) fn to_bytes(self) -> [u8; STUB_BYTES] {
        let mut bytes = [0; STUB_BYTES];
        let numbers = [self.at, self.len, self.sum];
        for (target, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            target.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Understands what [`to_bytes`](Self::to_bytes) made.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; STUB_BYTES] = bytes.try_into().ok()?;
        let number = |at: usize| {
            let number = bytes.get(at..).and_then(<[u8]>::first_chunk);
            number.map_or(0, |number| u64::from_le_bytes(*number))
        };
        Some(Self {
            at: number(0),
            len: number(8),
            sum: number(16),
        })
    }
}
