//! Reading a vector: adding it up in memory, scanning what is larger than memory, and reaching into
//! it at random.
//!
//! The vectors are filled once, in the process that all candidates share; where a limit is named,
//! that process lives inside of it from the start.

use std::fs::File;
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use outcore::{Advice, DiskVec};
use rustix::fs::{Advice as FileAdvice, OFlags};

use crate::prelude::*;
use crate::ring::Blocks;
use crate::scenario::physical;
use crate::scenario::vec_push::{MMAP_VEC, VecJob, number, sum_of};

/// Bytes at the end of a vector that may not be in its file yet.
pub(super) const WINDOW: u64 = 16 << 20;

/// How far behind the reader pages are dropped, where that is done by hand.
const BEHIND: u64 = 32 << 20;

/// The row of reads past the page cache.
const DIRECT: &str = "raw_direct_pread_4KiB";

fn filled(job: &VecJob) -> Result<DiskVec<u64>> {
    let mut vec = DiskVec::new();
    vec.try_extend((0..job.count).map(number))?;
    Ok(vec)
}

/// Returns the workloads, with the candidates of others for the sum behind our own.
pub(super) fn workloads(options: &Options, dir: &Path, sums: &[Prepare<VecJob>]) -> Vec<Workload> {
    let len = options.bytes(256 << 20, 4 << 30);
    let random = [128, 8192].map(|kb| random_workload(options, dir, len, kb));
    let scanning = |name, len, limit| Workload {
        columns: vec![FAULTS, PEAK],
        baselines: vec!["cat", "raw_direct_1MiB"],
        rounds: options.rounds(5, 5),
        memory_limit: limit,
        physical: Some(physical::READ_IN_ORDER),
        ..Workload::shared(
            name,
            (TITLE_SCAN, RATE),
            vec![scans],
            VecJob::new(dir, len, false),
            VecJob::expected_sum,
        )
    };
    let limit = limit_for(len);
    let [size, limited] = [len, limit].map(text_of_bytes);
    let scan = scanning(
        format!("scan_u64/{size}/limit_{limited}/cold"),
        len,
        Some(limit),
    );
    let [.., (state, suffix, len)] = Memory::states(len);
    let name = format!("scan_u64/{}{suffix}", text_of_bytes(len));
    let past = Workload {
        memory: state,
        is_slow: true,
        ..scanning(name, len, None)
    };
    let len = options.bytes(128 << 20, 1 << 30);
    let sum = Workload {
        columns: vec![FAULTS],
        baselines: vec!["slice_of_outcore", "std_vec", MMAP_VEC],
        rounds: options.rounds(9, 31),
        physical: Some(physical::MEMORY_READ),
        ..Workload::shared(
            format!("sum_u64/{}/warm", text_of_bytes(len)),
            (TITLE_SUM, RATE),
            [&[self::sums as Prepare<VecJob>], sums].concat(),
            VecJob::new(dir, len, false),
            VecJob::expected_sum,
        )
    };
    random.into_iter().chain([scan, past, sum]).collect()
}

fn sums(job: &VecJob) -> Result<Vec<Candidate<'static>>> {
    let vec = Rc::new(filled(job)?);
    let same_vec = Rc::clone(&vec);
    let plain: Vec<u64> = (0..job.count).map(number).collect();
    let [own, same, other] = [(); 3].map(|()| job.clone());
    Ok(vec![
        Candidate::new("outcore", "", move || own.sum(|| Ok(sum_of(&vec)))),
        Candidate::new("slice_of_outcore", "the same memory", move || {
            let slice: &[u64] = &same_vec;
            same.sum(|| Ok(sum_of(slice)))
        }),
        Candidate::new("std_vec", "memory of its own", move || {
            other.sum(|| Ok(sum_of(&plain)))
        }),
    ])
}

fn scans(job: &VecJob) -> Result<Vec<Candidate<'static>>> {
    let before = OpenFiles::now()?;
    let vec = Rc::new(filled(job)?);
    let same_vec = Rc::clone(&vec);
    let file = file_of(&before, job.count * 8, |index| number(index).to_le_bytes())?;
    let expected = job.expected_sum();
    let [own, other] = [(); 2].map(|()| job.clone());
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let note = "does not look at the bytes it reads; includes the start of a process";
    let direct = raw::reopened(&file, OFlags::DIRECT)?;
    let dropped = raw::reopened(&file, OFlags::RDONLY)?;
    // Reads the vector's own file: `number` starts from its first number.
    let raw_reads = |name, note, file: File, len: usize, drops: bool| {
        let (job, vec) = (job.clone(), Rc::clone(&vec));
        Candidate::new(name, note, move || {
            make_cold(&vec, &job.dir)?;
            let mut memory = Blocks::new(1, len);
            let block = memory.get_mut(0);
            // The rest may not be in the file yet.
            let in_file = (job.count * 8).saturating_sub(WINDOW) / len as u64 * len as u64;
            job.sum(|| {
                let sum = pool::try_sum((0..in_file).step_by(len).map(|offset| {
                    raw::read_exact(&file, block, offset)?;
                    if drops && offset >= BEHIND {
                        let len = NonZeroU64::new(len as u64);
                        rustix::fs::fadvise(&file, offset - BEHIND, len, FileAdvice::DontNeed)?;
                    }
                    Ok::<_, Error>(sum_words(block))
                }))?;
                Ok(sum.wrapping_add(sum_of(&vec[index(in_file / 8)..])))
            })
        })
    };
    let behind = "and fadvise(DONTNEED) 32 MiB behind";
    Ok(vec![
        raw_reads("raw_direct_1MiB", "O_DIRECT", direct, 1 << 20, false),
        raw_reads("raw_drop_behind_256KiB", behind, dropped, 256 << 10, true),
        Candidate::new("cat", note, move || {
            make_cold(&same_vec, &other.dir)?;
            let mut sample = timed(|| {
                let mut cat = Command::new("cat");
                let status = cat.arg(&path).stdout(Stdio::null()).status()?;
                ensure!(status.success(), "cat: {status}");
                Ok(expected)
            })?;
            sample.add_rate(file.metadata()?.len());
            Ok(sample)
        }),
        Candidate::new("outcore_scan", "", move || {
            make_cold(&vec, &own.dir)?;
            own.sum(|| Ok(pool::sum(vec.scan().map(sum_of))))
        }),
    ])
}

/// Takes a vector out of memory, and fails if that does not work.
fn make_cold<T>(vec: &DiskVec<T>, dir: &Path) -> Result<()> {
    // A page that the kernel is still busy with stays mapped, and so it stays in memory.
    for _ in 0..10 {
        vec.evict(..)?;
        if cache::drop_open_files(dir)? == 0 {
            break;
        }
    }
    cache::expect_cold(cache::drop_open_files(dir)?)
}

/// Finds the file that appeared since and holds elements in order from its first byte on.
pub(super) fn file_of<const N: usize>(
    before: &OpenFiles,
    len: u64,
    element: impl Fn(u64) -> [u8; N],
) -> Result<File> {
    let in_file = len.saturating_sub(WINDOW);
    let found = before.find(in_file, |file| {
        let step = index((in_file / N as u64 / 100).max(1));
        (0..in_file / N as u64).step_by(step).all(|index| {
            let mut buffer = [0; N];
            let read = raw::read_exact(file, &mut buffer, index * N as u64);
            read.is_ok() && buffer == element(index)
        })
    })?;
    found.context("the file of the vector is not as expected")
}

/// An element of 64 bytes.
type Wide = [u64; 8];

fn wide(index: u64) -> Wide {
    [number(index), index, 2, 3, 4, 5, 6, 7]
}

/// Elements that are read at random.
struct RandomJob {
    dir: PathBuf,
    len: u64,
    sequence: Rc<[usize]>,
}

impl RandomJob {
    fn candidate(
        &self,
        vec: &Rc<DiskVec<Wide>>,
        (name, note): (&'static str, &'static str),
        mut sum: impl FnMut(&DiskVec<Wide>, &[usize]) -> Result<u64> + 'static,
    ) -> Candidate<'static> {
        let (dir, sequence) = (self.dir.clone(), Rc::clone(&self.sequence));
        let vec = Rc::clone(vec);
        Candidate::new(name, note, move || {
            make_cold(&vec, &dir)?;
            let mut sample = timed(|| sum(&vec, &sequence))?;
            sample.add_time("time_per_read", sequence.len() as u64);
            Ok(sample)
        })
    }
}

fn random_workload(options: &Options, dir: &Path, len: u64, read_ahead_kb: u32) -> Workload {
    let limit = limit_for(len);
    let reads = options.either(3000, 10_000);
    let (dir, seed) = (dir.to_owned(), options.seed);
    let job = move || {
        let mut random = Random::new(seed ^ 0x64);
        let in_file = len.saturating_sub(WINDOW).max(64) / 64;
        RandomJob {
            dir: dir.clone(),
            len,
            sequence: (0..reads).map(|_| random.below(index(in_file))).collect(),
        }
    };
    let [size, limited] = [len, limit].map(text_of_bytes);
    Workload {
        columns: vec![Column::new("major faults", "major_faults", 1.0, 0)],
        baselines: vec![DIRECT],
        rounds: options.rounds(5, 5),
        memory_limit: Some(limit),
        read_ahead_kb: Some(read_ahead_kb),
        physical: Some(physical::READ_ONE),
        ..Workload::shared(
            format!("random_64/{size}/limit_{limited}/cold/read_ahead_{read_ahead_kb}"),
            (TITLE_RANDOM, TIME_PER_READ),
            vec![reads_at_random],
            job,
            |job| pool::sum(job.sequence.iter().flat_map(|index| wide(*index as u64))),
        )
    }
}

fn reads_at_random(job: &RandomJob) -> Result<Vec<Candidate<'static>>> {
    let before = OpenFiles::now()?;
    let mut vec = DiskVec::new();
    vec.try_extend((0..job.len / 64).map(wide))?;
    vec.advise(Advice::Random)?;
    let vec = &Rc::new(vec);
    let bytes = |index| {
        let mut bytes = [0; 64];
        for (target, word) in bytes.chunks_exact_mut(8).zip(wide(index)) {
            target.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    };
    let file = file_of(&before, job.len, bytes)?;
    let direct = raw::reopened(&file, OFlags::DIRECT)?;
    Ok(vec![
        job.candidate(
            vec,
            ("outcore_gather", "all of them in one call"),
            |vec, indices| Ok(pool::sum(vec.gather(indices)?.into_iter().flatten())),
        ),
        job.candidate(
            vec,
            ("outcore_prefetch_many", "told 128 at a time"),
            |vec, indices| {
                pool::try_sum(indices.chunks(128).map(|few| {
                    vec.prefetch_many(few)?;
                    Ok::<_, Error>(pool::sum(few.iter().flat_map(|index| vec[*index])))
                }))
            },
        ),
        job.candidate(
            vec,
            (DIRECT, "bypasses the page cache"),
            move |_vec, indices| {
                let mut memory = Blocks::new(1, BLOCK);
                let block = memory.get_mut(0);
                pool::try_sum(indices.iter().map(|index| {
                    let inside = index * 64 % BLOCK;
                    raw::read_exact(&direct, block, (index * 64 - inside) as u64)?;
                    Ok::<_, Error>(sum_words(&block[inside..inside + 64]))
                }))
            },
        ),
        job.candidate(vec, ("raw_pread_64B", ""), move |_vec, indices| {
            let mut buffer = [0; 64];
            pool::try_sum(indices.iter().map(|index| {
                raw::read_exact(&file, &mut buffer, *index as u64 * 64)?;
                Ok::<_, Error>(sum_words(&buffer))
            }))
        }),
        job.candidate(vec, ("outcore_random", "Advice::Random"), |vec, indices| {
            Ok(pool::sum(indices.iter().flat_map(|index| vec[*index])))
        }),
    ])
}

const TITLE_SUM: &str = "\
All numbers of a vector that is in memory, added up by the same function.";

const TITLE_SCAN: &str = "\
A vector larger than its memory (the machine's, or a group of a sixteenth of the data), added up\n\
from first to last; the cache is empty at the start (cachestat says 0 pages).";

const TITLE_RANDOM: &str = "\
Elements of 64 bytes at random from a vector sixteen times as large as its memory group; the\n\
cache is empty at the start, the read-ahead of the device as the name says.";
