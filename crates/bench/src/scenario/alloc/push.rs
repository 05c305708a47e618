//! A vector of 8-byte numbers that grows: the time of a push, and the time inside of growth.

use allocator_api2::alloc::System;
use allocator_api2::vec::Vec as Vector;
use outcore::DiskAlloc;

use crate::prelude::*;
use crate::scenario::alloc::{Alloc, OUTCORE, SYSTEM};
use crate::scenario::vec_push::{TIME_PER_PUSH, VecJob};

/// The row of std's vector.
const STD: &str = "std_vec";
/// The row of diskallocator, where it takes part.
const DISKALLOCATOR: &str = "diskallocator";

pub(super) fn workloads(options: &'static Options, others: &[Row<VecJob>]) -> Vec<Workload> {
    let own = [
        Row::new(STD, "", VecJob::push::<Vec<u64>>),
        Row::new(SYSTEM, "", push::<System>),
        Row::new(OUTCORE, "", push::<DiskAlloc>),
    ];
    let rows = [&own, others].concat();
    let [reused, free, _past] = Memory::states(options.bytes(256 << 20, 1 << 30));
    let pushing = [reused, free].map(|(state, len)| Workload {
        columns: USAGE.to_vec(),
        baselines: vec![STD, DISKALLOCATOR],
        rounds: options.rounds(5, 7),
        ..Workload::isolated(
            sized("alloc_push_u64", len),
            TIME_PER_PUSH,
            &rows,
            move || VecJob::new(options, len),
            VecJob::expected,
        )
        .in_state(state)
    });
    let len = options.bytes(256 << 20, 4 << 30);
    let growing = Workload {
        columns: [&USAGE[..], &[Column::new("times", "growths", 1.0, 0)]].concat(),
        baselines: vec![SYSTEM],
        rounds: options.rounds(3, 5),
        ..Workload::isolated(
            sized("alloc_grow_u64", len),
            Headline::less("growth", "ms"),
            &[
                Row::new(SYSTEM, "", grow::<System>),
                Row::new(OUTCORE, "", grow::<DiskAlloc>),
            ],
            move || VecJob::new(options, len),
            VecJob::expected,
        )
    };
    pushing.into_iter().chain([growing]).collect()
}

fn push<A: Alloc>(job: &VecJob) -> Result<Sample> {
    let push = |vec: &mut Vector<u64, A>, number| {
        vec.push(number);
        Ok(())
    };
    let make = || A::make(job.dir).map(Vector::new_in);
    job.measure(make, push, Vector::as_slice)
}

fn grow<A: Alloc>(job: &VecJob) -> Result<Sample> {
    let (mut growth, mut times) = (Duration::ZERO, 0_u32);
    let push = |vec: &mut Vector<u64, A>, number| {
        if vec.len() == vec.capacity() {
            let started = Instant::now();
            vec.reserve(1);
            growth += started.elapsed();
            times += 1;
        }
        vec.push(number);
        Ok(())
    };
    let make = || A::make(job.dir).map(Vector::new_in);
    let mut sample = job.measure(make, push, Vector::as_slice)?;
    sample.add("growth", growth.as_secs_f64() * 1e3, "ms");
    sample.add("growths", f64::from(times), "count");
    Ok(sample)
}
