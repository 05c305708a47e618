//! Collections and programs whose memory `DiskAlloc` or `SpillAlloc` gives, beside the same with
//! the system's allocator.

mod map;
mod mapped;
mod ordinary;
mod push;
mod small;

use std::path::Path;

use outcore::{DiskAlloc, ScratchDir};

use crate::failure::Result;
use crate::scenario::vec_push::VecPusher;
use crate::settings::Settings;
use crate::workload::{CPU, Column, DROP, FAULTS, PEAK, Workload};

/// The row of the system's allocator.
pub const SYSTEM: &str = "system";

/// The row of outcore's allocator.
pub const OUTCORE: &str = "outcore";

const COLUMNS: &[Column] = &[PEAK, CPU[0], CPU[1], FAULTS, DROP];

/// Returns the workloads, with the vectors of the caller behind our own.
///
/// # Errors
///
/// A size without a number.
pub fn workloads(settings: &Settings, dir: &Path, others: &[VecPusher]) -> Result<Vec<Workload>> {
    let mut all = push::workloads(settings, dir, others)?;
    all.extend(map::workloads(settings, dir));
    all.extend(small::workloads(settings, dir));
    all.push(ordinary::workload(settings));
    Ok(all)
}

fn disk(dir: &Path) -> Result<DiskAlloc> {
    Ok(DiskAlloc::new_in(&ScratchDir::new(dir)?)?)
}
