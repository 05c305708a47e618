//! What the machine can do at all, measured in the same run: the numbers that everything
//! else is divided by.

mod calls;
mod memory;
mod read;
mod ring;
mod write;

use std::path::Path;
use std::time::Instant;

use crate::failure::Result;
use crate::measure::{Candidate, Sample};
use crate::settings::Settings;
use crate::stage::Stage;
use crate::workload::{Column, Deferred, Headline, Kind, Shared, Workload};

/// The beginning of the names of all these workloads.
pub const PREFIX: &str = "physical_";

/// The workload of writes, and its row of `pwrite` into claimed blocks.
pub const WRITE: (&str, &str) = ("physical_write/", "pwrite_1MiB_prealloc");

/// The workload of memory, and its row of reading with one thread.
pub const MEMORY_READ: (&str, &str) = ("physical_memory/", "read_1_thread");

/// The workload of reading in order, and its row of many requests past the page cache.
pub const READ_IN_ORDER: (&str, &str) = ("physical_read_in_order/", "direct_1MiB_depth_8");

/// The workload of reading at random, and its row of one read at a time.
pub const READ_AT_RANDOM: (&str, &str) = ("physical_read_at_random/", "direct_4KiB_one_by_one");

/// The beginning of the rows of reads at random with many under way.
pub const READ_AT_DEPTH: &str = "direct_4KiB_depth_";

/// Says which limit a workload cannot pass: the beginning of the name of a workload of this
/// module, and how the names of its rows begin, of which the best one counts.
pub fn limit_for(workload: &Workload) -> Option<(&'static str, &'static str)> {
    let name = workload.name.as_str();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let metric = workload.headline.metric;
    if metric == "rate" && starts(&["push_", "append", "past_limit", "fill_"]) {
        Some(WRITE)
    } else if metric == "rate" && starts(&["scan"]) {
        Some(READ_IN_ORDER)
    } else if metric == "rate" && starts(&["sum"]) {
        Some(MEMORY_READ)
    } else if name.contains("/cold") && starts(&["get_many"]) {
        Some((READ_AT_RANDOM.0, READ_AT_DEPTH))
    } else if (name.contains("/cold") && metric == "time_per_read") || starts(&["blobs"]) {
        Some(READ_AT_RANDOM)
    } else {
        None
    }
}

/// Returns the workloads.
pub fn workloads(settings: &Settings, dir: &Path) -> Vec<Workload> {
    vec![
        memory::workload(settings),
        write::workload(settings, dir),
        read::in_order(settings, dir),
        read::at_random(settings, dir),
        calls::workload(settings, dir),
    ]
}

/// Makes a workload of candidates that share a process.
fn shared(
    name: String,
    title: &'static str,
    headline: Headline,
    columns: &[Column],
    rounds: u32,
    prepare: impl Fn() -> Result<Vec<Candidate<'static>>> + 'static,
) -> Workload {
    Workload {
        name,
        title,
        headline,
        columns: columns.to_vec(),
        baselines: Vec::new(),
        goals: Vec::new(),
        rounds,
        expected: Deferred::new(|| 0),
        kind: Kind::Shared(Shared {
            memory_limit: None,
            read_ahead_kb: None,
            prepare: Deferred::new(prepare),
        }),
    }
}

/// Runs `work`, which moves `len` bytes, with the clock on.
fn timed(len: u64, work: impl FnOnce() -> Result<()>) -> Result<Sample> {
    let stage = Stage::start()?;
    let started = Instant::now();
    work()?;
    let seconds = started.elapsed().as_secs_f64();
    let mut sample = stage.stop()?;
    sample.add("rate", len as f64 / f64::from(1 << 30) / seconds, "GiB/s");
    Ok(sample)
}
