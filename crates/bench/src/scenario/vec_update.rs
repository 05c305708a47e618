//! Updating 8 bytes here and there in a vector, and how much that writes to the device.

use std::fs::File;
use std::path::{Path, PathBuf};

use outcore::{Advice, DiskVec};
use rustix::fs::OFlags;

use crate::cache;
use crate::failure::{Failure, Result};
use crate::goal::{Asked, Goal};
use crate::machine::Device;
use crate::measure::{Candidate, Sample};
use crate::pool;
use crate::random::Random;
use crate::scenario::raw;
use crate::scenario::shared_file::OpenFiles;
use crate::scenario::vec_push::number;
use crate::scenario::vec_read::reopened;
use crate::settings::{Settings, text_of_bytes};
use crate::stage::Stage;
use crate::workload::{Column, Deferred, FAULTS, Headline, Kind, Shared, Workload};

/// Bytes at the end of a vector that may not be in its file yet.
const WINDOW: u64 = 16 << 20;

/// What is to be updated.
#[derive(Clone, Debug)]
pub struct UpdateJob {
    /// The directory for files.
    pub dir: PathBuf,
    /// How many numbers the vector has.
    pub count: u64,
    /// The indices to update, in order.
    pub sequence: Vec<u64>,
}

/// Fills a vector of its own, and returns the ways to update it.
pub type Prepare = fn(&UpdateJob) -> Result<Vec<Candidate<'static>>>;

impl UpdateJob {
    /// Calls `update` for every index, syncs `file`, and returns what reached the device
    /// meanwhile. `file` has to be clean and out of the cache.
    ///
    /// # Errors
    ///
    /// A device that does not count, or an update that fails.
    pub fn measure(
        &self,
        file: &File,
        mut update: impl FnMut(u64, u64) -> Result<()>,
    ) -> Result<Sample> {
        let uncounted = || Failure::new("the device of the directory does not count its bytes");
        let device = Device::of(&self.dir).ok_or_else(uncounted)?;
        rustix::fs::sync();
        let before = device.written_bytes().ok_or_else(uncounted)?;
        let stage = Stage::start()?;
        for index in &self.sequence {
            update(*index, updated(*index))?;
        }
        rustix::fs::fdatasync(file)?;
        let mut sample = stage.stop()?;
        let after = device.written_bytes().ok_or_else(uncounted)?;
        let updates = self.sequence.len() as f64;
        let written = after.saturating_sub(before) as f64;
        sample.add("device_bytes_per_update", written / updates, "bytes");
        let seconds = sample.get("seconds").unwrap_or(f64::NAN);
        sample.add("time_per_update", seconds * 1e9 / updates, "ns");
        sample.checksum = self.checksum(file)?;
        Ok(sample)
    }

    /// Makes a file with all numbers, for loops without a vector.
    ///
    /// # Errors
    ///
    /// A full disk.
    pub fn raw_file(&self) -> Result<File> {
        let file = raw::create(&self.dir)?;
        raw::preallocate(&file, self.count * 8)?;
        let mut piece = Vec::with_capacity(1 << 20);
        for first in (0..self.count).step_by(1 << 17) {
            piece.clear();
            let numbers = (first..self.count.min(first + (1 << 17))).map(number);
            piece.extend(numbers.flat_map(u64::to_le_bytes));
            write_all(&file, &piece, first * 8)?;
        }
        Ok(file)
    }

    /// Reads back from the device what was updated.
    fn checksum(&self, file: &File) -> Result<u64> {
        let mut sum = 0u64;
        let mut buffer = [0; 8];
        for index in &self.sequence {
            raw::read_exact(file, &mut buffer, index * 8)?;
            sum = sum.wrapping_add(pool::fingerprint(*index, &buffer));
        }
        Ok(sum)
    }

    fn expected(&self) -> u64 {
        self.sequence.iter().fold(0u64, |sum, index| {
            sum.wrapping_add(pool::fingerprint(*index, &updated(*index).to_le_bytes()))
        })
    }
}

fn updated(index: u64) -> u64 {
    !number(index)
}

/// Returns the workload, with the candidates of the caller behind our own.
pub fn workload(settings: &Settings, dir: &Path, others: &[Prepare]) -> Workload {
    let len = settings.bytes(128 << 20, 1 << 30);
    let updates = if settings.full { 10_000 } else { 4000 };
    let in_file = len.saturating_sub(WINDOW).max(8) / 8;
    let mut random = Random::new(settings.seed ^ 0xDA7E);
    let job = UpdateJob {
        dir: dir.to_owned(),
        count: len / 8,
        sequence: (0..updates).map(|_| random.below(in_file)).collect(),
    };
    let others = others.to_vec();
    let expected = job.expected();
    let few = Asked::AtMost {
        metric: HEADLINE.metric,
        limit: 8192.0,
        text: "2 x 4 KiB",
        scale: 4096.0,
    };
    Workload {
        name: format!("update_u64/{}/cold/synced", text_of_bytes(len)),
        title: TITLE,
        headline: HEADLINE,
        columns: COLUMNS.to_vec(),
        baselines: vec!["raw_pwrite_8B"],
        goals: vec![Goal::new("outcore_random", few)],
        rounds: settings.rounds(5, 5),
        expected: Deferred::new(move || expected),
        kind: Kind::Shared(Shared {
            memory_limit: None,
            read_ahead_kb: None,
            prepare: Deferred::new(move || {
                let mut candidates = own(&job)?;
                for prepare in &others {
                    candidates.extend(prepare(&job)?);
                }
                Ok(candidates)
            }),
        }),
    }
}

fn own(job: &UpdateJob) -> Result<Vec<Candidate<'static>>> {
    Ok(vec![
        raw_pwrite(job)?,
        stores(job, "outcore_random", "Advice::Random", Advice::Random)?,
        stores(job, "outcore_normal", "no advice", Advice::Normal)?,
    ])
}

fn raw_pwrite(job: &UpdateJob) -> Result<Candidate<'static>> {
    let job = job.clone();
    let file = job.raw_file()?;
    Ok(Candidate::new("raw_pwrite_8B", "", move || {
        cache::expect_cold(cache::drop_file(&file)?.cached)?;
        job.measure(&file, |index, value| {
            write_all(&file, &value.to_le_bytes(), index * 8)
        })
    }))
}

fn write_all(file: &File, bytes: &[u8], offset: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    Ok(file.write_all_at(bytes, offset)?)
}

fn stores(
    job: &UpdateJob,
    name: &'static str,
    note: &'static str,
    advice: Advice,
) -> Result<Candidate<'static>> {
    let job = job.clone();
    let before = OpenFiles::now()?;
    let mut vec = DiskVec::new();
    vec.try_extend((0..job.count).map(number))?;
    vec.advise(advice)?;
    let in_file = (job.count * 8).saturating_sub(WINDOW);
    let found = before.find(in_file, |file| {
        let mut first = [0; 8];
        raw::read_exact(file, &mut first, 0).is_ok() && first == number(0).to_le_bytes()
    })?;
    let file = found.ok_or_else(|| Failure::new("the vector has no file"))?;
    let file = reopened(&file, OFlags::RDWR)?;
    Ok(Candidate::new(name, note, move || {
        vec.evict(..)?;
        cache::expect_cold(cache::drop_file(&file)?.cached)?;
        job.measure(&file, |index, value| {
            vec[pool::index(index)] = value;
            Ok(())
        })
    }))
}

const HEADLINE: Headline = Headline {
    metric: "device_bytes_per_update",
    unit: "bytes at the device",
    higher_is_better: false,
};

const TITLE: &str = "\
Numbers of 8 bytes updated at random, one fdatasync at the end, the cache empty before. The\n\
bytes that reached the device for each; others who write meanwhile are counted too.";

const COLUMNS: &[Column] = &[
    Column::new("ns an update", "time_per_update", 1.0, 0),
    FAULTS,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Outcome;

    #[test]
    fn updates_reach_the_file_and_are_counted() {
        let job = UpdateJob {
            dir: Path::new(env!("CARGO_MANIFEST_DIR")).to_owned(),
            count: 4 << 17,
            sequence: vec![7, 100_000, 7, 99],
        };
        if Device::of(&job.dir).is_none() {
            return; // a file system without a device
        }
        let mut candidate = raw_pwrite(&job).unwrap();
        let Outcome::Measured(sample) = (candidate.run)() else {
            panic!("no sample");
        };
        assert_eq!(sample.checksum, job.expected());
        assert!(sample.get("device_bytes_per_update").unwrap() > 0.0);
    }
}
