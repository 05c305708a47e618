//! swapvec: a vector that only goes forward.

use std::env;

use swapvec::{Compression, SwapVec, SwapVecConfig, SwapVecError};

use outcore_bench::prelude::*;
use outcore_bench::scenario::strings::{Small, StringJob};
use outcore_bench::scenario::vec_push::VecJob;

/// It goes to disk after so many numbers: 8 MiB.
const SWAP_AFTER: usize = 1 << 20;

pub(super) fn collector() -> Row<VecJob> {
    let note = "in memory up to 8 MiB (by default 256 MiB); serialises each number, checks its batches; only \
                goes forward";
    Row::new("swapvec", note, collect)
}

/// Its error can only be shown for debugging.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(error: SwapVecError) -> Error {
    anyhow!("{error:?}")
}

fn collect(job: &VecJob) -> Result<Sample> {
    // Its file goes to the current directory.
    env::set_current_dir(job.dir)?;
    let make = || {
        Ok(SwapVec::with_config(SwapVecConfig {
            swap_after: SWAP_AFTER,
            ..SwapVecConfig::default()
        }))
    };
    let push = |vec: &mut SwapVec<u64>, number| vec.push(number).map_err(failure);
    job.collect(make, push, |vec| {
        pool::try_sum(vec.into_iter().map(|number| number.map_err(failure)))
    })
}

/// The same with values of several fields, and its LZ4.
pub(super) fn spool() -> Row<StringJob> {
    Row::timed("swapvec", "bincode, lz4", |job: &StringJob| {
        env::set_current_dir(job.dir)?;
        let mut values: SwapVec<Small> = SwapVec::with_config(SwapVecConfig {
            swap_after: index(job.budget_bytes) / size_of::<Small>(),
            compression: Some(Compression::Lz4),
            ..SwapVecConfig::default()
        });
        for number in 0..job.count {
            values.push(StringJob::small(number)).map_err(failure)?;
        }
        let values = values.into_iter().map(|value| value.map_err(failure));
        pool::try_sum(values.map(|value| value.map(StringJob::sum_small)))
    })
}
