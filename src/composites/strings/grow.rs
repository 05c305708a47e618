//! The methods that add many items, all or none of them where that can be.

use std::mem::ManuallyDrop;

use crate::composites::strings::bytes_vec::BytesVec;
use crate::error::Result;

/// Bytes that are appended at once: more than the shortest window is mapped and faulted in, page by
/// page, where less is copied into a window.
const PIECE_BYTES: usize = 64 << 10;

/// Shortens a vector to a length again unless it is told not to: what undoes an extension that
/// failed or panicked halfway. It looks at no item, since a forked child may not have them.
struct Undo<'a> {
    items: &'a mut BytesVec,
    len: usize,
    len_bytes: usize,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        self.items.offsets.truncate(self.len.saturating_add(1));
        self.items.bytes.truncate(self.len_bytes);
    }
}

impl BytesVec {
    /// Appends the items of an iterator.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut items = outcore::BytesVec::new();
    /// items.try_extend((0..1000_u16).map(u16::to_be_bytes))?;
    /// assert_eq!(&items[258], [1, 2]);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push). What was appended before stays; the item that found no space
    /// is dropped, and the iterator is not asked for more.
    pub fn try_extend(&mut self, items: impl IntoIterator<Item: AsRef<[u8]>>) -> Result<()> {
        items.into_iter().try_for_each(|item| self.push(item))
    }

    /// Appends copies of all items of a slice.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push). The vector is unchanged: nothing of the slice is appended. That
    /// also holds when an `as_ref` panics.
    pub fn extend_from_slice(&mut self, items: &[impl AsRef<[u8]>]) -> Result<()> {
        self.extend_all(items.len(), || items.iter().map(AsRef::as_ref))
    }

    /// Appends `count` items, or none of them; `items` may not return the same twice.
    pub(super) fn extend_all<'i, I: Iterator<Item = &'i [u8]>>(
        &mut self,
        count: usize,
        items: impl Fn() -> I,
    ) -> Result<()> {
        let bytes = items().map(<[u8]>::len);
        self.reserve(count, bytes.fold(0_usize, usize::saturating_add))?;
        let (len, len_bytes) = (self.len(), self.len_bytes());
        let undo = Undo {
            items: self,
            len,
            len_bytes,
        };
        items().try_for_each(|item| undo.items.push_slice(item))?;
        let _extended = ManuallyDrop::new(undo);
        Ok(())
    }

    /// Moves all items of another vector to the end of this one.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve) and [`push`](Self::push); the items of both vectors are
    /// unchanged.
    ///
    /// # Cost
    ///
    /// A copy of all items.
    pub fn append(&mut self, other: &mut Self) -> Result<()> {
        self.extend_from_vec(other)?;
        other.clear();
        Ok(())
    }

    /// Appends copies of all items of another vector.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve) and [`push`](Self::push); the items are unchanged.
    pub fn extend_from_vec(&mut self, other: &Self) -> Result<()> {
        let count = other.len();
        if count == 0 {
            return Ok(());
        }
        self.reserve(count, other.len_bytes())?;
        if self.offsets.is_empty() {
            self.offsets.push(0)?;
        }
        let (len, start) = (self.len(), self.bytes.len());
        self.extend_bytes(&other.bytes)?;
        let ends = other.offsets.get(1..).unwrap_or_default();
        let ends = ends.iter().map(|end| end.saturating_add(start as u64));
        let extended = self.offsets.try_extend(ends);
        if extended.is_err() {
            self.offsets.truncate(len.saturating_add(1));
            self.bytes.truncate(start);
        }
        extended
    }

    /// Appends bytes that belong to no item yet, or none of them.
    pub(super) fn extend_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() <= PIECE_BYTES {
            return self.bytes.extend_copied(bytes);
        }
        self.extend_long(bytes)
    }

    fn extend_long(&mut self, bytes: &[u8]) -> Result<()> {
        let len = self.bytes.len();
        self.bytes.reserve(bytes.len())?;
        let mut pieces = bytes.chunks(PIECE_BYTES);
        let extended = pieces.try_for_each(|piece| self.bytes.extend_copied(piece));
        if extended.is_err() {
            self.bytes.truncate(len);
        }
        extended
    }
}
