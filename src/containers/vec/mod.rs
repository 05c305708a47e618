//! The disk vector: a `Vec<T>` whose elements live in a file.
//!
//! A thin layer of `T`s over [`Region`], which knows bytes only. `mod.rs` has the vector itself,
//! `basics` the constructors and operations on one element, `grow` the methods that add many
//! elements, `remove` those that take elements out, `gather` those for many at random places,
//! `residency` those about memory, `iter` and `traits` the traits of std.
#![expect(unsafe_code, reason = "reads and writes elements; see docs/safety.md")]

// First, since rustdoc lists the methods of a type in the order of these modules.
mod basics;

#[cfg(test)]
mod faults;
mod grow;
mod iter;
pub(crate) mod places;
mod remove;

mod gather;
mod residency;
#[cfg(feature = "serde")]
mod serde;
mod traits;

pub(crate) use self::gather::Found;
pub use self::iter::IntoIter;
pub use self::remove::Drain;
pub(crate) use self::remove::checked_range;
pub use self::residency::Scan;

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::io::dir::ScratchDir;
use crate::io::refusal::Refusal;
use crate::mapping::limits;
use crate::mapping::region::Region;
use crate::read::idle::Idle;

/// A `Vec<T>` whose elements live on disk.
///
/// It dereferences to a slice, as `Vec` does: index it, iterate over it, pass it on. If it is
/// larger than memory, use [`gather`](Self::gather) and [`scan`](Self::scan) instead: see
/// [below](#larger-than-memory). Methods that may need space return a [`Result`]; a full disk is an
/// error, never a signal. Appending takes a window of at most 1 MiB of memory, however long the
/// vector is. A million vectors of a few elements take as much memory as the same number of `Vec`s.
/// A queue that is appended to at the end and truncated at the front can run for ever.
///
/// # Examples
///
/// ```
/// use outcore::DiskVec;
///
/// let mut numbers = DiskVec::new();
/// numbers.try_extend((0..1_000_000_u64).rev())?;
/// numbers.sort_unstable();
/// assert_eq!(numbers.binary_search(&421), Ok(421));
/// assert_eq!(numbers.iter().sum::<u64>(), 499_999_500_000);
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # Larger than memory
///
/// An element whose page is not in memory costs a read of the device, and without advice each such
/// read loads the whole read-ahead of the device. So code that is fast on a `Vec` can be slow here:
///
/// | to | do | don't |
/// |---|---|---|
/// | read many elements at random | [`gather`](Self::gather), or [`prefetch_many`](Self::prefetch_many) before the loop: 1.4 us each, together with its item in an [`Arena`](crate::Arena) | `vec[i]` in a loop: 4.2 ms each |
/// | index at random all the same | [`advise(Advice::Random)`](Self::advise) first: 75 us each | leave the read-ahead on |
/// | read everything | [`scan`](Self::scan), or iterate | go through it many times |
/// | sort | [`sort_external`](Self::sort_external): 7.7 s for 1 GiB of `u64` in 128 MiB | `sort_unstable`: 27 s |
/// | group or join | split into a `DiskVec` for each part of the keys, take one part after the other | jump between elements |
///
/// Both ways of each row are in `examples/past_memory.rs`; the figures and the method are in
/// `docs/records/past-memory-2026-11.md`.
///
/// # Memory layout
///
/// Up to 64 KiB stay in memory. A longer vector has one unnamed file and three mappings: the part
/// that is in the file, the window behind it, and the addresses reserved behind that. So a process
/// can have as many long vectors as `RLIMIT_NOFILE` allows open files (usually 1024; `ulimit -n`
/// raises it), and a third of `vm.max_map_count` (usually 65,530). The error names the limit.
///
/// Elements keep their addresses while the vector grows, until its reserved addresses are used up:
/// usually 1 TiB, less with hundreds of vectors. This holds from the first element on while fewer
/// than 256 vectors and other containers have addresses and there is no `RLIMIT_AS`. Otherwise the
/// elements move, as those of a `Vec` do, until the vector outgrows 64 KiB. A vector created with a
/// [capacity](Self::with_capacity) of more than that has its addresses from the start.
/// [`shrink_to_fit`](Self::shrink_to_fit) may move the elements.
///
/// Elements are stored as in memory, so what they own on the heap stays on the heap: a
/// `DiskVec<String>` has only the headers of its strings on disk.
///
/// # In a forked child
///
/// The elements in the file belong to the parent: a child does not have them, and is killed by
/// `SIGSEGV` when it reads or writes one. It has its own copy of those in memory, and it can drop,
/// clear and shorten each vector, also while it is iterated or drained. Elements in the file are
/// not dropped there: what they own leaks, in the child alone. Calls that would change the file
/// return [`Forked`](ErrorKind::Forked), and so does a push onto a vector that became that short.
///
/// # When the device fails
///
/// The elements are mapped. A page that the device cannot deliver kills the process with `SIGBUS`
/// when it is accessed, as with every mapped file.
pub struct DiskVec<T> {
    /// The first element.
    ///
    /// # Invariants
    ///
    /// 1. `ptr` is `region.first()`, or dangling and aligned while the region has no such place or
    ///    elements have no size.
    /// 2. The first `len` elements from `ptr` are initialized and accessible, and `limit >= len`
    ///    of them are accessible; for elements without size, `limit` is `usize::MAX`.
    /// 3. No other value reads or writes the region's bytes.
    ptr: NonNull<T>,
    len: usize,
    limit: usize,
    region: Region,
    /// Where reads of many elements leave their idle engine, while there is a file.
    idle: Option<Arc<Idle>>,
    owned: PhantomData<T>,
}

// SAFETY: only the vector owns its elements and its region (invariant 3), as `Vec` does.
unsafe impl<T: Send> Send for DiskVec<T> {}
// SAFETY: `&DiskVec` lends elements for reading only, as `Vec` does; its effects on residency
// change no byte.
unsafe impl<T: Sync> Sync for DiskVec<T> {}

impl<T> DiskVec<T> {
    const ZERO_SIZED: bool = size_of::<T>() == 0;

    const fn with_region(region: Region) -> Self {
        Self {
            ptr: NonNull::dangling(),
            len: 0,
            limit: if Self::ZERO_SIZED { usize::MAX } else { 0 },
            region,
            idle: None,
            owned: PhantomData,
        }
    }

    /// Writes an element behind the last one.
    ///
    /// # Safety
    ///
    /// `len < limit`.
    #[inline]
    unsafe fn push_unchecked(&mut self, value: T) {
        debug_assert!(self.len < self.limit);
        // SAFETY: the element is accessible (invariant 2, duty of the caller).
        let end = unsafe { self.ptr.add(self.len) };
        // SAFETY: as above; it holds no value that would have to be dropped.
        unsafe { end.write(value) };
        self.len = self.len.wrapping_add(1);
    }

    /// Returns the length in bytes of all elements and `additional` more.
    fn bytes_for(&self, additional: usize) -> Result<usize> {
        let elements = self.len.checked_add(additional);
        elements
            .and_then(|count| count.checked_mul(size_of::<T>()))
            .filter(|bytes| isize::try_from(*bytes).is_ok())
            .ok_or_else(|| {
                let reason = "the size passes what can be addressed";
                Error::refused(ErrorKind::CapacityOverflow, "grow a vector", reason)
            })
    }

    /// Makes `additional` elements behind the last one accessible.
    #[cold]
    #[inline(never)]
    fn make_accessible(&mut self, additional: usize) -> Result<()> {
        if self.len < self.missing() {
            self.check_owner()?;
        }
        let need = self.bytes_for(additional)?;
        self.grow_with(need, |region, used| region.advance(used, need))
    }

    /// Changes the region to have `need` bytes. `change` is told how many of its first bytes are in
    /// use. The vector follows the region, also when the change failed.
    fn grow_with(
        &mut self,
        need: usize,
        change: impl FnOnce(&mut Region, usize) -> Result<(), Refusal>,
    ) -> Result<()> {
        if Self::ZERO_SIZED {
            return Ok(());
        }
        let used = self.bytes_for(0)?;
        name_dir(&mut self.region, used, need)?;
        let changed = change(&mut self.region, used);
        self.refresh();
        changed.map_err(|refused| limits::explain(self.region.error(refused)))
    }

    /// Releases everything that an empty vector has.
    fn start_anew(&mut self) {
        debug_assert!(self.len == 0);
        self.region = self.region.empty_like();
        self.refresh();
    }

    /// Makes `ptr` and `limit` match the region.
    fn refresh(&mut self) {
        let Some(first) = self.region.first() else {
            (self.ptr, self.limit, self.idle) = (NonNull::dangling(), 0, None);
            return;
        };
        if self.idle.is_none() && self.region.claimed_bytes() > 0 {
            self.idle = Some(Idle::shared());
        }
        let accessible = self.region.accessible().checked_div(size_of::<T>());
        self.limit = accessible.unwrap_or(0);
        debug_assert!(self.limit >= self.len);
        // The region starts at a multiple of the element's alignment, and the part that was cut off
        // at its front consists of whole elements.
        self.ptr = first.cast::<T>();
        debug_assert!(self.ptr.is_aligned());
        self.end_before_missing();
    }

    /// Returns the number of elements at the front that this process does not have: in a forked
    /// child, those that are in the file, also if only a part of one is.
    fn missing(&self) -> usize {
        if Self::ZERO_SIZED {
            return 0;
        }
        self.region.missing().div_ceil(size_of::<T>())
    }

    /// Returns an error in a forked child that does not have all elements.
    pub(crate) fn check_inherited(&self) -> Result<()> {
        if self.len.min(self.missing()) > 0 {
            self.check_owner()?;
        }
        Ok(())
    }

    /// Refuses to work in a forked child, unless all elements are in memory.
    fn check_owner(&self) -> Result<()> {
        let checked = self.region.check_owner();
        checked.map_err(|refused| self.region.error(refused))
    }

    /// In a forked child, prevents appending where elements were that it does not have. Called when
    /// the length has become less.
    fn end_before_missing(&mut self) {
        if self.len < self.missing() {
            self.limit = self.len;
        }
    }

    /// Drops elements, in a forked child only those that it has. The others leak there.
    ///
    /// # Safety
    ///
    /// The elements are initialized, and no longer owned by anything.
    unsafe fn drop_elements(&mut self, range: Range<usize>) {
        if std::mem::needs_drop::<T>() {
            let start = range.start.max(self.missing()).min(range.end);
            let first = self.as_mut_ptr().wrapping_add(start);
            let len = range.end.wrapping_sub(start);
            // SAFETY: the caller hands the elements over, and this process has them.
            unsafe { ptr::drop_in_place(ptr::slice_from_raw_parts_mut(first, len)) };
        }
    }

    /// Returns a pointer to the first element, dangling while there is none.
    ///
    /// It stays valid while the vector grows for as long as elements keep their addresses; see
    /// [Memory layout](DiskVec#memory-layout).
    pub fn as_ptr(&self) -> *const T {
        self.ptr.as_ptr()
    }

    /// Returns a pointer to the first element for writing, dangling while there is none.
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self.ptr.as_ptr()
    }

    /// Returns the elements as a slice.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: the first `len` elements are initialized and accessible (invariant 2), and only
        // `&mut self` changes them (invariant 3).
        unsafe { slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// Returns the elements as a slice for writing.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as in `as_slice`, with `&mut self` excluding every other access.
        unsafe { slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

/// Asks the environment for a directory if the region is about to need one.
fn name_dir(region: &mut Region, used: usize, need: usize) -> Result<()> {
    if region.needs_dir(used, need) {
        region.set_dir(ScratchDir::from_env()?);
    }
    Ok(())
}

impl<T> Drop for DiskVec<T> {
    fn drop(&mut self) {
        let elements = 0..self.len;
        self.len = 0;
        // SAFETY: the elements are initialized and no other code can reach them any more.
        unsafe { self.drop_elements(elements) };
    }
}

impl<T> Default for DiskVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for DiskVec<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T> DerefMut for DiskVec<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.as_mut_slice()
    }
}
