//! The scratch file of an object or an operation: extents, which are freed as they are consumed.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::bug::bug;
use crate::error::{Error, ErrorKind, Result};
use crate::exact::sum;
use crate::io::dir::ScratchDir;
use crate::io::scratch::ScratchFile;
use crate::sys;
use crate::sys::Hint;

/// Bytes that are written at once.
const WRITE_BYTES: usize = 256 << 10;

/// A file without a name, created with the first extent.
#[derive(Debug)]
pub(crate) struct ExtentFile {
    dir: Option<ScratchDir>,
    file: OnceLock<ScratchFile>,
    /// The length of the file.
    end: Mutex<u64>,
}

/// A part of the file, in whole pages.
pub(crate) type Extent = Range<u64>;

impl ExtentFile {
    pub(crate) fn new(dir: Option<ScratchDir>) -> Self {
        Self {
            dir,
            file: OnceLock::new(),
            end: Mutex::new(0),
        }
    }

    /// Preallocates at least `len` bytes.
    ///
    /// # Errors
    ///
    /// [`StorageFull`](ErrorKind::StorageFull) and similar; nothing has changed.
    pub(crate) fn claim(&self, len: u64) -> Result<Extent> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let file = if let Some(file) = self.file.get() {
            file
        } else {
            let dir = match &self.dir {
                Some(dir) => dir.clone(),
                None => ScratchDir::from_env()?,
            };
            let made = ScratchFile::create(&dir);
            let made = made.map_err(|refused| dir.error(refused))?;
            self.file.get_or_init(|| made)
        };
        let len = len.max(1).checked_next_multiple_of(sys::page_size() as u64);
        let new_end = len.and_then(|len| end.checked_add(len)).ok_or_else(|| {
            let reason = "the size passes what a file can have";
            Error::refused(ErrorKind::FileTooLarge, "put data aside", reason)
        })?;
        let extended = file.grow(*end, [new_end]);
        extended.map_err(|refused| file.error(refused))?;
        let extent = *end..new_end;
        *end = new_end;
        Ok(extent)
    }

    /// Returns the preallocated bytes.
    #[cfg(feature = "serde")]
    pub(crate) fn claimed_bytes(&self) -> u64 {
        self.file.get().map_or(0, |file| file.claimed_bytes())
    }

    /// Frees an extent, or whole pages at its start or end. If that is refused, they are freed with
    /// the file.
    pub(crate) fn give_back(&self, extent: Extent) {
        if let (Some(file), Some(len @ 1..)) =
            (self.file.get(), extent.end.checked_sub(extent.start))
        {
            let _given = file.give_back_part(extent.start, len);
        }
    }

    /// Writes to a preallocated part.
    pub(crate) fn write(&self, bytes: &[u8], mut offset: u64) -> Result<()> {
        let file = self.file();
        for piece in bytes.chunks(WRITE_BYTES) {
            let written = file.write_all_at(piece, offset);
            written.map_err(|refused| file.error(refused))?;
            offset = sum(offset, piece.len() as u64);
        }
        Ok(())
    }

    /// Reads from a written part.
    pub(crate) fn read(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        let file = self.file();
        let read = file.read_over(bytes, offset);
        read.map_err(|refused| file.error(refused))
    }

    /// Fills `target` from the file.
    pub(crate) fn read_uninit(&self, target: &mut [MaybeUninit<u8>], offset: u64) -> Result<()> {
        let file = self.file();
        let read = file.read_exact_at(target, offset);
        read.map_err(|refused| file.error(refused))
    }

    /// Starts to read; a hint.
    pub(crate) fn will_need(&self, part: Range<u64>) {
        let len = part.end.saturating_sub(part.start);
        if let (1.., Some(file)) = (len, self.file.get()) {
            let _hint = file.advise(part.start, len, Hint::WillNeed);
        }
    }

    /// Returns the error of a block whose content has changed.
    #[cold]
    pub(crate) fn damaged(&self, what: &str) -> Error {
        let reason = format!("{what} is not what was written");
        let error = Error::refused(ErrorKind::Io, "read a file in", reason);
        match self.file.get().and_then(ScratchFile::dir) {
            Some(dir) => error.at(dir.path()),
            None => error,
        }
    }

    /// Returns the file, which there is once an extent is.
    fn file(&self) -> &ScratchFile {
        let file = self.file.get();
        file.unwrap_or_else(|| bug!("an extent of no file"))
    }

    /// Changes a byte of the file, like a faulty device.
    #[cfg(test)]
    pub(crate) fn damage(&self, offset: u64) {
        let mut byte = [0];
        self.read(&mut byte, offset).unwrap();
        self.write(&[byte[0] ^ 1], offset).unwrap();
    }
}
