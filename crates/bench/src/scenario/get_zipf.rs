//! Reads of items of which few are popular, with less memory than items: what the page cache keeps
//! by itself.

use std::path::Path;
use std::rc::Rc;

use outcore::{Advice, Arena};

use crate::failure::Result;
use crate::pool;
use crate::scenario::get::measured;
use crate::scenario::get_job::{GetJob, Getter, Prepare, Shape, Way};
use crate::scenario::raw;
use crate::scenario::shared_file::OpenFiles;
use crate::settings::{Settings, limit_for, text_of_bytes};
use crate::workload::{Deferred, Kind, PEAK, Shared, TIME_PER_READ, Workload};

/// Returns the workloads, one for each read-ahead, with the candidates of the caller behind ours.
pub fn workloads(settings: &Settings, dir: &Path, others: &[Prepare]) -> Vec<Workload> {
    let len = settings.bytes(256 << 20, 4 << 30);
    let reads = if settings.full { 50_000 } else { 5_000 };
    let shape = Shape {
        len,
        reads,
        seed: settings.seed,
        way: Way::Zipf,
        warm: false,
    };
    let all = [128, 8192].map(|kb| workload(settings, dir, shape, kb, others));
    all.into()
}

fn workload(
    settings: &Settings,
    dir: &Path,
    shape: Shape,
    read_ahead_kb: u32,
    others: &[Prepare],
) -> Workload {
    let limit = limit_for(shape.len);
    let job = {
        let dir = dir.to_owned();
        move || GetJob::new(&dir, shape)
    };
    let expected = Deferred::new({
        let job = job.clone();
        move || job().expected()
    });
    let others = others.to_vec();
    let (len, limited) = (text_of_bytes(shape.len), text_of_bytes(limit));
    Workload {
        name: format!("zipf_512/{len}/limit_{limited}/cold/read_ahead_{read_ahead_kb}"),
        title: TITLE,
        headline: TIME_PER_READ,
        columns: vec![PEAK],
        baselines: vec![RAW],
        goals: Vec::new(),
        rounds: settings.rounds(3, 5),
        expected,
        kind: Kind::Shared(Shared {
            memory_limit: Some(limit),
            read_ahead_kb: Some(read_ahead_kb),
            prepare: Deferred::new(move || {
                let job = job();
                let mut getters = getters(&job)?;
                for prepare in &others {
                    getters.extend(prepare(&job)?);
                }
                let getters = getters.into_iter();
                Ok(getters.map(|getter| measured(&job, getter)).collect())
            }),
        }),
    }
}

/// The raw loop over the file of the arena.
const RAW: &str = "raw_pread";

fn getters(job: &GetJob) -> Result<Vec<Getter>> {
    let before = OpenFiles::now()?;
    let arena = Arena::new()?;
    let mut writer = arena.writer()?;
    let locations: Rc<[_]> = job.fill(|item| writer.push(item))?.into();
    writer.finish()?;
    let mut getters = Vec::new();
    if let Some(file) = before.find(job.len(), |file| job.is_stream(file))? {
        let offsets = crate::scenario::get::raw_offsets(job);
        let mut buffer = vec![0; job.pool.item_len()];
        getters.push(Getter::new(RAW, move || {
            let mut sum = 0u64;
            for offset in &offsets {
                raw::read_exact(&file, &mut buffer, *offset)?;
                sum = sum.wrapping_add(pool::sum_words(&buffer));
            }
            Ok(sum)
        }));
    }
    let single = {
        let arena = arena.clone();
        GetJob::one_by_one(Rc::clone(&locations), move |location, buffer| {
            arena.get_into(location, buffer)
        })
    };
    getters.push(Getter::new("outcore_get_into", single));
    // Mapped in each run anew: what is mapped could not be dropped before the next one.
    let mut mapped = Getter::new("outcore_map_get", move || {
        let map = arena.map()?;
        map.advise(Advice::Random)?;
        let mut sum = 0u64;
        for location in &*locations {
            sum = sum.wrapping_add(pool::sum_words(map.get(*location)?));
        }
        Ok(sum)
    });
    mapped.note = "Advice::Random; mapped within the clock";
    getters.push(mapped);
    Ok(getters)
}

const TITLE: &str = "\
Items of 512 bytes read one by one from an arena larger than its memory group; which of them\n\
follows Zipf's law with an exponent of 0.99. The cache is empty at the start, the read-ahead of\n\
the device as the name says.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_to_the_expected_sum() {
        let shape = Shape {
            len: 4 << 20,
            reads: 3000,
            seed: 1,
            way: Way::Zipf,
            warm: false,
        };
        let job = GetJob::new(Path::new(env!("CARGO_MANIFEST_DIR")), shape);
        for mut getter in getters(&job).unwrap() {
            assert_eq!((getter.read)(), Ok(job.expected()), "{}", getter.name);
        }
    }
}
