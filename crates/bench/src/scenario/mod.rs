//! What a user does with outcore, beside the same work in plain system calls.
//!
//! Programs that compare with others give their candidates to the functions in here, so
//! that all do the same work in the same loops.

pub mod alloc;
pub mod get;
pub mod get_cold;
pub mod get_job;
pub mod get_zipf;
pub mod physical;
pub mod push;
pub mod ranged;
pub mod ranged_allocate;
pub mod raw;
mod raw_ring;
mod shared_file;
pub mod store;
pub mod vec_collect;
pub mod vec_push;
pub mod vec_read;
pub mod vec_update;

use std::path::Path;

use crate::failure::Result;
use crate::settings::Settings;
use crate::workload::Workload;

/// Returns outcore's own workloads, without any competitor.
///
/// # Errors
///
/// Settings that make no sense.
pub fn own(settings: &Settings, dir: &Path) -> Result<Vec<Workload>> {
    let mut workloads = physical::workloads(settings, dir);
    workloads.extend(push::workloads(settings, dir, &[])?);
    workloads.extend(get::workloads(settings, dir, &[])?);
    workloads.extend(get_cold::workloads(settings, dir, &[]));
    workloads.extend(get_zipf::workloads(settings, dir, &[]));
    workloads.extend(vec_push::workloads(settings, dir, &[])?);
    workloads.extend(vec_read::workloads(settings, dir, &[]));
    workloads.push(vec_update::workload(settings, dir, &[]));
    workloads.push(vec_collect::workload(settings, dir, &[]));
    workloads.extend(store::workloads(settings, dir, &[]));
    workloads.extend(ranged::workloads(settings, dir, &[], &[]));
    workloads.extend(ranged_allocate::workloads(settings, dir, &[]));
    workloads.extend(alloc::workloads(settings, dir, &[])?);
    Ok(workloads)
}
