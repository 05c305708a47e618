//! Collections and programs whose memory `DiskAlloc` or `SpillAlloc` gives, beside the same with
//! the system's allocator.

mod map;
mod ordinary;
mod push;
mod small;

use allocator_api2::alloc::{Allocator, System};
use outcore::{DiskAlloc, ScratchDir};

use crate::prelude::*;
use crate::scenario::vec_push::VecJob;

/// The row of the system's allocator.
const SYSTEM: &str = "system";
const OUTCORE: &str = "outcore";

pub(super) fn workloads(options: &'static Options, others: &[Row<VecJob>]) -> Vec<Workload> {
    let mut all = push::workloads(options, others);
    all.extend(map::workloads(options));
    all.extend(small::workloads(options));
    all.push(ordinary::workload(options));
    all
}

/// An allocator that is measured.
trait Alloc: Allocator + Sized + Sync {
    /// Makes one, with its files in `dir` if it has any.
    fn make(dir: &Path) -> Result<Self>;
}

impl Alloc for System {
    fn make(_dir: &Path) -> Result<Self> {
        Ok(Self)
    }
}

impl Alloc for DiskAlloc {
    fn make(dir: &Path) -> Result<Self> {
        Ok(Self::new_in(&ScratchDir::new(dir)?)?)
    }
}
