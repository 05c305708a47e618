//! The workloads that are made of stores.

use std::path::Path;
use std::time::Duration;

use crate::prelude::*;
use crate::scenario::physical;
use crate::scenario::store::{
    Items, Job, MEMORY, NUMBERS, PUSH, PUSH_LIMITED, PUSH_PAST, SEALED, STORE, THREADS, TUNED, own,
};

/// The rows that others are compared with.
const OUTCORE: &str = "outcore";
const RAW: &str = "raw_pwrite_1MiB_prealloc";
const FARENA: &str = "farena";

/// The lengths of items that are appended.
const LENS: [usize; 6] = [16, 64, 256, 4 << 10, 64 << 10, 1 << 20];

/// How much data there is, in quarters of the memory limit.
const QUARTERS: [(u64, &str); 4] = [(2, "0.5x"), (4, "1x"), (8, "2x"), (16, "4x")];

const STORED: Headline = Headline::more("stored", "MiB stored");
const COLD: Headline = Headline::less("time_per_cold_read", "ns cold");

/// Makes workloads.
struct Maker<'a> {
    options: &'a Options,
    dir: &'a Path,
    rows: Vec<Row<Job>>,
}

impl<'a> Maker<'a> {
    fn new(options: &'a Options, dir: &'a Path, others: &[Row<Job>]) -> Self {
        Self {
            options,
            dir,
            rows: [&own::rows(), others].concat(),
        }
    }

    fn rows(&self, takes_part: impl Fn(&Row<Job>) -> bool) -> Vec<Row<Job>> {
        let rows = self.rows.iter().copied();
        rows.filter(takes_part).collect()
    }

    fn job(&self, items: Items, len: u64) -> Job {
        Job {
            dir: self.dir.to_owned(),
            count: items.count_for(len).max(1),
            items,
            threads: 1,
            is_vector: false,
            reads: 0,
            cold_reads: 0,
            time: Duration::from_millis(self.options.either(200, 10_000)),
            is_limited: false,
            disk_bytes: None,
        }
    }

    fn items(&self, len: usize) -> Items {
        Items::of_len(len, self.options.seed)
    }

    fn workload(
        &self,
        name: String,
        (title, headline): (&'static str, Headline),
        rows: &[Row<Job>],
        job: Job,
    ) -> Workload {
        Workload {
            baselines: vec![OUTCORE],
            rounds: self.options.rounds(5, 5),
            ..Workload::isolated(
                name,
                (title, headline),
                rows,
                move || job.clone(),
                Job::expected,
            )
        }
    }
}

/// Returns the workloads of pushing items of 256 bytes until gigabytes are there. Timed is
/// everything from before the first file exists until all bytes have left the writers' buffers for
/// the page cache; no row syncs.
pub(in crate::scenario) fn push_workloads(
    options: &Options,
    dir: &Path,
    others: &[Row<Job>],
) -> Vec<Workload> {
    let maker = Maker::new(options, dir, others);
    let pushing = |name, title, tag, len| Workload {
        columns: USAGE.to_vec(),
        baselines: vec![RAW, FARENA],
        physical: Some(physical::WRITE),
        ..maker.workload(
            name,
            (title, RATE),
            &maker.rows(|row| row.has(tag)),
            maker.job(maker.items(256), len),
        )
    };
    let len = options.bytes(128 << 20, 4 << 30);
    let mut all = Vec::new();
    for (state, suffix, len) in Memory::states(len) {
        let is_past = matches!(state, Memory::Past(_));
        let name = format!("push_256/{}{suffix}", text_of_bytes(len));
        let tag = if is_past { PUSH_PAST } else { PUSH };
        all.push(Workload {
            memory: state,
            is_slow: state != Memory::Reused,
            ..pushing(name, TITLE_PUSH, tag, len)
        });
    }
    let limit = limit_for(len);
    let [size, limited] = [len, limit].map(text_of_bytes);
    let name = format!("push_256/{size}/limit_{limited}");
    all.push(Workload {
        columns: [&USAGE[..], &[GROUP_PEAK]].concat(),
        memory_limit: Some(limit),
        ..pushing(name, TITLE_PUSH_LIMITED, PUSH_LIMITED, len)
    });
    all
}

/// Returns the other workloads, with the stores of others behind our own.
pub(in crate::scenario) fn workloads(
    options: &Options,
    dir: &Path,
    others: &[Row<Job>],
) -> Vec<Workload> {
    let maker = Maker::new(options, dir, others);
    let mut all = vec![maker.blobs(), maker.sealed()];
    all.extend(maker.past_limit());
    all.extend(maker.append());
    all.extend([true, false].map(|is_vector| maker.disk_full(is_vector)));
    all
}

impl Maker<'_> {
    /// Appending, by the length of the items and the number of threads.
    fn append(&self) -> Vec<Workload> {
        let len = self.options.bytes(32 << 20, 128 << 20);
        let items_max = self.options.either(100_000, 4_000_000);
        let mut all = Vec::new();
        for item in LENS {
            let len = len.min(items_max * item as u64).max(item as u64 * 4);
            let [size, total] = [item as u64, len].map(text_of_bytes);
            let job = self.job(self.items(item), len);
            let is_slow = [64, 4 << 10].contains(&item);
            all.push(self.appending(format!("append/{size}/{total}"), is_slow, job));
        }
        let mixed = self.job(Items::mixed(self.options.seed), len);
        all.push(self.appending(format!("append/mixed/{}", text_of_bytes(len)), true, mixed));
        for threads in [2, 4] {
            let job = self.job(self.items(256), len.min(items_max * 256));
            let total = text_of_bytes(job.count * 256);
            let name = format!("append/256B/{total}/threads_{threads}");
            all.push(self.appending(name, threads == 4, Job { threads, ..job }));
        }
        all
    }

    fn appending(&self, name: String, is_slow: bool, job: Job) -> Workload {
        let is_able = |row: &Row<Job>| row.has(THREADS) || job.threads == 1;
        let rows =
            self.rows(|row| row.has(STORE) && !row.has(NUMBERS) && !row.has(TUNED) && is_able(row));
        Workload {
            columns: vec![
                Column::new("ns an item", "time_per_item", 1.0, 0),
                PEAK,
                DROP,
            ],
            physical: Some(physical::WRITE),
            is_slow,
            // Files of their own for each run, but one process.
            is_isolated: false,
            ..self.workload(name, (TITLE_APPEND, RATE), &rows, job)
        }
    }

    /// Byte strings by key: in, out warm, out cold.
    fn blobs(&self) -> Workload {
        let len = self.options.bytes(64 << 20, 512 << 20);
        let job = Job {
            reads: self.options.either(50_000, 200_000),
            cold_reads: self.options.either(1000, 10_000),
            ..self.job(self.items(512), len)
        };
        // Without a limit nothing swaps.
        let swaps = |row: &Row<Job>| row.has(MEMORY) && row.has(TUNED);
        let rows = self.rows(|row| row.has(STORE) && !row.has(NUMBERS) && !swaps(row));
        let name = format!("blobs_512/{}", text_of_bytes(len));
        Workload {
            columns: vec![
                Column::new("p99 cold us", "p99_cold_read", 1e3, 0),
                Column::new("ns warm", "time_per_read", 1.0, 0),
                Column::new("ns in place", "time_per_see", 1.0, 0),
                Column::new("put GiB/s", "rate", 1.0, 2),
                Column::new("device bytes a byte", "device_bytes_per_byte", 1.0, 2),
                PEAK,
                DROP,
            ],
            physical: Some(physical::READ_ONE),
            ..self.workload(name, (TITLE_BLOBS, COLD), &rows, job)
        }
    }

    /// The same, durable before the reads begin.
    fn sealed(&self) -> Workload {
        let len = self.options.bytes(64 << 20, 512 << 20);
        let job = Job {
            reads: self.options.either(50_000, 1_000_000),
            cold_reads: self.options.either(1000, 10_000),
            ..self.job(self.items(512), len)
        };
        let name = format!("sealed_512/{}", text_of_bytes(len));
        Workload {
            columns: vec![
                Column::new("ns warm", "time_per_read", 1.0, 0),
                Column::new("ns in place", "time_per_see", 1.0, 0),
                Column::new("us cold", "time_per_cold_read", 1e3, 0),
                Column::new("device bytes a byte", "device_bytes_per_byte", 1.0, 2),
                PEAK,
                DROP,
            ],
            physical: Some(physical::WRITE),
            ..self.workload(
                name,
                (TITLE_SEALED, RATE),
                &self.rows(|row| row.has(SEALED)),
                job,
            )
        }
    }

    /// Data of a half to four times the memory limit.
    fn past_limit(&self) -> Vec<Workload> {
        let limit = self.options.bytes(64 << 20, 128 << 20);
        let mut all = Vec::new();
        for (is_vector, kind) in [(true, "u64"), (false, "512")] {
            let rows = self.rows(|row| row.has(STORE) && row.has(NUMBERS) == is_vector);
            for (quarters, factor) in QUARTERS {
                let len = limit / 4 * quarters;
                let plain = self.job(self.items(512), len);
                let job = Job {
                    reads: self.options.either(500, 20_000),
                    is_limited: true,
                    time: Duration::from_millis(self.options.either(200, 1000)),
                    count: if is_vector { len / 8 } else { plain.count },
                    is_vector,
                    ..plain
                };
                let limited = text_of_bytes(limit);
                let name = format!("past_limit_{kind}/{factor}/limit_{limited}");
                all.push(Workload {
                    columns: vec![
                        Column::new("us a read", "time_per_read", 1e3, 1),
                        Column::new("p99 us", "p99_read", 1e3, 0),
                        GROUP_PEAK,
                        PEAK,
                        DROP,
                    ],
                    memory_limit: Some(limit),
                    physical: Some(physical::WRITE),
                    is_slow: factor == "1x",
                    ..self.workload(name, (TITLE_PAST, RATE), &rows, job)
                });
            }
        }
        all
    }

    /// A disk that becomes full.
    fn disk_full(&self, is_vector: bool) -> Workload {
        let bytes = 32 << 20;
        let kind = if is_vector { "u64" } else { "512" };
        let plain = self.job(self.items(512), 4 * bytes);
        let job = Job {
            disk_bytes: Some(bytes),
            count: if is_vector {
                4 * bytes / 8
            } else {
                plain.count
            },
            is_vector,
            ..plain
        };
        let is_apart = |row: &Row<Job>| row.has(MEMORY) || row.has(TUNED);
        let rows =
            self.rows(|row| row.has(STORE) && row.has(NUMBERS) == is_vector && !is_apart(row));
        let name = format!("disk_full_{kind}/{}", text_of_bytes(bytes));
        Workload {
            columns: vec![Column::new("readable %", "readable", 1.0, 1)],
            baselines: Vec::new(),
            rounds: 1,
            ..self.workload(name, (TITLE_FULL, STORED), &rows, job)
        }
    }
}

const TITLE_PUSH: &str = "\
Items of 256 bytes pushed one by one into fresh files, a process for each run. Timed until all\n\
bytes have left the writers' buffers for the page cache; no row syncs.";

const TITLE_PUSH_LIMITED: &str = "\
The same inside a memory group of a sixteenth of the data, page cache included.";

const TITLE_APPEND: &str = "\
Items appended to an empty store until all have left its buffers for the page cache; no row\n\
syncs. All rows in one process, files of their own for each run.";

const TITLE_BLOBS: &str = "\
Items of 512 bytes put in under ascending keys, then read at random: in the cache, where they are\n\
without a copy, and from an empty cache with the store opened again. A process for each run.";

const TITLE_SEALED: &str = "\
Items of 512 bytes put in under ascending keys, timed until all are on the device and can be read by a\n\
later process. Then read at random, as memory is then and from an empty cache.";

const TITLE_PAST: &str = "\
Items of the length that the name says put in inside a memory group, then read at random as\n\
memory is after that. The data are a half to four times the limit.";

const TITLE_FULL: &str = "\
Items put in until the disk of 32 MiB is full (a tmpfs in a mount namespace of its own). An error\n\
is a result; a signal ends the row. Then what was put in is read back.";
