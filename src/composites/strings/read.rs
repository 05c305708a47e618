//! Items that are mostly not in memory: many at random in one call, or all in order.

use std::ops::Range;

use crate::bug::bug;
use crate::composites::strings::bytes_vec::{BytesVec, past_end};
use crate::composites::strings::iter::Scan;
use crate::containers::vec::Found;
use crate::error::{Error, ErrorKind, Result};

impl BytesVec {
    /// Passes the items at `indices` to `deliver`, each with its place in `indices`, in any order.
    ///
    /// For items that are mostly not in memory: many reads are under way at a time, where indexing
    /// waits for each. Items that are in memory are faster indexed.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut items = outcore::BytesVec::new();
    /// items.try_extend((0..100_000).map(|n| format!("item {n}")))?;
    /// let wanted = [99_999, 5, 5, 4711];
    /// items.get_many(&wanted, |at, item| {
    ///     assert_eq!(item, format!("item {}", wanted[at]).as_bytes());
    /// })?;
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Some items may have been delivered.
    ///
    /// * [`Io`](ErrorKind::Io): the system failed to read. Unlike by indexing, a device that fails
    ///   is an error here and no signal.
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): there is no memory for the places of the items.
    /// * [`Forked`](ErrorKind::Forked): the vector was made before a `fork`, in the parent.
    ///
    /// # Panics
    ///
    /// If an index is not below the length, before anything is delivered; and as `deliver` does.
    ///
    /// # Cost
    ///
    /// That of [`Arena::get_many`](crate::Arena::get_many) for twice as many items: places first,
    /// then bytes. 64 bytes of memory for each index.
    #[track_caller]
    pub fn get_many(&self, indices: &[usize], mut deliver: impl FnMut(usize, &[u8])) -> Result<()> {
        let len = self.len();
        if let Some(index) = indices.iter().find(|index| **index >= len) {
            past_end(*index, len);
        }
        self.deliver(indices, &mut deliver)
    }

    fn deliver(&self, indices: &[usize], deliver: &mut dyn FnMut(usize, &[u8])) -> Result<()> {
        let mut order: Vec<(usize, usize)> = room_for(indices.len())?;
        order.extend(indices.iter().copied().zip(0..));
        order.sort_unstable();
        let mut places: Vec<Range<usize>> = room_for(order.len())?;
        places.extend(
            order
                .iter()
                .map(|(index, _)| *index..index.saturating_add(2)),
        );
        let mut parts: Vec<Range<usize>> = room_for(order.len())?;
        parts.resize(order.len(), 0..0);
        self.offsets.read_ranges(&places, &mut |number, found| {
            if let Some(part) = parts.get_mut(number) {
                *part = part_of(found);
            }
        })?;
        drop(places);
        // Empty items have nothing to read.
        let (mut next, mut kept) = (0, 0_usize);
        order.retain(|(_, place)| {
            let part = parts.get(next).cloned().unwrap_or_default();
            next = next.saturating_add(1);
            if part.is_empty() {
                deliver(*place, &[]);
                return false;
            }
            if let Some(target) = parts.get_mut(kept) {
                *target = part;
            }
            kept = kept.saturating_add(1);
            true
        });
        parts.truncate(kept);
        self.bytes.read_ranges(&parts, &mut |number, found| {
            let (Found::Elements(item) | Found::Bytes(item)) = found;
            match order.get(number) {
                Some((_, place)) => deliver(*place, item),
                None => bug!("item {number} of {kept} was not asked for"),
            }
        })
    }

    /// Returns copies of the items at `indices`, in their order.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut items = outcore::BytesVec::new();
    /// items.try_extend(["a", "b", "c"])?;
    /// assert_eq!(items.gather(&[2, 0, 0])?, [b"c", b"a", b"a"]);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`get_many`](Self::get_many).
    ///
    /// # Panics
    ///
    /// If an index is not below the length.
    ///
    /// # Cost
    ///
    /// That of [`get_many`](Self::get_many), and an allocation for each item.
    #[track_caller]
    pub fn gather(&self, indices: &[usize]) -> Result<Vec<Vec<u8>>> {
        let mut copies: Vec<Vec<u8>> = room_for(indices.len())?;
        copies.resize_with(indices.len(), Vec::new);
        let mut full = false;
        self.get_many(indices, |place, item| {
            if let Some(copy) = copies.get_mut(place) {
                match copy.try_reserve_exact(item.len()) {
                    Ok(()) => copy.extend_from_slice(item),
                    Err(_full) => full = true,
                }
            }
        })?;
        if full { Err(no_memory()) } else { Ok(copies) }
    }

    /// Returns an iterator over all items that has the kernel read ahead and lets go of what was
    /// read: a scan of any length keeps a few MiB mapped.
    ///
    /// # Cost
    ///
    /// Two `madvise` for each 2 MiB, and four for the whole. The kernel reads ahead as much as the
    /// device's `read_ahead_kb` says.
    pub fn scan(&self) -> Scan<'_> {
        self.scan_range(0..self.len())
    }

    /// As [`scan`](Self::scan), for the items of a range.
    pub(crate) fn scan_range(&self, range: Range<usize>) -> Scan<'_> {
        Scan::new(self, range)
    }
}

/// Returns which bytes an item has, of its two offsets.
fn part_of(found: Found<'_, u64>) -> Range<usize> {
    let ends = match found {
        Found::Elements([start, end]) => Some((*start, *end)),
        Found::Bytes(bytes) => bytes.split_first_chunk().and_then(|(start, rest)| {
            let end = rest.first_chunk()?;
            Some((u64::from_ne_bytes(*start), u64::from_ne_bytes(*end)))
        }),
        Found::Elements(_) => None,
    };
    let part = ends
        .and_then(|(start, end)| Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?));
    part.unwrap_or_else(|| bug!("two offsets were asked for"))
}

/// Makes a list with room for `count` elements.
fn room_for<T>(count: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    let reserved = list.try_reserve_exact(count);
    reserved.map_err(|_full| no_memory())?;
    Ok(list)
}

#[cold]
fn no_memory() -> Error {
    let reason = "there is no memory for that many items";
    Error::refused(ErrorKind::OutOfMemory, "read items", reason)
}
