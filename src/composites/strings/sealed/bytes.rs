//! Byte strings in a file that was sealed: read by system calls, every byte verified.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Range, RangeBounds};
use std::path::Path;

use crate::composites::strings::bytes_vec::BytesVec;
use crate::composites::strings::sealed::items::ByteStrings;
use crate::error::{Error, ErrorKind, Result};
use crate::format::copy::{copy, pieces_of};
use crate::format::ranges::ReadRanges;
use crate::format::read::Sealed;
use crate::format::strings::{KIND_TEXT, StringsLayout};

/// Byte strings in a file that [`BytesVec::seal`] has written, or [`StrVec::seal`](crate::StrVec::seal).
///
/// It opens with a few reads, however long it is, and reads through system calls. A block of the file
/// is verified before its first byte is returned, once: a byte that changed on the device is an error
/// that names the block, and never a wrong item. Any number of processes and threads can read the file
/// at a time.
///
/// # Examples
///
/// ```
/// use outcore::{BytesVec, ScratchDir, SealedBytesVec};
///
/// # let name = format!("sealed-bytes-example-{}", std::process::id());
/// # let path = ScratchDir::from_env()?.path().join(name);
/// let mut keys = BytesVec::new();
/// keys.try_extend((0..10_000_u16).map(u16::to_be_bytes))?;
/// keys.seal(&path)?;
///
/// let keys = SealedBytesVec::open(&path)?;
/// assert_eq!((keys.len(), keys.get(258)?), (10_000, vec![1, 2]));
/// assert_eq!(keys.read(1..3)?, [[0, 1], [0, 2]]);
/// assert_eq!(keys.gather(&[300, 2])?, [[1, 44], [0, 2]]);
/// assert_eq!(keys.binary_search([1, 44])?, Ok(300));
/// keys.verify()?;
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # What is not detected
///
/// As of [`SealedVec`](crate::sealed): the checksums are no protection against an adversary, who can
/// compute them too. Such a file has other items than expected, or returns errors, and nothing worse.
///
/// # Memory
///
/// For each block of 16 KiB a bit, and 8 bytes once its part of the table was read.
pub struct SealedBytesVec {
    sealed: Sealed,
    layout: StringsLayout,
    len: usize,
}

impl SealedBytesVec {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// * [`WrongType`](ErrorKind::WrongType): the file holds no strings.
    /// * [`Corrupt`](ErrorKind::Corrupt): it is no sealed file, a part of one, or damaged so that it
    ///   cannot be read.
    /// * [`UnknownVersion`](ErrorKind::UnknownVersion): a later version of this library wrote it.
    /// * [`Io`](ErrorKind::Io): it cannot be opened or read.
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): there is no memory for the state of its blocks.
    ///
    /// # Cost
    ///
    /// Four system calls, one of which reads 32 KiB.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::of(Sealed::open(path.as_ref())?)
    }

    /// Opens a file that comes from somewhere else, such as an object store.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and those of the source.
    pub fn open_from(source: impl ReadRanges + 'static) -> Result<Self> {
        Self::of(Sealed::open_from(Box::new(source))?)
    }

    fn of(sealed: Sealed) -> Result<Self> {
        let file = sealed.description();
        let Some(layout) = StringsLayout::of(file) else {
            let (name, kind) = (&file.type_name, file.kind);
            let reason = format!("it holds no strings, but `{name}`, and has the kind {kind}");
            return Err(sealed.refused(ErrorKind::WrongType, reason));
        };
        let Ok(len) = usize::try_from(layout.count()) else {
            let reason = "it has more items than this machine can count";
            return Err(sealed.refused(ErrorKind::CapacityOverflow, reason));
        };
        Ok(Self {
            sealed,
            layout,
            len,
        })
    }

    /// Returns a copy of an item.
    ///
    /// # Errors
    ///
    /// * [`OutOfBounds`](ErrorKind::OutOfBounds): the index is not below the length.
    /// * [`Corrupt`](ErrorKind::Corrupt): its block is damaged. Items of other blocks can be read.
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): there is no memory for the copy.
    /// * [`Io`](ErrorKind::Io): the system failed to read.
    ///
    /// # Cost
    ///
    /// One `pread` of the item's place and one of its bytes if their blocks were verified, and of the
    /// blocks otherwise; the first time in 512 blocks, one of 4 KiB more.
    pub fn get(&self, index: usize) -> Result<Vec<u8>> {
        let mut item = Vec::new();
        self.get_over(index, &mut item)?;
        Ok(item)
    }

    /// Replaces the contents of `item` by those of an item; it is empty after an error.
    pub(super) fn get_over(&self, index: usize, item: &mut Vec<u8>) -> Result<()> {
        item.clear();
        let end = index.checked_add(1).filter(|end| *end <= self.len);
        let Some(end) = end else {
            return Err(self.sealed.out_of_bounds(index, self.len));
        };
        let mut offsets = [0; 16];
        let place = self.layout.offsets_of(index..end);
        self.sealed.read_over(place, &mut offsets)?;
        let (bytes, len) = self.place(index, pair(&offsets))?;
        if item.try_reserve_exact(len).is_err() {
            return Err(self.no_memory());
        }
        item.resize(len, 0);
        let read = self.sealed.read_over(bytes, item);
        if read.is_err() {
            item.clear();
        }
        read
    }

    /// Returns copies of a range of items.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    ///
    /// # Cost
    ///
    /// Reads of up to 1 MiB, many in flight. 16 bytes of memory for each item, and its bytes.
    pub fn read(&self, range: impl RangeBounds<usize>) -> Result<ByteStrings> {
        let range = self.sealed.range_within(range, self.len)?;
        let offsets = self.offsets(range.clone())?;
        self.read_parts(range.start, &offsets)
    }

    /// Returns the offsets of a range of items, one more than there are items, which ascend and end
    /// within the bytes; nothing for no items.
    pub(super) fn offsets(&self, range: Range<usize>) -> Result<Vec<u64>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let count = range.len().saturating_add(1);
        let mut offsets = self.sealed.room_for(count)?;
        let mut encoded = Vec::new();
        let place = self.layout.offsets_of(range.clone());
        for piece in pieces_of(place) {
            let len = usize::try_from(piece.end.saturating_sub(piece.start));
            encoded.resize(len.unwrap_or(usize::MAX), 0);
            self.sealed.read_over(piece, &mut encoded)?;
            offsets.extend(encoded.chunks_exact(8).map(word));
        }
        for (index, ends) in range.zip(offsets.windows(2)) {
            if let [start, end] = ends {
                self.place(index, (*start, *end))?;
            }
        }
        Ok(offsets)
    }

    /// Returns copies of the items from `first` whose offsets these are.
    pub(super) fn read_parts(&self, first: usize, offsets: &[u64]) -> Result<ByteStrings> {
        let (Some(start), Some(end)) = (offsets.first(), offsets.last()) else {
            return Ok(ByteStrings::default());
        };
        let (bytes, len) = self.place(first, (*start, *end))?;
        let mut ends = self.sealed.room_for(offsets.len())?;
        let places = offsets.iter().skip(1);
        // They are not longer than all together, which fit into memory.
        ends.extend(places.map(|end| usize::try_from(end.saturating_sub(*start)).unwrap_or(len)));
        let mut copies = self.sealed.list_of(0, len)?;
        self.sealed.read_over(bytes, &mut copies)?;
        Ok(ByteStrings::new(copies, ends))
    }

    /// Returns copies of the items at `indices`, in their order. Many reads are in flight at a time.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    ///
    /// # Cost
    ///
    /// One read for items that are close together, and one for their places. 90 bytes of memory for
    /// each index, and the items.
    pub fn gather(&self, indices: &[usize]) -> Result<ByteStrings> {
        if let Some(index) = indices.iter().find(|index| **index >= self.len) {
            return Err(self.sealed.out_of_bounds(*index, self.len));
        }
        let mut order: Vec<(usize, usize)> = self.sealed.room_for(indices.len())?;
        order.extend(indices.iter().copied().zip(0..));
        order.sort_unstable();
        let parts = self.gather_places(&order)?;
        let (mut copies, ends) = self.room_for_parts(&order, &parts)?;
        // Which bytes of the data go where. An item that is asked for twice is read twice.
        let mut pieces: Vec<(Range<u64>, usize)> = Vec::new();
        for ((_index, place), part) in order.iter().zip(parts) {
            let target = place.checked_sub(1).and_then(|before| ends.get(before));
            let mut target = target.copied().unwrap_or(0);
            for piece in pieces_of(part) {
                if pieces.try_reserve(1).is_err() {
                    return Err(self.no_memory());
                }
                let len = usize::try_from(piece.end.saturating_sub(piece.start));
                pieces.push((piece, target));
                target = target.saturating_add(len.unwrap_or(usize::MAX));
            }
        }
        drop(order);
        pieces.sort_unstable_by_key(|(piece, _target)| piece.start);
        for pieces in pieces.chunks(self.sealed.ranges_at_once()) {
            let ranges: Vec<_> = pieces
                .iter()
                .map(|(piece, _target)| piece.clone())
                .collect();
            self.sealed.read(&ranges, &mut |number, bytes| {
                let target = pieces
                    .get(number)
                    .map_or(usize::MAX, |(_piece, target)| *target);
                let end = target.saturating_add(bytes.len());
                copy(bytes, copies.get_mut(target..end).unwrap_or_default());
            })?;
        }
        Ok(ByteStrings::new(copies, ends))
    }

    /// Returns which bytes the items of ascending indices have. They ascend too.
    fn gather_places(&self, order: &[(usize, usize)]) -> Result<Vec<Range<u64>>> {
        let mut parts: Vec<Range<u64>> = self.sealed.list_of(0..0, order.len())?;
        let at_once = self.sealed.ranges_at_once();
        for (order, parts) in order.chunks(at_once).zip(parts.chunks_mut(at_once)) {
            let places: Vec<_> = order
                .iter()
                .map(|(index, _place)| self.layout.offsets_of(*index..index.saturating_add(1)))
                .collect();
            self.sealed.read(&places, &mut |number, bytes| {
                if let Some(part) = parts.get_mut(number) {
                    let (start, end) = pair(bytes);
                    *part = start..end;
                }
            })?;
        }
        let mut last = (0, 0..0);
        for ((index, _place), part) in order.iter().zip(&parts) {
            self.place(*index, (part.start, part.end))?;
            // A hostile file can have items that overlap, which reads in order rely on.
            let is_after = last.1.end <= part.start || (last.0 == *index && last.1 == *part);
            if !is_after {
                return Err(self.contradiction(*index));
            }
            last = (*index, part.clone());
        }
        Ok(parts)
    }

    /// Makes room for copies of items, and says where in it each of them ends, in the order asked for.
    fn room_for_parts(
        &self,
        order: &[(usize, usize)],
        parts: &[Range<u64>],
    ) -> Result<(Vec<u8>, Vec<usize>)> {
        let mut ends: Vec<usize> = self.sealed.list_of(0, order.len())?;
        for ((_index, place), part) in order.iter().zip(parts) {
            let len = usize::try_from(part.end.saturating_sub(part.start));
            if let (Some(end), Ok(len)) = (ends.get_mut(*place), len) {
                *end = len;
            }
        }
        let mut all: usize = 0;
        for end in &mut ends {
            all = all.checked_add(*end).ok_or_else(|| self.no_memory())?;
            *end = all;
        }
        Ok((self.sealed.list_of(0, all)?, ends))
    }

    /// Searches the items, which are sorted, for one: `Ok` with the index of the first that is equal,
    /// or `Err` with the index at which it could be inserted.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    ///
    /// # Cost
    ///
    /// Reads one item for each halving of the length.
    pub fn binary_search(&self, item: impl AsRef<[u8]>) -> Result<Result<usize, usize>> {
        let item = item.as_ref();
        self.binary_search_by(|found| found.cmp(item))
    }

    /// Does the same with a function that says how an item compares to what is searched.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub fn binary_search_by(
        &self,
        mut compare: impl FnMut(&[u8]) -> Ordering,
    ) -> Result<Result<usize, usize>> {
        self.search_by(|_index, item| Ok(compare(item)))
    }

    /// Searches with a function that can fail, and is passed the index too.
    pub(super) fn search_by(
        &self,
        mut compare: impl FnMut(usize, &[u8]) -> Result<Ordering>,
    ) -> Result<Result<usize, usize>> {
        let mut item = Vec::new();
        let (mut start, mut end) = (0, self.len);
        // Whether the item at `end` is equal.
        let mut is_found = false;
        while start < end {
            let middle = usize::midpoint(start, end);
            self.get_over(middle, &mut item)?;
            match compare(middle, &item)? {
                Ordering::Less => start = middle.saturating_add(1),
                order => {
                    end = middle;
                    is_found = order == Ordering::Equal;
                }
            }
        }
        Ok(if is_found { Ok(start) } else { Err(start) })
    }

    /// Copies the items into a [`BytesVec`], to go on working with them.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get) and of [`BytesVec::push`].
    pub fn to_bytes_vec(&self) -> Result<BytesVec> {
        let mut items = BytesVec::new();
        items.reserve(self.len, self.len_bytes())?;
        for chunk in self.scan() {
            items.try_extend(chunk?.iter())?;
        }
        Ok(items)
    }

    /// Returns the number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of bytes of all items together.
    pub fn len_bytes(&self) -> usize {
        usize::try_from(self.layout.text_bytes()).unwrap_or(usize::MAX)
    }

    /// Verifies every byte of the file, also those that were verified before.
    ///
    /// # Errors
    ///
    /// * [`Corrupt`](ErrorKind::Corrupt): the message names the first damaged part. Items of other
    ///   blocks can be read.
    /// * [`Io`](ErrorKind::Io): the system failed to read.
    ///
    /// # Cost
    ///
    /// Reads the whole file, 8 MiB at a time.
    pub fn verify(&self) -> Result<()> {
        self.sealed.verify(&mut |_bytes| {})
    }

    pub(super) fn sealed(&self) -> &Sealed {
        &self.sealed
    }

    pub(super) fn layout(&self) -> &StringsLayout {
        &self.layout
    }

    /// Returns whether the file says that its items are UTF-8, which proves nothing.
    pub(super) fn is_text(&self) -> bool {
        self.sealed.description().kind == KIND_TEXT
    }

    /// Returns which bytes an item has that begins and ends there, and how many.
    fn place(&self, index: usize, (start, end): (u64, u64)) -> Result<(Range<u64>, usize)> {
        let Some(len) = end
            .checked_sub(start)
            .filter(|_| end <= self.layout.text_bytes())
        else {
            return Err(self.contradiction(index));
        };
        let len = usize::try_from(len).map_err(|_long| self.no_memory())?;
        Ok((start..end, len))
    }

    #[cold]
    fn contradiction(&self, index: usize) -> Error {
        self.sealed
            .refused(ErrorKind::Corrupt, contradiction(index))
    }

    #[cold]
    fn no_memory(&self) -> Error {
        let reason = "there is no memory for that many bytes";
        self.sealed.refused(ErrorKind::OutOfMemory, reason)
    }
}

/// Returns the number that eight bytes hold.
pub(super) fn word(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(0, |word| u64::from_le_bytes(*word))
}

/// Returns two offsets; what is missing is 0.
pub(super) fn pair(bytes: &[u8]) -> (u64, u64) {
    let (start, end) = bytes.split_at(bytes.len().min(8));
    (word(start), word(end))
}

/// Says that the place of an item cannot be.
#[cold]
pub(super) fn contradiction(index: usize) -> String {
    format!("the places of its items contradict each other: that of item {index}")
}

impl fmt::Debug for SealedBytesVec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedBytesVec")
            .field("len", &self.len)
            .field("sealed", &self.sealed)
            .finish_non_exhaustive()
    }
}
