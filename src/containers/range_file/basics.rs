//! Creating a range file, giving out its ranges, and its length.

use std::ops::Range;
use std::path::Path;

use crate::containers::range_file::file_state::FileState;
use crate::containers::range_file::{FileRangeMut, RangeFile, Written};
use crate::error::Result;
use crate::io::cache::CachePolicy;
use crate::io::place::Place;

impl RangeFile {
    /// Creates a file of `len` bytes that becomes visible at `path` when it is
    /// [published](Self::publish), and not before.
    ///
    /// The directory is opened here, so it may be renamed later. A file that is at `path` now stays
    /// there until then. All bytes are zero.
    ///
    /// # Errors
    ///
    /// * [`StorageFull`](crate::ErrorKind::StorageFull),
    ///   [`FileTooLarge`](crate::ErrorKind::FileTooLarge): there is no space for `len` bytes, or no
    ///   file may be as long. Nothing is left of it.
    /// * [`CapacityOverflow`](crate::ErrorKind::CapacityOverflow),
    ///   [`OutOfMemory`](crate::ErrorKind::OutOfMemory): there are not enough addresses.
    /// * [`Io`](crate::ErrorKind::Io): there is no such directory, it cannot be written to, or its
    ///   file system has no files without names (NFS, FAT, some FUSE):
    ///   [`create_in_place`](Self::create_in_place) works there.
    ///
    /// # Cost
    ///
    /// Eight system calls. Space is preallocated and not written; file systems that cannot
    /// preallocate get as many zeros written.
    pub fn create(path: impl AsRef<Path>, len: u64) -> Result<Self> {
        let place = Place::new("create", path.as_ref())?;
        let file = place.create_linkable()?;
        Ok(Self::of(FileState::of_new(place, file, len, false)?))
    }

    /// Gives out a free range of `len` bytes, rounded up to
    /// [`ALIGNMENT`](crate::range_file::ALIGNMENT). It starts at a multiple of that.
    ///
    /// At the end of the file the range may be shorter, but never shorter than `len`. Returns
    /// `None` if no such range is left, and for 0 bytes.
    ///
    /// While several threads are about to find that nothing is left for them, a thread that
    /// requests less may get `None` too, although its range would fit. This does not concern
    /// threads that all request the same length.
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
    /// and a search through a list for more than 1 MiB, and once the end was reached and returned
    /// ranges are used again.
    #[inline]
    pub fn allocate(&self, len: u64) -> Option<FileRangeMut> {
        self.handle.allocate(len).map(FileRangeMut::of)
    }

    /// Gives out exactly this range: for example for a download that is resumed.
    ///
    /// Any offsets are accepted. It is also the only way to bytes that were in the file when it was
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
    /// * [`RangesInUse`](crate::ErrorKind::RangesInUse): part of it is given out or written
    ///   already.
    /// * [`OutOfBounds`](crate::ErrorKind::OutOfBounds): it is not inside the file.
    ///
    /// # Cost
    ///
    /// A lock.
    pub fn claim(&self, range: Range<u64>) -> Result<FileRangeMut> {
        self.handle.claim(range).map(FileRangeMut::of)
    }

    /// Makes the file `len` bytes long; does nothing if it is as long already. Existing ranges stay
    /// valid and where they are. New bytes are zero.
    ///
    /// # Errors
    ///
    /// The file is unchanged after each of them.
    ///
    /// * [`StorageFull`](crate::ErrorKind::StorageFull),
    ///   [`FileTooLarge`](crate::ErrorKind::FileTooLarge): as in [`create`](Self::create).
    /// * [`CapacityOverflow`](crate::ErrorKind::CapacityOverflow): the reserved addresses do not
    ///   suffice. They do for at least 1 TiB, unless addresses are limited or many files are open.
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

    /// Returns the number of bytes that are neither given out nor written.
    ///
    /// Bytes that were in the file when it was opened do not count. Gaps between two ranges that
    /// contain no whole block can be claimed, and not allocated.
    pub fn remaining(&self) -> u64 {
        self.handle.file_state().allocator.remaining()
    }

    /// Sets what stays in the page cache of the bytes that are
    /// [written](FileRangeMut::write_all_at) from now on; [`CachePolicy::Auto`] if this is not called.
    /// Bytes that are stored through slices stay in any case, until the kernel needs the memory.
    pub fn set_cache_policy(&self, policy: CachePolicy) {
        self.handle.file_state().set_cache_policy(policy);
    }

    /// Returns the path that the file has or will get, as it was given.
    pub fn path(&self) -> &Path {
        self.handle.file_state().path()
    }

    /// Returns the ranges that were [frozen](FileRangeMut::freeze) until now.
    ///
    /// To resume after a crash, take the record first, then call [`sync_all`](Self::sync_all), then
    /// store the record: all ranges that it names are on the device then. See [`Written`].
    pub fn written(&self) -> Written {
        Written::of(self.handle.file_state().allocator.written())
    }

    /// Waits until everything that was written is on the device.
    ///
    /// # Errors
    ///
    /// Those of [`FileRange::flush`](crate::FileRange::flush).
    ///
    /// # Cost
    ///
    /// One `fsync`.
    pub fn sync_all(&self) -> Result<()> {
        self.handle.file_state().sync_all()
    }
}
