//! How long reads take from a store that answers after 20 ms: `cargo run --release --example latency`.
//!
//! The store is in memory, and answers at any rate after that. It takes 1.5 GiB of memory.
#![expect(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    reason = "an example"
)]

use std::error::Error;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use outcore::{DiskVec, ScratchDir, SealedVec};
use outcore_object_store::{Options, Store};

/// The elements, of 8 bytes: 512 MiB.
const LEN: usize = 64 << 20;

const BLOCK: u64 = 16 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = ScratchDir::from_env()?;
    let path = dir.path().join(format!("latency-{}", std::process::id()));
    let mut squares = DiskVec::new();
    squares.try_extend((0..LEN as u64).map(|n| n.wrapping_mul(n)))?;
    squares.seal(&path)?;
    drop(squares);
    let slow = ThrottledStore::new(
        InMemory::new(),
        ThrottleConfig {
            wait_get_per_call: Duration::from_millis(20),
            ..ThrottleConfig::default()
        },
    );
    let slow = Arc::new(slow);
    let uploaded = Store::new(Arc::clone(&slow))?.upload(&path, "squares");
    std::fs::remove_file(&path)?;
    uploaded?;

    let mut random = testkit::Random::new(1);
    let wanted: Vec<_> = (0..10_000).map(|_| random.below(LEN)).collect();
    for gap in [0, 64 << 10, 256 << 10] {
        let options = Options::new().gap_bytes(gap);
        let store = Store::with_options(Arc::clone(&slow), options)?;
        let store = store.with_cache(&dir, 1 << 30)?;
        println!("gaps of up to {} KiB", gap >> 10);
        let (ideal, bytes) = ideal(&wanted, gap, 4 << 20);
        println!("  the fewest requests: {ideal}, of {} MiB", bytes >> 20);
        let squares = measured(&store, "open", || {
            SealedVec::<u64>::open_from(store.object("squares"))
        })?;
        let first = measured(&store, "10,000 elements, the first time", || {
            squares.gather(&wanted)
        })?;
        let again = measured(&store, "again", || squares.gather(&wanted))?;
        let expected = wanted.iter().map(|n| *n as u64).map(|n| n.wrapping_mul(n));
        if first != again || !first.into_iter().eq(expected) {
            return Err("an element is wrong".into());
        }
    }
    let store = Store::new(slow)?;
    let squares = SealedVec::<u64>::open_from(store.object("squares"))?;
    measured(
        &store,
        "100 elements, one after the other, no cache",
        || {
            wanted
                .iter()
                .take(100)
                .try_for_each(|n| squares.get(*n).map(drop))
        },
    )?;
    Ok(())
}

/// Calls a function, and prints how long it takes, and how many requests.
fn measured<T>(
    store: &Store,
    what: &str,
    work: impl FnOnce() -> outcore::Result<T>,
) -> outcore::Result<T> {
    let (made, started) = (store.requests(), Instant::now());
    let result = work()?;
    let seconds = started.elapsed().as_secs_f64();
    let made = store.requests().saturating_sub(made);
    println!("  {what}: {made} requests, {seconds:.3} s");
    Ok(result)
}

/// Returns the fewest requests that have the blocks of all elements, and their bytes.
fn ideal(elements: &[usize], gap: u64, most: u64) -> (usize, u64) {
    let blocks = elements.iter().map(|n| *n as u64 * 8 / BLOCK * BLOCK);
    let mut blocks: Vec<_> = blocks.collect();
    blocks.sort_unstable();
    let mut requests: Vec<Range<u64>> = Vec::new();
    for block in blocks {
        match requests.last_mut() {
            Some(last) if block <= last.end + gap && block + BLOCK <= last.start + most => {
                last.end = block + BLOCK;
            }
            _ => requests.push(block..block + BLOCK),
        }
    }
    let bytes = requests.iter().map(|request| request.end - request.start);
    (requests.len(), bytes.sum())
}
