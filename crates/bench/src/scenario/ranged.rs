//! One file, several threads, each in ranges of its own: filling a fresh file, overwriting a warm
//! one, handing out ranges.

use std::cell::RefCell;
use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::process::parent_id;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use outcore::{FileRangeMut, RangeFile};

use crate::machine;
use crate::prelude::*;

/// The row of ranged-mmap, where it takes part.
pub const RANGED_MMAP: &str = "ranged_mmap";

const RAW: &str = "raw_pwrite_prealloc";
const RAW_WARM: &str = "raw_pwrite_4KiB";
const OUTCORE: &str = "outcore";
const MEMORY: &str = "memory";
const FETCH_ADD: &str = "fetch_add";

/// One block in so many is read back.
const CHECK: usize = 61;

/// Threads that fill a file.
const FILLERS: usize = 2;

/// A file that is to be filled.
#[derive(Clone)]
pub struct FillJob {
    /// The path that the file may have.
    pub path: PathBuf,
    pub len: u64,
    /// The length of one range.
    pub piece: usize,
    /// How many bytes are filled while the clock runs: the length, or less where a way is so slow
    /// that the rest is not worth the wait.
    pub timed: u64,
    pool: Pool,
}

impl FillJob {
    fn new(options: &Options, len: u64, piece: usize) -> Self {
        let len = len - len % piece as u64;
        Self {
            path: process::named_folder(options.dir(), parent_id()).join("filled"),
            len,
            piece,
            timed: len,
            pool: Pool::new(BLOCK, options.seed),
        }
    }

    /// Makes the folder of the file, and returns it.
    pub fn folder(&self) -> Result<&Path> {
        let folder = self.path.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder).context("make a folder")?;
        Ok(folder)
    }

    /// Returns the bytes of the range at `offset`.
    #[inline]
    pub fn source(&self, offset: u64) -> &[u8] {
        &self.pool.chunk(offset)[..self.piece]
    }

    /// Makes a file, lets the threads fill it, and reads some back from what `end` returns, which
    /// is not timed.
    pub fn measure<F: Sync>(
        &self,
        make: impl FnOnce() -> Result<F>,
        work: impl Fn(&F) -> Result<()> + Sync,
        end: impl FnOnce(F) -> Result<File>,
    ) -> Result<Sample> {
        self.folder()?;
        drop(fs::remove_file(&self.path));
        let stage = Stage::start()?;
        let file = make()?;
        on_threads(0..FILLERS, |_number| work(&file))?;
        let mut sample = stage.stop()?;
        sample.add_rate(self.timed);
        let file = end(file)?;
        sample.checksum = self.checksum(|offset, block| raw::read_exact(&file, block, offset))?;
        drop(fs::remove_file(&self.path));
        Ok(sample)
    }

    fn checksum(&self, mut read: impl FnMut(u64, &mut [u8]) -> Result<()>) -> Result<u64> {
        let mut block = vec![0; BLOCK];
        let mut sum = 0u64;
        for offset in (0..self.len).step_by(BLOCK * CHECK) {
            read(offset, &mut block)?;
            sum = sum.wrapping_add(fingerprint(offset, &block));
        }
        Ok(sum)
    }

    fn expected(&self) -> u64 {
        let sum = self.checksum(|offset, block| {
            let piece = offset - offset % self.piece as u64;
            let within = index(offset - piece);
            block.copy_from_slice(&self.source(piece)[within..within + BLOCK]);
            Ok(())
        });
        sum.unwrap_or(0)
    }

    /// Has this thread write the next range until none is left.
    pub fn each_range(
        &self,
        next: &AtomicU64,
        mut write: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        loop {
            let offset = next.fetch_add(self.piece as u64, Relaxed);
            if offset >= self.len {
                return Ok(());
            }
            write(offset, self.source(offset))?;
        }
    }

    /// Opens the file that has the path now.
    pub fn published(&self) -> Result<File> {
        raw::open(&self.path)
    }
}

fn fillers() -> [Row<FillJob>; 3] {
    [
        Row::new(
            RAW,
            "fallocate, then pwrite; offsets from fetch_add",
            |job: &FillJob| {
                let next = AtomicU64::new(0);
                let make = || {
                    let file = raw::create(job.folder()?)?;
                    raw::preallocate(&file, job.len)?;
                    Ok(file)
                };
                let fill = |file: &File| {
                    job.each_range(&next, |at, source| raw::write_all(file, source, at))
                };
                job.measure(make, fill, Ok)
            },
        ),
        Row::new(
            OUTCORE,
            "write_all_at; published after the clock has stopped",
            |job| fill_ranges(job, |range, source| Ok(range.write_all_at(source, 0)?)),
        ),
        Row::new("outcore_slice", "through the slice", |job| {
            fill_ranges(job, |range, source| {
                range.copy_from_slice(source);
                Ok(())
            })
        }),
    ]
}

fn fill_ranges(
    job: &FillJob,
    write: impl Fn(&mut FileRangeMut, &[u8]) -> Result<()> + Sync,
) -> Result<Sample> {
    let make = || Ok(RangeFile::create(&job.path, job.len)?);
    let fill = |file: &RangeFile| {
        while let Some(mut range) = file.allocate(job.piece as u64) {
            let source = job.source(range.start());
            write(&mut range, source)?;
            range.freeze();
        }
        Ok(())
    };
    let end = |file: RangeFile| {
        file.publish().map_err(outcore::Error::from)?;
        job.published()
    };
    job.measure(make, fill, end)
}

/// A warm file that is overwritten.
#[derive(Clone)]
pub struct OverwriteJob {
    /// What the file is filled with before.
    pub fill: FillJob,
    /// The numbers of all blocks, in the order in which they are overwritten.
    order: Rc<[u64]>,
}

impl OverwriteJob {
    fn new(options: &Options, len: u64) -> Self {
        let fill = FillJob::new(options, len, BLOCK);
        let mut order: Vec<u64> = (0..fill.len / BLOCK as u64).collect();
        Random::new(options.seed).shuffle(&mut order);
        let order = order.into();
        Self { fill, order }
    }

    /// Returns the bytes that block `number` gets.
    #[inline]
    fn source(&self, number: u64) -> &[u8] {
        self.fill.source((number + 7) * BLOCK as u64)
    }

    /// Overwrites every block once, then reads some back. Nothing is being written back when the
    /// clock starts: a candidate that met what the one before had left was twice as slow.
    pub fn measure(
        &self,
        mut write: impl FnMut(u64, &[u8]) -> Result<()>,
        read: impl FnMut(u64, &mut [u8]) -> Result<()>,
    ) -> Result<Sample> {
        machine::settle(self.fill.folder()?);
        let stage = Stage::start()?;
        for number in self.order.iter() {
            write(*number, self.source(*number))?;
        }
        let mut sample = stage.stop()?;
        sample.add_time("time_per_write", self.order.len() as u64);
        sample.checksum = self.fill.checksum(read)?;
        Ok(sample)
    }

    /// Makes a candidate that overwrites what is in memory, in blocks.
    fn in_blocks<B: AsMut<[u8]> + 'static>(
        &self,
        (name, note): (&'static str, &'static str),
        blocks: Vec<B>,
    ) -> Candidate<'static> {
        let (own, blocks) = (self.clone(), RefCell::new(blocks));
        Candidate::new(name, note, move || {
            own.measure(
                |number, source| {
                    let mut blocks = blocks.borrow_mut();
                    blocks[index(number)].as_mut().copy_from_slice(source);
                    Ok(())
                },
                |offset, block| {
                    let mut blocks = blocks.borrow_mut();
                    block.copy_from_slice(blocks[index(offset) / BLOCK].as_mut());
                    Ok(())
                },
            )
        })
    }

    fn expected(&self) -> u64 {
        let sum = self.fill.checksum(|offset, block| {
            block.copy_from_slice(self.source(offset / BLOCK as u64));
            Ok(())
        });
        sum.unwrap_or(0)
    }
}

fn overwriters(job: &OverwriteJob) -> Result<Vec<Candidate<'static>>> {
    let folder = job.fill.folder()?;
    let file = raw::create(folder)?;
    raw::preallocate(&file, job.fill.len)?;
    // In blocks, as it is overwritten: by larger pieces, it would lie in larger folios.
    for offset in (0..job.fill.len).step_by(BLOCK) {
        raw::write_all(&file, job.fill.source(offset), offset)?;
    }
    let own = job.clone();
    let calls = Candidate::new(RAW_WARM, "", move || {
        own.measure(
            |number, source| raw::write_all(&file, source, number * BLOCK as u64),
            |offset, block| raw::read_exact(&file, block, offset),
        )
    });
    let file = RangeFile::create(folder.join("warm"), job.fill.len)?;
    let mut ranges: Vec<Range> = Vec::new();
    while let Some(mut range) = file.allocate(BLOCK as u64) {
        let source = job.fill.source(range.start());
        range.copy_from_slice(source);
        ranges.push(Range(range));
    }
    // Every page has been touched before the clock starts.
    let memory: &'static mut [u8] = vec![1u8; index(job.fill.len)].leak();
    let memory = memory.chunks_exact_mut(BLOCK).collect();
    let note = "anonymous memory, as `Vec` has it";
    Ok(vec![
        calls,
        job.in_blocks((OUTCORE, "through the slice"), ranges),
        job.in_blocks((MEMORY, note), memory),
    ])
}

/// A range as a slice.
struct Range(FileRangeMut);

impl AsMut<[u8]> for Range {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Ranges to hand out.
#[derive(Clone)]
pub struct AllocateJob {
    /// Describes the file.
    pub fill: FillJob,
    /// How many threads allocate.
    threads: usize,
}

impl AllocateJob {
    /// Lets all threads call `allocate` until it returns `None`, and keeps what they get until the
    /// clock has stopped. `start` returns where a range starts.
    pub fn measure<R: Send>(
        &self,
        allocate: impl Fn() -> Option<R> + Sync,
        start: impl Fn(&R) -> u64,
    ) -> Result<Sample> {
        let count = self.fill.len / BLOCK as u64;
        let empty = || {
            let mut kept = Vec::with_capacity(index(count));
            // So that no memory is touched for the first time while the clock runs.
            kept.spare_capacity_mut().fill_with(MaybeUninit::zeroed);
            Mutex::new(kept)
        };
        let kept: Vec<_> = (0..self.threads).map(|_| empty()).collect();
        let poisoned = || anyhow!("a thread panicked");
        let stage = Stage::start()?;
        on_threads(0..self.threads, |number| {
            let mut kept = kept[number].lock().map_err(|_panic| poisoned())?;
            while let Some(range) = allocate() {
                kept.push(range);
            }
            Ok(())
        })?;
        let mut sample = stage.stop()?;
        sample.add_time("time_per_range", count);
        for kept in kept {
            let kept = kept.into_inner().map_err(|_panic| poisoned())?;
            let starts = pool::sum(kept.iter().map(|range| start(range) + 1));
            sample.checksum = sample.checksum.wrapping_add(starts);
        }
        Ok(sample)
    }

    fn expected(&self) -> u64 {
        pool::sum((0..self.fill.len).step_by(BLOCK).map(|start| start + 1))
    }
}

fn allocators(job: &AllocateJob) -> Result<Vec<Candidate<'static>>> {
    // As many bytes as outcore's range has.
    const WORDS: usize = size_of::<FileRangeMut>() / 8;
    job.fill.folder()?;
    let [own, bare] = [(); 2].map(|()| job.clone());
    Ok(vec![
        Candidate::new(FETCH_ADD, "an addition, and a store as large", move || {
            let next = AtomicU64::new(0);
            let allocate = || {
                let start = next.fetch_add(BLOCK as u64, Relaxed);
                (start < bare.fill.len).then_some([start; WORDS])
            };
            bare.measure(allocate, |range| range[0])
        }),
        Candidate::new(OUTCORE, "", move || {
            let file = RangeFile::create(&own.fill.path, own.fill.len)?;
            own.measure(move || file.allocate(BLOCK as u64), FileRangeMut::start)
        }),
    ])
}

/// The candidates of others.
type Others<'a> = (
    &'a [Row<FillJob>],
    &'a [Prepare<OverwriteJob>],
    &'a [Prepare<AllocateJob>],
);

/// Returns the workloads, with the candidates of others behind our own.
pub(super) fn workloads(
    options: &'static Options,
    (fill, overwrite, allocate): Others<'_>,
) -> Vec<Workload> {
    let len = options.bytes(256 << 20, 4 << 30);
    let filling = |piece: usize| Workload {
        columns: vec![CPU[0], CPU[1], FAULTS],
        baselines: vec![RAW, RANGED_MMAP],
        rounds: options.rounds(3, 7),
        physical: Some(physical::WRITE),
        is_slow: piece == 1 << 20,
        ..Workload::isolated(
            sized(&format!("fill_{}", text_of_bytes(piece as u64)), len) + "/2_threads",
            RATE,
            &[&fillers(), fill].concat(),
            move || FillJob::new(options, len, piece),
            FillJob::expected,
        )
    };
    let allocating = |threads: usize| Workload {
        columns: vec![ALLOCATIONS],
        baselines: vec![FETCH_ADD, RANGED_MMAP],
        rounds: options.rounds(9, 15),
        is_slow: threads > 2,
        ..Workload::shared(
            format!("allocate_4KiB/{threads}_threads"),
            Headline::less("time_per_range", "ns"),
            [&[allocators as Prepare<AllocateJob>], allocate].concat(),
            move || AllocateJob {
                fill: FillJob::new(options, len, BLOCK),
                threads,
            },
            AllocateJob::expected,
        )
    };
    let warm = options.bytes(128 << 20, 1 << 30);
    let overwriting = Workload {
        columns: vec![FAULTS],
        baselines: vec![RAW_WARM, MEMORY, RANGED_MMAP],
        rounds: options.rounds(5, 9),
        ..Workload::shared(
            sized("overwrite_4KiB", warm) + "/warm",
            Headline::less("time_per_write", "ns"),
            [&[overwriters as Prepare<OverwriteJob>], overwrite].concat(),
            move || OverwriteJob::new(options, warm),
            OverwriteJob::expected,
        )
    };
    let filling = [4 << 10, 64 << 10, 1 << 20].map(filling).into_iter();
    let all = filling.chain([1, 2, 4, 8].map(allocating));
    all.chain([overwriting]).collect()
}
