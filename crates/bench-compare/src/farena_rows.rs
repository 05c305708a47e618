//! farena, as its README uses it.
//!
//! A file of farena ends at 4 GiB: the last item has to start below that, so the full size
//! of 16,777,216 items of 256 bytes just fits into one.

use std::fs::File;
use std::io;
use std::sync::OnceLock;

use farena::{FileArena, FileArenaWriter, Location};

use outcore_bench::failure::Result;
use outcore_bench::measure::Sample;
use outcore_bench::scenario::get::{GetJob, Getter};
use outcore_bench::scenario::push::{self, PushJob, Pusher};
use outcore_bench::stage::Stage;

/// The row of pushes that outcore is compared with.
pub(crate) const PUSH: &str = "farena";

/// The row of reads that outcore is compared with.
pub(crate) const GET: &str = "farena_get_into";

/// The buffer of the tuned row: that of the raw loop.
const TUNED_BUFFER: usize = 1 << 20;

/// Returns farena with one writer, with a large buffer, and with two writers.
pub(crate) fn pushers() -> Vec<Pusher> {
    vec![
        Pusher {
            name: PUSH,
            note: "buffer of 8 KiB, as in its README; at most 4 GiB a file",
            limited_too: true,
            run: |job| one_arena(job, 1, FileArenaWriter::new),
        },
        Pusher {
            name: "farena_1MiB_buffer",
            note: "tuned by its public option",
            limited_too: false,
            run: |job| {
                one_arena(job, 1, |index| {
                    FileArenaWriter::with_capacity(index, TUNED_BUFFER)
                })
            },
        },
        Pusher {
            name: "farena_2_writers",
            note: "a file for each writer, buffer of 8 KiB, as in its README",
            limited_too: false,
            run: |job| one_arena(job, 2, FileArenaWriter::new),
        },
    ]
}

fn one_arena(
    job: &PushJob,
    writers: u16,
    writer: impl Fn(u16) -> io::Result<FileArenaWriter> + Sync,
) -> Result<Sample> {
    let mut parts = job.parts::<Location>(writers);
    let files: Vec<OnceLock<File>> = (0..writers).map(|_| OnceLock::new()).collect();
    let stage = Stage::start()?;
    push::on_threads(&mut parts, |part| {
        let mut writer = writer(part.number)?;
        job.push_all(part, |item| writer.push(item))?;
        // Each part is done once, so the place is empty.
        let kept = files[usize::from(part.number)].set(writer.finish()?);
        debug_assert!(kept.is_ok(), "a part was done twice");
        Ok(())
    })?;
    let files = files.into_iter().filter_map(OnceLock::into_inner);
    let arena = FileArena::new(files.collect())?;
    let sample = stage.stop()?;
    let checksum = job.verify(&parts, |_, location, buffer: &mut Vec<u8>| {
        arena.get_into(location, buffer)
    })?;
    Ok(job.finish(sample, checksum, arena))
}

/// Returns farena's reads into a buffer.
pub(crate) fn getters(job: &GetJob) -> Result<Vec<Getter>> {
    let mut writer = FileArenaWriter::new(0)?;
    let locations = job.fill(|item| writer.push(item))?;
    let arena = writer.into_arena()?;
    let read = GetJob::one_by_one(locations.into(), move |location, buffer| {
        arena.get_into(location, buffer)
    });
    Ok(vec![Getter::new(GET, read)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_row_comes_to_the_expected_checksum() {
        let job = PushJob::new(Path::new("."), 4 << 20, 1);
        for pusher in pushers().into_iter().chain(crate::std_rows::pushers()) {
            let sample = (pusher.run)(&job).unwrap();
            assert_eq!(sample.checksum, job.expected(), "{}", pusher.name);
        }
    }
}
