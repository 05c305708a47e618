//! How fast the device gives bytes back: in order, and at random with many reads under way.

use std::fs::File;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use rustix::fs::OFlags;

use crate::cache;
use crate::failure::{Failure, Result};
use crate::histogram::Histogram;
use crate::measure::{Candidate, Sample};
use crate::pool::{CHUNK, Pool};
use crate::random::Random;
use crate::scenario::physical::ring::{self, Blocks};
use crate::scenario::physical::{shared, timed};
use crate::scenario::raw;
use crate::scenario::vec_read::reopened;
use crate::settings::{Settings, text_of_bytes};
use crate::workload::{CPU, Column, RATE, TIME_PER_READ, Workload};

/// The length of a read at random.
const BLOCK: usize = 4096;

/// How many reads are under way.
const DEPTHS: [(usize, &str); 7] = [
    (2, "direct_4KiB_depth_2"),
    (4, "direct_4KiB_depth_4"),
    (8, "direct_4KiB_depth_8"),
    (16, "direct_4KiB_depth_16"),
    (32, "direct_4KiB_depth_32"),
    (64, "direct_4KiB_depth_64"),
    (128, "direct_4KiB_depth_128"),
];

/// A file of known bytes on the device.
struct Source {
    file: File,
    direct: File,
    pool: Pool,
    len: u64,
}

impl Source {
    fn new(dir: &Path, len: u64, seed: u64) -> Result<Self> {
        let file = raw::create(dir)?;
        let pool = Pool::new(256, seed);
        raw::preallocate(&file, len)?;
        raw::write_stream(&file, &pool, 0, len, 0)?;
        let direct = reopened(&file, OFlags::DIRECT)?;
        let source = Self {
            file,
            direct,
            pool,
            len,
        };
        source.make_cold()?;
        Ok(source)
    }

    fn make_cold(&self) -> Result<()> {
        cache::expect_cold(cache::drop_file(&self.file)?.cached)
    }

    /// Fails if the first bytes of a block are not those that were written.
    fn check(&self, offset: u64, block: &[u8]) -> Result<()> {
        if block[..64] == self.pool.chunk(offset)[..64] {
            return Ok(());
        }
        Err(Failure::new(format!("wrong bytes at {offset}")))
    }
}

pub(super) fn in_order(settings: &Settings, dir: &Path) -> Workload {
    let len = settings.bytes(256 << 20, 4 << 30) / CHUNK as u64 * CHUNK as u64;
    let (dir, seed) = (dir.to_owned(), settings.seed);
    let name = format!("physical_read_in_order/{}/cold", text_of_bytes(len));
    let rounds = settings.rounds(5, 5);
    shared(name, TITLE_IN_ORDER, RATE, &CPU, rounds, move || {
        let source = Rc::new(Source::new(&dir, len, seed)?);
        let offsets: Vec<u64> = (0..len).step_by(CHUNK).collect();
        let deep = |name, depth| {
            let (source, offsets) = (Rc::clone(&source), offsets.clone());
            let mut blocks = Blocks::new(depth, CHUNK);
            Candidate::new(name, "io_uring, past the page cache", move || {
                source.make_cold()?;
                let check = |offset, block: &[u8]| source.check(offset, block);
                timed(len, || {
                    ring::read_all(&source.direct, &offsets, &mut blocks, check)
                })
            })
        };
        let through_cache = {
            let (source, offsets) = (Rc::clone(&source), offsets.clone());
            let mut block = vec![0; CHUNK];
            Candidate::new("pread_1MiB", "the read-ahead of the device", move || {
                source.make_cold()?;
                timed(len, || {
                    offsets.iter().try_for_each(|offset| {
                        raw::read_exact(&source.file, &mut block, *offset)?;
                        source.check(*offset, &block)
                    })
                })
            })
        };
        Ok(vec![
            deep("direct_1MiB_depth_1", 1),
            deep("direct_1MiB_depth_8", 8),
            through_cache,
        ])
    })
}

pub(super) fn at_random(settings: &Settings, dir: &Path) -> Workload {
    let len = settings.bytes(256 << 20, 4 << 30);
    let reads = if settings.full { 20_000 } else { 2000 };
    let mut random = Random::new(settings.seed ^ 0xD1EC);
    let blocks = (len / BLOCK as u64).max(1);
    let offsets = (0..reads).map(|_| random.below(blocks) * BLOCK as u64);
    let offsets: Rc<[u64]> = offsets.collect();
    let (dir, seed) = (dir.to_owned(), settings.seed);
    let name = format!("physical_read_at_random/{}/cold", text_of_bytes(len));
    let rounds = settings.rounds(5, 9);
    shared(
        name,
        TITLE_AT_RANDOM,
        TIME_PER_READ,
        TIMES,
        rounds,
        move || {
            let source = Rc::new(Source::new(&dir, len, seed)?);
            let mut all = vec![one_by_one(&source, &offsets)];
            all.extend(DEPTHS.map(|(depth, name)| at_depth(&source, &offsets, depth, name)));
            Ok(all)
        },
    )
}

fn one_by_one(source: &Rc<Source>, offsets: &Rc<[u64]>) -> Candidate<'static> {
    let (source, offsets) = (Rc::clone(source), Rc::clone(offsets));
    let mut blocks = Blocks::new(1, BLOCK);
    Candidate::new("direct_4KiB_one_by_one", "pread", move || {
        source.make_cold()?;
        let mut times = Histogram::default();
        let block = blocks.get_mut(0);
        let sample = timed(source.len, || {
            offsets.iter().try_for_each(|offset| {
                let started = Instant::now();
                raw::read_exact(&source.direct, block, *offset)?;
                times.add(started.elapsed());
                source.check(*offset, block)
            })
        })?;
        let mut sample = finished(sample, offsets.len());
        times.report("read", &mut sample);
        Ok(sample)
    })
}

fn at_depth(
    source: &Rc<Source>,
    offsets: &Rc<[u64]>,
    depth: usize,
    name: &'static str,
) -> Candidate<'static> {
    let (source, offsets) = (Rc::clone(source), Rc::clone(offsets));
    let mut blocks = Blocks::new(depth, BLOCK);
    Candidate::new(name, "io_uring", move || {
        source.make_cold()?;
        let check = |offset, block: &[u8]| source.check(offset, block);
        let sample = timed(source.len, || {
            ring::read_all(&source.direct, &offsets, &mut blocks, check)
        })?;
        Ok(finished(sample, offsets.len()))
    })
}

fn finished(mut sample: Sample, reads: usize) -> Sample {
    let seconds = sample.get("seconds").unwrap_or(f64::NAN);
    sample.readings.retain(|reading| reading.metric != "rate");
    sample.add("time_per_read", seconds * 1e9 / reads as f64, "ns");
    sample
}

const TITLE_IN_ORDER: &str = "\
Reading a file by 1 MiB from its first byte to its last, the cache empty at the start.";

const TITLE_AT_RANDOM: &str = "\
Reading blocks of 4 KiB at random past the page cache, with so many under way.";

const TIMES: &[Column] = &[
    Column::new("p50 us", "p50_read", 1e3, 0),
    Column::new("p99 us", "p99_read", 1e3, 0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_bytes_are_found() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let source = Source::new(dir, 4 << 20, 1).unwrap();
        let offsets: Vec<u64> = (0..1024).map(|index| index * 4096).collect();
        let mut blocks = Blocks::new(16, BLOCK);
        let mut seen = 0;
        let read = ring::read_all(&source.direct, &offsets, &mut blocks, |offset, block| {
            seen += 1;
            source.check(offset, block)
        });
        match read {
            Ok(()) => assert_eq!(seen, offsets.len()),
            // Where io_uring is refused there is nothing to see.
            Err(error) => assert!(error.is_skip(), "{error}"),
        }
        assert!(source.check(4096, &source.pool.chunk(0)[..64]).is_err());
    }
}
