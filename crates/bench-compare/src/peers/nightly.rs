//! std's vector in diskallocator and in outcore, both by std's unstable trait: the feature
//! `nightly`, which takes a nightly compiler.

use std::alloc::Allocator;

use outcore::{DiskAlloc, ScratchDir};

use outcore_bench::prelude::*;
use outcore_bench::scenario::vec_push::VecJob;

pub(super) fn pushers() -> [Row<VecJob>; 2] {
    let note = "std's vector; never allocates blocks ahead: a full disk is a signal";
    [
        Row::new("diskallocator", note, |job: &VecJob| {
            push(job, || {
                // As diskallocator makes its own file, but in the directory of all others.
                let file = tempfile::tempfile_in(job.dir)?;
                Ok(diskallocator::DiskAlloc::on_file(file)?)
            })
        }),
        Row::new("outcore_nightly", "std's vector", |job: &VecJob| {
            push(job, || Ok(DiskAlloc::new_in(&ScratchDir::new(job.dir)?)?))
        }),
    ]
}

fn push<A: Allocator>(job: &VecJob, alloc: impl FnOnce() -> Result<A>) -> Result<Sample> {
    let push = |vec: &mut Vec<u64, A>, number| {
        vec.push(number);
        Ok(())
    };
    job.measure(|| alloc().map(Vec::new_in), push, Vec::as_slice)
}
