//! The data of a sealed file in memory, without a copy.
#![expect(
    unsafe_code,
    reason = "borrows a file that others can change; see docs/safety.md"
)]

use crate::bug::bug;
use crate::error::{ErrorKind, Result};
use crate::format::DATA_START;
use crate::format::read::Sealed;
use crate::mapping::view::View;

/// The data of a sealed file as they are, nothing verified.
pub(crate) struct MappedData {
    /// # Invariants
    ///
    /// 1. The view shows `data_bytes` bytes of the file from [`DATA_START`], the last of which was read
    ///    when the map was made.
    /// 2. Nothing changes or shortens the file while the map lives: the duty of the caller of `map`.
    view: View,
    data_bytes: usize,
}

impl Sealed {
    /// Maps the data.
    ///
    /// # Safety
    ///
    /// While the map lives, no process writes to the file or shortens it.
    pub(crate) unsafe fn map(&self) -> Result<MappedData> {
        let Some(local) = self.local() else {
            let reason = "only files of this machine can be mapped";
            return Err(self.refused(ErrorKind::Io, reason));
        };
        let too_long = || {
            let reason = "it is longer than the address space";
            self.refused(ErrorKind::OutOfMemory, reason)
        };
        let data_bytes = self.description().data_bytes;
        let end = usize::try_from(data_bytes.saturating_add(DATA_START));
        let end = end.map_err(|_long| too_long())?;
        let data_bytes = usize::try_from(data_bytes).map_err(|_long| too_long())?;
        let view = View::new(local.file(), end);
        let view = view.map_err(|refused| refused.of_file("map", local.path()))?;
        // Another program may have shortened the file since it was opened; from now on the caller
        // vouches for it.
        let all = self.description().data_bytes;
        if let Some(before) = all.checked_sub(1) {
            self.append(before..all, &mut Vec::new())?;
        }
        Ok(MappedData { view, data_bytes })
    }
}

impl MappedData {
    /// Returns the data. They begin at an address that is a multiple of 4096, and stay the same as
    /// long as the map lives.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the bytes are in the file, and stay as they are (invariants 1 and 2).
        let bytes = unsafe { self.view.bytes(DATA_START, self.data_bytes) };
        bytes.unwrap_or_else(|| bug!("{} bytes of a map are not in it", self.data_bytes))
    }
}
