//! A plain loop over a mapped file, the fastest way to read what is in memory.
#![expect(
    unsafe_code,
    reason = "memmap2 cannot know that nobody shortens the file; we do"
)]

use std::fs::File;

use memmap2::{Advice, Mmap, MmapMut};

use outcore_bench::cache;
use outcore_bench::failure::{Context, Result};
use outcore_bench::measure::Candidate;
use outcore_bench::pool;
use outcore_bench::scenario::get::{self, GetJob, Getter};
use outcore_bench::scenario::vec_update::UpdateJob;

/// Returns the loop, over the file of outcore's arena if that can be.
pub(crate) fn getters(job: &GetJob) -> Result<Vec<Getter>> {
    if !job.wants_maps() {
        return Ok(Vec::new());
    }
    let file = match &job.arena_file {
        Some(file) => file.try_clone()?,
        None => get::raw_file(job)?,
    };
    // SAFETY: the file has no name; no one pushes to the arena any more, and the arena is
    // not shortened, so nobody changes the bytes while the mapping lives.
    let map = unsafe { Mmap::map(&file) }?;
    let offsets = get::raw_offsets(job);
    let len = job.pool.item_len();
    let read = move || {
        let mut sum = 0u64;
        for offset in &offsets {
            let start = usize::try_from(*offset).unwrap_or(usize::MAX);
            sum = sum.wrapping_add(pool::sum_words(&map[start..][..len]));
        }
        Ok(sum)
    };
    Ok(vec![Getter::new("memmap2", read)])
}

/// Returns stores through a mapping that is made new for each run: as it is, and advised
/// before its first fault.
pub(crate) fn updates(job: &UpdateJob) -> Result<Vec<Candidate<'static>>> {
    let synced = "synced by the harness";
    Ok(vec![
        stores(job, "memmap2", synced, Advice::Normal)?,
        stores(
            job,
            "memmap2_random",
            "MADV_RANDOM; synced by the harness",
            Advice::Random,
        )?,
    ])
}

fn stores(
    job: &UpdateJob,
    name: &'static str,
    note: &'static str,
    advice: Advice,
) -> Result<Candidate<'static>> {
    let job = job.clone();
    let file = job.raw_file()?;
    Ok(Candidate::new(name, note, move || {
        cache::expect_cold(cache::drop_file(&file)?.cached)?;
        let mut map = map_of(&file)?;
        map.advise(advice).context("give advice")?;
        job.measure(&file, |index, value| {
            let start = pool::index(8 * index);
            map[start..start + 8].copy_from_slice(&value.to_le_bytes());
            Ok(())
        })
    }))
}

fn map_of(file: &File) -> Result<MmapMut> {
    // SAFETY: the file has no name, and its only owner never shortens it.
    unsafe { MmapMut::map_mut(file) }.context("map a file")
}
