//! Reads values twice that are made once: first for their mean, then for those far above it. More
//! values than fit into memory, made by several threads.
//!
//! `cargo run --release --features serde --example two_passes -- 10000000`

use std::thread;

use outcore::{MemoryBudget, Spool};

/// A page, the seconds that somebody stayed there, and the text of a search that led there.
type Visit = (u32, f64, Option<String>);

/// Stands for a log that is read and taken apart, which takes longer than to read the values again.
fn visit(number: u64) -> Visit {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    let page = u32::try_from(mixed % 100).unwrap_or(0);
    let search = (mixed % 3 == 0).then(|| format!("term {page}"));
    (page, f64::from(page).powi(2), search)
}

/// Runs the example.
#[expect(clippy::print_stdout, reason = "it is what the example is for")]
pub(crate) fn main() -> outcore::Result<()> {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let count = count.unwrap_or(50_000_u64);
    let budget = MemoryBudget::new(1 << 20);
    let visits: Spool<Visit> = Spool::new(&budget);
    thread::scope(|scope| {
        let threads = [0..count / 2, count / 2..count].map(|part| {
            let mut writer = visits.writer();
            scope.spawn(move || -> outcore::Result<()> {
                writer.try_extend(part.map(visit))?;
                writer.finish();
                Ok(())
            })
        });
        let ended = threads.into_iter().map(|thread| match thread.join() {
            Ok(ended) => ended,
            Err(panicked) => std::panic::resume_unwind(panicked),
        });
        ended.collect::<outcore::Result<()>>()
    })?;

    let (mut sum, mut read) = (0.0, 0.0);
    for visit in visits.iter()? {
        let (_, seconds, _) = visit?;
        sum += seconds;
        read += 1.0;
    }
    let mean = sum / read;
    let mut long = 0.0;
    for visit in visits.iter()? {
        let (_, seconds, search) = visit?;
        if seconds > 2.0 * mean && search.is_some() {
            long += 1.0;
        }
    }
    println!(
        "{} visits, {mean:.1} s on average; {long} after a search lasted more than twice as long",
        visits.len()
    );
    println!(
        "{} bytes of memory, {} bytes of disk",
        budget.peak_bytes(),
        visits.disk_bytes()
    );
    Ok(())
}
