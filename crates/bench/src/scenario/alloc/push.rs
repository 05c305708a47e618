//! A vector of 8-byte numbers that grows: the time of a push, and the time inside of growth.

use std::path::Path;
use std::time::{Duration, Instant};

use allocator_api2::alloc::{Allocator, System};
use allocator_api2::vec::Vec as Vector;

use crate::prelude::*;
use crate::scenario::alloc::{OUTCORE, SYSTEM, disk};
use crate::scenario::vec_push::{VecJob, push_std};

/// The row of std's vector.
const STD: &str = "std_vec";
/// The row of diskallocator, where it takes part.
const DISKALLOCATOR: &str = "diskallocator";

pub(super) fn workloads(options: &Options, dir: &Path, others: &[Row<VecJob>]) -> Vec<Workload> {
    let own = [
        Row::new(STD, "", push_std),
        Row::new(SYSTEM, "", |job| push(job, Ok(System))),
        Row::new(OUTCORE, "", |job| push(job, disk(&job.dir))),
    ];
    let rows = [&own, others].concat();
    let mut all = Vec::new();
    let [reused, free, _past] = Memory::states(options.bytes(256 << 20, 1 << 30));
    for (state, suffix, len) in [reused, free] {
        all.push(Workload {
            columns: USAGE.to_vec(),
            baselines: vec![STD, DISKALLOCATOR],
            rounds: options.rounds(5, 7),
            memory: state,
            is_slow: state != Memory::Reused,
            ..Workload::isolated(
                format!("alloc_push_u64/{}{suffix}", text_of_bytes(len)),
                (TITLE_PUSH, Headline::less("time_per_push", "ns")),
                &rows,
                VecJob::new(dir, len, false),
                VecJob::expected,
            )
        });
    }
    let len = options.bytes(256 << 20, 4 << 30);
    all.push(Workload {
        columns: [&USAGE[..], &[Column::new("times", "growths", 1.0, 0)]].concat(),
        baselines: vec![SYSTEM],
        rounds: options.rounds(3, 5),
        ..Workload::isolated(
            format!("alloc_grow_u64/{}", text_of_bytes(len)),
            (TITLE_GROW, Headline::less("growth", "ms")),
            &[
                Row::new(SYSTEM, "", |job| grow(job, Ok(System))),
                Row::new(OUTCORE, "", |job| grow(job, disk(&job.dir))),
            ],
            VecJob::new(dir, len, false),
            VecJob::expected,
        )
    });
    all
}

fn push<A: Allocator>(job: &VecJob, alloc: Result<A>) -> Result<Sample> {
    let push = |vec: &mut Vector<u64, A>, number| {
        vec.push(number);
        Ok::<(), Error>(())
    };
    job.measure(|| alloc.map(Vector::new_in), push, Vector::as_slice)
}

fn grow<A: Allocator>(job: &VecJob, alloc: Result<A>) -> Result<Sample> {
    let (mut growth, mut times) = (Duration::ZERO, 0_u32);
    let push = |vec: &mut Vector<u64, A>, number| {
        if vec.len() == vec.capacity() {
            let started = Instant::now();
            vec.reserve(1);
            growth += started.elapsed();
            times += 1;
        }
        vec.push(number);
        Ok::<(), Error>(())
    };
    let mut sample = job.measure(|| alloc.map(Vector::new_in), push, Vector::as_slice)?;
    sample.add("growth", growth.as_secs_f64() * 1e3, "ms");
    sample.add("growths", f64::from(times), "count");
    Ok(sample)
}

const TITLE_PUSH: &str = "\
Numbers of 8 bytes pushed one by one into an empty vector, a process for each run. The time of\n\
one push, growth included. `system` and `outcore` are the vector of allocator-api2.";

const TITLE_GROW: &str = "\
The same; the time of all pushes together that found the vector full, and made it grow.";
