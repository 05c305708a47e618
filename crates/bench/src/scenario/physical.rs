//! What the machine can do at all, measured in the same run: the numbers that everything else is
//! divided by.

use std::thread;

use crate::machine;
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

pub(super) fn workloads(options: &'static Options) -> Vec<Workload> {
    let memory_len = options.bytes(256 << 20, 1 << 30).min(1 << 30);
    let memory = Workload {
        columns: vec![FAULTS],
        rounds: options.rounds(5, 9),
        ..Workload::shared(
            sized("physical_memory", memory_len),
            RATE,
            vec![in_memory],
            move || memory_len,
            |_len| 0,
        )
    };
    let states = Memory::states(options.bytes(128 << 20, 4 << 30));
    let writing = states.map(|(state, len)| Workload {
        columns: CPU.to_vec(),
        rounds: options.rounds(5, 5),
        ..Workload::isolated(
            sized("physical_write", len),
            RATE,
            &writers(),
            move || DiskJob::new(options, len),
            |_job| 0,
        )
        .in_state(state)
    });
    let len = options.bytes(256 << 20, 4 << 30);
    let reading = |name: String, headline, read: Prepare<DiskJob>| Workload {
        rounds: options.rounds(5, 9),
        ..Workload::shared(
            name,
            headline,
            vec![read],
            move || DiskJob::new(options, len),
            |_job| 0,
        )
    };
    let name = sized("physical_read_in_order", len) + "/cold";
    let in_order = Workload {
        columns: CPU.to_vec(),
        rounds: options.rounds(5, 5),
        ..reading(name, RATE, reads_in_order)
    };
    let name = sized("physical_read_at_random", len) + "/cold";
    let at_random = Workload {
        columns: vec![
            Column::new("p50 us", "p50_read", 1e3, 0),
            Column::new("p99 us", "p99_read", 1e3, 0),
        ],
        ..reading(name, TIME_PER_READ, reads_at_random)
    };
    let calls = Workload {
        columns: vec![
            Column::new("p50 ns", "p50_call", 1.0, 0),
            Column::new("p99 ns", "p99_call", 1.0, 0),
        ],
        ..reading("physical_calls".to_owned(), TIME_PER_CALL, calls_one_by_one)
    };
    let first = [memory].into_iter().chain(writing);
    first.chain([in_order, at_random, calls]).collect()
}

/// A file to write or to read.
struct DiskJob {
    options: &'static Options,
    len: u64,
    pool: Pool,
}

impl DiskJob {
    fn new(options: &'static Options, len: u64) -> Self {
        let pool = Pool::new(256, options.seed);
        Self { options, len, pool }
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
    fn row(
        name: &str,
        note: &'static str,
        len: u64,
        mut work: impl FnMut() + 'static,
    ) -> Candidate<'static> {
        Candidate::new(name, note, move || {
            moved(len, || {
                work();
                Ok(())
            })
        })
    }
    let (len, bytes) = (*len, index(*len));
    let from: &'static [u8] = Box::leak(vec![7; bytes].into_boxed_slice());
    let (mut to, mut to_many) = (vec![1; bytes], vec![1; bytes]);
    let share = bytes.div_ceil(machine::cores()).max(1);
    Ok(vec![
        row("copy_1_thread", "", len, move || {
            black_box(&mut to).copy_from_slice(black_box(from));
        }),
        row("copy_all_cores", "", len, move || {
            thread::scope(|scope| {
                let parts = black_box(&mut to_many).chunks_mut(share);
                for (to, from) in parts.zip(black_box(from).chunks(share)) {
                    scope.spawn(move || to.copy_from_slice(from));
                }
            });
        }),
        row("read_1_thread", "adds up words", len, move || {
            black_box(sum_words(black_box(from)));
        }),
        row("first_touch", "fresh pages of the kernel", len, move || {
            let mut fresh: Vec<u8> = Vec::with_capacity(bytes);
            let pages = fresh.spare_capacity_mut().iter_mut().step_by(BLOCK);
            pages.for_each(|byte| {
                byte.write(1);
            });
            black_box(&mut fresh);
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
    let file = raw::create(job.options.dir())?;
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
        let file = raw::filled(job.options.dir(), &job.pool, job.len)?;
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
    let mut random = Random::new(job.options.seed ^ 0xD1EC);
    let blocks = job.len / BLOCK as u64;
    let reads: u64 = job.options.either(2000, 20_000);
    let offsets = (0..reads).map(|_| random.below_u64(blocks) * BLOCK as u64);
    let offsets: Rc<[u64]> = offsets.collect();
    let source = Source::new(job)?;
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
    let file = raw::create(job.options.dir())?;
    raw::preallocate(&file, 1 << 20)?;
    let syncs = job.options.either(200, 2000);
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
