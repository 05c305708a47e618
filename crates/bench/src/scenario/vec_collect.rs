//! Collecting numbers first and going through them once afterwards: what containers that only
//! go forward can do too.

use std::path::{Path, PathBuf};

use outcore::DiskVec;

use crate::failure::{Failure, Result};
use crate::measure::Sample;
use crate::scenario::store::Items;
use crate::settings::{Settings, text_of_bytes};
use crate::stage::Stage;
use crate::workload::{CPU, Deferred, Headline, Isolated, Kind, PEAK, Workload};

/// A way to collect numbers.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name in tables and records.
    pub name: &'static str,
    /// What is not equal to the other candidates; empty if nothing.
    pub note: &'static str,
    /// Does one run.
    pub run: fn(&Job) -> Result<Sample>,
}

/// How many numbers, and where files go.
#[derive(Clone, Debug)]
pub struct Job {
    /// The directory for files.
    pub dir: PathBuf,
    /// How many numbers.
    pub count: u64,
}

impl Job {
    /// Pushes all numbers into what `make` returns, and adds them up by `sum`.
    ///
    /// # Errors
    ///
    /// The first one.
    #[inline]
    pub fn measure<V, E: Into<Failure>>(
        &self,
        make: impl FnOnce() -> Result<V>,
        mut push: impl FnMut(&mut V, u64) -> Result<(), E>,
        sum: impl FnOnce(V) -> Result<u64>,
    ) -> Result<Sample> {
        let stage = Stage::start()?;
        let mut all = make()?;
        for index in 0..self.count {
            push(&mut all, Items::number(index)).map_err(Into::into)?;
        }
        let checksum = sum(all)?;
        let mut sample = stage.stop()?;
        let seconds = sample.get("seconds").unwrap_or(f64::NAN);
        sample.add("time_per_item", seconds * 1e9 / self.count as f64, "ns");
        sample.checksum = checksum;
        Ok(sample)
    }

    fn expected(&self) -> u64 {
        (0..self.count).fold(0, |sum: u64, index| sum.wrapping_add(Items::number(index)))
    }
}

fn own() -> Vec<Row> {
    vec![
        Row {
            name: "std_vec",
            note: "in memory only",
            run: |job| {
                let push = |vec: &mut Vec<u64>, number| {
                    vec.push(number);
                    Ok::<(), Failure>(())
                };
                job.measure(|| Ok(Vec::new()), push, |vec| Ok(sum(&vec)))
            },
        },
        Row {
            name: "outcore_scan",
            note: "",
            run: |job| {
                job.measure(
                    || Ok(DiskVec::new()),
                    DiskVec::push,
                    |vec| Ok(vec.scan().map(sum).fold(0, u64::wrapping_add)),
                )
            },
        },
    ]
}

fn sum(numbers: &[u64]) -> u64 {
    let add = |sum: u64, number: &u64| sum.wrapping_add(*number);
    std::hint::black_box(numbers).iter().fold(0, add)
}

/// Returns the workload, with the candidates of the caller behind our own.
pub fn workload(settings: &Settings, dir: &Path, others: &[Row]) -> Workload {
    let len = settings.bytes(64 << 20, 1 << 30);
    let job = Job {
        dir: dir.to_owned(),
        count: len / 8,
    };
    let rows = own().into_iter().chain(others.iter().copied());
    let isolated = |row: Row| {
        let job = job.clone();
        Isolated::of_job((row.name, row.note), None, move || job.clone(), row.run)
    };
    Workload {
        name: format!("collect_u64/{}", text_of_bytes(len)),
        title: TITLE,
        headline: HEADLINE,
        columns: vec![PEAK, CPU[0], CPU[1]],
        baselines: vec!["std_vec", "outcore_scan"],
        goals: Vec::new(),
        rounds: settings.rounds(5, 5),
        kind: Kind::Isolated(rows.map(isolated).collect()),
        expected: Deferred::new(move || job.expected()),
    }
}

const HEADLINE: Headline = Headline {
    metric: "time_per_item",
    unit: "ns an item",
    higher_is_better: false,
};

const TITLE: &str = "\
Numbers of 8 bytes pushed one by one, then all of them added up once from first to last.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_comes_to_the_expected_sum() {
        let job = Job {
            dir: PathBuf::new(),
            count: 100_000,
        };
        for row in own() {
            let sample = (row.run)(&job).unwrap();
            assert_eq!(sample.checksum, job.expected(), "{}", row.name);
        }
    }
}
