//! Writing a vector to a file that lasts.

use std::path::Path;

use bytemuck::Pod;

use crate::composites::sealed::types::{layout_of, name_of};
use crate::containers::vec::DiskVec;
use crate::error::{Error, ErrorKind, Result};
use crate::format::description::KIND_VECTOR;
use crate::format::write::{Contents, Writer};

impl<T: Pod> DiskVec<T> {
    /// Writes the elements to a new file, which [`SealedVec`](crate::SealedVec) opens in any later
    /// process.
    ///
    /// The file appears under its name when all of it is on the device, or not at all: also if the
    /// process is killed or the power fails. If something has the name already, it is left alone;
    /// [`seal_replacing`](Self::seal_replacing) replaces it.
    ///
    /// Vectors of numbers and of plain structs become files that Arrow reads too, without a copy
    /// (`pyarrow.ipc.open_file`, `polars.read_ipc`): one column, `values`.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{DiskVec, ScratchDir, SealedVec};
    ///
    /// # let name = format!("seal-example-{}", std::process::id());
    /// # let path = ScratchDir::from_env()?.path().join(name);
    /// let mut squares = DiskVec::new();
    /// squares.try_extend((0..1000_u64).map(|n| n * n))?;
    /// squares.seal(&path)?;
    ///
    /// let squares = SealedVec::<u64>::open(&path)?;
    /// assert_eq!(squares.get(12)?, 144);
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The vector is unchanged, and what is at the path is as it was.
    ///
    /// * [`Io`](ErrorKind::Io) with [`AlreadyExists`](std::io::ErrorKind::AlreadyExists): something
    ///   has the name.
    /// * [`StorageFull`](ErrorKind::StorageFull), [`FileTooLarge`](ErrorKind::FileTooLarge),
    ///   [`Io`](ErrorKind::Io): as of [`AtomicFile`](crate::AtomicFile). Where only the last sync
    ///   fails, that of the directory, the file is there, and only a power cut can undo that.
    /// * [`OutOfMemory`](ErrorKind::OutOfMemory): there is no memory for the checksums.
    /// * [`Forked`](ErrorKind::Forked): the vector was created before a `fork`, in the parent.
    ///
    /// # Cost
    ///
    /// One sequential copy of the elements, with a checksum of each 16 KiB, and two `fsync`. 8 bytes
    /// of memory for each 16 KiB, and 1 MiB.
    pub fn seal(&self, path: impl AsRef<Path>) -> Result<()> {
        self.seal_at(path.as_ref(), false)
    }

    /// Does the same as [`seal`](Self::seal), and replaces the file that has the name, if there is
    /// one. At every moment the name leads to the old file or to the new one.
    ///
    /// # Errors
    ///
    /// Those of [`seal`](Self::seal), except that a file may have the name.
    pub fn seal_replacing(&self, path: impl AsRef<Path>) -> Result<()> {
        self.seal_at(path.as_ref(), true)
    }

    fn seal_at(&self, path: &Path, replaces: bool) -> Result<()> {
        self.check_inherited()?;
        if cfg!(target_endian = "big") {
            let reason = "sealed files are little endian, and this machine is not";
            return Err(Error::refused(ErrorKind::WrongType, "seal", reason).at(path));
        }
        let mut writer = Writer::create(path, replaces)?;
        if size_of::<T>() > 0 {
            for chunk in self.scan() {
                writer.push(bytemuck::cast_slice(chunk))?;
            }
        }
        let elements = self.len() as u64;
        let covered_bytes = writer.covered_bytes();
        writer.finish(Contents {
            kind: KIND_VECTOR,
            elements,
            element_bytes: size_of::<T>() as u64,
            element_align: u32::try_from(align_of::<T>()).unwrap_or(u32::MAX),
            details: [0; 4],
            type_name: name_of::<T>(),
            arrow: layout_of::<T>(elements, covered_bytes),
        })
    }
}
