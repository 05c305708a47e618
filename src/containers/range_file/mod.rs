//! The range file: one preallocated file that many threads write, each its own ranges.
//!
//! `basics` creates files and gives out ranges; `allocator` gives out byte numbers, and knows
//! nothing else; `file_state` is the file itself; `owned_range` has the handles that keep the file
//! open, and the ranges that own bytes of it; `range` has the public types `FileRangeMut` and
//! `FileRange`.

// First, since rustdoc lists the methods of a type in the order of these modules.
mod basics;

mod align;
mod allocator;
#[cfg(test)]
#[cfg(not(any(loom, shuttle)))]
mod faults;
mod file_state;
#[cfg(test)]
#[cfg(loom)]
mod loom;
mod owned_range;
mod publish;
mod range;
mod range_set;
mod raw;
#[cfg(test)]
#[cfg(shuttle)]
mod shuttle;
mod sync;
mod written;

pub use self::align::{ALIGNMENT, align_down, align_up};
pub use self::publish::PublishError;
pub use self::range::{FileRange, FileRangeMut};
pub use self::written::Written;

use std::fmt;

use crate::containers::range_file::file_state::FileState;
use crate::containers::range_file::owned_range::Handle;

/// A file of a given length that threads write at the same time, each its own ranges.
///
/// Its space is preallocated when it is created, so a full disk is an error then and not later.
/// Until [`publish`](Self::publish) it has no name: an incomplete file is never visible, and a
/// crash leaves nothing.
///
/// It is a handle: clones name the same file. Ranges hold the file too, so they can outlive all
/// handles. An unpublished file is deleted with the last of them.
///
/// # Examples
///
/// ```
/// use outcore::range_file::ALIGNMENT;
/// use outcore::RangeFile;
///
/// let path = std::env::temp_dir().join("outcore-doc-file");
/// let file = RangeFile::create(&path, 64 * ALIGNMENT)?;
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             while let Some(mut range) = file.allocate(ALIGNMENT) {
///                 let number = (range.start() / ALIGNMENT) as u8;
///                 range.fill(number);
///                 range.freeze();
///             }
///         });
///     }
/// });
/// file.publish()?;
/// assert_eq!(std::fs::read(&path)?[5 * 4096], 5);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Which constructor
///
/// | | for | while it is written |
/// |---|---|---|
/// | [`create`](Self::create) | files that are whole when they appear | it has no name |
/// | [`create_in_place`](Self::create_in_place) | files that are seen while they fill, and goes on after a crash | others can open it: `unsafe` |
/// | [`open`](Self::open) | files that are there | the same |
///
/// # Ownership of bytes
///
/// A byte is in at most one range, and a [frozen](FileRangeMut::freeze) range is never given out
/// again. Bytes that were in the file when it was opened are never allocated, only
/// [claimed](Self::claim) by their offsets.
///
/// # Space
///
/// The file owns its space from the start, and keeps it on file systems that write in place, unless
/// another program makes a copy that shares the blocks of a named file: see [`open`](Self::open).
///
/// # Forked children
///
/// The file belongs to the process that opened it. A child must not access ranges, which are not
/// mapped there; calls that would change the file return [`Forked`](crate::ErrorKind::Forked).
#[derive(Clone)]
pub struct RangeFile {
    handle: Handle,
}

impl RangeFile {
    fn of(file_state: FileState) -> Self {
        let handle = Handle::new(file_state);
        Self { handle }
    }
}

impl fmt::Debug for RangeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeFile")
            .field("path", &self.path())
            .field("len", &self.len())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
