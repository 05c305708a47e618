//! Writing strings to a file that lasts.

use std::path::Path;

use crate::bug::bug;
use crate::composites::strings::bytes_vec::BytesVec;
use crate::composites::strings::str_vec::StrVec;
use crate::error::Result;
use crate::format::strings::StringsLayout;
use crate::format::write::Writer;

/// The offsets that are made little endian at a time.
const OFFSETS: usize = 8 << 10;

impl BytesVec {
    /// Writes the items to a new file, which [`SealedBytesVec`](crate::SealedBytesVec) opens in any
    /// later process.
    ///
    /// The file appears under its name when all of it is on the device, or not at all: also if the
    /// process is killed or the power fails. If something has the name already, it is left alone;
    /// [`seal_replacing`](Self::seal_replacing) replaces it.
    ///
    /// Arrow reads the file too, without a copy (`pyarrow.ipc.open_file`, `polars.read_ipc`): one
    /// column, `values`, of the type `large_binary`.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{BytesVec, ScratchDir, SealedBytesVec};
    ///
    /// # let name = format!("seal-bytes-example-{}", std::process::id());
    /// # let path = ScratchDir::from_env()?.path().join(name);
    /// let mut blobs = BytesVec::new();
    /// blobs.try_extend([&b"one"[..], b"", &[0xFF, 0]])?;
    /// blobs.seal(&path)?;
    ///
    /// let blobs = SealedBytesVec::open(&path)?;
    /// assert_eq!(blobs.get(2)?, [0xFF, 0]);
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The vector is unchanged, and what is at the path is as it was.
    ///
    /// * [`Io`](crate::ErrorKind::Io) with [`AlreadyExists`](std::io::ErrorKind::AlreadyExists):
    ///   something has the name.
    /// * [`StorageFull`](crate::ErrorKind::StorageFull),
    ///   [`FileTooLarge`](crate::ErrorKind::FileTooLarge), [`Io`](crate::ErrorKind::Io): as of
    ///   [`AtomicFile`](crate::AtomicFile). Where only the last sync fails, that of the directory, the
    ///   file is there, and only a power cut can undo that.
    /// * [`OutOfMemory`](crate::ErrorKind::OutOfMemory): there is no memory for the checksums.
    /// * [`Forked`](crate::ErrorKind::Forked): the vector was created before a `fork`, in the parent.
    ///
    /// # Cost
    ///
    /// One sequential copy of the items and of 8 bytes for each, with a checksum of each 16 KiB, and
    /// two `fsync`. 8 bytes of memory for each 16 KiB, and 1 MiB.
    pub fn seal(&self, path: impl AsRef<Path>) -> Result<()> {
        self.seal_at(path.as_ref(), false, false)
    }

    /// Does the same as [`seal`](Self::seal), and replaces the file that has the name, if there is
    /// one. At every moment the name leads to the old file or to the new one.
    ///
    /// # Errors
    ///
    /// Those of [`seal`](Self::seal), except that a file may have the name.
    pub fn seal_replacing(&self, path: impl AsRef<Path>) -> Result<()> {
        self.seal_at(path.as_ref(), true, false)
    }

    fn seal_at(&self, path: &Path, replaces: bool, is_text: bool) -> Result<()> {
        self.check_inherited()?;
        self.write(Writer::create(path, replaces)?, is_text)
    }

    pub(super) fn write(&self, mut writer: Writer, is_text: bool) -> Result<()> {
        for chunk in self.bytes.scan() {
            writer.push(chunk)?;
        }
        let layout = StringsLayout::new(self.len() as u64, self.len_bytes() as u64);
        let Some(layout) = layout else {
            bug!("{} items are longer than a file can be", self.len());
        };
        let zeros = layout.offsets_start().saturating_sub(layout.text_bytes());
        writer.push(&vec![0; usize::try_from(zeros).unwrap_or(0)])?;
        if self.offsets.is_empty() {
            writer.push(&0_u64.to_le_bytes())?;
        }
        let mut encoded = Vec::with_capacity(OFFSETS.saturating_mul(size_of::<u64>()));
        for chunk in self.offsets.scan() {
            for offsets in chunk.chunks(OFFSETS) {
                encoded.clear();
                encoded.extend(offsets.iter().flat_map(|offset| offset.to_le_bytes()));
                writer.push(&encoded)?;
            }
        }
        let contents = layout.contents(is_text, writer.covered_bytes());
        writer.finish(contents)
    }
}

impl StrVec {
    /// Writes the strings to a new file, which [`SealedStrVec`](crate::SealedStrVec) opens in any
    /// later process.
    ///
    /// The file appears under its name when all of it is on the device, or not at all: also if the
    /// process is killed or the power fails. If something has the name already, it is left alone;
    /// [`seal_replacing`](Self::seal_replacing) replaces it.
    ///
    /// Arrow reads the file too, without a copy (`pyarrow.ipc.open_file`, `polars.read_ipc`): one
    /// column, `values`, of the type `large_utf8`.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{ScratchDir, SealedStrVec, StrVec};
    ///
    /// # let name = format!("seal-text-example-{}", std::process::id());
    /// # let path = ScratchDir::from_env()?.path().join(name);
    /// let mut names = StrVec::new();
    /// names.try_extend(["Ada", "Grace", "Zo\u{eb}"])?;
    /// names.seal(&path)?;
    ///
    /// let names = SealedStrVec::open(&path)?;
    /// assert_eq!(names.get(2)?, "Zo\u{eb}");
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`BytesVec::seal`]. The vector is unchanged, and what is at the path is as it was.
    ///
    /// # Cost
    ///
    /// That of [`BytesVec::seal`].
    pub fn seal(&self, path: impl AsRef<Path>) -> Result<()> {
        self.as_bytes_vec().seal_at(path.as_ref(), false, true)
    }

    /// Does the same as [`seal`](Self::seal), and replaces the file that has the name, if there is
    /// one. At every moment the name leads to the old file or to the new one.
    ///
    /// # Errors
    ///
    /// Those of [`seal`](Self::seal), except that a file may have the name.
    pub fn seal_replacing(&self, path: impl AsRef<Path>) -> Result<()> {
        self.as_bytes_vec().seal_at(path.as_ref(), true, true)
    }
}
