//! The methods that take elements out. Each disowns elements first and drops them after, so that a
//! panic in a `Drop` or a closure can leak elements, but never drops one twice.
#![expect(unsafe_code, reason = "moves and drops elements; see docs/safety.md")]

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Range, RangeBounds};
use std::ptr;
use std::slice;

use crate::containers::vec::DiskVec;

impl<T> DiskVec<T> {
    /// Drops all elements behind the first `len`. Does nothing if there are none.
    ///
    /// The space stays preallocated; [`shrink_to_fit`](DiskVec::shrink_to_fit) frees it.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            let tail = len..self.len;
            self.len = len;
            self.end_before_missing();
            // SAFETY: the elements are initialized, and the shorter length disowned them.
            unsafe { self.drop_elements(tail) };
        }
    }

    /// Drops the first `count` elements, or all if there are fewer. The others keep their addresses.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut queue = outcore::DiskVec::new();
    /// queue.try_extend(0..10)?;
    /// queue.truncate_front(7);
    /// assert_eq!(queue, [7, 8, 9]);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// Linear in the dropped elements if they need dropping; constant in the kept ones. Whole pages
    /// in front of them are released from memory with one `mmap`, and whole pieces of 2 MiB (the
    /// range of one page table) go back to the disk with one `fallocate`.
    ///
    /// A queue can run for ever: when its addresses are used up, a push moves the elements to the
    /// start of others, without copying those in the file. When the file cannot grow (16 TiB on
    /// ext4, or `RLIMIT_FSIZE`), and more was cut off than is left, a push copies what is left to a
    /// new file.
    pub fn truncate_front(&mut self, count: usize) {
        let count = count.min(self.len);
        let missing = self.missing().min(count);
        let front = ptr::from_mut(&mut self[missing..count]);
        self.len = self.len.wrapping_sub(count);
        if !Self::ZERO_SIZED {
            self.region.skip(count.wrapping_mul(size_of::<T>()));
            self.limit = self.limit.wrapping_sub(count);
            // SAFETY: `count` elements lie between the old first element and the new one.
            self.ptr = unsafe { self.ptr.add(count) };
            self.end_before_missing();
        }
        // SAFETY: the elements are initialized, and the changes above disowned them.
        unsafe { ptr::drop_in_place(front) };
        self.region.discard_front();
        if self.len == 0 && !Self::ZERO_SIZED {
            if self.region.has_lost_front() {
                return self.start_anew();
            }
            self.region.rewind();
            self.refresh();
        }
    }

    /// Drops all elements. The space stays preallocated.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Removes and returns the element at `index`, moving all elements behind it by one.
    ///
    /// # Panics
    ///
    /// If `index >= len`.
    ///
    /// # Cost
    ///
    /// Linear in the elements behind `index`, which are read and written.
    #[track_caller]
    pub fn remove(&mut self, index: usize) -> T {
        let len = self.len;
        assert!(
            index < len,
            "removal index {index} is not below the length {len}"
        );
        let at = self.as_mut_ptr().wrapping_add(index);
        // SAFETY: the element is initialized; what is copied over it below disowns it.
        let value = unsafe { at.read() };
        self.len = len.wrapping_sub(1);
        // SAFETY: the elements behind are initialized, and there are `len - 1 - index` of them.
        unsafe { ptr::copy(at.wrapping_add(1), at, self.len.wrapping_sub(index)) };
        value
    }

    /// Removes and returns the element at `index` and puts the last one in its place.
    ///
    /// # Panics
    ///
    /// If `index >= len`.
    #[track_caller]
    pub fn swap_remove(&mut self, index: usize) -> T {
        let len = self.len;
        assert!(
            index < len,
            "removal index {index} is not below the length {len}"
        );
        self.swap(index, len.wrapping_sub(1));
        let at = self.len.wrapping_sub(1);
        self.len = at;
        // SAFETY: the element was initialized, and the shorter length disowned it.
        unsafe { self.as_ptr().wrapping_add(at).read() }
    }

    /// Keeps only the elements for which `keep` returns `true`, in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.retain_mut(|element| keep(element));
    }

    /// Keeps only the elements for which `keep` returns `true`, in their order; `keep` may change
    /// them.
    ///
    /// When `keep` or a `Drop` panics, the elements not looked at yet are kept.
    pub fn retain_mut(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        let mut sieve = Sieve::new(self);
        while let Some(element) = sieve.next() {
            if keep(element) {
                sieve.keep();
            } else {
                sieve.discard();
            }
        }
    }

    /// Drops all but the first of equal neighbours.
    pub fn dedup(&mut self)
    where
        T: PartialEq,
    {
        self.dedup_by(|a, b| a == b);
    }

    /// Drops all but the first of neighbours with equal keys.
    pub fn dedup_by_key<K: PartialEq>(&mut self, mut key: impl FnMut(&mut T) -> K) {
        self.dedup_by(|a, b| key(a) == key(b));
    }

    /// Drops all but the first of neighbours for which `same` returns `true`. Its arguments are an
    /// element and the last one that was kept, in this order.
    pub fn dedup_by(&mut self, mut same: impl FnMut(&mut T, &mut T) -> bool) {
        let mut sieve = Sieve::new(self);
        while let Some((last, element)) = sieve.next_after_last() {
            if last.is_some_and(|last| same(element, last)) {
                sieve.discard();
            } else {
                sieve.keep();
            }
        }
    }

    /// Removes a range of elements and returns an iterator over them.
    ///
    /// When the iterator is dropped, the rest of the range is dropped and the elements behind it
    /// move up. When it is leaked, the vector loses the range and what is behind it; the same
    /// happens when it is dropped in a forked child that does not have those elements.
    ///
    /// To drop a range at the front, use [`truncate_front`](DiskVec::truncate_front), which moves
    /// nothing.
    ///
    /// # Panics
    ///
    /// If the range starts after its end, or ends after the length.
    #[track_caller]
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> Drain<'_, T> {
        let Range { start, end } = checked_range(range, self.len);
        let tail_len = self.len.wrapping_sub(end);
        self.len = start;
        Drain {
            vec: self,
            left: start..end,
            tail: end..end.wrapping_add(tail_len),
        }
    }
}

/// Returns the indices of `range` for this many elements.
#[track_caller]
pub(crate) fn checked_range(range: impl RangeBounds<usize>, len: usize) -> Range<usize> {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let start = match range.start_bound() {
        Included(start) => Some(*start),
        Excluded(before) => before.checked_add(1),
        Unbounded => Some(0),
    };
    let end = match range.end_bound() {
        Included(last) => last.checked_add(1),
        Excluded(end) => Some(*end),
        Unbounded => Some(len),
    };
    match (start, end) {
        (Some(start), Some(end)) if start <= end && end <= len => start..end,
        _ => panic!("the range is not within the {len} elements"),
    }
}

/// Goes through a vector and keeps or drops each element; kept elements move up over dropped ones.
struct Sieve<'a, T> {
    /// # Invariants
    ///
    /// 1. The vector's length is 0. Its elements `..kept` and `looked_at..len` are initialized, and
    ///    owned by the sieve until its drop gives them back.
    vec: &'a mut DiskVec<T>,
    kept: usize,
    looked_at: usize,
    len: usize,
}

impl<'a, T> Sieve<'a, T> {
    fn new(vec: &'a mut DiskVec<T>) -> Self {
        let len = vec.len;
        vec.len = 0;
        Self {
            vec,
            kept: 0,
            looked_at: 0,
            len,
        }
    }

    /// Returns the element to be decided on.
    fn next(&mut self) -> Option<&mut T> {
        self.next_after_last().map(|(_, element)| element)
    }

    /// Returns the last element that was kept, and the one to be decided on.
    fn next_after_last(&mut self) -> Option<(Option<&mut T>, &mut T)> {
        if self.looked_at >= self.len {
            return None;
        }
        let base = self.vec.as_mut_ptr();
        let last = self.kept.checked_sub(1).map(|last| {
            // SAFETY: the kept elements are initialized (invariant 1) and lie before the next one.
            unsafe { &mut *base.wrapping_add(last) }
        });
        // SAFETY: the elements not looked at yet are initialized (invariant 1).
        let element = unsafe { &mut *base.wrapping_add(self.looked_at) };
        Some((last, element))
    }

    fn keep(&mut self) {
        if self.kept != self.looked_at {
            let base = self.vec.as_mut_ptr();
            let source = base.wrapping_add(self.looked_at);
            let target = base.wrapping_add(self.kept);
            // SAFETY: the target was dropped or moved, the source is initialized (invariant 1).
            unsafe { ptr::copy_nonoverlapping(source, target, 1) };
        }
        self.kept = self.kept.wrapping_add(1);
        self.looked_at = self.looked_at.wrapping_add(1);
    }

    fn discard(&mut self) {
        let element = self.vec.as_mut_ptr().wrapping_add(self.looked_at);
        // Disowned before it is dropped: if the drop panics, it must not be dropped again.
        self.looked_at = self.looked_at.wrapping_add(1);
        // SAFETY: the element is initialized (invariant 1), and was disowned above.
        unsafe { ptr::drop_in_place(element) };
    }
}

impl<T> Drop for Sieve<'_, T> {
    fn drop(&mut self) {
        let rest = self.len.wrapping_sub(self.looked_at);
        if self.kept != self.looked_at {
            let base = self.vec.as_mut_ptr();
            let source = base.wrapping_add(self.looked_at);
            let target = base.wrapping_add(self.kept);
            // SAFETY: the elements not looked at are initialized (invariant 1) and move down over
            // elements that were dropped or moved.
            unsafe { ptr::copy(source, target, rest) };
        }
        self.vec.len = self.kept.wrapping_add(rest);
    }
}

/// The elements that [`DiskVec::drain`] takes out.
pub struct Drain<'a, T> {
    /// # Invariants
    ///
    /// 1. The vector's length ends where the drained range started. Its elements `left` and `tail`
    ///    are initialized and owned by the drain until its drop gives the tail back.
    vec: &'a mut DiskVec<T>,
    left: Range<usize>,
    tail: Range<usize>,
}

impl<T> Drain<'_, T> {
    /// Returns the elements that are left.
    pub fn as_slice(&self) -> &[T] {
        let first = self.vec.as_ptr().wrapping_add(self.left.start);
        // SAFETY: these elements are initialized and ours (invariant 1).
        unsafe { slice::from_raw_parts(first, self.left.len()) }
    }

    /// Moves out an element that the caller has just removed from `left`.
    fn read(&self, index: usize) -> T {
        // SAFETY: the element is initialized, and no longer in `left` (invariant 1).
        unsafe { self.vec.as_ptr().wrapping_add(index).read() }
    }
}

impl<T> Iterator for Drain<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let index = self.left.next()?;
        Some(self.read(index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl<T> DoubleEndedIterator for Drain<'_, T> {
    fn next_back(&mut self) -> Option<T> {
        let index = self.left.next_back()?;
        Some(self.read(index))
    }
}

impl<T> ExactSizeIterator for Drain<'_, T> {}
impl<T> FusedIterator for Drain<'_, T> {}

impl<T> Drop for Drain<'_, T> {
    fn drop(&mut self) {
        /// Moves the tail up, also when dropping the remaining elements panics. A forked child that
        /// does not have all of the tail loses it instead.
        struct Close<'a, T>(&'a mut DiskVec<T>, Range<usize>);
        impl<T> Drop for Close<'_, T> {
            fn drop(&mut self) {
                let (from, to) = (self.1.start, self.0.len);
                if to < self.0.missing() && from != to {
                    self.0.end_before_missing();
                    return;
                }
                let base = self.0.as_mut_ptr();
                let (source, target) = (base.wrapping_add(from), base.wrapping_add(to));
                // SAFETY: the tail is initialized and moves down over elements that were moved
                // out or dropped.
                unsafe { ptr::copy(source, target, self.1.len()) };
                self.0.len = to.wrapping_add(self.1.len());
            }
        }
        let left = std::mem::take(&mut self.left);
        let close = Close(self.vec, self.tail.clone());
        // SAFETY: the elements are initialized, and nothing owns them any more (invariant 1).
        unsafe { close.0.drop_elements(left) };
    }
}

impl<T: fmt::Debug> fmt::Debug for Drain<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Drain").field(&self.as_slice()).finish()
    }
}
