//! ranged-mmap as its README uses it, and what its README compares itself with: files of std and of
//! tokio behind a lock.
#![expect(
    unsafe_code,
    reason = "calls the unsafe functions of ranged-mmap, as its README does"
)]

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use ranged_mmap::allocator::concurrent;
use ranged_mmap::{MmapFile, MmapFileInner};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use outcore_bench::prelude::*;
use outcore_bench::scenario::past::{self, PastJob};
use outcore_bench::scenario::ranged::{AllocateJob, FillJob, OverwriteJob, RANGED_MMAP};

fn not_zero(number: u64) -> Result<NonZeroU64> {
    NonZeroU64::new(number).context("a length of zero")
}

/// A mapped file, and what hands its ranges out.
type Mapped = (MmapFile, concurrent::Allocator);

fn mapped(path: &Path, len: u64) -> Result<Mapped> {
    MmapFile::create::<concurrent::Allocator>(path, not_zero(len)?).context("create")
}

/// Returns the ways to fill a fresh file.
pub(super) fn fillers() -> [Row<FillJob>; 3] {
    let tokio = "the same with tokio: two tasks on a runtime of two threads; of pieces of 4 KiB a sixteenth of the \
                 file, the rest after the clock has stopped";
    [
        Row::new(
            RANGED_MMAP,
            "a sparse file: a full disk is a signal",
            mapped_fill,
        ),
        Row::new(
            "std_file_mutex",
            "seek and write under a lock; preallocates nothing",
            locked_fill,
        ),
        Row::new("tokio_fs_mutex", tokio, tokio_fill),
    ]
}

fn mapped_fill(job: &FillJob) -> Result<Sample> {
    let piece = not_zero(job.piece as u64)?;
    let fill = |(file, allocator): &Mapped| {
        while let Some(range) = allocator.allocate(piece) {
            file.write_range(range, job.source(range.start()));
        }
        Ok(())
    };
    job.measure(|| mapped(&job.path, job.len), fill, |_file| job.published())
}

fn locked_fill(job: &FillJob) -> Result<Sample> {
    let next = AtomicU64::new(0);
    let make = || Ok(Mutex::new(created(job)?));
    let fill = |file: &Mutex<File>| {
        job.each_range(&next, |offset, source| {
            let mut file = file.lock().map_err(|_panic| anyhow!("a thread panicked"))?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(file.write_all(source)?)
        })
    };
    job.measure(make, fill, |_file| job.published())
}

/// Returns the way to fill a file that is larger than memory.
pub(super) fn past() -> Row<PastJob> {
    let note = "2 threads, ranges of 64 KiB; a sparse file: a full disk is a signal";
    Row::new(RANGED_MMAP, note, |job: &PastJob| {
        let (path, piece) = (job.path()?, not_zero(past::RANGE_LEN as u64)?);
        let fill = |(file, allocator): &Mapped| {
            let range = allocator.allocate(piece);
            let filled = range.map(|range| file.write_range(range, job.source(range.start())));
            Ok(filled.is_some())
        };
        let make = || mapped(&path, job.len);
        past::ranges(job, make, fill, |_file| raw::open(&path))
    })
}

fn created(job: &FillJob) -> Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create_new(true);
    options.open(&job.path).context("create")
}

fn tokio_fill(job: &FillJob) -> Result<Sample> {
    let mut job = job.clone();
    if job.piece == BLOCK {
        // All of it takes minutes.
        job.timed = (job.len / 16).next_multiple_of(BLOCK as u64);
    }
    let job = &job;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .context("start tokio")?;
    let next = Arc::new(AtomicU64::new(0));
    let make = || {
        let file = tokio::fs::File::from_std(created(job)?);
        Ok(Arc::new(tokio::sync::Mutex::new(file)))
    };
    // Each of the two threads waits for a task of its own.
    let fill = |file: &Arc<tokio::sync::Mutex<tokio::fs::File>>| {
        let (file, job, next) = (Arc::clone(file), job.clone(), Arc::clone(&next));
        let task = runtime.spawn(async move {
            loop {
                let offset = next.fetch_add(job.piece as u64, Relaxed);
                if offset >= job.timed {
                    // What tokio still has in a buffer of its own.
                    return file.lock().await.flush().await;
                }
                let mut file = file.lock().await;
                file.seek(SeekFrom::Start(offset)).await?;
                file.write_all(job.source(offset)).await?;
            }
        });
        let ended = runtime.block_on(task);
        ended.context("join a task")?.context("write by tokio")
    };
    let end = |_file| {
        let rest = OpenOptions::new().write(true).open(&job.path)?;
        for offset in (job.timed..job.len).step_by(job.piece) {
            rest.write_all_at(job.source(offset), offset)?;
        }
        job.published()
    };
    job.measure(make, fill, end)
}

/// Returns the way to overwrite a warm file.
pub(super) fn overwriters(job: &OverwriteJob) -> Result<Vec<Candidate<'static>>> {
    let path = job.fill.path.with_file_name("ranged-mmap-warm");
    drop(std::fs::remove_file(&path));
    let file = MmapFileInner::create(&path, not_zero(job.fill.len)?).context("create")?;
    for offset in (0..job.fill.len).step_by(BLOCK) {
        // SAFETY: nothing else writes to the file.
        unsafe { file.write_all_at(offset, job.fill.source(offset)) };
    }
    let job = job.clone();
    Ok(vec![Candidate::new(
        RANGED_MMAP,
        "its unsafe write_at",
        move || {
            job.measure(
                |number, source| {
                    // SAFETY: as above.
                    unsafe { file.write_at(number * BLOCK as u64, source) };
                    Ok(())
                },
                |offset, block| {
                    // SAFETY: nothing writes to the file meanwhile.
                    unsafe { file.read_at(offset, block) }.context("read")?;
                    Ok(())
                },
            )
        },
    )])
}

/// Returns the way to hand out ranges.
pub(super) fn allocators(job: &AllocateJob) -> Result<Vec<Candidate<'static>>> {
    let job = job.clone();
    let block = not_zero(BLOCK as u64)?;
    let note = "ranges are numbers, without a tie to their file";
    Ok(vec![Candidate::new(RANGED_MMAP, note, move || {
        let path = job.fill.path.with_file_name("ranged-mmap-allocate");
        drop(std::fs::remove_file(&path));
        let (_file, allocator) = mapped(&path, job.fill.len)?;
        job.measure(
            || allocator.allocate(block),
            ranged_mmap::AllocatedRange::start,
        )
    })])
}
