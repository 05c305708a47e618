//! The range file: one preallocated file, written by many threads, each in ranges of its own.
//!
//! `allocator` gives out byte numbers, and knows nothing else; `file_state` is the file itself;
//! `owned_range` has the handles that keep it, and the ranges that own bytes of it; `range` has the
//! types of users, `FileRangeMut` and `FileRange`.

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
use std::ops::Range;
use std::path::Path;

use crate::containers::range_file::file_state::FileState;
use crate::containers::range_file::owned_range::Handle;
use crate::error::Result;
use crate::io::place::Place;

/// A file of a given length that threads write at once, each in ranges of its own.
///
/// Its space is claimed when it is made, so a full disk is an error then and not later. Until
/// [`publish`](Self::publish) it has no name: half of it is never seen, and a crash leaves nothing.
///
/// It is a handle: clones name the same file. Ranges hold the file too, so they can outlive all
/// handles; what was not published is gone with the last of them.
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
/// # What is whose
///
/// A byte is in one range at most, and a range that is [frozen](FileRangeMut::freeze) is never given
/// out again. Bytes that were in the file when it was opened are never allocated, only
/// [claimed](Self::claim) by their offsets.
///
/// # Space
///
/// The file owns its space from the start, and on file systems that write in place it keeps it, until
/// something else makes a copy of a file with a name that shares its blocks: see
/// [`open`](Self::open).
///
/// # Forked children
///
/// The file belongs to the process that opened it. A child must not touch ranges, which are not
/// mapped there; calls that would change the file return [`Forked`](crate::ErrorKind::Forked).
#[derive(Clone)]
pub struct RangeFile {
    handle: Handle,
}

impl RangeFile {
    /// Creates a file of `len` bytes that will be seen at `path` once it is
    /// [published](Self::publish), and not before.
    ///
    /// The directory is opened here, so it does no harm if it is renamed meanwhile. What is at
    /// `path` now stays until then. All bytes are zero.
    ///
    /// # Errors
    ///
    /// * [`StorageFull`](crate::ErrorKind::StorageFull), [`FileTooLarge`](crate::ErrorKind::FileTooLarge): there is
    ///   no space for `len` bytes, or no file may be as long. Nothing is left of it.
    /// * [`CapacityOverflow`](crate::ErrorKind::CapacityOverflow), [`OutOfMemory`](crate::ErrorKind::OutOfMemory):
    ///   there are no addresses for as many.
    /// * [`Io`](crate::ErrorKind::Io): there is no such directory, it cannot be written to, or its file
    ///   system keeps no files without names (NFS, FAT, some FUSE):
    ///   [`create_in_place`](Self::create_in_place) works there.
    ///
    /// # Cost
    ///
    /// Eight system calls. Space is claimed and not written; on file systems that cannot do that, as
    /// many zeros are written.
    pub fn create(path: impl AsRef<Path>, len: u64) -> Result<Self> {
        let place = Place::new("create", path.as_ref())?;
        let file = place.create_linkable()?;
        Ok(Self::of(FileState::of_new(place, file, len, false)?))
    }

    fn of(file_state: FileState) -> Self {
        let handle = Handle::new(file_state);
        Self { handle }
    }

    /// Gives out a range of `len` bytes, rounded up to [`ALIGNMENT`], that is free. It starts at a
    /// multiple of that.
    ///
    /// Where the file ends before, the range does too, but it is never shorter than `len`. `None`
    /// where no such range is left, and of no bytes.
    ///
    /// Where several threads are about to find that nothing is left for them, one that asks for less
    /// may be told so as well, although it would fit. Threads that all ask for the same length are
    /// not concerned.
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = std::env::temp_dir().join("outcore-doc-allocate");
    /// let file = outcore::RangeFile::create(path, 10_000)?;
    /// assert_eq!(file.allocate(1).map(|range| range.len()), Some(4096));
    /// assert!(file.allocate(u64::MAX).is_none());
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// One atomic addition, for any number of threads; no lock, no memory, no system call. A lock
    /// and a look through a list for more than 1 MiB, and when the end has been reached once and
    /// what was given back is used.
    #[inline]
    pub fn allocate(&self, len: u64) -> Option<FileRangeMut> {
        self.handle.allocate(len).map(FileRangeMut::of)
    }

    /// Gives out just this range: for a download that goes on where it stopped.
    ///
    /// Any offsets will do. It is also the only way to bytes that were in the file when it was
    /// [opened](Self::open).
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = std::env::temp_dir().join("outcore-doc-claim");
    /// let file = outcore::RangeFile::create(path, 10_000)?;
    /// let range = file.claim(5000..10_000)?;
    /// assert!(file.claim(9999..10_000).is_err());
    /// assert_eq!(file.remaining(), 5000);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// * [`RangesInUse`](crate::ErrorKind::RangesInUse): some of it was given out, or written, before.
    /// * [`OutOfBounds`](crate::ErrorKind::OutOfBounds): it is not in the file.
    ///
    /// # Cost
    ///
    /// A lock.
    pub fn claim(&self, range: Range<u64>) -> Result<FileRangeMut> {
        self.handle.claim(range).map(FileRangeMut::of)
    }

    /// Makes the file `len` bytes long; does nothing where it is as long. Ranges may be out, and
    /// stay where they are. New bytes are zero.
    ///
    /// # Errors
    ///
    /// The file is as before after each of them.
    ///
    /// * [`StorageFull`](crate::ErrorKind::StorageFull), [`FileTooLarge`](crate::ErrorKind::FileTooLarge): as in
    ///   [`create`](Self::create).
    /// * [`CapacityOverflow`](crate::ErrorKind::CapacityOverflow): the addresses that were reserved do not
    ///   suffice. They do for 1 TiB at least, unless addresses are limited or many files are open.
    /// * [`Forked`](crate::ErrorKind::Forked), [`Io`](crate::ErrorKind::Io).
    ///
    /// # Cost
    ///
    /// One `fallocate`.
    pub fn grow(&self, len: u64) -> Result<()> {
        self.handle.file_state().grow(len)
    }

    /// Returns the length of the file in bytes.
    pub fn len(&self) -> u64 {
        self.handle.file_state().allocator.len()
    }

    /// Returns whether the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many bytes are not given out and not written.
    ///
    /// Bytes that were in the file when it was opened do not count. Pieces between two ranges that
    /// hold no whole block can be claimed, and not allocated.
    pub fn remaining(&self) -> u64 {
        self.handle.file_state().allocator.remaining()
    }

    /// Returns the path that the file has or will have, as it was given.
    pub fn path(&self) -> &Path {
        self.handle.file_state().path()
    }

    /// Returns which ranges were [frozen](FileRangeMut::freeze) until now.
    ///
    /// To go on after a crash, take the record first, then [`sync_all`](Self::sync_all), then keep
    /// the record: all that it names is on the device then. See [`Written`].
    pub fn written(&self) -> Written {
        Written::of(self.handle.file_state().allocator.written())
    }

    /// Waits until everything that was written is on the device.
    ///
    /// # Errors
    ///
    /// Those of [`FileRange::flush`].
    ///
    /// # Cost
    ///
    /// One `fsync`.
    pub fn sync_all(&self) -> Result<()> {
        self.handle.file_state().sync_all()
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
