//! redb: a B-tree in one file, with checksums and transactions.

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};

use outcore_bench::prelude::*;
use outcore_bench::scenario::store::{Items, Job, Part, SEALED, STORE, TUNED, row};

use super::folder::{BATCH, InFolder, KeyValue};

const TABLE: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("items");

/// The cache of the tuned row.
const CACHE: usize = 16 << 20;

pub(super) fn stores() -> [Row<Job>; 2] {
    let note = "its cache is 1 GiB by default; commits every 16 MiB with Durability::None, the last one synced, \
                checksums, transactions, reopens after a crash";
    let tuned = "a cache of 16 MiB; otherwise as redb";
    [
        row::<InFolder<OfRedb<false>>>("redb", note, STORE | SEALED),
        row::<InFolder<OfRedb<true>>>("redb_cache_16MiB", tuned, STORE | TUNED),
    ]
}

struct OfRedb<const TUNED: bool> {
    /// Goes before the database.
    table: Option<ReadOnlyTable<u64, &'static [u8]>>,
    database: Database,
}

impl<const TUNED: bool> KeyValue for OfRedb<TUNED> {
    const SEES: bool = true;

    fn open(folder: &Path) -> Result<Self> {
        let mut builder = Database::builder();
        if TUNED {
            builder.set_cache_size(CACHE);
        }
        let database = builder.create(folder.join("redb"));
        Ok(Self {
            table: None,
            database: database.context("open a database")?,
        })
    }

    fn fill(&self, items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        for part in parts {
            while part.has_more() {
                let mut batch = self.database.begin_write().context("begin")?;
                let kept = batch.set_durability(Durability::None);
                kept.context("set durability")?;
                let mut table = batch.open_table(TABLE).context("open a table")?;
                for (key, item) in part.batch(items, BATCH) {
                    table.insert(key, item).context("insert")?;
                }
                drop(table);
                batch.commit().context("commit")?;
            }
        }
        Ok(())
    }

    fn commit(&self) -> Result<()> {
        // Only a durable commit leaves the cache.
        let last = self.database.begin_write().context("begin")?;
        last.commit().context("commit")
    }

    fn begin_reads(&mut self) -> Result<()> {
        let transaction = self.database.begin_read().context("begin")?;
        self.table = Some(transaction.open_table(TABLE).context("open a table")?);
        Ok(())
    }

    fn see(&self, key: u64, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let table = self.table.as_ref().context("not sealed")?;
        let found = table.get(key).context("get")?;
        see(found.context("an item is lost")?.value());
        Ok(())
    }
}
