//! vecdb: vectors of numbers in a folder.

use vecdb::{AnyStoredVec, BytesVec, Database, ImportableVec, Version, WritableVec};

use outcore_bench::prelude::*;
use outcore_bench::scenario::store::{Job, STORE, Store, number_of, row};
use tempfile::TempDir;

use super::folder::folder_in;

/// It keeps what is pushed in memory until it is told to write.
const BATCH: u64 = 1 << 20;

pub(super) fn store() -> Row<Job> {
    let note = "BytesVec, written every 8 MiB; a full disk is a signal";
    row::<OfVecdb>("vecdb", note, STORE)
}

struct OfVecdb {
    numbers: BytesVec<usize, u64>,
    /// Goes after the vector, and before its folder.
    _database: Database,
    _folder: TempDir,
}

impl Store for OfVecdb {
    type Key = u64;

    const NUMBERS: bool = true;

    fn create(job: &Job) -> Result<Self> {
        let folder = folder_in(job.dir)?;
        let database = Database::open(folder.path()).context("open a database")?;
        let numbers = BytesVec::import(&database, "numbers", Version::ONE);
        Ok(Self {
            numbers: numbers.context("make a vector")?,
            _database: database,
            _folder: folder,
        })
    }

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    #[inline]
    fn put(&mut self, index: u64, item: &[u8]) -> Result<u64> {
        self.numbers.push(number_of(item)?);
        if index % BATCH == BATCH - 1 {
            self.numbers.write().context("write")?;
        }
        Ok(index)
    }

    fn seal(mut self) -> Result<Self> {
        self.numbers.write().context("write")?;
        Ok(self)
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        let found = self.numbers.reader().try_get_at(index(key));
        let number = found.context("a number is lost")?;
        buffer.extend_from_slice(&number.to_le_bytes());
        Ok(())
    }
}
