//! Files that last, whose content follows from a seed: written, and checked byte by byte.

use std::path::Path;

use outcore::sealed::{MemoryRanges, SealedFile};
use outcore::{Arena, DiskVec, Location, ScratchDir, SealedVec};

use crate::random::{item, size};

/// The kinds of sealed files: copies, and an arena whose own file gets the name.
pub(crate) const KINDS: [&str; 3] = ["vector", "arena", OWN_FILE];

pub(crate) const OWN_FILE: &str = "own-file";

/// What a sealed file should hold.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    kind: &'static str,
    seed: u64,
    /// The location of the first item of an arena.
    first: Option<Location>,
}

/// A vector or an arena with its content, which can be sealed.
pub(crate) struct Made {
    pub(crate) content: Content,
    data: Data,
}

enum Data {
    Vector(DiskVec<u64>),
    Arena(Arena),
    Own(Arena),
}

impl Made {
    /// Makes a content of this kind: in the directory of the environment, or in this one if its file is
    /// to get a name there.
    pub(crate) fn new(kind: &'static str, seed: u64, own: &ScratchDir) -> outcore::Result<Self> {
        let mut first = None;
        let data = if kind == "vector" {
            let mut vec = DiskVec::new();
            vec.try_extend(numbers(seed))?;
            Data::Vector(vec)
        } else {
            let is_own = kind == OWN_FILE;
            let arena = if is_own {
                Arena::sealable_in(own)?
            } else {
                Arena::new()?
            };
            let mut writer = arena.writer()?;
            for (n, len) in (0..).zip(lens(seed)) {
                let location = writer.push(item(seed + n, len))?;
                first.get_or_insert(location);
            }
            writer.finish()?;
            if is_own {
                Data::Own(arena)
            } else {
                Data::Arena(arena)
            }
        };
        let content = Content { kind, seed, first };
        Ok(Self { content, data })
    }

    pub(crate) fn seal(self, path: &Path, replaces: bool) -> outcore::Result<()> {
        match self.data {
            Data::Vector(vec) if replaces => vec.seal_replacing(path),
            Data::Vector(vec) => vec.seal(path),
            Data::Arena(arena) if replaces => arena.seal_replacing(path),
            Data::Arena(arena) => arena.seal(path),
            Data::Own(arena) if replaces => Ok(arena.into_sealed_replacing(path).map(drop)?),
            Data::Own(arena) => Ok(arena.into_sealed(path).map(drop)?),
        }
    }
}

impl Content {
    /// Returns one line that says all of it.
    pub(crate) fn line(&self) -> String {
        let first = self.first.unwrap_or_default().to_bytes();
        let mut line = format!("{} {} ", self.kind, self.seed);
        line.extend(first.iter().flat_map(|byte| {
            [byte >> 4, byte & 15].map(|half| char::from(b"0123456789abcdef"[usize::from(half)]))
        }));
        line
    }

    /// Reads such a line.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let kind = KINDS.into_iter().find(|known| *known == kind)?;
        let seed = words.next()?.parse().ok()?;
        let hex = words.next()?;
        let mut first = [0; 12];
        for (at, byte) in first.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(at * 2..at * 2 + 2)?, 16).ok()?;
        }
        let first = (kind != "vector").then(|| Location::from_bytes(first));
        Some(Self { kind, seed, first })
    }

    /// Opens and verifies the bytes of a file, and compares all of it.
    pub(crate) fn check(&self, bytes: Vec<u8>) -> Result<(), String> {
        let source = MemoryRanges::new(bytes);
        let read = self.read(&source);
        read.map_err(|why| format!("{}: {why}", self.line()))
    }

    fn read(&self, source: &MemoryRanges) -> Result<(), String> {
        let refused = |refused: outcore::Error| refused.to_string();
        let file = SealedFile::open_from(source.clone()).map_err(refused)?;
        file.verify(|_done| {}).map_err(refused)?;
        if self.kind == "vector" {
            let vec = SealedVec::<u64>::open_from(source.clone()).map_err(refused)?;
            let found = vec.read(..).map_err(refused)?;
            let is_right = found.iter().copied().eq(numbers(self.seed));
            return if is_right {
                Ok(())
            } else {
                Err("other numbers".to_owned())
            };
        }
        let arena = Arena::open_from(source.clone()).map_err(refused)?;
        let mut offset = 0;
        for (n, len) in (0..).zip(lens(self.seed)) {
            let location = moved(self.first.unwrap_or_default(), offset, len);
            let found = arena.get(location).map_err(refused)?;
            if found != item(self.seed + n, len) {
                return Err(format!("item {n} is another"));
            }
            offset += u32::try_from(len).unwrap();
        }
        Ok(())
    }
}

/// Returns the numbers of a vector.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    // One in 16 is longer than one write.
    let count = if seed % 16 == 0 {
        250_000
    } else {
        3000 + seed % 7 * 4000
    };
    (0..count).map(move |n| n.wrapping_mul(seed | 1))
}

/// Returns the lengths of the items of an arena: none is 0.
fn lens(seed: u64) -> impl Iterator<Item = usize> {
    let count = if seed % 16 == 0 {
        3000
    } else {
        100 + seed % 5 * 30
    };
    (0..count).map(move |n| 1 + size((seed * 7 + n * 131) % 900))
}

/// Returns the location of an item that follows in the file of an arena, by the documented layout.
fn moved(first: Location, offset: u32, len: usize) -> Location {
    let mut bytes = first.to_bytes();
    let lower = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) + offset;
    bytes[4..8].copy_from_slice(&lower.to_le_bytes());
    bytes[8..].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
    Location::from_bytes(bytes)
}
