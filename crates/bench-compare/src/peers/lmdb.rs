//! LMDB by heed: a B-tree in a mapped file, with transactions.
#![expect(
    unsafe_code,
    reason = "heed cannot know that nothing else opens or changes the file; we do"
)]

use heed::byteorder::BE;
use heed::types::{Bytes, U64};
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn, WithTls};

use outcore_bench::prelude::*;
use outcore_bench::scenario::store::{Items, Job, Part, SEALED, STORE, row};

use super::folder::{BATCH, InFolder, KeyValue};

/// Addresses for the map: as much as a database may ever have.
const MAP: usize = 64 << 30;

pub(super) fn stores() -> [Row<Job>; 2] {
    let note = "by heed; commits every 16 MiB with NO_SYNC, ascending keys with APPEND, \
                transactions, reopens after a crash of the process";
    let synced = "the same, and mdb_env_sync at the end";
    [
        row::<InFolder<OfLmdb<false>>>("lmdb", note, STORE),
        row::<InFolder<OfLmdb<true>>>("lmdb", synced, SEALED),
    ]
}

struct OfLmdb<const SYNCED: bool> {
    /// Goes before the environment that it is of.
    reader: Option<RoTxn<'static, WithTls>>,
    table: Database<'static, U64<BE>, Bytes>,
    env: Env,
}

impl<const SYNCED: bool> KeyValue for OfLmdb<SYNCED> {
    const SEES: bool = true;

    fn open(folder: &Path) -> Result<Self> {
        let mut options = EnvOpenOptions::new();
        options.map_size(MAP);
        // SAFETY: `NO_SYNC` only gives up durability after a crash of the system.
        unsafe { options.flags(EnvFlags::NO_SYNC) };
        // SAFETY: the folder is new and of this process alone; it is opened once at a time.
        let env = unsafe { options.open(folder) }.context("open a database")?;
        let transaction = env.write_txn().context("begin")?;
        let made = env.create_databases_and_commit(transaction, |maker, transaction| {
            let table = maker.create_database(transaction, None)?;
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(table))
        });
        Ok(Self {
            reader: None,
            table: made.context("make a table")?.unwrap_commit(),
            env,
        })
    }

    fn fill(&self, items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        for part in parts {
            while part.has_more() {
                let mut batch = self.env.write_txn().context("begin")?;
                for (key, item) in part.batch(items, BATCH) {
                    let flags = PutFlags::APPEND;
                    let put = self.table.put_with_flags(&mut batch, flags, &key, item);
                    put.context("put")?;
                }
                batch.commit().context("commit")?;
            }
        }
        Ok(())
    }

    fn commit(&self) -> Result<()> {
        if SYNCED {
            self.env.force_sync().context("sync")?;
        }
        Ok(())
    }

    fn begin_reads(&mut self) -> Result<()> {
        let reader = self.env.clone().static_read_txn();
        self.reader = Some(reader.context("begin")?);
        Ok(())
    }

    fn see(&self, key: u64, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let reader = self.reader.as_ref().context("not sealed")?;
        let found = self.table.get(reader, &key).context("get")?;
        see(found.context("an item is lost")?);
        Ok(())
    }

    fn close(self) -> Result<()> {
        drop(self.reader);
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}
