//! Elements as bytes at their places, for sorting: read and written many at a time, by several
//! threads, bypassing the mapping where they are in the file.
#![expect(unsafe_code, reason = "moves elements bitwise; see docs/safety.md")]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::slice;

use crate::containers::vec::DiskVec;
use crate::error::Result;
use crate::mapping::advice::Advice;
use crate::mapping::region::Filed;
use crate::sys::Hint;

/// Bytes of one write: longer writes need memory of the kernel that it may not have at hand.
const WRITE_BYTES: usize = 256 << 10;

/// The places of a vector's elements, lent by [`DiskVec::places`] for as long as `'a`.
///
/// Meanwhile a page that is looked at and not in memory is read alone, and what is wanted ahead is
/// asked for by [`will_need`](Self::will_need). The kernel would read the device's `read_ahead_kb`
/// around each, 8 MiB on some machines: a merge of a hundred runs is at as many places at a time,
/// so what was read for one would push out what was read for the others.
pub(crate) struct Places<'a, T> {
    /// # Invariants
    ///
    /// 1. The first `count` elements from `first` are accessible memory of a vector that is
    ///    borrowed exclusively for `'a`; nothing else reads or writes them meanwhile.
    /// 2. The first bytes from `first` on, as many as `filed` says, show its file from its offset on.
    first: NonNull<T>,
    count: usize,
    filed: Option<Filed<'a>>,
    vec: &'a DiskVec<T>,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: elements are reached by unsafe methods only, whose callers guarantee that an element is
// used by one thread at a time, for which `T: Send` is enough. What remains is `file`, which
// threads share, and `vec`, of which only the region is used, by calls that change no byte.
unsafe impl<T: Send> Sync for Places<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Places<'_, T> {}

impl<T> DiskVec<T> {
    /// Lends the places of all elements.
    ///
    /// # Errors
    ///
    /// [`Forked`](crate::ErrorKind::Forked): the vector belongs to the parent of this process.
    pub(crate) fn places(&mut self) -> Result<Places<'_, T>> {
        let count = self.len;
        self.places_of(count)
    }

    /// Creates an empty vector in the same directory, with `count` accessible elements behind its
    /// end.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](DiskVec::reserve).
    pub(crate) fn with_places(&self, count: usize) -> Result<Self> {
        let mut vec = Self::with_region(self.region.empty_like());
        vec.reserve_exact(count)?;
        if count > vec.limit {
            vec.make_accessible(count)?;
        }
        Ok(vec)
    }

    /// Lends the first `count` places, whether they hold elements or not.
    ///
    /// # Panics
    ///
    /// If fewer are accessible.
    #[expect(
        clippy::panic_in_result_fn,
        reason = "a mistake of ours would be a bad access"
    )]
    pub(crate) fn places_of(&mut self, count: usize) -> Result<Places<'_, T>> {
        assert!(count <= self.limit, "{count} of {} places", self.limit);
        let filed = self.filed()?;
        self.region.expect(Some(Advice::Random));
        Ok(Places {
            first: self.ptr,
            count,
            filed,
            vec: self,
            borrowed: PhantomData,
        })
    }

    /// Exchanges the elements for those of `other`, which has as many places and no elements: they
    /// were moved there. The old places are given up.
    ///
    /// # Safety
    ///
    /// All elements were moved to the first places of `other`, in any order.
    pub(crate) unsafe fn replace_by(&mut self, mut other: Self) {
        debug_assert!(other.len == 0 && other.limit >= self.len);
        other.len = self.len;
        self.len = 0;
        std::mem::swap(self, &mut other);
    }
}

impl<'a, T> Places<'a, T> {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Returns the elements of a range.
    ///
    /// # Safety
    ///
    /// The range holds elements, and while they are borrowed nothing writes to it, and no other
    /// thread uses it, unless `T` is `Sync`.
    pub(crate) unsafe fn elements(&self, range: Range<usize>) -> &'a [T] {
        self.check(&range);
        let first = self.first.as_ptr().wrapping_add(range.start);
        // SAFETY: they are accessible (invariant 1); the rest is the duty of the caller.
        unsafe { slice::from_raw_parts(first, range.len()) }
    }

    /// Fills `target` with the bytes of the elements from `index` on.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io): the file cannot be read. What is in `target` is unspecified.
    ///
    /// # Safety
    ///
    /// No other thread writes to these places meanwhile, and the caller uses only one copy of each
    /// element as an element.
    pub(crate) unsafe fn read(&self, index: usize, target: &mut [MaybeUninit<T>]) -> Result<()> {
        let range = index..index.saturating_add(target.len());
        self.check(&range);
        let (bytes, in_file) = self.bytes_of(&range);
        let target = target.as_mut_ptr().cast::<MaybeUninit<u8>>();
        if let (false, Some(filed)) = (in_file.is_empty(), self.filed) {
            let at = target.wrapping_add(in_file.start.wrapping_sub(bytes.start));
            // SAFETY: the part of the target for these bytes, which need no value.
            let part = unsafe { slice::from_raw_parts_mut(at, in_file.len()) };
            let read = filed
                .file
                .read_exact_at(part, filed.offset_of(in_file.start));
            read.map_err(|refused| filed.file.error(refused))?;
        }
        for part in [bytes.start..in_file.start, in_file.end..bytes.end] {
            let source = self.byte(part.start).cast::<MaybeUninit<u8>>();
            let at = target.wrapping_add(part.start.wrapping_sub(bytes.start));
            // SAFETY: as many accessible bytes (invariant 1), to the part of the target for them.
            unsafe { ptr::copy_nonoverlapping(source, at, part.len()) };
        }
        Ok(())
    }

    /// Writes the bytes of elements to the places from `index` on.
    ///
    /// # Errors
    ///
    /// [`StorageFull`](crate::ErrorKind::StorageFull), [`Io`](crate::ErrorKind::Io): the file
    /// cannot be written. An unknown part was written; [`store`](Self::store) repairs that.
    ///
    /// # Safety
    ///
    /// No other thread uses these places meanwhile, no reference leads to them, and their old
    /// elements were moved.
    pub(crate) unsafe fn write(&self, index: usize, source: &[MaybeUninit<T>]) -> Result<()> {
        let range = index..index.saturating_add(source.len());
        self.check(&range);
        let (bytes, in_file) = self.bytes_of(&range);
        let first = source.as_ptr().cast::<u8>();
        if let (false, Some(filed)) = (in_file.is_empty(), self.filed) {
            let at = first.wrapping_add(in_file.start.wrapping_sub(bytes.start));
            // SAFETY: bytes of the source. Padding may have no defined value; only the kernel, to
            // which the slice goes, reads them.
            let part = unsafe { slice::from_raw_parts(at, in_file.len()) };
            let mut offset = filed.offset_of(in_file.start);
            for piece in part.chunks(WRITE_BYTES) {
                let written = filed.file.write_all_at(piece, offset);
                written.map_err(|refused| filed.file.error(refused))?;
                offset = offset.saturating_add(piece.len() as u64);
            }
        }
        for part in [bytes.start..in_file.start, in_file.end..bytes.end] {
            let at = first.wrapping_add(part.start.wrapping_sub(bytes.start));
            let at = at.cast::<MaybeUninit<u8>>();
            let target = self.byte(part.start).cast::<MaybeUninit<u8>>();
            // SAFETY: to accessible bytes (invariant 1) that are the caller's to overwrite.
            unsafe { ptr::copy_nonoverlapping(at, target, part.len()) };
        }
        Ok(())
    }

    /// Like [`write`](Self::write), by storing to memory: no system call, and nothing that can
    /// fail. For restoring what could not be written.
    ///
    /// # Safety
    ///
    /// The duties of the caller are those of [`write`](Self::write).
    pub(crate) unsafe fn store(&self, index: usize, source: &[MaybeUninit<T>]) {
        self.check(&(index..index.saturating_add(source.len())));
        let target = self
            .first
            .as_ptr()
            .wrapping_add(index)
            .cast::<MaybeUninit<T>>();
        // SAFETY: as many accessible elements (invariant 1) that are the caller's to overwrite.
        unsafe { ptr::copy_nonoverlapping(source.as_ptr(), target, source.len()) };
    }

    /// Starts to read the elements of a range, where they are in the file; a hint.
    pub(crate) fn will_need(&self, range: Range<usize>) {
        let (_, in_file) = self.bytes_of(&range);
        if let (false, Some(filed)) = (in_file.is_empty(), self.filed) {
            let (offset, len) = (filed.offset_of(in_file.start), in_file.len() as u64);
            let _hint = filed.file.advise(offset, len, Hint::WillNeed);
        }
    }

    /// Releases the elements of a range from the mapping, as far as they are whole pages; a hint.
    pub(crate) fn let_go(&self, range: Range<usize>) {
        let (bytes, _) = self.bytes_of(&range);
        let _hint = self.vec.region.let_go(bytes);
    }

    /// Panics if a range is not within the places: otherwise a bug of ours would be an invalid
    /// access.
    fn check(&self, range: &Range<usize>) {
        let fits = range.start <= range.end && range.end <= self.count;
        assert!(fits, "{range:?} is not within {} places", self.count);
    }

    /// Returns the bytes of a range of elements, counted from the first place, and those of them
    /// that are in the file; if there are none, the empty range at the start.
    fn bytes_of(&self, range: &Range<usize>) -> (Range<usize>, Range<usize>) {
        let bytes =
            range.start.wrapping_mul(size_of::<T>())..range.end.wrapping_mul(size_of::<T>());
        let filed = self.filed.map_or(0, |filed| filed.len);
        let in_file = if bytes.start < filed {
            bytes.start..bytes.end.min(filed)
        } else {
            bytes.start..bytes.start
        };
        (bytes, in_file)
    }

    /// Returns the address of a byte, counted from the first place.
    fn byte(&self, byte: usize) -> *mut u8 {
        self.first.as_ptr().cast::<u8>().wrapping_add(byte)
    }
}

impl<T> Drop for Places<'_, T> {
    fn drop(&mut self) {
        self.vec.region.expect(None);
    }
}
