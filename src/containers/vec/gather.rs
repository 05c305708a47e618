//! Prefetch or gather many elements at random places.
#![expect(
    unsafe_code,
    reason = "lengthens a vector over elements that were read; see docs/safety.md"
)]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;

use crate::bug::bug;
use crate::containers::vec::DiskVec;
use crate::error::{Error, ErrorKind, Result};
use crate::mapping::region::Filed;
use crate::read::ReadOptions;
use crate::read::batch::{Piece, prefetch, read_batch};
use crate::read::idle::Idle;
use crate::read::span::Span;

impl<T> DiskVec<T> {
    /// Makes the kernel start to read elements, and does not wait for them: for random access that
    /// is known some time ahead.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut numbers = outcore::DiskVec::new();
    /// numbers.try_extend(0..1_000_000_u64)?;
    /// let wanted = [999, 500_000, 3];
    /// numbers.prefetch_many(&wanted)?;
    /// // Other work, while the device reads.
    /// assert_eq!(numbers[500_000], 500_000);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// * [`Io`](ErrorKind::Io): the system refuses.
    /// * [`Forked`](ErrorKind::Forked): the vector was created before a `fork`, in the parent.
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): there is no memory to sort the indices.
    ///
    /// # Panics
    ///
    /// If an index is not below the length.
    ///
    /// # Cost
    ///
    /// One `fadvise` for elements that are close together. It starts the read, and waits if the
    /// device has a full queue. 16 bytes for each index.
    #[track_caller]
    pub fn prefetch_many(&self, indices: &[usize]) -> Result<()> {
        check(indices, self.len());
        match self.filed()? {
            Some(filed) if !Self::ZERO_SIZED => {
                let order = in_order(indices)?;
                let pieces = order.iter();
                let started = prefetch(pieces.filter_map(|element| piece::<T>(element, filed)));
                started.map_err(|refused| filed.file.error(refused))
            }
            _ => Ok(()),
        }
    }
}

impl<T> DiskVec<T> {
    /// Returns the part of the region that is in its file.
    pub(super) fn filed(&self) -> Result<Option<Filed<'_>>> {
        let filed = self.region.filed();
        filed.map_err(|refused| self.region.error(refused))
    }
}

impl<T: Copy> DiskVec<T> {
    /// Returns copies of the elements at `indices`, in their order.
    ///
    /// For elements that are mostly not in memory: many reads are in flight at a time, while
    /// indexing waits for each. For elements in memory, indexing is faster.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut numbers = outcore::DiskVec::new();
    /// numbers.try_extend(0..1_000_000_u64)?;
    /// assert_eq!(numbers.gather(&[999_999, 5, 5, 0])?, [999_999, 5, 5, 0]);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// * [`Io`](ErrorKind::Io): the system failed to read. A device that fails is an error here,
    ///   while indexing raises a signal.
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): there is no memory for the copies.
    /// * [`Forked`](ErrorKind::Forked): the vector was created before a `fork`, in the parent.
    ///
    /// # Panics
    ///
    /// If an index is not below the length.
    ///
    /// # Cost
    ///
    /// That of [`Arena::get_many`](crate::Arena::get_many) for as many items; the returned vector,
    /// and 16 bytes for each index.
    #[track_caller]
    pub fn gather(&self, indices: &[usize]) -> Result<Vec<T>> {
        check(indices, self.len());
        let mut copies: Vec<T> = Vec::new();
        let reserved = copies.try_reserve_exact(indices.len());
        reserved.map_err(|_full| no_memory())?;
        let filed = match self.filed()? {
            Some(filed) if !Self::ZERO_SIZED => Some(filed),
            _ => None,
        };
        let Some(filed) = filed else {
            copies.extend(indices.iter().filter_map(|index| self.get(*index)));
            return Ok(copies);
        };
        let mut order = in_order(indices)?;
        let places = copies.spare_capacity_mut();
        let mut count = 0_usize;
        order.retain(|&(index, place)| {
            let is_filed = end_of::<T>(index) <= filed.len;
            // The elements behind are in memory, and so is a part of the one at the border.
            if !is_filed {
                if let (Some(target), Some(element)) = (places.get_mut(place), self.get(index)) {
                    target.write(*element);
                    count = count.wrapping_add(1);
                }
            }
            is_filed
        });
        let piece = |number| piece::<T>(order.get(number)?, filed);
        let idle = self.idle.clone().unwrap_or_else(Idle::shared);
        let read = read_batch(&ReadOptions::new(), &idle, &piece, &mut |place, bytes| {
            if let Some(target) = places.get_mut(place) {
                copy_element(bytes, target);
                count = count.wrapping_add(1);
            }
        });
        read.map_err(|refused| filed.file.error(refused))?;
        if count != indices.len() {
            bug!("{count} elements were read of {}", indices.len());
        }
        // SAFETY: there is room for as many elements, and each was initialized: from memory, or
        // from the bytes in the file, of which a batch that is `Ok` has delivered every piece once.
        // No code can have changed them meanwhile, as `self` is borrowed.
        unsafe { copies.set_len(indices.len()) };
        Ok(copies)
    }
}

/// Elements that were asked for: where they are in memory, or the bytes of those in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a, T> {
    Elements(&'a [T]),
    Bytes(&'a [u8]),
}

impl<T: Copy> DiskVec<T> {
    /// Passes several ranges of elements to `deliver`, each with its place in `ranges`, in any order.
    /// None is empty, and both their starts and their ends ascend, so that neighbours are read
    /// together.
    ///
    /// # Errors
    ///
    /// Those of [`gather`](Self::gather); some ranges may have been delivered.
    ///
    /// # Panics
    ///
    /// If a range is not within the vector.
    pub(crate) fn read_ranges(
        &self,
        ranges: &[Range<usize>],
        deliver: &mut dyn FnMut(usize, Found<'_, T>),
    ) -> Result<()> {
        let filed = self.filed()?;
        let filed_len = filed.map_or(0, |filed| filed.len);
        let byte = |element: usize| element.saturating_mul(size_of::<T>());
        let in_file = ranges.partition_point(|range| byte(range.end) <= filed_len);
        for (place, range) in ranges.iter().enumerate().skip(in_file) {
            deliver(place, Found::Elements(&self[range.clone()]));
        }
        let Some(filed) = filed else { return Ok(()) };
        let piece = |index: usize| {
            let range = ranges.get(..in_file)?.get(index)?;
            let (start, end) = (byte(range.start), byte(range.end));
            Some(Piece {
                file: filed.file,
                span: Span::new(filed.offset_of(start), end.saturating_sub(start)),
                index,
            })
        };
        let idle = self.idle.clone().unwrap_or_else(Idle::shared);
        let mut deliver = |place: usize, bytes: &[u8]| deliver(place, Found::Bytes(bytes));
        let read = read_batch(&ReadOptions::new(), &idle, &piece, &mut deliver);
        read.map_err(|refused| filed.file.error(refused))
    }
}

/// Returns the piece of an element that is completely in the file.
fn piece<'f, T>(&(index, place): &(usize, usize), filed: Filed<'f>) -> Option<Piece<'f>> {
    let start = index.saturating_mul(size_of::<T>());
    (end_of::<T>(index) <= filed.len).then_some(Piece {
        file: filed.file,
        span: Span::new(filed.offset.saturating_add(start) as u64, size_of::<T>()),
        index: place,
    })
}

/// Returns the end of an element, in bytes.
fn end_of<T>(index: usize) -> usize {
    index.saturating_add(1).saturating_mul(size_of::<T>())
}

/// Initializes an element from its bytes.
fn copy_element<T: Copy>(bytes: &[u8], target: &mut MaybeUninit<T>) {
    assert!(bytes.len() == size_of::<T>(), "an element is read whole");
    let target = target.as_mut_ptr().cast::<u8>();
    // SAFETY: both sides have as many bytes as an element, and only the caller uses the target.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
}

/// Panics if an index is past the end.
#[track_caller]
fn check(indices: &[usize], len: usize) {
    if let Some(index) = indices.iter().find(|index| **index >= len) {
        panic!("index out of bounds: the len is {len} but the index is {index}");
    }
}

/// Returns the indices in ascending order, each with its place in the request.
fn in_order(indices: &[usize]) -> Result<Vec<(usize, usize)>> {
    let mut order = Vec::new();
    let reserved = order.try_reserve_exact(indices.len());
    reserved.map_err(|_full| no_memory())?;
    order.extend(indices.iter().copied().zip(0..));
    order.sort_unstable();
    Ok(order)
}

#[cold]
fn no_memory() -> Error {
    let reason = "there is no memory for that many elements";
    Error::refused(ErrorKind::OutOfMemory, "read elements", reason)
}
