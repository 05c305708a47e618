//! The raw loops, outcore's arena and vector as stores, and what std keeps in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use outcore::{Arena, ArenaMap, ArenaWriter, DiskVec, Location};

use crate::prelude::*;
use crate::scenario::scratch;
use crate::scenario::store::raw_files::RawFiles;
use crate::scenario::store::{
    Items, Job, MEMORY, PUSH, PUSH_LIMITED, PUSH_PAST, Part, SEALED, STORE, Store, THREADS, TUNED,
    number_of, on_threads, push_all, row, row_by, row_on,
};
use crate::scenario::vec_push::Numbers;

type Table = HashMap<u64, Vec<u8>>;

pub(super) fn rows() -> Vec<Row<Job>> {
    let whole = "writes whole MiB from the pool: no items, no locations";
    let keys = "keys are kept in memory: 12 bytes an item";
    let reserved = "space for all preallocated before the clock starts, as for the raw loop";
    let sealed = "Arena::into_sealed; keys are kept in memory: 12 bytes an item";
    let memory = "in memory only";
    let everywhere = PUSH | PUSH_LIMITED | PUSH_PAST;
    vec![
        row::<RawFiles<1, true>>("raw_pwrite_1MiB_prealloc", whole, everywhere),
        row::<RawFiles<1, false>>("raw_pwrite_1MiB_with_fallocate", whole, PUSH),
        row_on::<RawFiles<1, true>>(2, "raw_2_threads_1_file", whole),
        row_on::<RawFiles<2, true>>(2, "raw_2_threads_2_files", whole),
        row::<OfArena<false>>("outcore", keys, everywhere | STORE | THREADS),
        row::<OfArena<true>>("outcore_reserved", reserved, PUSH),
        row::<OfSealed>("outcore", sealed, SEALED),
        row_on::<OfArena<false>>(2, "outcore_2_writers", ""),
        row::<Table>("std_hash_map", memory, STORE | MEMORY),
        row::<OfVec<DiskVec<u64>>>("outcore", "", STORE),
        row::<OfVec<DiskVec<u64>, true>>(
            "outcore_random",
            "Advice::Random before the reads",
            STORE,
        ),
        row::<OfVec<Vec<u64>>>("std_vec", memory, STORE | MEMORY),
        swapping::<Table>("std_hash_map_with_swap"),
        swapping::<OfVec<Vec<u64>>>("std_vec_with_swap"),
    ]
}

fn swapping<S: Store>(name: &'static str) -> Row<Job> {
    let swaps = "in memory, and in swap when the group is full";
    row_by::<S>(name, swaps, STORE | MEMORY | TUNED, Job::run_swapping::<S>)
}

/// An arena; its writers are made and have reserved their space before the clock starts, if so.
struct OfArena<const RESERVED: bool> {
    arena: Arena,
    ready: Vec<ArenaWriter>,
    map: Option<ArenaMap>,
}

impl<const RESERVED: bool> Store for OfArena<RESERVED> {
    type Key = Location;

    const IS_READY: bool = RESERVED;

    fn create(job: &Job) -> Result<Self> {
        let arena = Arena::new_in(&scratch(job.dir)?)?;
        let mut ready = Vec::new();
        if RESERVED {
            for _ in 0..job.threads {
                let mut writer = arena.writer()?;
                writer.reserve(job.items.total(job.share()))?;
                ready.push(writer);
            }
        }
        Ok(Self {
            arena,
            ready,
            map: None,
        })
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<Location>]) -> Result<()> {
        let arena = &self.arena;
        let ready = Mutex::new(std::mem::take(&mut self.ready));
        on_threads(parts, |part| {
            let taken = ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let writer = taken.map_or_else(|| arena.writer(), Ok)?;
            push_arena(part, items, writer)
        })
    }

    fn get(&self, key: Location, buffer: &mut Vec<u8>) -> Result<()> {
        Ok(self.arena.get_into(key, buffer)?)
    }

    fn seal(mut self) -> Result<Self> {
        self.map = self.arena.map().ok();
        Ok(self)
    }

    const SEES: bool = true;

    fn see(&self, key: Location, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let map = self.map.as_ref().context("the arena cannot be mapped")?;
        see(map.get(key)?);
        Ok(())
    }

    fn make_cold(mut self, dir: &Path) -> Result<Self> {
        self.map = None;
        cache::expect_cold(cache::drop_open_files(dir)?)?;
        Ok(self)
    }
}

fn push_arena(part: &mut Part<Location>, items: &Items, writer: ArenaWriter) -> Result<()> {
    let push = |writer: &mut ArenaWriter, item: &[u8]| Ok(writer.push(item)?);
    push_all(part, items, writer, push, |writer| {
        writer.finish().map_err(outcore::Error::from)?;
        Ok(())
    })
}

/// An arena that becomes a sealed file.
struct OfSealed {
    /// `None` for a moment, while it is turned into a file or opened again.
    arena: Option<Arena>,
    path: PathBuf,
}

impl OfSealed {
    fn arena(&self) -> Result<&Arena> {
        self.arena.as_ref().context("no arena")
    }
}

impl Store for OfSealed {
    type Key = Location;

    fn create(job: &Job) -> Result<Self> {
        let name = format!("store-{}", std::process::id());
        Ok(Self {
            arena: Some(Arena::sealable_in(&scratch(job.dir)?)?),
            path: process::own_folder(job.dir)?.join(name),
        })
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<Location>]) -> Result<()> {
        let arena = self.arena()?;
        on_threads(parts, |part| push_arena(part, items, arena.writer()?))
    }

    fn seal(mut self) -> Result<Self> {
        let arena = self.arena.take().context("no arena")?;
        let sealed = arena.into_sealed_replacing(&self.path);
        self.arena = Some(sealed.map_err(outcore::Error::from)?);
        Ok(self)
    }

    fn get(&self, key: Location, buffer: &mut Vec<u8>) -> Result<()> {
        Ok(self.arena()?.get_into(key, buffer)?)
    }

    fn make_cold(mut self, _dir: &Path) -> Result<Self> {
        self.arena = None;
        cache::make_cold(raw::open(&self.path)?)?;
        self.arena = Some(Arena::open(&self.path)?);
        Ok(self)
    }
}

impl Drop for OfSealed {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

impl Store for Table {
    type Key = u64;

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn create(_job: &Job) -> Result<Self> {
        Ok(Self::default())
    }

    fn put(&mut self, index: u64, item: &[u8]) -> Result<u64> {
        self.insert(index, item.to_vec());
        Ok(index)
    }

    const SEES: bool = true;

    fn see(&self, key: u64, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        see(HashMap::get(self, &key).context("an item is lost")?);
        Ok(())
    }

    fn make_cold(self, _dir: &Path) -> Result<Self> {
        Err(skip("in memory only"))
    }
}

/// A vector, advised before the reads if so.
pub struct OfVec<V, const RANDOM: bool = false>(V);

impl<V: Numbers, const RANDOM: bool> Store for OfVec<V, RANDOM> {
    type Key = u64;

    const NUMBERS: bool = true;

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn create(job: &Job) -> Result<Self> {
        V::make(job.dir).map(Self)
    }

    #[inline]
    fn put(&mut self, index: u64, item: &[u8]) -> Result<u64> {
        self.0.add(number_of(item)?)?;
        Ok(index)
    }

    fn seal(mut self) -> Result<Self> {
        if RANDOM {
            self.0.advise_random()?;
        }
        Ok(self)
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.extend_from_slice(&self.0.all()[index(key)].to_le_bytes());
        Ok(())
    }
}
