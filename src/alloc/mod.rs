//! The disk allocator: std-like collections whose memory is a file.
//!
//! A thin shell over [`Blocks`].
#![expect(
    unsafe_code,
    reason = "implements the allocator trait; see docs/safety.md"
)]

use std::alloc::Layout;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use allocator_api2::alloc::{AllocError, Allocator};

use crate::error::Result;
use crate::storage::advice::Advice;
use crate::storage::blocks::Blocks;
use crate::storage::dir::ScratchDir;

/// An allocator whose memory is a file on disk, for collections that take one.
///
/// It implements the trait of `allocator-api2` 0.2, which is what `hashbrown`, `bumpalo` and
/// `allocator_api2::vec::Vec` ask for on stable Rust. Clones share one file, and any number of
/// collections can use them, from any thread. The file vanishes with the last clone, and every
/// collection holds one.
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
/// # Failure
///
/// When the disk is full, an allocation fails with [`AllocError`]: collections offer `try_reserve`
/// for that, and call the handler for failed allocations otherwise. Nothing that is allocated can
/// meet a full disk later. A page that the device cannot deliver kills the process with `SIGBUS`
/// when it is touched, as with every mapped file.
///
/// # Memory layout
///
/// One file and one mapping, of 8 TiB of addresses where there are so many. Blocks up to 16 KiB
/// come in 36 sizes from runs of 64 KiB, blocks up to 1 MiB are aligned to their length, and larger
/// ones have addresses to grow where they are. Freed pages go back to the disk.
#[derive(Clone)]
pub struct DiskAlloc {
    blocks: Arc<Blocks>,
}

impl DiskAlloc {
    /// Makes an allocator in the directory of [`ScratchDir::from_env`].
    ///
    /// # Errors
    ///
    /// Those of [`ScratchDir::from_env`] and [`new_in`](Self::new_in).
    pub fn new() -> Result<Self> {
        Self::new_in(&ScratchDir::from_env()?)
    }

    /// Makes an allocator in a directory.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io) or [`OutOfMemory`](crate::ErrorKind::OutOfMemory): no file can
    /// be made, or hardly any addresses are left.
    ///
    /// # Cost
    ///
    /// About six system calls.
    pub fn new_in(dir: &ScratchDir) -> Result<Self> {
        let blocks = Arc::new(Blocks::new(dir)?);
        Ok(Self { blocks })
    }

    /// Returns how many bytes are claimed on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.blocks.claimed_bytes()
    }

    /// Returns how many bytes of addresses are reserved.
    pub fn mapped_bytes(&self) -> usize {
        self.blocks.mapped_bytes()
    }

    /// Returns the directory that the file is in.
    pub fn dir(&self) -> &ScratchDir {
        self.blocks.dir()
    }

    /// Writes everything back to disk and takes it out of memory.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system fails to write back.
    pub fn evict(&self) -> Result<()> {
        self.blocks.evict()
    }

    /// Tells the kernel in which order memory will be accessed.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the system refuses, or fails to write back, which
    /// [`Advice::Random`] asks for.
    pub fn advise(&self, advice: Advice) -> Result<()> {
        self.blocks.advise(advice)
    }

    /// Changes the size of a block.
    ///
    /// # Safety
    ///
    /// That of [`Allocator::grow`], or of [`Allocator::shrink`].
    unsafe fn resize(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
        zeroed: bool,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if new.size() == 0 {
            // SAFETY: the caller gives the block up.
            unsafe { self.deallocate(block, old) };
            return Ok(nothing(new));
        }
        if old.size() == 0 {
            return self.hand_out(new, zeroed);
        }
        // SAFETY: the block was handed out for `old`, as the caller says, by one of our clones.
        let resized = unsafe { self.blocks.resize(block, old, new, zeroed) };
        resized.map(|block| slice(block, new)).ok_or(AllocError)
    }

    fn hand_out(&self, layout: Layout, zeroed: bool) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() == 0 {
            return Ok(nothing(layout));
        }
        let block = self.blocks.allocate(layout, zeroed);
        block.map(|block| slice(block, layout)).ok_or(AllocError)
    }
}

// SAFETY: a block stays where it is and is nobody else's until it is freed or resized; a clone
// shares the file, which lives as long as any of them.
unsafe impl Allocator for DiskAlloc {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.hand_out(layout, false)
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.hand_out(layout, true)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            // SAFETY: the block was handed out by one of our clones, and the caller gives it up.
            unsafe { self.blocks.deallocate(block) };
        }
    }

    unsafe fn grow(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller keeps the contract.
        unsafe { self.resize(block, old, new, false) }
    }

    unsafe fn grow_zeroed(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller keeps the contract.
        unsafe { self.resize(block, old, new, true) }
    }

    unsafe fn shrink(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller keeps the contract.
        unsafe { self.resize(block, old, new, false) }
    }
}

/// The block of a layout without bytes: an aligned address that nobody may touch.
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
            .field("dir", &self.dir().path())
            .field("disk_bytes", &self.disk_bytes())
            .field("mapped_bytes", &self.mapped_bytes())
            .finish_non_exhaustive()
    }
}
