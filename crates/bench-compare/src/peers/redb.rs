//! redb: a B-tree in one file, with checksums and transactions.

use std::path::Path;

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};

use outcore_bench::prelude::*;
use outcore_bench::scenario::store::{Items, Job, Part, SEALED, STORE, Store, TUNED, row};
use tempfile::TempDir;

use super::folder_in;

const TABLE: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("items");

/// One transaction takes about so many bytes.
const BATCH: u64 = 16 << 20;

/// The cache of the tuned row.
const CACHE: usize = 16 << 20;

pub(super) fn stores() -> [Row<Job>; 2] {
    let note = "its cache is 1 GiB by default; commits every 16 MiB with Durability::None, the last one synced, \
                checksums, transactions, reopens after a crash";
    let tuned = "a cache of 16 MiB; otherwise as redb";
    [
        row::<OfRedb<false>>("redb", note, STORE | SEALED),
        row::<OfRedb<true>>("redb_cache_16MiB", tuned, STORE | TUNED),
    ]
}

struct OfRedb<const TUNED: bool> {
    /// Goes before the database, and that before its folder.
    table: Option<ReadOnlyTable<u64, &'static [u8]>>,
    database: Option<Database>,
    folder: TempDir,
}

impl<const TUNED: bool> OfRedb<TUNED> {
    fn open(folder: &TempDir) -> Result<Database> {
        let mut builder = Database::builder();
        if TUNED {
            builder.set_cache_size(CACHE);
        }
        let path = folder.path().join("redb");
        builder.create(path).context("open a database")
    }

    fn reading(mut self) -> Result<Self> {
        let transaction = self.database()?.begin_read().context("begin")?;
        self.table = Some(transaction.open_table(TABLE).context("open a table")?);
        Ok(self)
    }

    fn database(&self) -> Result<&Database> {
        self.database.as_ref().context("no database")
    }
}

impl<const TUNED: bool> Store for OfRedb<TUNED> {
    type Key = u64;

    fn create(job: &Job) -> Result<Self> {
        let folder = folder_in(&job.dir)?;
        Ok(Self {
            table: None,
            database: Some(Self::open(&folder)?),
            folder,
        })
    }

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        let database = self.database()?;
        for part in parts {
            let mut indices = part.range.clone().peekable();
            while indices.peek().is_some() {
                let mut transaction = database.begin_write().context("begin")?;
                transaction
                    .set_durability(Durability::None)
                    .context("set durability")?;
                let mut bytes = 0;
                {
                    let mut table = transaction.open_table(TABLE).context("open a table")?;
                    for index in indices.by_ref() {
                        let item = items.get(index);
                        table.insert(index, item).context("insert")?;
                        part.put(index, index);
                        bytes += item.len() as u64;
                        if bytes >= BATCH {
                            break;
                        }
                    }
                }
                transaction.commit().context("commit")?;
            }
        }
        Ok(())
    }

    fn seal(self) -> Result<Self> {
        // Only a durable commit leaves the cache.
        let last = self.database()?.begin_write().context("begin")?;
        last.commit().context("commit")?;
        self.reading()
    }

    fn salvage(self) -> Result<Self> {
        self.reading()
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        self.see(key, &mut |bytes| buffer.extend_from_slice(bytes))
    }

    const SEES: bool = true;

    fn see(&self, key: u64, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let table = self.table.as_ref().context("not sealed")?;
        let found = table.get(key).context("get")?;
        see(found.context("an item is lost")?.value());
        Ok(())
    }

    fn make_cold(mut self, _dir: &Path) -> Result<Self> {
        self.table = None;
        self.database = None;
        cache::make_folder_cold(self.folder.path())?;
        self.database = Some(Self::open(&self.folder)?);
        self.reading()
    }
}
