//! What one writes without a library: a buffered temporary file, and a file that is mapped
//! and doubled.
#![expect(
    unsafe_code,
    reason = "memmap2 cannot know that nobody shortens the file; we do"
)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use memmap2::MmapMut;

use outcore_bench::cache;
use outcore_bench::failure::{Context, Failure, Result};
use outcore_bench::scenario::raw;
use outcore_bench::scenario::store::{Items, Part, Row, Store};

/// Where the map begins.
const FIRST: u64 = 1 << 20;

pub(super) fn rows() -> Vec<Row> {
    let keys = "keys are kept in memory: 16 bytes an item";
    let sparse = "keys are kept in memory: 16 bytes an item; a full disk is a signal";
    vec![
        Row::bytes::<Buffered>("tempfile_bufwriter", keys),
        Row::bytes::<Mapped>("memmap2", sparse),
        Row::numbers::<MappedNumbers>("memmap2", "a full disk is a signal"),
    ]
}

/// Offset and length.
type Key = (u64, u32);

fn length(item: &[u8]) -> u32 {
    u32::try_from(item.len()).unwrap_or(u32::MAX)
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

struct Buffered {
    writer: Option<BufWriter<File>>,
    file: File,
}

impl Store for Buffered {
    type Key = Key;

    fn create(dir: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(dir)?;
        Ok(Self {
            writer: Some(BufWriter::new(file.try_clone()?)),
            file,
        })
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<Key>]) -> Result<()> {
        let writer = self.writer.as_mut();
        let writer = writer.ok_or_else(|| Failure::new("sealed"))?;
        let mut offset = 0;
        for part in parts {
            for number in part.range.clone() {
                let item = items.get(number);
                writer.write_all(item)?;
                part.put(number, (offset, length(item)));
                offset += item.len() as u64;
            }
        }
        Ok(())
    }

    fn seal(mut self) -> Result<Self> {
        if let Some(writer) = self.writer.take() {
            writer.into_inner().context("flush")?;
        }
        Ok(self)
    }

    fn salvage(mut self) -> Result<Self> {
        // What is in the buffer is lost; what is in the file is not.
        drop(self.writer.take().map(BufWriter::into_parts));
        Ok(self)
    }

    fn get(&self, (offset, len): Key, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.resize(len as usize, 0);
        Ok(self.file.read_exact_at(buffer, offset)?)
    }
}

/// A mapped file; doubled when it is full, and mapped again.
struct Growing {
    file: File,
    map: Option<MmapMut>,
    len: u64,
}

impl Growing {
    fn create(dir: &Path) -> Result<Self> {
        let file = raw::create(dir)?;
        file.set_len(FIRST)?;
        let map = Some(map_of(&file)?);
        Ok(Self { file, map, len: 0 })
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        let start = self.len;
        let end = start + bytes.len() as u64;
        if self.map.as_ref().is_none_or(|map| map.len() < index(end)) {
            self.grow(end)?;
        }
        let map = self.map.as_mut();
        let map = map.ok_or_else(|| Failure::new("not mapped"))?;
        map[index(start)..index(end)].copy_from_slice(bytes);
        self.len = end;
        Ok(start)
    }

    #[cold]
    fn grow(&mut self, wanted: u64) -> Result<()> {
        self.map = None;
        self.file.set_len(wanted.next_power_of_two().max(FIRST))?;
        self.map = Some(map_of(&self.file)?);
        Ok(())
    }

    fn bytes(&self) -> Result<&[u8]> {
        let map = self.map.as_ref();
        map.map(|map| &map[..])
            .ok_or_else(|| Failure::new("not mapped"))
    }
}

fn map_of(file: &File) -> Result<MmapMut> {
    // SAFETY: the file has no name, and its only owner never shortens it.
    unsafe { MmapMut::map_mut(file) }.context("map a file")
}

struct Mapped(Growing);

impl Store for Mapped {
    type Key = Key;

    fn create(dir: &Path) -> Result<Self> {
        Growing::create(dir).map(Self)
    }

    fn fill(&mut self, items: &Items, parts: &mut [Part<Key>]) -> Result<()> {
        for part in parts {
            for number in part.range.clone() {
                let item = items.get(number);
                let offset = self.0.append(item)?;
                part.put(number, (offset, length(item)));
            }
        }
        Ok(())
    }

    fn get(&self, key: Key, buffer: &mut Vec<u8>) -> Result<()> {
        self.see(key, &mut |bytes| buffer.extend_from_slice(bytes))
    }

    const SEES: bool = true;

    fn see(&self, (offset, len): Key, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        see(&self.0.bytes()?[index(offset)..][..len as usize]);
        Ok(())
    }

    fn make_cold(mut self, _dir: &Path) -> Result<Self> {
        self.0.map = None;
        cache::expect_cold(cache::drop_file(&self.0.file)?.cached)?;
        self.0.map = Some(map_of(&self.0.file)?);
        Ok(self)
    }
}

struct MappedNumbers(Growing);

impl Store for MappedNumbers {
    type Key = u64;

    fn create(dir: &Path) -> Result<Self> {
        Growing::create(dir).map(Self)
    }

    fn key_of(index: u64) -> Option<u64> {
        Some(index)
    }

    fn fill(&mut self, _items: &Items, parts: &mut [Part<u64>]) -> Result<()> {
        for part in parts {
            for number in part.range.clone() {
                self.0.append(&Items::number(number).to_le_bytes())?;
                part.put(number, number);
            }
        }
        Ok(())
    }

    fn get(&self, key: u64, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.extend_from_slice(&self.0.bytes()?[index(8 * key)..][..8]);
        Ok(())
    }
}
