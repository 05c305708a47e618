//! fjall: a log-structured merge tree in a folder.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use outcore_bench::failure::{Context, Failure, Result};
use outcore_bench::scenario::store::{Items, Part, Row, Store, drop_folder, on_threads};

use super::folder::Folder;

pub(super) fn rows() -> Vec<Row> {
    let note = "default settings but for compression, which is not compiled in; journal \
                without syncs, checksums, reopens after a crash";
    vec![Row::bytes::<OfFjall>("fjall", note).threads()]
}

struct OfFjall {
    /// Goes before the database, and that before its folder.
    items: Option<Keyspace>,
    database: Option<Database>,
    folder: Folder,
}

impl OfFjall {
    fn open(folder: &Folder) -> Result<(Keyspace, Database)> {
        let database = Database::builder(folder.path.join("fjall")).open();
        let database = database.context("open a database")?;
        let items = database.keyspace("items", KeyspaceCreateOptions::default);
        Ok((items.context("open a keyspace")?, database))
    }

    fn items(&self) -> Result<&Keyspace> {
        let items = self.items.as_ref();
        items.ok_or_else(|| Failure::new("closed"))
    }
}

impl Store for OfFjall {
    type Key = u64;

    fn create(dir: &Path) -> Result<Self> {
        let folder = Folder::new(dir)?;
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
        buffer.extend_from_slice(&found.ok_or_else(|| Failure::new("an item is lost"))?);
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
        drop_folder(&self.folder.path)?;
        let (items, database) = Self::open(&self.folder)?;
        self.items = Some(items);
        self.database = Some(database);
        Ok(self)
    }
}
