//! Operations on outcore that bytes choose: each target reads the bytes as a sequence of
//! operations, runs these on a container and on a model of std, and panics where the two differ.
//!
//! `cargo fuzz` chooses the bytes (the directory `fuzz`); `cargo test -p fuzz-targets` uses random
//! ones, on any compiler. Each target has a planted bug that must be found.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a panic is a finding"
)]

mod alloc;
mod arena;
mod bytes;
mod cli;
mod external;
mod json;
mod location;
mod ranged;
mod sealed;
mod strings;
mod vec;

use std::path::PathBuf;
use std::sync::OnceLock;

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name in `cargo fuzz`.
    pub name: &'static str,
    /// Runs the operations, with a planted bug if the flag is set.
    pub run: fn(&[u8], bool),
}

/// All targets.
pub const TARGETS: [Target; 13] = [
    target("arena_ops", arena::run),
    target("vec_ops", vec::run),
    target("alloc_ops", alloc::run),
    target("ranged_ops", ranged::run),
    target("strings_ops", strings::run),
    target("location", location::run),
    target("cli_input", cli::run),
    target("sort_ops", external::sort),
    target("shuffle_ops", external::shuffle),
    target("sorter_ops", external::sorter),
    target("group_ops", external::group),
    target("merge_ops", external::merging),
    target("sealed_ops", sealed::run),
];

const fn target(name: &'static str, run: fn(&[u8], bool)) -> Target {
    Target { name, run }
}

/// Runs the operations on an arena, against a list of byte strings.
pub fn arena_ops(data: &[u8]) {
    arena::run(data, is_planted());
}

/// Runs the operations on a vector, against std's.
pub fn vec_ops(data: &[u8]) {
    vec::run(data, is_planted());
}

/// Runs the operations on an allocator; each block has a distinct pattern.
pub fn alloc_ops(data: &[u8]) {
    alloc::run(data, is_planted());
}

/// Runs the operations on a range file, against its bytes in memory.
pub fn ranged_ops(data: &[u8]) {
    ranged::run(data, is_planted());
}

/// Runs the operations on byte strings by index and in a spool, against a list.
pub fn strings_ops(data: &[u8]) {
    strings::run(data, is_planted());
}

/// Reads the bytes as locations, records and texts of serde, against the pushed items.
pub fn location(data: &[u8]) {
    location::run(data, is_planted());
}

/// Reads the bytes as options and input of `outcore dedup`, against a dedup in memory.
pub fn cli_input(data: &[u8]) {
    cli::run(data, is_planted());
}

/// Sorts and shuffles a vector within a budget, against std's sort.
pub fn sort_ops(data: &[u8]) {
    external::sort(data, is_planted());
}

/// Shuffles a vector within a budget: a seed repeats it, and everything is there.
pub fn shuffle_ops(data: &[u8]) {
    external::shuffle(data, is_planted());
}

/// Sorts records within a budget, against a list that std sorts.
pub fn sorter_ops(data: &[u8]) {
    external::sorter(data, is_planted());
}

/// Groups values within a budget, against a map.
pub fn group_ops(data: &[u8]) {
    external::group(data, is_planted());
}

/// Merges sorted lists, against std's sort.
pub fn merge_ops(data: &[u8]) {
    external::merging(data, is_planted());
}

/// Opens and reads sealed files that were changed, with wrong checksums or with right ones.
pub fn sealed_ops(data: &[u8]) {
    sealed::run(data, is_planted());
}

/// Returns whether `$OUTCORE_FUZZ_CANARY` plants the bugs, so that a fuzzer has one to find.
fn is_planted() -> bool {
    static PLANTED: OnceLock<bool> = OnceLock::new();
    *PLANTED.get_or_init(|| std::env::var_os("OUTCORE_FUZZ_CANARY").is_some())
}

/// Returns the directory for named files: in memory if possible, since each file is synced.
fn named_files() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let dir = if memory.is_dir() {
        memory
    } else {
        PathBuf::from("/tmp")
    };
    dir.join(format!("outcore-fuzz-{}", std::process::id()))
}
