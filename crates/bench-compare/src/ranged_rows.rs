//! ranged-mmap as its README uses it, and what its README compares itself with: files of std and of
//! tokio behind a lock.
#![expect(
    unsafe_code,
    reason = "calls the unsafe functions of ranged-mmap, as its README does"
)]

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use ranged_mmap::allocator::concurrent;
use ranged_mmap::{MmapFile, MmapFileInner};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use outcore_bench::failure::{Context, Failure, Result};
use outcore_bench::measure::Candidate;
use outcore_bench::scenario::ranged::{BLOCK, FillJob, Filler, OverwriteJob};
use outcore_bench::scenario::ranged_allocate::AllocateJob;

/// The row that outcore is compared with.
pub(crate) const RANGED_MMAP: &str = "ranged_mmap";

fn not_zero(number: u64) -> Result<NonZeroU64> {
    NonZeroU64::new(number).ok_or_else(|| Failure::new("a length of zero"))
}

/// Returns the ways to fill a fresh file.
pub(crate) fn fillers() -> Vec<Filler> {
    vec![
        Filler {
            name: RANGED_MMAP,
            note: "a sparse file: a full disk is a signal",
            run: |job| {
                let piece = not_zero(job.piece as u64)?;
                let make = || {
                    let made =
                        MmapFile::create::<concurrent::Allocator>(&job.path, not_zero(job.len)?);
                    made.context("create")
                };
                let fill = |(file, allocator): &(MmapFile, concurrent::Allocator)| {
                    while let Some(range) = allocator.allocate(piece) {
                        file.write_range(range, job.source(range.start()));
                    }
                    Ok(())
                };
                job.measure(make, fill, |_file| job.published())
            },
        },
        Filler {
            name: "std_file_mutex",
            note: "seek and write under a lock; claims no space",
            run: |job| {
                let next = AtomicU64::new(0);
                let make = || Ok(Mutex::new(created(job)?));
                let fill = |file: &Mutex<File>| {
                    loop {
                        let offset = next.fetch_add(job.piece as u64, Relaxed);
                        if offset >= job.len {
                            return Ok(());
                        }
                        let locked = file.lock();
                        let mut file = locked.map_err(|_poisoned| Failure::new("poisoned"))?;
                        file.seek(SeekFrom::Start(offset))?;
                        file.write_all(job.source(offset))?;
                    }
                };
                job.measure(make, fill, |_file| job.published())
            },
        },
        Filler {
            name: "tokio_fs_mutex",
            note: "the same with tokio: two tasks on a runtime of two threads; of pieces of 4 KiB a \
                   sixteenth of the file, the rest after the clock has stopped",
            run: tokio_fill,
        },
    ]
}

fn created(job: &FillJob) -> Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create_new(true);
    options.open(&job.path).context("create")
}

fn tokio_fill(job: &FillJob) -> Result<outcore_bench::measure::Sample> {
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
pub(crate) fn overwriter(job: &OverwriteJob) -> Result<Candidate<'static>> {
    let path = job.fill.path.with_file_name("ranged-mmap-warm");
    drop(std::fs::remove_file(&path));
    let file = MmapFileInner::create(&path, not_zero(job.fill.len)?).context("create")?;
    for offset in (0..job.fill.len).step_by(BLOCK) {
        // SAFETY: nobody else writes to the file.
        unsafe { file.write_all_at(offset, job.fill.source(offset)) };
    }
    let job = job.clone();
    Ok(Candidate::new(
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
                    // SAFETY: nobody writes to the file meanwhile.
                    unsafe { file.read_at(offset, block) }.context("read")?;
                    Ok(())
                },
            )
        },
    ))
}

/// Returns the way to hand out ranges.
pub(crate) fn allocator(job: &AllocateJob) -> Result<Candidate<'static>> {
    let job = job.clone();
    let block = not_zero(BLOCK as u64)?;
    let note = "ranges are numbers, without a tie to their file";
    Ok(Candidate::new(RANGED_MMAP, note, move || {
        let path = job.fill.path.with_file_name("ranged-mmap-allocate");
        drop(std::fs::remove_file(&path));
        let made = MmapFile::create::<concurrent::Allocator>(&path, not_zero(job.fill.len)?);
        let (_file, allocator) = made.context("create")?;
        job.measure(
            || allocator.allocate(block),
            ranged_mmap::AllocatedRange::start,
        )
    }))
}
