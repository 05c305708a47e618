//! Reading items of 512 bytes that were pushed before: one by one or in batches, from the cache or
//! from the device, beside plain reads and an `io_uring` that reads whole blocks past the page
//! cache.

use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use outcore::{Advice, ReadOptions};
use rustix::fs::OFlags;

use crate::prelude::*;
use crate::ring::{self, Blocks};
use crate::scenario::get_job::{BATCH, GetJob, ITEM_LEN, Shape, Way};
use crate::scenario::physical;

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
pub(super) fn workloads(
    options: &Options,
    dir: &Path,
    others: &[Prepare<GetJob>],
) -> Vec<Workload> {
    let warm = options.bytes(128 << 20, 1 << 30);
    let cold = options.bytes(256 << 20, 4 << 30);
    let many = options.either(100_000, 400_000);
    let few = options.either(4096, 16_384);
    let all = [
        ("get_512", warm, many, Way::Single, false),
        ("get_many_512/random", warm, many, Way::Random, false),
        ("get_many_512/sorted", warm, many, Way::Sorted, true),
        ("get_many_512/adjacent", warm, many, Way::Adjacent, true),
        ("get_many_512/dense", warm, many, Way::Dense, false),
        ("get_many_512/random", cold, few, Way::Random, true),
    ];
    let mut workloads: Vec<Workload> = Vec::new();
    for (number, (name, len, reads, way, is_slow)) in all.into_iter().enumerate() {
        let is_cold = number + 1 == all.len();
        let state = if is_cold { "cold" } else { "warm" };
        let shape = Shape {
            len,
            reads,
            seed: options.seed,
            way,
            warm: !is_cold,
        };
        let name = format!("{name}/{}/{state}", text_of_bytes(len));
        let title = if way == Way::Single {
            TITLE
        } else {
            TITLE_MANY
        };
        workloads.push(Workload {
            columns: vec![ALLOCATIONS, FAULTS],
            baselines: vec![RAW, FARENA],
            rounds: options.rounds(7, 31),
            physical: is_cold.then_some(physical::READ_MANY),
            is_slow,
            ..workload(name, title, dir, shape, &[own], others)
        });
    }
    workloads.extend(cold_workloads(options, dir, others));
    workloads
}

fn workload(
    name: String,
    title: &'static str,
    dir: &Path,
    shape: Shape,
    own: &[Prepare<GetJob>],
    others: &[Prepare<GetJob>],
) -> Workload {
    let dir = dir.to_owned();
    let job = move || GetJob::new(&dir, shape);
    let prepare = [own, others].concat();
    Workload::shared(name, (title, TIME_PER_READ), prepare, job, GetJob::expected)
}

/// Many items that are not in memory, in one call, in a memory group of a sixteenth of the data.
fn cold_workloads(options: &Options, dir: &Path, others: &[Prepare<GetJob>]) -> Vec<Workload> {
    let len = options.bytes(512 << 20, 4 << 30);
    let reads = options.either(8_000, 100_000);
    let cold = |name: &str, title, kb, reads, own: Prepare<GetJob>, others: &[_]| {
        let shape = Shape {
            len,
            reads,
            seed: options.seed,
            way: Way::Random,
            warm: false,
        };
        limited(name, title, dir, shape, kb, (own, others))
    };
    let batches = [128, 8192].map(|kb| Workload {
        columns: vec![CPU[0], CPU[1], PEAK],
        baselines: [&RINGS[..], &[FARENA]].concat(),
        rounds: options.rounds(5, 5),
        physical: Some(physical::READ_MANY),
        ..cold("get_many_512", TITLE_COLD, kb, reads, batch_getters, others)
    });
    let depths = Workload {
        columns: CPU.to_vec(),
        rounds: options.rounds(3, 5),
        ..cold(
            "reads_by_depth_512",
            TITLE_DEPTH,
            128,
            reads / 4,
            depth_getters,
            &[],
        )
    };
    batches.into_iter().chain([depths]).collect()
}

fn limited(
    prefix: &str,
    title: &'static str,
    dir: &Path,
    shape: Shape,
    read_ahead_kb: u32,
    (own, others): (Prepare<GetJob>, &[Prepare<GetJob>]),
) -> Workload {
    let limit = limit_for(shape.len);
    let [len, limited] = [shape.len, limit].map(text_of_bytes);
    let name = format!("{prefix}/{len}/limit_{limited}/cold/read_ahead_{read_ahead_kb}");
    Workload {
        memory_limit: Some(limit),
        read_ahead_kb: Some(read_ahead_kb),
        ..workload(name, title, dir, shape, &[own], others)
    }
}

/// Reads of items of which few are popular, with less memory than items: what the page cache keeps
/// by itself.
pub(super) fn zipf_workloads(
    options: &Options,
    dir: &Path,
    others: &[Prepare<GetJob>],
) -> Vec<Workload> {
    let shape = Shape {
        len: options.bytes(256 << 20, 4 << 30),
        reads: options.either(5_000, 50_000),
        seed: options.seed,
        way: Way::Zipf,
        warm: false,
    };
    let workload = |kb| Workload {
        columns: vec![PEAK],
        baselines: vec![RAW],
        rounds: options.rounds(3, 5),
        physical: Some(physical::READ_ONE),
        is_slow: kb == 8192,
        ..limited(
            "zipf_512",
            TITLE_ZIPF,
            dir,
            shape,
            kb,
            (zipf_getters, others),
        )
    };
    [128, 8192].map(workload).into()
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
        pool::try_sum(offsets.iter().map(|offset| {
            raw::read_exact(&file, &mut buffer, *offset)?;
            Ok::<_, Error>(sum_words(&buffer))
        }))
    })
}

fn get_into(job: &GetJob) -> Result<Candidate<'static>> {
    let filled = job.filled()?;
    let (arena, locations) = (filled.arena.clone(), Rc::clone(&filled.locations));
    Ok(
        job.one_by_one("outcore_get_into", locations, move |location, buffer| {
            arena.get_into(location, buffer)
        }),
    )
}

/// Plain reads of the arena's own file, and of one that was written by 1 MiB, which shows how much
/// the file itself matters; then outcore.
fn own(job: &GetJob) -> Result<Vec<Candidate<'static>>> {
    let filled = job.filled()?;
    let (arena, locations) = (filled.arena.clone(), Rc::clone(&filled.locations));
    let note = "another file with the same items, written by 1 MiB";
    let other = Rc::new(job.raw_file()?);
    let mut all = vec![
        raw_getter(job, RAW, "", Rc::clone(&filled.file)),
        raw_getter(job, "raw_pread_other_file", note, other),
        get_into(job)?,
    ];
    if job.wants_maps() {
        let (map, locations) = (arena.map()?, Rc::clone(&locations));
        all.push(job.candidate("outcore_map_get", "", move || {
            pool::try_sum(
                locations
                    .iter()
                    .map(|location| map.get(*location).map(sum_words)),
            )
        }));
    }
    if job.way != Way::Single {
        all.push(job.candidate("outcore_get_many", "", move || {
            let mut sum = 0u64;
            for batch in locations.chunks(BATCH) {
                arena.get_many(batch, |_index, bytes| {
                    sum = sum.wrapping_add(sum_words(bytes));
                })?;
            }
            Ok(sum)
        }));
    }
    Ok(all)
}

/// Reads everything in one call.
fn get_many(
    job: &GetJob,
    name: impl Into<String>,
    note: &'static str,
    options: ReadOptions,
) -> Result<Candidate<'static>> {
    let filled = job.filled()?;
    let (arena, locations) = (filled.arena.clone(), Rc::clone(&filled.locations));
    Ok(job.candidate(name, note, move || {
        let mut sum = 0u64;
        arena.get_many_with(&options, &locations, |_index, bytes| {
            sum = sum.wrapping_add(sum_words(bytes));
        })?;
        Ok(sum)
    }))
}

/// The physical limit: an `io_uring` over the arena's own file, sorted, and nothing in between.
/// Direct files are read by whole blocks; no item crosses one.
fn raw_ring(
    job: &GetJob,
    name: impl Into<String>,
    depth: usize,
    direct: bool,
) -> Result<Candidate<'static>> {
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
    let plain = ReadOptions::new();
    let mut all = vec![
        get_many(job, "outcore_get_many", "", plain.clone())?,
        get_many(
            job,
            "outcore_get_many_threads",
            "no io_uring",
            plain.clone().threads(true),
        )?,
        get_many(
            job,
            "outcore_get_many_direct",
            "O_DIRECT",
            plain.direct(true),
        )?,
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
        all.push(get_many(job, format!("outcore_ring_{depth}"), "", plain)?);
        all.push(get_many(
            job,
            format!("outcore_threads_{depth}"),
            "",
            threads,
        )?);
        all.push(raw_ring(
            job,
            format!("raw_ring_direct_{depth}"),
            depth,
            true,
        )?);
    }
    Ok(all)
}

fn zipf_getters(job: &GetJob) -> Result<Vec<Candidate<'static>>> {
    let filled = job.filled()?;
    let (arena, locations) = (filled.arena.clone(), Rc::clone(&filled.locations));
    let note = "Advice::Random; mapped within the clock";
    Ok(vec![
        raw_getter(job, RAW, "", job.arena_file()?),
        get_into(job)?,
        // Mapped in each run anew: what is mapped could not be dropped before the next one.
        job.candidate("outcore_map_get", note, move || {
            let map = arena.map()?;
            map.advise(Advice::Random)?;
            pool::try_sum(
                locations
                    .iter()
                    .map(|location| map.get(*location).map(sum_words)),
            )
        }),
    ])
}

const TITLE: &str = "\
Items of 512 bytes read one by one in the same random order, everything in the page cache, one\n\
thread on one core. Every byte is added up.";

const TITLE_MANY: &str = "\
Items of 512 bytes read in the order and the state of the cache that the name says; get_many gets\n\
1,024 locations a call. Every byte is added up.";

const TITLE_COLD: &str = "\
Items of 512 bytes at random from an arena sixteen times as large as its memory group, all in one\n\
call by one thread; the cache is empty at the start (cachestat says 0 pages), the read-ahead of\n\
the device as the name says. The raw rings read the same file by 4 KiB, sorted.";

const TITLE_DEPTH: &str = "The same with so many reads under way as the row says.";

const TITLE_ZIPF: &str = "\
Items of 512 bytes read one by one from an arena larger than its memory group; which of them\n\
follows Zipf's law with an exponent of 0.99. The cache is empty at the start, the read-ahead of\n\
the device as the name says.";
