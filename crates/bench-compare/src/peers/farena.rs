//! farena, as its README uses it: items one behind the other in one file for each writer.
//!
//! A file of farena ends at 4 GiB: the last item has to start below that, so the full size of
//! 16,777,216 items of 256 bytes just fits into one.

use std::sync::{Mutex, PoisonError};

use farena::{FileArena, FileArenaWriter, Location};

use outcore_bench::prelude::*;
use outcore_bench::scenario::get::FARENA;
use outcore_bench::scenario::get_job::GetJob;
use outcore_bench::scenario::past::{self, PastJob};
use outcore_bench::scenario::store::{
    Items, Job, PUSH, PUSH_LIMITED, Part, STORE, Store, THREADS, on_threads, push_all, row, row_on,
};

/// The buffer that its README uses, and that of the raw loop.
const DEFAULT: usize = 0;
const MIB: usize = 1 << 20;

/// Returns farena with its default buffer, with a large one, and with two writers.
pub(super) fn stores() -> Vec<Row<Job>> {
    let note = "keys are kept in memory: 12 bytes an item; buffer of 8 KiB, as in its README; at most \
                4 GiB a file";
    let two = "a file for each writer, buffer of 8 KiB, as in its README";
    let everywhere = PUSH | PUSH_LIMITED | STORE | THREADS;
    vec![
        row::<OfFarena<DEFAULT>>("farena", note, everywhere),
        row::<OfFarena<MIB>>("farena_1MiB_buffer", "tuned by its public option", PUSH),
        row_on::<OfFarena<DEFAULT>>(2, "farena_2_writers", two),
    ]
}

struct OfFarena<const BUFFER: usize> {
    files: Vec<File>,
    arena: Option<FileArena>,
}

impl<const BUFFER: usize> Store for OfFarena<BUFFER> {
    type Key = Location;

    fn create(_job: &Job) -> Result<Self> {
        Ok(Self {
            files: Vec::new(),
            arena: None,
        })
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<Location>]) -> Result<()> {
        let files = Mutex::new(Vec::new());
        let filled = on_threads(parts, |part| {
            let writer = if BUFFER == DEFAULT {
                FileArenaWriter::new(part.number)?
            } else {
                FileArenaWriter::with_capacity(part.number, BUFFER)?
            };
            let push = |writer: &mut FileArenaWriter, item: &[u8]| Ok(writer.push(item)?);
            let file = push_all(part, items, writer, push, |writer| Ok(writer.finish()?))?;
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.push((part.number, file));
            Ok(())
        });
        let mut files = files.into_inner().unwrap_or_default();
        files.sort_by_key(|(number, _)| *number);
        self.files = files.into_iter().map(|(_, file)| file).collect();
        filled
    }

    fn seal(mut self) -> Result<Self> {
        self.arena = Some(FileArena::new(std::mem::take(&mut self.files))?);
        Ok(self)
    }

    fn get(&self, key: Location, buffer: &mut Vec<u8>) -> Result<()> {
        Ok(self
            .arena
            .as_ref()
            .context("not sealed")?
            .get_into(key, buffer)?)
    }
}

/// Returns farena with more data than memory, which its file has to have room for.
pub(super) fn past() -> Row<PastJob> {
    Row::new(
        "farena",
        "items of 256 bytes; at most 4 GiB",
        |job: &PastJob| {
            if job.len > 4 << 30 {
                return Err(skip("a file of farena ends at 4 GiB"));
            }
            past::items(
                job,
                || Ok(FileArenaWriter::new(0)?),
                |writer, item| Ok(writer.push(item)?),
                |writer| Ok(writer.into_arena()?),
                |arena, location, item| Ok(arena.get_into(location, item)?),
            )
        },
    )
}

/// Returns farena's reads into a buffer.
pub(super) fn getters(job: &GetJob) -> Result<Vec<Candidate<'static>>> {
    let mut writer = FileArenaWriter::new(0)?;
    let locations = job.fill(|item| writer.push(item))?;
    let arena = writer.into_arena()?;
    let read = move |location, buffer: &mut Vec<u8>| arena.get_into(location, buffer);
    Ok(vec![job.one_by_one(FARENA, locations.into(), read)])
}
