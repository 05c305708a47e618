//! The file of an arena or a vector, opened a second time: for raw loops over the very same pages.
//!
//! Two files with the same bytes are not equally fast to read: one may lie in large folios
//! or in memory that the host backs with huge pages, the other not, and that stays so for
//! all rounds. What a library adds to a system call shows only on the same file.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::failure::Result;

/// The files that were open at some time.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    known: HashSet<(u64, u64)>,
}

/// A regular file that this process has open.
#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    len: u64,
}

impl OpenFiles {
    /// Looks which files this process has open.
    pub(crate) fn now() -> Result<Self> {
        let known = list()?.into_iter().map(|file| file.identity);
        Ok(Self {
            known: known.collect(),
        })
    }

    /// Opens the file that appeared since, has `len` bytes at least, and pleases `holds`;
    /// `None` if there is no such file.
    pub(crate) fn find(&self, len: u64, holds: impl Fn(&File) -> bool) -> Result<Option<File>> {
        for open in list()? {
            if self.known.contains(&open.identity) || open.len < len {
                continue;
            }
            let file = OpenOptions::new().read(true).open(open.path)?;
            if holds(&file) {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }
}

/// Returns every regular file that this process has open.
fn list() -> Result<Vec<OpenFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        // The descriptor of this very listing is gone when it is looked at.
        if let Ok(facts) = fs::metadata(&path) {
            if facts.is_file() {
                found.push(OpenFile {
                    path,
                    identity: (facts.dev(), facts.ino()),
                    len: facts.len(),
                });
            }
        }
    }
    Ok(found)
}
