//! What one writes without a library: a buffered temporary file, a file that is mapped and doubled,
//! and loops over mapped files, the fastest way to read what is in memory.
#![expect(
    unsafe_code,
    reason = "memmap2 cannot know that the file is not shortened; we do"
)]

use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;

use memmap2::{Advice, Mmap, MmapMut};

use outcore_bench::prelude::*;
use outcore_bench::scenario::get_job::GetJob;
use outcore_bench::scenario::store::{Job, PUSH, STORE, Store, row};
use outcore_bench::scenario::vec_update::UpdateJob;

/// Where the map begins.
const FIRST: u64 = 1 << 20;

pub(super) fn stores() -> Vec<Row<Job>> {
    let keys = "keys are kept in memory: 16 bytes an item";
    let sparse = "keys are kept in memory: 16 bytes an item; a full disk is a signal";
    vec![
        row::<Buffered>("std_bufwriter", "buffer of 8 KiB, std's default", PUSH),
        row::<Buffered>("tempfile_bufwriter", keys, STORE),
        row::<Mapped<false>>("memmap2", sparse, STORE),
        row::<Mapped<true>>("memmap2", "a full disk is a signal", STORE),
    ]
}

/// Offset and length.
type Key = (u64, u32);

struct Buffered {
    writer: Option<BufWriter<File>>,
    file: File,
    len: u64,
}

impl Store for Buffered {
    type Key = Key;

    fn create(job: &Job) -> Result<Self> {
        let file = tempfile::tempfile_in(job.dir)?;
        Ok(Self {
            writer: Some(BufWriter::new(file.try_clone()?)),
            file,
            len: 0,
        })
    }

    #[inline]
    fn put(&mut self, _index: u64, item: &[u8]) -> Result<Key> {
        self.writer.as_mut().context("sealed")?.write_all(item)?;
        let offset = self.len;
        self.len += item.len() as u64;
        Ok((offset, u32::try_from(item.len())?))
    }

    fn seal(mut self) -> Result<Self> {
        if let Some(writer) = self.writer.take() {
            writer.into_inner().context("flush")?;
        }
        Ok(self)
    }

    fn salvage(mut self) -> Result<Self> {
        // What is in the buffer is lost; what is in the file is not.
        drop(self.writer.take().map(BufWriter::into_parts));
        Ok(self)
    }

    fn get(&self, (offset, len): Key, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.resize(len as usize, 0);
        Ok(self.file.read_exact_at(buffer, offset)?)
    }
}

/// A mapped file; doubled when it is full, and mapped again.
struct Mapped<const NUMBERS: bool> {
    file: File,
    map: Option<MmapMut>,
    len: u64,
}

impl<const NUMBERS: bool> Mapped<NUMBERS> {
    #[cold]
    fn grow(&mut self, end: u64) -> Result<()> {
        self.map = None;
        self.file.set_len(end.next_power_of_two().max(FIRST))?;
        self.map = Some(map_of(&self.file)?);
        Ok(())
    }
}

fn map_of(file: &File) -> Result<MmapMut> {
    // SAFETY: the file has no name, and its only owner never shortens it.
    unsafe { MmapMut::map_mut(file) }.context("map a file")
}

impl<const NUMBERS: bool> Store for Mapped<NUMBERS> {
    type Key = Key;

    const NUMBERS: bool = NUMBERS;

    fn create(job: &Job) -> Result<Self> {
        let file = raw::create(job.dir)?;
        file.set_len(FIRST)?;
        let map = Some(map_of(&file)?);
        Ok(Self { file, map, len: 0 })
    }

    fn key_of(index: u64) -> Option<Key> {
        NUMBERS.then_some((8 * index, 8))
    }

    #[inline]
    fn put(&mut self, _index: u64, item: &[u8]) -> Result<Key> {
        let start = self.len;
        let end = start + item.len() as u64;
        if self.map.as_ref().is_none_or(|map| map.len() < index(end)) {
            self.grow(end)?;
        }
        let map = self.map.as_mut().context("not mapped")?;
        map[index(start)..index(end)].copy_from_slice(item);
        self.len = end;
        Ok((start, u32::try_from(item.len())?))
    }

    const SEES: bool = !NUMBERS;

    fn see(&self, (offset, len): Key, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        let map = self.map.as_ref().context("not mapped")?;
        see(&map[index(offset)..][..len as usize]);
        Ok(())
    }

    fn make_cold(mut self, _dir: &Path) -> Result<Self> {
        self.map = None;
        cache::make_cold(&self.file)?;
        self.map = Some(map_of(&self.file)?);
        Ok(self)
    }
}

/// Returns a loop over the mapped file of outcore's arena.
pub(super) fn getters(job: &GetJob) -> Result<Vec<Candidate<'static>>> {
    if !job.wants_maps() {
        return Ok(Vec::new());
    }
    let file = job.arena_file()?;
    // SAFETY: the file has no name; nothing is pushed to the arena any more, and it is not
    // shortened, so the bytes do not change while the mapping lives.
    let map = unsafe { Mmap::map(&*file) }?;
    let offsets = job.offsets();
    let len = job.pool.item(0).len();
    Ok(vec![job.candidate("memmap2", "", move || {
        Ok(pool::sum(
            offsets
                .iter()
                .map(|offset| sum_words(&map[index(*offset)..][..len])),
        ))
    })])
}

/// Returns stores through a mapping that is made new for each run: as it is, and advised before its
/// first fault.
pub(super) fn updates(job: &UpdateJob) -> Result<Vec<Candidate<'static>>> {
    let random = "MADV_RANDOM; synced by the harness";
    Ok(vec![
        update(job, ("memmap2", "synced by the harness"), Advice::Normal)?,
        update(job, ("memmap2_random", random), Advice::Random)?,
    ])
}

fn update(
    job: &UpdateJob,
    (name, note): (&'static str, &'static str),
    advice: Advice,
) -> Result<Candidate<'static>> {
    let job = job.clone();
    let file = job.raw_file()?;
    Ok(Candidate::new(name, note, move || {
        cache::make_cold(&file)?;
        let mut map = map_of(&file)?;
        map.advise(advice).context("give advice")?;
        job.measure(&file, |at, value| {
            map[index(8 * at)..][..8].copy_from_slice(&value.to_le_bytes());
            Ok(())
        })
    }))
}
