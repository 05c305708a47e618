//! Sorting, grouping, counting and shuffling within a budget of memory, beside what the device takes
//! for the same bytes, what one writes by hand, and other programs.
//!
//! Each run is a process in a memory group, page cache included. Three quarters of it are the
//! budget.

mod by_hand;
mod jobs;

use std::path::{Path, PathBuf};
use std::time::Duration;

use outcore::external::{Aggregator, BytesAggregator, Options as Allowed, Sorter};
use outcore::{DiskVec, MemoryBudget, ScratchDir};

pub use self::jobs::{GroupJob, Order, RecordJob, SortJob, TextJob, Wide, wide};
use crate::prelude::*;
use crate::scenario::ranged::on_threads;

/// The row that all others are compared with.
const OUTCORE: &str = "outcore";
/// What the device takes to read and write all bytes, once or twice.
const TWICE: &str = "raw_2_reads_2_writes";
const ONCE: &str = "raw_1_read_1_write";

/// How long a run may take.
const TIME_MAX: Duration = Duration::from_secs(900);

/// What is not equal with a database.
const OWN_DATA: &str = "outside of the group, with its own limit and its own random numbers";

/// Takes part with little data only: others do not end.
pub const FEW: u16 = 1;
/// Takes part where all is in memory.
pub const MEMORY: u16 = 2;

/// Data over budget, in halves.
const HALVES: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// The rows of others.
#[derive(Default)]
pub struct Others {
    pub sort: Vec<Row<SortJob>>,
    pub records: Vec<Row<RecordJob>>,
}

/// Returns what an operation may use.
fn allowed(budget: &MemoryBudget, dir: &Path, threads: usize) -> Result<Allowed> {
    let allowed = Allowed::from(budget).dir(&ScratchDir::new(dir)?);
    Ok(allowed.threads(threads))
}

fn sort_rows() -> Vec<Row<SortJob>> {
    vec![
        Row::new(OUTCORE, "", |job: &SortJob| {
            sort(job, |vec, allowed| Ok(vec.sort_external(allowed)?))
        })
        .with(MEMORY),
        Row::new(TWICE, "O_DIRECT, 1 MiB", |job| by_hand::copies(job, 2)),
        Row::new(ONCE, "O_DIRECT, 1 MiB", |job| by_hand::copies(job, 1)),
        Row::new("duckdb", OWN_DATA, by_hand::duckdb_sort).with(FEW),
        Row::new("std_sort_unstable", "one thread", |job: &SortJob| {
            let make = || Ok(job.numbers().collect::<Vec<u64>>());
            let work = |vec: &mut Vec<u64>| {
                vec.sort_unstable();
                Ok(())
            };
            job.measure(make, work, |vec| job.check(vec.into_iter().map(Ok)))
        })
        .with(MEMORY),
    ]
}

/// Puts the numbers into a vector, and has `work` bring them into another order.
fn sort(
    job: &SortJob,
    work: impl FnOnce(&mut DiskVec<u64>, Allowed) -> Result<()>,
) -> Result<Sample> {
    let budget = MemoryBudget::new(job.budget_bytes);
    let make = || {
        let mut vec = DiskVec::new_in(&ScratchDir::new(&job.dir)?);
        vec.try_extend(job.numbers())?;
        Ok(vec)
    };
    let allowed = allowed(&budget, &job.dir, 0)?;
    let mut sample = job.measure(
        make,
        |vec| work(vec, allowed),
        |vec| job.check(vec.scan().flatten().map(|number| Ok(*number))),
    )?;
    sample.add("budget_peak", budget.peak_bytes() as f64, "bytes");
    Ok(sample)
}

fn sort_workload(
    options: &Options,
    (name, limit): (String, Option<u64>),
    rows: &[Row<SortJob>],
    job: SortJob,
) -> Workload {
    let budget = Column::new("budget MiB", "budget_peak", MIB, 0).peak();
    Workload {
        columns: vec![budget, PEAK, GROUP_PEAK, CPU[0], CPU[1]],
        baselines: vec![TWICE, ONCE, "std_sort_unstable"],
        rounds: options.rounds(2, 3),
        memory_limit: limit,
        is_slow: true,
        time_max: options.full.then_some(TIME_MAX),
        ..Workload::isolated(
            name,
            (TITLE_SORT, RATE),
            rows,
            move || job.clone(),
            SortJob::expected,
        )
    }
}

fn sorts(options: &Options, dir: &Path, others: &[Row<SortJob>]) -> Vec<Workload> {
    let rows = [&sort_rows(), others].concat();
    let having = |takes_part: fn(&Row<SortJob>) -> bool| -> Vec<Row<SortJob>> {
        rows.iter().copied().filter(takes_part).collect()
    };
    let few = having(|row| !row.has(MEMORY) || row.name == OUTCORE);
    let many = having(|row| !row.has(FEW) && (!row.has(MEMORY) || row.name == OUTCORE));
    let workload = |name: &str, rows: &[_], order, len: u64, limit: u64| {
        let job = SortJob {
            dir: dir.to_owned(),
            count: len / 8,
            budget_bytes: limit / 4 * 3,
            order,
        };
        let name = format!("ext_sort_u64{name}/limit_{}", text_of_bytes(limit));
        sort_workload(options, (name, Some(limit)), rows, job)
    };
    let mut all = Vec::new();
    let limit = options.either(64 << 20, 256 << 20);
    for halves in HALVES {
        let name = format!("/{}x", halves as f64 / 2.0);
        let len = options.size.unwrap_or(limit / 4 * 3 / 2 * halves);
        let rows = if halves <= 16 { &few } else { &many };
        all.push(Workload {
            is_slow: halves != 4,
            ..workload(&name, rows, Order::Random, len, limit)
        });
    }
    for (len, limit) in [
        (1 << 30, 256 << 20),
        (4 << 30, 512 << 20),
        (16 << 30, 1 << 30),
    ] {
        let rows = if len > 1 << 30 { &many } else { &few };
        let len = options.bytes(len / 16, len);
        let name = format!("/{}", text_of_bytes(len));
        all.push(workload(&name, rows, Order::Random, len, limit));
    }
    let (len, limit) = (
        options.bytes(256 << 20, 4 << 30),
        options.either(64 << 20, 512 << 20),
    );
    let orders = [
        (Order::Sorted, "sorted"),
        (Order::Reversed, "reversed"),
        (Order::Few, "few_distinct"),
    ];
    for (order, kind) in orders {
        let name = format!("_{kind}/{}", text_of_bytes(len));
        all.push(workload(&name, &many, order, len, limit));
    }
    let len = options.bytes(64 << 20, 1 << 30);
    let job = SortJob {
        dir: dir.to_owned(),
        count: len / 8,
        budget_bytes: 3 * len,
        order: Order::Random,
    };
    let name = format!("ext_sort_u64/{}/in_memory", text_of_bytes(len));
    all.push(sort_workload(
        options,
        (name, None),
        &having(|row| row.has(MEMORY)),
        job,
    ));
    all
}

fn record_rows() -> Vec<Row<RecordJob>> {
    vec![
        Row::new(
            "outcore_vec",
            "DiskVec::sort_external_by_key",
            |job: &RecordJob| {
                job.measure(|job| {
                    let budget = MemoryBudget::new(job.budget_bytes);
                    let mut vec = DiskVec::new_in(&ScratchDir::new(&job.dir)?);
                    vec.try_extend(job.records())?;
                    vec.sort_external_by_key(allowed(&budget, &job.dir, 1)?, |record: &Wide| {
                        record.0
                    })?;
                    job.check(vec.scan().flatten().map(|record| Ok(*record)))
                })
            },
        ),
        Row::new(OUTCORE, "Sorter", |job| {
            job.measure(|job| {
                let budget = MemoryBudget::new(job.budget_bytes);
                let sorter = Sorter::new(allowed(&budget, &job.dir, 1)?)?;
                let mut writer = sorter.writer()?;
                for (key, value) in job.records() {
                    writer.push(
                        key.to_be_bytes(),
                        value.map(u64::to_le_bytes).as_flattened(),
                    )?;
                }
                writer.finish()?;
                let mut records = sorter.sorted()?;
                let next = || {
                    records
                        .next()
                        .map(|next| next.map(wide))
                        .map_err(Error::from)
                        .transpose()
                };
                job.check(std::iter::from_fn(next))
            })
        }),
    ]
}

fn groups(job: &GroupJob) -> Result<Sample> {
    job.measure(|job| {
        let budget = MemoryBudget::new(job.budget_bytes);
        let allowed = allowed(&budget, &job.dir, 2)?;
        let sums = Aggregator::new(allowed, |sum: &mut u64, more: u64| {
            *sum = sum.wrapping_add(more);
        });
        on_threads(2, |thread| {
            let mut adder = sums.adder()?;
            job.pairs(thread)
                .try_for_each(|(key, value)| adder.add(key, value))?;
            Ok(adder.finish()?)
        })?;
        GroupJob::checksum(sums.finish()?.map(|group| Ok(group?)))
    })
}

fn words(job: &TextJob) -> Result<Sample> {
    job.measure(|job, path| {
        let budget = MemoryBudget::new(job.budget_bytes);
        let allowed = allowed(&budget, &job.dir, 2)?;
        let counts = BytesAggregator::new(allowed, |count: &mut u64, more: u64| *count += more);
        on_threads(2, |thread| {
            let mut adder = counts.adder()?;
            job.words(path, thread, |word| Ok(adder.add(word, 1)?))?;
            Ok(adder.finish()?)
        })?;
        let mut counts = counts.finish()?;
        let (mut distinct, mut total) = (0, 0);
        while let Some((_, count)) = counts.next()? {
            distinct += 1;
            total += count;
        }
        job.check(total)?;
        Ok(distinct)
    })
}

/// Returns the workloads, with the rows of others behind our own.
pub(super) fn workloads(options: &Options, dir: &Path, others: &Others) -> Vec<Workload> {
    let limit = options.either(64 << 20, 256 << 20);
    let place = (dir.to_owned(), limit / 4 * 3);
    let mut all = sorts(options, dir, &others.sort);
    let single = [
        records(options, place.clone(), &others.records),
        grouping(options, place.clone()),
        counting(options, place.clone()),
        shuffling(options, place),
    ];
    all.extend(single.map(|workload| Workload {
        name: format!("{}/limit_{}", workload.name, text_of_bytes(limit)),
        columns: vec![PEAK, GROUP_PEAK, CPU[0], CPU[1]],
        baselines: vec![OUTCORE],
        rounds: options.rounds(2, 3),
        memory_limit: Some(limit),
        time_max: options.full.then_some(TIME_MAX),
        ..workload
    }));
    all
}

/// Where files go, and the budget in bytes.
type Place = (PathBuf, u64);

const SECONDS: Headline = Headline::less("seconds", "s");

fn records(options: &Options, (dir, budget_bytes): Place, others: &[Row<RecordJob>]) -> Workload {
    let count = options.bytes(300_000 * 80, 10_000_000 * 80) / 80;
    let job = RecordJob {
        dir,
        count,
        budget_bytes,
    };
    Workload::isolated(
        format!("ext_sort_records/{count}"),
        (TITLE_RECORDS, SECONDS),
        &[&record_rows(), others].concat(),
        move || job.clone(),
        RecordJob::expected,
    )
}

fn grouping(options: &Options, (dir, budget_bytes): Place) -> Workload {
    let count = options.bytes(2_000_000 * 16, 100_000_000 * 16) / 16;
    let job = GroupJob {
        dir,
        count,
        keys: count / 2,
        budget_bytes,
    };
    let partitions = "a file and then a HashMap for each";
    let rows = [
        Row::new(OUTCORE, "2 threads", groups),
        Row::new("by_hand_32_partitions", partitions, by_hand::groups),
        Row::new("std_hash_map", "in memory only", |job| {
            job.measure(|job| {
                let all = job.pairs(0).chain(job.pairs(1));
                by_hand::sums_of(all.map(Ok))
            })
        }),
        Row::new("duckdb", OWN_DATA, by_hand::duckdb_groups),
    ];
    Workload::isolated(
        format!("ext_group_u64/{count}"),
        (TITLE_GROUP, SECONDS),
        &rows,
        move || job.clone(),
        GroupJob::expected,
    )
}

fn counting(options: &Options, (dir, budget_bytes): Place) -> Workload {
    let len = options.bytes(64 << 20, 8 << 30);
    let job = TextJob {
        dir,
        len,
        budget_bytes,
    };
    let rows = [
        Row::new(OUTCORE, "2 threads", words),
        Row::new("tr_sort_uniq", "tr | sort -S | uniq -c", by_hand::words),
    ];
    Workload::isolated(
        format!("ext_words/{}", text_of_bytes(len)),
        (TITLE_WORDS, RATE),
        &rows,
        move || job.clone(),
        TextJob::expected,
    )
}

fn shuffling(options: &Options, (dir, budget_bytes): Place) -> Workload {
    let len = options.bytes(64 << 20, 4 << 30);
    let job = SortJob {
        dir,
        count: len / 8,
        budget_bytes,
        order: Order::Shuffled,
    };
    let terashuf = "its method: shuffled pieces, merged at random";
    let rows = [
        Row::new(OUTCORE, "", |job| {
            sort(job, |vec, allowed| Ok(vec.shuffle_external(allowed, 7)?))
        }),
        Row::new("by_hand_terashuf", terashuf, by_hand::shuffle),
        Row::new(TWICE, "O_DIRECT, 1 MiB", |job| by_hand::copies(job, 2)),
    ];
    Workload::isolated(
        format!("ext_shuffle_u64/{}", text_of_bytes(len)),
        (TITLE_SHUFFLE, RATE),
        &rows,
        move || job.clone(),
        SortJob::expected,
    )
}

const TITLE_SORT: &str = "\
Numbers of 8 bytes brought into order, in a memory group as the name says, page cache included; the\n\
budget is three quarters of it. Raw rows only move as many bytes.";

const TITLE_RECORDS: &str = "\
Records of a 16-byte key and 64 bytes put in and taken out in order of their keys, one thread.";

const TITLE_GROUP: &str = "\
Pairs of numbers added up by key, with about half as many keys as pairs.";

const TITLE_WORDS: &str = "\
The words of a text counted: how many there are of each.";

const TITLE_SHUFFLE: &str = "\
Numbers of 8 bytes brought into a random order.";
