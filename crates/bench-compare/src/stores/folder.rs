//! A folder of a store's own, for those whose files have names.

use std::fs;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use outcore_bench::child;
use outcore_bench::failure::{Context, Result};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Removed on drop; if the process is killed before, its parent removes it.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
}

impl Folder {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let path = child::named_folder(dir, parent_id()).join(name);
        fs::create_dir_all(&path).context("make a folder")?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is removed by the parent; the last one takes the folder of all along.
        drop(fs::remove_dir_all(&self.path));
        if let Some(all) = self.path.parent() {
            drop(fs::remove_dir(all));
        }
    }
}
