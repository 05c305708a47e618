//! Small blocks, taken and freed at random by one thread or several.

use std::sync::atomic::{AtomicU64, Ordering};

use allocator_api2::alloc::{Allocator, System};
use allocator_api2::vec::Vec as Vector;
use outcore::DiskAlloc;

use crate::prelude::*;
use crate::scenario::alloc::{Alloc, OUTCORE, SYSTEM};

/// Places for blocks that a thread has, of which half are taken.
const PLACES: usize = 20_000;

/// The sizes of blocks.
const SIZES: std::ops::RangeInclusive<u64> = 16..=512;

/// How many steps each thread does, and where files go.
#[derive(Clone, Copy)]
struct SmallJob {
    dir: &'static Path,
    steps: u64,
    threads: usize,
}

/// Returns the workloads of small blocks: for 1, 2, 4 and 8 threads.
pub(super) fn workloads(options: &'static Options) -> [Workload; 4] {
    [1, 2, 4, 8].map(|threads| {
        let job = SmallJob {
            dir: options.dir(),
            steps: options.bytes(4_000_000, 20_000_000),
            threads,
        };
        Workload {
            columns: USAGE.to_vec(),
            baselines: vec![SYSTEM],
            rounds: options.rounds(5, 5),
            is_slow: threads > 2,
            ..Workload::isolated(
                format!("alloc_small_16_512/threads_{threads}"),
                Headline::less("time_per_step", "ns"),
                &[
                    Row::new(SYSTEM, "", measure::<System>),
                    Row::new(OUTCORE, "", measure::<DiskAlloc>),
                ],
                move || job,
                SmallJob::expected,
            )
        }
    })
}

fn measure<A: Alloc>(job: &SmallJob) -> Result<Sample> {
    let sum = AtomicU64::new(0);
    let stage = Stage::start()?;
    let alloc = &A::make(job.dir)?;
    on_threads(0..job.threads, |number| {
        let own = replay(alloc, number as u64, job.steps);
        sum.fetch_add(own, Ordering::Relaxed);
        Ok(())
    })?;
    let mut sample = stage.stop()?;
    sample.checksum = sum.into_inner();
    sample.add_time("time_per_step", job.steps);
    Ok(sample)
}

/// What a step does.
struct Step {
    place: usize,
    size: usize,
    mark: u8,
}

fn steps_of(seed: u64, steps: u64) -> impl Iterator<Item = Step> {
    let mut random = Random::new(seed);
    (0..steps).map(move |_| {
        let word = random.next();
        let size = SIZES.start() + (word & 0xFFFF) % (SIZES.end() - SIZES.start() + 1);
        Step {
            place: index((word >> 32) % PLACES as u64),
            size: index(size),
            mark: word.to_le_bytes()[3],
        }
    })
}

fn replay<A: Allocator>(alloc: &A, seed: u64, steps: u64) -> u64 {
    let mut places: Vec<Option<Vector<u8, &A>>> = Vec::new();
    places.resize_with(PLACES, || None);
    let mut sum = 0_u64;
    for step in steps_of(seed, steps) {
        let place = &mut places[step.place];
        if let Some(block) = place.take() {
            sum = sum.wrapping_add(freed(block[0], block.len()));
        } else {
            let mut block = Vector::with_capacity_in(step.size, alloc);
            block.extend([step.mark, 1]);
            *place = Some(block);
        }
    }
    sum
}

fn freed(mark: u8, len: usize) -> u64 {
    mix(u64::from(mark) << 8 | len as u64)
}

impl SmallJob {
    fn expected(&self) -> u64 {
        let of_thread = |seed: usize| {
            let mut places = vec![None; PLACES];
            let mut sum = 0_u64;
            for step in steps_of(seed as u64, self.steps) {
                match places[step.place].take() {
                    Some(mark) => sum = sum.wrapping_add(freed(mark, 2)),
                    None => places[step.place] = Some(step.mark),
                }
            }
            sum
        };
        (0..self.threads).map(of_thread).fold(0, u64::wrapping_add)
    }
}
