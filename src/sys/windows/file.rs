//! A file of this library.
#![expect(
    unsafe_code,
    reason = "calls for which std has no function; see docs/safety.md"
)]

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::windows::fs::{FileExt, MetadataExt};
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle};
use std::ptr;
use std::sync::Arc;

use windows_sys::Win32::Foundation::{
    ERROR_HANDLE_EOF, ERROR_IO_PENDING, ERROR_LOCK_VIOLATION, ERROR_NOT_SUPPORTED,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ATTRIBUTE_COMPRESSED, FILE_ATTRIBUTE_DEVICE,
    FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_READONLY, FILE_ATTRIBUTE_REPARSE_POINT,
    FILE_ATTRIBUTE_SPARSE_FILE, GetFileInformationByHandle, LOCKFILE_EXCLUSIVE_LOCK,
    LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, ReadFile, UnlockFileEx,
};
use windows_sys::Win32::System::IO::{OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0};

use crate::sys::contract::FileCalls;
use crate::sys::windows::{answered, is, last_answer, with_kind};
use crate::sys::{Alignment, Facts, Hint, Shared};

/// An open file, closed when its last handle is dropped.
#[derive(Debug)]
pub(crate) struct File(Arc<fs::File>);

impl AsHandle for File {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}

impl File {
    pub(super) fn of(file: fs::File) -> Self {
        Self(Arc::new(file))
    }

    /// Returns whether it is the file with these numbers.
    pub(super) fn is(&self, numbers: (u64, u64)) -> bool {
        identity_of(&self.0).is_ok_and(|ours| ours == numbers)
    }

    /// Returns another handle of the file, for a mapping.
    pub(super) fn kept(&self) -> Arc<fs::File> {
        Arc::clone(&self.0)
    }

    /// Reads once to `to`, which has room for `len` bytes.
    ///
    /// # Safety
    ///
    /// The bytes may be written, and only the caller uses them.
    unsafe fn read(&self, to: *mut u8, len: usize, offset: u64) -> io::Result<usize> {
        let asked = u32::try_from(len).unwrap_or(u32::MAX);
        let (mut read, mut place) = (0, place(offset));
        // SAFETY: the handle waits until the bytes are read, so the caller's memory, the count and the
        // place are used during the call only.
        let done = unsafe {
            ReadFile(
                self.0.as_raw_handle(),
                to,
                asked,
                &raw mut read,
                &raw mut place,
            )
        };
        match answered(done) {
            Err(answer) if is(&answer, ERROR_HANDLE_EOF) => Ok(0),
            Err(answer) => Err(answer),
            Ok(()) => Ok(usize::try_from(read).unwrap_or(0)),
        }
    }
}

impl FileCalls for File {
    fn shared(self) -> Self {
        self
    }

    fn share(&self) -> io::Result<Self> {
        Ok(Self(Arc::clone(&self.0)))
    }

    fn from_std(file: fs::File) -> Self {
        Self::of(file)
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        identity_of(&self.0)
    }

    fn facts(&self) -> io::Result<Facts> {
        Ok(facts_of(self.0.metadata()?.file_attributes()))
    }

    /// There are no permission bits.
    fn set_mode(&self, _mode: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Owners are no numbers.
    fn set_owner(&self, _user: Option<u32>, _group: Option<u32>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Only allocators ask, and there are none.
    #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
    fn appends(&self) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read_at(&self, buffer: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<usize> {
        // SAFETY: the buffer is borrowed for the call, and bytes of any value may be in it.
        unsafe { self.read(buffer.as_mut_ptr().cast::<u8>(), buffer.len(), offset) }
    }

    fn read_over(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        // SAFETY: the buffer is borrowed for the call.
        unsafe { self.read(buffer.as_mut_ptr(), buffer.len(), offset) }
    }

    /// No call tells whether the device would have to be read.
    fn read_cached(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// A file that no other opener may share cannot be opened again.
    fn open_direct(&self) -> io::Result<(Self, Alignment)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.seek_write(bytes, offset).map_err(with_kind)
    }

    /// Lengthens the file: the system gives space to all of a file that is neither sparse nor
    /// compressed.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let facts = self.0.metadata()?;
        let has_holes = FILE_ATTRIBUTE_SPARSE_FILE | FILE_ATTRIBUTE_COMPRESSED;
        if facts.file_attributes() & has_holes != 0 {
            // Not `Unsupported`: zeros take no space in such a file.
            return Err(io::Error::from_raw_os_error(NOT_SUPPORTED));
        }
        let end = offset.saturating_add(len);
        if end > facts.file_size() {
            return FileCalls::set_len(self, end);
        }
        Ok(())
    }

    /// `ReFS` shares blocks of copies; which, no call of this floor says.
    fn unshare(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn find_shared(&self, _range: Range<u64>) -> io::Result<Shared> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Where it extends the file, it gives space to it. `ResourceBusy` where it would cut off a file
    /// that is shown anywhere.
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len).map_err(with_kind)
    }

    /// For sparse files only, none of whose bytes is preallocated.
    fn punch(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data().map_err(with_kind)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all().map_err(with_kind)
    }

    /// There are no such hints for files.
    fn advise(&self, _offset: u64, _len: u64, _hint: Hint) -> io::Result<()> {
        Ok(())
    }

    /// Locks the last byte that a file could have: others cannot read what is locked.
    fn try_lock(&self) -> io::Result<()> {
        let flags = LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY;
        let mut place = place(LOCKED_BYTE);
        // SAFETY: the handle is open while `self` is borrowed, and does not wait; the place is used
        // during the call only.
        let locked = unsafe { LockFileEx(self.0.as_raw_handle(), flags, 0, 1, 0, &raw mut place) };
        match answered(locked) {
            Err(answer) if is(&answer, ERROR_LOCK_VIOLATION) || is(&answer, ERROR_IO_PENDING) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            answer => answer,
        }
    }

    fn unlock(&self) -> io::Result<()> {
        let mut place = place(LOCKED_BYTE);
        // SAFETY: as in `try_lock`.
        answered(unsafe { UnlockFileEx(self.0.as_raw_handle(), 0, 1, 0, &raw mut place) })
    }

    fn regular_len(&self) -> io::Result<Option<u64>> {
        let facts = self.0.metadata()?;
        let is_regular = facts_of(facts.file_attributes()).is_regular;
        Ok(is_regular.then(|| facts.file_size()))
    }

    #[cfg(test)]
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.file_size())
    }

    /// The length: no file of ours is sparse.
    #[cfg(test)]
    fn disk_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.file_size())
    }
}

/// The byte that stands for the file when it is locked.
const LOCKED_BYTE: u64 = (1 << 63) - 2;

/// The system's answer to what it cannot do for this file.
const NOT_SUPPORTED: i32 = i32::from_ne_bytes(ERROR_NOT_SUPPORTED.to_ne_bytes());

/// Returns an offset in the form that the calls take.
fn place(offset: u64) -> OVERLAPPED {
    let [low, high] = [offset, offset >> 32].map(|word| word & 0xFFFF_FFFF);
    let [low, high] = [low, high].map(|word| u32::try_from(word).unwrap_or(0));
    OVERLAPPED {
        Internal: 0,
        InternalHigh: 0,
        Anonymous: OVERLAPPED_0 {
            Anonymous: OVERLAPPED_0_0 {
                Offset: low,
                OffsetHigh: high,
            },
        },
        hEvent: ptr::null_mut(),
    }
}

/// Returns the numbers of the volume and of the file on it.
pub(super) fn identity_of(file: &fs::File) -> io::Result<(u64, u64)> {
    let mut told = MaybeUninit::<BY_HANDLE_FILE_INFORMATION>::zeroed();
    // SAFETY: the handle is open while the file is borrowed; the system writes one such structure.
    let done = unsafe { GetFileInformationByHandle(file.as_raw_handle(), told.as_mut_ptr()) };
    if done == 0 {
        return Err(last_answer());
    }
    // SAFETY: it was written; and zeros are a value of each of its fields.
    let told = unsafe { told.assume_init() };
    let index = u64::from(told.nFileIndexHigh) << 32 | u64::from(told.nFileIndexLow);
    Ok((u64::from(told.dwVolumeSerialNumber), index))
}

/// Returns the metadata in the attributes of a file, as far as Windows has them.
pub(super) fn facts_of(attributes: u32) -> Facts {
    let irregular = FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_DEVICE | FILE_ATTRIBUTE_REPARSE_POINT;
    let is_read_only = attributes & FILE_ATTRIBUTE_READONLY != 0;
    Facts {
        is_regular: attributes & irregular == 0,
        mode: if is_read_only { 0o444 } else { 0o666 },
        user: 0,
        group: 0,
    }
}
