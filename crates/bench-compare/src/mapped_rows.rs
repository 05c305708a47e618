//! A plain loop over a mapped file, the fastest way to read what is in memory.
#![expect(
    unsafe_code,
    reason = "memmap2 cannot know that nobody shortens the file; we do"
)]

use memmap2::Mmap;

use outcore_bench::failure::Result;
use outcore_bench::pool;
use outcore_bench::scenario::get::{self, GetJob, Getter};

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
