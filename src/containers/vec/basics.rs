//! The constructors of a vector, adding and removing one element, and its capacity.
#![expect(unsafe_code, reason = "reads and writes elements; see docs/safety.md")]

use crate::budget::MemoryBudget;
use crate::containers::vec::DiskVec;
use crate::error::Result;
use crate::io::dir::ScratchDir;
use crate::mapping::region::Region;

impl<T> DiskVec<T> {
    /// Creates an empty vector. Its file will be in the directory of [`ScratchDir::from_env`],
    /// which is called when the file is needed.
    ///
    /// # Cost
    ///
    /// None: no file, no memory and no addresses before the first element.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_region(Region::new(None, align_of::<T>()))
    }

    /// Creates an empty vector whose file will be in `dir`.
    #[must_use]
    pub fn new_in(dir: &ScratchDir) -> Self {
        Self::with_region(Region::new(Some(dir.clone()), align_of::<T>()))
    }

    /// Creates an empty vector whose elements stay in memory, without a file, as long as the budget
    /// has memory for them.
    ///
    /// When the budget refuses, all elements go to a file by one `pwrite`, their memory goes back to
    /// the budget, and the vector goes on as any other. It is the same slice all the while, and no
    /// element moves. Elements of up to 64 KiB, and the window at the end of a vector that has a file,
    /// are not of the budget.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{DiskVec, MemoryBudget};
    ///
    /// let budget = MemoryBudget::new(4 << 20);
    /// let mut numbers = DiskVec::with_budget(&budget);
    /// numbers.try_extend(0..100_000_u64)?;
    /// assert_eq!(numbers.disk_bytes(), 0);
    /// numbers.try_extend(100_000..1_000_000)?;
    /// assert!(numbers.disk_bytes() >= 8_000_000);
    /// assert_eq!((numbers[99_999], budget.used_bytes()), (99_999, 0));
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// None before the first element. In memory, that of `Vec`, without its copies.
    #[must_use]
    pub fn with_budget(budget: &MemoryBudget) -> Self {
        Self::with_region(Region::new(None, align_of::<T>()).in_budget(budget))
    }

    /// Creates an empty vector as [`with_budget`](Self::with_budget), whose file will be in `dir`.
    #[must_use]
    pub fn with_budget_in(budget: &MemoryBudget, dir: &ScratchDir) -> Self {
        let region = Region::new(Some(dir.clone()), align_of::<T>());
        Self::with_region(region.in_budget(budget))
    }

    /// Creates an empty vector that has space for `capacity` elements.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve).
    pub fn with_capacity(capacity: usize) -> Result<Self> {
        let mut vec = Self::new();
        vec.reserve_exact(capacity)?;
        Ok(vec)
    }

    /// Creates an empty vector in `dir` that has space for `capacity` elements.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve).
    pub fn with_capacity_in(capacity: usize, dir: &ScratchDir) -> Result<Self> {
        let mut vec = Self::new_in(dir);
        vec.reserve_exact(capacity)?;
        Ok(vec)
    }

    /// Appends an element.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut numbers = outcore::DiskVec::new();
    /// numbers.push(1)?;
    /// numbers.push(2)?;
    /// assert_eq!(numbers, [1, 2]);
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The vector is unchanged after each of them, and `value` is dropped. To keep it, call
    /// [`reserve`](Self::reserve) and [`push_within_capacity`](Self::push_within_capacity).
    ///
    /// * [`StorageFull`](crate::ErrorKind::StorageFull),
    ///   [`FileTooLarge`](crate::ErrorKind::FileTooLarge): the file cannot grow. Free space and
    ///   push again.
    /// * [`OutOfMemory`](crate::ErrorKind::OutOfMemory): there is no memory for the window, or no
    ///   addresses for the vector.
    /// * [`Forked`](crate::ErrorKind::Forked): the vector was created before a `fork`, in the
    ///   parent.
    /// * [`Io`](crate::ErrorKind::Io): the file could not be created or written.
    ///
    /// # Cost
    ///
    /// That of `Vec::push`, and one `pwrite`, `mremap` and `mmap` for each window: an eighth of the
    /// vector, from 64 KiB to 1 MiB. Above 64 KiB, no element is copied to grow.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<()> {
        if self.len == self.limit {
            self.make_accessible(1)?;
        }
        // SAFETY: `len < limit`, so there is an accessible element behind the last one.
        unsafe { self.push_unchecked(value) };
        Ok(())
    }

    /// Appends an element if that needs no further space, and returns it otherwise.
    ///
    /// # Errors
    ///
    /// The element, if `len == capacity` or the window could not be written to the file.
    #[inline]
    pub fn push_within_capacity(&mut self, value: T) -> Result<(), T> {
        if self.len == self.limit
            && (self.len >= self.capacity() || self.make_accessible(1).is_err())
        {
            return Err(value);
        }
        // SAFETY: `len < limit`, so there is an accessible element behind the last one.
        unsafe { self.push_unchecked(value) };
        Ok(())
    }

    /// Removes the last element and returns it, or `None` if there is none.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        let last = self.ptr.as_ptr().wrapping_add(self.len);
        // SAFETY: the element was initialized (invariant 2), and the shorter length disowns it.
        Some(unsafe { last.read() })
    }

    /// Returns how many elements the vector can have without preallocating more space.
    pub fn capacity(&self) -> usize {
        let elements = self.region.capacity().checked_div(size_of::<T>());
        elements.unwrap_or(usize::MAX)
    }

    /// Preallocates space for at least `additional` more elements, with some to spare.
    ///
    /// # Errors
    ///
    /// The vector is unchanged after each of them.
    ///
    /// * [`CapacityOverflow`](crate::ErrorKind::CapacityOverflow): the size exceeds the address
    ///   space.
    /// * Those of [`push`](Self::push).
    ///
    /// # Cost
    ///
    /// One `fallocate`. The elements move, without being copied, only if the addresses reserved so
    /// far do not suffice.
    pub fn reserve(&mut self, additional: usize) -> Result<()> {
        let need = self.bytes_for(additional)?;
        self.grow_with(need, |region, used| region.reserve(used, need, false))
    }

    /// Preallocates space for exactly `additional` more elements, up to whole pages.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve).
    pub fn reserve_exact(&mut self, additional: usize) -> Result<()> {
        let need = self.bytes_for(additional)?;
        self.grow_with(need, |region, used| region.reserve(used, need, true))
    }

    /// Gives unused space back to the disk, up to whole pages. A vector of at most 64 KiB moves
    /// into memory and closes its file.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::ErrorKind::Io), [`OutOfMemory`](crate::ErrorKind::OutOfMemory) or
    /// [`Forked`](crate::ErrorKind::Forked): the elements are unchanged, part of the space may have
    /// been given back.
    pub fn shrink_to_fit(&mut self) -> Result<()> {
        if self.len == 0 && !Self::ZERO_SIZED {
            self.start_anew();
            return Ok(());
        }
        self.grow_with(0, Region::shrink)
    }

    /// Returns the number of bytes that the vector has preallocated on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.region.claimed_bytes()
    }
}
