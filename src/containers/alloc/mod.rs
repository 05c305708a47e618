//! The disk allocator: std-like collections whose memory is a file.
//!
//! A thin layer over [`Blocks`].
#![expect(
    unsafe_code,
    reason = "implements the allocator trait; see docs/safety.md"
)]

#[cfg(test)]
mod faults;

use std::alloc::Layout;
use std::fmt;
use std::fs::File;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::error::Result;
use crate::heap::Blocks;
use crate::io::dir::ScratchDir;
use crate::io::refusal::{Refusal, Unnamed};
use crate::io::scratch::ScratchFile;
use crate::mapping::advice::Advice;

/// An allocator whose memory is a file on disk, for collections that take one.
///
/// It implements the trait of `allocator-api2` 0.2, which `hashbrown` and
/// `allocator_api2::vec::Vec` use on stable Rust, and std's own trait with the feature `nightly`.
/// Clones share one file, and any number of collections can use them, from any thread. Each
/// collection holds a clone; the file is deleted with the last clone.
///
/// # Examples
///
/// ```
/// use allocator_api2::vec::Vec;
/// use outcore::DiskAlloc;
///
/// let alloc = DiskAlloc::new()?;
/// let mut numbers = Vec::new_in(alloc.clone());
/// let mut words = Vec::new_in(alloc.clone());
/// numbers.extend(0..100_000_u64);
/// words.push("shares the file");
/// assert!(alloc.disk_bytes() >= 800_000);
/// assert!(numbers.try_reserve(1 << 50).is_err());
/// assert_eq!(numbers[99_999], 99_999);
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Larger than memory
///
/// Collections do not know that their memory is a file. Those that touch one page for each access,
/// such as hash maps and trees, wait for the device at each of them once they are larger than
/// memory:
///
/// | to | do | don't |
/// |---|---|---|
/// | count or group by more keys than fit | split by the hash of the key into a [`DiskVec`](crate::DiskVec) for each part, then a map in memory for one part after the other: 20 M numbers in 64 MiB take 0.1 us each | one map over a `DiskAlloc`: 16 us each |
/// | look up keys at random all the same | [`advise(Advice::Random)`](Self::advise) first | leave the read-ahead on |
/// | keep long vectors | append to them, and go through them in order | index them at random: a `DiskVec` has [`gather`](crate::DiskVec::gather) |
///
/// Both ways of the first row are in `examples/past_memory.rs`; the figures and the method are in
/// `docs/records/past-memory-2026-11.md`.
///
/// # Other versions of the trait
///
/// On a nightly compiler, the feature `nightly` implements std's trait, for `std::vec::Vec<T,
/// DiskAlloc>`, `Box`, `BTreeMap` and all others:
///
/// ```toml
/// outcore = { version = "0.1", features = ["nightly"] }
/// ```
///
/// Both traits can be implemented at once, unless another crate turns on the feature `nightly` of
/// `allocator-api2` 0.2: then its trait is std's, and the compiler finds two implementations of one
/// trait. In this case leave one of them out, by `default-features = false`.
///
/// The versions 0.3 and 0.4 of `allocator-api2` have traits of their own. A type of the program can
/// implement them by passing calls on:
///
/// ```
/// use allocator_api2::alloc::Allocator as _;
/// use allocator_api2_04::alloc::{AllocError, Allocator, Layout};
/// use outcore::DiskAlloc;
/// use std::ptr::NonNull;
///
/// #[derive(Clone, Debug)]
/// struct Disk(DiskAlloc);
///
/// // SAFETY: all calls are passed on to an allocator of the same contract.
/// unsafe impl Allocator for Disk {
///     fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
///         self.0.allocate(layout).map_err(|_| AllocError)
///     }
///     unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
///         // SAFETY: the caller keeps the contract.
///         unsafe { self.0.deallocate(block, layout) }
///     }
///     // Without these two, blocks are copied when they grow.
///     unsafe fn grow(
///         &self,
///         block: NonNull<u8>,
///         old: Layout,
///         new: Layout,
///     ) -> Result<NonNull<[u8]>, AllocError> {
///         // SAFETY: the caller keeps the contract.
///         unsafe { self.0.grow(block, old, new) }.map_err(|_| AllocError)
///     }
///     unsafe fn shrink(
///         &self,
///         block: NonNull<u8>,
///         old: Layout,
///         new: Layout,
///     ) -> Result<NonNull<[u8]>, AllocError> {
///         // SAFETY: the caller keeps the contract.
///         unsafe { self.0.shrink(block, old, new) }.map_err(|_| AllocError)
///     }
/// }
///
/// let mut numbers = allocator_api2_04::vec::Vec::new_in(Disk(DiskAlloc::new()?));
/// numbers.extend(0..1000_u64);
/// assert_eq!(numbers[999], 999);
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Failure
///
/// When the disk is full, an allocation fails with `AllocError`. Collections offer `try_reserve`
/// for that, and call the handler for failed allocations otherwise. An allocated block is never
/// affected by a full disk. A page that the device cannot deliver kills the process with `SIGBUS`
/// when it is accessed, as with every mapped file.
///
/// # Memory layout
///
/// One file, and up to 8 TiB of addresses. Blocks up to 16 KiB come in 36 sizes from runs of 64
/// KiB. Blocks up to 1 MiB are aligned to their length. Larger blocks start in the middle of the
/// widest gap, so that they can grow in place for a long time. A larger block that reaches its
/// neighbour is remapped: other addresses show the same part of the file, and nothing is copied. A
/// block is copied when it grows and is not longer than 1 MiB before. (Where more than 4096 larger
/// blocks are alive, those up to 32 MiB are treated in the same way.) Freed pages go back to the
/// disk. All blocks up to 1 MiB together are one mapping. Each larger block is one mapping, and the
/// addresses behind it another, with at most two more if the block has grown; there are no more
/// than 8192 such blocks. In a process that locks its memory by `mlockall(MCL_FUTURE)`, blocks are
/// not locked. Eight heaps serve small blocks, so that threads seldom wait for each other; each
/// keeps up to twelve empty runs, so that at most 6 MiB stay preallocated when all blocks are
/// freed.
#[derive(Clone)]
pub struct DiskAlloc {
    blocks: Arc<Blocks>,
}

impl DiskAlloc {
    /// Creates an allocator in the directory of [`ScratchDir::from_env`].
    ///
    /// # Errors
    ///
    /// Those of [`ScratchDir::from_env`] and [`new_in`](Self::new_in).
    pub fn new() -> Result<Self> {
        Self::new_in(&ScratchDir::from_env()?)
    }

    /// Creates an allocator in a directory.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) or [`OutOfMemory`](crate::ErrorKind::OutOfMemory): no file can
    /// be created, or hardly any addresses are left.
    ///
    /// # Cost
    ///
    /// About six system calls.
    pub fn new_in(dir: &ScratchDir) -> Result<Self> {
        let made = ScratchFile::create(dir).and_then(Self::over);
        made.map_err(|refused| dir.error(refused))
    }

    /// Creates an allocator in an empty file of the caller, which has to be open for reading and
    /// writing.
    ///
    /// The allocator locks the file exclusively, by `flock`. After the last clone is dropped, the
    /// file is empty again and unlocked. No budget counts its bytes. The file may be on any file
    /// system, also on one that lives in memory, since the caller has chosen its place.
    ///
    /// # Examples
    ///
    /// ```
    /// use allocator_api2::vec::Vec;
    /// use outcore::DiskAlloc;
    /// use std::fs::{self, OpenOptions};
    ///
    /// let path = std::env::temp_dir().join(format!("outcore-{}", std::process::id()));
    /// let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    /// fs::remove_file(&path)?;
    /// // SAFETY: without a name, no other code can change the file.
    /// let alloc = unsafe { DiskAlloc::on_file(file) }?;
    /// let mut numbers = Vec::new_in(alloc);
    /// numbers.extend(0..1000_u64);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the file is locked by another program, in use by another
    /// allocator of this process (also by a duplicate of this `File`), not empty, no regular file,
    /// not open for both reading and writing, or open for appending.
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory): hardly any addresses are left.
    /// [`FileTooLarge`](crate::ErrorKind::FileTooLarge): the process or the file system permits no
    /// file of 16 MiB. The file is unlocked again.
    ///
    /// # Safety
    ///
    /// As long as a clone of this allocator, or a collection that has one, is alive, no other code
    /// writes to the file, maps it for writing, or changes its length or the space that it takes:
    /// no other process, and no user of a duplicate of this `File` or of a descriptor opened
    /// elsewhere in this process. (The lock keeps out only programs that ask for it.) Otherwise
    /// collections find changed bytes among their own, or the process is killed by `SIGBUS`.
    pub unsafe fn on_file(file: File) -> Result<Self> {
        let made = Self::over(ScratchFile::lent(file)?);
        made.map_err(|refused| refused.of(Unnamed::Given))
    }

    fn over(file: ScratchFile) -> Result<Self, Refusal> {
        let blocks = Blocks::over(file)?;
        blocks.set_folds(true);
        Ok(Self {
            blocks: Arc::new(blocks),
        })
    }

    /// Returns the number of bytes that are preallocated on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.blocks.claimed_bytes()
    }

    /// Returns the number of bytes of reserved addresses.
    pub fn mapped_bytes(&self) -> usize {
        self.blocks.mapped_bytes()
    }

    /// Returns the directory of the file; `None` for a file of the caller.
    pub fn dir(&self) -> Option<&ScratchDir> {
        self.blocks.dir()
    }

    /// Writes everything back to disk and releases it from memory.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system fails to write back.
    pub fn evict(&self) -> Result<()> {
        let evicted = self.blocks.evict();
        evicted.map_err(|refused| self.blocks.error(refused))
    }

    /// Sets the expected order of accesses.
    ///
    /// Pages of blocks are loaded one by one, except those of blocks that have grown in place to 16
    /// MiB or more, as a vector does that elements are pushed to: these are loaded in huge pages of
    /// 2 MiB, so that filling such a block, and reading it in order, is fast. Blocks of that length
    /// that are allocated at once, such as a table or a vector with its capacity, use huge pages
    /// only if [`Advice::Sequential`] was given before they were allocated: without it, reading
    /// them in order after [`evict`](Self::evict) takes one read for each page. With
    /// [`Advice::Random`], pages are loaded one by one until other advice is given, and everything
    /// is written back and released as by [`evict`](Self::evict). That is right for a vector that
    /// is larger than memory and accessed at random: with huge pages, every miss reads 2 MiB, and
    /// writes them after a store.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system fails to write back.
    pub fn advise(&self, advice: Advice) -> Result<()> {
        let advised = self.blocks.advise(advice);
        advised.map_err(|refused| self.blocks.error(refused))
    }

    /// Changes the size of a block.
    ///
    /// # Safety
    ///
    /// The duties of the caller are those of `grow` or `shrink` of both traits.
    unsafe fn resize(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
        zeroed: bool,
    ) -> Option<NonNull<[u8]>> {
        if new.size() == 0 {
            // SAFETY: the caller gives the block up.
            unsafe { self.take_back(block, old) };
            return Some(nothing(new));
        }
        if old.size() == 0 {
            return self.hand_out(new, zeroed);
        }
        // SAFETY: one of our clones handed out the block for `old` (duty of the caller).
        let resized = unsafe { self.blocks.resize(block, old, new, zeroed) };
        resized.map(|block| slice(block, new))
    }

    fn hand_out(&self, layout: Layout, zeroed: bool) -> Option<NonNull<[u8]>> {
        if layout.size() == 0 {
            return Some(nothing(layout));
        }
        let block = self.blocks.allocate(layout, zeroed);
        block.map(|block| slice(block, layout))
    }

    /// Frees a block.
    ///
    /// # Safety
    ///
    /// One of our clones handed out the block for this layout, and nothing uses it any more.
    unsafe fn take_back(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            // SAFETY: the caller keeps the contract.
            unsafe { self.blocks.deallocate(block) };
        }
    }
}

/// Implements the trait of one crate; the traits differ only in their paths.
macro_rules! implement {
    ($($path:ident)::+) => {
        // SAFETY: a block keeps its address, and no other code has its bytes, until it is freed or
        // resized; a clone shares the file, which lives as long as any of them.
        unsafe impl $($path)::+::Allocator for DiskAlloc {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, $($path)::+::AllocError> {
                self.hand_out(layout, false).ok_or($($path)::+::AllocError)
            }

            #[inline]
            fn allocate_zeroed(
                &self,
                layout: Layout,
            ) -> Result<NonNull<[u8]>, $($path)::+::AllocError> {
                self.hand_out(layout, true).ok_or($($path)::+::AllocError)
            }

            #[inline]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller keeps the contract.
                unsafe { self.take_back(block, layout) };
            }

            unsafe fn grow(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $($path)::+::AllocError> {
                // SAFETY: the caller keeps the contract.
                let grown = unsafe { self.resize(block, old, new, false) };
                grown.ok_or($($path)::+::AllocError)
            }

            unsafe fn grow_zeroed(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $($path)::+::AllocError> {
                // SAFETY: the caller keeps the contract.
                let grown = unsafe { self.resize(block, old, new, true) };
                grown.ok_or($($path)::+::AllocError)
            }

            unsafe fn shrink(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, $($path)::+::AllocError> {
                // SAFETY: the caller keeps the contract.
                let shrunk = unsafe { self.resize(block, old, new, false) };
                shrunk.ok_or($($path)::+::AllocError)
            }
        }
    };
}

#[cfg(feature = "allocator-api2")]
implement!(allocator_api2::alloc);

#[cfg(feature = "nightly")]
implement!(std::alloc);

/// The block of a layout without bytes: an aligned address that must not be accessed.
fn nothing(layout: Layout) -> NonNull<[u8]> {
    let block = NonNull::new(std::ptr::without_provenance_mut(layout.align()));
    NonNull::slice_from_raw_parts(block.unwrap_or(NonNull::dangling()), 0)
}

fn slice(block: NonNull<u8>, layout: Layout) -> NonNull<[u8]> {
    NonNull::slice_from_raw_parts(block, layout.size())
}

impl fmt::Debug for DiskAlloc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskAlloc")
            .field("dir", &self.dir().map(ScratchDir::path))
            .field("disk_bytes", &self.disk_bytes())
            .field("mapped_bytes", &self.mapped_bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "nightly"))]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn collections_of_std_live_in_one_file() {
        let alloc = DiskAlloc::new_in(&ScratchDir::new(env!("CARGO_MANIFEST_DIR")).unwrap());
        let alloc = alloc.unwrap();
        let mut numbers = Vec::new_in(alloc.clone());
        let mut squares = BTreeMap::new_in(alloc.clone());
        for n in 0..100_000_u64 {
            numbers.push(n);
            squares.insert(n, Box::new_in(n * n, alloc.clone()));
        }
        assert!(alloc.disk_bytes() > 800_000 + 100_000 * 32);
        assert!((0..100_000).all(|n| *squares[&n] == n * n));
        squares.retain(|n, _square| n % 2 == 0);
        numbers.truncate(10);
        numbers.shrink_to_fit();
        assert!(squares.iter().all(|(n, square)| **square == n * n));
        assert_eq!(numbers, (0..10).collect::<Vec<u64>>());
        assert!(numbers.try_reserve(1 << 50).is_err());
        let used = alloc.disk_bytes();
        drop((numbers, squares));
        assert!(alloc.disk_bytes() < used / 4);
    }
}
