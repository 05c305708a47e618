//! Collections and programs whose memory `DiskAlloc` or `SpillAlloc` gives, beside the same with
//! the system's allocator.

mod map;
mod ordinary;
mod push;
mod small;

use std::path::Path;

use outcore::{DiskAlloc, ScratchDir};

use crate::prelude::*;
use crate::scenario::vec_push::VecJob;

/// The row of the system's allocator.
const SYSTEM: &str = "system";
const OUTCORE: &str = "outcore";

pub(super) fn workloads(options: &Options, dir: &Path, others: &[Row<VecJob>]) -> Vec<Workload> {
    let mut all = push::workloads(options, dir, others);
    all.extend(map::workloads(options, dir));
    all.extend(small::workloads(options, dir));
    all.push(ordinary::workload(options));
    all
}

fn disk(dir: &Path) -> Result<DiskAlloc> {
    Ok(DiskAlloc::new_in(&ScratchDir::new(dir)?)?)
}
