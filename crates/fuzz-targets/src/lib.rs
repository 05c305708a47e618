//! What bytes can ask of outcore: each target reads them as a sequence of operations, does these on
//! a container and on a model of std's, and panics where the two differ.
//!
//! `cargo fuzz` chooses the bytes (the directory `fuzz`); `cargo test -p fuzz-targets` takes random
//! ones, on any compiler. Each target has a planted bug that has to be found.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a panic is what is looked for"
)]

mod alloc;
mod arena;
mod bytes;
mod cli;
mod json;
mod location;
mod ranged;
mod vec;

use std::path::PathBuf;
use std::sync::OnceLock;

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As `cargo fuzz` knows it.
    pub name: &'static str,
    /// Does what the bytes say, with a planted bug if that is true.
    pub run: fn(&[u8], bool),
}

/// All targets.
pub const TARGETS: [Target; 6] = [
    target("arena_ops", arena::run),
    target("vec_ops", vec::run),
    target("alloc_ops", alloc::run),
    target("ranged_ops", ranged::run),
    target("location", location::run),
    target("cli_input", cli::run),
];

const fn target(name: &'static str, run: fn(&[u8], bool)) -> Target {
    Target { name, run }
}

/// Does what the bytes say on an arena, against a list of byte strings.
pub fn arena_ops(data: &[u8]) {
    arena::run(data, is_planted());
}

/// Does what the bytes say on a vector, against std's.
pub fn vec_ops(data: &[u8]) {
    vec::run(data, is_planted());
}

/// Does what the bytes say on an allocator; each block has a pattern of its own.
pub fn alloc_ops(data: &[u8]) {
    alloc::run(data, is_planted());
}

/// Does what the bytes say on a range file, against its bytes in memory.
pub fn ranged_ops(data: &[u8]) {
    ranged::run(data, is_planted());
}

/// Takes the bytes for locations, records and texts of serde, against what was pushed.
pub fn location(data: &[u8]) {
    location::run(data, is_planted());
}

/// Takes the bytes for options and input of `outcore dedup`, against a dedup in memory.
pub fn cli_input(data: &[u8]) {
    cli::run(data, is_planted());
}

/// Whether `$OUTCORE_FUZZ_CANARY` asks for the planted bugs, so that a fuzzer has one to find.
fn is_planted() -> bool {
    static PLANTED: OnceLock<bool> = OnceLock::new();
    *PLANTED.get_or_init(|| std::env::var_os("OUTCORE_FUZZ_CANARY").is_some())
}

/// Returns where files with names go: into memory where that can be, since each is synced.
fn named_files() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let dir = if memory.is_dir() {
        memory
    } else {
        PathBuf::from("/tmp")
    };
    dir.join(format!("outcore-fuzz-{}", std::process::id()))
}
