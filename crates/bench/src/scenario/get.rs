//! Reading items of 512 bytes that were pushed before: one by one or in batches, from the cache or
//! from the device, beside plain reads and an `io_uring` that reads whole blocks past the page
//! cache.

use outcore::{Advice, ArenaMap, Location, ReadOptions};

use crate::prelude::*;
use crate::ring::{self, Blocks};
use crate::scenario::get_job::{BATCH, Filled, GetJob, ITEM_LEN, Shape, Way};

/// The raw loop that the others are compared with.
const RAW: &str = "raw_pread";
/// farena's reads, where it takes part.
pub const FARENA: &str = "farena_get_into";

/// The raw rings past the page cache, by reads under way.
const RINGS: [&str; 3] = [
    "raw_ring_direct_64",
    "raw_ring_direct_128",
    "raw_ring_direct_256",
];

/// Reads under way in the picture.
const DEPTHS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 192];

/// Returns the workloads, with the candidates of others behind our own.
pub(super) fn workloads(options: &'static Options, others: &[Prepare<GetJob>]) -> Vec<Workload> {
    let warm = options.bytes(128 << 20, 1 << 30);
    let cold = options.bytes(256 << 20, 4 << 30);
    let many = options.either(100_000, 400_000);
    let few = options.either(4096, 16_384);
    let shape = |warm, len, reads, way| Shape {
        len,
        reads,
        way,
        warm,
    };
    let mut workloads = Vec::new();
    for (name, shape, is_slow) in [
        ("get_512", shape(true, warm, many, Way::Single), false),
        (
            "get_many_512/random",
            shape(true, warm, many, Way::Random),
            false,
        ),
        (
            "get_many_512/sorted",
            shape(true, warm, many, Way::Sorted),
            true,
        ),
        (
            "get_many_512/adjacent",
            shape(true, warm, many, Way::Adjacent),
            true,
        ),
        (
            "get_many_512/dense",
            shape(true, warm, many, Way::Dense),
            false,
        ),
        (
            "get_many_512/random",
            shape(false, cold, few, Way::Random),
            true,
        ),
    ] {
        let state = if shape.warm { "/warm" } else { "/cold" };
        workloads.push(Workload {
            name: sized(name, shape.len) + state,
            columns: vec![ALLOCATIONS, FAULTS],
            baselines: vec![RAW, FARENA],
            rounds: options.rounds(7, 31),
            physical: (!shape.warm).then_some(physical::READ_MANY),
            is_slow,
            ..workload(
                options,
                name,
                shape,
                &[&[own as Prepare<GetJob>], others].concat(),
            )
        });
    }
    workloads.extend(cold_workloads(options, others));
    workloads
}

fn workload(
    options: &'static Options,
    name: &str,
    shape: Shape,
    prepare: &[Prepare<GetJob>],
) -> Workload {
    Workload::shared(
        sized(name, shape.len),
        TIME_PER_READ,
        prepare.to_vec(),
        move || GetJob::new(options, shape),
        GetJob::expected,
    )
}

/// Many items that are not in memory, in one call, in a memory group of a sixteenth of the data.
fn cold_workloads(options: &'static Options, others: &[Prepare<GetJob>]) -> [Workload; 3] {
    let shape = Shape {
        len: options.bytes(512 << 20, 4 << 30),
        reads: options.either(8_000, 100_000),
        way: Way::Random,
        warm: false,
    };
    let limit = limit_for(shape.len);
    let batches = [&[batch_getters as Prepare<GetJob>], others].concat();
    let batches = |kb| Workload {
        columns: vec![CPU[0], CPU[1], PEAK],
        baselines: [&RINGS[..], &[FARENA]].concat(),
        rounds: options.rounds(5, 5),
        physical: Some(physical::READ_MANY),
        ..workload(options, "get_many_512", shape, &batches)
            .in_group(limit)
            .with_read_ahead(kb)
    };
    let fewer = Shape {
        reads: shape.reads / 4,
        ..shape
    };
    let by_depth = workload(options, "reads_by_depth_512", fewer, &[depth_getters]);
    let depths = Workload {
        columns: CPU.to_vec(),
        rounds: options.rounds(3, 5),
        ..by_depth.in_group(limit).with_read_ahead(128)
    };
    [batches(128), batches(8192), depths]
}

/// Reads of items of which few are popular, with less memory than items: what the page cache keeps
/// by itself.
pub(super) fn zipf_workloads(
    options: &'static Options,
    others: &[Prepare<GetJob>],
) -> [Workload; 2] {
    let shape = Shape {
        len: options.bytes(256 << 20, 4 << 30),
        reads: options.either(5_000, 50_000),
        way: Way::Zipf,
        warm: false,
    };
    let prepare = [&[zipf_getters as Prepare<GetJob>], others].concat();
    [128, 8192].map(|kb| Workload {
        columns: vec![PEAK],
        baselines: vec![RAW],
        rounds: options.rounds(3, 5),
        physical: Some(physical::READ_ONE),
        is_slow: kb == 8192,
        ..workload(options, "zipf_512", shape, &prepare)
            .in_group(limit_for(shape.len))
            .with_read_ahead(kb)
    })
}

/// A loop of plain reads.
fn raw_getter(
    job: &GetJob,
    name: &'static str,
    note: &'static str,
    file: Rc<File>,
) -> Candidate<'static> {
    let offsets = job.offsets();
    let mut buffer = vec![0; ITEM_LEN];
    job.candidate(name, note, move || {
        raw::sum_at(&file, offsets.iter().copied(), &mut buffer)
    })
}

fn get_into(job: &GetJob) -> Result<Candidate<'static>> {
    let Filled {
        arena, locations, ..
    } = job.filled()?;
    let get = move |location, buffer: &mut Vec<u8>| arena.get_into(location, buffer);
    Ok(job.one_by_one("outcore_get_into", locations, get))
}

fn sum_mapped(map: &ArenaMap, locations: &[Location]) -> Result<u64> {
    let items = locations.iter().map(|location| map.get(*location));
    pool::try_sum(items.map(|item| item.map(sum_words)))
}

/// Plain reads of the arena's own file, and of one that was written by 1 MiB, which shows how much
/// the file itself matters; then outcore.
fn own(job: &GetJob) -> Result<Vec<Candidate<'static>>> {
    let note = "another file with the same items, written by 1 MiB";
    let other = Rc::new(raw::filled(job.dir, &job.pool, job.len())?);
    let mut all = vec![
        raw_getter(job, RAW, "", job.arena_file()?),
        raw_getter(job, "raw_pread_other_file", note, other),
        get_into(job)?,
    ];
    if job.wants_maps() {
        let (map, locations) = (job.filled()?.arena.map()?, job.filled()?.locations);
        let run = move || sum_mapped(&map, &locations);
        all.push(job.candidate("outcore_map_get", "", run));
    }
    if job.way != Way::Single {
        let plain = ReadOptions::new();
        all.push(get_many(job, ("outcore_get_many", ""), BATCH, plain)?);
    }
    Ok(all)
}

/// Reads so many items in a call.
fn get_many(
    job: &GetJob,
    (name, note): (&str, &'static str),
    count: usize,
    options: ReadOptions,
) -> Result<Candidate<'static>> {
    let Filled {
        arena, locations, ..
    } = job.filled()?;
    Ok(job.candidate(name, note, move || {
        let mut sum = 0u64;
        for batch in locations.chunks(count) {
            arena.get_many_with(&options, batch, |_index, bytes| {
                sum = sum.wrapping_add(sum_words(bytes));
            })?;
        }
        Ok(sum)
    }))
}

/// The physical limit: an `io_uring` over the arena's own file, sorted, and nothing in between.
/// Direct files are read by whole blocks; no item crosses one.
fn raw_ring(job: &GetJob, name: &str, depth: usize, direct: bool) -> Result<Candidate<'static>> {
    let mut file = job.arena_file()?;
    let mut len = ITEM_LEN;
    if direct {
        file = Rc::new(raw::reopened(&file, OFlags::DIRECT)?);
        len = BLOCK;
    }
    let mut sorted = job.offsets();
    sorted.sort_unstable();
    Ok(job.candidate(name, "", move || {
        let mut blocks = Blocks::new(depth, len);
        let inside = |offset: u64| offset % len as u64;
        let starts = sorted.iter().map(|offset| offset - inside(*offset));
        let mut sum = 0u64;
        ring::read_all(&file, starts, &mut blocks, |place, block| {
            let at = index(inside(sorted[place]));
            sum = sum.wrapping_add(sum_words(&block[at..at + ITEM_LEN]));
            Ok(())
        })?;
        Ok(sum)
    }))
}

fn batch_getters(job: &GetJob) -> Result<Vec<Candidate<'static>>> {
    let many = |name, note, options| get_many(job, (name, note), usize::MAX, options);
    let plain = ReadOptions::new();
    let threads = plain.clone().threads(true);
    let direct = plain.clone().direct(true);
    let mut all = vec![
        many("outcore_get_many", "", plain)?,
        many("outcore_get_many_threads", "no io_uring", threads)?,
        many("outcore_get_many_direct", "O_DIRECT", direct)?,
        raw_ring(job, "raw_ring_128", 128, false)?,
    ];
    for (name, depth) in RINGS.into_iter().zip([64, 128, 256]) {
        all.push(raw_ring(job, name, depth, true)?);
    }
    all.push(get_into(job)?);
    Ok(all)
}

/// Every way with every number of reads under way.
fn depth_getters(job: &GetJob) -> Result<Vec<Candidate<'static>>> {
    let mut all = Vec::new();
    for depth in DEPTHS {
        let plain = ReadOptions::new().in_flight(depth);
        let threads = plain.clone().threads(true);
        for (way, options) in [("ring", plain), ("threads", threads)] {
            let name = format!("outcore_{way}_{depth}");
            all.push(get_many(job, (&name, ""), usize::MAX, options)?);
        }
        let name = format!("raw_ring_direct_{depth}");
        all.push(raw_ring(job, &name, depth, true)?);
    }
    Ok(all)
}

fn zipf_getters(job: &GetJob) -> Result<Vec<Candidate<'static>>> {
    let Filled {
        arena,
        locations,
        file,
    } = job.filled()?;
    let note = "Advice::Random; mapped within the clock";
    Ok(vec![
        raw_getter(job, RAW, "", file),
        get_into(job)?,
        // Mapped in each run anew: what is mapped could not be dropped before the next one.
        job.candidate("outcore_map_get", note, move || {
            let map = arena.map()?;
            map.advise(Advice::Random)?;
            sum_mapped(&map, &locations)
        }),
    ])
}
