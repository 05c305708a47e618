//! What a single call, a fault and a sync cost.

use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use crate::failure::Result;
use crate::histogram::Histogram;
use crate::measure::{Candidate, Sample};
use crate::scenario::physical::shared;
use crate::scenario::raw;
use crate::settings::Settings;
use crate::workload::{Column, Headline, Workload};

const HEADLINE: Headline = Headline {
    metric: "time_per_call",
    unit: "ns",
    higher_is_better: false,
};

/// The smallest page, on the machines that this runs on.
const PAGE: usize = 4096;

pub(super) fn workload(settings: &Settings, dir: &Path) -> Workload {
    let dir = dir.to_owned();
    let syncs = if settings.full { 2000 } else { 200 };
    let name = "physical_calls".to_owned();
    let rounds = settings.rounds(5, 9);
    shared(name, TITLE, HEADLINE, TIMES, rounds, move || {
        let file = raw::create(&dir)?;
        raw::preallocate(&file, 1 << 20)?;
        Ok(vec![
            Candidate::new("empty_system_call", "getppid", || {
                each(200_000, || {
                    black_box(rustix::process::getppid());
                    Ok(())
                })
            }),
            Candidate::new("minor_fault", "first touch of a fresh page", || {
                let mut fresh: Vec<u8> = Vec::with_capacity(PAGE * 20_000);
                let mut pages = fresh.spare_capacity_mut().iter_mut().step_by(PAGE);
                each(20_000, || {
                    if let Some(byte) = pages.next() {
                        byte.write(1);
                    }
                    Ok(())
                })
            }),
            Candidate::new("fdatasync_of_4KiB", "after a pwrite", move || {
                let block = [3; PAGE];
                each(syncs, || {
                    file.write_all_at(&block, 0)?;
                    Ok(rustix::fs::fdatasync(&file)?)
                })
            }),
        ])
    })
}

/// Calls `call` so many times. Each time is taken, and the clock is part of it.
fn each(count: u32, mut call: impl FnMut() -> Result<()>) -> Result<Sample> {
    let mut times = Histogram::default();
    let started = Instant::now();
    let mut before = started;
    for _ in 0..count {
        call()?;
        let now = Instant::now();
        times.add(now.duration_since(before));
        before = now;
    }
    let nanos = started.elapsed().as_secs_f64() * 1e9;
    let mut sample = Sample::new();
    sample.add("time_per_call", nanos / f64::from(count), "ns");
    times.report("call", &mut sample);
    Ok(sample)
}

const TITLE: &str = "\
One call each, with one reading of the clock (some 20 to 40 ns) in it.";

const TIMES: &[Column] = &[
    Column::new("p50 ns", "p50_call", 1.0, 0),
    Column::new("p99 ns", "p99_call", 1.0, 0),
];
