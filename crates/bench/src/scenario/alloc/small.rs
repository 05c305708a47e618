//! Small blocks, taken and freed at random by one thread or several.

use std::path::Path;
use std::thread;

use allocator_api2::alloc::{Allocator, System};
use allocator_api2::vec::Vec as Vector;

use crate::failure::{Failure, Result};
use crate::goal::{Asked, Goal};
use crate::measure::Sample;
use crate::random::{Random, mix};
use crate::scenario::alloc::{COLUMNS, OUTCORE, SYSTEM, disk};
use crate::settings::Settings;
use crate::stage::Stage;
use crate::workload::{Deferred, Headline, Isolated, Kind, Workload};

/// Places for blocks that a thread has, of which half are taken.
const PLACES: usize = 20_000;

/// The sizes of blocks.
const SIZES: std::ops::RangeInclusive<u64> = 16..=512;

/// Returns the workloads of small blocks: for 1, 2, 4 and 8 threads.
pub(super) fn workloads(settings: &Settings, dir: &Path) -> Vec<Workload> {
    let steps = settings.bytes(4_000_000, 20_000_000);
    let asked = [(1, Some(2.0)), (2, Some(3.0)), (4, None), (8, None)];
    let with = |(threads, factor): (u64, Option<f64>)| {
        let mut workload = workload(steps, threads, dir);
        workload.rounds = settings.rounds(5, 5);
        let baseline = SYSTEM;
        let goal = |factor| Goal::new(OUTCORE, Asked::TimeWithin { baseline, factor });
        workload.goals = factor.map(goal).into_iter().collect();
        workload
    };
    asked.into_iter().map(with).collect()
}

fn workload(steps: u64, threads: u64, dir: &Path) -> Workload {
    let dir = dir.to_owned();
    let row = |name, run| Isolated {
        name,
        note: "",
        memory_limit: None,
        run,
    };
    Workload {
        name: format!("alloc_small_16_512/threads_{threads}"),
        title: "\
Blocks of 16 to 512 bytes, each step takes one or frees one at random; two bytes of each are\n\
written and read. The time of a step; each thread does all of them, with blocks of its own.",
        headline: Headline {
            metric: "time_per_step",
            unit: "ns",
            higher_is_better: false,
        },
        columns: COLUMNS.to_vec(),
        baselines: vec![SYSTEM],
        goals: Vec::new(),
        rounds: 0,
        kind: Kind::Isolated(vec![
            row(
                SYSTEM,
                Box::new(move || measure(steps, threads, || Ok(System))),
            ),
            row(
                OUTCORE,
                Box::new(move || measure(steps, threads, || disk(&dir))),
            ),
        ]),
        expected: Deferred::new(move || expected(steps, threads)),
    }
}

fn measure<A: Allocator + Sync>(
    steps: u64,
    threads: u64,
    alloc: impl FnOnce() -> Result<A>,
) -> Result<Sample> {
    let stage = Stage::start()?;
    let alloc = &alloc()?;
    let sums = thread::scope(|scope| {
        let replay = |seed| scope.spawn(move || replay(alloc, seed, steps));
        let all: Vec<_> = (0..threads).map(replay).collect();
        let joined = all.into_iter().map(thread::ScopedJoinHandle::join);
        joined.collect::<thread::Result<Vec<u64>>>()
    });
    let sums = sums.map_err(|_panic| Failure::new("a thread panicked"))?;
    let mut sample = stage.stop()?;
    sample.checksum = sums.into_iter().fold(0, u64::wrapping_add);
    let seconds = sample.get("seconds").unwrap_or(f64::NAN);
    sample.add("time_per_step", seconds * 1e9 / steps as f64, "ns");
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
        let word = random.next_u64();
        let place = (word >> 32) % PLACES as u64;
        let size = SIZES.start() + (word & 0xFFFF) % (SIZES.end() - SIZES.start() + 1);
        Step {
            place: usize::try_from(place).unwrap_or(0),
            size: usize::try_from(size).unwrap_or(0),
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

fn expected(steps: u64, threads: u64) -> u64 {
    let of_thread = |seed| {
        let mut places = vec![None; PLACES];
        let mut sum = 0_u64;
        for step in steps_of(seed, steps) {
            match places[step.place].take() {
                Some(mark) => sum = sum.wrapping_add(freed(mark, 2)),
                None => places[step.place] = Some(step.mark),
            }
        }
        sum
    };
    (0..threads).map(of_thread).fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_to_the_expected_checksum() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let expected = expected(100_000, 3);
        let system = measure(100_000, 3, || Ok(System)).unwrap();
        let own = measure(100_000, 3, || disk(dir)).unwrap();
        assert_eq!((system.checksum, own.checksum), (expected, expected));
    }
}
