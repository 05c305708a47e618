//! Buffers that are charged to a budget: one allocation, split into parts of any type.
#![expect(
    unsafe_code,
    reason = "allocates bytes and cuts them into slices of other types; see docs/safety.md"
)]

use std::alloc::{Layout, alloc, dealloc};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use crate::budget::{Lease, MemoryBudget};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::buffer::Buffer;

/// The alignment of a buffer: the largest that direct reads need.
const ALIGN: usize = 4096;

/// Longer buffers are mappings of their own. An allocator may keep what is freed: glibc's does with
/// blocks of up to 32 MiB, so that a process had up to twice what the budget counted.
const MAPPED_BYTES_MIN: usize = if cfg!(test) { 48 << 10 } else { 256 << 10 };

/// One block of memory that is paid for by a budget.
#[derive(Debug)]
pub(crate) struct Buf {
    /// # Invariants
    ///
    /// 1. `ptr` is the start of `block`, which has `len` bytes at least, one or more, and belongs to
    ///    this value alone.
    ptr: NonNull<u8>,
    len: usize,
    block: Block,
    lease: Lease,
}

/// Where the memory is from.
#[derive(Debug)]
enum Block {
    /// The global allocator, by this layout.
    Heap(Layout),
    Mapped {
        _mapping: Buffer,
    },
}

// SAFETY: the block belongs to this value alone (invariant 1), as with a `Box`.
unsafe impl Send for Buf {}
// SAFETY: `&Buf` gives no access to the bytes.
unsafe impl Sync for Buf {}

impl Buf {
    /// Allocates `most` bytes, or as many as the budget has, but at least `least`. `action` names
    /// the operation in errors.
    pub(crate) fn new(
        budget: &MemoryBudget,
        least: usize,
        most: usize,
        action: &'static str,
    ) -> Result<Self> {
        let (least, most) = (least.max(1), most.max(least).max(1));
        let Some(taken) = budget.take_between(least, most) else {
            return Err(budget.refusal(least, action));
        };
        let no_memory = || {
            let reason = format!("there is no memory: {} bytes", taken.bytes());
            Error::refused(ErrorKind::OutOfMemory, action, reason)
        };
        let len = taken.bytes();
        let mapping = if len >= MAPPED_BYTES_MIN {
            // Where the system refuses a mapping, the allocator may have memory all the same.
            Buffer::folded(len).ok()
        } else {
            None
        };
        let (ptr, block) = if let Some(mut mapping) = mapping {
            let ptr = NonNull::from(&mut *mapping).cast();
            (ptr, Block::Mapped { _mapping: mapping })
        } else {
            let layout = Layout::from_size_align(len, ALIGN);
            let layout = layout.map_err(|_huge| no_memory())?;
            // SAFETY: the layout has a size of one at least.
            let block = unsafe { alloc(layout) };
            let ptr = NonNull::new(block).ok_or_else(no_memory)?;
            (ptr, Block::Heap(layout))
        };
        Ok(Self {
            ptr,
            len,
            block,
            lease: taken,
        })
    }

    pub(crate) fn len(&self) -> usize {
        debug_assert_eq!(self.lease.bytes(), self.len);
        self.len
    }

    /// Frees the bytes, but keeps them charged to the budget.
    fn into_lease(mut self) -> Lease {
        Lease {
            budget: self.lease.budget.clone(),
            bytes: std::mem::take(&mut self.lease.bytes),
        }
    }

    /// Lends all of the bytes, to be split into parts.
    pub(crate) fn room(&mut self) -> Room<'_> {
        let first = self.ptr.as_ptr().cast::<MaybeUninit<u8>>();
        // SAFETY: the block is ours alone and has as many bytes (invariant 1); they need no value.
        let rest = unsafe { slice::from_raw_parts_mut(first, self.len) };
        Room { rest }
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if let Block::Heap(layout) = self.block {
            // SAFETY: the block was allocated with this layout (invariant 1), and no room lives
            // longer.
            unsafe { dealloc(self.ptr.as_ptr(), layout) };
        }
    }
}

/// Plain numbers, which may be zeroed memory.
///
/// # Safety
///
/// All bytes zero are a value of the type, and it has no drop glue.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: an unsigned number.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for u128 {}
// SAFETY: as above.
unsafe impl Plain for usize {}
// SAFETY: two unsigned numbers; the bytes between them need no value.
unsafe impl<A: Plain, B: Plain> Plain for (A, B) {}

/// A buffer of numbers, initially zero.
#[derive(Debug)]
pub(crate) struct Array<P> {
    /// # Invariants
    ///
    /// 1. The block is at least as long as `count` numbers, and all of those have a value.
    buf: Buf,
    count: usize,
    kind: PhantomData<P>,
}

impl<P: Plain> Array<P> {
    /// Allocates `count` numbers.
    pub(crate) fn new(budget: &MemoryBudget, count: usize, action: &'static str) -> Result<Self> {
        let bytes = count.saturating_mul(size_of::<P>());
        let mut buf = Buf::new(budget, bytes, bytes, action)?;
        buf.room().take_zeros::<P>(count)?;
        Ok(Self {
            buf,
            count,
            kind: PhantomData,
        })
    }

    /// Frees the numbers, but keeps their bytes charged to the budget.
    pub(crate) fn into_lease(self) -> Lease {
        self.buf.into_lease()
    }
}

impl<P: Plain> Deref for Array<P> {
    type Target = [P];

    fn deref(&self) -> &[P] {
        const { assert!(align_of::<P>() <= ALIGN) };
        // SAFETY: the block is aligned for `P`, and holds as many numbers (invariant 1), which
        // only `&mut self` changes.
        unsafe { slice::from_raw_parts(self.buf.ptr.as_ptr().cast(), self.count) }
    }
}

impl<P: Plain> DerefMut for Array<P> {
    fn deref_mut(&mut self) -> &mut [P] {
        const { assert!(align_of::<P>() <= ALIGN) };
        // SAFETY: as above, with `&mut self` excluding every other access.
        unsafe { slice::from_raw_parts_mut(self.buf.ptr.as_ptr().cast(), self.count) }
    }
}

/// A buffer of values, initially uninitialized.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    /// # Invariants
    ///
    /// 1. The block is at least as long as `count` values.
    buf: Buf,
    count: usize,
    kind: PhantomData<T>,
}

impl<T: Copy> Slots<T> {
    /// Allocates room for `count` values.
    pub(crate) fn new(budget: &MemoryBudget, count: usize, action: &'static str) -> Result<Self> {
        const { assert!(align_of::<T>() <= ALIGN, "aligned to more than a page") };
        let bytes = count.saturating_mul(size_of::<T>());
        Ok(Self {
            buf: Buf::new(budget, bytes, bytes, action)?,
            count,
            kind: PhantomData,
        })
    }

    /// Frees the room, but keeps its bytes charged to the budget.
    pub(crate) fn into_lease(self) -> Lease {
        self.buf.into_lease()
    }
}

impl<T: Copy> Deref for Slots<T> {
    type Target = [MaybeUninit<T>];

    fn deref(&self) -> &[MaybeUninit<T>] {
        // SAFETY: the block is aligned for `T`, as `new` asserts, and holds as many (invariant 1);
        // they need no value.
        unsafe { slice::from_raw_parts(self.buf.ptr.as_ptr().cast(), self.count) }
    }
}

impl<T: Copy> DerefMut for Slots<T> {
    fn deref_mut(&mut self) -> &mut [MaybeUninit<T>] {
        // SAFETY: as above, with `&mut self` excluding every other access.
        unsafe { slice::from_raw_parts_mut(self.buf.ptr.as_ptr().cast(), self.count) }
    }
}

/// Bytes of a buffer that are not in use yet.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    rest: &'a mut [MaybeUninit<u8>],
}

impl<'a> Room<'a> {
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Lends all of it, to be split again.
    pub(crate) fn reborrow(&mut self) -> Room<'_> {
        Room {
            rest: &mut *self.rest,
        }
    }

    /// Splits off the first `bytes`, or all if there are fewer.
    pub(crate) fn split(&mut self, bytes: usize) -> Room<'a> {
        let rest = std::mem::take(&mut self.rest);
        let (first, rest) = rest.split_at_mut(bytes.min(rest.len()));
        self.rest = rest;
        Room { rest: first }
    }

    /// Splits off room for `count` values, which are uninitialized.
    pub(crate) fn take<T>(&mut self, count: usize) -> Result<&'a mut [MaybeUninit<T>]> {
        let skipped = self.rest.as_ptr().align_offset(align_of::<T>());
        let bytes = count.checked_mul(size_of::<T>());
        let end = bytes.and_then(|bytes| bytes.checked_add(skipped));
        let Some(end) = end.filter(|end| *end <= self.rest.len()) else {
            debug_assert!(false, "a buffer was planned too small");
            let reason = "the plan of its memory does not add up";
            return Err(Error::refused(
                ErrorKind::OverBudget,
                "use a buffer",
                reason,
            ));
        };
        let part = self.split(end);
        let first = part.rest.as_mut_ptr().wrapping_add(skipped);
        // SAFETY: `skipped` bytes on, the part is aligned for `T`, and has `count` of them; it is
        // lent to the caller alone for as long, and needs no value.
        Ok(unsafe { slice::from_raw_parts_mut(first.cast(), count) })
    }

    /// Splits off room for `count` numbers, which are zero.
    pub(crate) fn take_zeros<P: Plain>(&mut self, count: usize) -> Result<&'a mut [P]> {
        let taken = self.take::<P>(count)?;
        let first = taken.as_mut_ptr();
        // SAFETY: as many values may be written here.
        unsafe { first.write_bytes(0, count) };
        // SAFETY: they were zeroed, which is a value (contract of `Plain`).
        Ok(unsafe { slice::from_raw_parts_mut(first.cast(), count) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_buffer_are_aligned_and_apart() {
        let budget = MemoryBudget::new(10_000);
        let mut buf = Buf::new(&budget, 100, 4096, "test").unwrap();
        assert_eq!((buf.len(), budget.used_bytes()), (4096, 4096));
        let mut room = buf.room();
        let bytes = room.take_zeros::<u8>(3).unwrap();
        let numbers = room.take_zeros::<u64>(10).unwrap();
        let pairs = room.take_zeros::<(u128, u32)>(2).unwrap();
        let boxes = room.take::<Box<u8>>(5).unwrap();
        bytes.fill(1);
        numbers.fill(u64::MAX);
        pairs.fill((7, 8));
        assert_eq!(
            (&*bytes, numbers[9], pairs[1].1, boxes.len()),
            (&[1; 3][..], u64::MAX, 8, 5)
        );
        let mut half = room.split(100);
        assert_eq!(half.take_zeros::<u8>(100).unwrap().len(), 100);
        drop(buf);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn an_array_is_zero_and_counts() {
        let budget = MemoryBudget::new(1000);
        let mut array = Array::<u64>::new(&budget, 100, "test").unwrap();
        assert!(array.iter().all(|number| *number == 0) && array.len() == 100);
        array[99] = 7;
        assert_eq!((array[99], budget.used_bytes()), (7, 800));
        let lease = array.into_lease();
        assert_eq!((lease.bytes(), budget.used_bytes()), (800, 800));
        assert!(Array::<u8>::new(&budget, 201, "test").is_err());
        assert!(Array::<u8>::new(&budget, 0, "test").unwrap().is_empty());
        let mut joined = Slots::<u64>::new(&budget, 3, "test").unwrap().into_lease();
        joined.join(lease);
        assert_eq!((joined.bytes(), budget.used_bytes()), (824, 824));
        drop(joined);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn a_budget_that_is_too_small_is_an_error_that_says_so() {
        let budget = MemoryBudget::new(1000);
        let error = Buf::new(&budget, 1001, 5000, "sort").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OverBudget);
        assert!(error.to_string().contains("1001 bytes"), "{error}");
        assert_eq!(Buf::new(&budget, 1, 5000, "sort").unwrap().len(), 1000);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn more_memory_than_there_is_is_an_error_too() {
        let budget = MemoryBudget::new(u64::MAX);
        let error = Buf::new(&budget, usize::MAX >> 1, usize::MAX, "sort").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert_eq!(budget.used_bytes(), 0);
    }
}
