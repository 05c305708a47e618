//! How fast bytes get into a file, and to the device.

use std::fs::File;
use std::path::Path;

use rustix::fs::OFlags;

use crate::failure::Result;
use crate::measure::{Candidate, Sample};
use crate::pool::{CHUNK, Pool};
use crate::scenario::physical::ring::Blocks;
use crate::scenario::physical::{shared, timed};
use crate::scenario::raw;
use crate::scenario::vec_read::reopened;
use crate::settings::{Settings, text_of_bytes};
use crate::workload::{CPU, RATE, Workload};

/// What a candidate does with its fresh file.
type Write = fn(&File, &Pool, u64) -> Result<()>;

pub(super) fn workload(settings: &Settings, dir: &Path) -> Workload {
    let len = settings.bytes(128 << 20, 4 << 30);
    let (dir, seed) = (dir.to_owned(), settings.seed);
    let name = format!("physical_write/{}", text_of_bytes(len));
    let rounds = settings.rounds(5, 5);
    shared(name, TITLE, RATE, &CPU, rounds, move || {
        let candidate = |name, claims: bool, write: Write| {
            let (dir, pool) = (dir.clone(), Pool::new(256, seed));
            Candidate::new(name, "", move || run(&dir, &pool, len, claims, write))
        };
        Ok(vec![
            candidate("pwrite_1MiB", false, |file, pool, len| {
                raw::write_stream(file, pool, 0, len, 0)
            }),
            candidate("pwrite_1MiB_prealloc", true, |file, pool, len| {
                raw::write_stream(file, pool, 0, len, 0)
            }),
            candidate("pwrite_1MiB_prealloc_synced", true, |file, pool, len| {
                raw::write_stream(file, pool, 0, len, 0)?;
                Ok(rustix::fs::fdatasync(file)?)
            }),
            candidate("direct_1MiB_prealloc", true, write_directly),
        ])
    })
}

fn run(dir: &Path, pool: &Pool, len: u64, claims: bool, write: Write) -> Result<Sample> {
    let file = raw::create(dir)?;
    if claims {
        raw::preallocate(&file, len)?;
    }
    let sample = timed(len, || write(&file, pool, len))?;
    drop(file);
    // The next candidate does not write for this one.
    rustix::fs::sync();
    Ok(sample)
}

/// Writes past the page cache: the same block again and again, out of memory that the
/// device can reach.
fn write_directly(file: &File, pool: &Pool, len: u64) -> Result<()> {
    let file = reopened(file, OFlags::WRONLY | OFlags::DIRECT)?;
    let mut blocks = Blocks::new(1, CHUNK);
    let block = blocks.get_mut(0);
    block.copy_from_slice(pool.chunk(0));
    for offset in (0..len).step_by(CHUNK) {
        let mut rest = &block[..CHUNK.min(crate::pool::index(len - offset))];
        let mut place = offset;
        while !rest.is_empty() {
            let written = rustix::io::pwrite(&file, rest, place)?;
            rest = &rest[written..];
            place += written as u64;
        }
    }
    Ok(())
}

const TITLE: &str = "\
Writing a fresh file by 1 MiB: into the page cache, into blocks that were claimed before the\n\
clock started, the same until the device has it, and past the page cache.";
