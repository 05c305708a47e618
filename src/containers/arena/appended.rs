//! What makes the file of an arena one that can become a sealed file: the checksums of what was
//! appended, made while it was in memory.

use std::sync::{Mutex, PoisonError};

use crate::error::Result;
use crate::format::DATA_START;
use crate::format::blocks::BlockSums;
use crate::format::write::new_id;
use crate::io::dir::ScratchDir;

/// The checksums of the bytes from [`DATA_START`] on, for as long as they come in order.
#[derive(Debug)]
pub(crate) struct Appended {
    /// `None` once bytes came out of order, or there was no memory. Then the file can be copied.
    sums: Mutex<Option<BlockSums>>,
}

impl Appended {
    pub(crate) fn new(dir: &ScratchDir) -> Result<Self> {
        let id = new_id(dir.path())?;
        Ok(Self {
            sums: Mutex::new(Some(BlockSums::new(id))),
        })
    }

    /// Notes bytes that were written at this place of the file.
    pub(crate) fn wrote(&self, pos: u64, bytes: &[u8]) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = sums.as_mut().is_some_and(|sums| {
            let end = DATA_START.saturating_add(sums.bytes());
            end == pos && sums.push(bytes).is_ok()
        });
        if !taken {
            *sums = None;
        }
    }

    /// Returns the checksums, if they are those of all bytes.
    pub(crate) fn sums(&mut self) -> Option<&mut BlockSums> {
        let sums = self.sums.get_mut().unwrap_or_else(PoisonError::into_inner);
        sums.as_mut()
    }
}
