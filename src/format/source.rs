//! The source of a sealed file: where bytes are read from, and whether what arrives is what was asked
//! for.

use std::io;
use std::mem;
use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::format::description::Misread;
use crate::format::ranges::{LocalFile, ReadRanges};
use crate::read::ReadOptions;

/// Where the bytes come from.
pub(super) enum Source {
    Local(LocalFile),
    Other(Box<dyn ReadRanges>),
}

impl Source {
    pub(super) fn ranges(&self) -> &dyn ReadRanges {
        match self {
            Self::Local(file) => file,
            Self::Other(source) => &**source,
        }
    }

    /// Returns the bytes of one range.
    pub(super) fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        if range.is_empty() {
            return Ok(all);
        }
        let len = usize::try_from(range.end.saturating_sub(range.start));
        let reserved = len.map(|len| all.try_reserve_exact(len));
        if !matches!(reserved, Ok(Ok(()))) {
            return Err(self.no_memory());
        }
        self.read_all(&ReadOptions::new(), &[range], &mut |_number, bytes| {
            all.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(all)
    }

    /// Reads ranges, and checks that each is delivered once and whole. The first error of `deliver`
    /// is returned.
    ///
    /// The options are for files of this machine.
    pub(super) fn read_all(
        &self,
        options: &ReadOptions,
        ranges: &[Range<u64>],
        deliver: &mut dyn FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut delivered = vec![false; ranges.len()];
        let mut failure = None;
        let mut take = |number: usize, bytes: &[u8]| {
            let place = delivered.get_mut(number).zip(ranges.get(number));
            let is_right = place.is_some_and(|(done, range)| {
                let is_new = !mem::replace(done, true);
                is_new && bytes.len() as u64 == range.end.saturating_sub(range.start)
            });
            if failure.is_some() {
                return;
            }
            if !is_right {
                failure = Some(self.misdelivered());
            } else if let Err(refused) = deliver(number, bytes) {
                failure = Some(refused);
            }
        };
        let read = match self {
            Self::Local(file) => file.read_ranges_with(options, ranges, &mut take),
            Self::Other(source) => source.read_ranges(ranges, &mut take),
        };
        if let Some(failure) = failure {
            return Err(failure);
        }
        read.map_err(Error::from)?;
        if delivered.contains(&false) {
            return Err(self.misdelivered());
        }
        Ok(())
    }

    /// Tells the source that what it delivered for a range is wrong.
    #[cold]
    pub(super) fn forget(&self, range: Range<u64>) {
        if let Self::Other(source) = self {
            source.forget(range);
        }
    }

    #[cold]
    fn misdelivered(&self) -> Error {
        let answer = io::Error::other("the source did not deliver what was asked for");
        self.located(Error::io("read", answer))
    }

    fn located(&self, error: Error) -> Error {
        match self {
            Self::Local(file) => error.at(file.path()),
            Self::Other(_) => error,
        }
    }

    #[cold]
    pub(super) fn refused(&self, kind: ErrorKind, reason: impl Into<String>) -> Error {
        self.located(Error::refused(kind, "read", reason.into()))
    }

    #[cold]
    pub(super) fn no_memory(&self) -> Error {
        let reason = "there is no memory for its checksums";
        self.refused(ErrorKind::OutOfMemory, reason)
    }

    #[cold]
    pub(super) fn corrupt(&self, reason: &str) -> Error {
        self.refused(ErrorKind::Corrupt, reason)
    }

    #[cold]
    pub(super) fn misread(&self, misread: Misread) -> Error {
        match misread {
            Misread::Damaged => {
                self.corrupt("it is no sealed file, or both copies of its description are damaged")
            }
            Misread::Version(version) => {
                let reason = format!("it has version {version} of the format, and 1 is known here");
                self.refused(ErrorKind::UnknownVersion, reason)
            }
            Misread::Inconsistent(what) => self.corrupt(&format!(
                "its description contradicts itself or the file: {what}"
            )),
        }
    }
}
