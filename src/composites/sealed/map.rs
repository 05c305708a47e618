//! A sealed vector as a slice.
#![expect(
    unsafe_code,
    reason = "a function whose caller vouches for a file; see docs/safety.md"
)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::slice;

use bytemuck::Pod;

use crate::bug::bug;
use crate::composites::sealed::vec::SealedVec;
use crate::error::{ErrorKind, Result};
use crate::format::DATA_START;
use crate::format::map::MappedData;

/// The elements of a sealed vector as a slice, without a copy; made by [`SealedVec::map`].
pub struct SealedMap<T> {
    data: MappedData,
    len: usize,
    elements: PhantomData<fn() -> T>,
}

impl<T: Pod> SealedVec<T> {
    /// Maps the file, and lends the elements as a slice.
    ///
    /// Nothing is verified: call [`verify`](Self::verify) before, if the file may be damaged. Wrong
    /// bytes are wrong elements and nothing worse, since every byte is one of an element.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{DiskVec, ScratchDir, SealedVec};
    ///
    /// # let name = format!("map-example-{}", std::process::id());
    /// # let path = ScratchDir::from_env()?.path().join(name);
    /// let mut numbers = DiskVec::new();
    /// numbers.try_extend(0..1000_u64)?;
    /// numbers.seal(&path)?;
    /// let numbers = SealedVec::<u64>::open(&path)?;
    /// // SAFETY: the file was just made, and no other program knows of it.
    /// let map = unsafe { numbers.map()? };
    /// assert_eq!(map.binary_search(&421), Ok(421));
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Safety
    ///
    /// While the map lives, no process writes to the file or shortens it. (To replace it by another
    /// file of the same name, and to remove the name, is allowed.)
    ///
    /// # Errors
    ///
    /// * [`Io`](ErrorKind::Io): the vector comes from another source than a file of this machine, its
    ///   elements need a larger alignment than 4096, or the system refuses the mapping.
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): no addresses are left.
    ///
    /// # Cost
    ///
    /// One `mmap`. A page that the device cannot deliver kills the process with `SIGBUS` when it is
    /// accessed, as with every mapped file.
    pub unsafe fn map(&self) -> Result<SealedMap<T>> {
        if align_of::<T>() as u64 > DATA_START {
            let reason = "its elements need a larger alignment than pages have";
            return Err(self.sealed().refused(ErrorKind::Io, reason));
        }
        // SAFETY: the caller vouches for the file.
        let data = unsafe { self.sealed().map()? };
        Ok(SealedMap {
            data,
            len: self.len(),
            elements: PhantomData,
        })
    }
}

impl<T: Pod> SealedMap<T> {
    /// Returns the elements.
    pub fn as_slice(&self) -> &[T] {
        if size_of::<T>() == 0 {
            // SAFETY: elements without bytes need none, and every `Pod` type has a value.
            return unsafe { slice::from_raw_parts(NonNull::dangling().as_ptr(), self.len) };
        }
        // The data begin at a multiple of 4096, which `map` compared with the alignment, and are
        // whole elements, which the description of the file was checked for.
        let bytes = self.data.bytes();
        let elements = bytemuck::try_cast_slice(bytes).ok();
        elements.unwrap_or_else(|| bug!("{} bytes of {} elements", bytes.len(), self.len))
    }
}

impl<T: Pod> Deref for SealedMap<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T> fmt::Debug for SealedMap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedMap")
            .field("bytes", &self.data.bytes().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(any(miri, memory_backend, loom, shuttle)))]
mod tests {
    use crate::composites::sealed::SealedVec;
    use crate::containers::vec::DiskVec;
    use crate::io::dir::ScratchDir;

    /// The map of a vector of elements without bytes had none of them.
    #[test]
    fn elements_without_bytes_are_mapped() {
        if cfg!(target_endian = "big") {
            return;
        }
        let name = format!("map-{}", std::process::id());
        let path = ScratchDir::from_env().unwrap().path().join(name);
        let mut nothing = DiskVec::<()>::new();
        nothing.try_extend([(); 5]).unwrap();
        nothing.seal(&path).unwrap();
        let sealed = SealedVec::<()>::open(&path).unwrap();
        // SAFETY: the file was just made, and no other program knows of it.
        let map = unsafe { sealed.map().unwrap() };
        assert_eq!(*map, [(); 5]);
        std::fs::remove_file(path).unwrap();
    }
}
