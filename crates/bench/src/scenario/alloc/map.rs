//! A hash table of pairs of numbers: insert all, then look all up in another order.

use allocator_api2::alloc::System;
use hashbrown::{DefaultHashBuilder, HashMap};
use outcore::DiskAlloc;

use crate::prelude::*;
use crate::scenario::alloc::{Alloc, OUTCORE, SYSTEM};
use crate::scenario::vec_push::VecJob;

/// The distance of two lookups: a prime.
const STRIDE: u64 = 15_485_863;

/// The bytes of a pair.
const PAIR_BYTES: u64 = 16;

/// Under a limit nearly every step waits for the device, a few ten million times.
const LIMITED_MAX: Duration = Duration::from_secs(2 * 3600);

pub(super) fn workloads(options: &'static Options) -> [Workload; 2] {
    let free = options.bytes(2_000_000 * PAIR_BYTES, 20_000_000 * PAIR_BYTES);
    let tight = options.bytes(6_000_000 * PAIR_BYTES, 20_000_000 * PAIR_BYTES);
    let limit = options.either(limit_for(tight), 256 << 20);
    [
        Workload {
            rounds: options.rounds(5, 5),
            ..workload(options, free / PAIR_BYTES)
        },
        Workload {
            rounds: options.rounds(1, 1),
            is_slow: true,
            time_max: options.full.then_some(LIMITED_MAX),
            ..workload(options, tight / PAIR_BYTES).in_group(limit)
        },
    ]
}

fn workload(options: &'static Options, count: u64) -> Workload {
    let times = [
        Column::new("insert s", "insert", 1.0, 2),
        Column::new("lookup s", "lookup", 1.0, 2),
    ];
    Workload {
        columns: [&times[..], &USAGE].concat(),
        baselines: vec![SYSTEM],
        ..Workload::isolated(
            format!("alloc_map_u64/{count}"),
            Headline::less("time_per_pair", "ns"),
            &[
                Row::new(SYSTEM, "", measure::<System>),
                Row::new(OUTCORE, "", measure::<DiskAlloc>),
            ],
            move || VecJob::new(options, count * 8),
            |job| pool::sum((0..job.count).map(pair)),
        )
    }
}

fn measure<A: Alloc>(job: &VecJob) -> Result<Sample> {
    let stage = Stage::start()?;
    let mut map = HashMap::with_hasher_in(DefaultHashBuilder::default(), A::make(job.dir)?);
    let started = Instant::now();
    for index in 0..job.count {
        map.insert(mix(index), index);
    }
    let inserted = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let (mut sum, mut index) = (0_u64, 0);
    for _ in 0..job.count {
        let found: Option<&u64> = map.get(&mix(index));
        sum = sum.wrapping_add(pair(*found.context("a pair is lost")?));
        index = (index + STRIDE) % job.count;
    }
    let looked_up = started.elapsed().as_secs_f64();
    let mut sample = stage.stop()?;
    sample.checksum = sum;
    sample.add("insert", inserted, "s");
    sample.add("lookup", looked_up, "s");
    let nanos = (inserted + looked_up) * 1e9;
    sample.add("time_per_pair", nanos / job.count as f64, "ns");
    timed_drop(map, &mut sample);
    Ok(sample)
}

fn pair(index: u64) -> u64 {
    mix(index ^ 0x5DEE_CE66_D1CE_4E5B)
}
