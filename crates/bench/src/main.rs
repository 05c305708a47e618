//! Measures outcore alone, beside raw loops: `cargo run --release -p outcore-bench`.

use std::process::ExitCode;

use outcore_bench::alloc::Counting;
use outcore_bench::error::bail;
use outcore_bench::program::{self, Program};
use outcore_bench::scenario::{self, Peers};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    program::main(&Program {
        workloads: |options| scenario::workloads(options, &Peers::default()),
        lock: include_str!("../../../Cargo.lock"),
        crates: &["outcore", "rustix"],
        documents: |_records| bail!("bench-compare writes the documents"),
    })
}
