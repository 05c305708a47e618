//! The raw loops that pushes are compared with: whole MiB from the pool, without items and
//! locations.

use crate::prelude::*;
use crate::scenario::store::{Items, Job, Part, Store, on_threads};

/// Files that are preallocated, before the clock starts if `READY`; each thread writes a part of
/// its own.
pub(super) struct RawFiles<const FILES: u64, const READY: bool> {
    files: Vec<File>,
    /// The bytes of each file, and the length of an item.
    share: u64,
    item_len: usize,
}

impl<const FILES: u64, const READY: bool> RawFiles<FILES, READY> {
    /// Returns the file of an offset of the stream, and where it begins there.
    fn file_of(&self, offset: u64) -> (&File, u64) {
        let number = (offset / self.share).min(FILES - 1);
        (&self.files[index(number)], number * self.share)
    }
}

impl<const FILES: u64, const READY: bool> Store for RawFiles<FILES, READY> {
    type Key = u64;

    const IS_READY: bool = READY;

    fn create(job: &Job) -> Result<Self> {
        let share = job.items.total(job.count) / FILES;
        let file = |_number| {
            let file = raw::create(job.dir)?;
            raw::preallocate(&file, share)?;
            Ok(file)
        };
        Ok(Self {
            files: (0..FILES).map(file).collect::<Result<_>>()?,
            share,
            item_len: job.items.get(0).len(),
        })
    }

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        on_threads(parts, |part| {
            let [from, to] = [part.range.start, part.range.end].map(|index| items.total(index));
            let (file, base) = self.file_of(from);
            raw::write_stream(file, items.pool(), from, to, base)
        })
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.resize(self.item_len, 0);
        let offset = key * self.item_len as u64;
        let (file, base) = self.file_of(offset);
        raw::read_exact(file, buffer, offset - base)
    }
}
