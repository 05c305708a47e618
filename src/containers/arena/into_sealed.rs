//! Turning an arena into a sealed file: its own file gets a name where that is possible, and is copied
//! otherwise.

use std::fmt;
use std::io;
use std::iter;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::bug::bug;
use crate::containers::arena::archive::{Archive, Run};
use crate::containers::arena::seal::contents;
use crate::containers::arena::shard::Shard;
use crate::containers::arena::tag::Tag;
use crate::containers::arena::{Arena, Home, Inner};
use crate::error::{Error, Result};
use crate::exact::{difference, narrow};
use crate::format::DATA_START;
use crate::format::read::Sealed;
use crate::format::write::{enclose, no_memory};
use crate::io::atomic_file::given::{Destination, Named};
use crate::io::dir::ScratchDir;
use crate::io::file::OwnedFile;
use crate::sys;

impl Arena {
    /// Creates an empty arena that is going to be [sealed](Self::into_sealed) into a file on the file
    /// system of `dir`.
    ///
    /// Its writers make the checksums of the file as they write, and it has space for what goes around
    /// the items. So one that was filled by one writer at a time becomes a sealed file without being
    /// read or copied. Apart from that it is like any other.
    ///
    /// # Errors
    ///
    /// Those of [`new_in`](Self::new_in).
    ///
    /// # Cost
    ///
    /// As of [`new_in`](Self::new_in). Each push costs the checksum of its bytes, 8 bytes of memory for
    /// each 16 KiB are kept, and the file is 4 KiB longer.
    pub fn sealable_in(dir: &ScratchDir) -> Result<Self> {
        let mut arena = Self::new_in(dir)?;
        if let Some(inner) = Arc::get_mut(&mut arena.inner) {
            inner.is_sealable = true;
        }
        Ok(arena)
    }

    /// Turns the arena into a file, and returns the arena in that file, as [`open`](Self::open) does.
    ///
    /// The file is one of [`seal`](Self::seal), and has all items that are flushed. An arena of
    /// [`sealable_in`](Self::sealable_in) becomes it as it is, if
    ///
    /// * one writer at a time filled it, and none lost bytes that it could not flush,
    /// * this is its only handle: no clone, writer, map or stream is left,
    /// * its directory and `path` are on one file system, on Linux, and that has files without names
    ///   (`O_TMPFILE`).
    ///
    /// Everything else is copied as [`seal`](Self::seal) does, and the result is the same. If something
    /// has the name already, it is left alone; [`into_sealed_replacing`](Self::into_sealed_replacing)
    /// replaces it.
    ///
    /// # Examples
    ///
    /// ```
    /// use outcore::{Arena, ScratchDir};
    ///
    /// # let name = format!("into-sealed-example-{}", std::process::id());
    /// # let path = ScratchDir::from_env()?.path().join(name);
    /// let dir = ScratchDir::new(path.parent().unwrap())?;
    /// let arena = Arena::sealable_in(&dir)?;
    /// let mut writer = arena.writer()?;
    /// let hello = writer.push("hello")?;
    /// writer.finish()?;
    ///
    /// let sealed = arena.into_sealed(&path)?;
    /// assert_eq!(sealed.get(hello)?, b"hello");
    /// assert_eq!(Arena::open(&path)?.get(hello)?, b"hello");
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), outcore::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`seal`](Self::seal). What is at the path is as it was, and the error has the arena as
    /// it was, except where giving the name or the last sync failed: then it has the arena in the file,
    /// which may have the name. Where a copy was made and cannot be opened, both are there.
    ///
    /// # Cost
    ///
    /// One `fsync` of what was written, one of the directory, and a write of 8 bytes for each 16 KiB;
    /// otherwise that of [`seal`](Self::seal). The space on disk counts no longer against the quota of
    /// the directory.
    pub fn into_sealed(self, path: impl AsRef<Path>) -> Result<Self, IntoSealedError> {
        self.turn_into(path.as_ref(), false)
    }

    /// Does the same as [`into_sealed`](Self::into_sealed), and replaces the file that has the name, if
    /// there is one. At every moment the name leads to the old file or to the new one.
    ///
    /// # Errors
    ///
    /// Those of [`into_sealed`](Self::into_sealed), except that a file may have the name.
    pub fn into_sealed_replacing(self, path: impl AsRef<Path>) -> Result<Self, IntoSealedError> {
        self.turn_into(path.as_ref(), true)
    }

    fn turn_into(mut self, path: &Path, replaces: bool) -> Result<Self, IntoSealedError> {
        match self.name_own_file(path, replaces) {
            Ok(true) => return Ok(self),
            Ok(false) => {}
            Err(error) => return Err(IntoSealedError { error, arena: self }),
        }
        let copied = self.seal_at(path, replaces);
        let opened = copied.and_then(|()| Self::open(path));
        opened.map_err(|error| IntoSealedError { error, arena: self })
    }

    /// Makes a sealed file of the arena's own file, and gives it the name; then this is the arena in that
    /// file. Returns whether that can be done, and was.
    fn name_own_file(&mut self, path: &Path, replaces: bool) -> Result<bool> {
        let Some(mut own) = OwnFile::of(self) else {
            return Ok(false);
        };
        let to = Destination::new(path, replaces)?;
        if !to.suits(&own.shard.file)? {
            return Ok(false);
        }
        let complete = match own.complete(to.path()) {
            Ok(complete) => complete,
            Err(refused) => {
                own.shard.reopen();
                return Err(refused);
            }
        };
        let named = to.name(&own.shard.file);
        let synced = match named {
            Named::Never | Named::Refused(_) => {
                own.shard.reopen();
                return match named {
                    Named::Refused(refused) => Err(refused),
                    _ => Ok(false),
                };
            }
            Named::Done => to.sync_name(&own.shard.file),
            Named::Failed(refused) => Err(refused),
        };
        // Other programs can find the file, or could: it must not be mapped or written to any more.
        *self = complete;
        synced.map(|()| true)
    }

    /// Returns the arena in a file.
    pub(super) fn in_file(archive: Archive) -> Self {
        let tag = Tag::kept(archive.tag());
        let home = Home::Sealed(Box::new(archive));
        Self {
            inner: Arc::new(Inner::new(tag, home, 1, 0)),
        }
    }
}

/// The only file of an arena that nothing else uses, and that has all bytes in one run.
struct OwnFile<'arena> {
    shard: &'arena mut Shard,
    tag: u16,
}

impl<'arena> OwnFile<'arena> {
    fn of(arena: &'arena mut Arena) -> Option<Self> {
        let inner = Arc::get_mut(&mut arena.inner)?;
        let is_one = inner.shards().count() == 1 && inner.owner == sys::process();
        let tag = inner.tag.get();
        let shard = inner.shards.first_mut().and_then(OnceLock::get_mut)?;
        let shard = Arc::get_mut(shard).filter(|_shard| is_one)?;
        let end = DATA_START.saturating_add(shard.appended.as_mut()?.sums()?.bytes());
        let is_all = shard.final_bytes().eq(iter::once(DATA_START..end));
        is_all.then_some(Self { shard, tag })
    }

    /// Writes what is around the items, cuts the file off behind it, and waits for the device. Returns
    /// the arena in the file, which has no name yet. After an error, the file has to be reopened for
    /// writers.
    fn complete(&mut self, path: &Path) -> Result<Arena> {
        let sums = self.shard.appended.as_mut().and_then(|all| all.sums());
        let Some(sums) = sums else {
            bug!("the checksums were there");
        };
        let file: &OwnedFile = &self.shard.file;
        let mut write = |bytes: &[u8], offset: u64| {
            let written = file.write_all_at(bytes, offset);
            written.map_err(|refused| refused.of_file("write", path))
        };
        let mark = sums.mark();
        let run = Run {
            // In the first file.
            position: DATA_START,
            len: sums.bytes(),
        };
        let mut behind = vec![0; missing_to(8, run.len)];
        behind.extend(run.encode());
        let end = DATA_START.saturating_add(run.len);
        let mut enclosed = write(&behind, end);
        if enclosed.is_ok() && sums.push(&behind).is_err() {
            enclosed = Err(no_memory(path));
        }
        let contents = contents(self.tag, run.len, 1);
        let enclosed = enclosed.and_then(|()| enclose(sums, contents, path, &mut write));
        sums.reset(mark);
        let len = enclosed?;
        self.shard.cut_off(len)?;
        let file: &OwnedFile = &self.shard.file;
        let synced = file.sync_all();
        synced.map_err(|refused| refused.of_file("sync", path))?;
        let shared = sys::retry(|| file.sys().share());
        let shared = shared.map_err(|answer| Error::io("open", answer).at(path))?;
        let sealed = Sealed::of_file(OwnedFile::new(shared.shared()), path, len)?;
        Ok(Arena::in_file(Archive::of(sealed)?))
    }
}

/// Returns how many bytes are missing to a multiple of `unit`.
fn missing_to(unit: u64, len: u64) -> usize {
    narrow(difference(len.next_multiple_of(unit), len))
}

/// The error of [`Arena::into_sealed`]: the cause, and the arena.
#[derive(Debug)]
pub struct IntoSealedError {
    error: Error,
    arena: Arena,
}

impl IntoSealedError {
    /// Returns the cause.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the arena, so that no item is lost: as it was, or the one in the file.
    pub fn into_arena(self) -> Arena {
        self.arena
    }
}

impl fmt::Display for IntoSealedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for IntoSealedError {}

impl From<IntoSealedError> for Error {
    fn from(failed: IntoSealedError) -> Self {
        failed.error
    }
}

impl From<IntoSealedError> for io::Error {
    fn from(failed: IntoSealedError) -> Self {
        failed.error.into()
    }
}

#[cfg(not(any(miri, memory_backend, loom, shuttle)))]
#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::{fs, process};

    use super::*;
    use crate::containers::arena::Location;
    use crate::sys::fault::{Fault, Outcome, arm, disarm};

    const EIO: i32 = 5;
    const EXDEV: i32 = 18;
    const ENOSPC: i32 = 28;

    type Items = Vec<(Location, Vec<u8>)>;

    fn dir() -> ScratchDir {
        ScratchDir::new(env!("CARGO_MANIFEST_DIR")).unwrap()
    }

    fn new_path(name: &str) -> PathBuf {
        let name = format!("target/outcore-into-sealed-{name}-{}", process::id());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        drop(fs::remove_file(&path));
        path
    }

    /// Pushes items of many lengths, with flushes at odd places.
    fn fill(arena: &Arena, seed: u8) -> Items {
        let mut writer = arena.writer().unwrap();
        let mut items = Vec::new();
        for (n, len) in (0..).zip([10, 0, 3000, 300_000, 77, 16 << 10, 1_000_000]) {
            let bytes = vec![seed.wrapping_add(n); len];
            items.push((writer.push(&bytes).unwrap(), bytes));
            if n % 2 == 0 {
                writer.flush().unwrap();
            }
        }
        writer.finish().unwrap();
        items
    }

    fn check(arena: &Arena, items: &Items) {
        for (number, (location, bytes)) in items.iter().enumerate() {
            let found = arena.get(*location).unwrap();
            assert!(found == *bytes, "item {number} of {} bytes", bytes.len());
        }
    }

    fn check_file(path: &Path, items: &Items) {
        let sealed = Sealed::open(path).unwrap();
        sealed.verify(&mut |_done| {}).unwrap();
        check(&Arena::open(path).unwrap(), items);
    }

    fn number_of_file(arena: &Arena) -> u64 {
        let shard = arena.inner.shards().next().unwrap();
        shard.file.sys().identity().unwrap().1
    }

    fn number_of_name(path: &Path) -> u64 {
        let named = fs::OpenOptions::new().read(true).open(path).unwrap();
        sys::File::from_std(named).identity().unwrap().1
    }

    #[test]
    fn the_file_of_the_arena_is_the_one_that_gets_the_name() {
        let dir = dir();
        let arena = Arena::sealable_in(&dir).unwrap();
        let mut items = fill(&arena, 1);
        // A writer after the first one.
        items.extend(fill(&arena, 50));
        let (path, copy) = (new_path("own"), new_path("copied"));
        arena.seal(&copy).unwrap();
        let number = number_of_file(&arena);
        let sealed = arena.into_sealed(&path).unwrap();
        assert_eq!(number_of_name(&path), number);
        assert_eq!(dir.used_bytes(), 0, "it is no scratch file any more");
        check(&sealed, &items);
        assert!(sealed.writer().is_err());
        check_file(&path, &items);
        // Apart from the id it is the file that a copy would be.
        let [mut own, copied] =
            [&path, &copy].map(|path| Sealed::open(path).unwrap().description().clone());
        assert_eq!(own.file_bytes(), fs::metadata(&copy).unwrap().len());
        own.id = copied.id;
        assert_eq!(
            (own.elements, own.data_bytes, own.details, own.kind),
            (
                copied.elements,
                copied.data_bytes,
                copied.details,
                copied.kind
            )
        );
        let bytes = [&path, &copy].map(|path| fs::read(path).unwrap());
        let data = 4096..4096 + usize::try_from(own.covered_bytes()).unwrap();
        assert!(bytes[0][data.clone()] == bytes[1][data]);
        for path in [path, copy] {
            fs::remove_file(path).unwrap();
        }
    }

    /// Seals an arena of which this makes a copy necessary.
    fn copied(name: &str, make: impl FnOnce(&Arena) -> Option<Box<dyn std::any::Any>>) {
        let arena = Arena::sealable_in(&dir()).unwrap();
        let items = fill(&arena, 3);
        let kept = make(&arena);
        let number = number_of_file(&arena);
        let path = new_path(name);
        let sealed = arena.into_sealed(&path).unwrap();
        assert_ne!(number_of_name(&path), number, "{name}");
        check(&sealed, &items);
        check_file(&path, &items);
        drop(kept);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_cannot_get_the_name_is_copied() {
        copied("clone", |arena| Some(Box::new(arena.clone())));
        copied("writer", |arena| Some(Box::new(arena.writer().unwrap())));
        copied("out-of-order", |arena| {
            let writers = [(); 2].map(|()| arena.writer().unwrap());
            // In one file: the second one gets an extent behind that of the first.
            for mut writer in writers {
                writer.push("some").unwrap();
                writer.finish().unwrap();
            }
            None
        });
        let plain = Arena::new_in(&dir()).unwrap();
        let items = fill(&plain, 4);
        let path = new_path("plain");
        check(&plain.into_sealed(&path).unwrap(), &items);
        check_file(&path, &items);
        fs::remove_file(path).unwrap();
        // Without an item there is nothing to get a name.
        let empty = Arena::sealable_in(&dir()).unwrap();
        drop(empty.writer().unwrap());
        let path = new_path("empty");
        assert_eq!(empty.into_sealed(&path).unwrap().len_bytes(), 0);
        check_file(&path, &Vec::new());
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn where_the_system_gives_no_name_there_is_a_copy() {
        let arena = Arena::sealable_in(&dir()).unwrap();
        let mut items = fill(&arena, 9);
        let path = new_path("refused-link");
        let calls = calls_of(|| drop(Destination::new(&path, false).unwrap()));
        // Not the first call that comes into question, but the one that gives the name.
        let mut was_copied = false;
        let mut arena = Some(arena);
        for after in calls..calls + 40 {
            let number = number_of_file(arena.as_ref().unwrap());
            arm(Fault {
                after,
                sticky: false,
                outcome: Outcome::Errno(EXDEV),
            });
            let sealed = arena.take().unwrap().into_sealed(&path);
            disarm();
            match sealed {
                Ok(sealed) => {
                    was_copied |= number_of_name(&path) != number;
                    check(&sealed, &items);
                }
                Err(refused) => check(&refused.into_arena(), &items),
            }
            drop(fs::remove_file(&path));
            let next = Arena::sealable_in(&dir()).unwrap();
            items = fill(&next, 9);
            arena = Some(next);
        }
        assert!(was_copied);
    }

    fn calls_of(work: impl FnOnce()) -> usize {
        arm(Fault {
            after: usize::MAX,
            sticky: false,
            outcome: Outcome::Errno(EIO),
        });
        work();
        disarm().0
    }

    #[test]
    fn whatever_call_fails_nothing_is_lost_and_the_arena_can_be_used() {
        let dir = dir();
        let path = new_path("faults");
        let (mut refused_times, mut in_file, mut again) = (0, 0, 0);
        for outcome in [
            Outcome::Errno(EIO),
            Outcome::Errno(ENOSPC),
            Outcome::Short,
            Outcome::Zero,
            Outcome::Astray,
        ] {
            for (replaces, after) in (0..).flat_map(|after| [(false, after), (true, after)]) {
                drop(fs::remove_file(&path));
                if replaces {
                    fs::write(&path, "old").unwrap();
                }
                let arena = Arena::sealable_in(&dir).unwrap();
                let mut items = fill(&arena, 7);
                arm(Fault {
                    after,
                    sticky: false,
                    outcome,
                });
                let sealed = if replaces {
                    arena.into_sealed_replacing(&path)
                } else {
                    arena.into_sealed(&path)
                };
                let (_calls, met) = disarm();
                match sealed {
                    Ok(sealed) => {
                        check(&sealed, &items);
                        check_file(&path, &items);
                    }
                    Err(refused) => {
                        assert!(met > 0 && refused.error().path().is_some(), "{refused}");
                        refused_times += 1;
                        let arena = refused.into_arena();
                        check(&arena, &items);
                        let there = fs::read(&path).ok();
                        if arena.dir().is_none() {
                            in_file += 1;
                        } else {
                            let old = replaces.then(|| b"old".to_vec());
                            let is_whole = || Sealed::open(&path).is_ok();
                            assert!(there == old || is_whole(), "after {after}: {refused_times}");
                            // It can be appended to, and sealed later.
                            items.extend(fill(&arena, 90));
                            check(&arena, &items);
                            if let Ok(sealed) = arena.into_sealed_replacing(&path) {
                                check(&sealed, &items);
                                check_file(&path, &items);
                                again += 1;
                            }
                        }
                    }
                }
                if met == 0 && replaces {
                    break;
                }
            }
        }
        drop(fs::remove_file(&path));
        assert!(
            refused_times > 60 && (in_file > 5 || cfg!(windows)) && again > 40,
            "{refused_times} {in_file} {again}"
        );
        assert_eq!(dir.used_bytes(), 0);
    }
}
