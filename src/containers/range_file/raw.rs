//! Unsafe functions: files that others can name, and bytes that no range protects.
#![expect(
    unsafe_code,
    reason = "declares unsafe functions and makes slices for their callers; see docs/safety.md"
)]

use std::ops::Range;
use std::path::Path;
use std::slice;

use crate::containers::range_file::RangeFile;
use crate::containers::range_file::file_state::FileState;
use crate::error::Result;
use crate::exact::{difference, narrow};
use crate::io::place::Place;

impl RangeFile {
    /// Creates a file of `len` bytes that is visible at `path` while it is written, and that stays
    /// there whatever happens. There must be no file at `path`.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::range_file::ALIGNMENT;
    /// use outcore::RangeFile;
    ///
    /// let path = std::env::temp_dir().join(format!("outcore-doc-{}", std::process::id()));
    /// // SAFETY: the name is known here only.
    /// let file = unsafe { RangeFile::create_in_place(&path, 4 * ALIGNMENT) }?;
    /// file.claim(10..15)?.copy_from_slice(b"hello");
    /// assert_eq!(std::fs::read(&path)?[10..15], *b"hello");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create); [`Io`](crate::ErrorKind::Io) if a file is at `path`, or
    /// its directory cannot be synced. Nothing is left behind.
    ///
    /// # Safety
    ///
    /// The duties of the caller are those of [`open`](Self::open).
    ///
    /// # Cost
    ///
    /// Twelve system calls, two of which wait for the device, so that flushed bytes are found again
    /// after a power cut.
    pub unsafe fn create_in_place(path: impl AsRef<Path>, len: u64) -> Result<Self> {
        let place = Place::new("create", path.as_ref())?;
        let file = place.create_named()?;
        Ok(Self::of(FileState::of_new(place, file, len, true)?))
    }

    /// Opens the file at `path` for writing.
    ///
    /// No range owns its bytes at first: none of them can be [allocated](Self::allocate), so none
    /// is overwritten by accident. [`claim`](Self::claim) gives out a range by its offsets;
    /// [`grow`](Self::grow) makes room that can be allocated.
    ///
    /// The file gets its own space for all of its bytes, so that no store can fail on a full disk:
    /// holes are filled, and blocks that it shares with other files are copied. `cp` and `fs::copy`
    /// make files share blocks on XFS and btrfs, and so does an overlayfs that copies a file up.
    /// The guarantee after that:
    ///
    /// * XFS, ext4, tmpfs and all others that write in place: no store raises a signal.
    /// * btrfs: the same for files that are not copied on write (`chattr +C`); no guarantee for
    ///   others, whether they share blocks or not. ZFS, bcachefs: no guarantee.
    /// * Copies of the file that others make while it is open, or of a file created by
    ///   [`create_in_place`](Self::create_in_place), share its blocks again where the file system
    ///   can: then there is no guarantee on a full disk. `cp --reflink=never` makes copies that
    ///   share nothing.
    ///
    /// The file has an exclusive lock (`flock`) as long as it is open.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{ErrorKind, RangeFile};
    ///
    /// let path = std::env::temp_dir().join(format!("outcore-doc-open-{}", std::process::id()));
    /// std::fs::write(&path, "hello world")?;
    /// // SAFETY: the name is known here only.
    /// let file = unsafe { RangeFile::open(&path) }?;
    /// assert_eq!((file.len(), file.remaining()), (11, 0));
    /// file.claim(0..5)?.copy_from_slice(b"HELLO");
    /// // SAFETY: as above.
    /// let again = unsafe { RangeFile::open(&path) };
    /// assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyOpen);
    /// assert_eq!(std::fs::read(&path)?, b"HELLO world");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The bytes of the file are unchanged after each of them.
    ///
    /// * [`AlreadyOpen`](crate::ErrorKind::AlreadyOpen): it is open as a range file, here or in
    ///   another process, or another program has locked it.
    /// * [`StorageFull`](crate::ErrorKind::StorageFull): there is no space for its holes, or for
    ///   copies of the blocks that it shares.
    /// * [`FileTooLarge`](crate::ErrorKind::FileTooLarge): this process may not write files as
    ///   long.
    /// * [`Io`](crate::ErrorKind::Io): it is no regular file or cannot be opened for writing, or
    ///   its file system cannot preallocate space.
    ///
    /// # Safety
    ///
    /// As long as a handle or a range of the file lives, nothing else, in this process or in
    /// another, makes the file shorter, punches holes into it, or changes bytes of it that are in a
    /// range. Others may read it, and see stores at once.
    ///
    /// # Cost
    ///
    /// Eleven system calls; more if holes have to be filled. Shared blocks are read and written,
    /// which waits for the device.
    pub unsafe fn open(path: impl AsRef<Path>) -> Result<Self> {
        let place = Place::new("open", path.as_ref())?;
        let (file, len) = place.open()?;
        // SAFETY: the caller keeps the same contract.
        Ok(Self::of(unsafe {
            FileState::of_existing(place, file, len)
        }?))
    }

    /// Returns bytes of the file for writing, no matter which ranges they are in.
    ///
    /// For programs that prove themselves that ranges do not overlap. It neither checks nor changes
    /// which bytes are given out.
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = std::env::temp_dir().join("outcore-doc-unchecked");
    /// let file = outcore::RangeFile::create(path, 1024)?;
    /// std::thread::scope(|scope| {
    ///     // SAFETY: the halves do not overlap, and no range has any of them.
    ///     scope.spawn(|| unsafe { file.slice_mut_unchecked(0..512) }.fill(1));
    ///     // SAFETY: as above.
    ///     scope.spawn(|| unsafe { file.slice_mut_unchecked(512..1024) }.fill(2));
    /// });
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `range` is not in the file.
    ///
    /// # Safety
    ///
    /// As long as the slice lives, nothing else reads or writes these bytes, neither through a
    /// range, nor through another slice or [a pointer](Self::as_mut_ptr). No call of
    /// [`publish`](Self::publish) has failed for this file.
    #[expect(
        clippy::mut_from_ref,
        reason = "the caller vouches for all other users of the bytes"
    )]
    #[track_caller]
    pub unsafe fn slice_mut_unchecked(&self, range: Range<u64>) -> &mut [u8] {
        let (len, Range { start, end }) = (self.len(), range);
        assert!(
            start <= end && end <= len,
            "{start}..{end} is no range of {len} bytes"
        );
        // Bytes of the file can be addressed.
        let count = narrow(difference(end, start));
        let at = self.as_mut_ptr().wrapping_add(narrow(start));
        // SAFETY: the bytes are in the file, which is mapped from its first byte as long as the
        // handle lives, and the caller vouches for all other code.
        unsafe { slice::from_raw_parts_mut(at, count) }
    }

    /// Returns the address of the first byte. The file is mapped in one piece.
    ///
    /// The pointer is valid for [`len`](Self::len) bytes, as long as a handle or a range lives and
    /// until the file is published. Its users have the duties of the callers of
    /// [`slice_mut_unchecked`](Self::slice_mut_unchecked).
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.handle.file_state().base().as_ptr()
    }
}
