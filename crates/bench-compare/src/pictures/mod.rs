//! Pictures of a record. Each is drawn from the record alone, and left out where the record
//! lacks its workload.

mod bars;
mod canvas;
mod depth;
mod lines;
mod read;
mod style;

use outcore_bench::failure::Result;
use outcore_bench::page::Picture;
use outcore_bench::record::Record;

/// Draws all pictures that a record has the numbers for.
pub(crate) fn of(record: &Record) -> Result<Vec<Picture>> {
    let drawn = [
        lines::throughput(record)?,
        lines::past_limit(record)?,
        lines::latency(record)?,
        lines::resident(record)?,
        bars::device_bytes(record)?,
        depth::by_depth(record)?,
    ];
    Ok(drawn.into_iter().flatten().collect())
}
