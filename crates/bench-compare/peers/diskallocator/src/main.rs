//! Numbers pushed into std's vector in an allocator of std's unstable trait: `ROW DIR COUNT`.
//!
//! The rows of a run that bench-compare starts and listens to (see `nightly_rows.rs` there).
#![feature(allocator_api)]

use std::alloc::Allocator;
use std::env;
use std::path::Path;

use outcore::ScratchDir;
use outcore_bench::alloc::Counting;
use outcore_bench::child;
use outcore_bench::failure::{Context, Failure, Result};
use outcore_bench::measure::{Outcome, Run, Sample};
use outcore_bench::protocol;
use outcore_bench::scenario::vec_push::VecJob;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let run = Run {
        candidate: "peer".to_owned(),
        round: 0,
        outcome: measured().map_or_else(Outcome::from, Outcome::Measured),
    };
    protocol::print_run(&run);
}

fn measured() -> Result<Sample> {
    child::die_with_parent()?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [row, dir, count] = arguments.as_slice() else {
        return Err(Failure::new("ROW DIR COUNT, please"));
    };
    let job = VecJob {
        dir: dir.into(),
        count: count.parse().context("the count")?,
        times_each: false,
    };
    match row.as_str() {
        "diskallocator" => push(&job, || {
            Ok(diskallocator::DiskAlloc::on_file(file_in(&job.dir)?)?)
        }),
        "outcore" => push(&job, || {
            Ok(outcore::DiskAlloc::new_in(&ScratchDir::new(&job.dir)?)?)
        }),
        _ => Err(Failure::new("a row that nobody knows")),
    }
}

/// Makes the file as diskallocator does, but where those of all others are.
fn file_in(dir: &Path) -> Result<std::fs::File> {
    tempfile::tempfile_in(dir).context("make a file")
}

fn push<A: Allocator>(job: &VecJob, alloc: impl FnOnce() -> Result<A>) -> Result<Sample> {
    let push = |vec: &mut Vec<u64, A>, number| {
        vec.push(number);
        Ok::<(), Failure>(())
    };
    job.measure(|| alloc().map(Vec::new_in), push, Vec::as_slice)
}
