//! The raw loops, outcore's arena and vector as stores, and what std keeps in memory.

use std::collections::HashMap;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use outcore::{Advice, Arena, ArenaMap, ArenaWriter, DiskVec, Location, ScratchDir};

use crate::prelude::*;
use crate::process;
use crate::scenario::store::raw_files::RawFiles;
use crate::scenario::store::{
    Items, Job, MEMORY, PUSH, PUSH_LIMITED, PUSH_PAST, Part, SEALED, STORE, Store, THREADS, TUNED,
    number_of, on_threads, row,
};

type Table = HashMap<u64, Vec<u8>>;

pub(super) fn rows() -> Vec<Row<Job>> {
    let whole = "writes whole MiB from the pool: no items, no locations";
    let keys = "keys are kept in memory: 12 bytes an item";
    let reserved = "space for all preallocated before the clock starts, as for the raw loop";
    let sealed = "Arena::into_sealed; keys are kept in memory: 12 bytes an item";
    let memory = "in memory only";
    let swaps = "in memory, and in swap when the group is full";
    let two = |name, note, run| Row::new(name, note, run).with(PUSH);
    let everywhere = PUSH | PUSH_LIMITED | PUSH_PAST;
    vec![
        row::<RawFiles<1, true>>("raw_pwrite_1MiB_prealloc", whole, everywhere),
        row::<RawFiles<1, false>>("raw_pwrite_1MiB_with_fallocate", whole, PUSH),
        two("raw_2_threads_1_file", whole, |job: &Job| {
            job.run_on::<RawFiles<1, true>>(2)
        }),
        two("raw_2_threads_2_files", whole, |job: &Job| {
            job.run_on::<RawFiles<2, true>>(2)
        }),
        row::<OfArena<false>>("outcore", keys, everywhere | STORE | THREADS),
        row::<OfArena<true>>("outcore_reserved", reserved, PUSH),
        row::<OfSealed>("outcore", sealed, SEALED),
        two("outcore_2_writers", "", |job: &Job| {
            job.run_on::<OfArena<false>>(2)
        }),
        row::<Table>("std_hash_map", memory, STORE | MEMORY),
        row::<OfVec<false>>("outcore", "", STORE),
        row::<OfVec<true>>("outcore_random", "Advice::Random before the reads", STORE),
        row::<Vec<u64>>("std_vec", memory, STORE | MEMORY),
        Row {
            run: Job::run_swapping::<Table>,
            ..row::<Table>("std_hash_map_with_swap", swaps, STORE | MEMORY | TUNED)
        },
        Row {
            run: Job::run_swapping::<Vec<u64>>,
            ..row::<Vec<u64>>("std_vec_with_swap", swaps, STORE | MEMORY | TUNED)
        },
    ]
}

/// A directory that may be in memory: a small disk is.
fn scratch(dir: &Path) -> Result<ScratchDir> {
    Ok(ScratchDir::builder(dir).allow_ram(true).build()?)
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
        let arena = Arena::new_in(&scratch(&job.dir)?)?;
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
            let mut writer = match taken {
                Some(writer) => writer,
                None => arena.writer()?,
            };
            let mut failed = Ok(());
            for index in part.range.clone() {
                match writer.push(items.get(index)) {
                    Ok(location) => part.put(index, location),
                    Err(error) => {
                        failed = Err(Error::from(error));
                        break;
                    }
                }
            }
            // Also after a failure: what is in stays in.
            let finished = writer.finish().map_err(outcore::Error::from);
            failed.and(finished.map(drop).map_err(Error::from))
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
        let folder = process::named_folder(&job.dir, parent_id());
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            arena: Some(Arena::sealable_in(&scratch(&job.dir)?)?),
            path: folder.join(format!("store-{}", std::process::id())),
        })
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<Location>]) -> Result<()> {
        for part in parts {
            let mut writer = self.arena()?.writer()?;
            for index in part.range.clone() {
                part.put(index, writer.push(items.get(index))?);
            }
            writer.finish().map_err(outcore::Error::from)?;
        }
        Ok(())
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

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        self.see(key, &mut |bytes| buffer.extend_from_slice(bytes))
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
struct OfVec<const RANDOM: bool>(DiskVec<u64>);

impl<const RANDOM: bool> Store for OfVec<RANDOM> {
    type Key = u64;

    const NUMBERS: bool = true;

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn create(job: &Job) -> Result<Self> {
        Ok(Self(DiskVec::new_in(&scratch(&job.dir)?)))
    }

    #[inline]
    fn put(&mut self, index: u64, item: &[u8]) -> Result<u64> {
        self.0.push(number_of(item)?)?;
        Ok(index)
    }

    fn seal(mut self) -> Result<Self> {
        if RANDOM {
            self.0.advise(Advice::Random)?;
        }
        Ok(self)
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.extend_from_slice(&self.0[index(key)].to_le_bytes());
        Ok(())
    }
}

impl Store for Vec<u64> {
    type Key = u64;

    const NUMBERS: bool = true;

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn create(_job: &Job) -> Result<Self> {
        Ok(Self::new())
    }

    #[inline]
    fn put(&mut self, index: u64, item: &[u8]) -> Result<u64> {
        self.push(number_of(item)?);
        Ok(index)
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.extend_from_slice(&self[index(key)].to_le_bytes());
        Ok(())
    }
}
