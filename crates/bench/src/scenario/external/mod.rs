//! Sorting, grouping, counting and shuffling within a budget of memory, beside what the device takes
//! for the same bytes, what one writes by hand, and other programs.
//!
//! Each run is a process in a memory group, page cache included. Three quarters of it are the
//! budget.

mod by_hand;
mod jobs;

use outcore::external::{Aggregator, BytesAggregator, Options as Allowed, Sorter};
use outcore::{DiskVec, MemoryBudget, ScratchDir};

pub use self::jobs::{GroupJob, Order, RecordJob, SortJob, TextJob, Wide, wide};
use crate::prelude::*;

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
    let sort_own = |job: &SortJob| sort(job, |vec, allowed| Ok(vec.sort_external(allowed)?));
    vec![
        Row::new(OUTCORE, "", sort_own).with(MEMORY),
        Row::new(TWICE, "O_DIRECT, 1 MiB", |job| by_hand::copies(job, 2)),
        Row::new(ONCE, "O_DIRECT, 1 MiB", |job| by_hand::copies(job, 1)),
        Row::new("duckdb", OWN_DATA, by_hand::duckdb_sort).with(FEW),
        Row::new("std_sort_unstable", "one thread", |job: &SortJob| {
            job.in_memory(<[u64]>::sort_unstable)
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
        let mut vec = DiskVec::new_in(&ScratchDir::new(job.dir)?);
        vec.try_extend(job.numbers())?;
        Ok(vec)
    };
    let allowed = allowed(&budget, job.dir, 0)?;
    let mut sample = job.measure(
        make,
        |vec| work(vec, allowed),
        |vec| job.check(vec.scan().flatten().map(|number| Ok(*number))),
    )?;
    sample.add("budget_peak", budget.peak_bytes() as f64, "bytes");
    Ok(sample)
}

fn sorts(options: &'static Options, others: &[Row<SortJob>]) -> Vec<Workload> {
    let rows = [&sort_rows(), others].concat();
    let having = |takes_part: fn(&Row<SortJob>) -> bool| {
        let mut rows = rows.clone();
        rows.retain(takes_part);
        rows
    };
    let few = &having(|row| !row.has(MEMORY) || row.name == OUTCORE);
    let many = &having(|row| !row.has(FEW) && (!row.has(MEMORY) || row.name == OUTCORE));
    let budget = Column::new("budget MiB", "budget_peak", MIB, 0).peak();
    let sorting = |name: String, rows: &[_], order, len: u64, budget_bytes| {
        let job = SortJob {
            dir: options.dir(),
            count: len / 8,
            budget_bytes,
            order,
        };
        Workload {
            columns: vec![budget, PEAK, GROUP_PEAK, CPU[0], CPU[1]],
            baselines: vec![TWICE, ONCE, "std_sort_unstable"],
            rounds: options.rounds(2, 3),
            is_slow: true,
            time_max: options.full.then_some(TIME_MAX),
            ..Workload::isolated(name, RATE, rows, move || job, SortJob::expected)
        }
    };
    let in_group = |name, rows: &[_], order, len, limit: u64| {
        sorting(name, rows, order, len, limit / 4 * 3).in_group(limit)
    };
    let mut all = Vec::new();
    let limit = options.either(64 << 20, 256 << 20);
    for halves in HALVES {
        let name = format!("ext_sort_u64/{}x", halves as f64 / 2.0);
        let len = options.size.unwrap_or(limit / 4 * 3 / 2 * halves);
        let rows = if halves <= 16 { few } else { many };
        all.push(Workload {
            is_slow: halves != 4,
            ..in_group(name, rows, Order::Random, len, limit)
        });
    }
    for (rows, len, limit) in [
        (few, 1 << 30, 256 << 20),
        (many, 4 << 30, 512 << 20),
        (many, 16 << 30, 1 << 30),
    ] {
        let len = options.bytes(len / 16, len);
        let name = sized("ext_sort_u64", len);
        all.push(in_group(name, rows, Order::Random, len, limit));
    }
    let len = options.bytes(256 << 20, 4 << 30);
    let limit = options.either(64 << 20, 512 << 20);
    for (order, name) in [
        (Order::Sorted, "ext_sort_u64_sorted"),
        (Order::Reversed, "ext_sort_u64_reversed"),
        (Order::Few, "ext_sort_u64_few_distinct"),
    ] {
        all.push(in_group(sized(name, len), many, order, len, limit));
    }
    let len = options.bytes(64 << 20, 1 << 30);
    let name = sized("ext_sort_u64", len) + "/in_memory";
    let rows = having(|row| row.has(MEMORY));
    all.push(sorting(name, &rows, Order::Random, len, 3 * len));
    all
}

fn sorted_vec(job: &RecordJob) -> Result<u64> {
    let budget = MemoryBudget::new(job.budget_bytes);
    let mut vec = DiskVec::new_in(&ScratchDir::new(job.dir)?);
    vec.try_extend(job.records())?;
    vec.sort_external_by_key(allowed(&budget, job.dir, 1)?, |record: &Wide| record.0)?;
    job.check(vec.scan().flatten().map(|record| Ok(*record)))
}

fn sorted_records(job: &RecordJob) -> Result<u64> {
    let budget = MemoryBudget::new(job.budget_bytes);
    let sorter = Sorter::new(allowed(&budget, job.dir, 1)?)?;
    let mut writer = sorter.writer()?;
    for (key, value) in job.records() {
        let value = value.map(u64::to_le_bytes);
        writer.push(key.to_be_bytes(), value.as_flattened())?;
    }
    writer.finish()?;
    let mut records = sorter.sorted()?;
    job.check(std::iter::from_fn(|| {
        let next = records.next().map(|next| next.map(wide));
        next.map_err(Error::from).transpose()
    }))
}

fn groups(job: &GroupJob) -> Result<u64> {
    let budget = MemoryBudget::new(job.budget_bytes);
    let allowed = allowed(&budget, job.dir, 2)?;
    let sums = Aggregator::new(allowed, |sum: &mut u64, more: u64| {
        *sum = sum.wrapping_add(more);
    });
    on_threads(0..2, |thread| {
        let mut adder = sums.adder()?;
        let mut pairs = job.pairs(thread);
        pairs.try_for_each(|(key, value)| adder.add(key, value))?;
        Ok(adder.finish()?)
    })?;
    GroupJob::checksum(sums.finish()?.map(|group| Ok(group?)))
}

fn words(job: &TextJob) -> Result<Sample> {
    job.measure(|job, path| {
        let budget = MemoryBudget::new(job.budget_bytes);
        let allowed = allowed(&budget, job.dir, 2)?;
        let counts = BytesAggregator::new(allowed, |count: &mut u64, more: u64| *count += more);
        on_threads(0..2, |thread| {
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
pub(super) fn workloads(options: &'static Options, others: &Others) -> Vec<Workload> {
    let limit = options.either(64 << 20, 256 << 20);
    let budget_bytes = limit / 4 * 3;
    let mut all = sorts(options, &others.sort);
    let single = [
        records(options, budget_bytes, &others.records),
        grouping(options, budget_bytes),
        counting(options, budget_bytes),
        shuffling(options, budget_bytes),
    ];
    all.extend(single.map(|workload| Workload {
        columns: vec![PEAK, GROUP_PEAK, CPU[0], CPU[1]],
        baselines: vec![OUTCORE],
        rounds: options.rounds(2, 3),
        time_max: options.full.then_some(TIME_MAX),
        ..workload.in_group(limit)
    }));
    all
}

const SECONDS: Headline = Headline::less("seconds", "s");

fn records(options: &'static Options, budget_bytes: u64, others: &[Row<RecordJob>]) -> Workload {
    let job = RecordJob {
        dir: options.dir(),
        count: options.bytes(300_000 * 80, 10_000_000 * 80) / 80,
        budget_bytes,
    };
    let in_place = "DiskVec::sort_external_by_key";
    let own = [
        Row::timed("outcore_vec", in_place, sorted_vec),
        Row::timed(OUTCORE, "Sorter", sorted_records),
    ];
    Workload::isolated(
        format!("ext_sort_records/{}", job.count),
        SECONDS,
        &[&own, others].concat(),
        move || job,
        RecordJob::expected,
    )
}

fn grouping(options: &'static Options, budget_bytes: u64) -> Workload {
    let count = options.bytes(2_000_000 * 16, 100_000_000 * 16) / 16;
    let job = GroupJob {
        dir: options.dir(),
        count,
        keys: count / 2,
        budget_bytes,
    };
    let partitions = "a file and then a HashMap for each";
    let rows = [
        Row::timed(OUTCORE, "2 threads", groups),
        Row::timed("by_hand_32_partitions", partitions, by_hand::groups),
        Row::timed("std_hash_map", "in memory only", |job: &GroupJob| {
            let all = job.pairs(0).chain(job.pairs(1));
            by_hand::sums_of(all.map(Ok))
        }),
        Row::new("duckdb", OWN_DATA, by_hand::duckdb_groups),
    ];
    Workload::isolated(
        format!("ext_group_u64/{count}"),
        SECONDS,
        &rows,
        move || job,
        GroupJob::expected,
    )
}

fn counting(options: &'static Options, budget_bytes: u64) -> Workload {
    let job = TextJob {
        dir: options.dir(),
        len: options.bytes(64 << 20, 8 << 30),
        budget_bytes,
    };
    let rows = [
        Row::new(OUTCORE, "2 threads", words),
        Row::new("tr_sort_uniq", "tr | sort -S | uniq -c", by_hand::words),
    ];
    Workload::isolated(
        sized("ext_words", job.len),
        RATE,
        &rows,
        move || job,
        TextJob::expected,
    )
}

fn shuffling(options: &'static Options, budget_bytes: u64) -> Workload {
    let len = options.bytes(64 << 20, 4 << 30);
    let job = SortJob {
        dir: options.dir(),
        count: len / 8,
        budget_bytes,
        order: Order::Shuffled,
    };
    let terashuf = "its method: shuffled pieces, merged at random";
    let rows = [
        Row::new(OUTCORE, "", |job: &SortJob| {
            sort(job, |vec, allowed| Ok(vec.shuffle_external(allowed, 7)?))
        }),
        Row::new("by_hand_terashuf", terashuf, by_hand::shuffle),
        Row::new(TWICE, "O_DIRECT, 1 MiB", |job| by_hand::copies(job, 2)),
    ];
    Workload::isolated(
        sized("ext_shuffle_u64", len),
        RATE,
        &rows,
        move || job,
        SortJob::expected,
    )
}
