//! Key-value stores, each in a folder of its own: filled by index, closed and opened again for cold
//! reads.

use std::os::unix::process::parent_id;

use outcore_bench::prelude::*;
use outcore_bench::process::named_folder;
use outcore_bench::scenario::store::{Items, Job, Part, Store};
use tempfile::TempDir;

/// One transaction takes about so many bytes.
pub(super) const BATCH: u64 = 16 << 20;

/// Makes a folder for files with names. It is removed on drop; if the process is killed before, its
/// parent removes it.
pub(super) fn folder_in(dir: &Path) -> Result<TempDir> {
    let all = named_folder(dir, parent_id());
    std::fs::create_dir_all(&all)?;
    Ok(TempDir::new_in(all)?)
}

/// An open database, whose keys are the indices of the items.
pub(super) trait KeyValue: Sized + 'static {
    /// Whether it shows items where they are.
    const SEES: bool;

    /// Opens the database of a folder, or makes it.
    fn open(folder: &Path) -> Result<Self>;

    /// As [`Store::fill`].
    fn fill(&self, items: &Items, parts: &mut [Part<u64>]) -> Result<()>;

    /// Does what the row does to make items last.
    fn commit(&self) -> Result<()> {
        Ok(())
    }

    /// Gets ready for reads.
    fn begin_reads(&mut self) -> Result<()> {
        Ok(())
    }

    fn see(&self, key: u64, see: &mut dyn FnMut(&[u8])) -> Result<()>;

    /// Closes it, with all in its files.
    fn close(self) -> Result<()> {
        Ok(())
    }
}

/// A database and its folder, which goes after it.
pub(super) struct InFolder<D> {
    /// `None` for a moment, while it is opened again.
    open: Option<D>,
    folder: TempDir,
}

impl<D: KeyValue> InFolder<D> {
    fn opened(&self) -> Result<&D> {
        self.open.as_ref().context("closed")
    }
}

impl<D: KeyValue> Store for InFolder<D> {
    type Key = u64;

    fn create(job: &Job) -> Result<Self> {
        let folder = folder_in(job.dir)?;
        let open = Some(D::open(folder.path())?);
        Ok(Self { open, folder })
    }

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        self.opened()?.fill(items, parts)
    }

    fn seal(self) -> Result<Self> {
        self.opened()?.commit()?;
        self.salvage()
    }

    fn salvage(mut self) -> Result<Self> {
        self.open.as_mut().context("closed")?.begin_reads()?;
        Ok(self)
    }

    const SEES: bool = D::SEES;

    fn see(&self, key: u64, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.opened()?.see(key, see)
    }

    fn make_cold(mut self, _dir: &Path) -> Result<Self> {
        self.open.take().context("closed")?.close()?;
        cache::make_folder_cold(self.folder.path())?;
        self.open = Some(D::open(self.folder.path())?);
        self.salvage()
    }
}
