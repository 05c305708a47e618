//! What the file system says about an input.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::file_id::FileId;

/// What the file system says about a file; another answer means other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    len: u64,
    modified: (i64, i64),
    pub(crate) file: FileId,
}

impl Facts {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            file: FileId::of(metadata),
        }
    }

    /// Returns the length in bytes.
    pub(crate) fn len(self) -> u64 {
        self.len
    }
}

/// Returns whether a file without a length has no bytes: whether its file system is one that keeps
/// files, and makes none up.
#[cfg(target_os = "linux")]
pub(crate) fn tells_lengths(path: &Path, metadata: &Metadata) -> bool {
    /// Those without a device: tmpfs, overlayfs, btrfs, ZFS.
    const KEEPERS: [i128; 4] = [0x0102_1994, 0x794c_7630, 0x9123_683e, 0x2fc1_2fc1];
    rustix::fs::major(metadata.dev()) != 0
        || rustix::fs::statfs(path).is_ok_and(|facts| KEEPERS.contains(&i128::from(facts.f_type)))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn tells_lengths(_path: &Path, _metadata: &Metadata) -> bool {
    false
}
