//! The workloads that are made of stores.

use std::path::Path;
use std::time::Duration;

use crate::measure::Candidate;
use crate::scenario::store::{Items, Job, Row, own};
use crate::settings::{Settings, text_of_bytes};
use crate::workload::{
    Column, DROP, Deferred, Headline, Isolated, Kind, MIB, PEAK, RATE, Shared, Workload,
};

/// The row of outcore in all of these workloads.
pub const OUTCORE: &str = "outcore";

/// The beginning of the names of the workloads that fill a disk up.
pub const DISK_FULL: &str = "disk_full";

/// The lengths of items that are appended.
const LENS: [usize; 6] = [16, 64, 256, 4 << 10, 64 << 10, 1 << 20];

/// How much data there is, in quarters of the memory limit.
const QUARTERS: [(u64, &str); 4] = [(2, "0.5x"), (4, "1x"), (8, "2x"), (16, "4x")];

/// Returns the workloads, with the stores of the caller behind our own.
pub fn workloads(settings: &Settings, dir: &Path, others: &[Row]) -> Vec<Workload> {
    let rows: Vec<Row> = own::rows()
        .into_iter()
        .chain(others.iter().copied())
        .collect();
    let of_bytes: Vec<Row> = rows.iter().copied().filter(|row| !row.is_vector).collect();
    let of_numbers: Vec<Row> = rows.iter().copied().filter(|row| row.is_vector).collect();
    let maker = Maker {
        settings,
        dir,
        of_bytes: &of_bytes,
        of_numbers: &of_numbers,
    };
    let mut all = maker.append();
    all.push(maker.blobs());
    all.extend(maker.past_limit());
    all.push(maker.disk_full(true));
    all.push(maker.disk_full(false));
    all
}

struct Maker<'a> {
    settings: &'a Settings,
    dir: &'a Path,
    of_bytes: &'a [Row],
    of_numbers: &'a [Row],
}

impl Maker<'_> {
    fn job(&self, items: Items, len: u64) -> Job {
        let millis = if self.settings.full { 10_000 } else { 200 };
        Job {
            dir: self.dir.to_owned(),
            count: items.count_for(len).max(1),
            items,
            threads: 1,
            is_vector: false,
            reads: 0,
            cold_reads: 0,
            time: Duration::from_millis(millis),
            watches: false,
            disk_bytes: None,
        }
    }

    /// Appending, by the length of the items and the number of threads.
    fn append(&self) -> Vec<Workload> {
        let settings = self.settings;
        let len = settings.bytes(32 << 20, 128 << 20);
        let items_max = if settings.full { 4_000_000 } else { 100_000 };
        let mut all = Vec::new();
        for item in LENS {
            let len = len.min(items_max * item as u64).max(item as u64 * 4);
            let items = Items::of_len(item, settings.seed);
            let name = format!(
                "append/{}/{}",
                text_of_bytes(item as u64),
                text_of_bytes(len)
            );
            all.push(self.appending(name, self.job(items, len)));
        }
        let mixed = self.job(Items::mixed(settings.seed), len);
        all.push(self.appending(format!("append/mixed/{}", text_of_bytes(len)), mixed));
        let many = self.job(Items::of_len(256, settings.seed), len.min(items_max * 256));
        for threads in [2, 4] {
            let job = Job {
                threads,
                ..many.clone()
            };
            let len = text_of_bytes(job.count * 256);
            all.push(self.appending(format!("append/256B/{len}/threads_{threads}"), job));
        }
        all
    }

    fn appending(&self, name: String, job: Job) -> Workload {
        let able = self.of_bytes.iter().copied();
        let able: Vec<Row> = able
            .filter(|row| row.threads_max >= job.threads && !row.is_tuned)
            .collect();
        let expected = {
            let job = job.clone();
            Deferred::new(move || job.expected())
        };
        Workload {
            name,
            title: TITLE_APPEND,
            headline: RATE,
            columns: vec![NS_PER_ITEM, PEAK, DROP],
            baselines: vec![OUTCORE],
            goals: Vec::new(),
            rounds: self.settings.rounds(5, 5),
            expected,
            kind: Kind::Shared(Shared {
                memory_limit: None,
                read_ahead_kb: None,
                prepare: Deferred::new(move || {
                    let candidate = |row: &Row| {
                        let (job, row) = (job.clone(), *row);
                        Candidate::new(row.name, row.note, move || (row.run)(&job))
                    };
                    Ok(able.iter().map(candidate).collect())
                }),
            }),
        }
    }

    /// Byte strings by key: in, out warm, out cold.
    fn blobs(&self) -> Workload {
        let full = self.settings.full;
        let len = self.settings.bytes(64 << 20, 512 << 20);
        let items = Items::of_len(512, self.settings.seed);
        let mut job = self.job(items, len);
        job.reads = if full { 200_000 } else { 50_000 };
        job.cold_reads = if full { 10_000 } else { 1000 };
        // Without a limit nothing swaps.
        let rows = self.of_bytes.iter().copied();
        let rows: Vec<Row> = rows.filter(|row| !row.is_memory || !row.is_tuned).collect();
        Workload {
            title: TITLE_BLOBS,
            headline: COLD,
            columns: BLOBS.to_vec(),
            ..self.isolated(
                format!("blobs_512/{}", text_of_bytes(len)),
                &rows,
                None,
                job,
            )
        }
    }

    /// Data of a half to four times the memory limit.
    fn past_limit(&self) -> Vec<Workload> {
        let full = self.settings.full;
        let limit = self.settings.bytes(64 << 20, 128 << 20);
        let mut all = Vec::new();
        for (rows, kind) in [(self.of_numbers, "u64"), (self.of_bytes, "512")] {
            for (quarters, factor) in QUARTERS {
                let items = Items::of_len(512, self.settings.seed);
                let len = limit / 4 * quarters;
                let mut job = self.job(items, len);
                job.reads = if full { 20_000 } else { 500 };
                job.watches = true;
                job.time = Duration::from_millis(if full { 1000 } else { 200 });
                if kind == "u64" {
                    job.count = len / 8;
                    job.is_vector = true;
                }
                let limited = text_of_bytes(limit);
                let name = format!("past_limit_{kind}/{factor}/limit_{limited}");
                all.push(Workload {
                    title: TITLE_PAST,
                    columns: PAST.to_vec(),
                    ..self.isolated(name, rows, Some(limit), job)
                });
            }
        }
        all
    }

    /// A disk that becomes full.
    fn disk_full(&self, is_vector: bool) -> Workload {
        let bytes = 32 << 20;
        let items = Items::of_len(512, self.settings.seed);
        let mut job = self.job(items, 4 * bytes);
        job.disk_bytes = Some(bytes);
        job.is_vector = is_vector;
        let (kind, rows) = if is_vector {
            job.count = 4 * bytes / 8;
            ("u64", self.of_numbers)
        } else {
            ("512", self.of_bytes)
        };
        let rows: Vec<Row> = rows
            .iter()
            .copied()
            .filter(|row| !row.is_memory && !row.is_tuned)
            .collect();
        Workload {
            title: TITLE_FULL,
            headline: STORED,
            columns: vec![Column::new("readable %", "readable", 1.0, 1)],
            baselines: Vec::new(),
            rounds: 1,
            ..self.isolated(
                format!("{DISK_FULL}_{kind}/{}", text_of_bytes(bytes)),
                &rows,
                None,
                job,
            )
        }
    }

    fn isolated(&self, name: String, rows: &[Row], limit: Option<u64>, job: Job) -> Workload {
        let isolated = |row: &Row| {
            let (job, row) = (job.clone(), *row);
            Isolated {
                name: row.name,
                note: row.note,
                memory_limit: limit,
                run: Box::new(move || (row.run)(&job)),
            }
        };
        let all = rows.iter().map(isolated).collect();
        Workload {
            name,
            title: "",
            headline: RATE,
            columns: Vec::new(),
            baselines: vec![OUTCORE],
            goals: Vec::new(),
            rounds: self.settings.rounds(5, 5),
            expected: Deferred::new(move || job.expected()),
            kind: Kind::Isolated(all),
        }
    }
}

const COLD: Headline = Headline {
    metric: "time_per_cold_read",
    unit: "ns cold",
    higher_is_better: false,
};

const STORED: Headline = Headline {
    metric: "stored",
    unit: "MiB stored",
    higher_is_better: true,
};

const NS_PER_ITEM: Column = Column::new("ns an item", "time_per_item", 1.0, 0);

const BLOBS: &[Column] = &[
    Column::new("p99 cold us", "p99_cold_read", 1e3, 0),
    Column::new("ns warm", "time_per_read", 1.0, 0),
    Column::new("ns in place", "time_per_see", 1.0, 0),
    Column::new("put GiB/s", "rate", 1.0, 2),
    Column::new("device bytes a byte", "device_bytes_per_byte", 1.0, 2),
    PEAK,
    DROP,
];

const PAST: &[Column] = &[
    Column::new("us a read", "time_per_read", 1e3, 1),
    Column::new("p99 us", "p99_read", 1e3, 0),
    Column::new("group peak MiB", "group_peak", MIB, 0).peak(),
    PEAK,
    DROP,
];

const TITLE_APPEND: &str = "\
Items appended to an empty store until all have left its buffers for the page cache; nobody\n\
syncs. All rows in one process, files of their own for each run.";

const TITLE_BLOBS: &str = "\
Items of 512 bytes put in under ascending keys, then read at random: in the cache, where they\n\
are without a copy, and from an empty cache with the store opened again. A process for each run.";

const TITLE_PAST: &str = "\
Items of the length that the name says put in inside a memory group, then read at random as\n\
memory is after that. The data are a half to four times the limit.";

const TITLE_FULL: &str = "\
Items put in until the disk of 32 MiB is full (a tmpfs in a mount namespace of its own). An\n\
error is a result; a signal ends the row. Then what was put in is read back.";
