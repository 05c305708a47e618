//! A file that grows and is mapped, by hand: what the kernel takes for the memory of `DiskAlloc`,
//! with no allocator in between.
#![expect(
    unsafe_code,
    reason = "maps a file of its own, and stores to preallocated bytes of it only"
)]

use std::ffi::c_void;
use std::fs::File;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::slice;

use rustix::mm::{self, Advice, MapFlags, ProtFlags};

use crate::prelude::*;

/// The pieces that pages can come in.
const PIECE: u64 = 2 << 20;

/// A file shorter than this gets its pages one by one, as the blocks of `DiskAlloc` do.
const PIECES_FROM: u64 = 16 << 20;

/// Numbers in a mapped file of which a part is preallocated, twice as much whenever it is full.
pub(super) struct Mapped {
    file: File,
    /// The start and the length of the mapping.
    mapping: (*mut c_void, usize),
    /// The first piece that begins at a multiple of its length. From there on, the mapping shows
    /// all that the file is ever to have.
    start: NonNull<u64>,
    /// In bytes.
    room: u64,
    preallocated: u64,
    /// In numbers. All before `len` have been stored; at most `capacity` are preallocated.
    len: usize,
    capacity: usize,
    /// Whether pages come in pieces.
    in_pieces: bool,
}

impl Mapped {
    /// Makes a file for so many numbers, none of which is preallocated yet.
    pub(super) fn new(dir: &Path, count: u64, in_pieces: bool) -> Result<Self> {
        let file = raw::create(dir)?;
        let room = (count * 8).next_power_of_two().max(PIECE);
        file.set_len(room)?;
        let len = index(room + PIECE);
        let (none, both) = (ProtFlags::empty(), ProtFlags::READ | ProtFlags::WRITE);
        let private = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the kernel picks a range that is free.
        let begin = unsafe { mm::mmap_anonymous(ptr::null_mut(), len, none, private) }?;
        let start = begin.wrapping_byte_add(begin.cast::<u8>().align_offset(index(PIECE)));
        let shared = MapFlags::SHARED | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: the range lies in the one that was mapped above, which is this value's alone.
        unsafe { mm::mmap(start, index(room), both, shared, &file, 0) }?;
        // SAFETY: this advice changes no byte.
        unsafe { mm::madvise(start, index(room), Advice::Random) }?;
        let start = NonNull::new(start.cast::<u64>());
        Ok(Self {
            file,
            mapping: (begin, len),
            start: start.context("a mapping at zero")?,
            room,
            preallocated: 0,
            len: 0,
            capacity: 0,
            in_pieces,
        })
    }

    /// Stores a number behind all others.
    #[inline]
    pub(super) fn push(&mut self, number: u64) -> Result<()> {
        if self.len == self.capacity {
            self.grow()?;
        }
        // SAFETY: the mapping has room for `capacity` numbers.
        let place = unsafe { self.start.add(self.len) };
        // SAFETY: the number is preallocated, and nothing else has the file.
        unsafe { place.write(number) };
        self.len += 1;
        Ok(())
    }

    #[cold]
    fn grow(&mut self) -> Result<()> {
        let wanted = (2 * self.preallocated).max(PIECE);
        ensure!(wanted <= self.room, "more numbers than were said");
        let (from, more) = (self.preallocated, wanted - self.preallocated);
        rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), from, more)?;
        if self.in_pieces && wanted >= PIECES_FROM {
            let start = self.start.as_ptr().cast::<c_void>();
            // SAFETY: this advice changes no byte. A kernel without pieces refuses it.
            let _refused = unsafe { mm::madvise(start, index(wanted), Advice::LinuxHugepage) };
        }
        self.preallocated = wanted;
        self.capacity = index(wanted / 8);
        Ok(())
    }

    /// Returns all numbers.
    pub(super) fn as_slice(&self) -> &[u64] {
        // SAFETY: so many were stored, and nothing else has the file.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let (begin, len) = self.mapping;
        // SAFETY: the range was mapped for this value alone, and is not used any more.
        let _unmapped = unsafe { mm::munmap(begin, len) };
    }
}
