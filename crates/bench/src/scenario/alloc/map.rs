//! A hash table of pairs of numbers: insert all, then look all up in another order.

use std::path::Path;
use std::time::Instant;

use allocator_api2::alloc::{Allocator, System};
use hashbrown::{DefaultHashBuilder, HashMap};

use crate::failure::{Failure, Result};
use crate::goal::{Asked, Goal};
use crate::measure::Sample;
use crate::random::mix;
use crate::scenario::alloc::{COLUMNS, OUTCORE, SYSTEM, disk};
use crate::settings::{Settings, limit_for, text_of_bytes};
use crate::stage::Stage;
use crate::workload::{Column, Deferred, Headline, Isolated, Kind, Workload};

/// The distance of two lookups: a prime.
const STRIDE: u64 = 15_485_863;

/// The bytes of a pair.
const PAIR_BYTES: u64 = 16;

/// Returns the workloads of tables.
pub(super) fn workloads(settings: &Settings, dir: &Path) -> Vec<Workload> {
    let free = settings.bytes(2_000_000 * PAIR_BYTES, 20_000_000 * PAIR_BYTES);
    let tight = settings.bytes(6_000_000 * PAIR_BYTES, 20_000_000 * PAIR_BYTES);
    let limit = if settings.full {
        256 << 20
    } else {
        limit_for(tight)
    };
    let mut uncapped = workload(free / PAIR_BYTES, None, dir);
    uncapped.rounds = settings.rounds(5, 5);
    let (baseline, factor) = (SYSTEM, 1.5);
    let asked = Asked::TimeWithin { baseline, factor };
    uncapped.goals = vec![Goal::new(OUTCORE, asked)];
    uncapped.baselines = vec![SYSTEM];
    let mut capped = workload(tight / PAIR_BYTES, Some(limit), dir);
    capped.rounds = settings.rounds(1, 1);
    vec![uncapped, capped]
}

fn workload(count: u64, memory_limit: Option<u64>, dir: &Path) -> Workload {
    let capped = memory_limit.map(|limit| format!("/limit_{}", text_of_bytes(limit)));
    let dir = dir.to_owned();
    Workload {
        name: format!("alloc_map_u64/{count}{}", capped.unwrap_or_default()),
        title: "\
Pairs of 8-byte numbers inserted into an empty hashbrown table that grows, and looked up in\n\
another order. The time of a pair, both together.",
        headline: Headline {
            metric: "time_per_pair",
            unit: "ns",
            higher_is_better: false,
        },
        columns: [
            &[
                Column::new("insert s", "insert", 1.0, 2),
                Column::new("lookup s", "lookup", 1.0, 2),
            ],
            COLUMNS,
        ]
        .concat(),
        baselines: Vec::new(),
        goals: Vec::new(),
        rounds: 0,
        kind: Kind::Isolated(vec![
            Isolated {
                name: SYSTEM,
                note: "",
                memory_limit,
                run: Box::new(move || measure(count, || Ok(System))),
            },
            Isolated {
                name: OUTCORE,
                note: "",
                memory_limit,
                run: Box::new(move || measure(count, || disk(&dir))),
            },
        ]),
        expected: Deferred::new(move || (0..count).map(pair).fold(0, u64::wrapping_add)),
    }
}

fn measure<A: Allocator>(count: u64, alloc: impl FnOnce() -> Result<A>) -> Result<Sample> {
    let stage = Stage::start()?;
    let mut map = HashMap::with_hasher_in(DefaultHashBuilder::default(), alloc()?);
    let started = Instant::now();
    for index in 0..count {
        map.insert(mix(index), index);
    }
    let inserted = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let (mut sum, mut index) = (0_u64, 0);
    for _ in 0..count {
        let found: Option<&u64> = map.get(&mix(index));
        let found = found.ok_or_else(|| Failure::new("a pair is lost"))?;
        sum = sum.wrapping_add(pair(*found));
        index = (index + STRIDE) % count;
    }
    let looked_up = started.elapsed().as_secs_f64();
    let mut sample = stage.stop()?;
    sample.checksum = sum;
    sample.add("insert", inserted, "s");
    sample.add("lookup", looked_up, "s");
    let seconds = inserted + looked_up;
    sample.add("time_per_pair", seconds * 1e9 / count as f64, "ns");
    let started = Instant::now();
    drop(map);
    sample.add("drop", started.elapsed().as_secs_f64(), "s");
    Ok(sample)
}

fn pair(index: u64) -> u64 {
    mix(index ^ 0x5DEE_CE66_D1CE_4E5B)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_to_the_expected_checksum() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workload = workload(30_000, None, dir);
        let Kind::Isolated(rows) = &workload.kind else {
            panic!("rows are processes");
        };
        for row in rows {
            let sample = (row.run)().unwrap();
            assert_eq!(sample.checksum, workload.expected.make(), "{}", row.name);
        }
    }
}
