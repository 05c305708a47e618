//! The contract of the system, as traits: what a backend has to provide, and what the fault layer
//! has to pass on. Each function makes one system call, where the system has one.
//!
//! Nothing here retries, loops or keeps accounts: the floor above does. Offsets and lengths of whole
//! pages are multiples of [`page_size`](crate::sys::page_size).
//!
//! A backend that lacks a function does not compile, and neither does a fault layer that omits one.
//! Each trait is for one exported type, which also has the functions as inherent ones: the floors
//! above call `file.read_at(..)` and need not import a trait. No call is dynamic.
#![expect(
    unsafe_code,
    reason = "declares calls that are unsafe, and passes them on; see docs/safety.md"
)]
#![expect(
    clippy::same_name_method,
    reason = "the functions of a type are those of its trait"
)]

use std::ffi::{CStr, OsStr};
use std::fmt::Debug;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;

use crate::sys::{
    Access, Alignment, Dir, Facts, File, FileSystem, Finished, Hint, Read, Ring, Shared, Space,
};

/// Declares a trait, and gives its functions to a type directly, or as free functions to `mod`.
macro_rules! contract {
    (
        $(#[$about:meta])*
        trait $calls:ident for $exported:ident { $($body:tt)* }
    ) => {
        $(#[$about])*
        pub(crate) trait $calls: Debug + Sized { $($body)* }
        forward! { $calls $exported $($body)* }
    };
}

/// Passes functions on to those of a trait, one after the other: with `&self`, `&mut self`, `self`,
/// unsafe, and without a receiver.
macro_rules! forward {
    ($calls:ident $exported:ident) => {};
    ($calls:ident $exported:ident $(#[$about:meta])* type $name:ident; $($rest:tt)*) => {
        forward! { $calls $exported $($rest)* }
    };
    (
        $calls:ident $exported:ident $(#[$about:meta])*
        fn $name:ident(&self $(, $argument:ident: $type:ty)*) $(-> $result:ty)?; $($rest:tt)*
    ) => {
        impl $exported {
            $(#[$about])*
            #[inline]
            pub(crate) fn $name(&self $(, $argument: $type)*) $(-> $result)? {
                $calls::$name(self $(, $argument)*)
            }
        }
        forward! { $calls $exported $($rest)* }
    };
    (
        $calls:ident $exported:ident $(#[$about:meta])*
        unsafe fn $name:ident(&self $(, $argument:ident: $type:ty)*) $(-> $result:ty)?;
        $($rest:tt)*
    ) => {
        impl $exported {
            $(#[$about])*
            #[inline]
            pub(crate) unsafe fn $name(&self $(, $argument: $type)*) $(-> $result)? {
                // SAFETY: the caller keeps the same contract.
                unsafe { $calls::$name(self $(, $argument)*) }
            }
        }
        forward! { $calls $exported $($rest)* }
    };
    (
        $calls:ident $exported:ident $(#[$about:meta])*
        fn $name:ident(&mut self $(, $argument:ident: $type:ty)*) $(-> $result:ty)?; $($rest:tt)*
    ) => {
        impl $exported {
            $(#[$about])*
            #[inline]
            pub(crate) fn $name(&mut self $(, $argument: $type)*) $(-> $result)? {
                $calls::$name(self $(, $argument)*)
            }
        }
        forward! { $calls $exported $($rest)* }
    };
    (
        $calls:ident $exported:ident $(#[$about:meta])*
        fn $name:ident(self) $(-> $result:ty)?; $($rest:tt)*
    ) => {
        impl $exported {
            $(#[$about])*
            #[inline]
            pub(crate) fn $name(self) $(-> $result)? {
                $calls::$name(self)
            }
        }
        forward! { $calls $exported $($rest)* }
    };
    // Of the system as a whole: free functions.
    (
        $calls:ident System $(#[$about:meta])*
        fn $name:ident $(<$life:lifetime>)? ($($argument:ident: $type:ty),*) $(-> $result:ty)?;
        $($rest:tt)*
    ) => {
        $(#[$about])*
        #[inline]
        pub(crate) fn $name $(<$life>)? ($($argument: $type),*) $(-> $result)? {
            <System as $calls>::$name($($argument),*)
        }
        forward! { $calls System $($rest)* }
    };
    (
        $calls:ident $exported:ident $(#[$about:meta])*
        fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?; $($rest:tt)*
    ) => {
        impl $exported {
            $(#[$about])*
            #[inline]
            pub(crate) fn $name($($argument: $type),*) $(-> $result)? {
                <Self as $calls>::$name($($argument),*)
            }
        }
        forward! { $calls $exported $($rest)* }
    };
}

pub(super) use {contract, forward};

contract! {
    /// A directory, which stays the same directory whatever happens to its path. It creates files
    /// without a name, to some of which [`link`](Self::link) can give a name later, and opens named
    /// files.
    trait DirCalls for Dir {
        type File;

        /// Opens a directory.
        fn open(path: &Path) -> io::Result<Self>;

        /// Does the same as [`open`](Self::open), and allocates nothing.
        fn open_c(path: &CStr) -> io::Result<Self>;

        /// Returns whether the file system lives in memory. Allocates nothing.
        fn is_ram_backed(&self) -> io::Result<bool>;

        /// Returns whether the directory was removed, so that its path now leads to another one.
        fn is_removed(&self) -> io::Result<bool>;

        /// Returns the number of the device that the directory is on.
        fn device(&self) -> io::Result<u64>;

        /// Returns the file system of the directory, and how full it is.
        fn file_system(&self) -> io::Result<FileSystem>;

        /// Creates an empty file that no path leads to, readable and writable by its owner only.
        /// Allocates nothing.
        fn create_unnamed(&self) -> io::Result<<Self as DirCalls>::File>;

        /// Creates an empty file without a name, to which [`link`](Self::link) can give one; with the
        /// permissions of any new file.
        fn create_linkable(&self) -> io::Result<<Self as DirCalls>::File>;

        /// Creates an empty file with a name that no file has yet.
        fn create_named(&self, name: &OsStr) -> io::Result<<Self as DirCalls>::File>;

        /// Does the same, for a file that only its owner can read and write.
        fn create_private(&self, name: &OsStr) -> io::Result<<Self as DirCalls>::File>;

        /// Returns the metadata of the file with a name; for a symbolic link, of the link.
        fn facts(&self, name: &OsStr) -> io::Result<Facts>;

        /// Fails if this process may not write to the file with this name.
        fn check_writable(&self, name: &OsStr) -> io::Result<()>;

        /// Opens the file with a name, for reading at least. Does not wait for the other end of a pipe.
        fn open_named(&self, name: &OsStr, access: Access) -> io::Result<<Self as DirCalls>::File>;

        /// Returns whether [`link`](Self::link) has a way to the file that needs no privilege.
        fn is_linkable(&self, file: &<Self as DirCalls>::File) -> io::Result<bool>;

        /// Gives a file of [`create_linkable`](Self::create_linkable) a name that no file has.
        /// Returns `false` if the name was created and leads, or may lead, to another file: then it
        /// is left alone.
        fn link(&self, file: &<Self as DirCalls>::File, name: &OsStr) -> io::Result<bool>;

        /// Renames a file, in one step, in place of the file that has the new name.
        fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()>;

        /// Removes a name.
        fn unlink(&self, name: &OsStr) -> io::Result<()>;

        /// Waits until the names in the directory are on the device.
        fn sync(&self) -> io::Result<()>;

        /// Takes the advisory lock of the directory; fails with
        /// [`WouldBlock`](io::ErrorKind::WouldBlock) while another opener has it.
        fn try_lock(&self) -> io::Result<()>;

        /// Releases the lock.
        fn unlock(&self) -> io::Result<()>;
    }
}

contract! {
    /// A file of this library. Transfers may move fewer bytes than requested, and fail with
    /// `EINTR`. A call that would exceed [`file_size_limit`](crate::sys::file_size_limit) fails with `EFBIG`; no function raises
    /// a signal.
    trait FileCalls for File {
        /// Makes [`share`](Self::share) work without a system call.
        fn shared(self) -> Self;

        /// Returns another handle of the same open file, which keeps it open.
        fn share(&self) -> io::Result<Self>;

        /// Takes over a file that a program has opened.
        fn from_std(file: std::fs::File) -> Self;

        /// Returns the device and the number of the file, which no other file has at the same time.
        fn identity(&self) -> io::Result<(u64, u64)>;

        /// Returns the metadata of the file.
        fn facts(&self) -> io::Result<Facts>;

        /// Sets the permission bits of the file.
        fn set_mode(&self, mode: u32) -> io::Result<()>;

        /// Sets the user and the group of the file, if they are given.
        fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()>;

        /// Returns whether all writes go to the end of the file.
        #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
        fn appends(&self) -> io::Result<bool>;

        /// Reads once and returns how many bytes of `buffer` are now filled; 0 at the end of the file.
        fn read_at(&self, buffer: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<usize>;

        /// Reads once and returns how many bytes of `buffer` were read; 0 at the end of the file.
        fn read_over(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

        /// Reads once from the page cache; fails with `WouldBlock` if the device would have to be
        /// read, and returns fewer bytes if some are missing.
        fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

        /// Opens the file again, for reads that bypass the page cache.
        fn open_direct(&self) -> io::Result<(Self, Alignment)>;

        /// Writes once and returns how many bytes of `bytes` were written.
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

        /// Preallocates zeroed space on disk for `len` bytes from `offset`, extending the file if
        /// necessary, so that neither a write nor a store into a mapping can fail on a full disk
        /// later. On failure, part of the space may have been allocated. Blocks that other files
        /// share stay shared: [`find_shared`](Self::find_shared) finds those, and
        /// [`unshare`](Self::unshare) replaces them.
        fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;

        /// Replaces the blocks of `len` bytes from `offset` that other files share by copies that
        /// only this file has, and waits until the bytes are in them. Changes no byte. On failure,
        /// some may still be shared.
        fn unshare(&self, offset: u64, len: u64) -> io::Result<()>;

        /// Returns which blocks of a range other files share; `Unsupported` if that is unknown.
        fn find_shared(&self, range: Range<u64>) -> io::Result<Shared>;

        /// Cuts the file off at `len`, or extends it by a hole.
        fn set_len(&self, len: u64) -> io::Result<()>;

        /// Gives the space of `len` bytes from `offset` back to the disk; they read as zero.
        fn punch(&self, offset: u64, len: u64) -> io::Result<()>;

        /// Waits until the file's data is on the device.
        fn sync_data(&self) -> io::Result<()>;

        /// Waits until the file's data and metadata are on the device.
        fn sync_all(&self) -> io::Result<()>;

        /// Gives the page cache a hint on `len` bytes from `offset`.
        fn advise(&self, offset: u64, len: u64, hint: Hint) -> io::Result<()>;

        /// Takes the advisory lock of the file; fails with
        /// [`WouldBlock`](io::ErrorKind::WouldBlock) while another opener has it. Closing the file
        /// releases it.
        fn try_lock(&self) -> io::Result<()>;

        /// Releases the lock, even if a forked child has the file open.
        fn unlock(&self) -> io::Result<()>;

        /// Returns the length in bytes of a file that was opened by name; `None` for a directory, a
        /// device or a pipe.
        fn regular_len(&self) -> io::Result<Option<u64>>;

        /// Returns the length of the file in bytes.
        #[cfg(test)]
        fn len(&self) -> io::Result<u64>;

        /// Returns the bytes that the file takes on disk.
        #[cfg(test)]
        fn disk_bytes(&self) -> io::Result<u64>;
    }
}

contract! {
    /// Reads by the kernel in the background, into memory that the ring owns until they are
    /// complete.
    ///
    /// `push` queues a read, `enter` submits it to the kernel, and `take` returns it. A ring
    /// belongs to the process that created it: in a forked child no function does anything.
    trait RingCalls for Ring {
        type File;

        /// Creates a ring for at most `depth` reads at a time. The system may refuse that at any
        /// time.
        fn new(depth: usize) -> io::Result<Self>;

        /// Queues a read of `file`; returns it if there is no room, or this is a forked child.
        fn push(&mut self, file: &<Self as RingCalls>::File, read: Read) -> Result<(), Read>;

        /// Submits the queued reads to the kernel, and waits until `wait` reads are complete and
        /// not taken, or fewer if there are not so many.
        fn enter(&mut self, wait: usize) -> io::Result<()>;

        /// Takes back one read that the kernel has not seen. From then on the ring accepts no more.
        fn take_back(&mut self) -> Option<Read>;

        /// Takes a completed read, if there is one. Makes no system call.
        fn take(&mut self) -> Option<Finished>;

        /// Returns whether the ring is as good as new: all reads were taken, and it accepts more.
        fn is_idle(&self) -> bool;
    }
}

contract! {
    /// A range of addresses that belongs to this value until it is dropped. At first no byte of it
    /// may be accessed. No call leaves a hole into which another mapping could fall. No call reads
    /// a file into memory, even if the process locks all new mappings in memory.
    ///
    /// Where the system [replaces no parts](crate::sys::replaces_parts), what one call has shown is
    /// gone for a moment when a part of it is replaced or released. So no thread uses the rest either
    /// during `commit`, `show` and `release`.
    trait SpaceCalls for Space {
        type File;

        /// Reserves `len` bytes of addresses, rounded up to whole pages, that start at a multiple of
        /// `align`, a power of two.
        fn reserve(len: usize, align: usize) -> io::Result<Self>;

        /// Returns the address of the first byte.
        fn base(&self) -> NonNull<u8>;

        /// Returns the number of reserved bytes, a multiple of the page size.
        fn len(&self) -> usize;

        /// Makes the pages that forked children do not inherit stay empty there; returns whether
        /// that succeeded. There is room for a few spaces only. Allocates nothing.
        fn clear_in_children(&self) -> bool;

        /// Returns whether this process is a forked child in which the space is empty, and will
        /// stay so.
        fn is_cleared(&self) -> bool;

        /// Turns the pages of `range` into zeroed memory. Their content is lost.
        ///
        /// # Safety
        ///
        /// No reference leads into `range`, and no other thread uses it.
        unsafe fn commit(&self, range: Range<usize>) -> io::Result<()>;

        /// Makes the reserved pages of `range` accessible as zeroed memory. On failure they are
        /// unchanged.
        ///
        /// Unlike [`commit`](Self::commit) it unmaps nothing first, so that a refusal leaves no hole on
        /// any kernel.
        ///
        /// # Safety
        ///
        /// The pages of `range` were reserved or released, and not filled since.
        unsafe fn open(&self, range: Range<usize>) -> io::Result<()>;

        /// Makes all pages show `file` from its start. On failure, the space cannot be used.
        ///
        /// Bytes past the end of the file must not be accessed until the file has grown. A system that
        /// cannot show them then makes the space as long as the file is, in bytes, and may move it.
        ///
        /// # Safety
        ///
        /// No thread uses the space yet. The file's bytes are changed or cut off only in agreement
        /// with the later users of the space.
        unsafe fn show_all(
            &self, file: &<Self as SpaceCalls>::File, access: Access
        ) -> io::Result<()>;

        /// Makes the pages of `range` show `file` from `offset`. Their old content is lost; on
        /// failure they are unchanged.
        ///
        /// Bytes past the end of the file must not be accessed until the file has grown.
        ///
        /// # Safety
        ///
        /// No reference leads into `range`, and no other thread uses it. The file's bytes are changed
        /// or cut off only in agreement with the threads that use the range.
        unsafe fn show(
            &self, range: Range<usize>, file: &<Self as SpaceCalls>::File, offset: u64,
            access: Access
        ) -> io::Result<()>;

        /// Moves the memory of `from` to the pages that start `by` bytes further on, and leaves
        /// zeroed memory behind. The old content of the destination is lost.
        ///
        /// # Safety
        ///
        /// The pages of `from` are memory made by [`commit`](Self::commit) or this function, in one
        /// piece. No reference leads into either range, no other thread uses them, and they do not
        /// overlap.
        unsafe fn slide(&self, from: Range<usize>, by: usize) -> io::Result<()>;

        /// Releases the pages of `range`: no byte of it may be accessed until it is filled again.
        ///
        /// # Safety
        ///
        /// No reference leads into `range`, and no other thread uses it.
        unsafe fn release(&self, range: Range<usize>) -> io::Result<()>;

        /// Makes the pages of `range`, which show a file for writing, accessible or inaccessible.
        ///
        /// # Safety
        ///
        /// All of the range shows a file for writing. If it becomes inaccessible, no thread uses
        /// it.
        unsafe fn allow(&self, range: Range<usize>, allowed: bool) -> io::Result<()>;

        /// Keeps the pages of `range` out of forked children, which must not access them.
        fn keep_from_children(&self, range: Range<usize>) -> io::Result<()>;

        /// Gives the kernel a hint on the pages of `range`, which show a file.
        ///
        /// Every hint keeps the bytes: [`Hint::DontNeed`] only removes the pages of a file from the
        /// mapping, and they are loaded from the file again.
        fn advise(&self, range: Range<usize>, hint: Hint) -> io::Result<()>;

        /// Sets whether missing pages of `range`, which shows a file, are loaded in huge pages of
        /// [`FOLD_BYTES`](crate::sys::FOLD_BYTES).
        fn fold(&self, range: Range<usize>, folded: bool) -> io::Result<()>;

        /// Removes the pages of `range` from the mapping; they stay in the page cache.
        ///
        /// # Safety
        ///
        /// All of the range shows a file. (The bytes of plain memory would be lost.)
        unsafe fn unmap_pages(&self, range: Range<usize>) -> io::Result<()>;

        /// Waits until the bytes that were stored to the pages of `range`, or written to them
        /// through the file, are on the device.
        ///
        /// # Safety
        ///
        /// All of the range shows a file.
        unsafe fn sync(&self, range: Range<usize>) -> io::Result<()>;

        /// Returns how many bytes of `range` are in memory and mapped.
        fn resident_bytes(&self, range: Range<usize>) -> io::Result<u64>;
    }
}
