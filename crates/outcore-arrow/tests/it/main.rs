//! Tests of the public API: that nothing is copied, that batches and files have the rows of their
//! containers, and that what does not fit is a typed error.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "for tests: an overflow or an error is a failed test"
)]

mod append;
mod batches;
#[cfg(feature = "parquet")]
mod parquet_files;
mod shared;

use std::path::Path;

use outcore::{Arena, DiskVec, Location, ScratchDir};
use testkit::Random;

/// Returns the seeds to run: the one in `$OUTCORE_SEED`, or the first `count`.
fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("OUTCORE_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..count).collect(),
    }
}

/// Makes a string of up to `longest` characters, of one to four bytes each.
fn text(random: &mut Random, longest: usize) -> String {
    let len = random.below(longest + 1);
    (0..len)
        .map(|_| random.pick(&['a', 'z', '\u{e9}', '\u{20ac}', '\u{1f600}']))
        .collect()
}

/// Pushes items to a new arena.
fn arena_of(items: &[Vec<u8>]) -> (Arena, DiskVec<Location>) {
    let arena = Arena::new().unwrap();
    let mut writer = arena.writer().unwrap();
    let mut locations = DiskVec::new();
    for item in items {
        locations.push(writer.push(item).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    (arena, locations)
}

/// Returns a directory that is full after `quota_bytes`.
fn small_dir(quota_bytes: u64) -> ScratchDir {
    let path = ScratchDir::from_env().unwrap().path().to_owned();
    let dir = ScratchDir::builder(Path::new(&path)).quota_bytes(quota_bytes);
    dir.build().unwrap()
}
