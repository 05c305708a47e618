//! Vectors that are filled and gone through once: swapvec and mmap-vec.

use std::env;

use mmap_vec::MmapVec;
use swapvec::{SwapVec, SwapVecConfig};

use outcore_bench::failure::{Failure, Result};
use outcore_bench::measure::Sample;
use outcore_bench::scenario::vec_collect::{Job, Row};

use crate::mmap_vec_rows::{self, InFolder};

/// swapvec goes to disk after so many numbers: 8 MiB.
const SWAP_AFTER: usize = 1 << 20;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "swapvec",
            note: "in memory up to 8 MiB (by default 256 MiB); serialises each number, checks \
                   its batches; only goes forward",
            run: swap,
        },
        Row {
            name: mmap_vec_rows::PUSH,
            note: "never allocates blocks ahead: a full disk is a signal",
            run: map,
        },
    ]
}

fn swap(job: &Job) -> Result<Sample> {
    // Its file goes to the current directory.
    env::set_current_dir(&job.dir)?;
    let make = || {
        Ok(SwapVec::with_config(SwapVecConfig {
            swap_after: SWAP_AFTER,
            ..SwapVecConfig::default()
        }))
    };
    // Its error can only be shown for debugging.
    let failure = |error: swapvec::SwapVecError| Failure::new(format!("{error:?}"));
    let push = |vec: &mut SwapVec<u64>, number| vec.push(number).map_err(failure);
    job.measure(make, push, |vec| {
        let mut sum = 0u64;
        for number in vec {
            sum = sum.wrapping_add(number.map_err(failure)?);
        }
        Ok(sum)
    })
}

fn map(job: &Job) -> Result<Sample> {
    mmap_vec_rows::use_folder_in(&job.dir)?;
    let make = || Ok(MmapVec::<u64, InFolder>::new());
    job.measure(make, MmapVec::push, |vec| {
        Ok(vec
            .iter()
            .fold(0, |sum: u64, number| sum.wrapping_add(*number)))
    })
}
