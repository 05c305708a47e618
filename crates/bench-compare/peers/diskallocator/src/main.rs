//! Numbers pushed into std's vector in an allocator of std's unstable trait: `ROW DIR COUNT`.
//!
//! The rows of a run that bench-compare starts and listens to (see `peers/nightly.rs` there).
#![feature(allocator_api)]

use std::alloc::Allocator;
use std::env;

use outcore::ScratchDir;
use outcore_bench::alloc::Counting;
use outcore_bench::error::{Context, Error, Result, bail};
use outcore_bench::process;
use outcore_bench::sample::{Outcome, Sample};
use outcore_bench::scenario::vec_push::VecJob;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    process::tell_run(measured().map_or_else(Outcome::from, Outcome::Measured));
}

fn measured() -> Result<Sample> {
    process::die_with_parent()?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [row, dir, count] = arguments.as_slice() else {
        bail!("the arguments are ROW DIR COUNT");
    };
    let job = VecJob {
        dir: dir.into(),
        count: count.parse().context("the count")?,
        times_each: false,
    };
    match row.as_str() {
        "diskallocator" => push(&job, || {
            // As diskallocator makes its own file, but in the directory of all others.
            let file = tempfile::tempfile_in(&job.dir)?;
            Ok(diskallocator::DiskAlloc::on_file(file)?)
        }),
        "outcore" => push(&job, || {
            Ok(outcore::DiskAlloc::new_in(&ScratchDir::new(&job.dir)?)?)
        }),
        other => bail!("no such row: {other}"),
    }
}

fn push<A: Allocator>(job: &VecJob, alloc: impl FnOnce() -> Result<A>) -> Result<Sample> {
    let push = |vec: &mut Vec<u64, A>, number| {
        vec.push(number);
        Ok::<(), Error>(())
    };
    job.measure(|| alloc().map(Vec::new_in), push, Vec::as_slice)
}
