//! fjall: a log-structured merge tree in a folder.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use outcore_bench::prelude::*;
use outcore_bench::scenario::store::{Items, Job, Part, STORE, THREADS, on_threads, row};

use super::folder::{InFolder, KeyValue};

pub(super) fn store() -> Row<Job> {
    let note = "default settings but for compression, which is not compiled in; journal \
                without syncs, checksums, reopens after a crash";
    row::<InFolder<OfFjall>>("fjall", note, STORE | THREADS)
}

struct OfFjall {
    /// Goes before the database.
    items: Keyspace,
    database: Database,
}

impl KeyValue for OfFjall {
    const SEES: bool = false;

    fn open(folder: &Path) -> Result<Self> {
        let database = Database::builder(folder.join("fjall")).open();
        let database = database.context("open a database")?;
        let items = database.keyspace("items", KeyspaceCreateOptions::default);
        let items = items.context("open a keyspace")?;
        Ok(Self { items, database })
    }

    fn fill(&self, items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        on_threads(parts, |part| {
            for (key, item) in part.batch(items, u64::MAX) {
                let inserted = self.items.insert(key.to_be_bytes(), item);
                inserted.context("insert")?;
            }
            Ok(())
        })
    }

    fn see(&self, key: u64, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let found = self.items.get(key.to_be_bytes()).context("get")?;
        see(&found.context("an item is lost")?);
        Ok(())
    }

    fn close(self) -> Result<()> {
        // Else the newest items would come back from the journal into memory.
        let written = self.items.rotate_memtable_and_wait();
        written.context("write the tables")?;
        let synced = self.database.persist(PersistMode::SyncData);
        synced.context("persist")
    }
}
