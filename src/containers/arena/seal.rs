//! Writing an arena to a file that lasts, and opening such a file.

use std::path::Path;

use crate::containers::arena::archive::{Archive, Run};
use crate::containers::arena::location::OFFSET_BITS;
use crate::containers::arena::shard::Shard;
use crate::containers::arena::{Arena, FILES_MAX};
use crate::error::Result;
use crate::exact::{difference, narrow, sum};
use crate::format::description::KIND_ARENA;
use crate::format::ranges::ReadRanges;
use crate::format::read::Sealed;
use crate::format::write::{Contents, Writer};
use crate::io::cache::pass::Pass;

/// The bytes of one read.
const PIECE_BYTES: u64 = 1 << 20;

impl Arena {
    /// Writes the items to a new file, which [`open`](Self::open) opens in any later process, by the
    /// same locations.
    ///
    /// The file has all items that are flushed when the call begins: flush or finish the writers
    /// before. It appears under its name when all of it is on the device, or not at all: also if the
    /// process is killed or the power fails. If something has the name already, it is left alone;
    /// [`seal_replacing`](Self::seal_replacing) replaces it. The arena stays as it is, and more can be
    /// pushed to it.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{Arena, ScratchDir};
    ///
    /// # let name = format!("arena-example-{}", std::process::id());
    /// # let path = ScratchDir::from_env()?.path().join(name);
    /// let arena = Arena::new()?;
    /// let mut writer = arena.writer()?;
    /// let hello = writer.push("hello")?;
    /// writer.finish()?;
    /// arena.seal(&path)?;
    ///
    /// // Any later process that has the location.
    /// let arena = Arena::open(&path)?;
    /// assert_eq!(arena.get(hello)?, b"hello");
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The arena is unchanged, and what is at the path is as it was.
    ///
    /// * [`Io`](crate::ErrorKind::Io) with [`AlreadyExists`](std::io::ErrorKind::AlreadyExists):
    ///   something has the name.
    /// * [`StorageFull`](crate::ErrorKind::StorageFull),
    ///   [`FileTooLarge`](crate::ErrorKind::FileTooLarge), [`Io`](crate::ErrorKind::Io): as of
    ///   [`AtomicFile`](crate::AtomicFile). Where only the last sync fails, that of the directory, the
    ///   file is there, and only a power cut can undo that.
    /// * [`OutOfMemory`](crate::ErrorKind::OutOfMemory): there is no memory for the checksums.
    ///
    /// # Cost
    ///
    /// One sequential copy of the items, with a checksum of each 16 KiB, and two `fsync`. 8 bytes of
    /// memory for each 16 KiB, and 2 MiB. [`into_sealed`](Self::into_sealed) can do without the copy.
    pub fn seal(&self, path: impl AsRef<Path>) -> Result<()> {
        self.seal_at(path.as_ref(), false)
    }

    /// Does the same as [`seal`](Self::seal), and replaces the file that has the name, if there is
    /// one. At every moment the name leads to the old file or to the new one.
    ///
    /// # Errors
    ///
    /// Those of [`seal`](Self::seal), except that a file may have the name.
    pub fn seal_replacing(&self, path: impl AsRef<Path>) -> Result<()> {
        self.seal_at(path.as_ref(), true)
    }

    /// Opens a file that [`seal`](Self::seal) has written.
    ///
    /// The locations are those of the arena that was sealed. All ways to read copies of items work,
    /// and a block of the file is verified before its first byte is returned, once: a byte that
    /// changed on the device is an error that names the block, and never a wrong item. Any number of
    /// processes and threads can read the file at a time.
    ///
    /// A sealed file never changes: [`writer`](Self::writer) returns an error. So does
    /// [`map`](Self::map), since other programs could change the file under the borrowed bytes.
    ///
    /// # Locations of other arenas
    ///
    /// A location has 16 bits that name its arena, and the file keeps them. Arenas that are made in
    /// this process while the file is open get others, so their locations are recognized. A location
    /// of any other arena is taken for one of this file in one of 65,535 cases, and then leads to
    /// other bytes of it, or to an error.
    ///
    /// # Errors
    ///
    /// * [`WrongType`](crate::ErrorKind::WrongType): the file holds something else than an arena.
    /// * [`Corrupt`](crate::ErrorKind::Corrupt): it is no sealed file, a part of one, or damaged so
    ///   that it cannot be read.
    /// * [`UnknownVersion`](crate::ErrorKind::UnknownVersion): a later version of this library wrote
    ///   it.
    /// * [`Io`](crate::ErrorKind::Io): it cannot be opened or read.
    /// * [`OutOfMemory`](crate::ErrorKind::OutOfMemory): there is no memory for the state of its
    ///   blocks.
    ///
    /// # Cost
    ///
    /// Six system calls, three of which read 68 KiB at most; more if the writers left many gaps. For each
    /// block of 16 KiB a bit of memory, and 8 bytes once its part of the table was read; 24 bytes for
    /// each gap.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::of(Sealed::open(path.as_ref())?)
    }

    /// Opens a file that comes from somewhere else, such as an object store.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and those of the source.
    pub fn open_from(source: impl ReadRanges + 'static) -> Result<Self> {
        Self::of(Sealed::open_from(Box::new(source))?)
    }

    fn of(sealed: Sealed) -> Result<Self> {
        Ok(Self::in_file(Archive::of(sealed)?))
    }

    pub(super) fn seal_at(&self, path: &Path, replaces: bool) -> Result<()> {
        let mut writer = Writer::create(path, replaces)?;
        let mut runs = Vec::new();
        if let Some(archive) = self.inner.archive() {
            runs.extend(archive.runs());
            archive.each_piece(|piece| writer.push(piece))?;
        } else {
            // All of them first, so that the file shows one moment.
            let shards: Vec<_> = (0..FILES_MAX as u64).zip(self.inner.shards()).collect();
            let mut found = Vec::new();
            for (number, shard) in shards {
                found.extend(shard.final_bytes().map(|bytes| (number, shard, bytes)));
            }
            for (number, shard, bytes) in found {
                runs.push(Run {
                    position: number << OFFSET_BITS | bytes.start,
                    len: difference(bytes.end, bytes.start),
                });
                copy(shard, bytes, &mut writer)?;
            }
        }
        let item_bytes = runs.iter().map(|run| run.len).sum::<u64>();
        let zeros = difference(item_bytes.next_multiple_of(8), item_bytes);
        writer.push(&[0; 8][..narrow(zeros)])?;
        for run in &runs {
            writer.push(&run.encode())?;
        }
        let tag = self.inner.tag.get();
        writer.finish(contents(tag, item_bytes, runs.len() as u64))
    }
}

/// Returns what is to be said of an arena in its file.
pub(super) fn contents(tag: u16, item_bytes: u64, runs: u64) -> Contents {
    Contents {
        kind: KIND_ARENA,
        elements: item_bytes,
        element_bytes: 1,
        element_align: 1,
        details: [tag.into(), runs, 0, 0],
        type_name: "u8".to_owned(),
        arrow: None,
    }
}

/// Copies final bytes of a file.
fn copy(shard: &Shard, bytes: std::ops::Range<u64>, writer: &mut Writer) -> Result<()> {
    let mut pass = Pass::default();
    pass.start_cold(&shard.file, bytes.start, bytes.end);
    let mut piece = Vec::new();
    let mut at = bytes.start;
    while at < bytes.end {
        let len = difference(bytes.end, at).min(PIECE_BYTES);
        piece.clear();
        let read = shard.file.read_to_end_of(&mut piece, narrow(len), at);
        read.map_err(|refused| shard.file.error(refused))?;
        writer.push(&piece)?;
        at = sum(at, len);
        pass.reach(&shard.file, at, bytes.end);
    }
    Ok(())
}

#[cfg(not(any(miri, memory_backend, loom, shuttle)))]
#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::{fs, process};

    use super::*;
    use crate::containers::arena::Location;
    use crate::io::dir::ScratchDir;
    use crate::sys::fault::{Fault, Outcome, arm, disarm};

    const EIO: i32 = 5;
    const ENOSPC: i32 = 28;

    /// Reads all items, of which some are long, and compares them.
    fn check(path: &Path, items: &[(Location, Vec<u8>)]) -> Result<()> {
        let found = Arena::open(path)?;
        for (location, bytes) in items {
            compare(bytes, &found.get(*location)?);
        }
        let locations: Vec<_> = items.iter().map(|(location, _bytes)| *location).collect();
        found.get_many(&locations, |index, bytes| compare(&items[index].1, bytes))
    }

    fn compare(expected: &[u8], found: &[u8]) {
        let lens = (expected.len(), found.len());
        assert!(expected == found, "an item differs; lengths {lens:?}");
    }

    #[test]
    fn whatever_call_fails_the_name_leads_to_a_whole_arena_or_to_none() {
        let dir = ScratchDir::new(env!("CARGO_MANIFEST_DIR")).unwrap();
        let arena = Arena::new_in(&dir).unwrap();
        let mut items = Vec::new();
        for part in 0..2 {
            let mut writer = arena.writer().unwrap();
            for len in [10, 3000, 100_000, 1_500_000] {
                let bytes = vec![part + 1; len];
                items.push((writer.push(&bytes).unwrap(), bytes));
            }
            writer.finish().unwrap();
        }
        let name = format!("target/outcore-arena-seal-{}", process::id());
        let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        // Where process numbers are small, as under Wine, one that was killed had the same.
        drop(fs::remove_file(&path));
        let mut met_all = 0;
        for outcome in [
            Outcome::Errno(EIO),
            Outcome::Errno(ENOSPC),
            Outcome::Short,
            Outcome::Zero,
        ] {
            for after in 0.. {
                arm(Fault {
                    after,
                    sticky: false,
                    outcome,
                });
                let done = arena.seal(&path).and_then(|()| check(&path, &items));
                let (_calls, met) = disarm();
                if let Err(refused) = done {
                    assert!(refused.path().is_some() && met > 0, "{refused}");
                }
                if path.exists() {
                    check(&path, &items).unwrap();
                    Sealed::open(&path)
                        .unwrap()
                        .verify(&mut |_done| {})
                        .unwrap();
                    fs::remove_file(&path).unwrap();
                }
                if met == 0 {
                    break;
                }
                met_all += met;
            }
        }
        assert!(met_all > 60, "{met_all}");
    }
}
