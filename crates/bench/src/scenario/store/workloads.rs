//! The workloads that are made of stores.

use crate::prelude::*;
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

const NS_WARM: Column = Column::new("ns warm", "time_per_read", 1.0, 0);
const NS_IN_PLACE: Column = Column::new("ns in place", "time_per_see", 1.0, 0);
const DEVICE_BYTES: Column = Column::new("device bytes a byte", "device_bytes_per_byte", 1.0, 2);

/// Makes workloads.
struct Maker {
    options: &'static Options,
    rows: Vec<Row<Job>>,
}

impl Maker {
    fn new(options: &'static Options, others: &[Row<Job>]) -> Self {
        let rows = [&own::rows(), others].concat();
        Self { options, rows }
    }

    /// Returns a job with about so many bytes of items.
    fn job(&self, items: Items, len: u64) -> Job {
        Job {
            dir: self.options.dir(),
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

    /// Returns a job with so many bytes of numbers, or of items of 512 bytes.
    fn numbers_or_items(&self, is_vector: bool, len: u64) -> Job {
        let plain = self.job(self.items(512), len);
        Job {
            count: if is_vector { len / 8 } else { plain.count },
            is_vector,
            ..plain
        }
    }

    fn workload(
        &self,
        name: String,
        headline: Headline,
        job: Job,
        takes_part: impl Fn(&Row<Job>) -> bool,
    ) -> Workload {
        let mut rows = self.rows.clone();
        rows.retain(takes_part);
        Workload {
            baselines: vec![OUTCORE],
            rounds: self.options.rounds(5, 5),
            physical: Some(physical::WRITE),
            ..Workload::isolated(name, headline, &rows, move || job.clone(), Job::expected)
        }
    }
}

/// Returns the workloads of pushing items of 256 bytes until gigabytes are there. Timed is
/// everything from before the first file exists until all bytes have left the writers' buffers for
/// the page cache; no row syncs.
pub(in crate::scenario) fn push_workloads(
    options: &'static Options,
    others: &[Row<Job>],
) -> Vec<Workload> {
    let maker = Maker::new(options, others);
    let pushing = |tag, len| {
        let job = maker.job(maker.items(256), len);
        Workload {
            columns: USAGE.to_vec(),
            baselines: vec![RAW, FARENA],
            ..maker.workload(sized("push_256", len), RATE, job, |row| row.has(tag))
        }
    };
    let len = options.bytes(128 << 20, 4 << 30);
    let in_states = Memory::states(len).map(|(state, len)| {
        let is_past = matches!(state, Memory::Past(_));
        let tag = if is_past { PUSH_PAST } else { PUSH };
        pushing(tag, len).in_state(state)
    });
    let limited = Workload {
        columns: [&USAGE[..], &[GROUP_PEAK]].concat(),
        ..pushing(PUSH_LIMITED, len).in_group(limit_for(len))
    };
    in_states.into_iter().chain([limited]).collect()
}

/// Returns the other workloads, with the stores of others behind our own.
pub(in crate::scenario) fn workloads(
    options: &'static Options,
    others: &[Row<Job>],
) -> Vec<Workload> {
    let maker = Maker::new(options, others);
    let mut all = vec![maker.blobs(), maker.sealed()];
    all.extend(maker.past_limit());
    all.extend(maker.append());
    all.extend([true, false].map(|is_vector| maker.disk_full(is_vector)));
    all
}

impl Maker {
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
        all.push(self.appending(sized("append/mixed", len), true, mixed));
        for threads in [2, 4] {
            let job = self.job(self.items(256), len.min(items_max * 256));
            let name = sized("append/256B", job.count * 256) + &format!("/threads_{threads}");
            all.push(self.appending(name, threads == 4, Job { threads, ..job }));
        }
        all
    }

    fn appending(&self, name: String, is_slow: bool, job: Job) -> Workload {
        let is_single = job.threads == 1;
        let takes_part = |row: &Row<Job>| {
            let is_able = row.has(THREADS) || is_single;
            row.has(STORE) && !row.has(NUMBERS) && !row.has(TUNED) && is_able
        };
        Workload {
            columns: vec![
                Column::new("ns an item", "time_per_item", 1.0, 0),
                PEAK,
                DROP,
            ],
            is_slow,
            // Files of their own for each run, but one process.
            is_isolated: false,
            ..self.workload(name, RATE, job, takes_part)
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
        let takes_part = |row: &Row<Job>| row.has(STORE) && !row.has(NUMBERS) && !swaps(row);
        Workload {
            columns: vec![
                Column::new("p99 cold us", "p99_cold_read", 1e3, 0),
                NS_WARM,
                NS_IN_PLACE,
                Column::new("put GiB/s", "rate", 1.0, 2),
                DEVICE_BYTES,
                PEAK,
                DROP,
            ],
            physical: Some(physical::READ_ONE),
            ..self.workload(sized("blobs_512", len), COLD, job, takes_part)
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
        let name = sized("sealed_512", len);
        Workload {
            columns: vec![
                NS_WARM,
                NS_IN_PLACE,
                Column::new("us cold", "time_per_cold_read", 1e3, 0),
                DEVICE_BYTES,
                PEAK,
                DROP,
            ],
            ..self.workload(name, RATE, job, |row| row.has(SEALED))
        }
    }

    /// Data of a half to four times the memory limit.
    fn past_limit(&self) -> Vec<Workload> {
        let limit = self.options.bytes(64 << 20, 128 << 20);
        let mut all = Vec::new();
        for (is_vector, kind) in [(true, "u64"), (false, "512")] {
            for (quarters, factor) in QUARTERS {
                let job = Job {
                    reads: self.options.either(500, 20_000),
                    is_limited: true,
                    time: Duration::from_millis(self.options.either(200, 1000)),
                    ..self.numbers_or_items(is_vector, limit / 4 * quarters)
                };
                let name = format!("past_limit_{kind}/{factor}");
                let past = self.workload(name, RATE, job, |row| {
                    row.has(STORE) && row.has(NUMBERS) == is_vector
                });
                all.push(Workload {
                    columns: vec![
                        Column::new("us a read", "time_per_read", 1e3, 1),
                        Column::new("p99 us", "p99_read", 1e3, 0),
                        GROUP_PEAK,
                        PEAK,
                        DROP,
                    ],
                    is_slow: factor == "1x",
                    ..past.in_group(limit)
                });
            }
        }
        all
    }

    /// A disk that becomes full.
    fn disk_full(&self, is_vector: bool) -> Workload {
        let bytes = 32 << 20;
        let name = if is_vector {
            "disk_full_u64"
        } else {
            "disk_full_512"
        };
        let job = Job {
            disk_bytes: Some(bytes),
            ..self.numbers_or_items(is_vector, 4 * bytes)
        };
        let is_apart = |row: &Row<Job>| row.has(MEMORY) || row.has(TUNED);
        let takes_part =
            |row: &Row<Job>| row.has(STORE) && row.has(NUMBERS) == is_vector && !is_apart(row);
        Workload {
            columns: vec![Column::new("readable %", "readable", 1.0, 1)],
            baselines: Vec::new(),
            rounds: 1,
            physical: None,
            ..self.workload(sized(name, bytes), STORED, job, takes_part)
        }
    }
}
