//! The second pass: deferred chunks are read again, and what is kept of them is written.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use outcore::Arena;

use crate::cmd::dedup::deferred::{Deferred, Kept};
use crate::cmd::dedup::first_pass::Rest;
use crate::cmd::dedup::job::Job;
use crate::cmd::dedup::known::Place;
use crate::cmd::dedup::notes::{Notes, Parts};
use crate::cmd::dedup::writer::Writer;
use crate::failure::Result;
use crate::input::reader::Reader;
use crate::record::chunk::Chunk;
use crate::record::fate::Fate;
use crate::threads;
use crate::threads::turn::{Stop, Turn};

/// Writes what is kept of the deferred chunks.
///
/// # Errors
///
/// Whatever ends the run early; the input has changed, for instance.
pub(crate) fn run(
    job: &Job<'_>,
    rest: &Rest,
    spool: Option<&Arena>,
    parts: &mut Parts,
    notes_arena: &Arena,
) -> Result<()> {
    let kept = Kept {
        arena: &rest.arena,
        spool,
        separator: job.separator,
    };
    let out = Turn::default();
    let stop = Stop::default();
    for part in std::mem::take(&mut parts.list) {
        let Some(chunks) = rest.chunks.get(part.start..part.end) else {
            continue;
        };
        let notes = Notes::read(parts, &part, chunks, notes_arena, job)?;
        let next = AtomicUsize::new(0);
        let pass = Pass {
            job,
            kept,
            first: rest.first,
            start: part.start,
            chunks,
            notes: &notes,
            next: &next,
            out: &out,
            stop: &stop,
        };
        let give_up = || {
            stop.set();
            out.wake();
        };
        threads::run_or_stop(job.threads, give_up, || pass.work())?;
        // Mapped pages count as resident.
        rest.chunks.evict(part.start..part.end)?;
    }
    Ok(())
}

struct Pass<'a> {
    job: &'a Job<'a>,
    kept: Kept<'a>,
    /// The number of the first deferred chunk.
    first: u64,
    /// The number of the first chunk of the part, from there.
    start: usize,
    chunks: &'a [Deferred],
    notes: &'a Notes,
    next: &'a AtomicUsize,
    out: &'a Turn,
    stop: &'a Stop,
}

impl Pass<'_> {
    fn work(&self) -> Result<()> {
        let job = self.job;
        let mut chunk = Chunk::new(crate::record::source::buffer_len(job.cell_len));
        let mut reader = Reader::new(job.inputs, job.cell_len);
        let mut writer = Writer::new(job.outputs, job.separator);
        loop {
            let at = self.next.fetch_add(1, Relaxed);
            let Some(deferred) = self.chunks.get(at) else {
                return Ok(());
            };
            self.kept.restore(deferred, &mut chunk, &mut reader)?;
            let index = (self.start + at) as u64;
            let number = self.first + index;
            for (record, fate) in chunk.fates.iter_mut().enumerate() {
                if *fate == Fate::Pending {
                    *fate = match self.notes.count_of(Place::new(number, record)) {
                        0 => Fate::Drop,
                        _ => Fate::Keep,
                    };
                }
            }
            let read_bytes = chunk.read_bytes;
            let count = |record| self.notes.count_of(Place::new(number, record));
            let turn = (self.out, index, self.stop);
            writer.write(&mut chunk, &mut reader, turn, count)?;
            job.bar.inc(read_bytes);
        }
    }
}
