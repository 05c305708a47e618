//! A vector in a file that was sealed: read by system calls, every byte verified.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Range, RangeBounds};
use std::path::Path;

use bytemuck::Pod;

use crate::composites::sealed::types::{is_bytes, name_of};
use crate::containers::vec::DiskVec;
use crate::error::{ErrorKind, Result};
use crate::format::copy::copy;
use crate::format::description::{Description, KIND_VECTOR, short_name};
use crate::format::ranges::ReadRanges;
use crate::format::read::Sealed;

/// A vector in a file that [`DiskVec::seal`] has written.
///
/// It opens with a few reads, however long it is, and reads through system calls. A block of
/// the file is verified before its first byte is returned, once: a byte that changed on the device is
/// an error that names the block, and never a wrong element. Any number of processes and threads can
/// read the file at a time.
///
/// # Examples
///
/// ```
/// use outcore::{DiskVec, ErrorKind, ScratchDir, SealedVec};
///
/// # let name = format!("sealed-example-{}", std::process::id());
/// # let path = ScratchDir::from_env()?.path().join(name);
/// let mut numbers = DiskVec::new();
/// numbers.try_extend((0..100_000_u32).map(|n| n * 2))?;
/// numbers.seal(&path)?;
///
/// let numbers = SealedVec::<u32>::open(&path)?;
/// assert_eq!(numbers.len(), 100_000);
/// assert_eq!(numbers.read(10..13)?, [20, 22, 24]);
/// assert_eq!(numbers.gather(&[99_999, 0])?, [199_998, 0]);
/// assert_eq!(numbers.binary_search(&84)?, Ok(42));
/// numbers.verify()?;
/// let wrong = SealedVec::<f64>::open(&path).unwrap_err();
/// assert_eq!(wrong.kind(), ErrorKind::WrongType);
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), outcore::Error>(())
/// ```
///
/// # The type of the elements
///
/// The file says which type its elements have: size, alignment and name. All three have to be those
/// of `T`; the modules that the type is in are no part of its name. After a type was renamed, or from
/// a program that does not have it, read its elements as `[u8; N]` of the same size.
///
/// # What is not detected
///
/// The checksums are for devices, file systems and programs that lose or mix up bytes. They are no
/// protection against an adversary, who can compute them too. A block that was verified and changes
/// afterwards, while the vector is open, is not noticed.
///
/// # Memory
///
/// For each block of 16 KiB a bit, and 8 bytes once its part of the table was read.
pub struct SealedVec<T> {
    sealed: Sealed,
    len: usize,
    elements: PhantomData<fn() -> T>,
}

impl<T: Pod> SealedVec<T> {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// * [`WrongType`](ErrorKind::WrongType): the file holds something else than a vector of `T`.
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
        if let Some(reason) = mismatch::<T>(file) {
            return Err(sealed.refused(ErrorKind::WrongType, reason));
        }
        let Ok(len) = usize::try_from(file.elements) else {
            let reason = "it has more elements than this machine can count";
            return Err(sealed.refused(ErrorKind::CapacityOverflow, reason));
        };
        Ok(Self {
            sealed,
            len,
            elements: PhantomData,
        })
    }

    /// Returns an element.
    ///
    /// # Errors
    ///
    /// * [`OutOfBounds`](ErrorKind::OutOfBounds): the index is not below the length.
    /// * [`Corrupt`](ErrorKind::Corrupt): its block is damaged. Elements of other blocks can be read.
    /// * [`Io`](ErrorKind::Io): the system failed to read.
    ///
    /// # Cost
    ///
    /// One `pread` of the element if its block was verified, and of the block otherwise; the first
    /// time in 512 blocks, one of 4 KiB more.
    pub fn get(&self, index: usize) -> Result<T> {
        let end = index.checked_add(1).filter(|end| *end <= self.len);
        let Some(end) = end else {
            return Err(self.sealed.out_of_bounds(index, self.len));
        };
        let mut element = T::zeroed();
        self.read_over(index..end, bytemuck::bytes_of_mut(&mut element))?;
        Ok(element)
    }

    /// Returns copies of a range of elements.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get), and [`OutOfMemory`](ErrorKind::OutOfMemory): there is no memory
    /// for the copies.
    ///
    /// # Cost
    ///
    /// Reads of up to 1 MiB, many in flight.
    pub fn read(&self, range: impl RangeBounds<usize>) -> Result<Vec<T>> {
        let range = self.sealed.range_within(range, self.len)?;
        let mut copies = self.sealed.list_of(T::zeroed(), range.len())?;
        self.read_over(range, bytemuck::cast_slice_mut(&mut copies))?;
        Ok(copies)
    }

    /// Returns copies of the elements at `indices`, in their order. Many reads are in flight at a
    /// time.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    ///
    /// # Cost
    ///
    /// One read for elements that are close together. Memory in proportion to the number of indices.
    pub fn gather(&self, indices: &[usize]) -> Result<Vec<T>> {
        if let Some(index) = indices.iter().find(|index| **index >= self.len) {
            return Err(self.sealed.out_of_bounds(*index, self.len));
        }
        let mut copies = self.sealed.list_of(T::zeroed(), indices.len())?;
        if size_of::<T>() == 0 {
            return Ok(copies);
        }
        let mut order: Vec<(usize, usize)> = indices.iter().copied().zip(0..).collect();
        order.sort_unstable();
        for order in order.chunks(self.sealed.ranges_at_once()) {
            let ranges: Vec<_> = order
                .iter()
                .map(|(index, _place)| bytes_of::<T>(*index..index.saturating_add(1)))
                .collect();
            self.sealed.read(&ranges, &mut |number, bytes| {
                let place = order.get(number).map(|(_index, place)| *place);
                let target = place.and_then(|place| copies.get_mut(place));
                if let Some(target) = target {
                    copy(bytes, bytemuck::bytes_of_mut(target));
                }
            })?;
        }
        Ok(copies)
    }

    /// Searches the elements, which are sorted, for one: `Ok` with its index, or `Err` with the index
    /// at which it could be inserted.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    ///
    /// # Cost
    ///
    /// Reads one element for each halving of the length.
    pub fn binary_search(&self, element: &T) -> Result<Result<usize, usize>>
    where
        T: Ord,
    {
        self.binary_search_by(|found| found.cmp(element))
    }

    /// Does the same with a function that says how an element compares to what is searched.
    ///
    /// # Errors
    ///
    /// Those of [`get`](Self::get).
    pub fn binary_search_by(
        &self,
        mut compare: impl FnMut(&T) -> Ordering,
    ) -> Result<Result<usize, usize>> {
        let (mut start, mut end) = (0, self.len);
        while start < end {
            let middle = usize::midpoint(start, end);
            match compare(&self.get(middle)?) {
                Ordering::Equal => return Ok(Ok(middle)),
                Ordering::Less => start = middle.saturating_add(1),
                Ordering::Greater => end = middle,
            }
        }
        Ok(Err(start))
    }

    /// Copies the elements into a [`DiskVec`], to go on working with them.
    ///
    /// # Errors
    ///
    /// Those of [`scan`](Self::scan) and of [`DiskVec::extend_from_slice`].
    pub fn to_disk_vec(&self) -> Result<DiskVec<T>> {
        let mut vec = DiskVec::new();
        vec.reserve_exact(self.len)?;
        for chunk in self.scan() {
            vec.extend_from_slice(&chunk?)?;
        }
        Ok(vec)
    }

    /// Reads elements into memory that has room for exactly them.
    fn read_over(&self, range: Range<usize>, target: &mut [u8]) -> Result<()> {
        self.sealed.read_over(bytes_of::<T>(range), target)
    }
}

impl<T> SealedVec<T> {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Verifies every byte of the file, also those that were verified before.
    ///
    /// # Errors
    ///
    /// * [`Corrupt`](ErrorKind::Corrupt): the message names the first damaged part. Elements of
    ///   other blocks can be read.
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
}

/// Returns the bytes of a range of elements of which there are that many.
fn bytes_of<T>(range: Range<usize>) -> Range<u64> {
    let byte = |index: usize| (index as u64).saturating_mul(size_of::<T>() as u64);
    byte(range.start)..byte(range.end)
}

/// Returns why a file is no vector of `T`.
fn mismatch<T: Pod>(file: &Description) -> Option<String> {
    if cfg!(target_endian = "big") {
        return Some("it is little endian, and this machine is not".to_owned());
    }
    if file.kind != KIND_VECTOR {
        return Some(format!(
            "it holds no vector, but what has the kind {}",
            file.kind
        ));
    }
    let (size, align, name) = (size_of::<T>(), align_of::<T>(), name_of::<T>());
    if file.element_bytes != size as u64 {
        let (found, expected) = (&file.type_name, file.element_bytes);
        return Some(format!(
            "its elements are `{found}` of {expected} bytes, and `{name}` has {size}"
        ));
    }
    if is_bytes::<T>() {
        return None;
    }
    if u64::from(file.element_align) != align as u64 || short_name(&name) != file.type_name {
        let (found, expected) = (&file.type_name, file.element_align);
        return Some(format!(
            "its elements are `{found}`, aligned to {expected}, and `{name}` is aligned to {align}; \
             read them as `[u8; {size}]` if these are the same"
        ));
    }
    None
}

impl<T> fmt::Debug for SealedVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedVec")
            .field("len", &self.len)
            .field("sealed", &self.sealed)
            .finish_non_exhaustive()
    }
}
