//! What the machine can do at all, measured in the same run: the numbers that everything else is
//! divided by.

use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread;
use std::time::Instant;

use rustix::fs::OFlags;

use crate::histogram::Histogram;
use crate::machine;
use crate::pool::CHUNK;
use crate::prelude::*;
use crate::ring::{self, Blocks};

/// Limits by the beginnings of the names of a workload and of its rows, of which the best one
/// counts: `pwrite` into preallocated blocks,
pub const WRITE: (&str, &str) = ("physical_write/", "pwrite_1MiB_prealloc");
/// reading memory with one thread,
pub const MEMORY_READ: (&str, &str) = ("physical_memory/", "read_1_thread");
/// reading a file in order past the page cache,
pub const READ_IN_ORDER: (&str, &str) = ("physical_read_in_order/", "direct_1MiB_depth_8");
/// reading one block at random, and with many under way.
pub const READ_ONE: (&str, &str) = ("physical_read_at_random/", "direct_4KiB_one_by_one");
pub const READ_MANY: (&str, &str) = ("physical_read_at_random/", "direct_4KiB_depth_");

const TIME_PER_CALL: Headline = Headline::less("time_per_call", "ns");

/// How many reads are under way.
const DEPTHS: [usize; 7] = [2, 4, 8, 16, 32, 64, 128];

pub(super) fn workloads(options: &Options, dir: &Path) -> Vec<Workload> {
    let memory_len = options.bytes(256 << 20, 1 << 30).min(1 << 30);
    let mut all = vec![Workload {
        columns: vec![FAULTS],
        rounds: options.rounds(5, 9),
        ..Workload::shared(
            format!("physical_memory/{}", text_of_bytes(memory_len)),
            (TITLE_MEMORY, RATE),
            vec![in_memory],
            move || memory_len,
            |_len| 0,
        )
    }];
    let job = |len, reads| {
        let (dir, seed) = (dir.to_owned(), options.seed);
        move || DiskJob::new(&dir, len, reads, seed)
    };
    for (state, suffix, len) in Memory::states(options.bytes(128 << 20, 4 << 30)) {
        all.push(Workload {
            columns: CPU.to_vec(),
            rounds: options.rounds(5, 5),
            memory: state,
            is_slow: state != Memory::Reused,
            ..Workload::isolated(
                format!("physical_write/{}{suffix}", text_of_bytes(len)),
                (TITLE_WRITE, RATE),
                &writers(),
                job(len, 0),
                |_job| 0,
            )
        });
    }
    all.extend(reading(options, dir));
    all
}

/// Reading the device, and single calls.
fn reading(options: &Options, dir: &Path) -> [Workload; 3] {
    let job = |len, reads| {
        let (dir, seed) = (dir.to_owned(), options.seed);
        move || DiskJob::new(&dir, len, reads, seed)
    };
    let len = options.bytes(256 << 20, 4 << 30);
    let in_order = Workload {
        columns: CPU.to_vec(),
        rounds: options.rounds(5, 5),
        ..Workload::shared(
            format!("physical_read_in_order/{}/cold", text_of_bytes(len)),
            (TITLE_IN_ORDER, RATE),
            vec![reads_in_order],
            job(len, 0),
            |_job| 0,
        )
    };
    let at_random = Workload {
        columns: vec![
            Column::new("p50 us", "p50_read", 1e3, 0),
            Column::new("p99 us", "p99_read", 1e3, 0),
        ],
        rounds: options.rounds(5, 9),
        ..Workload::shared(
            format!("physical_read_at_random/{}/cold", text_of_bytes(len)),
            (TITLE_AT_RANDOM, TIME_PER_READ),
            vec![reads_at_random],
            job(len, options.either(2000, 20_000)),
            |_job| 0,
        )
    };
    let calls = Workload {
        columns: vec![
            Column::new("p50 ns", "p50_call", 1.0, 0),
            Column::new("p99 ns", "p99_call", 1.0, 0),
        ],
        rounds: options.rounds(5, 9),
        ..Workload::shared(
            "physical_calls".to_owned(),
            (TITLE_CALLS, TIME_PER_CALL),
            vec![calls_one_by_one],
            job(0, options.either(200, 2000)),
            |_job| 0,
        )
    };
    [in_order, at_random, calls]
}

/// A file to write or to read.
struct DiskJob {
    dir: PathBuf,
    len: u64,
    count: usize,
    seed: u64,
    pool: Pool,
}

impl DiskJob {
    fn new(dir: &Path, len: u64, count: usize, seed: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            len,
            count,
            seed,
            pool: Pool::new(256, seed),
        }
    }
}

/// Runs `work`, which moves `len` bytes, with the clock on.
fn moved(len: u64, work: impl FnOnce() -> Result<()>) -> Result<Sample> {
    let mut sample = timed(|| work().map(|()| 0))?;
    sample.add_rate(len);
    Ok(sample)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::unnecessary_wraps,
    reason = "the type of all preparations"
)]
fn in_memory(len: &u64) -> Result<Vec<Candidate<'static>>> {
    let (len, bytes) = (*len, index(*len));
    let from: &'static [u8] = Box::leak(vec![7; bytes].into_boxed_slice());
    let (mut to, mut to_many) = (vec![1; bytes], vec![1; bytes]);
    let share = bytes.div_ceil(machine::cores()).max(1);
    Ok(vec![
        Candidate::new("copy_1_thread", "", move || {
            moved(len, || {
                black_box(&mut to).copy_from_slice(black_box(from));
                Ok(())
            })
        }),
        Candidate::new("copy_all_cores", "", move || {
            moved(len, || {
                thread::scope(|scope| {
                    let parts = black_box(&mut to_many).chunks_mut(share);
                    for (to, from) in parts.zip(black_box(from).chunks(share)) {
                        scope.spawn(move || to.copy_from_slice(from));
                    }
                });
                Ok(())
            })
        }),
        Candidate::new("read_1_thread", "adds up words", move || {
            moved(len, || {
                black_box(sum_words(black_box(from)));
                Ok(())
            })
        }),
        Candidate::new("first_touch", "fresh pages of the kernel", move || {
            moved(len, || {
                let mut fresh: Vec<u8> = Vec::new();
                fresh.try_reserve_exact(bytes)?;
                let pages = fresh.spare_capacity_mut().iter_mut().step_by(BLOCK);
                pages.for_each(|byte| {
                    byte.write(1);
                });
                black_box(&mut fresh);
                Ok(())
            })
        }),
    ])
}

fn writers() -> [Row<DiskJob>; 4] {
    [
        Row::new("pwrite_1MiB", "", |job| written(job, false, write_stream)),
        Row::new("pwrite_1MiB_prealloc", "", |job| {
            written(job, true, write_stream)
        }),
        Row::new("pwrite_1MiB_prealloc_synced", "", |job| {
            written(job, true, |job, file| {
                write_stream(job, file)?;
                Ok(rustix::fs::fdatasync(file)?)
            })
        }),
        Row::new("direct_1MiB_prealloc", "", |job| {
            written(job, true, write_directly)
        }),
    ]
}

fn write_stream(job: &DiskJob, file: &File) -> Result<()> {
    raw::write_stream(file, &job.pool, 0, job.len, 0)
}

/// Writes a fresh file, preallocated before the clock starts or not at all.
fn written(
    job: &DiskJob,
    preallocates: bool,
    write: impl FnOnce(&DiskJob, &File) -> Result<()>,
) -> Result<Sample> {
    let file = raw::create(&job.dir)?;
    if preallocates {
        raw::preallocate(&file, job.len)?;
    }
    moved(job.len, || write(job, &file))
}

/// Writes past the page cache: the same block again and again, out of memory that the device can
/// reach.
fn write_directly(job: &DiskJob, file: &File) -> Result<()> {
    let file = raw::reopened(file, OFlags::WRONLY | OFlags::DIRECT)?;
    let mut blocks = Blocks::new(1, CHUNK);
    let block = blocks.get_mut(0);
    block.copy_from_slice(job.pool.chunk(0));
    for offset in (0..job.len).step_by(CHUNK) {
        raw::write_all(&file, &block[..CHUNK.min(index(job.len - offset))], offset)?;
    }
    Ok(())
}

/// A file of known bytes on the device.
struct Source {
    file: File,
    direct: File,
    pool: Pool,
}

impl Source {
    fn new(job: &DiskJob) -> Result<Rc<Self>> {
        let file = raw::create(&job.dir)?;
        raw::preallocate(&file, job.len)?;
        raw::write_stream(&file, &job.pool, 0, job.len, 0)?;
        let direct = raw::reopened(&file, OFlags::DIRECT)?;
        let pool = job.pool.clone();
        Ok(Rc::new(Self { file, direct, pool }))
    }

    /// Fails if the first bytes of a block are not those that were written.
    fn check(&self, offset: u64, block: &[u8]) -> Result<()> {
        let is_right = block[..64] == self.pool.chunk(offset)[..64];
        ensure!(is_right, "wrong bytes at {offset}");
        Ok(())
    }

    /// Makes a candidate that reads blocks of one length past the page cache, with many under way.
    fn at_depth(
        self: &Rc<Self>,
        (name, note): (String, &'static str),
        (depth, len): (usize, usize),
        offsets: &Rc<[u64]>,
        finish: impl Fn(&mut Sample) + 'static,
    ) -> Candidate<'static> {
        let (source, offsets) = (Rc::clone(self), Rc::clone(offsets));
        let mut blocks = Blocks::new(depth, len);
        Candidate::new(name, note, move || {
            cache::make_cold(&source.file)?;
            let check = |place: usize, block: &[u8]| source.check(offsets[place], block);
            let all = offsets.iter().copied();
            let mut sample =
                timed(|| ring::read_all(&source.direct, all, &mut blocks, check).map(|()| 0))?;
            finish(&mut sample);
            Ok(sample)
        })
    }
}

fn reads_in_order(job: &DiskJob) -> Result<Vec<Candidate<'static>>> {
    let source = Source::new(job)?;
    let len = job.len;
    let offsets: Rc<[u64]> = (0..len).step_by(CHUNK).collect();
    let deep = |depth| {
        let name = format!("direct_1MiB_depth_{depth}");
        let note = "io_uring, past the page cache";
        let rate = move |sample: &mut Sample| sample.add_rate(len);
        source.at_depth((name, note), (depth, CHUNK), &offsets, rate)
    };
    let mut all = vec![deep(1), deep(8)];
    let mut block = vec![0; CHUNK];
    let note = "the read-ahead of the device";
    all.push(Candidate::new("pread_1MiB", note, move || {
        cache::make_cold(&source.file)?;
        moved(len, || {
            offsets.iter().try_for_each(|offset| {
                raw::read_exact(&source.file, &mut block, *offset)?;
                source.check(*offset, &block)
            })
        })
    }));
    Ok(all)
}

fn reads_at_random(job: &DiskJob) -> Result<Vec<Candidate<'static>>> {
    let mut random = Random::new(job.seed ^ 0xD1EC);
    let blocks = job.len / BLOCK as u64;
    let offsets = (0..job.count).map(|_| random.below_u64(blocks) * BLOCK as u64);
    let offsets: Rc<[u64]> = offsets.collect();
    let source = Source::new(job)?;
    let reads = job.count as u64;
    let one_by_one = {
        let (source, offsets) = (Rc::clone(&source), Rc::clone(&offsets));
        let mut memory = Blocks::new(1, BLOCK);
        Candidate::new("direct_4KiB_one_by_one", "pread", move || {
            cache::make_cold(&source.file)?;
            let mut times = Histogram::default();
            let block = memory.get_mut(0);
            let stage = Stage::start()?;
            for offset in &*offsets {
                let started = Instant::now();
                raw::read_exact(&source.direct, block, *offset)?;
                times.add(started.elapsed());
                source.check(*offset, block)?;
            }
            let mut sample = stage.stop()?;
            sample.add_time("time_per_read", reads);
            times.report("read", &mut sample);
            Ok(sample)
        })
    };
    let deep = DEPTHS.map(|depth| {
        let name = format!("direct_4KiB_depth_{depth}");
        let time = move |sample: &mut Sample| sample.add_time("time_per_read", reads);
        source.at_depth((name, "io_uring"), (depth, BLOCK), &offsets, time)
    });
    Ok([one_by_one].into_iter().chain(deep).collect())
}

fn calls_one_by_one(job: &DiskJob) -> Result<Vec<Candidate<'static>>> {
    let file = raw::create(&job.dir)?;
    raw::preallocate(&file, 1 << 20)?;
    let syncs = job.count;
    Ok(vec![
        Candidate::new("empty_system_call", "getppid", || {
            each(200_000, || {
                black_box(rustix::process::getppid());
                Ok(())
            })
        }),
        Candidate::new("minor_fault", "first touch of a fresh page", || {
            let mut fresh: Vec<u8> = Vec::with_capacity(BLOCK * 20_000);
            let mut pages = fresh.spare_capacity_mut().iter_mut().step_by(BLOCK);
            each(20_000, || {
                if let Some(byte) = pages.next() {
                    byte.write(1);
                }
                Ok(())
            })
        }),
        Candidate::new("fdatasync_of_4KiB", "after a pwrite", move || {
            each(syncs, || {
                raw::write_all(&file, &[3; BLOCK], 0)?;
                Ok(rustix::fs::fdatasync(&file)?)
            })
        }),
    ])
}

/// Calls `call` so many times. Each time is taken, and the clock is part of it.
fn each(count: usize, mut call: impl FnMut() -> Result<()>) -> Result<Sample> {
    let mut times = Histogram::default();
    let started = Instant::now();
    let mut before = started;
    for _ in 0..count {
        call()?;
        let now = Instant::now();
        times.add(now.duration_since(before));
        before = now;
    }
    let nanos = started.elapsed().as_secs_f64() * 1e9;
    let mut sample = Sample::default();
    sample.add("time_per_call", nanos / count as f64, "ns");
    times.report("call", &mut sample);
    Ok(sample)
}

const TITLE_MEMORY: &str = "\
What memory gives: a copy, a sum of all words, and the first touch of fresh pages.";

const TITLE_WRITE: &str = "\
Writing a fresh file by 1 MiB: into the page cache, into blocks that were preallocated before the\n\
clock started, the same until the device has it, and past the page cache. A process for each run.";

const TITLE_IN_ORDER: &str = "\
Reading a file by 1 MiB from its first byte to its last, the cache empty at the start.";

const TITLE_AT_RANDOM: &str = "\
Reading blocks of 4 KiB at random past the page cache, with so many under way.";

const TITLE_CALLS: &str = "\
One call each, with one reading of the clock (some 20 to 40 ns) in it.";
