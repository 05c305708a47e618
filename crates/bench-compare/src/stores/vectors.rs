//! Vectors of numbers: mmap-vec and, with the other stores, vecdb.

use std::path::Path;

use mmap_vec::MmapVec;

use outcore_bench::failure::Result;
#[cfg(feature = "stores")]
use outcore_bench::failure::{Context, Failure};
use outcore_bench::scenario::store::{Items, Part, Row, Store};
#[cfg(feature = "stores")]
use vecdb::{AnyStoredVec, BytesVec, Database, ImportableVec, Version, WritableVec};

#[cfg(feature = "stores")]
use super::folder::Folder;
use crate::mmap_vec_rows::{self, InFolder};

/// vecdb keeps what is pushed in memory until it is told to write.
#[cfg(feature = "stores")]
const BATCH: u64 = 1 << 20;

pub(super) fn rows() -> Vec<Row> {
    let sparse = "never allocates blocks ahead: a full disk is a signal";
    vec![
        Row::numbers::<OfMmapVec>(mmap_vec_rows::PUSH, sparse),
        #[cfg(feature = "stores")]
        Row::numbers::<OfVecdb>(
            "vecdb",
            "BytesVec, written every 8 MiB; a full disk is a signal",
        ),
    ]
}

struct OfMmapVec(MmapVec<u64, InFolder>);

impl Store for OfMmapVec {
    type Key = u64;

    fn create(dir: &Path) -> Result<Self> {
        mmap_vec_rows::use_folder_in(dir)?;
        Ok(Self(MmapVec::new()))
    }

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn fill(&mut self, _items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        for part in parts {
            for index in part.range.clone() {
                self.0.push(Items::number(index))?;
                part.put(index, index);
            }
        }
        Ok(())
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        let index = usize::try_from(key).unwrap_or(usize::MAX);
        buffer.extend_from_slice(&self.0[index].to_le_bytes());
        Ok(())
    }
}

#[cfg(feature = "stores")]
struct OfVecdb {
    numbers: BytesVec<usize, u64>,
    /// Goes after the vector, and before its folder.
    _database: Database,
    _folder: Folder,
}

#[cfg(feature = "stores")]
impl Store for OfVecdb {
    type Key = u64;

    fn create(dir: &Path) -> Result<Self> {
        let folder = Folder::new(dir)?;
        let database = Database::open(&folder.path).context("open a database")?;
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

    fn fill(&mut self, _items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        for part in parts {
            for index in part.range.clone() {
                self.numbers.push(Items::number(index));
                if index % BATCH == BATCH - 1 {
                    self.numbers.write().context("write")?;
                }
                part.put(index, index);
            }
        }
        Ok(())
    }

    fn seal(mut self) -> Result<Self> {
        self.numbers.write().context("write")?;
        Ok(self)
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        let index = usize::try_from(key).unwrap_or(usize::MAX);
        let found = self.numbers.reader().try_get_at(index);
        let number = found.ok_or_else(|| Failure::new("a number is lost"))?;
        buffer.extend_from_slice(&number.to_le_bytes());
        Ok(())
    }
}
