//! The random traces of `support::traces`, with every block from the global allocator.
#![cfg(feature = "allocator-api2")]

use std::sync::{Mutex, PoisonError};
use std::thread;

use allocator_api2::alloc::Global;

use crate::spill;
use crate::support::process::child;
use crate::support::random::seeds;
use crate::support::test_name;
use crate::support::traces::Trace;

const STEPS: usize = 1500;

#[test]
fn every_trace_leaves_every_block_as_it_was() {
    for seed in seeds(4) {
        Trace::new(seed, Global).play(STEPS);
    }
}

/// With all blocks of at least a page in the file.
#[test]
fn every_trace_at_the_smallest_threshold_leaves_every_block_as_it_was() {
    if let Some(child) = child(test_name!()) {
        child.env("OUTCORE_SPILL", "4096").run();
        return;
    }
    assert_eq!(spill().threshold(), 4096);
    for seed in seeds(4) {
        Trace::new(seed, Global).play(STEPS);
    }
    assert!(spill().peak_bytes() > 1 << 20);
}

#[test]
fn blocks_that_wander_between_threads_are_as_they_were() {
    if let Some(child) = child(test_name!()) {
        child.env("OUTCORE_SPILL", "4096").run();
        return;
    }
    let market = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for seed in 0..8 {
            let market = &market;
            scope.spawn(move || {
                let mut trace = Trace::new(seed, Global);
                trace.live_max /= 16;
                for _ in 0..STEPS / 2 {
                    trace.step();
                    trace.trade(market);
                }
                trace.end();
            });
        }
    });
    let mut last = Trace::new(0, Global);
    for block in market.into_inner().unwrap_or_else(PoisonError::into_inner) {
        last.adopt(block);
    }
    last.end();
    assert!(spill().peak_bytes() > 1 << 20);
}
