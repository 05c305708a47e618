//! Measures outcore alone, beside raw loops: `cargo run --release -p outcore-bench`.

use std::process::ExitCode;

use outcore_bench::alloc::Counting;
use outcore_bench::cli::{self, Program};
use outcore_bench::scenario;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    cli::main(&Program {
        workloads: scenario::own,
        build: |_workloads| {},
        lock: include_str!("../../../Cargo.lock"),
        crates: &["outcore", "rustix"],
        sections: &[],
        order: &[],
        guesses: &[],
        not_quick: &[],
        reasons: &[],
        blocks: &[],
        shown: &[],
        pictures: |_record| Ok(Vec::new()),
    })
}
