//! What the standard library offers: a buffered writer on a temporary file.

use std::io::{BufWriter, Write};

use outcore_bench::failure::{Context, Result};
use outcore_bench::measure::Sample;
use outcore_bench::scenario::push::{PushJob, Pusher};
use outcore_bench::scenario::raw;
use outcore_bench::stage::Stage;

/// Returns the buffered writer.
pub(crate) fn pushers() -> Vec<Pusher> {
    vec![Pusher {
        name: "std_bufwriter",
        note: "buffer of 8 KiB, std's default; a location is an offset",
        limited_too: false,
        run: buffered,
    }]
}

fn buffered(job: &PushJob) -> Result<Sample> {
    let mut parts = job.parts::<u64>(1);
    let stage = Stage::start()?;
    let mut writer = BufWriter::new(tempfile::tempfile()?);
    let mut offset = 0;
    for part in &mut parts {
        job.push_all(part, |item| -> std::io::Result<u64> {
            writer.write_all(item)?;
            let location = offset;
            offset += item.len() as u64;
            Ok(location)
        })?;
    }
    let file = writer.into_inner().context("flush")?;
    let sample = stage.stop()?;
    let checksum = job.verify(&parts, |_, offset, buffer: &mut Vec<u8>| {
        buffer.resize(job.pool.item_len(), 0);
        raw::read_exact(&file, buffer, offset)
    })?;
    Ok(job.finish(sample, checksum, file))
}
