//! Reading a vector: adding it up in memory, scanning what is larger than memory, and reaching into
//! it at random.
//!
//! The vectors are filled once, in the process that all candidates share; where a limit is named,
//! that process lives inside of it from the start.

use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use outcore::{Advice, DiskVec};
use rustix::fs::Advice as FileAdvice;

use crate::prelude::*;
use crate::ring::Blocks;
use crate::scenario::vec_push::{MMAP_VEC, Numbers, VecJob, number, sum_of};

/// Bytes at the end of a vector that may not be in its file yet.
pub(super) const WINDOW: u64 = 16 << 20;

/// How far behind the reader pages are dropped, where that is done by hand.
const BEHIND: u64 = 32 << 20;

/// The row of reads past the page cache.
const DIRECT: &str = "raw_direct_pread_4KiB";

/// Returns the workloads, with the candidates of others for the sum behind our own.
pub(super) fn workloads(options: &'static Options, others: &[Prepare<VecJob>]) -> Vec<Workload> {
    let len = options.bytes(256 << 20, 4 << 30);
    let random = [128, 8192].map(|kb| random_workload(options, len).with_read_ahead(kb));
    let scanning = |len| Workload {
        columns: vec![FAULTS, PEAK],
        baselines: vec!["cat", "raw_direct_1MiB"],
        rounds: options.rounds(5, 5),
        physical: Some(physical::READ_IN_ORDER),
        ..Workload::shared(
            sized("scan_u64", len),
            RATE,
            vec![scans],
            move || VecJob::new(options, len),
            VecJob::expected_sum,
        )
    };
    let scan = scanning(len).in_group(limit_for(len));
    let name = format!("{}/cold", scan.name);
    let scan = Workload { name, ..scan };
    let [.., (state, past_len)] = Memory::states(len);
    let past = scanning(past_len).in_state(state);
    let len = options.bytes(128 << 20, 1 << 30);
    let sum = Workload {
        columns: vec![FAULTS],
        baselines: vec!["slice_of_outcore", "std_vec", MMAP_VEC],
        rounds: options.rounds(9, 31),
        physical: Some(physical::MEMORY_READ),
        ..Workload::shared(
            sized("sum_u64", len) + "/warm",
            RATE,
            [&[sums as Prepare<VecJob>], others].concat(),
            move || VecJob::new(options, len),
            VecJob::expected_sum,
        )
    };
    random.into_iter().chain([scan, past, sum]).collect()
}

fn sums(job: &VecJob) -> Result<Vec<Candidate<'static>>> {
    let job = *job;
    let vec: Rc<DiskVec<u64>> = Rc::new(job.filled()?);
    let same_vec = Rc::clone(&vec);
    Ok(vec![
        Candidate::new("outcore", "", move || job.sum(|| Ok(sum_of(&vec)))),
        Candidate::new("slice_of_outcore", "the same memory", move || {
            let slice: &[u64] = &same_vec;
            job.sum(|| Ok(sum_of(slice)))
        }),
        sum_in::<Vec<u64>>("std_vec", job)?,
    ])
}

/// Makes a candidate that adds up a vector of its own.
pub fn sum_in<V: Numbers>(name: &'static str, job: VecJob) -> Result<Candidate<'static>> {
    let vec: V = job.filled()?;
    Ok(Candidate::new(name, "memory of its own", move || {
        job.sum(|| Ok(sum_of(vec.all())))
    }))
}

/// A run that begins with the vector out of memory.
type ColdRun = Box<dyn FnMut(&DiskVec<u64>) -> Result<Sample>>;

fn scans(job: &VecJob) -> Result<Vec<Candidate<'static>>> {
    let job = *job;
    let before = OpenFiles::now()?;
    let vec: Rc<DiskVec<u64>> = Rc::new(job.filled()?);
    let file = file_of(&before, job.count * 8, |index| number(index).to_le_bytes())?;
    let expected = job.expected_sum();
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let note = "does not look at the bytes it reads; includes the start of a process";
    let direct = raw::reopened(&file, OFlags::DIRECT)?;
    let dropped = raw::reopened(&file, OFlags::RDONLY)?;
    let cold = |name: &str, note, mut run: ColdRun| {
        let vec = Rc::clone(&vec);
        Candidate::new(name, note, move || {
            make_cold(&vec, job.dir)?;
            run(&vec)
        })
    };
    // Reads the vector's own file: `number` starts from its first number.
    let raw_reads = |name: &str, note, file: File, len: usize, drops: bool| {
        let run = move |vec: &DiskVec<u64>| {
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
        };
        cold(name, note, Box::new(run))
    };
    let cat = move |_vec: &DiskVec<u64>| -> Result<Sample> {
        let mut sample = timed(|| {
            let mut cat = Command::new("cat");
            let status = cat.arg(&path).stdout(Stdio::null()).status()?;
            ensure!(status.success(), "cat: {status}");
            Ok(expected)
        })?;
        sample.add_rate(file.metadata()?.len());
        Ok(sample)
    };
    let scan = move |vec: &DiskVec<u64>| job.sum(|| Ok(pool::sum(vec.scan().map(sum_of))));
    let behind = "and fadvise(DONTNEED) 32 MiB behind";
    Ok(vec![
        raw_reads("raw_direct_1MiB", "O_DIRECT", direct, 1 << 20, false),
        raw_reads("raw_drop_behind_256KiB", behind, dropped, 256 << 10, true),
        cold("cat", note, Box::new(cat)),
        cold("outcore_scan", "", Box::new(scan)),
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
    dir: &'static Path,
    len: u64,
    sequence: Rc<[usize]>,
}

impl RandomJob {
    fn new(options: &'static Options, len: u64) -> Self {
        let mut random = Random::new(options.seed ^ 0x64);
        let in_file = len.saturating_sub(WINDOW).max(64) / 64;
        let reads = 0..options.either(3000, 10_000);
        Self {
            dir: options.dir(),
            len,
            sequence: reads.map(|_| random.below(index(in_file))).collect(),
        }
    }

    fn candidate(
        &self,
        vec: &Rc<DiskVec<Wide>>,
        (name, note): (&'static str, &'static str),
        mut sum: impl FnMut(&DiskVec<Wide>, &[usize]) -> Result<u64> + 'static,
    ) -> Candidate<'static> {
        let (dir, sequence, vec) = (self.dir, Rc::clone(&self.sequence), Rc::clone(vec));
        Candidate::new(name, note, move || {
            make_cold(&vec, dir)?;
            let mut sample = timed(|| sum(&vec, &sequence))?;
            sample.add_time("time_per_read", sequence.len() as u64);
            Ok(sample)
        })
    }
}

fn random_workload(options: &'static Options, len: u64) -> Workload {
    Workload {
        columns: vec![Column::new("major faults", "major_faults", 1.0, 0)],
        baselines: vec![DIRECT],
        rounds: options.rounds(5, 5),
        physical: Some(physical::READ_ONE),
        ..Workload::shared(
            sized("random_64", len),
            TIME_PER_READ,
            vec![reads_at_random],
            move || RandomJob::new(options, len),
            |job| pool::sum(job.sequence.iter().flat_map(|index| wide(*index as u64))),
        )
        .in_group(limit_for(len))
    }
}

fn reads_at_random(job: &RandomJob) -> Result<Vec<Candidate<'static>>> {
    let before = OpenFiles::now()?;
    let mut vec = DiskVec::new();
    vec.try_extend((0..job.len / 64).map(wide))?;
    vec.advise(Advice::Random)?;
    let vec = &Rc::new(vec);
    let bytes = |index| {
        let bytes = wide(index).map(u64::to_le_bytes);
        <[u8; 64]>::try_from(bytes.as_flattened()).unwrap_or([0; 64])
    };
    let file = file_of(&before, job.len, bytes)?;
    let direct = raw::reopened(&file, OFlags::DIRECT)?;
    let indexed =
        |vec: &DiskVec<Wide>, few: &[usize]| pool::sum(few.iter().flat_map(|index| vec[*index]));
    Ok(vec![
        job.candidate(
            vec,
            ("outcore_gather", "all of them in one call"),
            |vec, indices| Ok(pool::sum(vec.gather(indices)?.into_iter().flatten())),
        ),
        job.candidate(
            vec,
            ("outcore_prefetch_many", "told 128 at a time"),
            move |vec, indices| {
                pool::try_sum(indices.chunks(128).map(|few| {
                    vec.prefetch_many(few)?;
                    Ok::<_, Error>(indexed(vec, few))
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
            let offsets = indices.iter().map(|index| *index as u64 * 64);
            raw::sum_at(&file, offsets, &mut [0; 64])
        }),
        job.candidate(
            vec,
            ("outcore_random", "Advice::Random"),
            move |vec, indices| Ok(indexed(vec, indices)),
        ),
    ])
}
