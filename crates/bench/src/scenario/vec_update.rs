//! Updating 8 bytes here and there in a vector, and how much that writes to the device.

use outcore::{Advice, DiskVec};

use crate::machine::Device;
use crate::prelude::*;
use crate::scenario::vec_push::{VecJob, number};
use crate::scenario::vec_read::{WINDOW, file_of};

const HEADLINE: Headline = Headline::less("device_bytes_per_update", "bytes at the device");

/// What is to be updated.
#[derive(Clone)]
pub struct UpdateJob {
    /// What the vector holds.
    pub numbers: VecJob,
    /// The indices to update, in order.
    sequence: Vec<u64>,
}

impl UpdateJob {
    fn new(options: &'static Options, len: u64) -> Self {
        let in_file = len.saturating_sub(WINDOW).max(8) / 8;
        let mut random = Random::new(options.seed ^ 0xDA7E);
        let updates = 0..options.either(4000, 10_000);
        Self {
            numbers: VecJob::new(options, len),
            sequence: updates.map(|_| random.below_u64(in_file)).collect(),
        }
    }

    /// Calls `update` for every index, syncs `file`, and returns what reached the device meanwhile.
    /// `file` has to be clean and out of the cache.
    pub fn measure(
        &self,
        file: &File,
        mut update: impl FnMut(u64, u64) -> Result<()>,
    ) -> Result<Sample> {
        let written = || {
            let device = Device::of(self.numbers.dir);
            let written = device.as_ref().and_then(Device::written_bytes);
            written.context("the device of the directory does not count its bytes")
        };
        rustix::fs::sync();
        let before = written()?;
        let stage = Stage::start()?;
        for index in &self.sequence {
            update(*index, updated(*index))?;
        }
        rustix::fs::fdatasync(file)?;
        let mut sample = stage.stop()?;
        let updates = self.sequence.len() as u64;
        let bytes = written()?.saturating_sub(before) as f64;
        sample.add("device_bytes_per_update", bytes / updates as f64, "bytes");
        sample.add_time("time_per_update", updates);
        let mut buffer = [0; 8];
        for index in &self.sequence {
            raw::read_exact(file, &mut buffer, index * 8)?;
            let print = fingerprint(*index, &buffer);
            sample.checksum = sample.checksum.wrapping_add(print);
        }
        Ok(sample)
    }

    /// Makes a file with all numbers, for loops without a vector.
    pub fn raw_file(&self) -> Result<File> {
        let VecJob { dir, count, .. } = self.numbers;
        let file = raw::create(dir)?;
        raw::preallocate(&file, count * 8)?;
        for first in (0..count).step_by(1 << 17) {
            let numbers = (first..count.min(first + (1 << 17))).map(number);
            let piece: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
            raw::write_all(&file, &piece, first * 8)?;
        }
        Ok(file)
    }

    fn expected(&self) -> u64 {
        let all = self.sequence.iter();
        pool::sum(all.map(|index| fingerprint(*index, &updated(*index).to_le_bytes())))
    }
}

fn updated(index: u64) -> u64 {
    !number(index)
}

/// Returns the workload, with the candidates of others behind our own.
pub(super) fn workload(options: &'static Options, others: &[Prepare<UpdateJob>]) -> Workload {
    let len = options.bytes(128 << 20, 1 << 30);
    Workload {
        columns: vec![
            Column::new("ns an update", "time_per_update", 1.0, 0),
            FAULTS,
        ],
        baselines: vec!["raw_pwrite_8B"],
        rounds: options.rounds(5, 5),
        ..Workload::shared(
            sized("update_u64", len) + "/cold/synced",
            HEADLINE,
            [&[own as Prepare<UpdateJob>], others].concat(),
            move || UpdateJob::new(options, len),
            UpdateJob::expected,
        )
    }
}

fn own(job: &UpdateJob) -> Result<Vec<Candidate<'static>>> {
    Ok(vec![
        pwrites(job)?,
        stores(job, ("outcore_random", "Advice::Random"), Advice::Random)?,
        stores(job, ("outcore_normal", "no advice"), Advice::Normal)?,
    ])
}

fn pwrites(job: &UpdateJob) -> Result<Candidate<'static>> {
    let job = job.clone();
    let file = job.raw_file()?;
    Ok(Candidate::new("raw_pwrite_8B", "", move || {
        cache::make_cold(&file)?;
        job.measure(&file, |index, value| {
            raw::write_all(&file, &value.to_le_bytes(), index * 8)
        })
    }))
}

fn stores(
    job: &UpdateJob,
    (name, note): (&'static str, &'static str),
    advice: Advice,
) -> Result<Candidate<'static>> {
    let job = job.clone();
    let before = OpenFiles::now()?;
    let mut vec: DiskVec<u64> = job.numbers.filled()?;
    vec.advise(advice)?;
    let len = job.numbers.count * 8;
    let file = file_of(&before, len, |index| number(index).to_le_bytes())?;
    let file = raw::reopened(&file, OFlags::RDWR)?;
    Ok(Candidate::new(name, note, move || {
        vec.evict(..)?;
        cache::make_cold(&file)?;
        job.measure(&file, |at, value| {
            vec[index(at)] = value;
            Ok(())
        })
    }))
}
