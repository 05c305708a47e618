//! Handing out ranges of one file to several threads.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use outcore::{FileRangeMut, RangeFile};

use crate::failure::{Context, Failure, Result};
use crate::goal::{Asked, Goal};
use crate::measure::{Candidate, Sample};
use crate::pool;
use crate::scenario::ranged::{BLOCK, FillJob, OUTCORE, on_threads};
use crate::settings::Settings;
use crate::stage::Stage;
use crate::workload::{Column, Deferred, Headline, Kind, Shared, Workload};

/// The row of an addition and nothing else.
pub const FETCH_ADD: &str = "fetch_add";

/// Ranges to hand out.
#[derive(Clone, Debug)]
pub struct AllocateJob {
    /// Describes the file.
    pub fill: FillJob,
    /// How many threads ask.
    pub threads: usize,
}

/// Returns a way to hand out ranges.
pub type PrepareAllocate = fn(&AllocateJob) -> Result<Candidate<'static>>;

impl AllocateJob {
    /// Lets all threads call `allocate` until it returns `None`, and keeps what they get until the
    /// clock has stopped. `start` says where a range starts.
    ///
    /// # Errors
    ///
    /// None but those of the counters.
    pub fn measure<R: Send>(
        &self,
        allocate: impl Fn() -> Option<R> + Sync,
        start: impl Fn(&R) -> u64,
    ) -> Result<Sample> {
        let count = pool::index(self.fill.len) / BLOCK;
        let kept: Vec<_> = (0..self.threads)
            .map(|_| std::sync::Mutex::new(Vec::with_capacity(count)))
            .collect();
        for kept in &kept {
            // So that no memory is touched for the first time while the clock runs.
            let mut kept = kept.lock().map_err(|_poisoned| Failure::new("poisoned"))?;
            kept.spare_capacity_mut()
                .fill_with(std::mem::MaybeUninit::zeroed);
        }
        let stage = Stage::start()?;
        on_threads(self.threads, |number| {
            let kept = kept[number].lock();
            let mut kept = kept.map_err(|_poisoned| Failure::new("poisoned"))?;
            while let Some(range) = allocate() {
                kept.push(range);
            }
            Ok(())
        })?;
        let mut sample = stage.stop()?;
        let seconds = sample.get("seconds").unwrap_or(f64::NAN);
        sample.add("time_per_range", seconds * 1e9 / count as f64, "ns");
        for kept in kept {
            let kept = kept
                .into_inner()
                .map_err(|_poisoned| Failure::new("poisoned"))?;
            let starts = kept.iter().map(&start);
            sample.checksum =
                starts.fold(sample.checksum, |sum, start| sum.wrapping_add(start + 1));
        }
        Ok(sample)
    }

    fn expected(&self) -> u64 {
        let starts = (0..self.fill.len).step_by(BLOCK);
        starts.fold(0u64, |sum, start| sum.wrapping_add(start + 1))
    }
}

fn allocators(job: &AllocateJob) -> Vec<Candidate<'static>> {
    // As many bytes as outcore's range has.
    const WORDS: usize = size_of::<FileRangeMut>() / 8;
    let own = job.clone();
    let bare = Candidate::new(FETCH_ADD, "an addition, and a store as large", move || {
        let next = AtomicU64::new(0);
        let allocate = || {
            let start = next.fetch_add(BLOCK as u64, Relaxed);
            (start < own.fill.len).then_some([start; WORDS])
        };
        own.measure(allocate, |range| range[0])
    });
    let own = job.clone();
    let ours = Candidate::new(OUTCORE, "", move || {
        let file = RangeFile::create(&own.fill.path, own.fill.len)?;
        own.measure(move || file.allocate(BLOCK as u64), FileRangeMut::start)
    });
    vec![bare, ours]
}

/// Returns the workloads, with the candidates of the caller behind our own.
pub fn workloads(settings: &Settings, dir: &Path, others: &[PrepareAllocate]) -> Vec<Workload> {
    let len = settings.bytes(256 << 20, 4 << 30);
    let counts = [1, 2, 4, 8].into_iter();
    counts
        .map(|threads| {
            let job = AllocateJob {
                fill: FillJob::new(dir, len, BLOCK, settings.seed),
                threads,
            };
            allocating(settings, &job, others)
        })
        .collect()
}

fn allocating(settings: &Settings, job: &AllocateJob, others: &[PrepareAllocate]) -> Workload {
    let own = job.clone();
    let job = job.clone();
    let others = others.to_vec();
    Workload {
        name: format!("allocate_4KiB/{}_threads", job.threads),
        title: "\
Ranges of 4 KiB handed out until a preallocated file is used up; they are kept until the\n\
clock has stopped. The time of one, over all threads.",
        headline: Headline {
            metric: "time_per_range",
            unit: "ns",
            higher_is_better: false,
        },
        columns: vec![Column::new("allocations", "allocations", 1.0, 0)],
        baselines: vec![FETCH_ADD],
        goals: vec![Goal::new(
            OUTCORE,
            Asked::TimeWithin {
                baseline: FETCH_ADD,
                factor: 1.1,
            },
        )],
        rounds: settings.rounds(9, 15),
        expected: Deferred::new(move || own.expected()),
        kind: Kind::Shared(Shared {
            memory_limit: None,
            read_ahead_kb: None,
            prepare: Deferred::new(move || {
                let dir = job.fill.path.parent().unwrap_or(&job.fill.path);
                fs::create_dir_all(dir).context("make a folder")?;
                let mut candidates = allocators(&job);
                for prepare in &others {
                    candidates.push(prepare(&job)?);
                }
                Ok(candidates)
            }),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ranged::tests::{fill, run};

    #[test]
    fn every_allocator_comes_to_the_expected_checksum() {
        let job = AllocateJob {
            fill: fill(1 << 20, BLOCK),
            threads: 3,
        };
        for candidate in allocators(&job) {
            assert_eq!(run(candidate), job.expected());
        }
    }
}
