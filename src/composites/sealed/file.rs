//! A sealed file of any kind: what it says of itself, and whether all its bytes are right.

use std::path::Path;

use crate::error::Result;
use crate::format::description::{KIND_ARENA, KIND_VECTOR, VERSION};
use crate::format::ranges::ReadRanges;
use crate::format::read::Sealed;
use crate::format::strings::{KIND_BYTES, KIND_TEXT};

/// What a sealed file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A vector of plain elements, written by `DiskVec::seal`.
    Vector,
    /// The items of an arena, written by [`Arena::seal`](crate::Arena::seal). Its elements are the
    /// bytes of the items.
    Arena,
    /// Byte strings, written by [`BytesVec::seal`](crate::BytesVec::seal).
    Bytes,
    /// Strings, written by [`StrVec::seal`](crate::StrVec::seal).
    Strings,
    /// Something that a later version of this library knows.
    Other(u32),
}

/// A sealed file of any kind, for tools: what it says of itself, and a check of all its bytes.
///
/// # Examples
///
/// ```
/// use outcore::sealed::{Kind, SealedFile};
/// use outcore::{ScratchDir, StrVec};
///
/// # let name = format!("file-example-{}", std::process::id());
/// # let path = ScratchDir::from_env()?.path().join(name);
/// let mut names = StrVec::new();
/// names.try_extend(["Ada", "Grace"])?;
/// names.seal(&path)?;
///
/// let file = SealedFile::open(&path)?;
/// assert_eq!((file.kind(), file.type_name(), file.elements()), (Kind::Strings, "str", 2));
/// file.verify(|bytes_done| assert!(bytes_done <= file.file_bytes()))?;
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), outcore::Error>(())
/// ```
#[derive(Debug)]
pub struct SealedFile {
    sealed: Sealed,
}

impl SealedFile {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// Those of [`SealedBytesVec::open`](crate::SealedBytesVec::open), except for the type.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let sealed = Sealed::open(path.as_ref())?;
        Ok(Self { sealed })
    }

    /// Opens a file that comes from somewhere else, such as an object store.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and those of the source.
    pub fn open_from(source: impl ReadRanges + 'static) -> Result<Self> {
        let sealed = Sealed::open_from(Box::new(source))?;
        Ok(Self { sealed })
    }

    /// Returns what the file holds.
    pub fn kind(&self) -> Kind {
        match self.sealed.description().kind {
            KIND_VECTOR => Kind::Vector,
            KIND_ARENA => Kind::Arena,
            KIND_BYTES => Kind::Bytes,
            KIND_TEXT => Kind::Strings,
            other => Kind::Other(other),
        }
    }

    /// Returns the version of the format.
    pub fn version(&self) -> u32 {
        VERSION
    }

    /// Returns the id, which no other file has.
    pub fn id(&self) -> [u8; 16] {
        self.sealed.description().id
    }

    /// Returns the number of elements or items.
    pub fn elements(&self) -> u64 {
        self.sealed.description().elements
    }

    /// Returns the name of the type of the elements, without modules.
    pub fn type_name(&self) -> &str {
        &self.sealed.description().type_name
    }

    /// Returns the bytes of an element; 0 for strings, which have any length.
    pub fn element_bytes(&self) -> u64 {
        self.sealed.description().element_bytes
    }

    /// Returns the alignment of an element.
    pub fn element_align(&self) -> u32 {
        self.sealed.description().element_align
    }

    /// Returns the bytes of all elements; of strings, with 8 bytes for each place.
    pub fn data_bytes(&self) -> u64 {
        self.sealed.description().data_bytes
    }

    /// Returns the length of the file in bytes.
    pub fn file_bytes(&self) -> u64 {
        self.sealed.description().file_bytes()
    }

    /// Returns the bytes of a block, which has one checksum.
    pub fn block_bytes(&self) -> u32 {
        self.sealed.description().block_bytes
    }

    /// Verifies every byte of the file, and tells `progress` from time to time up to where.
    ///
    /// # Errors
    ///
    /// Those of [`SealedBytesVec::verify`](crate::SealedBytesVec::verify).
    pub fn verify(&self, mut progress: impl FnMut(u64)) -> Result<()> {
        self.sealed.verify(&mut progress)
    }
}
