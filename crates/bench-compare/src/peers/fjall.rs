//! fjall: a log-structured merge tree in a folder.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use outcore_bench::prelude::*;
use outcore_bench::scenario::store::{Items, Job, Part, STORE, Store, THREADS, on_threads, row};
use tempfile::TempDir;

use super::folder_in;

pub(super) fn store() -> Row<Job> {
    let note = "default settings but for compression, which is not compiled in; journal \
                without syncs, checksums, reopens after a crash";
    row::<OfFjall>("fjall", note, STORE | THREADS)
}

struct OfFjall {
    /// Goes before the database, and that before its folder.
    items: Option<Keyspace>,
    database: Option<Database>,
    folder: TempDir,
}

impl OfFjall {
    fn open(folder: &TempDir) -> Result<(Keyspace, Database)> {
        let database = Database::builder(folder.path().join("fjall")).open();
        let database = database.context("open a database")?;
        let items = database.keyspace("items", KeyspaceCreateOptions::default);
        Ok((items.context("open a keyspace")?, database))
    }

    fn items(&self) -> Result<&Keyspace> {
        self.items.as_ref().context("closed")
    }
}

impl Store for OfFjall {
    type Key = u64;

    fn create(job: &Job) -> Result<Self> {
        let folder = folder_in(&job.dir)?;
        let (items, database) = Self::open(&folder)?;
        Ok(Self {
            items: Some(items),
            database: Some(database),
            folder,
        })
    }

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        let keyspace = self.items()?;
        on_threads(parts, |part| {
            for index in part.range.clone() {
                let inserted = keyspace.insert(index.to_be_bytes(), items.get(index));
                inserted.context("insert")?;
                part.put(index, index);
            }
            Ok(())
        })
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        let found = self.items()?.get(key.to_be_bytes()).context("get")?;
        buffer.extend_from_slice(&found.context("an item is lost")?);
        Ok(())
    }

    fn make_cold(mut self, _dir: &Path) -> Result<Self> {
        // Else the newest items would come back from the journal into memory.
        let written = self.items()?.rotate_memtable_and_wait();
        written.context("write the tables")?;
        if let Some(database) = &self.database {
            database.persist(PersistMode::SyncData).context("persist")?;
        }
        self.items = None;
        self.database = None;
        cache::make_folder_cold(self.folder.path())?;
        let (items, database) = Self::open(&self.folder)?;
        self.items = Some(items);
        self.database = Some(database);
        Ok(self)
    }
}
