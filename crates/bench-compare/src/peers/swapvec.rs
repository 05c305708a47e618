//! swapvec: a vector that only goes forward.

use std::env;

use swapvec::{SwapVec, SwapVecConfig, SwapVecError};

use outcore_bench::prelude::*;
use outcore_bench::scenario::vec_push::VecJob;

/// It goes to disk after so many numbers: 8 MiB.
const SWAP_AFTER: usize = 1 << 20;

pub(super) fn collector() -> Row<VecJob> {
    let note = "in memory up to 8 MiB (by default 256 MiB); serialises each number, checks its batches; only \
                goes forward";
    Row::new("swapvec", note, collect)
}

fn collect(job: &VecJob) -> Result<Sample> {
    // Its file goes to the current directory.
    env::set_current_dir(&job.dir)?;
    let make = || {
        Ok(SwapVec::with_config(SwapVecConfig {
            swap_after: SWAP_AFTER,
            ..SwapVecConfig::default()
        }))
    };
    // Its error can only be shown for debugging.
    let failure = |error: SwapVecError| -> Error { anyhow!("{error:?}") };
    let push = |vec: &mut SwapVec<u64>, number| vec.push(number).map_err(failure);
    job.collect(make, push, |vec| {
        pool::try_sum(vec.into_iter().map(|number| number.map_err(failure)))
    })
}
