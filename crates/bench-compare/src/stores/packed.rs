//! farena: items one behind the other in one file for each writer.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use farena::{FileArena, FileArenaWriter, Location};

use outcore_bench::failure::{Failure, Result};
use outcore_bench::scenario::store::{Items, Part, Row, Store, on_threads};

pub(super) fn rows() -> Vec<Row> {
    let note = "keys are kept in memory: 12 bytes an item; buffer of 8 KiB, as in its README";
    vec![Row::bytes::<OfFarena>(super::FARENA, note).threads()]
}

struct OfFarena {
    files: Vec<File>,
    arena: Option<FileArena>,
}

impl Store for OfFarena {
    type Key = Location;

    fn create(_dir: &Path) -> Result<Self> {
        Ok(Self {
            files: Vec::new(),
            arena: None,
        })
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<Location>]) -> Result<()> {
        let files = Mutex::new(Vec::new());
        let filled = on_threads(parts, |part| {
            let mut writer = FileArenaWriter::new(part.number)?;
            let mut failed = Ok(());
            for index in part.range.clone() {
                match writer.push(items.get(index)) {
                    Ok(location) => part.put(index, location),
                    Err(error) => {
                        failed = Err(Failure::from(error));
                        break;
                    }
                }
            }
            let file = writer.finish();
            let file = failed.and(file.map_err(Failure::from))?;
            let mut files = files.lock().map_err(|_panic| Failure::new("a panic"))?;
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
        let arena = self.arena.as_ref();
        let arena = arena.ok_or_else(|| Failure::new("not sealed"))?;
        Ok(arena.get_into(key, buffer)?)
    }
}
