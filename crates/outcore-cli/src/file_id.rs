//! Which file something is, whatever it is called.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// The device and the inode number of a file, a directory or a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl From<(u64, u64)> for FileId {
    fn from((device, inode): (u64, u64)) -> Self {
        Self { device, inode }
    }
}

/// Returns whether bytes that are written there can be read there again, or be lost: a terminal or
/// `/dev/null` may be an input and several outputs at the same time.
pub(crate) fn keeps_bytes(metadata: &Metadata) -> bool {
    !metadata.file_type().is_char_device()
}
