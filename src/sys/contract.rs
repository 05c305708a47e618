//! The contract of the system, as traits: what a backend has to have, and what the fault layer has to
//! pass on. One system call a function, as far as the system has one.
//!
//! Nothing here retries, loops or keeps accounts: that is the work of the floor above, so that the
//! faults reach it. Offsets and lengths of whole pages are multiples of [`SystemCalls::page_size`].
//!
//! A backend that lacks a function does not compile, and neither does a fault layer that forgets one.
//! Each trait is for one exported type, which also has its functions directly: so the floors above call
//! `file.read_at(..)` and need not import a trait. Nothing is called through a table.
#![expect(
    unsafe_code,
    reason = "declares calls that are unsafe, and passes them on; see docs/safety.md"
)]
#![expect(
    clippy::same_name_method,
    reason = "the functions of a type are those of its trait"
)]

use std::ffi::{CStr, OsStr, OsString};
use std::fmt::Debug;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;

use crate::sys::backend::System;
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

/// Passes functions on to those of a trait, one after the other: `&self`, `&mut self`, `self`, unsafe,
/// and without a value.
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
                // SAFETY: the caller keeps the contract, which is the same.
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

contract! {
    /// A directory that stays the same one whatever happens to its path. It makes files without a
    /// name, of which [`link`](Self::link) can give some a name later, and opens those that have one.
    trait DirCalls for Dir {
        type File;

        /// Opens a directory.
        fn open(path: &Path) -> io::Result<Self>;

        /// As [`open`](Self::open), and allocates nothing.
        fn open_c(path: &CStr) -> io::Result<Self>;

        /// Returns whether the file system lives in memory. Allocates nothing.
        fn is_ram_backed(&self) -> io::Result<bool>;

        /// Returns whether the directory was removed: what has its path now is another one.
        fn is_removed(&self) -> io::Result<bool>;

        /// Returns the number of the device that the directory is on.
        fn device(&self) -> io::Result<u64>;

        /// Returns what file system the directory is on, and how full that is.
        fn file_system(&self) -> io::Result<FileSystem>;

        /// Creates an empty file that no path leads to, readable and writable by its owner only.
        /// Allocates nothing.
        fn create_unnamed(&self) -> io::Result<<Self as DirCalls>::File>;

        /// Creates an empty file without a name, to which [`link`](Self::link) can give one; with the
        /// permissions of any new file.
        fn create_linkable(&self) -> io::Result<<Self as DirCalls>::File>;

        /// Creates an empty file with a name that no file has.
        fn create_named(&self, name: &OsStr) -> io::Result<<Self as DirCalls>::File>;

        /// The same, readable and writable by its owner only.
        fn create_private(&self, name: &OsStr) -> io::Result<<Self as DirCalls>::File>;

        /// Returns what the system notes about a name; of a symbolic link, about the link.
        fn facts(&self, name: &OsStr) -> io::Result<Facts>;

        /// Fails if this process may not write to the file of a name.
        fn check_writable(&self, name: &OsStr) -> io::Result<()>;

        /// Opens the file of a name, for reading and writing. Does not wait for another process that
        /// has the other end, where it is a pipe.
        fn open_named(&self, name: &OsStr) -> io::Result<<Self as DirCalls>::File>;

        /// Returns whether [`link`](Self::link) has a way to the file, which any process may go.
        fn is_linkable(&self, file: &<Self as DirCalls>::File) -> io::Result<bool>;

        /// Gives a file of [`create_linkable`](Self::create_linkable) a name that no file has. Returns
        /// `false` where the name was made and leads to another file, or may: then it is left alone.
        fn link(&self, file: &<Self as DirCalls>::File, name: &OsStr) -> io::Result<bool>;

        /// Gives the file of one name another, in place of the file that has it, in one step.
        fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()>;

        /// Takes a name away.
        fn unlink(&self, name: &OsStr) -> io::Result<()>;

        /// Waits until the names in the directory are on the device.
        fn sync(&self) -> io::Result<()>;

        /// Takes the advisory lock of the directory; fails with
        /// [`WouldBlock`](io::ErrorKind::WouldBlock) while another opener has it.
        fn try_lock(&self) -> io::Result<()>;

        /// Gives the lock back.
        fn unlock(&self) -> io::Result<()>;
    }
}

contract! {
    /// A file of ours. Transfers may move fewer bytes than asked, and fail with `EINTR`. A call that
    /// would pass [`file_size_limit`] fails with `EFBIG`; no function raises a signal.
    trait FileCalls for File {
        /// Lets [`share`](Self::share) do without a system call.
        fn shared(self) -> Self;

        /// Returns the same open file once more, which stays open on its own.
        fn share(&self) -> io::Result<Self>;

        /// Takes a file that a program has opened.
        #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
        fn from_std(file: std::fs::File) -> Self;

        /// Returns device and number of the file, which no other file has at the same time.
        fn identity(&self) -> io::Result<(u64, u64)>;

        /// Returns what the system notes about the file.
        fn facts(&self) -> io::Result<Facts>;

        /// Sets the permission bits of the file.
        fn set_mode(&self, mode: u32) -> io::Result<()>;

        /// Sets the user and the group that the file belongs to, as far as they are given.
        fn set_owner(&self, user: Option<u32>, group: Option<u32>) -> io::Result<()>;

        /// Returns whether all writes go to the end of the file.
        #[cfg(any(feature = "allocator-api2", feature = "nightly"))]
        fn appends(&self) -> io::Result<bool>;

        /// Reads once and returns how many bytes of `buffer` are now filled; 0 at the end of the file.
        fn read_at(&self, buffer: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<usize>;

        /// Reads once and returns how many bytes of `buffer` were read; 0 at the end of the file.
        fn read_over(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

        /// Reads once what is in the page cache; `WouldBlock` where the device would have to be asked,
        /// fewer bytes where some are not there.
        fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

        /// Opens the file again, for reads that go past the page cache.
        fn open_direct(&self) -> io::Result<(Self, Alignment)>;

        /// Writes once and returns how many bytes of `bytes` were taken.
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

        /// Preallocates zeroed space on disk for `len` bytes from `offset`, growing the file if need
        /// be, so that neither a write nor a store into a mapping can meet a full disk later. When it
        /// fails, part of the space may have been allocated. It leaves blocks that other files share:
        /// [`find_shared`](Self::find_shared) finds those, and [`unshare`](Self::unshare) replaces them.
        fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;

        /// Gives the file blocks of its own for those of `len` bytes from `offset` that other files
        /// share, and waits until its bytes are in them. Changes no byte. When it fails, some may still
        /// be shared.
        fn unshare(&self, offset: u64, len: u64) -> io::Result<()>;

        /// Asks which bytes of a range are in blocks that other files share. `Unsupported` where the
        /// file system does not tell.
        fn find_shared(&self, range: Range<u64>) -> io::Result<Shared>;

        /// Cuts the file off at `len`, or extends it by a hole.
        fn set_len(&self, len: u64) -> io::Result<()>;

        /// Gives the space of `len` bytes from `offset` back to the disk; they read as zero.
        fn punch(&self, offset: u64, len: u64) -> io::Result<()>;

        /// Waits until the file's data is on the device.
        fn sync_data(&self) -> io::Result<()>;

        /// Waits until the file's data and all that the system notes about it are on the device.
        fn sync_all(&self) -> io::Result<()>;

        /// Tells the page cache what to expect of `len` bytes from `offset`.
        fn advise(&self, offset: u64, len: u64, hint: Hint) -> io::Result<()>;

        /// Takes the advisory lock of the file; fails with [`WouldBlock`](io::ErrorKind::WouldBlock)
        /// while another opener has it. Closing gives it back.
        fn try_lock(&self) -> io::Result<()>;

        /// Gives the lock back, also where a forked child has the file open.
        fn unlock(&self) -> io::Result<()>;

        /// Returns the length in bytes of what was opened by a name; `None` of a directory, a device
        /// or a pipe.
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
    /// Reads that the kernel does meanwhile, into memory that the ring owns until they are complete.
    ///
    /// A read is queued by `push`, handed to the kernel by `enter`, and comes back by `take`. A ring
    /// belongs to the process that made it: in a forked child no function does anything.
    trait RingCalls for Ring {
        type File;

        /// Makes a ring for at most `depth` reads at a time. It is normal to be refused, at any time.
        fn new(depth: usize) -> io::Result<Self>;

        /// Queues a read of `file`; gives it back if there is no room, or this is a forked child.
        fn push(&mut self, file: &<Self as RingCalls>::File, read: Read) -> Result<(), Read>;

        /// Hands what is queued to the kernel, and waits until `wait` reads are complete that were not
        /// taken yet, or fewer if there are not so many.
        fn enter(&mut self, wait: usize) -> io::Result<()>;

        /// Takes back one read that the kernel has not seen. From then on the ring takes no more.
        fn take_back(&mut self) -> Option<Read>;

        /// Takes a read that is complete, if there is one. Makes no system call.
        fn take(&mut self) -> Option<Finished>;

        /// Returns whether it could be a new one: everything was taken, and it takes more.
        fn is_idle(&self) -> bool;
    }
}

contract! {
    /// A range of addresses that is ours until the value is dropped. At first no byte of it may be
    /// touched. No call leaves a hole into which a mapping of someone else could fall. None reads a file
    /// into memory, also where the process has all new mappings locked.
    trait SpaceCalls for Space {
        type File;

        /// Reserves `len` bytes of addresses, rounded up to whole pages, that start at a multiple of
        /// `align`, a power of two.
        fn reserve(len: usize, align: usize) -> io::Result<Self>;

        /// Returns the address of the first byte.
        fn base(&self) -> NonNull<u8>;

        /// Returns the number of reserved bytes, a multiple of the page size.
        fn len(&self) -> usize;

        /// Keeps the pages that forked children do not inherit clear there, and returns whether that
        /// will be so. There is room for a few spaces only. Allocates nothing.
        fn clear_in_children(&self) -> bool;

        /// Returns whether this process is a forked child in which the space leads to nothing, and
        /// always will.
        fn is_cleared(&self) -> bool;

        /// Turns the pages of `range` into zeroed memory. What was there is gone.
        ///
        /// # Safety
        ///
        /// No reference leads into `range`, and no other thread uses it.
        unsafe fn commit(&self, range: Range<usize>) -> io::Result<()>;

        /// Lets the pages of `range` be used as zeroed memory. On failure they are as they were.
        ///
        /// Unlike [`commit`](Self::commit) it unmaps nothing first, so that a refusal leaves no hole on
        /// any kernel.
        ///
        /// # Safety
        ///
        /// The pages of `range` were reserved or released, and not filled since.
        unsafe fn open(&self, range: Range<usize>) -> io::Result<()>;

        /// Turns all pages into a window on `file` from its start. On failure, the space is of no use.
        ///
        /// Bytes past the end of the file must not be touched until the file has grown.
        ///
        /// # Safety
        ///
        /// No thread uses the space yet. The file's bytes are changed or cut off only in agreement with
        /// those that use it later.
        unsafe fn show_all(
            &self, file: &<Self as SpaceCalls>::File, access: Access
        ) -> io::Result<()>;

        /// Turns the pages of `range` into a window on `file` from `offset`. What was there is gone; on
        /// failure it is as it was.
        ///
        /// Bytes past the end of the file must not be touched until the file has grown.
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
        /// zeroed memory behind. What was at the destination is gone.
        ///
        /// # Safety
        ///
        /// The pages of `from` are memory made by [`commit`](Self::commit) or this function, in one
        /// piece. No reference leads into either range, no other thread uses them, and they do not
        /// overlap.
        unsafe fn slide(&self, from: Range<usize>, by: usize) -> io::Result<()>;

        /// Takes the pages of `range` away: no byte of it may be touched until it is filled again.
        ///
        /// # Safety
        ///
        /// No reference leads into `range`, and no other thread uses it.
        unsafe fn release(&self, range: Range<usize>) -> io::Result<()>;

        /// Lets the pages of `range`, which show a file for writing, be used, or no more.
        ///
        /// # Safety
        ///
        /// All of the range shows a file for writing. Where it is not allowed any more, no thread uses
        /// it.
        unsafe fn allow(&self, range: Range<usize>, allowed: bool) -> io::Result<()>;

        /// Keeps the pages of `range` out of forked children, which must not touch them.
        fn keep_from_children(&self, range: Range<usize>) -> io::Result<()>;

        /// Tells the kernel what to expect of the pages of `range`, which show a file.
        ///
        /// Every hint keeps the bytes: [`Hint::DontNeed`] takes the pages of a file only out of the
        /// mapping, and they come back from the file.
        fn advise(&self, range: Range<usize>, hint: Hint) -> io::Result<()>;

        /// Sets whether missing pages of `range`, which shows a file, come into memory
        /// [`FOLD_BYTES`](crate::sys::FOLD_BYTES) at a time.
        fn fold(&self, range: Range<usize>, folded: bool) -> io::Result<()>;

        /// Takes the pages of `range` out of the mapping; they stay in the page cache.
        ///
        /// # Safety
        ///
        /// All of the range shows a file. (Of plain memory, the bytes would be gone.)
        unsafe fn unmap_pages(&self, range: Range<usize>) -> io::Result<()>;

        /// Waits until what was stored to the pages of `range`, or written to them through the file,
        /// is on the device.
        ///
        /// # Safety
        ///
        /// All of the range shows a file.
        unsafe fn sync(&self, range: Range<usize>) -> io::Result<()>;

        /// Returns how many bytes of `range` are in memory and mapped.
        fn resident_bytes(&self, range: Range<usize>) -> io::Result<u64>;
    }
}

contract! {
    /// What is asked of the system as a whole. No fault reaches these.
    trait SystemCalls for System {
        /// Returns the size of a page of memory in bytes, a power of two.
        fn page_size() -> usize;

        /// Returns the greatest length that the process may give to a file, in bytes; `None` where
        /// files may be of any length.
        ///
        /// The answer may be wrong a moment later: any thread can change the limit, and so can other
        /// processes. Functions that would pass it fail with `EFBIG`.
        fn file_size_limit() -> Option<u64>;

        /// Returns how many bytes of addresses the process may have; `None` where it may have all.
        fn address_limit() -> Option<u64>;

        /// Returns how many files the process may have open; `None` where it may have any number.
        fn open_file_limit() -> Option<u64>;

        /// Returns whether an answer says that this process has as many open files as it may have.
        fn is_out_of_files(answer: &io::Error) -> bool;

        /// Returns how many mappings a process may have if this one has about as many. Allocates
        /// nothing.
        fn reached_mapping_limit() -> Option<u64>;

        /// Returns a number that no parent and no child of this process has.
        fn process() -> u64;

        /// Returns a name for a file that no other process can guess.
        fn unguessable_name() -> io::Result<OsString>;

        /// Returns the value that a variable had when the process started, as far as `value` has
        /// room. Allocates nothing.
        fn initial_variable<'value>(name: &[u8], value: &'value mut [u8]) -> Option<&'value [u8]>;
    }
}
