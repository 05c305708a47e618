//! `SpillAlloc` as the global allocator of a whole program, this test binary.
//!
//! A watch above it counts every request that the allocator makes of itself; one beneath it counts
//! the requests that it passes on. Tests that read the statistics, or change limits, run in a
//! separate process: see `support::process`.
#![cfg(not(any(miri, memory_backend)))]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a panic in a test is a failed test"
)]

mod children;
mod environment;
mod examples;
mod life;
mod model;
mod refusals;
#[expect(dead_code, reason = "not all of it is used here")]
mod support;
mod watch;

use outcore::SpillAlloc;

use crate::watch::{Inner, Watch};

/// Blocks of this many bytes go to the file.
const THRESHOLD: usize = 64 << 10;

#[global_allocator]
static GLOBAL: Watch = Watch(SpillAlloc::with_inner(THRESHOLD, Inner));

/// Returns the allocator under test.
fn spill() -> &'static SpillAlloc<Inner> {
    &GLOBAL.0
}

/// Returns a byte that a number determines.
fn byte_of(number: usize) -> u8 {
    u8::try_from(number % 251).unwrap()
}
