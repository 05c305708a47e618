//! outcore's arena and vector as stores, and what std keeps in memory.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::path::Path;

use outcore::{Advice, Arena, ArenaMap, DiskVec, Location, ScratchDir};

use crate::cache;
use crate::failure::{Failure, Result};
use crate::pool;
use crate::scenario::store::{Items, Part, Row, Store, on_threads};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::bytes::<OfArena>("outcore", "keys are kept in memory: 12 bytes an item").threads(),
        Row::bytes::<HashMap<u64, Vec<u8>>>("std_hash_map", "in memory only").in_memory(),
        Row::numbers::<OfVec>("outcore", ""),
        Row::numbers::<OfVecAtRandom>("outcore_random", "Advice::Random before the reads"),
        Row::numbers::<Vec<u64>>("std_vec", "in memory only").in_memory(),
        Row::swapping::<HashMap<u64, Vec<u8>>>("std_hash_map_with_swap", false),
        Row::swapping::<Vec<u64>>("std_vec_with_swap", true),
    ]
}

/// A directory that may be in memory: a small disk is.
fn scratch(dir: &Path) -> Result<ScratchDir> {
    Ok(ScratchDir::builder(dir).allow_ram(true).build()?)
}

struct OfArena {
    arena: Arena,
    map: Option<ArenaMap>,
}

impl Store for OfArena {
    type Key = Location;

    fn create(dir: &Path) -> Result<Self> {
        let arena = Arena::new_in(&scratch(dir)?)?;
        Ok(Self { arena, map: None })
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<Location>]) -> Result<()> {
        let arena = &self.arena;
        on_threads(parts, |part| {
            let mut writer = arena.writer()?;
            let mut failed = Ok(());
            for index in part.range.clone() {
                match writer.push(items.get(index)) {
                    Ok(location) => part.put(index, location),
                    Err(error) => {
                        failed = Err(Failure::from(error));
                        break;
                    }
                }
            }
            // Also after a failure: what is in stays in.
            let finished = writer.finish().map_err(Failure::from);
            failed.and(finished.map(drop))
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
        let map = self.map.as_ref();
        let map = map.ok_or_else(|| Failure::new("the arena cannot be mapped"))?;
        see(map.get(key)?);
        Ok(())
    }

    fn make_cold(mut self, dir: &Path) -> Result<Self> {
        self.map = None;
        cache::expect_cold(cache::drop_open_files(dir)?)?;
        Ok(self)
    }
}

impl<H: BuildHasher + Default> Store for HashMap<u64, Vec<u8>, H> {
    type Key = u64;

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn create(_dir: &Path) -> Result<Self> {
        Ok(Self::default())
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        for part in parts {
            for index in part.range.clone() {
                self.insert(index, items.get(index).to_vec());
                part.put(index, index);
            }
        }
        Ok(())
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        self.see(key, &mut |bytes| buffer.extend_from_slice(bytes))
    }

    const SEES: bool = true;

    fn see(&self, key: u64, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let found = HashMap::get(self, &key);
        see(found.ok_or_else(|| Failure::new("an item is lost"))?);
        Ok(())
    }

    fn make_cold(self, _dir: &Path) -> Result<Self> {
        Err(Failure::skip("in memory only"))
    }
}

struct OfVec(DiskVec<u64>);

impl Store for OfVec {
    type Key = u64;

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn create(dir: &Path) -> Result<Self> {
        Ok(Self(DiskVec::new_in(&scratch(dir)?)))
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
        buffer.extend_from_slice(&self.0[pool::index(key)].to_le_bytes());
        Ok(())
    }
}

struct OfVecAtRandom(OfVec);

impl Store for OfVecAtRandom {
    type Key = u64;

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn create(dir: &Path) -> Result<Self> {
        OfVec::create(dir).map(Self)
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        self.0.fill(items, parts)
    }

    fn seal(mut self) -> Result<Self> {
        self.0.0.advise(Advice::Random)?;
        Ok(self)
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        self.0.get(key, buffer)
    }
}

impl Store for Vec<u64> {
    type Key = u64;

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn create(_dir: &Path) -> Result<Self> {
        Ok(Self::new())
    }

    fn fill(&mut self, _items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        for part in parts {
            for index in part.range.clone() {
                self.push(Items::number(index));
                part.put(index, index);
            }
        }
        Ok(())
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.extend_from_slice(&self[pool::index(key)].to_le_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::store::Job;
    use std::time::Duration;

    #[test]
    fn every_store_comes_to_the_expected_checksum() {
        for row in rows() {
            let job = Job {
                dir: Path::new(env!("CARGO_MANIFEST_DIR")).to_owned(),
                items: Items::mixed(1),
                count: 3000,
                threads: row.threads_max.min(2),
                is_vector: row.is_vector,
                reads: 50,
                cold_reads: 0,
                time: Duration::from_secs(5),
                watches: true,
                disk_bytes: None,
            };
            let sample = match (row.run)(&job) {
                Err(error) if error.is_skip() => continue,
                run => run.unwrap(),
            };
            assert_eq!(sample.checksum, job.expected(), "{}", row.name);
            assert!(sample.get("p99_read").is_some());
        }
    }
}
