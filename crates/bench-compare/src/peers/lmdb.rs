//! LMDB by heed: a B-tree in a mapped file, with transactions.
#![expect(
    unsafe_code,
    reason = "heed cannot know that nothing else opens or changes the file; we do"
)]

use std::path::Path;

use heed::byteorder::BE;
use heed::types::{Bytes, U64};
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn, WithTls};

use outcore_bench::prelude::*;
use outcore_bench::scenario::store::{Items, Job, Part, SEALED, STORE, Store, row};
use tempfile::TempDir;

use super::folder_in;

/// Addresses for the map: as much as a database may ever have.
const MAP: usize = 64 << 30;

/// One transaction takes about so many bytes.
const BATCH: u64 = 16 << 20;

type Table = Database<'static, U64<BE>, Bytes>;

pub(super) fn stores() -> [Row<Job>; 2] {
    let note = "by heed; commits every 16 MiB with NO_SYNC, ascending keys with APPEND, \
                transactions, reopens after a crash of the process";
    let synced = "the same, and mdb_env_sync at the end";
    [
        row::<OfLmdb<false>>("lmdb", note, STORE),
        row::<OfLmdb<true>>("lmdb", synced, SEALED),
    ]
}

struct Open {
    /// Goes before the environment that it is of.
    reader: Option<RoTxn<'static, WithTls>>,
    table: Table,
    env: Env,
}

struct OfLmdb<const SYNCED: bool> {
    open: Option<Open>,
    folder: TempDir,
}

impl<const SYNCED: bool> OfLmdb<SYNCED> {
    fn open(folder: &TempDir) -> Result<Open> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP);
        // SAFETY: `NO_SYNC` only gives up durability after a crash of the system.
        unsafe { options.flags(EnvFlags::NO_SYNC) };
        // SAFETY: the folder is new and of this process alone; it is opened once at a time.
        let env = unsafe { options.open(folder.path()) }.context("open a database")?;
        let transaction = env.write_txn().context("begin")?;
        let made = env.create_databases_and_commit(transaction, |maker, transaction| {
            let table = maker.create_database(transaction, None)?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(table))
        });
        let table = made.context("make a table")?.unwrap_commit();
        Ok(Open {
            reader: None,
            table,
            env,
        })
    }

    fn opened(&self) -> Result<&Open> {
        self.open.as_ref().context("closed")
    }
}

impl<const SYNCED: bool> Store for OfLmdb<SYNCED> {
    type Key = u64;

    fn create(job: &Job) -> Result<Self> {
        let folder = folder_in(&job.dir)?;
        let open = Some(Self::open(&folder)?);
        Ok(Self { open, folder })
    }

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        let open = self.opened()?;
        for part in parts {
            let mut indices = part.range.clone().peekable();
            while indices.peek().is_some() {
                let mut transaction = open.env.write_txn().context("begin")?;
                let mut bytes = 0;
                for index in indices.by_ref() {
                    let item = items.get(index);
                    let flags = PutFlags::APPEND;
                    let put = open
                        .table
                        .put_with_flags(&mut transaction, flags, &index, item);
                    put.context("put")?;
                    part.put(index, index);
                    bytes += item.len() as u64;
                    if bytes >= BATCH {
                        break;
                    }
                }
                transaction.commit().context("commit")?;
            }
        }
        Ok(())
    }

    fn seal(mut self) -> Result<Self> {
        if let Some(open) = &mut self.open {
            if SYNCED {
                open.env.force_sync().context("sync")?;
            }
            let reader = open.env.clone().static_read_txn();
            open.reader = Some(reader.context("begin")?);
        }
        Ok(self)
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        self.see(key, &mut |bytes| buffer.extend_from_slice(bytes))
    }

    const SEES: bool = true;

    fn see(&self, key: u64, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let open = self.opened()?;
        let reader = open.reader.as_ref().context("not sealed")?;
        let found = open.table.get(reader, &key).context("get")?;
        see(found.context("an item is lost")?);
        Ok(())
    }

    fn make_cold(mut self, _dir: &Path) -> Result<Self> {
        if let Some(Open {
            reader, env, table, ..
        }) = self.open.take()
        {
            drop(reader);
            let _ = table;
            env.prepare_for_closing().wait();
        }
        cache::make_folder_cold(self.folder.path())?;
        self.open = Some(Self::open(&self.folder)?);
        self.seal()
    }
}
