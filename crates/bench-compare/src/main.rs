//! Measures outcore beside the crates and the plain loops that a user would pick instead: `cargo
//! run --release -p bench-compare -- --quick`; and writes the tables and pictures of the documents
//! from the records.
//!
//! This is the only crate of the repository that depends on competitors. What is measured and what
//! is not equal stands in the README beside this crate.
#![cfg_attr(feature = "nightly", feature(allocator_api))]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::print_stderr,
    reason = "a measuring program: it prints, and may die of a mistake"
)]

mod documents;
mod kept;
mod peers;
mod pictures;

use std::process::ExitCode;

use outcore_bench::alloc::Counting;
use outcore_bench::program::{self, Program};
use outcore_bench::scenario;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    program::main(&Program {
        workloads: |options| scenario::workloads(options, &peers::all()),
        lock: include_str!("../../../Cargo.lock"),
        crates: &[
            "outcore",
            "rustix",
            "diskallocator",
            "ext-sort",
            "extsort",
            "farena",
            "fjall",
            "heed",
            "memmap2",
            "mmap-vec",
            "ranged-mmap",
            "rdst",
            "redb",
            "spillsort",
            "swapvec",
            "tempfile",
            "tokio",
            "vecdb",
        ],
        documents: documents::write,
    })
}
